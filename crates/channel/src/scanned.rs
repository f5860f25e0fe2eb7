//! What one package tells, whether it was read just now or in an earlier run. The outputs are made
//! of this; what a patch changes in it is theirs.

use archive::digest::{Md5, Sha256};
use archive::package::Kind;

/// One package of a platform's folder. All JSON is text in the dialect of [`crate::json`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The file name.
    pub(crate) file: String,
    /// The format, which the file name tells.
    pub(crate) kind: Kind,
    /// The file's digest.
    pub(crate) md5: Md5,
    /// The file's digest.
    pub(crate) sha256: Sha256,
    /// The file's length in bytes.
    pub(crate) size: u64,
    /// When the file was changed last, in nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    /// The record before patches: `info/index.json` without the keys that conda-index leaves out, with
    /// `md5`, `sha256` and `size`. An object.
    pub(crate) record: String,
    /// `info/run_exports.json`, where there is one. Any value.
    pub(crate) run_exports: Option<String>,
    /// `info/about.json`, where there is one. An object.
    pub(crate) about: Option<String>,
    /// What `info/paths.json` says of scripts and prefixes.
    pub(crate) post_install: PostInstall,
    /// The top-level keys of `info/recipe/meta.yaml` but the large ones that nobody asks for
    /// (`package`, `build`, `requirements`, `test`, `outputs`, `extra`, `about`). An object.
    pub(crate) recipe: Option<String>,
    /// `info/icon.png`, where index.json names an icon.
    pub(crate) icon: Option<Vec<u8>>,
}

/// What channeldata.json tells of a package's paths (conda-index's `_cache_post_install_details`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PostInstall {
    /// A binary file holds the prefix.
    pub(crate) binary_prefix: bool,
    /// A text file holds the prefix.
    pub(crate) text_prefix: bool,
    /// A path begins with `etc/conda/activate.d`.
    pub(crate) activate_d: bool,
    /// A path begins with `etc/conda/deactivate.d`.
    pub(crate) deactivate_d: bool,
    /// There is a script that runs before linking.
    pub(crate) pre_link: bool,
    /// There is a script that runs after linking.
    pub(crate) post_link: bool,
    /// There is a script that runs before unlinking.
    pub(crate) pre_unlink: bool,
}
