//! What a spec asks for and what it gets: versions, exclusions, virtual packages, conflicts.

use super::{dry, packages, spec};
use crate::support::channel::publish;
use crate::support::package::Package;
use crate::support::run::{Output, Place};

/// Resolves for linux-64 from `channel`.
fn resolve(place: &Place, keys: &str) -> Output {
    let keys = format!("channels = [\"channel\"]\nplatforms = [\"linux-64\"]\n{keys}");
    dry(place, &spec(place, &keys), &["--json"])
}

fn resolved(place: &Place, keys: &str) -> Vec<String> {
    packages(&resolve(place, keys).succeeds().json(), "linux-64")
}

#[test]
fn the_newest_that_fits_dependencies_first() {
    let place = Place::new();
    publish(
        &place,
        "channel",
        &[
            Package::named("alpha 1.0 0").needs(&["beta <2"]),
            Package::named("alpha 1.10 0").needs(&["beta >=2,<3"]),
            Package::named("alpha 1.9 0"),
            Package::named("beta 1.0 0"),
            Package::named("beta 2.5 h1_0"),
            Package::named("beta 2.5 h1_3"),
            Package::named("beta 3.0 0"),
        ],
    );
    assert_eq!(
        resolved(&place, "specs = [\"alpha\"]"),
        ["beta-2.5-h1_3.conda", "alpha-1.10-0.conda"]
    );
    assert_eq!(
        resolved(&place, "specs = [\"alpha 1.9.*\"]"),
        ["alpha-1.9-0.conda"]
    );
    let exact = "specs = [\"beta 2.5 h1_0\", \"alpha\"]";
    assert_eq!(
        resolved(&place, exact),
        ["beta-2.5-h1_0.conda", "alpha-1.10-0.conda"]
    );
    let target = "specs = [\"alpha\"]\n[target.linux-64]\nspecs = [\"beta\"]";
    assert_eq!(resolved(&place, target), ["beta-3.0-0.conda"]);
}

#[test]
fn excluded_names_are_left_out_and_their_absence_is_told() {
    let place = Place::new();
    publish(
        &place,
        "channel",
        &[
            Package::named("alpha 1.0 0").needs(&["beta >=2"]),
            Package::named("beta 2.1 0"),
        ],
    );
    let output = resolve(
        &place,
        "specs = [\"alpha\"]\nexclude = [\"beta\", \"nothing\"]",
    )
    .succeeds();
    assert_eq!(packages(&output.json(), "linux-64"), ["alpha-1.0-0.conda"]);
    let warnings = output.lines("warning");
    assert_eq!(warnings.len(), 2, "{output}");
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("`nothing` is excluded")),
        "{output}"
    );
    assert!(
        warnings
            .iter()
            .any(|line| line.contains("alpha") && line.contains("`beta >=2`")),
        "{output}"
    );
}

#[test]
fn virtual_packages_are_those_of_the_spec_not_of_this_machine() {
    let place = Place::new();
    publish(
        &place,
        "channel",
        &[
            Package::named("old 1.0 0").needs(&["__glibc >=2.17,<3", "__linux", "__unix"]),
            Package::named("new 1.0 0").needs(&["__glibc >=2.28"]),
            Package::named("future 1.0 0").needs(&["__glibc >=9.9"]),
            Package::named("card 1.0 0").needs(&["__cuda >=11.8"]),
        ],
    );
    assert_eq!(resolved(&place, "specs = [\"old\"]"), ["old-1.0-0.conda"]);
    for (name, wanted) in [
        ("new", "__glibc >=2.28"),
        ("future", "__glibc >=9.9"),
        ("card", "__cuda >=11.8"),
    ] {
        let specs = format!("specs = [\"{name}\"]");
        resolve(&place, &specs)
            .exits(3)
            .says(&[name, wanted.split(' ').next().unwrap_or_default()]);
        let with = format!("{specs}\nvirtual_specs = [\"{wanted}\"]");
        assert_eq!(resolved(&place, &with), [format!("{name}-1.0-0.conda")]);
    }
}

#[test]
fn no_solution_is_explained() {
    let place = Place::new();
    publish(
        &place,
        "channel",
        &[
            Package::named("alpha 1.0 0").needs(&["beta >=2"]),
            Package::named("beta 1.0 0"),
            Package::named("beta 2.0 0"),
            Package::named("gamma 1.0 0").needs(&["beta <2"]),
            Package::named("delta 1.0 0").needs(&["absent"]),
        ],
    );
    let cases: [(&str, &[&str]); 4] = [
        ("specs = [\"alpha 9.*\"]", &["alpha 9.*"]),
        ("specs = [\"absent\"]", &["absent"]),
        (
            "specs = [\"alpha\", \"gamma\"]",
            &["alpha", "gamma", "beta"],
        ),
        ("specs = [\"delta\"]", &["delta", "absent"]),
    ];
    for (specs, expected) in cases {
        let output = resolve(&place, specs)
            .exits(3)
            .says(&["Example", "linux-64"])
            .says(expected);
        assert_eq!(output.lines("error:").len(), 1, "{output}");
        assert_eq!(output.stdout, "", "{output}");
        assert!(!place.join("dist.lock").exists());
    }
}

#[test]
fn every_platform_is_solved_on_its_own() {
    let place = Place::new();
    publish(
        &place,
        "channel",
        &[
            Package::named("alpha 1.0 0"),
            Package::named("alpha 2.0 0").on("linux-aarch64"),
            Package::named("beta 1.0 0").on("linux-aarch64"),
        ],
    );
    let keys = "channels = [\"channel\"]\nspecs = [\"alpha\"]\n\
                [target.linux-aarch64]\nspecs = [\"alpha\", \"beta\"]";
    let report = dry(&place, &spec(&place, keys), &["--json"])
        .succeeds()
        .json();
    assert_eq!(packages(&report, "linux-64"), ["alpha-1.0-0.conda"]);
    let mut arm = packages(&report, "linux-aarch64");
    arm.sort();
    assert_eq!(arm, ["alpha-2.0-0.conda", "beta-1.0-0.conda"]);

    let keys = keys.replace("[target.linux-aarch64]\nspecs", "[target.linux-64]\nspecs");
    dry(&place, &spec(&place, &keys), &[])
        .exits(3)
        .says(&["linux-64", "beta"]);
}
