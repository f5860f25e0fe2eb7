//! Channels: packages in a folder, and the repodata that our own `archiconda index` makes of them.

use std::path::Path;

use super::package::Package;
use super::run::{Output, Place, run};

/// Writes `packages` below `folder` (a path in the place) and indexes it. Packages that are there
/// already stay.
pub(crate) fn publish(place: &Place, folder: &str, packages: &[Package]) {
    let channel = place.join(folder);
    fs_err::create_dir_all(&channel).expect("a folder");
    for package in packages {
        package.write_to(&channel);
    }
    let output = index(place, &channel).succeeds();
    assert_eq!(output.stderr, "", "every package can be used");
}

/// `archiconda index`.
pub(crate) fn index(place: &Place, channel: &Path) -> Output {
    run(place.archiconda().arg("index").arg(channel))
}
