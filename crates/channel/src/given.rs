//! What a run is given in place of packages that it would read: the listing of one platform's folder, whose records go
//! into the channel as they are, but for the dialect. Whoever gives it says what is in it; the cache holds it for the run.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use archive::package::{Kind, is_file_name, split_file_name};

use crate::cache::{Known, Mark, State};
use crate::import::{Foreign, RUN_EXPORTS};
use crate::json::{self, Json};
use crate::output::date;
use crate::output::repodata::fields;
use crate::scan::{Stat, Wanted};
use crate::scanned::{PostInstall, Scanned};
use crate::texts::{NOTHING, Texts};

/// The packages of a platform's folder.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The folder's name.
    pub(crate) subdir: String,
    /// Sorted by file name, as each of them is.
    pub(crate) parts: Vec<Part>,
    /// What is told of each name.
    pub(crate) about: Arc<HashMap<String, About>>,
}

/// Some of the packages.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) texts: Texts,
    /// What is known of each.
    known: Vec<Known>,
}

/// What channels tell of a name beyond its records (CEP 38).
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    text: String,
    post_install: PostInstall,
}

/// What a record tells of the package.
#[derive(Default)]
struct Told {
    size: Option<u64>,
    /// When it was built, as the record has it: old ones have seconds.
    timestamp: Option<i64>,
    run_exports: Option<String>,
}

impl Listing {
    /// What is known of the packages whose file names begin so, sorted by name.
    pub(crate) fn files_below(&self, begin: &str) -> Vec<(String, Known)> {
        let files = self.parts.iter().flat_map(Part::files);
        let files = files.filter(|(file, _)| file.starts_with(begin));
        files
            .map(|(file, known)| (file.to_owned(), *known))
            .collect()
    }

    /// What is known of one.
    pub(crate) fn file(&self, file: &str) -> Option<&Known> {
        let (part, place) = self.find(file)?;
        part.known.get(place)
    }

    /// What one tells.
    pub(crate) fn package(&self, file: &str) -> Option<Scanned> {
        let (part, place) = self.find(file)?;
        let record = part.texts.at(place)?;
        let run_exports = record.run_exports.to_owned();
        let mut scanned = Foreign::verbatim(file, record.record, run_exports)?.scanned;
        if let Some(about) = self.about(file) {
            scanned.about = Some(about.text.clone());
            scanned.post_install = about.post_install;
        }
        Some(scanned)
    }

    fn find(&self, file: &str) -> Option<(&Part, usize)> {
        let mut found = self.parts.iter().map(|part| (part, part.texts.find(file)));
        found.find_map(|(part, place)| Some((part, place.ok()?)))
    }

    fn about(&self, file: &str) -> Option<&About> {
        about(&self.about, file)
    }
}

/// What is told of a package's name.
fn about<'a>(about: &'a HashMap<String, About>, file: &str) -> Option<&'a About> {
    let (name, _, _) = split_file_name(file)?;
    about.get(name)
}

impl Part {
    /// Makes room for as many packages, and as much text in bytes.
    pub(crate) fn with_capacity(rows: usize, text: usize) -> Self {
        Self {
            texts: Texts::with_capacity(rows, text),
            known: Vec::with_capacity(rows),
        }
    }

