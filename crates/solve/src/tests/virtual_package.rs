//! What the target is taken to provide.

use super::support::specs;
use crate::virtual_packages;
use conda::Subdir;

fn check(platform: Subdir, overrides: &[&str], expect: &[&str]) {
    let found: Vec<String> = virtual_packages(platform, &specs(overrides))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, expect, "{platform} with {overrides:?}");
}

#[test]
fn each_platform_has_a_baseline() {
    check(
        Subdir::Linux64,
        &[],
        &[
            "__unix=0=0",
            "__linux=3.10=0",
            "__glibc=2.17=0",
            "__archspec=1=x86_64",
        ],
    );
    check(
        Subdir::LinuxAarch64,
        &[],
        &[
            "__unix=0=0",
            "__linux=3.10=0",
            "__glibc=2.17=0",
            "__archspec=1=aarch64",
        ],
    );
    check(
        Subdir::OsxArm64,
        &[],
        &["__unix=0=0", "__osx=11.0=0", "__archspec=1=m1"],
    );
    check(Subdir::Win64, &[], &["__win=10.0=0", "__archspec=1=x86_64"]);
    check(Subdir::NoArch, &[], &[]);
}

#[test]
fn virtual_specs_move_it() {
    for (spec, version) in [
        ("__glibc >=2.28", "2.28"),
        ("__glibc >2.28", "2.29"),
        ("__glibc 2.28", "2.28"),
        ("__glibc ==2.31", "2.31"),
        ("__glibc >=2.28,<3", "2.28"),
        ("__glibc >=2.31|==2.28", "2.28"),
        ("__glibc >=2.12", "2.17"),
        ("__glibc <2.17", "2.17"),
        ("__glibc <=2.12", "2.12"),
        ("__glibc", "2.17"),
        ("__glibc >=3,<2", "2.17"),
    ] {
        check(
            Subdir::Linux64,
            &[spec],
            &[
                "__unix=0=0",
                "__linux=3.10=0",
                &format!("__glibc={version}=0"),
                "__archspec=1=x86_64",
            ],
        );
    }
}

#[test]
fn virtual_specs_add_names_and_builds() {
    check(
        Subdir::LinuxAarch64,
        &["__cuda >=11.8", "__archspec=1=neoverse_n1", "python >=3"],
        &[
            "__unix=0=0",
            "__linux=3.10=0",
            "__glibc=2.17=0",
            "__archspec=1=neoverse_n1",
            "__cuda=11.8=0",
        ],
    );
}
