//! What other tools make of our locks.

use super::{small, spec};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// Prints each platform's packages of a lock, with their digests.
const READ_LOCK: &str = "
import sys
from rattler import LockFile
environment = LockFile.from_path(sys.argv[1]).default_environment()
for platform in sorted(environment.platforms(), key=str):
    for package in environment.packages(platform):
        print(platform, package.name, package.version, package.location)
";

#[test]
fn rattler_reads_the_lock() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let Some(python) = requirements::oracles() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, "channels = [\"channel\"]\nspecs = [\"alpha\"]");
    run(&mut place.build(&runtimes, spec)).succeeds();
    let lock = place.join("dist.lock");
    let output = run(place.command(python).arg("-c").arg(READ_LOCK).arg(lock)).succeeds();
    for platform in ["linux-64", "linux-aarch64"] {
        let lines: Vec<&str> = output
            .stdout
            .lines()
            .filter(|line| line.starts_with(platform))
            .collect();
        assert!(
            lines.iter().any(|line| line.contains("alpha 1.0")),
            "{platform}: {output}"
        );
    }
    assert_eq!(output.stdout.lines().count(), 4, "{output}");
}
