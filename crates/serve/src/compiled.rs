//! A meta-channel that is compiled here: from its definition into a folder, which is served like any other, and again
//! when its channels may have changed. What cannot be compiled leaves what was there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archive::package::Kind;
use channel::meta::{self, Event};
use channel::{Origins, Outputs};
use fetch::Client;
use http::header::WARNING;
use http::{HeaderValue, StatusCode};
use spec::{MetaChannel, Mirror};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::digests::Digests;
use crate::error::{Error, chain};
use crate::fetched::Fetched;
use crate::file::{self, Asked};
use crate::folder::Folder;
use crate::log::Log;
use crate::packages::Packages;
use crate::reply::{self, Reply};
use crate::settings::{Compiling, Settings};

/// How long to wait before upstream is asked again after a failure, at least.
const AGAIN: Duration = Duration::from_secs(30);

/// How often a package is fetched that is gone before it could be sent.
const ATTEMPTS: usize = 3;

/// What all meta-channels have in common.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) compiling: Compiling,
    /// How many packages of a channel are fetched at a time.
    pub(crate) downloads: usize,
    pub(crate) fetched: Arc<Fetched>,
}

/// A meta-channel.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// Of its folder, below those of all.
    name: String,
    title: String,
    definition: Definition,
    state: PathBuf,
    client: Arc<Client>,
    refresh: Option<Duration>,
    folder: Folder,
    packages: Packages,
    fetched: Arc<Fetched>,
    told: RwLock<Told>,
    /// Whether the channels could not be asked the last time.
    is_stale: AtomicBool,
}

/// What is compiled.
#[derive(Debug)]
pub(crate) enum Definition {
    /// A file, which is read each time.
    File(PathBuf),
    /// What an address asks for, and the folder of blacklists.
    Question(Box<MetaChannel>, PathBuf),
}

/// What the last compilation said of packages.
#[derive(Debug)]
struct Told {
    mirror: Mirror,
    origins: Arc<Origins>,
}

impl Means {
    /// Those that the settings say, if they do.
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, Error> {
        let Some(compiling) = settings.compiling.clone() else {
            return Ok(None);
        };
        let fetched = Arc::new(Fetched::open(&compiling, settings.limits.fetched)?);
        Ok(Some(Self {
            compiling,
            downloads: settings.limits.downloads,
            fetched,
        }))
    }
}

impl Compiled {
    /// Reads a definition.
    pub(crate) fn new(name: &str, path: &Path, means: Option<&Means>) -> Result<Self, Error> {
        let means = means.ok_or_else(|| Error::Definition {
            problem: format!("nothing says how `{}` is to be compiled", path.display()),
        })?;
        let definition = Definition::File(path.to_owned());
        let mirror = definition.read(&|_| ())?.mirror;
        let compiled = Self::of((name, name), definition, means);
        compiled.tell(|told| told.mirror = mirror);
        Ok(compiled)
    }

