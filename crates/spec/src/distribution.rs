//! A distribution: what its installers are called, what they hold and how they behave, for each
//! platform. Only the values and how overrides apply; reading them is in `read`, what one key says
//! about another in `check`.

use std::collections::{BTreeMap, BTreeSet};

use conda::{PackageName, Subdir};
use toml::Spanned;

use crate::condarc::Condarc;
use crate::error::{Error, Warning};
use crate::outputs::BuildOutput;
use crate::requirement::PackageSpec;

mod check;
mod read;
mod values;

pub use read::near_platform;
pub(crate) use read::{platforms, subdir};
pub(crate) use values::{identifier, lines, specs, virtual_specs};

/// A distribution's specification, valid as far as one can see without opening a file.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// Its name: the first part of the installers' file names and the default prefix in lower case.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The platforms to build for when the user names none; at least one, each once.
    pub platforms: Vec<Subdir>,
    settings: Settings,
    overrides: BTreeMap<Subdir, Settings>,
}

/// What came out of a specification.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The specification.
    pub distribution: Distribution,
    /// What was accepted without effect, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// The settings for one platform, with constructor's defaults filled in. The names are those of
/// `construct.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The platform.
    pub platform: Subdir,
    /// Names, URLs or folders of channels, the most important one first.
    pub channels: Vec<String>,
    /// Channels to solve and fetch from that the installation knows under another address.
    pub channels_remap: Vec<Remap>,
    /// The packages to solve for; empty when `environment_file` is set, or when the specification
    /// says nothing about this platform.
    pub specs: Vec<PackageSpec>,
    /// An explicit list of packages in place of `specs`, relative to the specification.
    pub environment_file: Option<String>,
    /// Packages that are left out of the solution.
    pub exclude: Vec<PackageName>,
    /// What conda's history records as asked for, where that differs from `specs`.
    pub user_requested_specs: Option<Vec<String>>,
    /// Virtual packages that the solver may count on and the installer checks.
    pub virtual_specs: Vec<PackageSpec>,
    /// The licence to show and to copy to `LICENSE.txt`, relative to the specification.
    pub license_file: Option<String>,
    /// Write a `.condarc` with the channels; see [`Target::condarc_yaml`].
    pub write_condarc: bool,
    /// The `.condarc` to write in place of that one.
    pub condarc: Option<Condarc>,
    /// `default_channels` of the `.condarc`.
    pub conda_default_channels: Vec<String>,
    /// `channel_alias` of the `.condarc`.
    pub conda_channel_alias: Option<String>,
    /// Where the installer proposes to install; variables are expanded on the target.
    pub default_prefix: Option<String>,
    /// How conda is made known to the user's shell.
    pub initialize_conda: Initialize,
    /// The specification says so itself: then conda must be among the packages, whereas the default
    /// has no effect without it.
    pub initialize_conda_is_explicit: bool,
    /// The answer that the installer proposes to the question about shell initialisation.
    pub initialize_by_default: bool,
    /// Files to put into the prefix after the packages.
    pub extra_files: Vec<ExtraFile>,
    /// Script to run before the packages are linked, relative to the specification.
    pub pre_install: Option<String>,
    /// Script to run at the end, relative to the specification.
    pub post_install: Option<String>,
    /// Environment variables for the scripts, taken literally.
    pub script_env_variables: BTreeMap<String, String>,
    /// Leave the extracted packages in `pkgs/`.
    pub keep_pkgs: bool,
    /// The installer's file name, if not the default one.
    pub installer_filename: Option<String>,
    /// A path that two packages hold is a warning, not an error.
    pub ignore_duplicate_files: bool,
    /// Refuse prefixes with spaces.
    pub check_path_spaces: bool,
    /// Printed at the end in place of the default text.
    pub conclusion_text: Option<String>,
    /// Files to leave beside the installer.
    pub build_outputs: Vec<BuildOutput>,
    /// How the payload is compressed.
    pub compression: Compression,
}

/// One element of `channels_remap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    /// The channel to solve and fetch from.
    pub src: String,
    /// The channel that the installation records.
    pub dest: String,
}

