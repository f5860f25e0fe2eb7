//! Systems as they are found: glibc, musl, 32-bit; full disks.

use super::glibc::{at_least, is_for, version};
use super::*;

const AARCH64: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";
const X86_64: &[u8] = b"\x7fELF\x02\x01\x01\x03\0\0\0\0\0\0\0\0\x03\0\x3e\0";
const ARM: &[u8] = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x28\0";

fn plan(glibc: Option<&str>) -> Plan {
    let glibc = glibc.map_or_else(|| "null".to_owned(), |version| format!("\"{version}\""));
    serde_json::from_str(&format!(
        r#"{{
            "name": "N", "version": "1", "platform": "linux-aarch64", "packages": [], "work": [],
            "requires": {{ "loaders": ["/lib/ld-linux-aarch64.so.1"], "glibc": {glibc} }},
            "prefix": {{ "default": "~/n", "check_spaces": true }},
            "dialogue": {{ "conclusion": "", "initialize": "no" }}, "update_specs": [],
            "need": {{ "bytes": 0, "inodes": 0 }}, "need_kept": {{ "bytes": 0, "inodes": 0 }}
        }}"#
    ))
    .unwrap()
}

/// A system with these files.
fn system(files: &[(&str, &[&[u8]])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, parts) in files {
        let path = below(root.path(), path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, parts.concat()).unwrap();
    }
    root
}

#[test]
fn the_userland_is_recognised() {
    let check = |name: &str, files: &[&str], expected: &str| {
        let files: Vec<(&str, &[&[u8]])> = files.iter().map(|file| (*file, &[][..])).collect();
        let system = system(&files);
        match check_userland(system.path(), &plan(None)) {
            Ok(()) => assert_eq!(expected, "", "{name}"),
            Err(error) => {
                assert!(error.is_other_platform());
                let error = error.to_string();
                assert!(
                    !expected.is_empty() && error.contains(expected),
                    "{name}: {error}"
                );
            }
        }
    };
    check("glibc", &["/lib/ld-linux-aarch64.so.1"], "");
    check(
        "gcompat",
        &["/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"],
        "",
    );
    check(
        "musl",
        &["/lib/ld-musl-aarch64.so.1"],
        "a musl system (it has /lib/ld-musl-aarch64.so.1)",
    );
    check(
        "raspbian",
        &["/lib/ld-linux-armhf.so.3"],
        "32-bit (it has /lib/ld-linux-armhf.so.3)",
    );
    check(
        "empty",
        &[],
        "no /lib/ld-linux-aarch64.so.1: the packages are for linux-aarch64",
    );
}

