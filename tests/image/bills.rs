//! Bills of materials: beside the image, attached to it in layouts and registries, and read by the
//! libraries of those who define them.

use std::path::Path;

use archive::digest::Sha256;
use fs_err as fs;
use serde_json::{Value, json};

use super::push::{Distribution, RIGHT, discreet, login, push};
use super::registry::Registry;
use super::{bake, channel, definition, inspect};
use crate::support::requirements::{self, program};
use crate::support::run::{Place, run};

const SPDX: &str = "application/spdx+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

/// Reads both with the libraries of their makers, which check them against all rules.
const VALIDATE: &str = r"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
for path in sys.argv[1:]:
    if path.endswith('.spdx.json'):
        problems = validate_full_spdx_document(parse_file(path))
    else:
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(path).read())
        problems = [problem] if problem else []
    assert not problems, (path, problems)
print('fine')
";

fn read(path: &Path) -> Value {
    let text = fs::read(path).expect("a file");
    serde_json::from_slice(&text).expect("JSON")
}

/// The documents that refer to the images of a layout: subject, type, text.
fn attached(layout: &Path) -> Vec<(String, String, Vec<u8>)> {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        layout.join("blobs").join(digest.replace(':', "/"))
    };
    let index = read(&layout.join("index.json"));
    let manifests = index["manifests"].as_array().expect("manifests");
    let artifacts = manifests
        .iter()
        .filter(|one| one.get("artifactType").is_some());
    artifacts
        .map(|descriptor| {
            let artifact = read(&blob(descriptor));
            assert_eq!(artifact["artifactType"], descriptor["artifactType"]);
            assert_eq!(fs::read(blob(&artifact["config"])).expect("a blob"), b"{}");
            let text = fs::read(blob(&artifact["layers"][0])).expect("a blob");
            let subject = artifact["subject"]["digest"].as_str().expect("a digest");
            let kind = artifact["artifactType"].as_str().expect("a type");
            (subject.to_owned(), kind.to_owned(), text)
        })
        .collect()
}

#[test]
fn every_image_has_two_bills() {
    let place = Place::new();
    channel(&place);
    definition(
        &place,
        "prefetch = [\"other\"]\n[envs.\"py-3.1\"]\npackages = [\"tool\"]",
    );
    let said = run(&mut bake(&place, "image", &[])).succeeds().json();
    let files: Vec<&str> = said["sboms"]
        .as_array()
        .expect("files")
        .iter()
        .map(|path| path.as_str().expect("a path"))
        .collect();
    assert_eq!(
        files,
        [
            "image-linux-aarch64.spdx.json",
            "image-linux-aarch64.cdx.json",
            "image-linux-64.spdx.json",
            "image-linux-64.cdx.json"
        ]
    );
    let texts: Vec<Vec<u8>> = files
        .iter()
        .map(|file| fs::read(place.join(file)).expect("a file"))
        .collect();
    let attached = attached(&place.join("image"));
    let images = inspect(&place, "image");
    assert_eq!(
        (images.len(), attached.len()),
        (2, 4),
        "bills are no images"
    );
    for (number, (subject, kind, text)) in attached.iter().enumerate() {
        assert_eq!(images[number / 2]["digest"], subject.as_str());
        assert_eq!(kind, [SPDX, CYCLONEDX][number % 2]);
        assert_eq!(*text, texts[number]);
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains(&*place.path().to_string_lossy()), "{text}");
        for purl in [
            "pkg:conda/python@3.12.1?build=0&channel=channel&subdir=",
            "pkg:conda/other@2.0",
        ] {
            assert!(text.contains(purl), "{text}");
        }
    }
    // What the package's archive is, the bill says.
    let spdx: Value = serde_json::from_slice(&texts[2]).expect("JSON");
    let packages = spdx["packages"].as_array().expect("packages");
    let native = packages.iter().find(|package| package["name"] == "native");
    let native = native.expect("the package");
    let archive = place.join("channel/linux-64/native-1.0-0.conda");
    let archive = Sha256::of(&fs::read(archive).expect("an archive")).to_string();
    assert_eq!(native["checksums"][0]["checksumValue"], archive);
    // The same again, and none if none are wanted.
    run(&mut bake(&place, "again.tar", &[])).succeeds();
    for (file, text) in files.iter().zip(&texts) {
        let again = file.replace("image", "again");
        assert_eq!(fs::read(place.join(again)).expect("a file"), *text);
    }
    run(&mut bake(&place, "none", &["--no-sbom"])).succeeds();
    assert!(!place.join("none-linux-64.spdx.json").exists());
    assert_eq!(self::attached(&place.join("none")), []);
    // A tar file holds one thing, which tools take without being told.
    if let Some(skopeo) = program("skopeo") {
        let mut inspect = place.command(skopeo);
        inspect.args(["inspect", "--raw", "oci-archive:again.tar"]);
        run(&mut inspect).succeeds();
    }
    let Some(python) = requirements::bills() else {
        return;
    };
    let mut validate = place.command(python);
    run(validate.args(["-c", VALIDATE]).args(&files))
        .succeeds()
        .prints(&["fine"]);
}

