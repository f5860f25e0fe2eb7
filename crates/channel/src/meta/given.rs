//! What stays of one platform's folder, as the listing that the indexer writes a channel of.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::output::Row;
use super::upstream::Upstream;
use crate::given::{About, Listing, Part};
use crate::json::Json;

/// A listing has a part for so many packages, at most one for each thread.
const PART: usize = 8192;

/// The packages of some rows, which are sorted by file name. `about` is what is told of names.
pub(super) fn listing(
    subdir: &str,
    rows: &[Row],
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

fn part(rows: &[Row], upstream: &Upstream, about: &HashMap<String, About>) -> Part {
    let text = |row: &Row| (row.file(upstream), row.record(upstream));
    let length = rows.iter().map(text);
    let length = length.map(|(file, record)| file.len() + record.len() + 2);
    let mut part = Part::with_capacity(rows.len(), length.sum());
    for row in rows {
        let (file, record) = text(row);
        let exports = row.listing(upstream).run_exports.get(file);
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
