//! Tokens: who may read what, in all three ways, and what others learn.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;

use crate::support::package::Package;
use crate::support::run::{Place, run};
use crate::support::serving::{Answer, Serving, until};

/// Makes a token with `archiconda serve token new`, and adds it to the list. The token.
pub(super) fn token(place: &Place, arguments: &[&str]) -> String {
    let mut command = place.archiconda();
    command
        .args(["serve", "token", "new", "--json"])
        .args(arguments);
    let made = run(&mut command).succeeds().json();
    let list = place.join("tokens.toml");
    let known = fs::read_to_string(&list).unwrap_or_default();
    let lines = made["toml"].as_str().expect("lines");
    fs::write(&list, format!("{known}\n{lines}")).expect("the list");
    made["token"].as_str().expect("a token").to_owned()
}

/// A channel for all, and one for who has a token.
fn channels(place: &Place) {
    Package::generic("a 1 0").write_to(&place.join("open"));
    Package::generic("b 1 0").write_to(&place.join("closed"));
    place.write("tokens.toml", "[channels]\nclosed.access = \"tokens\"\n");
}

const FILE: &str = "/closed/noarch/b-1-0.conda";

#[test]
fn a_token_opens_its_channel_in_three_ways() {
    let place = Place::new();
    channels(&place);
    let right = token(&place, &["--name", "reader", "--channel", "closed"]);
    let other = token(
        &place,
        &[
            "--name",
            "other",
            "--channel",
            "open",
            "--expires",
            "2999-12-31",
        ],
    );
    let old = token(
        &place,
        &[
            "--name",
            "old",
            "--channel",
            "*",
            "--write",
            "--expires",
            "2020-01-01",
        ],
    );
    let server = Serving::start(&place, &["open", "closed", "--tokens", "tokens.toml"]);
    let three = |token: &str| -> [Answer; 3] {
        let basic = STANDARD.encode(format!("anybody:{token}"));
        [
            server.get(&format!("/t/{token}{FILE}")),
            server.ask("GET", FILE, &[&format!("Authorization: Bearer {token}")]),
            server.ask("GET", FILE, &[&format!("Authorization: Basic {basic}")]),
        ]
    };
    let content = fs::read(place.join("closed/noarch/b-1-0.conda")).expect("a file");
    for answer in three(&right) {
        assert!(answer.status == 200 && answer.body == content, "{answer:?}");
        assert_eq!(
            answer.header("cache-control"),
            "private, max-age=31536000, immutable"
        );
    }
    // A good one for another channel learns nothing.
    for answer in three(&other) {
        assert_eq!(answer.status, 404, "{answer:?}");
        let absent = server
            .get(&format!("/t/{other}/nothing/noarch/b-1-0.conda"))
            .is(404);
        assert_eq!(absent.body, answer.body);
    }
    for wrong in [&old, "wrong", &right[1..]] {
        for answer in three(wrong) {
            let challenge = answer.header("www-authenticate").to_owned();
            assert!(
                answer.status == 401 && challenge.contains("Basic realm="),
                "{answer:?}"
            );
            assert!(challenge.contains("Bearer"), "{challenge}");
        }
    }
    // None: the same whether there is such a channel or not, and whatever is in it.
    let mut answers = [
        FILE,
        "/closed/",
        "/closed/noarch/absent.conda",
        "/nothing/noarch/b-1-0.conda",
    ]
    .map(|path| server.get(path).is(401));
    for answer in &mut answers {
        answer.headers.remove("date");
    }
    assert!(
        answers
            .iter()
            .all(|answer| format!("{answer:?}") == format!("{:?}", answers[0]))
    );
    server.get("/open/noarch/a-1-0.conda").is(200);
    server
        .get(&format!("/t/{right}/open/noarch/a-1-0.conda"))
        .is(200);
    // The list of channels has those that one may read.
    for (path, expected) in [
        ("/".to_owned(), "/open\n"),
        (format!("/t/{right}/"), "/open\n/closed\n"),
        (format!("/t/{other}/"), "/open\n"),
    ] {
        let listed = server.get(&path).is(200).body;
        assert_eq!(String::from_utf8_lossy(&listed), expected, "{path}");
    }
    // Numbers tell names.
    server.get("/metrics").is(401);
    server.get(&format!("/t/{right}/metrics")).is(200);
    server.says("\"token\":\"reader\"");
    for secret in [&right, &other, &old] {
        assert!(!server.log().contains(secret.as_str()));
    }
}

