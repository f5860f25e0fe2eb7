//! Bases in a registry: a real one with passwords, and one that fails, lies and sends on to other hosts.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use fs_err as fs;
use serde_json::{Value, json};

use super::given::{Given, Put, debian, gzip, layer};
use super::push::{Distribution, RIGHT, discreet, login, push};
use super::registry::{Fault, Registry};
use super::{bake, channel, definition, inspect};
use crate::support::requirements::program;
use crate::support::run::{Output, Place, run};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Puts an image there, in the words of OCI or of Docker; returns its descriptor.
fn put(registry: &Registry, tag: &str, given: &Given, docker: bool) -> Value {
    let types = if docker {
        [
            DOCKER_MANIFEST,
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ]
    } else {
        [
            MANIFEST,
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ]
    };
    let blob = |bytes: &[u8], media_type: &str| json!({ "mediaType": media_type, "digest": registry.put_blob(bytes), "size": bytes.len() });
    let layers: Vec<Value> = given
        .layers
        .iter()
        .map(|layer| blob(&gzip(layer), types[2]))
        .collect();
    let config = blob(&given.config(), types[1]);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": types[0], "config": config, "layers": layers,
    })
    .to_string();
    let digest = registry.put_manifest(tag, types[0], manifest.as_bytes());
    json!({
        "mediaType": types[0], "digest": digest, "size": manifest.len(),
        "platform": { "architecture": given.architecture, "os": "linux" },
    })
}

/// Puts an index over images for both platforms there, with statements beside them.
fn put_index(registry: &Registry, tag: &str, docker: bool) -> String {
    let images = [("amd64", debian()), ("arm64", debian())];
    let mut manifests: Vec<Value> = images
        .into_iter()
        .map(|(architecture, root)| {
            let own = layer(&[Put::File("usr/arch", architecture)]);
            let given = Given::new(architecture, vec![root, own]);
            put(registry, &format!("{tag}-{architecture}"), &given, docker)
        })
        .collect();
    manifests.push(json!({
        "mediaType": MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 9,
        "platform": { "architecture": "unknown", "os": "unknown" },
    }));
    let media_type = if docker { DOCKER_LIST } else { INDEX };
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    registry.put_manifest(tag, media_type, index.to_string().as_bytes())
}

/// What `image bake` over this base says, for one platform.
fn over(place: &Place, base: &str, arguments: &[&str]) -> Output {
    definition(place, &format!("base = \"docker://{base}\""));
    let mut command = bake(place, "image", &["-p", "linux-aarch64"]);
    run(command.args(arguments))
}

/// Puts what is stored of earlier fetches away.
fn forget(place: &Place) {
    for path in ["cache/packages", "image.base.lock", "image"] {
        let path = place.join(path);
        let _ = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
    }
}

fn requests(registry: &Registry, method: &str, part: &str) -> usize {
    let requests = registry.requests().into_iter();
    requests
        .filter(|request| request.method == method && request.path.contains(part))
        .count()
}

#[test]
fn a_base_is_pinned_and_fetched_once() {
    let place = Place::new();
    channel(&place);
    let registry = Registry::start();
    let base = format!("{}/team/base:1", registry.authority());
    for docker in [false, true] {
        let pin = put_index(&registry, "1", docker);
        let _ = fs::remove_file(place.join("image.base.lock"));
        over(&place, &base, &["-p", "linux-64"]).succeeds();
        let images = inspect(&place, "image");
        for (image, platform) in images.iter().zip(["linux/arm64/v8", "linux/amd64"]) {
            assert_eq!(image["platform"], platform);
            let annotations = &image["annotations"];
            assert_eq!(annotations["org.opencontainers.image.base.name"], *base);
            let digest = annotations["org.opencontainers.image.base.digest"].as_str();
            assert!(digest.is_some_and(|digest| digest != pin));
        }
        let lock = fs::read_to_string(place.join("image.base.lock")).expect("a lock");
        assert!(lock.contains(&pin) && lock.contains(&base), "{lock}");
    }
    // The tag moves, and what is locked does not.
    let before = registry.requests().len();
    let old = inspect(&place, "image")[0]["digest"].clone();
    let other = Given::new("arm64", vec![debian()]);
    put(&registry, "1", &other, false);
    for arguments in [
        &["--locked"][..],
        &["--offline"],
        &["--locked", "--offline"],
    ] {
        over(&place, &base, arguments).succeeds();
        assert_eq!(inspect(&place, "image")[0]["digest"], old);
    }
    assert_eq!(registry.requests().len(), before, "nothing is asked again");
    over(&place, &base, &["--update"]).succeeds();
    assert_ne!(inspect(&place, "image")[0]["digest"], old);
    // A name that says which it is needs no lock.
    fs::remove_file(place.join("image.base.lock")).expect("removed");
    let exact = put(&registry, "other", &other, false)["digest"].clone();
    let exact = format!("{}@{}", base, exact.as_str().expect("a digest"));
    over(&place, &exact, &["--locked"]).succeeds();
    assert!(!place.join("image.base.lock").exists());
    // What is not locked is refused, and what was never fetched is not there.
    over(&place, &base, &["--locked"])
        .exits(1)
        .says(&["image.base.lock", &base, "--update"]);
    let gone = format!("{}/team/base:2", registry.authority());
    over(&place, &gone, &["--offline"])
        .exits(1)
        .says(&[&gone, "not in the cache"]);
    assert!(!place.join("image.base.lock").exists());
}

