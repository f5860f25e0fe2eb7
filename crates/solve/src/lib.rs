//! From specs and records to a lock: `Request` → `solve` → records in the order in which they
//! are installed → `lock::Lock` → text, and back. Explicit lists enter at `explicit::parse` and
//! `order`. The only crate that names rattler's solver and lock format. Values in, values out: it
//! opens no file, no socket, and never asks the machine what it is.

mod error;
pub mod explicit;
pub mod lock;
mod order;
mod request;
mod virtual_package;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use order::{MissingDependency, order};
pub use request::{Request, solve};
pub use virtual_package::virtual_packages;