#[test]
fn glibc_is_found_where_distributions_keep_it() {
    let loader = ("/lib/ld-linux-aarch64.so.1", &[][..]);
    let old: &[&[u8]] = &[AARCH64, b"GNU C Library stable release version 2.12, by\n"];
    let new: &[&[u8]] = &[AARCH64, b"GNU C Library stable release version 2.36.\n"];
    let foreign: &[&[u8]] = &[ARM, b"GNU C Library stable release version 2.41.\n"];
    let check = |name: &str, files: &[(&str, &[&[u8]])], over: Option<&str>, expected: &str| {
        let mut files = files.to_vec();
        files.push(loader);
        let system = system(&files);
        let said = match check_glibc(system.path(), &plan(Some("2.17")), over) {
            Ok(warning) => warning.unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        assert!(
            said.contains(expected) && said.is_empty() == expected.is_empty(),
            "{name}: {said}"
        );
    };
    check(
        "debian",
        &[("/lib/aarch64-linux-gnu/libc.so.6", new)],
        None,
        "",
    );
    check("fedora", &[("/lib64/libc.so.6", new)], None, "");
    check(
        "old",
        &[("/lib64/libc.so.6", old)],
        None,
        "has glibc 2.12, the packages need 2.17",
    );
    check(
        "other-cpu",
        &[("/lib/libc.so.6", foreign), ("/usr/lib/libc.so.6", old)],
        None,
        "2.12",
    );
    check(
        "only-other-cpu",
        &[("/lib/libc.so.6", foreign)],
        None,
        "is unknown",
    );
    check("none", &[], None, "is unknown, 2.17 or newer is needed");
    check("override", &[("/lib64/libc.so.6", old)], Some("2.28"), "");
    check(
        "override-old",
        &[("/lib64/libc.so.6", new)],
        Some("2.5"),
        "has glibc 2.5",
    );
    check(
        "override-empty",
        &[("/lib64/libc.so.6", old)],
        Some(""),
        "has glibc 2.12",
    );
    check(
        "override-text",
        &[("/lib64/libc.so.6", old)],
        Some("new"),
        "`new` is no version",
    );
}

#[test]
fn the_release_of_a_libc_is_read() {
    let check = |parts: &[&[u8]], expected: Option<&str>| {
        assert_eq!(version(&parts.concat()).as_deref(), expected);
    };
    let debian =
        b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
    check(&[debian], Some("2.36"));
    check(
        &[b"GNU C Library stable release version 2.17, by Roland McGrath et al.\n"],
        Some("2.17"),
    );
    check(
        &[b"GNU C Library (Gentoo) development release version 2.40.9000.\0"],
        Some("2.40.9000"),
    );
    check(&[b"GNU C Library \0 stable release version 2.1\n"], None);
    check(
        &[b"GNU C Library stable release version 2.99"],
        Some("2.99"),
    );
    check(
        &[b"\0GLIBC_2.9\0GLIBC_2.17\0GLIBC_2.2.5\0GLIBC_PRIVATE\0GLIBC_2.99x\0"],
        Some("2.17"),
    );
    check(&[b"\0GLIBC_2.3.4\0GLIBC_2.", b"99"], Some("2.3.4"));
    check(&[b""], None);
}

#[test]
fn versions_are_compared_as_numbers() {
    for (found, required, expected) in [
        ("2.36", "2.17", Some(true)),
        ("2.17", "2.17", Some(true)),
        ("2.17", "2.17.0", Some(true)),
        ("2.5", "2.17", Some(false)),
        ("2.16.90", "2.17", Some(false)),
        ("two", "2.17", None),
        ("", "2.17", None),
    ] {
        assert_eq!(at_least(found, required), expected, "{found} {required}");
    }
}

#[test]
fn the_cpu_of_a_libc_is_looked_at() {
    assert!(is_for(AARCH64, "linux-aarch64") && is_for(X86_64, "linux-64"));
    assert!(!is_for(X86_64, "linux-aarch64") && !is_for(ARM, "linux-aarch64"));
    assert!(!is_for(b"", "linux-aarch64") && !is_for(b"/* GNU ld script */", "linux-64"));
}

/// `ldd --version` is what constructor asks; we read the file.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn this_systems_own_glibc_is_recognised() {
    let output = std::process::Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let (platform, loader) = if cfg!(target_arch = "aarch64") {
        ("linux-aarch64", "/lib/ld-linux-aarch64.so.1")
    } else {
        ("linux-64", "/lib64/ld-linux-x86-64.so.2")
    };
    let mut plan = plan(Some("2.17"));
    platform.clone_into(&mut plan.platform);
    plan.requires.loaders = vec![loader.to_owned()];
    check_userland(Path::new("/"), &plan).unwrap();
    let found = find_glibc(Path::new("/"), &plan).unwrap();
    assert_eq!(told.trim(), format!("glibc {found}"));
}

#[test]
fn room_is_compared_with_the_need() {
    let check = |bytes, inodes, expected: &str| {
        let needed = Need {
            bytes: 2_500_000,
            inodes: 100,
        };
        let result = fits(
            Path::new("/p/x"),
            Path::new("/p"),
            needed,
            Room { bytes, inodes },
        );
        let said = result.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(
            said.contains(expected) && said.is_empty() == expected.is_empty(),
            "{said}"
        );
    };
    check(Some(2_500_000), Some(100), "");
    check(None, None, "");
    check(
        Some(2_499_999),
        None,
        "2.5 MB are needed, 2.4 MB are free in `/p` (--ignore-space",
    );
    check(
        None,
        Some(99),
        "100 are needed, 99 are free in `/p` (--ignore-space",
    );
    check_room(
        Path::new("/x"),
        &std::env::temp_dir(),
        Need {
            bytes: 1,
            inodes: 1,
        },
    )
    .unwrap();
}

#[test]
fn sizes_are_readable() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_549_999, "1.5 MB"),
        (2_000_000_000, "2.0 GB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}
