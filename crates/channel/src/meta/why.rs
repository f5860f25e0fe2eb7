//! Why a package is in a meta-channel, or is not.

use std::collections::BTreeSet;

use conda::MatchSpec;
use fetch::Client;
use spec::{Keep, MetaChannel};

use super::candidate::Id;
use super::closure::{Asker, Reason};
use super::spec_table::SpecId;
use super::{Compiled, Cut, Error, Options, ReportTo};

/// What is told of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The platform.
    pub platform: String,
    /// The packages that were asked about, the newest first.
    pub packages: Vec<Told>,
}

/// What is told of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `SUBDIR/FILE`
    pub package: String,
    /// What the definition calls its channel.
    pub channel: String,
    /// The way to it: a root first, then each package that asks for the next one, with the spec that it asks
    /// with. `None` where the package is left out.
    pub way: Option<Vec<(String, String)>>,
    /// Why it is left out.
    pub cut: Option<Cut>,
}

/// Tells why the packages that a spec means stay or are left out. It is an error if there are none on any platform.
pub fn why(
    definition: &MetaChannel,
    client: &Client,
    options: &Options,
    wanted: &MatchSpec,
    report: ReportTo<'_>,
) -> Result<Vec<Answer>, Error> {
    let name = wanted
        .name
        .as_exact()
        .map(|name| name.as_normalized().to_owned());
    let (upstream, rules) = super::load(definition, client, options, name.as_deref(), report)?;
    let mut compiled = super::compile(definition, &upstream, &rules, options, report)?;
    if definition.keep != Keep::default() && options.proof {
        super::prove(definition, &upstream, &mut compiled, report)?;
    }
    let mut answers = Vec::new();
    for one in &mut compiled {
        let mut packages = Vec::new();
        if let Some(name) = &name {
            let slot = one.pool.slot(name, &rules);
            let asked = one.asked(name);
            for id in one.pool.ids().filter(|id| id.slot == slot) {
                if one.pool.fits(wanted, one.pool.get(id)) {
                    packages.push(one.tell(&upstream, &asked, id));
                }
            }
        }
        answers.push(Answer {
            platform: one.platform.to_string(),
            packages,
        });
    }
    if answers.iter().all(|answer| answer.packages.is_empty()) {
        let known: BTreeSet<&str> = compiled.iter().flat_map(|one| one.pool.names()).collect();
        let name = name.filter(|name| !known.contains(name.as_str()));
        let near = name.and_then(|name| spec::nearest(&name, known.into_iter()));
        return Err(Error::NoPackage {
            wanted: wanted.to_string(),
            near: near.map(str::to_owned),
        });
    }
    Ok(answers)
}

impl Compiled<'_> {
    fn tell(&self, upstream: &super::Upstream, asked: &BTreeSet<SpecId>, id: Id) -> Told {
        let candidate = self.pool.get(id);
        let listing = self.pool.listing(candidate);
        let way = self.way(id);
        let cut = match (&way, &candidate.cut, self.closure.dead_end(id)) {
            (Some(_), _, _) => None,
            (None, Some(cut), _) => Some(cut.clone()),
            (None, None, Some(spec)) => {
                Some(Cut::DeadEnd(self.pool.specs.get(spec).text.to_string()))
            }
            (None, None, None) if self.is_selected(asked, id) => Some(Cut::Keep),
            (None, None, None) => Some(Cut::Unreached),
        };
        Told {
            package: self.label(id),
            channel: upstream.channels[listing.channel].text.clone(),
            way,
            cut,
        }
    }

    /// The specs of what stays, and of the definition, that are about a name.
    fn asked(&self, name: &str) -> BTreeSet<SpecId> {
        let kept = self.closure.kept().ids().map(|kept| self.pool.get(kept));
        let asked = kept.flat_map(|kept| self.pool.asked(kept));
        asked
            .chain(&self.roots)
            .copied()
            .filter(|spec| &*self.pool.specs.get(*spec).name == name)
            .collect()
    }

    /// Whether any of these specs means a package.
    fn is_selected(&self, asked: &BTreeSet<SpecId>, id: Id) -> bool {
        asked.iter().any(|spec| {
            let meaning = self.pool.specs.get(*spec).meaning.as_ref();
            meaning.is_none_or(|spec| self.pool.fits(spec, self.pool.get(id)))
        })
    }

    /// The way from a root to a package that stays.
    fn way(&self, id: Id) -> Option<Vec<(String, String)>> {
        let mut way = Vec::new();
        let mut at = id;
        loop {
            match self.closure.kept().get(at)? {
                Reason::Solution => {
                    way.push(("the solver".to_owned(), "a solution needs it".to_owned()));
                    break;
                }
                Reason::Selected(asker, spec) => {
                    let spec = self.pool.specs.get(*spec).text.to_string();
                    match asker {
                        Asker::Root => {
                            way.push(("the definition".to_owned(), spec));
                            break;
                        }
                        Asker::Package(by) => {
                            way.push((self.label(*by), spec));
                            at = *by;
                        }
                    }
                }
            }
        }
        way.reverse();
        Some(way)
    }

    fn label(&self, id: Id) -> String {
        let candidate = self.pool.get(id);
        format!(
            "{}/{}",
            self.pool.subdir(candidate),
            self.pool.file(candidate)
        )
    }
}
