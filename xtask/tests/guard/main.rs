//! Holds what ARCHITECTURE.md promises about the code's structure: which crate may name which
//! (`edges`), and how files look (`tidy`). A new crate or rule is a new row of a table there.

#![expect(
    clippy::unwrap_used,
    reason = "whatever cannot be read here is a failed test"
)]

mod edges;
mod tidy;

use std::path::{Path, PathBuf};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Fails with all findings at once, one a line.
#[track_caller]
fn none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}
