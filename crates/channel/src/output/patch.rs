//! Hotfixes: instructions that change or withdraw records after the packages were read. The meaning
//! is that of conda-index's `_apply_instructions`, record by record, so that the records in
//! repodata.json and those in shards come out the same. Where instructions come from is
//! [`crate::hotfix`]'s business.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use archive::package::Kind;

use super::repodata::{fields, quoted};
use crate::json::{self, Json};

mod merge;
pub(crate) mod rules;
#[cfg(test)]
mod tests;

/// The newest version of the format that is understood: 2 came with CEP 21.
const NEWEST_VERSION: u64 = 2;

/// Why instructions cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They are no JSON.
    #[error("the patch instructions are no JSON that can be used")]
    Json {
        /// What is wrong with it.
        #[source]
        source: json::Error,
    },
    /// A part of them has another form than instructions have.
    #[error("`{key}` in the patch instructions is not {expected}")]
    Form {
        /// The key or the package.
        key: String,
        /// What should be there.
        expected: &'static str,
    },
    /// They are of a format that came later.
    #[error(
        "the patch instructions are of version {version}; the newest that is understood is {NEWEST_VERSION}"
    )]
    Version {
        /// What they say.
        version: String,
    },
}

impl From<json::Error> for Error {
    fn from(source: json::Error) -> Self {
        Self::Json { source }
    }
}

/// What changes in one platform's records, prepared for looking up single packages. A patch of
/// conda-forge has hundreds of thousands of entries: they are kept as text.
#[derive(Default)]
pub(crate) struct Instructions {
    /// All of it in the dialect; the ranges below are of this.
    text: String,
    version: u64,
    /// Of `.tar.bz2` files.
    packages: HashMap<String, Range<usize>>,
    /// The same for the `.conda` of the same name.
    twins: HashMap<String, Range<usize>>,
    /// Of `.conda` files.
    conda: HashMap<String, Range<usize>>,
    /// How often a file is revoked.
    revoke: HashMap<String, usize>,
    remove: HashSet<String>,
    /// Keys that no patch changes.
    kept: Vec<&'static str>,
}

impl fmt::Debug for Instructions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Instructions({} bytes)", self.text.len())
    }
}

impl Instructions {
    /// Reads `patch_instructions.json`, or what a generator returned.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = std::str::from_utf8(text).map_err(|error| json::Error {
            position: error.valid_up_to(),
            problem: "the text is not UTF-8",
        })?;
        let mut instructions = Self {
            text: in_dialect(text)?,
            ..Self::default()
        };
        instructions.prepare()?;
        Ok(instructions)
    }

    /// Keeps some keys of records from every patch: what the indexer says, and not the package (CEP 47,
    /// CEP 50).
    pub(crate) fn keep(&mut self, keys: Vec<&'static str>) {
        self.kept = keys;
    }

    /// Whether there are none at all, in which case conda-index looks for a file of the user.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() || self.text == "{}"
    }

    /// The instructions in the dialect, without a line break at the end.
    pub(crate) fn text(&self) -> &str {
        if self.text.is_empty() {
            "{}"
        } else {
            &self.text
        }
    }

    /// What is listed in repodata's `removed`: files that are taken out, of those that exist.
    pub(crate) fn removed(&self, exists: &dyn Fn(Kind, &str) -> bool) -> Vec<String> {
        let mut removed: Vec<_> = self
            .remove
            .iter()
            .filter(|file| Kind::from_file_name(file).is_some_and(|kind| exists(kind, file)))
            .cloned()
            .collect();
        removed.sort_unstable();
        removed
    }

    /// Whether a package is taken out.
    pub(crate) fn removes(&self, file: &str) -> bool {
        self.remove.contains(file) || self.patches(file).any(|patch| patch == "null")
    }

    /// Whether a package stays as it is.
    pub(crate) fn leaves(&self, file: &str) -> bool {
        !self.removes(file)
            && !self.revoke.contains_key(file)
            && self.patches(file).next().is_none()
    }

    /// A record of repodata.json after the patch; nothing where the package is taken out. What a patch
    /// of version 2 says of `run_exports` is not for repodata.json (CEP 21).
    pub(crate) fn record<'a>(
        &self,
        file: &str,
        record: &'a str,
    ) -> Result<Option<Cow<'a, str>>, json::Error> {
        if self.leaves(file) {
            return Ok(Some(Cow::Borrowed(record)));
        }
        let patched = self.apply(file, record, None)?;
        Ok(patched.map(|map| Cow::Owned(text(&Json::Map(map)))))
    }

    /// A record as it stands in a shard, that is with `run_exports`, after the patch.
    pub(crate) fn shard_record(
        &self,
        file: &str,
        record: &str,
        run_exports: Option<&str>,
    ) -> Result<Option<BTreeMap<String, Json>>, json::Error> {
        self.apply(file, record, Some(run_exports.unwrap_or("{}")))
    }

    /// What `run_exports.json` tells of a package: as the package has it, unless a patch of version 2
    /// changes it.
    pub(crate) fn run_exports<'a>(
        &self,
        file: &str,
        run_exports: &'a str,
    ) -> Result<Cow<'a, str>, json::Error> {
        if self.version < 2 || self.patches(file).next().is_none() {
            return Ok(Cow::Borrowed(run_exports));
        }
        let mut map = BTreeMap::from([(
            "run_exports".to_owned(),
            Json::parse(run_exports.as_bytes())?,
        )]);
        for patch in self.patches(file) {
            let Json::Map(mut patch) = Json::parse(patch.as_bytes())? else {
                continue;
            };
            patch.retain(|key, _| key == "run_exports");
            merge::merge(&mut map, &patch);
        }
        let value = map.remove("run_exports").unwrap_or(Json::Null);
        Ok(Cow::Owned(text(&value)))
    }

    fn apply(
        &self,
        file: &str,
        record: &str,
        run_exports: Option<&str>,
    ) -> Result<Option<BTreeMap<String, Json>>, json::Error> {
        if self.removes(file) {
            return Ok(None);
        }
        let Json::Map(mut map) = Json::parse(record.as_bytes())? else {
            return Err(json::Error {
                position: 0,
                problem: "something else than an object",
            });
        };
        if let Some(run_exports) = run_exports {
            let run_exports = Json::parse(run_exports.as_bytes())?;
            map.insert("run_exports".to_owned(), run_exports);
        }
        for patch in self.patches(file) {
            if let Json::Map(mut patch) = Json::parse(patch.as_bytes())? {
                if self.version >= 2 && run_exports.is_none() {
                    patch.remove("run_exports");
                }
                for key in &self.kept {
                    patch.remove(*key);
                }
                merge::merge(&mut map, &patch);
            }
        }
        for _ in 0..self.revoke.get(file).copied().unwrap_or_default() {
            merge::revoke(&mut map);
        }
        Ok(Some(map))
    }

    /// What is merged into a package's record, in this order.
    fn patches<'a>(&'a self, file: &str) -> impl Iterator<Item = &'a str> {
        let ranges = match Kind::from_file_name(file) {
            Some(Kind::TarBz2) => [self.packages.get(file), None],
            Some(Kind::Conda) => [self.twins.get(file), self.conda.get(file)],
            None => [None, None],
        };
        ranges
            .into_iter()
            .flatten()
            .filter_map(|range| self.text.get(range.clone()))
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let text = std::mem::take(&mut self.text);
        for member in fields::fields(&text) {
            let (key, value) = member?;
            match &*key {
                "patch_instructions_version" => self.version = version(value)?,
                "packages" => {
                    self.packages = ranges(&text, &key, value)?;
                    // Sorted, so that of two names that become the same one the last one counts.
                    let mut names: Vec<_> = self.packages.iter().collect();
                    names.sort_unstable_by_key(|(name, _)| *name);
                    self.twins = names
                        .into_iter()
                        .map(|(name, range)| (twin(name), range.clone()))
                        .collect();
                }
                "packages.conda" => self.conda = ranges(&text, &key, value)?,
                "revoke" => {
                    for file in files(&key, value)? {
                        for name in both(file) {
                            *self.revoke.entry(name).or_default() += 1;
                        }
                    }
                }
                "remove" => self.remove = files(&key, value)?.into_iter().flat_map(both).collect(),
                _ => {}
            }
        }
        self.text = text;
        Ok(())
    }
}

