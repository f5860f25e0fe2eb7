//! One element of `specs`: a match spec as conda writes it, or the URL or absolute path of a
//! package. Resolving it is the solver's.

use conda::package::CondaArchiveIdentifier;
use conda::{MatchSpec, PackageName, ParseMatchSpecOptions};

/// The longest spec, and the deepest nesting of parentheses in one, that is given to the parser,
/// which recurses. Real specs have less than 100 characters and no nesting; URLs are longer.
const LONGEST: usize = 2048;
const DEEPEST: usize = 4;

/// A package that the user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageSpec {
    /// As the user wrote it, white space around it taken off. This is what conda's history gets.
    pub raw: String,
    /// Its meaning. `url` is set where the user named one package file; `md5` or `sha256` then hold
    /// the digest that followed it after `#`, as in an `@EXPLICIT` file.
    pub match_spec: MatchSpec,
}

impl PackageSpec {
    /// Reads a spec in any of conda's forms: `python`, `python 3.7.1`, `python 3.7.1 hab5db58_3`,
    /// `python=3.7`, `conda-forge::python >=3.7,<4`, `python[version='3.7.*']`, a URL or an
    /// absolute path with an optional `#md5` or `#sha256:…`.
    ///
    /// The error is the reason, without the text of the spec.
    pub(crate) fn parse(raw: &str) -> Result<Self, String> {
        let raw = raw.trim();
        check_size(raw)?;
        let text = with_digest(raw)?.unwrap_or_else(|| raw.to_owned());
        let match_spec = MatchSpec::from_str(&text, ParseMatchSpecOptions::lenient())
            .map_err(|error| error.to_string())?;
        if match_spec
            .name
            .as_exact()
            .is_none_or(|name| name.as_normalized().is_empty())
        {
            return Err("the name of the package is missing".into());
        }
        Ok(Self {
            raw: raw.to_owned(),
            match_spec,
        })
    }

    /// The name of the package.
    pub fn name(&self) -> Option<&PackageName> {
        self.match_spec.name.as_exact()
    }
}

fn check_size(raw: &str) -> Result<(), String> {
    if raw.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let mut depth = 0_usize;
    for character in raw.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err("its parentheses are nested too deeply".into());
        }
    }
    Ok(())
}

/// `URL#DIGEST` in the bracket form, since rattler takes everything from `#` on for a comment.
fn with_digest(raw: &str) -> Result<Option<String>, String> {
    let Some((url, digest)) = raw.split_once('#') else {
        return Ok(None);
    };
    let file_name = url.rsplit('/').next().unwrap_or_default();
    let package = CondaArchiveIdentifier::try_from_filename(file_name);
    let (true, Some(package)) = (url.contains("://"), package) else {
        return Ok(None);
    };
    let hexadecimal = digest.strip_prefix("sha256:").unwrap_or(digest);
    let kind = match hexadecimal.len() {
        32 if hexadecimal.len() == digest.len() => "md5",
        64 => "sha256",
        _ => return Err("what follows `#` is neither an md5 nor a sha256".into()),
    };
    if !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) || url.contains(['"', '\\', ' ']) {
        return Err(format!("what follows `#` is no {kind}"));
    }
    Ok(Some(format!(
        "{}[url=\"{url}\", {kind}=\"{hexadecimal}\"]",
        package.identifier.name
    )))
}

#[cfg(test)]
mod tests;
