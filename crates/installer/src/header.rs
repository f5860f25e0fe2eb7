//! The shell text at the start of an installer: `installer/header.sh` with its tokens replaced.
//! The text tells how long it is itself and what the sum of the runtime behind it is.

use std::collections::BTreeSet;

use archive::payload::{BLOCK, padding};

mod cksum;
#[cfg(test)]
mod tests;

/// What the text depends on.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// Name of the distribution.
    pub name: &'a str,
    /// Version of the distribution.
    pub version: &'a str,
    /// conda's subdir, which the installer is for.
    pub platform: &'a str,
    /// What `uname -m` may say on that platform.
    pub machines: &'a [&'a str],
    /// Where it goes if nothing else is said; shown by `-h`.
    pub default_prefix: &'a str,
    /// The executable for the target, without padding.
    pub runtime: &'a [u8],
}

/// Why there is no text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A token in `header.sh` that nothing is known for.
    #[error("header.sh has the unknown token `@{token}@`")]
    Unknown {
        /// The token, without `@`.
        token: String,
    },
    /// A value that `header.sh` does not use.
    #[error("header.sh has no token `@{token}@`")]
    Unused {
        /// The token, without `@`.
        token: &'static str,
    },
    /// A value that cannot stand in a shell text.
    #[error("the value of `@{token}@` has a NUL in it")]
    Nul {
        /// The token, without `@`.
        token: &'static str,
    },
}

/// The text, padded to a multiple of [`BLOCK`].
pub fn render(fields: &Fields<'_>) -> Result<Vec<u8>, Error> {
    let length = fields.runtime.len() + padding(fields.runtime.len());
    let sum = cksum::padded(fields.runtime, length);
    let usage = runtime::command::usage(fields.name, fields.version, fields.default_prefix);
    let mut values = [
        ("NAME", fields.name.to_owned()),
        ("VERSION", fields.version.to_owned()),
        ("PLATFORM", fields.platform.to_owned()),
        ("SYSTEM", "Linux".to_owned()),
        ("MACHINES", fields.machines.join(" ")),
        ("RUNTIME_BLOCKS", (length / BLOCK).to_string()),
        ("RUNTIME_CKSUM", format!("{sum} {length}")),
        ("USAGE", usage),
        ("RUNTIME_START", String::new()),
    ];
    // The number of blocks is a part of the text, which gets longer with it, if at all.
    let mut blocks = 1;
    loop {
        if let Some((_, start)) = values.last_mut() {
            *start = blocks.to_string();
        }
        let mut text = substitute(TEMPLATE, &values)?.into_bytes();
        text.extend_from_slice(FIREBREAK);
        if text.len() <= blocks * BLOCK {
            text.resize(blocks * BLOCK, b'\n');
            return Ok(text);
        }
        blocks += 1;
    }
}

const TEMPLATE: &str = include_str!("../../../installer/header.sh");

/// Never reached in a sound text, which is one group that ends the shell. Where a damaged bit makes
/// the shell read on behind the group, in whatever state (in a group, in a string of either kind,
/// in a command substitution), it meets a syntax error in here, before it meets binary bytes.
const FIREBREAK: &[u8] = b")\n'\n)\n'\"\n)\n\"`\n)\n)\n";

/// Replaces each `@TOKEN@` by its value, quoted for a shell.
fn substitute(template: &str, values: &[(&'static str, String)]) -> Result<String, Error> {
    let mut result = String::with_capacity(template.len());
    let mut used = BTreeSet::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        result.push_str(before);
        let token = after.split_once('@').filter(|(token, _)| is_token(token));
        let Some((token, behind)) = token else {
            result.push('@');
            rest = after;
            continue;
        };
        let value = values.iter().find(|(known, _)| *known == token);
        let Some((known, value)) = value else {
            return Err(Error::Unknown {
                token: token.to_owned(),
            });
        };
        if value.contains('\0') {
            return Err(Error::Nul { token: known });
        }
        used.insert(*known);
        result.push_str(&quote(value));
        rest = behind;
    }
    result.push_str(rest);
    match values.iter().find(|(token, _)| !used.contains(token)) {
        Some((token, _)) => Err(Error::Unused { token }),
        None => Ok(result),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// One word of a POSIX shell, whatever is in it.
pub fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
