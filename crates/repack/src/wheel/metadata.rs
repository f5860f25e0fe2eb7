//! The texts of a wheel's `.dist-info`: METADATA (the core metadata specification), WHEEL (the binary
//! distribution format) and `entry_points.txt`.

use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{PackageName, Requirement};

use super::Error;
use super::file_name::FileName;

/// What METADATA says.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    /// Which versions of Python it is for.
    pub(super) requires_python: VersionSpecifiers,
    /// What it needs, with markers.
    pub(super) requires: Vec<Requirement>,
    /// One line that says what it is.
    pub(super) summary: String,
    /// The home page.
    pub(super) home: String,
    /// The licence as an SPDX expression (PEP 639).
    pub(super) license_expression: Option<String>,
    /// The licence in the author's words, or as a whole text.
    pub(super) license: Option<String>,
    /// The licence's files.
    pub(super) license_files: Vec<String>,
    /// Trove classifiers.
    pub(super) classifiers: Vec<String>,
}

/// What WHEEL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wheel {
    /// Whether the files go where modules without machine code go.
    pub(super) root_is_purelib: bool,
}

/// A script that calls a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryPoint {
    /// The script's file name.
    pub(super) name: String,
    /// The module.
    pub(super) module: String,
    /// The function, maybe within a class.
    pub(super) function: String,
}

impl Metadata {
    /// Reads METADATA and checks that it is of the wheel that the file name promises.
    pub(super) fn parse(wheel: &FileName, text: &str) -> Result<Metadata, Error> {
        let wrong = |problem: String| Error::Metadata {
            wheel: wheel.text.clone(),
            file: "METADATA",
            problem,
        };
        let headers = headers(text);
        let all = |key: &str| {
            let found = headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let first = |key: &str| {
            let value = all(key).into_iter().next()?;
            (!value.is_empty() && value != "UNKNOWN").then_some(value)
        };
        let name = first("Name").ok_or_else(|| wrong("it has no Name".to_owned()))?;
        if PackageName::from_str(&name).ok().as_ref() != Some(&wheel.project) {
            return Err(wrong(format!("its Name is `{name}`")));
        }
        let version = first("Version").unwrap_or_default();
        if Version::from_str(&version).ok().as_ref() != Some(&wheel.version) {
            return Err(wrong(format!("its Version is `{version}`")));
        }
        let requires_python = first("Requires-Python").unwrap_or_default();
        let mut requires = Vec::new();
        for requirement in all("Requires-Dist") {
            if let Some(problem) = absurd(&requirement) {
                return Err(wrong(problem.to_owned()));
            }
            match Requirement::from_str(&requirement) {
                Ok(parsed) => requires.push(parsed),
                Err(source) => {
                    return Err(Error::Requirement {
                        wheel: wheel.text.clone(),
                        requirement,
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(Metadata {
            requires_python: VersionSpecifiers::from_str(&requires_python)
                .map_err(|_| wrong(format!("its Requires-Python is `{requires_python}`")))?,
            requires,
            summary: one_line(&first("Summary").unwrap_or_default()),
            home: home(first("Home-page"), &all("Project-URL")),
            license_expression: first("License-Expression"),
            license: first("License"),
            license_files: all("License-File"),
            classifiers: all("Classifier"),
        })
    }
}

/// What the reader of requirements would take for ever over, or all memory: it goes down into brackets, and brings
/// markers with many extras into a normal form.
fn absurd(requirement: &str) -> Option<&'static str> {
    const LONGEST: usize = 4096;
    const DEEPEST: usize = 32;
    const MOST_EXTRAS: usize = 12;
    let mut depth = 0_usize;
    let mut deepest = 0;
    for letter in requirement.bytes() {
        match letter {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if requirement.len() > LONGEST {
        Some("a Requires-Dist is longer than 4096 bytes")
    } else if deepest > DEEPEST {
        Some("a Requires-Dist has brackets in brackets, more than 32")
    } else if requirement.matches("extra").count() > MOST_EXTRAS {
        Some("a Requires-Dist asks for extras more than 12 times")
    } else {
        None
    }
}

impl Wheel {
    /// Reads WHEEL.
    pub(super) fn parse(wheel: &FileName, text: &str) -> Result<Wheel, Error> {
        let wrong = |problem: String| Error::Metadata {
            wheel: wheel.text.clone(),
            file: "WHEEL",
            problem,
        };
        let headers = headers(text);
        let first = |key: &str| {
            let mut found = headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(key));
            found.next().map_or("", |(_, value)| value.as_str())
        };
        let version = first("Wheel-Version");
        if version.split('.').next() != Some("1") {
            return Err(wrong(format!("Wheel-Version `{version}` is not known")));
        }
        let root_is_purelib = match first("Root-Is-Purelib").to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            other => return Err(wrong(format!("Root-Is-Purelib is `{other}`"))),
        };
        Ok(Wheel { root_is_purelib })
    }
}

/// The console and GUI scripts of `entry_points.txt`, by name.
pub(super) fn entry_points(wheel: &FileName, text: &str) -> Result<Vec<EntryPoint>, Error> {
    let wrong = |problem: String| Error::Metadata {
        wheel: wheel.text.clone(),
        file: "entry_points.txt",
        problem,
    };
    let mut scripts = false;
    let mut points: Vec<EntryPoint> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            scripts = matches!(section.trim(), "console_scripts" | "gui_scripts");
            continue;
        }
        if !scripts {
            continue;
        }
        let point = entry_point(line).ok_or_else(|| wrong(format!("`{line}` is no script")))?;
        if points.iter().any(|one| one.name == point.name) {
            return Err(wrong(format!("`{}` is there twice", point.name)));
        }
        points.push(point);
    }
    points.sort();
    Ok(points)
}

/// `pytest = pytest:console_main [extra]`; extras are a thing of the past.
fn entry_point(line: &str) -> Option<EntryPoint> {
    let (name, object) = line.split_once('=')?;
    let name = name.trim();
    let object = object.split('[').next()?.trim();
    let (module, function) = object.split_once(':')?;
    let (module, function) = (module.trim(), function.trim());
    // The name becomes a file in bin/, the rest Python code.
    let plain = |one: char| one.is_alphanumeric() || "-_.+ ".contains(one);
    let is_name = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
    (is_name && is_dotted(module) && is_dotted(function)).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        function: function.to_owned(),
    })
}

fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|one| one.is_alphanumeric() || one == '_')
    })
}

/// The headers before the first empty line; a line that begins with a blank goes on.
fn headers(text: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    headers
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The home page by its old key, or the first of the links that are called so (well-known labels of
/// the core metadata).
fn home(page: Option<String>, links: &[String]) -> String {
    const LABELS: &[&str] = &[
        "homepage",
        "source",
        "sourcecode",
        "repository",
        "github",
        "documentation",
    ];
    let links: Vec<(String, &str)> = links
        .iter()
        .filter_map(|link| link.split_once(','))
        .map(|(label, url)| {
            let label = label.to_ascii_lowercase();
            (label.replace([' ', '-', '_'], ""), url.trim())
        })
        .collect();
    let labelled = LABELS
        .iter()
        .find_map(|label| links.iter().find(|(one, _)| one == label));
    let home = page.or_else(|| labelled.map(|(_, url)| (*url).to_owned()));
    home.unwrap_or_default()
}

#[cfg(test)]
mod tests;
