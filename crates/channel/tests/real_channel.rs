//! Indexing packages that conda-forge published: the digests are those that conda-forge published
//! with them, the files are conda-index's byte for byte, and the records hold all that their index.json says.

use std::collections::BTreeMap;
use std::path::Path;

use archive::digest::{Md5, Sha256};
use archive::package::{Kind, Package};
use channel::{Options, index};
use serde_json::Value;

const DATA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/data/channels/conda-forge-2023"
);

/// SHA-256 of what conda-index 0.13.0 writes for these packages.
const CONDA_INDEX: [(&str, &str); 2] = [
    (
        "linux-aarch64",
        "9009c51b473140d8b220f4d8c963648f5e8ce8f28df65551497120f3edfc465f",
    ),
    (
        "noarch",
        "d52253e8ac5f3fcbce82442262f78ccdea7ad6595eeacc47cb73db224160d121",
    ),
];

const LEFT_OUT: [&str; 4] = ["arch", "has_prefix", "platform", "binstar"];

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn published_digests_and_every_key() {
    let data = Path::new(DATA);
    let Ok(published) = fs_err::read_to_string(data.join("SHA256SUMS")) else {
        assert!(
            std::env::var_os("ARCHICONDA_TEST_STRICT").is_none(),
            "no packages in {DATA}"
        );
        eprintln!("skipped: no packages in {DATA}");
        return;
    };
    let published: BTreeMap<String, String> = published
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(sha256, name)| {
            (
                name.trim_start_matches([' ', '*', '.', '/']).to_owned(),
                sha256.to_owned(),
            )
        })
        .filter(|(name, _)| Kind::from_file_name(name).is_some())
        .collect();
    assert!(published.len() > 100);
    let channel = tempfile::tempdir().unwrap();
    for name in published.keys() {
        let path = channel.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::os::unix::fs::symlink(fs_err::canonicalize(data.join(name)).unwrap(), path)
            .unwrap();
    }

    let report = index(channel.path(), &Options::default(), &|_| {}).unwrap();
    assert!(
        report
            .subdirs
            .iter()
            .all(|subdir| subdir.skipped.is_empty()),
        "{report:?}"
    );
    assert_eq!(
        report
            .subdirs
            .iter()
            .map(|subdir| subdir.packages)
            .sum::<usize>(),
        published.len()
    );
    for subdir in &report.subdirs {
        let text = fs_err::read(channel.path().join(&subdir.name).join("repodata.json")).unwrap();
        let sha256 = Sha256::of(&text).to_string();
        assert!(
            CONDA_INDEX.contains(&(&*subdir.name, &*sha256)),
            "{}: {sha256}",
            subdir.name
        );
        let repodata: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(repodata["info"]["subdir"], *subdir.name);
        for (section, kind) in [("packages", Kind::TarBz2), ("packages.conda", Kind::Conda)] {
            for (file, record) in repodata[section].as_object().unwrap() {
                let name = format!("{}/{file}", subdir.name);
                assert_eq!(Kind::from_file_name(file), Some(kind));
                assert_eq!(record["sha256"], *published[&name], "{name}");
                let bytes = fs_err::read(data.join(&name)).unwrap();
                let mut expected = serde_json::Map::new();
                let index = Package::open(std::io::Cursor::new(&bytes), kind)
                    .unwrap()
                    .index_json()
                    .unwrap();
                expected.extend(serde_json::from_slice::<serde_json::Map<_, _>>(&index).unwrap());
                expected.retain(|key, _| !LEFT_OUT.contains(&&**key));
                expected.insert("md5".into(), Md5::of(&bytes).to_string().into());
                expected.insert("sha256".into(), published[&name].clone().into());
                expected.insert("size".into(), bytes.len().into());
                assert_eq!(record, &Value::Object(expected), "{name}");
            }
        }
    }
}