    /// A meta-channel with the name of its folder, and what people call it.
    pub(crate) fn of((name, title): (&str, &str), definition: Definition, means: &Means) -> Self {
        let compiling = &means.compiling;
        let root = compiling.state.join(name);
        let client = &compiling.client;
        let mirror = match &definition {
            Definition::File(_) => Mirror::None,
            Definition::Question(definition, _) => definition.mirror,
        };
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            definition,
            state: compiling.state.clone(),
            client: Arc::clone(client),
            refresh: compiling.refresh,
            packages: Packages::new(means, name),
            fetched: Arc::clone(&means.fetched),
            folder: Folder::new(root),
            told: RwLock::new(Told {
                mirror,
                origins: Arc::default(),
            }),
            is_stale: AtomicBool::new(false),
        }
    }

    /// Where the compiled channel lies.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Compiles what was never compiled. What an earlier server has left is good enough to begin with.
    pub(crate) fn make_ready(&self, log: &Log) -> Result<(), Error> {
        let is_there = self.folder.root().join("noarch/repodata.json").is_file();
        match Origins::read(self.folder.root()) {
            Ok(Some(origins)) if is_there => {
                self.tell(|told| told.origins = Arc::new(origins));
                Ok(())
            }
            _ => self.compile(log),
        }
    }

    /// Compiles again and again, and each time that `reload` says so.
    pub(crate) async fn follow(self: Arc<Self>, log: Arc<Log>, mut reload: watch::Receiver<()>) {
        let mut waits = Duration::ZERO;
        // The same problem is told once.
        let mut told = None;
        loop {
            let pause = async {
                match self.refresh {
                    Some(_) => tokio::time::sleep(waits).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                changed = reload.changed() => if changed.is_err() { return },
            }
            let (compiled, notes) = (Arc::clone(&self), Arc::clone(&log));
            let outcome = spawn_blocking(move || compiled.compile_again(&notes)).await;
            let problem = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(chain(&error)),
                Err(error) => Some(error.to_string()),
            };
            waits = self.refresh.unwrap_or_default();
            if problem.is_some() {
                waits = waits.min(AGAIN);
            }
            if let Some(problem) = problem.as_ref().filter(|_| problem != told) {
                let text = format!("{}: stays as it was: {problem}", self.title);
                log.note("error", &text);
            }
            told = problem;
        }
    }

    /// Compiles what is there already, and notes whether it is what upstream has.
    pub(crate) fn compile_again(&self, log: &Log) -> Result<(), Error> {
        let outcome = self.compile(log);
        self.is_stale.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    fn compile(&self, log: &Log) -> Result<(), Error> {
        let mut definition = self
            .definition
            .read(&|warning| log.note("warning", &warning))?;
        definition.name.clone_from(&self.name);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let options = meta::Options {
            base: self.definition.base().to_owned(),
            lock: self.state.join(format!("{}.lock", self.name)),
            output: self.state.clone(),
            platforms: Vec::new(),
            locked: false,
            // Who writes the definition proves it: `archiconda channel build --strict`.
            proof: false,
            plan: false,
            served: true,
            now_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            index: channel::Options {
                outputs: Outputs::all(),
                channel_name: Some(self.title.clone()),
                ..channel::Options::default()
            },
        };
        // The lock lies beside the folder.
        let above = self.folder.root().parent().unwrap_or(&self.state);
        fs_err::create_dir_all(above).map_err(|source| Error::Folder {
            path: above.to_owned(),
            source,
        })?;
        let report = |event: Event<'_>| match event {
            Event::Warning(text) => log.note("warning", &format!("{}: {text}", self.title)),
            Event::Fetch(fetch::Event::Retry { url, reason, .. }) => {
                log.note("info", &format!("{}: {url}: {reason}", self.title));
            }
            _ => {}
        };
        let failed = |source| Error::Compile {
            what: self.definition.shown(&self.title),
            source: Box::new(source),
        };
        let built = meta::build(&definition, &self.client, &options, &report).map_err(failed)?;
        let origins = Origins::read(self.folder.root());
        let origins = origins.map_err(|source| Error::Read {
            path: self.folder.root().to_owned(),
            source,
        })?;
        self.tell(|told| {
            told.mirror = definition.mirror;
            told.origins = Arc::new(origins.unwrap_or_default());
        });
        if built.changed {
            let packages: usize = built.subdirs.iter().map(|subdir| subdir.packages).sum();
            log.note(
                "info",
                &format!("{}: compiled, {packages} packages", self.title),
            );
        }
        Ok(())
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut told);
        let mirror = told.mirror;
        drop(told);
        if mirror == Mirror::Full {
            // What is here must be here.
            self.fetched.release(&self.name);
        }
    }

    fn told(&self) -> (Mirror, Arc<Origins>) {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
        (told.mirror, Arc::clone(&told.origins))
    }

    /// Completes the answer that the folder has: packages that are not there come from elsewhere, and what may be old
    /// says so.
    pub(crate) async fn answer(
        &self,
        mut reply: Reply,
        digests: &Digests,
        asked: Asked<'_>,
    ) -> Reply {
        if !asked.is_folder
            && let [subdir, file] = asked.parts
            && Kind::from_file_name(file).is_some()
        {
            if reply.status() == StatusCode::NOT_FOUND {
                return self.package(subdir, file, digests, asked).await;
            }
            self.packages.used(subdir, file);
        }
        if self.is_stale.load(Ordering::Relaxed) {
            let warning = HeaderValue::from_static("111 archiconda \"Revalidation Failed\"");
            reply.headers_mut().insert(WARNING, warning);
        }
        reply
    }

    async fn package(
        &self,
        subdir: &str,
        file: &str,
        digests: &Digests,
        asked: Asked<'_>,
    ) -> Reply {
        let (mirror, origins) = self.told();
        let elsewhere = origins.url(subdir, file);
        let Some(elsewhere) = elsewhere else {
            return reply::not_found();
        };
        let root = self.folder.root().to_owned();
        let (place, name) = (subdir.to_owned(), file.to_owned());
        let wanted = spawn_blocking(move || origins.wanted(&root, &place, &name)).await;
        let Ok(Ok(wanted)) = wanted else {
            return reply::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the index cannot be read",
            );
        };
        let Some(wanted) = wanted else {
            return reply::not_found();
        };
        if mirror == Mirror::None && matches!(elsewhere.scheme(), "http" | "https") {
            return reply::found(elsewhere.as_str());
        }
        let is_kept = mirror == Mirror::Full;
        for _ in 0..ATTEMPTS {
            let fetched = self
                .packages
                .get((subdir, file), wanted.clone(), is_kept, asked);
            if let Some(reply) = fetched.await {
                return reply;
            }
            let reply = file::answer(&self.folder, digests, asked).await;
            // What others fetched meanwhile may have taken its room.
            if reply.status() != StatusCode::NOT_FOUND {
                return reply;
            }
        }
        let reason = "there is no room for the packages that are asked for";
        reply::later(StatusCode::SERVICE_UNAVAILABLE, reason, AGAIN)
    }
}

impl Definition {
    /// Reads it; what is odd and no mistake goes to `warn`.
    fn read(&self, warn: &dyn Fn(String)) -> Result<MetaChannel, Error> {
        let path = match self {
            Self::File(path) => path,
            Self::Question(definition, _) => return Ok((**definition).clone()),
        };
        let name = path.display().to_string();
        let text = fs_err::read_to_string(path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let parsed = MetaChannel::parse(&text).map_err(|error| Error::Definition {
            problem: error.render(&name),
        })?;
        for warning in &parsed.warnings {
            warn(warning.render(&name));
        }
        Ok(parsed.definition)
    }

    /// What paths in it are relative to.
    fn base(&self) -> &Path {
        let base = match self {
            Self::File(path) => path.parent(),
            Self::Question(_, base) => Some(base.as_path()),
        };
        let base = base.filter(|base| !base.as_os_str().is_empty());
        base.unwrap_or(Path::new("."))
    }

    fn shown(&self, title: &str) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Question(..) => title.to_owned(),
        }
    }
}
