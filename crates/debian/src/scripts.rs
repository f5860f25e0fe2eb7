//! What the scripts of packages run, as far as their text tells: the simple commands of a POSIX shell script (Shell
//! Command Language, 2.9.1), wherever they stand. What a command means is for others.

use std::collections::HashSet;

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// Its words as they are written, without quotes.
    pub words: Vec<String>,
    /// Whether its output goes into a file.
    pub writes: bool,
}

/// Words before a command that are the shell's.
const KEYWORDS: [&str; 12] = [
    "if", "then", "else", "elif", "while", "until", "do", "!", "{", "}", "fi", "done",
];

/// How deep substitutions may lie in each other; what is deeper counts as one command.
const DEEPEST: usize = 16;

/// All commands of a script, those in functions and substitutions included; calls of its functions are none. The lines
/// of a here-document count as commands, too.
pub fn commands(script: &str) -> Vec<Command> {
    let mut reader = Reader::default();
    reader.read(&script.replace("\\\n", " "));
    let Reader {
        mut found,
        functions,
        ..
    } = reader;
    let is_call = |name: Option<&String>| name.is_some_and(|name| functions.contains(name));
    found.retain(|command| command.writes || !is_call(command.words.first()));
    found
}

#[derive(Default)]
struct Reader {
    found: Vec<Command>,
    /// What the script calls its functions.
    functions: HashSet<String>,
    command: Command,
    /// How many `case` are open, and whether a pattern comes next.
    cases: usize,
    pattern: bool,
    /// In how many substitutions this is.
    depth: usize,
}

impl Reader {
    fn read(&mut self, text: &str) {
        let letters: Vec<char> = text.chars().collect();
        let mut at = 0;
        while let Some(&letter) = letters.get(at) {
            match letter {
                ' ' | '\t' | '\r' | '<' => at += 1,
                '#' => at = find(&letters, at, '\n'),
                '(' if letters.get(at + 1) == Some(&')') && !self.pattern => {
                    let name = std::mem::take(&mut self.command).words.pop();
                    self.functions.extend(name);
                    at += 2;
                }
                '\n' | '&' | '|' | '(' | ')' => {
                    self.end();
                    if letter == ')' {
                        self.pattern = false;
                    }
                    at += 1;
                }
                ';' => {
                    self.end();
                    at += 1;
                    if letters.get(at) == Some(&';') {
                        self.pattern = self.cases > 0;
                        at += 1;
                    }
                }
                '>' => at = self.redirect(&letters, at + 1),
                _ => {
                    let word;
                    (word, at) = self.word(&letters, at);
                    let number = word.bytes().all(|byte| byte.is_ascii_digit());
                    // The number of what is redirected is no word.
                    if !(number && matches!(letters.get(at), Some('<' | '>'))) {
                        self.take(word);
                    }
                }
            }
        }
        self.end();
    }

    /// Reads a word, and returns where it ends.
    fn word(&mut self, letters: &[char], start: usize) -> (String, usize) {
        let mut word = String::new();
        let mut quoted = false;
        let mut at = start;
        while let Some(&letter) = letters.get(at) {
            at += 1;
            match letter {
                '\\' => {
                    word.extend(letters.get(at));
                    at += 1;
                }
                '\'' if !quoted => {
                    let end = find(letters, at, '\'');
                    word.extend(&letters[at..end]);
                    at = end + 1;
                }
                '"' => quoted = !quoted,
                '`' => {
                    let end = find(letters, at, '`');
                    self.inside(&letters[at..end]);
                    at = end + 1;
                }
                '$' if letters.get(at) == Some(&'(') => {
                    let end = closing(letters, at + 1);
                    self.inside(&letters[at + 1..end]);
                    at = end + 1;
                    word.push_str("$()");
                }
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' if !quoted => {
                    at -= 1;
                    break;
                }
                other => word.push(other),
            }
        }
        (word, at.min(letters.len()))
    }

    /// The commands of a substitution.
    fn inside(&mut self, letters: &[char]) {
        let text: String = letters.iter().collect();
        if self.depth == DEEPEST {
            self.found.push(Command {
                words: vec![text],
                writes: false,
            });
            return;
        }
        let mut inner = Reader {
            depth: self.depth + 1,
            ..Reader::default()
        };
        inner.read(&text);
        self.found.extend(inner.found);
        self.functions.extend(inner.functions);
    }

    /// What follows `>`. Returns where it ends.
    fn redirect(&mut self, letters: &[char], start: usize) -> usize {
        let mut at = start;
        let mut copies = false;
        while let Some(letter) = letters.get(at) {
            match letter {
                '>' | '|' | ' ' | '\t' => at += 1,
                '&' => {
                    copies = true;
                    at += 1;
                }
                _ => break,
            }
        }
        let (target, end) = self.word(letters, at);
        self.command.writes |= !copies && target != "/dev/null";
        end
    }

    fn take(&mut self, word: String) {
        if self.pattern {
            if word == "esac" {
                self.pattern = false;
                self.cases = self.cases.saturating_sub(1);
            }
            return;
        }
        let words = &mut self.command.words;
        if words.is_empty() && KEYWORDS.contains(&word.as_str()) {
            return;
        }
        if words.is_empty() && word == "esac" {
            self.cases = self.cases.saturating_sub(1);
            return;
        }
        let begins = word == "in" && words.first().is_some_and(|first| first == "case");
        words.push(word);
        if begins {
            self.end();
            self.cases += 1;
            self.pattern = true;
        }
    }

    fn end(&mut self) {
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() || command.writes {
            self.found.push(command);
        }
    }
}

