//! Tokens and passwords of channels: used, and shown to nobody.

use std::path::Path;

use fs_err as fs;

use super::{X86, dry, installer, small, spec};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::{Access, Fault, Server};

const TOKEN: &str = "tk-5ecret-t0ken";
const PASSWORD: &str = "pa55word-hush";
/// `reader:pa55word-hush` in base64.
const BASIC: &str = "cmVhZGVyOnBhNTV3b3JkLWh1c2g=";

/// Fails if a file below `folder` holds one of the secrets.
fn search(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path);
        } else if path.is_file() {
            let bytes = fs::read(&path).expect("a file");
            for secret in [TOKEN, PASSWORD, BASIC] {
                let found = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds {secret}", path.display());
            }
        }
    }
}

fn check(access: Access, channel: impl Fn(&Server) -> String) {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let server = Server::start(&place.join("channel"));
    server.require(access);
    let secrets = [TOKEN, PASSWORD, BASIC];
    let keys = |channel: &str| {
        let bare = channel.trim_end_matches('/');
        format!(
            "channels = [\"{channel}\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]\n\
             user_requested_specs = [\"{bare}::alpha ==1.0\"]\nwrite_condarc = true\nbuild_outputs = [\"info.json\", \"lockfile\", \"pkgs_list\"]"
        )
    };
    let with = keys(&channel(&server));
    let spec_path = spec(&place, &with);

    // Failures first: nothing is cached then.
    server.fault("alpha-1.0-0.conda", Fault::Status(404), 1);
    run(&mut place.build(&runtimes, &spec_path))
        .exits(1)
        .says(&["404"])
        .hides(&secrets);
    server.fault("alpha-1.0-0.conda", Fault::Status(503), 1);
    run(&mut place.build(&runtimes, &spec_path))
        .succeeds()
        .says(&["503"])
        .hides(&secrets);
    run(place
        .build(&runtimes, &spec_path)
        .args(["--json", "--update"]))
    .succeeds()
    .hides(&secrets);
    installer(&place, X86, &["--list", "--json"])
        .succeeds()
        .hides(&secrets);
    installer(&place, X86, &["-b", "-p", "prefix", "-k"])
        .succeeds()
        .hides(&secrets);

    for folder in [place.out(), place.join("prefix"), place.cache()] {
        search(&folder);
    }
    let condarc = fs::read_to_string(place.join("prefix/.condarc")).expect("a file");
    assert!(condarc.contains(&server.authority()), "{condarc}");
    let lock = fs::read_to_string(place.join("dist.lock")).expect("a lock");
    for secret in secrets {
        assert!(!lock.contains(secret), "{secret} in the lock");
    }
    // With a lock and without a cache, the spec's credentials are used for its packages.
    fs::remove_dir_all(place.cache()).expect("a cache");
    run(place.build(&runtimes, &spec_path).arg("--locked"))
        .succeeds()
        .hides(&secrets);

    // Without them the server says no.
    let without = spec(&place, &keys(&server.url()));
    fs::remove_file(place.join("dist.lock")).expect("a lock");
    fs::remove_dir_all(place.cache()).expect("a cache");
    dry(&place, &without, &[]).exits(1).says(&["401"]);
}

#[test]
fn a_token_in_the_url_is_shown_nowhere() {
    check(Access::Token(TOKEN), |server| {
        format!("{}t/{TOKEN}/", server.url())
    });
}

#[test]
fn a_user_and_a_password_in_the_url_are_shown_nowhere() {
    let url = |server: &Server| format!("http://reader:{PASSWORD}@{}/", server.authority());
    check(Access::Basic(BASIC), url);
}

#[test]
fn a_channel_with_a_token_that_cannot_be_reached() {
    let place = Place::new();
    let server = Server::start(place.path());
    let url = format!("{}t/{TOKEN}/channel", server.url());
    drop(server);
    let keys = format!("channels = [\"{url}\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]");
    dry(&place, &spec(&place, &keys), &["--timeout", "2"])
        .exits(1)
        .hides(&[TOKEN]);
}

#[test]
fn a_mistake_in_a_spec_with_a_token() {
    let place = Place::new();
    let url = format!("ftp://h.example/t/{TOKEN}/channel");
    let keys = format!("channels = [\"{url}\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]");
    dry(&place, &spec(&place, &keys), &[])
        .exits(2)
        .hides(&[TOKEN]);
}

#[test]
fn netrc_is_read() {
    let place = Place::new();
    small(&place);
    let server = Server::start(&place.join("channel"));
    server.require(Access::Basic(BASIC));
    place.write(
        "home/.netrc",
        format!("machine 127.0.0.1\nlogin reader\npassword {PASSWORD}\n"),
    );
    let keys = format!(
        "channels = [\"{}\"]\nspecs = [\"alpha\"]\nplatforms = [\"linux-64\"]",
        server.url()
    );
    dry(&place, &spec(&place, &keys), &[])
        .succeeds()
        .hides(&[PASSWORD, BASIC]);
}
