//! Where to install: what the user types becomes an absolute path, which must obey the plan's
//! rules and find a place on the file system. Nothing is written here.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::plan::PrefixRules;
use crate::{PrefixState, prefix_state};

#[cfg(test)]
mod tests;

/// Why a prefix cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("`{text}` cannot be expanded: `{name}` is not set")]
    Unset { text: String, name: String },
    #[error("`{text}` cannot be expanded: {reason}")]
    Expansion { text: String, reason: &'static str },
    #[error("the prefix is empty")]
    Empty,
    #[error("the prefix `{0}` is not UTF-8")]
    NotUnicode(String),
    #[error("the prefix `{prefix}` has {what} in it, which programs in it cannot cope with")]
    Character { prefix: String, what: &'static str },
    #[error(
        "the prefix `{prefix}` has {length} bytes: {file} of {package} has room for {longest}, \
         choose a shorter one"
    )]
    TooLong {
        prefix: String,
        length: usize,
        longest: usize,
        package: String,
        file: String,
    },
    #[error("`{prefix}` is {what}: choose a folder of its own, such as `{proposal}`")]
    Forbidden {
        prefix: String,
        what: &'static str,
        proposal: String,
    },
    #[error("`{0}` already exists: choose another folder with -p, or install into it with -f")]
    Exists(String),
    #[error("`{0}` already exists and is not a folder")]
    NotFolder(String),
    #[error("`{0}` is a symbolic link to nothing")]
    Dangling(String),
    #[error("`{prefix}` cannot be made: `{parent}` is not a folder")]
    ParentNotFolder { prefix: String, parent: String },
    #[error("nothing can be written into `{folder}`")]
    NotWritable {
        folder: String,
        #[source]
        source: io::Error,
    },
    #[error("`{folder}` cannot be looked at")]
    Look {
        folder: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Recover(crate::Error),
    #[error("the current folder is unknown")]
    CurrentFolder(#[source] io::Error),
}

/// Expands `~`, `$NAME`, `${NAME}` and `${NAME:-default}`. Nothing is evaluated beyond that.
pub(super) fn expand(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Error> {
    let text = text.trim();
    let unset = |name: &str| Error::Unset {
        text: text.to_owned(),
        name: name.to_owned(),
    };
    let wrong = |reason| Error::Expansion {
        text: text.to_owned(),
        reason,
    };
    let mut result = String::new();
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~') {
        if !after.is_empty() && !after.starts_with('/') {
            return Err(wrong("only `~/` is known, not the homes of other users"));
        }
        result = variable("HOME")
            .filter(|home| !home.is_empty())
            .ok_or_else(|| unset("HOME"))?;
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(braced) = after.strip_prefix('{') {
            let (inside, behind) = braced
                .split_once('}')
                .ok_or_else(|| wrong("a `}` is missing"))?;
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            if name.is_empty() || name_length(name) != name.len() {
                return Err(wrong(
                    "between `${` and `}` only a name, or `NAME:-default`, is known",
                ));
            }
            if default.is_some_and(|default| default.contains(['$', '{'])) {
                return Err(wrong(
                    "a default is taken as it stands, it cannot hold `$` or `{`",
                ));
            }
            let value = variable(name).filter(|value| default.is_none() || !value.is_empty());
            let value = value
                .or_else(|| default.map(str::to_owned))
                .ok_or_else(|| unset(name))?;
            result.push_str(&value);
            rest = behind;
        } else {
            let (name, behind) = after.split_at(name_length(after));
            if name.is_empty() {
                result.push('$');
            } else {
                result.push_str(&variable(name).ok_or_else(|| unset(name))?);
            }
            rest = behind;
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// The absolute path that a shell would have as `$PWD` after `cd text`: `.`, `..` and `//` are
/// gone, symbolic links above it stay. A symbolic link in the last place is replaced by what it
/// leads to, for it is the folder that is installed into.
pub(super) fn resolve(text: &OsStr) -> Result<PathBuf, Error> {
    let text = text
        .to_str()
        .ok_or_else(|| Error::NotUnicode(text.to_string_lossy().into_owned()))?;
    if text.is_empty() {
        return Err(Error::Empty);
    }
    let mut path = PathBuf::from("/");
    if !text.starts_with('/') {
        path = std::env::current_dir().map_err(Error::CurrentFolder)?;
    }
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    if path.is_symlink() {
        let shown = || path.display().to_string();
        path = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Dangling(shown()),
            _ => Error::Look {
                folder: shown(),
                source: error,
            },
        })?;
    }
    path.to_str()
        .ok_or_else(|| Error::NotUnicode(path.display().to_string()))?;
    Ok(path)
}

/// Rules that need no look at the file system.
pub(super) fn check(path: &Path, rules: &PrefixRules, home: Option<&Path>) -> Result<(), Error> {
    let prefix = path.display().to_string();
    let mut forbidden = vec![(Path::new("/"), "the root folder")];
    forbidden.extend(home.map(|home| (home, "your home folder")));
    for (folder, what) in forbidden {
        let same = || Some(folder.canonicalize().ok()? == path.canonicalize().ok()?);
        if folder == path || same() == Some(true) {
            let proposal = path.join("conda").display().to_string();
            return Err(Error::Forbidden {
                prefix,
                what,
                proposal,
            });
        }
    }
    // `:` ends an entry of PATH; a line break ends a shebang and a line of `conda-meta/history`.
    let characters: [(&dyn Fn(char) -> bool, &str); 3] = [
        (&|character| character == ':', "a colon"),
        (&char::is_control, "a control character"),
        (
            &|character| rules.check_spaces && character == ' ',
            "a space",
        ),
    ];
    for (matches, what) in characters {
        if prefix.contains(matches) {
            return Err(Error::Character {
                prefix: prefix.escape_debug().to_string(),
                what,
            });
        }
    }
    match &rules.longest {
        Some(longest) if prefix.len() > longest.length => Err(Error::TooLong {
            length: prefix.len(),
            prefix,
            longest: longest.length,
            package: longest.package.clone(),
            file: longest.file.clone(),
        }),
        _ => Ok(()),
    }
}

/// Looks whether the prefix can be made, or be installed into. Returns the nearest folder that
/// exists, whose file system will hold it.
pub(super) fn examine(prefix: &Path, force: bool) -> Result<PathBuf, Error> {
    let shown = |path: &Path| path.display().to_string();
    if prefix.symlink_metadata().is_ok() {
        return match prefix_state(prefix).map_err(Error::Recover)? {
            PrefixState::Occupied if !prefix.is_dir() => Err(Error::NotFolder(shown(prefix))),
            PrefixState::Occupied if !force => Err(Error::Exists(shown(prefix))),
            _ => writable(prefix).map(|()| prefix.to_owned()),
        };
    }
    for parent in prefix.ancestors().skip(1) {
        match std::fs::metadata(parent) {
            Ok(found) if found.is_dir() => {
                writable(parent)?;
                return Ok(parent.to_owned());
            }
            Ok(_) => {
                return Err(Error::ParentNotFolder {
                    prefix: shown(prefix),
                    parent: shown(parent),
                });
            }
            Err(_) => {}
        }
    }
    Err(Error::Look {
        folder: shown(prefix),
        source: io::ErrorKind::NotFound.into(),
    })
}

fn writable(folder: &Path) -> Result<(), Error> {
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Error::NotWritable {
            folder: folder.display().to_string(),
            source: error.into(),
        }
    })
}

/// How many bytes at the start of `text` are a variable's name.
fn name_length(text: &str) -> usize {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.starts_with(|character: char| character.is_ascii_digit()) {
        return 0;
    }
    text.find(|character| !word(character))
        .unwrap_or(text.len())
}
