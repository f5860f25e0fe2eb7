//! One installation from beginning to end: prepare, publish, run scripts, commit; or undo.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use archive::payload::Payload;

use crate::error::Error;
use crate::event::Event;
use crate::lay::{self, Extent, Laid};
use crate::place::{Existing, Fresh, Place, PrefixState, Recovery, prefix_state, recover};
use crate::plan::Plan;
use crate::scripts::Scripts;
use crate::tree::{Attributes, Disk, Tree};
use crate::{compile, history, keep};

mod obsolete;
#[cfg(test)]
mod tests;

use obsolete::Obsolete;

/// How to install.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Where to; absolute.
    pub prefix: PathBuf,
    /// Whether the prefix may exist and hold something.
    pub force: bool,
    /// Leave extracted packages in `pkgs/`; [`Plan::keep_packages`] asks for the same.
    pub keep_packages: bool,
    /// Run no script, neither of the distribution nor of a package.
    pub skip_scripts: bool,
    /// Compile Python modules.
    pub compile: bool,
    /// How many threads decode and write, and how many processes compile.
    pub threads: usize,
    /// Whether nobody is there to answer: scripts are told, and read nothing.
    pub unattended: bool,
    /// The installer file, for scripts.
    pub installer: PathBuf,
    /// For `# cmd:` in `conda-meta/history`.
    pub command_line: String,
    /// Seconds since the epoch, for `conda-meta/history`.
    pub now: u64,
    /// Set from outside to stop and undo.
    pub cancelled: &'a AtomicBool,
}

/// What was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Number of packages.
    pub packages: usize,
    /// Number of Python modules that were compiled.
    pub compiled: usize,
}

/// Installs `plan`, whose files are in `payload`, into [`Options::prefix`].
///
/// Begins with [`recover`]. What the target must be ([`Plan::requires`], [`Plan::prefix`],
/// [`Plan::need`]) is for the caller to check. After an error, or if the process ends before it
/// returns and another call follows, what was at the prefix before is there again, but for what scripts wrote into a
/// prefix that was not empty. A prefix that somebody has used in between stays as it is.
pub fn install(
    payload: &Payload<'_, File>,
    plan: &Plan,
    options: &Options<'_>,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Installed, Error> {
    if let Some(field) = plan.unsupported() {
        return Err(Error::Unsupported { field });
    }
    let path = &options.prefix;
    let prefix = path
        .to_str()
        .filter(|_| path.is_absolute() && path.file_name().is_some())
        .map(|text| text.trim_end_matches('/'))
        .ok_or_else(|| Error::Prefix { path: path.clone() })?;
    match recover(path)? {
        Recovery::Nothing => {}
        Recovery::Undone => report(Event::Recovered { prefix: path }),
        Recovery::Kept => report(Event::Kept { prefix: path }),
    }
    let place: Box<dyn Place> = match prefix_state(path)? {
        PrefixState::Absent => Box::new(Fresh::begin(path)?),
        PrefixState::Empty => Box::new(Existing::begin(path, true)?),
        PrefixState::Occupied if options.force && path.is_dir() => {
            Box::new(Existing::begin(path, false)?)
        }
        PrefixState::Occupied => return Err(Error::PrefixExists { path: path.clone() }),
    };
    let installation = Installation {
        payload,
        plan,
        options,
        prefix,
        place: &*place,
        report,
    };
    match installation.run() {
        Ok((installed, obsolete)) => {
            place.commit()?;
            obsolete.tidy(path);
            Ok(installed)
        }
        Err(failure) => {
            report(Event::Undoing);
            match place.undo() {
                Ok(()) => Err(failure),
                Err(source) => Err(Error::Undo {
                    failure: Box::new(failure),
                    prefix: path.clone(),
                    source: Box::new(source),
                }),
            }
        }
    }
}

struct Installation<'a> {
    payload: &'a Payload<'a, File>,
    plan: &'a Plan,
    options: &'a Options<'a>,
    prefix: &'a str,
    place: &'a dyn Place,
    report: &'a (dyn Fn(Event<'_>) + Sync),
}

