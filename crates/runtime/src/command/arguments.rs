//! The options of an installer: what they are called, what they mean, how they are read. Letters
//! and meanings are constructor's (`header.sh` there); the long names are ours.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

#[cfg(test)]
mod tests;

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) mode: Mode,
    pub(super) batch: bool,
    pub(super) force: bool,
    pub(super) keep_packages: bool,
    pub(super) skip_scripts: bool,
    pub(super) no_compile: bool,
    pub(super) ignore_space: bool,
    pub(super) initialize: bool,
    pub(super) prefix: Option<OsString>,
    pub(super) threads: Option<NonZeroUsize>,
}

/// What is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Install,
    Check,
    List {
        json: bool,
    },
    Help,
    Version,
}

/// Why a command line cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// No option has this name.
    #[error("there is no option `{name}`{}", hint(*.near))]
    Unknown {
        /// As it was given.
        name: String,
        /// The long option that it resembles.
        near: Option<&'static str>,
    },
    /// An option that takes a value stands last.
    #[error("`{name}` needs a value")]
    NoValue {
        /// As it was given.
        name: String,
    },
    /// `--batch=yes`.
    #[error("`--{name}` takes no value")]
    Value {
        /// The long name.
        name: &'static str,
    },
    /// Not a number that makes sense.
    #[error("`{value}` is not a number of threads: 1 to {MOST_THREADS} are possible")]
    Threads {
        /// As it was given.
        value: String,
    },
    /// Something that is no option.
    #[error("`{0}` is not an option, and nothing else is expected (`-h` lists the options)")]
    Unexpected(String),
    /// constructor's `-t`.
    #[error("`-t` is not supported: the installer holds no package archives to test")]
    Test,
    /// `--json` without `--list`.
    #[error("`--json` only goes with `--list`")]
    Json,
}

/// The text that `-h` prints. `default_prefix` is shown as it stands in the spec, not expanded.
pub fn usage(name: &str, version: &str, default_prefix: &str) -> String {
    let mut text = format!("Usage: sh FILE [OPTIONS]\n\nInstalls {name} {version}.\n\n");
    for option in OPTIONS {
        let short = option
            .short
            .map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let value = option
            .value
            .map_or_else(String::new, |value| format!(" {value}"));
        let left = format!("{short}--{}{value}", option.long);
        let _ = writeln!(text, "  {left:<22} {}", option.help);
    }
    let _ = write!(
        text,
        "\nWithout -p it goes to {default_prefix}.\n\n\
         Exit status: 0 done; 1 failed; 2 wrong options, the wrong kind of machine,\n\
         or your refusal.\n"
    );
    text
}

/// Reads the options after the installer's own name.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Error> {
    let mut result = Arguments::default();
    let mut json = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            if let Some(next) = arguments.next() {
                return Err(Error::Unexpected(next.to_string_lossy().into_owned()));
            }
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            let (name, attached) = match long.iter().position(|byte| *byte == b'=') {
                Some(at) => (&long[..at], Some(OsStr::from_bytes(&long[at + 1..]))),
                None => (long, None),
            };
            let option = long_option(name)?;
            let value = match (option.value, attached) {
                (None, None) => None,
                (None, Some(_)) => return Err(Error::Value { name: option.long }),
                (Some(_), Some(value)) => Some(value.to_owned()),
                (Some(_), None) => Some(arguments.next().ok_or_else(|| Error::NoValue {
                    name: format!("--{}", option.long),
                })?),
            };
            apply(&mut result, &mut json, option.flag, value)?;
        } else if let Some(mut cluster) = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty()) {
            while let Some((letter, rest)) = cluster.split_first() {
                let option = short_option(*letter, cluster)?;
                cluster = rest;
                let mut value = None;
                if option.value.is_some() {
                    value = if rest.is_empty() {
                        let missing = || Error::NoValue {
                            name: format!("-{}", char::from(*letter)),
                        };
                        Some(arguments.next().ok_or_else(missing)?)
                    } else {
                        Some(OsString::from_vec(rest.to_vec()))
                    };
                    cluster = &[];
                }
                apply(&mut result, &mut json, option.flag, value)?;
            }
        } else {
            return Err(Error::Unexpected(argument.to_string_lossy().into_owned()));
        }
    }
    match (&mut result.mode, json) {
        (_, false) | (Mode::Help | Mode::Version, true) => {}
        (Mode::List { json }, true) => *json = true,
        (Mode::Install | Mode::Check, true) => return Err(Error::Json),
    }
    Ok(result)
}

/// More threads than this are a mistake.
const MOST_THREADS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Batch,
    Interactive,
    Prefix,
    Force,
    Update,
    KeepPackages,
    SkipScripts,
    NoShortcuts,
    Initialize,
    NoCompile,
    IgnoreSpace,
    Threads,
    Check,
    List,
    Json,
    Version,
    Help,
}

struct Opt {
    flag: Flag,
    short: Option<char>,
    long: &'static str,
    value: Option<&'static str>,
    help: &'static str,
}

