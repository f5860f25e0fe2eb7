//! For tests: conda-index and conda themselves, which `cargo xtask test` puts below `target/xtask`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a Python program with conda-index 0.13 and conda 23.10 at hand; `input` is what it reads.
/// Nothing where they are absent, which is said.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn python(program: &str, input: &str) -> Option<String> {
    let place = |variable: &str, folder: &str| {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/xtask/oracles");
        std::env::var_os(variable).map_or_else(|| made.join(folder), PathBuf::from)
    };
    let environment = place("ARCHICONDA_ORACLES", "environment");
    let python = if environment.is_dir() {
        environment.join("bin/python")
    } else {
        environment
    };
    let conda = place("ARCHICONDA_CONDA", "conda");
    if !python.is_file() || !conda.is_dir() {
        assert!(
            std::env::var_os("ARCHICONDA_TEST_STRICT").is_none_or(|value| value != "1"),
            "missing: conda-index"
        );
        eprintln!("skipped, for want of conda-index (cargo xtask test)");
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(python)
        .args(["-c", program])
        .env("PYTHONPATH", conda)
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // It may have failed before it read all.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A file of `../shared/data/repodata`, unpacked; nothing where it is absent, which is said.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn repodata(path: &str) -> Option<String> {
    let root = std::env::var_os("ARCHICONDA_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let Ok(bytes) = fs_err::read(root.join("data/repodata").join(path)) else {
        assert!(
            std::env::var_os("ARCHICONDA_TEST_STRICT").is_none_or(|value| value != "1"),
            "missing: {path}"
        );
        eprintln!("skipped, for want of the shared test data ({path})");
        return None;
    };
    let mut text = String::new();
    if Path::new(path).extension().is_some_and(|end| end == "bz2") {
        let mut decoder = bzip2::read::MultiBzDecoder::new(&*bytes);
        std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text)
}