    /// Adds a package. `run_exports` counts where the record does not tell. What has not the name of a package, or is no
    /// object, is passed over.
    pub(crate) fn push(
        &mut self,
        file: &str,
        record: &str,
        run_exports: Option<&str>,
        about: &HashMap<String, About>,
    ) {
        let Some(kind) = Kind::from_file_name(file).filter(|_| is_file_name(file)) else {
            return;
        };
        let name = split_file_name(file).map(|(name, _, _)| name);
        let mut told = Told::default();
        let mut is_named = false;
        let added = self.texts.push_with(kind, file, |text| {
            spell(record, text, &mut |key, value| {
                if key == "name" {
                    is_named = fields::string(value).as_deref() == name;
                }
                told.add(key, value);
            })?;
            let own = told.run_exports.take().map(Cow::Owned);
            Some(
                own.or(run_exports.map(Cow::Borrowed))
                    .unwrap_or(Cow::Borrowed(NOTHING)),
            )
        });
        let Some(added) = added else { return };
        let about = name.and_then(|name| about.get(name));
        let mut sum = crc32fast::Hasher::new();
        for text in [added.file, added.record, added.run_exports] {
            sum.update(text.as_bytes());
            sum.update(&[0]);
        }
        if let Some(about) = about {
            sum.update(about.text.as_bytes());
            sum.update(format!("{:?}", about.post_install).as_bytes());
        }
        let built_ms = date::milliseconds(told.timestamp.unwrap_or(0));
        self.known.push(Known {
            stat: Stat {
                size: told.size.unwrap_or(0),
                mtime_ns: built_ms.saturating_mul(1_000_000),
                // There is no file.
                inode: 0,
            },
            // Nobody can tell more of it.
            wanted: Wanted {
                digests: true,
                run_exports: true,
                details: true,
            },
            state: State::Imported,
            mark: Mark {
                sum: sum.finalize(),
                is_named,
            },
            indexed_ms: 0,
        });
    }

    fn files(&self) -> impl Iterator<Item = (&str, &Known)> {
        let files = self.texts.iter().map(|one| one.file);
        files.zip(&self.known)
    }
}

/// Appends a record in the dialect, without what it imposes on others; `None` where it is no object. `member` takes all
/// its members.
fn spell(record: &str, out: &mut String, member: &mut dyn FnMut(&str, &str)) -> Option<()> {
    let start = out.len();
    let mut has_exports = false;
    let is_spelled = json::respell(record, out, &mut |key, value| {
        has_exports |= key == RUN_EXPORTS;
        member(key, value);
    });
    if !is_spelled {
        let record = Json::parse(record.as_bytes()).ok()?;
        record.write(out);
        for (key, value) in fields::fields(out.get(start..)?).map_while(Result::ok) {
            has_exports |= key == RUN_EXPORTS;
            member(&key, value);
        }
    }
    let text = out.get(start..)?;
    if !text.starts_with('{') {
        return None;
    }
    if has_exports {
        let text = fields::with(text, RUN_EXPORTS, None);
        out.truncate(start);
        out.push_str(&text);
    }
    Some(())
}

impl Told {
    /// Takes a member in.
    fn add(&mut self, key: &str, value: &str) {
        match key {
            "size" => self.size = value.parse().ok(),
            "timestamp" => self.timestamp = value.parse().ok(),
            RUN_EXPORTS => self.run_exports = Some(value.to_owned()),
            _ => {}
        }
    }
}

