//! Which wheels are chosen.

use super::*;

fn files(pins: &[Pin]) -> Vec<&str> {
    pins.iter().map(|pin| pin.file.as_str()).collect()
}

fn plain<'a>(name: &'a str, metadata: &'a str) -> Wheel<'a> {
    Wheel {
        name,
        metadata,
        files: &[],
    }
}

#[test]
fn the_newest_that_fits_everything() {
    let place = Place::new(&[
        plain(
            "a-1-py3-none-any.whl",
            "Requires-Dist: b\nRequires-Dist: c\n",
        ),
        plain("b-1.0-py3-none-any.whl", ""),
        plain("b-2.0-py3-none-any.whl", "Requires-Dist: only-of-b2\n"),
        plain("b-3.0rc1-py3-none-any.whl", ""),
        plain("b-4.0-py3-none-any.whl", "Requires-Python: >=3.12\n"),
        plain("only_of_b2-1-py3-none-any.whl", ""),
        plain("c-1-py3-none-any.whl", "Requires-Dist: d\n"),
        plain("d-1-py3-none-any.whl", "Requires-Dist: b (<2)\n"),
    ]);
    let pins = place.pins("packages = [\"a\"]").unwrap();
    let expected = [
        "a-1-py3-none-any.whl",
        "b-1.0-py3-none-any.whl",
        "c-1-py3-none-any.whl",
        "d-1-py3-none-any.whl",
    ];
    assert_eq!(
        files(&pins),
        expected,
        "b 2 was tried first, and what it needs is forgotten"
    );
    let pins = place.pins("packages = [\"b\"]").unwrap();
    assert_eq!(
        files(&pins),
        ["b-2.0-py3-none-any.whl", "only_of_b2-1-py3-none-any.whl"]
    );
    let pins = place.pins("packages = [\"b>=3.0rc1\"]").unwrap();
    assert_eq!(files(&pins), ["b-3.0rc1-py3-none-any.whl"]);
}

#[test]
fn the_best_of_several_builds() {
    let place = Place::new(&[
        plain("a-1-py3-none-any.whl", ""),
        plain("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", ""),
        plain("a-1-cp311-abi3-manylinux_2_17_aarch64.whl", ""),
        plain("a-1-1-cp311-cp311-manylinux_2_17_aarch64.whl", ""),
        plain("a-1-2-cp311-cp311-manylinux_2_17_aarch64.whl", ""),
        plain("a-1-cp311-cp311-manylinux_2_40_aarch64.whl", ""),
    ]);
    let pins = place.pins("packages = [\"a\"]").unwrap();
    assert_eq!(
        files(&pins),
        ["a-1-2-cp311-cp311-manylinux_2_17_aarch64.whl"]
    );
}

#[test]
fn what_is_absent_is_named_with_who_wants_it() {
    let place = Place::new(&[
        plain("a-1-py3-none-any.whl", "Requires-Dist: b >=2\n"),
        plain("b-1-py3-none-any.whl", ""),
    ]);
    let error = message(&place.pins("packages = [\"a\"]").unwrap_err());
    for part in ["b>=2", "a 1", "linux-aarch64"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = place
        .pins("packages = [\"not a requirement\"]")
        .unwrap_err();
    assert!(error.is_usage(), "{}", message(&error));
}

#[test]
fn requirements_that_exclude_each_other_come_to_an_end() {
    let place = Place::new(&[
        plain("a-1-py3-none-any.whl", "Requires-Dist: c\n"),
        plain("a-2-py3-none-any.whl", "Requires-Dist: b\n"),
        plain("b-1-py3-none-any.whl", "Requires-Dist: a <2\n"),
        plain("c-1-py3-none-any.whl", "Requires-Dist: a >=2\n"),
        plain("d-1-py3-none-any.whl", "Requires-Dist: e\n"),
        plain("d-2-py3-none-any.whl", "Requires-Dist: e\n"),
        plain("e-1-py3-none-any.whl", "Requires-Dist: d <2\n"),
    ]);
    let error = message(&place.pins("packages = [\"a\"]").unwrap_err());
    assert!(
        error.contains("unsettled") && error.contains("linux-aarch64"),
        "{error}"
    );
    let pins = place.pins("packages = [\"d\"]").unwrap();
    assert_eq!(
        files(&pins),
        ["d-1-py3-none-any.whl", "e-1-py3-none-any.whl"]
    );
}

#[test]
fn urls_are_refused() {
    let place = Place::new(&[plain(
        "a-1-py3-none-any.whl",
        "Requires-Dist: b @ https://example.org/b-1.tar.gz\n",
    )]);
    let error = message(&place.pins("packages = [\"a\"]").unwrap_err());
    assert!(error.contains("URL") && error.contains('a'), "{error}");
}

#[test]
fn a_lock_is_followed() {
    let place = Place::new(&[plain("a-1-py3-none-any.whl", "")]);
    let section = "packages = [\"a\"]";
    let locked = place.pins(section).unwrap();
    plain("a-2-py3-none-any.whl", "").write(&place.wheels());
    plain("b-1-py3-none-any.whl", "").write(&place.wheels());
    let again = |section: &str, mode| place.run(section, mode, |context| pins(context, &locked));
    assert_eq!(again(section, LockMode::Follow).unwrap(), locked);
    assert_eq!(again(section, LockMode::Locked).unwrap(), locked);
    let fresh = again(section, LockMode::Update).unwrap();
    assert_eq!(files(&fresh), ["a-2-py3-none-any.whl"]);
    let more = "packages = [\"a\", \"b\"]";
    let added = again(more, LockMode::Follow).unwrap();
    assert_eq!(
        files(&added),
        ["a-1-py3-none-any.whl", "b-1-py3-none-any.whl"]
    );
    for section in [more, "packages = [\"a>1\"]"] {
        let error = again(section, LockMode::Locked).unwrap_err();
        assert!(
            matches!(error, crate::Error::Locked { .. }),
            "{}",
            message(&error)
        );
    }
}

#[test]
fn a_wheel_that_changed_since_it_was_locked_is_an_integrity_error() {
    let place = Place::new(&[plain("a-1-py3-none-any.whl", "")]);
    let mut locked = place.pins("packages = [\"a\"]").unwrap();
    locked[0].sha256 = "0".repeat(64);
    let error = place
        .run("packages = [\"a\"]", LockMode::Locked, |context| {
            pins(context, &locked)
        })
        .unwrap_err();
    assert!(error.is_integrity(), "{}", message(&error));
    assert!(message(&error).contains("a-1-py3-none-any.whl"));
}
