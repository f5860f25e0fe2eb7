//! What can go wrong between specs and a lock.

/// Why there is no solution, no lock or no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No set of records satisfies the specs.
    #[error("the specs have no solution\n{explanation}")]
    Unsolvable {
        /// The solver's account of the conflict: several lines, a tree of causes.
        explanation: String,
    },

    /// A spec that names no single package, or names an archive.
    #[error("spec `{spec}` {reason}")]
    Spec {
        /// The spec as it was written.
        spec: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The solver could not work with the records.
    #[error("solve the specs")]
    Solver(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// Two records of one name where only one can be installed.
    #[error("package `{name}` is named twice: `{first}` and `{second}`")]
    Duplicate {
        /// The package's name.
        name: String,
        /// File name of one archive.
        first: String,
        /// File name of the other.
        second: String,
    },

    /// More packages than a distribution can reasonably hold.
    #[error("{count} packages in one environment, more than the {limit} that are supported")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },

    /// A lock that cannot be read.
    #[error("read the lock")]
    LockSyntax(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// A lock that can be read but not used.
    #[error("the lock {0}")]
    LockContent(String),

    /// A lock that cannot be written as text.
    #[error("write the lock")]
    LockText(#[source] std::io::Error),

    /// A lock without the platform that is wanted.
    #[error("the lock holds no packages for {platform}, only for {}", available.join(", "))]
    PlatformNotLocked {
        /// The wanted platform.
        platform: String,
        /// The platforms that the lock holds.
        available: Vec<String>,
    },

    /// A line of an explicit list that is none.
    #[error("line {line}: {reason}")]
    ExplicitLine {
        /// Counted from 1.
        line: usize,
        /// What is wrong, with the text in question.
        reason: String,
    },
}

impl Error {
    /// Whether the tools exit with 3, "no solution".
    pub fn is_unsolvable(&self) -> bool {
        matches!(self, Self::Unsolvable { .. })
    }
}
