//! Options of `archiconda image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use conda::Subdir;
use spec::Base;

use super::values::platform;
use super::{Network, Telling, Threads};

const BAKE_EXAMPLES: &str = "\
Examples:
  archiconda image bake docker/archiconda3.toml --platform linux-aarch64
      archiconda3.tar, which docker, podman and skopeo load
  archiconda image bake docker/archiconda3.toml --output image
      for all platforms of the definition, as an OCI layout in the folder image
  archiconda image bake my.toml --push registry.example.org/team/my:1.0
      straight to a registry, with the credentials of docker login or podman login
  archiconda image bake my.toml --locked --offline
      exactly the packages of the lock, from the cache
  archiconda image bake my.toml --dry-run
      the layers and what is in them; nothing is written

Exit codes: 0 done, 1 failed, 2 wrong usage or definition, 3 no solution, 4 damaged or wrong bytes.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  archiconda image inspect archiconda3.tar
      its layers, with the packages in each; every digest is checked on the way
  archiconda image inspect image --json
  archiconda image inspect docker://registry.example.org/team/my:1.0
      in a registry; its layers come into the cache folder

Exit codes: 0 done, 1 failed, 2 no image there, 4 damaged or wrong bytes.";

const DIFF_EXAMPLES: &str = "\
Examples:
  archiconda image diff old.tar new.tar
      which packages came, went and changed, and how much a client that has the old image fetches
  archiconda image diff docker://registry.example.org/team/my:1.0 my.tar

Exit codes: 0 done, 1 failed, 2 no image there, 4 damaged or wrong bytes.";

/// The commands of `archiconda image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Bake an image from its definition.
    #[command(after_help = BAKE_EXAMPLES)]
    Bake(Box<Bake>),
    /// Tell what is in an image, by layer and package.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Tell how two images differ.
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(Diff),
}

/// Options of `archiconda image bake`.
#[derive(Debug, Args)]
pub(crate) struct Bake {
    /// The image's definition, a TOML file (docs/image.md).
    pub(crate) definition: PathBuf,
    /// A platform to bake for, instead of the definition's; may be given several times.
    #[arg(short, long, value_name = "PLATFORM", value_parser = platform)]
    pub(crate) platform: Vec<Subdir>,
    /// Where the image is written: a tar file if the name ends in .tar, else an OCI layout in a
    /// folder [default: the definition's name with the suffix .tar, unless it is pushed].
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Send the image to a registry under this name, HOST/NAME:TAG; may be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "dry_run")]
    pub(crate) push: Vec<String>,
    /// Speak to registries without TLS, elsewhere than on this machine, too.
    #[arg(long)]
    pub(crate) plain_http: bool,
    #[command(flatten)]
    pub(crate) network: Network,
    /// Fail if the lock is missing or does not fit.
    #[arg(long, conflicts_with = "update")]
    pub(crate) locked: bool,
    /// Resolve anew and rewrite the lock.
    #[arg(long)]
    pub(crate) update: bool,
    /// An image, as a layout, a tar file or a name in a registry, whose layers are taken where nothing
    /// changed; may be given several times.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) cache_from: Vec<String>,
    /// Build every layer anew, and leave none for later runs.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// An annotation of the image, over those of the definition; may be given several times.
    #[arg(long, value_name = "KEY=TEXT", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
    /// Write and attach no bills of materials.
    #[arg(long)]
    pub(crate) no_sbom: bool,
    /// Resolve and say which layers there would be; write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) telling: Telling,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, text)) if !key.is_empty() && !key.contains(char::is_whitespace) => {
            Ok((key.to_owned(), text.to_owned()))
        }
        _ => Err("write KEY=TEXT, for example org.opencontainers.image.revision=1a2b3c".to_owned()),
    }
}

/// Options of `archiconda image inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The image: an OCI layout, as a folder or a tar file, what docker save writes, or docker://NAME in a registry;
    /// one of several by its name, as oci:DIR:NAME, oci-archive:FILE:NAME or docker-archive:FILE:NAME.
    #[arg(value_parser = Base::named)]
    pub(crate) image: Base,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How images in registries are reached.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Speak to registries without TLS, elsewhere than on this machine, too.
    #[arg(long)]
    pub(crate) plain_http: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Options of `archiconda image diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The image before.
    #[arg(value_parser = Base::named)]
    pub(crate) old: Base,
    /// The image after.
    #[arg(value_parser = Base::named)]
    pub(crate) new: Base,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
