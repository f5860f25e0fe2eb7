//! The configuration of an image: what its base says, and what the definition says over it.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use spec::{ImageTarget, User};

use crate::oci::{Digest, Object, Platform};

/// Where programs are looked for if the base does not say (`DefaultPathEnv` of moby).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One of our layers, for the history.
pub(crate) struct Step {
    pub(crate) diff_id: Digest,
    /// What is in it, for people.
    pub(crate) comment: String,
}

/// The configuration. `base` is that of the base, with its layers; `first` is a program that comes before whatever
/// starts the container, and starts it.
pub(crate) fn make(
    base: Option<&Object>,
    platform: &Platform,
    target: &ImageTarget,
    steps: &[Step],
    created: &str,
    first: Option<&str>,
) -> Object {
    let mut config = base.cloned().unwrap_or_default();
    // What Docker kept of how it built the base is not true of this image.
    for key in [
        "container",
        "container_config",
        "docker_version",
        "parent",
        "id",
    ] {
        config.remove(key);
    }
    config.insert("architecture".into(), platform.architecture.clone().into());
    config.insert("os".into(), platform.os.clone().into());
    match &platform.variant {
        Some(variant) => config.insert("variant".into(), variant.clone().into()),
        None => config.remove("variant"),
    };
    config.insert("created".into(), created.into());

    let variables = variables(base, target).into_iter();
    let variables = variables.map(|(name, value)| format!("{name}={value}"));
    let mut run = object(config.remove("config"));
    run.insert("Env".into(), variables.collect::<Vec<String>>().into());
    match &target.user {
        Some(User::Known(user)) => drop(run.insert("User".into(), user.clone().into())),
        Some(User::New(account)) => drop(run.insert("User".into(), account.name.clone().into())),
        None => {}
    }
    if let Some(workdir) = &target.workdir {
        run.insert("WorkingDir".into(), workdir.clone().into());
    }
    if let Some(entrypoint) = &target.entrypoint {
        run.insert("Entrypoint".into(), words(entrypoint));
        // The base's arguments were for its own entrypoint.
        run.remove("Cmd");
    }
    if let Some(cmd) = &target.cmd {
        run.insert("Cmd".into(), words(cmd));
    }
    if let Some(first) = first {
        let mut entrypoint = vec![first.into()];
        entrypoint.extend(array(run.remove("Entrypoint")));
        run.insert("Entrypoint".into(), entrypoint.into());
    }
    if !target.labels.is_empty() {
        let mut labels = object(run.remove("Labels"));
        labels.extend(
            target
                .labels
                .iter()
                .map(|(key, text)| (key.clone(), text.clone().into())),
        );
        run.insert("Labels".into(), labels.into());
    }
    config.insert("config".into(), run.into());

    layers(&mut config, steps, created);
    config
}

/// An instant as documents write it.
pub(crate) fn time(seconds: u64) -> String {
    // No more than year 9999, which the format ends with.
    let instant = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(instant).to_string()
}

/// The variables that programs in the image have. Everything that is started finds the prefix, without a shell that
/// would activate it. `base` is the base's configuration.
pub(crate) fn variables(base: Option<&Object>, target: &ImageTarget) -> Vec<(String, String)> {
    let run = base.and_then(|base| base.get("config"));
    let base = run.and_then(|run| run.get("Env"));
    let mut names: Vec<String> = Vec::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if values.insert(name.to_owned(), value.to_owned()).is_none() {
            names.push(name.to_owned());
        }
    };
    let before = base
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let mut path = PATH;
    for variable in before.clone() {
        if let Some(("PATH", value)) = variable.split_once('=')
            && !value.is_empty()
        {
            path = value;
        }
    }
    set("PATH", &format!("{}/bin:{path}", target.prefix));
    for (name, value) in before.filter_map(|variable| variable.split_once('=')) {
        if name != "PATH" {
            set(name, value);
        }
    }
    set("CONDA_PREFIX", &target.prefix);
    for (name, value) in &target.env {
        let before = values.get(name).map_or("", String::as_str);
        let value = with_own(value, name, before);
        if values.insert(name.clone(), value).is_none() {
            names.push(name.clone());
        }
    }
    let value = |name: String| {
        let value = values.remove(&name).unwrap_or_default();
        (name, value)
    };
    names.into_iter().map(value).collect()
}

