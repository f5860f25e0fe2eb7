//! A wheel as a zip archive. Wheels come from strangers: names, kinds, numbers and sizes are checked
//! before anything is unpacked, and each file against the archive's checksum, its declared size and
//! RECORD while it is.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr as _;

use archive::digest::HashingReader;
use conda::hex;
use flate2::read::DeflateDecoder;
use fs_err as fs;
use pep440_rs::Version;
use pep508_rs::PackageName;
use rawzip::{CompressionMethod, FileReader, ZipArchive, ZipArchiveEntryWayfinder};

use super::error::local;
use super::file_name::FileName;
use super::record::{self, Listed};
use super::{Error, metadata};

/// No wheel has as many files.
const FILES_LIMIT: usize = 200_000;
/// Linux allows 4096 bytes with the prefix.
const NAME_LIMIT: usize = 1024;
/// Of what is unpacked in all.
const TOTAL_LIMIT: u64 = 8 << 30;
/// How many times its size a wheel may grow, beyond [`RATIO_FREE`]: text grows 10 times.
const RATIO_LIMIT: u64 = 100;
const RATIO_FREE: u64 = 16 << 20;
/// METADATA with a long description has 1 MB; a RECORD of 100,000 files 15 MB.
const TEXT_LIMIT: u64 = 64 << 20;

/// A wheel whose directory was checked.
pub(super) struct Opened {
    /// What its file name says.
    pub(super) name: FileName,
    /// Its files by path.
    pub(super) files: BTreeMap<String, Entry>,
    /// The name of its `.dist-info` folder.
    pub(super) dist_info: String,
    /// The name of its `.data` folder, whether there is one or not.
    pub(super) data: String,
    /// What RECORD says of each file.
    record: BTreeMap<String, Option<Listed>>,
    archive: ZipArchive<FileReader>,
}

/// A file in a wheel.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its length in bytes.
    pub(super) size: u64,
    /// Whether it may be run.
    pub(super) executable: bool,
    /// When it was changed, in seconds since 1970.
    pub(super) modified: u64,
    method: CompressionMethod,
    place: ZipArchiveEntryWayfinder,
}

impl Opened {
    /// Opens a wheel and checks everything that can be without unpacking.
    pub(super) fn open(path: &Path, name: FileName) -> Result<Opened, Error> {
        let zip = |source| Error::Zip {
            wheel: name.text.clone(),
            source,
        };
        let file = fs::File::open(path).map_err(local("read", path))?;
        let length = file.metadata().map_err(local("read", path))?.len();
        let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(file.into(), &mut buffer).map_err(zip)?;
        let files = directory(&archive, &mut buffer, &name, length)?;
        let dist_info = dist_info(&name, &files)?;
        let stem = dist_info.trim_end_matches(".dist-info");
        let mut opened = Opened {
            data: format!("{stem}.data"),
            dist_info,
            name,
            files,
            record: BTreeMap::new(),
            archive,
        };
        let record = opened.read("RECORD")?;
        opened.record = record::parse(&opened.name, &record)?;
        opened.check_record()?;
        Ok(opened)
    }

    /// Whether there is a file of this name in `.dist-info`.
    pub(super) fn has(&self, file: &str) -> bool {
        self.files
            .contains_key(&format!("{}/{file}", self.dist_info))
    }

    /// The METADATA of the wheel.
    pub(super) fn metadata(&self) -> Result<metadata::Metadata, Error> {
        metadata::Metadata::parse(&self.name, &self.text("METADATA")?)
    }

    /// A text of `.dist-info`.
    pub(super) fn text(&self, file: &'static str) -> Result<String, Error> {
        let bytes = self.read(file)?;
        String::from_utf8(bytes).map_err(|_| Error::Metadata {
            wheel: self.name.text.clone(),
            file,
            problem: "it is not UTF-8 text".to_owned(),
        })
    }

    /// Unpacks a file to `destination`, and returns its digest, which is what RECORD says.
    pub(super) fn unpack(&self, file: &str, destination: &Path) -> Result<Listed, Error> {
        if let Some(folder) = destination.parent() {
            fs::create_dir_all(folder).map_err(local("make", folder))?;
        }
        let mut output = fs::File::create(destination).map_err(local("write", destination))?;
        self.copy(file, &mut output)
    }

