//! Archives of Debian packages: which suites count, what they say of themselves and whether that is to be trusted,
//! the indexes, and the files of packages.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conda::{credentials, hex};
use debian::release::Release;
use debian::signature::Keyring;
use debian::{Pool, deb, index};
use fetch::{Document, Wanted};
use fs_err as fs;
use rayon::prelude::*;
use spec::{Archive, DebianLike};
use url::Url;

use super::super::platform::Job;
use super::below;
use super::error::DebsError;
use super::lock::LockedDeb;
use crate::event::Event;

/// No release file is longer: Debian's have 200 kB.
const LONGEST_RELEASE: u64 = 32 << 20;

/// No index is longer when it is unpacked: Debian's have 50 MB.
const LONGEST_INDEX: u64 = 1 << 30;

/// How far clocks may differ.
const TOLERANCE: u64 = 24 * 3600;

/// Everything that packages may come from.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) distribution: DebianLike,
    pub(super) architecture: String,
    pub(super) all: Vec<Source>,
}

/// A suite of an archive.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) mirror: Url,
    pub(super) suite: String,
    pub(super) components: Vec<String>,
    /// Whether it counts because nobody said otherwise.
    extra: bool,
}

impl Source {
    /// As `sources.list` writes it, and the lock.
    pub(super) fn line(&self) -> String {
        let mirror = credentials::redacted(&self.mirror);
        let mirror = mirror.trim_end_matches('/');
        format!("{mirror} {} {}", self.suite, self.components.join(" "))
    }
}

impl Sources {
    /// The suite that was asked for, without those of updates.
    pub(super) fn suite(&self) -> &str {
        self.all.first().map_or("", |source| &source.suite)
    }

    /// What follows from what the definition says.
    pub(super) fn of(archive: &Archive, architecture: &str) -> Result<Sources, DebsError> {
        let distribution = archive.distribution.unwrap_or(DebianLike::Debian);
        let suite = archive.suite.clone().ok_or(DebsError::NoSuite)?;
        let main = matches!(architecture, "amd64" | "i386");
        let (mirror, security) = match (distribution, main) {
            (DebianLike::Debian, _) => (
                "http://deb.debian.org/debian",
                "http://deb.debian.org/debian-security",
            ),
            (DebianLike::Ubuntu, true) => (
                "http://archive.ubuntu.com/ubuntu",
                "http://security.ubuntu.com/ubuntu",
            ),
            (DebianLike::Ubuntu, false) => (
                "http://ports.ubuntu.com/ubuntu-ports",
                "http://ports.ubuntu.com/ubuntu-ports",
            ),
        };
        let components = archive.components.clone().unwrap_or_else(|| {
            let all: &[&str] = match distribution {
                DebianLike::Debian => &["main"],
                DebianLike::Ubuntu => &["main", "universe"],
            };
            all.iter().map(|&one| one.to_owned()).collect()
        });
        // These are never updated but as a whole. A mirror of one's own need not have more than was said.
        let rolling = ["sid", "unstable", "experimental"].contains(&suite.as_str());
        let updates = archive
            .updates
            .unwrap_or(archive.mirror.is_none() && !rolling);
        let mut all = Vec::new();
        let mut add = |mirror: &str, suite: String, extra| -> Result<(), DebsError> {
            let parsed = Url::parse(mirror).map_err(|_| DebsError::Address {
                text: mirror.to_owned(),
            })?;
            all.push(Source {
                mirror: parsed,
                suite,
                components: components.clone(),
                extra,
            });
            Ok(())
        };
        let mirror = archive.mirror.as_deref().unwrap_or(mirror);
        add(mirror, suite.clone(), false)?;
        if updates {
            let security = archive.security.as_deref().unwrap_or(security);
            add(mirror, format!("{suite}-updates"), true)?;
            add(security, format!("{suite}-security"), true)?;
        } else if let Some(security) = &archive.security {
            add(security, format!("{suite}-security"), false)?;
        }
        Ok(Sources {
            distribution,
            architecture: architecture.to_owned(),
            all,
        })
    }

