//! What comes out of the cache is what went in, or nothing.

use archive::digest::{Md5, Sha256};
use archive::package::Kind;
use proptest::prelude::*;

use super::{Cache, Error, FILE, Known, Mark, State, codec};
use crate::scan::{Stat, Wanted};
use crate::scanned::{PostInstall, Scanned};

fn scanned(number: usize) -> Scanned {
    let file = format!("name{number}-1.0-0.conda");
    Scanned {
        kind: Kind::Conda,
        md5: Md5::of(file.as_bytes()),
        sha256: Sha256::of(file.as_bytes()),
        size: number as u64,
        mtime_ns: -5,
        record: format!(
            "{{\"name\":\"name{number}\",\"text\":\"{}\"}}",
            "x".repeat(number)
        ),
        run_exports: (number.is_multiple_of(2)).then(|| "{}".to_owned()),
        about: Some("{\"home\":\"é\"}".to_owned()),
        post_install: PostInstall {
            text_prefix: number.is_multiple_of(3),
            pre_unlink: true,
            ..PostInstall::default()
        },
        recipe: None,
        icon: Some(vec![0, 255, 7]),
        file,
    }
}

const KNOWN: Known = Known {
    stat: Stat {
        size: 1,
        mtime_ns: i64::MIN,
        inode: u64::MAX,
    },
    wanted: Wanted {
        digests: true,
        run_exports: true,
        details: false,
    },
    state: State::Package,
    mark: Mark {
        sum: 7,
        is_named: true,
    },
    indexed_ms: -7,
};

fn fill(folder: &std::path::Path, count: usize) {
    let mut cache = Cache::open(folder).unwrap();
    let mut batch = cache.batch().unwrap();
    for number in 0..count {
        batch.put("noarch", &KNOWN, &scanned(number)).unwrap();
    }
    batch
        .put_reason(
            "noarch",
            "bad-1-0.conda",
            &Known {
                state: State::Unusable,
                ..KNOWN
            },
            "so",
        )
        .unwrap();
    batch.put("noarch2", &KNOWN, &scanned(7)).unwrap();
    batch.set_note("made/noarch", b"note").unwrap();
    batch.commit().unwrap();
}

/// What is known of the files, the packages, and a note.
type Contents = (Vec<(String, Known)>, Vec<Scanned>, Option<Vec<u8>>);

/// Everything that a run reads.
fn read(folder: &std::path::Path) -> Result<Contents, Error> {
    let cache = Cache::open(folder)?;
    let files = cache.files("noarch")?;
    let mut names = Vec::new();
    // In three parts, of which one is empty.
    let bounds = ["name1", "name1-"];
    let take =
        |names: &mut Vec<String>, name: &str, _: &str, _: Option<&str>| names.push(name.to_owned());
    names.extend(
        cache
            .records("noarch", &bounds, &take)?
            .into_iter()
            .flatten(),
    );
    let mut packages = Vec::new();
    for name in names {
        packages.extend(cache.package("noarch", &name)?);
    }
    Ok((files, packages, cache.note("made/noarch")?))
}

#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        Cache::open(folder.path())
            .unwrap()
            .files("noarch")
            .unwrap()
            .is_empty()
    );
    assert!(!folder.path().join(FILE).exists());
    fill(folder.path(), 20);
    let (files, packages, note) = read(folder.path()).unwrap();
    assert_eq!((files.len(), packages.len()), (21, 20));
    assert_eq!(note.as_deref(), Some(b"note".as_slice()));
    let reason = Cache::open(folder.path())
        .unwrap()
        .reason("noarch", "bad-1-0.conda")
        .unwrap();
    assert_eq!(reason.as_deref(), Some("so"));
    for package in &packages {
        let number = usize::try_from(package.size).unwrap();
        assert_eq!(*package, scanned(number));
    }
    let cache = Cache::open(folder.path()).unwrap();
    let one = cache.package("noarch2", "name7-1.0-0.conda").unwrap();
    assert_eq!(one, Some(scanned(7)));
    type Texts = Vec<(String, String, Option<String>)>;
    let take = |texts: &mut Texts, name: &str, record: &str, run_exports: Option<&str>| {
        texts.push((
            name.to_owned(),
            record.to_owned(),
            run_exports.map(str::to_owned),
        ));
    };
    let texts = cache.records("noarch2", &[], &take).unwrap();
    let expected = scanned(7);
    assert_eq!(
        texts,
        [[(expected.file, expected.record, expected.run_exports)]]
    );

    let mut cache = cache;
    let mut batch = cache.batch().unwrap();
    batch.remove("noarch", "name3-1.0-0.conda").unwrap();
    batch.commit().unwrap();
    assert_eq!(cache.files("noarch").unwrap().len(), 20);
}

#[test]
fn what_is_not_committed_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 1);
    let mut cache = Cache::open(folder.path()).unwrap();
    let mut batch = cache.batch().unwrap();
    batch.put("noarch", &KNOWN, &scanned(9)).unwrap();
    drop(batch);
    drop(cache);
    assert_eq!(read(folder.path()).unwrap().1.len(), 1);
}

#[test]
fn a_row_under_another_name_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 1);
    let (files, _, _) = read(folder.path()).unwrap();
    let (name, known) = &files[0];
    let row = codec::encode_known(name, known);
    assert_eq!(codec::known(name, &row), Some(*known));
    assert_eq!(codec::known("other-1-0.conda", &row), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_is_noticed_or_does_no_harm(
        position in 0_usize..1_000_000, value: u8, cut in prop::option::of(0_usize..1_000_000)
    ) {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), 30);
        let whole = read(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let mut bytes = fs_err::read(&path).unwrap();
        let position = position % bytes.len();
        bytes[position] = value;
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        fs_err::write(&path, bytes).unwrap();
        match read(folder.path()) {
            // A file that is missing is read again.
            Ok((files, packages, _)) => {
                prop_assert!(files.iter().all(|file| whole.0.contains(file)));
                prop_assert!(packages.iter().all(|package| whole.1.contains(package)));
            }
            Err(error) => prop_assert!(matches!(error, Error::Damaged), "{}", error),
        }
    }
}
