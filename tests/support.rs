//! What the tests share: packages made from text, channels, a server that misbehaves on request,
//! running executables, and pictures of folders. Each test works in a [`run::Place`] of its own.

pub(crate) mod browser;
pub(crate) mod bucket;
pub(crate) mod channel;
pub(crate) mod database;
pub(crate) mod package;
pub(crate) mod rattler;
pub(crate) mod raw;
pub(crate) mod requirements;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod serving;
pub(crate) mod tree;
