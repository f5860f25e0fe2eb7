//! The bills: licences, names, and that nothing of this machine is in them.

use serde_json::Value;

use super::*;

fn component(name: &str, licence: Option<&str>) -> Component {
    Component {
        name: name.to_owned(),
        version: "1!2.0+b".to_owned(),
        kind: Kind::Conda {
            build: "h1_0".to_owned(),
            subdir: "linux-64".to_owned(),
            channel: "file:///home/me/channel".to_owned(),
        },
        url: "file:///home/me/channel/linux-64/a.conda".to_owned(),
        licence: licence.map(str::to_owned),
        sha256: Some("0a".repeat(32)),
        md5: None,
        depends: vec!["b".to_owned(), "python_abi".to_owned()],
        env: None,
        prefetched: false,
    }
}

fn bill() -> Bill {
    Bill {
        name: "Example".to_owned(),
        version: "1.0".to_owned(),
        platform: "linux/arm64/v8".to_owned(),
        created: "2023-11-14T22:13:20Z".to_owned(),
        image: Digest(archive::digest::Sha256::of(b"x")),
        base: Some(("debian:12".to_owned(), None)),
        components: vec![component("a", Some("my own")), component("b", Some("MIT"))],
    }
}

#[test]
fn licences_are_expressions_or_words() {
    let expression = |text: &str| Licence::Expression(text.to_owned());
    for (text, expected) in [
        (Some("MIT"), expression("MIT")),
        (Some(" BSD-3-Clause "), expression("BSD-3-Clause")),
        (
            Some("GPL-3.0-only WITH GCC-exception-3.1"),
            expression("GPL-3.0-only WITH GCC-exception-3.1"),
        ),
        (Some("MIT OR Apache-2.0"), expression("MIT OR Apache-2.0")),
        (
            Some("LicenseRef-x"),
            Licence::Words("LicenseRef-x".to_owned()),
        ),
        (Some("ask me"), Licence::Words("ask me".to_owned())),
        (Some(""), Licence::Unknown),
        (None, Licence::Unknown),
    ] {
        assert_eq!(Licence::of(text), expected, "{text:?}");
    }
    let all = ["MIT", "Apache-2.0 OR MIT", "MIT", ""].map(|text| Licence::of(Some(text)));
    assert_eq!(
        together(all.iter()).as_deref(),
        Some("(Apache-2.0 OR MIT) AND MIT")
    );
    assert_eq!(together([].iter()), None);
}

#[test]
fn nothing_of_this_machine_is_in_a_bill() {
    for format in Format::ALL {
        let text = String::from_utf8(bill().text(format)).unwrap();
        assert!(!text.contains("/home/me"), "{text}");
        let purl = "pkg:conda/a@1%212.0%2Bb?build=h1_0&channel=channel&subdir=linux-64&type=conda";
        assert!(text.contains(purl), "{text}");
        assert_eq!(bill().text(format), text.as_bytes());
    }
}

#[test]
fn what_relates_is_there() {
    let spdx: Value = serde_json::from_slice(&bill().text(Format::Spdx)).unwrap();
    let ids: Vec<&str> = spdx["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["SPDXID"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "SPDXRef-Image",
            "SPDXRef-Base",
            "SPDXRef-Package-a",
            "SPDXRef-Package-b"
        ]
    );
    for relation in spdx["relationships"].as_array().unwrap() {
        let related = relation["relatedSpdxElement"].as_str().unwrap();
        assert!(ids.contains(&related), "{relation}");
    }
    let cyclonedx: Value = serde_json::from_slice(&bill().text(Format::CycloneDx)).unwrap();
    let dependencies = cyclonedx["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), 3);
    assert_eq!(
        dependencies[1]["dependsOn"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_debian_package_is_none_of_conda() {
    let mut bill = bill();
    for name in ["b", "libstdc++6"] {
        bill.components.push(Component {
            version: "1:2~b1".to_owned(),
            kind: Kind::Debian {
                vendor: "debian".to_owned(),
                suite: "bookworm".to_owned(),
                architecture: "arm64".to_owned(),
            },
            depends: vec!["a".to_owned(), "libstdc++6".to_owned()],
            ..component(name, None)
        });
    }
    let spdx: Value = serde_json::from_slice(&bill.text(Format::Spdx)).unwrap();
    let packages = spdx["packages"].as_array().unwrap();
    assert_eq!(packages[4]["SPDXID"], "SPDXRef-Debian-b");
    assert_eq!(packages[5]["SPDXID"], "SPDXRef-Debian-libstdc-2b--2b-6");
    assert_eq!(
        packages[4]["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/b@1%3A2~b1?arch=arm64&distro=bookworm"
    );
    let needed: Vec<&str> = spdx["relationships"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|relation| {
            relation["spdxElementId"] == "SPDXRef-Debian-b"
                && relation["relationshipType"] == "DEPENDS_ON"
        })
        .filter_map(|relation| relation["relatedSpdxElement"].as_str())
        .collect();
    assert_eq!(needed, ["SPDXRef-Debian-libstdc-2b--2b-6"]);
    let cyclonedx: Value = serde_json::from_slice(&bill.text(Format::CycloneDx)).unwrap();
    let dependencies = cyclonedx["dependencies"].as_array().unwrap();
    assert_eq!(
        dependencies[3]["dependsOn"],
        serde_json::json!(["pkg:deb/debian/libstdc%2B%2B6@1%3A2~b1?arch=arm64&distro=bookworm"])
    );
}
