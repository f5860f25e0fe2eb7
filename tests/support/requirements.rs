//! What the machine must offer for some of the tests. `cargo xtask test` provides it and says
//! where it is; without that, the places where it puts things are tried. A test begins with
//!
//! ```ignore
//! let Some(runtimes) = requirements::runtimes() else { return };
//! ```
//!
//! and so prints one line and passes where something is missing, unless `ARCHICONDA_TEST_STRICT`
//! is set: then it fails.

use std::path::{Path, PathBuf};

/// The folder with `runtime-linux-64` and `runtime-linux-aarch64`.
pub(crate) fn runtimes() -> Option<PathBuf> {
    let whole = |folder: &Path| {
        ["runtime-linux-64", "runtime-linux-aarch64"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    let found = variable("ARCHICONDA_RUNTIMES")
        .or_else(|| Some(workspace().join("target/runtimes")))
        .filter(|folder| whole(folder));
    require("the runtimes (cargo xtask runtime)", found)
}

/// The root folder of an arm64 userland, in which programs run through `chroot`.
pub(crate) fn userland_arm64() -> Option<PathBuf> {
    let made = || finished("userland-arm64", "");
    let found = variable("ARCHICONDA_USERLAND_ARM64").or_else(made);
    require("an arm64 userland (cargo xtask test)", found)
}

/// The root folder of an amd64 userland.
pub(crate) fn userland_amd64() -> Option<PathBuf> {
    let made = || finished("userland-amd64", "");
    let found = variable("ARCHICONDA_USERLAND_AMD64").or_else(made);
    require("an amd64 userland (cargo xtask test)", found)
}

/// A program of the machine; Debian has it in a package that is mostly called so, too.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    require(&format!("the program `{name}`"), found)
}

/// A Python interpreter that has py-rattler and conda-package-handling.
pub(crate) fn oracles() -> Option<PathBuf> {
    let made = || finished("oracles/environment", "bin/python");
    let found = variable("ARCHICONDA_ORACLES").or_else(made);
    require("py-rattler (cargo xtask test)", found)
}

/// A Python interpreter that has moto, an S3-compatible server.
pub(crate) fn bucket_server() -> Option<PathBuf> {
    let has_server = |python: &PathBuf| python.with_file_name("moto_server").is_file();
    let made = || finished("oracles/environment", "bin/python");
    let found = variable("ARCHICONDA_ORACLES").or_else(made);
    require("moto (cargo xtask test)", found.filter(has_server))
}

/// A Python interpreter that has the libraries which read bills of materials.
pub(crate) fn bills() -> Option<PathBuf> {
    let made = || finished("oracles/bills", "bin/python");
    let found = variable("ARCHICONDA_BILLS").or_else(made);
    require(
        "spdx-tools and cyclonedx-python-lib (cargo xtask test)",
        found,
    )
}

/// The folder of PostgreSQL's programs.
pub(crate) fn postgresql() -> Option<PathBuf> {
    require("PostgreSQL (cargo xtask test)", super::database::find())
}

/// A folder for `PYTHONPATH` with which [`oracles`]'s interpreter runs `-m conda`.
pub(crate) fn conda() -> Option<PathBuf> {
    let made = || finished("oracles/conda", "");
    let found = variable("ARCHICONDA_CONDA").or_else(made);
    require("conda (cargo xtask test)", found)
}

/// A folder for what is downloaded to make the bootstrap channel; the network may be used.
pub(crate) fn bootstrap() -> Option<PathBuf> {
    let found = variable("ARCHICONDA_BOOTSTRAP");
    require("a folder for downloads (cargo xtask test)", found)
}

/// A file or folder of the shared test data, by its path below `data/`.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = variable("ARCHICONDA_SHARED").unwrap_or_else(|| workspace().join("../shared"));
    let found = Some(root.join("data").join(path)).filter(|path| path.exists());
    require(&format!("the shared test data ({path})"), found)
}

/// `found`, or one line that says what is missing, or with `ARCHICONDA_TEST_STRICT` a failure.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn require<T>(what: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let strict = std::env::var_os("ARCHICONDA_TEST_STRICT").is_some_and(|value| value == "1");
        assert!(!strict, "missing: {what}");
        eprintln!("skipped, for want of {what}");
    }
    found
}

/// The root of the checkout.
pub(crate) fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs_err::canonicalize(root).expect("the checkout")
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// What `cargo xtask test` has made below `target/xtask`, whole.
fn finished(folder: &str, inside: &str) -> Option<PathBuf> {
    let folder = workspace().join("target/xtask").join(folder);
    let path = folder.join(inside);
    (folder.join(".complete").is_file() && path.exists()).then_some(path)
}
