//! The crate against a real server on the loopback interface, which can be told to misbehave.

mod documents;
mod environment;
mod packages;
mod property;
mod refusals;
mod repodata;
mod resume;
mod secrets;
mod support;
