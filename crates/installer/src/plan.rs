//! From records and scanned packages to the plan that the target executes. Pure: no file, clock
//! or environment; the same input gives the same plan.

mod clobber;
mod entries;
mod record;
mod requirements;

#[cfg(test)]
mod tests;

use rattler::install::PythonInfo;

use conda::{RepoDataRecord, Subdir};
use runtime::plan::{
    Dialogue, Entry, Package, PackageHead, Plan, PrefixRules, Python, Scripts, Text, Work,
};

use crate::scan::{Bytes, Item, ItemKind, Scan};

pub use clobber::Clobber;
pub use entries::Error as EntryError;

/// One package to plan for.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Its record, with the URL and channel that the prefix will name.
    pub record: &'a RepoDataRecord,
    /// What was found in it.
    pub scan: &'a Scan,
    /// The frame number of each of [`Scan::parts`].
    pub frames: &'a [usize],
}

/// What a distribution says, with files read and defaults filled in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the distribution.
    pub name: String,
    /// Version of the distribution.
    pub version: String,
    /// The CPU and system.
    pub platform: Subdir,
    /// The default prefix, variables not expanded.
    pub default_prefix: String,
    /// Refuse prefixes with spaces.
    pub check_path_spaces: bool,
    /// What the installer says and asks.
    pub dialogue: Dialogue,
    /// Small files of the prefix.
    pub texts: Vec<Text>,
    /// The user's specs.
    pub update_specs: Vec<String>,
    /// Scripts of the distribution.
    pub scripts: Scripts,
    /// Keep extracted packages.
    pub keep_packages: bool,
    /// The oldest glibc that the packages were solved for.
    pub glibc: Option<String>,
    /// Files of `extra_files`.
    pub extra: Vec<Extra>,
}

/// A file of `extra_files`.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Path relative to the prefix.
    pub path: String,
    /// Its bytes; `part` is a frame number.
    pub bytes: Bytes,
}

/// The whole plan, and what the builder's user should know.
#[derive(Debug)]
pub struct Planned {
    /// The plan; the `plan` of each [`PackageHead`] is still the package's position.
    pub plan: Plan,
    /// The packages' own plans, in the plan's order.
    pub packages: Vec<Package>,
    /// Paths that several packages have.
    pub clobbers: Vec<Clobber>,
}

/// Plans an installation of `inputs`, which stand in dependency order. `frame_sizes` are the
/// decoded sizes of all frames.
pub fn plan(
    settings: &Settings,
    inputs: &[Input<'_>],
    frame_sizes: &[u64],
) -> Result<Planned, EntryError> {
    let python = python(settings.platform, inputs)?;
    let mut packages = Vec::with_capacity(inputs.len());
    for input in inputs {
        packages.push(package(settings, input, python.as_ref())?);
    }
    let extra: Vec<Entry> = settings.extra.iter().map(entries::extra).collect();
    let clobbers = clobber::resolve(&mut packages, &extra, &settings.texts)?;
    let heads: Vec<PackageHead> = inputs
        .iter()
        .zip(&packages)
        .enumerate()
        .map(|(position, (input, package))| record::head(position, input.record, package))
        .collect();
    let plan = Plan {
        name: settings.name.clone(),
        version: settings.version.clone(),
        platform: settings.platform.to_string(),
        requires: requirements::requirements(settings, inputs),
        prefix: PrefixRules {
            default: settings.default_prefix.clone(),
            check_spaces: settings.check_path_spaces,
            longest: requirements::longest_prefix(&packages),
        },
        dialogue: settings.dialogue.clone(),
        work: work(inputs, &extra, frame_sizes),
        need: requirements::need(&packages, &extra, &settings.texts),
        need_kept: requirements::need_kept(&packages),
        packages: heads,
        extra,
        texts: settings.texts.clone(),
        update_specs: settings.update_specs.clone(),
        scripts: settings.scripts.clone(),
        python: python.as_ref().map(|info| Python {
            version: format!("{}.{}", info.short_version.0, info.short_version.1),
            executable: info.path.to_string_lossy().into_owned(),
            site_packages: info.site_packages_path.to_string_lossy().into_owned(),
        }),
        keep_packages: settings.keep_packages,
        menus: Vec::new(),
        environments: Vec::new(),
        signatures: Vec::new(),
    };
    Ok(Planned {
        plan,
        packages,
        clobbers,
    })
}

/// The layout of the Python among the packages, by rattler's rule.
fn python(platform: Subdir, inputs: &[Input<'_>]) -> Result<Option<PythonInfo>, EntryError> {
    let Some(input) = inputs.iter().find(|input| name(input.record) == "python") else {
        return Ok(None);
    };
    PythonInfo::from_python_record(&input.record.package_record, platform)
        .map(Some)
        .map_err(|error| EntryError::PythonVersion {
            package: record::dist(input.record),
            reason: error.to_string(),
        })
}

fn package(
    settings: &Settings,
    input: &Input<'_>,
    python: Option<&PythonInfo>,
) -> Result<Package, EntryError> {
    let noarch_python = input.record.package_record.noarch.is_python();
    let layout = match (noarch_python, python) {
        (false, _) => None,
        (true, Some(python)) => Some(python),
        (true, None) => {
            let package = record::dist(input.record);
            return Err(EntryError::NoPython { package });
        }
    };
    let entries = entries::prefix(input, layout)?;
    let package_name = name(input.record);
    let script = |kind: &str| {
        let path = format!("bin/.{package_name}-{kind}.sh");
        entries
            .iter()
            .any(|entry| entry.path == path)
            .then_some(path)
    };
    Ok(Package {
        dist: record::dist(input.record),
        record: record::body(input),
        requested_specs: record::requested_specs(&settings.update_specs, package_name),
        scripts: runtime::plan::LinkScripts {
            pre_link: script("pre-link"),
            post_link: script("post-link"),
        },
        info: entries::package_folder(input)?,
        compile: layout.is_some(),
        entries,
    })
}

/// Largest first, so that no long frame starts last; equal ones in their order in the file.
fn work(inputs: &[Input<'_>], extra: &[Entry], frame_sizes: &[u64]) -> Vec<Work> {
    let mut work: Vec<Work> = Vec::new();
    let mut add = |frame: usize, package: Option<usize>, info: bool| {
        if work.len() <= frame {
            work.resize_with(frame + 1, || Work {
                frame: 0,
                packages: Vec::new(),
                info: true,
            });
        }
        let item = &mut work[frame];
        item.frame = frame;
        item.info &= info;
        item.packages.extend(package);
    };
    for (position, input) in inputs.iter().enumerate() {
        for (part, &frame) in input.scan.parts.iter().zip(input.frames) {
            add(frame, Some(position), part.info);
        }
    }
    for entry in extra {
        if let runtime::plan::Kind::File(file) = &entry.kind {
            add(file.frame, None, false);
        }
    }
    let size = |item: &Work| frame_sizes.get(item.frame).copied().unwrap_or(0);
    work.sort_by_key(|item| (std::cmp::Reverse(size(item)), item.frame));
    work
}

fn name(record: &RepoDataRecord) -> &str {
    record.package_record.name.as_normalized()
}
