//! The books of dpkg: what is installed (`status`), which files it has (`info/*.list`), what wants to be told
//! (`triggers`), and what apt would take away again (`extended_states`).

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{Paragraph, paragraphs};
use crate::deb::Control;
use crate::index::Package;

/// What is installed, by the name and architecture of each.
#[derive(Debug, Clone, Default)]
pub struct Status {
    packages: BTreeMap<(String, String), Paragraph>,
}

impl Status {
    /// Reads `/var/lib/dpkg/status`.
    pub fn parse(text: &str) -> Status {
        let mut status = Status::default();
        for paragraph in paragraphs(text) {
            status.put(paragraph);
        }
        status
    }

    /// What is installed and works, of one architecture or of all.
    pub fn installed(&self, architecture: &str) -> Vec<Package> {
        let mut all = Vec::new();
        for ((_, own), paragraph) in &self.packages {
            let state = paragraph.get("Status").unwrap_or_default();
            let installed = state.split_whitespace().nth(2) == Some("installed");
            if installed && (own == architecture || own == "all") {
                all.extend(Package::of(paragraph));
            }
        }
        all
    }

    /// What is written of a package; whatever architecture it has of these.
    pub fn get(&self, name: &str, architecture: &str) -> Option<&Paragraph> {
        [architecture, "all"].iter().find_map(|architecture| {
            let key = (name.to_owned(), (*architecture).to_owned());
            self.packages.get(&key)
        })
    }

    /// Enters a package as installed. `conffiles` are configuration files with their MD5 digests.
    pub fn enter(&mut self, control: &Control, conffiles: &[(String, String)]) {
        let mut paragraph = Paragraph::default();
        for (name, value) in control.paragraph.fields() {
            paragraph.set(name, value);
            if name.eq_ignore_ascii_case("Package") {
                paragraph.set("Status", "install ok installed");
            }
        }
        if !conffiles.is_empty() {
            let lines: Vec<String> = conffiles
                .iter()
                .map(|(path, md5)| format!("\n {path} {md5}"))
                .collect();
            paragraph.set("Conffiles", &lines.concat());
        }
        if let Some(name) = paragraph.get("Package").map(str::to_owned) {
            // A package that changes its architecture to `all` or back is the same.
            let native = |architecture: &String| {
                Some(architecture.as_str()) == paragraph.get("Architecture")
                    || architecture == "all"
                    || paragraph.get("Architecture") == Some("all")
            };
            self.packages
                .retain(|(known, architecture), _| *known != name || !native(architecture));
        }
        self.put(paragraph);
    }

    /// The file.
    pub fn text(&self) -> String {
        let all: Vec<String> = self.packages.values().map(Paragraph::text).collect();
        let mut text = all.join("\n");
        text.push('\n');
        text
    }

    fn put(&mut self, paragraph: Paragraph) {
        let field = |name| paragraph.get(name).unwrap_or_default().to_owned();
        let key = (field("Package"), field("Architecture"));
        if !key.0.is_empty() {
            self.packages.insert(key, paragraph);
        }
    }
}

/// The configuration files that a package names, with a slash in front. Those that are named to be removed are not
/// among them.
pub fn conffiles(control: &Control) -> Vec<&str> {
    let lines = control.text("conffiles").unwrap_or_default().lines();
    let lines = lines.map(str::trim);
    lines.filter(|line| line.starts_with('/')).collect()
}

/// Who wants to be told of what: the files of `/var/lib/dpkg/triggers`.
#[derive(Debug, Clone, Default)]
pub struct Triggers {
    /// Paths and who is told of changes below them.
    files: BTreeSet<String>,
    /// Names and who is told.
    named: BTreeMap<String, BTreeSet<String>>,
}

impl Triggers {
    /// Reads what is there: `File`, and a file for each name.
    pub fn add_known(&mut self, file: &str, text: &str) {
        let lines = text.lines().filter(|line| !line.is_empty());
        match file {
            "File" => self.files.extend(lines.map(str::to_owned)),
            "Lock" | "Unincorp" => {}
            name => {
                let entry = self.named.entry(name.to_owned()).or_default();
                entry.extend(lines.map(str::to_owned));
            }
        }
    }

    /// Enters what a package wants to be told (deb-triggers(5)).
    pub fn enter(&mut self, package: &str, control: &Control) {
        for line in control.text("triggers").unwrap_or_default().lines() {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let (Some(directive), Some(trigger)) = (words.next(), words.next()) else {
                continue;
            };
            let who = match directive {
                "interest" | "interest-await" => package.to_owned(),
                "interest-noawait" => format!("{package}/noawait"),
                _ => continue,
            };
            if trigger.starts_with('/') {
                self.files.insert(format!("{trigger} {who}"));
            } else if !trigger.contains(['/', '.']) {
                self.named
                    .entry(trigger.to_owned())
                    .or_default()
                    .insert(who);
            }
        }
    }

