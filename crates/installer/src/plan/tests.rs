//! Plans of hand-made packages.

use serde_json::{Map, Value, json};

use archive::digest::Sha256;
use conda::{RepoDataRecord, Subdir};
use runtime::plan::{
    CString, Dialogue, Encoding, Entry, Kind, Placeholder, Places, Scripts, Text, Work,
};

use super::{EntryError, Input, Planned, Settings, plan};
use crate::scan::{Bytes, Item, ItemKind, Part, Scan};

/// A package of a test: its record and what a scan found.
struct Package {
    record: RepoDataRecord,
    scan: Scan,
    frames: Vec<usize>,
}

fn record(name: &str, version: &str, subdir: &str) -> RepoDataRecord {
    let noarch = if subdir == "noarch" {
        json!("python")
    } else {
        Value::Null
    };
    let url = format!(
        "https://user:word@conda.anaconda.org/t/secret/conda-forge/{subdir}/{name}-{version}-0.conda"
    );
    serde_json::from_value(json!({
        "name": name, "version": version, "build": "0", "build_number": 0, "depends": [],
        "subdir": subdir, "noarch": noarch, "fn": format!("{name}-{version}-0.conda"),
        "url": url, "channel": "https://conda.anaconda.org/conda-forge/",
    }))
    .unwrap()
}

fn package(name: &str, version: &str, subdir: &str, items: Vec<Item>) -> Package {
    let part = |info| Part {
        cached: None,
        offset: 0,
        length: 1,
        size: 10,
        sha256: Sha256::of(b""),
        info,
    };
    let scan = Scan {
        index: Map::from_iter([("unknown_key".to_owned(), json!([1.50]))]),
        content: items,
        info: vec![file("info/index.json")],
        entry_points: Vec::new(),
        parts: vec![part(false), part(true)],
        mismatches: Vec::new(),
    };
    Package {
        record: record(name, version, subdir),
        scan,
        frames: vec![0, 1],
    }
}

fn item(path: &str, kind: ItemKind) -> Item {
    Item {
        path: path.to_owned(),
        kind,
        listed: true,
        no_link: false,
    }
}

fn bytes() -> Bytes {
    Bytes {
        part: 0,
        offset: 512,
        size: 5000,
        mode: 0o644,
        modified: 7,
        sha256: Sha256::of(b"content"),
        placeholder: None,
    }
}

fn file(path: &str) -> Item {
    item(path, ItemKind::File(bytes()))
}

fn binary(path: &str, prefix: &str) -> Item {
    let string = CString {
        offsets: vec![0],
        end: 300,
        encoding: Encoding::Utf8,
    };
    let places = Places::Binary {
        strings: vec![string],
    };
    let placeholder = Some(Placeholder {
        prefix: prefix.to_owned(),
        places,
    });
    item(
        path,
        ItemKind::File(Bytes {
            placeholder,
            ..bytes()
        }),
    )
}

fn settings() -> Settings {
    Settings {
        name: "Test".into(),
        version: "1".into(),
        platform: Subdir::LinuxAarch64,
        default_prefix: "$HOME/test".into(),
        check_path_spaces: true,
        dialogue: Dialogue::default(),
        texts: Vec::new(),
        update_specs: vec!["python 3.10.*".into(), "conda-forge::requests".into()],
        scripts: Scripts::default(),
        keep_packages: false,
        glibc: Some("2.17".into()),
        extra: Vec::new(),
    }
}

fn try_plan(settings: &Settings, packages: &[Package]) -> Result<Planned, EntryError> {
    let inputs: Vec<Input<'_>> = packages
        .iter()
        .map(|package| Input {
            record: &package.record,
            scan: &package.scan,
            frames: &package.frames,
        })
        .collect();
    plan(settings, &inputs, &[10, 20])
}

fn planned(packages: &[Package]) -> Planned {
    try_plan(&settings(), packages).unwrap()
}

fn python() -> Package {
    package(
        "python",
        "3.10.12",
        "linux-aarch64",
        vec![file("bin/python3.10")],
    )
}

fn paths(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.path.as_str()).collect()
}

#[test]
fn noarch_python_files_and_entry_points_go_where_the_python_is() {
    let mut requests = package(
        "requests",
        "2.31.0",
        "noarch",
        vec![
            file("site-packages/requests/api.py"),
            file("python-scripts/tool"),
            file("etc/x"),
        ],
    );
    requests.scan.entry_points = vec!["request = requests.api:main.run".into()];
    let planned = planned(&[python(), requests]);
    let package = &planned.packages[1];
    assert_eq!(
        paths(&package.entries),
        [
            "bin/request",
            "bin/tool",
            "etc/x",
            "lib/python3.10/site-packages/requests/api.py"
        ]
    );
    assert_eq!(
        package.entries[1].source.as_deref(),
        Some("python-scripts/tool")
    );
    assert!(package.compile);
    let Kind::EntryPoint { body } = &package.entries[0].kind else {
        panic!("no entry point")
    };
    assert!(body.starts_with("# -*- coding: utf-8 -*-\n"), "{body}");
    assert!(body.contains("from requests.api import main\n"), "{body}");
    assert!(body.contains("sys.exit(main.run())"), "{body}");
    assert_eq!(package.requested_specs, ["conda-forge::requests"]);
}

