//! The crate against a real server on the loopback interface, which can be told to misbehave.

mod environment;
mod packages;
mod property;
mod refusals;
mod repodata;
mod resume;
mod secrets;
mod support;