/// One element of `extra_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// The file, relative to the specification.
    pub source: String,
    /// Its place in the prefix: relative, with `/`, without `.` and `..`.
    pub destination: String,
}

/// `initialize_conda`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialize {
    /// `true` or `"classic"`: `conda init` adds a function to the shell.
    Classic,
    /// `"condabin"`: only `condabin/` is added to `PATH`; conda 25.5.0 or later.
    Condabin,
    /// `false`: not at all, and no question.
    No,
}

/// `compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Content is taken from the packages as it is compressed there, where possible.
    Default,
    /// Everything is compressed anew with long windows, for releases.
    Solid,
}

impl Distribution {
    /// A distribution of which only this is known, as of a finished installer: its settings are the defaults.
    pub fn named(name: &str, version: &str, platforms: Vec<Subdir>) -> Distribution {
        Distribution {
            name: name.to_owned(),
            version: version.to_owned(),
            platforms,
            settings: Settings::default(),
            overrides: BTreeMap::new(),
        }
    }

    /// Reads a specification. The text is refused when it is longer than 1 MiB.
    ///
    /// Fails with all mistakes that were found, not only the first one.
    pub fn parse(text: &str) -> Result<Parsed, Error> {
        read::distribution(text)
    }

    /// The settings for one platform: those of the top level, each replaced whole where
    /// `[target.PLATFORM]` has the same key. `specs` and `environment_file` replace each other.
    ///
    /// Any platform may be asked for, also one that the specification does not mention.
    pub fn target(&self, platform: Subdir) -> Target {
        self.effective(platform).complete(platform)
    }

    /// The platforms that the specification names in `platforms` or `target`.
    fn mentioned(&self) -> BTreeSet<Subdir> {
        self.platforms
            .iter()
            .chain(self.overrides.keys())
            .copied()
            .collect()
    }

    fn effective(&self, platform: Subdir) -> Settings {
        match self.overrides.get(&platform) {
            Some(settings) => settings.over(&self.settings),
            None => self.settings.clone(),
        }
    }
}

impl Target {
    /// Where the installer proposes to install, for the runtime to expand on the target:
    /// `default_prefix`, or constructor's default for a distribution of this name.
    pub fn prefix(&self, name: &str) -> String {
        self.default_prefix
            .clone()
            .unwrap_or_else(|| format!("${{HOME:-/opt}}/{}", name.to_lowercase()))
    }

    /// What conda's history records as asked for: `user_requested_specs`, or else `specs`.
    pub fn requested(&self) -> Vec<&str> {
        match &self.user_requested_specs {
            Some(specs) => specs.iter().map(String::as_str).collect(),
            None => self.specs.iter().map(|spec| spec.raw.as_str()).collect(),
        }
    }

    /// The text of the installation's `.condarc`, if it gets one: `condarc`, or else, with
    /// `write_condarc`, what the specification says of channels (constructor's rule).
    pub fn condarc_yaml(&self) -> Option<String> {
        let alias = self.conda_channel_alias.as_deref();
        let written = || Condarc::of_channels(&self.conda_default_channels, &self.channels, alias);
        match &self.condarc {
            Some(condarc) => Some(condarc.to_yaml()),
            None if self.write_condarc => written().map(|condarc| condarc.to_yaml()),
            None => None,
        }
    }
}

