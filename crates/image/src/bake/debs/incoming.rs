//! Debian packages on their way into a layer: what each says of itself, and in which order they come.

use std::path::Path;

use debian::deb::{self, Control};
use debian::{Package, Relation, Version, relation};
use fs_err as fs;

use super::error::DebsError;
use super::lock::LockedDeb;

/// A package on its way.
pub(super) struct Incoming<'a> {
    pub(super) package: Package,
    pub(super) control: Control,
    pub(super) title: String,
    pub(super) file: &'a Path,
    pub(super) deb: &'a LockedDeb,
    /// Of whom it may take files over.
    replaces: Vec<Relation>,
    /// What is in it, as its list says.
    pub(super) list: Vec<String>,
    pub(super) conffiles: Vec<(String, String)>,
}

impl Incoming<'_> {
    /// What is in it, with a slash in front.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(String::as_str)
    }
}

/// Reads what a package says of itself, which must be what the index said.
pub(super) fn incoming<'a>(deb: &'a LockedDeb, file: &'a Path) -> Result<Incoming<'a>, DebsError> {
    let unusable = |source| DebsError::Deb {
        package: deb.title(),
        source,
    };
    let opened = fs::File::open(file).map_err(|source| unusable(deb::DebError::Read { source }))?;
    let control = deb::control(opened).map_err(unusable)?;
    let package = Package::of(&control.paragraph);
    let package = package.ok_or_else(|| unusable(nameless()))?;
    let same = package.name == deb.name
        && package.version == Version::new(&deb.version)
        && package.architecture == deb.architecture;
    if !same {
        let Package {
            name,
            version,
            architecture,
            ..
        } = package;
        return Err(DebsError::OtherPackage {
            package: deb.title(),
            found: format!("{name}_{version}_{architecture}"),
        });
    }
    let field = control.paragraph.get("Replaces").unwrap_or_default();
    let replaces = relation::parse(field, &package.architecture).unwrap_or_default();
    Ok(Incoming {
        replaces: replaces.into_iter().flatten().collect(),
        package,
        control,
        title: deb.title(),
        file,
        deb,
        list: Vec::new(),
        conffiles: Vec::new(),
    })
}

fn nameless() -> deb::DebError {
    deb::DebError::Format {
        problem: "its control file names no package".to_owned(),
    }
}

/// By name, but the base system's own files first, and whoever takes files over from others before those.
pub(super) fn in_order(all: &mut Vec<Incoming<'_>>) {
    all.sort_by(|one, other| one.package.name.cmp(&other.package.name));
    let mut todo: Vec<Incoming<'_>> = std::mem::take(all);
    if let Some(first) = todo.iter().position(|one| one.package.name == "base-files") {
        all.push(todo.remove(first));
    }
    while !todo.is_empty() {
        let free = (0..todo.len()).find(|&place| {
            let others = todo.iter().enumerate();
            let mut others = others.filter(|(other, _)| *other != place);
            !others.any(|(_, other)| replaces(other, &todo[place]))
        });
        // In a circle, the name decides.
        all.push(todo.remove(free.unwrap_or(0)));
    }
}

/// Whether one package may take over files of another.
pub(super) fn replaces(one: &Incoming<'_>, other: &Incoming<'_>) -> bool {
    one.replaces.iter().any(|relation| {
        relation.name == other.package.name && relation.takes(&other.package.version)
    })
}
