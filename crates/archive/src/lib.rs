//! Byte formats, over `Read`, `Write`, `Seek` and positioned reads: conda packages
//! ([`package`]), the payload of our installers ([`payload`]) and the digests of both
//! ([`digest`]). Knows no conda semantics (what a record means is `conda`'s), opens no path.

pub mod digest;
pub mod package;
pub mod payload;