/// A variable's new value, with the one before it in the place of `$NAME` and `${NAME}`. A container engine expands nothing.
fn with_own(value: &str, name: &str, before: &str) -> String {
    let mut result = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((plain, after)) = rest.split_once('$') {
        result.push_str(plain);
        let bare = after.strip_prefix(name).filter(|rest| {
            let next = rest.chars().next();
            !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
        });
        let braced = || {
            after
                .strip_prefix('{')?
                .strip_prefix(name)?
                .strip_prefix('}')
        };
        if let Some(following) = bare.or_else(braced) {
            result.push_str(before);
            rest = following;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result + rest
}

fn layers(config: &mut Object, steps: &[Step], created: &str) {
    let mut rootfs = object(config.remove("rootfs"));
    let mut diff_ids = array(rootfs.remove("diff_ids"));
    let mut history = array(config.remove("history"));
    // Tools pair layers and history: what the base does not tell is said to be there.
    let empty = |step: &&Value| step.get("empty_layer") == Some(&Value::Bool(true));
    let told = history.len() - history.iter().filter(empty).count();
    for _ in told..diff_ids.len() {
        history.push(json!({ "created_by": "base" }));
    }
    for step in steps {
        diff_ids.push(step.diff_id.to_string().into());
        history.push(json!({
            "comment": step.comment,
            "created": created,
            "created_by": "archiconda image bake",
        }));
    }
    rootfs.insert("type".into(), "layers".into());
    rootfs.insert("diff_ids".into(), diff_ids.into());
    config.insert("rootfs".into(), rootfs.into());
    config.insert("history".into(), history.into());
}

fn object(value: Option<Value>) -> Object {
    match value {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

fn array(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(array)) => array,
        _ => Vec::new(),
    }
}

fn words(words: &[String]) -> Value {
    words.to_vec().into()
}

#[cfg(test)]
mod tests {
    use conda::Subdir;
    use spec::Image;

    use super::*;

    fn made(base: Value, definition: &str, first: Option<&str>) -> Value {
        let definition = format!("installer = \"a\"\n{definition}");
        let parsed = Image::parse(&definition).expect("a definition");
        let target = parsed.definition.target(Subdir::LinuxAarch64);
        let platform = Platform::of(Subdir::LinuxAarch64).expect("a platform");
        let base = object(Some(base));
        let step = Step {
            diff_id: Digest(archive::digest::Sha256::of(b"x")),
            comment: "python".into(),
        };
        let created = time(1_700_000_000);
        let steps = [step];
        make(Some(&base), &platform, &target, &steps, &created, first).into()
    }

    #[test]
    fn the_definition_wins_over_the_base_and_the_rest_survives() {
        let base = json!({
            "architecture": "arm64", "os": "linux", "docker_version": "20",
            "config": {
                "Env": ["LANG=C", "PATH=/sbin:/bin"], "Entrypoint": ["/tini"], "Cmd": ["sh"],
                "Labels": { "a": "1" }, "Healthcheck": { "Test": ["NONE"] },
            },
            "rootfs": { "type": "layers", "diff_ids": ["sha256:00", "sha256:01"] },
            "history": [{ "created_by": "ADD" }, { "created_by": "ENV", "empty_layer": true }],
        });
        let config = made(
            base,
            "env = { LANG = \"en_US.UTF-8\", A = \"b=c\" }\nentrypoint = [\"/e\"]\n\
             labels = { b = \"2\" }\nuser = \"1000:1000\"",
            None,
        );
        assert_eq!(
            config["config"]["Env"],
            json!([
                "PATH=/opt/conda/bin:/sbin:/bin",
                "LANG=en_US.UTF-8",
                "CONDA_PREFIX=/opt/conda",
                "A=b=c"
            ])
        );
        assert_eq!(config["config"]["Entrypoint"], json!(["/e"]));
        assert_eq!(config["config"].get("Cmd"), None);
        assert_eq!(config["config"]["Labels"], json!({ "a": "1", "b": "2" }));
        assert_eq!(config["config"]["Healthcheck"], json!({ "Test": ["NONE"] }));
        assert_eq!(config["config"]["User"], "1000:1000");
        assert_eq!(
            (config["variant"].as_str(), config.get("docker_version")),
            (Some("v8"), None)
        );
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        assert_eq!(
            config["rootfs"]["diff_ids"].as_array().map(Vec::len),
            Some(3)
        );
        // Two layers of the base, one change without a layer, and ours.
        assert_eq!(config["history"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn a_variable_may_be_made_longer() {
        let base = json!({ "config": { "Env": ["PATH=/sbin", "LIBS=/a"] } });
        let config = made(
            base,
            "env = { PATH = \"/x:$PATH:/y\", LIBS = \"${LIBS}:/b\", NEW = \"$NEW/z\", \
             HOME = \"$PATH $HOMES ${HOME\", S = \"5$\" }",
            None,
        );
        assert_eq!(
            config["config"]["Env"],
            json!([
                "PATH=/x:/opt/conda/bin:/sbin:/y",
                "LIBS=/a:/b",
                "CONDA_PREFIX=/opt/conda",
                "HOME=$PATH $HOMES ${HOME",
                "NEW=/z",
                "S=5$"
            ])
        );
    }

    #[test]
    fn what_comes_first_starts_whatever_would_have_started() {
        let base = json!({ "config": { "Entrypoint": ["/tini", "--"], "Cmd": ["sh"] } });
        for (definition, entrypoint, cmd) in [
            ("", json!(["/first", "/tini", "--"]), json!(["sh"])),
            (
                "cmd = [\"a\"]",
                json!(["/first", "/tini", "--"]),
                json!(["a"]),
            ),
            ("entrypoint = [\"b\"]", json!(["/first", "b"]), json!(null)),
        ] {
            let config = made(base.clone(), definition, Some("/first"));
            assert_eq!(config["config"]["Entrypoint"], entrypoint, "{definition}");
            assert_eq!(config["config"]["Cmd"], cmd, "{definition}");
        }
    }

    #[test]
    fn an_image_from_nothing_finds_its_programs() {
        let config = made(json!({}), "", None);
        assert_eq!(
            config["config"]["Env"][0],
            format!("PATH=/opt/conda/bin:{PATH}").as_str()
        );
    }
}
