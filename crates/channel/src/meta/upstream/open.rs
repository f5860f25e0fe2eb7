//! One folder of a channel: the best form in which its records can be had, as it is now or as the lock says.

use std::collections::BTreeSet;
use std::io;

use conda::Subdir;
use fetch::{Document, Wanted};
use url::Url;

use super::super::lock::Revision;
use super::super::{Error, Event, Reason};
use super::{Loader, Source, join};
use crate::import::shards::Index;
use crate::index::ChannelRelations;
use crate::output::shards::INDEX;
use crate::text::{self, Text};

/// What a compressed document may come to, in bytes.
const LIMIT: u64 = 8 << 30;

/// A folder whose records are not all here.
pub(super) struct Open {
    pub(super) channel: usize,
    pub(super) subdir: Subdir,
    pub(super) url: Url,
    pub(super) content: Content,
    pub(super) revision: Revision,
}

pub(super) enum Content {
    Absent,
    Whole(Text),
    Sharded {
        index: Index,
        text: Text,
        /// The names whose shards were read.
        read: BTreeSet<String>,
    },
}

impl Open {
    /// What the folder says of other channels.
    pub(super) fn relations(&self) -> Option<&ChannelRelations> {
        match &self.content {
            Content::Absent => None,
            Content::Whole(text) => Some(&text.relations),
            Content::Sharded { index, .. } => Some(&index.relations),
        }
    }
}

impl Loader<'_> {
    /// Finds the best form in which a folder's records can be had.
    pub(super) fn open(
        &self,
        number: usize,
        channel: &Source,
        subdir: Subdir,
    ) -> Result<Open, Error> {
        let url = join(&channel.url, &format!("{subdir}/"))?;
        (self.report)(Event::Loading {
            channel: &channel.text,
            subdir: subdir.as_str(),
        });
        let mut open = Open {
            channel: number,
            subdir,
            revision: Revision::new(&url),
            url,
            content: Content::Absent,
        };
        // Of files that are here, one is as good as many.
        let index = match open.url.scheme() {
            "file" => None,
            _ => self.document(&join(&open.url, INDEX)?)?,
        };
        if let Some(document) = index {
            let index = Index::read(&document.path);
            let index = self.readable(&document, index.map_err(Into::into))?;
            open.revision.add(INDEX, &document);
            open.content = Content::Sharded {
                index,
                text: Text::default(),
                read: BTreeSet::new(),
            };
            return Ok(open);
        }
        for name in ["repodata.json.zst", "repodata.json"] {
            let Some((document, text)) = self.text(&join(&open.url, name)?)? else {
                continue;
            };
            let text = self.readable(&document, text)?;
            open.revision.add(name, &document);
            open.content = Content::Whole(text);
            break;
        }
        Ok(open)
    }

    /// The file at a URL: as it is now, or as the lock says. A server that refuses a file that is one of
    /// several forms need not have it: stores of objects do not tell what is not there.
    pub(super) fn document(&self, url: &Url) -> Result<Option<Document>, Error> {
        let report = |event: fetch::Event<'_>| (self.report)(Event::Fetch(event));
        let Some(locked) = self.locked else {
            return match self.client.document(url, &report) {
                Err(error) if error.is_refusal() && !url.path().ends_with("repodata.json") => {
                    Ok(None)
                }
                found => Ok(found?),
            };
        };
        let Some((sha256, size)) = locked.get(url) else {
            return Ok(None);
        };
        let wanted = Wanted {
            url: url.clone(),
            file_name: file_name(url),
            sha256: Some(sha256),
            md5: None,
            size: Some(size),
        };
        let found = self.client.packages(std::slice::from_ref(&wanted), &report);
        let found = found.map_err(|source| {
            if source.is_integrity() {
                Error::Moved {
                    url: url.to_string(),
                    source,
                }
            } else {
                source.into()
            }
        })?;
        Ok(found.into_iter().next().map(|package| Document {
            url: url.clone(),
            path: package.path,
            sha256: package.sha256,
            size: package.size,
            cached: true,
        }))
    }

    /// The same, taken apart. A file that lies here is read once for its digest and for this.
    fn text(&self, url: &Url) -> Result<Option<(Document, Read<Text>)>, Error> {
        if url.scheme() == "file" && !is_packed(url) && self.locked.is_none() {
            let Some(mut found) = self.client.local_document(url)? else {
                return Ok(None);
            };
            let file = found.file().map_err(text::Error::from);
            let text = file.and_then(|file| Text::of_file(file, &mut found));
            return Ok(Some((found.finish(), text.map_err(Into::into))));
        }
        let found = self.document(url)?;
        Ok(found.map(|document| {
            let text = parse(&document);
            (document, text)
        }))
    }

    /// What cannot be read is not kept for the next time.
    pub(super) fn readable<T>(&self, document: &Document, read: Read<T>) -> Result<T, Error> {
        read.map_err(|source| {
            self.client.forget_document(&document.url);
            Error::Unreadable {
                url: document.url.to_string(),
                source,
            }
        })
    }
}

/// What was read, or why it could not be.
pub(super) type Read<T> = Result<T, Reason>;

fn is_packed(url: &Url) -> bool {
    file_name(url).strip_suffix(".zst").is_some()
}

/// What a document has, decompressed.
pub(super) fn unpack(document: &Document) -> Read<Box<dyn io::Read>> {
    let file = fs_err::File::open(&document.path)?;
    Ok(if is_packed(&document.url) {
        Box::new(Limited {
            reader: zstd::Decoder::new(file)?,
            left: LIMIT,
        })
    } else {
        Box::new(file)
    })
}

/// A document taken apart. What is not compressed stays where it is.
fn parse(document: &Document) -> Read<Text> {
    Ok(if is_packed(&document.url) {
        Text::read(&mut unpack(document)?)?
    } else {
        Text::open(&document.path)?
    })
}

/// What a compressed document has, if that is not absurdly much.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: io::Read> io::Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("it is above the limit of 8 GiB")),
        }
        Ok(count)
    }
}

fn file_name(url: &Url) -> String {
    url.path().rsplit('/').next().unwrap_or_default().to_owned()
}
