//! Names that several packages can stand behind: `/usr/bin/awk`, `/usr/bin/pager`. What packages ask
//! update-alternatives(1) for in their scripts is read where it stands there literally, and becomes the links and
//! the file in `/var/lib/dpkg/alternatives` that it would have made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One `update-alternatives --install`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The name in `/etc/alternatives`.
    pub name: String,
    /// Where the link is.
    pub link: String,
    /// What the link may lead to.
    pub path: String,
    /// How much it is preferred.
    pub priority: i32,
    /// Links that follow: their names, where they are, and what they lead to.
    pub slaves: Vec<(String, String, String)>,
}

/// One name with all that can stand behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// What was chosen by hand; `None` if the priority decides.
    manual: bool,
    link: String,
    /// Where the links are that follow, by their names.
    slaves: BTreeMap<String, String>,
    /// By path: priority, and what the followers lead to.
    choices: BTreeMap<String, (i32, BTreeMap<String, String>)>,
}

/// What the scripts of a package install. `false` beside it: something of the kind cannot be read here.
pub fn installs(script: &str) -> (Vec<Install>, bool) {
    let joined = script.replace("\\\n", " ");
    let mut found = Vec::new();
    let mut all = true;
    for line in joined.lines() {
        let line = line.trim();
        if line.starts_with('#') || !line.contains("update-alternatives") {
            continue;
        }
        let words = words(line);
        let start = words
            .iter()
            .position(|word| word.ends_with("update-alternatives"));
        let Some(start) = start else { continue };
        let words = &words[start + 1..];
        if !words.iter().any(|word| word == "--install") {
            continue;
        }
        match one(words) {
            Some(install) => found.push(install),
            None => all = false,
        }
    }
    (found, all)
}

/// The words of a simple command, without quotes; it ends where the shell would begin something else.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        if matches!(word, "||" | "&&" | ";" | "|" | "fi" | "then" | "if" | "!") {
            if words.is_empty() {
                continue;
            }
            let complete = words.iter().any(|word: &String| word == "--install");
            if complete {
                break;
            }
            words.clear();
            continue;
        }
        if word.starts_with(['>', '<']) || word.starts_with("2>") {
            break;
        }
        let (bare, last) = match word.strip_suffix(';') {
            Some(bare) => (bare, true),
            None => (word, false),
        };
        words.push(bare.trim_matches(['"', '\'']).to_owned());
        if last {
            if words.iter().any(|word| word == "--install") {
                break;
            }
            words.clear();
        }
    }
    words
}

fn one(words: &[String]) -> Option<Install> {
    let literal = |word: &String| !word.contains(['$', '`', '*', '?', '"', '\'', '(', ')']);
    if !words.iter().all(literal) {
        return None;
    }
    let mut words = words.iter().skip_while(|word| *word != "--install");
    words.next()?;
    let mut next = || words.next().cloned();
    let link = absolute(next()?)?;
    let name = plain(next()?)?;
    let path = absolute(next()?)?;
    let priority = next()?.parse().ok()?;
    let mut install = Install {
        name,
        link,
        path,
        priority,
        slaves: Vec::new(),
    };
    while let Some(option) = next() {
        if option != "--slave" {
            continue;
        }
        let link = absolute(next()?)?;
        let name = plain(next()?)?;
        let path = absolute(next()?)?;
        install.slaves.push((name, link, path));
    }
    Some(install)
}

fn absolute(path: String) -> Option<String> {
    let names = path.strip_prefix('/')?.split('/');
    let sound = names
        .into_iter()
        .all(|name| !matches!(name, "" | "." | "..") && !name.contains(char::is_control));
    sound.then_some(path)
}

fn plain(name: String) -> Option<String> {
    let sound = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    sound.then_some(name)
}

impl Group {
    /// Reads the file that dpkg keeps of a name.
    pub fn parse(text: &str) -> Option<Group> {
        let mut lines = text.lines();
        let mut group = Group {
            manual: lines.next()? == "manual",
            link: lines.next()?.to_owned(),
            ..Group::default()
        };
        let mut order = Vec::new();
        loop {
            let name = lines.next()?;
            if name.is_empty() {
                break;
            }
            order.push(name.to_owned());
            group
                .slaves
                .insert(name.to_owned(), lines.next()?.to_owned());
        }
        loop {
            let path = lines.next()?;
            if path.is_empty() {
                return Some(group);
            }
            let priority = lines.next()?.parse().ok()?;
            let mut leads = BTreeMap::new();
            for name in &order {
                let to = lines.next()?;
                if !to.is_empty() {
                    leads.insert(name.clone(), to.to_owned());
                }
            }
            group.choices.insert(path.to_owned(), (priority, leads));
        }
    }

