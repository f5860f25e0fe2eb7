//! What a spec says, with its files read and constructor's defaults filled in, as the planner
//! wants it.

use std::io::{self, Read};
use std::path::Path;

use fs_err as fs;
use serde_json::json;

use archive::digest::{Hasher, Md5, Sha256};
use conda::{
    EqualityOperator, LogicalOperator, MatchSpec, ParseMatchSpecOptions, RangeOperator,
    RepoDataRecord, StrictRangeOperator, Version, VersionSpec, credentials,
};
use runtime::plan::{Dialogue, Initialize, Scripts, Text};
use spec::{Distribution, Target};

use crate::cache::Cache;
use crate::plan::{Extra, Settings};
use crate::repack::{self, Repacker};
use crate::scan::{Bytes, Part};
use crate::{Error, Options};

/// What the installer says at the end, if the spec has no `conclusion_text` (constructor's text).
const CONCLUSION: &str = "installation finished.";

/// The settings, and the streams that hold the extra files. Their parts are numbers in that list.
pub(crate) fn read(
    distribution: &Distribution,
    target: &Target,
    records: &[RepoDataRecord],
    options: &Options,
    cache: &Cache,
) -> Result<(Settings, Vec<Part>), Error> {
    let folder = options.folder();
    let text = |key, file: &Option<String>| {
        file.as_ref()
            .map(|file| read_text(key, &folder.join(file)))
            .transpose()
    };
    let conda = records
        .iter()
        .any(|record| record.package_record.name.as_normalized() == "conda");
    let licence = text("license_file", &target.license_file)?;
    let requested = target.requested().into_iter();
    let (extra, parts) = extra_files(target, records, &folder, options, cache)?;
    let settings = Settings {
        name: distribution.name.clone(),
        version: distribution.version.clone(),
        platform: target.platform,
        default_prefix: target.prefix(&distribution.name),
        check_path_spaces: target.check_path_spaces,
        texts: texts(distribution, target, records, licence.as_ref()),
        dialogue: Dialogue {
            licence,
            conclusion: target
                .conclusion_text
                .clone()
                .unwrap_or_else(|| CONCLUSION.to_owned()),
            initialize: initialize(target, conda)?,
            initialize_by_default: target.initialize_by_default,
        },
        update_specs: requested.map(credentials::without_within).collect(),
        scripts: Scripts {
            pre_install: text("pre_install", &target.pre_install)?,
            post_install: text("post_install", &target.post_install)?,
            environment: target.script_env_variables.clone(),
        },
        keep_packages: target.keep_pkgs,
        glibc: glibc(target, records),
        extra,
    };
    Ok((settings, parts))
}

/// Whether the files that a spec names are there: said before anything is solved and fetched.
pub(crate) fn check_files(target: &Target, folder: &Path) -> Result<(), Error> {
    let texts = [
        ("license_file", &target.license_file),
        ("pre_install", &target.pre_install),
        ("post_install", &target.post_install),
        ("environment_file", &target.environment_file),
    ];
    let texts = texts.into_iter();
    let texts = texts.filter_map(|(key, file)| Some((key, file.as_deref()?)));
    let extra = target.extra_files.iter();
    let extra = extra.map(|file| ("extra_files", file.source.as_str()));
    for (key, file) in texts.chain(extra) {
        let path = folder.join(file);
        let problem = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => format!("`{}` is not a regular file", path.display()),
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("there is no file `{}`", path.display())
            }
            Err(error) => error.to_string(),
        };
        return Err(Error::Spec { key, problem });
    }
    Ok(())
}

fn initialize(target: &Target, conda: bool) -> Result<Initialize, Error> {
    let wanted = match target.initialize_conda {
        spec::Initialize::Classic => Initialize::Classic,
        spec::Initialize::Condabin => Initialize::Condabin,
        spec::Initialize::No => Initialize::No,
    };
    if wanted != Initialize::No && !conda {
        if target.initialize_conda_is_explicit {
            let problem = "conda is not among the packages, so no shell can be initialised".into();
            return Err(Error::Spec {
                key: "initialize_conda",
                problem,
            });
        }
        return Ok(Initialize::No);
    }
    Ok(wanted)
}

/// The lower bound that `virtual_specs` and the packages set for glibc.
fn glibc(target: &Target, records: &[RepoDataRecord]) -> Option<String> {
    const GLIBC: &str = "__glibc";
    let asked = target.virtual_specs.iter();
    let asked = asked.map(|spec| spec.match_spec.clone());
    let depends = records.iter().flat_map(|one| &one.package_record.depends);
    let needed = depends
        .filter(|text| text.starts_with(GLIBC))
        .filter_map(|text| MatchSpec::from_str(text, ParseMatchSpecOptions::lenient()).ok());
    let is_glibc = |spec: &MatchSpec| {
        let name = spec.name.as_exact();
        name.is_some_and(|name| name.as_normalized() == GLIBC)
    };
    let bounds = asked.chain(needed).filter(is_glibc);
    let bounds = bounds.filter_map(|spec| lower_bound(spec.version.as_ref()?));
    bounds.max().map(|version| version.to_string())
}

