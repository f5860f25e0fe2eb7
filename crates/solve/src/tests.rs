//! Tests of the whole crate: what a spec, a channel and a list come to.

mod explicit;
mod lock;
mod order;
mod solve;
mod support;
mod virtual_package;
