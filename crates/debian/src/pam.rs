//! `/etc/pam.d/common-*` as pam-auth-update(8) makes them: templates, and profiles of packages that are on by
//! default, the most preferred first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The files that are made.
pub const TYPES: [&str; 5] = [
    "auth",
    "account",
    "password",
    "session",
    "session-noninteractive",
];

/// A profile: a file of `/usr/share/pam-configs`.
#[derive(Debug, Clone)]
pub struct Profile {
    name: String,
    fields: BTreeMap<String, String>,
}

/// Both files that are made of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What goes into `/etc/pam.d/common-TYPE`.
    pub common: String,
    /// What goes into `/var/lib/pam/TYPE`, by which a later run knows what it wrote.
    pub saved: String,
}

impl Profile {
    /// Reads a profile; its name is that of its file.
    pub fn parse(name: &str, text: &str) -> Profile {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last = None;
        for line in text.lines() {
            let field = line
                .split_once(':')
                .filter(|(field, _)| !field.is_empty() && !field.contains(char::is_whitespace));
            if let Some((field, value)) = field {
                let field = field.strip_suffix("-Final").unwrap_or(field).to_owned();
                fields.insert(field.clone(), value.trim().to_owned());
                last = Some(field);
            } else if let Some(value) = last.as_ref().and_then(|last| fields.get_mut(last))
                && !line.trim().is_empty()
            {
                if !value.is_empty() {
                    value.push('\n');
                }
                value.push_str(line.trim());
            }
        }
        if !fields.contains_key("Session-Interactive-Only") {
            for suffix in ["-Type", "", "-Initial"] {
                if let Some(value) = fields.get(&format!("Session{suffix}")).cloned() {
                    fields.insert(format!("Session-noninteractive{suffix}"), value);
                }
            }
        }
        Profile {
            name: name.to_owned(),
            fields,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is on without being asked for.
    pub fn is_default(&self) -> bool {
        self.get("Default") == "yes"
    }

    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    fn priority(&self) -> i64 {
        self.get("Priority").parse().unwrap_or(0)
    }

    fn lines(&self, kind: &str, first: bool) -> &str {
        let initial = self.get(&format!("{kind}-Initial"));
        if first && !initial.is_empty() {
            initial
        } else {
            self.get(kind)
        }
    }
}

/// The profiles that are on, in the order in which they are asked.
pub fn enabled(profiles: &[Profile]) -> Vec<&Profile> {
    let mut enabled: Vec<&Profile> = profiles.iter().filter(|one| one.is_default()).collect();
    enabled.sort_by(|one, other| {
        let by_priority = other.priority().cmp(&one.priority());
        by_priority.then_with(|| one.name.cmp(&other.name))
    });
    enabled
}

/// Fills a template. `None` if it lacks one of the places.
pub fn make(kind: &str, template: &str, enabled: &[&Profile]) -> Option<Made> {
    let field = capitalised(kind);
    let word = kind.split('-').next().unwrap_or(kind);
    let of = |block: &str| -> Vec<(&str, String)> {
        let which = enabled
            .iter()
            .filter(|one| one.get(&format!("{field}-Type")) == block);
        which
            .enumerate()
            .map(|(place, one)| (one.name.as_str(), one.lines(&field, place == 0).to_owned()))
            .collect()
    };
    let (primary, additional) = (of("Primary"), of("Additional"));
    let mut common = String::new();
    let mut places = [("primary", &primary), ("additional", &additional)].into_iter();
    for line in template.lines() {
        if !line.starts_with('$') {
            common.push_str(line);
            common.push('\n');
            continue;
        }
        let (block, profiles) = places.next()?;
        // `$session_primary`, and `$session_nonint_primary`.
        let name = line.trim();
        if !name.starts_with(&format!("${word}_")) || !name.ends_with(&format!("_{block}")) {
            return None;
        }
        let lines: Vec<&str> = profiles.iter().flat_map(|(_, text)| text.lines()).collect();
        // What jumps to the end jumps over the lines that follow in this block, and over the refusal after it.
        let mut count = lines.len();
        if block == "additional" {
            count = count.saturating_sub(1);
        } else if lines.is_empty() {
            let _ = writeln!(common, "{word}\t[default=1]\t\t\tpam_permit.so");
        }
        for line in lines {
            let _ = writeln!(common, "{word}\t{}", jumping(line, count));
            count = count.saturating_sub(1);
        }
    }
    if places.next().is_some() {
        return None;
    }
    let mut saved = String::new();
    if primary.is_empty() {
        saved.push_str("Module: null\n[default=1]\t\t\tpam_permit.so\n");
    }
    for (name, text) in primary.iter().chain(&additional) {
        let _ = write!(saved, "Module: {name}\n{text}\n");
    }
    Some(Made { common, saved })
}

/// `end` in the control of a line becomes how many lines are jumped over; options are separated by one space.
fn jumping(line: &str, count: usize) -> String {
    let end = match line.strip_prefix('[') {
        Some(_) => line.find(']').map_or(line.len(), |end| end + 1),
        None => line.find(char::is_whitespace).unwrap_or(line.len()),
    };
    let (control, rest) = line.split_at(end);
    let module_start = rest.len() - rest.trim_start().len();
    let (gap, rest) = rest.split_at(module_start);
    let (module, options) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let options: Vec<&str> = options.split_whitespace().collect();
    let control = control.replace("end", &count.to_string());
    format!("{control}{gap}{module} {}", options.join(" "))
}

fn capitalised(kind: &str) -> String {
    let mut letters = kind.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: &str = "Name: Unix authentication\nDefault: yes\nPriority: 256\nAuth-Type: Primary\n\
        Auth:\n\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass\n\
        Auth-Initial:\n\t[success=end default=ignore]\tpam_unix.so nullok\n\
        Session-Type: Additional\nSession:\n\trequired\tpam_unix.so\n";

    #[test]
    fn the_usual_profile() {
        let profiles = [
            Profile::parse("unix", UNIX),
            Profile::parse(
                "home",
                "Default: no\nPriority: 900\nAuth-Type: Primary\nAuth:\n\tx\ty.so\n",
            ),
        ];
        let enabled = enabled(&profiles);
        assert_eq!(enabled.len(), 1);
        let template =
            "# a\n$auth_primary\nauth\trequisite\tpam_deny.so\n$auth_additional\n# end\n";
        let made = make("auth", template, &enabled).expect("a file");
        assert_eq!(
            made.common,
            "# a\nauth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\tpam_deny.so\n# end\n"
        );
        assert_eq!(
            made.saved,
            "Module: unix\n[success=end default=ignore]\tpam_unix.so nullok\n"
        );
        let template = "$session_nonint_primary\n$session_nonint_additional\n";
        let made = make("session-noninteractive", template, &enabled).expect("a file");
        assert_eq!(
            made.common,
            "session\t[default=1]\t\t\tpam_permit.so\nsession\trequired\tpam_unix.so \n"
        );
        assert_eq!(make("auth", "nothing", &enabled), None);
    }

    #[test]
    fn jumps_count_down() {
        let two = Profile::parse(
            "sss",
            "Default: yes\nPriority: 300\nAuth-Type: Primary\nAuth:\n\t[success=end]\tpam_sss.so a  b\n",
        );
        let profiles = [Profile::parse("unix", UNIX), two];
        let made = make(
            "auth",
            "$auth_primary\n$auth_additional\n",
            &enabled(&profiles),
        );
        assert_eq!(
            made.expect("a file").common,
            "auth\t[success=2]\tpam_sss.so a b\n\
             auth\t[success=1 default=ignore]\tpam_unix.so nullok try_first_pass\n"
        );
    }
}
