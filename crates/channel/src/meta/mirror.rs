//! A full mirror: all packages of a meta-channel lie in its tree. They come through the store, checked, and are
//! linked into place before an index names them; those that no index names any more go after a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetch::{Client, Wanted};
use serde::{Deserialize, Serialize};
use spec::Mirror;

use super::output::Rows;
use super::upstream::Upstream;
use super::{Error, Event, ReportTo, write_file};
use crate::index::SUBDIRS;
use crate::promise::Promise;
use crate::text::Text;

/// How many packages are fetched before they are put into the tree.
const CHUNK: usize = 256;

/// The index that is compared with.
const REPODATA: &str = "repodata.json";

/// Where it is noted since when a package is not named any more.
const NOTE: &str = ".cache/mirror.json";

/// What has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// How many packages the channel has.
    pub packages: usize,
    /// Their bytes, as far as the records tell.
    pub bytes: u64,
    /// How many are not in the tree yet; none without a mirror.
    pub missing: usize,
    /// Their bytes, as far as the records tell.
    pub missing_bytes: u64,
    wanted: Vec<(PathBuf, Wanted)>,
}

impl Plan {
    /// Compares what is to be there with the tree.
    pub(super) fn new(kept: &Rows, upstream: &Upstream, mirror: Mirror, output: &Path) -> Self {
        let mut plan = Self::default();
        let replaced = match mirror {
            Mirror::Full => replaced(kept, upstream, output),
            Mirror::None | Mirror::OnDemand => HashSet::new(),
        };
        for (subdir, rows) in kept {
            plan.packages += rows.len();
            plan.bytes += rows.iter().filter_map(|row| row.size).sum::<u64>();
            if mirror != Mirror::Full {
                continue;
            }
            for row in rows {
                let (file, size) = (row.file(upstream), row.size);
                let path = output.join(subdir).join(file);
                let is_there = !replaced.contains(&path)
                    && fs_err::metadata(&path).is_ok_and(|there| {
                        there.is_file() && size.is_none_or(|size| size == there.len())
                    });
                let Ok(url) = row.listing(upstream).base_url.join(file) else {
                    continue;
                };
                if is_there {
                    continue;
                }
                plan.missing += 1;
                plan.missing_bytes += size.unwrap_or(0);
                let wanted = Promise::of(row.record(upstream)).wanted(file, url);
                plan.wanted.push((path, wanted));
            }
        }
        plan
    }

    /// Fetches what is missing into the tree.
    pub(super) fn fetch(
        &mut self,
        client: &Client,
        output: &Path,
        report: ReportTo<'_>,
    ) -> Result<(), Error> {
        for (path, _) in &self.wanted {
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder).map_err(write_error(folder))?;
            }
        }
        for chunk in std::mem::take(&mut self.wanted).chunks(CHUNK) {
            let wanted: Vec<Wanted> = chunk.iter().map(|(_, wanted)| wanted.clone()).collect();
            let packages = client.packages(&wanted, &|event| report(Event::Fetch(event)))?;
            for ((path, _), package) in chunk.iter().zip(packages) {
                place(&package.path, path, output).map_err(write_error(path))?;
            }
        }
        Ok(())
    }
}

/// The packages of the tree that the index before this one names with other bytes: there they are, whatever their
/// lengths.
pub(super) fn replaced(kept: &Rows, upstream: &Upstream, output: &Path) -> HashSet<PathBuf> {
    let mut found = HashSet::new();
    for (subdir, rows) in kept {
        let folder = output.join(subdir);
        // Without an index there is nothing to compare with.
        let Ok(before) = Text::open(&folder.join(REPODATA)) else {
            continue;
        };
        let number = u32::try_from(before.len()).unwrap_or(u32::MAX);
        let before: HashMap<&str, &str> = (0..number)
            .map(|row| (before.file(row), before.record(row)))
            .collect();
        for row in rows {
            let file = row.file(upstream);
            let Some(before) = before.get(file) else {
                continue;
            };
            if Promise::of(before).differs(&Promise::of(row.record(upstream))) {
                found.insert(folder.join(file));
            }
        }
    }
    found
}

/// Puts a file of the store into the tree: as a link where that can be, or else as a copy, and never half.
pub fn place(from: &Path, to: &Path, output: &Path) -> std::io::Result<()> {
    let folder = to.parent().unwrap_or(output);
    let draft = tempfile::Builder::new()
        .prefix(crate::publish::DRAFT)
        .make_in(folder, |path| match fs_err::hard_link(from, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
            Err(_) => fs_err::copy(from, path).map(drop),
            linked => linked,
        })?;
    let draft = draft.into_temp_path();
    let path = draft.to_path_buf();
    draft.persist(to).map_err(|error| error.error)?;
    // Of two names of one file the system leaves both.
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a package, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(write_error(path)(error)),
        _ => Ok(()),
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Note {
    /// `SUBDIR/FILE`, and since when nothing names it, in milliseconds since 1970.
    withdrawn: BTreeMap<String, i64>,
}

/// Removes packages that nothing has named for the time of grace.
pub(super) fn withdraw(
    output: &Path,
    kept: &Rows,
    upstream: &Upstream,
    grace: Duration,
    now_ms: i64,
) -> Result<(), Error> {
    let path = output.join(NOTE);
    // Without a note, or with a damaged one, the time begins again.
    let before: Note = fs_err::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let mut note = Note::default();
    for subdir in SUBDIRS {
        let folder = output.join(subdir);
        let rows = kept.get(subdir).map(Vec::as_slice).unwrap_or_default();
        let Ok(entries) = fs_err::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_package = archive::package::Kind::from_file_name(&name).is_some();
            if !is_package
                || rows
                    .binary_search_by(|row| row.file(upstream).cmp(&name))
                    .is_ok()
            {
                continue;
            }
            let key = format!("{subdir}/{name}");
            let since = before.withdrawn.get(&key).copied().unwrap_or(now_ms);
            if since.saturating_add(grace) <= now_ms {
                let path = entry.path();
                remove(&path)?;
            } else {
                note.withdrawn.insert(key, since);
            }
        }
    }
    if note.withdrawn == before.withdrawn {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder).map_err(write_error(folder))?;
    }
    write_file(&path, &serde_json::to_vec(&note).unwrap_or_default())
}

fn write_error(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_that_is_put_in_place_twice_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("store");
        fs_err::write(&from, "bytes").unwrap();
        let tree = folder.path().join("tree");
        fs_err::create_dir(&tree).unwrap();
        let to = tree.join("a-1-0.conda");
        for _ in 0..2 {
            super::place(&from, &to, &tree).unwrap();
            assert_eq!(fs_err::read_dir(&tree).unwrap().count(), 1);
        }
        assert_eq!(fs_err::read(&to).unwrap(), b"bytes");
    }
}
