//! A wheel becomes the draft of a package.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::archive::Opened;
use super::depends::depends;
use super::error::local;
use super::layout::{Layout, Place};
use super::libraries::{self, Outside};
use super::metadata::{EntryPoint, Metadata, Wheel, entry_points};
use super::record::{self, Listed};
use super::resolve::Closure;
use super::source::Found;
use super::tags::Machine;
use super::{Error, Settings, license, names};
use crate::draft::{Draft, DraftFile, Placeholder, PlaceholderMode, Source, placeholder};
use crate::store;

/// glibc of the oldest systems that conda installs on; newer ones have to be asked for.
const OLDEST_GLIBC: (u32, u32) = (2, 17);
/// Scripts whose first line is looked at.
const SCRIPT_LIMIT: u64 = 16 << 20;

/// Makes the draft; its files are unpacked below `work`.
pub(super) fn draft(
    found: &Found,
    closure: &Closure,
    settings: &Settings,
    machine: &Machine,
    outside: &Outside,
    work: &Path,
) -> Result<Draft, crate::Error> {
    let wheel = Opened::open(&found.path, found.name.clone())?;
    let metadata = &found.metadata;
    let scripts = if wheel.has("entry_points.txt") {
        entry_points(&wheel.name, &wheel.text("entry_points.txt")?)?
    } else {
        Vec::new()
    };
    // Nothing but a check: where modules go is the same for both kinds on Linux.
    Wheel::parse(&wheel.name, &wheel.text("WHEEL")?)?;
    let needs = depends(found, closure, settings, machine)?;
    let noarch = wheel.name.is_any() && needs.same_everywhere;
    let minor = machine.minor();
    let layout = if noarch {
        Layout::noarch(&minor, wheel.name.project.as_ref())
    } else {
        Layout::platform(&minor, wheel.name.project.as_ref())
    };
    let unpacked = Unpacked::new(&wheel, &layout, work)?;
    let headers = unpacked
        .files
        .keys()
        .any(|path| path.starts_with("include/python"));
    let one_python = !noarch || !wheel.name.is_for_python_3() || headers;

    let mut draft = Draft {
        name: names::conda(&wheel.name.project, &settings.names),
        version: wheel.name.version.to_string(),
        build_number: settings.build_number,
        build: if one_python {
            format!("py{}_{}", machine.digits(), settings.build_number)
        } else {
            format!("py_{}", settings.build_number)
        },
        subdir: if noarch {
            "noarch"
        } else {
            machine.target.subdir
        }
        .to_owned(),
        noarch_python: noarch,
        license: license::license(metadata),
        license_files: unpacked.licenses(&wheel, metadata, &layout),
        summary: metadata.summary.clone(),
        home: metadata.home.clone(),
        sources: vec![Source {
            file: found.pin.file.clone(),
            sha256: found.pin.sha256.clone(),
        }],
        timestamp_ms: settings
            .timestamp
            .unwrap_or_else(|| newest(&wheel))
            .saturating_mul(1000),
        ..Draft::default()
    };
    draft.depends.push(if one_python {
        format!(
            "python >={minor},<{}.{}.0a0",
            machine.minor.0,
            machine.minor.1 + 1
        )
    } else {
        format!("python {}", needs.python).trim_end().to_owned()
    });
    draft.depends.extend(needs.packages);
    if !noarch {
        let code = unpacked
            .files
            .iter()
            .map(|(path, file)| (path.as_str(), file.source.as_path()));
        let libraries = libraries::find(&wheel.name, machine.target, code, outside)?;
        draft.depends.extend(libraries);
        if let Some((major, minor)) = machine
            .glibc(&wheel.name)
            .filter(|glibc| *glibc > OLDEST_GLIBC)
        {
            draft
                .depends
                .push(format!("__glibc >={major}.{minor},<3.0.a0"));
        }
    }
    unpacked.fill(&mut draft, &wheel, &layout, &scripts)?;
    overrides(&mut draft, found, settings);
    Ok(draft)
}