#[test]
fn guessing_is_slow() {
    let place = Place::new();
    channels(&place);
    let right = token(&place, &["--name", "reader", "--channel", "closed"]);
    let server = Serving::start(&place, &["open", "closed", "--tokens", "tokens.toml"]);
    let guesses: Vec<_> = (0..30)
        .map(|number| server.get(&format!("/t/guess{number}{FILE}")).status)
        .collect();
    assert!(
        guesses[..10].iter().all(|status| *status == 401),
        "{guesses:?}"
    );
    assert!(
        guesses[12..]
            .iter()
            .filter(|status| **status == 429)
            .count()
            > 10,
        "{guesses:?}"
    );
    // A right one is not told from a wrong one meanwhile; who shows none is not concerned.
    let answer = server.get(&format!("/t/{right}{FILE}")).is(429);
    assert!(
        answer
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds <= 6)
    );
    server.get("/open/noarch/a-1-0.conda").is(200);
}

#[test]
fn the_list_is_read_anew() {
    let place = Place::new();
    channels(&place);
    let first = token(&place, &["--name", "first", "--channel", "closed"]);
    let server = Serving::start(&place, &["open", "closed", "--tokens", "tokens.toml"]);
    server.get(&format!("/t/{first}{FILE}")).is(200);
    let second = token(&place, &["--name", "second", "--channel", "closed"]);
    server.get(&format!("/t/{second}{FILE}")).is(401);
    server.signal("HUP");
    until(|| server.get(&format!("/t/{second}{FILE}")).status == 200);
    place.write("tokens.toml", "not a list");
    server.signal("HUP");
    server.says("not read anew");
    server.get(&format!("/t/{second}{FILE}")).is(200);
    assert_eq!(server.log().matches("read tokens").count(), 1);
    place.write("tokens.toml", "[channels]\nclosed.access = \"tokens\"\n");
    server.signal("HUP");
    until(|| server.get(&format!("/t/{first}{FILE}")).status == 401);
}

#[test]
fn lists_with_mistakes_and_tokens_for_people() {
    let place = Place::new();
    channels(&place);
    let serve = |list: &str| {
        place.write("list.toml", list);
        let mut command = place.archiconda();
        run(command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "open",
            "--tokens",
            "list.toml",
        ]))
    };
    serve("[[tokens]]\nname = \"a\"")
        .exits(2)
        .says(&["list.toml", "sha256"]);
    let long = format!("name = \"{}\"", "x".repeat(1 << 19));
    let output = serve(&long).exits(2).says(&["list.toml"]);
    assert!(output.stderr.len() < 1000);
    let output = serve(&long.repeat(3))
        .exits(2)
        .says(&["longer than 1024 KiB"]);
    assert!(output.stderr.len() < 1000);
    serve("[channels]\nother.access = \"tokens\"")
        .exits(2)
        .says(&["`other`, which is not served"]);
    let mut command = place.archiconda();
    let made = command.args([
        "serve",
        "token",
        "new",
        "--name",
        "a \"b\"",
        "--channel",
        "x",
        "--channel",
        "y",
        "--write",
    ]);
    let text = run(made).succeeds().stdout;
    let (token, lines) = text.split_once("\n\n").expect("two parts");
    assert_eq!(token.len(), 64);
    assert!(
        lines.contains("write = [\"x\",\"y\"]") && lines.contains("name = \"a \\\"b\\\"\""),
        "{lines}"
    );
    assert!(!lines.contains(token));
}
