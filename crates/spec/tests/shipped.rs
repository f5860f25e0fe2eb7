//! The specifications in `specs/` and the images in `docker/` are what they promise to be.

use std::path::{Path, PathBuf};

use conda::Subdir;
use spec::{Distribution, Initialize, Parsed, Target};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../specs")
}

fn parse(file: &str) -> Parsed {
    let text = std::fs::read_to_string(folder().join(file)).expect("specs/ can be read");
    Distribution::parse(&text).unwrap_or_else(|error| panic!("{}", error.render(file)))
}

fn arm(file: &str) -> (Distribution, Target) {
    let distribution = parse(file).distribution;
    let target = distribution.target(Subdir::LinuxAarch64);
    (distribution, target)
}

#[test]
fn every_specification_is_valid_and_its_files_are_there() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension() != Some("toml".as_ref()) {
            continue;
        }
        count += 1;
        let parsed = parse(&name);
        assert!(parsed.warnings.is_empty(), "{name}");
        for platform in &parsed.distribution.platforms {
            let target = parsed.distribution.target(*platform);
            for file in [target.license_file, target.pre_install, target.post_install]
                .into_iter()
                .flatten()
            {
                assert!(folder().join(&file).is_file(), "{name} names {file}");
            }
        }
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn every_image_is_valid_and_its_installer_is_there() {
    let images = folder().join("../docker");
    let mut count = 0;
    for entry in std::fs::read_dir(&images).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() != Some("toml".as_ref()) {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.display().to_string();
        let parsed = spec::Image::parse(&text).unwrap_or_else(|e| panic!("{}", e.render(&shown)));
        assert!(parsed.warnings.is_empty(), "{shown}");
        let image = parsed.definition;
        let spec = image.installer.as_deref().expect("a spec");
        assert!(images.join(spec).is_file(), "{shown}");
        let target = image.target(Subdir::LinuxAarch64);
        assert!(target.tags.len() == 1, "{shown} has a name");
        if shown.ends_with("archiconda3.toml") {
            assert_eq!(target.prefetch[0].raw, "gcc_linux-aarch64");
            assert_eq!(
                image.target(Subdir::Linux64).prefetch[0].raw,
                "gcc_linux-64"
            );
        }
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn archiconda3() {
    let (distribution, target) = arm("archiconda3.toml");
    assert_eq!(distribution.name, "Archiconda3");
    assert_eq!(
        distribution.platforms,
        [Subdir::LinuxAarch64, Subdir::Linux64]
    );
    assert_eq!(target.channels, ["conda-forge"]);
    assert_eq!(target.requested(), ["python 3.*", "conda", "pip"]);
    assert_eq!(target.virtual_specs[0].raw, "__glibc >=2.17");
    assert_eq!(
        target.condarc_yaml().as_deref(),
        Some("channels:\n  - conda-forge\n")
    );
    assert_eq!(
        target.prefix(&distribution.name),
        "${HOME:-/opt}/archiconda3"
    );
    assert_eq!(target.initialize_conda, Initialize::Classic);
    assert!(!target.initialize_by_default && !target.keep_pkgs);
    let other = Target {
        platform: Subdir::LinuxAarch64,
        ..distribution.target(Subdir::Linux64)
    };
    assert_eq!(other, target);
}

#[test]
fn the_historical_ones() {
    let (distribution, target) = arm("archiconda3-0.2.3.toml");
    assert_eq!(
        (distribution.name.as_str(), distribution.version.as_str()),
        ("Archiconda3", "0.2.3")
    );
    assert_eq!(distribution.platforms, [Subdir::LinuxAarch64]);
    assert_eq!(target.channels, ["c4aarch64", "conda-forge"]);
    assert_eq!(target.requested(), ["python 3.7.1", "conda", "pip"]);
    assert_eq!(
        target.condarc_yaml().as_deref(),
        Some("channels:\n  - c4aarch64\n  - conda-forge\n")
    );

    let (distribution, target) = arm("archiconda2.toml");
    assert_eq!(
        (distribution.name.as_str(), distribution.version.as_str()),
        ("Archiconda2", "0.2.0")
    );
    assert_eq!(target.channels, ["archiarm"]);
    assert_eq!(target.requested(), ["python 2.7.15", "conda", "pip"]);
}

#[test]
fn the_stack_pins_every_package() {
    let (distribution, target) = arm("archiconda3-stack.toml");
    assert_eq!(distribution.platforms, [Subdir::LinuxAarch64]);
    assert_eq!(target.channels, ["c4aarch64", "archiarm", "conda-forge"]);
    assert_eq!(
        target
            .exclude
            .iter()
            .map(conda::PackageName::as_normalized)
            .collect::<Vec<_>>(),
        ["readline"]
    );
    assert_eq!(target.specs.len(), 32);
    for spec in &target.specs {
        let parts: Vec<&str> = spec.raw.split(' ').collect();
        let [name, version, build] = parts[..] else {
            panic!("{} is no pin", spec.raw)
        };
        assert_eq!(spec.name().unwrap().as_normalized(), name);
        assert_eq!(
            spec.match_spec.version.as_ref().unwrap().to_string(),
            format!("=={version}")
        );
        assert_eq!(spec.match_spec.build.as_ref().unwrap().to_string(), build);
    }
    let pinned = |raw: &str| target.specs.iter().any(|spec| spec.raw == raw);
    for raw in [
        "python 3.7.0 hab5db58_3",
        "conda-env 2.6.0 1",
        "libedit 3.1.20170329 hf8c457e_1001",
        "conda 4.5.12 py37_1000",
    ] {
        assert!(pinned(raw), "{raw}");
    }
}
