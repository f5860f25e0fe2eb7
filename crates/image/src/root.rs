//! The root file system of a base, as far as it decides where our files go: folders, symbolic links
//! and what else has a place, after all layers and their whiteouts; and the few small files that are
//! added to.
//!
//! A path of ours is resolved through the base's links, as the kernel of the target would: where `/lib`
//! is a link to `usr/lib`, a layer that had a folder `lib` would take the link's place, and with it
//! every program of the base.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use archive::digest::Md5;
use serde::{Deserialize, Serialize};

use crate::base::{Budget, Entry, EntryKind, Error};

/// How many links may lead to a place (`MAXSYMLINKS` of the kernel).
const MOST_LINKS: usize = 40;

/// Files whose content is kept: what is added to, and what Debian packages make other files of.
const KEPT: [&str; 11] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/gshadow",
    "etc/shells",
    "etc/os-release",
    "usr/lib/os-release",
    "etc/ca-certificates.conf",
    "var/lib/apt/extended_states",
    "var/lib/dpkg/diversions",
    "var/lib/dpkg/status",
];

/// Folders whose files are kept, with all below them.
const KEPT_BELOW: [&str; 9] = [
    "usr/share/base-files/",
    "usr/share/base-passwd/",
    "usr/share/ca-certificates/",
    "usr/share/debianutils/",
    "usr/share/libc-bin/",
    "usr/share/pam/",
    "usr/share/pam-configs/",
    "var/lib/dpkg/alternatives/",
    "var/lib/dpkg/triggers/",
];

/// dpkg's lists of the files of packages.
const LISTS: (&str, &str) = ("var/lib/dpkg/info/", ".list");

/// Configuration files, whose digests are kept: who changed one keeps it when its package is replaced.
const CONFIGURATION: &str = "etc/";
const LONGEST_CONFIGURATION: u64 = 1 << 20;

/// A file that is longer is not kept, nor is one after so many bytes in all.
const LONGEST_KEPT: u64 = 16 << 20;
const MOST_KEPT: u64 = 128 << 20;

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Node {
    #[serde(rename = "d")]
    Directory,
    /// A symbolic link, with what it says.
    #[serde(rename = "l")]
    Link(String),
    #[serde(rename = "o")]
    Other,
}

/// A root file system.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    /// By path, with the number of the layer that each comes from.
    nodes: BTreeMap<String, (Node, u16)>,
    kept: BTreeMap<String, String>,
    kept_bytes: u64,
    digests: BTreeMap<String, Md5>,
    entries: Budget,
    layer: u16,
    #[serde(skip)]
    cleared: Cleared,
}

/// Folders of which a layer has taken away already what lies below it. No marker has to be followed twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cleared(
    /// With a slash at the end, and none in another one: so the last one before a path is the only one that may have it.
    BTreeSet<Vec<u8>>,
);

impl Cleared {
    /// Whether there may be anything in a folder yet; afterwards there is not.
    pub(crate) fn is_first(&mut self, folder: &[u8]) -> bool {
        let mut folder = folder.to_vec();
        folder.push(b'/');
        let before = self.0.range(..=folder.clone()).next_back();
        if before.is_some_and(|one| folder.starts_with(one)) {
            return false;
        }
        let inside: Vec<Vec<u8>> = self
            .0
            .range(folder.clone()..)
            .take_while(|one| one.starts_with(&folder))
            .cloned()
            .collect();
        for one in inside {
            self.0.remove(&one);
        }
        self.0.insert(folder);
        true
    }
}

impl Root {
    /// Begins the next layer.
    pub(crate) fn next_layer(&mut self) {
        self.layer = self.layer.saturating_add(1);
        self.cleared = Cleared::default();
    }

