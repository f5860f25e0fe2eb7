//! An image: which base it stands on, which installer's prefix is in it, and how a container of it
//! starts. Only the values and how overrides apply; reading them is in `read`.

use std::collections::{BTreeMap, BTreeSet};

use conda::Subdir;

use crate::error::{Error, Warning};
use crate::requirement::PackageSpec;

mod debian;
mod envs;
mod files;
mod installer;
mod read;
mod references;
#[cfg(test)]
mod tests;

/// Where a distribution is, if the definition does not say.
const PREFIX: &str = "/opt/conda";

/// The most layers that an image may have, its base's included: Docker's overlay2 driver stops at
/// 125.
pub const MOST_LAYERS: usize = 120;

/// The definition of an image (`docker/*.toml`), valid as far as one can see without opening a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The distribution's spec, relative to the definition; none where finished installers are named, one for
    /// each platform ([`ImageTarget::installer`]).
    pub installer: Option<String>,
    /// The platforms to bake for when the user names none; the installer's, if the definition names
    /// none either.
    pub platforms: Option<Vec<Subdir>>,
    /// How many layers of ours there are at most; at least two.
    pub layers: usize,
    /// How layers are compressed.
    pub compression: LayerCompression,
    /// What becomes of Python modules that an installation would compile.
    pub pyc: Pyc,
    /// What becomes of link scripts, which are programs of the target.
    pub link_scripts: LinkScripts,
    settings: Settings,
    overrides: BTreeMap<Subdir, Settings>,
}

/// What came out of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedImage {
    /// The definition.
    pub definition: Image,
    /// What was accepted without effect, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// The settings for one platform, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageTarget {
    /// The platform.
    pub platform: Subdir,
    /// A finished installer, relative to the definition, if not a spec.
    pub installer: Option<String>,
    /// What lies below our layers.
    pub base: Base,
    /// Debian packages that are installed into the base.
    pub debs: Debs,
    /// The locale: `LANGUAGE_TERRITORY.UTF-8`.
    pub locale: Option<String>,
    /// The prefix: absolute, made of plain names.
    pub prefix: String,
    /// Packages that are installed besides the installer's.
    pub packages: Vec<PackageSpec>,
    /// Packages that lie in the package cache, not installed.
    pub prefetch: Vec<PackageSpec>,
    /// Environments besides the base one, by name.
    pub envs: BTreeMap<String, Env>,
    /// What is left out of the packages in the prefix.
    pub trim: Vec<Trim>,
    /// Files besides the prefix.
    pub files: Vec<ImageFile>,
    /// Environment variables, besides those that make the prefix found.
    pub env: BTreeMap<String, String>,
    /// Who a container's processes are; the base's, if the definition does not say.
    pub user: Option<User>,
    /// Where they start.
    pub workdir: Option<String>,
    /// What always runs.
    pub entrypoint: Option<Vec<String>>,
    /// What runs if nothing else is said.
    pub cmd: Option<Vec<String>>,
    /// Labels, in the image's configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations, in the image's manifest.
    pub annotations: BTreeMap<String, String>,
    /// What the image is called: `name:tag`, with a registry's host before it or not.
    pub tags: Vec<String>,
}

/// An environment besides the base one, at `PREFIX/envs/NAME`.
#[derive(Debug, Clone, PartialEq)]
pub struct Env {
    /// What is installed into it; at least one.
    pub packages: Vec<PackageSpec>,
}

/// What an image stands on. Paths are relative to the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// A file or folder that says itself what it is.
    Path(String),
    /// An OCI image layout in a folder.
    Layout {
        /// The folder.
        path: String,
        /// Which of its images.
        reference: Option<String>,
    },
    /// An OCI image layout in a tar file.
    OciArchive {
        /// The file.
        path: String,
        /// Which of its images.
        reference: Option<String>,
    },
    /// What `docker save` writes.
    DockerArchive {
        /// The file.
        path: String,
        /// Which of its images.
        reference: Option<String>,
    },
    /// An image in a registry: `[HOST/]NAME[:TAG][@sha256:DIGITS]`.
    Registry(String),
    /// A root made of Debian's or Ubuntu's packages.
    Debian(Box<DebianBase>),
}

