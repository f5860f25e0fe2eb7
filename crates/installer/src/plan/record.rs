//! What `conda-meta` says of a package, and what the plan's head says of it.

use serde_json::{Map, Value};
use url::Url;

use conda::RepoDataRecord;
use conda::credentials::without;
use runtime::plan::{Kind, Package, PackageHead};

use super::{Input, name};

/// `NAME-VERSION-BUILD`, the name of the package's folder and record.
pub(super) fn dist(record: &RepoDataRecord) -> String {
    let package = &record.package_record;
    format!(
        "{}-{}-{}",
        package.name.as_normalized(),
        package.version,
        package.build
    )
}

/// The record's body: what the repodata says, over what the package itself says, so that keys
/// which no library knows survive.
pub(super) fn body(input: &Input<'_>) -> Map<String, Value> {
    let mut body = input.scan.index.clone();
    if let Ok(Value::Object(record)) = serde_json::to_value(input.record) {
        body.extend(record);
    }
    body.insert("url".into(), without(&input.record.url).to_string().into());
    if let Some(channel) = &input.record.channel {
        let channel = Url::parse(channel).map_or(channel.clone(), |url| without(&url).into());
        body.insert("channel".into(), channel.into());
    }
    body
}

/// The specs of the user that name this package, as conda's `requested_specs` has them.
pub(super) fn requested_specs(specs: &[String], package: &str) -> Vec<String> {
    let names = |spec: &&String| {
        let name = spec.rsplit("::").next().unwrap_or(spec);
        let end = name
            .find(|c: char| " =<>!~[*".contains(c))
            .unwrap_or(name.len());
        name[..end].eq_ignore_ascii_case(package)
    };
    specs.iter().filter(names).cloned().collect()
}

/// What the plan's head says of a package at `position`.
pub(super) fn head(position: usize, record: &RepoDataRecord, package: &Package) -> PackageHead {
    let written = package
        .entries
        .iter()
        .filter(|entry| entry.clobbered_by.is_none());
    let size = written.clone().map(|entry| match &entry.kind {
        Kind::File(file) => file.size,
        Kind::EntryPoint { body } => body.len() as u64,
        _ => 0,
    });
    PackageHead {
        name: name(record).to_owned(),
        version: record.package_record.version.to_string(),
        build: record.package_record.build.to_string(),
        subdir: record.package_record.subdir.clone(),
        channel: channel_name(record),
        url: without(&record.url).into(),
        entries: written.clone().count() as u64,
        size: size.sum(),
        plan: position,
    }
}

/// The name as conda's `history` has it: the last part of the channel's path on
/// conda.anaconda.org, the whole URL elsewhere (`Channel.canonical_name` in conda/models/channel.py).
fn channel_name(record: &RepoDataRecord) -> String {
    let Some(channel) = &record.channel else {
        return "<unknown>".to_owned();
    };
    let Ok(url) = Url::parse(channel) else {
        return channel.clone();
    };
    let url = without(&url);
    let path = url.path().trim_matches('/');
    if url.host_str() == Some("conda.anaconda.org") && !path.is_empty() {
        return path.to_owned();
    }
    url.as_str().trim_end_matches('/').to_owned()
}
