//! Why an installation failed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::relocate;

/// Why an installation failed. Unless [`Error::Undo`] says otherwise, everything is as it was
/// before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The installer file is damaged or cannot be read.
    #[error("the installer cannot be used")]
    Payload {
        /// What is wrong with it.
        #[source]
        source: archive::payload::Error,
    },
    /// A verified frame cannot be decoded.
    #[error("frame {frame} of the installer cannot be decoded")]
    Decode {
        /// Its number.
        frame: usize,
        /// The decoder's reason.
        #[source]
        source: io::Error,
    },
    /// The plan needs what this runtime does not know.
    #[error("this installer needs `{field}`, which its own program does not know")]
    Unsupported {
        /// The field of the plan.
        field: &'static str,
    },
    /// The plan contradicts itself: a mistake of the program that made the installer, or an attack.
    #[error("the plan of this installer is wrong: {problem}")]
    Plan {
        /// What is wrong with it.
        problem: String,
    },
    /// A path of the plan that leads outside the prefix, or nowhere.
    #[error("`{owner}` has the path `{path}`, which may lead outside the prefix")]
    Outside {
        /// The package, or the part of the plan.
        owner: String,
        /// The path.
        path: String,
    },
    /// Something else lies where a directory is needed.
    #[error("`{path}` is not a directory, but files are to be written below it")]
    NotDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The prefix cannot be put into a file.
    #[error("the prefix cannot be written into `{path}` of `{package}`")]
    Relocate {
        /// The package.
        package: String,
        /// The file, relative to the prefix.
        path: String,
        /// Why.
        #[source]
        source: relocate::Problem,
    },
    /// A file, link or directory cannot be made.
    #[error("cannot write `{path}`")]
    Write {
        /// Its final path.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A file or directory cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Its path.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A file or directory cannot be removed.
    #[error("cannot remove `{path}`")]
    Remove {
        /// Its path.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A file or directory cannot be moved to its place.
    #[error("cannot move `{from}` to `{to}`")]
    Move {
        /// Where it is.
        from: PathBuf,
        /// Where it should be.
        to: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The prefix exists and the user did not ask to install into it.
    #[error("`{path}` exists and is not an empty directory")]
    PrefixExists {
        /// The prefix.
        path: PathBuf,
    },
    /// A folder of the prefix that somebody moved elsewhere.
    #[error(
        "`{path}` is a link to a folder elsewhere, which the installation would take the place of: move that folder back, or choose another prefix"
    )]
    LinkedFolder {
        /// The link.
        path: PathBuf,
    },
    /// A folder of the prefix on which something else is mounted.
    #[error(
        "`{path}` is on another file system than the prefix, so nothing can be moved into it: unmount it, or choose another prefix"
    )]
    OtherFileSystem {
        /// The folder.
        path: PathBuf,
    },
    /// The prefix is not an absolute path in UTF-8.
    #[error("`{path}` cannot be a prefix: it must be an absolute path in UTF-8")]
    Prefix {
        /// The prefix.
        path: PathBuf,
    },
    /// Somebody else installs into this prefix at this moment.
    #[error("another installation into `{prefix}` is under way")]
    Locked {
        /// The prefix.
        prefix: PathBuf,
    },
    /// A folder with the name that the installation needs belongs to another user.
    #[error("`{path}` is in the way and belongs to another user")]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with the name that the installation needs was not made by one.
    #[error("`{path}` is in the way: no installation made it")]
    InTheWay {
        /// The folder.
        path: PathBuf,
    },
    /// The notes that a killed installation left cannot be understood.
    #[error("`{path}` was left by an interrupted installation and cannot be understood")]
    Journal {
        /// The file.
        path: PathBuf,
    },
    /// The user, or the system, asked to stop.
    #[error("the installation was interrupted")]
    Cancelled,
    /// A script cannot be started.
    #[error("cannot run the {script}")]
    ScriptStart {
        /// Which one.
        script: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A script failed.
    #[error("the {script} failed: {status}")]
    Script {
        /// Which one.
        script: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// After a failure, what was there before could not be brought back.
    #[error("{failure}; then, `{prefix}` could not be put back to what it was")]
    Undo {
        /// Why the installation failed.
        failure: Box<Error>,
        /// The prefix.
        prefix: PathBuf,
        /// What stood in the way.
        #[source]
        source: Box<Error>,
    },
}