fn find(letters: &[char], from: usize, wanted: char) -> usize {
    let rest = letters.iter().skip(from);
    let found = rest.take_while(|letter| **letter != wanted).count();
    (from + found).min(letters.len())
}

/// Where the bracket closes that was opened before `from`.
fn closing(letters: &[char], from: usize) -> usize {
    let mut depth = 1;
    let mut at = from;
    while let Some(letter) = letters.get(at) {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => at += 1,
            '\'' => at = find(letters, at + 1, '\''),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
        at += 1;
    }
    letters.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(script: &str) -> Vec<String> {
        let line = |command: Command| {
            let end = if command.writes { " >" } else { "" };
            command.words.join(" ") + end
        };
        commands(script).into_iter().map(line).collect()
    }

    #[test]
    fn commands_are_found_wherever_they_stand() {
        for (script, expected) in [
            ("set -e\nexit 0\n", &["set -e", "exit 0"][..]),
            ("a; b && c || d | e & f", &["a", "b", "c", "d", "e", "f"]),
            (
                "if ! getent group x >/dev/null; then addgroup --system x; fi",
                &["getent group x", "addgroup --system x"],
            ),
            ("echo y >/etc/x", &["echo y >"]),
            ("echo y 2>&1 >>/etc/x", &["echo y >"]),
            ("echo y >&2; a 2>/dev/null </etc/b", &["echo y", "a /etc/b"]),
            (
                "case \"$1\" in\n configure|x) useradd a ;;\n *)\n  exit 1;;\nesac\nb",
                &["case $1 in", "useradd a", "exit 1", "b"],
            ),
            (
                "case $1 in (a) case $2 in b) c;; esac;; d) e;; esac; f",
                &["case $1 in", "case $2 in", "c", "e", "f"],
            ),
            (
                "x=$(mktemp -d) # useradd\n'rm' \"-r f\" a\\ b",
                &["mktemp -d", "x=$()", "rm -r f a b"],
            ),
            (
                "a `b \"c\"` \"$(d \"$(e)\")\"",
                &["b c", "e", "d $()", "a  $()"],
            ),
            (
                "f() {\n  g\n}\nwhile read l; do h; f l; done <x",
                &["g", "read l", "h", "x"],
            ),
            ("a \\\n  b\n", &["a b"]),
            ("echo 'it; is' \"a # b\" > \"$x\"", &["echo it; is a # b >"]),
            ("a \"unfinished $(b", &["b", "a unfinished $()"]),
        ] {
            assert_eq!(lines(script), expected, "{script}");
        }
        let deep = "$(".repeat(50_000) + "useradd";
        assert!(commands(&deep).len() > 1);
    }

    proptest! {
        #[test]
        fn any_text_has_an_end(text in "[a-z$()'\"`;&|<>{}# \\\\\n]{0,200}") {
            commands(&text);
        }
    }
}