/// `base = { debian = { … } }` or `{ ubuntu = { … } }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianBase {
    /// Where the packages come from; its suite is said.
    pub archive: Archive,
    /// Which packages there are without being asked for.
    pub variant: Variant,
    /// Further packages.
    pub packages: Vec<String>,
}

/// Which packages of Debian a root has without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Those that are essential, those that are required, and apt: what `debootstrap --variant=minbase` installs.
    Minbase,
    /// Those that are essential: what `mmdebstrap --variant=essential` installs.
    Essential,
}

/// `debs`: Debian packages that are installed into the base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debs {
    /// Their names.
    pub packages: Vec<String>,
    /// Where they come from; where the base's own came from, or the base says, as far as nothing is said.
    pub archive: Archive,
}

/// Where Debian packages come from. What is not said follows from the suite or the base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    /// Whose packages.
    pub distribution: Option<DebianLike>,
    /// The release: `bookworm`.
    pub suite: Option<String>,
    /// The archive's address.
    pub mirror: Option<String>,
    /// The address of its security updates.
    pub security: Option<String>,
    /// Whether updates and security updates count, too.
    pub updates: Option<bool>,
    /// Its parts; `main` if not said.
    pub components: Option<Vec<String>>,
    /// The keys that sign it: a file, relative to the definition.
    pub keyring: Option<String>,
    /// Whether it is used without a signature.
    pub trusted: bool,
    /// Whether what holds no longer is refused; it is, if not said.
    pub check_valid_until: Option<bool>,
}

/// Who makes a distribution of Debian packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebianLike {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
}

/// `user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A name or number that the base knows, or a number that nobody has to know: `1000:1000`.
    Known(String),
    /// An account that is made.
    New(Account),
}

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group, which has the same name.
    pub gid: u32,
    /// Its home, which is made.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

/// One element of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it goes: absolute, made of plain names.
    pub path: String,
    /// What it is.
    pub content: Content,
    /// Permission bits; those of the source, or else 0644, if not said.
    pub mode: Option<u32>,
    /// User and group, as numbers.
    pub owner: (u32, u32),
}

/// What a file of `files` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// What a file or folder holds, relative to the definition.
    Source(String),
    /// This text.
    Text(String),
    /// Nothing: it is a symbolic link that says this.
    Link(String),
}

/// One element of `trim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trim {
    /// Files of a kind.
    Group(TrimGroup),
    /// Files whose path in the prefix fits: `*` within a name, `**` for any folders.
    Glob(String),
}

/// Kinds of files that most containers have no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrimGroup {
    /// `lib/*.a`, and those of Python's own library.
    StaticLibraries,
    /// Folders `test` and `tests` of Python and its packages.
    Tests,
    /// Python modules that are compiled already: `__pycache__`.
    Pycache,
    /// `*.js.map` and `*.css.map`.
    SourceMaps,
    /// Manuals: `share/doc`, `share/man`, `share/info`, `share/gtk-doc`, `man`.
    Docs,
}

impl TrimGroup {
    /// All, by name.
    pub const ALL: [(&'static str, TrimGroup); 5] = [
        ("docs", TrimGroup::Docs),
        ("pycache", TrimGroup::Pycache),
        ("source-maps", TrimGroup::SourceMaps),
        ("static-libraries", TrimGroup::StaticLibraries),
        ("tests", TrimGroup::Tests),
    ];

    /// Its name in definitions.
    pub fn name(self) -> &'static str {
        let mut all = TrimGroup::ALL.into_iter();
        all.find(|(_, group)| *group == self)
            .map_or("", |(name, _)| name)
    }
}

