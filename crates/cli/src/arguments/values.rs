//! What options take that is no mere word or number, and what is said where it cannot be read.

use std::time::Duration;

use conda::Subdir;
use url::Url;

pub(super) fn platform(text: &str) -> Result<Subdir, String> {
    text.parse().map_err(|_| match spec::near_platform(text) {
        Some(near) => format!("there is no such platform; did you mean `{near}`?"),
        None => {
            "there is no such platform; linux-64 and linux-aarch64 are two of conda's".to_owned()
        }
    })
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map_err(|_| "expected a number of seconds".to_owned())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()))
}

/// A number, and `K`, `M`, `G` or `T` for powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let unit = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("expected a size like 500M or 4G".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a size like 500M or 4G".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "that is too much".to_owned())
}

/// A number and `s`, `m`, `h` or `d`; without one, seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86400.0)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(letter, unit)| Some((text.strip_suffix(letter)?, unit)))
        .unwrap_or((text, 1.0));
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a time like 36h or 7d".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

/// `FROM=TO`, both URLs.
pub(super) fn mirror(text: &str) -> Result<(Url, Url), String> {
    let (from, to) = text
        .split_once('=')
        .ok_or("expected two URLs with `=` between them")?;
    let url = |text: &str| Url::parse(text).map_err(|error| format!("`{text}`: {error}"));
    Ok((url(from)?, url(to)?))
}

#[cfg(test)]
mod tests {
    use super::platform;

    #[test]
    fn a_platform_that_there_is_not_is_told_with_the_nearest() {
        assert_eq!(
            platform("noarch").map(|found| found.to_string()),
            Ok("noarch".to_owned())
        );
        for (text, expected) in [
            ("linux-65", "did you mean `linux-64`?"),
            ("aarch64", "did you mean `linux-aarch64`?"),
            ("amiga", "linux-64 and linux-aarch64"),
            ("", "there is no such platform"),
        ] {
            let told = platform(text).expect_err(text);
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