    fn read(&self, file: &'static str) -> Result<Vec<u8>, Error> {
        let path = format!("{}/{file}", self.dist_info);
        let entry = self.files.get(&path).ok_or_else(|| Error::Missing {
            wheel: self.name.text.clone(),
            file,
        })?;
        if entry.size > TEXT_LIMIT {
            return Err(self.wrong(&path, "is absurdly large"));
        }
        let mut bytes = Vec::new();
        self.copy(&path, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies a file's content, checks size, checksum and RECORD.
    fn copy(&self, file: &str, output: &mut dyn Write) -> Result<Listed, Error> {
        let unpack = |source| Error::Unpack {
            wheel: self.name.text.clone(),
            file: file.to_owned(),
            source,
        };
        let entry = self
            .files
            .get(file)
            .ok_or_else(|| self.wrong(file, "is in RECORD only"))?;
        let place = self
            .archive
            .get_entry(entry.place)
            .map_err(|source| Error::Zip {
                wheel: self.name.text.clone(),
                source,
            })?;
        let content: Box<dyn Read + '_> = if entry.method == CompressionMethod::STORE {
            Box::new(place.reader())
        } else {
            Box::new(DeflateDecoder::new(place.reader()))
        };
        // One byte more than promised is enough to see that there is more.
        let checked = place.verifying_reader(content).take(entry.size + 1);
        let mut hashing = HashingReader::new(checked);
        let size = io::copy(&mut hashing, output).map_err(unpack)?;
        if size != entry.size {
            return Err(self.wrong(file, "does not have the size that the archive says"));
        }
        let sha256 = hashing.finish().1.0;
        if let Some(Some(listed)) = self.record.get(file) {
            if listed.sha256 != sha256 {
                return Err(Error::Record {
                    wheel: self.name.text.clone(),
                    file: file.to_owned(),
                    expected: hex::encode(&listed.sha256),
                    actual: hex::encode(&sha256),
                });
            }
            if listed.size.is_some_and(|listed| listed != size) {
                return Err(self.wrong(file, "does not have the size that RECORD says"));
            }
        }
        Ok(Listed {
            sha256,
            size: Some(size),
        })
    }

    /// RECORD has each file, with a digest, and no other one.
    fn check_record(&self) -> Result<(), Error> {
        for file in self.files.keys() {
            let unlisted = ["RECORD", "RECORD.jws", "RECORD.p7s"];
            let free = unlisted
                .iter()
                .any(|name| *file == format!("{}/{name}", self.dist_info));
            match self.record.get(file) {
                _ if free => {}
                Some(Some(_)) => {}
                Some(None) => return Err(self.wrong(file, "has no digest in RECORD")),
                None => return Err(self.wrong(file, "is not in RECORD")),
            }
        }
        for file in self.record.keys() {
            if !self.files.contains_key(file) && !file.ends_with('/') {
                return Err(self.wrong(file, "is in RECORD, but not in the archive"));
            }
        }
        Ok(())
    }

    fn wrong(&self, file: &str, problem: &'static str) -> Error {
        wrong(&self.name, file, problem)
    }
}

fn wrong(wheel: &FileName, file: &str, problem: &'static str) -> Error {
    Error::File {
        wheel: wheel.text.clone(),
        file: file
            .chars()
            .take(300)
            .flat_map(char::escape_default)
            .collect(),
        problem,
    }
}

/// The archive's directory without its folders.
fn directory(
    archive: &ZipArchive<FileReader>,
    buffer: &mut [u8],
    wheel: &FileName,
    length: u64,
) -> Result<BTreeMap<String, Entry>, Error> {
    let zip = |source| Error::Zip {
        wheel: wheel.text.clone(),
        source,
    };
    let absurd = |problem| Error::Absurd {
        wheel: wheel.text.clone(),
        problem,
    };
    let mut files = BTreeMap::new();
    let (mut packed, mut total) = (0u64, 0u64);
    let mut entries = archive.entries(buffer);
    while let Some(entry) = entries.next_entry().map_err(zip)? {
        let path = entry.file_path();
        let raw: &[u8] = path.as_bytes();
        let path = str::from_utf8(raw).map_err(|_| {
            wrong(
                wheel,
                &String::from_utf8_lossy(raw),
                "has a name that is not UTF-8",
            )
        })?;
        check_path(path.trim_end_matches('/')).map_err(|problem| wrong(wheel, path, problem))?;
        if entry.mode().is_symlink() {
            return Err(wrong(wheel, path, "is a symbolic link"));
        }
        if entry.is_dir() {
            continue;
        }
        if entry.flags().is_encrypted() {
            return Err(wrong(wheel, path, "is encrypted"));
        }
        let method = entry.compression_method();
        if method != CompressionMethod::STORE && method != CompressionMethod::DEFLATE {
            return Err(wrong(
                wheel,
                path,
                "is compressed in a way that wheels do not have",
            ));
        }
        packed = packed.saturating_add(entry.compressed_size_hint());
        total = total.saturating_add(entry.uncompressed_size_hint());
        let kept = Entry {
            size: entry.uncompressed_size_hint(),
            executable: entry.mode().permissions() & 0o111 != 0,
            modified: modified(entry.last_modified_dos()),
            method,
            place: entry.wayfinder(),
        };
        if files.insert(path.to_owned(), kept).is_some() {
            return Err(wrong(wheel, path, "is there twice"));
        }
        if files.len() > FILES_LIMIT {
            return Err(absurd("it has more than 200,000 files"));
        }
    }
    if packed > length {
        return Err(absurd("its files overlap"));
    }
    if total > TOTAL_LIMIT || total > RATIO_FREE + length.saturating_mul(RATIO_LIMIT) {
        return Err(absurd("it would grow absurdly large"));
    }
    for path in files.keys() {
        let mut folder = path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            if files.contains_key(parent) {
                return Err(wrong(wheel, path, "lies in a folder that is a file too"));
            }
            folder = parent;
        }
    }
    Ok(files)
}

