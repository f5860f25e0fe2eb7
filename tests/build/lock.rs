//! The lock beside the spec: written, used, required, refreshed.

use fs_err as fs;

use super::{dry, packages, spec};
use crate::support::channel::publish;
use crate::support::package::Package;
use crate::support::requirements;
use crate::support::run::{Output, Place, run};

const KEYS: &str = "channels = [\"channel\"]\nspecs = [\"alpha\"]";

struct Locked {
    place: Place,
    spec: std::path::PathBuf,
    runtimes: std::path::PathBuf,
}

impl Locked {
    fn build(&self, arguments: &[&str]) -> Output {
        run(self
            .place
            .build(&self.runtimes, &self.spec)
            .arg("--json")
            .args(arguments))
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.place.join("dist.lock")).expect("a lock")
    }
}

fn alphas(version: &str) -> [Package; 2] {
    let alpha = Package::named(&format!("alpha {version} 0"));
    [alpha.clone(), alpha.on("linux-aarch64")]
}

/// A first build with `alpha 1.0`; then the channel has `alpha 2.0` too.
fn locked() -> Option<Locked> {
    let runtimes = requirements::runtimes()?;
    let place = Place::new();
    publish(&place, "channel", &alphas("1.0"));
    let spec = spec(&place, KEYS);
    let locked = Locked {
        place,
        spec,
        runtimes,
    };
    locked.build(&[]).succeeds();
    publish(&locked.place, "channel", &alphas("2.0"));
    Some(locked)
}

#[test]
fn a_first_build_writes_it_and_later_ones_keep_to_it() {
    let Some(locked) = locked() else { return };
    let lock = locked.lock();
    for text in ["linux-64", "linux-aarch64", "alpha-1.0-0.conda", "sha256"] {
        assert!(lock.contains(text), "no {text} in the lock:\n{lock}");
    }
    for arguments in [
        &[][..],
        &["--locked"],
        &["--locked", "--platform", "linux-64"],
    ] {
        let report = locked.build(arguments).succeeds().json();
        assert_eq!(
            packages(&report, "linux-64"),
            ["alpha-1.0-0.conda"],
            "{arguments:?}"
        );
        assert_eq!(locked.lock(), lock, "{arguments:?}");
    }
}

#[test]
fn an_update_refreshes_it() {
    let Some(locked) = locked() else { return };
    let report = locked.build(&["--update"]).succeeds().json();
    for platform in ["linux-64", "linux-aarch64"] {
        assert_eq!(packages(&report, platform), ["alpha-2.0-0.conda"]);
    }
    assert!(locked.lock().contains("alpha-2.0-0.conda"));
    assert!(!locked.lock().contains("alpha-1.0-0.conda"));
    let report = locked.build(&["--locked"]).succeeds().json();
    assert_eq!(packages(&report, "linux-64"), ["alpha-2.0-0.conda"]);
}

#[test]
fn a_build_for_one_platform_locks_all() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish(&place, "channel", &alphas("1.0"));
    let locked = Locked {
        spec: spec(&place, KEYS),
        place,
        runtimes,
    };
    locked.build(&["--platform", "linux-aarch64"]).succeeds();
    locked
        .build(&["--locked", "--platform", "linux-64"])
        .succeeds();
}

#[test]
fn without_one_locked_is_an_error() {
    let place = Place::new();
    publish(&place, "channel", &alphas("1.0"));
    let output = dry(&place, &spec(&place, KEYS), &["--locked"]).exits(1);
    output.says(&["dist.lock", "there is none", "linux-64"]);
}

#[test]
fn a_lock_that_does_not_fit_any_more() {
    let Some(locked) = locked() else { return };
    let lock = locked.lock();
    publish(&locked.place, "channel", &[Package::generic("gamma 1.0 0")]);
    publish(&locked.place, "other", &alphas("1.0"));
    let stale = [
        (KEYS.replace("\"alpha\"", "\"alpha\", \"gamma\""), "`gamma`"),
        (KEYS.replace("\"alpha\"", "\"alpha >=2\""), "alpha"),
        (KEYS.replace("\"channel\"", "\"other\""), "other channels"),
        (format!("{KEYS}\nexclude = [\"alpha\"]"), "excludes"),
        (KEYS.replace("\"alpha\"", "\"gamma\""), "gamma"),
    ];
    for (keys, reason) in stale {
        spec(&locked.place, &keys);
        let output = locked
            .build(&["--locked", "--platform", "linux-64"])
            .exits(1);
        let output = output.says(&["dist.lock", "does not fit the spec", reason, "--update"]);
        assert_eq!(output.lines("error:").len(), 1, "{output}");
        assert_eq!(locked.lock(), lock, "an error writes no lock");
    }
    // Without `--locked` it is made anew.
    spec(&locked.place, &KEYS.replace("\"alpha\"", "\"alpha >=2\""));
    let report = locked.build(&[]).succeeds().json();
    assert_eq!(packages(&report, "linux-64"), ["alpha-2.0-0.conda"]);
}

#[test]
fn a_lock_that_is_none_is_named() {
    let place = Place::new();
    publish(&place, "channel", &alphas("1.0"));
    for text in ["version: 99\n", "not a lock", "version: 6\npackages: [\n"] {
        place.write("dist.lock", text);
        let output = dry(&place, &spec(&place, KEYS), &[])
            .exits(1)
            .says(&["dist.lock", "`--update` makes it anew"]);
        assert_eq!(output.lines("error:").len(), 1, "{output}");
        assert_eq!(
            fs::read_to_string(place.join("dist.lock")).expect("a lock"),
            text
        );
    }
    let Some(locked) = locked() else { return };
    let path = locked.place.join("dist.lock");
    for bytes in [&b"<<<<<<< HEAD\n"[..], b"", b"caf\xe9\n"] {
        fs::write(&path, bytes).expect("written");
        locked
            .build(&[])
            .exits(1)
            .says(&["`--update` makes it anew"]);
        let report = locked.build(&["--update"]).succeeds().json();
        assert_eq!(packages(&report, "linux-64"), ["alpha-2.0-0.conda"]);
        assert!(locked.lock().contains("alpha-2.0-0.conda"));
    }
}

#[test]
fn a_package_that_changed_since_ends_with_4() {
    let Some(locked) = locked() else { return };
    // The same name with other bytes, and repodata that knows nothing of the lock.
    let path = locked.place.join("channel/linux-64/alpha-1.0-0.conda");
    let other = Package::named("alpha 1.0 0").needs(&["gamma"]);
    fs::write(path, other.bytes()).expect("a package");
    fs::remove_dir_all(locked.place.cache()).expect("a cache");
    let output = locked
        .build(&["--locked", "--platform", "linux-64"])
        .exits(4);
    output.says(&["alpha-1.0-0.conda", "expected"]);
}
