//! What an image stands on: any of the forms that images have, kept as it is, and its links followed.

use fs_err as fs;
use serde_json::json;

use super::given::{Given, Put, debian, digest, docker_archive, gzip, layer, layout};
use super::{bake, channel, definition, digests, inspect, unpack};
use crate::support::run::{Place, run};
use crate::support::tree::{Node, snapshot};

/// An image with two layers, the second of which hides and adds.
fn base(architecture: &'static str) -> Given {
    let second = layer(&[
        Put::Folder("usr/"),
        Put::Folder("usr/bin/"),
        Put::File("usr/bin/.wh.old", ""),
        Put::File("lib/late.so", "late"),
    ]);
    Given::new(architecture, vec![debian(), second])
}

#[test]
fn the_bases_layers_stay_and_its_links_are_followed() {
    let place = Place::new();
    channel(&place);
    let given = base("amd64");
    layout(&place, "base", &[("base:1", &given)]);
    definition(
        &place,
        "base = \"base\"\nfiles = [\n  { path = \"/lib/own.so\", text = \"own\" },\n  \
         { path = \"/bin/tree\", source = \"tree\" },\n]\nuser = { name = \"builder\" }",
    );
    place.write("tree/one", "1");
    let output = run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    assert_eq!(output.lines("warning").len(), 0, "{output}");
    let image = &inspect(&place, "image")[0];
    let kept: Vec<String> = given
        .layers
        .iter()
        .map(|layer| digest(&gzip(layer)))
        .collect();
    assert_eq!(digests(image)[..2], kept[..]);
    let env = image["config"]["Env"].as_array().expect("variables");
    assert!(
        env.contains(&json!("PATH=/opt/conda/bin:/usr/bin:/bin")),
        "{env:?}"
    );
    assert!(env.contains(&json!("A=b")) && image["config"]["Cmd"] == json!(["bash"]));
    assert_eq!(
        image["annotations"]["org.opencontainers.image.base.name"],
        "base:1"
    );
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let tree = snapshot(&root);
    let link = |target: &str| Node::Link {
        target: target.to_owned(),
    };
    // No folder of ours took the place of a link.
    for (path, target) in [("lib", "usr/lib"), ("bin", "usr/bin"), ("opt", "/var/opt")] {
        assert_eq!(tree.0.get(path), Some(&link(target)), "{path}");
    }
    for path in [
        "var/opt/conda/bin/python3.12",
        "usr/lib/own.so",
        "usr/bin/tree/one",
        "usr/lib/ld-linux-x86-64.so.2",
        "home/builder",
    ] {
        assert!(tree.0.contains_key(path), "{path}");
    }
    let passwd = fs_err::read_to_string(root.join("etc/passwd")).expect("a file");
    assert_eq!(
        passwd,
        "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/:/bin/false\n\
         builder:x:1000:1000::/home/builder:/bin/sh\n"
    );
}

#[test]
fn all_forms_of_one_base_give_one_image() {
    let place = Place::new();
    channel(&place);
    let given = base("arm64");
    let other = Given::new("amd64", vec![debian()]);
    layout(&place, "base", &[("base:1", &given), ("base:1", &other)]);
    docker_archive(&place, "docker.tar", &["base:1"], &given);
    let mut pack = place.command("tar");
    pack.args(["-cf", "oci.tar", "-C", "base", "."]);
    run(&mut pack).succeeds();
    let ids = |base: &str| {
        definition(&place, &format!("base = \"{base}\""));
        run(&mut bake(&place, "image", &["-p", "linux-aarch64"])).succeeds();
        let image = &inspect(&place, "image")[0];
        let layers = image["layers"].as_array().expect("layers");
        let ids: Vec<String> = layers
            .iter()
            .map(|layer| layer["diff_id"].as_str().expect("an id").to_owned())
            .collect();
        (ids, image["config"].clone())
    };
    let first = ids("base");
    assert!(first.0.len() > 4);
    for base in [
        "oci:base:base:1",
        "oci:base:1",
        "./oci.tar",
        "oci-archive:oci.tar:base:1",
        "docker.tar",
        "docker-archive:docker.tar:base:1",
    ] {
        assert_eq!(ids(base), first, "{base}");
    }
    // Our own image is a base, too.
    run(&mut bake(&place, "ours.tar", &["-p", "linux-aarch64"])).succeeds();
    definition(&place, "base = \"ours.tar\"\nprefix = \"/opt/second\"");
    run(&mut bake(&place, "image", &["-p", "linux-aarch64"])).succeeds();
    assert_eq!(
        inspect(&place, "image")[0]["layers"]
            .as_array()
            .map(Vec::len),
        Some(2 * first.0.len() - 2)
    );
}

