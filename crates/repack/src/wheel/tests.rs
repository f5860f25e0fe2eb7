//! Wheels made by the tests themselves become packages, or are refused.

mod conversion;
mod hostile;
mod resolution;
mod zip;

use std::path::Path;

use fs_err as fs;

use super::{Pin, find};
use crate::definition::Definition;
use crate::draft::{Draft, DraftFile};
use crate::repack::{Context, LockMode, Options};
use crate::store::Store;
use crate::target::Target;
use zip::Zip;

/// A wheel to be: its files besides WHEEL and RECORD.
pub(super) struct Wheel<'a> {
    /// The file name.
    pub(super) name: &'a str,
    /// METADATA after Name and Version.
    pub(super) metadata: &'a str,
    /// Paths and contents; a path that begins with `+` may be run.
    pub(super) files: &'a [(&'a str, &'a [u8])],
}

impl Wheel<'_> {
    fn stem(&self) -> String {
        self.name.split('-').take(2).collect::<Vec<_>>().join("-")
    }

    /// The archive's entries, RECORD last.
    pub(super) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let stem = self.stem();
        let (project, version) = stem.split_once('-').unwrap();
        let pure = self.name.ends_with("-any.whl");
        let mut entries: Vec<(String, Vec<u8>)> = self
            .files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.to_vec()))
            .collect();
        entries.push((
            format!("{stem}.dist-info/METADATA"),
            format!(
                "Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{}",
                self.metadata
            )
            .into_bytes(),
        ));
        entries.push((
            format!("{stem}.dist-info/WHEEL"),
            format!("Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\n").into_bytes(),
        ));
        let mut record = String::new();
        for (path, content) in &entries {
            let digest = super::record::digest(&sha256(content));
            let path = path.trim_start_matches('+');
            record += &[path, &digest, &content.len().to_string()].join(",");
            record.push('\n');
        }
        record += &stem;
        record += ".dist-info/RECORD,,\n";
        entries.push((format!("{stem}.dist-info/RECORD"), record.into_bytes()));
        entries
    }

    /// Writes the wheel into a folder.
    pub(super) fn write(&self, folder: &Path) {
        let mut zip = Zip::default();
        for (path, content) in self.entries() {
            let mode = if path.starts_with('+') {
                0o100_755
            } else {
                0o100_644
            };
            zip.add(path.trim_start_matches('+').as_bytes(), &content, mode);
        }
        fs::write(folder.join(self.name), zip.finish()).unwrap();
    }
}

pub(super) fn sha256(content: &[u8]) -> [u8; 32] {
    let mut source = archive::digest::HashingReader::new(content);
    std::io::copy(&mut source, &mut std::io::sink()).unwrap();
    source.finish().1.0
}

/// A folder of wheels, and what is made of them.
pub(super) struct Place {
    folder: tempfile::TempDir,
    options: Options,
}

impl Place {
    pub(super) fn new(wheels: &[Wheel<'_>]) -> Place {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["wheels", "work", "cache"] {
            fs::create_dir(folder.path().join(inner)).unwrap();
        }
        for wheel in wheels {
            wheel.write(&folder.path().join("wheels"));
        }
        let options = Options {
            wheels: Some(folder.path().join("wheels")),
            offline: true,
            ..Options::default()
        };
        Place { folder, options }
    }

    pub(super) fn wheels(&self) -> std::path::PathBuf {
        self.folder.path().join("wheels")
    }

    pub(super) fn run<T>(
        &self,
        section: &str,
        mode: LockMode,
        body: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        let text = format!(
            "platforms = [\"linux-aarch64\"]\npython = \"3.11\"\n[debian]\nsuites = []\nglibc = \"2.36\"\nsystem = [\"libc.so.6\"]\n[wheels]\n{section}\n"
        );
        let definition: Definition = toml::from_str(&text).unwrap();
        let store = Store::new(&self.folder.path().join("cache"));
        let options = Options {
            lock_mode: mode,
            ..self.options.clone()
        };
        let context = Context {
            target: Target::find("linux-aarch64").unwrap(),
            definition: &definition,
            options: &options,
            lock: Path::new("some.lock"),
            store: &store,
            work: &self.folder.path().join("work"),
            report: &|_| {},
        };
        body(&context)
    }

    /// Finds the wheels.
    pub(super) fn pins(&self, section: &str) -> Result<Vec<Pin>, crate::Error> {
        self.run(section, LockMode::Follow, |context| pins(context, &[]))
    }

    /// Finds the wheels and makes the packages.
    pub(super) fn drafts(&self, section: &str) -> Result<Vec<Draft>, crate::Error> {
        self.drafts_beside(section, &[])
    }

    /// The same in a channel that has other packages.
    pub(super) fn drafts_beside(
        &self,
        section: &str,
        others: &[Draft],
    ) -> Result<Vec<Draft>, crate::Error> {
        self.run(section, LockMode::Follow, |context| {
            let wheels = find(context, &[])?.expect("a section");
            wheels.drafts(context, others)
        })
    }
}

/// What a lock would say.
pub(super) fn pins(context: &Context<'_>, known: &[Pin]) -> Result<Vec<Pin>, crate::Error> {
    Ok(find(context, known)?.expect("a section").pins())
}

/// The message with its causes.
pub(super) fn message(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", message(source)),
        None => error.to_string(),
    }
}

pub(super) fn content(draft: &Draft, path: &str) -> String {
    match draft.files.get(path) {
        Some(DraftFile::File { source, .. }) => fs::read_to_string(source).unwrap(),
        other => panic!("{path}: {other:?} of {:?}", draft.files.keys()),
    }
}
