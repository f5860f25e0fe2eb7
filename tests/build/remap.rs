//! `channels_remap`: built from one channel, known to the installation as another.

use fs_err as fs;
use serde_json::Value;

use super::{X86, installer, small, spec};
use crate::support::requirements;
use crate::support::run::{Place, run};

fn check(channels: &str) {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let destination = "https://packages.example.org/stable";
    let keys = format!(
        "{channels}specs = [\"alpha\"]\nplatforms = [\"linux-64\"]\n\
         channels_remap = [{{ src = \"channel\", dest = \"{destination}\" }}]"
    );
    let spec = spec(&place, &keys);
    run(&mut place.build(&runtimes, spec)).succeeds();

    let listed = installer(&place, X86, &["--list", "--json"])
        .succeeds()
        .json();
    assert_eq!(
        listed[1]["url"],
        format!("{destination}/linux-64/alpha-1.0-0.conda")
    );
    installer(&place, X86, &["-b", "-p", "prefix", "-k"]).succeeds();
    let read = |path: &str| fs::read_to_string(place.join("prefix").join(path)).expect(path);
    for (dist, subdir) in [("alpha-1.0-0", "linux-64"), ("beta-2.1-0", "noarch")] {
        for record in [
            format!("conda-meta/{dist}.json"),
            format!("pkgs/{dist}/info/repodata_record.json"),
        ] {
            let record: Value = serde_json::from_str(&read(&record)).expect("JSON");
            assert_eq!(
                record["url"],
                format!("{destination}/{subdir}/{dist}.conda")
            );
            let channel = record["channel"].as_str().expect("a channel");
            assert_eq!(channel.trim_end_matches('/'), destination);
        }
    }
    let history = read("conda-meta/history");
    assert!(
        history.contains(&format!("+{destination}/linux-64::alpha-1.0-0")),
        "{history}"
    );
    assert!(read("pkgs/urls.txt").contains(destination));
    let source = place.join("channel").display().to_string();
    for path in [
        "conda-meta/history",
        "conda-meta/initial-state.explicit.txt",
        "pkgs/urls.txt",
    ] {
        assert!(!read(path).contains(&source), "{path} names the source");
    }
}

#[test]
fn of_a_channel_that_is_named_twice() {
    check("channels = [\"channel\"]\n");
}

#[test]
fn of_a_channel_that_only_the_remap_names() {
    check("");
}
