//! What the commands take from the environment, besides their options.

use std::str::FromStr;

use anyhow::anyhow;

use crate::exit::{Exit, Failure};

/// The time that artefacts bear, in seconds since 1970:
/// <https://reproducible-builds.org/specs/source-date-epoch/>
pub(crate) fn source_date_epoch<T: FromStr>() -> Result<Option<T>, Failure> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    text.trim().parse().map(Some).map_err(|_| {
        let error = anyhow!("SOURCE_DATE_EPOCH is `{text}`, not a number of seconds");
        Failure::new(Exit::Usage, error)
    })
}