#[test]
fn each_platform_has_its_base() {
    let place = Place::new();
    channel(&place);
    layout(&place, "arm", &[("a:1", &base("arm64"))]);
    layout(
        &place,
        "intel",
        &[("b:1", &Given::new("amd64", vec![debian()]))],
    );
    definition(
        &place,
        "[target.linux-aarch64]\nbase = \"arm\"\n[target.linux-64]\nbase = \"intel\"",
    );
    run(&mut bake(&place, "image", &[])).succeeds();
    let images = inspect(&place, "image");
    let count = |image: &serde_json::Value| image["layers"].as_array().map(Vec::len);
    assert_eq!(images[0]["platform"], "linux/arm64/v8");
    assert_eq!(count(&images[0]), count(&images[1]).map(|count| count + 1));
}

/// Changes one bit of a file, which stays as long as it was.
fn spoil(path: &std::path::Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).expect("removed");
    fs::write(path, bytes).expect("written");
}

fn only_file(folder: &std::path::Path) -> std::path::PathBuf {
    let mut entries = fs::read_dir(folder).expect("a folder");
    let only = entries.next().expect("a file").expect("an entry").path();
    assert!(entries.next().is_none(), "several in {}", folder.display());
    only
}

#[test]
fn what_a_base_holds_is_remembered() {
    for form in ["base", "docker.tar"] {
        let place = Place::new();
        channel(&place);
        let given = base("amd64");
        layout(&place, "base", &[("base:1", &given)]);
        docker_archive(&place, "docker.tar", &["base:1"], &given);
        definition(
            &place,
            &format!("base = \"{form}\"\nuser = {{ name = \"builder\" }}"),
        );
        let said = |output: &str, arguments: &[&str]| {
            let mut command = bake(&place, output, &["-p", "linux-64"]);
            run(command.args(arguments)).succeeds().json()
        };
        let first = said("image", &["--no-cache"]);
        assert!(!place.join("cache/images/bases").exists());
        let digest = &first["digest"];
        assert_eq!(&said("image", &[])["digest"], digest);
        let listing = only_file(&place.join("cache/images/bases"));
        let whole = fs::read(&listing).expect("a listing");
        // From what is remembered, as a folder and as a tar file, each of which holds all its bytes.
        for output in ["image", "image.tar"] {
            assert_eq!(&said(output, &[])["digest"], digest, "{output}");
            inspect(&place, output);
        }
        assert_eq!(
            said("none", &["--dry-run"])["images"][0]["layers"][0]["kind"],
            "base"
        );
        // One that is damaged or cut off is made again.
        fs::write(&listing, &whole[..whole.len() / 2]).expect("written");
        assert_eq!(&said("image", &[])["digest"], digest);
        assert_eq!(fs::read(&listing).expect("a listing"), whole);
        spoil(&listing);
        assert_eq!(&said("image", &[])["digest"], digest);
        assert_eq!(fs::read(&listing).expect("a listing"), whole);
        // So is a layer that we had compressed.
        for entry in fs::read_dir(place.join("cache/images/layers/blobs")).expect("blobs") {
            spoil(&entry.expect("an entry").path());
        }
        assert_eq!(&said("image", &[])["digest"], digest);
        inspect(&place, "image");
    }
}

#[test]
fn a_base_that_was_damaged_since_is_noticed() {
    let place = Place::new();
    channel(&place);
    let given = base("amd64");
    layout(&place, "base", &[("base:1", &given)]);
    definition(&place, "base = \"base\"");
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    fs::remove_dir_all(place.join("image")).expect("removed");
    let name = digest(&gzip(&given.layers[0]));
    let blob = place.join("base/blobs").join(name.replace(':', "/"));
    let bytes = fs::read(&blob).expect("a blob");
    spoil(&blob);
    let refused = |expected: &str| {
        for output in ["image", "image.tar"] {
            run(&mut bake(&place, output, &["-p", "linux-64"]))
                .exits(4)
                .says(&["cannot use the image", expected]);
            assert!(!place.join(output).exists());
        }
    };
    refused("the digest of");
    fs::write(&blob, &bytes[..bytes.len() - 9]).expect("written");
    refused("the digest of");
    fs::remove_file(&blob).expect("removed");
    refused("is missing");
    // The time of a file says nothing.
    fs::write(&blob, &bytes).expect("written");
    for output in ["image", "image.tar"] {
        run(&mut bake(&place, output, &["-p", "linux-64"])).succeeds();
        inspect(&place, output);
    }
}