    /// Takes an entry of the current layer in.
    pub(crate) fn add(&mut self, mut entry: Entry<'_>) -> Result<(), Error> {
        self.entries.take(&entry.path)?;
        if entry.kind == EntryKind::Opaque {
            let folder = self.resolve(&entry.path)?;
            self.remove_below(&folder);
            return Ok(());
        }
        let (folder, name) = split(&entry.path);
        let folder = self.resolve(folder)?;
        let path = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        let node = match &entry.kind {
            EntryKind::Whiteout | EntryKind::Opaque => {
                self.remove_below(&path);
                let place = self.nodes.get(&path);
                if place.is_some_and(|(_, layer)| *layer < self.layer) {
                    self.remove(&path);
                }
                return Ok(());
            }
            EntryKind::Directory => Node::Directory,
            EntryKind::Link(target) => Node::Link(target.clone()),
            EntryKind::File | EntryKind::HardLink(_) | EntryKind::Special => Node::Other,
        };
        self.make_parents(&path)?;
        let was_directory = matches!(self.nodes.get(&path), Some((Node::Directory, _)));
        if was_directory && node != Node::Directory {
            self.remove_all_below(&path);
        }
        self.nodes.insert(path.clone(), (node, self.layer));
        self.keep(&path, &mut entry);
        Ok(())
    }

    fn keep(&mut self, path: &str, entry: &mut Entry<'_>) {
        self.forget(path);
        let configuration = path.starts_with(CONFIGURATION) && entry.size <= LONGEST_CONFIGURATION;
        let kept = Root::keeps(path)
            && entry.size <= LONGEST_KEPT
            && self.kept_bytes + entry.size <= MOST_KEPT;
        if entry.kind != EntryKind::File || !configuration && !kept {
            return;
        }
        let mut bytes = Vec::new();
        // Whoever reads the layer to its end finds out what is wrong with it.
        if entry.content.read_to_end(&mut bytes).is_err() {
            return;
        }
        if configuration {
            self.digests.insert(path.to_owned(), Md5::of(&bytes));
        }
        if let (true, Ok(text)) = (kept, String::from_utf8(bytes)) {
            self.kept_bytes += text.len() as u64;
            self.kept.insert(path.to_owned(), text);
        }
    }

    /// The digest of a configuration file, if it is there.
    pub(crate) fn configuration(&self, path: &str) -> Option<Md5> {
        self.digests.get(path).copied()
    }

    /// Whether the content of a file at this path is looked at.
    pub(crate) fn reads(path: &str) -> bool {
        path.starts_with(CONFIGURATION) || Root::keeps(path)
    }

    /// Whether it is kept.
    fn keeps(path: &str) -> bool {
        let (folder, ending) = LISTS;
        KEPT.contains(&path)
            || KEPT_BELOW.iter().any(|folder| path.starts_with(folder))
            || path.starts_with(folder) && path.ends_with(ending)
    }