/// The object with its keys sorted and everything in the dialect, without a tree of more than one
/// package's patch.
fn in_dialect(text: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    object(text, &mut out, |key, value, out| {
        if matches!(key, "packages" | "packages.conda") && value.starts_with('{') {
            object(value, out, |_, value, out| {
                Json::parse(value.as_bytes())?.write(out);
                Ok(())
            })
        } else {
            Json::parse(value.as_bytes())?.write(out);
            Ok(())
        }
    })?;
    Ok(out)
}

fn object(
    text: &str,
    out: &mut String,
    mut write: impl FnMut(&str, &str, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    // Of keys that occur twice the last one counts.
    let members: BTreeMap<_, _> = fields::fields(text).collect::<Result<_, _>>()?;
    out.push('{');
    for (position, (key, value)) in members.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(&quoted(key));
        out.push(':');
        write(key, value, out)?;
    }
    out.push('}');
    Ok(())
}

/// Where in `text` the patch of each package is.
fn ranges(text: &str, key: &str, value: &str) -> Result<HashMap<String, Range<usize>>, Error> {
    let form = |key: &str, expected| Error::Form {
        key: key.to_owned(),
        expected,
    };
    if !value.starts_with('{') {
        return Err(form(key, "an object"));
    }
    let mut ranges = HashMap::new();
    for member in fields::fields(value) {
        let (file, patch) = member?;
        if !patch.starts_with('{') && patch != "null" {
            return Err(form(&file, "an object"));
        }
        // Both are slices of the same text.
        let start = patch.as_ptr() as usize - text.as_ptr() as usize;
        ranges.insert(file.into_owned(), start..start + patch.len());
    }
    Ok(ranges)
}

fn files(key: &str, value: &str) -> Result<Vec<String>, Error> {
    let form = || Error::Form {
        key: key.to_owned(),
        expected: "a list of file names",
    };
    let Json::List(items) = Json::parse(value.as_bytes())? else {
        return Err(form());
    };
    items
        .into_iter()
        .map(|item| match item {
            Json::Text(file) => Ok(file),
            _ => Err(form()),
        })
        .collect()
}

fn version(value: &str) -> Result<u64, Error> {
    let unknown = || Error::Version {
        version: value.chars().take(40).collect(),
    };
    let version: f64 = value.parse().map_err(|_| unknown())?;
    if version > 2.0 {
        return Err(unknown());
    }
    Ok(if version > 1.0 { NEWEST_VERSION } else { 1 })
}

/// A file and, where it is a `.tar.bz2`, the `.conda` that has the same content.
fn both(file: String) -> Vec<String> {
    if file.ends_with(Kind::TarBz2.extension()) {
        let twin = twin(&file);
        vec![file, twin]
    } else {
        vec![file]
    }
}

/// Python's `replace`: every occurrence.
fn twin(file: &str) -> String {
    file.replace(Kind::TarBz2.extension(), Kind::Conda.extension())
}

fn text(value: &Json) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}
