//! Executes a [`plan`] on the user's machine.

pub mod command;
mod compile;
mod error;
mod event;
pub mod lay;
mod path;
pub mod plan;
mod record;
pub mod relocate;
pub mod tree;

pub use error::Error;
pub use event::Event;
