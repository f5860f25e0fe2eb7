//! What channels and definitions say wrong: told, refused, and harmless.

use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use fs_err as fs;

use super::{command, definition, files, forge, publish};
use crate::support::run::{Place, run};
use crate::support::server::{Access, Fault, Server};

/// What an index calls a package is as hostile as the package.
#[test]
fn names_that_lead_out_of_the_channel_are_no_packages() {
    const GOOD: &str = "lib-2.1-0.conda";
    const EVIL: &str = "../../x-1.conda";
    for has_shards in [false, true] {
        let place = Place::new();
        let forge = publish(&place, "forge", &forge());
        let folder = forge.join("linux-64");
        fs::copy(folder.join(GOOD), forge.join("x-1.conda")).expect("a package");
        if has_shards {
            rename_in_shards(&folder, GOOD, EVIL);
        } else {
            let path = folder.join("repodata.json");
            let text = fs::read_to_string(&path).expect("repodata");
            fs::write(&path, text.replace(GOOD, EVIL)).expect("repodata");
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                if entry.path().extension().is_some_and(|end| end == "zst") {
                    fs::remove_file(entry.path()).expect("a file");
                }
            }
        }
        let server = Server::start(&forge);
        let spec = definition(&place, &[server.url()], "mirror = \"full\"");
        let built = run(&mut command(&place, "build", &spec, &[])).succeeds();
        built.says(&["lead out of the channel: 1"]);
        assert!(!place.join("www/x-1.conda").exists(), "{has_shards}");
        let names = files(&place, "linux-64");
        assert!(names.contains(&"lib-2.0-0.conda".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.contains('/')), "{names:?}");
    }
}

/// Gives a package another name, of the same length, in its shard.
fn rename_in_shards(folder: &Path, before: &str, after: &str) {
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|at| at == part);
    let index_path = folder.join("repodata_shards.msgpack.zst");
    let read =
        |path: &Path| zstd::decode_all(&fs::read(path).expect("a file")[..]).expect("compressed");
    let shards = fs::read_dir(folder).expect("a folder").flatten();
    let mut shards = shards
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".msgpack.zst") && *path != index_path);
    let path = shards
        .find(|path| has(&read(path), before.as_bytes()).is_some())
        .expect("its shard");
    let mut shard = read(&path);
    while let Some(at) = has(&shard, before.as_bytes()) {
        shard[at..at + before.len()].copy_from_slice(after.as_bytes());
    }
    let old = Sha256::of(&fs::read(&path).expect("a shard"));
    let shard = zstd::encode_all(&shard[..], 3).expect("compressed");
    let new = Sha256::of(&shard);
    fs::write(folder.join(format!("{new}.msgpack.zst")), shard).expect("a shard");
    let mut index = read(&index_path);
    let at = has(&index, &old.0).expect("its digest");
    index[at..at + 32].copy_from_slice(&new.0);
    let index = zstd::encode_all(&index[..], 3).expect("compressed");
    fs::write(index_path, index).expect("an index");
}

#[test]
fn bad_channels_and_definitions_are_named() {
    let place = Place::new();
    let channel = publish(&place, "forge", &forge());
    let server = Server::start(&channel);
    let spec = definition(&place, &[server.url()], "");
    run(&mut command(&place, "build", &spec, &["--locked"]))
        .exits(2)
        .says(&["there is no lock", "mine.lock"]);
    run(&mut command(&place, "build", &spec, &["-p", "osx-64"]))
        .exits(2)
        .says(&["not for osx-64, only for linux-64"]);
    run(&mut command(&place, "build", &spec, &["--offline"]))
        .exits(1)
        .says(&["does not exist"]);
    for (fault, times, code, words) in [
        (Fault::Flip(30), 1, 4, "sha256"),
        (Fault::Truncate(20), 4, 1, "tried"),
        (Fault::Status(503), 4, 1, "503"),
        (Fault::Status(404), 8, 1, "404"),
    ] {
        let shard = server_shard(&channel);
        server.fault(&shard, fault, times);
        let mut build = command(&place, "build", &spec, &["--timeout", "2"]);
        run(&mut build).exits(code).says(&[words]);
        assert!(!place.join("www/mine/linux-64/repodata.json").exists());
    }
    // Without shards, the whole file in the form that is there.
    let server = Server::start(&channel);
    server.fault(
        "/repodata_shards.msgpack.zst",
        Fault::Status(404),
        usize::MAX,
    );
    let spec = definition(&place, &[server.url()], "");
    run(&mut command(&place, "build", &spec, &["--strict"])).succeeds();
    assert_eq!(server.count("/repodata.json.zst"), 2);
    assert_eq!(server.count("/run_exports.json.zst"), 2);
    let wrong = place.write("wrong.toml", "name = \"x\"\nchanels = []\n");
    run(&mut command(&place, "build", &wrong, &[]))
        .exits(2)
        .says(&[
            "wrong.toml:2:1",
            "unknown key `chanels`",
            "did you mean `channels`?",
        ]);
    run(&mut command(&place, "why", &spec, &["=="])).exits(2);
    for (wanted, expected) in [
        ("pyhton", "has `pyhton`; did you mean `python`?"),
        ("lib >9", "has `lib >9`\n"),
        ("nothing-like-it", "has `nothing-like-it`\n"),
    ] {
        let why = run(&mut command(&place, "why", &spec, &[wanted])).exits(1);
        why.says(&[expected]);
    }
    let rules = "[pins]\npyhton = [\"3.12.*\"]\n[exclude]\nnames = [\"libb\", \"*-debug\"]\nspecs = [\"lib 2.1\"]";
    let misspelt = definition(&place, &[server.url()], rules);
    let built = run(&mut command(&place, "build", &misspelt, &["--plan"])).succeeds();
    let built = built.says(&["`pins` names `pyhton`", "`exclude` names `libb`"]);
    assert!(
        !built.stderr.contains("`exclude` names `lib`"),
        "{}",
        built.stderr
    );
    let blacklist = place.write("black.txt", "lib 2.1  # broken\napp-1.0-h1111111_0.conda\n");
    let spec = definition(
        &place,
        &[server.url()],
        &format!("blacklist = {:?}", blacklist.display().to_string()),
    );
    run(&mut command(&place, "build", &spec, &[])).succeeds();
    let names = files(&place, "linux-64");
    assert!(
        !names
            .iter()
            .any(|file| file.starts_with("lib-2.1") || file.starts_with("app-1.0")),
        "{names:?}"
    );
    assert_eq!(names.len(), 6, "{names:?}");
}

