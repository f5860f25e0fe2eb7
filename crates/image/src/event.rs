//! What baking reports while it runs. Bars, colours and words are the command line's.

use std::path::Path;

use conda::Subdir;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// What is done for the prefix: resolving, downloading, reading.
    Installer(installer::Event<'a>),
    /// A base is fetched.
    Pull {
        /// Its name.
        reference: &'a str,
    },
    /// What comes of a base.
    Fetch(fetch::Event<'a>),
    /// A base is read.
    Base {
        /// The platform.
        platform: Subdir,
        /// Bytes of its layers.
        total: u64,
    },
    /// Layers are written.
    Layers {
        /// The platform.
        platform: Subdir,
        /// Bytes that go into them, before they are compressed.
        total: u64,
    },
    /// The image is sent to a registry.
    Push {
        /// Its name there.
        reference: &'a str,
        /// Bytes of its blobs.
        total: u64,
    },
    /// Bytes were read of the base, written into layers, or sent.
    Bytes {
        /// How many.
        bytes: u64,
    },
    /// The image is complete.
    Wrote(&'a Path),
    /// Something that the user should know, but that stops nothing.
    Warning(Warning<'a>),
}

/// What a user should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning<'a> {
    /// Link scripts that did not run.
    #[error("{platform}: the {scripts} of {package} does not run (link_scripts = \"skip\")")]
    ScriptSkipped {
        /// The platform.
        platform: Subdir,
        /// What the script is.
        scripts: &'a str,
        /// The package, or the distribution.
        package: &'a str,
    },
    /// A user who starts a container, and cannot do what is left for then.
    #[error(
        "{platform}: containers start as `{user}`, who may not be able to run the scripts that are left for the first start (link_scripts = \"first-run\")"
    )]
    FirstRunUser {
        /// The platform.
        platform: Subdir,
        /// Who it is.
        user: &'a str,
    },
    /// Nothing in the base starts programs.
    #[error(
        "{platform}: the base has no {}, without which no program of the packages starts",
        .loaders.join(" or ")
    )]
    NoLoader {
        /// The platform.
        platform: Subdir,
        /// Where it would be.
        loaders: &'a [String],
    },
    /// Much that nobody needs.
    #[error("{platform}: {megabytes} MB are {group}; `trim = [\"{group}\"]` leaves them out")]
    Unneeded {
        /// The platform.
        platform: Subdir,
        /// A group of `trim`.
        group: &'a str,
        /// How much it is.
        megabytes: u64,
    },
    /// Layers that cannot be taken from where the user said.
    #[error("{platform}: no layers from `{name}`: {reason}")]
    NoCache {
        /// The platform.
        platform: Subdir,
        /// What was named.
        name: &'a str,
        /// Why not.
        reason: &'a str,
    },
    /// Images that lay where this one is put.
    #[error(
        "`{}` held {}, which this image takes the place of; another `--output` keeps both", .path.display(), .names.join(", ")
    )]
    Replaced {
        /// Where.
        path: &'a Path,
        /// What they are called.
        names: &'a [String],
    },
    /// All is done again.
    #[error("the kept layer `{}` is damaged; the image is baked again", .path.display())]
    Damaged {
        /// The layer.
        path: &'a Path,
    },
    /// All is done again with other files.
    #[error("`{}` in the cache is damaged; it is fetched again", .path.display())]
    Refetched {
        /// The file.
        path: &'a Path,
    },
    /// Many layers.
    #[error(
        "{platform}: the image has {count} layers, {base} of them from the base; each costs at every start"
    )]
    ManyLayers {
        /// The platform.
        platform: Subdir,
        /// All layers.
        count: usize,
        /// Layers of the base.
        base: usize,
    },
}
