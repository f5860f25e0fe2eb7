//! The cache's values as bytes. Each begins with a checksum over its key and what follows, so that a
//! damaged page is noticed wherever it is read.

use archive::digest::{Md5, Sha256};
use archive::package::Kind;

use super::{Known, Mark, State};
use crate::output::shards;
use crate::scan::{Stat, Wanted};
use crate::scanned::{PostInstall, Scanned};

/// The length of a checksum in bytes.
const SUM: usize = 4;

/// What a package takes besides its texts: checksum, kind, digests, size, time, lengths and flags, in bytes.
const FIXED: usize = SUM + 1 + 16 + 32 + 8 + 8 + 5 * 8 + 1;

/// What is kept of a file.
pub(super) enum Row {
    Package(Box<Scanned>),
    Reason(String),
}

/// `value` with its checksum.
pub(super) fn seal(key: &str, value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(SUM + value.len());
    sealed.extend_from_slice(&checksum(key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value, if it is whole.
pub(super) fn open<'a>(key: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, value) = sealed.split_first_chunk()?;
    (*sum == checksum(key, value)).then_some(value)
}

/// A row under another name, which damage can make of it, is not whole.
pub(super) fn encode_known(name: &str, known: &Known) -> Vec<u8> {
    let mut value = Vec::with_capacity(40);
    value.extend_from_slice(&known.stat.size.to_le_bytes());
    value.extend_from_slice(&known.stat.mtime_ns.to_le_bytes());
    value.extend_from_slice(&known.stat.inode.to_le_bytes());
    let wanted = &known.wanted;
    value.push(
        u8::from(wanted.run_exports)
            | u8::from(wanted.details) << 1
            | u8::from(wanted.digests) << 2
            | u8::from(known.mark.is_named) << 3,
    );
    value.push(match known.state {
        State::Package => 0,
        State::Unusable => 1,
        State::Imported => 2,
        State::ImportedWithTime => 3,
    });
    value.extend_from_slice(&known.mark.sum.to_le_bytes());
    value.extend_from_slice(&known.indexed_ms.to_le_bytes());
    seal(name, &value)
}

pub(super) fn known(name: &str, sealed: &[u8]) -> Option<Known> {
    let mut reader = Reader(open(name, sealed)?);
    let stat = Stat {
        size: u64::from_le_bytes(reader.array()?),
        mtime_ns: i64::from_le_bytes(reader.array()?),
        inode: u64::from_le_bytes(reader.array()?),
    };
    let [flags, state] = reader.array()?;
    Some(Known {
        stat,
        wanted: Wanted {
            run_exports: flags & 1 != 0,
            details: flags & 2 != 0,
            digests: flags & 4 != 0,
        },
        state: match state {
            0 => State::Package,
            1 => State::Unusable,
            2 => State::Imported,
            3 => State::ImportedWithTime,
            _ => return None,
        },
        mark: Mark {
            sum: u32::from_le_bytes(reader.array()?),
            is_named: flags & 8 != 0,
        },
        indexed_ms: i64::from_le_bytes(reader.array()?),
    })
}

/// What tells the package from another of the same name; `sealed` is what is kept of it.
pub(super) fn mark(scanned: &Scanned, sealed: &[u8]) -> Mark {
    let sum = sealed.first_chunk().copied().unwrap_or_default();
    let named = archive::package::split_file_name(&scanned.file).map(|(name, _, _)| name);
    Mark {
        sum: u32::from_le_bytes(sum),
        is_named: named.is_some_and(|name| name == shards::name(&scanned.file, &scanned.record)),
    }
}

pub(super) fn encode_reason(name: &str, reason: &str) -> Vec<u8> {
    let mut value = vec![0];
    value.extend_from_slice(reason.as_bytes());
    seal(name, &value)
}

pub(super) fn encode_package(scanned: &Scanned) -> Vec<u8> {
    let texts = [&scanned.run_exports, &scanned.about, &scanned.recipe];
    let texts = texts.iter().filter_map(|text| text.as_ref());
    let length = texts.map(String::len).sum::<usize>() + scanned.record.len();
    // The checksum comes first, and is known last.
    let mut value = Vec::with_capacity(length + scanned.icon.as_ref().map_or(0, Vec::len) + FIXED);
    value.extend_from_slice(&[0; SUM]);
    value.push(1);
    value.extend_from_slice(&scanned.md5.0);
    value.extend_from_slice(&scanned.sha256.0);
    value.extend_from_slice(&scanned.size.to_le_bytes());
    value.extend_from_slice(&scanned.mtime_ns.to_le_bytes());
    put(&mut value, Some(scanned.record.as_bytes()));
    put(
        &mut value,
        scanned.run_exports.as_deref().map(str::as_bytes),
    );
    let post = &scanned.post_install;
    let flags = [
        post.binary_prefix,
        post.text_prefix,
        post.activate_d,
        post.deactivate_d,
        post.pre_link,
        post.post_link,
        post.pre_unlink,
    ];
    value.push(
        flags
            .iter()
            .rev()
            .fold(0, |bits, flag| bits << 1 | u8::from(*flag)),
    );
    put(&mut value, scanned.about.as_deref().map(str::as_bytes));
    put(&mut value, scanned.recipe.as_deref().map(str::as_bytes));
    put(&mut value, scanned.icon.as_deref());
    let sum = checksum(&scanned.file, value.get(SUM..).unwrap_or_default());
    if let Some(place) = value.first_chunk_mut() {
        *place = sum;
    }
    value
}

/// What is kept of the file `name`.
pub(super) fn row(name: &str, sealed: &[u8]) -> Option<Row> {
    let mut reader = Reader(open(name, sealed)?);
    let [kind] = reader.array()?;
    if kind == 0 {
        return Some(Row::Reason(String::from_utf8(reader.0.to_vec()).ok()?));
    }
    let scanned = Scanned {
        file: name.to_owned(),
        kind: Kind::from_file_name(name)?,
        md5: Md5(reader.array()?),
        sha256: Sha256(reader.array()?),
        size: u64::from_le_bytes(reader.array()?),
        mtime_ns: i64::from_le_bytes(reader.array()?),
        record: reader.text()??,
        run_exports: reader.text()?,
        post_install: post_install(reader.array()?),
        about: reader.text()?,
        recipe: reader.text()?,
        icon: reader.bytes()?.map(<[u8]>::to_vec),
    };
    Some(Row::Package(Box::new(scanned)))
}

fn post_install([flags]: [u8; 1]) -> PostInstall {
    let flag = |number: u8| flags >> number & 1 != 0;
    PostInstall {
        binary_prefix: flag(0),
        text_prefix: flag(1),
        activate_d: flag(2),
        deactivate_d: flag(3),
        pre_link: flag(4),
        post_link: flag(5),
        pre_unlink: flag(6),
    }
}

/// The record and `run_exports` of the file `name`; nothing where it is no package.
#[expect(
    clippy::option_option,
    reason = "what is no package is told from what cannot be read"
)]
pub(super) fn texts<'a>(
    name: &str,
    sealed: &'a [u8],
) -> Option<Option<(&'a str, Option<&'a str>)>> {
    let mut reader = Reader(open(name, sealed)?);
    let [kind] = reader.array()?;
    if kind == 0 {
        return Some(None);
    }
    let _digests_size_and_time: [u8; 16 + 32 + 8 + 8] = reader.array()?;
    let record = std::str::from_utf8(reader.bytes()??).ok()?;
    let run_exports = match reader.bytes()? {
        None => None,
        Some(bytes) => Some(std::str::from_utf8(bytes).ok()?),
    };
    Some(Some((record, run_exports)))
}

fn checksum(key: &str, value: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(value);
    sum.finalize().to_le_bytes()
}

/// A length and as many bytes; one more than there are for what is there.
fn put(value: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(0, |bytes| bytes.len() as u64 + 1);
    value.extend_from_slice(&length.to_le_bytes());
    value.extend_from_slice(bytes.unwrap_or_default());
}

struct Reader<'a>(&'a [u8]);

#[expect(
    clippy::option_option,
    reason = "what is not there is told from what cannot be read"
)]
impl<'a> Reader<'a> {
    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let length = u64::from_le_bytes(self.array()?);
        let Some(length) = length.checked_sub(1) else {
            return Some(None);
        };
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(bytes))
    }

    fn text(&mut self) -> Option<Option<String>> {
        match self.bytes()? {
            None => Some(None),
            Some(bytes) => Some(Some(String::from_utf8(bytes.to_vec()).ok()?)),
        }
    }
}
