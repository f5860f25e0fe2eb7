//! Where podman and docker keep passwords (containers-auth.json(5), `docker login`): files, and programs
//! that a file names. The first one that knows the registry counts.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;

use super::{Error, Reference};
use crate::Cause;

/// What Docker calls its own registry in its file.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// What a helper returns as the user of a token.
const TOKEN_USER: &str = "<token>";

/// How a user shows who they are.
pub(super) enum Login {
    /// Name and password.
    Password(String, String),
    /// A token that is exchanged for others.
    Token(String),
}

impl Login {
    /// The header that shows name and password.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Login::Password(user, password) = self else {
            return None;
        };
        let text = STANDARD.encode(format!("{user}:{password}"));
        let mut header = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[derive(Debug, Default, Deserialize)]
struct Stored {
    #[serde(default)]
    auths: HashMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: HashMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default, rename = "identitytoken")]
    token: Option<String>,
}

/// The credentials for a repository, if somebody keeps some.
pub(super) fn find(reference: &Reference) -> Result<Option<Login>, Error> {
    for path in files(&|name| std::env::var_os(name).map(PathBuf::from)) {
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unusable(&path, &error)),
        };
        let stored: Stored =
            serde_json::from_slice(&text).map_err(|error| unusable(&path, &error))?;
        if let Some(login) = look_up(&stored, reference, &path)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

/// The files, in the order in which podman and then docker look.
fn files(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = |rest: &str| variable("HOME").map(|home| home.join(rest));
    let run = variable("XDG_RUNTIME_DIR").map(|run| run.join("containers/auth.json"));
    let config = variable("XDG_CONFIG_HOME").or_else(|| home(".config"));
    let docker = variable("DOCKER_CONFIG").or_else(|| home(".docker"));
    [
        variable("REGISTRY_AUTH_FILE"),
        run,
        config.map(|config| config.join("containers/auth.json")),
        docker.map(|docker| docker.join("config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn look_up(stored: &Stored, reference: &Reference, path: &Path) -> Result<Option<Login>, Error> {
    let names = names(reference);
    if let Some(program) = names.iter().find_map(|name| stored.helpers.get(name)) {
        return helper(program, &names);
    }
    let found = names.iter().find_map(|name| stored.auths.get(name));
    if let Some(token) = found.and_then(|auth| auth.token.as_ref())
        && !token.is_empty()
    {
        return Ok(Some(Login::Token(token.clone())));
    }
    if let Some(text) = found.and_then(|auth| auth.auth.as_ref()) {
        let decoded = STANDARD.decode(text.trim()).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let Some((user, password)) = pair else {
            // What is wrong is not repeated: it may be a password.
            let source = Cause::message(format!("the entry of {} is no login", reference.host()));
            return Err(Error::Credentials {
                path: path.to_owned(),
                source,
            });
        };
        return Ok(Some(Login::Password(
            user.to_owned(),
            password.trim_end_matches('\0').to_owned(),
        )));
    }
    match &stored.store {
        Some(program) => helper(program, &names),
        None => Ok(None),
    }
}

/// What the repository may be called in a file, the most exact name first.
fn names(reference: &Reference) -> Vec<String> {
    let host = reference.host();
    let mut names = Vec::new();
    let mut path = reference.name();
    loop {
        names.push(format!("{host}/{path}"));
        match path.rsplit_once('/') {
            Some((above, _)) => path = above,
            None => break,
        }
    }
    names.push(host.to_owned());
    names.push(format!("https://{host}"));
    if host == "docker.io" {
        names.push(DOCKER_KEY.to_owned());
        names.push("index.docker.io".to_owned());
    }
    names
}

/// Asks a program (github.com/docker/docker-credential-helpers): the server goes in, JSON comes out.
fn helper(program: &str, names: &[String]) -> Result<Option<Login>, Error> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Username")]
        user: String,
        #[serde(rename = "Secret")]
        secret: String,
    }
    let program = format!("docker-credential-{program}");
    // Programs know whole registries: the names without a path, which come last.
    for host in names
        .iter()
        .filter(|name| !name.contains('/') || *name == DOCKER_KEY)
    {
        let failed = |source| Error::Helper {
            program: program.clone(),
            host: host.clone(),
            source,
        };
        let plain = |error: io::Error| failed(Cause::of(&error));
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(plain)?;
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read it says so by its status.
            let _ = input.write_all(host.as_bytes());
        }
        let output = child.wait_with_output().map_err(plain)?;
        // It has none for this server.
        if !output.status.success() {
            continue;
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| failed(Cause::message("its answer cannot be read")))?;
        return Ok(Some(if answer.user == TOKEN_USER {
            Login::Token(answer.secret)
        } else {
            Login::Password(answer.user, answer.secret)
        }));
    }
    Ok(None)
}

fn unusable(path: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Credentials {
        path: path.to_owned(),
        source: Cause::of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, reference: &str) -> Option<String> {
        let stored: Stored = serde_json::from_str(text).unwrap();
        let reference = Reference::parse(reference).unwrap();
        match look_up(&stored, &reference, Path::new("auth.json")) {
            Ok(Some(Login::Password(user, password))) => Some(format!("{user} {password}")),
            Ok(Some(Login::Token(token))) => Some(format!("token {token}")),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn the_most_exact_entry_counts() {
        // a:b, c:d:e, f:g
        let text = r#"{ "auths": {
            "h.example": { "auth": "YTpi" },
            "h.example/team": { "auth": "YzpkOmU=" },
            "https://index.docker.io/v1/": { "auth": "Zjpn" },
            "t.example": { "auth": "", "identitytoken": "secret" },
            "w.example": { "auth": "!!" }
        }, "other": 1 }"#;
        for (reference, expected) in [
            ("h.example/x:1", Some("a b")),
            ("h.example/team/x:1", Some("c d:e")),
            ("x", Some("f g")),
            ("t.example/x", Some("token secret")),
            (
                "w.example/x",
                Some("cannot use the credentials in `auth.json`"),
            ),
            ("h.example.org/x", None),
            ("h.example:5000/x", None),
        ] {
            assert_eq!(found(text, reference).as_deref(), expected, "{reference}");
        }
    }

    #[test]
    fn podmans_files_come_before_dockers() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(
            files(&all),
            [
                "/REGISTRY_AUTH_FILE",
                "/XDG_RUNTIME_DIR/containers/auth.json",
                "/XDG_CONFIG_HOME/containers/auth.json",
                "/DOCKER_CONFIG/config.json"
            ]
            .map(PathBuf::from)
        );
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/me"));
        assert_eq!(
            files(&home),
            [
                "/home/me/.config/containers/auth.json",
                "/home/me/.docker/config.json"
            ]
            .map(PathBuf::from)
        );
    }
}
