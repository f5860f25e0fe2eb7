//! What a record says of its package's bytes: what is fetched, mirrored or looked at again must be that.

use archive::digest::{Md5, Sha256};
use fetch::Wanted;
use url::Url;

use crate::output::repodata::fields::{field, string};

/// What a record promises of its package.
pub(crate) struct Promise {
    /// In bytes.
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) md5: Option<Md5>,
}

impl Promise {
    pub(crate) fn of(record: &str) -> Self {
        let digits = |key: &str| field(record, key).and_then(string);
        Self {
            size: field(record, "size").and_then(|size| size.parse().ok()),
            sha256: digits("sha256").and_then(|digits| digits.parse().ok()),
            md5: digits("md5").and_then(|digits| digits.parse().ok()),
        }
    }

    /// Whether no bytes can be what both promise.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        match (self.sha256, other.sha256) {
            (Some(one), Some(other)) => one != other,
            _ => matches!((self.md5, other.md5), (Some(one), Some(other)) if one != other),
        }
    }

    /// The same for whoever fetches.
    pub(crate) fn wanted(&self, file: &str, url: Url) -> Wanted {
        Wanted {
            url,
            file_name: file.to_owned(),
            sha256: self.sha256.map(|digest| digest.0),
            md5: self.md5.map(|digest| digest.0),
            size: self.size,
        }
    }
}