    /// A package as the lock keeps it.
    pub(super) fn locked(
        &self,
        package: &debian::Package,
        automatic: bool,
    ) -> Result<LockedDeb, DebsError> {
        let text = || DebsError::Address {
            text: package.name.clone(),
        };
        let file = package.file.as_ref().ok_or_else(text)?;
        let source = self.all.get(file.archive).ok_or_else(text)?;
        let url = below(&credentials::without(&source.mirror), &file.path)?;
        Ok(LockedDeb {
            name: package.name.clone(),
            version: package.version.to_string(),
            architecture: package.architecture.clone(),
            automatic,
            url: url.to_string(),
            size: file.size,
            sha256: file.sha256.to_ascii_lowercase(),
        })
    }
}

/// Reads the indexes of all sources.
pub(super) fn read(job: &Job<'_>, sources: &Sources, archive: &Archive) -> Result<Pool, DebsError> {
    let keyring = if archive.trusted {
        None
    } else {
        Some(keyring(job.recipe.folder, archive, sources.distribution)?)
    };
    let mut packages = Vec::new();
    for (number, source) in sources.all.iter().enumerate() {
        let (release, url) = release(job, source, archive, keyring.as_ref())?;
        for component in &source.components {
            let architecture = &sources.architecture;
            let mut found = false;
            for part in [architecture.as_str(), "all"] {
                // As apt does: what is for all stands in the index of each architecture, unless the release
                // says that it has an index of its own.
                if part == "all" && found && !release.lists_all_apart() {
                    continue;
                }
                let folder = format!("{component}/binary-{part}");
                found |= read_index(
                    job,
                    source,
                    &release,
                    &folder,
                    number,
                    sources,
                    &mut packages,
                )?;
            }
            if !found {
                return Err(DebsError::NoIndex {
                    url,
                    component: component.clone(),
                    architecture: architecture.clone(),
                });
            }
        }
    }
    Ok(Pool::new(&sources.architecture, packages))
}

/// The file with the keys that sign an archive.
pub(super) fn keyring_path(
    folder: &Path,
    archive: &Archive,
    distribution: DebianLike,
) -> (PathBuf, &'static str) {
    let (path, package) = match distribution {
        DebianLike::Debian => (
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "debian-archive-keyring",
        ),
        DebianLike::Ubuntu => (
            "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
            "ubuntu-keyring",
        ),
    };
    match &archive.keyring {
        Some(own) => (folder.join(own), package),
        None => (PathBuf::from(path), package),
    }
}

fn keyring(
    folder: &Path,
    archive: &Archive,
    distribution: DebianLike,
) -> Result<Keyring, DebsError> {
    let (path, package) = keyring_path(folder, archive, distribution);
    match fs::read(&path) {
        Ok(bytes) => Keyring::parse(&bytes).map_err(|source| DebsError::Keyring { path, source }),
        Err(source) => Err(DebsError::NoKeyring {
            path,
            package,
            source,
        }),
    }
}

