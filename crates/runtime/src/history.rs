//! `conda-meta/history`: what was installed when, and what the user asked for. conda takes the
//! user's specs from here (conda/history.py: headers `==> TIME <==`, comments `# cmd:` and
//! `# update specs:`, changes `+` and `-`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::lay::Laid;
use crate::plan::Plan;

/// Its path, relative to the prefix.
pub const PATH: &str = "conda-meta/history";

/// The entry for one installation. `before` is what the file says so far; records in `replaced`
/// (`NAME-VERSION-BUILD`) are no longer there.
pub fn entry(
    plan: &Plan,
    laid: &[Laid],
    before: &str,
    replaced: &[String],
    command_line: &str,
    now: u64,
) -> String {
    let mut text = format!("==> {} <==\n", time(now));
    // One line, whatever the arguments are.
    let command_line = command_line.replace(['\n', '\r'], " ");
    let _ = writeln!(text, "# cmd: {command_line}");
    let removed: BTreeSet<String> = replaced
        .iter()
        .filter_map(|dist| {
            let added = |line: &&str| line.starts_with('+') && line.ends_with(&format!("::{dist}"));
            before
                .lines()
                .rev()
                .find(added)
                .map(|line| format!("-{}", &line[1..]))
        })
        .collect();
    let added: BTreeSet<String> = plan
        .packages
        .iter()
        .zip(laid)
        .map(|(head, laid)| format!("+{}/{}::{}", head.channel, head.subdir, laid.dist))
        .collect();
    for line in removed.iter().chain(&added) {
        text.push_str(line);
        text.push('\n');
    }
    let specs: Vec<String> = plan.update_specs.iter().map(|spec| quoted(spec)).collect();
    if !specs.is_empty() {
        let _ = writeln!(text, "# update specs: [{}]", specs.join(", "));
    }
    text
}

/// A Python string literal, which conda reads with `ast.literal_eval`.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut literal = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            _ => {
                if character == quote || character == '\\' {
                    literal.push('\\');
                }
                literal.push(character);
            }
        }
    }
    literal.push(quote);
    literal
}

/// `YYYY-MM-DD HH:MM:SS` in UTC; conda compares none of it.
fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years from March on, so that the leap day is the last of its year; day 0 is 0000-03-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_546_300_799, "2018-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }

    #[test]
    fn specs_are_python_literals() {
        for (spec, expected) in [
            ("python", "'python'"),
            ("python[version='>=3']", "\"python[version='>=3']\""),
            ("a'\"b\\", "'a\\'\"b\\\\'"),
        ] {
            assert_eq!(quoted(spec), expected);
        }
    }
}
