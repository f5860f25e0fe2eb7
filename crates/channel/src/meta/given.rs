//! What stays of one platform's folder, as the listing that the indexer writes a channel of.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::upstream::Upstream;
use crate::given::{About, Listing, Part};
use crate::json::Json;

/// A listing has a part for so many packages, at most one for each thread.
const PART: usize = 8192;

/// The packages of some rows, which are sorted by file name: the listing and the row of each. `about` is what is told of
/// names.
pub(super) fn listing(
    subdir: &str,
    rows: &[(usize, u32)],
    upstream: &Upstream,
    about: &Arc<HashMap<String, About>>,
) -> Listing {
    let step = rows.len().div_ceil(rayon::current_num_threads()).max(PART);
    let parts = rows.par_chunks(step);
    Listing {
        subdir: subdir.to_owned(),
        parts: parts.map(|rows| part(rows, upstream, about)).collect(),
        about: Arc::clone(about),
    }
}

fn part(rows: &[(usize, u32)], upstream: &Upstream, about: &HashMap<String, About>) -> Part {
    let text = |(listing, row): &(usize, u32)| {
        let text = &upstream.listings[*listing].text;
        (text.file(*row), text.record(*row))
    };
    let length = rows.iter().map(text);
    let length = length.map(|(file, record)| file.len() + record.len() + 2);
    let mut part = Part::with_capacity(rows.len(), length.sum());
    for row in rows {
        let (file, record) = text(row);
        let exports = upstream.listings[row.0].run_exports.get(file);
        let exports = exports.map(|exports| {
            let text = exports.to_string();
            dialect(&text).unwrap_or(text)
        });
        part.push(file, record, exports.as_deref(), about);
    }
    part
}

fn dialect(text: &str) -> Option<String> {
    let mut written = String::new();
    Json::parse(text.as_bytes()).ok()?.write(&mut written);
    Some(written)
}
