//! `condarc`: what the installation's `.condarc` holds, given as text or as a table, and its form
//! in YAML.

use std::fmt::Write as _;

use conda::credentials;
use toml::de::{DeFloat, DeInteger, DeValue};

use crate::source::{Source, Value};

/// The user's own `.condarc`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condarc {
    /// YAML, written as it is.
    Text(String),
    /// A mapping, in the order of the specification.
    Mapping(Vec<(String, Node)>),
}

/// A value in a `.condarc`.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the specification.
    Mapping(Vec<(String, Node)>),
}

impl Condarc {
    /// The file's text, ending in a line break.
    pub fn to_yaml(&self) -> String {
        match self {
            Self::Text(text) if text.is_empty() || text.ends_with('\n') => text.clone(),
            Self::Text(text) => format!("{text}\n"),
            Self::Mapping(entries) if entries.is_empty() => "{}\n".into(),
            Self::Mapping(entries) => {
                let mut yaml = String::new();
                write_mapping(&mut yaml, entries, 0);
                yaml
            }
        }
    }

    /// The `.condarc` that constructor writes for `write_condarc` (`add_condarc` in
    /// `constructor/utils.py`); nothing when all three are empty. Everybody has it who installs, so it has no
    /// credentials.
    pub(crate) fn of_channels(
        default_channels: &[String],
        channels: &[String],
        alias: Option<&str>,
    ) -> Option<Self> {
        let text = |text: &String| Node::String(credentials::without_in(text));
        let list = |channels: &[String]| Node::List(channels.iter().map(text).collect());
        let mut entries = Vec::new();
        if !default_channels.is_empty() {
            entries.push(("default_channels".to_owned(), list(default_channels)));
        }
        if !channels.is_empty() {
            entries.push(("channels".to_owned(), list(channels)));
        }
        if let Some(alias) = alias {
            entries.push((
                "channel_alias".to_owned(),
                Node::String(credentials::without_in(alias)),
            ));
        }
        (!entries.is_empty()).then_some(Self::Mapping(entries))
    }
}

/// Reads the value of `condarc`.
pub(crate) fn read<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Condarc> {
    match value.get_ref() {
        DeValue::String(_) => source.text("condarc", value).map(Condarc::Text),
        DeValue::Table(_) => match node(source, value)? {
            Node::Mapping(entries) => Some(Condarc::Mapping(entries)),
            _ => None,
        },
        _ => {
            source.wrong_type("condarc", "a table or a string", value, None);
            None
        }
    }
}

/// The recursion is as deep as the TOML tree, which the parser limits to 80 levels.
fn node<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Node> {
    match value.get_ref() {
        DeValue::String(text) => Some(Node::String(text.to_string())),
        DeValue::Boolean(boolean) => Some(Node::Boolean(*boolean)),
        DeValue::Integer(integer) => {
            let number = whole(integer);
            if number.is_none() {
                source.error(value.span(), "the number in `condarc` is too large", None);
            }
            number.map(Node::Integer)
        }
        DeValue::Float(number) => float(number).map(Node::Float),
        DeValue::Datetime(_) => {
            let advice = Some("write it in quotes".to_owned());
            source.error(
                value.span(),
                "`condarc` expects text, numbers, booleans, lists and tables, found a date",
                advice,
            );
            None
        }
        DeValue::Array(array) => {
            let nodes: Vec<Option<Node>> =
                array.iter().map(|element| node(source, element)).collect();
            nodes.into_iter().collect::<Option<_>>().map(Node::List)
        }
        DeValue::Table(table) => {
            let entries: Vec<Option<(String, Node)>> = Source::entries(table)
                .into_iter()
                .map(|(key, _, value)| node(source, value).map(|node| (key.to_owned(), node)))
                .collect();
            entries
                .into_iter()
                .collect::<Option<_>>()
                .map(Node::Mapping)
        }
    }
}

