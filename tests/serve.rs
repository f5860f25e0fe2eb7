//! `archiconda serve`: what clients, caches and attackers get.

mod access;
mod bucket;
mod bucket_upload;
mod clients;
mod compiled;
mod dynamic;
mod fetched;
mod files;
mod framing;
mod life;
mod tls;
mod upload;

use std::path::PathBuf;

use crate::support::package::Package;
use crate::support::run::{Place, run};

/// A channel with every file there is.
fn channel(place: &Place) -> PathBuf {
    let channel = place.join("demo");
    for package in [
        Package::named("alpha 1.0 0").needs(&["beta >=2"]),
        Package::generic("beta 2.1 0"),
        Package::generic("beta 1.0 0"),
        Package::named("gamma 1 0").bzipped(),
    ] {
        package.write_to(&channel);
    }
    let mut index = place.archiconda();
    run(index.arg("index").arg(&channel).arg("--all")).succeeds();
    channel
}
