//! What the target must have and be: loader, glibc, prefix length, room on the disk.

use std::collections::HashSet;

use conda::Subdir;
use runtime::plan::{Entry, Kind, LongestPrefix, Need, Package, Places, Requirements, Text};

use super::{Input, Settings};

/// The unit in which file systems give out room, in bytes.
const BLOCK: u64 = 4096;

/// What `conda-meta` takes for each entry of a package, in bytes: a path twice, two digests and
/// the keys around them. Measured at 300 to 420 on conda-forge's packages.
const RECORD_PER_ENTRY: u64 = 420;

/// Loader and glibc. A distribution of noarch packages alone needs neither.
pub(super) fn requirements(settings: &Settings, inputs: &[Input<'_>]) -> Requirements {
    if inputs
        .iter()
        .all(|input| input.record.package_record.subdir == "noarch")
    {
        return Requirements::default();
    }
    let loaders: &[&str] = match settings.platform {
        Subdir::Linux64 => &["/lib64/ld-linux-x86-64.so.2"],
        Subdir::LinuxAarch64 => &["/lib/ld-linux-aarch64.so.1"],
        _ => &[],
    };
    Requirements {
        loaders: loaders.iter().map(|&path| path.to_owned()).collect(),
        glibc: settings.glibc.clone(),
    }
}

/// The shortest binary placeholder that is really used.
pub(super) fn longest_prefix(packages: &[Package]) -> Option<LongestPrefix> {
    let mut shortest: Option<LongestPrefix> = None;
    for package in packages {
        for entry in &package.entries {
            let Kind::File(file) = &entry.kind else {
                continue;
            };
            let Some(placeholder) = &file.placeholder else {
                continue;
            };
            let Places::Binary { strings } = &placeholder.places else {
                continue;
            };
            let length = placeholder.prefix.len();
            if !strings.is_empty() && shortest.as_ref().is_none_or(|one| length < one.length) {
                shortest = Some(LongestPrefix {
                    length,
                    package: package.dist.clone(),
                    file: entry.path.clone(),
                });
            }
        }
    }
    shortest
}

/// Room for the prefix.
pub(super) fn need(packages: &[Package], extra: &[Entry], texts: &[Text]) -> Need {
    let mut need = Need::default();
    let mut folders = HashSet::new();
    for package in packages {
        let written = package
            .entries
            .iter()
            .filter(|entry| entry.clobbered_by.is_none());
        let mut count = 0;
        for entry in written {
            add(&mut need, &mut folders, entry);
            count += 1;
        }
        file(&mut need, 2 * BLOCK + count * RECORD_PER_ENTRY);
    }
    for entry in extra {
        add(&mut need, &mut folders, entry);
    }
    for text in texts {
        file(&mut need, text.text.len() as u64);
    }
    need.inodes += folders.len() as u64;
    need.bytes += folders.len() as u64 * BLOCK;
    need
}

/// Room for `pkgs/` beyond hard links.
pub(super) fn need_kept(packages: &[Package]) -> Need {
    let mut need = Need::default();
    for package in packages {
        let mut folders = HashSet::new();
        let copied = package.entries.iter().filter(|entry| match &entry.kind {
            Kind::File(file) => file.placeholder.is_some() || entry.clobbered_by.is_some(),
            Kind::SymbolicLink { .. } | Kind::Directory => true,
            Kind::HardLink { .. } | Kind::EntryPoint { .. } => false,
        });
        for entry in copied.chain(&package.info) {
            add(&mut need, &mut folders, entry);
        }
        // Hard links take no inode, but the folders around them do.
        for entry in &package.entries {
            parents(&mut folders, entry.source.as_deref().unwrap_or(&entry.path));
        }
        need.inodes += folders.len() as u64 + 1;
        need.bytes += (folders.len() as u64 + 1) * BLOCK;
    }
    need
}

fn add<'a>(need: &mut Need, folders: &mut HashSet<&'a str>, entry: &'a Entry) {
    parents(folders, &entry.path);
    match &entry.kind {
        Kind::File(content) => file(need, content.size),
        Kind::EntryPoint { body } => file(need, body.len() as u64),
        Kind::SymbolicLink { .. } => need.inodes += 1,
        Kind::Directory => {
            folders.insert(&entry.path);
        }
        Kind::HardLink { .. } => {}
    }
}

fn file(need: &mut Need, size: u64) {
    need.inodes += 1;
    need.bytes += size.next_multiple_of(BLOCK);
}

fn parents<'a>(folders: &mut HashSet<&'a str>, path: &'a str) {
    let mut end = path.len();
    while let Some(slash) = path[..end].rfind('/') {
        if !folders.insert(&path[..slash]) {
            return;
        }
        end = slash;
    }
}
