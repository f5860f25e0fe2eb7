//! What programs changed in a userland, as entries of a layer: what is new or other, and whiteouts for what is gone.

use std::collections::{BTreeMap, HashMap};
use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use fs_err as fs;

use super::{Userland, is_fleeting};
use crate::layer::{Archive, Meta, What};

/// All files at one moment, by path.
#[derive(Debug)]
pub(crate) struct Snapshot(BTreeMap<String, State>);

/// What changes when a file does: the kernel sets the last but one at every change, and no program can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    inode: u64,
    mode: u32,
    size: u64,
    changed_ns: (i64, i64),
    is_folder: bool,
}

impl State {
    /// A folder is what it is whatever is in it.
    fn of(data: &Metadata) -> State {
        let is_folder = data.is_dir();
        State {
            inode: data.ino(),
            mode: data.mode(),
            size: if is_folder { 0 } else { data.size() },
            changed_ns: if is_folder {
                (0, 0)
            } else {
                (data.ctime(), data.ctime_nsec())
            },
            is_folder,
        }
    }
}

impl Userland {
    /// Notes what is there.
    pub(crate) fn snapshot(&self) -> io::Result<Snapshot> {
        let mut all = BTreeMap::new();
        self.walk(self.root(), &mut all)?;
        Ok(Snapshot(all))
    }

    fn walk(&self, folder: &Path, all: &mut BTreeMap<String, State>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let place = entry?.path();
            let path = self.relative(&place);
            if is_fleeting(&path) {
                continue;
            }
            let data = fs::symlink_metadata(&place)?;
            all.insert(path, State::of(&data));
            if data.is_dir() {
                self.walk(&place, all)?;
            }
        }
        Ok(())
    }

    /// Writes what is other than it was. No time is later than `latest`, in seconds since the epoch. Returns the
    /// paths, those that are gone included.
    pub(crate) fn write_changes<W: io::Write>(
        &self,
        before: &Snapshot,
        latest: u64,
        archive: &mut Archive<W>,
    ) -> io::Result<Vec<String>> {
        let now = self.snapshot()?;
        let mut paths = Vec::new();
        let mut inodes: HashMap<u64, String> = HashMap::new();
        for (path, state) in &now.0 {
            let earlier = before.0.get(path);
            if earlier == Some(state) {
                if state.is_folder {
                    archive.has_directory(path);
                }
                continue;
            }
            let data = fs::symlink_metadata(self.root().join(path))?;
            let meta = self.meta(path, &data, earlier, latest);
            if state.is_folder {
                archive.directory(path, meta)?;
            } else {
                self.write(path, meta, &data, &mut inodes, archive)?;
            }
            paths.push(path.clone());
        }
        let mut gone: Option<&str> = None;
        for path in before.0.keys().filter(|path| !now.0.contains_key(*path)) {
            let below = |folder: &str| {
                let rest = path.strip_prefix(folder);
                rest.is_some_and(|rest| rest.starts_with('/'))
            };
            // What was in it went with it.
            if gone.is_some_and(below) {
                continue;
            }
            gone = Some(path);
            let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
            let is_file_now = now.0.get(folder).is_some_and(|state| !state.is_folder);
            if is_file_now {
                continue;
            }
            let meta = Meta {
                mode: 0o644,
                owner: (0, 0),
                modified: latest,
            };
            archive.whiteout(path, meta)?;
            paths.push(path.clone());
        }
        paths.sort();
        Ok(paths)
    }

    fn write<W: io::Write>(
        &self,
        path: &str,
        meta: Meta,
        data: &Metadata,
        inodes: &mut HashMap<u64, String>,
        archive: &mut Archive<W>,
    ) -> io::Result<()> {
        let place = self.root().join(path);
        if data.is_symlink() {
            let target = fs::read_link(&place)?;
            let target = target.to_string_lossy();
            let meta = Meta {
                mode: 0o777,
                ..meta
            };
            return archive.entry(path, meta, What::Link(&target), &mut io::empty());
        }
        if !data.is_file() {
            // Sockets and pipes belong to programs that have ended.
            return Ok(());
        }
        if data.nlink() > 1 {
            if let Some(first) = inodes.get(&data.ino()) {
                return archive.entry(path, meta, What::HardLink(first), &mut io::empty());
            }
            inodes.insert(data.ino(), path.to_owned());
        }
        let mut file = open(&place, data)?;
        archive.entry(path, meta, What::File(data.len()), &mut file)
    }

    /// What an entry is besides its content. Who had it keeps it, and rights that nobody changed are those that it has
    /// in the image.
    fn meta(&self, path: &str, data: &Metadata, earlier: Option<&State>, latest: u64) -> Meta {
        let special = earlier.and_then(|_| self.special.get(path));
        let untouched = earlier.is_some_and(|earlier| earlier.mode == data.mode());
        let mode = special.filter(|_| untouched).map(|special| special.mode);
        Meta {
            mode: mode.unwrap_or(data.mode() & 0o7777),
            owner: special.map_or((0, 0), |special| special.owner),
            modified: u64::try_from(data.mtime()).unwrap_or(0).min(latest),
        }
    }
}

