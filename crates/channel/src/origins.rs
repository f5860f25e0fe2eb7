//! Where the packages of a meta-channel come from, in a file beside its indexes: what a server redirects to or
//! fetches from, and what damaged packages are replaced from. Which bytes are the right ones, the records say.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use archive::package::split_file_name;
use fetch::Wanted;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::import::shards::{Index, sections};
use crate::json::Json;
use crate::output::shards::{INDEX, file_name};
use crate::promise::Promise;
use crate::publish;

/// The file, in the channel's folder.
const FILE: &str = ".cache/origins.json";

/// The places of all packages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origins {
    /// Whether all packages lie in the channel's folder, too.
    is_whole: bool,
    subdirs: BTreeMap<String, Origin>,
}

/// The places of one platform's packages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Origin {
    /// Folders, with a slash at the end.
    bases: Vec<String>,
    /// The packages that are not in the first of them: the file name, and which one it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<String, usize>,
}

impl Origins {
    pub(crate) fn new(is_whole: bool) -> Self {
        Self {
            is_whole,
            subdirs: BTreeMap::new(),
        }
    }

    /// Adds a package. Most of a platform's come from one place: of those only the place is kept.
    pub(crate) fn add(&mut self, subdir: &str, file: &str, base: &Url) {
        if !self.subdirs.contains_key(subdir) {
            self.subdirs.insert(subdir.to_owned(), Origin::default());
        }
        let Some(origin) = self.subdirs.get_mut(subdir) else {
            return;
        };
        let known = origin.bases.iter().position(|known| known == base.as_str());
        let number = known.unwrap_or_else(|| {
            origin.bases.push(base.to_string());
            origin.bases.len() - 1
        });
        if number > 0 {
            origin.others.insert(file.to_owned(), number);
        }
    }

    /// Reads the file of a channel's folder; nothing where there is none.
    pub fn read(channel: &Path) -> io::Result<Option<Self>> {
        match fs_err::read(channel.join(FILE)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file, unless it says the same already.
    pub(crate) fn write(&self, channel: &Path) -> io::Result<()> {
        if Self::read(channel).is_ok_and(|there| there.as_ref() == Some(self)) {
            return Ok(());
        }
        let path = channel.join(FILE);
        let folder = path.parent().unwrap_or(channel);
        fs_err::create_dir_all(folder)?;
        let draft = publish::draft(folder, &serde_json::to_vec(self)?, true)?;
        draft.persist(&path).map(drop).map_err(|error| error.error)
    }

    /// Whether all packages lie in the channel's folder, too.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What to ask for where a package of `channel` comes from, if the channel has it: its shard tells.
    pub fn wanted(&self, channel: &Path, subdir: &str, file: &str) -> io::Result<Option<Wanted>> {
        let folder = channel.join(subdir);
        let (Some(url), Some((name, _, _))) = (self.url(subdir, file), split_file_name(file))
        else {
            return Ok(None);
        };
        let index = Index::read(&folder.join(INDEX)).map_err(io::Error::other)?;
        let Some(sha256) = index.shards.get(name) else {
            return Ok(None);
        };
        let shard = sections(&folder.join(file_name(sha256))).map_err(io::Error::other)?;
        let record = shard.records.into_iter().find(|(other, _)| other == file);
        let record = record.filter(|(_, record)| matches!(record, Json::Map(_)));
        Ok(record.map(|(_, record)| {
            let mut text = String::new();
            record.write(&mut text);
            Promise::of(&text).wanted(file, url)
        }))
    }

    /// Where a package of a platform's folder comes from, if the channel has it.
    pub fn url(&self, subdir: &str, file: &str) -> Option<Url> {
        let origin = self.subdirs.get(subdir)?;
        let number = origin.others.get(file).copied().unwrap_or(0);
        Url::parse(origin.bases.get(number)?).ok()?.join(file).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let base = |text: &str| Url::parse(text).unwrap();
        let mut origins = Origins::new(true);
        for (subdir, file, from) in [
            ("noarch", "a-1-0.conda", "https://one.example/noarch/"),
            ("noarch", "b-1-0.conda", "https://two.example/x/noarch/"),
            ("noarch", "c-1-0.conda", "https://one.example/noarch/"),
            ("linux-64", "a-1-0.conda", "file:///srv/linux-64/"),
        ] {
            origins.add(subdir, file, &base(from));
        }
        assert!(Origins::read(folder.path()).unwrap().is_none());
        origins.write(folder.path()).unwrap();
        let read = Origins::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, origins);
        assert!(read.is_whole());
        for (subdir, file, expected) in [
            (
                "noarch",
                "b-1-0.conda",
                Some("https://two.example/x/noarch/b-1-0.conda"),
            ),
            (
                "noarch",
                "c-1-0.conda",
                Some("https://one.example/noarch/c-1-0.conda"),
            ),
            (
                "linux-64",
                "a-1-0.conda",
                Some("file:///srv/linux-64/a-1-0.conda"),
            ),
            ("linux-aarch64", "a-1-0.conda", None),
        ] {
            let found = read.url(subdir, file).map(String::from);
            assert_eq!(found.as_deref(), expected, "{subdir}/{file}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        Origins::new(false).write(folder.path()).unwrap();
        fs_err::write(folder.path().join(FILE), "{").unwrap();
        assert!(Origins::read(folder.path()).is_err());
        Origins::new(false).write(folder.path()).unwrap();
        assert_eq!(
            Origins::read(folder.path()).unwrap(),
            Some(Origins::new(false))
        );
    }
}
