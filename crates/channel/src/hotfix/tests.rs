//! Where hotfixes come from.

use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use archive::package::{Item, Kind, WriteOptions, write};

use super::{Error, Generator, of_user};
use crate::output::patch::Instructions;
use crate::output::repodata::Head;
use crate::output::samples::{Records, each};
use crate::place::Place;

fn records() -> Records {
    Records::from([
        (
            "a-1-0.conda".to_owned(),
            r#"{"depends":["x"],"name":"a"}"#.to_owned(),
        ),
        ("b-1-0.tar.bz2".to_owned(), r#"{"name":"b"}"#.to_owned()),
    ])
}

fn run(generator: &Generator, subdir: &str, limit: u64) -> Result<Instructions, Error> {
    let head = Head {
        subdir,
        ..Head::default()
    };
    let records = records();
    generator.instructions(&head, &each(&records), Duration::from_secs(limit))
}

fn put(path: &Path, text: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

#[test]
fn a_package_holds_a_file_for_each_platform() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"remove":["a-1-0.conda"]}"#;
    for kind in [Kind::Conda, Kind::TarBz2] {
        let options = WriteOptions {
            zstd_level: 1,
            bzip2_level: 1,
        };
        let info = [Item::file("info/index.json", b"{}")];
        let content = [
            Item::file("noarch/patch_instructions.json", text.as_bytes()),
            Item::file("linux-64/patch_instructions.json", b"[]"),
            Item::file("noarch/other.json", b"no"),
        ];
        let bytes = write(
            Cursor::new(Vec::new()),
            kind,
            "patches-1-0",
            info,
            content,
            &options,
        )
        .unwrap()
        .into_inner();
        let path = folder.path().join(format!("patches-1-0{kind}"));
        fs_err::write(&path, &bytes).unwrap();
        let generator = Generator::find(&Place::Folder(folder.path().to_owned()), Some(&path))
            .unwrap()
            .unwrap();
        assert_eq!(run(&generator, "noarch", 1).unwrap().text(), text);
        assert!(run(&generator, "osx-64", 1).unwrap().is_empty());
        let error = run(&generator, "linux-64", 1).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the hotfixes for linux-64 in `"),
            "{error}"
        );
        fs_err::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = run(&generator, "noarch", 1).unwrap_err();
        assert!(matches!(error, Error::Package { .. }), "{error}");
    }
}

#[test]
fn a_script_sees_the_records_and_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("gen_patch.py");
    put(&folder.path().join("neighbour.py"), "LICENSE = 'é'");
    put(
        &script,
        concat!(
            "import sys, collections, neighbour\nprint('chatter')\n",
            "def _patch_repodata(repodata, subdir):\n",
            "    if subdir == 'osx-64': return {}\n",
            "    if subdir == 'win-64': sys.exit('no windows')\n",
            "    if subdir == 'linux-64':\n        import time; time.sleep(60)\n",
            "    patches = collections.defaultdict(dict)\n",
            "    for fn, record in repodata['packages.conda'].items():\n",
            "        patches[fn]['license'] = neighbour.LICENSE + record['name'] + repodata['info']['subdir'] + str(repodata['repodata_version'])\n",
            "    return {'packages.conda': patches, 'remove': sorted(repodata['packages']), 'removed': repodata['removed']}\n",
        ),
    );
    let generator = Generator::find(&Place::Folder(folder.path().to_owned()), None)
        .unwrap()
        .unwrap();
    assert!(matches!(generator, Generator::Script(_)));
    let patch = match run(&generator, "noarch", 60) {
        Err(Error::NoPython { .. }) => return,
        patch => patch.unwrap(),
    };
    assert_eq!(
        patch.text(),
        r#"{"packages.conda":{"a-1-0.conda":{"license":"\u00e9anoarch1"}},"remove":["b-1-0.tar.bz2"],"removed":[]}"#
    );
    assert!(run(&generator, "osx-64", 60).unwrap().is_empty());
    let error = run(&generator, "win-64", 60).unwrap_err().to_string();
    assert!(
        error.contains("for win-64 (exit status: 1): chatter\nno windows"),
        "{error}"
    );
    let started = Instant::now();
    let error = run(&generator, "linux-64", 1).unwrap_err().to_string();
    assert!(error.contains("ended after 1 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(30));
    put(&script, "_patch_repodata = lambda repodata, subdir: None");
    assert!(matches!(
        run(&generator, "noarch", 60).unwrap_err(),
        Error::Instructions { .. }
    ));
}

#[test]
fn the_users_file_and_rules() {
    let channel = tempfile::tempdir().unwrap();
    let root = channel.path();
    assert!(
        Generator::find(&Place::Folder(root.to_owned()), None)
            .unwrap()
            .is_none()
    );
    assert!(
        of_user(&Place::Folder(root.join("noarch")), "noarch")
            .unwrap()
            .is_empty()
    );
    let own = root.join("noarch/patch_instructions.json");
    put(&own, " {\"remove\" : [\"a-1-0.conda\"]}\n");
    assert!(
        of_user(&Place::Folder(root.join("noarch")), "noarch")
            .unwrap()
            .removes("a-1-0.conda")
    );
    put(&own, "{\"patch_instructions_version\":7}");
    assert!(of_user(&Place::Folder(root.join("noarch")), "noarch").is_err());

    put(
        &root.join("patch_yaml/b.yaml"),
        "if: {name: a, has_depends: first}\nthen: [{add_depends: second}]",
    );
    put(
        &root.join("patch_yaml/a.yaml"),
        "if: {name: a}\nthen: [{add_depends: first}]",
    );
    put(&root.join("patch_yaml/README.md"), "no rule");
    let generator = Generator::find(&Place::Folder(root.to_owned()), None)
        .unwrap()
        .unwrap();
    let patch = run(&generator, "noarch", 1).unwrap();
    assert_eq!(
        patch
            .record("a-1-0.conda", &records()["a-1-0.conda"])
            .unwrap()
            .unwrap(),
        r#"{"depends":["x","first","second"],"name":"a"}"#
    );
    put(&root.join("patch_yaml/a.yaml"), "no rule");
    let error = Generator::find(&Place::Folder(root.to_owned()), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("a.yaml` cannot be used"), "{error}");
    // A script of conda-index comes first.
    put(&root.join("gen_patch.py"), "");
    assert!(matches!(
        Generator::find(&Place::Folder(root.to_owned()), None).unwrap(),
        Some(Generator::Script(_))
    ));
    let missing = root.join("missing.py");
    let error = Generator::find(&Place::Folder(root.to_owned()), Some(&missing))
        .unwrap_err()
        .to_string();
    assert!(error.contains("there is no patch generator"), "{error}");
}