    /// The files, by their names in the folder.
    pub fn texts(&self) -> Vec<(String, String)> {
        let lines = |set: &BTreeSet<String>| -> String {
            set.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
        };
        let mut texts = vec![("File".to_owned(), lines(&self.files))];
        let named = self.named.iter();
        texts.extend(named.map(|(name, set)| (name.clone(), lines(set))));
        texts.push(("Unincorp".to_owned(), String::new()));
        texts
    }
}

/// apt's note of packages that came because others need them (`/var/lib/apt/extended_states`): what is known, and
/// `automatic` with their architectures.
pub fn extended_states(known: &str, automatic: &[(&str, &str)], manual: &[&str]) -> String {
    let mut states: BTreeMap<(String, String), Paragraph> = BTreeMap::new();
    for paragraph in paragraphs(known) {
        let field = |name| paragraph.get(name).unwrap_or_default().to_owned();
        states.insert((field("Package"), field("Architecture")), paragraph);
    }
    for (name, architecture) in automatic {
        let mut paragraph = Paragraph::default();
        paragraph.set("Package", name);
        paragraph.set("Architecture", architecture);
        paragraph.set("Auto-Installed", "1");
        states.insert(((*name).to_owned(), (*architecture).to_owned()), paragraph);
    }
    states.retain(|(name, _), _| !manual.contains(&name.as_str()));
    let all: Vec<String> = states.values().map(Paragraph::text).collect();
    all.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(text: &str, files: &[(&str, &str)]) -> Control {
        Control {
            paragraph: paragraphs(text).next().expect("a paragraph"),
            files: files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                .collect(),
            modified: 0,
        }
    }

    #[test]
    fn what_is_installed() {
        let mut status = Status::parse(
            "Package: aa\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1\n\n\
             Package: bb\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n\n\
             Package: aa\nStatus: install ok installed\nArchitecture: armhf\nVersion: 1\n",
        );
        let cc = control(
            "Package: cc\nVersion: 2\nArchitecture: all\nDescription: short\n long\n",
            &[("conffiles", "/etc/cc\nremove-on-upgrade /etc/old\n")],
        );
        assert_eq!(conffiles(&cc), ["/etc/cc"]);
        status.enter(&cc, &[("/etc/cc".into(), "d41d8cd9".into())]);
        status.enter(
            &control("Package: aa\nVersion: 2\nArchitecture: arm64\n", &[]),
            &[],
        );
        let installed: Vec<String> = status
            .installed("arm64")
            .iter()
            .map(|one| format!("{} {}", one.name, one.version))
            .collect();
        assert_eq!(installed, ["aa 2", "cc 2"]);
        let text = status.text();
        assert!(text.contains(
            "Package: cc\nStatus: install ok installed\nVersion: 2\nArchitecture: all\nDescription: short\n \
             long\nConffiles:\n /etc/cc d41d8cd9\n"
        ), "{text}");
        assert!(text.contains("Architecture: armhf") && text.contains("config-files"));
        assert_eq!(Status::parse(&text).text(), text);
    }

    #[test]
    fn triggers_of_paths_and_names() {
        let mut triggers = Triggers::default();
        triggers.add_known("File", "/usr/share/a old\n");
        triggers.add_known("Unincorp", "x y\n");
        let text = "interest-noawait /usr/share/b # c\ninterest ldconfig\nactivate-noawait z\n";
        triggers.enter(
            "libc-bin",
            &control("Package: libc-bin\n", &[("triggers", text)]),
        );
        let texts = triggers.texts();
        let text = |name: &str| {
            texts
                .iter()
                .find(|one| one.0 == name)
                .map(|one| one.1.as_str())
        };
        assert_eq!(
            text("File"),
            Some("/usr/share/a old\n/usr/share/b libc-bin/noawait\n")
        );
        assert_eq!(text("ldconfig"), Some("libc-bin\n"));
        assert_eq!((text("Unincorp"), text("z")), (Some(""), None));
    }

    #[test]
    fn what_came_by_itself() {
        let known = "Package: old\nArchitecture: arm64\nAuto-Installed: 1\n";
        let text = extended_states(known, &[("dep", "arm64")], &["old"]);
        assert_eq!(
            text,
            "Package: dep\nArchitecture: arm64\nAuto-Installed: 1\n"
        );
    }
}
