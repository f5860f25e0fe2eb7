//! Digests of all that files are made of: where they are those of the run before, nothing is made again.

use archive::digest::{Hasher, Sha256};

use super::update::Platform;
use super::{Context, memory, notices};
use crate::cache::State;
use crate::hotfix::{self, Generator};

/// Changes when the same packages and options come to other files.
pub(super) const FORM: &str = "1";

/// One digest of what the channel's own files are made of.
pub(super) fn of_all(
    context: &Context<'_>,
    revisions: &[Sha256],
    platforms: &[Platform],
) -> Sha256 {
    let mut hasher = Hasher::new();
    for (revision, platform) in revisions.iter().zip(platforms) {
        hasher.update(&revision.0);
        for skipped in platform.skipped.values() {
            hasher.update(format!("{skipped:?}").as_bytes());
        }
    }
    let notices = context.channel.stat(notices::FILE);
    hasher.update(format!("{notices:?}").as_bytes());
    hasher.finish().sha256
}

/// What a platform's files are made with besides packages and hotfixes.
pub(super) fn of_options(context: &Context<'_>) -> String {
    let options = context.options;
    format!(
        "{FORM} {} {:?} {:?} {:?} {:?} {} {:?} {}",
        env!("CARGO_PKG_VERSION"),
        options.outputs,
        options.base_url,
        options.channel_relations,
        options.channel_name,
        options.zstd_level,
        context.pins,
        options.has_about,
    )
}

/// One digest of all that a platform's files are made of, but for what a script may say.
pub(super) fn of_platform(context: &Context<'_>, platform: &Platform) -> Sha256 {
    let mut hasher = Hasher::new();
    let options = context.options;
    hasher.update(of_options(context).as_bytes());
    let own = context.channel.at(&platform.name);
    memory::add_file(&mut hasher, &own, hotfix::FILE);
    let generator = match &context.generator {
        Some(Generator::Package(path, _) | Generator::Script(path) | Generator::Rules(path, _)) => {
            Some(path.as_path())
        }
        None => None,
    };
    if let Some(path) = generator {
        memory::add_path(&mut hasher, path, 0);
    }
    for (file, known) in &platform.files {
        if known.state != State::Unusable {
            hasher.update(file.as_bytes());
            hasher.update(&[
                0,
                u8::from(known.wanted.run_exports),
                u8::from(known.wanted.details),
            ]);
            for number in [known.stat.size, known.stat.inode] {
                hasher.update(&number.to_le_bytes());
            }
            hasher.update(&known.stat.mtime_ns.to_le_bytes());
            hasher.update(&known.mark.sum.to_le_bytes());
            if options.outputs.indexed_timestamp {
                hasher.update(&known.indexed_ms.to_le_bytes());
            }
        }
    }
    for (file, digest) in &platform.attestations {
        hasher.update(file.as_bytes());
        hasher.update(digest.as_bytes());
    }
    hasher.finish().sha256
}