/// What a suite says of itself, if it may be believed.
fn release(
    job: &Job<'_>,
    source: &Source,
    archive: &Archive,
    keyring: Option<&Keyring>,
) -> Result<(Release, String), DebsError> {
    let now = SystemTime::now();
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let at = |name: &str| below(&source.mirror, &format!("dists/{}/{name}", source.suite));
    let inline = at("InRelease")?;
    let untrusted = |url: &Url| {
        let url = credentials::redacted(url);
        move |error| DebsError::Signature { url, source: error }
    };
    let (text, url) = if let Some(bytes) = document(job, &inline)? {
        let message = String::from_utf8_lossy(&bytes);
        let text = match keyring {
            Some(keyring) => keyring.open(&message, now).map_err(untrusted(&inline))?.0,
            None => unsigned(&message),
        };
        (text, inline)
    } else {
        let plain = at("Release")?;
        let Some(bytes) = document(job, &plain)? else {
            return Err(DebsError::NoRelease {
                url: credentials::redacted(&inline),
                offline: job.recipe.client.is_offline(),
                extra: source.extra,
            });
        };
        if let Some(keyring) = keyring {
            let signatures = document(job, &at("Release.gpg")?)?.unwrap_or_default();
            let checked = keyring.verify(&bytes, &signatures, now);
            checked.map_err(untrusted(&plain))?;
        }
        (String::from_utf8_lossy(&bytes).into_owned(), plain)
    };
    let url = credentials::redacted(&url);
    let release = Release::parse(&text).map_err(|source| DebsError::Release {
        url: url.clone(),
        source,
    })?;
    if !release.is_called(&source.suite) {
        return Err(DebsError::OtherSuite {
            url,
            found: release.field("Codename").to_owned(),
            wanted: source.suite.clone(),
        });
    }
    let expired = |problem: &str, seconds: u64| {
        let seconds = Duration::from_secs(seconds.min(253_402_300_799));
        let instant = humantime::format_rfc3339_seconds(UNIX_EPOCH + seconds);
        DebsError::Expired {
            url: url.clone(),
            problem: format!("{problem} {instant}"),
        }
    };
    if archive.check_valid_until != Some(false) {
        match (release.valid_until, release.date) {
            (Some(until), _) if until < now => return Err(expired("held until", until)),
            (_, Some(date)) if date > now + TOLERANCE => return Err(expired("is made on", date)),
            _ => {}
        }
    }
    Ok((release, url))
}

/// The text of an `InRelease` file that nobody checks.
fn unsigned(message: &str) -> String {
    let Some((_, text)) = message.split_once("\n\n") else {
        return message.to_owned();
    };
    let signed = message.starts_with("-----BEGIN PGP SIGNED MESSAGE-----");
    let text = if signed { text } else { message };
    let end = text.find("\n-----BEGIN PGP SIGNATURE-----");
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .to_owned()
}

fn document(job: &Job<'_>, url: &Url) -> Result<Option<Vec<u8>>, DebsError> {
    let found: Option<Document> = job
        .recipe
        .client
        .document(url, &|event| report(job, event))?;
    let Some(found) = found else { return Ok(None) };
    if found.size > LONGEST_RELEASE {
        return Err(DebsError::Long {
            url: credentials::redacted(url),
            size: found.size,
        });
    }
    let unreadable = |source| DebsError::Index {
        url: credentials::redacted(url),
        source: deb::DebError::Read { source },
    };
    fs::read(&found.path).map(Some).map_err(unreadable)
}

/// Reads one index, if the release has it: by its digest where that may be asked for.
fn read_index(
    job: &Job<'_>,
    source: &Source,
    release: &Release,
    folder: &str,
    number: usize,
    sources: &Sources,
    packages: &mut Vec<debian::Package>,
) -> Result<bool, DebsError> {
    let names = ["Packages.xz", "Packages.gz", "Packages"];
    let listed = names.iter().find_map(|name| {
        let listed = release.file(&format!("{folder}/{name}"))?;
        Some((*name, listed))
    });
    let Some((name, listed)) = listed else {
        return Ok(false);
    };
    let dists = format!("dists/{}/{folder}", source.suite);
    let plain = below(&source.mirror, &format!("{dists}/{name}"))?;
    let by_hash = below(
        &source.mirror,
        &format!("{dists}/by-hash/SHA256/{}", listed.sha256),
    )?;
    let wanted = |url: &Url| Wanted {
        url: url.clone(),
        file_name: format!("{name} of {}", source.suite),
        sha256: hex::decode(&listed.sha256),
        md5: None,
        size: Some(listed.size),
    };
    let client = job.recipe.client;
    let get = |url: &Url| {
        let wanted = [wanted(url)];
        // A damaged one may be no worse than a shorter one.
        client.recheck(&wanted[0])?;
        client.packages(&wanted, &|event| report(job, event))
    };
    let fetched = if release.by_hash {
        match get(&by_hash) {
            Err(error) if error.is_absent() => get(&plain)?,
            fetched => fetched?,
        }
    } else {
        get(&plain)?
    };
    let unreadable = |source| DebsError::Index {
        url: credentials::redacted(&plain),
        source,
    };
    let io = |source| unreadable(deb::DebError::Read { source });
    for file in fetched {
        let opened = fs::File::open(&file.path).map_err(io)?;
        let reader = deb::index(opened, name, LONGEST_INDEX).map_err(unreadable)?;
        let reader = BufReader::with_capacity(1 << 16, reader);
        index::read(reader, &sources.architecture, number, packages).map_err(io)?;
    }
    Ok(true)
}

