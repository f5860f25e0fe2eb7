//! Servers that are slow, busy, broken or dishonest.

use std::time::{Duration, Instant};

use fs_err as fs;

use super::{X86, dry, installer, spec};
use crate::support::channel::publish;
use crate::support::package::{Package, file};
use crate::support::requirements;
use crate::support::run::{Output, Place, run};
use crate::support::server::{Fault, Server};
use crate::support::tree::snapshot;

const PACKAGE: &str = "linux-64/alpha-1.0-0.conda";
const REPODATA: &str = "linux-64/repodata.json.zst";

/// A served channel with one package of about 200 kB.
struct Served {
    place: Place,
    server: Server,
    runtimes: std::path::PathBuf,
    spec: std::path::PathBuf,
}

fn served() -> Option<Served> {
    let runtimes = requirements::runtimes()?;
    let place = Place::new();
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(200_000)
    .collect();
    publish(
        &place,
        "channel",
        &[Package::named("alpha 1.0 0").with(vec![file("noise", noise)])],
    );
    let server = Server::start(&place.join("channel"));
    let keys = format!(
        "channels = [\"{}\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]",
        server.url()
    );
    let spec = spec(&place, &keys);
    Some(Served {
        place,
        server,
        runtimes,
        spec,
    })
}

impl Served {
    fn build(&self, arguments: &[&str]) -> Output {
        run(self.place.build(&self.runtimes, &self.spec).args(arguments))
    }

    fn assert_sound(&self) {
        installer(&self.place, X86, &["--check"]).succeeds();
    }

    /// Nothing is in the output folder, and no archive in the store.
    fn assert_nothing(&self) {
        assert!(snapshot(&self.place.out()).0.is_empty(), "no installer");
        let store = snapshot(&self.place.cache());
        let archives: Vec<&str> = store
            .paths()
            .into_iter()
            .filter(|path| path.starts_with("packages/sha256/"))
            .collect();
        assert!(archives.is_empty(), "{archives:?}");
    }
}

#[test]
fn busy_servers_are_asked_again() {
    for status in [429, 503] {
        for path in [REPODATA, PACKAGE] {
            let Some(served) = served() else { return };
            served.server.fault(path, Fault::Status(status), 2);
            let output = served.build(&[]).succeeds().says(&[&status.to_string()]);
            assert!(output.stderr.contains("again in"), "{output}");
            assert!(served.server.count(path) >= 3, "{status} for {path}");
            served.assert_sound();
        }
    }
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let Some(served) = served() else { return };
    served.server.fault(PACKAGE, Fault::Status(503), 100);
    served.build(&[]).exits(1).says(&[PACKAGE, "503"]);
    served.assert_nothing();
    assert_eq!(served.server.count(PACKAGE), 4);
}

#[test]
fn a_package_that_the_server_lacks() {
    let Some(served) = served() else { return };
    served.server.fault(PACKAGE, Fault::Status(404), 100);
    let output = served.build(&[]).exits(1).says(&[PACKAGE, "404"]);
    assert_eq!(output.lines("error:").len(), 1, "{output}");
    assert_eq!(
        served.server.count(PACKAGE),
        1,
        "asking again would not help"
    );
    served.assert_nothing();
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let Some(served) = served() else { return };
    served.server.fault(PACKAGE, Fault::Truncate(60_000), 1);
    served.build(&[]).succeeds();
    served.assert_sound();
    let ranges: Vec<_> = served
        .server
        .requests()
        .into_iter()
        .filter(|request| request.path.ends_with(PACKAGE))
        .map(|request| (request.headers.get("range").cloned(), request.status))
        .collect();
    assert_eq!(
        ranges,
        [(None, 200), (Some("bytes=60000-".to_owned()), 206)]
    );
}

