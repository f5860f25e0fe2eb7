//! Which crate may depend on which. Dependencies of tests are free.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use super::{none, root};

/// Our crates, bottom up, and those of ours that each may name. Every edge leads to a lower row.
const EDGES: &[(&str, &[&str])] = &[
    ("conda", &[]),
    ("archive", &[]),
    ("debian", &[]),
    ("spec", &["conda"]),
    ("solve", &["conda"]),
    ("runtime", &["archive"]),
    ("fetch", &["conda"]),
    (
        "installer",
        &["archive", "conda", "fetch", "runtime", "solve", "spec"],
    ),
    ("channel", &["archive", "conda", "fetch", "solve", "spec"]),
    (
        "image",
        &[
            "archive",
            "conda",
            "debian",
            "fetch",
            "installer",
            "runtime",
            "spec",
        ],
    ),
    (
        "repack",
        &[
            "archive",
            "channel",
            "conda",
            "debian",
            "fetch",
            "installer",
        ],
    ),
    ("serve", &["archive", "channel", "conda", "fetch", "spec"]),
    (
        "cli",
        &[
            "archive",
            "channel",
            "conda",
            "fetch",
            "image",
            "installer",
            "repack",
            "runtime",
            "serve",
            "solve",
            "spec",
        ],
    ),
    ("fuzz", &["archive", "channel"]),
    ("xtask", &["archive"]),
];

/// Foreign crates that are kept in one place, and the place. Whatever is called `rattler*` and is
/// not listed belongs nowhere yet.
const OWNERS: &[(&str, &[&str])] = &[
    ("rattler_conda_types", &["conda"]),
    ("rattler_digest", &["conda"]),
    ("rattler_solve", &["solve"]),
    ("rattler_lock", &["solve"]),
    ("rattler_networking", &["fetch"]),
    ("rattler_repodata_gateway", &["fetch"]),
    ("reqwest", &["fetch"]),
    ("reqwest-middleware", &["fetch"]),
    ("astral-reqwest-middleware", &["fetch"]),
    ("tokio", &["fetch", "serve"]),
    ("object_store", &["fetch"]),
    ("tokio-postgres", &["fetch"]),
    ("tokio-postgres-rustls", &["fetch"]),
    ("rustls", &["fetch", "serve"]),
    ("tokio-rustls", &["serve"]),
    ("hyper", &["serve"]),
    ("hyper-util", &["serve"]),
    ("rattler", &["installer"]),
    ("toml", &["channel", "image", "repack", "serve", "spec"]),
    ("clap", &["cli", "xtask"]),
    ("indicatif", &["cli"]),
    ("anyhow", &["cli", "xtask"]),
    ("rusqlite", &["channel"]),
    ("pgp", &["debian"]),
];

/// Most crates in the runtime's tree, itself included and macros not: what is below it may end up
/// in every installer. A third of them only read packages and are dropped when it is linked.
const RUNTIME_TREE: usize = 33;

#[test]
fn our_crates_depend_downwards() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|one| name(one))
        .collect();
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name(package)) else {
            findings.push(format!("{} has no row in EDGES", name(package)));
            continue;
        };
        for dependency in shipped(package).filter(|one| ours.contains(one)) {
            if !allowed.contains(&dependency) {
                findings.push(format!("{} may not depend on {dependency}", name(package)));
            }
        }
    }
    none("edges that ARCHITECTURE.md does not have", &findings);
}

#[test]
fn the_table_leads_downwards_and_names_real_crates() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|one| name(one))
        .collect();
    for (index, (package, allowed)) in EDGES.iter().enumerate() {
        assert!(
            ours.contains(package),
            "EDGES has a row for {package}, which is gone"
        );
        for lower in *allowed {
            let below = EDGES[..index].iter().any(|(known, _)| known == lower);
            assert!(below, "{package} depends on {lower}, which is not below it");
        }
    }
}

#[test]
fn foreign_crates_stay_with_their_owner() {
    let metadata = metadata();
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in shipped(package) {
            let allowed = match OWNERS.iter().find(|(known, _)| *known == dependency) {
                Some((_, owners)) => owners.contains(&name(package)),
                None => !dependency.starts_with("rattler"),
            };
            if !allowed {
                findings.push(format!("{} may not name {dependency}", name(package)));
            }
        }
    }
    none("foreign crates outside their place", &findings);
}

#[test]
fn the_runtime_stays_small() {
    // Cargo's own resolution for this one crate: the metadata of a workspace unites features.
    let tree = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--package",
            "runtime",
            "--edges",
            "normal,no-proc-macro",
        ])
        .args([
            "--target",
            "aarch64-unknown-linux-musl",
            "--prefix",
            "none",
            "--no-dedupe",
        ])
        .args(["--format", "{p}"])
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let text = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        crates.contains("runtime") && crates.contains("archive"),
        "{crates:?}"
    );
    assert!(
        crates.len() <= RUNTIME_TREE,
        "{} crates in the runtime's tree: {crates:?}",
        crates.len()
    );
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

fn name(package: &Package) -> &str {
    package.name.as_str()
}

/// The names of what goes into the crate itself.
fn shipped(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|one| one.kind != DependencyKind::Development)
        .map(|one| one.name.as_str())
}