    /// Adds what a package installs.
    pub fn add(&mut self, install: &Install) {
        self.link.clone_from(&install.link);
        let mut leads = BTreeMap::new();
        for (name, link, path) in &install.slaves {
            self.slaves.insert(name.clone(), link.clone());
            leads.insert(name.clone(), path.clone());
        }
        let choice = (install.priority, leads);
        self.choices.insert(install.path.clone(), choice);
    }

    /// The file that dpkg keeps.
    pub fn text(&self) -> String {
        let mut text = String::from(if self.manual { "manual\n" } else { "auto\n" });
        let _ = writeln!(text, "{}", self.link);
        for (name, link) in &self.slaves {
            let _ = write!(text, "{name}\n{link}\n");
        }
        text.push('\n');
        for (path, (priority, leads)) in &self.choices {
            let _ = write!(text, "{path}\n{priority}\n");
            for name in self.slaves.keys() {
                let _ = writeln!(text, "{}", leads.get(name).map_or("", String::as_str));
            }
        }
        text.push('\n');
        text
    }

    /// The links of the choice that is preferred: each is where a link is, the name in `/etc/alternatives`, and what
    /// that leads to. Nothing where a person has chosen.
    pub fn links<'g>(&'g self, name: &'g str) -> Vec<(&'g str, &'g str, &'g str)> {
        // The first of the best, as update-alternatives takes it.
        let best = self
            .choices
            .iter()
            .rev()
            .max_by_key(|(_, (priority, _))| *priority);
        let (false, Some((path, (_, leads)))) = (self.manual, best) else {
            return Vec::new();
        };
        let mut links = vec![(self.link.as_str(), name, path.as_str())];
        for (name, link) in &self.slaves {
            if let Some(path) = leads.get(name) {
                links.push((link, name, path));
            }
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAWK: &str = "\
#!/bin/sh
# update-alternatives --install /no no /no 1
if [ \"$1\" = configure ]; then
    update-alternatives --quiet --install /usr/bin/awk awk \"/usr/bin/mawk\" 5 \\
        --slave /usr/bin/nawk nawk /usr/bin/mawk || true
    if x; then update-alternatives --install /usr/bin/x x /usr/bin/y 1; fi
    update-alternatives --install /usr/bin/v v /usr/bin/v$i 1
    update-alternatives --remove z /usr/bin/z
fi
";

    #[test]
    fn scripts_are_read_where_they_are_literal() {
        let (found, all) = installs(MAWK);
        assert!(!all);
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["awk", "x"]);
        let slave = (
            "nawk".into(),
            "/usr/bin/nawk".into(),
            "/usr/bin/mawk".into(),
        );
        assert_eq!((found[0].priority, &found[0].slaves), (5, &vec![slave]));
        assert_eq!(found[1].path, "/usr/bin/y");
        let hostile = "update-alternatives --install /usr/../x x /y 1\n\
                       update-alternatives --install /x ../x /y 1";
        assert_eq!(installs(hostile), (Vec::new(), false));
    }

    #[test]
    fn the_file_of_a_name() {
        let (found, _) = installs(MAWK);
        let mut group = Group::default();
        group.add(&found[0]);
        let text = "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n/usr/bin/mawk\n5\n/usr/bin/mawk\n\n";
        assert_eq!(group.text(), text);
        assert_eq!(Group::parse(text), Some(group.clone()));
        group.add(&Install {
            name: "awk".into(),
            link: "/usr/bin/awk".into(),
            path: "/usr/bin/gawk".into(),
            priority: 10,
            slaves: Vec::new(),
        });
        assert_eq!(
            group.links("awk"),
            [("/usr/bin/awk", "awk", "/usr/bin/gawk")]
        );
        assert_eq!(Group::parse(&group.text()), Some(group));
    }
}
