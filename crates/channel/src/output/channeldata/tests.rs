//! Entries of made-up packages, and conda-index on the same.

use std::collections::BTreeMap;
use std::io;

use archive::digest::{Md5, Sha256};
use archive::package::Kind;
use serde_json::{Value, json};

use super::newest::{Chosen, Newest};
use super::{Package, Summary, entry, write};
use crate::output::oracle;
use crate::scanned::{PostInstall, Scanned};

/// A package of the tests: what a real one would tell, and what patches make of its record.
#[derive(Clone)]
struct Sample {
    subdir: &'static str,
    file: String,
    index: Value,
    patched: Value,
    about: Option<Value>,
    recipe: Option<Value>,
    run_exports: Option<Value>,
    post_install: PostInstall,
}

impl Sample {
    fn new(subdir: &'static str, file: &str, index: Value) -> Self {
        Self {
            subdir,
            file: file.to_owned(),
            patched: index.clone(),
            index,
            about: None,
            recipe: None,
            run_exports: None,
            post_install: PostInstall::default(),
        }
    }

    fn about(mut self, about: Value) -> Self {
        self.about = Some(about);
        self
    }

    fn scanned(&self) -> Scanned {
        let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
        Scanned {
            file: self.file.clone(),
            kind: kind(&self.file),
            md5: Md5::of(b""),
            sha256: Sha256::of(b""),
            size: 1,
            mtime_ns: 0,
            record: self.index.to_string(),
            run_exports: text(&self.run_exports),
            about: text(&self.about),
            post_install: self.post_install,
            recipe: text(&self.recipe),
            icon: None,
        }
    }
}

fn kind(file: &str) -> Kind {
    Kind::from_file_name(file).unwrap()
}

/// channeldata.json of a channel with these packages.
fn channeldata(subdirs: &[&str], samples: &[Sample]) -> String {
    let mut newest = Newest::default();
    for (position, subdir) in subdirs.iter().enumerate() {
        let mut inside: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.subdir == *subdir)
            .collect();
        inside.sort_by_key(|sample| &sample.file);
        let each = |wanted: Kind, take: &mut dyn FnMut(&str, &str) -> io::Result<()>| {
            inside
                .iter()
                .filter(|sample| kind(&sample.file) == wanted)
                .try_for_each(|sample| take(&sample.file, &sample.patched.to_string()))
        };
        newest.add(position, &each).unwrap();
    }
    let find = |chosen: &Chosen| {
        samples
            .iter()
            .find(|sample| sample.subdir == subdirs[chosen.subdir] && sample.file == chosen.file)
            .unwrap()
    };
    let entries: BTreeMap<&str, String> = newest
        .names()
        .map(|(name, chosen)| {
            let found: Vec<(&Sample, Scanned, String)> = chosen
                .iter()
                .map(find)
                .map(|sample| (sample, sample.scanned(), sample.patched.to_string()))
                .collect();
            let packages: Vec<Package<'_>> = found
                .iter()
                .map(|(sample, scanned, record)| Package {
                    subdir: sample.subdir,
                    record,
                    scanned,
                })
                .collect();
            (name, entry(&packages))
        })
        .collect();
    let mut out = Vec::new();
    let each = |take: &mut dyn FnMut(&str, &str) -> io::Result<()>| {
        entries
            .iter()
            .try_for_each(|(name, entry)| take(name, entry))
    };
    write(&mut out, subdirs, &each).unwrap();
    String::from_utf8(out).unwrap()
}

fn one(samples: &[Sample]) -> Value {
    let text = channeldata(&["linux-64", "noarch"], samples);
    serde_json::from_str::<Value>(&text).unwrap()["packages"]["a"].clone()
}

fn record(version: &str, timestamp: u64) -> Value {
    json!({"name": "a", "version": version, "timestamp": timestamp})
}

#[test]
fn a_channel_without_packages_has_a_file() {
    assert_eq!(
        channeldata(&["noarch"], &[]),
        "{\"channeldata_version\":1,\"packages\":{},\"subdirs\":[\"noarch\"]}\n"
    );
}

#[test]
fn the_newest_package_tells_and_older_ones_fill_in() {
    let old = Sample::new(
        "linux-64",
        "a-1.0-0.conda",
        record("1.0", 9_000_000_000_000),
    )
    .about(json!({"summary": "old", "home": "https://old", "dev_url": ""}));
    let new = Sample::new(
        "linux-64",
        "a-2.0-0.conda",
        record("2.0", 1_700_000_000_000),
    )
    .about(json!({"summary": " new\nline ", "home": null, "license": "MIT"}));
    for samples in [[old.clone(), new.clone()], [new, old]] {
        let found = one(&samples);
        assert_eq!(found["version"], "2.0");
        assert_eq!(found["summary"], "new line");
        assert_eq!(found["home"], "https://old");
        assert_eq!(found["license"], "MIT");
        assert_eq!(found.get("dev_url"), None);
        assert_eq!(found["timestamp"], 9_000_000_000_u64, "the newest build");
        assert_eq!(found["binary_prefix"], false);
    }
}

