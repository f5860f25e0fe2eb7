//! What an archive's index and dpkg's status say of a package, as far as it decides whether it can be
//! installed and where its file is.

use std::io::{self, BufRead};

use crate::control::{Paragraph, Paragraphs};
use crate::relation::{self, Alternatives, Relation};
use crate::version::Version;

/// A version of a package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Whether other architectures may use it.
    pub multi_arch: MultiArch,
    /// Whether a system without it is none.
    pub essential: bool,
    /// How needed it is.
    pub priority: Priority,
    /// `Pre-Depends` and `Depends`, as they stand there.
    depends: [String; 2],
    /// `Conflicts` and `Breaks`, as they stand there.
    conflicts: [String; 2],
    /// What it stands for, and in which version.
    pub provides: Vec<(String, Option<Version>)>,
    /// Its file; none for what is installed.
    pub file: Option<PackageFile>,
}

/// The file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Which of the indexes that were read names it, from 0.
    pub archive: usize,
    /// Its path, below the archive's address.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest, in hexadecimal digits.
    pub sha256: String,
}

/// `Multi-Arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiArch {
    /// It serves its own architecture.
    No,
    /// Several architectures of it may be installed.
    Same,
    /// It serves every architecture.
    Foreign,
    /// It serves every architecture where `:any` is said.
    Allowed,
}

/// `Priority`, the most needed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// No system works without it.
    Required,
    /// One expects it everywhere.
    Important,
    /// What a small system has.
    Standard,
    /// Everything else.
    Optional,
}

impl Package {
    /// What a paragraph says; `None` if it is not about a package.
    pub fn of(paragraph: &Paragraph) -> Option<Package> {
        let field = |name: &str| paragraph.get(name).unwrap_or_default();
        let owned = |name: &str| field(name).to_owned();
        let (name, version) = (field("Package"), field("Version"));
        if !is_name(name) || version.is_empty() {
            return None;
        }
        Some(Package {
            name: name.to_owned(),
            version: Version::new(version),
            architecture: owned("Architecture"),
            multi_arch: match field("Multi-Arch") {
                "same" => MultiArch::Same,
                "foreign" => MultiArch::Foreign,
                "allowed" => MultiArch::Allowed,
                _ => MultiArch::No,
            },
            essential: field("Essential") == "yes",
            priority: match field("Priority") {
                "required" => Priority::Required,
                "important" => Priority::Important,
                "standard" => Priority::Standard,
                _ => Priority::Optional,
            },
            depends: [owned("Pre-Depends"), owned("Depends")],
            conflicts: [owned("Conflicts"), owned("Breaks")],
            provides: provided(field("Provides")),
            file: None,
        })
    }

    /// What it needs. `None` if the field is no such list.
    pub fn needs(&self, architecture: &str) -> Option<Vec<Alternatives>> {
        let mut all = Vec::new();
        for field in &self.depends {
            all.extend(relation::parse(field, architecture)?);
        }
        Some(all)
    }

    /// What it cannot be installed beside.
    pub fn excludes(&self, architecture: &str) -> Option<Vec<Relation>> {
        let mut all = Vec::new();
        for field in &self.conflicts {
            all.extend(relation::parse(field, architecture)?.into_iter().flatten());
        }
        Some(all)
    }

    /// Whether a relation means it, by its name or by what it provides.
    pub fn answers(&self, relation: &Relation) -> bool {
        let qualified = match relation.qualifier.as_deref() {
            None | Some("native") => true,
            Some("any") => self.multi_arch == MultiArch::Allowed,
            Some(named) => named == self.architecture,
        };
        qualified
            && (self.name == relation.name && relation.takes(&self.version)
                || self.provides.iter().any(|(name, version)| {
                    *name == relation.name && relation.takes_provided(version.as_ref())
                }))
    }

    /// The name that dpkg gives the files that it keeps of it.
    pub fn book_name(&self) -> String {
        match self.multi_arch {
            MultiArch::Same => format!("{}:{}", self.name, self.architecture),
            _ => self.name.clone(),
        }
    }
}

/// Reads an archive's index: packages of an architecture, or of all. `archive` is the number that their files
/// get. What has no file with a digest is not there.
pub fn read(
    reader: impl BufRead,
    architecture: &str,
    archive: usize,
    packages: &mut Vec<Package>,
) -> io::Result<()> {
    for paragraph in Paragraphs::new(reader) {
        let paragraph = paragraph?;
        let Some(mut package) = Package::of(&paragraph) else {
            continue;
        };
        if package.architecture != architecture && package.architecture != "all" {
            continue;
        }
        let path = paragraph.get("Filename").unwrap_or_default();
        let path = path.trim_start_matches("./");
        let sha256 = paragraph.get("SHA256").unwrap_or_default();
        let size = paragraph.get("Size").and_then(|size| size.parse().ok());
        let (Some(size), true, true) = (size, is_digest(sha256), is_path(path)) else {
            continue;
        };
        package.file = Some(PackageFile {
            archive,
            path: path.to_owned(),
            size,
            sha256: sha256.to_owned(),
        });
        packages.push(package);
    }
    Ok(())
}

/// Whether a text is the name of a package (Debian policy, 5.6.1): names become names of files.
pub fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    text.len() >= 2
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether a text is a SHA-256 digest in hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a path stays below the archive's address.
pub(crate) fn is_path(path: &str) -> bool {
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(char::is_control);
    !path.contains(['?', '#', '\\']) && path.split('/').all(plain)
}

fn provided(field: &str) -> Vec<(String, Option<Version>)> {
    // What is provided is not restricted to architectures.
    let relations = relation::parse(field, "").unwrap_or_default();
    let relations = relations.into_iter().flatten();
    relations
        .map(|relation| (relation.name, relation.version.map(|(_, version)| version)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_for_one_architecture() {
        let digest = "0".repeat(64);
        let good = format!("Filename: pool/a.deb\nSize: 3\nSHA256: {digest}\n");
        let text = format!(
            "Package: aa\nVersion: 1\nArchitecture: arm64\nMulti-Arch: same\nProvides: x (= 2), y\n{good}\n\
             Package: bb\nVersion: 1\nArchitecture: all\nEssential: yes\nPriority: required\n{good}\n\
             Package: cc\nVersion: 1\nArchitecture: i386\n{good}\n\
             Package: dd\nVersion: 1\nArchitecture: all\nFilename: ../x.deb\nSize: 3\nSHA256: {digest}\n\n\
             Package: ee\nVersion: 1\nArchitecture: all\nFilename: x.deb\nSize: 3\nMD5sum: 0\n\n\
             Package: ../f\nVersion: 1\nArchitecture: all\n{good}"
        );
        let mut all = Vec::new();
        read(text.as_bytes(), "arm64", 7, &mut all).expect("an index");
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["aa", "bb"]);
        assert_eq!(all[0].book_name(), "aa:arm64");
        assert_eq!(all[0].file.as_ref().map(|file| file.archive), Some(7));
        assert!(all[1].essential && all[1].priority == Priority::Required);
        let relation = |text: &str| {
            let all = relation::parse(text, "arm64").expect("a relation");
            all[0][0].clone()
        };
        for (text, expected) in [
            ("aa", true),
            ("aa (>> 1)", false),
            ("x (>= 2)", true),
            ("x (>> 2)", false),
            ("y (>= 1)", false),
            ("y", true),
            ("aa:any", false),
            ("aa:arm64", true),
            ("aa:amd64", false),
        ] {
            assert_eq!(all[0].answers(&relation(text)), expected, "{text}");
        }
    }
}