#[test]
fn a_broken_download_goes_on_in_the_next_run() {
    let Some(served) = served() else { return };
    served.server.fault(PACKAGE, Fault::Truncate(60_000), 1);
    served.server.fault(PACKAGE, Fault::Status(503), 3);
    served.build(&[]).exits(1).says(&[PACKAGE]);
    served.build(&[]).succeeds();
    served.assert_sound();
    let last = served.server.requests().pop().expect("requests");
    assert_eq!(
        (last.status, last.headers.get("range").map(String::as_str)),
        (206, Some("bytes=60000-"))
    );
}

#[test]
fn a_server_without_ranges_is_good_enough() {
    let Some(served) = served() else { return };
    served.server.ignore_ranges();
    served.server.fault(PACKAGE, Fault::Truncate(60_000), 2);
    served.build(&[]).succeeds();
    served.assert_sound();
}

#[test]
fn a_lie_about_the_bytes_ends_with_4_and_leaves_the_cache_clean() {
    let Some(served) = served() else { return };
    served.server.fault(PACKAGE, Fault::Flip(100_000), 10);
    let output = served
        .build(&[])
        .exits(4)
        .says(&["sha256", PACKAGE, "expected"]);
    assert_eq!(output.lines("error:").len(), 1, "{output}");
    served.assert_nothing();
}

#[test]
fn after_a_lie_an_honest_server_is_believed() {
    let Some(served) = served() else { return };
    served.server.fault(PACKAGE, Fault::Flip(100_000), 1);
    let first = served.build(&[]);
    assert!(matches!(first.code, Some(0 | 4)), "{first}");
    served.build(&[]).succeeds();
    served.assert_sound();
}

#[test]
fn a_silent_server_is_given_up_after_the_timeout() {
    for (path, bytes) in [(REPODATA, 10), (PACKAGE, 100)] {
        let Some(served) = served() else { return };
        served.server.fault(path, Fault::Stall(bytes), 100);
        let start = Instant::now();
        let output = served.build(&["--timeout", "1"]).exits(1);
        assert_eq!(output.lines("error:").len(), 1, "{output}");
        assert!(output.stderr.contains("127.0.0.1"), "{output}");
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "not before {:?}",
            start.elapsed()
        );
        served.assert_nothing();
    }
}

#[test]
fn repodata_that_is_none() {
    for content in [
        "",
        "<html>",
        "{\"packages\": [1]}",
        "{\"packages\": {\"a-1-0.conda\": {}}",
    ] {
        let place = Place::new();
        for subdir in ["linux-64", "noarch"] {
            place.write(&format!("channel/{subdir}/repodata.json"), content);
        }
        let server = Server::start(&place.join("channel"));
        for channel in [server.url(), "channel".to_owned()] {
            let keys = format!(
                "channels = [\"{channel}\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]"
            );
            let output = dry(&place, &spec(&place, &keys), &[]).exits(4);
            assert_eq!(output.lines("error:").len(), 1, "{content:?}: {output}");
            output
                .says(&["repodata", "cannot be read"])
                .hides(&["panicked"]);
        }
    }
}

#[test]
fn truncated_repodata_is_no_smaller_channel_and_is_not_kept() {
    let Some(served) = served() else { return };
    let whole = fs::metadata(served.place.join("channel").join(REPODATA))
        .expect("repodata")
        .len();
    let half = usize::try_from(whole / 2).expect("a small file");
    served.server.fault(REPODATA, Fault::Truncate(half), 100);
    served.build(&[]).exits(1).says(&["linux-64"]);
    served.assert_nothing();

    let Some(mended) = self::served() else { return };
    mended.server.fault(REPODATA, Fault::Truncate(half), 4);
    let first = mended.build(&[]);
    assert!(matches!(first.code, Some(0 | 1)), "{first}");
    mended.server.fault(REPODATA, Fault::Truncate(half), 0);
    for _ in 0..4 {
        if mended.build(&[]).code == Some(0) {
            break;
        }
    }
    mended.build(&[]).succeeds();
    mended.assert_sound();
}
