//! The whole way, from a definition to an indexed channel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use archive::package::{Kind, WriteOptions};
use fs_err as fs;
use rayon::prelude::*;

use crate::compile::{self, Interpreter};
use crate::definition::Definition;
use crate::draft::Draft;
use crate::lock::Lock;
use crate::store::Store;
use crate::target::Target;
use crate::{Error, debian, error, package, wheel};

/// zstd's level where nobody asks for another: conda-forge's own, since 19 takes much longer for little.
pub const DEFAULT_ZSTD_LEVEL: i32 = 16;

/// What may be done with the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Follow it, and add what the definition has and it lacks.
    #[default]
    Follow,
    /// Follow it, and fail where it lacks something.
    Locked,
    /// Find everything anew.
    Update,
}

/// How a channel is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The platforms; none for those of the definition.
    pub platforms: Vec<String>,
    /// The channel's folder.
    pub output_dir: PathBuf,
    /// Where downloads are kept.
    pub cache_dir: PathBuf,
    /// A folder of `.deb` files, used in place of the network.
    pub debs: Option<PathBuf>,
    /// A folder of wheels, used in place of the network.
    pub wheels: Option<PathBuf>,
    /// The lock; none for the one beside the definition.
    pub lock: Option<PathBuf>,
    /// What may be done with the lock.
    pub lock_mode: LockMode,
    /// Whether the network is left alone.
    pub offline: bool,
    /// Whether packages are `.tar.bz2` rather than `.conda`.
    pub tar_bz2: bool,
    /// zstd's level of `.conda` packages; none for [`DEFAULT_ZSTD_LEVEL`].
    pub zstd_level: Option<i32>,
    /// How many packages are written at the same time; 0 for as many as there are processors.
    pub threads: usize,
    /// The time that all packages bear, in seconds since 1970; none for that of their newest part.
    pub timestamp: Option<u64>,
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something begins that takes a while, such as `fetch Debian packages for linux-64`.
    Stage(&'a str),
    /// A package was written.
    Wrote {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// Something that the user should know.
    Warning(&'a str),
}

/// Who is told what happens.
pub type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// What the makers of drafts are given, for one platform.
pub(crate) struct Context<'a> {
    /// The platform.
    pub(crate) target: Target,
    /// The definition.
    pub(crate) definition: &'a Definition,
    /// How the channel is made.
    pub(crate) options: &'a Options,
    /// The lock's path, for errors.
    pub(crate) lock: &'a Path,
    /// Downloads of this and earlier runs.
    pub(crate) store: &'a Store,
    /// A folder that goes when the run ends.
    pub(crate) work: &'a Path,
    /// Who is told what happens.
    pub(crate) report: Report<'a>,
}

impl Context<'_> {
    /// Whether the lock may be changed; `problem` is what it lacks.
    pub(crate) fn may_resolve(&self, missing: &str) -> Result<(), Error> {
        let platform = self.target.subdir;
        let problem = format!("it has no {missing} for {platform}");
        match self.options.lock_mode {
            LockMode::Locked => Err(Error::Locked {
                path: self.lock.to_owned(),
                problem,
            }),
            LockMode::Follow | LockMode::Update => {
                if self.options.offline && self.options.debs.is_none() {
                    return Err(Error::Offline {
                        path: self.lock.to_owned(),
                        problem,
                    });
                }
                Ok(())
            }
        }
    }
}

/// A channel that was made.
#[derive(Debug)]
pub struct Made {
    /// The packages, as `SUBDIR/FILE`, sorted.
    pub packages: Vec<String>,
    /// The lock that they were made from.
    pub lock: PathBuf,
    /// What the indexer says.
    pub index: channel::Report,
}

