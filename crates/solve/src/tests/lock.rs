//! Locks: nothing that is needed is lost between records and text, and a stale lock is known.

use proptest::prelude::*;

use super::support::{CHANNEL, names, record, repodata, shared, spec, specs};
use crate::lock::{Lock, parse};
use crate::{Request, solve, virtual_packages};
use conda::{NoArchType, RepoDataRecord, Subdir};
use url::Url;

fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

fn lock(records: Vec<RepoDataRecord>) -> Lock {
    Lock {
        channels: vec![url(CHANNEL)],
        platforms: [(Subdir::Linux64, records)].into(),
    }
}

#[test]
fn records_come_back_as_they_were() {
    let mut full = record(
        "python",
        "3.14.0",
        "h1_5_cp314",
        &["zlib >=1.2,<2.0a0", "__glibc >=2.17"],
    );
    full.package_record.constrains = vec!["python_abi 3.14.* *_cp314".to_owned()];
    full.package_record.build_number = 5;
    full.package_record.md5 = Some([3; 16].into());
    full.package_record.license = Some("Python-2.0".to_owned());
    full.package_record.license_family = Some("Other".to_owned());
    full.package_record.python_site_packages_path = Some("lib/python3.14/site-packages".to_owned());
    full.package_record.timestamp = Some(
        serde_json::from_str::<conda::PackageRecord>(
            r#"{"name": "x", "version": "1", "build": "0", "build_number": 0, "timestamp": 1760000000123}"#,
        )
        .expect("a record")
        .timestamp
        .expect("a time"),
    );
    full.package_record.track_features = vec!["gil".to_owned()];
    let mut noarch = record("pip", "18.1", "pyh_0", &["python"]);
    noarch.package_record.noarch = NoArchType::python();
    noarch.package_record.subdir = "noarch".to_owned();
    noarch.package_record.arch = None;
    noarch.package_record.platform = None;
    noarch.url = url(&format!("{CHANNEL}noarch/pip-18.1-pyh_0.conda"));
    // As in 2018: md5 alone, bzip2, an epoch in the version.
    let mut old = record("zlib", "1!1.2.11", "h14c3975_3", &[]);
    old.package_record.sha256 = None;
    old.package_record.md5 = Some([4; 16].into());
    old.package_record.build_number = 3;
    old.identifier = "zlib-1!1.2.11-h14c3975_3.tar.bz2".parse().expect("a name");
    old.url = url(&format!(
        "{CHANNEL}linux-64/zlib-1!1.2.11-h14c3975_3.tar.bz2"
    ));
    let lock = lock(vec![old, full, noarch]);
    let text = lock.to_string().expect("text");
    assert_eq!(parse(&text).expect("a lock"), lock);
}

#[test]
fn folders_and_empty_platforms_come_back() {
    let mut local = record("xz", "5.2", "0", &[]);
    local.url = url("file:///srv/my%20channel/linux-64/xz-5.2-0.conda");
    local.channel = Some("file:///srv/my%20channel/".to_owned());
    let lock = Lock {
        channels: vec![url("file:///srv/my%20channel/"), url(CHANNEL)],
        platforms: [
            (Subdir::Linux64, vec![local]),
            (Subdir::LinuxAarch64, Vec::new()),
        ]
        .into(),
    };
    let text = lock.to_string().expect("text");
    assert_eq!(parse(&text).expect("a lock"), lock, "{text}");
}

#[test]
fn the_text_does_not_depend_on_the_order_and_holds_no_token() {
    let a = record("a", "1", "0", &[]);
    let mut b = record("b", "1", "0", &["a"]);
    b.url = url("https://u:secret@example.org/t/secret/forge/linux-64/b-1-0.conda");
    b.channel = Some("https://u:secret@example.org/t/secret/forge/".to_owned());
    let mut first = lock(vec![a.clone(), b.clone()]);
    first.channels = vec![url("https://example.org/t/secret/forge/")];
    let text = first.to_string().expect("text");
    assert!(!text.contains("secret"), "{text}");
    first.platforms.insert(Subdir::Linux64, vec![b, a]);
    assert_eq!(first.to_string().expect("text"), text);
    assert_eq!(
        names(&parse(&text).expect("a lock").platforms[&Subdir::Linux64]),
        ["a", "b"]
    );
}

#[test]
fn the_pixi_lock_comes_back() {
    let Some(text) = shared("locks/conda-26.9.4.pixi.lock") else {
        return;
    };
    let lock = parse(&text).expect("a lock");
    assert_eq!(
        lock.channels,
        [url("https://conda.anaconda.org/conda-forge/")]
    );
    let aarch64 = &lock.platforms[&Subdir::LinuxAarch64];
    assert!(names(aarch64).contains(&"conda"));
    assert!(
        aarch64
            .iter()
            .all(|record| record.package_record.size.is_some())
    );
    let written = lock.to_string().expect("text");
    let again = parse(&written).expect("a lock");
    assert_eq!(again, lock);
    assert_eq!(again.to_string().expect("text"), written);
}

