//! A compiler and a linker for static musl executables of either CPU, without root and without a
//! foreign architecture in apt.
//!
//! Where rustup has the target's standard library, or can fetch it, that compiler is used.
//! Elsewhere Debian's `rustc-web` (kept current to build browsers, with the sources of the standard
//! library) is unpacked privately and builds the library itself. C code, linking and libc come from
//! zig, which `PyPI` carries. Building is left to `runtime`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::place::{self, Workspace};
use crate::{apt, process, python};

/// zig's version is pinned: its name for a target and its default flags do change.
const ZIG: &str = "ziglang==0.17.1";

/// What a cargo command needs to build for musl targets.
pub(crate) struct Toolchain {
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Toolchain {
    /// Sets a cargo command up.
    pub(crate) fn apply(&self, cargo: &mut Command) {
        cargo
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .args(&self.arguments);
    }
}

/// Makes sure that everything is there for these Rust targets.
pub(crate) fn prepare(workspace: &Workspace, targets: &[&str]) -> Result<Toolchain> {
    let folder = workspace.work("toolchain")?;
    let mut variables = Vec::new();
    let mut arguments = Vec::new();
    if !rustup_provides(targets) {
        let compiler = process::timed("Debian's Rust compiler", || debian(&folder))?;
        variables.push(("RUSTC".to_owned(), process::text(&compiler)?.to_owned()));
        // Building the standard library is unstable; a stable compiler does it when told to.
        variables.push(("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned()));
        arguments.extend([
            "-Zbuild-std=std,panic_abort".to_owned(),
            // No backtraces: a stripped executable that aborts has none to print.
            "-Zbuild-std-features=".to_owned(),
        ]);
    }
    let zig = process::timed("zig", || zig(&folder))?;
    let cache = folder.join("zig-cache");
    for variable in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
        variables.push((variable.to_owned(), process::text(&cache)?.to_owned()));
    }
    let archiver = script(
        &folder.join("bin/zig-ar"),
        &format!("exec {zig} ar \"$@\"\n"),
    )?;
    for target in targets {
        arguments.extend(["--target".to_owned(), (*target).to_owned()]);
        let compiler = script(
            &folder.join("bin/cc").with_extension(target),
            &c_compiler(&zig, target),
        )?;
        let lower = target.replace('-', "_");
        let upper = lower.to_uppercase();
        variables.extend([
            (format!("CC_{lower}"), compiler.clone()),
            (format!("AR_{lower}"), archiver.clone()),
            (format!("CARGO_TARGET_{upper}_LINKER"), compiler),
            (
                format!("CARGO_TARGET_{upper}_RUSTFLAGS"),
                // zig brings the start files, libc and the unwinder.
                "-Clink-self-contained=no -Ctarget-feature=+crt-static".to_owned(),
            ),
        ]);
    }
    Ok(Toolchain {
        variables,
        arguments,
    })
}

/// Asks rustup for what it lacks; none of it need be there.
fn rustup_provides(targets: &[&str]) -> bool {
    let has_all = || targets.iter().all(|target| rustup_has(target));
    if has_all() {
        return true;
    }
    let mut add = Command::new("rustup");
    add.args(["target", "add"]).args(targets);
    process::quietly(&mut add).is_ok() && has_all()
}

fn rustup_has(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    process::output(&mut rustc).is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Unpacks Debian's compiler and returns a script that runs it.
fn debian(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("rustc-web");
    place::once(&root, "rustc-web", |root| {
        apt::refresh()?;
        let version = apt::candidate("rustc-web")?;
        let library = dependency("libstd-rust-web-dev", &version, "libstd-rust-web-")?;
        let llvm = dependency(&library, &version, "libllvm")?;
        let mut packages: Vec<String> = [
            "rustc-web",
            "libstd-rust-web-dev",
            library.as_str(),
            "rust-web-src",
        ]
        .iter()
        .map(|package| format!("{package}={version}"))
        .collect();
        packages.push(llvm);
        let downloads = root.join("downloads");
        fs::create_dir_all(&downloads)?;
        for package in apt::download(&packages, &downloads)? {
            let is_source = package
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("rust-web-src"));
            let members: &[&str] = if is_source {
                &[
                    "--wildcards",
                    "./usr/lib/rustlib/src/*",
                    "./usr/src/rustc-*/library/*",
                    "./usr/src/rustc-*/Cargo.*",
                ]
            } else {
                &["--exclude=./usr/share/*"]
            };
            apt::unpack(&package, root, members)?;
        }
        place::remove(&downloads)
    })?;
    let mut libraries = None;
    for entry in fs::read_dir(root.join("usr/lib"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("-linux-gnu") {
            libraries = Some(path);
        }
    }
    let libraries = libraries.context("Debian's compiler came without its libraries")?;
    let wrapper = folder.join("bin/rustc");
    let body = format!(
        "LD_LIBRARY_PATH={} exec {} \"$@\"\n",
        process::text(&libraries)?,
        process::text(&root.join("usr/bin/rustc"))?
    );
    script(&wrapper, &body)?;
    process::quietly(Command::new(&wrapper).arg("-vV")).context(
        "Debian's compiler does not run (as root: apt-get install libz3-4 libedit2 libxml2)",
    )?;
    Ok(wrapper)
}

fn dependency(package: &str, version: &str, prefix: &str) -> Result<String> {
    apt::depends(package, version)?
        .into_iter()
        .find(|name| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        })
        .with_context(|| format!("{package} {version} depends on no {prefix}*"))
}

/// Installs zig and returns its path.
fn zig(folder: &Path) -> Result<String> {
    let environment = folder.join("zig");
    place::once(&environment, ZIG, |environment| {
        python::environment(environment, &[ZIG])
    })?;
    let zig = python::packages(&environment)?.join("ziglang/zig");
    if !zig.is_file() {
        bail!("{ZIG} holds no {}", zig.display());
    }
    Ok(process::text(&zig)?.to_owned())
}

/// zig has its own names for targets and does not know the ones that Rust's `cc` crate passes.
fn c_compiler(zig: &str, target: &str) -> String {
    let own = target.replace("-unknown", "");
    format!(
        r#"count=$#
while [ "$count" -gt 0 ]; do
  argument=$1; shift; count=$((count - 1))
  case $argument in --target=*) ;; *) set -- "$@" "$argument" ;; esac
done
exec {zig} cc -target {own} "$@"
"#
    )
}

/// Writes a small shell script and returns its path. An unchanged script is left alone.
fn script(path: &Path, body: &str) -> Result<String> {
    let text = format!("#!/bin/sh\n{body}");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if !fs::read_to_string(path).is_ok_and(|old| old == text) {
        fs::write(path, text)?;
        fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(process::text(path)?.to_owned())
}
