//! `build_outputs`: the files that a build leaves beside the installer, in constructor's forms
//! (`constructor/build_outputs.py`): a name, or a table of one name with its options.

use toml::de::DeValue;

use crate::error::quote;
use crate::source::{Source, Value};

/// A file to write beside the installer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildOutput {
    /// `INSTALLER.ALGORITHM` for each algorithm, with `HEX  FILENAME`.
    Hash {
        /// At least one, each once. Without options: SHA-256 (constructor: none).
        algorithms: Vec<HashAlgorithm>,
    },
    /// `info.json`: everything that the build knew.
    Info,
    /// `licenses.json`: the licence of each package.
    Licenses {
        /// The text of the licences too, not only where they are.
        include_text: bool,
        /// What becomes of a text that is not UTF-8.
        text_errors: TextErrors,
    },
    /// `lockfile.base.txt`: an `@EXPLICIT` list of URLs.
    Lockfile,
    /// `pkg-list.base.txt`: the packages' file names.
    PackagesList,
}

/// The digests that [`BuildOutput::Hash`] can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// MD5.
    Md5,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How bytes that are no UTF-8 are treated, after the `errors` argument of Python's `open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextErrors {
    /// The build fails.
    Strict,
    /// Each becomes U+FFFD.
    Replace,
    /// They are left out.
    Ignore,
}

impl HashAlgorithm {
    /// The name in specifications and the extension of the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

const NAMES: &[(&str, Kind)] = &[
    ("hash", Kind::Hash),
    ("info.json", Kind::Info),
    ("licenses", Kind::Licenses),
    ("lockfile", Kind::Lockfile),
    ("pkgs_list", Kind::PackagesList),
];

const ALGORITHMS: &[(&str, HashAlgorithm)] = &[
    ("md5", HashAlgorithm::Md5),
    ("sha224", HashAlgorithm::Sha224),
    ("sha256", HashAlgorithm::Sha256),
    ("sha384", HashAlgorithm::Sha384),
    ("sha512", HashAlgorithm::Sha512),
];

const TEXT_ERRORS: &[(&str, TextErrors)] = &[
    ("strict", TextErrors::Strict),
    ("replace", TextErrors::Replace),
    ("ignore", TextErrors::Ignore),
];

#[derive(Clone, Copy)]
enum Kind {
    Hash,
    Info,
    Licenses,
    Lockfile,
    PackagesList,
}

/// Reads the value of `build_outputs`.
pub(crate) fn read<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<BuildOutput>> {
    source.list(
        "build_outputs",
        "names or tables",
        value,
        |source, element| match element.get_ref() {
            DeValue::Table(_) => with_options(source, element),
            _ => source.word("build_outputs", NAMES, element).map(plain),
        },
    )
}

fn plain(kind: Kind) -> BuildOutput {
    match kind {
        Kind::Hash => BuildOutput::Hash {
            algorithms: vec![HashAlgorithm::Sha256],
        },
        Kind::Info => BuildOutput::Info,
        Kind::Licenses => BuildOutput::Licenses {
            include_text: false,
            text_errors: TextErrors::Strict,
        },
        Kind::Lockfile => BuildOutput::Lockfile,
        Kind::PackagesList => BuildOutput::PackagesList,
    }
}

/// `{ NAME = { OPTION = … } }`. Reads every option, so that all mistakes are found at once.
fn with_options<'t>(source: &mut Source<'t>, element: &Value<'t>) -> Option<BuildOutput> {
    let entries = source.table("build_outputs", element)?;
    let [(name, name_span, options)] = entries.as_slice() else {
        let message = "a table in `build_outputs` has exactly one key, the name of the output";
        source.error(element.span(), message, None);
        return None;
    };
    let Some((_, kind)) = NAMES.iter().find(|(known, _)| known == name) else {
        if *name == "info" {
            source.error(
                name_span.clone(),
                "unknown output `info` in `build_outputs`",
                Some("write the name in quotes: \"info.json\"".into()),
            );
        } else {
            let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
            source.unknown(name_span.clone(), "`build_outputs`", name, &known);
        }
        return None;
    };
    let mut output = plain(*kind);
    let mut complete = true;
    for (option, span, value) in source.table(name, options)? {
        let label = format!("{name}.{option}");
        let read = match (&mut output, option) {
            (BuildOutput::Hash { algorithms }, "algorithm") => {
                read_algorithms(source, &label, value).map(|read| *algorithms = read)
            }
            (BuildOutput::Licenses { include_text, .. }, "include_text") => source
                .boolean(&label, value)
                .map(|read| *include_text = read),
            (BuildOutput::Licenses { text_errors, .. }, "text_errors") => source
                .word(&label, TEXT_ERRORS, value)
                .map(|read| *text_errors = read),
            (BuildOutput::Lockfile | BuildOutput::PackagesList, "env") => {
                read_environment(source, &label, value)
            }
            _ => {
                source.unknown(
                    span,
                    &format!("the options of {}", quote(name)),
                    option,
                    options_of(*kind),
                );
                None
            }
        };
        complete &= read.is_some();
    }
    complete.then_some(output)
}

fn options_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Hash => &["algorithm"],
        Kind::Info => &[],
        Kind::Licenses => &["include_text", "text_errors"],
        Kind::Lockfile | Kind::PackagesList => &["env"],
    }
}

fn read_algorithms<'t>(
    source: &mut Source<'t>,
    label: &str,
    value: &Value<'t>,
) -> Option<Vec<HashAlgorithm>> {
    let mut algorithms = match value.get_ref() {
        DeValue::Array(_) => source.list(label, "algorithms", value, |source, element| {
            source.word(label, ALGORITHMS, element)
        })?,
        _ => vec![source.word(label, ALGORITHMS, value)?],
    };
    if algorithms.is_empty() {
        source.error(value.span(), format!("`{label}` is empty"), None);
        return None;
    }
    algorithms.sort_unstable();
    algorithms.dedup();
    Some(algorithms)
}

fn read_environment<'t>(source: &mut Source<'t>, label: &str, value: &Value<'t>) -> Option<()> {
    let name = source.line(label, value)?;
    if name != "base" {
        let message = format!(
            "`{label}` is {}; there is only `base`, `extra_envs` is not supported yet",
            quote(&name)
        );
        source.error(value.span(), message, None);
        return None;
    }
    Some(())
}
