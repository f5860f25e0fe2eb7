//! What `archiconda index` makes of hotfixes, wherever they come from: shards and repodata.json say the
//! same, and where conda-index gets its shards right, they mean what its shards mean.

use std::path::Path;

use fs_err as fs;
use serde_json::{Value, json};

use crate::support::package::{Package, file};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// Prints all shards of a folder as JSON, digests in hexadecimal digits.
const READ_SHARDS: &str = r"
import json, msgpack, sys, zstandard
from pathlib import Path
folder = Path(sys.argv[1])
def read(name):
    return msgpack.loads(zstandard.ZstdDecompressor().decompress((folder / name).read_bytes()))
index = read('repodata_shards.msgpack.zst')
shards = {name: read(digest.hex() + '.msgpack.zst') for name, digest in index['shards'].items()}
index['info'].pop('created_at')
print(json.dumps({'version': index['version'], 'info': index['info'], 'shards': shards}, default=bytes.hex))
";

/// A rule, a script and instructions that come to the same.
const RULES: &str =
    "if:\n  name: twin\n  subdir_in: linux-64\nthen:\n  - add_depends: added ${version}\n";

const SCRIPT: &str = r"
def _patch_repodata(repodata, subdir):
    if subdir != 'linux-64':
        return {}
    def patches(section):
        return {
            file: {'depends': record['depends'] + ['added ' + record['version']]}
            for file, record in repodata[section].items()
            if record['name'] == 'twin'
        }
    return {
        'patch_instructions_version': 1,
        'packages': patches('packages'),
        'packages.conda': patches('packages.conda'),
        'remove': [],
        'revoke': [],
    }
";

fn instructions() -> Value {
    json!({
        "patch_instructions_version": 1,
        "packages": { "twin-1.0-0.tar.bz2": { "depends": ["b >=1"], "license": null, "new": null } },
        "packages.conda": { "twin-1.0-0.conda": { "constrains": ["z"] } },
        "revoke": ["other-1.0-0.tar.bz2"],
        "remove": ["gone-1.0-0.conda", "absent-1.0-0.conda"],
    })
}

fn packages() -> Vec<Package> {
    let exports = (
        "info/run_exports.json",
        r#"{"weak": ["twin >=1"]}"#.to_owned(),
    );
    let licensed = |package: Package| Package {
        index: json!({ "license": "MIT", "timestamp": 1_600_000_000_000_u64 }),
        ..package
    };
    vec![
        licensed(Package {
            info: vec![exports],
            ..Package::named("twin 1.0 0")
        }),
        licensed(Package::named("twin 1.0 0").bzipped()),
        Package::named("twin 2.0 0").needs(&["b"]),
        Package::named("other 1.0 0"),
        Package::named("gone 1.0 0"),
        Package::generic("all 1.0 0"),
    ]
}

/// A channel with these hotfixes, indexed with shards; `None` where Python's libraries are absent.
fn indexed(place: &Place, name: &str, fill: &dyn Fn(&Path), arguments: &[&str]) -> Option<()> {
    requirements::oracles()?;
    let channel = place.join(name);
    for package in packages() {
        package.write_to(&channel);
    }
    fill(&channel);
    let mut command = place.archiconda();
    command.arg("index").arg(&channel).arg("--write-shards");
    run(command.args(arguments)).succeeds();
    Some(())
}

fn shards(place: &Place, folder: &Path) -> Value {
    let python = requirements::oracles().expect("asked for before");
    let mut command = place.command(python);
    let output = run(command.args(["-c", READ_SHARDS]).arg(folder)).succeeds();
    serde_json::from_str(&output.stdout).expect("JSON")
}

fn repodata(folder: &Path) -> Value {
    let text = fs::read(folder.join("repodata.json")).expect("repodata");
    serde_json::from_slice(&text).expect("JSON")
}

/// All shards together, without `run_exports`, are `repodata.json`. The record of a package is returned.
#[track_caller]
fn union_is_repodata(place: &Place, channel: &str, package: (&str, &str)) -> Value {
    let folder = place.join(channel).join("linux-64");
    let (shards, repodata) = (shards(place, &folder), repodata(&folder));
    let mut union = json!({ "packages": {}, "packages.conda": {} });
    let mut removed = Vec::new();
    for shard in shards["shards"].as_object().expect("shards").values() {
        for section in ["packages", "packages.conda"] {
            for (file, record) in shard[section].as_object().expect("a section") {
                let mut record = record.clone();
                let exports = record
                    .as_object_mut()
                    .expect("a record")
                    .remove("run_exports");
                assert!(exports.is_some(), "{file}");
                union[section][file] = record;
            }
        }
        removed.extend(shard["removed"].as_array().into_iter().flatten().cloned());
    }
    for section in ["packages", "packages.conda"] {
        assert_eq!(union[section], repodata[section]);
    }
    assert_eq!(Value::Array(removed), repodata["removed"]);
    repodata[package.0][package.1].clone()
}

