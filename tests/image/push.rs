//! Straight to a registry: a real one with passwords, and one that fails, lies and names other hosts.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use archive::digest::Sha256;
use serde_json::{Value, json};

use super::registry::{Fault, Registry};
use super::{channel, definition};
use crate::support::requirements::program;
use crate::support::run::{Output, Place, run};

/// `bake` with the password `s3cret`, by `htpasswd -B`.
const ACCOUNT: &str = "bake:$2y$05$nCpoc.kqpVO1eUPEcSYAYej98xEFdej2q5fhi5Q7BKIDhi/b3wvwC\n";

/// `bake:s3cret`, and a wrong password, as the files of podman and docker have them.
pub(super) const RIGHT: &str = "YmFrZTpzM2NyZXQ=";
const WRONG: &str = "YmFrZTp3cm9uZw==";

/// Docker's own registry, with passwords.
pub(super) struct Distribution {
    child: Child,
    pub(super) authority: String,
}

impl Distribution {
    pub(super) fn start(place: &Place) -> Option<Distribution> {
        let registry = program("docker-registry")?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let authority = free.local_addr().expect("an address").to_string();
        drop(free);
        place.write("registry/htpasswd", ACCOUNT);
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {0}/data }} }}\n\
             http: {{ addr: {authority} }}\nauth: {{ htpasswd: {{ realm: test, path: {0}/htpasswd }} }}\n",
            place.join("registry").display()
        );
        let config = place.write("registry/config.yml", config);
        let mut command = Command::new("setpriv");
        let mut child = command
            .args(["--pdeathsig", "KILL"])
            .arg(registry)
            .arg("serve")
            .arg(config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a registry");
        while TcpStream::connect(&authority).is_err() {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the registry ended: {ended:?}");
            thread::sleep(Duration::from_millis(20));
        }
        Some(Distribution { child, authority })
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `archiconda image bake image.toml --push NAME --json`.
pub(super) fn push(place: &Place, name: &str, arguments: &[&str]) -> Command {
    let mut command = place.archiconda();
    command
        .args(["image", "bake", "image.toml", "--json", "--push", name])
        .args(arguments);
    command
}

/// A file as `docker login` writes it.
pub(super) fn login(place: &Place, file: &str, host: &str, auth: &str) {
    place.write(
        file,
        json!({ "auths": { host: { "auth": auth } } }).to_string(),
    );
}

/// Nothing that anybody could log in with is in what was said.
pub(super) fn discreet(output: Output) -> Output {
    output.hides(&["s3cret", RIGHT, WRONG, "given"])
}

#[test]
fn two_that_share_a_cache_do_not_wait_for_each_other() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let registry = Registry::start();
    let theirs = place.write("cache/images/.unwritten-0.baking/blobs/x", "theirs");
    let folder = theirs.parent().and_then(Path::parent).expect("a folder");
    let held = std::fs::File::open(folder).expect("a folder");
    held.lock().expect("a lock");
    for tag in ["a:1", "a:2"] {
        let name = format!("{}/{tag}", registry.authority());
        run(&mut push(&place, &name, &["-p", "linux-64"])).succeeds();
    }
    assert!(theirs.is_file());
    // What a killed one left is taken away.
    drop(held);
    let name = format!("{}/a:3", registry.authority());
    run(&mut push(&place, &name, &["-p", "linux-64"])).succeeds();
    assert!(!theirs.exists());
}