    /// The kept files below a folder, whose name ends in a slash, in their order.
    pub(crate) fn texts_below<'r>(
        &'r self,
        folder: &'r str,
    ) -> impl Iterator<Item = (&'r str, &'r str)> {
        self.kept
            .range::<str, _>((Bound::Included(folder), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(folder))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file that is kept, if it is there.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.kept.get(path).map(String::as_str)
    }

    /// What lies at a resolved path.
    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(&Node::Directory);
        }
        self.nodes.get(path).map(|(node, _)| node)
    }

    /// Whether something lies below a resolved path.
    pub(crate) fn has_below(&self, path: &str) -> bool {
        let first = format!("{path}/");
        let mut after = self
            .nodes
            .range::<String, _>((Bound::Excluded(&first), Bound::Unbounded));
        after
            .next()
            .is_some_and(|(path, _)| path.starts_with(&first))
    }

    /// Where a path leads when all symbolic links on the way and at its end are followed. What is not
    /// there leads where it says. Relative, without a slash at the beginning; empty for the root.
    pub(crate) fn resolve(&self, path: &str) -> Result<String, Error> {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match &*name {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            done.push(name);
            let here = done.join("/");
            match self.node(&here) {
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Error::Circle {
                            path: format!("/{path}"),
                        });
                    }
                    done.pop();
                    if target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(Node::Other) if !todo.iter().all(String::is_empty) => {
                    return Err(Error::NoFolder {
                        path: format!("/{path}"),
                        through: format!("/{here}"),
                    });
                }
                _ => {}
            }
        }
        Ok(done.join("/"))
    }

    /// Where a file at this path goes: the links of its folders are followed, one at its own place
    /// is not.
    pub(crate) fn place(&self, path: &str) -> Result<String, Error> {
        let (folder, name) = split(path.trim_matches('/'));
        let folder = self.resolve(folder)?;
        if matches!(self.node(&folder), Some(Node::Other)) {
            return Err(Error::NoFolder {
                path: path.to_owned(),
                through: format!("/{folder}"),
            });
        }
        Ok(if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        })
    }

    /// Folders that a layer does not list are there nevertheless.
    fn make_parents(&mut self, path: &str) -> Result<(), Error> {
        let mut end = path.len();
        while let Some(slash) = path[..end].rfind('/') {
            let folder = &path[..slash];
            if let Some((Node::Directory, _)) = self.nodes.get(folder) {
                break;
            }
            self.entries.take(folder)?;
            let node = (Node::Directory, self.layer);
            self.nodes.insert(folder.to_owned(), node);
            end = slash;
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        self.forget(path);
    }

    /// What was in a file is not in it any more.
    fn forget(&mut self, path: &str) {
        if let Some(text) = self.kept.remove(path) {
            self.kept_bytes -= text.len() as u64;
        }
        self.digests.remove(path);
    }

    /// Removes what earlier layers have below a path.
    fn remove_below(&mut self, path: &str) {
        let current = self.layer;
        if self.cleared.is_first(path.as_bytes()) {
            self.remove_if(path, |layer| layer < current);
        }
    }

    fn remove_all_below(&mut self, path: &str) {
        self.remove_if(path, |_| true);
    }

    fn remove_if(&mut self, path: &str, gone: impl Fn(u16) -> bool) {
        let first = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let range = self
            .nodes
            .range::<String, _>((Bound::Included(&first), Bound::Unbounded));
        let paths: Vec<String> = range
            .take_while(|(path, _)| path.starts_with(&first))
            .filter(|(_, (_, layer))| gone(*layer))
            .map(|(path, _)| path.clone())
            .collect();
        for path in paths {
            self.remove(&path);
        }
    }
}

