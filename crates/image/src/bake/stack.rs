//! The layers of an image from the base upwards, as its manifest, its configuration and the report tell of them.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::Written;
use super::{BakedLayer, BakedPackage, LayerKind};
use crate::base;
use crate::config::Step;
use crate::layer::Packed;
use crate::oci::{Descriptor, Digest};

/// The layers so far.
#[derive(Default)]
pub(super) struct Stack {
    layers: Vec<Layer>,
    steps: Vec<Step>,
}

/// One layer.
pub(super) struct Layer {
    /// What the manifest says of it; none if it was not written.
    descriptor: Option<Descriptor>,
    /// What the user is told of it.
    baked: BakedLayer,
}

impl Layer {
    fn new(kind: LayerKind, packed: &Packed, packages: Vec<BakedPackage>) -> Layer {
        let descriptor = Descriptor::new(packed.media_type, (packed.digest, packed.size));
        let baked = BakedLayer {
            kind,
            digest: Some(packed.digest.to_string()),
            diff_id: Some(packed.diff_id.to_string()),
            size: packed.size,
            unpacked: Some(packed.unpacked),
            cached: false,
            packages,
        };
        Layer {
            descriptor: Some(descriptor),
            baked,
        }
    }

    /// A layer of the base that was read.
    pub(super) fn of_base(packed: &Packed) -> Layer {
        Layer::new(LayerKind::Base, packed, Vec::new())
    }

    /// A layer of the base that was not read: what its image says of it.
    pub(super) fn unread(layer: &base::Layer) -> Layer {
        let baked = BakedLayer {
            digest: layer.digest.map(|digest| digest.to_string()),
            diff_id: Some(layer.diff_id.to_string()),
            size: layer.size,
            ..BakedLayer::planned(LayerKind::Base, Vec::new())
        };
        Layer {
            descriptor: None,
            baked,
        }
    }
}

impl BakedLayer {
    fn planned(kind: LayerKind, packages: Vec<BakedPackage>) -> BakedLayer {
        BakedLayer {
            kind,
            digest: None,
            diff_id: None,
            size: packages.iter().map(|package| package.size).sum(),
            unpacked: None,
            cached: false,
            packages,
        }
    }
}

impl Stack {
    /// Those of a base: its own configuration tells how they came about.
    pub(super) fn of_base(layers: impl Iterator<Item = Layer>) -> Stack {
        Stack {
            layers: layers.collect(),
            steps: Vec::new(),
        }
    }

    /// Puts a layer on top that is not written.
    pub(super) fn plan(&mut self, kind: LayerKind, packages: Vec<BakedPackage>) {
        self.layers.push(Layer {
            descriptor: None,
            baked: BakedLayer::planned(kind, packages),
        });
    }

    /// Puts a layer of ours on top.
    pub(super) fn push(
        &mut self,
        kind: LayerKind,
        packed: &Packed,
        packages: Vec<BakedPackage>,
        cached: bool,
    ) {
        let called = |package: &BakedPackage| match &package.env {
            Some(env) => format!("{} ({env})", package.name),
            None => package.name.clone(),
        };
        let names: Vec<String> = packages.iter().map(called).collect();
        let comment = match kind {
            LayerKind::Files => "files that belong to no package".to_owned(),
            LayerKind::Scripts => "what scripts of packages changed".to_owned(),
            LayerKind::Base | LayerKind::Debs | LayerKind::Packages => names.join(" "),
        };
        self.steps.push(Step {
            diff_id: packed.diff_id,
            comment,
        });
        let mut layer = Layer::new(kind, packed, packages);
        layer.baked.cached = cached;
        self.layers.push(layer);
    }

    /// Puts a layer of conda's packages on top, which later runs know by what it is made of.
    pub(super) fn push_packages(&mut self, written: Written) {
        let Written {
            packed,
            packages,
            key,
            cached,
        } = written;
        self.push(LayerKind::Packages, &packed, packages, cached);
        self.annotate([(base::INPUTS, key.to_string())]);
    }

    /// Says in the manifest what later runs want to know of the layer on top.
    pub(super) fn annotate<const N: usize>(&mut self, annotations: [(&str, String); N]) {
        let last = self.layers.last_mut();
        if let Some(descriptor) = last.and_then(|one| one.descriptor.as_mut()) {
            let annotations = annotations.map(|(key, value)| (key.to_owned(), value));
            descriptor.annotations = Some(BTreeMap::from(annotations));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.layers.len()
    }

    /// How those of ours came about.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the manifest says of them.
    pub(super) fn descriptors(&self) -> Vec<Descriptor> {
        let descriptors = self.layers.iter();
        descriptors
            .filter_map(|layer| layer.descriptor.clone())
            .collect()
    }

    /// The digests of those that the base has.
    pub(super) fn digests_of_base(&self) -> BTreeSet<Digest> {
        let base = self.layers.iter();
        let base = base.filter(|layer| layer.baked.kind == LayerKind::Base);
        base.filter_map(|layer| Some(layer.descriptor.as_ref()?.digest))
            .collect()
    }

    /// What the user is told of them.
    pub(super) fn into_baked(self) -> Vec<BakedLayer> {
        self.layers.into_iter().map(|layer| layer.baked).collect()
    }
}
