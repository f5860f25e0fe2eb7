//! What the produced installers do on the target: the real files, run by real shells, compared
//! with what rattler, conda and the user expect.

mod contents;
mod damage;
mod dialogue;
mod existing;
mod failure;
mod keep;
mod memory;
mod options;
mod oracle;
mod peers;
mod prefix;
mod real;
mod scripts;
mod stopped;
mod support;
