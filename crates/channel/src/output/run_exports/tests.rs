//! The form of `run_exports.json`.

use super::write;
use crate::output::samples::{Records, each};

#[test]
fn every_package_is_listed() {
    let records = Records::from([
        (
            "a-1-0.tar.bz2".to_owned(),
            r#"{"weak":["b >=1"]}"#.to_owned(),
        ),
        ("b-1-0.tar.bz2".to_owned(), "{}".to_owned()),
        ("c-1-0.conda".to_owned(), "null".to_owned()),
        ("d-1-0.conda".to_owned(), r#"["e"]"#.to_owned()),
        ("f-1-0.conda".to_owned(), "[]".to_owned()),
    ]);
    let mut out = Vec::new();
    write(&mut out, "linux-64", &each(&records)).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"info":{"subdir":"linux-64","version":1},"#,
            r#""packages":{"a-1-0.tar.bz2":{"run_exports":{"weak":["b >=1"]}},"b-1-0.tar.bz2":{"run_exports":{}}},"#,
            r#""packages.conda":{"c-1-0.conda":{"run_exports":{}},"d-1-0.conda":{"run_exports":["e"]},"f-1-0.conda":{"run_exports":{}}}}"#
        )
    );
}
