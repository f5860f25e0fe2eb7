//! What a user may write for a channel, and the URL that it means. Asks the disk whether a folder
//! exists; asks no server.

use std::path::Path;

use conda::credentials::redact_text;
use conda::{Channel, ChannelUrl};
use url::Url;

use crate::Error;

/// The URL of the channel `text`: a URL, a folder relative to `base`, or a name under `alias`.
pub(crate) fn resolve(text: &str, base: &Path, alias: &Url) -> Result<Url, Error> {
    let text = text.trim();
    let refuse = |reason: &str| Error::ChannelText {
        channel: redact_text(text),
        reason: reason.to_owned(),
    };
    if text.is_empty() {
        return Err(refuse("it is empty"));
    }
    if text.contains("://") {
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        return match url.scheme() {
            "http" | "https" if url.host().is_some() => Ok(url),
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| refuse("it is no path on this machine"))?;
                folder(&path, text, &refuse)
            }
            _ => Err(refuse("only http, https and file URLs are supported")),
        };
    }
    let path = base.join(text);
    let is_path = text.starts_with('/')
        || text == "."
        || text == ".."
        || text.starts_with("./")
        || text.starts_with("../");
    if is_path || path.is_dir() {
        return folder(&path, text, &refuse);
    }
    if text == "defaults" {
        return Err(refuse(
            "conda's `defaults` stands for several channels, name them by their URLs",
        ));
    }
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || "\\:[]{}<>\"'|^`?#%".contains(c))
    {
        return Err(refuse("a name holds no such characters"));
    }
    let name = text.trim_matches('/');
    if name
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err(refuse("a name has no empty parts and no dots alone"));
    }
    let alias = ChannelUrl::from(alias.clone());
    alias
        .url()
        .join(&format!("{name}/"))
        .map_err(|error| refuse(&error.to_string()))
}

/// The channel at `url`, which holds no credentials.
pub(crate) fn at(url: &Url) -> Channel {
    Channel::from_url(url.clone())
}

fn folder(path: &Path, text: &str, refuse: &dyn Fn(&str) -> Error) -> Result<Url, Error> {
    let path = fs_err::canonicalize(path).map_err(|source| Error::ChannelFolder {
        channel: redact_text(text),
        source,
    })?;
    if !path.is_dir() {
        return Err(refuse("it is no folder"));
    }
    Url::from_directory_path(&path).map_err(|()| refuse("its path is no URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_urls_and_folders() {
        let base = tempfile::tempdir().expect("a folder");
        let root = fs_err::canonicalize(base.path()).expect("a path");
        fs_err::create_dir_all(root.join("local/linux-64")).expect("a folder");
        fs_err::write(root.join("file"), "").expect("a file");
        let folder = |path: &str| {
            Url::from_directory_path(root.join(path))
                .expect("a URL")
                .to_string()
        };
        let alias = Url::parse("https://conda.example/base").expect("a URL");
        let absolute = root.join("local").display().to_string();
        let file_url = format!("file://{absolute}");
        let local = folder("local");
        for (text, expect) in [
            ("conda-forge", "https://conda.example/base/conda-forge/"),
            (
                "conda-forge/label/main",
                "https://conda.example/base/conda-forge/label/main/",
            ),
            ("t/token/mine", "https://conda.example/base/t/token/mine/"),
            ("https://example.org/c", "https://example.org/c"),
            ("local", local.as_str()),
            ("./local/", local.as_str()),
            (absolute.as_str(), local.as_str()),
            (file_url.as_str(), local.as_str()),
        ] {
            assert_eq!(resolve(text, &root, &alias).expect(text).as_str(), expect);
        }
        assert_eq!(
            resolve("../", &root.join("local"), &alias)
                .expect("a folder")
                .as_str(),
            folder("")
        );
    }

    #[test]
    fn other_text_is_refused_without_showing_a_token() {
        let base = tempfile::tempdir().expect("a folder");
        fs_err::write(base.path().join("file"), "").expect("a file");
        let alias = Url::parse("https://conda.example/").expect("a URL");
        for text in [
            "",
            "  ",
            "./absent",
            "/absent/folder",
            "./file",
            "file:///absent/folder",
            "ftp://u:secret@example.org/t/secret/c",
            "https://u:secret@/c",
            "defaults",
            "two words",
            "a/../b",
            "c:\\windows",
            "name[linux-64]",
        ] {
            let error = resolve(text, base.path(), &alias)
                .expect_err(text)
                .to_string();
            assert!(error.contains("not a channel"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
