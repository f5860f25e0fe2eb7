//! Files beside the installer: its digest always, and what `build_outputs` asks for, with
//! constructor's names and forms (`constructor/build_outputs.py`).

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Map, Value, json};

use archive::package::{Kind, Package};
use conda::{RepoDataRecord, credentials};
use spec::{BuildOutput, Distribution, HashAlgorithm, Target, TextErrors};

use crate::event::Event;
use crate::pack::Packed;
use crate::{Error, Report, settings};

/// What the outputs are about.
pub(crate) struct Subject<'a> {
    pub(crate) distribution: &'a Distribution,
    pub(crate) target: &'a Target,
    /// The finished installer.
    pub(crate) installer: &'a Path,
    pub(crate) packed: &'a Packed,
    pub(crate) records: &'a [RepoDataRecord],
    pub(crate) packages: &'a [fetch::Package],
    /// Whether installers for other platforms are built into the same folder.
    pub(crate) is_one_of_many: bool,
}

/// Writes all of them.
pub(crate) fn write(subject: &Subject<'_>, report: Report<'_>) -> Result<(), Error> {
    let write = |path: PathBuf, text: String| {
        fetch::replace(&path, text.as_bytes())?;
        report(Event::Wrote(&path));
        Ok::<_, Error>(())
    };
    let name = subject
        .installer
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let digest_file = |algorithm: &str| with_ending(subject.installer, algorithm);
    write(
        digest_file("sha256"),
        format!("{}  {name}\n", subject.packed.sha256),
    )?;
    for output in &subject.target.build_outputs {
        match output {
            BuildOutput::Hash { algorithms } => {
                for &algorithm in algorithms {
                    let hex = hash(subject.installer, algorithm)?;
                    write(digest_file(algorithm.name()), format!("{hex}  {name}\n"))?;
                }
            }
            BuildOutput::Info => {
                write(
                    beside(subject, "info.json"),
                    format!("{:#}\n", info(subject)),
                )?;
            }
            BuildOutput::Licenses {
                include_text,
                text_errors,
            } => {
                let licences = licences(subject, *include_text, *text_errors)?;
                write(beside(subject, "licenses.json"), format!("{licences:#}\n"))?;
            }
            BuildOutput::Lockfile => {
                write(beside(subject, "lockfile.base.txt"), lockfile(subject))?;
            }
            BuildOutput::PackagesList => {
                write(beside(subject, "pkg-list.base.txt"), packages_list(subject))?;
            }
        }
    }
    Ok(())
}

/// A file whose name says nothing of the installer. Of several platforms each has its own.
fn beside(subject: &Subject<'_>, name: &str) -> PathBuf {
    let name = match name.rsplit_once('.').filter(|_| subject.is_one_of_many) {
        Some((stem, ending)) => format!("{stem}-{}.{ending}", subject.target.platform),
        None => name.to_owned(),
    };
    subject.installer.with_file_name(name)
}

fn with_ending(installer: &Path, ending: &str) -> PathBuf {
    let mut name = installer.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn hash(path: &Path, algorithm: HashAlgorithm) -> Result<String, Error> {
    match algorithm {
        HashAlgorithm::Md5 => digest::<md5::Md5>(path),
        HashAlgorithm::Sha224 => digest::<sha2::Sha224>(path),
        HashAlgorithm::Sha256 => digest::<sha2::Sha256>(path),
        HashAlgorithm::Sha384 => digest::<sha2::Sha384>(path),
        HashAlgorithm::Sha512 => digest::<sha2::Sha512>(path),
    }
}

fn digest<D: md5::Digest>(path: &Path) -> Result<String, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = fs::File::open(path).map_err(read)?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer).map_err(read)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let mut hex = String::new();
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

fn info(subject: &Subject<'_>) -> Value {
    let names: Vec<String> = file_names(subject).collect();
    json!({
        "name": subject.distribution.name,
        "version": subject.distribution.version,
        "_platform": subject.target.platform.to_string(),
        "_outpath": subject.installer.file_name().map(|name| name.to_string_lossy()),
        "channels": subject.target.channels.iter().map(|text| credentials::without_in(text)).collect::<Vec<_>>(),
        "specs": subject.target.specs.iter().map(|spec| credentials::redact_text(&spec.raw)).collect::<Vec<_>>(),
        "user_requested_specs": subject.target.requested().iter().map(|text| credentials::redact_text(text)).collect::<Vec<_>>(),
        "_dists": names,
        "_urls": subject.records.iter().map(|record| {
            let md5 = record.package_record.md5.map(|md5| archive::digest::Md5(md5.into()));
            json!([credentials::without(&record.url), md5])
        }).collect::<Vec<_>>(),
        "size": subject.packed.size,
        "sha256": subject.packed.sha256,
    })
}

/// For each package its licence as the record names it, and its licence files.
fn licences(
    subject: &Subject<'_>,
    include_text: bool,
    text_errors: TextErrors,
) -> Result<Value, Error> {
    let mut licences = Map::new();
    for (record, package) in subject.records.iter().zip(subject.packages) {
        let name = record.identifier.to_file_name();
        let mut files = Vec::new();
        for (path, bytes) in info_files(&name, &package.path)? {
            if !path.starts_with("info/licenses/") {
                continue;
            }
            let mut file = Map::from_iter([("path".to_owned(), Value::from(path.clone()))]);
            if include_text {
                file.insert(
                    "text".to_owned(),
                    text(&name, &path, &bytes, text_errors)?.into(),
                );
            }
            files.push(Value::from(file));
        }
        let licence = json!({ "type": record.package_record.license, "files": files });
        licences.insert(name, licence);
    }
    Ok(licences.into())
}

fn info_files(
    name: &str,
    path: &Path,
) -> Result<std::collections::BTreeMap<String, Vec<u8>>, Error> {
    let file = fs::File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let Some(kind) = Kind::from_file_name(name) else {
        return Ok(std::collections::BTreeMap::new());
    };
    Package::open(file, kind)
        .and_then(|mut package| package.info())
        .map_err(|source| Error::Package {
            package: name.to_owned(),
            source,
        })
}

fn text(package: &str, path: &str, bytes: &[u8], errors: TextErrors) -> Result<String, Error> {
    let lossy = String::from_utf8_lossy(bytes);
    match (std::str::from_utf8(bytes), errors) {
        (Ok(text), _) => Ok(text.to_owned()),
        (Err(_), TextErrors::Replace) => Ok(lossy.into_owned()),
        (Err(_), TextErrors::Ignore) => Ok(lossy.replace('\u{fffd}', "")),
        (Err(error), TextErrors::Strict) => Err(Error::Spec {
            key: "build_outputs",
            problem: format!(
                "`{path}` in `{package}` is not UTF-8 ({error}); `text_errors = \"replace\"` takes it all the same"
            ),
        }),
    }
}

fn lockfile(subject: &Subject<'_>) -> String {
    let Distribution { name, version, .. } = subject.distribution;
    let platform = subject.target.platform;
    format!(
        "# installer-name: {name}\n# installer-version: {version}\n# env-name: base\n\
         # platform: {platform}\n# created-by: archiconda\n{}",
        settings::explicit(subject.records)
    )
}

fn packages_list(subject: &Subject<'_>) -> String {
    let Distribution { name, version, .. } = subject.distribution;
    let mut text = format!("# {name} {version}, env=base\n");
    for name in file_names(subject) {
        text += &name;
        text += "\n";
    }
    text
}

fn file_names<'a>(subject: &Subject<'a>) -> impl Iterator<Item = String> + use<'a> {
    subject
        .records
        .iter()
        .map(|record| record.identifier.to_file_name())
}
