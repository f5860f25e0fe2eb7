//! Where the packages of a channel are, when not beside its repodata.

use std::collections::BTreeMap;

use url::{ParseError, Url};

/// Where the packages are (CEP 15).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BaseUrl {
    /// Beside the repodata.
    #[default]
    Here,
    /// In the platforms' folders below a URL.
    Channel(String),
    /// At a URL for each platform; beside the repodata of those that have none.
    Platforms(BTreeMap<String, String>),
}

impl BaseUrl {
    /// Where the packages of a platform are, if not beside its repodata.
    pub(crate) fn of(&self, subdir: &str) -> Option<String> {
        match self {
            Self::Here => None,
            Self::Channel(base) => Some(format!("{}/{subdir}/", base.trim_end_matches('/'))),
            Self::Platforms(bases) => bases.get(subdir).cloned(),
        }
    }

    /// What is wrong with an address that was asked for. Clients put a platform and a package's name behind it, and
    /// take it as an URL or as a path from the repodata on.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self::Channel(base) = self else {
            return None;
        };
        let Some(url) = parse(base) else {
            return Some(format!(
                "`{}` is no address: --base-url is an URL like https://host.example/channel, or a path from the \
                 channel's repodata on like ../packages",
                base.escape_debug()
            ));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Some(
                "--base-url has a user or a password in it, which everybody could read in the repodata"
                    .to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Some(format!(
                "`{base}` has a `?` or a `#` in it: names of packages cannot be put behind it"
            ));
        }
        None
    }
}

/// An URL, or a path as it is from some repodata on.
fn parse(base: &str) -> Option<Url> {
    // Parsers of URLs mend these, each in its own way.
    let is_odd = |one: char| one.is_whitespace() || one.is_control() || one == '\\';
    if base.is_empty() || base.contains(is_odd) {
        return None;
    }
    match Url::parse(base) {
        Ok(url) => Some(url).filter(|url| url.has_host() || url.scheme() == "file"),
        Err(ParseError::RelativeUrlWithoutBase) => Url::parse("https://host.example/channel/")
            .and_then(|here| here.join(base))
            .ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_url_or_a_path() {
        let cases = [
            ("https://host.example/channel", None),
            ("https://host.example:8443/a%20b/", None),
            ("s3://bucket/channel", None),
            ("file:///srv/channel", None),
            ("../packages", None),
            ("./", None),
            ("/conda-forge", None),
            ("packages", None),
            ("", Some("no address")),
            ("ht tp", Some("no address")),
            ("https://", Some("no address")),
            ("https://host.example/a b", Some("no address")),
            ("https://host.example:port/", Some("no address")),
            ("host.example:8080/channel", Some("no address")),
            ("mailto:somebody", Some("no address")),
            (r"..\packages", Some("no address")),
            ("../a\nb", Some(r"`../a\nb`")),
            ("https://user:secret@host.example/", Some("a password")),
            ("https://user@host.example/", Some("a user")),
            ("https://host.example/?channel=a", Some("a `?`")),
            ("../packages#main", Some("a `#`")),
        ];
        for (base, expected) in cases {
            let problem = BaseUrl::Channel(base.to_owned()).problem();
            assert_eq!(problem.is_some(), expected.is_some(), "{base}: {problem:?}");
            let problem = problem.unwrap_or_default();
            assert!(problem.contains(expected.unwrap_or_default()), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn each_platform_has_its_own() {
        let channel = BaseUrl::Channel("https://host.example/channel//".to_owned());
        let expected = "https://host.example/channel/noarch/";
        assert_eq!(channel.of("noarch").as_deref(), Some(expected));
        let one = ("noarch".to_owned(), "https://a.example/x/".to_owned());
        let platforms = BaseUrl::Platforms(BTreeMap::from([one]));
        assert_eq!(
            platforms.of("noarch").as_deref(),
            Some("https://a.example/x/")
        );
        assert_eq!(platforms.of("linux-64"), None);
        assert_eq!(BaseUrl::Here.of("noarch"), None);
    }
}
