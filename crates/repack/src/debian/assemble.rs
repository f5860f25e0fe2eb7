//! From the contents of Debian packages to drafts, as the definition says: files go to conda's
//! layout, links follow them, texts get a prefix; ELF files and their libraries are `linking`'s.

mod linking;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::archive::{self, Contents, Entry};
use super::{glob, licence, version};
use crate::definition::{Package, Replace};
use crate::draft::{Draft, DraftFile, Placeholder, PlaceholderMode, Source, placeholder};
use crate::libraries::Libraries;
use crate::lock::Deb;
use crate::paths::{absolute, relative};
use crate::repack::Context;
use crate::{Error, error};

/// Makes the drafts of one platform.
pub(crate) fn drafts(
    context: &Context<'_>,
    pins: &[Deb],
    files: &BTreeMap<String, PathBuf>,
) -> Result<Vec<Draft>, Error> {
    let folder = context
        .work
        .join(format!("debian-{}", context.target.subdir));
    let contents = unpack(&folder, files)?;
    let edited = folder.join("edited");
    fs::create_dir_all(&edited).map_err(error::file("make", &edited))?;
    let mut workshop = Workshop {
        context,
        contents,
        pins,
        edited,
        count: 0,
    };
    let mut made = Vec::new();
    for package in &context.definition.packages {
        made.push(workshop.collect(package)?);
    }
    twice(&made)?;
    workshop.link(&mut made)?;
    for (package, one) in context.definition.packages.iter().zip(&mut made) {
        workshop.finish_files(package, one)?;
    }
    let debian = &context.definition.debian;
    let mut libraries = Libraries::new(&debian.system, &debian.glibc);
    for (package, one) in context.definition.packages.iter().zip(&made) {
        linking::tell(package, one, &mut libraries)?;
    }
    for (package, one) in context.definition.packages.iter().zip(&mut made) {
        workshop.link_libraries(package, one, &libraries)?;
    }
    Ok(made.into_iter().map(|one| one.draft).collect())
}

/// A package on its way.
struct Made {
    draft: Draft,
    /// Where Debian's paths went.
    places: BTreeMap<String, String>,
    /// Links that still point to Debian's paths: place, Debian's path, target.
    links: Vec<(String, String, String)>,
    /// Texts of ELF files that are to be moved, by the files' places.
    texts: BTreeMap<String, Vec<(String, String)>>,
}

/// What all packages of a platform are made with.
struct Workshop<'a> {
    context: &'a Context<'a>,
    contents: BTreeMap<String, Contents>,
    pins: &'a [Deb],
    /// Where changed files are written.
    edited: PathBuf,
    count: usize,
}

fn unpack(
    folder: &Path,
    files: &BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, Contents>, Error> {
    let mut contents = BTreeMap::new();
    for (name, file) in files {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).map_err(error::file("make", &folder))?;
        let mut unpacked = archive::unpack(file, &folder).map_err(|source| Error::Deb {
            file: PathBuf::from(name),
            source,
        })?;
        let entries = std::mem::take(&mut unpacked.entries);
        unpacked.entries = entries
            .into_iter()
            .map(|(path, entry)| (merge_usr(&path), entry))
            .collect();
        contents.insert(name.clone(), unpacked);
    }
    Ok(contents)
}

