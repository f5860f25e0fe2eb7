//! The forms of a spec, and what is refused.

use std::time::{Duration, Instant};

use super::*;

fn shown(raw: &str) -> String {
    match PackageSpec::parse(raw) {
        Ok(spec) => spec.match_spec.to_string(),
        Err(reason) => format!("error: {reason}"),
    }
}

#[test]
fn forms() {
    for (raw, expected) in [
        ("python", "python"),
        (" python ", "python"),
        ("python 3.7.1", "python ==3.7.1"),
        ("python 3.7.1 hab5db58_3", "python ==3.7.1 hab5db58_3"),
        ("conda-env 2.6.0 1", "conda-env ==2.6.0 1"),
        ("python=3.7", "python 3.7.*"),
        ("python ==3.7", "python ==3.7"),
        ("python=3.7.1=hab5db58_3", "python ==3.7.1 hab5db58_3"),
        ("numpy >=1.8", "numpy >=1.8"),
        ("python 2.7*", "python 2.7.*"),
        ("python 3.13.*", "python 3.13.*"),
        ("__glibc>=2.17", "__glibc >=2.17"),
        ("conda-forge::python >=3,<4", "conda-forge::python >=3,<4"),
    ] {
        assert_eq!(shown(raw), expected, "{raw}");
    }
}

#[test]
fn packages_by_address() {
    let url = "https://conda.anaconda.org/conda-forge/noarch/pip-18.1-py37_1000.tar.bz2";
    let md5 = "0123456789abcdef0123456789abcdef";
    let sha256 = format!("{md5}{md5}");
    for (raw, has_md5, has_sha256) in [
        (url.to_owned(), false, false),
        (format!("{url}#{md5}"), true, false),
        (format!("{url}#{sha256}"), false, true),
        (format!("{url}#sha256:{sha256}"), false, true),
    ] {
        let spec = PackageSpec::parse(&raw).unwrap();
        assert_eq!(spec.raw, raw);
        assert_eq!(spec.name().unwrap().as_normalized(), "pip");
        assert_eq!(spec.match_spec.url.as_ref().unwrap().as_str(), url);
        assert_eq!(spec.match_spec.md5.is_some(), has_md5, "{raw}");
        assert_eq!(spec.match_spec.sha256.is_some(), has_sha256, "{raw}");
    }
    let spec = PackageSpec::parse("/pool/pip-18.1-py37_1000.conda").unwrap();
    assert_eq!(
        spec.match_spec.url.unwrap().as_str(),
        "file:///pool/pip-18.1-py37_1000.conda"
    );
}

#[test]
fn refused() {
    let url = "https://h/c/noarch/pip-18.1-py37_1000.tar.bz2";
    for (raw, reason) in [
        ("", "missing package name"),
        ("# comment", "missing package name"),
        (">=3", "missing package name"),
        ("py*", "exact package names"),
        ("python >>3", "version"),
        ("python[colour=red]", "colour"),
        ("https://h/no-package", "missing package name"),
        (&format!("{url}#123"), "neither an md5 nor a sha256"),
        (&format!("{url}#{}", "g".repeat(32)), "no md5"),
        (&"p".repeat(3000), "longer than"),
        (
            &format!("python {}1{}", "(".repeat(900), ")".repeat(900)),
            "nested too deeply",
        ),
    ] {
        let error = PackageSpec::parse(raw).expect_err(raw);
        assert!(error.contains(reason), "{raw}: {error}");
    }
}

#[test]
fn hostile_specs_take_no_time() {
    let start = Instant::now();
    for raw in [
        "a ((((1))))".into(),
        format!("a {}", "(((1|2)|3)|4)|".repeat(140)),
        format!("a {}", "((((1,".repeat(300)),
        format!("a {}1", "1|".repeat(1000)),
        format!("a {}1", ">=1,".repeat(500)),
        format!("a {}", "1.".repeat(1000)),
        format!("a {}", "*".repeat(2000)),
        format!("a {}", "=".repeat(2000)),
        format!("a * ^{}$", "(a*)*".repeat(390)),
        "a ^((((a{1000}){1000}))){1000}$".into(),
        "a * ^((((a{1000}){1000}))){1000}$".into(),
        format!("a{}", "[".repeat(2000)),
        format!("a{}{}", "[b=".repeat(600), "]".repeat(200)),
        format!("a[{}]", "build='x',".repeat(200)),
        format!("a[version='{}']", "(".repeat(1500)),
        format!("{}a", "c:".repeat(1000)),
        format!("a {}", "\\'\"".repeat(600)),
    ] {
        let one = Instant::now();
        let _ = PackageSpec::parse(&raw);
        assert!(
            one.elapsed() < Duration::from_secs(2),
            "{:?} {raw}",
            one.elapsed()
        );
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}
