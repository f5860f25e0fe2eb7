//! SPDX 2.3 (spdx.github.io/spdx-spec/v2.3): the image as a package that contains the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Bill, Component, Key, Kind, Licence};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const BASE: &str = "SPDXRef-Base";

pub(super) fn document(bill: &Bill) -> Value {
    let name = format!(
        "{}-{}-{}",
        bill.name,
        bill.version,
        bill.platform.replace('/', "-")
    );
    let digits = bill.image.to_string().replace(':', "-");
    let mut packages = vec![json!({
        "SPDXID": IMAGE,
        "name": bill.name,
        "versionInfo": bill.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "externalRefs": [purl(&bill.purl())],
    })];
    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    if let Some((base, digest)) = &bill.base {
        let mut package = json!({
            "SPDXID": BASE,
            "name": base,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "primaryPackagePurpose": "CONTAINER",
        });
        if let Some(digest) = digest {
            package["versionInfo"] = digest.as_str().into();
        }
        packages.push(package);
        relationships.push(relation(IMAGE, "DESCENDANT_OF", BASE));
    }
    let ids: BTreeMap<Key<'_>, String> = bill
        .components
        .iter()
        .map(|component| (component.key(), id(component)))
        .collect();
    let mut words = BTreeMap::new();
    for component in &bill.components {
        let licence = Licence::of(component.licence.as_deref());
        if let Licence::Words(text) = &licence {
            words.insert(licence.spdx(), text.clone());
        }
        packages.push(package(component, &licence));
        relationships.push(relation(IMAGE, "CONTAINS", &id(component)));
        for needed in &component.depends {
            if let Some(needed) = ids.get(&component.key_of(needed)) {
                relationships.push(relation(&id(component), "DEPENDS_ON", needed));
            }
        }
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/{}-{digits}", super::encoded(&name)),
        "creationInfo": {
            "created": bill.created,
            "creators": [concat!("Tool: archiconda-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !words.is_empty() {
        let infos = words
            .into_iter()
            .map(|(id, text)| json!({ "licenseId": id, "extractedText": text, "name": text }));
        document["hasExtractedLicensingInfos"] = infos.collect();
    }
    document
}

fn package(component: &Component, licence: &Licence) -> Value {
    let mut package = json!({
        "SPDXID": id(component),
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": component.address().unwrap_or("NOASSERTION"),
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence.spdx(),
        "copyrightText": "NOASSERTION",
        "externalRefs": [purl(&component.purl())],
    });
    let digests = [("SHA256", &component.sha256), ("MD5", &component.md5)];
    let checksums: Vec<Value> = digests
        .into_iter()
        .filter_map(|(algorithm, digest)| {
            let digest = digest.as_ref()?;
            Some(json!({ "algorithm": algorithm, "checksumValue": digest }))
        })
        .collect();
    if !checksums.is_empty() {
        package["checksums"] = checksums.into();
    }
    if component.prefetched {
        package["comment"] = "In the package cache, not installed.".into();
    } else if let Some(env) = &component.env {
        package["comment"] = format!("In the environment {env}.").into();
    }
    package
}

fn purl(purl: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    })
}

fn relation(element: &str, kind: &str, related: &str) -> Value {
    json!({
        "spdxElementId": element,
        "relationshipType": kind,
        "relatedSpdxElement": related,
    })
}

/// An identifier has letters, digits, `.` and `-`.
fn id(component: &Component) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '.' {
            letter.to_string()
        } else if letter == '-' {
            "-".to_owned()
        } else {
            // Two names stay two.
            format!("-{:02x}-", u32::from(letter))
        }
    };
    let name: String = component.name.chars().map(plain).collect();
    let kind = match component.kind {
        Kind::Conda { .. } if component.prefetched => "Cached",
        Kind::Conda { .. } => "Package",
        Kind::Debian { .. } => "Debian",
    };
    let Some(env) = &component.env else {
        return format!("SPDXRef-{kind}-{name}");
    };
    // No `-` in it, so that it ends where the package's name begins.
    let plain = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!(".{byte:02x}."),
    };
    let env: String = env.bytes().map(plain).collect();
    format!("SPDXRef-Env{kind}-{env}-{name}")
}
