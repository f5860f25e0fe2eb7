//! Names of images as docker reads them: `[HOST/]NAME[:TAG][@DIGEST]` (github.com/distribution/reference).

use std::fmt;

use conda::hex;

use super::Error;

/// Docker's own registry has one name for users and another one for programs.
const DOCKER: &str = "docker.io";
const DOCKER_SERVER: &str = "registry-1.docker.io";

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    host: String,
    name: String,
    tag: String,
    sha256: Option<[u8; 32]>,
}

impl Reference {
    /// Reads the name of an image that is there, which a digest may pin: `NAME[:TAG]@sha256:DIGITS`.
    pub fn pinned(text: &str) -> Result<Reference, Error> {
        let Some((name, digest)) = text.split_once('@') else {
            return Reference::parse(text);
        };
        let sha256 = digest.strip_prefix("sha256:").and_then(hex::decode);
        let Some(sha256) = sha256 else {
            return Err(Error::Reference {
                text: text.chars().take(200).collect(),
                reason: "its digest is none, or not one by SHA-256",
            });
        };
        Ok(Reference {
            sha256: Some(sha256),
            ..Reference::parse(name)?
        })
    }

    /// Reads a name; `docker://` before it is fine.
    pub fn parse(text: &str) -> Result<Reference, Error> {
        let refuse = |reason| Error::Reference {
            text: text.chars().take(200).collect(),
            reason,
        };
        let bare = text.strip_prefix("docker://").unwrap_or(text);
        if bare.contains('@') {
            return Err(refuse(
                "a digest cannot be chosen, it follows from the image",
            ));
        }
        let (host, rest) = match bare.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DOCKER, bare),
        };
        let (name, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
        let name = if host == DOCKER && !name.contains('/') {
            format!("library/{name}")
        } else {
            name.to_owned()
        };
        let all = |text: &str, more: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.chars().all(known)
        };
        let component = |text: &str| {
            all(text, "._-") && !text.contains("..") && text.to_ascii_lowercase() == text
        };
        if !all(host, ".-:[]") {
            return Err(refuse("its host is none"));
        }
        if !name.split('/').all(component) {
            return Err(refuse(
                "a name has lower-case letters, digits, `.`, `_` and `-`",
            ));
        }
        if !all(tag, "._-") || tag.len() > 128 {
            return Err(refuse("its tag is none"));
        }
        Ok(Reference {
            host: host.to_owned(),
            name,
            tag: tag.to_owned(),
            sha256: None,
        })
    }

    /// The registry, as users write it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag; `latest` if none was given.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The digest of the manifest, where the name says it.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256
    }

    /// The host that answers.
    pub(super) fn server(&self) -> &str {
        if self.host == DOCKER {
            DOCKER_SERVER
        } else {
            &self.host
        }
    }

    /// Whether the host is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        super::token::is_loopback(&self.host)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sha256 {
            None => write!(formatter, "{}/{}:{}", self.host, self.name, self.tag),
            Some(sha256) => {
                let digits = hex::encode(sha256);
                write!(formatter, "{}/{}@sha256:{digits}", self.host, self.name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("archiconda3", "docker.io/library/archiconda3:latest"),
            ("me/archiconda3:1.0", "docker.io/me/archiconda3:1.0"),
            ("docker://h.example/a/b/c:x", "h.example/a/b/c:x"),
            ("localhost/a", "localhost/a:latest"),
            ("127.0.0.1:5000/a:b", "127.0.0.1:5000/a:b"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), expected);
        }
        for wrong in [
            "",
            "A",
            "h.example/",
            "a:b:",
            "a@sha256:0",
            "h.example/../x",
            "a b",
            "a:b c",
        ] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
        let digest = format!("h.example/a@sha256:{}", "0a".repeat(32));
        assert_eq!(Reference::pinned(&digest).unwrap().to_string(), digest);
        for wrong in ["a@sha256:0", "a@md5:00", "a@", "@sha256:00"] {
            assert!(Reference::pinned(wrong).is_err(), "{wrong}");
        }
        let local = |text: &str| Reference::parse(text).unwrap().is_loopback();
        assert!(local("localhost:5000/a") && local("127.9.9.9/a") && local("[::1]:5000/a"));
        assert!(!local("127.0.0.1.example.org/a") && !local("a") && !local("10.0.0.1/a"));
    }
}
