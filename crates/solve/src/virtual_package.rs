//! The virtual packages that a distribution may rely on: a plain baseline per platform, raised by
//! the spec's `virtual_specs`. Never what the building machine has (CEP 30 defines the names).

use conda::{
    EqualityOperator, GenericVirtualPackage, LogicalOperator, MatchSpec, RangeOperator,
    StrictRangeOperator, StringMatcher, Subdir, Version, VersionBumpType, VersionSpec,
};

/// The oldest systems that an installer is expected to run on: glibc 2.17 and Linux 3.10 are those
/// of `CentOS` 7, which conda-forge's compilers still target.
const LINUX: &[(&str, &str)] = &[("__unix", "0"), ("__linux", "3.10"), ("__glibc", "2.17")];
const OSX_64: &[(&str, &str)] = &[("__unix", "0"), ("__osx", "10.13")];
const OSX_ARM64: &[(&str, &str)] = &[("__unix", "0"), ("__osx", "11.0")];
const WINDOWS: &[(&str, &str)] = &[("__win", "10.0")];
const UNIX: &[(&str, &str)] = &[("__unix", "0")];

/// The virtual packages of `platform`, with `overrides` applied in order. A spec with a version
/// raises (or lowers) the package to the lowest version that it allows; one with an exact build
/// sets the build (`__archspec=1=x86_64_v3`); a name that the baseline lacks (`__cuda >=11.8`) is
/// added. A version that already fits stays. A spec that no version can satisfy changes nothing.
pub fn virtual_packages(platform: Subdir, overrides: &[MatchSpec]) -> Vec<GenericVirtualPackage> {
    let baseline = match platform {
        Subdir::NoArch => &[],
        Subdir::Osx64 => OSX_64,
        Subdir::OsxArm64 => OSX_ARM64,
        _ if platform.is_linux() => LINUX,
        _ if platform.is_windows() => WINDOWS,
        _ if platform.is_unix() => UNIX,
        _ => &[],
    };
    let mut packages: Vec<GenericVirtualPackage> = baseline
        .iter()
        .filter_map(|(name, version)| package(name, version, "0"))
        .collect();
    if let Some(microarchitecture) = microarchitecture(platform) {
        packages.extend(package("__archspec", "1", microarchitecture));
    }
    for spec in overrides {
        apply(spec, &mut packages);
    }
    packages
}

/// `archspec`'s name of the oldest CPU of the platform.
fn microarchitecture(platform: Subdir) -> Option<&'static str> {
    Some(match platform.as_str() {
        "linux-64" | "osx-64" | "win-64" => "x86_64",
        "linux-32" | "win-32" => "x86",
        "linux-aarch64" | "win-arm64" => "aarch64",
        "osx-arm64" => "m1",
        "linux-ppc64le" => "ppc64le",
        "linux-ppc64" => "ppc64",
        "linux-s390x" => "s390x",
        "linux-riscv64" => "riscv64",
        "linux-armv7l" | "linux-armv6l" => "arm",
        _ => return None,
    })
}

fn package(name: &str, version: &str, build: &str) -> Option<GenericVirtualPackage> {
    Some(GenericVirtualPackage {
        name: name.parse().ok()?,
        version: version.parse().ok()?,
        build_string: build.parse().ok()?,
    })
}

fn apply(spec: &MatchSpec, packages: &mut Vec<GenericVirtualPackage>) {
    let Some(name) = spec.name.as_exact() else {
        return;
    };
    if !name.as_normalized().starts_with("__") {
        return;
    }
    let build = match &spec.build {
        Some(StringMatcher::Exact(build)) => build.parse().ok(),
        _ => None,
    };
    let existing = packages
        .iter_mut()
        .find(|package| package.name.as_normalized() == name.as_normalized());
    if let Some(existing) = existing {
        if let Some(version) = lowest(spec.version.as_ref(), Some(&existing.version)) {
            existing.version = version;
        }
        if let Some(build) = build {
            existing.build_string = build;
        }
        return;
    }
    if let Some(version) = lowest(spec.version.as_ref(), None)
        && let Some(mut added) = package(name.as_normalized(), "0", "0")
    {
        added.version = version;
        if let Some(build) = build {
            added.build_string = build;
        }
        packages.push(added);
    }
}

/// `current` where it fits, else the lowest bound in `spec` that fits.
fn lowest(spec: Option<&VersionSpec>, current: Option<&Version>) -> Option<Version> {
    let zero = "0".parse::<Version>().ok();
    let Some(spec) = spec else {
        return current.cloned().or(zero);
    };
    let mut candidates = Vec::new();
    bounds(spec, &mut candidates);
    candidates.sort();
    if current.is_none() {
        candidates.extend(zero);
    }
    current
        .into_iter()
        .chain(&candidates)
        .find(|version| spec.matches(version))
        .cloned()
}

/// Each version that `spec` mentions, and the next one where it excludes the mentioned one.
fn bounds(spec: &VersionSpec, found: &mut Vec<Version>) {
    match spec {
        VersionSpec::Range(RangeOperator::Greater, version) => {
            found.extend(version.bump(VersionBumpType::Last).ok());
        }
        VersionSpec::Range(_, version) | VersionSpec::Exact(EqualityOperator::Equals, version) => {
            found.push(version.clone());
        }
        VersionSpec::StrictRange(
            StrictRangeOperator::StartsWith | StrictRangeOperator::Compatible,
            version,
        ) => found.push(Version::from(version.clone())),
        VersionSpec::Any
        | VersionSpec::None
        | VersionSpec::StrictRange(..)
        | VersionSpec::Exact(..) => {}
        VersionSpec::Group(LogicalOperator::And | LogicalOperator::Or, specs) => {
            for spec in specs {
                bounds(spec, found);
            }
        }
    }
}
