//! Licences: Debian's `/usr/share/doc/NAME/copyright`, which every package must have (Debian policy,
//! 12.5), goes into `info/licenses`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::archive::{Contents, Entry};

/// The copyright file of a package. Its folder of documentation may be a link to that of another
/// package of the same source.
pub(super) fn copyright(all: &BTreeMap<String, Contents>, name: &str) -> Option<PathBuf> {
    let mut name = name.to_owned();
    // Each step leads to another package; there are no more steps than packages.
    for _ in 0..=all.len() {
        let path = format!("usr/share/doc/{name}/copyright");
        let folder = format!("usr/share/doc/{name}");
        let find = |path: &str| all.values().find_map(|one| one.entries.get(path));
        let link = match find(&path) {
            Some(Entry::File { content, .. }) => return Some(content.clone()),
            Some(Entry::SymbolicLink { target }) => target.rsplit('/').nth(1)?.to_owned(),
            None => match find(&folder)? {
                Entry::SymbolicLink { target } => target.rsplit('/').next()?.to_owned(),
                Entry::File { .. } => return None,
            },
        };
        name = link;
    }
    None
}
