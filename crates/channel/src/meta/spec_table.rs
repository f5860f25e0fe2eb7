//! What records ask for, each text once: most of conda-forge's dependencies are the same few thousand.

use std::collections::HashMap;

use conda::{MatchSpec, PackageName, ParseMatchSpecOptions, RepodataRevision};

/// One of the specs in [`Specs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SpecId(pub(super) u32);

/// All specs that were come across.
#[derive(Debug, Default)]
pub(super) struct Specs {
    ids: HashMap<Box<str>, SpecId>,
    specs: Vec<Spec>,
}

/// A spec and what it means.
#[derive(Debug)]
pub(super) struct Spec {
    /// As the record has it.
    pub(super) text: Box<str>,
    /// The package's name, normalized.
    pub(super) name: Box<str>,
    /// Its meaning; without one, the name must do, as it does for clients.
    pub(super) meaning: Option<MatchSpec>,
}

impl Specs {
    /// The spec of this text.
    pub(super) fn intern(&mut self, text: &str) -> SpecId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let options = ParseMatchSpecOptions::lenient().with_repodata_revision(RepodataRevision::V3);
        let meaning = MatchSpec::from_str(text, options).ok();
        let name = match &meaning {
            Some(spec) => spec
                .name
                .as_exact()
                .map(PackageName::as_normalized)
                .map(Box::from),
            None => None,
        };
        let name = name.unwrap_or_else(|| {
            PackageName::normalized_name_from_matchspec_str(text)
                .as_ref()
                .into()
        });
        let id = SpecId(u32::try_from(self.specs.len()).unwrap_or(u32::MAX));
        self.specs.push(Spec {
            text: text.into(),
            name,
            meaning,
        });
        self.ids.insert(text.into(), id);
        id
    }

    /// A spec.
    pub(super) fn get(&self, id: SpecId) -> &Spec {
        &self.specs[id.0 as usize]
    }
}

impl Spec {
    /// Whether machines provide it, and not channels.
    pub(super) fn is_virtual(&self) -> bool {
        self.name.starts_with("__")
    }

    /// Whether it counts only where a condition holds (CEP 43), which nobody knows here.
    pub(super) fn is_conditional(&self) -> bool {
        self.meaning
            .as_ref()
            .is_some_and(|spec| spec.condition.is_some())
    }
}