/// The files of packages, checked, in their order.
pub(super) fn fetch(job: &Job<'_>, debs: &[LockedDeb]) -> Result<Vec<PathBuf>, DebsError> {
    let mut wanted = Vec::new();
    for deb in debs {
        // What follows `/t/` is a token in addresses of conda's packages, and here the folder of packages with that
        // letter: another spelling of the same address (RFC 3986, 6.2.2.2) keeps them apart.
        let url = Url::parse(&deb.url.replace("/t/", "/%74/"));
        wanted.push(Wanted {
            url: url.map_err(|_| DebsError::Address {
                text: deb.url.clone(),
            })?,
            file_name: format!("{}.deb", deb.title()),
            sha256: hex::decode(&deb.sha256),
            md5: None,
            size: Some(deb.size),
        });
    }
    let client = job.recipe.client;
    // Not all damage shows when they are unpacked.
    wanted.par_iter().try_for_each(|one| client.recheck(one))?;
    let packages = client.packages(&wanted, &|event| report(job, event))?;
    Ok(packages.into_iter().map(|package| package.path).collect())
}

fn report(job: &Job<'_>, event: fetch::Event<'_>) {
    (job.recipe.report)(Event::Installer(installer::Event::Fetch(event)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(archive: &Archive, architecture: &str) -> Vec<String> {
        let sources = Sources::of(archive, architecture).expect("sources");
        sources.all.iter().map(Source::line).collect()
    }

    #[test]
    fn what_follows_from_a_suite() {
        let debian = Archive {
            suite: Some("bookworm".into()),
            ..Archive::default()
        };
        assert_eq!(
            lines(&debian, "arm64"),
            [
                "http://deb.debian.org/debian bookworm main",
                "http://deb.debian.org/debian bookworm-updates main",
                "http://deb.debian.org/debian-security bookworm-security main",
            ]
        );
        let own = Archive {
            mirror: Some("http://user:secret@mirror/debian".into()),
            components: Some(vec!["main".into(), "contrib".into()]),
            ..debian.clone()
        };
        let line = lines(&own, "arm64").join(";");
        assert!(
            !line.contains("secret") && line.ends_with("mirror/debian bookworm main contrib"),
            "{line}"
        );
        let sid = Archive {
            suite: Some("sid".into()),
            ..debian.clone()
        };
        assert_eq!(
            lines(&sid, "amd64"),
            ["http://deb.debian.org/debian sid main"]
        );
        let ubuntu = Archive {
            distribution: Some(DebianLike::Ubuntu),
            suite: Some("noble".into()),
            ..Archive::default()
        };
        let (intel, arm) = (lines(&ubuntu, "amd64"), lines(&ubuntu, "arm64"));
        assert_eq!(
            intel[0],
            "http://archive.ubuntu.com/ubuntu noble main universe"
        );
        assert_eq!(
            arm[2],
            "http://ports.ubuntu.com/ubuntu-ports noble-security main universe"
        );
    }

    #[test]
    fn a_text_without_its_signature() {
        let message = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: a\nB: c\n\
                       -----BEGIN PGP SIGNATURE-----\n\nx\n";
        assert_eq!(unsigned(message), "Suite: a\nB: c");
        assert_eq!(unsigned("Suite: a\n"), "Suite: a\n");
    }
}
