//! What a failure of the gateway means to the user: which channel, and what can be done.

use std::collections::HashSet;
use std::io;

use conda::{Channel, Subdir, credentials};
use rattler_repodata_gateway::fetch::FetchRepoDataError;
use rattler_repodata_gateway::{CacheClearMode, GatewayError, SubdirSelection};

use crate::{Client, Error};

enum Kind {
    Unreachable,
    Refused,
    Broken,
    Offline,
    Cache,
}

impl Client {
    /// The error for `error`, which happened at `place`, or somewhere among all channels.
    pub(super) fn failure(&self, error: &GatewayError, place: Option<(&Channel, Subdir)>) -> Error {
        let url = match place {
            Some((channel, subdir)) => credentials::redacted(&channel.platform_url(subdir)),
            None => "the channels".to_owned(),
        };
        let channel = match place {
            Some((channel, _)) => credentials::redacted(channel.base_url.url()),
            None => url.clone(),
        };
        let source = self.cause(error);
        match kind(error) {
            Kind::Offline => Error::RepodataOffline { url, source },
            Kind::Refused => Error::Refused { url, source },
            Kind::Unreachable => Error::Unreachable { channel, source },
            Kind::Cache => Error::Cache {
                path: self.options.repodata_dir(),
                source: io::Error::other(source),
            },
            Kind::Broken => {
                if let Some((channel, subdir)) = place {
                    self.forget(channel, subdir);
                }
                Error::Repodata { url, source }
            }
        }
    }

    /// Repodata that cannot be read must not be read again once the server has mended it.
    fn forget(&self, channel: &Channel, subdir: Subdir) {
        let subdirs = SubdirSelection::Some(HashSet::from([subdir.to_string()]));
        // The failure that brought us here matters more than one of the cache.
        let _ = self.connections().gateway.clear_repodata_cache(
            channel,
            subdirs,
            CacheClearMode::InMemoryAndDisk,
        );
    }
}

fn kind(error: &GatewayError) -> Kind {
    match error {
        GatewayError::ReqwestError(error) => of_reqwest(error),
        GatewayError::ReqwestMiddlewareError(_) => Kind::Unreachable,
        GatewayError::ShardedIndexNotCached(_) | GatewayError::ShardNotCached(_) => Kind::Offline,
        GatewayError::CacheError(_) => Kind::Cache,
        GatewayError::FetchRepoDataError(error) => match error {
            FetchRepoDataError::NoCacheAvailable(_) => Kind::Offline,
            FetchRepoDataError::HttpError(reqwest_middleware::Error::Reqwest(error)) => {
                of_reqwest(error)
            }
            FetchRepoDataError::HttpError(_) => Kind::Unreachable,
            FetchRepoDataError::FailedToDownload(_, error) => match inner_reqwest(error) {
                Some(error) => of_reqwest(error),
                None => Kind::Broken,
            },
            FetchRepoDataError::FailedToAcquireLock(_)
            | FetchRepoDataError::IoError(_)
            | FetchRepoDataError::FailedToCreateTemporaryFile(_)
            | FetchRepoDataError::FailedToPersistTemporaryFile(..)
            | FetchRepoDataError::FailedToGetMetadata(_)
            | FetchRepoDataError::FailedToWriteCacheState(_) => Kind::Cache,
            FetchRepoDataError::NotFound(_) | FetchRepoDataError::Cancelled => Kind::Broken,
        },
        _ => Kind::Broken,
    }
}

fn of_reqwest(error: &reqwest::Error) -> Kind {
    if error.is_status() {
        Kind::Refused
    } else {
        Kind::Unreachable
    }
}

fn inner_reqwest(error: &io::Error) -> Option<&reqwest::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|error| error as _);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<reqwest::Error>() {
            return Some(error);
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(found) = inner_reqwest(io)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}
