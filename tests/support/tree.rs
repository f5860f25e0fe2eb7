//! A picture of a folder: what lies at each path, with modes and digests, and what differs between
//! two pictures. Times are left out.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use archive::digest::Sha256;
use fs_err as fs;

/// What lies below a folder, by relative path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Node>);

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File {
        mode: u32,
        size: u64,
        sha256: Sha256,
        /// The first path, in order, that is the same file, where that is another one.
        same_as: Option<String>,
    },
    Link {
        target: String,
    },
    Folder {
        mode: u32,
    },
    /// A pipe, a socket or a device.
    Other,
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::File {
                mode,
                size,
                sha256,
                same_as,
            } => {
                write!(
                    formatter,
                    "file {mode:04o} {size} bytes {:.12}",
                    sha256.to_string()
                )?;
                match same_as {
                    Some(path) => write!(formatter, " same as {path}"),
                    None => Ok(()),
                }
            }
            Node::Link { target } => write!(formatter, "link to {target}"),
            Node::Folder { mode } => write!(formatter, "folder {mode:04o}"),
            Node::Other => write!(formatter, "neither file nor link nor folder"),
        }
    }
}

/// Takes the picture; the folder itself is not in it.
pub(crate) fn snapshot(folder: &Path) -> Tree {
    let mut tree = Tree::default();
    let mut seen = HashMap::new();
    walk(folder, "", &mut tree, &mut seen);
    tree
}

impl Tree {
    /// The same without the paths that `is_left_out`.
    pub(crate) fn without(mut self, is_left_out: impl Fn(&str) -> bool) -> Tree {
        self.0.retain(|path, _| !is_left_out(path));
        self
    }

    /// The paths.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// One line for each difference: `- path: what` is only in `left`, `+` only in `right`.
pub(crate) fn diff(left: &Tree, right: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in &left.0 {
        if right.0.get(path) != Some(node) {
            lines.push(format!("- {path}: {node}"));
        }
        if let Some(other) = right.0.get(path)
            && other != node
        {
            lines.push(format!("+ {path}: {other}"));
        }
    }
    let new = right
        .0
        .iter()
        .filter(|(path, _)| !left.0.contains_key(*path));
    lines.extend(new.map(|(path, node)| format!("+ {path}: {node}")));
    lines
}

/// Fails with the differences, if there are any.
#[track_caller]
pub(crate) fn assert_same(left: &Tree, right: &Tree) {
    let lines = diff(left, right);
    let shown = lines
        .iter()
        .take(60)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(lines.is_empty(), "{} differences:\n{shown}", lines.len());
}

fn walk(folder: &Path, above: &str, tree: &mut Tree, seen: &mut HashMap<(u64, u64), String>) {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name in UTF-8")
        })
        .collect();
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let shown = if above.is_empty() {
            name
        } else {
            format!("{above}/{name}")
        };
        let metadata = fs::symlink_metadata(&path).expect("an entry");
        let mode = metadata.permissions().mode() & 0o7777;
        let node = if metadata.is_dir() {
            walk(&path, &shown, tree, seen);
            Node::Folder { mode }
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).expect("a link");
            Node::Link {
                target: target.to_string_lossy().into_owned(),
            }
        } else if metadata.is_file() {
            let content = fs::read(&path).expect("a file");
            let inode = (metadata.dev(), metadata.ino());
            let first = seen.entry(inode).or_insert_with(|| shown.clone());
            Node::File {
                mode,
                size: metadata.len(),
                sha256: Sha256::of(&content),
                same_as: (*first != shown).then(|| first.clone()),
            }
        } else {
            Node::Other
        };
        tree.0.insert(shown, node);
    }
}
