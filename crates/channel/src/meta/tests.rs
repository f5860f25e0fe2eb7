//! Real channels merged and cut: what is asked of the result comes to what it came to before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use spec::MetaChannel;

use super::{Event, Options, Outcome, Report, build};

/// Real repodata outside the project, laid out as channels in a folder; `None` where it is absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn channels() -> Option<tempfile::TempDir> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/repodata");
    if !data.is_dir() {
        assert!(
            std::env::var_os("ARCHICONDA_TEST_STRICT").is_none(),
            "{} is absent",
            data.display()
        );
        eprintln!("skipped: {} is absent", data.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for subdir in ["linux-64", "noarch"] {
        let old = folder.path().join("old").join(subdir);
        fs_err::create_dir_all(&old).unwrap();
        let packed = data.join(format!("conda-forge-2017-12/{subdir}.repodata.json.bz2"));
        let mut reader = bzip2::read::MultiBzDecoder::new(fs_err::File::open(packed).unwrap());
        let mut text = fs_err::File::create(old.join("repodata.json")).unwrap();
        std::io::copy(&mut reader, &mut text).unwrap();
        let new = folder.path().join("new").join(subdir);
        fs_err::create_dir_all(&new).unwrap();
        fs_err::copy(
            data.join(format!("conda-forge-2024-05/{subdir}/repodata.json")),
            new.join("repodata.json"),
        )
        .unwrap();
    }
    Some(folder)
}

fn options(base: &Path) -> Options {
    Options {
        base: base.to_owned(),
        lock: base.join("lock"),
        output: base.join("out"),
        platforms: Vec::new(),
        locked: false,
        proof: true,
        plan: true,
        served: false,
        now_ms: 1_700_000_000_000,
        index: crate::Options::default(),
    }
}

fn run(base: &Path, definition: &str) -> Report {
    let definition = MetaChannel::parse(definition).expect(definition).definition;
    let client = fetch::Client::new(fetch::Options {
        cache_dir: base.join("cache"),
        ..fetch::Options::default()
    })
    .unwrap();
    build(&definition, &client, &options(base), &|_: Event<'_>| {}).unwrap()
}

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Names of packages, in the order of their file names.
fn names(repodata: &Path) -> Vec<String> {
    let text = crate::text::Text::parse(fs_err::read_to_string(repodata).unwrap()).unwrap();
    let rows = 0..u32::try_from(text.len()).unwrap();
    let names: BTreeSet<String> = rows
        .filter_map(|row| archive::package::split_file_name(text.file(row)))
        .map(|(name, _, _)| name.to_owned())
        .collect();
    names.into_iter().collect()
}

#[test]
fn random_roots_have_the_same_solutions() {
    let Some(folder) = channels() else { return };
    let base: PathBuf = folder.path().to_owned();
    let all: Vec<Vec<String>> = ["old/linux-64", "new/linux-64", "new/noarch"]
        .iter()
        .map(|subdir| names(&base.join(subdir).join("repodata.json")))
        .collect();
    let mut numbers = Numbers(2026);
    let mut found = (0, 0);
    for (channels, priority) in [
        ("\"./new\", \"./old\"", "strict"),
        ("\"./old\"", "strict"),
        ("\"./old\", \"./new\"", "strict"),
        ("\"./new\", \"./old\"", "flexible"),
    ] {
        for few in [1, 1, 1, 2, 5, 60] {
            let roots: BTreeSet<String> = (0..few)
                .map(|_| {
                    let names = &all[numbers.below(if channels == "\"./old\"" { 1 } else { 3 })];
                    format!("\"{}\"", names[numbers.below(names.len())])
                })
                .collect();
            let roots: Vec<String> = roots.into_iter().collect();
            let definition = format!(
                "name = \"x\"\nchannels = [{channels}]\nplatforms = [\"linux-64\"]\n\
                 channel_priority = \"{priority}\"\nroots = [{}]\nsets = []\n",
                roots.join(", ")
            );
            for proof in run(&base, &definition).proofs {
                match proof.outcome {
                    Outcome::Same(_) => found.0 += 1,
                    Outcome::None(_) => found.1 += 1,
                    other => panic!("{channels} {priority} {:?}: {other:?}", proof.specs),
                }
            }
        }
    }
    assert!(found.0 >= 150 && found.1 >= 50, "{found:?}");
}
