//! A package before it is written: everything that `package::write` needs, and nothing of where it
//! comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A package to be written. The same draft gives the same bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// conda's name.
    pub(crate) name: String,
    /// conda's version.
    pub(crate) version: String,
    /// The build string, such as `py311_0`.
    pub(crate) build: String,
    /// The build number.
    pub(crate) build_number: u64,
    /// The platform's folder in the channel, or `noarch`.
    pub(crate) subdir: String,
    /// Whether installers lay the files below `site-packages/` and `python-scripts/` where the
    /// Python of the prefix has them, and make the entry points.
    pub(crate) noarch_python: bool,
    /// Entry points such as `pytest = pytest:console_main`; of `noarch: python` packages only.
    pub(crate) entry_points: Vec<String>,
    /// What it needs.
    pub(crate) depends: Vec<String>,
    /// What it does not get along with.
    pub(crate) constrains: Vec<String>,
    /// What packages that are built against it need (conda-build's weak run exports).
    pub(crate) run_exports: Vec<String>,
    /// SPDX where known.
    pub(crate) license: String,
    /// What lies in `info/licenses`: the name there and the file.
    pub(crate) license_files: Vec<(String, PathBuf)>,
    /// One line that says what it is.
    pub(crate) summary: String,
    /// The software's home page.
    pub(crate) home: String,
    /// Which archives it was made of, with their digests: `extra` of `info/about.json`.
    pub(crate) sources: Vec<Source>,
    /// When its newest part was made, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// Where the Python packages lie (CEP 17), such as `lib/python3.11/site-packages`; the
    /// interpreter's own package only.
    pub(crate) python_site_packages_path: Option<String>,
    /// Patterns of the Python sources whose bytecode goes into the package.
    pub(crate) compile: Vec<String>,
    /// Its files by their paths in the package.
    pub(crate) files: BTreeMap<String, DraftFile>,
}

/// An archive that a package was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its file name.
    pub(crate) file: String,
    /// Its sha256 in hexadecimal digits.
    pub(crate) sha256: String,
}

/// One file of a package.
#[derive(Debug, Clone)]
pub(crate) enum DraftFile {
    /// A file with content.
    File {
        /// Where the content lies on this machine until the package is written.
        source: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whether the prefix stands in it.
        placeholder: Option<Placeholder>,
    },
    /// A symbolic link.
    SymbolicLink {
        /// Relative to the link's folder.
        target: String,
    },
}

/// How the prefix stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// The text that stands for it.
    pub(crate) text: String,
    /// Whether the file's length has to stay.
    pub(crate) mode: PlaceholderMode,
}

/// Whether a file with a placeholder is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceholderMode {
    /// The prefix takes the placeholder's place; the file's length changes.
    Text,
    /// The prefix is followed by the rest of its string and NULs; the length stays.
    Binary,
}

/// The prefix that packages are made for: 255 bytes, as conda-build has it, so that almost any
/// real prefix fits into a binary file.
pub(crate) fn placeholder() -> String {
    let start = "/opt/archiconda_";
    let unit = "placehold_";
    let mut text = start.to_owned();
    while text.len() < 255 {
        text.push_str(unit);
    }
    text.truncate(255);
    text
}