const fn option(
    flag: Flag,
    short: Option<char>,
    long: &'static str,
    value: Option<&'static str>,
    help: &'static str,
) -> Opt {
    Opt {
        flag,
        short,
        long,
        value,
        help,
    }
}

const OPTIONS: &[Opt] = &[
    option(
        Flag::Batch,
        Some('b'),
        "batch",
        None,
        "ask nothing; the license counts as accepted",
    ),
    option(
        Flag::Interactive,
        Some('i'),
        "interactive",
        None,
        "ask (the default)",
    ),
    option(
        Flag::Prefix,
        Some('p'),
        "prefix",
        Some("DIR"),
        "where to install",
    ),
    option(
        Flag::Force,
        Some('f'),
        "force",
        None,
        "install into a folder that is not empty",
    ),
    option(Flag::Update, Some('u'), "update", None, "the same as -f"),
    option(
        Flag::KeepPackages,
        Some('k'),
        "keep-pkgs",
        None,
        "leave the extracted packages in DIR/pkgs",
    ),
    option(
        Flag::SkipScripts,
        Some('s'),
        "skip-scripts",
        None,
        "run no link and no install scripts",
    ),
    option(
        Flag::NoShortcuts,
        Some('m'),
        "no-shortcuts",
        None,
        "make no menu entries (there are none)",
    ),
    option(
        Flag::Initialize,
        Some('c'),
        "init",
        None,
        "with -b: initialize the shell afterwards",
    ),
    option(
        Flag::NoCompile,
        None,
        "no-compile",
        None,
        "do not compile Python files",
    ),
    option(
        Flag::IgnoreSpace,
        None,
        "ignore-space",
        None,
        "do not look whether there is enough room",
    ),
    option(Flag::Threads, None, "threads", Some("N"), "use N threads"),
    option(
        Flag::Check,
        None,
        "check",
        None,
        "verify the whole file, install nothing",
    ),
    option(
        Flag::List,
        None,
        "list",
        None,
        "list the packages, install nothing",
    ),
    option(Flag::Json, None, "json", None, "with --list: as JSON"),
    option(
        Flag::Version,
        None,
        "version",
        None,
        "print name and version",
    ),
    option(Flag::Help, Some('h'), "help", None, "print this text"),
];

fn apply(
    result: &mut Arguments,
    json: &mut bool,
    flag: Flag,
    value: Option<OsString>,
) -> Result<(), Error> {
    match flag {
        Flag::Batch => result.batch = true,
        Flag::Interactive => result.batch = false,
        Flag::Prefix => result.prefix = value,
        Flag::Force | Flag::Update => result.force = true,
        Flag::KeepPackages => result.keep_packages = true,
        Flag::SkipScripts => result.skip_scripts = true,
        Flag::NoShortcuts => {}
        Flag::Initialize => result.initialize = true,
        Flag::NoCompile => result.no_compile = true,
        Flag::IgnoreSpace => result.ignore_space = true,
        Flag::Threads => {
            let value = value.unwrap_or_default().to_string_lossy().into_owned();
            let number = value
                .parse()
                .ok()
                .filter(|number: &NonZeroUsize| number.get() <= MOST_THREADS);
            result.threads = Some(number.ok_or(Error::Threads { value })?);
        }
        Flag::Json => *json = true,
        Flag::Check => mode(result, Mode::Check),
        Flag::List => mode(result, Mode::List { json: false }),
        Flag::Version => mode(result, Mode::Version),
        Flag::Help => result.mode = Mode::Help,
    }
    Ok(())
}

/// The wish for help wins over any other.
fn mode(result: &mut Arguments, mode: Mode) {
    if result.mode != Mode::Help {
        result.mode = mode;
    }
}

fn long_option(name: &[u8]) -> Result<&'static Opt, Error> {
    if let Some(option) = OPTIONS.iter().find(|option| option.long.as_bytes() == name) {
        return Ok(option);
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let near = OPTIONS
        .iter()
        .map(|option| (distance(&name, option.long), option.long))
        .filter(|(distance, long)| *distance <= long.len().div_ceil(4))
        .min()
        .map(|(_, long)| long)
        .or_else(|| {
            let mut begun = OPTIONS
                .iter()
                .filter(|option| option.long.starts_with(&name));
            begun
                .next()
                .filter(|_| begun.next().is_none())
                .map(|option| option.long)
        });
    Err(Error::Unknown {
        name: format!("--{name}"),
        near,
    })
}

fn short_option(letter: u8, cluster: &[u8]) -> Result<&'static Opt, Error> {
    if letter == b't' {
        return Err(Error::Test);
    }
    let found = OPTIONS
        .iter()
        .find(|option| option.short == Some(char::from(letter)));
    found.ok_or_else(|| {
        // A letter outside ASCII is more than one byte.
        let text = String::from_utf8_lossy(cluster);
        Error::Unknown {
            name: format!("-{}", text.chars().next().unwrap_or_default()),
            near: None,
        }
    })
}

fn hint(near: Option<&'static str>) -> String {
    near.map_or_else(
        || " (`-h` lists them)".to_owned(),
        |near| format!(", is `--{near}` meant?"),
    )
}

/// Edits between two words: insertions, deletions, replacements.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
