//! The files under `info/` that outputs are made of, and what they come to.

use std::io::{Read, Seek};
use std::ops::ControlFlow;

use archive::package::{self, EntryKind, Kind, Member, Options, Package};

use super::Wanted;
use crate::json::{self, Json};
use crate::scanned::PostInstall;
use crate::{Unusable, yaml};

#[cfg(test)]
mod tests;

/// What conda-index leaves out of records (`conda_index/index/cache.py`, `filter_fields`).
pub(crate) const LEFT_OUT: [&str; 10] = [
    "arch",
    "binstar",
    "has_prefix",
    "machine",
    "mtime",
    "operatingsystem",
    "platform",
    "requires_features",
    "target-triplet",
    "ucs",
];

/// The recipes that are looked for; the first one in the archive counts.
const RECIPES: [&str; 3] = [
    "info/recipe/meta.yaml",
    "info/recipe/meta.yaml.rendered",
    "info/meta.yaml",
];

/// Keys of a recipe that are large and that nobody asks for.
const RECIPE_LEFT_OUT: [&str; 7] = [
    "about",
    "build",
    "extra",
    "outputs",
    "package",
    "requirements",
    "test",
];

/// The largest `index.json` and `run_exports.json`, in bytes: a hundred times what real packages have.
const INDEX_LIMIT: u64 = 4 << 20;

/// The largest other file that is read, in bytes. A `paths.json` has 200 bytes for each path.
const DETAIL_LIMIT: u64 = 64 << 20;

/// What `info/` may decode to, in bytes. A `.tar.bz2` is one archive of all.
const INFO_LIMIT: u64 = 4 << 30;

/// Files of one package, as they are in it.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    index: Vec<u8>,
    run_exports: Option<Vec<u8>>,
    about: Option<Vec<u8>>,
    paths: Option<Vec<u8>>,
    recipe: Option<Vec<u8>>,
    icon: Option<Vec<u8>>,
    /// What was looked for.
    pub(super) seen: Wanted,
    /// The content of a `.conda`, whose checksum nobody has computed yet.
    pub(super) content: Option<Member>,
}