#[test]
fn a_base_of_several_layers_is_the_same_with_any_number_of_threads() {
    let place = Place::new();
    channel(&place);
    let mut given = base("amd64");
    let text = "many words ".repeat(300_000);
    given
        .layers
        .push(layer(&[Put::File("usr/lib/long", &text)]));
    layout(&place, "base", &[("base:1", &given)]);
    docker_archive(&place, "docker.tar", &["base:1"], &given);
    for form in ["base", "docker.tar"] {
        definition(&place, &format!("base = \"{form}\""));
        let said = |threads: &str, output: &str, arguments: &[&str]| {
            let mut command = bake(&place, output, &["-p", "linux-64", "--threads", threads]);
            let said = run(command.args(arguments)).succeeds().json();
            said["digest"].clone()
        };
        let digest = said("1", "one", &["--no-cache"]);
        assert_eq!(said("5", "five.tar", &["--no-cache"]), digest, "{form}");
        // The first one leaves what the others remember.
        for (threads, output) in [("3", "one"), ("1", "one"), ("5", "one"), ("5", "five.tar")] {
            assert_eq!(said(threads, output, &[]), digest, "{form} {threads}");
            inspect(&place, output);
        }
    }
}

#[test]
fn a_folder_of_files_goes_where_the_bases_links_lead() {
    let place = Place::new();
    channel(&place);
    let more = layer(&[
        Put::Folder("usr/local/"),
        Put::Folder("usr/share/"),
        Put::Folder("usr/share/man/"),
        Put::File("usr/share/man/a.1", "a"),
        Put::Link("usr/local/man", "../share/man"),
        Put::Link("var", "usr"),
    ]);
    let given = Given::new("amd64", vec![debian(), more]);
    layout(&place, "base", &[("base:1", &given)]);
    place.write("tree/man/b.1", "b");
    place.write("tree/man/de/c.1", "c");
    definition(
        &place,
        "base = \"base\"\nworkdir = \"/usr/local/man\"\n\
         files = [{ path = \"/usr/local\", source = \"tree\" }]",
    );
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let link = fs::read_link(root.join("usr/local/man")).expect("a link");
    assert_eq!(link.to_string_lossy(), "../share/man");
    for path in ["a.1", "b.1", "de/c.1"] {
        assert!(root.join("usr/share/man").join(path).is_file(), "{path}");
    }
    // What lies where a folder is, or the other way round, hides nothing silently.
    place.write("tree/bin", "a file");
    for (path, expected) in [
        ("/usr", "`/usr/bin` is a folder in the base"),
        ("/etc/passwd", "`/etc/passwd` is no folder in the base"),
    ] {
        let file = format!("base = \"base\"\nfiles = [{{ path = {path:?}, source = \"tree\" }}]");
        definition(&place, &file);
        run(&mut bake(&place, "other", &["-p", "linux-64"]))
            .exits(2)
            .says(&[expected]);
    }
}

#[test]
fn one_of_several_images_is_looked_at() {
    let place = Place::new();
    let one = base("amd64");
    let two = Given::new("amd64", vec![debian()]);
    layout(&place, "both", &[("a:1", &one), ("b:2", &two)]);
    docker_archive(&place, "docker.tar", &["c:3", "d:4"], &one);
    let tags = |image: &str| -> Vec<String> {
        let images = inspect(&place, image);
        let tag = |image: &serde_json::Value| image["tag"].as_str().map(str::to_owned);
        images.iter().filter_map(tag).collect()
    };
    assert_eq!(tags("both"), ["a:1", "b:2"]);
    assert_eq!(tags("oci:both"), ["a:1", "b:2"]);
    assert_eq!(tags("oci:both:b:2"), ["b:2"]);
    assert_eq!(tags("docker-archive:docker.tar:c:3"), ["c:3"]);
    assert_eq!(tags("docker-archive:docker.tar:d:4"), ["c:3"]);
    for (image, expected) in [
        ("oci:both:c:3", "has no image `c:3`"),
        ("docker-archive:docker.tar:e:5", "only `c:3`, `d:4`"),
        ("oci-archive:docker.tar", "no OCI layout"),
        (
            "docker-daemon:a:1",
            "images from `docker-daemon:` are not read",
        ),
        ("oci:", "names no file or folder"),
    ] {
        let mut inspect = place.archiconda();
        run(inspect.args(["image", "inspect", image]))
            .exits(2)
            .says(&[expected]);
    }
    let mut diff = place.archiconda();
    diff.args(["image", "diff", "oci:both:a:1", "oci:both:b:2"]);
    run(&mut diff).succeeds().prints(&["linux/amd64"]);
}