/// Relative, within the wheel, and writable on any file system that Linux has.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("has no name");
    }
    if path.len() > NAME_LIMIT {
        return Err("has an absurdly long name");
    }
    if path.starts_with('/') {
        return Err("has an absolute path");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Err("has characters in its name that no file of a wheel has");
    }
    for part in path.split('/') {
        match part {
            ".." => return Err("leads out of the wheel"),
            "" | "." => return Err("has an empty part in its path"),
            _ if part.len() > 255 => return Err("has an absurdly long name"),
            _ => {}
        }
    }
    Ok(())
}

/// The one folder that is called after project and version.
fn dist_info(wheel: &FileName, files: &BTreeMap<String, Entry>) -> Result<String, Error> {
    let mut found: Vec<&str> = files
        .keys()
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| folder.ends_with(".dist-info"))
        .collect();
    found.dedup();
    let [folder] = found.as_slice() else {
        return Err(if found.is_empty() {
            Error::Missing {
                wheel: wheel.text.clone(),
                file: ".dist-info",
            }
        } else {
            Error::Absurd {
                wheel: wheel.text.clone(),
                problem: "it has several .dist-info folders",
            }
        });
    };
    let stem = folder.trim_end_matches(".dist-info");
    let fits = stem.rsplit_once('-').is_some_and(|(project, version)| {
        PackageName::from_str(project).is_ok_and(|project| project == wheel.project)
            && Version::from_str(version).is_ok_and(|version| version == wheel.version)
    });
    if fits {
        Ok((*folder).to_owned())
    } else {
        Err(wrong(wheel, folder, "is the .dist-info of another wheel"))
    }
}

/// A date of MS-DOS, taken as UTC. Days are counted as in "chrono-compatible low-level date
/// algorithms" (H. Hinnant).
fn modified(date: rawzip::time::DosDateTime) -> u64 {
    let (year, month, day) = (
        i64::from(date.year()),
        i64::from(date.month()),
        i64::from(date.day()),
    );
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds =
        i64::from(date.hour()) * 3600 + i64::from(date.minute()) * 60 + i64::from(date.second());
    u64::try_from(days * 86_400 + seconds).unwrap_or(0)
}
