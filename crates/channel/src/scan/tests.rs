//! Many packages at the same time.

use std::collections::BTreeMap;
use std::io::Cursor;

use archive::digest::{Md5, Sha256};
use archive::package::{Item, Kind, WriteOptions, write};

use super::{Done, Job, Stat, Wanted, scan};
use crate::Unusable;

fn package(kind: Kind, number: usize) -> Vec<u8> {
    let options = WriteOptions {
        zstd_level: 1,
        bzip2_level: 1,
    };
    let index = format!("{{\"name\":\"n{number}\"}}");
    // Noise, which does not shrink: sizes around the buffers' and far above.
    let length = [0, 1, 63_000, 64 << 10, 70_000, 200_000, 1 << 20][number % 7] + number;
    let mut state = number as u64 + 1;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33).to_le_bytes()[0]
    })
    .take(length)
    .collect();
    let info = [Item::file("info/index.json", index.as_bytes())];
    let content = [Item::file("noise", &noise)];
    write(
        Cursor::new(Vec::new()),
        kind,
        &format!("n{number}-1-0"),
        info,
        content,
        &options,
    )
    .unwrap()
    .into_inner()
}

fn jobs(folder: &std::path::Path, files: &BTreeMap<String, Vec<u8>>) -> Vec<Job> {
    files
        .iter()
        .enumerate()
        .map(|(number, (file, bytes))| {
            let path = folder.join(file);
            fs_err::write(&path, bytes).unwrap();
            Job {
                number,
                stat: Stat::of(&fs_err::metadata(&path).unwrap()),
                source: super::Source::File(path),
                file: file.clone(),
                kind: Kind::from_file_name(file).unwrap(),
                known: None,
            }
        })
        .collect()
}

#[test]
fn digests_and_records_of_many() {
    let folder = tempfile::tempdir().unwrap();
    let files: BTreeMap<_, _> = (0..60)
        .map(|number| {
            let kind = if number % 5 == 0 {
                Kind::TarBz2
            } else {
                Kind::Conda
            };
            (format!("n{number}-1-0{kind}"), package(kind, number))
        })
        .collect();
    for threads in [1, 3] {
        let mut seen = BTreeMap::new();
        let mut take = |Done { job, outcome }: Done| {
            seen.insert(job.file, outcome.unwrap().0);
            Ok::<_, ()>(())
        };
        scan(
            jobs(folder.path(), &files),
            Wanted::default(),
            threads,
            &mut take,
        )
        .unwrap();
        assert_eq!(seen.len(), files.len());
        for (file, bytes) in &files {
            let found = &seen[file];
            assert_eq!(
                (found.md5, found.sha256),
                (Md5::of(bytes), Sha256::of(bytes)),
                "{file}"
            );
            assert_eq!(found.size, bytes.len() as u64);
            assert!(
                found.record.contains(&Sha256::of(bytes).to_string()),
                "{}",
                found.record
            );
        }
    }
}

#[test]
fn what_changes_meanwhile_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let files = BTreeMap::from([("n1-1-0.conda".to_owned(), package(Kind::Conda, 1))]);
    let mut listed = jobs(folder.path(), &files);
    listed[0].stat.size += 1;
    let mut outcomes = Vec::new();
    scan(listed, Wanted::default(), 1, &mut |done| {
        outcomes.push(done.outcome);
        Ok::<_, ()>(())
    })
    .unwrap();
    assert!(
        matches!(outcomes[..], [Err(Unusable::Changed)]),
        "{outcomes:?}"
    );
}

#[test]
fn who_takes_may_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let files: BTreeMap<_, _> = (0..100)
        .map(|number| (format!("n{number}-1-0.conda"), package(Kind::Conda, 0)))
        .collect();
    let mut count = 0;
    let stopped = scan(
        jobs(folder.path(), &files),
        Wanted::default(),
        2,
        &mut |_| {
            count += 1;
            if count == 3 { Err("enough") } else { Ok(()) }
        },
    );
    assert_eq!((stopped, count), (Err("enough"), 3));
}