/// Debian's `/lib` is `/usr/lib`, but its packages of 2023 still name both.
fn merge_usr(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    if ["bin", "sbin", "lib", "lib64"].contains(&first) {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

impl Workshop<'_> {
    /// Takes the files that the definition names.
    fn collect(&self, package: &Package) -> Result<Made, Error> {
        let wrong = |problem: String| self.wrong(package, problem);
        let mut draft = self.describe(package)?;
        let mut places = BTreeMap::new();
        let mut links = Vec::new();
        let mut used = BTreeSet::new();
        let exclude: Vec<String> = package.exclude.iter().map(|one| self.fill(one)).collect();
        let patterns: Vec<(String, String)> = package
            .files
            .iter()
            .map(|(from, to)| (self.fill(from), self.fill(to)))
            .collect();
        for deb in &package.debs {
            let Some(contents) = self.contents.get(deb) else {
                continue;
            };
            draft.timestamp_ms = draft.timestamp_ms.max(contents.newest.saturating_mul(1000));
            for (path, entry) in &contents.entries {
                if exclude.iter().any(|pattern| glob::fits(pattern, path)) {
                    continue;
                }
                let fitting = patterns.iter().enumerate().find_map(|(index, (from, to))| {
                    Some((index, glob::destination(from, to, path)?))
                });
                let Some((index, place)) = fitting else {
                    continue;
                };
                used.insert(index);
                match entry {
                    Entry::File { content, mode } => {
                        let file = DraftFile::File {
                            source: content.clone(),
                            mode: if mode & 0o111 == 0 { 0o644 } else { 0o755 },
                            placeholder: None,
                        };
                        if draft.files.insert(place.clone(), file).is_some() {
                            return Err(wrong(format!("two files go to `{place}`")));
                        }
                    }
                    Entry::SymbolicLink { target } => {
                        links.push((place.clone(), path.clone(), target.clone()));
                    }
                }
                places.insert(path.clone(), place);
            }
        }
        if let Some(unused) = (0..patterns.len()).find(|index| !used.contains(index)) {
            let pattern = patterns.get(unused).map(|(from, _)| from.as_str());
            let pattern = pattern.unwrap_or_default();
            return Err(wrong(format!("no file fits `{pattern}`")));
        }
        Ok(Made {
            draft,
            places,
            links,
            texts: BTreeMap::new(),
        })
    }

    /// Everything but the files.
    fn describe(&self, package: &Package) -> Result<Draft, Error> {
        let pins: Vec<&Deb> = package
            .debs
            .iter()
            .filter_map(|name| self.pins.iter().find(|pin| pin.name == *name))
            .collect();
        let first = pins.first();
        let first =
            first.ok_or_else(|| self.wrong(package, "it names no Debian package".to_owned()))?;
        let version = version::conda_version(&first.version);
        let mut license_files = Vec::new();
        for name in &package.debs {
            if let Some(path) = licence::copyright(&self.contents, name) {
                license_files.push((format!("{name}/copyright"), path));
            }
        }
        if license_files.is_empty() {
            return Err(self.wrong(
                package,
                "none of its Debian packages has a licence".to_owned(),
            ));
        }
        let run_exports = match package.pin {
            Some(pin) => vec![format!(
                "{} {}",
                package.name,
                version::compatible(&version, pin)
            )],
            None => Vec::new(),
        };
        Ok(Draft {
            name: package.name.clone(),
            version,
            build_number: self.context.definition.build_number,
            subdir: if package.noarch {
                "noarch".to_owned()
            } else {
                self.context.target.subdir.to_owned()
            },
            depends: package.depends.iter().map(|one| self.fill(one)).collect(),
            constrains: package
                .constrains
                .iter()
                .map(|one| self.fill(one))
                .collect(),
            run_exports,
            license: package.license.clone(),
            license_files,
            summary: package.summary.clone(),
            home: package.home.clone(),
            sources: pins
                .iter()
                .map(|pin| Source {
                    file: format!("{}_{}_{}.deb", pin.name, pin.version, pin.architecture),
                    sha256: pin.sha256.clone(),
                })
                .collect(),
            python_site_packages_path: package.site_packages.as_deref().map(|path| self.fill(path)),
            compile: package.compile.iter().map(|one| self.fill(one)).collect(),
            ..Draft::default()
        })
    }

    /// Links to where Debian's targets went, in whichever package.
    fn link(&self, made: &mut [Made]) -> Result<(), Error> {
        let everywhere: BTreeMap<String, String> =
            made.iter().flat_map(|one| one.places.clone()).collect();
        for (package, one) in self.context.definition.packages.iter().zip(made) {
            for (place, path, target) in std::mem::take(&mut one.links) {
                let found = landed(&everywhere, &merge_usr(&absolute(&path, &target)));
                let found = found.ok_or_else(|| {
                    self.wrong(
                        package,
                        format!("the link `{path}` leads to `{target}`, which no package takes: exclude it"),
                    )
                })?;
                let target = relative(&place, &found);
                one.draft
                    .files
                    .insert(place, DraftFile::SymbolicLink { target });
            }
            for (place, target) in &package.links {
                let target = self.fill(target);
                let link = DraftFile::SymbolicLink { target };
                one.draft.files.insert(self.fill(place), link);
            }
        }
        Ok(())
    }

    /// Adds the definition's texts and changes what it wants changed.
    fn finish_files(&mut self, package: &Package, one: &mut Made) -> Result<(), Error> {
        for (place, pattern) in &package.concat {
            let pattern = self.fill(pattern);
            let mut bytes = Vec::new();
            for contents in package.debs.iter().filter_map(|deb| self.contents.get(deb)) {
                for (path, entry) in &contents.entries {
                    if let (true, Entry::File { content, .. }) = (glob::fits(&pattern, path), entry)
                    {
                        bytes.extend(fs::read(content).map_err(error::file("read", content))?);
                    }
                }
            }
            if bytes.is_empty() {
                return Err(self.wrong(package, format!("no file fits `{pattern}`")));
            }
            let file = self.write(&bytes, 0o644, PlaceholderMode::Text)?;
            one.draft.files.insert(self.fill(place), file);
        }
        for (place, text) in &package.texts {
            let text = self.fill(text);
            let file = self.write(text.as_bytes(), 0o644, PlaceholderMode::Text)?;
            one.draft.files.insert(self.fill(place), file);
        }
        for replace in &package.replace {
            self.replace(package, one, replace)?;
        }
        Ok(())
    }

    fn replace(
        &mut self,
        package: &Package,
        one: &mut Made,
        replace: &Replace,
    ) -> Result<(), Error> {
        let pattern = self.fill(&replace.file);
        let pairs: Vec<(String, String)> = replace
            .text
            .iter()
            .map(|(from, to)| (self.fill(from), self.fill(to)))
            .collect();
        let mut used = BTreeSet::new();
        let places: Vec<String> = one
            .draft
            .files
            .keys()
            .filter(|place| glob::fits(&pattern, place))
            .cloned()
            .collect();
        for place in places {
            let Some(DraftFile::File { source, mode, .. }) = one.draft.files.get(&place) else {
                continue;
            };
            let mode = *mode;
            let bytes = fs::read(source).map_err(error::file("read", source))?;
            if bytes.starts_with(b"\x7fELF") {
                // There is room for one change: it comes with the run path.
                one.texts.entry(place).or_default().extend(pairs.clone());
                used.extend(0..pairs.len());
                continue;
            }
            let mut changed = bytes;
            for (index, (from, to)) in pairs.iter().enumerate() {
                let (next, count) = replaced(&changed, from.as_bytes(), to.as_bytes());
                if count > 0 {
                    used.insert(index);
                    changed = next;
                }
            }
            let file = self.write(&changed, mode, PlaceholderMode::Text)?;
            one.draft.files.insert(place, file);
        }
        match (0..pairs.len()).find(|index| !used.contains(index)) {
            Some(unused) => {
                let text = pairs.get(unused).map(|(from, _)| from.as_str());
                let text = text.unwrap_or_default();
                Err(self.wrong(
                    package,
                    format!("no file that fits `{pattern}` holds `{text}`"),
                ))
            }
            None => Ok(()),
        }
    }

    /// Writes a changed file, and notes the placeholder where it is in it.
    fn write(&mut self, bytes: &[u8], mode: u32, how: PlaceholderMode) -> Result<DraftFile, Error> {
        self.count += 1;
        let source = self.edited.join(self.count.to_string());
        fs::write(&source, bytes).map_err(error::file("write", &source))?;
        let text = placeholder();
        let holds = memchr::memmem::find(bytes, text.as_bytes()).is_some();
        Ok(DraftFile::File {
            source,
            mode,
            placeholder: holds.then_some(Placeholder { text, mode: how }),
        })
    }

    /// Replaces the names in braces.
    fn fill(&self, text: &str) -> String {
        text.replace("{triplet}", self.context.target.triplet)
            .replace("{machine}", self.context.target.machine)
            .replace("{python}", &self.context.definition.python)
            .replace("{prefix}", &placeholder())
    }

    fn wrong(&self, package: &Package, problem: String) -> Error {
        Error::PackageDefinition {
            package: package.name.clone(),
            platform: self.context.target.subdir.to_owned(),
            problem,
        }
    }
}

/// No path may be in two packages.
fn twice(made: &[Made]) -> Result<(), Error> {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    for one in made {
        for place in one.draft.files.keys() {
            if let Some(other) = holders.insert(place, &one.draft.name) {
                return Err(Error::PackageDefinition {
                    package: one.draft.name.clone(),
                    platform: one.draft.subdir.clone(),
                    problem: format!("`{place}` is in the package {other} too"),
                });
            }
        }
    }
    Ok(())
}

/// Where a file or folder of Debian's went.
fn landed(places: &BTreeMap<String, String>, path: &str) -> Option<String> {
    if let Some(place) = places.get(path) {
        return Some(place.clone());
    }
    let below = format!("{path}/");
    places
        .range(below.clone()..)
        .take_while(|(one, _)| one.starts_with(&below))
        .find_map(|(one, place)| {
            let rest = one.strip_prefix(&below)?;
            let folder = place.strip_suffix(rest)?.strip_suffix('/')?;
            Some(folder.to_owned())
        })
}

/// The bytes with all `from` replaced, and how many there were.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(bytes.len());
    let mut last = 0;
    let mut count = 0;
    for at in memchr::memmem::find_iter(bytes, from) {
        out.extend_from_slice(bytes.get(last..at).unwrap_or_default());
        out.extend_from_slice(to);
        last = at + from.len();
        count += 1;
    }
    out.extend_from_slice(bytes.get(last..).unwrap_or_default());
    (out, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_folder_is_found_by_what_is_in_it() {
        let places = BTreeMap::from([(
            "etc/ssl/certs/a.pem".to_owned(),
            "ssl/certs/a.pem".to_owned(),
        )]);
        assert_eq!(
            landed(&places, "etc/ssl/certs").as_deref(),
            Some("ssl/certs")
        );
        assert_eq!(landed(&places, "etc/ssl/cert").as_deref(), None);
    }
}
