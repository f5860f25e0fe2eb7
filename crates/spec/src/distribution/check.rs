//! What one key of a specification says about another, for every platform that it mentions.

use std::ops::Range;

use super::{Distribution, Settings};
use crate::source::Source;

type Problem = (Range<usize>, String, Option<String>);

/// Reports contradictions. What depends on the solution, such as whether conda is in it, is for
/// whoever has the solution.
pub(super) fn consistent(source: &mut Source<'_>, distribution: &Distribution) {
    let mut problems = Vec::new();
    for settings in std::iter::once(&distribution.settings).chain(distribution.overrides.values()) {
        if let (Some(_), Some(file)) = (&settings.specs, &settings.environment_file) {
            let message = "`specs` and `environment_file` exclude each other";
            problems.push((
                file.span(),
                message.to_owned(),
                Some("keep one of them".to_owned()),
            ));
        }
    }
    let each: Vec<_> = distribution
        .mentioned()
        .into_iter()
        .map(|platform| (platform, distribution.effective(platform)))
        .collect();
    let has_input =
        |settings: &Settings| settings.specs.is_some() || settings.environment_file.is_some();
    let anywhere = each.iter().any(|(_, settings)| has_input(settings));
    for (platform, settings) in &each {
        if !has_input(settings) {
            let whom = if anywhere {
                format!(" for `{platform}`")
            } else {
                String::new()
            };
            let message =
                format!("neither `specs` nor `environment_file` says what to install{whom}");
            problems.push((
                0..0,
                message,
                Some("add `specs = [\"python\", \"conda\"]`".to_owned()),
            ));
        }
        problems.extend(no_packages(settings));
        problems.extend(no_channel(settings));
        problems.extend(conda_in_spaces(settings));
    }
    // What is wrong at the top level is wrong for every platform.
    let mut reported: Vec<&Problem> = Vec::new();
    for problem in &problems {
        if !reported.contains(&problem) {
            reported.push(problem);
            let (span, message, advice) = problem.clone();
            source.error(span, message, advice);
        }
    }
}

fn no_packages(settings: &Settings) -> Option<Problem> {
    let specs = settings
        .specs
        .as_ref()
        .filter(|specs| specs.get_ref().is_empty())?;
    Some((specs.span(), "`specs` is empty".to_owned(), None))
}

/// Constructor: "at least one channel must be supplied, either in `channels` or `channels_remap`",
/// except that a package with an address or a channel of its own needs none.
fn no_channel(settings: &Settings) -> Option<Problem> {
    let named = |count: Option<usize>| count.is_some_and(|count| count > 0);
    if named(settings.channels.as_ref().map(|list| list.get_ref().len()))
        || named(
            settings
                .channels_remap
                .as_ref()
                .map(|list| list.get_ref().len()),
        )
    {
        return None;
    }
    let specs = settings.specs.as_ref()?;
    let homeless = specs
        .get_ref()
        .iter()
        .find(|spec| spec.match_spec.url.is_none() && spec.match_spec.channel.is_none())?;
    let message = format!("no channel is named to take `{}` from", homeless.raw);
    Some((
        specs.span(),
        message,
        Some("add `channels = [\"conda-forge\"]`".to_owned()),
    ))
}

/// Constructor: conda's own scripts do not work in a prefix with spaces.
fn conda_in_spaces(settings: &Settings) -> Option<Problem> {
    let check = settings
        .check_path_spaces
        .as_ref()
        .filter(|check| !check.get_ref())?;
    let conda = settings.specs.as_ref()?.get_ref().iter().any(|spec| {
        spec.name()
            .is_some_and(|name| name.as_normalized() == "conda")
    });
    conda.then(|| {
        let message = "`check_path_spaces = false` is not possible with conda among the specs";
        (
            check.span(),
            message.to_owned(),
            Some("conda's scripts do not work in a path with spaces".to_owned()),
        )
    })
}
