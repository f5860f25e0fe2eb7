//! Records as the solver wants them.

use conda::package::DistArchiveIdentifier;
use conda::{PackageRecord, RepoDataRecord, Subdir};
use url::Url;

/// A record with all its types; `None` where rattler would not read it either. `base_url` is where the
/// packages of its folder are, `channel` what the record is to say of its channel.
pub(super) fn typed(
    record: &str,
    file: &str,
    subdir: Subdir,
    base_url: &Url,
    channel: &Url,
) -> Option<RepoDataRecord> {
    let mut package_record: PackageRecord = serde_json::from_str(record).ok()?;
    if package_record.subdir.is_empty() {
        subdir.as_str().clone_into(&mut package_record.subdir);
    }
    Some(RepoDataRecord {
        package_record,
        identifier: file.parse::<DistArchiveIdentifier>().ok()?,
        url: base_url.join(file).ok()?,
        channel: Some(channel.to_string()),
    })
}
