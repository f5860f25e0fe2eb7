//! `CycloneDX` 1.6 (cyclonedx.org/docs/1.6/json): the image as what the document is about, the packages as
//! its components.

use std::collections::BTreeMap;

use archive::digest::Sha256;
use serde_json::{Value, json};

use super::{Bill, Component, Key, Licence};

pub(super) fn document(bill: &Bill) -> Value {
    let image = bill.purl();
    let references: BTreeMap<Key<'_>, String> = bill
        .components
        .iter()
        .map(|component| (component.key(), reference(component)))
        .collect();
    let mut components: Vec<Value> = Vec::new();
    let mut dependencies = vec![json!({
        "ref": image,
        "dependsOn": bill.components.iter().map(reference).collect::<Vec<_>>(),
    })];
    if let Some((base, digest)) = &bill.base {
        let mut component = json!({
            "type": "container",
            "bom-ref": "base",
            "name": base,
            "description": "What the image stands on.",
        });
        if let Some(digest) = digest {
            component["version"] = digest.as_str().into();
        }
        components.push(component);
    }
    for one in &bill.components {
        components.push(component(one));
        let mut needed: Vec<&String> = one
            .depends
            .iter()
            .filter_map(|name| references.get(&one.key_of(name)))
            .collect();
        needed.sort_unstable();
        needed.dedup();
        dependencies.push(json!({ "ref": reference(one), "dependsOn": needed }));
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(bill),
        "version": 1,
        "metadata": {
            "timestamp": bill.created,
            "tools": { "components": [{
                "type": "application", "name": "archiconda", "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": bill.name,
                "version": bill.version,
                "purl": image,
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(component: &Component) -> Value {
    let purl = component.purl();
    let mut value = json!({
        "type": "library",
        "bom-ref": reference(component),
        "name": component.name,
        "version": component.version,
        "purl": purl,
    });
    let digests = [("SHA-256", &component.sha256), ("MD5", &component.md5)];
    let hashes: Vec<Value> = digests
        .into_iter()
        .filter_map(|(algorithm, digest)| {
            let digest = digest.as_ref()?;
            Some(json!({ "alg": algorithm, "content": digest }))
        })
        .collect();
    if !hashes.is_empty() {
        value["hashes"] = hashes.into();
    }
    match Licence::of(component.licence.as_deref()) {
        Licence::Expression(expression) => {
            value["licenses"] = json!([{ "expression": expression }]);
        }
        Licence::Words(words) => value["licenses"] = json!([{ "license": { "name": words } }]),
        Licence::Unknown => {}
    }
    if let Some(url) = component.address() {
        value["externalReferences"] = json!([{ "type": "distribution", "url": url }]);
    }
    let mut properties = Vec::new();
    if component.prefetched {
        properties.push(json!({ "name": "archiconda:prefetched", "value": "true" }));
    } else if let Some(env) = &component.env {
        properties.push(json!({ "name": "archiconda:environment", "value": env }));
    }
    if !properties.is_empty() {
        value["properties"] = properties.into();
    }
    value
}

/// The same package may be in several environments.
fn reference(component: &Component) -> String {
    let folder = if component.prefetched { "pkgs" } else { "envs" };
    match &component.env {
        Some(env) => format!("{}#{folder}/{env}", component.purl()),
        None => component.purl(),
    }
}

/// A UUID of the kind whose bits are the maker's own (RFC 9562, version 8): it follows from the image.
fn serial_number(bill: &Bill) -> String {
    let digest = Sha256::of(format!("cyclonedx {}", bill.image).as_bytes()).to_string();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &digest[..8],
        &digest[8..12],
        &digest[13..16],
        &digest[17..20],
        &digest[20..32]
    )
}
