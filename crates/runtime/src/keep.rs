//! `pkgs/urls` and `pkgs/urls.txt`, from which conda knows where the packages in `pkgs/` come from
//! (constructor's preconda.py writes both).

use std::fmt::Write as _;

use crate::lay::Laid;
use crate::plan::PackageHead;

/// One URL per line.
pub const URLS_TXT: &str = "pkgs/urls.txt";

/// One URL per line, with `#MD5`.
pub const URLS: &str = "pkgs/urls";

/// What both files say after this installation, given what they said before.
pub fn urls<'a>(
    packages: impl Iterator<Item = (&'a PackageHead, &'a Laid)>,
    before: &str,
    md5: bool,
) -> String {
    let mut text = before.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (head, laid) in packages {
        let line = match &laid.md5 {
            Some(digest) if md5 => format!("{}#{digest}", head.url),
            _ => head.url.clone(),
        };
        if !before.lines().any(|known| known == line) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}
