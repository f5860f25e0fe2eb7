//! The definition of a bootstrap channel, a TOML file (docs/repack.md). Which versions it stands
//! for is the lock's business.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use fs_err as fs;
use serde::Deserialize;

use crate::{Error, wheel};

/// A longer text is none, in bytes.
const LARGEST: u64 = 1 << 20;

/// No longer line is shown with an error, in bytes.
const LONGEST_LINE: usize = 1000;

/// A definition.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// The platforms that packages are made for where the command line names none.
    pub(crate) platforms: Vec<String>,
    /// The minor version of Python, such as `3.11`: the one that is packaged, and the one that
    /// wheels are for.
    pub(crate) python: String,
    /// The number of all packages that come from Debian.
    #[serde(default)]
    pub(crate) build_number: u64,
    /// Where Debian packages come from and what the target's own system holds.
    pub(crate) debian: Debian,
    /// The wheels.
    pub(crate) wheels: Option<wheel::Section>,
    /// The packages that are made of Debian's.
    #[serde(default, rename = "package")]
    pub(crate) packages: Vec<Package>,
}

/// The `[debian]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Debian {
    /// The suites of the archive, such as `bookworm` and `bookworm-security`.
    pub(crate) suites: Vec<String>,
    /// The version of the C library that its programs are linked against.
    pub(crate) glibc: String,
    /// Libraries (sonames) that the target's own system holds.
    pub(crate) system: Vec<String>,
}

/// A `[[package]]`: a conda package made of files of Debian packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    /// conda's name.
    pub(crate) name: String,
    /// The Debian packages. The first one has the version.
    pub(crate) debs: Vec<String>,
    /// SPDX.
    pub(crate) license: String,
    /// One line that says what it is.
    pub(crate) summary: String,
    /// The software's home page.
    #[serde(default)]
    pub(crate) home: String,
    /// What it needs besides the packages that hold the libraries which its files name.
    #[serde(default)]
    pub(crate) depends: Vec<String>,
    /// What it does not get along with.
    #[serde(default)]
    pub(crate) constrains: Vec<String>,
    /// How many numbers of the version the run export pins: 1 gives `>=3.0.15,<4.0a0`. None: no run
    /// export, and who needs a library of it needs just this package.
    pub(crate) pin: Option<usize>,
    /// Whether it does not depend on the platform.
    #[serde(default)]
    pub(crate) noarch: bool,
    /// Which files of the Debian packages it takes, and where they go. The first fitting one counts.
    #[serde(default)]
    pub(crate) files: Vec<(String, String)>,
    /// Files that are made by stringing others together: path and pattern of Debian's paths.
    #[serde(default)]
    pub(crate) concat: BTreeMap<String, String>,
    /// Files that are left out, by their paths in the Debian packages.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Symbolic links besides Debian's: path and target.
    #[serde(default)]
    pub(crate) links: BTreeMap<String, String>,
    /// Texts that are written as they are: path and content.
    #[serde(default)]
    pub(crate) texts: BTreeMap<String, String>,
    /// The folders (patterns) whose Python sources get their bytecode.
    #[serde(default)]
    pub(crate) compile: Vec<String>,
    /// Where Python packages lie; the interpreter's own package only (CEP 17).
    pub(crate) site_packages: Option<String>,
    /// Files whose text is changed.
    #[serde(default)]
    pub(crate) replace: Vec<Replace>,
}

/// A `[[package.replace]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replace {
    /// Which files, by their paths in the package.
    pub(crate) file: String,
    /// What is replaced in them, and by what; `{prefix}` stands for where the package will lie.
    pub(crate) text: Vec<(String, String)>,
}

impl Definition {
    /// Reads a definition.
    pub(crate) fn read(path: &Path) -> Result<Definition, Error> {
        let refuse = |problem| Error::Value {
            path: path.to_owned(),
            problem,
        };
        let cannot = |error: io::Error| refuse(error.to_string());
        let file = fs::File::open(path).map_err(cannot)?;
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text);
        read.map_err(cannot)?;
        if text.len() as u64 > LARGEST {
            let most = LARGEST / 1024;
            return Err(refuse(format!("a definition is at most {most} KiB long")));
        }
        toml::from_str(&text).map_err(|source| {
            // It shows the line.
            if text.lines().any(|line| line.len() > LONGEST_LINE) {
                return refuse(source.message().to_owned());
            }
            Error::Definition {
                path: path.to_owned(),
                source: Box::new(source),
            }
        })
    }
}
