//! The product as a user meets it: the real executables, run on channels that the tests make
//! themselves and on real packages. One module for each command; what all of them use is in
//! `support`.

mod build;
mod channel;
mod completions;
mod damage;
mod image;
mod index;
mod index_outputs;
mod install;
mod meta;
mod pages;
mod repack;
mod repack_wheels;
mod serve;
mod support;
mod transfer;
mod verify;
