//! Attestations beside packages (CEP 27, CEP 50): `FILE.sigs` is a list of Sigstore bundles. Its digest
//! stands in the package's record, and the same bytes lie under a name with that digest, which
//! never change. Whose signatures are to be trusted is the clients' business.

use std::collections::BTreeMap;

use archive::digest::Sha256;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Context;
use super::update::{Platform, Scope};
use crate::Error;
use crate::cache::{Cache, State};
use crate::json::Json;
use crate::place::Place;
use crate::publish::Folder;
use crate::scan::Stat;

/// The key in a record.
pub(super) const KEY: &str = "attestations_sha256";

/// What follows the package's file name.
pub(super) const SUFFIX: &str = ".sigs";

/// The largest list that is read, in bytes. A bundle has some ten thousand.
const LIMIT: u64 = 16 << 20;

/// What a publish attestation is told by (CEP 27).
const PUBLISHED: &str = "https://schemas.conda.org/attestations/publish/v1";

/// What is remembered of one list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    list: Stat,
    package: Stat,
    /// The digest, or what is wrong.
    outcome: Result<String, String>,
}

/// Looks at the lists that lie beside the packages of a platform, and gives those that changed their
/// second name. A list that cannot be used is told and left out; its package is not. Where the
/// folder is not listed, what was there the last time is there.
pub(super) fn update(
    context: &Context<'_>,
    platform: &mut Platform,
    cache: &mut Cache,
) -> Result<(), Error> {
    let note = format!("attestations/{}", platform.place);
    let before: BTreeMap<String, Row> = match cache.note(&note)? {
        Some(note) => serde_json::from_slice(&note).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    if !context.options.folder_counts() {
        let sound = before
            .into_iter()
            .filter_map(|(file, row)| Some((file, row.outcome.ok()?)));
        platform.attestations = sound.collect();
        return Ok(());
    }
    let place = context.channel.at(&platform.name);
    let is_whole = matches!(platform.scope, Scope::Whole);
    let mut lists = list(&platform.beside);
    if !is_whole {
        let named = context.only.files(&platform.name);
        lists.extend(before.keys().cloned().chain(named.map(str::to_owned)));
        lists.sort_unstable();
        lists.dedup();
    }
    if lists.is_empty() && before.is_empty() {
        return Ok(());
    }
    let folder = Folder::new(place.clone(), BTreeMap::new())?;
    let mut rows = BTreeMap::new();
    let mut added = false;
    for file in &lists {
        if !is_whole && !context.only.names(&platform.name, file) {
            let is_gone = !matches!(platform.scope, Scope::Part(_)) && !platform.has(file);
            if let Some(row) = before.get(file).filter(|_| !is_gone) {
                take(context, platform, file, row);
                rows.insert(file.clone(), row.clone());
            }
            continue;
        }
        let Some(known) = platform.files.get(file).copied() else {
            continue;
        };
        if known.state == State::Unusable {
            continue;
        }
        let list = format!("{file}{SUFFIX}");
        let Some(stat) = place.stat(&list) else {
            continue;
        };
        let package = known.stat;
        let same = before
            .get(file)
            .filter(|row| row.list == stat && row.package == package);
        let row = if let Some(row) = same {
            row.clone()
        } else {
            let scanned = cache.package(&platform.place, file)?;
            let sha256 = scanned.map(|scanned| scanned.sha256);
            let read = read(&place, &list).and_then(|bytes| {
                check(&bytes, file, sha256)?;
                Ok(bytes)
            });
            let outcome = match read {
                Ok(bytes) => {
                    let digest = Sha256::of(&bytes);
                    added |= folder.add(&format!("{file}{SUFFIX}.{digest}"), &bytes)?;
                    Ok(digest.to_string())
                }
                Err(problem) => Err(problem),
            };
            Row {
                list: stat,
                package,
                outcome,
            }
        };
        take(context, platform, file, &row);
        rows.insert(file.clone(), row);
    }
    if added {
        folder.sync()?;
    }
    if rows != before {
        let text = serde_json::to_vec(&rows).unwrap_or_default();
        let mut batch = cache.batch()?;
        batch.set_note(&note, &text)?;
        batch.commit()?;
    }
    Ok(())
}

fn take(context: &Context<'_>, platform: &mut Platform, file: &str, row: &Row) {
    match &row.outcome {
        Ok(digest) => {
            platform
                .attestations
                .insert(file.to_owned(), digest.clone());
        }
        Err(problem) => platform.skip(context, format!("{file}{SUFFIX}"), problem),
    }
}

/// The names of packages that have a list beside them, sorted, of the names that are no packages.
fn list(names: &[String]) -> Vec<String> {
    let mut lists: Vec<String> = names
        .iter()
        .filter_map(|name| name.strip_suffix(SUFFIX))
        .map(str::to_owned)
        .collect();
    lists.sort_unstable();
    lists
}

fn read(place: &Place, list: &str) -> Result<Vec<u8>, String> {
    if place.stat(list).is_some_and(|stat| stat.size > LIMIT) {
        return Err("the attestations are above the limit of 16 MiB".to_owned());
    }
    match place.read(list) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err("the attestations are gone".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether these are attestations of this package: at least one bundle, and none that was published for
/// another file. Signatures are not looked at.
fn check(bytes: &[u8], file: &str, sha256: Option<Sha256>) -> Result<(), String> {
    let parsed =
        Json::parse(bytes).map_err(|error| format!("the attestations are no JSON: {error}"))?;
    let Json::List(bundles) = parsed else {
        return Err("the attestations are no list of bundles".to_owned());
    };
    if bundles.is_empty() || !bundles.iter().all(|bundle| matches!(bundle, Json::Map(_))) {
        return Err("the attestations are no list of bundles".to_owned());
    }
    let digest = sha256.map(|sha256| sha256.to_string());
    for statement in bundles.iter().filter_map(statement) {
        if text(&statement, &["predicateType"]) != Some(PUBLISHED) {
            continue;
        }
        let Some(Json::List(subjects)) = member(&statement, &["subject"]) else {
            return Err("an attestation says of no file that it was published".to_owned());
        };
        let fits = |subject: &Json| {
            text(subject, &["name"]) == Some(file)
                && text(subject, &["digest", "sha256"]) == digest.as_deref()
        };
        if !subjects.iter().all(fits) || subjects.len() != 1 {
            return Err("an attestation is of another file than the package".to_owned());
        }
    }
    Ok(())
}

/// The statement that a bundle signs, if it is one of in-toto.
fn statement(bundle: &Json) -> Option<Json> {
    let payload = text(bundle, &["dsseEnvelope", "payload"])?;
    Json::parse(&BASE64_STANDARD.decode(payload).ok()?).ok()
}

fn member<'a>(value: &'a Json, keys: &[&str]) -> Option<&'a Json> {
    keys.iter().try_fold(value, |value, key| match value {
        Json::Map(map) => map.get(*key),
        _ => None,
    })
}

fn text<'a>(value: &'a Json, keys: &[&str]) -> Option<&'a str> {
    match member(value, keys)? {
        Json::Text(text) => Some(text),
        _ => None,
    }
}
