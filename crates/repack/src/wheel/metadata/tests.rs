//! METADATA, WHEEL and `entry_points.txt`, sound and otherwise.

use super::*;

fn wheel() -> FileName {
    FileName::parse("some_name-1.0-py3-none-any.whl").unwrap()
}

#[test]
fn reads_metadata() {
    let text = "Metadata-Version: 2.4\nName: Some.Name\nVersion: 1.0\nSummary: Does\n   things\n\
        Project-URL: Bug Tracker, https://example.org/bugs\nProject-URL: Home-Page, https://example.org\n\
        License-Expression: MIT\nLicense-File: LICENSE\nLicense-File: AUTHORS\nRequires-Python: >=3.8, !=3.9.0\n\
        Requires-Dist: one (>=1.0)\nRequires-Dist: two[x] ~= 2.0 ; python_version < '3.9'\n\
        Classifier: Topic :: Utilities\n\nRequires-Dist: three\n";
    let metadata = Metadata::parse(&wheel(), text).unwrap();
    assert_eq!(metadata.summary, "Does things");
    assert_eq!(metadata.home, "https://example.org");
    assert_eq!(metadata.license_expression.as_deref(), Some("MIT"));
    assert_eq!(metadata.license_files, ["LICENSE", "AUTHORS"]);
    assert_eq!(metadata.requires_python.to_string(), ">=3.8, !=3.9.0");
    let names: Vec<_> = metadata
        .requires
        .iter()
        .map(|one| one.name.to_string())
        .collect();
    assert_eq!(names, ["one", "two"], "the body is no header");
}

#[test]
fn refuses_metadata_of_another_wheel() {
    for (text, said) in [
        ("Version: 1.0\n", "no Name"),
        ("Name: other\nVersion: 1.0\n", "other"),
        ("Name: some_name\nVersion: 1.1\n", "1.1"),
        ("Name: some_name\n", "Version"),
        (
            "Name: some_name\nVersion: 1.0\nRequires-Python: yes\n",
            "yes",
        ),
        (
            "Name: some_name\nVersion: 1.0\nRequires-Dist: a b c\n",
            "a b c",
        ),
    ] {
        let error = Metadata::parse(&wheel(), text).unwrap_err().to_string();
        assert!(
            error.contains(said) && error.contains("some_name-1.0"),
            "{error}"
        );
    }
}

#[test]
fn requirements_that_would_take_all_memory_are_refused() {
    let pairs: Vec<String> = (0..40)
        .map(|number| format!("(extra=='a{number:02}' and extra=='b{number:02}')"))
        .collect();
    let brackets = format!("{}os_name == 'x'{}", "(".repeat(1000), ")".repeat(1000));
    for (marker, expected) in [
        (pairs[..10].join(" or "), "for extras more than 12 times"),
        (pairs.join(" or ").repeat(4), "longer than 4096 bytes"),
        (brackets, "brackets in brackets"),
    ] {
        let text = format!("Name: some-name\nVersion: 1.0\nRequires-Dist: b; {marker}\n");
        let error = Metadata::parse(&wheel(), &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn reads_wheel() {
    let parse = |text| Wheel::parse(&wheel(), text);
    assert!(
        parse("Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            .unwrap()
            .root_is_purelib
    );
    assert!(
        !parse("Wheel-Version: 1.9\nRoot-Is-Purelib: False\n")
            .unwrap()
            .root_is_purelib
    );
    for text in [
        "",
        "Wheel-Version: 2.0\nRoot-Is-Purelib: true\n",
        "Wheel-Version: 1.0\n",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn reads_scripts() {
    let text = "# comment\n[pytest11]\nx = y\n[console_scripts]\npytest = pytest:console_main\n\
        py.test=pytest:console_main [extra]\n\n[gui_scripts]\nwin = a.b : C.run\n[other]\nz = q";
    let points = entry_points(&wheel(), text).unwrap();
    let shown: Vec<_> = points
        .iter()
        .map(|point| format!("{}={}:{}", point.name, point.module, point.function))
        .collect();
    assert_eq!(
        shown,
        [
            "py.test=pytest:console_main",
            "pytest=pytest:console_main",
            "win=a.b:C.run"
        ]
    );
}

#[test]
fn refuses_scripts_that_are_none() {
    for line in [
        "../../etc/cron = a:b",
        "a/b = a:b",
        ".hidden = a:b",
        "a = a",
        "a = a:b;import os",
        "a = a:b()",
        "a = 1a:b",
        "= a:b",
        "a",
        "a\u{7} = a:b",
    ] {
        let text = format!("[console_scripts]\n{line}\n");
        assert!(entry_points(&wheel(), &text).is_err(), "{line}");
    }
    assert!(entry_points(&wheel(), "[console_scripts]\na = a:b\na = c:d\n").is_err());
}