#[test]
fn a_registry_gets_the_image_once() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let Some(registry) = Distribution::start(&place) else {
        return;
    };
    let host = registry.authority.as_str();
    let name = format!("{host}/team/example:1.0");
    let denied = run(&mut push(&place, &name, &[])).exits(1);
    discreet(denied).says(&["there are no credentials for it", "team/example"]);
    login(&place, "home/.docker/config.json", host, WRONG);
    let denied = run(&mut push(&place, &name, &[])).exits(1);
    discreet(denied).says(&["are not enough"]);
    // podman's file comes first.
    login(&place, "auth.json", host, RIGHT);
    let right = |command: &mut Command| {
        discreet(run(command.env("REGISTRY_AUTH_FILE", place.join("auth.json"))).succeeds()).json()
    };
    let first = right(&mut push(&place, &name, &["--no-sbom"]));
    let (sent, present) = (&first["pushed"][0]["sent"], &first["pushed"][0]["present"]);
    assert!(sent.as_u64() > Some(6) && present == 0, "{first:#}");
    assert_eq!(first["output"], json!(null));
    let again = right(&mut push(
        &place,
        &name,
        &["--no-sbom", "--output", "image"],
    ));
    assert_eq!(again["pushed"][0]["sent"], 0);
    assert_eq!(again["pushed"][0]["present"], *sent);
    assert_eq!(again["digest"], first["digest"]);
    // What is in it is told of a registry as of a folder.
    let named = format!("docker://{name}");
    let inspect = |image: &str| -> Value {
        let mut command = place.archiconda();
        let mut said = right(command.args(["image", "inspect", image, "--json"]));
        let images = said["images"].as_array_mut().expect("images");
        assert_eq!(images.len(), 2, "one for each platform");
        for image in images {
            image["tag"] = json!(null);
        }
        said
    };
    assert_eq!(inspect(&named), inspect("image"));
    let mut diff = place.archiconda();
    let said = right(diff.args(["image", "diff", "image", &named, "--json"]));
    assert_eq!(said["differences"][0]["layers_new"], 0);
    let mut absent = place.archiconda();
    absent.env("REGISTRY_AUTH_FILE", place.join("auth.json"));
    absent.args(["image", "inspect", &format!("{named}-none")]);
    discreet(run(&mut absent).exits(1)).says(&["has no `1.0-none` in `team/example`"]);
    // A registry without TLS is spoken to on this machine, and elsewhere only if asked.
    let Some(skopeo) = program("skopeo") else {
        return;
    };
    let mut raw = place.command(&skopeo);
    raw.args([
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds=bake:s3cret",
    ]);
    let raw = run(raw.arg(format!("docker://{name}"))).succeeds().stdout;
    let digest = format!("sha256:{}", Sha256::of(raw.as_bytes()));
    assert_eq!(first["digest"], digest.as_str());
    let mut copy = place.command(&skopeo);
    copy.args([
        "--insecure-policy",
        "copy",
        "--all",
        "--src-tls-verify=false",
    ]);
    copy.args([
        "--src-creds=bake:s3cret",
        &format!("docker://{name}"),
        "oci:pulled:example:1.0",
    ]);
    run(&mut copy).succeeds();
    let mut blobs = place.command("diff");
    run(blobs.args(["-r", "image/blobs", "pulled/blobs"])).succeeds();
}

#[test]
fn no_credential_goes_to_another_host() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let (registry, tokens, store) = (Registry::start(), Registry::start(), Registry::start());
    registry.want_token_of(&tokens);
    registry.upload_to(&store);
    login(
        &place,
        "home/.docker/config.json",
        &registry.authority(),
        RIGHT,
    );
    let name = format!("{}/a:1", registry.authority());
    let output = run(&mut push(&place, &name, &["-p", "linux-64"])).succeeds();
    discreet(output);
    // The registry itself names who gives tokens, and sees nothing but these.
    let shown = |registry: &Registry| -> Vec<String> {
        let requests = registry.requests().into_iter();
        let mut shown: Vec<String> = requests
            .filter_map(|request| request.authorization)
            .collect();
        shown.sort();
        shown.dedup();
        shown
    };
    assert_eq!(shown(&tokens), [format!("Basic {RIGHT}")]);
    assert_eq!(shown(&registry), ["Bearer given"]);
    assert!(shown(&store).is_empty(), "{:?}", store.requests());
    assert!(
        store
            .requests()
            .iter()
            .all(|request| matches!(&*request.method, "PATCH" | "PUT"))
    );
    let asked = &tokens.requests()[0].path;
    assert!(
        asked.contains("service=test") && asked.contains("scope=repository%3Aa%3Apush"),
        "{asked}"
    );
    // Nor does a file for another registry.
    let other = Registry::start();
    other.want_token_of(&tokens);
    let before = tokens.requests().len();
    let name = format!("{}/a:1", other.authority());
    run(&mut push(&place, &name, &["-p", "linux-64"])).succeeds();
    assert!(
        tokens.requests()[before..]
            .iter()
            .all(|request| request.authorization.is_none())
    );
}

