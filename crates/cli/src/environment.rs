//! What the commands take from the environment, besides their options.

use std::str::FromStr;

use anyhow::anyhow;

use crate::exit::{Exit, Failure};

/// The time that artefacts bear, in seconds since 1970:
/// <https://reproducible-builds.org/specs/source-date-epoch/>
pub(crate) fn source_date_epoch<T: FromStr>() -> Result<Option<T>, Failure> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    parse(&text).map(Some).ok_or_else(|| {
        let error = anyhow!("SOURCE_DATE_EPOCH is `{text}`, not a number of seconds since 1970");
        Failure::new(Exit::Usage, error)
    })
}

/// Formats that write a date have four digits for the year.
fn parse<T: FromStr>(text: &str) -> Option<T> {
    const LAST: u64 = 253_402_300_799;
    let text = text.trim();
    let seconds: u64 = text.parse().ok()?;
    (seconds <= LAST).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_time_is_one_that_can_be_written() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 1700000000\n", Some(1_700_000_000)),
            ("253402300799", Some(253_402_300_799)),
            ("253402300800", None),
            ("99999999999999999999", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(parse::<i64>(text), expected, "{text:?}");
        }
    }
}
