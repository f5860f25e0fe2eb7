//! What would be in an image: a dry run reads records and fetches no package.

use std::collections::{BTreeMap, HashSet};

use conda::RepoDataRecord;

use super::ground::Ground;
use super::packages::Packages;
use super::platform::{Job, dist};
use super::{BakedImage, BakedPackage, LayerKind};
use crate::error::Error;
use crate::group::{Subject, group};

impl Job<'_> {
    /// The image as it would be, with the packages that each layer would hold.
    pub(super) fn dry(&self, ground: Ground, packages: &Packages) -> Result<BakedImage, Error> {
        let records = self.records(packages);
        let subjects: Vec<Subject<'_>> = records
            .iter()
            .map(|(record, package)| Subject {
                name: record.package_record.name.as_normalized(),
                noarch: record.package_record.subdir == "noarch",
                prefetched: package.prefetched,
            })
            .collect();
        let groups = group(&subjects, self.budget(), packages.prefetched.is_some());
        let mut stack = ground.stack;
        self.check_layers(stack.len(), groups.len() + 1)?;
        for members in groups {
            let packages = members.iter().map(|&member| records[member].1.clone());
            stack.plan(LayerKind::Packages, packages.collect());
        }
        stack.plan(LayerKind::Files, Vec::new());
        let layers = stack.into_baked();
        Ok(BakedImage {
            platform: self.platform,
            engine_platform: self.engine.to_string(),
            digest: None,
            id: None,
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
            not_compiled: BTreeMap::new(),
            skipped_scripts: Vec::new(),
            emulated_scripts: Vec::new(),
            first_run_scripts: Vec::new(),
            trimmed: BTreeMap::new(),
            unneeded: BTreeMap::new(),
            unconfigured: Vec::new(),
            made: Vec::new(),
        })
    }

    /// All packages, as the layers of a dry run have them.
    fn records<'p>(&self, packages: &'p Packages) -> Vec<(&'p RepoDataRecord, BakedPackage)> {
        let described = |record, env: Option<&String>, prefetched| {
            let package = BakedPackage {
                name: dist(record),
                size: record.package_record.size.unwrap_or(0),
                env: env.cloned(),
                prefetched,
            };
            (record, package)
        };
        let base = packages.installed.records();
        let mut records: Vec<_> = base.iter().map(|one| described(one, None, false)).collect();
        for (name, env) in &packages.envs {
            let env = env.records.iter();
            records.extend(env.map(|one| described(one, Some(name), false)));
        }
        let keep = self.recipe.distribution.target(self.platform).keep_pkgs;
        let kept = packages.envs.values().filter(|_| keep);
        let mut known: HashSet<String> = base.iter().map(dist).collect();
        for resolution in packages.prefetched.iter().chain(kept) {
            for record in &resolution.records {
                if known.insert(dist(record)) {
                    records.push(described(record, None, true));
                }
            }
        }
        records
    }
}