#[test]
fn a_solution_of_2017_comes_back() {
    let channel = "https://conda.anaconda.org/conda-forge/";
    let Some(records) = repodata(
        "repodata/conda-forge-2017-12/linux-64.repodata.json.bz2",
        channel,
    ) else {
        return;
    };
    let wanted = specs(&["python 3.6.*", "conda"]);
    let solution = solve(&Request {
        records: &[records],
        specs: wanted.clone(),
        virtual_packages: virtual_packages(Subdir::Linux64, &[]),
        ..Request::default()
    })
    .expect("a solution");
    let lock = Lock {
        channels: vec![url(channel)],
        platforms: [(Subdir::Linux64, solution)].into(),
    };
    let again = parse(&lock.to_string().expect("text")).expect("a lock");
    let (ours, theirs) = (
        &lock.platforms[&Subdir::Linux64],
        &again.platforms[&Subdir::Linux64],
    );
    assert_eq!(names(ours), names(theirs));
    for (ours, theirs) in ours.iter().zip(theirs) {
        let mut ours = ours.clone();
        // Not kept by the format, but derived from the subdir; 2017's repodata holds `null`.
        ours.package_record
            .arch
            .clone_from(&theirs.package_record.arch);
        ours.package_record
            .platform
            .clone_from(&theirs.package_record.platform);
        assert_eq!(&ours, theirs);
    }
    let fresh =
        |specs: &[conda::MatchSpec]| again.satisfies(Subdir::Linux64, specs, &[url(channel)], &[]);
    assert_eq!(fresh(&wanted), Ok(()));
    assert!(fresh(&specs(&["python 3.5.*", "conda"])).is_err());
}

#[test]
fn a_stale_lock_is_known_by_its_reason() {
    let lock = lock(vec![
        record("zlib", "1.2", "0", &["__glibc >=2.28"]),
        record("python", "3.7", "0", &["zlib"]),
    ]);
    let fresh = ["python >=3.7", "__glibc >=2.28"];
    let channels = [url(CHANNEL)];
    let check = |platform, texts: &[&str], channels: &[Url], exclude: &[&str]| {
        let exclude: Vec<conda::PackageName> = exclude
            .iter()
            .map(|name| name.parse().expect("a name"))
            .collect();
        lock.satisfies(platform, &specs(texts), channels, &exclude)
    };
    assert_eq!(check(Subdir::Linux64, &fresh, &channels, &[]), Ok(()));
    assert_eq!(
        check(
            Subdir::Linux64,
            &fresh,
            &[url("https://u:p@example.org/t/token/forge")],
            &[]
        ),
        Ok(()),
        "credentials and a slash make no other channel"
    );
    for (platform, texts, channels, exclude, part) in [
        (
            Subdir::LinuxAarch64,
            &fresh[..],
            &channels[..],
            &[][..],
            "linux-aarch64",
        ),
        (Subdir::Linux64, &fresh, &[], &[], "other channels"),
        (
            Subdir::Linux64,
            &["python >=3.8", "__glibc >=2.28"],
            &channels,
            &[],
            "python >=3.8",
        ),
        (
            Subdir::Linux64,
            &["python", "xz", "__glibc >=2.28"],
            &channels,
            &[],
            "xz",
        ),
        (
            Subdir::Linux64,
            &["python"],
            &channels,
            &[],
            "__glibc >=2.28",
        ),
        (Subdir::Linux64, &fresh, &channels, &["zlib"], "excludes"),
        (
            Subdir::Linux64,
            &["zlib", "__glibc >=2.28"],
            &channels,
            &[],
            "nothing asks for",
        ),
    ] {
        let reason = check(platform, texts, channels, exclude).expect_err(part);
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn a_dependency_on_an_excluded_name_is_met() {
    let lock = lock(vec![record("python", "3.7", "0", &["readline"])]);
    let wanted = [spec("python")];
    let channels = [url(CHANNEL)];
    let excluded = ["readline".parse().expect("a name")];
    assert_eq!(
        lock.satisfies(Subdir::Linux64, &wanted, &channels, &excluded),
        Ok(())
    );
    assert!(
        lock.satisfies(Subdir::Linux64, &wanted, &channels, &[])
            .is_err()
    );
}

#[test]
fn bad_locks_are_errors() {
    let good = lock(vec![record("xz", "5.2", "0", &[])])
        .to_string()
        .expect("text");
    for (text, part) in [
        (String::new(), "read the lock"),
        ("version: 99\n".to_owned(), "read the lock"),
        (good.replace("default:", "other:"), "other"),
        (
            good.replace("xz-5.2-0.conda", "xz-5.2-0.zip"),
            "read the lock",
        ),
        (format!("{good}  size: many\n"), "read the lock"),
    ] {
        let error = parse(&text).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    for end in 0..good.len() {
        // Some prefixes are locks with fewer packages; none may be a panic.
        let _ = parse(&good[..end]);
    }
}

proptest! {
    #[test]
    fn any_record_comes_back(
        name in "[a-z][a-z0-9_.]{0,10}",
        version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}([a-z]{1,3}[0-9])?",
        build in "[a-z0-9]{1,5}(_[0-9]{1,3})?",
        build_number in 0_u64..2000,
        depends in prop::collection::vec("[a-z]{1,6}( >=[0-9]\\.[0-9])?", 0..4),
        size in any::<Option<u32>>(),
        sha256 in any::<Option<[u8; 32]>>(),
        md5 in any::<Option<[u8; 16]>>(),
        license in "[ -~]{0,12}",
    ) {
        let depends: Vec<&str> = depends.iter().map(String::as_str).collect();
        let mut made = record(&name, &version, &build, &depends);
        made.package_record.build_number = build_number;
        made.package_record.size = size.map(u64::from);
        made.package_record.sha256 = sha256.map(Into::into);
        made.package_record.md5 = md5.map(Into::into);
        made.package_record.license = Some(license);
        let lock = lock(vec![made]);
        let text = lock.to_string().expect("text");
        prop_assert_eq!(parse(&text).expect("a lock"), lock);
    }
}
