//! From channels to records, through rattler's gateway (shards, `.zst`, `.bz2`, plain; cached).
//! Each subdir is loaded on its own first, so that an error names it; then one query follows the
//! dependencies through all channels at once. Which records are good together is for the solver.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conda::{Channel, MatchSpec, PackageName, RepoDataRecord, Subdir, credentials};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rattler_repodata_gateway::{
    ChannelRelationsMode, DownloadReporter, Gateway, GatewayError, RepoDataSource, Reporter, Source,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use url::Url;

use crate::{Client, Error, Event};

mod failure;

/// What the gateway and the HTTP layers have to say, on its way to the caller's `report`.
pub(crate) enum Message {
    Bytes {
        url: String,
        bytes: u64,
    },
    Retry {
        url: String,
        reason: String,
        wait: Duration,
    },
}

type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

impl Client {
    /// The records of `channels` that `specs` can lead to, directly or through dependencies: one
    /// list per channel, in their order. `platforms` and `noarch` are looked at. A channel may
    /// lack some of the subdirs, not all.
    pub fn records(
        &self,
        channels: &[Channel],
        platforms: &[Subdir],
        specs: &[MatchSpec],
        report: Report<'_>,
    ) -> Result<Vec<Vec<RepoDataRecord>>, Error> {
        if let Some(spec) = specs.iter().find(|spec| spec.url.is_some()) {
            return Err(Error::ArchiveSpec {
                spec: credentials::redact_text(&spec.to_string()),
            });
        }
        let channels: Vec<Channel> = channels.iter().map(|channel| self.bare(channel)).collect();
        self.check_cache(&channels)?;
        let mut subdirs = Vec::new();
        for subdir in platforms.iter().copied().chain([Subdir::NoArch]) {
            if !subdirs.contains(&subdir) {
                subdirs.push(subdir);
            }
        }
        let (sender, receiver) = unbounded_channel();
        self.retry_reports.set(Some(sender.clone()));
        let downloads = RefCell::new(HashSet::new());
        let query = Query {
            client: self,
            subdirs,
            specs,
            sender,
            downloads: &downloads,
            report,
        };
        let result = self.block_on(relay(query.run(&channels), receiver, &downloads, report));
        self.retry_reports.set(None);
        result
    }

    fn bare(&self, channel: &Channel) -> Channel {
        let url: &Url = channel.base_url.url();
        Channel {
            base_url: self.credentials.take(url, &self.bare).into(),
            ..channel.clone()
        }
    }

    /// Says early, with a path, what the gateway would say late and without.
    fn check_cache(&self, channels: &[Channel]) -> Result<(), Error> {
        let remote = channels
            .iter()
            .any(|channel| channel.base_url.url().scheme() != "file");
        if !remote {
            return Ok(());
        }
        let path = self.options.repodata_dir();
        fs_err::create_dir_all(&path)
            .and_then(|()| tempfile::tempfile_in(&path).map(drop))
            .map_err(|source| Error::Cache { path, source })
    }
}

/// Runs `work` and hands on what is said meanwhile.
async fn relay<T>(
    work: impl Future<Output = T>,
    mut receiver: UnboundedReceiver<Message>,
    downloads: &RefCell<HashSet<String>>,
    report: Report<'_>,
) -> T {
    let mut work = std::pin::pin!(work);
    let tell = |message| match message {
        Message::Bytes { url, bytes } => {
            report(Event::RepodataBytes { url: &url, bytes });
            if bytes > 0 {
                downloads.borrow_mut().insert(url);
            }
        }
        Message::Retry { url, reason, wait } => report(Event::Retry {
            url: &url,
            reason: &reason,
            wait,
        }),
    };
    loop {
        tokio::select! {
            biased;
            Some(message) = receiver.recv() => tell(message),
            result = &mut work => {
                while let Ok(message) = receiver.try_recv() {
                    tell(message);
                }
                return result;
            }
        }
    }
}

struct Query<'a> {
    client: &'a Client,
    subdirs: Vec<Subdir>,
    specs: &'a [MatchSpec],
    sender: UnboundedSender<Message>,
    downloads: &'a RefCell<HashSet<String>>,
    report: Report<'a>,
}

/// Whether a channel has a subdir at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Found,
    Missing,
}

