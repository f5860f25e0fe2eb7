//! A meta-channel: which channels it is made of, what its users ask for, and what is left out.
//! Only the values; reading them is in `read`. Which records that comes to is the compiler's business.

use std::collections::BTreeMap;

use conda::{PackageName, Subdir};

use crate::error::{Error, Warning};
use crate::requirement::PackageSpec;

pub use question::Question;

mod question;
mod read;
#[cfg(test)]
mod tests;

/// The definition of a meta-channel (`channels/*.toml`), valid as far as one can see without opening a
/// file.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaChannel {
    /// What it is called; also the name of its folder.
    pub name: String,
    /// Names, URLs or folders of channels, the most important one first; at least one.
    pub channels: Vec<String>,
    /// Which of two channels a name is taken from.
    pub priority: Priority,
    /// The platforms besides noarch; at least one, each once.
    pub platforms: Vec<Subdir>,
    /// How many of the packages that a dependency can select stay.
    pub keep: Keep,
    /// For a name the versions that stay, as version specs (`3.12.*`): one of them must fit.
    pub pins: BTreeMap<PackageName, Vec<String>>,
    /// A `conda_build_config.yaml` with more pins, relative to the definition.
    pub pins_file: Option<String>,
    /// What is left out.
    pub exclude: Patterns,
    /// What stays although [`MetaChannel::exclude`] or the blacklist names it.
    pub include: Patterns,
    /// Packages that came into their channel later are left out.
    pub exclude_newer: Option<Newer>,
    /// A file of packages that are left out, relative to the definition.
    pub blacklist: Option<String>,
    /// Nothing but the roots' own packages stays, whatever these need.
    pub no_deps: bool,
    /// What packages impose on those that are built with them is kept, too.
    pub run_exports: bool,
    /// Where the packages lie.
    pub mirror: Mirror,
    top: Wishes,
    overrides: BTreeMap<Subdir, Wishes>,
}

/// What came out of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedMetaChannel {
    /// The definition.
    pub definition: MetaChannel,
    /// What was accepted without effect, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// conda's `channel_priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The first channel that has a name is the only one for it.
    Strict,
    /// All channels' packages are there; clients choose.
    Flexible,
}

/// `[keep]`: bounds for what one dependency can select. A bound that is not set does not bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// How many versions, the newest first.
    pub versions: Option<usize>,
    /// How many builds of a version, the newest first.
    pub builds: Option<usize>,
    /// Of builds that differ in their number alone, the highest stays (conda-metachannel's
    /// `--max-build-no`).
    pub max_build_number: bool,
}

/// `[exclude]` and `[include]`. A package is meant if any of them fits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Patterns {
    /// Names, with `*` for any characters.
    pub names: Vec<String>,
    /// Match specs.
    pub specs: Vec<PackageSpec>,
    /// Licences as records spell them, with `*`, whatever the case.
    pub licenses: Vec<String>,
    /// Features, tracked ones too, with `*`.
    pub features: Vec<String>,
}

/// `exclude_newer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newer {
    /// Than an instant, in milliseconds since 1970. A day stands for its end (UTC).
    Than(i64),
    /// Than so many milliseconds before the build.
    ThanAgo(i64),
}

/// `mirror`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// The packages stay where they are, and the index says where.
    None,
    /// A server fetches a package when it is asked for it first.
    OnDemand,
    /// All packages are fetched.
    Full,
}

/// What is asked for on one platform.
#[derive(Debug, Clone, PartialEq, Default)]
struct Wishes {
    roots: Option<Vec<PackageSpec>>,
    sets: Option<Vec<Vec<PackageSpec>>>,
    virtual_specs: Option<Vec<PackageSpec>>,
}

impl MetaChannel {
    /// Reads a definition. The text is refused when it is longer than 1 MiB.
    ///
    /// Fails with all mistakes that were found, not only the first one.
    pub fn parse(text: &str) -> Result<ParsedMetaChannel, Error> {
        read::meta_channel(text)
    }

    /// What users of a platform ask for. A platform that has a key itself does not inherit it.
    pub fn roots(&self, platform: Subdir) -> &[PackageSpec] {
        self.wish(platform, |wishes| wishes.roots.as_deref())
    }

    /// Lists of specs that must have a solution together; none for the default.
    pub fn sets(&self, platform: Subdir) -> &[Vec<PackageSpec>] {
        self.wish(platform, |wishes| wishes.sets.as_deref())
    }

    /// What the machines of a platform provide, beyond or instead of the baseline.
    pub fn virtual_specs(&self, platform: Subdir) -> &[PackageSpec] {
        self.wish(platform, |wishes| wishes.virtual_specs.as_deref())
    }

    /// Whether anything but the closure decides what is left out, so that solutions may differ from those
    /// of the whole channels.
    pub fn cuts(&self) -> bool {
        self.keep != Keep::default()
            || !self.pins.is_empty()
            || self.pins_file.is_some()
            || self.exclude != Patterns::default()
            || self.exclude_newer.is_some()
            || self.blacklist.is_some()
            || self.no_deps
    }

    fn wish<'a, T>(
        &'a self,
        platform: Subdir,
        of: impl Fn(&'a Wishes) -> Option<&'a [T]>,
    ) -> &'a [T] {
        self.overrides
            .get(&platform)
            .and_then(&of)
            .or_else(|| of(&self.top))
            .unwrap_or_default()
    }
}
