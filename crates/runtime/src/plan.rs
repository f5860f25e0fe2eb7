//! The language between the build host and the target: plain data that says, for each file, where
//! its bytes lie in the payload, its final path and mode, its digest and where the prefix
//! placeholder occurs; and what else an installation does. Written as JSON into frames of the
//! payload (`archive::payload`): one [`Plan`], and one [`Package`] per package.
//!
//! Nothing here needs conda's rules to be understood. What can only be known on the target (the
//! prefix, its length, the shell, the Python that compiles) is a typed hole that the runtime
//! fills. Fields that later formats need have a default that means "none", and are refused by
//! this runtime when they hold anything ([`Plan::unsupported`]).

use std::collections::BTreeMap;

use archive::digest::Sha256;
use serde::{Deserialize, Serialize};

/// A whole installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the distribution, `Archiconda3`.
    pub name: String,
    /// Version of the distribution.
    pub version: String,
    /// conda's subdir, `linux-aarch64`.
    pub platform: String,
    /// What the target must be.
    pub requires: Requirements,
    /// Where it may be installed.
    pub prefix: PrefixRules,
    /// What the installer says and asks.
    pub dialogue: Dialogue,
    /// The packages, dependencies first: the order of link scripts.
    pub packages: Vec<PackageHead>,
    /// Which packages need which frame; the largest frames first, the order of decoding.
    pub work: Vec<Work>,
    /// Files of `extra_files`, which win over files of packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<Entry>,
    /// Small texts that belong to no package: `.condarc`, `LICENSE.txt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<Text>,
    /// The user's specs, for `# update specs:` in `conda-meta/history`.
    pub update_specs: Vec<String>,
    /// Scripts of the distribution.
    #[serde(default)]
    pub scripts: Scripts,
    /// The Python in the prefix, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<Python>,
    /// Leave extracted packages in `pkgs/`, as if `-k` were given.
    #[serde(default)]
    pub keep_packages: bool,
    /// What the finished prefix takes.
    pub need: Need,
    /// What `pkgs/` takes in addition when packages are kept: files of `info/`, and those which
    /// cannot be hard links because a prefix is replaced in them.
    pub need_kept: Need,

    /// Reserved: menu entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub menus: Vec<serde_json::Value>,
    /// Reserved: further environments under `envs/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<serde_json::Value>,
    /// Reserved: signatures over the index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<serde_json::Value>,
}

/// What the target must be, checked before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Requirements {
    /// Paths of the dynamic loader, one of which a userland of this platform has:
    /// `/lib/ld-linux-aarch64.so.1`. Empty if no package needs one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loaders: Vec<String>,
    /// The oldest glibc that will do, `2.17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
}

/// Rules for the prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrefixRules {
    /// Where to install if nothing else is said: `${HOME:-/opt}/archiconda3`. `~`, `$NAME`,
    /// `${NAME}` and `${NAME:-default}` are expanded on the target.
    pub default: String,
    /// Refuse a prefix with spaces.
    pub check_spaces: bool,
    /// The longest prefix in bytes that fits into every binary placeholder, and who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<LongestPrefix>,
}

/// The shortest binary placeholder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongestPrefix {
    /// Length in bytes.
    pub length: usize,
    /// The package whose file has it, `openssl-3.1.4-h31becfc_0`.
    pub package: String,
    /// The file, relative to the prefix.
    pub file: String,
}

/// What the installer says and asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dialogue {
    /// To be accepted before an interactive installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Said at the end.
    pub conclusion: String,
    /// Which shell initialisation is offered.
    pub initialize: Initialize,
    /// The answer that is taken when the user just presses ENTER.
    #[serde(default)]
    pub initialize_by_default: bool,
}

/// How `conda init` is called, if the user wants it (`initialize_conda` of construct.yaml).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initialize {
    /// Not offered.
    #[default]
    No,
    /// `conda init`.
    Classic,
    /// `conda init --condabin`.
    Condabin,
}

/// What is said of a package without reading its own plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackageHead {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Build string.
    pub build: String,
    /// conda's subdir, `noarch` included.
    pub subdir: String,
    /// The channel's name as conda writes it into `history`: `conda-forge`.
    pub channel: String,
    /// Where the package comes from, without credentials.
    pub url: String,
    /// Number of entries in the prefix.
    pub entries: u64,
    /// Bytes in the prefix.
    pub size: u64,
    /// The frame that holds its [`Package`].
    pub plan: usize,
}

/// One frame to decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Its number.
    pub frame: usize,
    /// Positions in [`Plan::packages`] of all packages that have bytes in it; empty for the frame
    /// of [`Plan::extra`].
    pub packages: Vec<usize>,
    /// Whether it holds only `info/` files, which are decoded only when packages are kept.
    #[serde(default)]
    pub info: bool,
}

/// A package's own plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// `NAME-VERSION-BUILD`: the name of its folder in `pkgs/` and, with `.json`, of its record.
    pub dist: String,
    /// The body of `conda-meta/DIST.json` but for its holes: `files`, `paths_data`, `link`,
    /// `extracted_package_dir`, `package_tarball_full_path`, `requested_spec(s)`.
    pub record: serde_json::Map<String, serde_json::Value>,
    /// The specs of the user that ask for this package by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested_specs: Vec<String>,
    /// What goes into the prefix, sorted by path.
    pub entries: Vec<Entry>,
    /// Files of `info/`, with paths below the package's folder. Written only when packages are
    /// kept.
    pub info: Vec<Entry>,
    /// Link scripts, as paths relative to the prefix.
    #[serde(default)]
    pub scripts: LinkScripts,
    /// Whether this is a noarch Python package: its `.py` entries below
    /// [`Python::site_packages`] are compiled.
    #[serde(default)]
    pub compile: bool,
}

