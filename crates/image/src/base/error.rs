//! What can be wrong with an image.

use std::io;
use std::sync::Arc;

/// What can be wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read `{member}`")]
    Read {
        /// The file in it.
        member: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// There is nothing.
    #[error("there is no such file or folder; an image in a registry is `docker://NAME:TAG`")]
    Absent,
    /// Neither of the forms that images have.
    #[error("it is no OCI layout and no archive of images")]
    NotAnImage,
    /// The archive is compressed as a whole.
    #[error(
        "the archive is compressed as a whole, so that its parts cannot be found; unpack it first"
    )]
    Compressed,
    /// A file that the image names is not there.
    #[error("`{member}` is missing")]
    Missing {
        /// The file.
        member: String,
    },
    /// A file is longer than what it is can be.
    #[error("`{member}` is longer than {limit} bytes")]
    Long {
        /// The file.
        member: String,
        /// What is taken.
        limit: u64,
    },
    /// Bytes are not those that the image names.
    #[error("the digest of `{member}` is {actual}, expected {expected}")]
    Digest {
        /// The file.
        member: String,
        /// What the image says.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// The image that is asked for cannot be read.
    #[error(transparent)]
    Unusable(Arc<Error>),
    /// A document is no JSON, or another one than expected.
    #[error("`{member}` is not the document that it should be")]
    Json {
        /// The file.
        member: String,
        /// The reader's reason.
        #[source]
        source: serde_json::Error,
    },
    /// The configuration lacks something.
    #[error("its configuration {problem}")]
    Config {
        /// What it lacks.
        problem: &'static str,
    },
    /// Manifest and configuration contradict each other.
    #[error("its manifest has {manifest} layers and its configuration {config}")]
    LayerCount {
        /// Layers in the manifest.
        manifest: usize,
        /// Layers in the configuration.
        config: usize,
    },
    /// A layer of a type that is not known.
    #[error("it has a layer of the unknown type `{media_type}`")]
    MediaType {
        /// The type.
        media_type: String,
    },
    /// A manifest of a type that is not known.
    #[error("`{name}` is of {media_type}, and neither an image nor an index of images")]
    ManifestType {
        /// The manifest.
        name: String,
        /// The type.
        media_type: String,
    },
    /// The registry does not give it.
    #[error(transparent)]
    Registry(#[from] fetch::registry::Error),
    /// Indexes in indexes.
    #[error("its indexes lie too deep in each other")]
    Deep,
    /// Too many images.
    #[error("it holds more images than anybody can mean")]
    ManyImages,
    /// There is none for the platform.
    #[error("it has no image for {wanted}, only for {}", listed(.found))]
    Platform {
        /// What was wanted.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// There is none of that name.
    #[error("it has no image `{reference}`, only {}", listed(.found))]
    NoReference {
        /// What was wanted.
        reference: String,
        /// What there is.
        found: Vec<String>,
    },
    /// There are several.
    #[error("it holds several images, name one of them: {}", listed(.found))]
    Ambiguous {
        /// Their names.
        found: Vec<String>,
    },
    /// A layer cannot be written where it is wanted.
    #[error("cannot copy a layer")]
    Copy {
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A layer cannot be decoded.
    #[error("the layer `{member}` cannot be decoded")]
    Decode {
        /// The layer.
        member: String,
        /// The decoder's reason.
        #[source]
        source: io::Error,
    },
    /// A layer has something in it that no image needs and that harms who unpacks it.
    #[error("the layer `{member}` has `{entry}` in it, {problem}")]
    Hostile {
        /// The layer.
        member: String,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More files than can be kept in mind.
    #[error("its layers have more than {limit} entries")]
    ManyEntries {
        /// What is taken.
        limit: usize,
    },
    /// A path of ours leads nowhere in it.
    #[error("`{path}` leads through `{through}`, which is no folder in it")]
    NoFolder {
        /// The path.
        path: String,
        /// What is in the way.
        through: String,
    },
    /// A path of ours leads in circles.
    #[error("`{path}` leads through too many symbolic links")]
    Circle {
        /// The path.
        path: String,
    },
}

impl Error {
    /// Whether bytes were wrong.
    pub fn is_integrity(&self) -> bool {
        match self {
            Error::Registry(error) => return error.is_integrity(),
            Error::Unusable(error) => return error.is_integrity(),
            _ => {}
        }
        matches!(
            self,
            Error::Missing { .. }
                | Error::Long { .. }
                | Error::Digest { .. }
                | Error::Json { .. }
                | Error::Config { .. }
                | Error::LayerCount { .. }
                | Error::Deep
                | Error::ManyImages
                | Error::Decode { .. }
                | Error::Hostile { .. }
                | Error::ManyEntries { .. }
        )
    }

    /// Whether the user named something that is not there.
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Absent
            | Error::NotAnImage
            | Error::Compressed
            | Error::Platform { .. }
            | Error::NoReference { .. }
            | Error::Ambiguous { .. }
            | Error::NoFolder { .. }
            | Error::Circle { .. } => true,
            Error::Registry(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "some without a name".to_owned();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
