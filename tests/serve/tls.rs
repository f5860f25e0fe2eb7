//! TLS and HTTP/2, with curl and certificates that openssl makes.

use std::process::Command;

use fs_err as fs;

use super::channel;
use crate::support::requirements;
use crate::support::run::{Output, Place, run};
use crate::support::serving::{Serving, until};

/// Whether both programs are there.
fn programs() -> Option<()> {
    let is_there = |name: &str| {
        Command::new(name).arg("--version").output().is_ok()
            || Command::new(name).arg("version").output().is_ok()
    };
    requirements::require(
        "curl and openssl",
        (is_there("curl") && is_there("openssl")).then_some(()),
    )
}

/// Makes a certificate for localhost and 127.0.0.1, which is its own root.
fn certify(place: &Place, name: &str) {
    let mut openssl = place.command("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"]);
    run(&mut openssl).succeeds();
}

fn curl(place: &Place, arguments: &[&str]) -> Output {
    let mut curl = place.command("curl");
    run(curl
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(arguments))
}

#[test]
fn both_protocols_with_and_without_tls() {
    let Some(()) = programs() else { return };
    let place = Place::new();
    let channel = channel(&place);
    certify(&place, "one");
    let plain = fs::read_to_string(channel.join("noarch/repodata.json")).expect("a file");
    let open = Serving::start(&place, &["demo"]);
    let closed = Serving::start(
        &place,
        &["demo", "--tls-cert", "cert.pem", "--tls-key", "key.pem"],
    );
    let (open_url, closed_url) = (
        format!("{}demo/noarch/repodata.json", open.url()),
        format!("https://{}/demo/noarch/repodata.json", closed.address),
    );
    for (url, options, version) in [
        (&open_url, &["--http1.1"][..], "1.1"),
        (&open_url, &["--http2-prior-knowledge"], "2"),
        (&closed_url, &["--cacert", "cert.pem"], "2"),
        (&closed_url, &["--cacert", "cert.pem", "--http1.1"], "1.1"),
    ] {
        let ask = |more: &[&str]| {
            let arguments = [
                options,
                more,
                &[
                    url.as_str(),
                    "--write-out",
                    "\n%{http_code} %{http_version} %header{etag}",
                ],
            ];
            curl(&place, &arguments.concat()).succeeds().stdout
        };
        let answer = ask(&[]);
        let (body, facts) = answer.rsplit_once('\n').expect("two parts");
        assert_eq!(body, plain, "{options:?}");
        let facts: Vec<_> = facts.split(' ').collect();
        assert_eq!(facts[..2], ["200", version], "{options:?}");
        let condition = format!("If-None-Match: {}", facts[2]);
        assert!(ask(&["--header", &condition]).contains(&format!("\n304 {version}")));
        assert!(ask(&["--head"]).contains(&format!("\n200 {version}")));
        assert!(ask(&["--range", "0-3"]).starts_with(&format!("{}\n206 {version}", &plain[..4])));
        assert!(ask(&["--compressed"]).starts_with(&plain));
    }
    // Who is not trusted, who speaks without TLS, and two versions that nobody should speak.
    assert_ne!(curl(&place, &[&closed_url]).code, Some(0));
    assert_ne!(
        curl(&place, &[&closed_url.replace("https", "http")]).code,
        Some(0)
    );
    assert_ne!(
        curl(
            &place,
            &["--cacert", "cert.pem", "--tls-max", "1.1", &closed_url]
        )
        .code,
        Some(0)
    );
    curl(
        &place,
        &["--cacert", "cert.pem", "--tls-max", "1.2", &closed_url],
    )
    .succeeds();
}

#[test]
fn a_new_certificate_is_taken_over_and_a_wrong_one_is_not() {
    let Some(()) = programs() else { return };
    let place = Place::new();
    channel(&place);
    certify(&place, "one");
    let server = Serving::start(
        &place,
        &["demo", "--tls-cert", "cert.pem", "--tls-key", "key.pem"],
    );
    let url = format!("https://{}/healthz", server.address);
    fs::rename(place.join("cert.pem"), place.join("old.pem")).expect("a rename");
    let trusts = |root: &str| curl(&place, &["--cacert", root, &url]).code == Some(0);
    assert!(trusts("old.pem"));
    place.write("cert.pem", "no certificate");
    server.signal("HUP");
    server.says("not read anew");
    assert!(trusts("old.pem"));
    certify(&place, "two");
    let wrong = [
        "serve",
        "demo",
        "--tls-cert",
        "old.pem",
        "--tls-key",
        "key.pem",
    ];
    run(place.archiconda().args(wrong))
        .exits(2)
        .says(&["key.pem", "it is not the key of `old.pem`"]);
    server.signal("HUP");
    until(|| trusts("cert.pem"));
    assert!(!trusts("old.pem"));
}

#[test]
fn a_download_over_http_2_is_finished_when_the_server_stops() {
    let Some(()) = programs() else { return };
    let place = Place::new();
    place.write("demo/noarch/big-1-0.conda", vec![5; 6_000_000]);
    let mut server = Serving::start(&place, &["demo"]);
    let url = format!("{}noarch/big-1-0.conda", server.url());
    let mut download = place.command("curl");
    download.args([
        "--silent",
        "--http2-prior-knowledge",
        "--limit-rate",
        "3M",
        "--output",
        "out/big",
        &url,
    ]);
    let mut download = download.spawn().expect("curl");
    until(|| fs::metadata(place.join("out/big")).is_ok_and(|file| file.len() > 0));
    server.signal("TERM");
    assert!(download.wait().expect("its end").success());
    assert_eq!(
        fs::metadata(place.join("out/big")).expect("a file").len(),
        6_000_000
    );
    assert_eq!(server.end(), Some(0));
}