#[test]
fn images_of_other_names_are_not_lost_without_a_word() {
    let place = Place::new();
    channel(&place);
    definition(&place, "tags = [\"first:1\", \"same:1\"]");
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    let again = run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    assert!(!again.stderr.contains(" held "), "{again}");
    definition(&place, "tags = [\"second:1\", \"same:1\"]");
    run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .succeeds()
        .says(&["`image` held first:1, which this image takes the place of"]);
    // Who wants to hear of warnings alone hears no more.
    let mut quiet = place.archiconda();
    quiet.args(["image", "bake", "image.toml", "-p", "linux-64", "--quiet"]);
    let output = run(&mut quiet).succeeds();
    assert_eq!(output.stdout, "");
    let is_warning = |line: &str| line.starts_with("warning: ");
    assert!(output.stderr.lines().all(is_warning), "{output}");
    assert!(place.join("image.tar").is_file());
}

#[test]
fn what_nobody_asks_for_may_be_missing() {
    let place = Place::new();
    channel(&place);
    let given = base("amd64");
    layout(&place, "base", &[("b:1", &given)]);
    // As docker writes an image for several platforms of which it has one; and what is no image.
    let path = place.join("base/index.json");
    let text = fs::read_to_string(&path).expect("an index");
    let mut index: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let chart = place.write("base/blobs/chart", r#"{"name":"chart"}"#);
    let text = fs::read(&chart).expect("a file");
    let name = digest(&text);
    fs::rename(
        &chart,
        place.join("base/blobs").join(name.replace(':', "/")),
    )
    .expect("renamed");
    let config = json!({ "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": name, "size": text.len() });
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] }).to_string();
    let chart = digest(manifest.as_bytes());
    place.write(
        &format!("base/blobs/{}", chart.replace(':', "/")),
        &manifest,
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let absent = digest(b"absent");
    let all = index["manifests"].as_array_mut().expect("manifests");
    let named = |name: &str| json!({ "org.opencontainers.image.ref.name": name });
    all.extend([
        json!({ "mediaType": media_type, "digest": absent, "size": 6, "annotations": named("b:1"),
                "platform": { "architecture": "arm64", "os": "linux" } }),
        json!({ "mediaType": media_type, "digest": absent, "size": 6, "annotations": named("b:1"),
                "platform": { "architecture": "amd64", "os": "windows" } }),
        json!({ "mediaType": media_type, "digest": chart, "size": manifest.len(), "annotations": named("chart:1") }),
    ]);
    fs::write(&path, index.to_string()).expect("written");
    assert_eq!(inspect(&place, "base").len(), 1);
    definition(&place, "base = \"oci:base:b:1\"");
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    run(&mut bake(&place, "other", &["-p", "linux-aarch64"]))
        .exits(4)
        .says(&["is missing"]);
    let mut inspect = place.archiconda();
    run(inspect.args(["image", "inspect", "oci:base:chart:1"]))
        .exits(4)
        .says(&["does not name its layers"]);
}

#[test]
fn files_do_not_go_through_links_of_packages() {
    let place = Place::new();
    channel(&place);
    for (keys, expected) in [
        (
            "files = [{ path = \"/opt/conda/bin/python/x\", text = \"x\" }]",
            "`/opt/conda/bin/python` is no folder",
        ),
        (
            "workdir = \"/opt/conda/bin/python/x\"",
            "`/opt/conda/bin/python` is no folder",
        ),
        (
            "files = [{ path = \"/opt/conda/bin\", text = \"x\" }]",
            "`/opt/conda/bin` is a folder of the packages",
        ),
    ] {
        definition(&place, keys);
        run(&mut bake(&place, "image", &["-p", "linux-64"]))
            .exits(2)
            .says(&[expected]);
    }
    // A file of a package may be replaced.
    definition(
        &place,
        "files = [{ path = \"/opt/conda/bin/python\", text = \"x\" }]",
    );
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
}
