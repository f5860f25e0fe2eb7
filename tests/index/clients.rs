//! Clients and peers: py-rattler installs from what we index, in each form in which there is a list of
//! packages, and lists the same packages as the same records.

use std::path::Path;

use archive::digest::Sha256;
use fs_err as fs;
use serde_json::{Map, Value, json};

use super::indexer;
use crate::support::package::Package;
use crate::support::rattler::INSTALL;
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::{Fault, Server};

const INDEX: &str = r"
import asyncio, os, sys
from rattler.index import index_fs
async def main():
    await index_fs(sys.argv[1], write_zst=False, write_shards=False)
    os._exit(0)
asyncio.run(main())
";

/// The forms, what each is fetched as, and what is not there.
const FORMS: [(&str, &str, [&str; 2]); 3] = [
    (
        "shards",
        "/repodata_shards.msgpack.zst",
        ["/repodata.json", "/repodata.json.zst"],
    ),
    (
        "zst",
        "/repodata.json.zst",
        ["/repodata.json", "/repodata_shards.msgpack.zst"],
    ),
    (
        "json",
        "/repodata.json",
        ["/repodata.json.zst", "/repodata_shards.msgpack.zst"],
    ),
];

#[test]
fn rattler_installs_through_shards_zst_and_json() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let place = Place::new();
    let channel = place.join("channel");
    let packages = [
        Package::named("alpha 1.0 0").needs(&["beta >=2", "gamma"]),
        Package::named("alpha 0.9 0"),
        Package::generic("beta 2.1 0"),
        Package::generic("beta 1.0 0"),
        Package::named("gamma 1 0").bzipped(),
        Package::named("unasked 1 0"),
    ];
    for package in &packages {
        package.write_to(&channel);
    }
    run(&mut indexer(&place, &channel, &["--all"])).succeeds();
    let mut wanted: Vec<_> = [0, 2, 4]
        .map(|number: usize| &packages[number])
        .iter()
        .map(|package| format!("{} {}", package.file_name(), Sha256::of(&package.bytes())))
        .collect();
    wanted.sort();
    for (form, fetched, hidden) in FORMS {
        let server = Server::start(&channel);
        for ending in hidden {
            server.fault(ending, Fault::Status(404), usize::MAX);
        }
        let folder = place.join(form);
        let mut command = place.command(&python);
        command
            .args(["-c", INSTALL, &server.url(), form])
            .arg(&folder)
            .arg("alpha");
        let output = run(&mut command).succeeds();
        let lines: Vec<_> = output.stdout.lines().collect();
        assert_eq!(lines, wanted, "{form}: {output}");
        for name in ["alpha", "beta", "gamma"] {
            let file = folder.join("prefix/share").join(name).join("version");
            assert!(file.is_file(), "{form}: {}", file.display());
        }
        // That it came in this form and no other.
        let lists: Vec<_> = server
            .requests()
            .into_iter()
            .filter(|request| request.status == 200 && request.path.contains("/repodata"))
            .collect();
        assert!(
            !lists.is_empty() && lists.iter().all(|request| request.path.ends_with(fetched)),
            "{form}: {lists:?}"
        );
    }
}

#[test]
fn rattler_makes_the_same_records() {
    let (Some(python), Some(real)) = (
        requirements::oracles(),
        requirements::shared("channels/conda-forge-2023"),
    ) else {
        return;
    };
    let place = Place::new();
    let (ours, theirs) = (place.join("ours"), place.join("theirs"));
    // py-rattler passes over links.
    for channel in [&ours, &theirs] {
        copy_real(&real, channel);
    }
    run(&mut indexer(&place, &ours, &["--run-exports"])).succeeds();
    run(place.command(&python).args(["-c", INDEX]).arg(&theirs)).succeeds();
    let mut count = 0;
    for subdir in ["linux-aarch64", "noarch"] {
        let read = |channel: &Path, name: &str| -> Value {
            let text = fs::read(channel.join(subdir).join(name)).expect("a file");
            serde_json::from_slice(&text).expect("JSON")
        };
        let mut ours_now = read(&ours, "repodata.json");
        let mut theirs_now = read(&theirs, "repodata.json");
        let run_exports = read(&ours, "run_exports.json");
        // Known differences of the file: theirs has an empty `v3`, ours an empty `removed`.
        assert_eq!(remove(&mut theirs_now, "v3"), Some(json!({})));
        assert_eq!(remove(&mut ours_now, "removed"), Some(json!([])));
        for section in ["packages", "packages.conda"] {
            for (file, record) in object(&mut theirs_now[section]) {
                count += 1;
                let record = record.as_object_mut().expect("a record");
                // Of the records: a time of their own, …
                assert!(record.remove("indexed_timestamp").is_some(), "{file}");
                // … what conda-index leaves out, …
                for key in ["arch", "platform"] {
                    record.remove(key);
                }
                // … run_exports, which stand in a file of their own here, and which they do not read
                // in a .tar.bz2, …
                let exports = record.remove("run_exports").unwrap_or(json!({}));
                if section == "packages.conda" {
                    assert_eq!(exports, run_exports[section][file]["run_exports"], "{file}");
                }
                // … and specs, which they write in another way.
                let ours = ours_now[section][file].as_object_mut().expect("a record");
                for key in ["depends", "constrains"] {
                    for side in [&mut *record, &mut *ours] {
                        normalise(side, key);
                    }
                }
            }
        }
        assert_eq!(ours_now, theirs_now, "{subdir}");
    }
    assert_eq!(count, 114);
}

/// Specs in a form that says whether they mean the same: py-rattler writes `a 1` as `a ==1` and
/// `a =1` as `a 1.*`.
fn normalise(record: &mut Map<String, Value>, key: &str) {
    let Some(Value::Array(specs)) = record.get_mut(key) else {
        return;
    };
    for spec in specs {
        let text = spec.as_str().expect("a spec");
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        if let Some(version) = words.get_mut(1) {
            let parts = version.split('|').map(|part| {
                if let Some(exact) = part.strip_prefix("==") {
                    exact.to_owned()
                } else if let Some(prefix) = part.strip_prefix('=') {
                    format!("{prefix}.*")
                } else {
                    part.to_owned()
                }
            });
            *version = parts.collect::<Vec<_>>().join("|");
        }
        *spec = words.join(" ").into();
    }
}

fn remove(value: &mut Value, key: &str) -> Option<Value> {
    value.as_object_mut()?.remove(key)
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("an object")
}

fn copy_real(from: &Path, channel: &Path) {
    for subdir in ["linux-aarch64", "noarch"] {
        fs::create_dir_all(channel.join(subdir)).expect("a folder");
        for entry in fs::read_dir(from.join(subdir)).expect("packages") {
            let entry = entry.expect("a package");
            let to = channel.join(subdir).join(entry.file_name());
            fs::copy(entry.path(), to).expect("a package");
        }
    }
}
