//! ELF files of Debian: they get run paths, and what they need becomes dependencies.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use fs_err as fs;

use super::{Made, Workshop};
use crate::definition::Package;
use crate::draft::{DraftFile, PlaceholderMode};
use crate::elf::{self, Edit, ElfError};
use crate::libraries::Libraries;
use crate::{Error, error, paths};

/// Tells which libraries lie in `lib/` of a package.
pub(super) fn tell(package: &Package, one: &Made, libraries: &mut Libraries) -> Result<(), Error> {
    let depend = match one.draft.run_exports.first() {
        Some(export) => export.clone(),
        None => package.name.clone(),
    };
    for (place, file) in &one.draft.files {
        let Some(name) = paths::library(place) else {
            continue;
        };
        libraries.add(name, &package.name, &depend);
        let DraftFile::File { source, .. } = file else {
            continue;
        };
        let read = read_elf(package, place, source)?;
        if let Some(soname) = read.and_then(|(_, read)| read.soname) {
            libraries.add(&soname, &package.name, &depend);
        }
    }
    Ok(())
}

impl Workshop<'_> {
    /// Gives ELF files their run path and the package what they need.
    pub(super) fn link_libraries(
        &mut self,
        package: &Package,
        one: &mut Made,
        libraries: &Libraries,
    ) -> Result<(), Error> {
        let mut depends: BTreeSet<String> = BTreeSet::new();
        let places: Vec<String> = one.draft.files.keys().cloned().collect();
        for place in places {
            let Some(DraftFile::File { source, mode, .. }) = one.draft.files.get(&place) else {
                continue;
            };
            let mode = *mode;
            let Some((bytes, read)) = read_elf(package, &place, source)? else {
                continue;
            };
            if package.noarch || read.machine != self.context.target.elf {
                return Err(self.wrong(package, format!("`{place}` is for another machine")));
            }
            let need = libraries.need(&package.name, &read, &mut depends);
            need.map_err(|library| Error::NoLibrary {
                package: package.name.clone(),
                file: place.clone(),
                library,
            })?;
            let from_channel = |soname: &String| libraries.package(soname).is_some();
            let edit = Edit {
                run_path: read
                    .needed
                    .iter()
                    .any(from_channel)
                    .then(|| run_path(&place)),
                texts: one.texts.remove(&place).unwrap_or_default(),
            };
            if edit.run_path.is_none() && edit.texts.is_empty() {
                continue;
            }
            let bytes = elf::edit(&bytes, &edit).map_err(wrong(package, &place))?;
            let file = self.write(&bytes, mode, PlaceholderMode::Binary)?;
            one.draft.files.insert(place, file);
        }
        one.draft.depends.extend(depends);
        one.draft.depends.sort();
        one.draft.depends.dedup();
        Ok(())
    }
}

/// Reads a file if it is an ELF file; of others only the beginning.
fn read_elf(
    package: &Package,
    place: &str,
    path: &Path,
) -> Result<Option<(Vec<u8>, elf::Elf)>, Error> {
    let failed = |source| error::file("read", path)(source);
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    (&mut file)
        .take(4)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes != b"\x7fELF" {
        return Ok(None);
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    let read = elf::read(&bytes).map_err(wrong(package, place))?;
    Ok(read.map(|read| (bytes, read)))
}

fn wrong(package: &Package, place: &str) -> impl Fn(ElfError) -> Error {
    move |source| Error::Elf {
        package: package.name.clone(),
        file: place.to_owned(),
        source,
    }
}

/// From the folder of a file to `lib`, for the dynamic linker.
fn run_path(place: &str) -> String {
    let way = paths::relative(place, "lib");
    match way.as_str() {
        "" => "$ORIGIN".to_owned(),
        way => format!("$ORIGIN/{way}"),
    }
}

#[cfg(test)]
mod tests {
    use super::run_path;

    #[test]
    fn run_paths_lead_to_lib() {
        assert_eq!(run_path("lib/libz.so"), "$ORIGIN");
        assert_eq!(run_path("bin/python3"), "$ORIGIN/../lib");
        assert_eq!(run_path("lib/python3.11/lib-dynload/x.so"), "$ORIGIN/../..");
    }
}
