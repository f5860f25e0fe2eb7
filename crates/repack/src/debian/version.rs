//! Debian's versions in conda's terms. `1:2.3.4~rc1+dfsg-5+deb12u1` is epoch, upstream version and
//! revision (Debian policy, 5.6.12); a conda package bears the upstream version.

/// The upstream version as conda allows it: numbers, letters, `.`, `_`, `+` and `!` only, and
/// without what Debian appends to say that it took something out.
pub(crate) fn conda_version(debian: &str) -> String {
    let (_, version) = debian.split_once(':').unwrap_or(("", debian));
    let upstream = version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream);
    let mut upstream = upstream;
    for added in [
        "+dfsg", "+ds", "~dfsg", "+really", "+nmu", "+debian", ".dfsg", "+repack", "~deb", "+deb",
    ] {
        upstream = upstream.split(added).next().unwrap_or(upstream);
    }
    // `~` orders before the end in Debian, as a word does in conda.
    let text: String = upstream
        .chars()
        .map(|letter| match letter {
            '~' | '-' => '.',
            letter if letter.is_ascii_alphanumeric() || "._+!".contains(letter) => {
                letter.to_ascii_lowercase()
            }
            _ => '_',
        })
        .collect();
    let text = text.trim_matches(['.', '_', '+', '!']);
    if text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        text.to_owned()
    } else {
        format!("0.{text}")
    }
}

/// The run export of a library that stays compatible while the first `pin` numbers are the same:
/// `>=3.0.15,<3.1.0a0` for 2 (conda-build's `pin_compatible`).
pub(crate) fn compatible(version: &str, pin: usize) -> String {
    let numbers = version.split('.').map(|part| {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        part.get(..end.unwrap_or(part.len()))
            .unwrap_or_default()
            .parse::<u64>()
    });
    let mut numbers: Vec<u64> = numbers.map_while(Result::ok).take(pin.max(1)).collect();
    match numbers.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => return format!(">={version}"),
    }
    let next: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!(">={version},<{}.0a0", next.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_versions() {
        let cases = [
            ("3.11.2-6+deb12u6", "3.11.2"),
            ("1:1.2.13.dfsg-1", "1.2.13"),
            ("2.38.1-5+deb12u3", "2.38.1"),
            ("20230311+deb12u1", "20230311"),
            ("20250419~deb12u2", "20250419"),
            ("5.4.1-1", "5.4.1"),
            ("3.0.0~rc1-2", "3.0.0.rc1"),
            ("1.46.6~rc1-1.1+b1", "1.46.6.rc1"),
            ("2025b-0+deb12u2", "2025b"),
            ("8.2-1.3", "8.2"),
            ("~", "0."),
        ];
        for (debian, conda) in cases {
            assert_eq!(conda_version(debian), conda, "{debian}");
        }
    }

    #[test]
    fn run_exports_end_before_the_next_incompatible_version() {
        assert_eq!(compatible("3.0.15", 1), ">=3.0.15,<4.0a0");
        assert_eq!(compatible("3.0.15", 2), ">=3.0.15,<3.1.0a0");
        assert_eq!(compatible("2025b", 1), ">=2025b,<2026.0a0");
        assert_eq!(compatible("odd", 1), ">=odd");
    }
}
