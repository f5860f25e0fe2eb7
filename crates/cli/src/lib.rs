//! The command line: arguments, progress bars, words, exit codes. Every decision that a caller of
//! the libraries would miss is made below; here is only what a person sees and a shell reads.

mod arguments;
mod channel;
mod completions;
mod environment;
mod exit;
mod image;
mod index;
mod installer;
mod network;
mod progress;
mod repack;
mod run;
mod say;
mod serve;

pub use run::{archiconda, build_installer};
