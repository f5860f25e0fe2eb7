//! conda-index's options, one by one, and what is not there yet.

use fs_err as fs;

use super::indexer;
use crate::support::package::Package;
use crate::support::run::{Place, run};

#[test]
fn every_option_of_conda_index_is_known() {
    let place = Place::new();
    let channel = place.join("channel");
    Package::named("a 1 0").write_to(&channel);
    let pins = place.write("pins.yml", "a: ['1']\n").display().to_string();
    let output = place.join("out").display().to_string();
    let cases: [&[&str]; 9] = [
        &["--output", &output],
        &["--subdir", "linux-64", "--subdir", "noarch"],
        &[
            "-n",
            "name",
            "--channel-name=name2",
            "--threads",
            "2",
            "--verbose",
        ],
        &[
            "--channeldata",
            "--rss",
            "--no-rss",
            "--no-channeldata",
            "--channeldata",
        ],
        &[
            "--bz2",
            "--zst",
            "--run-exports",
            "--compact",
            "--current-repodata",
            "-m",
            &pins,
        ],
        &[
            "--no-bz2",
            "--no-zst",
            "--no-run-exports",
            "--no-compact",
            "--no-current-repodata",
        ],
        &[
            "--base-url",
            "https://example.org",
            "--html-dependencies",
            "--repodata-next",
        ],
        &[
            "--update-cache",
            "--no-update-only",
            "--upstream-stage",
            "fs",
            "--db",
            "sqlite3",
        ],
        &[
            "--no-write-monolithic",
            "--write-shards",
            "--no-html-dependencies",
        ],
    ];
    for arguments in cases {
        run(&mut indexer(&place, &channel, arguments)).succeeds();
    }
    assert!(place.join("out/linux-64/repodata.json").is_file());
    assert!(place.join("out/noarch/repodata.json").is_file());
}

#[test]
fn of_two_forms_the_last_one_counts() {
    let place = Place::new();
    let channel = place.join("channel");
    Package::named("a 1 0").write_to(&channel);
    let zst = channel.join("linux-64/repodata.json.zst");
    let cases: [(&[&str], bool); 6] = [
        (&[], false),
        (&["--zst"], true),
        (&["--zst", "--no-zst"], false),
        (&["--no-zst", "--zst"], true),
        (&["--all", "--no-zst"], false),
        (&["--all"], true),
    ];
    for (arguments, expected) in cases {
        run(&mut indexer(&place, &channel, arguments)).succeeds();
        assert_eq!(zst.exists(), expected, "{arguments:?}");
    }
    for name in [
        "linux-64/current_repodata.json.bz2",
        "linux-64/run_exports.json.zst",
        "linux-64/repodata_shards.msgpack.zst",
        "linux-64/index.html",
        "channeldata.json",
        "rss.xml",
        "index.html",
    ] {
        assert!(channel.join(name).is_file(), "--all writes {name}");
    }
}

#[test]
fn what_cannot_be_asked_for() {
    let place = Place::new();
    let channel = place.join("channel");
    fs::create_dir_all(&channel).expect("a folder");
    let cases: [(&[&str], &str); 9] = [
        (&["--db", "mysql://u:hush@h/d"], "postgresql://"),
        (
            &["--no-write-monolithic", "--run-exports"],
            "--run-exports cannot be had",
        ),
        (
            &["--patch-generator", "absent.py"],
            "no patch generator `absent.py`",
        ),
        (&["--subdir", "../up"], "not the name of a platform"),
        (&["--grace", "soon"], "expected a time"),
        (&["--import", "absent"], "absent"),
        (&["--base-url", "ht tp"], "`ht tp` is no address"),
        (
            &["--upstream-stage", "upstream"],
            "no listing `upstream`: fill it with --upstream-stage upstream --import PATH",
        ),
        (
            &["--upstream-stage", "upstream", "--no-update-cache"],
            "no listing `upstream`",
        ),
    ];
    for (arguments, expected) in cases {
        run(&mut indexer(&place, &channel, arguments))
            .exits(2)
            .says(&[expected]);
    }
    run(place.archiconda().args(["index", "gs://bucket/channel"]))
        .exits(2)
        .says(&["gs://bucket/channel", "a folder or s3://BUCKET/PREFIX"]);
    assert!(!channel.join("noarch/repodata.json").exists());
}