#[test]
fn what_channels_say_wrong_is_refused() {
    let place = Place::new();
    let folder = place.join("odd/linux-64");
    fs::create_dir_all(&folder).expect("a folder");
    let spec = definition(&place, &["./odd".to_owned()], "");
    let server = Server::start(&place.join("odd"));
    let remote = place.write(
        "remote.toml",
        fs::read_to_string(&spec)
            .expect("text")
            .replace("./odd", &server.url()),
    );
    let record = r#"{"name":"app","version":"1","build":"0","build_number":0,"depends":[]}"#;
    for (spec, listing, code, words) in [
        (
            &spec,
            "{\"packages\":{\"app-1-0.conda\":{".to_owned(),
            4,
            "repodata.json cannot be read",
        ),
        (
            &spec,
            "{\"info\":{\"subdir\":\"noarch\"}}".to_owned(),
            4,
            "it is of noarch",
        ),
        (
            &remote,
            format!(
                r#"{{"info":{{"base_url":"file:///etc"}},"packages":{{"app-1-0.conda":{record}}}}}"#
            ),
            4,
            "said to be at `file:///etc/`",
        ),
        (
            &remote,
            format!(
                r#"{{"info":{{"base_url":"javascript:x"}},"packages":{{"app-1-0.conda":{record}}}}}"#
            ),
            4,
            "said to be at `javascript:",
        ),
    ] {
        fs::write(folder.join("repodata.json"), listing).expect("a file");
        run(&mut command(&place, "build", spec, &["--no-proof"]))
            .exits(code)
            .says(&[words]);
        assert!(!place.join("www/mine").exists());
    }
    let absent = definition(&place, &["./odd".to_owned()], "blacklist = \"nowhere.txt\"");
    fs::write(folder.join("repodata.json"), "{}").expect("a file");
    run(&mut command(&place, "build", &absent, &[]))
        .exits(2)
        .says(&["nowhere.txt"]);
}

#[test]
fn secrets_in_addresses_of_channels_are_told_to_nobody() {
    const TOKEN: &str = "ab-1234-secret";
    let place = Place::new();
    let server = Server::start(&publish(&place, "forge", &forge()));
    server.require(Access::Token(TOKEN));
    let spec = definition(&place, &[format!("{}t/{TOKEN}/", server.url())], "");
    for (verb, arguments) in [
        ("build", &["--json"][..]),
        ("why", &["zlib"]),
        ("why", &["zlib", "--json"]),
    ] {
        run(&mut command(&place, verb, &spec, arguments))
            .succeeds()
            .hides(&[TOKEN]);
    }
    let mut paths = vec![place.join("www/mine"), place.join("mine.lock")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder");
            paths.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let bytes = fs::read(&path).expect("a file");
            let mut windows = bytes.windows(TOKEN.len());
            assert!(
                !windows.any(|window| window == TOKEN.as_bytes()),
                "{}",
                path.display()
            );
        }
    }
}

/// The name of the shard of `zlib`.
fn server_shard(channel: &Path) -> String {
    let entries = fs::read_dir(channel.join("linux-64")).expect("a folder");
    let is_wanted = |path: &PathBuf| {
        // Not the index, whose name is no digest.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = (name.len() > 64 && name.contains(".msgpack."))
            .then(|| zstd::decode_all(&*fs::read(path).expect("a shard")).expect("zstd"));
        plain.is_some_and(|plain| plain.windows(15).any(|window| window == b"zlib-1.3-0.cond"))
    };
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let wanted = paths.find(is_wanted).expect("a shard");
    let name = wanted.file_name().unwrap_or_default();
    format!("/{}", name.to_string_lossy())
}
