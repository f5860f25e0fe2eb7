//! What a file's name says of it: its type, how long it may be kept, and what its tag is made of.

use archive::digest::Sha256;
use archive::package::Kind;

/// What changes is asked for again after a minute.
pub(crate) const SHORT: &str = "public, max-age=60";
/// What is named by its content, or is a package, never changes.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// How a file is told from the one that had its name before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Its name is the digest of its content.
    Name(Sha256),
    /// It is a package: many, long, and never another under the same name. What the disk says of it is enough.
    Stat,
    /// By its content.
    Content,
}

/// The type of a file of this name.
pub(crate) fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("zst") => "application/zstd",
        Some("gz") => "application/gzip",
        Some("bz2") => "application/x-bzip2",
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("xml") => "application/rss+xml; charset=utf-8",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

/// How a file of this name is told from others.
pub(crate) fn identity(name: &str) -> Identity {
    let shard = name.strip_suffix(".msgpack.zst");
    if let Some(digest) = shard.and_then(|digest| digest.parse().ok()) {
        Identity::Name(digest)
    } else if Kind::from_file_name(name).is_some() {
        Identity::Stat
    } else {
        Identity::Content
    }
}

/// How long caches may keep a file of this name.
pub(crate) fn cache_control(name: &str) -> &'static str {
    match identity(name) {
        Identity::Content => SHORT,
        Identity::Name(_) | Identity::Stat => IMMUTABLE,
    }
}

/// Whether a file of this name may have compressed forms beside it that stand for it.
pub(crate) fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    matches!(
        ending,
        Some("json" | "html" | "css" | "js" | "xml" | "svg" | "txt" | "md")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_long_and_what() {
        let shard = format!("{}.msgpack.zst", "0f".repeat(32));
        for (name, kept, media) in [
            ("repodata.json", SHORT, "application/json"),
            ("repodata.json.zst", SHORT, "application/zstd"),
            ("repodata_shards.msgpack.zst", SHORT, "application/zstd"),
            (shard.as_str(), IMMUTABLE, "application/zstd"),
            ("a-1-0.conda", IMMUTABLE, "application/octet-stream"),
            ("a-1-0.tar.bz2", IMMUTABLE, "application/x-bzip2"),
            ("repodata.json.bz2", SHORT, "application/x-bzip2"),
            ("index.html", SHORT, "text/html; charset=utf-8"),
            ("noext", SHORT, "application/octet-stream"),
        ] {
            assert_eq!(cache_control(name), kept, "{name}");
            assert_eq!(media_type(name), media, "{name}");
        }
    }
}