/// What one level of the file says, with the place of each value.
#[derive(Debug, Clone, Default)]
struct Settings {
    channels: Option<Spanned<Vec<String>>>,
    channels_remap: Option<Spanned<Vec<Remap>>>,
    specs: Option<Spanned<Vec<PackageSpec>>>,
    environment_file: Option<Spanned<String>>,
    exclude: Option<Spanned<Vec<PackageName>>>,
    user_requested_specs: Option<Spanned<Vec<String>>>,
    virtual_specs: Option<Spanned<Vec<PackageSpec>>>,
    license_file: Option<Spanned<String>>,
    write_condarc: Option<Spanned<bool>>,
    condarc: Option<Spanned<Condarc>>,
    conda_default_channels: Option<Spanned<Vec<String>>>,
    conda_channel_alias: Option<Spanned<String>>,
    default_prefix: Option<Spanned<String>>,
    initialize_conda: Option<Spanned<Initialize>>,
    initialize_by_default: Option<Spanned<bool>>,
    extra_files: Option<Spanned<Vec<ExtraFile>>>,
    pre_install: Option<Spanned<String>>,
    post_install: Option<Spanned<String>>,
    script_env_variables: Option<Spanned<BTreeMap<String, String>>>,
    keep_pkgs: Option<Spanned<bool>>,
    installer_filename: Option<Spanned<String>>,
    ignore_duplicate_files: Option<Spanned<bool>>,
    check_path_spaces: Option<Spanned<bool>>,
    conclusion_text: Option<Spanned<String>>,
    build_outputs: Option<Spanned<Vec<BuildOutput>>>,
    compression: Option<Spanned<Compression>>,
}

impl Settings {
    /// These settings, and those of `base` where these are silent.
    fn over(&self, base: &Self) -> Self {
        macro_rules! each {
            ($($field:ident),* $(,)?) => {
                Self { $($field: self.$field.clone().or_else(|| base.$field.clone())),* }
            };
        }
        let mut settings = each![
            channels,
            channels_remap,
            specs,
            environment_file,
            exclude,
            user_requested_specs,
            virtual_specs,
            license_file,
            write_condarc,
            condarc,
            conda_default_channels,
            conda_channel_alias,
            default_prefix,
            initialize_conda,
            initialize_by_default,
            extra_files,
            pre_install,
            post_install,
            script_env_variables,
            keep_pkgs,
            installer_filename,
            ignore_duplicate_files,
            check_path_spaces,
            conclusion_text,
            build_outputs,
            compression,
        ];
        // Two ways to say the same thing: a platform that chooses one does not inherit the other.
        if self.environment_file.is_some() && self.specs.is_none() {
            settings.specs = None;
        } else if self.specs.is_some() && self.environment_file.is_none() {
            settings.environment_file = None;
        }
        settings
    }

    fn complete(self, platform: Subdir) -> Target {
        Target {
            platform,
            channels: list(self.channels),
            channels_remap: list(self.channels_remap),
            specs: list(self.specs),
            environment_file: value(self.environment_file),
            exclude: list(self.exclude),
            user_requested_specs: value(self.user_requested_specs),
            virtual_specs: list(self.virtual_specs),
            license_file: value(self.license_file),
            write_condarc: value(self.write_condarc).unwrap_or(false),
            condarc: value(self.condarc),
            conda_default_channels: list(self.conda_default_channels),
            conda_channel_alias: value(self.conda_channel_alias),
            default_prefix: value(self.default_prefix),
            initialize_conda_is_explicit: self.initialize_conda.is_some(),
            initialize_conda: value(self.initialize_conda).unwrap_or(Initialize::Classic),
            initialize_by_default: value(self.initialize_by_default).unwrap_or(false),
            extra_files: list(self.extra_files),
            pre_install: value(self.pre_install),
            post_install: value(self.post_install),
            script_env_variables: value(self.script_env_variables).unwrap_or_default(),
            keep_pkgs: value(self.keep_pkgs).unwrap_or(false),
            installer_filename: value(self.installer_filename),
            ignore_duplicate_files: value(self.ignore_duplicate_files).unwrap_or(true),
            check_path_spaces: value(self.check_path_spaces).unwrap_or(true),
            conclusion_text: value(self.conclusion_text),
            build_outputs: list(self.build_outputs),
            compression: value(self.compression).unwrap_or(Compression::Default),
        }
    }
}

fn value<T>(setting: Option<Spanned<T>>) -> Option<T> {
    setting.map(Spanned::into_inner)
}

fn list<T>(setting: Option<Spanned<Vec<T>>>) -> Vec<T> {
    value(setting).unwrap_or_default()
}

#[cfg(test)]
mod tests;
