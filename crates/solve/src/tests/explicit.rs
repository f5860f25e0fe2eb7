//! Explicit lists: what is taken, what is refused, and where the error points.

use proptest::prelude::*;

use super::support::{CHANNEL, record, shared};
use crate::explicit::{is_lock, parse};
use crate::lock::Lock;
use conda::{Subdir, hex};

const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const MD5: &str = "00112233445566778899aabbccddeeff";

#[test]
fn the_forms_that_conda_and_constructor_write() {
    let text = format!(
        "# This file may be used to create an environment using:\r\n\
         # platform: linux-64\n@EXPLICIT\n\n\
         https://example.org/forge/linux-64/xz-5.2.4-0.tar.bz2#{MD5}\n  \
         https://example.org/forge/noarch/pip-18.1-py_1.conda#sha256:{SHA256}  \n\
         https://example.org/forge/noarch/six-1.0-py_1.conda#{SHA256}\n\
         ../packages/zlib-1.2-0.conda\n\
         /srv/my packages/tk-8.6-0.conda#md5:{MD5}\n"
    );
    let packages = parse(&text, Subdir::Linux64).expect("a list");
    let found: Vec<_> = packages
        .iter()
        .map(|package| {
            (
                package.line,
                package.url_or_path.as_str(),
                package.file_name.as_str(),
                package.sha256.is_some(),
                package.md5.is_some(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (
                5,
                "https://example.org/forge/linux-64/xz-5.2.4-0.tar.bz2",
                "xz-5.2.4-0.tar.bz2",
                false,
                true
            ),
            (
                6,
                "https://example.org/forge/noarch/pip-18.1-py_1.conda",
                "pip-18.1-py_1.conda",
                true,
                false
            ),
            (
                7,
                "https://example.org/forge/noarch/six-1.0-py_1.conda",
                "six-1.0-py_1.conda",
                true,
                false
            ),
            (
                8,
                "../packages/zlib-1.2-0.conda",
                "zlib-1.2-0.conda",
                false,
                false
            ),
            (
                9,
                "/srv/my packages/tk-8.6-0.conda",
                "tk-8.6-0.conda",
                false,
                true
            ),
        ]
    );
    assert_eq!(packages[0].md5, hex::decode(MD5));
    assert_eq!(packages[1].sha256, hex::decode(SHA256));
}

#[test]
fn errors_name_the_line() {
    for (line, part) in [
        ("@IMPLICIT", "@EXPLICIT"),
        ("https://e.org/xz-5.2.4-0.tar.bz2#xyz", "neither an md5"),
        (
            "https://e.org/xz-5.2.4-0.tar.bz2#sha256:0011",
            "neither an md5",
        ),
        ("python >=3.7", "not a package"),
        ("https://e.org/linux-64/python.conda", "not a package"),
        ("https://e.org/linux-64/repodata.json", "not a package"),
        (
            "https://e.org/osx-64/xz-5.2.4-0.conda",
            "is for osx-64, not for linux-64",
        ),
        ("https://u:secret@e.org/t/secret/nonsense", "not a package"),
    ] {
        let text = format!("@EXPLICIT\n# comment\n{line}\n");
        let error = parse(&text, Subdir::Linux64).expect_err(line).to_string();
        assert!(
            error.starts_with("line 3: ") && error.contains(part),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_lock_is_known_by_its_content() {
    let lock = Lock {
        channels: vec![CHANNEL.parse().expect("a URL")],
        platforms: [(Subdir::Linux64, vec![record("xz", "5.2.4", "0", &[])])].into(),
    };
    let text = lock.to_string().expect("text");
    assert!(is_lock(&text));
    let packages = parse(&text, Subdir::Linux64).expect("packages");
    assert_eq!(packages.len(), 1);
    assert_eq!(packages[0].file_name, "xz-5.2.4-0.conda");
    assert_eq!(packages[0].sha256, Some([7; 32]));
    assert_eq!(
        packages[0].record.as_deref(),
        Some(&lock.platforms[&Subdir::Linux64][0])
    );
    let error = parse(&text, Subdir::LinuxAarch64)
        .expect_err("absent")
        .to_string();
    assert!(
        error.contains("linux-aarch64") && error.contains("linux-64"),
        "{error}"
    );
}

#[test]
fn a_pixi_lock_is_taken() {
    let Some(text) = shared("locks/conda-26.9.4.pixi.lock") else {
        return;
    };
    let packages = parse(&text, Subdir::LinuxAarch64).expect("packages");
    assert!(packages.len() > 50, "{}", packages.len());
    assert!(
        packages
            .iter()
            .all(|package| package.sha256.is_some() && package.record.is_some())
    );
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "(@EXPLICIT\n)?([ -~é]{0,40}(#[0-9a-f]{0,70})?\n){0,5}") {
        let _ = parse(&text, Subdir::Linux64);
    }

    #[test]
    fn what_is_written_is_read(name in "[a-z][a-z0-9_-]{0,8}", sha256 in any::<[u8; 32]>()) {
        let text = format!("https://e.org/noarch/{name}-1.0-py_0.conda#sha256:{}", hex::encode(&sha256));
        let packages = parse(&text, Subdir::Linux64).expect("a list");
        prop_assert_eq!(packages[0].sha256, Some(sha256));
    }
}
