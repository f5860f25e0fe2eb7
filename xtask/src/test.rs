//! test
use anyhow::Result;
use crate::place::Workspace;
#[derive(clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(_: &Workspace, _: &Options) -> Result<()> { Ok(()) }