#[test]
fn builds_of_a_version_are_one_and_conda_comes_before_bz2() {
    let with = |file: &str, timestamp: u64, summary: &str| {
        Sample::new("linux-64", file, record("1.0", timestamp)).about(json!({"summary": summary}))
    };
    let found = one(&[
        with("a-1.0-0.conda", 1_700_000_000_000, "first"),
        with("a-1.0-1.conda", 1_700_000_000_999, "last"),
        with("a-1.0-2.conda", 1_700_000_000_999, "as late"),
        with("a-1.0-0.tar.bz2", 1_800_000_000_000, "twin"),
    ]);
    assert_eq!(found["summary"], "last");
    assert_eq!(found["timestamp"], 1_700_000_000);
    let found = one(&[
        with("a-1.0-1.conda", 1_700_000_000_000, "milliseconds"),
        with("a-1.0-2.tar.bz2", 1_700_000_001, "seconds"),
    ]);
    assert_eq!(found["summary"], "seconds");
}

#[test]
fn patches_win_over_the_package() {
    let mut sample = Sample::new("linux-64", "a-1.0-0.conda", {
        let mut index = record("1.0", 5);
        index["license"] = json!("wrong");
        index
    });
    sample.patched["license"] = json!("MIT");
    assert_eq!(one(&[sample])["license"], "MIT");
}

#[test]
fn records_without_a_name_are_in_no_entry() {
    let samples = [
        Sample::new("linux-64", "a-1.0-0.conda", json!({"version": "1.0"})),
        Sample::new("linux-64", "b-1.0-0.conda", json!({"name": "b"})),
        Sample::new(
            "linux-64",
            "c-1.0-0.conda",
            json!({"name": 1, "version": []}),
        ),
        Sample::new("linux-64", "d-1.0-0.conda", json!([])),
    ];
    let text = channeldata(&["linux-64"], &samples);
    assert!(text.contains("\"packages\":{}"), "{text}");
}

#[test]
fn lists_show_the_first_of_several_texts() {
    let summary = Summary::read(
        r#"{"home":["x","y"],"license":null,"subdirs":["noarch"],"timestamp":7,"version":"1"}"#,
    );
    assert_eq!(summary.text("home"), "x");
    assert_eq!(summary.text("license"), "");
    assert_eq!((summary.timestamp, summary.version.as_str()), (7, "1"));
    assert_eq!(summary.subdirs, ["noarch"]);
    assert_eq!(Summary::read("not JSON"), Summary::default());
}

/// Runs conda-index's own functions on what packages tell: the first line of its input.
const CONDA_INDEX: &str = r#"
import json, sys, tempfile
from conda_index.index import ChannelIndex
given = json.load(sys.stdin)
root = tempfile.mkdtemp()
index = ChannelIndex(root, "test", threads=1, debug=True)
data = {}
for subdir, packages in given:
    repodata = {"packages": {}, "packages.conda": {}}
    with index.cache_for_subdir(subdir) as cache:
        states = []
        for package in packages:
            members = {"info/post_install.json": json.dumps(package["post_install"])}
            for path in ("about.json", "recipe/meta.yaml", "run_exports.json"):
                if package[path] is not None:
                    members["info/" + path] = json.dumps(package[path])
            record = {"md5": "", "sha256": "", "size": 1, **package["index"]}
            cache.store(package["file"], 1, 1, members, record)
            states.append({"path": package["file"], "mtime": 1, "size": 1})
            key = "packages" if package["file"].endswith(".tar.bz2") else "packages.conda"
            repodata[key][package["file"]] = package["patched"]
        cache.store_fs_state(iter(states))
    index._update_channeldata(data, repodata, subdir)
for name, entry in data["packages"].items():
    data["packages"][name] = {k: v for k, v in entry.items() if v is not None and k != "commits"}
print(index.json_dumps(data))
"#;