#[test]
fn a_dry_run_fetches_no_layer() {
    let place = Place::new();
    channel(&place);
    let registry = Registry::start();
    put_index(&registry, "1", false);
    let base = format!("{}/base:1", registry.authority());
    let said = over(&place, &base, &["--dry-run"]).succeeds().json();
    let layers = said["images"][0]["layers"].as_array().expect("layers");
    assert!(layers[0]["kind"] == "base" && layers[0]["size"].as_u64() > Some(100));
    // A configuration, and the tag, the index and the image.
    assert_eq!(requests(&registry, "GET", "/blobs/"), 1);
    assert!(!place.join("image.base.lock").exists());
}

#[test]
fn broken_connections_go_on_where_they_broke() {
    let place = Place::new();
    channel(&place);
    let registry = Registry::start();
    let noise: String = (0..200_000_u32)
        .map(|number| char::from(b'a' + (number.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    let big = layer(&[Put::File("big", &noise)]);
    let digest = registry.put_blob(&gzip(&big));
    put(
        &registry,
        "1",
        &Given::new("arm64", vec![debian(), big]),
        true,
    );
    let base = format!("{}/base:1", registry.authority());
    registry.fault("GET", "/manifests/", Fault::Status(503), 1);
    registry.fault("GET", "/manifests/", Fault::Cut, 1);
    registry.fault("GET", &digest, Fault::Cut, 2);
    registry.fault("GET", &digest, Fault::Status(429), 1);
    over(&place, &base, &[]).succeeds();
    let resumed = registry.requests();
    assert!(
        resumed
            .iter()
            .any(|request| request.path.contains(&digest) && request.start > Some(0))
    );
    // It goes on in the next run, too.
    forget(&place);
    registry.fault("GET", &digest, Fault::Cut, 3);
    registry.fault("GET", &digest, Fault::Status(403), 1);
    over(&place, &base, &[])
        .exits(1)
        .says(&["does not let us fetch a blob"]);
    assert!(!place.join("image").exists());
    let before = registry.requests().len();
    over(&place, &base, &[]).succeeds();
    assert!(
        registry.requests()[before..]
            .iter()
            .any(|request| { request.path.contains(&digest) && request.start > Some(0) })
    );
}

#[test]
fn what_registries_get_wrong() {
    let place = Place::new();
    channel(&place);
    let registry = Registry::start();
    let host = registry.authority();
    put(
        &registry,
        "good",
        &Given::new("arm64", vec![debian()]),
        false,
    );
    put(
        &registry,
        "intel",
        &Given::new("amd64", vec![debian()]),
        false,
    );
    put_index(&registry, "index", false);
    let json = |name: &str, value: Value| {
        registry.put_manifest(name, MANIFEST, value.to_string().as_bytes());
    };
    json(
        "helm",
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.cncf.helm.config.v1+json" }),
    );
    json("old", json!({ "schemaVersion": 1, "fsLayers": [] }));
    json(
        "both",
        json!({ "schemaVersion": 2, "manifests": [], "layers": [], "config": {} }),
    );
    json("empty", json!({ "schemaVersion": 2, "manifests": [] }));
    registry.put_manifest("page", "text/html", b"<html>");
    registry.put_manifest("long", MANIFEST, &vec![b' '; (8 << 20) + 1]);
    for (name, code, said) in [
        ("none", 1, "has no `none` in `base`"),
        (
            "intel",
            2,
            "no image for linux/arm64/v8, only for `linux/amd64`",
        ),
        ("helm", 1, "helm.config.v1+json, and neither an image"),
        ("old", 1, "schema 1 of Docker"),
        ("both", 1, "two types at once"),
        ("empty", 2, "no image for linux/arm64/v8"),
        ("page", 4, "is not the document that it should be"),
        ("long", 4, "has more than 8388608 bytes"),
    ] {
        forget(&place);
        over(&place, &format!("{host}/base:{name}"), &[])
            .exits(code)
            .says(&[&format!("docker://{host}/base:{name}"), said]);
        assert!(!place.join("image").exists(), "{name}");
    }
    let lasting = usize::MAX;
    for (part, fault, code, said) in [
        (
            "/manifests/",
            Fault::Status(401),
            1,
            "there are no credentials for it",
        ),
        (
            "/manifests/",
            Fault::Status(403),
            1,
            "does not let us fetch a manifest",
        ),
        (
            "/manifests/",
            Fault::Status(429),
            1,
            "it answered 429 (TROUBLE for a test)",
        ),
        (
            "/manifests/",
            Fault::Status(500),
            1,
            "could not fetch a manifest",
        ),
        (
            "/manifests/sha256",
            Fault::OtherBytes,
            4,
            "gave a manifest with the digest",
        ),
        (
            "/blobs/",
            Fault::Status(401),
            1,
            "does not let us fetch a blob",
        ),
        ("/blobs/", Fault::Status(404), 1, "has no `sha256:"),
        ("/blobs/", Fault::Status(500), 1, "answered 500"),
        ("/blobs/", Fault::OtherBytes, 4, "expected"),
        (
            "/blobs/",
            Fault::Redirect("127.0.0.1:1".to_owned()),
            1,
            "tried",
        ),
    ] {
        let registry = Registry::start();
        put_index(&registry, "index", false);
        forget(&place);
        // The tag is asked for once; what it names again if that is not kept.
        if part == "/manifests/sha256" {
            let base = format!("{}/base:index", registry.authority());
            registry.fault("GET", part, fault.clone(), lasting);
            over(&place, &base, &[]).exits(code).says(&[said]);
            continue;
        }
        registry.fault("GET", part, fault, lasting);
        let base = format!("{}/base:index", registry.authority());
        over(&place, &base, &[]).exits(code).says(&[said]);
        assert!(!place.join("image").exists(), "{said}");
    }
}

#[test]
fn no_credential_follows_a_redirect() {
    let place = Place::new();
    channel(&place);
    let (registry, store) = (Registry::start(), Registry::start());
    for one in [&registry, &store] {
        put_index(one, "1", false);
    }
    login(
        &place,
        "home/.docker/config.json",
        &registry.authority(),
        RIGHT,
    );
    registry.want_token_of(&registry);
    let elsewhere = store.authority();
    registry.fault(
        "GET",
        "/blobs/",
        Fault::Redirect(elsewhere.clone()),
        usize::MAX,
    );
    let base = format!("{}/a:1", registry.authority());
    discreet(over(&place, &base, &[]).succeeds());
    assert!(requests(&store, "GET", "/blobs/") > 0);
    // Nor does a password go to whom the other host names for tokens.
    forget(&place);
    store.fault("GET", "/blobs/", Fault::Challenge(elsewhere), usize::MAX);
    discreet(over(&place, &base, &[]).exits(1)).says(&["does not let us fetch a blob"]);
    for request in store.requests() {
        assert_eq!(request.authorization, None, "{}", request.path);
        assert!(!request.path.starts_with("/token"));
    }
}

#[test]
fn a_damaged_store_is_noticed_and_mended() {
    let place = Place::new();
    channel(&place);
    let registry = Registry::start();
    put_index(&registry, "1", false);
    let base = format!("{}/a:1", registry.authority());
    over(&place, &base, &[]).succeeds();
    let layer = inspect(&place, "image")[0]["layers"][0]["digest"].clone();
    let digits = &layer.as_str().expect("a digest")[7..];
    let stored = place.join(format!("cache/packages/sha256/{}/{digits}", &digits[..2]));
    let mut bytes = fs::read(&stored).expect("a blob");
    bytes[40] ^= 1;
    fs::write(&stored, bytes).expect("written");
    let before = inspect(&place, "image");
    // Whoever may not fetch it again has no more of it.
    over(&place, &base, &["--offline"]).exits(1);
    assert_eq!(inspect(&place, "image"), before);
    over(&place, &base, &[]).succeeds();
    // The same of a configuration.
    let held = inspect(&place, &format!("docker://{base}"));
    let is_ours = |image: &&Value| {
        let platform = image["platform"].as_str();
        platform.is_some_and(|platform| platform.starts_with("linux/arm64"))
    };
    let ours = held.iter().find(is_ours).expect("an image");
    let digits = &ours["id"].as_str().expect("a digest")[7..];
    let stored = place.join(format!("cache/packages/sha256/{}/{digits}", &digits[..2]));
    let mut bytes = fs::read(&stored).expect("a blob");
    bytes[40] ^= 1;
    fs::write(&stored, &bytes).expect("written");
    assert_eq!(inspect(&place, &format!("docker://{base}")), held);
    fs::write(&stored, &bytes).expect("written");
    over(&place, &base, &[])
        .succeeds()
        .says(&["is damaged; it is fetched again"]);
}

#[test]
fn a_killed_run_leaves_the_image_as_it_was() {
    let place = Place::new();
    channel(&place);
    let registry = Registry::start();
    put_index(&registry, "1", false);
    let base = format!("docker://{}/a:1", registry.authority());
    for output in ["image", "image.tar"] {
        definition(&place, "");
        run(&mut bake(&place, output, &["-p", "linux-64"])).succeeds();
        let before = inspect(&place, output);
        definition(&place, &format!("base = \"{base}\""));
        registry.fault("GET", "/blobs/", Fault::Hang, 1);
        let asked = requests(&registry, "GET", "/blobs/");
        let mut command = bake(&place, output, &["-p", "linux-64"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        while requests(&registry, "GET", "/blobs/") == asked {
            assert!(child.try_wait().expect("a child").is_none(), "it ended");
            thread::sleep(Duration::from_millis(10));
        }
        let hidden = place.join(format!(".{output}.baking"));
        assert!(hidden.is_dir());
        child.kill().expect("killed");
        child.wait().expect("a child");
        assert_eq!(inspect(&place, output), before);
        run(&mut bake(&place, output, &["-p", "linux-64"])).succeeds();
        assert_ne!(inspect(&place, output), before);
        assert!(!hidden.exists());
        forget(&place);
    }
}

#[test]
fn the_registry_that_others_use() {
    let place = Place::new();
    channel(&place);
    let Some(registry) = Distribution::start(&place) else {
        return;
    };
    let Some(skopeo) = program("skopeo") else {
        return;
    };
    let host = registry.authority.as_str();
    super::given::layout(
        &place,
        "given",
        &[("base:1", &Given::new("arm64", vec![debian()]))],
    );
    let mut copy = place.command(skopeo);
    copy.args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
        .args(["--dest-creds=bake:s3cret", "oci:given:base:1"])
        .arg(format!("docker://{host}/team/base:1"));
    run(&mut copy).succeeds();
    let base = format!("{host}/team/base:1");
    discreet(over(&place, &base, &[]).exits(1)).says(&["there are no credentials for it"]);
    login(&place, "home/.docker/config.json", host, RIGHT);
    discreet(over(&place, &base, &[]).succeeds());
    // Pushed to the same registry, the base's layers are there.
    let name = format!("{host}/other/example:1");
    let said = run(&mut push(&place, &name, &["-p", "linux-aarch64"])).succeeds();
    let said = discreet(said).json();
    assert_eq!(said["pushed"][0]["mounted"], 1, "{said:#}");
    assert!(said["pushed"][0]["sent"].as_u64() > Some(2));
    // It is a base, too.
    definition(
        &place,
        &format!("base = \"docker://{name}\"\nprefix = \"/opt/second\""),
    );
    run(&mut bake(&place, "second", &["-p", "linux-aarch64"])).succeeds();
    let first = inspect(&place, "image")[0]["layers"]
        .as_array()
        .map(Vec::len);
    let second = inspect(&place, "second")[0]["layers"]
        .as_array()
        .map(Vec::len);
    assert!(second > first);
}
