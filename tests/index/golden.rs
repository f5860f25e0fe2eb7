//! Byte for byte what conda-index 0.13 writes.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use super::{indexer, link_real, odd_packages};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// What is compared byte for byte, where conda-index writes it.
const FILES: [&str; 9] = [
    "repodata.json",
    "repodata_from_packages.json",
    "current_repodata.json",
    "run_exports.json",
    "patch_instructions.json",
    "repodata.json.bz2",
    "repodata_from_packages.json.bz2",
    "current_repodata.json.bz2",
    "run_exports.json.bz2",
];

/// `python -m conda_index` with arguments, if it is there.
pub(super) fn conda_index(place: &Place) -> Option<Command> {
    let python = requirements::oracles()?;
    let conda = requirements::conda()?;
    let command = || {
        let mut command = place.command(&python);
        command
            .env("PYTHONPATH", &conda)
            .env("CONDA_PKGS_DIRS", place.join("pkgs"));
        command
    };
    let found = run(command().args(["-c", "import conda_index"])).code == Some(0);
    requirements::require("conda-index", found.then_some(()))?;
    let mut index = command();
    index.args(["-m", "conda_index"]);
    Some(index)
}

/// Both indexers on the same packages, with the same arguments; both channels.
pub(super) fn both(place: &Place, fill: &dyn Fn(&Path), arguments: &[&str]) -> Option<()> {
    let (ours, theirs) = (place.join("ours"), place.join("theirs"));
    let mut oracle = conda_index(place)?;
    for channel in [&ours, &theirs] {
        fs::create_dir_all(channel).expect("a folder");
        fill(channel);
    }
    run(oracle.arg(&theirs).args(arguments)).succeeds();
    run(&mut indexer(place, &ours, arguments)).succeeds();
    Some(())
}

pub(super) fn compare(place: &Place, subdirs: &[&str], names: &[&str]) {
    for subdir in subdirs {
        for name in names {
            let read = |channel: &str| fs::read(place.join(channel).join(subdir).join(name)).ok();
            let (ours, theirs) = (read("ours"), read("theirs"));
            let show = |bytes: &Option<Vec<u8>>| match bytes {
                Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                None => "(no file)".to_owned(),
            };
            assert!(
                ours == theirs,
                "{subdir}/{name}: ours\n{:.3000}\ntheirs\n{:.3000}",
                show(&ours),
                show(&theirs)
            );
        }
    }
}

fn write_odd(channel: &Path) {
    for package in odd_packages() {
        package.write_to(channel);
    }
}

#[test]
fn of_odd_packages() {
    let place = Place::new();
    let all = ["--bz2", "--run-exports", "--current-repodata"];
    let Some(()) = both(&place, &write_odd, &all) else {
        return;
    };
    compare(&place, &["linux-64", "noarch"], &FILES);
}

#[test]
fn of_odd_packages_in_many_lines() {
    let place = Place::new();
    let all = ["--no-compact", "--run-exports", "--current-repodata"];
    let Some(()) = both(&place, &write_odd, &all) else {
        return;
    };
    compare(&place, &["linux-64", "noarch"], &FILES);
}

#[test]
fn with_a_base_url_and_v3() {
    for arguments in [
        ["--base-url=https://example.org/c/", "--run-exports"],
        ["--repodata-next", "--run-exports"],
    ] {
        let place = Place::new();
        let Some(()) = both(&place, &write_odd, &arguments) else {
            return;
        };
        compare(&place, &["linux-64", "noarch"], &FILES);
    }
}

#[test]
fn of_real_packages() {
    let place = Place::new();
    let Some(real) = requirements::shared("channels/conda-forge-2023") else {
        return;
    };
    let pins = place.write("pins.yml", "openssl: ['3.1']\npython: [3.8]\n");
    let pins = pins.display().to_string();
    let all = ["--run-exports", "--current-repodata", "-m", &pins];
    let Some(()) = both(&place, &|channel| link_real(&real, channel), &all) else {
        return;
    };
    compare(&place, &["linux-aarch64", "noarch"], &FILES);
}

#[test]
fn with_hotfixes() {
    let instructions = json!({
        "patch_instructions_version": 1,
        "packages": {
            "twin-1.0-0.tar.bz2": { "depends": ["b >=1"], "license": null, "new": null, "deep": {"x": 1} },
            "absent-1-0.tar.bz2": { "depends": [] },
        },
        "packages.conda": { "twin-1.0-0.conda": { "constrains": ["z"], "unknown": {"é": 1.0} } },
        "revoke": ["old-1.0-0.tar.bz2"],
        "remove": ["old-2.0-1.tar.bz2", "bare-1-0.tar.bz2", "absent-1-0.conda"],
    });
    let python = format!(
        "import json\ndef _patch_repodata(repodata, subdir):\n    return json.loads({:?}) if subdir == 'linux-64' else {{}}\n",
        instructions.to_string()
    );
    // What a generator says is written down; what lies there is read.
    let cases: [(&str, String); 2] = [
        ("gen_patch.py", python),
        ("linux-64/patch_instructions.json", instructions.to_string()),
    ];
    for (name, text) in cases {
        let place = Place::new();
        let fill = |channel: &Path| {
            write_odd(channel);
            fs::write(channel.join(name), &text).expect("hotfixes");
        };
        let all = ["--run-exports", "--current-repodata"];
        let Some(()) = both(&place, &fill, &all) else {
            return;
        };
        compare(&place, &["linux-64", "noarch"], &FILES);
        if name.strip_suffix(".json").is_some() {
            let there = fs::read_to_string(place.join("ours").join(name)).expect("hotfixes");
            assert_eq!(there, text);
        }
    }
}

#[test]
fn channeldata_means_the_same() {
    let place = Place::new();
    let Some(real) = requirements::shared("channels/conda-forge-2023") else {
        return;
    };
    let fill = |channel: &Path| {
        link_real(&real, channel);
        write_odd(channel);
    };
    let Some(()) = both(&place, &fill, &["--channeldata"]) else {
        return;
    };
    let read = |channel: &str| -> Value {
        let path = place.join(channel).join("channeldata.json");
        let mut data: Value =
            serde_json::from_slice(&fs::read(path).expect("channeldata")).expect("JSON");
        for package in data["packages"]
            .as_object_mut()
            .expect("packages")
            .values_mut()
        {
            // conda-index writes that of the package it saw last.
            package
                .as_object_mut()
                .expect("an entry")
                .remove("timestamp");
        }
        data
    };
    let (ours, theirs) = (read("ours"), read("theirs"));
    for (name, entry) in theirs["packages"].as_object().expect("packages") {
        assert_eq!(&ours["packages"][name], entry, "{name}");
    }
    assert_eq!(ours, theirs);
    for page in ["index.html", "rss.xml", "noarch/index.html"] {
        assert!(place.join("ours").join(page).is_file(), "{page}");
    }
}
