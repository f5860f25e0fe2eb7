//! `quarantine.json`: what is named like a package and is in no output, with the reason.

use super::update::{Platform, Scope};
use super::{Context, Skipped};
use crate::Error;
use crate::json::{Json, write_text};
use crate::publish::{Folder, Rank};

/// The file's name.
const FILE: &str = "quarantine.json";

/// In a run that looks at few files, the others are left out for the reasons that were told before.
pub(super) fn carry(context: &Context<'_>, platform: &mut Platform) {
    if matches!(platform.scope, Scope::Whole) {
        return;
    }
    let there = context.output.read(FILE).ok().flatten();
    let Some(Ok(Json::Map(mut told))) = there.map(|text| Json::parse(&text)) else {
        return;
    };
    let Some(Json::List(packages)) = told.remove("packages") else {
        return;
    };
    for package in packages {
        let Json::Map(mut members) = package else {
            continue;
        };
        let mut text = |key| match members.remove(key) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        };
        let (Some(subdir), Some(file), Some(reason)) =
            (text("subdir"), text("file"), text("reason"))
        else {
            continue;
        };
        if subdir == platform.name && !platform.concerns(context, &file) && !platform.has(&file) {
            let skipped = Skipped {
                file: file.clone(),
                reason,
            };
            platform.skipped.entry(file).or_insert(skipped);
        }
    }
}

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
