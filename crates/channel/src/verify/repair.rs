//! Packages that are damaged or gone are fetched again.

use std::collections::HashMap;
use std::path::Path;

use super::{Error, Event, Fault, Listing, Repair, Report, ReportTo, packages};
use crate::meta::place;
use crate::origins::Origins;
use crate::promise::Promise;

/// Fetches what is wrong among the packages, and looks at it again in its place.
pub(super) fn repair(
    channel: &Path,
    origins: Option<&Origins>,
    repair: &Repair<'_>,
    listings: &[Listing],
    found: &mut Report,
    report: ReportTo<'_>,
) -> Result<(), Error> {
    let wrong: HashMap<String, usize> = (found.problems.iter().enumerate())
        .map(|(number, problem)| (problem.path.clone(), number))
        .collect();
    for listing in listings {
        for row in 0..u32::try_from(listing.records.len()).unwrap_or(u32::MAX) {
            let file = listing.records.file(row);
            let path = format!("{}/{file}", listing.subdir);
            let problem = wrong.get(&path);
            let Some(problem) = problem.and_then(|number| found.problems.get_mut(*number)) else {
                continue;
            };
            let url = match (&repair.from, origins) {
                (Some(from), _) => from.join(&path).ok(),
                (None, Some(origins)) => origins.url(&listing.subdir, file),
                (None, None) => None,
            };
            let url = url.ok_or_else(|| Error::NoOrigin {
                path: channel.to_owned(),
            })?;
            let promise = Promise::of(listing.records.record(row));
            let wanted = promise.wanted(file, url);
            // A package in the tree may be the very file that the store has.
            repair.client.recheck(&wanted)?;
            let fetched = repair
                .client
                .packages(&[wanted], &|event| report(Event::Fetch(event)))?;
            let to = listing.folder.join(file);
            let length = || fs_err::metadata(&to).map_or(0, |metadata| metadata.len());
            let before = length();
            for package in fetched {
                place(&package.path, &to, channel).map_err(|source| Error::Write {
                    path: to.clone(),
                    source,
                })?;
            }
            problem.is_repaired = packages::read(&to, &promise, &|_| ()).is_none();
            let mut subdirs = found.subdirs.iter_mut();
            let subdir = subdirs.find(|subdir| subdir.name == listing.subdir);
            if let (true, Some(subdir)) = (problem.is_repaired, subdir) {
                subdir.packages += usize::from(problem.fault == Fault::Missing);
                subdir.bytes = subdir.bytes.saturating_sub(before) + length();
            }
        }
    }
    Ok(())
}
