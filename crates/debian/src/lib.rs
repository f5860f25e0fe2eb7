//! Debian's own rules, as bytes and values: what an archive says ([`release`], [`index`]) and who signed it
//! ([`signature`]), which packages fit together ([`resolve()`]), what is in a `.deb` file ([`deb`]), what its scripts run
//! ([`scripts`]), and the books that dpkg keeps of what is installed ([`books`]). Where files come from and where they go
//! is for others.

pub mod alternatives;
pub mod books;
pub mod control;
pub mod deb;
pub mod index;
pub mod pam;
pub mod relation;
pub mod release;
mod resolve;
pub mod scripts;
pub mod signature;
mod version;

pub use control::Paragraph;
pub use index::{MultiArch, Package, Priority};
pub use relation::{Alternatives, Relation};
pub use resolve::{Conflict, Pool, Unresolved, resolve};
pub use version::Version;
