//! What stays of one platform's folder, as the listing that the indexer writes a channel of.

use std::collections::HashMap;

use archive::digest::{Hasher, Sha256};
use rayon::prelude::*;

use super::upstream::Upstream;
use crate::import::{Foreign, Given};
use crate::json::Json;
use crate::scanned::PostInstall;

/// How many records are handed on at a time.
const CHUNK: usize = 8192;

/// What channels tell of a name beyond its records (CEP 38).
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    text: String,
    post_install: PostInstall,
}

/// The packages of a platform's folder that stay.
pub(super) struct Kept<'a> {
    pub(super) subdir: String,
    pub(super) upstream: &'a Upstream,
    /// The listing and the row of each, sorted by file name.
    pub(super) rows: Vec<(usize, u32)>,
    /// What is told of each name.
    pub(super) about: &'a HashMap<String, About>,
}

impl Given for Kept<'_> {
    fn subdir(&self) -> &str {
        &self.subdir
    }

    fn revision(&self) -> Sha256 {
        let mut hasher = Hasher::new();
        for (listing, row) in &self.rows {
            let listing = &self.upstream.listings[*listing];
            let file = listing.text.file(*row);
            hasher.update(file.as_bytes());
            hasher.update(&[0]);
            hasher.update(listing.text.record(*row).as_bytes());
            if let Some(exports) = listing.run_exports.get(file) {
                hasher.update(exports.to_string().as_bytes());
            }
            hasher.update(&[0]);
        }
        let mut about: Vec<_> = self.about.iter().collect();
        about.sort_unstable_by_key(|(name, _)| *name);
        for (name, about) in about {
            hasher.update(name.as_bytes());
            hasher.update(about.text.as_bytes());
            hasher.update(format!("{:?}", about.post_install).as_bytes());
        }
        hasher.finish().sha256
    }

    fn read(
        &self,
        take: &mut dyn FnMut(Vec<Foreign>) -> Result<(), crate::Error>,
    ) -> Result<(), crate::Error> {
        for rows in self.rows.chunks(CHUNK) {
            let foreign = rows
                .par_iter()
                .filter_map(|(listing, row)| self.foreign(*listing, *row))
                .collect();
            take(foreign)?;
        }
        Ok(())
    }
}

impl Kept<'_> {
    fn foreign(&self, listing: usize, row: u32) -> Option<Foreign> {
        let listing = &self.upstream.listings[listing];
        let file = listing.text.file(row);
        let exports = listing.run_exports.get(file).map(|exports| {
            let text = exports.to_string();
            dialect(&text).unwrap_or(text)
        });
        let mut foreign = Foreign::verbatim(file, listing.text.record(row), exports)?;
        let name = archive::package::split_file_name(file).map(|(name, _, _)| name);
        if let Some(about) = name.and_then(|name| self.about.get(name)) {
            foreign.scanned.about = Some(about.text.clone());
            foreign.scanned.post_install = about.post_install;
        }
        foreign.wanted.details = true;
        Some(foreign)
    }
}

impl About {
    /// Reads an entry of `channeldata.json`.
    pub(super) fn read(entry: &str) -> Option<Self> {
        let Json::Map(mut map) = Json::parse(entry.as_bytes()).ok()? else {
            return None;
        };
        let flag = |key: &str| matches!(map.get(key), Some(Json::Bool(true)));
        let post_install = PostInstall {
            binary_prefix: flag("binary_prefix"),
            text_prefix: flag("text_prefix"),
            activate_d: flag("activate.d"),
            deactivate_d: flag("deactivate.d"),
            pre_link: flag("pre_link"),
            post_link: flag("post_link"),
            pre_unlink: flag("pre_unlink"),
        };
        // What the packages that stay tell themselves.
        for key in ["run_exports", "subdirs", "timestamp", "version"] {
            map.remove(key);
        }
        let mut text = String::new();
        Json::Map(map).write(&mut text);
        Some(Self { text, post_install })
    }
}

fn dialect(text: &str) -> Option<String> {
    let mut written = String::new();
    Json::parse(text.as_bytes()).ok()?.write(&mut written);
    Some(written)
}
