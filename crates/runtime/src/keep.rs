//! `pkgs/urls` and `pkgs/urls.txt`, from which conda knows where the packages in `pkgs/` come from
//! (constructor's preconda.py writes both).

use std::fmt::Write as _;

use crate::lay::Laid;
use crate::plan::Plan;

/// One URL per line.
pub(crate) const URLS_TXT: &str = "pkgs/urls.txt";

/// One URL per line, with `#MD5`.
pub(crate) const URLS: &str = "pkgs/urls";

/// What both files say after this installation, given what they said before.
pub(crate) fn urls(plan: &Plan, laid: &[Laid], before: &str, md5: bool) -> String {
    let mut text = before.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (head, laid) in plan.packages.iter().zip(laid) {
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