/// `compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerCompression {
    /// What every engine reads.
    Gzip,
    /// Smaller and quicker; Docker from 23 on, podman from 3 on.
    Zstd,
}

/// `pyc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pyc {
    /// They are not compiled.
    Skip,
    /// A Python of this machine compiles them, of the same minor version.
    HostPython,
    /// The image's own Python compiles them, on this machine.
    Emulate,
}

/// `link_scripts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkScripts {
    /// A package that has one is refused.
    Error,
    /// They do not run.
    Skip,
    /// They run in the image, on this machine, when it is baked.
    Emulate,
    /// They run when a container starts.
    FirstRun,
}

impl Image {
    /// Reads a definition. The text is refused when it is longer than 1 MiB.
    ///
    /// Fails with all mistakes that were found, not only the first one.
    pub fn parse(text: &str) -> Result<ParsedImage, Error> {
        read::image(text)
    }

    /// The settings for one platform: those of the top level, each replaced whole where
    /// `[target.PLATFORM]` has the same key.
    pub fn target(&self, platform: Subdir) -> ImageTarget {
        let top = &self.settings;
        let own = self.overrides.get(&platform);
        macro_rules! setting {
            ($field:ident) => {
                own.and_then(|own| own.$field.clone())
                    .or_else(|| top.$field.clone())
            };
        }
        let locale: Option<String> = setting!(locale);
        let mut env: BTreeMap<String, String> = setting!(env).unwrap_or_default();
        for (name, value) in locale.iter().flat_map(|locale| debian::environment(locale)) {
            env.entry(name.to_owned()).or_insert(value);
        }
        ImageTarget {
            platform,
            installer: setting!(installer),
            base: setting!(base).unwrap_or(Base::Scratch),
            debs: setting!(debs).unwrap_or_default(),
            locale,
            prefix: setting!(prefix).unwrap_or_else(|| PREFIX.to_owned()),
            packages: setting!(packages).unwrap_or_default(),
            prefetch: setting!(prefetch).unwrap_or_default(),
            envs: setting!(envs).unwrap_or_default(),
            trim: setting!(trim).unwrap_or_default(),
            files: setting!(files).unwrap_or_default(),
            env,
            user: setting!(user),
            workdir: setting!(workdir),
            entrypoint: setting!(entrypoint),
            cmd: setting!(cmd),
            labels: setting!(labels).unwrap_or_default(),
            annotations: setting!(annotations).unwrap_or_default(),
            tags: setting!(tags).unwrap_or_default(),
        }
    }

    /// The finished installers that the definition names, one at the top for whatever platform it is, and those of
    /// platforms.
    pub fn finished(&self) -> impl Iterator<Item = (Option<Subdir>, &str)> {
        let top = self.settings.installer.iter().map(|path| (None, &**path));
        let own = self.overrides.iter().filter_map(|(platform, settings)| {
            let path = settings.installer.as_deref()?;
            Some((Some(*platform), path))
        });
        top.chain(own)
    }

    /// The platforms that the definition names in `platforms` or `target`.
    pub fn mentioned(&self) -> BTreeSet<Subdir> {
        let named = self.platforms.iter().flatten();
        named.chain(self.overrides.keys()).copied().collect()
    }
}

/// What one level of the file says.
#[derive(Debug, Clone, Default, PartialEq)]
struct Settings {
    installer: Option<String>,
    base: Option<Base>,
    debs: Option<Debs>,
    locale: Option<String>,
    prefix: Option<String>,
    packages: Option<Vec<PackageSpec>>,
    prefetch: Option<Vec<PackageSpec>>,
    envs: Option<BTreeMap<String, Env>>,
    trim: Option<Vec<Trim>>,
    files: Option<Vec<ImageFile>>,
    env: Option<BTreeMap<String, String>>,
    user: Option<User>,
    workdir: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    tags: Option<Vec<String>>,
}
