//! What a request says about the state that its sender knows, and about the part that it wants (RFC 9110,
//! sections 13 and 14).

use std::time::SystemTime;

use http::header::{
    ACCEPT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    RANGE,
};
use http::{HeaderMap, HeaderName};

use crate::digests::Coding;

/// What is to be sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// From the first byte to before the second one.
    Part(u64, u64),
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: the client speaks of another state.
    Failed,
    /// Nothing: the part lies behind the end.
    Unsatisfiable,
}

/// Decides what a client gets, who names states and a part.
pub(crate) fn wanted(
    headers: &HeaderMap,
    is_get: bool,
    tag: &str,
    modified: SystemTime,
    length: u64,
) -> Wanted {
    // The dates of HTTP are whole seconds.
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map(|it| it.as_secs())
    };
    let later_than = |time: SystemTime| seconds(modified).ok() > seconds(time).ok();
    if headers.contains_key(IF_MATCH) {
        if !names(headers, &IF_MATCH, tag, false) {
            return Wanted::Failed;
        }
    } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(later_than) {
        return Wanted::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if names(headers, &IF_NONE_MATCH, tag, true) {
            return Wanted::NotModified;
        }
    } else if date(headers, &IF_MODIFIED_SINCE).is_some_and(|date| !later_than(date)) {
        return Wanted::NotModified;
    }
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    match range {
        Some(range) if is_get && may_be_part(headers, tag, modified) => part(range, length),
        _ => Wanted::All,
    }
}

/// Whether a field lists the tag, or any. Compared weakly, `W/` does not count; strongly, whoever has it is another one.
fn names(headers: &HeaderMap, field: &HeaderName, tag: &str, weakly: bool) -> bool {
    headers.get_all(field).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.trim() == "*" || tags(text).any(|(weak, found)| found == tag && (weakly || !weak))
    })
}

/// The tags of a list, with their quotes: commas may stand inside.
fn tags(mut text: &str) -> impl Iterator<Item = (bool, &str)> {
    std::iter::from_fn(move || {
        text = text.trim_start_matches([' ', '\t', ',']);
        let weak = text.strip_prefix("W/");
        let rest = weak.unwrap_or(text);
        let end = rest.strip_prefix('"')?.find('"')? + 2;
        let (tag, after) = rest.split_at_checked(end)?;
        text = after;
        Some((weak.is_some(), tag))
    })
}

fn date(headers: &HeaderMap, field: &HeaderName) -> Option<SystemTime> {
    let text = headers.get(field)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()
}

/// `If-Range`: the part is of use only if the client has the rest of the same state.
fn may_be_part(headers: &HeaderMap, tag: &str, modified: SystemTime) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text.starts_with(['"', 'W']) {
        return text == tag;
    }
    // Only an exact date, and one that no second change can hide behind.
    let old = SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age.as_secs() > 1);
    old && text == httpdate::fmt_http_date(modified)
}

/// One range of bytes. Of several the whole file is sent, as of what is no range.
fn part(text: &str, length: u64) -> Wanted {
    let Some(range) = text.trim().strip_prefix("bytes=").map(str::trim) else {
        return Wanted::All;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::All;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Larger than any file is as good as the largest number.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first, number(first), last, number(last)) {
        ("", None, _, Some(count)) => match count.min(length) {
            0 => Wanted::Unsatisfiable,
            count => Wanted::Part(length - count, length),
        },
        (_, Some(first), "", None) if first < length => Wanted::Part(first, length),
        (_, Some(first), _, Some(last)) if first <= last && first < length => {
            Wanted::Part(first, last.saturating_add(1).min(length))
        }
        (_, Some(first), _, Some(last)) if first > last => Wanted::All,
        (_, Some(_), "", None) | (_, Some(_), _, Some(_)) => Wanted::Unsatisfiable,
        _ => Wanted::All,
    }
}

