//! `installer`: a distribution's spec, for all platforms, or finished installers, each of which is for one.

use super::{Image, Settings};
use crate::error::quote;
use crate::source::{Source, Value};

/// Whether a path is that of a finished installer; else it is a spec.
pub(super) fn is_finished(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, ending)| ending == "sh")
}

/// The key of a platform.
pub(super) fn of_platform<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<String> {
    let path = source.line("installer", value)?;
    if is_finished(&path) {
        return Some(path);
    }
    let message = format!("{} is no finished installer (`.sh`)", quote(&path));
    let advice = "a spec is for all platforms: write it at the top".to_owned();
    source.error(value.span(), message, Some(advice));
    None
}

/// Checks that there is one kind of installers, and nothing that a finished one cannot do. `named` says whether the key
/// is at the top.
pub(super) fn check(source: &mut Source<'_>, image: &Image, named: bool) {
    let own = image.finished().any(|(platform, _)| platform.is_some());
    if !named && !own {
        let advice =
            "add `installer = \"../specs/NAME.toml\"` at the top, or `installer = \"NAME.sh\"`";
        source.error(0..0, "`installer` is missing", Some(advice.to_owned()));
    }
    if image.installer.is_some() && own {
        let message = "`installer` is a spec at the top and a finished installer in `target`";
        let advice = "a spec is for all platforms: name it alone, or a finished installer for each";
        source.error(0..0, message, Some(advice.to_owned()));
    }
    if image.finished().next().is_none() {
        return;
    }
    let mut all = vec![&image.settings];
    all.extend(image.overrides.values());
    let some = |specs: &Settings, key: &str| match key {
        "packages" => specs.packages.iter().flatten().next().is_some(),
        "envs" => specs.envs.iter().flatten().next().is_some(),
        _ => specs.prefetch.iter().flatten().next().is_some(),
    };
    for key in ["packages", "prefetch", "envs"] {
        if all.iter().any(|settings| some(settings, key)) {
            let message = format!(
                "`{key}` needs channels to take packages from, which a finished installer does not have"
            );
            let advice = "name the distribution's spec as `installer`, or leave this key out";
            source.error(0..0, message, Some(advice.to_owned()));
        }
    }
}
