//! MessagePack as Python's `msgpack.packb` writes it: the shortest form of every value.

use std::collections::BTreeMap;

use crate::json::Json;

/// Appends a value. An integer that no MessagePack integer holds becomes a float, which is what
/// readers of JSON make of it.
pub(super) fn value(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.push(0xc0),
        Json::Bool(false) => out.push(0xc2),
        Json::Bool(true) => out.push(0xc3),
        Json::Integer(digits) => integer(digits, out),
        Json::Float(number) => float(*number, out),
        Json::Text(text) => string(text, out),
        Json::List(items) => {
            header(items.len(), 0x90, 16, [None, Some(0xdc), Some(0xdd)], out);
            for item in items {
                self::value(item, out);
            }
        }
        Json::Map(members) => map(members, out),
    }
}

pub(super) fn map(members: &BTreeMap<String, Json>, out: &mut Vec<u8>) {
    map_header(members.len(), out);
    for (key, member) in members {
        string(key, out);
        value(member, out);
    }
}

pub(super) fn map_header(length: usize, out: &mut Vec<u8>) {
    header(length, 0x80, 16, [None, Some(0xde), Some(0xdf)], out);
}

pub(super) fn list_header(length: usize, out: &mut Vec<u8>) {
    header(length, 0x90, 16, [None, Some(0xdc), Some(0xdd)], out);
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    header(
        text.len(),
        0xa0,
        32,
        [Some(0xd9), Some(0xda), Some(0xdb)],
        out,
    );
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    binary_header(bytes.len(), out);
    out.extend_from_slice(bytes);
}

pub(super) fn binary_header(length: usize, out: &mut Vec<u8>) {
    header(length, 0, 0, [Some(0xc4), Some(0xc5), Some(0xc6)], out);
}

pub(super) fn unsigned(number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let (marker, length) = match number {
        0..0x80 => (None, 1),
        0x80..0x100 => (Some(0xcc), 1),
        0x100..0x1_0000 => (Some(0xcd), 2),
        0x1_0000..0x1_0000_0000 => (Some(0xce), 4),
        _ => (Some(0xcf), 8),
    };
    out.extend(marker);
    out.extend(bytes.iter().skip(bytes.len() - length));
}

pub(super) fn integer(digits: &str, out: &mut Vec<u8>) {
    match (digits.parse(), digits.parse()) {
        (Ok(number), _) => unsigned(number, out),
        (_, Ok(number)) => negative(number, out),
        _ => float(digits.parse().unwrap_or(f64::MAX), out),
    }
}

fn negative(number: i64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let (marker, length) = match number {
        -32.. => (None, 1),
        -0x80..-32 => (Some(0xd0), 1),
        -0x8000..-0x80 => (Some(0xd1), 2),
        -0x8000_0000..-0x8000 => (Some(0xd2), 4),
        _ => (Some(0xd3), 8),
    };
    out.extend(marker);
    out.extend(bytes.iter().skip(bytes.len() - length));
}

fn float(number: f64, out: &mut Vec<u8>) {
    out.push(0xcb);
    out.extend_from_slice(&number.to_be_bytes());
}

/// A length below `short` goes into the first byte; others follow one of the markers, which are those
/// for one, two and four bytes. Nothing in a channel is longer than 4 GiB.
fn header(length: usize, base: u8, short: usize, markers: [Option<u8>; 3], out: &mut Vec<u8>) {
    let [one, two, four] = markers;
    let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [.., low] = bytes;
    if length < short {
        out.push(base | low);
        return;
    }
    let fitting = [(one, 1, 1 << 8), (two, 2, 1 << 16), (four, 4, usize::MAX)]
        .into_iter()
        .find_map(|(marker, width, bound)| (length < bound).then_some((marker?, width)));
    if let Some((marker, width)) = fitting {
        out.push(marker);
        out.extend(bytes.iter().skip(bytes.len() - width));
    }
}