#[test]
fn a_noarch_python_package_needs_a_python() {
    let error = try_plan(&settings(), &[package("six", "1", "noarch", vec![])]).unwrap_err();
    assert!(error.to_string().contains("six-1-0"), "{error}");
}

#[test]
fn hostile_entry_points_and_paths_are_refused() {
    for entry_point in ["../x = a:b", "/x = a:b", "x/y = a:b", " = a:b", "x"] {
        let mut package = package("evil", "1", "noarch", vec![]);
        package.scan.entry_points = vec![entry_point.into()];
        let error = try_plan(&settings(), &[python(), package]).unwrap_err();
        assert!(
            matches!(error, EntryError::EntryPoint { .. }),
            "{entry_point}: {error}"
        );
    }
    for path in ["../x", "/x", "a/../../x", "a//b", "./x", ""] {
        let package = package("evil", "1", "linux-aarch64", vec![file(path)]);
        let error = try_plan(&settings(), &[package]).unwrap_err();
        assert!(
            matches!(error, EntryError::Outside { .. }),
            "{path}: {error}"
        );
    }
    for path in ["conda-meta/history", "conda-meta/other-1-0.json"] {
        let package = package("evil", "1", "linux-aarch64", vec![file(path)]);
        let error = try_plan(&settings(), &[package]).unwrap_err();
        assert!(
            matches!(error, EntryError::Reserved { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn two_files_that_noarch_mapping_brings_together_are_an_error() {
    let package = package(
        "six",
        "1",
        "noarch",
        vec![file("python-scripts/x"), file("bin/x")],
    );
    let error = try_plan(&settings(), &[python(), package]).unwrap_err();
    assert!(matches!(error, EntryError::Twice { .. }), "{error}");
}

#[test]
fn the_last_package_in_dependency_order_has_a_path() {
    let link = item("bin/link", ItemKind::HardLink { to: "bin/x".into() });
    let first = package("first", "1", "linux-aarch64", vec![link, file("bin/x")]);
    let second = package("second", "1", "linux-aarch64", vec![file("bin/x")]);
    let planned = planned(&[first, second]);
    let [clobber] = &planned.clobbers[..] else {
        panic!("{:?}", planned.clobbers)
    };
    assert_eq!(
        (&*clobber.winner, &*clobber.loser),
        ("second-1-0", "first-1-0")
    );
    let loser = &planned.packages[0];
    assert_eq!(loser.entries[1].clobbered_by.as_deref(), Some("second-1-0"));
    // The link's target is not written, so the link carries the bytes itself.
    assert!(matches!(loser.entries[0].kind, Kind::File(_)));
    assert_eq!(planned.plan.packages[0].entries, 1);
}

#[test]
fn hard_links_lead_to_files() {
    let link = |path: &str, to: &str| item(path, ItemKind::HardLink { to: to.into() });
    let mut hidden = file("share/hidden");
    hidden.listed = false;
    let items = vec![
        file("bin/x"),
        link("bin/y", "bin/x"),
        link("bin/z", "bin/y"),
        hidden,
        link("share/seen", "share/hidden"),
    ];
    let planned = planned(&[package("linked", "1", "linux-aarch64", items)]);
    let kinds: Vec<(&str, Option<&str>)> = planned.packages[0]
        .entries
        .iter()
        .map(|entry| {
            let to = match &entry.kind {
                Kind::HardLink { to } => Some(to.as_str()),
                _ => None,
            };
            (entry.path.as_str(), to)
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("bin/x", None),
            ("bin/y", Some("bin/x")),
            ("bin/z", Some("bin/x")),
            ("share/seen", None),
        ]
    );
}

#[test]
fn texts_and_extra_files_win_over_packages() {
    let mut settings = settings();
    settings.texts = vec![Text {
        path: ".condarc".into(),
        text: "x".into(),
    }];
    let package = package("base", "1", "linux-aarch64", vec![file(".condarc")]);
    let planned = try_plan(&settings, &[package]).unwrap();
    assert_eq!(planned.clobbers.len(), 1);
}

#[test]
fn our_own_files_need_folders_too() {
    let mut settings = settings();
    settings.texts = vec![Text {
        path: "etc/conda/x".into(),
        text: "x".into(),
    }];
    let folder = package("folder", "1", "linux-aarch64", vec![file("etc/conda/y")]);
    assert!(try_plan(&settings, &[folder]).is_ok());
    let link = item(
        "etc/conda",
        ItemKind::SymbolicLink {
            target: "x".into(),
            listed: None,
        },
    );
    let link = package("link", "1", "linux-aarch64", vec![link]);
    let error = try_plan(&settings, &[link]).unwrap_err().to_string();
    assert_eq!(
        error,
        "`etc/conda` is a file or link in `link-1-0` and a directory in `the installer`"
    );
}

#[test]
fn a_file_where_another_package_has_a_directory_is_an_error() {
    let file_package = || package("file", "1", "linux-aarch64", vec![file("lib/x")]);
    let directory = || package("directory", "1", "linux-aarch64", vec![file("lib/x/y")]);
    for packages in [[file_package(), directory()], [directory(), file_package()]] {
        let error = try_plan(&settings(), &packages).unwrap_err().to_string();
        assert_eq!(
            error,
            "`lib/x` is a file or link in `file-1-0` and a directory in `directory-1-0`"
        );
    }
}

#[test]
fn records_keep_unknown_keys_and_lose_credentials() {
    let planned = planned(&[python()]);
    let body = &planned.packages[0].record;
    assert_eq!(body["unknown_key"], json!([1.50]));
    let url = "https://conda.anaconda.org/conda-forge/linux-aarch64/python-3.10.12-0.conda";
    assert_eq!(body["url"], url);
    let head = &planned.plan.packages[0];
    assert_eq!((&*head.channel, &*head.url), ("conda-forge", url));
    assert!(
        !serde_json::to_string(&planned.plan)
            .unwrap()
            .contains("secret")
    );
}

#[test]
fn the_shortest_binary_placeholder_limits_the_prefix() {
    let a = package(
        "a",
        "1",
        "linux-aarch64",
        vec![binary("lib/a", &"/x".repeat(100))],
    );
    let b = package(
        "b",
        "1",
        "linux-aarch64",
        vec![binary("lib/b", &"/x".repeat(40))],
    );
    let longest = planned(&[a, b]).plan.prefix.longest.unwrap();
    assert_eq!(
        (longest.length, &*longest.package, &*longest.file),
        (80, "b-1-0", "lib/b")
    );
}

#[test]
fn a_target_needs_a_loader_only_for_packages_of_its_cpu() {
    let requires = planned(&[python()]).plan.requires;
    assert_eq!(requires.loaders, ["/lib/ld-linux-aarch64.so.1"]);
    assert_eq!(requires.glibc.as_deref(), Some("2.17"));
    let mut generic = package("data", "1", "noarch", vec![file("share/x")]);
    generic.record.package_record.noarch = conda::NoArchType::generic();
    assert_eq!(planned(&[generic]).plan.requires.glibc, None);
}

#[test]
fn room_counts_blocks_folders_and_records() {
    let need = planned(&[package("a", "1", "linux-aarch64", vec![file("lib/deep/x")])])
        .plan
        .need;
    // 5000 bytes are two blocks; two folders; one record of at most three blocks.
    assert_eq!(need.inodes, 1 + 2 + 1);
    assert_eq!(need.bytes, 8192 + 2 * 4096 + 12288);
}

#[test]
fn the_largest_frames_come_first() {
    let planned = planned(&[python()]);
    let frames: Vec<&Work> = planned.plan.work.iter().collect();
    assert_eq!(
        frames
            .iter()
            .map(|work| (work.frame, work.info))
            .collect::<Vec<_>>(),
        [(1, true), (0, false)]
    );
    assert!(frames.iter().all(|work| work.packages == [0]));
}

#[test]
fn link_scripts_are_found_by_name() {
    let script = file("bin/.a-post-link.sh");
    let planned = planned(&[package("a", "1", "linux-aarch64", vec![script])]);
    let scripts = &planned.packages[0].scripts;
    assert_eq!(scripts.post_link.as_deref(), Some("bin/.a-post-link.sh"));
    assert_eq!(scripts.pre_link, None);
}

#[test]
fn what_paths_json_does_not_list_is_only_in_the_package_folder() {
    let mut hidden = file("bin/hidden");
    hidden.listed = false;
    let planned = planned(&[package(
        "a",
        "1",
        "linux-aarch64",
        vec![hidden, file("bin/x")],
    )]);
    assert_eq!(paths(&planned.packages[0].entries), ["bin/x"]);
    assert_eq!(
        paths(&planned.packages[0].info),
        ["bin/hidden", "info/index.json"]
    );
}
