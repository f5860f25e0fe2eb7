//! What an installation tells while it runs. How that looks is the command line's business.

use std::path::Path;

/// One thing that happened. Events come from several threads.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// What an earlier, interrupted installation had left was undone.
    Recovered {
        /// The prefix that it was for.
        prefix: &'a Path,
    },
    /// What an earlier, interrupted installation had left stays, since somebody has used it.
    Kept {
        /// The prefix that it was for.
        prefix: &'a Path,
    },
    /// Files are about to be written.
    Started {
        /// Number of packages.
        packages: usize,
        /// Bytes to decode.
        bytes: u64,
    },
    /// Progress.
    Decoded {
        /// How many bytes of [`Event::Started`]'s were decoded since the last such event.
        bytes: u64,
    },
    /// A package is complete.
    Package {
        /// `NAME-VERSION-BUILD`.
        dist: &'a str,
    },
    /// Python modules are about to be compiled.
    Compiling {
        /// How many.
        files: usize,
    },
    /// Python could not compile, which is no failure.
    NotCompiled {
        /// What it said, or why it did not run.
        reason: &'a str,
    },
    /// A script is about to run.
    Script {
        /// Which one: `pre_install script`, `post-link script of NAME`.
        script: &'a str,
    },
    /// What a link script says to the user (`.messages.txt`).
    Message {
        /// Name of the package.
        package: &'a str,
        /// Its text.
        text: &'a str,
    },
    /// The output of a link script that failed.
    ScriptOutput {
        /// Which one.
        script: &'a str,
        /// The end of what it wrote.
        text: &'a str,
    },
    /// Something failed, and what was done so far is being undone.
    Undoing,
}
