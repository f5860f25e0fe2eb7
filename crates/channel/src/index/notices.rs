//! `notices.json` (CEP 6): what the people behind the channel tell those who use it. They write it, and it
//! goes where the other files go.

use super::Context;
use crate::Error;
use crate::publish::{Folder, Rank};

/// The file's name.
pub(super) const FILE: &str = "notices.json";

/// Offers the file where the outputs lie elsewhere, or withdraws it where it is gone.
pub(super) fn offer(context: &Context<'_>, folder: &mut Folder) -> Result<(), Error> {
    let channel = &context.channel;
    if channel.identity() == folder.place().identity() {
        return Ok(());
    }
    match channel.read(FILE) {
        Ok(Some(text)) => folder.offer(FILE, Rank::Aside, &text),
        Ok(None) => {
            folder.withdraw_ours(FILE);
            Ok(())
        }
        Err(source) => Err(Error::Read {
            path: channel.path(FILE),
            source,
        }),
    }
}
