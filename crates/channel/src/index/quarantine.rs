//! `quarantine.json`: what is named like a package and is in no output, with the reason.

use super::update::Platform;
use crate::Error;
use crate::json::write_text;
use crate::publish::{Folder, Rank};

/// The file's name.
const FILE: &str = "quarantine.json";

/// Offers the file, or withdraws it where nothing is left out.
pub(super) fn offer(platforms: &[Platform], folder: &mut Folder) -> Result<(), Error> {
    let mut text = "{\"packages\":[".to_owned();
    let mut first = true;
    for platform in platforms {
        for skipped in platform.skipped.values() {
            text.push_str(if first { "\n" } else { ",\n" });
            first = false;
            let members = [
                ("{\"subdir\":", &platform.name),
                (",\"file\":", &skipped.file),
                (",\"reason\":", &skipped.reason),
            ];
            for (key, value) in members {
                text.push_str(key);
                write_text(value, &mut text);
            }
            text.push('}');
        }
    }
    if first {
        folder.withdraw(FILE);
        return Ok(());
    }
    text.push_str("\n],\"version\":1}\n");
    folder.offer(FILE, Rank::Aside, text.as_bytes())
}
