//! `compression = "solid"`: the content of all packages in a few long streams, whose windows
//! reach over the borders of packages. Slow to build, smallest to download.

use std::collections::BTreeMap;

use rayon::prelude::*;

use archive::package::{Entry, EntryKind, Kind, Package};
use fs_err as fs;

use crate::Error;
use crate::cache::Cache;
use crate::repack::{Repacker, SOLID};
use crate::scan::{Item, ItemKind, Part, Request, Scan};

/// Moves the content of `scans` into solid streams; `info/` stays where it is.
pub(crate) fn solidify(
    requests: &[Request<'_>],
    scans: &mut [Scan],
    cache: &Cache,
) -> Result<(), Error> {
    groups(scans)
        .into_par_iter()
        .zip(split(scans))
        .map(|(range, scans)| group(&requests[range], scans, cache))
        .collect()
}

/// Runs of packages whose content makes one stream each.
fn groups(scans: &[Scan]) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (position, scan) in scans.iter().enumerate() {
        size += scan.content_size();
        if size >= SOLID.target || position + 1 == scans.len() {
            groups.push(start..position + 1);
            (start, size) = (position + 1, 0);
        }
    }
    groups
}

fn split(mut scans: &mut [Scan]) -> Vec<&mut [Scan]> {
    let mut slices = Vec::new();
    for range in groups(scans) {
        let (head, tail) = std::mem::take(&mut scans).split_at_mut(range.len());
        slices.push(head);
        scans = tail;
    }
    slices
}

fn group(requests: &[Request<'_>], scans: &mut [Scan], cache: &Cache) -> Result<(), Error> {
    let mut repacker = Repacker::new(cache, SOLID, false);
    for (request, scan) in requests.iter().zip(scans.iter_mut()) {
        let places = pack(request, &mut repacker)?;
        for item in &mut scan.content {
            if let Item {
                path,
                kind: ItemKind::File(bytes),
                ..
            } = item
            {
                let place = places.get(path).copied();
                (bytes.part, bytes.offset) = place.ok_or_else(|| changed(request))?;
            }
        }
    }
    let parts = repacker.finish()?;
    for scan in scans {
        adopt(scan, &parts);
    }
    Ok(())
}

/// Gives `scan` the parts among `shared` that it uses, and renumbers what refers to them.
fn adopt(scan: &mut Scan, shared: &[Part]) {
    let own: Vec<Part> = scan
        .parts
        .iter()
        .filter(|part| part.info)
        .cloned()
        .collect();
    let old_info: Vec<usize> = (0..scan.parts.len())
        .filter(|&number| scan.parts[number].info)
        .collect();
    let mut numbers = BTreeMap::new();
    for item in &mut scan.content {
        if let ItemKind::File(bytes) = &mut item.kind {
            let next = numbers.len();
            bytes.part = *numbers.entry(bytes.part).or_insert(next);
        }
    }
    let mut parts: Vec<(usize, Part)> = numbers
        .into_iter()
        .filter_map(|(old, new)| Some((new, shared.get(old)?.clone())))
        .collect();
    parts.sort_by_key(|(new, _)| *new);
    let first_info = parts.len();
    for item in &mut scan.info {
        if let ItemKind::File(bytes) = &mut item.kind
            && let Some(position) = old_info.iter().position(|&old| old == bytes.part)
        {
            bytes.part = first_info + position;
        }
    }
    scan.parts = parts.into_iter().map(|(_, part)| part).chain(own).collect();
}

fn pack(
    request: &Request<'_>,
    repacker: &mut Repacker<'_>,
) -> Result<BTreeMap<String, (usize, u64)>, Error> {
    let damaged = |source| Error::Package {
        package: request.package.to_owned(),
        source,
    };
    let unreadable = |source| Error::Read {
        path: request.path.to_owned(),
        source,
    };
    let kind = Kind::from_file_name(request.package).ok_or_else(|| changed(request))?;
    let file = fs::File::open(request.path).map_err(unreadable)?;
    let mut package = Package::open(file, kind).map_err(damaged)?;
    let mut places = BTreeMap::new();
    let mut buffer = vec![0; 1 << 17];
    let mut failure = None;
    // As in a scan: what a `.conda`'s content has of `info/` stays with it.
    let apart = kind == Kind::TarBz2;
    let mut visit = |entry: Entry<'_>| -> Result<(), Error> {
        if entry.kind != EntryKind::File || (apart && entry.path.starts_with("info/")) {
            return Ok(());
        }
        places.insert(entry.path.clone(), repacker.begin()?);
        loop {
            match entry.content.read(&mut buffer).map_err(unreadable)? {
                0 => return Ok(()),
                read => repacker.write(&buffer[..read])?,
            }
        }
    };
    let visited = package.entries(&mut |entry| {
        visit(entry).map_err(|error| {
            failure = Some(error);
            archive::package::Error::Read {
                source: std::io::ErrorKind::Other.into(),
            }
        })
    });
    match (visited, failure) {
        (_, Some(error)) => Err(error),
        (Err(source), None) => Err(damaged(source)),
        (Ok(_), None) => Ok(places),
    }
}

fn changed(request: &Request<'_>) -> Error {
    Error::Changed {
        path: request.path.to_owned(),
    }
}