/// Makes the channel that `definition` describes.
pub fn repack(definition: &Path, options: &Options, report: Report<'_>) -> Result<Made, Error> {
    let read = Definition::read(definition)?;
    let lock_path = options
        .lock
        .clone()
        .unwrap_or_else(|| Lock::beside(definition));
    let before = match options.lock_mode {
        // What is wrong with a lock that is made anew does not matter.
        LockMode::Update => Lock::read(&lock_path).unwrap_or_default(),
        LockMode::Follow | LockMode::Locked => Lock::read(&lock_path)?,
    };
    let mut lock = before.unwrap_or_default();
    let follow = options.lock_mode != LockMode::Update;
    let names = if options.platforms.is_empty() {
        &read.platforms
    } else {
        &options.platforms
    };
    let targets: Vec<Target> = names
        .iter()
        .map(|name| Target::find(name))
        .collect::<Result<_, _>>()?;
    let store = Store::new(&options.cache_dir);
    fs::create_dir_all(&options.cache_dir).map_err(error::file("make", &options.cache_dir))?;
    let work = tempfile::Builder::new()
        .prefix("repack-")
        .tempdir_in(&options.cache_dir)
        .map_err(error::file("write", &options.cache_dir))?;
    let context = |target| Context {
        target,
        definition: &read,
        options,
        lock: &lock_path,
        store: &store,
        work: work.path(),
        report,
    };

    // The platform of this machine is made too, where the definition has it: its Python compiles.
    let host = Target::host().filter(|host| read.platforms.iter().any(|name| name == host.subdir));
    let compiles = read
        .packages
        .iter()
        .any(|package| !package.compile.is_empty());
    let mut all = targets.clone();
    all.extend(host.filter(|host| compiles && !targets.contains(host)));
    let mut drafts: Vec<(Target, Vec<Draft>)> = Vec::new();
    for target in all {
        let context = context(target);
        let pins = debian::pins(&context, lock.debian.get(target.subdir).filter(|_| follow))?;
        lock.debian.insert(target.subdir.to_owned(), pins.clone());
        let files = debian::fetch(&context, &pins)?;
        report(Event::Stage(&format!(
            "unpack Debian packages for {}",
            target.subdir
        )));
        let made = debian::drafts(&context, &pins, &files)?;
        drafts.push((target, made));
    }
    let interpreter = if compiles {
        let own = drafts.iter().find(|(target, _)| Some(*target) == host);
        let own = own.map(|(_, drafts)| drafts.as_slice());
        let folder = work.path().join("interpreter");
        Some(Interpreter::find(own, &read.python, &folder, report)?)
    } else {
        None
    };
    drafts.retain(|(target, _)| targets.contains(target));
    for (target, made) in &mut drafts {
        let context = context(*target);
        let known = lock.wheels.get(target.subdir).map(Vec::as_slice);
        let Some(wheels) = wheel::find(&context, known.unwrap_or_default())? else {
            continue;
        };
        lock.wheels.insert(target.subdir.to_owned(), wheels.pins());
        let mut wheels = wheels.drafts(&context, made)?;
        for draft in wheels.iter_mut().filter(|draft| !draft.noarch_python) {
            // Installers compile what does not depend on the platform, and only that.
            draft.compile = vec!["lib/**".to_owned()];
        }
        made.extend(wheels);
    }
    if let Some(interpreter) = interpreter {
        report(Event::Stage("compile Python sources"));
        for (target, drafts) in &mut drafts {
            for draft in drafts {
                let folder = format!("bytecode-{}-{}", target.subdir, draft.name);
                compile::add(draft, &interpreter, &work.path().join(folder))?;
            }
        }
    }
    let mut ready: BTreeMap<(String, String), Draft> = BTreeMap::new();
    for (_, made) in drafts {
        for mut draft in made {
            if let Some(time) = options.timestamp {
                draft.timestamp_ms = time.saturating_mul(1000);
            }
            if draft.build.is_empty() {
                draft.build = package::build_string(&draft)?;
            }
            let file = format!("{}-{}-{}", draft.name, draft.version, draft.build);
            // What does not depend on the platform is the same for all of them.
            let is_shared = draft.subdir == "noarch";
            let key = (draft.subdir.clone(), file);
            if ready.contains_key(&key) && !is_shared {
                return Err(Error::Twice { file: key.1 });
            }
            ready.insert(key, draft);
        }
    }
    lock.write(&lock_path)?;
    let packages = write_all(&ready, options, report)?;
    report(Event::Stage("index the channel"));
    let index = channel::index(
        &options.output_dir,
        &channel::Options {
            threads: options.threads,
            outputs: channel::Outputs::all(),
            ..channel::Options::default()
        },
        &|_| {},
    );
    Ok(Made {
        packages,
        lock: lock_path,
        index: index.map_err(|source| Error::Index { source })?,
    })
}

/// Writes the packages, several at a time.
fn write_all(
    drafts: &BTreeMap<(String, String), Draft>,
    options: &Options,
    report: Report<'_>,
) -> Result<Vec<String>, Error> {
    let compression = WriteOptions {
        zstd_level: options.zstd_level.unwrap_or(DEFAULT_ZSTD_LEVEL),
        bzip2_level: 9,
    };
    let kind = if options.tar_bz2 {
        Kind::TarBz2
    } else {
        Kind::Conda
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|source| Error::Threads { source })?;
    report(Event::Stage("write packages"));
    pool.install(|| {
        drafts
            .values()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|draft| {
                let file = package::write(draft, kind, compression, &options.output_dir)?;
                report(Event::Wrote {
                    subdir: &draft.subdir,
                    file: &file,
                });
                Ok(format!("{}/{file}", draft.subdir))
            })
            .collect()
    })
}
