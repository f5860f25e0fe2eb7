//! The client: options, connections, and the runtime that drives them. What is fetched with it is
//! in `repodata` and `packages`.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use conda::{Channel, credentials};
use rattler_networking::AuthenticationStorage;
use rattler_repodata_gateway::fetch::CacheAction;
use rattler_repodata_gateway::{ChannelConfig, Gateway, SourceConfig};
use reqwest_middleware::ClientWithMiddleware;
use tokio::runtime::Runtime;
use url::Url;

use crate::credentials::Credentials;
use crate::http::{self, RetryReports};
use crate::pace::Pace;
use crate::retry::Policy;
use crate::store::Store;
use crate::{Cause, Error, channel};

/// How things are fetched, and where they are kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of all caches. By default `archiconda` in the user's cache folder.
    pub cache_dir: PathBuf,
    /// Use what is cached and what lies in folders; make no request.
    pub offline: bool,
    /// What precedes the name of a channel that is only a name.
    pub channel_alias: Url,
    /// How many requests are made at once; at least 1.
    pub concurrency: usize,
    /// How many packages come from one server at once; at least 1.
    pub per_host: usize,
    /// How many bytes of packages come in a second, all together.
    pub rate: Option<u64>,
    /// Servers that are asked instead of the ones whose URLs begin so.
    pub mirrors: HashMap<Url, Vec<Url>>,
    /// A credential file in rattler's format, asked before the default ones.
    pub auth_file: Option<PathBuf>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a server may be silent, before an answer or within one.
    pub idle_timeout: Duration,
    /// How often a request is repeated when it fails for a passing reason.
    pub retries: u32,
    /// The pause before the first repetition; each further one is twice as long, within bounds.
    pub backoff: Duration,
    /// The longest pause, whatever a server asks for.
    pub longest_pause: Duration,
    /// The most bytes that a package may have whose size nobody knows.
    pub package_limit: u64,
}

/// Fetches repodata and packages. Its calls block, and must not be made from asynchronous code.
pub struct Client {
    pub(crate) options: Options,
    /// Trusts nobody: for requests that are not sent.
    pub(crate) bare: reqwest::Client,
    storage: AuthenticationStorage,
    connections: OnceLock<Connections>,
    pub(crate) credentials: Credentials,
    pub(crate) retry_reports: RetryReports,
    pub(crate) store: Store,
    pub(crate) pace: Pace,
    runtime: Option<Runtime>,
}

/// What requests are made with. It is made when the first of them is: to read the system's certificates takes as long as
/// many a run that needs none.
pub(crate) struct Connections {
    pub(crate) plain: reqwest::Client,
    pub(crate) packages: ClientWithMiddleware,
    pub(crate) gateway: Gateway,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_dir: default_cache_dir(),
            offline: false,
            channel_alias: default_alias(),
            concurrency: 16,
            per_host: 8,
            rate: None,
            mirrors: HashMap::new(),
            auth_file: None,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(30),
            retries: 3,
            backoff: Duration::from_millis(500),
            longest_pause: Duration::from_mins(1),
            package_limit: 16 << 30,
        }
    }
}

impl Options {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            retries: self.retries,
            backoff: self.backoff,
            longest: self.longest_pause,
        }
    }

    pub(crate) fn repodata_dir(&self) -> PathBuf {
        self.cache_dir.join("repodata")
    }
}

impl Client {
    /// A client with its runtime. Makes no request and writes nothing yet.
    pub fn new(options: Options) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("fetch")
            .build()
            .map_err(|error| Error::Start(Cause::new(&error, &str::to_owned)))?;
        let credentials = Credentials::default();
        let retry_reports = RetryReports::default();
        Ok(Self {
            bare: http::bare(&options)?,
            storage: http::storage(&options)?,
            connections: OnceLock::new(),
            store: Store::new(options.cache_dir.join("packages")),
            pace: Pace::new(options.per_host, options.rate),
            options,
            credentials,
            retry_reports,
            runtime: Some(runtime),
        })
    }

    /// The channel that `text` means: a URL (http, https, file), an absolute folder, a folder
    /// relative to `base` (`./x`, `../x`, or a name that exists there), or a name under the
    /// channel alias. A token (`t/TOKEN/…`), user and password in it are kept for the requests to
    /// this channel and are not in the result, nor in any record that comes from it: call this for
    /// every channel of a spec, also where packages are fetched from a lock.
    pub fn channel(&self, text: &str, base: &Path) -> Result<Channel, Error> {
        let url = channel::resolve(text, base, &self.options.channel_alias)?;
        Ok(channel::at(&self.credentials.take(&url, &self.bare)))
    }

    /// The address of a folder without its credentials, which are sent with every request for something below it.
    pub fn folder(&self, url: &Url) -> Url {
        self.credentials.take(url, &self.bare)
    }

    /// A file's address without its credentials, which are sent with every request for something in its folder.
    pub(crate) fn file(&self, url: &Url) -> Url {
        let bare = credentials::without(url);
        if bare.as_str() != url.as_str()
            && let Ok(folder) = url.join(".")
        {
            self.folder(&folder);
        }
        bare
    }

    /// Whether no request is made.
    pub fn is_offline(&self) -> bool {
        self.options.offline
    }

    pub(crate) fn connections(&self) -> &Connections {
        self.connections.get_or_init(|| {
            let (options, credentials) = (&self.options, &self.credentials);
            let plain = http::plain(options, &self.bare);
            let packages = http::for_packages(&plain, options, credentials, &self.storage);
            let reports = &self.retry_reports;
            let repodata = http::for_repodata(&plain, options, credentials, &self.storage, reports);
            let gateway = Gateway::builder()
                .with_client(repodata)
                .with_cache_dir(options.repodata_dir())
                .with_channel_config(ChannelConfig {
                    default: SourceConfig {
                        cache_action: if options.offline {
                            CacheAction::ForceCacheOnly
                        } else {
                            CacheAction::CacheOrFetch
                        },
                        ..SourceConfig::default()
                    },
                    per_channel: HashMap::new(),
                })
                .with_max_concurrent_requests(options.concurrency.max(1))
                .finish();
            Connections {
                plain,
                packages,
                gateway,
            }
        })
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime is taken in `drop` only"),
        }
    }

    /// The chain of another library's error, without credentials.
    pub(crate) fn cause(&self, error: &(dyn std::error::Error + 'static)) -> Cause {
        Cause::new(error, &|text| self.credentials.hide(text))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // What still runs after a failure is not worth waiting for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("cache_dir", &self.options.cache_dir)
            .field("offline", &self.options.offline)
            .finish_non_exhaustive()
    }
}

/// The XDG base directory specification's cache folder; without a home, a folder for this run alone: one with a known
/// name in the folder for temporary files may be anybody's.
pub fn default_cache_dir() -> PathBuf {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // That of the account, where no variable says it.
    let home = || std::env::home_dir().filter(|home| home.is_absolute());
    let random = || RandomState::new().build_hasher().finish();
    absolute("XDG_CACHE_HOME")
        .or_else(|| home().map(|home| home.join(".cache")))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("archiconda-{:016x}", random())))
        .join("archiconda")
}

fn default_alias() -> Url {
    match Url::parse("https://conda.anaconda.org/") {
        Ok(url) => url,
        Err(_) => unreachable!("a constant URL"),
    }
}