/// The folder of a path, and its last name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_away_once() {
        let mut cleared = Cleared::default();
        for (folder, first) in [
            ("a/b", true),
            ("a/b", false),
            ("a/b/c", false),
            ("a/bc", true),
            ("a-b", true),
            ("a", true),
            ("a/c/d", false),
            ("a/b", false),
            ("a-c", true),
        ] {
            assert_eq!(cleared.is_first(folder.as_bytes()), first, "{folder}");
        }
    }

    fn entry(root: &mut Root, path: &str, kind: EntryKind, content: &str) -> Result<(), Error> {
        root.add(Entry {
            path: path.to_owned(),
            kind,
            meta: crate::layer::Meta {
                mode: 0o644,
                owner: (0, 0),
                modified: 0,
            },
            size: content.len() as u64,
            content: &mut content.as_bytes(),
        })
    }

    fn debian() -> Root {
        let mut root = Root::default();
        for folder in ["usr", "usr/lib", "usr/bin", "etc", "opt", "var", "var/run"] {
            entry(&mut root, folder, EntryKind::Directory, "").unwrap();
        }
        for (path, target) in [
            ("lib", "usr/lib"),
            ("bin", "usr/bin"),
            ("usr/lib64", "../lib"),
            ("srv", "/var/../opt"),
            ("loop", "loop/x"),
            ("out", "../../../etc"),
        ] {
            entry(&mut root, path, EntryKind::Link(target.to_owned()), "").unwrap();
        }
        entry(
            &mut root,
            "etc/passwd",
            EntryKind::File,
            "root:x:0:0::/root:/bin/sh\n",
        )
        .unwrap();
        root
    }

    #[test]
    fn paths_lead_through_links_as_in_the_container() {
        let root = debian();
        for (path, expected) in [
            ("lib/x.so", "usr/lib/x.so"),
            ("usr/lib64/y", "usr/lib/y"),
            ("srv/conda", "opt/conda"),
            ("out/passwd", "etc/passwd"),
            ("opt/conda/lib", "opt/conda/lib"),
            ("bin", "bin"),
        ] {
            assert_eq!(root.place(path).unwrap(), expected, "{path}");
        }
        assert_eq!(root.resolve("bin").unwrap(), "usr/bin");
        assert!(matches!(root.place("loop/y"), Err(Error::Circle { .. })));
        assert!(matches!(
            root.place("etc/passwd/x"),
            Err(Error::NoFolder { .. })
        ));
        assert!(matches!(
            root.place("etc/passwd/x/y"),
            Err(Error::NoFolder { .. })
        ));
    }

    #[test]
    fn a_later_layer_writes_through_links_and_hides_what_it_says() {
        let mut root = debian();
        root.next_layer();
        entry(&mut root, "lib/new.so", EntryKind::File, "").unwrap();
        assert_eq!(root.node("usr/lib/new.so"), Some(&Node::Other));
        entry(&mut root, "var/run", EntryKind::Whiteout, "").unwrap();
        assert_eq!(root.node("var/run"), None);
        entry(&mut root, "opt/own", EntryKind::File, "").unwrap();
        entry(&mut root, "opt", EntryKind::Opaque, "").unwrap();
        assert_eq!(
            root.node("opt/own"),
            Some(&Node::Other),
            "of the same layer"
        );
        entry(&mut root, "etc/passwd", EntryKind::Whiteout, "").unwrap();
        assert_eq!(root.text("etc/passwd"), None);
        // A file takes the place of a folder.
        entry(&mut root, "usr", EntryKind::File, "").unwrap();
        assert_eq!(root.node("usr/lib"), None);
    }

    #[test]
    fn what_is_rewritten_again_and_again_is_kept() {
        let mut root = debian();
        let status = "x".repeat(6 << 20);
        for layer in 0..30 {
            root.next_layer();
            if layer % 3 == 2 {
                let kind = EntryKind::Whiteout;
                entry(&mut root, "var/lib/dpkg/status", kind, "").unwrap();
            }
            let kind = EntryKind::File;
            entry(&mut root, "var/lib/dpkg/status", kind, &status).unwrap();
        }
        assert_eq!(root.text("var/lib/dpkg/status"), Some(status.as_str()));
    }

    #[test]
    fn deep_paths_cost_what_they_take() {
        let mut root = Root::default();
        let mut add = |number: usize| {
            let path = format!("{number}/{}", "a/".repeat(2000));
            entry(&mut root, path.trim_end_matches('/'), EntryKind::File, "")
        };
        let failed = (0..1000).find_map(|number| add(number).err());
        assert!(
            matches!(failed, Some(Error::ManyEntries { .. })),
            "{failed:?}"
        );
    }

    #[test]
    fn a_folder_takes_the_place_of_a_link() {
        let mut root = debian();
        root.next_layer();
        entry(&mut root, "lib", EntryKind::Directory, "").unwrap();
        assert_eq!(root.place("lib/x.so").unwrap(), "lib/x.so");
        assert!(!root.has_below("lib") && root.has_below("usr"));
    }

    #[test]
    fn a_root_that_was_written_down_goes_on_where_it_was() {
        let text = serde_json::to_vec(&debian()).unwrap();
        let mut root: Root = serde_json::from_slice(&text).unwrap();
        assert_eq!(root.place("lib/x.so").unwrap(), "usr/lib/x.so");
        assert_eq!(root.text("etc/passwd"), debian().text("etc/passwd"));
        let passwd = root.configuration("etc/passwd");
        assert!(passwd.is_some() && passwd == debian().configuration("etc/passwd"));
        root.next_layer();
        entry(&mut root, "etc", EntryKind::Opaque, "").unwrap();
        assert_eq!(root.text("etc/passwd"), None);
        assert_eq!(serde_json::to_vec(&debian()).unwrap(), text);
    }
}
