//! What a request to put a package says: which package it is, and what its bytes must be.

use archive::digest::Sha256;
use archive::package::{Kind, split_file_name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channel::SUBDIRS;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;

/// A package's place in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) subdir: String,
    pub(crate) file: String,
    pub(crate) kind: Kind,
}

/// What comes with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    pub(crate) sha256: Option<Sha256>,
    pub(crate) length: Option<u64>,
    pub(crate) force: bool,
}

impl Target {
    /// What follows a channel's name in the address of a package.
    pub(crate) fn parse(parts: &[String]) -> Option<Self> {
        let [subdir, file] = parts else { return None };
        let kind = Kind::from_file_name(file)?;
        let known = SUBDIRS.contains(&subdir.as_str());
        let sound = split_file_name(file).is_some() && file.len() <= 255 && file.is_ascii();
        (known && sound).then(|| Self {
            subdir: subdir.clone(),
            file: file.clone(),
            kind,
        })
    }

    /// `SUBDIR/FILE`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.subdir, self.file)
    }
}

impl Terms {
    /// Reads them; or says what of them cannot be read.
    pub(crate) fn parse(headers: &HeaderMap, query: Option<&str>) -> Result<Self, &'static str> {
        let mut sha256 = None;
        if let Some(value) = headers.get("x-package-sha256") {
            let text = value.to_str().unwrap_or_default();
            let digest = text.to_ascii_lowercase().parse();
            sha256 = Some(digest.map_err(|_| "X-Package-SHA256 is no SHA-256 digest")?);
        }
        for field in ["repr-digest", "content-digest"] {
            for value in headers.get_all(field) {
                let Some(digest) = structured(value.to_str().unwrap_or_default())? else {
                    continue;
                };
                if sha256.is_some_and(|known| known != digest) {
                    return Err("the digests are not the same");
                }
                sha256 = Some(digest);
            }
        }
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let mut force = false;
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=').unwrap_or((pair, "true")) {
                ("force", "true") => force = true,
                ("force", "false") => {}
                ("force", _) => return Err("force is true or false"),
                _ => {}
            }
        }
        Ok(Self {
            sha256,
            length,
            force,
        })
    }
}

/// `sha-256=:BASE64:` among the digests of a field (RFC 9530).
fn structured(text: &str) -> Result<Option<Sha256>, &'static str> {
    let problem = "the digest is not sha-256=:BASE64:";
    for item in text.split(',').map(str::trim) {
        let Some(value) = item.strip_prefix("sha-256=") else {
            continue;
        };
        let inner = value
            .strip_prefix(':')
            .and_then(|rest| rest.strip_suffix(':'));
        let bytes = STANDARD
            .decode(inner.ok_or(problem)?)
            .map_err(|_| problem)?;
        return Ok(Some(Sha256(bytes.try_into().map_err(|_| problem)?)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn places_of_packages() {
        let target = |path: &str| {
            let parts: Vec<_> = path.split('/').map(str::to_owned).collect();
            Target::parse(&parts).map(|target| target.path())
        };
        for path in ["noarch/a-b-1!2.0-h1_0.conda", "linux-64/a-1-0.tar.bz2"] {
            assert_eq!(target(path).as_deref(), Some(path));
        }
        for path in [
            "a-1-0.conda",
            "linux-65/a-1-0.conda",
            "linux-64/a-1.conda",
            "linux-64/a-1-0.zip",
            "linux-64/b/a-1-0.conda",
            "linux-64/\u{e9}-1-0.conda",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
        assert_eq!(
            target(&format!("noarch/{}-1-0.conda", "a".repeat(255))),
            None
        );
    }

    #[test]
    fn what_comes_with_a_package() {
        let sha256 = Sha256::of(b"a");
        let base64 = STANDARD.encode(sha256.0);
        let terms = |fields: &[(&'static str, String)], query| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_str(value).expect("a value"));
            }
            Terms::parse(&headers, query)
        };
        let known = Terms {
            sha256: Some(sha256),
            ..Terms::default()
        };
        for fields in [
            &[("x-package-sha256", sha256.to_string().to_uppercase())][..],
            &[("repr-digest", format!("md5=:AA==:, sha-256=:{base64}:"))],
            &[("content-digest", format!("sha-256=:{base64}:"))],
            &[
                ("x-package-sha256", sha256.to_string()),
                ("repr-digest", format!("sha-256=:{base64}:")),
            ],
        ] {
            assert_eq!(terms(fields, None), Ok(known), "{fields:?}");
        }
        for fields in [
            &[("x-package-sha256", "abc".to_owned())][..],
            &[("repr-digest", "sha-256=:AA==:".to_owned())],
            &[("repr-digest", format!("sha-256={base64}"))],
            &[
                ("x-package-sha256", Sha256::of(b"b").to_string()),
                ("repr-digest", format!("sha-256=:{base64}:")),
            ],
        ] {
            assert!(terms(fields, None).is_err(), "{fields:?}");
        }
        assert_eq!(
            terms(&[("content-length", "7".to_owned())], Some("a&force=true"))
                .map(|it| (it.length, it.force)),
            Ok((Some(7), true))
        );
        assert_eq!(terms(&[], Some("force=false")), Ok(Terms::default()));
        assert!(terms(&[], Some("force=yes")).is_err());
    }
}
