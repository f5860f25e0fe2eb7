//! What a server can be asked. The defaults are here, the names of options in `cli`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conda::Subdir;
use fetch::Client;
use ipnet::IpNet;
use spec::Mirror;

/// How a server serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// Where numbers are for Prometheus, if not at `/metrics` of every address.
    pub metrics_listen: Option<SocketAddr>,
    /// What is served.
    pub channels: Vec<Named>,
    /// How definitions are compiled; needed where there is one.
    pub compiling: Option<Compiling>,
    /// Where packages wait, each in a file without a name, that are on their way into a bucket.
    pub drafts: PathBuf,
    /// Where this machine keeps copies of what indexers know of packages in buckets.
    pub cache_dir: PathBuf,
    /// With which certificate, if not without TLS.
    pub tls: Option<Tls>,
    /// The list of tokens (docs/serve.md, "Access"), if there are any.
    pub tokens: Option<PathBuf>,
    /// What clients may not exceed.
    pub limits: Limits,
    /// The proxies whose `X-Forwarded-For` says who a client is.
    pub proxies: Vec<IpNet>,
    /// How requests are written down.
    pub log: LogForm,
}

/// A channel, and its name in addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// One or more parts of a path, with slashes between them.
    pub name: String,
    /// Where its files come from.
    pub origin: Origin,
}

/// Where a channel's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// They lie in this folder.
    Folder(PathBuf),
    /// They lie in a bucket of an S3-compatible store.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// What the keys of the channel begin with, before a slash; may be empty.
        prefix: String,
    },
    /// They are compiled from this definition of a meta-channel, and again when its channels change.
    Definition(PathBuf),
    /// They are compiled as addresses ask for them.
    Questions(Questions),
}

/// What addresses may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// The channels: what addresses call them, and what they are.
    pub channels: BTreeMap<String, String>,
    /// The platforms that are compiled, besides noarch.
    pub platforms: Vec<Subdir>,
    /// Where the packages are.
    pub mirror: Mirror,
    /// The folder of the files that `--blacklist=NAME` means.
    pub blacklists: Option<PathBuf>,
    /// How many questions have a folder at a time.
    pub most: usize,
    /// How long somebody waits for a question that nobody asked before.
    pub patience: Duration,
}

/// How meta-channels are compiled.
#[derive(Debug, Clone)]
pub struct Compiling {
    /// What fetches.
    pub client: Arc<Client>,
    /// Where compiled channels are kept, each in a folder of its name.
    pub state: PathBuf,
    /// How often their channels are asked whether they changed; never, if not at all.
    pub refresh: Option<Duration>,
}

/// Files in PEM form, read anew on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those that lead from it to a known one.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How requests are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// One line of JSON each.
    Json,
    /// One line each for people.
    Text,
    /// Not at all; warnings still are.
    None,
}

/// What clients may not exceed.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Connections at a time; others wait.
    pub connections: usize,
    /// Requests in a second from one address; 0 is any number.
    pub rate: u32,
    /// How long the head of a request, or a TLS handshake, may take.
    pub header: Duration,
    /// How long a connection stays on which nothing is asked.
    pub idle: Duration,
    /// How long a client may take no piece of an answer, or send none of an upload.
    pub stall: Duration,
    /// How long running answers have after the server was told to stop.
    pub grace: Duration,
    /// The longest package that is taken, in bytes.
    pub upload: u64,
    /// How long the flat files of a channel may be older than its shards.
    pub flat: Duration,
    /// Packages that are fetched from elsewhere at a time.
    pub downloads: usize,
    /// How many bytes of packages stay that were fetched because somebody asked for them; all, if it is not said.
    pub fetched: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000)],
            metrics_listen: None,
            channels: Vec::new(),
            compiling: None,
            drafts: std::env::temp_dir(),
            cache_dir: fetch::default_cache_dir(),
            tls: None,
            tokens: None,
            limits: Limits::default(),
            proxies: Vec::new(),
            log: LogForm::Text,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            rate: 0,
            header: Duration::from_secs(15),
            idle: Duration::from_mins(1),
            stall: Duration::from_mins(1),
            grace: Duration::from_secs(30),
            upload: 4 << 30,
            flat: Duration::from_secs(20),
            downloads: 16,
            fetched: None,
        }
    }
}
