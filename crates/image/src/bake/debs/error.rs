//! Why Debian packages cannot be put into an image.

use std::io;
use std::path::PathBuf;

use debian::Unresolved;
use debian::deb::DebError;
use debian::release::ReleaseError;
use debian::signature::SignatureError;

/// Why Debian packages cannot be put into an image.
#[derive(Debug, thiserror::Error)]
pub enum DebsError {
    /// A platform that Debian has no packages for.
    #[error("Debian has no packages for this platform")]
    Platform,
    /// A base whose packages dpkg does not keep.
    #[error(
        "`{key}` needs a base with Debian's packages: a Debian or Ubuntu image with dpkg's status and os-release, or `base = {{ debian = {{ suite = \"…\" }} }}`"
    )]
    NoDebian {
        /// The key that asks for packages.
        key: &'static str,
    },
    /// Nothing says which release.
    #[error(
        "the base does not say which release it is; write `debs = {{ suite = \"…\", packages = […] }}`"
    )]
    NoSuite,
    /// An address that is none.
    #[error("`{text}` is no address")]
    Address {
        /// The text.
        text: String,
    },
    /// The keys that sign an archive are not there.
    #[error("cannot read the keyring `{}`, which tells whether packages are genuine: name another with `keyring`, install {package} where there is apt, or fetch that package from the archive by hand and take the keyring out of it", path.display())]
    NoKeyring {
        /// Where it was looked for.
        path: PathBuf,
        /// The package that has it.
        package: &'static str,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// What should be a keyring is none.
    #[error("`{}` is no keyring", path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SignatureError,
    },
    /// A suite that the archive does not have.
    #[error("there is no {url}: the archive has no such suite{}", hint(*offline, *extra))]
    NoRelease {
        /// Where its release file would be.
        url: String,
        /// Whether only the cache was asked.
        offline: bool,
        /// Whether nobody asked for this suite.
        extra: bool,
    },
    /// A release that nobody trusted has signed.
    #[error("{url} is not trusted")]
    Signature {
        /// The file.
        url: String,
        /// What is wrong.
        #[source]
        source: SignatureError,
    },
    /// What should be a release is none.
    #[error("{url} cannot be used")]
    Release {
        /// The file.
        url: String,
        /// What is wrong.
        #[source]
        source: ReleaseError,
    },
    /// A file that is longer than any that there is.
    #[error("{url} has {size} bytes, more than such a file has")]
    Long {
        /// The file.
        url: String,
        /// Its length.
        size: u64,
    },
    /// A release of another suite.
    #[error("{url} is of the suite `{found}`, not of `{wanted}`")]
    OtherSuite {
        /// The file.
        url: String,
        /// Which it says to be.
        found: String,
        /// Which was asked for.
        wanted: String,
    },
    /// A release that holds no longer, or not yet.
    #[error(
        "{url} {problem}; `check_valid_until = false` takes it nevertheless, as archives of old days need it"
    )]
    Expired {
        /// The file.
        url: String,
        /// When it holds.
        problem: String,
    },
    /// A component or architecture that the suite does not have.
    #[error("{url} lists no packages of `{component}` for {architecture}")]
    NoIndex {
        /// The release file.
        url: String,
        /// The component.
        component: String,
        /// The architecture.
        architecture: String,
    },
    /// An index that cannot be read.
    #[error("cannot read the index {url}")]
    Index {
        /// Its address.
        url: String,
        /// What is wrong.
        #[source]
        source: DebError,
    },
    /// Something cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// There is no set of packages.
    #[error("the packages do not fit together")]
    Unresolved(#[from] Unresolved),
    /// The compiled locales are of another C library.
    #[error("{package} is compiled for another C library than the image's, {libc}")]
    Locales {
        /// The package with the locales.
        package: String,
        /// The C library.
        libc: String,
    },
    /// A locale that there is none of.
    #[error("there is no compiled locale `{locale}` in {package}")]
    NoLocale {
        /// The locale.
        locale: String,
        /// The package with the locales.
        package: String,
    },
    /// A lock that is none.
    #[error("the lock `{}` cannot be read; `--update` makes it anew", path.display())]
    LockText {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A `.deb` file that cannot be used.
    #[error("cannot unpack {package}")]
    Deb {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: DebError,
    },
    /// A `.deb` file of another package than its index says.
    #[error("the file of {package} holds {found}")]
    OtherPackage {
        /// What it should be.
        package: String,
        /// What it is.
        found: String,
    },
    /// A path of a package that has no place in the image.
    #[error("`/{path}` of {package} cannot be put into the image: {problem}")]
    Place {
        /// The package.
        package: String,
        /// The path.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl DebsError {
    /// Whether bytes were wrong: exit code 4.
    pub fn is_integrity(&self) -> bool {
        match self {
            DebsError::Fetch(error) => error.is_integrity(),
            DebsError::Signature { .. }
            | DebsError::Release { .. }
            | DebsError::Long { .. }
            | DebsError::OtherSuite { .. }
            | DebsError::Expired { .. }
            | DebsError::Index { .. }
            | DebsError::OtherPackage { .. }
            | DebsError::Place { .. } => true,
            DebsError::Deb { source, .. } => !matches!(source, DebError::Write { .. }),
            _ => false,
        }
    }

    /// Whether there is no solution: exit code 3.
    pub fn is_unsolvable(&self) -> bool {
        matches!(self, DebsError::Unresolved(_) | DebsError::Locales { .. })
    }

    /// Whether the user asked for something that cannot be: exit code 2.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            DebsError::Platform
                | DebsError::NoDebian { .. }
                | DebsError::NoSuite
                | DebsError::Address { .. }
                | DebsError::NoKeyring { .. }
                | DebsError::Keyring { .. }
                | DebsError::NoRelease { .. }
                | DebsError::NoIndex { .. }
                | DebsError::NoLocale { .. }
                | DebsError::LockText { .. }
        )
    }
}

fn hint(offline: bool, extra: bool) -> &'static str {
    match (offline, extra) {
        (true, _) => ", or it is not in the cache; run once without `--offline`",
        (false, true) => "; `updates = false` does without",
        (false, false) => "",
    }
}