/// Opens a file that whoever bakes has, and who has it may not be allowed to read it: root in the userland may.
fn open(place: &Path, data: &Metadata) -> io::Result<fs::File> {
    match fs::File::open(place) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let readable = Permissions::from_mode(data.mode() & 0o7777 | 0o400);
            fs::set_permissions(place, readable)?;
            let file = fs::File::open(place);
            fs::set_permissions(place, data.permissions())?;
            file
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::Special;
    use super::*;

    /// What a layer says, a line for each entry.
    fn listed(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let header = entry.header();
                let (mode, owner) = (header.mode().unwrap(), header.uid().unwrap());
                let link = entry.link_name().unwrap();
                let link = link.map(|link| link.display().to_string());
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                format!("{path} {mode:o} {owner} {}{text}", link.unwrap_or_default())
            })
            .collect()
    }

    #[test]
    fn a_layer_of_changes_has_them_all_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let mut userland = Userland::new(scratch.path()).unwrap();
        let root = userland.root().to_owned();
        for folder in ["etc", "opt/a/b", "opt/same", "tmp", "proc", "dev"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in [
            "etc/passwd",
            "etc/su",
            "etc/sudo",
            "opt/a/b/c",
            "opt/a/d",
            "opt/same/x",
            "opt/was",
        ] {
            fs::write(root.join(file), file).unwrap();
        }
        let special = Special {
            mode: 0o4755,
            owner: (7, 7),
        };
        for file in ["etc/su", "etc/sudo"] {
            userland.special.insert(file.to_owned(), special);
        }
        let before = userland.snapshot().unwrap();

        fs::write(root.join("etc/passwd"), "etc/PASSWD").unwrap();
        fs::set_permissions(root.join("etc/su"), Permissions::from_mode(0o700)).unwrap();
        fs::write(root.join("etc/sudo"), "new").unwrap();
        fs::remove_dir_all(root.join("opt/a")).unwrap();
        fs::remove_file(root.join("opt/was")).unwrap();
        fs::create_dir(root.join("opt/was")).unwrap();
        fs::write(root.join("opt/was/new"), "n").unwrap();
        fs::hard_link(root.join("opt/was/new"), root.join("opt/was/twin")).unwrap();
        fs::os::unix::fs::symlink("new", root.join("opt/was/link")).unwrap();
        for fleeting in ["tmp/x", "dev/null", "proc/y"] {
            fs::write(root.join(fleeting), "").unwrap();
        }

        let mut archive = Archive::new(Vec::new());
        let paths = userland
            .write_changes(&before, 1_600_000_000, &mut archive)
            .unwrap();
        let bytes = archive.finish().unwrap();
        let umask = |path: &str| {
            let data = fs::symlink_metadata(root.join(path)).unwrap();
            format!("{:o}", data.mode() & 0o7777)
        };
        let expected = [
            format!("etc/passwd {} 0 etc/PASSWD", umask("etc/passwd")),
            "etc/su 700 7 etc/su".to_owned(),
            "etc/sudo 4755 7 new".to_owned(),
            format!("opt/was/ {} 0 ", umask("opt/was")),
            "opt/was/link 777 0 new".to_owned(),
            format!("opt/was/new {} 0 n", umask("opt/was/new")),
            format!("opt/was/twin {} 0 opt/was/new", umask("opt/was/new")),
            "opt/.wh.a 644 0 ".to_owned(),
        ];
        assert_eq!(listed(&bytes), expected);
        assert!(paths.contains(&"opt/a".to_owned()));
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap();
        assert!(entries.all(|entry| entry.unwrap().header().mtime().unwrap() <= 1_600_000_000));
    }

    #[test]
    fn where_nothing_changed_there_is_no_layer() {
        let scratch = tempfile::tempdir().unwrap();
        let userland = Userland::new(scratch.path()).unwrap();
        fs::create_dir(userland.root().join("etc")).unwrap();
        let before = userland.snapshot().unwrap();
        let mut archive = Archive::new(Vec::new());
        let paths = userland.write_changes(&before, 0, &mut archive).unwrap();
        assert!(paths.is_empty());
    }
}
