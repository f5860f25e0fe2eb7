//! YAML that recipes, pins and patches hold, and such as nobody should write.

use std::fmt::Write as _;

use super::parse;

fn json(text: &str) -> String {
    let mut out = String::new();
    parse(text).unwrap().write(&mut out);
    out
}

#[test]
fn scalars_have_the_types_of_the_core_schema() {
    let text = "a: [1, 1.5, 3.10, '3.10', 1e3, 0x10, 0o7, -007, +2, yes, true, ~, null, 1.2.3, 2020-01-01, .inf, e5]\nb: |\n  x\n  y\n3.8: k\n";
    assert_eq!(
        json(text),
        r#"{"3.8":"k","a":[1,1.5,3.1,"3.10",1000.0,16,7,-7,2,"yes",true,null,null,"1.2.3","2020-01-01",".inf","e5"],"b":"x\ny\n"}"#
    );
    assert_eq!(json(""), "null");
    assert_eq!(json("# nothing\n"), "null");
    assert_eq!(
        json("a: &x [1]\nb: *x\n---\nc: d\n"),
        r#"{"a":[1],"b":[1]}"#
    );
}

#[test]
fn what_is_refused() {
    let cases = [
        ("a: 1\na: 2\n", "occurs twice in line 2"),
        ("[1]: 2\n", "no scalar"),
        (&"[".repeat(100_000), "in line 1"),
        (&"- ".repeat(100_000), "too many levels"),
        ("a: [1", "in line"),
        ("a: *b\n", "in line"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let row = [before.as_str(); 9].join(",");
        writeln!(laughs, "a{level}: &a{level} [{row}]").unwrap();
    }
    let error = parse(&laughs).unwrap_err().to_string();
    assert!(error.contains("too many values"), "{error}");
    // A long text counts for what it takes, and so does what anchors keep.
    let long = "x".repeat(100_000);
    let many = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 90_000].join(","));
    let error = parse(&many).unwrap_err().to_string();
    assert!(error.contains("too many values"), "{error}");
    let mut nested = String::new();
    for level in 0..90 {
        write!(nested, "&a{level} [").unwrap();
    }
    let kept = format!("{nested}{}", "x,".repeat(100_000));
    let error = parse(&format!("{kept}{}", "]".repeat(90)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("too many values"), "{error}");
}
