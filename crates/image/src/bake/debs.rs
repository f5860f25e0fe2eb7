//! Debian packages in an image: a root made of them, and more of them in a base that has dpkg. Nothing of them is
//! run: what their scripts would have made is made here ([`made`]), and who has other scripts is named.

mod archives;
mod dpkg;
mod error;
mod incoming;
mod kept;
mod locale;
mod lock;
mod made;
mod unconfigured;
mod unpack;
mod writer;

use conda::Subdir;
use debian::{Alternatives, Pool, Priority, Relation, books};
use spec::{Archive, Base, DebianLike, Variant};
use url::Url;

use super::cache::Cache;
use super::ground::Ground;
use super::platform::Job;
use super::{BakedPackage, LayerKind};
use crate::base;
use crate::error::Error;
use crate::oci;
use crate::root::Root;
use archives::Sources;
use kept::Account;
use lock::{Locked, LockedDeb, Request};
use unpack::Done;

pub use error::DebsError;

/// dpkg's list of what is installed.
pub(super) const STATUS: &str = "var/lib/dpkg/status";

/// What a layer of Debian packages is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The root itself.
    Root,
    /// Packages in a root that is there.
    More,
}

impl Job<'_> {
    /// Puts layers of Debian packages on the base; without a cache, where nothing is written, only says which.
    pub(super) fn debs(&self, ground: &mut Ground, cache: Option<&Cache<'_>>) -> Result<(), Error> {
        let packaged = matches!(self.target.base, Base::Debian(_));
        let locale = locale::wanted(&self.target);
        if !packaged && self.target.debs.packages.is_empty() && locale.is_none() {
            return Ok(());
        }
        self.install(ground, cache, locale)
            .map_err(|failure| match failure {
                Failure::Debs(source) => Error::Debs {
                    platform: self.platform,
                    source,
                },
                Failure::Ours(error) => error,
            })
    }

    fn install(
        &self,
        ground: &mut Ground,
        cache: Option<&Cache<'_>>,
        locale: Option<&str>,
    ) -> Result<(), Failure> {
        let architecture = architecture(self.platform).ok_or(DebsError::Platform)?;
        let status = match ground.root.text(STATUS) {
            Some(text) => books::Status::parse(text),
            None if matches!(self.target.base, Base::Debian(_)) => books::Status::default(),
            None => return Err(self.no_debian().into()),
        };
        let installed = status.installed(architecture);
        let archive = self.archive(&ground.root)?;
        let sources = Sources::of(&archive, architecture)?;
        for source in &sources.all {
            // Locks and addresses of packages have none.
            self.recipe.client.folder(&source.mirror);
        }
        let root = match &self.target.base {
            Base::Debian(root) => Some(root),
            _ => None,
        };
        let request = Request::new(
            &sources,
            root.map(|root| (root.variant, root.packages.as_slice())),
            &self.target.debs.packages,
            locale.is_some(),
            &installed,
        );
        let (locked, known) = lock::read(&self.recipe.options.definition, self.platform)?;
        let locked = if let Some(locked) = lock::fitting(self, locked, &request)? {
            locked
        } else {
            let locked = self.resolve(&sources, &archive, request, &installed)?;
            if !self.recipe.options.dry_run {
                lock::write(self, known, &locked)?;
            }
            locked
        };
        let Some(cache) = cache else {
            for layer in &locked.layers {
                let packages = layer.iter().map(planned).collect();
                ground.stack.plan(LayerKind::Debs, packages);
            }
            return Ok(());
        };
        let layer = |stage| unpack::Layer {
            job: self,
            stage,
            architecture,
            archive: &archive,
            sources: &sources,
            cache,
        };
        let mut stages = locked.layers.iter();
        if root.is_some() {
            let debs = stages.next().map_or(&[][..], Vec::as_slice);
            self.layer(ground, &layer(Stage::Root), debs, None)?;
            set_command(ground);
        }
        let debs = stages.next().map_or(&[][..], Vec::as_slice);
        let compiled = locale.zip(locked.locales.as_ref());
        if !debs.is_empty() || compiled.is_some() {
            self.layer(ground, &layer(Stage::More), debs, compiled)?;
        }
        Ok(())
    }

    /// Where packages come from: what the definition says, then what the base says of itself.
    fn archive(&self, root: &Root) -> Result<Archive, DebsError> {
        let own = &self.target.debs.archive;
        let below = match &self.target.base {
            Base::Debian(root) => root.archive.clone(),
            _ => of_base(root).ok_or_else(|| self.no_debian())?,
        };
        // A suite or mirror of one's own is another archive; the base's keys need not be its.
        Ok(Archive {
            distribution: own.distribution.or(below.distribution),
            suite: own.suite.clone().or(below.suite),
            mirror: own.mirror.clone().or(below.mirror),
            security: own.security.clone().or(below.security),
            updates: own.updates.or(below.updates),
            components: own.components.clone().or(below.components),
            keyring: own.keyring.clone().or(below.keyring),
            trusted: own.trusted || below.trusted,
            check_valid_until: own.check_valid_until.or(below.check_valid_until),
        })
    }

    fn no_debian(&self) -> DebsError {
        let key = if self.target.debs.packages.is_empty() {
            "locale"
        } else {
            "debs"
        };
        DebsError::NoDebian { key }
    }

    fn resolve(
        &self,
        sources: &Sources,
        archive: &Archive,
        request: Request,
        installed: &[debian::Package],
    ) -> Result<Locked, Failure> {
        let pool = archives::read(self, sources, archive)?;
        let mut layers = Vec::new();
        let mut there: Vec<debian::Package> = installed.to_vec();
        if let Base::Debian(root) = &self.target.base {
            let seeds = seeds(&pool, root.variant, &root.packages);
            let base = choose(&pool, &[], &seeds, sources)?;
            there.extend(base.iter().map(|(package, _)| (*package).clone()));
            layers.push(base);
        }
        let wanted = &self.target.debs.packages;
        let wanted: Vec<Alternatives> =
            wanted.iter().map(|name| vec![Relation::to(name)]).collect();
        layers.push(choose(&pool, &there, &wanted, sources)?);
        let locales = match locale::wanted(&self.target) {
            None => None,
            Some(_) => Some(locale::package(&pool, &there, &layers, sources)?),
        };
        let layers = layers
            .into_iter()
            .map(|layer| layer.into_iter().map(|(_, deb)| deb).collect())
            .collect();
        Ok(Locked {
            request,
            layers,
            locales,
        })
    }

    fn layer(
        &self,
        ground: &mut Ground,
        layer: &unpack::Layer<'_>,
        debs: &[LockedDeb],
        compiled: Option<(&str, &LockedDeb)>,
    ) -> Result<(), Failure> {
        let key = kept::key(layer, ground, debs, compiled)?;
        let taken = kept::take(layer, key, &mut ground.root);
        let cached = taken.is_some();
        let done = if let Some(done) = taken {
            done
        } else {
            let files = archives::fetch(self, debs)?;
            let locales = match compiled {
                None => None,
                Some((name, deb)) => {
                    let file = archives::fetch(self, std::slice::from_ref(deb))?;
                    file.into_iter().next().map(|file| (name, deb, file))
                }
            };
            let done = layer.write(&mut ground.root, debs, &files, locales.as_ref())?;
            kept::keep(layer, key, &done, &ground.root);
            done
        };
        let Done { packed, account } = done;
        let told = oci::canonical(&account);
        let told = String::from_utf8_lossy(&told).into_owned();
        let Account {
            packages,
            made,
            unconfigured,
            components,
        } = account;
        ground.made.extend(made);
        // A newer version takes the place of an older one.
        let newer = |name: &str| components.iter().any(|one| one.name == name);
        ground.components.retain(|one| !newer(&one.name));
        ground.components.extend(components);
        ground.unconfigured.extend(unconfigured);
        let packages = packages.into_iter().map(|(name, size)| BakedPackage {
            name,
            size,
            env: None,
            prefetched: false,
        });
        let stack = &mut ground.stack;
        stack.push(LayerKind::Debs, &packed, packages.collect(), cached);
        stack.annotate([(base::INPUTS, key.to_string()), (base::ACCOUNT, told)]);
        Ok(())
    }
}

