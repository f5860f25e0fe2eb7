//! Python's form, as Python 3.11 gave it: `json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))`.

use proptest::prelude::*;

use super::{Json, respell};

fn rewritten(text: &str) -> String {
    let mut out = String::new();
    Json::parse(text.as_bytes()).unwrap().write(&mut out);
    out
}

#[test]
fn as_python_writes_it() {
    let cases = [
        ("1e16", "1e+16"),
        ("1e15", "1000000000000000.0"),
        ("123456789012345678", "123456789012345678"),
        ("1.0", "1.0"),
        ("-0.0", "-0.0"),
        ("-0", "0"),
        ("0.1", "0.1"),
        ("1e-4", "0.0001"),
        ("1e-5", "1e-05"),
        ("0.00001234", "1.234e-05"),
        ("1.5e300", "1.5e+300"),
        ("5e-324", "5e-324"),
        ("1E+2", "100.0"),
        ("123456789.123456789", "123456789.12345679"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("12345678901234567.0", "1.2345678901234568e+16"),
        ("1e100", "1e+100"),
        ("-1.25e-10", "-1.25e-10"),
        (
            "100000000000000000000000000000",
            "100000000000000000000000000000",
        ),
        ("[]", "[]"),
        ("[1,[2,{}]]", "[1,[2,{}]]"),
        (" {\"b\" : 1, \"a\":\t[ ] }\r\n", r#"{"a":[],"b":1}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (
            r#""\u00e9\ud83d\ude00\/\b\f\n\r\t\u007f\u0000\"\\""#,
            r#""\u00e9\ud83d\ude00/\b\f\n\r\t\u007f\u0000\"\\""#,
        ),
        (r#""é😀~ ""#, r#""\u00e9\ud83d\ude00~ ""#),
        ("[null,true,false]", "[null,true,false]"),
        (
            r#"{"é":1,"z":2,"~":3,"😀":4,"￮":5}"#,
            r#"{"z":2,"~":3,"\u00e9":1,"\uffee":5,"\ud83d\ude00":4}"#,
        ),
        ("\u{feff}{}", "{}"),
    ];
    for (text, expected) in cases {
        assert_eq!(rewritten(text), expected, "{text}");
    }
}

#[test]
fn what_some_client_would_not_read_is_refused() {
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    let long = "1".repeat(5000);
    let cases = [
        ("", 0, "ends"),
        ("NaN", 0, "no JSON value"),
        ("[Infinity]", 1, "no JSON value"),
        ("-Infinity", 1, "no JSON number"),
        ("1e999", 5, "beyond all bounds"),
        (&*long, 5000, "too many digits"),
        ("\"\\ud800\"", 7, "surrogate"),
        ("\"\\ud800\\u0041\"", 13, "surrogate"),
        ("\"\\udc00\"", 7, "surrogate"),
        ("\"\\u00g0\"", 3, "hexadecimal"),
        ("\"\\x\"", 2, "escape"),
        ("\"a\nb\"", 2, "control"),
        ("\"abc", 1, "without its end"),
        (&*deep, 100, "levels"),
        ("01", 2, "no JSON number"),
        ("-", 1, "no JSON number"),
        ("1.", 2, "after the point"),
        ("1e", 2, "exponent"),
        ("{\"a\":1,}", 7, "key"),
        ("{\"a\" 1}", 5, "colon"),
        ("{\"a\":1 \"b\":2}", 7, "comma"),
        ("[1,]", 3, "no JSON value"),
        ("[1 2]", 3, "comma"),
        ("{} {}", 3, "more text"),
        ("tru", 0, "no JSON value"),
    ];
    for (text, position, problem) in cases {
        let error = Json::parse(text.as_bytes()).unwrap_err();
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert_eq!(error.position, position, "{text}: {error}");
    }
    assert_eq!(Json::parse(b"\"a\xff\"").unwrap_err().position, 2);
}

fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        // serde_json reads only such numbers exactly.
        any::<i16>().prop_map(|number| (f64::from(number) / 4.0).into()),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_is_lost(value in values()) {
        let out = rewritten(&value.to_string());
        prop_assert!(out.is_ascii());
        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&out).unwrap(), &value);
        prop_assert_eq!(rewritten(&out), out);
    }

    #[test]
    fn floats_keep_their_value(number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
        let mut out = String::new();
        Json::Float(number).write(&mut out);
        let Json::Float(again) = Json::parse(out.as_bytes()).unwrap() else { panic!("{out}") };
        prop_assert_eq!(again.to_bits(), number.to_bits());
    }

    #[test]
    fn what_is_accepted_others_accept(text in "[\\[\\]{}\",:0-9eE.+\\\\u-]{0,30}|\\PC{0,20}") {
        if let Ok(value) = Json::parse(text.as_bytes()) {
            let mut out = String::new();
            value.write(&mut out);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
        }
    }
}

/// What comes of a text without a tree: the result and the members.
fn respelled_with_members(text: &str) -> Option<(String, Vec<(String, String)>)> {
    let mut members = Vec::new();
    let mut spelled = String::new();
    let is_spelled = respell(text, &mut spelled, &mut |key, value| {
        members.push((key.to_owned(), value.to_owned()));
    });
    is_spelled.then_some((spelled, members))
}

#[test]
fn what_needs_no_tree() {
    for (text, expected) in [
        ("{}", "{}"),
        (
            " {\"a\" : [ 1 , -2,\n0 ] , \"b\":{ }}\r\n",
            r#"{"a":[1,-2,0],"b":{}}"#,
        ),
        (r#"["",null,true,false,[]]"#, r#"["",null,true,false,[]]"#),
        ("12", "12"),
    ] {
        let (spelled, _) = respelled_with_members(text).expect(text);
        assert_eq!(spelled, expected);
        assert_eq!(rewritten(text), expected);
    }
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    let long = "1".repeat(5000);
    for text in [
        // These need one.
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"["\u0061"]"#,
        "[\"é\"]",
        "[\"\u{7f}\"]",
        "[1.0]",
        "[1e2]",
        "[-0]",
        "\u{feff}{}",
        // These are no JSON, or not such as is taken.
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "[01]",
        "[-]",
        "[nul]",
        "[1 2]",
        "{} x",
        "[\"a\nb\"]",
        "[\"a]",
        &deep,
        &long,
    ] {
        assert_eq!(respelled_with_members(text), None, "{text}");
    }
}

fn plain() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é\n]{0,8}".prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[ -~]{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is written without a tree is what is written with one, and the members are those of the tree.
    #[test]
    fn with_and_without_a_tree(value in plain(), is_pretty in any::<bool>(), cut in any::<prop::sample::Index>()) {
        let text = if is_pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        if let Some((spelled, members)) = respelled_with_members(&text) {
            prop_assert_eq!(&spelled, &rewritten(&text));
            let mut expected = Vec::new();
            if let Json::Map(map) = Json::parse(text.as_bytes()).unwrap() {
                for (key, value) in map {
                    let mut text = String::new();
                    value.write(&mut text);
                    expected.push((key, text));
                }
            }
            prop_assert_eq!(members, expected);
        }
        if let Some(part) = text.get(..cut.index(text.len() + 1))
            && let Some((spelled, _)) = respelled_with_members(part)
        {
            prop_assert_eq!(spelled, rewritten(part));
        }
    }

    /// Any text has an answer, and the same one.
    #[test]
    fn texts_of_no_sense(text in "[a01{}\\[\\]\",:\\\\ .eE\\-]{0,30}") {
        if let Some((spelled, _)) = respelled_with_members(&text) {
            prop_assert_eq!(spelled, rewritten(&text));
        }
    }
}