/// The version that everything which satisfies `spec` has at least.
fn lower_bound(spec: &VersionSpec) -> Option<Version> {
    match spec {
        VersionSpec::Range(RangeOperator::Greater | RangeOperator::GreaterEquals, version)
        | VersionSpec::Exact(EqualityOperator::Equals, version) => Some(version.clone()),
        VersionSpec::StrictRange(
            StrictRangeOperator::StartsWith | StrictRangeOperator::Compatible,
            version,
        ) => version.to_string().parse().ok(),
        VersionSpec::Group(LogicalOperator::And, specs) => {
            specs.iter().filter_map(lower_bound).max()
        }
        _ => None,
    }
}

/// Small files that conda and people look for in a prefix, named as constructor names them.
fn texts(
    distribution: &Distribution,
    target: &Target,
    records: &[RepoDataRecord],
    licence: Option<&String>,
) -> Vec<Text> {
    let text = |path: &str, text: String| Text {
        path: path.to_owned(),
        text,
    };
    let info = json!({
        "name": distribution.name,
        "version": distribution.version,
        "platform": target.platform.to_string(),
        "type": "sh",
    });
    let mut texts = vec![
        text(".installer.info", format!("{info:#}\n")),
        text("conda-meta/initial-state.explicit.txt", explicit(records)),
    ];
    texts.extend(licence.map(|licence| text("LICENSE.txt", licence.clone())));
    texts.extend(
        target
            .condarc_yaml()
            .map(|condarc| text(".condarc", condarc)),
    );
    texts
}

/// The list from which the same environment can be made again, in conda's `@EXPLICIT` form. md5
/// where there is one, since conda before 4.13 reads no other digest.
pub fn explicit(records: &[RepoDataRecord]) -> String {
    let mut text = "@EXPLICIT\n".to_owned();
    for record in records {
        text += credentials::without(&record.url).as_str();
        let package = &record.package_record;
        let digest = match (package.md5, package.sha256) {
            (Some(md5), _) => format!("#{}", Md5(md5.into())),
            (None, Some(sha256)) => format!("#sha256:{}", Sha256(sha256.into())),
            (None, None) => String::new(),
        };
        text += &digest;
        text += "\n";
    }
    text
}

fn read_text(key: &'static str, path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|_| Error::NotText {
        key,
        path: path.to_owned(),
    })
}

fn extra_files(
    target: &Target,
    records: &[RepoDataRecord],
    folder: &Path,
    options: &Options,
    cache: &Cache,
) -> Result<(Vec<Extra>, Vec<Part>), Error> {
    let modified = options.source_date_epoch.unwrap_or_else(|| newest(records));
    let mut repacker = Repacker::new(cache, repack::PACKAGE, false);
    let mut extra = Vec::new();
    for file in &target.extra_files {
        let path = folder.join(&file.source);
        let read = |source| Error::Read {
            path: path.clone(),
            source,
        };
        let mut source = fs::File::open(&path).map_err(read)?;
        let metadata = source.metadata().map_err(read)?;
        if !metadata.is_file() {
            let problem = format!("`{}` is not a regular file", path.display());
            return Err(Error::Spec {
                key: "extra_files",
                problem,
            });
        }
        let (part, offset) = repacker.begin()?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 1 << 17];
        let mut size = 0;
        loop {
            let count = source.read(&mut buffer).map_err(read)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            repacker.write(&buffer[..count])?;
            size += count as u64;
        }
        let sha256 = hasher.finish().sha256;
        let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100;
        let mode = if executable == 0 { 0o644 } else { 0o755 };
        let bytes = Bytes {
            part,
            offset,
            size,
            mode,
            modified,
            sha256,
            placeholder: None,
        };
        extra.push(Extra {
            path: file.destination.clone(),
            bytes,
        });
    }
    Ok((extra, repacker.finish()?))
}

/// The time of the newest package, in seconds: the same for everybody who builds from one lock.
pub fn newest(records: &[RepoDataRecord]) -> i64 {
    let number = |record: &RepoDataRecord| {
        let written = serde_json::to_value(record.package_record.timestamp).ok()?;
        written.as_i64()
    };
    // Repodata has both units; conda tells them apart by the year 9999 (`models/records.py`).
    let seconds = |time| {
        if time > 253_402_300_799 {
            time / 1000
        } else {
            time
        }
    };
    records
        .iter()
        .filter_map(number)
        .map(seconds)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use conda::{ParseStrictness, VersionSpec};

    #[test]
    fn the_lower_bound_of_a_spec() {
        for (spec, expected) in [
            (">=2.17", Some("2.17")),
            (">=2.17,<3", Some("2.17")),
            ("<3,>=2.17", Some("2.17")),
            (">=2.17,>2.28", Some("2.28")),
            ("2.28.*", Some("2.28")),
            ("==2.31", Some("2.31")),
            ("~=2.17", Some("2.17")),
            ("<3", None),
            (">=2.17|2.5", None),
            ("*", None),
        ] {
            let parsed = VersionSpec::from_str(spec, ParseStrictness::Lenient).unwrap();
            assert_eq!(
                super::lower_bound(&parsed)
                    .map(|version| version.to_string())
                    .as_deref(),
                expected,
                "{spec}"
            );
        }
    }
}