/// Why there is no layer.
enum Failure {
    Debs(DebsError),
    Ours(Error),
}

impl From<DebsError> for Failure {
    fn from(error: DebsError) -> Failure {
        Failure::Debs(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

/// What Debian calls the CPU of a platform.
fn architecture(platform: Subdir) -> Option<&'static str> {
    Some(match platform {
        Subdir::Linux64 => "amd64",
        Subdir::LinuxAarch64 => "arm64",
        Subdir::Linux32 => "i386",
        Subdir::LinuxArmV6l => "armel",
        Subdir::LinuxArmV7l => "armhf",
        Subdir::LinuxPpc64le => "ppc64el",
        Subdir::LinuxS390X => "s390x",
        Subdir::LinuxRiscv64 => "riscv64",
        _ => return None,
    })
}

/// What a root has without being asked for, and what is asked for.
fn seeds(pool: &Pool, variant: Variant, packages: &[String]) -> Vec<Alternatives> {
    let mut names: Vec<&str> = Vec::new();
    for package in pool.newest() {
        let required = variant == Variant::Minbase && package.priority == Priority::Required;
        if package.essential || required {
            names.push(&package.name);
        }
    }
    // A root is merged from the beginning, so that nothing has to be moved; only some suites have a package that
    // says so.
    let more: &[&str] = match variant {
        Variant::Minbase => &["apt", "usr-is-merged"],
        Variant::Essential => &["usr-is-merged"],
    };
    names.extend(more.iter().filter(|name| pool.package(name).is_some()));
    names.extend(packages.iter().map(String::as_str));
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| vec![Relation::to(name)])
        .collect()
}

/// What a base says of itself (os-release(5)).
fn of_base(root: &Root) -> Option<Archive> {
    let text = ["etc/os-release", "usr/lib/os-release"];
    let text = text.iter().find_map(|path| root.text(path))?;
    let field = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    let distribution = match field("ID")?.as_str() {
        "debian" => DebianLike::Debian,
        "ubuntu" => DebianLike::Ubuntu,
        _ => return None,
    };
    Some(Archive {
        distribution: Some(distribution),
        suite: field("VERSION_CODENAME"),
        ..Archive::default()
    })
}

/// What a container of a root begins with, as in the images of the distributions.
fn set_command(ground: &mut Ground) {
    let run = serde_json::json!({ "Cmd": ["bash"] });
    let config = ground.config.get_or_insert_with(Default::default);
    config.entry("config").or_insert(run);
}

/// A package that is not unpacked.
fn planned(deb: &LockedDeb) -> BakedPackage {
    BakedPackage {
        name: deb.title(),
        size: deb.size,
        env: None,
        prefetched: false,
    }
}

/// The packages that come for `wanted`, with their files.
fn choose<'p>(
    pool: &'p Pool,
    installed: &'p [debian::Package],
    wanted: &[Alternatives],
    sources: &Sources,
) -> Result<Vec<(&'p debian::Package, LockedDeb)>, DebsError> {
    let chosen = debian::resolve(pool, installed, wanted)?;
    let asked = |name: &str| wanted.iter().flatten().any(|one| one.name == name);
    chosen
        .into_iter()
        .map(|package| {
            let automatic = !asked(&package.name);
            Ok((package, sources.locked(package, automatic)?))
        })
        .collect()
}

/// An address with something below it.
fn below(mirror: &Url, path: &str) -> Result<Url, DebsError> {
    let text = format!("{}/{path}", mirror.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|_| DebsError::Address { text })
}