impl Installation<'_> {
    /// Returns what was taken out of the prefix, too.
    fn run(&self) -> Result<(Installed, Obsolete), Error> {
        let Installation {
            plan,
            options,
            place,
            report,
            ..
        } = *self;
        let scripts = Scripts {
            plan,
            options,
            scratch: place.scratch(),
            report,
        };
        let has_script = !options.skip_scripts && plan.scripts.pre_install.is_some();
        if has_script {
            place.open_to_script()?;
            scripts.pre_install()?;
            place.close_to_script()?;
        }

        // What the script has put into a new prefix gives way, as it does in one that was there.
        let tree = Disk::open(place.root())
            .map(|tree| tree.replacing(has_script))
            .map_err(|source| Error::Read {
                path: place.root().to_owned(),
                source,
            })?;
        let settings = lay::Settings {
            prefix: self.prefix,
            extent: if options.keep_packages || plan.keep_packages {
                Extent::PrefixAndCache
            } else {
                Extent::Prefix
            },
            threads: options.threads,
            cancelled: options.cancelled,
        };
        let laid = lay::lay(self.payload, plan, &tree, settings, report)?;
        let compiled = if options.compile {
            self.compile(&laid)?
        } else {
            0
        };
        let replaced = self.replaced(&laid)?;
        self.write_history(&tree, &laid, &replaced)?;
        if settings.extent.has_cache() {
            for (path, md5) in [(keep::URLS, true), (keep::URLS_TXT, false)] {
                let before = self.existing_text(path)?;
                let packages = plan.packages.iter().zip(&laid);
                self.write(&tree, path, &keep::urls(packages, &before, md5))?;
            }
        }
        self.check_cancelled()?;

        let names: HashSet<&str> = laid.iter().map(|laid| laid.dist.as_str()).collect();
        let is_gone = |dist: &str| names.contains(dist) || replaced.iter().any(|one| one == dist);
        let obsolete = obsolete::files(&options.prefix, place.root(), &is_gone)?;
        let records = replaced.iter();
        let records = records.map(|dist| format!("conda-meta/{dist}.json"));
        let all: Vec<String> = records.chain(obsolete.files.iter().cloned()).collect();
        place.publish(&all)?;
        if !options.skip_scripts {
            scripts.link(&laid)?;
            scripts.post_install()?;
        }
        self.check_cancelled()?;
        let installed = Installed {
            packages: laid.len(),
            compiled,
        };
        Ok((installed, obsolete))
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.options.cancelled.load(Ordering::Relaxed) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    fn compile(&self, laid: &[Laid]) -> Result<usize, Error> {
        let Some(python) = &self.plan.python else {
            return Ok(0);
        };
        compile::run(&compile::Run {
            root: self.place.root(),
            scratch: self.place.scratch(),
            prefix: self.prefix,
            python,
            laid,
            processes: self.options.threads.max(1),
            cancelled: self.options.cancelled,
            report: self.report,
        })
    }

    /// The records of other versions of the new packages, as `NAME-VERSION-BUILD`.
    fn replaced(&self, laid: &[Laid]) -> Result<Vec<String>, Error> {
        let folder = self.options.prefix.join("conda-meta");
        let read = |source| Error::Read {
            path: folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(read)?,
        };
        let names: HashSet<&str> = self
            .plan
            .packages
            .iter()
            .map(|head| head.name.as_str())
            .collect();
        let new: HashSet<&str> = laid.iter().map(|laid| laid.dist.as_str()).collect();
        let mut replaced = Vec::new();
        for entry in entries {
            let file = entry.map_err(read)?.file_name();
            let Some(dist) = file.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            let name = dist.rsplitn(3, '-').nth(2);
            if name.is_some_and(|name| names.contains(name)) && !new.contains(dist) {
                replaced.push(dist.to_owned());
            }
        }
        replaced.sort();
        Ok(replaced)
    }

    fn write_history(&self, tree: &Disk, laid: &[Laid], replaced: &[String]) -> Result<(), Error> {
        let mut text = self.existing_text(history::PATH)?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let Options {
            command_line, now, ..
        } = self.options;
        text += &history::entry(self.plan, laid, &text, replaced, command_line, *now);
        self.write(tree, history::PATH, &text)
    }

    /// What a file of the prefix says before the installation.
    fn existing_text(&self, path: &str) -> Result<String, Error> {
        let path = self.options.prefix.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if is_absent(&error) => Ok(String::new()),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    fn write(&self, tree: &Disk, path: &str, text: &str) -> Result<(), Error> {
        let attributes = Attributes {
            mode: 0o664,
            modified: None,
            replace: true,
            size: Some(text.len() as u64),
        };
        let write = || {
            if let Some(folder) = Path::new(path).parent().and_then(Path::to_str) {
                tree.directory(folder)?;
            }
            let mut file = tree.file(path, attributes)?;
            file.write_all(text.as_bytes())?;
            tree.close(file)
        };
        write().map_err(|source| Error::Write {
            path: self.options.prefix.join(path),
            source,
        })
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
