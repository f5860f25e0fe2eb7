//! Times as the outputs write them, in UTC: computed, so that no clock and no zone is asked.

use std::fmt;

/// 9999-12-31T23:59:59. Times beyond it are taken for milliseconds, as conda-index does
/// (`_make_seconds`).
const LAST_SECOND: i64 = 253_402_300_799;

const DAY: i64 = 86_400;

/// Seconds since 1970 of a record's `timestamp`, which may be in milliseconds.
pub(crate) fn seconds(timestamp: i64) -> i64 {
    if timestamp > LAST_SECOND {
        timestamp / 1000
    } else {
        timestamp
    }
}

/// The same in milliseconds.
pub(crate) fn milliseconds(timestamp: i64) -> i64 {
    if timestamp > LAST_SECOND {
        timestamp
    } else {
        timestamp.saturating_mul(1000)
    }
}

/// `2023-11-14`. Times that have no such form print nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day(pub(crate) i64);

/// `Tue, 14 Nov 2023 03:47:35 GMT` (RFC 822 with four digits for the year).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail(pub(crate) i64);

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !is_writable(self.0) {
            return Ok(());
        }
        let (year, month, day) = civil(self.0.div_euclid(DAY));
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let time = if is_writable(self.0) { self.0 } else { 0 };
        let days = time.div_euclid(DAY);
        let (year, month, day) = civil(days);
        let name = |names: &[&'static str], position: i64| {
            usize::try_from(position)
                .ok()
                .and_then(|position| names.get(position).copied())
                .unwrap_or_default()
        };
        let rest = time.rem_euclid(DAY);
        write!(
            formatter,
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            name(&DAYS, days.rem_euclid(7)),
            name(&MONTHS, month - 1),
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

/// Whether the time has a year of four digits.
fn is_writable(seconds: i64) -> bool {
    (0..=LAST_SECOND).contains(&seconds)
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar: counted from
/// March of the year 0, so that leap days end the years, in periods of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let period = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + period * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{Day, Mail, seconds};

    #[test]
    fn times_are_written_as_other_programs_write_them() {
        // GNU date's answers.
        for (time, day, mail) in [
            (0, "1970-01-01", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_699_933_655, "2023-11-14", "Tue, 14 Nov 2023 03:47:35 GMT"),
            (951_782_400, "2000-02-29", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "2000-03-01", "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_399, "2100-02-28", "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "2100-03-01", "Mon, 01 Mar 2100 00:00:00 GMT"),
            (
                253_402_300_799,
                "9999-12-31",
                "Fri, 31 Dec 9999 23:59:59 GMT",
            ),
        ] {
            assert_eq!(Day(time).to_string(), day);
            assert_eq!(Mail(time).to_string(), mail);
        }
    }

    #[test]
    fn absurd_times_are_no_dates() {
        for time in [-1, i64::MIN, 253_402_300_800, i64::MAX] {
            assert_eq!(Day(time).to_string(), "");
            assert_eq!(Mail(time).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
        }
        assert_eq!(seconds(1_699_933_655_123), 1_699_933_655);
        assert_eq!(seconds(1_699_933_655), 1_699_933_655);
        assert_eq!(seconds(-5), -5);
    }
}