/// The codings that a client reads, the one that it likes best first.
pub(crate) fn codings(headers: &HeaderMap) -> Vec<Coding> {
    let mut zstd = None;
    let mut gzip = None;
    let mut any = None;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = weight.trim().strip_prefix("q=").unwrap_or_default();
            let weight: f32 = weight.trim().parse().unwrap_or(0.0);
            match name.trim().to_ascii_lowercase().as_str() {
                "zstd" => zstd = Some(weight),
                "gzip" | "x-gzip" => gzip = Some(weight),
                "*" => any = Some(weight),
                _ => {}
            }
        }
    }
    let weight = |named: Option<f32>| named.or(any).unwrap_or(0.0);
    let mut codings = vec![(weight(zstd), Coding::Zstd), (weight(gzip), Coding::Gzip)];
    codings.retain(|(weight, _)| *weight > 0.0);
    codings.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    codings.into_iter().map(|(_, coding)| coding).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::HeaderValue;

    use super::*;

    const TAG: &str = "\"abc\"";
    const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const LATER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";
    const EARLIER: &str = "Sun, 09 Sep 2001 01:46:39 GMT";

    fn ask(fields: &[(&'static str, &'static str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let modified = UNIX_EPOCH + Duration::new(1_000_000_000, 900_000_000);
        wanted(&headers, true, TAG, modified, 100)
    }

    #[test]
    fn states() {
        use Wanted::{All, Failed, NotModified};
        for (fields, expected) in [
            (&[][..], All),
            (&[("if-none-match", "\"abc\"")], NotModified),
            (&[("if-none-match", "W/\"abc\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (
                &[("if-none-match", "\"x\" , W/\"y,\",\"abc\"")],
                NotModified,
            ),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")],
                NotModified,
            ),
            (&[("if-none-match", "abc")], All),
            (&[("if-none-match", "\"abcd\"")], All),
            (&[("if-none-match", "\"abc")], All),
            (&[("if-modified-since", DATE)], NotModified),
            (&[("if-modified-since", LATER)], NotModified),
            (&[("if-modified-since", EARLIER)], All),
            (&[("if-modified-since", "yesterday")], All),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", DATE)],
                All,
            ),
            (&[("if-match", "\"abc\"")], All),
            (&[("if-match", "*")], All),
            (&[("if-match", "W/\"abc\"")], Failed),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-unmodified-since", DATE)], All),
            (&[("if-unmodified-since", EARLIER)], Failed),
        ] {
            assert_eq!(ask(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn parts() {
        use Wanted::{All, NotModified, Part, Unsatisfiable};
        for (range, expected) in [
            ("bytes=0-0", Part(0, 1)),
            ("bytes=10-19", Part(10, 20)),
            ("bytes=10-", Part(10, 100)),
            ("bytes=-10", Part(90, 100)),
            ("bytes=-1000", Part(0, 100)),
            ("bytes=99-1000", Part(99, 100)),
            ("bytes=0-99999999999999999999999", Part(0, 100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=100-200", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=20-10", All),
            ("bytes=1-2,4-5", All),
            ("bytes=", All),
            ("bytes=-", All),
            ("bytes=+1-2", All),
            ("bytes=a-b", All),
            ("lines=1-2", All),
        ] {
            assert_eq!(ask(&[("range", range)]), expected, "{range}");
        }
        let ranged = |condition| ask(&[("range", "bytes=1-2"), condition]);
        assert_eq!(ranged(("if-range", TAG)), Part(1, 3));
        assert_eq!(ranged(("if-range", "W/\"abc\"")), All);
        assert_eq!(ranged(("if-range", "\"x\"")), All);
        assert_eq!(ranged(("if-range", DATE)), Part(1, 3));
        assert_eq!(ranged(("if-range", LATER)), All);
        assert_eq!(ranged(("if-none-match", TAG)), NotModified);
    }

    #[test]
    fn encodings() {
        use Coding::{Gzip, Zstd};
        for (text, expected) in [
            ("", &[][..]),
            ("identity", &[]),
            ("gzip, deflate, br, zstd", &[Zstd, Gzip]),
            ("gzip;q=1.0, zstd;q=0.5", &[Gzip, Zstd]),
            ("zstd;q=0, gzip", &[Gzip]),
            ("*", &[Zstd, Gzip]),
            ("*;q=0.1, zstd;q=0", &[Gzip]),
            ("zstd; q=0.9", &[Zstd]),
            ("zstd;q=much", &[]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            assert_eq!(codings(&headers), expected, "{text}");
        }
    }
}
