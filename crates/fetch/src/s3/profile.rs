//! The files of the AWS tools, `~/.aws/config` and `~/.aws/credentials`: of them only what names a
//! store and opens it. The form is described in the AWS CLI user guide, "Configuration and credential
//! file settings".

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The keys of one profile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Its name.
    pub(super) name: String,
    keys: BTreeMap<String, String>,
}

impl Profile {
    /// The profile that `AWS_PROFILE` names, or else `default`, of the user's files.
    pub(super) fn of_user() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let name = variable("AWS_PROFILE").map_or("default".to_owned(), |name| {
            name.to_string_lossy().into_owned()
        });
        let file = |name, default| {
            variable(name).map(PathBuf::from).or_else(|| {
                let home = variable("HOME")?;
                Some(PathBuf::from(home).join(".aws").join(default))
            })
        };
        let read = |path: Option<PathBuf>| {
            path.and_then(|path| fs_err::read_to_string(path).ok())
                .unwrap_or_default()
        };
        let mut profile = Self {
            keys: BTreeMap::new(),
            name,
        };
        profile.add(&read(file("AWS_CONFIG_FILE", "config")));
        profile.add(&read(file("AWS_SHARED_CREDENTIALS_FILE", "credentials")));
        profile
    }

    /// Takes in what a file says of the profile; the last one counts.
    fn add(&mut self, text: &str) {
        let mut within = false;
        for line in text.lines() {
            // An indented line belongs to the value above it, which is none that is asked for.
            if line.starts_with([' ', '\t']) {
                continue;
            }
            let line = line.trim();
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = line.strip_prefix('[') {
                let section = section.split(']').next().unwrap_or_default().trim();
                let section = section.strip_prefix("profile ").unwrap_or(section).trim();
                within = section == self.name;
            } else if let Some((key, value)) = line.split_once('=')
                && within
            {
                let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
                self.keys.insert(key, value);
            }
        }
    }

    /// A key's value.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let value = self.keys.get(key)?.as_str();
        (!value.is_empty()).then_some(value)
    }

    /// How the profile gets credentials that are not in it, where it does.
    pub(super) fn foreign_login(&self) -> Option<&'static str> {
        [
            "sso_session",
            "sso_start_url",
            "role_arn",
            "credential_process",
            "login_session",
        ]
        .into_iter()
        .find(|key| self.get(key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, texts: &[&str]) -> Profile {
        let mut profile = Profile {
            name: name.to_owned(),
            ..Profile::default()
        };
        for text in texts {
            profile.add(text);
        }
        profile
    }

    #[test]
    fn the_two_files_together_are_a_profile() {
        let config = "# comment\n[default]\nregion = eu-west-1\ns3 =\n  max_concurrent_requests = 20\n  region = no\n\n[profile other]\nregion=us-east-2\nendpoint_url = http://127.0.0.1:9000\nrole_arn = x\n";
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key=b=c\n[other]\naws_access_key_id = O\n";
        let default = profile("default", &[config, credentials]);
        assert_eq!(default.get("region"), Some("eu-west-1"));
        assert_eq!(default.get("aws_secret_access_key"), Some("b=c"));
        assert_eq!(default.get("s3"), None);
        assert_eq!(default.foreign_login(), None);
        let other = profile("other", &[config, credentials]);
        assert_eq!(other.get("aws_access_key_id"), Some("O"));
        assert_eq!(other.get("endpoint_url"), Some("http://127.0.0.1:9000"));
        assert_eq!(other.foreign_login(), Some("role_arn"));
        assert_eq!(profile("absent", &[config]), profile("absent", &[]));
    }
}