/// Reads the files from a package. That a `.tar.bz2` is whole was checked, of a `.conda` only the
/// metadata.
pub(super) fn read<R: Read + Seek>(
    source: R,
    kind: Kind,
    wanted: Wanted,
) -> Result<Metadata, package::Error> {
    let options = Options {
        file_limit: INDEX_LIMIT,
        total_limit: if kind == Kind::Conda {
            INFO_LIMIT
        } else {
            Options::default().total_limit
        },
        ..Options::default()
    };
    let mut package = Package::open_with(source, kind, options)?;
    // All of a `.conda`'s metadata is decoded anyway.
    let mut metadata = Metadata {
        seen: wanted,
        content: package.content_member().cloned(),
        ..Metadata::default()
    };
    metadata.seen.run_exports |= kind == Kind::Conda;
    let wanted = metadata.seen;
    let mut found_index = false;
    let mut has_icon = true;
    let whole = package.info_until::<package::Error>(&mut |entry| {
        if entry.kind != EntryKind::File {
            return Ok(ControlFlow::Continue(()));
        }
        let mut content = |limit| {
            // Grows with what is there: the size is only what the package says.
            let mut content = Vec::new();
            entry
                .content
                .take(limit)
                .read_to_end(&mut content)
                .map(|_| content)
                .map_err(|source| package::Error::Read { source })
        };
        let too_large = entry.size > INDEX_LIMIT;
        let detail = wanted.details && entry.size <= DETAIL_LIMIT;
        match entry.path.as_str() {
            "info/index.json" | "info/run_exports.json" if too_large => {
                return Err(package::Error::Limit {
                    entry: entry.path,
                    what: "the size",
                    limit: INDEX_LIMIT,
                });
            }
            "info/index.json" => {
                metadata.index = content(INDEX_LIMIT)?;
                found_index = true;
                has_icon = wanted.details && names_icon(&metadata.index);
            }
            "info/run_exports.json" if wanted.run_exports => {
                metadata.run_exports = Some(content(INDEX_LIMIT)?);
            }
            "info/about.json" if detail => metadata.about = Some(content(DETAIL_LIMIT)?),
            "info/paths.json" if detail => metadata.paths = Some(content(DETAIL_LIMIT)?),
            "info/icon.png" if detail => metadata.icon = Some(content(DETAIL_LIMIT)?),
            path if detail && metadata.recipe.is_none() && RECIPES.contains(&path) => {
                metadata.recipe = Some(content(DETAIL_LIMIT)?);
            }
            _ => {}
        }
        let complete = kind == Kind::TarBz2
            && found_index
            && (!wanted.run_exports || metadata.run_exports.is_some())
            && (!wanted.details
                || (metadata.about.is_some()
                    && metadata.paths.is_some()
                    && metadata.recipe.is_some()
                    && (metadata.icon.is_some() || !has_icon)));
        Ok(if complete {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    if !found_index {
        return Err(package::Error::MissingFile {
            file: "info/index.json",
        });
    }
    if !has_icon {
        metadata.icon = None;
    }
    if kind == Kind::TarBz2 && !whole {
        package.check_whole()?;
    }
    Ok(metadata)
}

impl Metadata {
    /// The record: index.json without some keys, and what the file itself tells.
    pub(super) fn record(&self, md5: &str, sha256: &str, size: u64) -> Result<String, Unusable> {
        let wrong = |source| Unusable::Index { source };
        let Json::Map(mut record) = Json::parse(&self.index).map_err(wrong)? else {
            return Err(wrong(json::Error {
                position: 0,
                problem: "something else than an object",
            }));
        };
        for key in LEFT_OUT {
            record.remove(key);
        }
        record.insert("md5".to_owned(), Json::Text(md5.to_owned()));
        record.insert("sha256".to_owned(), Json::Text(sha256.to_owned()));
        record.insert("size".to_owned(), Json::Integer(size.to_string()));
        Ok(text(&Json::Map(record)))
    }

    /// `run_exports.json` in the dialect.
    pub(super) fn run_exports(&self) -> Result<Option<String>, Unusable> {
        let parse = |bytes: &Vec<u8>| {
            let value = Json::parse(bytes).map_err(|source| Unusable::RunExports { source })?;
            Ok(text(&value))
        };
        self.run_exports.as_ref().map(parse).transpose()
    }

    /// `about.json`, if it is an object.
    pub(super) fn about(&self) -> Option<String> {
        let about = Json::parse(self.about.as_ref()?).ok()?;
        matches!(about, Json::Map(_)).then(|| text(&about))
    }

    /// The small top-level keys of the recipe.
    pub(super) fn recipe(&self) -> Option<String> {
        let recipe = std::str::from_utf8(self.recipe.as_ref()?).ok()?;
        let recipe = yaml::parse(recipe).ok()?;
        matches!(recipe, Json::Map(_)).then(|| text(&without_large_keys(recipe)))
    }

    /// The icon's bytes.
    pub(super) fn take_icon(&mut self) -> Option<Vec<u8>> {
        self.icon.take()
    }

    /// What paths.json says (`conda_index/index/cache.py`, `_cache_post_install_details`).
    pub(super) fn post_install(&self) -> PostInstall {
        let mut found = PostInstall::default();
        let parsed = self
            .paths
            .as_ref()
            .and_then(|paths| Json::parse(paths).ok());
        let Some(Json::Map(parsed)) = parsed else {
            return found;
        };
        let Some(Json::List(paths)) = parsed.get("paths") else {
            return found;
        };
        for entry in paths {
            let Json::Map(entry) = entry else { continue };
            let string = |key| match entry.get(key) {
                Some(Json::Text(text)) => Some(text.as_str()),
                _ => None,
            };
            let path = string("_path").unwrap_or_default();
            if string("prefix_placeholder").is_some_and(|prefix| !prefix.is_empty()) {
                found.binary_prefix |= string("file_mode") == Some("binary");
                found.text_prefix |= string("file_mode") == Some("text");
            }
            found.activate_d |= path.starts_with("etc/conda/activate.d");
            found.deactivate_d |= path.starts_with("etc/conda/deactivate.d");
            found.pre_link |= is_link_script(path, "pre-link");
            found.post_link |= is_link_script(path, "post-link");
            found.pre_unlink |= is_link_script(path, "pre-unlink");
        }
        found
    }
}

/// All texts that come of a package whose digests nobody computed.
pub(crate) fn texts(bytes: &[u8], kind: Kind, wanted: Wanted) -> Vec<String> {
    let Ok(mut metadata) = read(std::io::Cursor::new(bytes), kind, wanted) else {
        return Vec::new();
    };
    let _ = (metadata.post_install(), metadata.take_icon());
    let record = metadata.record("", "", bytes.len() as u64).ok();
    let run_exports = metadata.run_exports().ok().flatten();
    let texts = [record, run_exports, metadata.about(), metadata.recipe()];
    texts.into_iter().flatten().collect()
}

/// The record of an `index.json`, if it can be used.
pub(crate) fn record(index: &[u8]) -> Option<String> {
    let metadata = Metadata {
        index: index.to_vec(),
        ..Metadata::default()
    };
    metadata.record("", "", 0).ok()
}

/// A recipe without what nobody asks for.
pub(crate) fn without_large_keys(mut recipe: Json) -> Json {
    if let Json::Map(keys) = &mut recipe {
        for key in RECIPE_LEFT_OUT {
            keys.remove(key);
        }
    }
    recipe
}

/// The pattern `*/.*-WHEN.*` of Python's fnmatch, whose stars match slashes too.
fn is_link_script(path: &str, when: &str) -> bool {
    let marker = format!("-{when}.");
    path.match_indices("/.").any(|(start, dot)| {
        path.get(start + dot.len()..)
            .is_some_and(|rest| rest.contains(&marker))
    })
}

fn names_icon(index: &[u8]) -> bool {
    match Json::parse(index) {
        Ok(Json::Map(map)) => !matches!(map.get("icon"), None | Some(Json::Null)),
        _ => false,
    }
}

fn text(value: &Json) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}
