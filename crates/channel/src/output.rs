//! What a channel offers besides its packages: one module for each file, a function from sorted records
//! to bytes. No file, no clock and no socket is touched here.

pub(crate) mod channeldata;
pub(crate) mod compress;
pub(crate) mod current;
pub(crate) mod date;
pub(crate) mod html;
pub(crate) mod icons;
#[cfg(test)]
pub(crate) mod oracle;
pub(crate) mod patch;
pub(crate) mod repodata;
pub(crate) mod rss;
pub(crate) mod run_exports;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod shards;