#[test]
fn images_say_what_they_are() {
    let place = Place::new();
    channel(&place);
    definition(
        &place,
        "annotations = { \"org.opencontainers.image.vendor\" = \"me\", \"org.opencontainers.image.source\" = \"a\" }",
    );
    let revision = "org.opencontainers.image.revision=1a2b";
    let source = "org.opencontainers.image.source=https://example.org/?a=b";
    let arguments = ["--annotation", revision, "--annotation", source];
    run(&mut bake(&place, "image", &arguments)).succeeds();
    let annotations = &inspect(&place, "image")[0]["annotations"];
    for (key, expected) in [
        ("title", "Example"),
        ("version", "1.0"),
        ("vendor", "me"),
        ("revision", "1a2b"),
        ("source", "https://example.org/?a=b"),
        ("licenses", "BSD-3-Clause"),
    ] {
        let key = format!("org.opencontainers.image.{key}");
        assert_eq!(annotations[&key], expected, "{key}");
    }
    run(&mut bake(&place, "image", &["--annotation", "x"]))
        .exits(2)
        .says(&["KEY=TEXT"]);
}

#[test]
fn bills_go_to_registries() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    // One that knows of no referrers: they are listed under a tag, beside those of others.
    let registry = Registry::start();
    let name = format!("{}/a:1", registry.authority());
    let one = ["-p", "linux-64"];
    let said = run(&mut push(&place, &name, &one)).succeeds().json();
    let subject = said["digest"].as_str().expect("a digest");
    let tag = subject.replace(':', "-");
    let list = |registry: &Registry| -> Value {
        let index = registry.manifest(&tag).expect("a list");
        serde_json::from_slice(&index).expect("JSON")
    };
    let of_ours = list(&registry)["manifests"]
        .as_array()
        .expect("a list")
        .clone();
    let kinds: Vec<&Value> = of_ours.iter().map(|one| &one["artifactType"]).collect();
    assert_eq!(kinds, [SPDX, CYCLONEDX]);
    for descriptor in &of_ours {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let artifact = registry.manifest(digest).expect("an artifact");
        let artifact: Value = serde_json::from_slice(&artifact).expect("JSON");
        assert_eq!(artifact["subject"]["digest"], subject);
        let bill = artifact["layers"][0]["digest"].as_str().expect("a digest");
        assert!(registry.blobs().iter().any(|blob| blob == bill));
    }
    let other = json!({ "mediaType": "a/b", "digest": format!("sha512:{}", "1".repeat(128)), "size": 1, "artifactType": "sig", "urls": ["a:b"] });
    let index = json!({ "schemaVersion": 2, "manifests": [other] }).to_string();
    registry.put_manifest(
        &tag,
        "application/vnd.oci.image.index.v1+json",
        index.as_bytes(),
    );
    run(&mut push(&place, &name, &one)).succeeds();
    let listed = list(&registry)["manifests"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    assert_eq!(listed[0], other);
    // One that lists them itself needs no tag.
    let modern = Registry::start();
    modern.list_referrers();
    let name = format!("{}/a:1", modern.authority());
    run(&mut push(&place, &name, &one)).succeeds();
    assert!(modern.manifest(&tag).is_none() && modern.manifest("1").is_some());
    // And the one that others use.
    let Some(real) = Distribution::start(&place) else {
        return;
    };
    login(&place, "home/.docker/config.json", &real.authority, RIGHT);
    let name = format!("{}/a:1", real.authority);
    discreet(run(&mut push(&place, &name, &one)).succeeds());
    let Some(skopeo) = program("skopeo") else {
        return;
    };
    let mut raw = place.command(skopeo);
    raw.args([
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds=bake:s3cret",
    ]);
    let raw = run(raw.arg(format!("docker://{}/a:{tag}", real.authority))).succeeds();
    assert_eq!(raw.json()["manifests"].as_array().map(Vec::len), Some(2));
}
