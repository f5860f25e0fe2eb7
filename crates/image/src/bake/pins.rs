//! The lock of bases that lie in registries, `NAME.base.lock`: what a tag stood for when it was asked, so
//! that an image is baked on the same base until `--update` asks again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use archive::digest::Sha256;
use fetch::registry::Reference;
use fs_err as fs;
use installer::LockMode;
use serde::{Deserialize, Serialize};
use spec::Base;

use super::Recipe;
use crate::base;
use crate::error::Error;
use crate::event::Event;
use crate::oci::Digest;

/// The version of the file.
const VERSION: u32 = 1;

const HEAD: &str =
    "# What the bases in registries stood for; `archiconda image bake --update` asks again.\n";

/// What each base stands for, by its whole name.
pub(super) type Pins = BTreeMap<String, Digest>;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default)]
    base: Vec<Pin>,
}

#[derive(Serialize, Deserialize)]
struct Pin {
    reference: String,
    digest: Digest,
}

impl Recipe<'_> {
    /// The digests of all bases in registries, of every platform that the files name.
    pub(super) fn pins(&self) -> Result<Pins, Error> {
        let mut references: BTreeMap<String, Reference> = BTreeMap::new();
        let mut pins = Pins::new();
        for &platform in self.named.iter().chain(self.wanted) {
            if let Base::Registry(text) = self.definition.target(platform).base {
                let reference = reference(&text)?;
                let name = reference.to_string();
                if let Some(sha256) = reference.sha256() {
                    pins.insert(name, Digest(Sha256(sha256)));
                } else {
                    references.insert(name, reference);
                }
            }
        }
        if references.is_empty() {
            return Ok(pins);
        }
        let path = self.lock_path("base.lock");
        let known = match self.options.lock {
            LockMode::Update => Pins::new(),
            LockMode::Auto | LockMode::Locked => read(&path)?,
        };
        let mut locked = Pins::new();
        for (name, reference) in &references {
            let digest = match known.get(name) {
                Some(digest) => *digest,
                None if self.options.lock == LockMode::Locked => {
                    return Err(Error::Lock {
                        path,
                        reason: format!("it does not say what `{name}` stands for"),
                    });
                }
                None => self.ask(reference)?,
            };
            locked.insert(name.clone(), digest);
        }
        if locked != known && self.options.lock != LockMode::Locked && !self.options.dry_run {
            write(&path, &locked)?;
            (self.report)(Event::Wrote(&path));
        }
        pins.extend(locked);
        Ok(pins)
    }

    /// What a tag stands for now.
    fn ask(&self, reference: &Reference) -> Result<Digest, Error> {
        let asked = self
            .client
            .registry(reference, self.options.plain_http)
            .and_then(|registry| registry.tagged());
        match asked {
            Ok(manifest) => Ok(Digest(Sha256(manifest.sha256))),
            Err(source) => Err(Error::Image {
                path: shown(reference).into(),
                source: base::Error::Registry(source),
            }),
        }
    }
}

/// A base's name, whole.
pub(super) fn reference(text: &str) -> Result<Reference, Error> {
    Reference::pinned(text).map_err(|error| Error::Definition {
        key: "base",
        problem: error.to_string(),
    })
}

/// The name as the definition writes it.
pub(super) fn shown(reference: &Reference) -> String {
    format!("docker://{reference}")
}

fn read(path: &Path) -> Result<Pins, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pins::new()),
        Err(source) => {
            return Err(Error::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let unusable = |reason: String| Error::Lock {
        path: path.to_owned(),
        reason,
    };
    let file: File = toml::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if file.version != VERSION {
        let version = file.version;
        return Err(unusable(format!(
            "it has the version {version}, and {VERSION} is what is known here"
        )));
    }
    let pins = file.base.into_iter();
    Ok(pins.map(|pin| (pin.reference, pin.digest)).collect())
}

fn write(path: &Path, pins: &Pins) -> Result<(), Error> {
    let pins = pins.iter().map(|(reference, digest)| Pin {
        reference: reference.clone(),
        digest: *digest,
    });
    let file = File {
        version: VERSION,
        base: pins.collect(),
    };
    // Numbers and texts: nothing that TOML has no form for.
    let text = format!("{HEAD}{}", toml::to_string(&file).unwrap_or_default());
    Ok(fetch::replace(path, text.as_bytes())?)
}