#[test]
fn passing_troubles_pass() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let registry = Registry::start();
    registry.fault("HEAD", "/blobs/", Fault::Status(503), 1);
    registry.fault("POST", "/uploads/", Fault::Status(429), 1);
    registry.fault("PATCH", "/blobs/", Fault::Cut, 1);
    registry.fault("PATCH", "/blobs/", Fault::Lose, 1);
    registry.fault("PATCH", "/blobs/", Fault::Status(503), 1);
    registry.fault("PUT", "/blobs/", Fault::Status(500), 1);
    registry.fault("PUT", "/manifests/", Fault::Status(502), 1);
    let name = format!("{}/a/b:1", registry.authority());
    let arguments = ["--no-sbom", "--output", "image"];
    let said = run(&mut push(&place, &name, &arguments)).succeeds().json();
    let index = registry.manifest("1").expect("a tag");
    assert_eq!(
        said["digest"],
        format!("sha256:{}", Sha256::of(&index)).as_str()
    );
    let sent = said["pushed"][0]["sent"].as_u64().expect("a number");
    assert_eq!(registry.blobs().len() as u64, sent);
    // What the tag names was there before it.
    let puts: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT")
        .map(|request| request.path)
        .collect();
    assert_eq!(puts.last().map(String::as_str), Some("/v2/a/b/manifests/1"));
    // A broken upload went on where it stood.
    assert!(
        registry
            .requests()
            .iter()
            .any(|request| request.method == "PATCH" && request.start > Some(0))
    );
    for blob in registry.blobs() {
        let file = blob.replace("sha256:", "image/blobs/sha256/");
        assert!(place.join(&file).is_file(), "{file}");
    }
}

#[test]
fn lasting_troubles_are_told() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    for (method, part, fault, code, expected) in [
        (
            "HEAD",
            "/blobs/",
            Fault::Status(403),
            1,
            "does not let us ask for a blob in `a`",
        ),
        ("HEAD", "/blobs/", Fault::Status(500), 1, "it answered 500"),
        (
            "POST",
            "/uploads/",
            Fault::Status(404),
            1,
            "404 (TROUBLE for a test)",
        ),
        (
            "PATCH",
            "/blobs/",
            Fault::Status(400),
            1,
            "could not send a blob",
        ),
        (
            "PUT",
            "/blobs/",
            Fault::Status(400),
            1,
            "could not send a blob",
        ),
        (
            "PUT",
            "/manifests/",
            Fault::Status(415),
            1,
            "could not send a manifest",
        ),
        (
            "PUT",
            "/manifests/",
            Fault::OtherDigest,
            4,
            "in place of sha256:",
        ),
    ] {
        let registry = Registry::start();
        registry.fault(method, part, fault, usize::MAX);
        let name = format!("{}/a:1", registry.authority());
        let output = run(&mut push(
            &place,
            &name,
            &["--output", "image", "-p", "linux-64"],
        ));
        output.exits(code).says(&["cannot push", expected]);
        assert!(!Path::new(&place.join("image")).exists(), "half done");
        assert!(registry.manifest("1").is_none());
    }
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = free.local_addr().expect("an address");
    drop(free);
    run(&mut push(&place, &format!("{gone}/a:1"), &[]))
        .exits(1)
        .says(&["could not ask for a blob of 127.0.0.1"]);
    run(&mut push(&place, "Example:1", &[]))
        .exits(2)
        .says(&["`Example:1` names no image"]);
    place.write("home/.docker/config.json", "{");
    run(&mut push(&place, &format!("{gone}/a:1"), &[]))
        .exits(1)
        .says(&["cannot use the credentials in", "config.json"]);
}