impl Query<'_> {
    async fn run(&self, channels: &[Channel]) -> Result<Vec<Vec<RepoDataRecord>>, Error> {
        // One channel named twice: the first place counts.
        let mut unique: Vec<&Channel> = Vec::new();
        for channel in channels {
            if !unique
                .iter()
                .any(|known| known.base_url == channel.base_url)
            {
                unique.push(channel);
            }
        }
        let sources = self.load(&unique).await?;
        let output = self
            .client
            .connections()
            .gateway
            .query(sources, self.subdirs.clone(), self.specs.to_vec())
            .recursive(true)
            .channel_relations(ChannelRelationsMode::Disabled)
            .with_reporter(self.reporter())
            .await
            .map_err(|error| self.client.failure(&error, None))?;
        let mut lists: Vec<(&Channel, Vec<RepoDataRecord>)> = unique
            .iter()
            .zip(output.repodata.chunks(self.subdirs.len()))
            .map(|(channel, subdirs)| {
                (
                    *channel,
                    subdirs
                        .iter()
                        .flat_map(|subdir| subdir.iter().cloned())
                        .collect(),
                )
            })
            .collect();
        Ok(channels
            .iter()
            .map(|channel| {
                lists
                    .iter_mut()
                    .find(|(known, _)| known.base_url == channel.base_url)
                    .map(|(_, records)| std::mem::take(records))
                    .unwrap_or_default()
            })
            .collect())
    }

    /// Loads every subdir of every channel, and says which there are.
    async fn load(&self, channels: &[&Channel]) -> Result<Vec<Source>, Error> {
        let mut loads: FuturesUnordered<_> = channels
            .iter()
            .enumerate()
            .flat_map(|(index, channel)| {
                self.subdirs.iter().map(move |subdir| async move {
                    (index, self.load_subdir(channel, *subdir).await)
                })
            })
            .collect();
        let mut noarch = vec![Presence::Found; channels.len()];
        while let Some((index, presence)) = loads.next().await {
            if presence? == Presence::Missing {
                noarch[index] = Presence::Missing;
            }
        }
        let mut sources = Vec::new();
        for (channel, noarch) in channels.iter().zip(noarch) {
            sources.push(match noarch {
                Presence::Found => Source::Channel((*channel).clone()),
                Presence::Missing => self.without_noarch(channel).await?,
            });
        }
        Ok(sources)
    }

    /// The gateway takes a missing platform for an empty one, and a missing `noarch` for an error.
    async fn load_subdir(&self, channel: &Channel, subdir: Subdir) -> Result<Presence, Error> {
        let shown = credentials::redacted(channel.base_url.url());
        (self.report)(Event::SubdirStarted {
            channel: &shown,
            subdir: subdir.as_str(),
        });
        let result = self
            .client
            .connections()
            .gateway
            .query([channel.clone()], [subdir], self.specs.to_vec())
            .channel_relations(ChannelRelationsMode::Disabled)
            .with_reporter(self.reporter())
            .await;
        let presence = match result {
            Ok(_) => Presence::Found,
            Err(GatewayError::SubdirNotFoundError(_)) => Presence::Missing,
            Err(error) => return Err(self.client.failure(&error, Some((channel, subdir)))),
        };
        let prefix = channel.platform_url(subdir);
        (self.report)(Event::SubdirDone {
            channel: &shown,
            subdir: subdir.as_str(),
            found: presence == Presence::Found,
            cached: !self
                .downloads
                .borrow()
                .iter()
                .any(|url| url.starts_with(prefix.as_str())),
        });
        Ok(presence)
    }

    /// A channel that has platforms but no `noarch`, or an error where it has nothing.
    async fn without_noarch(&self, channel: &Channel) -> Result<Source, Error> {
        let platforms: Vec<Subdir> = self
            .subdirs
            .iter()
            .copied()
            .filter(|subdir| *subdir != Subdir::NoArch)
            .collect();
        let names = self
            .client
            .connections()
            .gateway
            .names([channel.clone()], platforms)
            .channel_relations(ChannelRelationsMode::Disabled)
            .await;
        // A name that is none is an error of that call, but a sign that there is something.
        if names.is_ok_and(|names| names.is_empty()) {
            return Err(Error::ChannelNotFound {
                channel: credentials::redacted(channel.base_url.url()),
                subdirs: self.subdirs.iter().map(ToString::to_string).collect(),
            });
        }
        Ok(Source::Custom(Arc::new(WithoutNoarch {
            gateway: self.client.connections().gateway.clone(),
            channel: channel.clone(),
        })))
    }

    fn reporter(&self) -> Progress {
        Progress {
            sender: self.sender.clone(),
        }
    }
}

/// A channel whose `noarch` is empty because it does not exist.
struct WithoutNoarch {
    gateway: Gateway,
    channel: Channel,
}

#[async_trait]
impl RepoDataSource for WithoutNoarch {
    async fn fetch_package_records(
        &self,
        platform: Subdir,
        name: &PackageName,
    ) -> Result<Vec<Arc<RepoDataRecord>>, GatewayError> {
        if platform == Subdir::NoArch {
            return Ok(Vec::new());
        }
        let found = self
            .gateway
            .query(
                [self.channel.clone()],
                [platform],
                [MatchSpec::from(name.clone())],
            )
            .channel_relations(ChannelRelationsMode::Disabled)
            .await?;
        Ok(found
            .repodata
            .iter()
            .flat_map(|subdir| subdir.iter_arc().cloned())
            .collect())
    }

    /// Only patterns ask for this; specs with patterns are not solved.
    fn package_names(&self, _platform: Subdir) -> Vec<String> {
        Vec::new()
    }
}

struct Progress {
    sender: UnboundedSender<Message>,
}

impl Progress {
    fn send(&self, url: &Url, bytes: usize) {
        // Nobody listens any more where the query has ended.
        let _ = self.sender.send(Message::Bytes {
            // The answer comes from a URL with the credentials in their place.
            url: credentials::without(url).into(),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        });
    }
}

impl Reporter for Progress {
    fn download_reporter(&self) -> Option<&dyn DownloadReporter> {
        Some(self)
    }
}

impl DownloadReporter for Progress {
    fn on_download_start(&self, url: &Url) -> usize {
        self.send(url, 0);
        0
    }

    fn on_download_progress(&self, url: &Url, _index: usize, bytes: usize, _total: Option<usize>) {
        self.send(url, bytes);
    }
}