/// What the definition says of a project goes before what the wheel says.
fn overrides(draft: &mut Draft, found: &Found, settings: &Settings) {
    if let Some(own) = settings.own.get(&found.name.project) {
        for (field, value) in [
            (&mut draft.summary, &own.summary),
            (&mut draft.license, &own.license),
            (&mut draft.home, &own.home),
        ] {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        draft.depends.extend(own.depends.iter().cloned());
    }
    if let Some((_, rest)) = draft.depends.split_first_mut() {
        rest.sort();
    }
    draft.depends.dedup();
}

/// The newest file's date.
fn newest(wheel: &Opened) -> u64 {
    wheel
        .files
        .values()
        .map(|file| file.modified)
        .max()
        .unwrap_or(0)
}

/// A file of the wheel on this machine.
struct Content {
    source: PathBuf,
    executable: bool,
    /// Whether Python's place stands in its first line.
    python: bool,
    listed: Listed,
}

/// The files of a wheel by their paths in the package.
struct Unpacked {
    folder: PathBuf,
    files: BTreeMap<String, Content>,
}

impl Unpacked {
    fn new(wheel: &Opened, layout: &Layout, work: &Path) -> Result<Unpacked, Error> {
        let folder = work.join(wheel.name.text.trim_end_matches(".whl"));
        let mut places: BTreeMap<String, (&str, bool)> = BTreeMap::new();
        for file in wheel.files.keys() {
            let (path, script) = match layout.place(wheel, file)? {
                // Read and checked all the same: a damaged wheel is not taken in parts.
                Place::Nowhere => {
                    wheel.unpack(file, &folder.join("unused"))?;
                    continue;
                }
                Place::At(path) => (path, false),
                Place::Script(path) => (path, true),
            };
            if places.insert(path, (file, script)).is_some() {
                return Err(Error::File {
                    wheel: wheel.name.text.clone(),
                    file: file.clone(),
                    problem: "goes where another file of the wheel goes",
                });
            }
        }
        no_folder_is_a_file(places.keys().map(String::as_str), wheel)?;
        let mut files = BTreeMap::new();
        for (path, (file, script)) in places {
            let source = folder.join("files").join(&path);
            let listed = wheel.unpack(file, &source)?;
            let executable = wheel.files.get(file).is_some_and(|entry| entry.executable);
            let small = listed.size.is_some_and(|size| size <= SCRIPT_LIMIT);
            let content = Content {
                python: script && small && name_python(&source)?,
                executable: executable || script,
                source,
                listed,
            };
            files.insert(path, content);
        }
        Ok(Unpacked { folder, files })
    }

    /// The licence's files: those that METADATA names, or those that are called so.
    fn licenses(
        &self,
        wheel: &Opened,
        metadata: &Metadata,
        layout: &Layout,
    ) -> Vec<(String, PathBuf)> {
        let info = format!("{}/{}/", layout.site, wheel.dist_info);
        let mut licenses = BTreeMap::new();
        for (path, content) in &self.files {
            let Some(name) = path.strip_prefix(&info) else {
                continue;
            };
            // PEP 639 has a folder for them, older wheels have them beside METADATA.
            let inner = name.strip_prefix("licenses/");
            let base = name.rsplit('/').next().unwrap_or(name);
            let called = ["LICEN", "COPYING", "NOTICE", "AUTHORS"];
            let upper = base.to_ascii_uppercase();
            let named = metadata
                .license_files
                .iter()
                .any(|file| file == name || file.ends_with(&format!("/{name}")));
            if inner.is_some() || named || called.iter().any(|start| upper.starts_with(start)) {
                licenses.insert(inner.unwrap_or(name).to_owned(), content.source.clone());
            }
        }
        licenses.into_iter().collect()
    }

    /// Puts the files into the draft, with scripts, INSTALLER and RECORD.
    fn fill(
        self,
        draft: &mut Draft,
        wheel: &Opened,
        layout: &Layout,
        scripts: &[EntryPoint],
    ) -> Result<(), crate::Error> {
        let mut recorded: BTreeMap<String, Option<Listed>> = BTreeMap::new();
        let info = format!("{}/{}", layout.site, wheel.dist_info);
        for (path, content) in self.files {
            // The digest of a script that names Python depends on the prefix.
            let listed = if content.python {
                None
            } else {
                Some(again(&content)?)
            };
            recorded.insert(layout.recorded(&path), listed);
            let placeholder = content.python.then(|| Placeholder {
                text: placeholder(),
                mode: PlaceholderMode::Text,
            });
            let file = DraftFile::File {
                source: content.source,
                mode: if content.executable { 0o755 } else { 0o644 },
                placeholder,
            };
            draft.files.insert(path, file);
        }
        for script in scripts {
            let path = format!("bin/{}", script.name);
            let inner = format!("{}/{}", layout.scripts, script.name);
            if draft.files.contains_key(&path) || draft.files.contains_key(&inner) {
                return Err(Error::File {
                    wheel: wheel.name.text.clone(),
                    file: format!("{}/entry_points.txt", wheel.dist_info),
                    problem: "makes a script that is there as a file too",
                }
                .into());
            }
            recorded.insert(format!("../../../{path}"), None);
            if draft.noarch_python {
                let point = format!("{} = {}:{}", script.name, script.module, script.function);
                draft.entry_points.push(point);
                continue;
            }
            let source = self.folder.join("files").join(&path);
            write(&source, &text_of(script))?;
            let file = DraftFile::File {
                source,
                mode: 0o755,
                placeholder: Some(Placeholder {
                    text: placeholder(),
                    mode: PlaceholderMode::Text,
                }),
            };
            draft.files.insert(path, file);
        }
        recorded.insert(format!("{}/RECORD", wheel.dist_info), None);
        let own = |name: &str| self.folder.join("files").join(&info).join(name);
        write(&own("INSTALLER"), "conda\n")?;
        let installer = Content {
            source: own("INSTALLER"),
            executable: false,
            python: false,
            listed: Listed {
                sha256: [0; 32],
                size: None,
            },
        };
        recorded.insert(
            format!("{}/INSTALLER", wheel.dist_info),
            Some(again(&installer)?),
        );
        write(&own("RECORD"), &record::text(&recorded))?;
        for name in ["INSTALLER", "RECORD"] {
            let file = DraftFile::File {
                source: own(name),
                mode: 0o644,
                placeholder: None,
            };
            draft.files.insert(format!("{info}/{name}"), file);
        }
        let paths = draft.files.keys().map(String::as_str);
        Ok(no_folder_is_a_file(paths, wheel)?)
    }
}

/// The digest of what a file holds now: a library's run path may have been changed.
fn again(content: &Content) -> Result<Listed, crate::Error> {
    let size = fs::metadata(&content.source)
        .map_err(local("read", &content.source))?
        .len();
    if content.listed.size == Some(size) {
        return Ok(content.listed.clone());
    }
    let sha256 = conda::hex::decode(&store::digest(&content.source)?).unwrap_or_default();
    Ok(Listed {
        sha256,
        size: Some(size),
    })
}

/// `#!python` of a wheel's script stands for the interpreter of wherever it is installed.
fn name_python(script: &Path) -> Result<bool, Error> {
    let bytes = fs::read(script).map_err(local("read", script))?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    if !line.starts_with(b"#!python") {
        return Ok(false);
    }
    let mut text = format!("#!{}/bin/python", placeholder()).into_bytes();
    text.extend_from_slice(bytes.get(line.len()..).unwrap_or_default());
    fs::write(script, text).map_err(local("write", script))?;
    Ok(true)
}

/// A script that calls a function, as installers make it of an entry point.
fn text_of(point: &EntryPoint) -> String {
    let import = point.function.split('.').next().unwrap_or_default();
    format!(
        "#!{}/bin/python\nimport sys\n\nfrom {} import {import}\n\nif __name__ == \"__main__\":\n    sys.exit({}())\n",
        placeholder(),
        point.module,
        point.function,
    )
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(local("make", folder))?;
    }
    fs::write(path, text).map_err(local("write", path))
}

/// Files of different parts of a wheel may meet in the package.
fn no_folder_is_a_file<'p>(
    paths: impl Iterator<Item = &'p str> + Clone,
    wheel: &Opened,
) -> Result<(), Error> {
    let ends = |path: &'p str| {
        path.match_indices('/')
            .filter_map(move |(end, _)| path.get(..end))
    };
    let folders: BTreeSet<&str> = paths.clone().flat_map(ends).collect();
    match paths.into_iter().find(|path| folders.contains(path)) {
        None => Ok(()),
        Some(path) => Err(Error::File {
            wheel: wheel.name.text.clone(),
            file: path.to_owned(),
            problem: "would be a file and a folder",
        }),
    }
}
