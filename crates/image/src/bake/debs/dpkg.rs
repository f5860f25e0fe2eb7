//! dpkg's and apt's books of what a layer brings.

use std::collections::{BTreeSet, HashMap};

use debian::books::{self, Status, Triggers};

use super::incoming::Incoming;
use super::unpack::Layer;
use super::writer::Writer;
use super::{Failure, STATUS, Stage};
use crate::layer::What;
use crate::root::Node;

/// Where dpkg keeps what it knows of packages.
const INFO: &str = "var/lib/dpkg/info";

/// What may lie there of a package (deb-conffiles(5) and the like).
const INFO_FILES: [&str; 13] = [
    "conffiles",
    "config",
    "isinstalled",
    "list",
    "md5sums",
    "postinst",
    "postrm",
    "preinst",
    "prerm",
    "shlibs",
    "symbols",
    "templates",
    "triggers",
];

impl Layer<'_> {
    /// Hides what an earlier version of a package had and this one has not.
    pub(super) fn clear(
        &self,
        writer: &mut Writer<'_>,
        incoming: &Incoming<'_>,
        old_conffiles: &HashMap<String, String>,
        owners: &HashMap<String, usize>,
    ) -> Result<(), Failure> {
        let name = &incoming.package.name;
        let stems = [name.clone(), format!("{name}:{}", self.architecture)];
        let lists = stems.iter().map(|stem| format!("{INFO}/{stem}.list"));
        let lists: Vec<String> = lists
            .filter_map(|path| writer.root.text(&path).map(str::to_owned))
            .collect();
        let new: BTreeSet<&str> = incoming.list.iter().map(String::as_str).collect();
        let gone: Vec<&str> = lists
            .iter()
            .flat_map(|list| list.lines())
            .filter(|path| !new.contains(path) && !old_conffiles.contains_key(*path))
            .collect();
        for path in gone {
            let path = path.trim_start_matches('/');
            let place = writer.place(path).map_err(|fault| writer.ours(fault))?;
            // The same place may have a new name, and folders are shared.
            let node = writer.root.node(&place);
            if !owners.contains_key(&place) && matches!(node, Some(Node::Other | Node::Link(_))) {
                writer.whiteout(path).map_err(|fault| writer.ours(fault))?;
            }
        }
        let book = incoming.package.book_name();
        for stem in &stems {
            for kind in INFO_FILES {
                let stays =
                    *stem == book && (incoming.control.files.contains_key(kind) || kind == "list");
                let path = format!("{INFO}/{stem}.{kind}");
                if !stays && writer.is_there(&path) {
                    writer.whiteout(&path).map_err(|fault| writer.ours(fault))?;
                }
            }
        }
        Ok(())
    }

    /// Writes dpkg's books and apt's.
    pub(super) fn books(
        &self,
        writer: &mut Writer<'_>,
        status: &mut Status,
        all: &[Incoming<'_>],
    ) -> Result<(), Failure> {
        let (plain, program) = (writer.meta(0o644), writer.meta(0o755));
        let mut triggers = Triggers::default();
        const TRIGGERS: &str = "var/lib/dpkg/triggers/";
        for (path, text) in writer.root.texts_below(TRIGGERS) {
            triggers.add_known(path.strip_prefix(TRIGGERS).unwrap_or(path), text);
        }
        for one in all {
            let book = one.package.book_name();
            let mut list = one.list.join("\n");
            list.push('\n');
            writer.file(&format!("{INFO}/{book}.list"), plain, &list)?;
            for (kind, bytes) in &one.control.files {
                if !INFO_FILES.contains(&kind.as_str()) || kind == "list" {
                    continue;
                }
                let script = ["postinst", "postrm", "preinst", "prerm", "config"];
                let meta = if script.contains(&kind.as_str()) {
                    program
                } else {
                    plain
                };
                let path = format!("{INFO}/{book}.{kind}");
                let what = What::File(bytes.len() as u64);
                let written = writer.entry(&path, meta, what, &mut bytes.as_slice());
                written.map_err(|fault| writer.ours(fault))?;
            }
            triggers.enter(&one.package.name, &one.control);
            status.enter(&one.control, &one.conffiles);
        }
        if all.is_empty() {
            return Ok(());
        }
        writer.file(STATUS, plain, &status.text())?;
        for (name, text) in triggers.texts() {
            writer.file(&format!("{TRIGGERS}{name}"), plain, &text)?;
        }
        if self.stage == Stage::Root {
            // What else dpkg has from its own scripts.
            writer.file(&format!("{INFO}/format"), plain, "1\n")?;
            writer.file("var/lib/dpkg/available", plain, "")?;
            writer.file("var/lib/dpkg/cmethopt", plain, "apt apt\n")?;
            writer.file("var/lib/dpkg/diversions", plain, "")?;
            for folder in ["alternatives", "parts", "updates"] {
                writer.folder(&format!("var/lib/dpkg/{folder}"), program)?;
            }
        }
        const STATES: &str = "var/lib/apt/extended_states";
        let split = |automatic: bool| {
            let chosen = all.iter().filter(move |one| one.deb.automatic == automatic);
            chosen.filter(|one| apt_may_remove(one))
        };
        let automatic: Vec<(&str, &str)> = split(true)
            .map(|one| {
                let architecture = match one.package.architecture.as_str() {
                    "all" => self.architecture,
                    own => own,
                };
                (one.package.name.as_str(), architecture)
            })
            .collect();
        let manual: Vec<&str> = split(false).map(|one| one.package.name.as_str()).collect();
        let known = writer.root.text(STATES).unwrap_or_default();
        let states = books::extended_states(known, &automatic, &manual);
        if !states.is_empty() {
            writer.file(STATES, plain, &states)?;
        }
        Ok(())
    }
}

/// Essential packages are never taken away by apt, whoever wanted them.
fn apt_may_remove(one: &Incoming<'_>) -> bool {
    !one.package.essential
}
