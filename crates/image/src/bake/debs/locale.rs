//! A locale: taken from Debian's compiled ones (`locales-all`), which are the same for every CPU of one byte order and
//! need no program of any machine. The package itself is not installed: it has hundreds.

use std::io;
use std::path::PathBuf;

use debian::deb::{self, Kind};
use debian::{Package, Pool, Version};
use fs_err as fs;
use spec::ImageTarget;

use super::Failure;
use super::archives::Sources;
use super::error::DebsError;
use super::lock::LockedDeb;
use super::writer::Writer;
use crate::layer::What;

/// Debian's compiled locales.
const PACKAGE: &str = "locales-all";

/// Where programs look for them.
const FOLDER: &str = "usr/lib/locale";

/// The locale that needs files: `C.UTF-8` comes with the C library.
pub(super) fn wanted(target: &ImageTarget) -> Option<&str> {
    let locale = target.locale.as_deref()?;
    (!locale.starts_with("C.")).then_some(locale)
}

/// The package with the compiled locales, which must be those of the C library that there will be.
pub(super) fn package(
    pool: &Pool,
    installed: &[Package],
    layers: &[Vec<(&Package, LockedDeb)>],
    sources: &Sources,
) -> Result<LockedDeb, DebsError> {
    let missing = || DebsError::NoLocale {
        locale: "of any kind".to_owned(),
        package: format!("the archive, which has no package {PACKAGE}"),
    };
    let package = pool.package(PACKAGE).ok_or_else(missing)?;
    let new = layers.iter().flatten().map(|(package, _)| *package);
    let libc = new
        .chain(installed)
        .filter(|package| package.name == "libc6" || package.name == "libc6.1")
        .max_by(|one, other| one.version.cmp(&other.version));
    let libc = libc.ok_or_else(|| DebsError::Locales {
        package: title(package),
        libc: "which it has not".to_owned(),
    })?;
    if upstream(&package.version) != upstream(&libc.version) {
        return Err(DebsError::Locales {
            package: title(package),
            libc: title(libc),
        });
    }
    sources.locked(package, true)
}

fn title(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

fn upstream(version: &Version) -> &str {
    let version = version.without_epoch();
    version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream)
}

/// Writes the files of a locale, and what says that it is the system's.
pub(super) fn write(
    writer: &mut Writer<'_>,
    (locale, package, file): &(&str, &LockedDeb, PathBuf),
) -> Result<(), Failure> {
    let unusable = |source| DebsError::Deb {
        package: package.title(),
        source,
    };
    let name = file_name(locale);
    let own = format!("{FOLDER}/{name}/");
    let opened = fs::File::open(file).map_err(|source| unusable(deb::DebError::Read { source }))?;
    // What is shared between locales is a link to the first that has it, which may be another one: such files are
    // read in a second pass.
    let mut elsewhere: Vec<Elsewhere> = Vec::new();
    let mut found = false;
    let mut failure = None;
    let mut put = |writer: &mut Writer<'_>, path: &str, size, content: &mut dyn io::Read| {
        let meta = writer.meta(0o644);
        let written = writer.entry(path, meta, What::File(size), content);
        written.map_err(|fault| fault.noted(&mut failure))
    };
    let first = deb::contents(opened, &mut |entry| {
        let Some(_) = entry.path.strip_prefix(&own) else {
            return Ok(());
        };
        found = true;
        match &entry.kind {
            Kind::File(size) => put(writer, &entry.path, *size, entry.content),
            Kind::HardLink(target) => {
                elsewhere.push(Elsewhere {
                    place: target.clone(),
                    path: entry.path.clone(),
                    link: None,
                });
                Ok(())
            }
            Kind::Link(target) => {
                elsewhere.push(Elsewhere {
                    place: joined(&entry.path, target),
                    path: entry.path.clone(),
                    link: Some(target.clone()),
                });
                Ok(())
            }
            // Folders come with the files.
            Kind::Directory => Ok(()),
        }
    });
    let mut second = Ok(());
    if first.is_ok() && !elsewhere.is_empty() {
        let opened =
            fs::File::open(file).map_err(|source| unusable(deb::DebError::Read { source }))?;
        second = deb::contents(opened, &mut |entry| {
            let Kind::File(size) = entry.kind else {
                return Ok(());
            };
            let here = |one: &Elsewhere| one.place == entry.path;
            if !elsewhere.iter().any(here) {
                return Ok(());
            }
            let mut bytes = Vec::new();
            entry.content.read_to_end(&mut bytes)?;
            for one in elsewhere.iter().filter(|one| here(one)) {
                put(writer, &one.path, size, &mut bytes.as_slice())?;
            }
            elsewhere.retain(|one| !here(one));
            Ok(())
        });
    }
    first
        .and(second)
        .map_err(|error| writer.failed(&package.title(), error, failure))?;
    // Ubuntu's lead to the C library's own `C.utf8`, too, which is in another package.
    for one in std::mem::take(&mut elsewhere) {
        match &one.link {
            Some(link) if writer.is_there(&one.place) => {
                let meta = writer.meta(0o777);
                let written = writer.entry(&one.path, meta, What::Link(link), &mut io::empty());
                written.map_err(|fault| writer.ours(fault))?;
            }
            _ => elsewhere.push(one),
        }
    }
    if !found || !elsewhere.is_empty() {
        return Err(DebsError::NoLocale {
            locale: (*locale).to_owned(),
            package: package.title(),
        }
        .into());
    }
    writer.text("etc/default/locale", 0o644, &format!("LANG={locale}\n"))?;
    Ok(())
}

/// A file of a locale that lies elsewhere.
struct Elsewhere {
    /// Where it lies.
    place: String,
    /// Where it is looked for.
    path: String,
    /// What a symbolic link there says.
    link: Option<String>,
}

/// Where a link at a path leads.
fn joined(path: &str, target: &str) -> String {
    let mut names: Vec<&str> = path.split('/').collect();
    names.pop();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// As the C library looks for it: `en_US.utf8`.
fn file_name(locale: &str) -> String {
    let (name, charset) = locale.split_once('.').unwrap_or((locale, "utf8"));
    let charset: String = charset
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    format!("{name}.{charset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_the_c_library_has_them() {
        assert_eq!(file_name("en_US.UTF-8"), "en_US.utf8");
        assert_eq!(joined("a/b/c/d", "../../x/./y"), "a/x/y");
        assert_eq!(upstream(&Version::new("2.36-9+deb12u14")), "2.36");
        assert_eq!(upstream(&Version::new("1:2.36-1-2")), "2.36-1");
    }
}
