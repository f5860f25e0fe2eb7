//! Where the packages of a channel are, when not beside its repodata.

use std::collections::BTreeMap;

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
