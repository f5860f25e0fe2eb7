//! conda's vocabulary, as the rest of the toolset uses it. The only crate that names
//! `rattler_conda_types`: everything about versions, match specs, records and channels that a
//! published library already knows comes from there; what we add is pure and lives in modules
//! beside it. It opens no file, no socket and reads no clock.

pub mod credentials;
pub mod hex;

pub use rattler_conda_types::*;