impl About {
    /// Reads an entry of `channeldata.json`.
    pub(crate) fn read(entry: &str) -> Option<Self> {
        let Json::Map(mut map) = Json::parse(entry.as_bytes()).ok()? else {
            return None;
        };
        let flag = |key: &str| matches!(map.get(key), Some(Json::Bool(true)));
        let post_install = PostInstall {
            binary_prefix: flag("binary_prefix"),
            text_prefix: flag("text_prefix"),
            activate_d: flag("activate.d"),
            deactivate_d: flag("deactivate.d"),
            pre_link: flag("pre_link"),
            post_link: flag("post_link"),
            pre_unlink: flag("pre_unlink"),
        };
        // What the packages that stay tell themselves.
        for key in ["run_exports", "subdirs", "timestamp", "version"] {
            map.remove(key);
        }
        let mut text = String::new();
        Json::Map(map).write(&mut text);
        Some(Self { text, post_install })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(packages: &[(&str, &str, Option<&str>)]) -> Listing {
        let about = r#"{"summary":"s","version":"9","pre_link":true}"#;
        let about = HashMap::from([("a".to_owned(), About::read(about).unwrap())]);
        let mut parts = Vec::new();
        for packages in packages.chunks(2) {
            let mut part = Part::with_capacity(0, 0);
            for (file, record, run_exports) in packages {
                part.push(file, record, *run_exports, &about);
            }
            parts.push(part);
        }
        Listing {
            subdir: "noarch".to_owned(),
            parts,
            about: Arc::new(about),
        }
    }

    #[test]
    fn records_stay_what_they_are() {
        let given = listing(&[
            (
                "a-1-0.conda",
                r#"{"build":"0", "name":"a", "run_exports":{"weak":["a"]},"size":7,"timestamp":1600000000}"#,
                Some(r#"{"strong":["b"]}"#),
            ),
            (
                "b-1-0.conda",
                r#"{"version":1.50,"name":"\u0062"}"#,
                Some(r#"{"strong":["b"]}"#),
            ),
            ("c-1-0.tar.bz2", r#"{"name":"other"}"#, None),
            ("d-1-0.conda", "[]", None),
            (".e-1-0.conda", "{}", None),
            ("f.txt", "{}", None),
        ]);
        let texts = given.parts.iter().flat_map(|part| part.texts.iter());
        let texts: Vec<_> = texts
            .map(|one| (one.file, one.record, one.run_exports))
            .collect();
        let expected = [
            (
                "a-1-0.conda",
                r#"{"build":"0","name":"a","size":7,"timestamp":1600000000}"#,
                r#"{"weak":["a"]}"#,
            ),
            (
                "b-1-0.conda",
                r#"{"name":"b","version":1.5}"#,
                r#"{"strong":["b"]}"#,
            ),
            ("c-1-0.tar.bz2", r#"{"name":"other"}"#, "{}"),
        ];
        assert_eq!(texts, expected);
        let named: Vec<_> = given
            .files_below("")
            .iter()
            .map(|(_, known)| known.mark.is_named)
            .collect();
        assert_eq!(named, [true, true, false]);
        let stat = given.file("a-1-0.conda").unwrap().stat;
        assert_eq!((stat.size, stat.mtime_ns), (7, 1_600_000_000_000_000_000));
        assert_eq!(given.file("d-1-0.conda"), None);
    }

    #[test]
    fn a_package_tells_what_its_record_and_its_channel_do() {
        let record = r#"{"md5":"00112233445566778899aabbccddeeff","name":"a","size":7}"#;
        let given = listing(&[("a-1-0.conda", record, None), ("b-1-0.conda", "{}", None)]);
        let package = given.package("a-1-0.conda").unwrap();
        assert_eq!((package.record.as_str(), package.size), (record, 7));
        assert_eq!(package.md5.to_string(), "00112233445566778899aabbccddeeff");
        assert_eq!(package.run_exports, None);
        assert_eq!(
            package.about.as_deref(),
            Some(r#"{"pre_link":true,"summary":"s"}"#)
        );
        assert!(package.post_install.pre_link);
        assert_eq!(given.package("b-1-0.conda").unwrap().about, None);
        assert_eq!(given.package("c-1-0.conda"), None);
    }

    #[test]
    fn what_differs_is_told_apart() {
        let sum = |file: &str, record: &str, exports: Option<&str>| {
            let given = listing(&[(file, record, exports)]);
            given.file(file).unwrap().mark.sum
        };
        let first = sum("b-1-0.conda", r#"{"name":"b"}"#, None);
        assert_eq!(first, sum("b-1-0.conda", r#"{ "name": "b" }"#, Some("{}")));
        for (file, record, exports) in [
            ("b-1-1.conda", r#"{"name":"b"}"#, None),
            ("b-1-0.conda", r#"{"name":"c"}"#, None),
            ("b-1-0.conda", r#"{"name":"b"}"#, Some(r#"{"weak":[]}"#)),
        ] {
            assert_ne!(
                first,
                sum(file, record, exports),
                "{file} {record} {exports:?}"
            );
        }
    }
}