#[test]
fn a_patch_package_patches_shards_as_conda_index_does() {
    let place = Place::new();
    let (Some(conda), Some(python)) = (requirements::conda(), requirements::oracles()) else {
        return;
    };
    let patches = Package::generic("patches 1.0 0").with(vec![file(
        "linux-64/patch_instructions.json",
        instructions().to_string(),
    )]);
    for patches in [patches.clone(), patches.bzipped()] {
        let path = place.write(&patches.file_name(), patches.bytes());
        let path = path.display().to_string();
        let arguments = [
            "--patch-generator",
            &path,
            "--base-url",
            "https://example.org/c",
        ];
        let (ours, theirs) = (
            patches.kind.extension().to_owned(),
            format!("their{}", patches.kind),
        );
        let Some(()) = indexed(&place, &ours, &|_| {}, &arguments) else {
            return;
        };
        for package in packages() {
            package.write_to(&place.join(&theirs));
        }
        let mut command = place.command(&python);
        command
            .env("PYTHONPATH", &conda)
            .args(["-m", "conda_index"])
            .arg(place.join(&theirs))
            .arg("--write-shards");
        run(command.args(arguments)).succeeds();
        for subdir in ["linux-64", "noarch"] {
            let of = |channel: &str| place.join(channel).join(subdir);
            assert_eq!(shards(&place, &of(&ours)), shards(&place, &of(&theirs)));
            for name in [
                "repodata.json",
                "repodata_from_packages.json",
                "patch_instructions.json",
            ] {
                let read = |channel| fs::read_to_string(of(channel).join(name)).ok();
                assert_eq!(read(&ours), read(&theirs), "{subdir}/{name}");
            }
        }
        let record = union_is_repodata(&place, &ours, ("packages.conda", "twin-1.0-0.conda"));
        assert_eq!(record["depends"], json!(["b >=1"]));
    }
}

#[test]
fn rules_and_a_script_come_to_the_same() {
    let place = Place::new();
    let rules = |channel: &Path| {
        fs::create_dir(channel.join("patch_yaml")).expect("a folder");
        fs::write(channel.join("patch_yaml/twin.yaml"), RULES).expect("rules");
    };
    let script =
        |channel: &Path| fs::write(channel.join("gen_patch.py"), SCRIPT).expect("a script");
    for (name, fill) in [("rules", &rules as &dyn Fn(&Path)), ("script", &script)] {
        let Some(()) = indexed(&place, name, fill, &[]) else {
            return;
        };
        let record = union_is_repodata(&place, name, ("packages.conda", "twin-2.0-0.conda"));
        assert_eq!(record["depends"], json!(["b", "added 2.0"]));
    }
    for name in ["repodata.json", "patch_instructions.json"] {
        let read = |channel: &str| {
            fs::read_to_string(place.join(channel).join("linux-64").join(name)).expect("a file")
        };
        assert_eq!(read("rules"), read("script"), "{name}");
    }
}

#[test]
fn the_users_own_file_patches_shards_and_stays() {
    let place = Place::new();
    let mut instructions = instructions();
    instructions["patch_instructions_version"] = json!(2);
    instructions["packages.conda"]["twin-1.0-0.conda"]["run_exports"] = json!({ "strong": ["s"] });
    let text = format!("{instructions:#}\n\n");
    let own = "linux-64/patch_instructions.json";
    let fill = |channel: &Path| fs::write(channel.join(own), &text).expect("hotfixes");
    let Some(()) = indexed(&place, "channel", &fill, &["--run-exports"]) else {
        return;
    };
    let record = union_is_repodata(&place, "channel", ("packages.conda", "twin-1.0-0.conda"));
    assert_eq!(record["constrains"], json!(["z"]));
    assert_eq!(record.get("run_exports"), None);
    let channel = place.join("channel");
    assert_eq!(
        fs::read_to_string(channel.join(own)).expect("hotfixes"),
        text
    );
    let exports = fs::read(channel.join("linux-64/run_exports.json")).expect("run_exports");
    let exports: Value = serde_json::from_slice(&exports).expect("JSON");
    let expected = json!({ "strong": ["s"], "weak": ["twin >=1"] });
    assert_eq!(
        exports["packages.conda"]["twin-1.0-0.conda"]["run_exports"],
        expected
    );
    let shards = shards(&place, &channel.join("linux-64"));
    assert_eq!(
        shards["shards"]["twin"]["packages.conda"]["twin-1.0-0.conda"]["run_exports"],
        expected
    );
}

#[test]
fn hotfixes_that_cannot_be_used_stop_before_anything_changes() {
    let place = Place::new();
    let channel = place.join("channel");
    for package in packages() {
        package.write_to(&channel);
    }
    let own = channel.join("linux-64/patch_instructions.json");
    for (text, expected) in [
        (
            "{\"packages\": []}",
            "`packages` in the patch instructions is not an object",
        ),
        ("{\"patch_instructions_version\": 3}", "of version 3"),
        ("{", "the patch instructions are no JSON"),
    ] {
        fs::write(&own, text).expect("hotfixes");
        let output = run(place.archiconda().arg("index").arg(&channel)).exits(1);
        output.says(&["the hotfixes for linux-64 in `", expected]);
        assert!(!channel.join("linux-64/repodata.json").exists());
    }
}
