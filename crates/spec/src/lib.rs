//! The TOML languages that users write: text in, typed values or errors with a line and a caret
//! out. Three languages: the distribution (what an installer holds), the meta-channel (what a channel
//! compiled of others holds) and the image (what an installer's prefix lies in, and how it starts).
//!
//! `text → toml (spanned tree) → Settings per platform → Target`, see [`Distribution::parse`]:
//!
//! ```
//! let parsed = spec::Distribution::parse(r#"
//!     name = "Example"
//!     version = "1.0"
//!     channels = ["conda-forge"]
//!     specs = ["python 3.12.*", "conda"]
//! "#)?;
//! let target = parsed.distribution.target(conda::Subdir::LinuxAarch64);
//! assert_eq!(target.specs[1].raw, "conda");
//! # Ok::<(), spec::Error>(())
//! ```
//!
//! The keys are those of constructor's `construct.yaml` (`constructor/_schema.py`), at the same
//! level and with the same meaning; `docs/spec.md` lists them. The crate opens no file: a path in a
//! specification stays the text that the user wrote, and whoever reads it decides what it is
//! relative to.

mod condarc;
mod distribution;
mod error;
mod image;
mod keys;
mod meta_channel;
mod outputs;
mod requirement;
mod source;

pub use condarc::{Condarc, Node};
pub use distribution::{
    Compression, Distribution, ExtraFile, Initialize, Parsed, Remap, Target, near_platform,
};
pub use error::{Diagnostic, Error, Warning};
pub use image::{
    Account, Archive, Base, Content, DebianBase, DebianLike, Debs, Env, Image, ImageFile,
    ImageTarget, LayerCompression, LinkScripts, MOST_LAYERS, ParsedImage, Pyc, Trim, TrimGroup,
    User, Variant,
};
pub use keys::nearest;
pub use meta_channel::{
    Keep, MetaChannel, Mirror, Newer, ParsedMetaChannel, Patterns, Priority, Question,
};
pub use outputs::{BuildOutput, HashAlgorithm, TextErrors};
pub use requirement::PackageSpec;