/// Link scripts of a package (`bin/.NAME-post-link.sh`), relative to the prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkScripts {
    /// Runs before the packages' files are linked: refused by conda-forge, kept for old packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_link: Option<String>,
    /// Runs when the prefix is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_link: Option<String>,
}

/// Something at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Final path, relative to the prefix (or to the package's folder, in [`Package::info`]);
    /// `/` between names, no empty, `.` or `..` ones.
    pub path: String,
    /// Path in the package, where it differs (noarch Python).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Who else has something at this path and wins: this entry is not written into the prefix,
    /// nor named in the package's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clobbered_by: Option<String>,
    /// The package asks for a copy rather than a link to its cache (`no_link` in `paths.json`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_link: bool,
}

/// What lies at a path. In JSON each variant is the name of an object's only key: a plan has tens of
/// thousands of these, and a name that stands among other keys would take a second pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File(File),
    /// The same file as another entry of this package, without a placeholder.
    HardLink {
        /// That entry's `path`, which comes with a [`File`].
        to: String,
    },
    /// A symbolic link.
    SymbolicLink {
        /// What it says, as it is in the package.
        target: String,
        /// What the package itself says of it, for its record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listed: Option<Listed>,
    },
    /// An empty directory; all others follow from the files in them.
    Directory,
    /// A script that calls a Python function, below a first line that names the prefix's Python.
    EntryPoint {
        /// All after that first line.
        body: String,
    },
}

/// What `paths.json` says of a symbolic link: digest and length of the file that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A regular file. Several entries may share one position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The frame that holds its bytes.
    pub frame: usize,
    /// Position of its first byte in the decoded frame.
    pub offset: u64,
    /// Length in bytes, in the package.
    pub size: u64,
    /// Permission bits as in the package; the target's umask is applied.
    pub mode: u32,
    /// Modification time in seconds since the epoch.
    pub modified: i64,
    /// Digest of the bytes in the package.
    pub sha256: Sha256,
    /// Where the prefix is to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<Placeholder>,
}

/// The prefix that a package was built with, and where it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placeholder {
    /// The prefix at build time.
    pub prefix: String,
    /// All its occurrences.
    pub places: Places,
}

/// Occurrences of a placeholder, in ascending order, not overlapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Places {
    /// The file's length may change.
    Text {
        /// Length in bytes of the first line, its newline included, where the file begins with
        /// `#!`; otherwise 0. Occurrences in it are not listed: the rules for shebangs hold.
        #[serde(default)]
        shebang: u64,
        /// The occurrences after the first line.
        occurrences: Vec<Occurrence>,
    },
    /// The file keeps its length: strings are padded with NUL.
    Binary {
        /// Each NUL-terminated string that contains the placeholder.
        strings: Vec<CString>,
    },
}

/// One occurrence in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Position of its first byte.
    pub offset: u64,
    /// How it is encoded.
    #[serde(default, skip_serializing_if = "Encoding::is_utf8")]
    pub encoding: Encoding,
}

/// One string in a binary file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CString {
    /// Positions of the placeholder's occurrences.
    pub offsets: Vec<u64>,
    /// Position of the terminating NUL, or the file's length if there is none.
    pub end: u64,
    /// How it is encoded.
    #[serde(default, skip_serializing_if = "Encoding::is_utf8")]
    pub encoding: Encoding,
}

/// How a placeholder's characters stand in a file (draft CEP of conda/ceps#179).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// One byte per ASCII character.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Two bytes, the low one first.
    #[serde(rename = "utf-16-le")]
    Utf16Le,
    /// Two bytes, the high one first.
    #[serde(rename = "utf-16-be")]
    Utf16Be,
    /// Four bytes, the low one first.
    #[serde(rename = "utf-32-le")]
    Utf32Le,
    /// Four bytes, the high one first.
    #[serde(rename = "utf-32-be")]
    Utf32Be,
}

/// A small file that belongs to no package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Path relative to the prefix.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// Scripts of the distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripts {
    /// Runs before files are in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_install: Option<String>,
    /// Runs at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_install: Option<String>,
    /// `script_env_variables`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// The Python in the prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// `3.10`.
    pub version: String,
    /// `bin/python3.10`.
    pub executable: String,
    /// `lib/python3.10/site-packages`.
    pub site_packages: String,
}

/// Room on the target's file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Bytes, each file rounded up to 4096.
    pub bytes: u64,
    /// Files, links and directories.
    pub inodes: u64,
}

impl Plan {
    /// The reserved field that this runtime cannot carry out, if the plan uses one.
    pub fn unsupported(&self) -> Option<&'static str> {
        let fields = [
            ("menus", &self.menus),
            ("environments", &self.environments),
            ("signatures", &self.signatures),
        ];
        fields
            .into_iter()
            .find(|(_, values)| !values.is_empty())
            .map(|(name, _)| name)
    }
}

impl Encoding {
    /// `text` in this encoding.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Encoding::Utf8 => text.as_bytes().to_vec(),
            Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Encoding::Utf32Le => text
                .chars()
                .flat_map(|c| u32::from(c).to_le_bytes())
                .collect(),
            Encoding::Utf32Be => text
                .chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
    )]
    fn is_utf8(&self) -> bool {
        *self == Encoding::Utf8
    }
}