/// Packages with all sorts of values. Versions are built one after the other, and those of a platform
/// after those of the one before: where they are not, conda-index depends on more than the packages.
fn many() -> Vec<Sample> {
    let mut state = 12_345_u64;
    let mut pick = move |count: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % count
    };
    let values = [
        json!(null),
        json!(""),
        json!("text"),
        json!("  two\nlines\n\n"),
        json!("\u{1f}\u{3000}ümläut \u{1f600}\u{85}"),
        json!(["a\n", "b "]),
        json!(["a", 1]),
        json!([]),
        json!({}),
        json!({"url": "https://source", "git_url": null}),
        json!({"git_url": "https://git", "sha256": "0"}),
        json!([{"url": "https://other"}]),
        json!(0),
        json!(1.5),
        json!(true),
    ];
    let keys = [
        "description",
        "summary",
        "home",
        "license",
        "doc_url",
        "dev_url",
        "source",
        "source_url",
        "tags",
        "keywords",
        "icon_url",
        "icon_hash",
        "binary_prefix",
        "post_link",
        "recipe_origin",
        "identifiers",
        "doc_source_url",
        "source_git_url",
    ];
    let mut samples = Vec::new();
    for (position, subdir) in ["linux-64", "noarch", "osx-64"].into_iter().enumerate() {
        for name in ["a", "b", "c", "d", "e", "f"] {
            for version in 1..6_usize {
                for build in 0..pick(4) {
                    let mut object = |mut base: Value| {
                        for _ in 0..pick(7) {
                            base[keys[pick(keys.len())]] = values[pick(values.len())].clone();
                        }
                        base
                    };
                    let extension = if build == 1 { "tar.bz2" } else { "conda" };
                    let time = 1_600_000_000_000
                        + u64::try_from(version * 1_000_000_000 + position * 10_000_000).unwrap()
                        + u64::try_from(build * 1000).unwrap();
                    let index = object(json!({
                        "name": name,
                        "version": format!("{version}.0"),
                        "timestamp": time,
                    }));
                    let mut sample = Sample::new(
                        subdir,
                        &format!("{name}-{version}.0-{build}.{extension}"),
                        index.clone(),
                    );
                    sample.patched = object(index);
                    sample.about = Some(object(json!({})));
                    sample.recipe = Some(object(json!({})));
                    sample.run_exports = match pick(4) {
                        0 => Some(json!({"weak": [format!("{name} >={version}")]})),
                        1 => Some(json!({})),
                        _ => None,
                    };
                    sample.post_install = PostInstall {
                        binary_prefix: pick(3) == 0,
                        text_prefix: pick(3) == 0,
                        activate_d: pick(3) == 0,
                        deactivate_d: pick(3) == 0,
                        pre_link: pick(3) == 0,
                        post_link: pick(3) == 0,
                        pre_unlink: pick(3) == 0,
                    };
                    samples.push(sample);
                }
            }
        }
    }
    samples
}

#[test]
fn conda_index_means_the_same() {
    let samples = many();
    let subdirs = ["linux-64", "noarch", "osx-64"];
    let given: Vec<Value> = subdirs
        .iter()
        .map(|subdir| {
            let packages: Vec<Value> = samples
                .iter()
                .filter(|sample| sample.subdir == *subdir)
                .map(|sample| {
                    let found = sample.post_install;
                    json!({
                        "file": sample.file,
                        "index": sample.index,
                        "patched": sample.patched,
                        "about.json": sample.about,
                        "recipe/meta.yaml": sample.recipe,
                        "run_exports.json": sample.run_exports,
                        "post_install": {
                            "binary_prefix": found.binary_prefix,
                            "text_prefix": found.text_prefix,
                            "activate.d": found.activate_d,
                            "deactivate.d": found.deactivate_d,
                            "pre_link": found.pre_link,
                            "post_link": found.post_link,
                            "pre_unlink": found.pre_unlink,
                        },
                    })
                })
                .collect();
            json!([subdir, packages])
        })
        .collect();
    let Some(theirs) = oracle::python(CONDA_INDEX, &Value::from(given).to_string()) else {
        return;
    };
    let ours = channeldata(&subdirs, &samples);
    let mut theirs: Value = serde_json::from_str(&theirs).unwrap();
    let ours: Value = serde_json::from_str(&ours).unwrap();
    assert_eq!(ours["packages"].as_object().unwrap().len(), 6);
    for (name, entry) in theirs["packages"].as_object_mut().unwrap() {
        let newest = samples
            .iter()
            .filter(|sample| sample.index["name"] == name.as_str())
            .filter_map(|sample| sample.index["timestamp"].as_u64())
            .max();
        entry["timestamp"] = json!(newest.unwrap() / 1000);
        for (key, value) in entry.as_object().unwrap() {
            assert_eq!(&ours["packages"][name][key], value, "{name} {key}");
        }
    }
    assert_eq!(ours, theirs);
}