fn whole(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn float(number: &DeFloat<'_>) -> Option<f64> {
    number.as_str().parse().ok()
}

fn write_mapping(yaml: &mut String, entries: &[(String, Node)], indent: usize) {
    for (key, value) in entries {
        let _ = write!(yaml, "{:indent$}{}:", "", scalar(key));
        write_value(yaml, value, indent);
    }
}

/// What follows `key:` or `-`, with the line break.
fn write_value(yaml: &mut String, node: &Node, indent: usize) {
    match node {
        Node::String(text) => {
            let _ = writeln!(yaml, " {}", scalar(text));
        }
        Node::Integer(number) => {
            let _ = writeln!(yaml, " {number}");
        }
        Node::Float(number) => {
            let _ = writeln!(yaml, " {}", float_text(*number));
        }
        Node::Boolean(boolean) => {
            let _ = writeln!(yaml, " {boolean}");
        }
        Node::List(nodes) if nodes.is_empty() => yaml.push_str(" []\n"),
        Node::Mapping(entries) if entries.is_empty() => yaml.push_str(" {}\n"),
        Node::List(nodes) => {
            yaml.push('\n');
            let indent = indent + 2;
            for node in nodes {
                let _ = write!(yaml, "{:indent$}-", "");
                write_value(yaml, node, indent);
            }
        }
        Node::Mapping(entries) => {
            yaml.push('\n');
            write_mapping(yaml, entries, indent + 2);
        }
    }
}

/// YAML 1.1, which conda's reader also accepts, wants a point and a signed exponent.
fn float_text(number: f64) -> String {
    if number.is_nan() {
        ".nan".into()
    } else if number.is_infinite() {
        if number > 0.0 {
            ".inf".into()
        } else {
            "-.inf".into()
        }
    } else {
        let text = format!("{number:?}");
        match text.split_once('e') {
            None => text,
            Some((mantissa, exponent)) => {
                let point = if mantissa.contains('.') { "" } else { ".0" };
                let sign = if exponent.starts_with('-') { "" } else { "+" };
                format!("{mantissa}{point}e{sign}{exponent}")
            }
        }
    }
}

/// A string that YAML reads back as the same string: bare where that is beyond doubt, else with
/// double quotes and JSON's escapes.
fn scalar(text: &str) -> String {
    const RESERVED: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let safe = |character: char| character.is_ascii_alphanumeric() || "_./-".contains(character);
    let address = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let address = address.or_else(|| text.strip_prefix("file://"));
    let bare = text
        .starts_with(|character: char| character.is_ascii_alphabetic() || character == '/')
        && address.unwrap_or(text).chars().all(safe)
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if bare {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(toml: &str) -> String {
        let (mut source, table) = Source::parse(toml).unwrap();
        let entries = Source::entries(&table);
        read(&mut source, entries[0].2).unwrap().to_yaml()
    }

    #[test]
    fn text_is_kept() {
        assert_eq!(yaml("condarc = 'a: 1'"), "a: 1\n");
        assert_eq!(yaml("condarc = '''\na: 1\n'''"), "a: 1\n");
        assert_eq!(yaml("condarc = {}"), "{}\n");
    }

    #[test]
    fn a_table_becomes_yaml_in_its_order() {
        let toml = r#"
            [condarc]
            channels = ["conda-forge", "https://h.example/c", "a: b", "no", "1.0"]
            auto_activate_base = false
            remote_max_retries = 0x10
            timeout = 9.15
            big = 1e300
            small = 1e-300
            empty = []
            nothing = {}
            "odd key" = "line\nbreak \" \\"
            nested = [[1, 2], [{ a = true, b = [] }]]
            [condarc.custom]
            z = "é"
        "#;
        let expected = "channels:\n  - conda-forge\n  - https://h.example/c\n  - \"a: b\"\n  - \"no\"\n  - \"1.0\"\n\
            auto_activate_base: false\nremote_max_retries: 16\ntimeout: 9.15\nbig: 1.0e+300\nsmall: 1.0e-300\n\
            empty: []\nnothing: {}\n\
            \"odd key\": \"line\\nbreak \\\" \\\\\"\nnested:\n  -\n    - 1\n    - 2\n  -\n    -\n      a: true\n      b: []\n\
            custom:\n  z: \"é\"\n";
        assert_eq!(yaml(toml), expected);
    }
}
