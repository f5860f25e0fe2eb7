//! Repodata: which records come from which channels, and what is said where they do not.

use std::path::Path;
use std::sync::{Arc, Mutex};

use conda::package::DistArchiveIdentifier;
use conda::{
    Channel, MatchSpec, PackageRecord, ParseMatchSpecOptions, RepoDataRecord, Shard,
    ShardedRepodata, Subdir,
};
use fetch::{Client, Error, Options};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{Log, Place, Reply, Server, chain, shared};

/// repodata.json with `(name, version, depends)`, of archives in both formats.
pub(crate) fn repodata(subdir: &str, packages: &[(&str, &str, &[&str])]) -> String {
    let entry = |(name, version, depends): &(&str, &str, &[&str])| {
        json!({
            "name": name, "version": version, "build": "0", "build_number": 0,
            "depends": depends, "subdir": subdir, "size": 10,
            "md5": "00112233445566778899aabbccddeeff",
        })
    };
    let named = |extension: &str| -> serde_json::Map<String, serde_json::Value> {
        packages
            .iter()
            .map(|package| {
                (
                    format!("{}-{}-0{extension}", package.0, package.1),
                    entry(package),
                )
            })
            .collect()
    };
    json!({
        "info": {"subdir": subdir},
        "packages": named(".tar.bz2"),
        "packages.conda": named(".conda"),
        "repodata_version": 1,
    })
    .to_string()
}

pub(crate) fn specs(texts: &[&str]) -> Vec<MatchSpec> {
    texts
        .iter()
        .map(|text| MatchSpec::from_str(text, ParseMatchSpecOptions::lenient()).expect("a spec"))
        .collect()
}

pub(crate) fn channel(client: &Client, text: &str) -> Channel {
    client.channel(text, Path::new("/")).expect("a channel")
}

pub(crate) fn records(
    client: &Client,
    channels: &[&str],
    texts: &[&str],
) -> Result<Vec<Vec<RepoDataRecord>>, Error> {
    let channels: Vec<Channel> = channels.iter().map(|text| channel(client, text)).collect();
    client.records(&channels, &[Subdir::Linux64], &specs(texts), &|_| ())
}

/// The archives of each channel, sorted.
pub(crate) fn files(lists: &[Vec<RepoDataRecord>]) -> Vec<Vec<String>> {
    lists
        .iter()
        .map(|list| {
            let mut names: Vec<String> = list
                .iter()
                .map(|record| record.identifier.to_file_name())
                .collect();
            names.sort();
            names
        })
        .collect()
}

/// Answers with the repodata of `(path below the server, text)`.
pub(crate) fn server(files: &[(&str, String)]) -> Server {
    let files: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|(path, text)| (format!("/{path}"), text.clone().into_bytes()))
        .collect();
    Server::start(move |request| {
        files
            .iter()
            .find(|(path, _)| *path == request.path)
            .map_or(Reply::status(404), |(_, body)| {
                Reply::file(request, body, "\"1\"")
            })
    })
}

fn forge() -> Server {
    server(&[
        (
            "forge/linux-64/repodata.json",
            repodata(
                "linux-64",
                &[
                    ("python", "3.7", &["zlib >=1.2", "pip"]),
                    ("python", "2.7", &["tk"]),
                    ("zlib", "1.2", &[]),
                    ("tk", "8.6", &[]),
                    ("unrelated", "1", &[]),
                ],
            ),
        ),
        (
            "forge/noarch/repodata.json",
            repodata("noarch", &[("pip", "18", &["python"])]),
        ),
    ])
}

#[test]
fn dependencies_are_followed_through_all_channels() {
    let first = server(&[(
        "mine/linux-64/repodata.json",
        repodata("linux-64", &[("app", "1", &["python"]), ("zlib", "9", &[])]),
    )]);
    let second = forge();
    let place = Place::new();
    let client = place.client();
    let (mine, forge) = (first.url("mine"), second.url("forge"));
    let lists = records(&client, &[&mine, &forge, &mine], &["app"]).expect("records");
    assert_eq!(
        files(&lists),
        [
            vec!["app-1-0.conda", "zlib-9-0.conda"],
            vec![
                "pip-18-0.conda",
                "python-2.7-0.conda",
                "python-3.7-0.conda",
                "tk-8.6-0.conda",
                "zlib-1.2-0.conda"
            ],
            vec![],
        ],
        "the first channel has no noarch, and is named twice"
    );
    let python = lists[1]
        .iter()
        .find(|record| record.package_record.version.to_string() == "3.7")
        .expect("python");
    assert_eq!(
        python.url.as_str(),
        format!("{forge}/linux-64/python-3.7-0.conda")
    );
    assert_eq!(
        python.channel.as_deref(),
        Some(format!("{forge}/").as_str())
    );
    assert!(python.package_record.md5.is_some());
    assert_eq!(
        files(&records(&client, &[&forge], &["python 2.7"]).expect("records")),
        [["python-2.7-0.conda", "tk-8.6-0.conda"]]
    );
    assert_eq!(
        files(&records(&client, &[&forge], &["absent"]).expect("records")),
        [[""; 0]]
    );
    assert_eq!(
        files(&records(&client, &[&forge], &[]).expect("records")),
        [[""; 0]]
    );
}

#[test]
fn every_form_of_repodata_says_the_same() {
    let text = repodata(
        "linux-64",
        &[("python", "3.7", &["zlib"]), ("zlib", "1.2", &[])],
    );
    let data: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let shard = |name: &str| {
        let mut shard = Shard::default();
        for (file, record) in data["packages.conda"].as_object().expect("a map") {
            if record["name"] == name {
                let record: PackageRecord =
                    serde_json::from_value(record.clone()).expect("a record");
                let file = DistArchiveIdentifier::try_from_filename(file).expect("a name");
                shard.conda_packages.insert(file, record);
            }
        }
        zstd::encode_all(&rmp_serde::to_vec_named(&shard).expect("bytes")[..], 3).expect("zstd")
    };
    let shards = [("python", shard("python")), ("zlib", shard("zlib"))];
    let digest = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let index: ShardedRepodata = ShardedRepodata {
        info: serde_json::from_value(json!({
            "subdir": "linux-64", "base_url": "./", "shards_base_url": "./shards/", "created_at": null,
        }))
        .expect("info"),
        shards: shards.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes).into())).collect(),
    };
    let index =
        zstd::encode_all(&rmp_serde::to_vec_named(&index).expect("bytes")[..], 3).expect("zstd");
    let zst = zstd::encode_all(text.as_bytes(), 3).expect("zstd");
    let paths = Arc::new(vec![
        (
            "/plain/linux-64/repodata.json".to_owned(),
            text.clone().into_bytes(),
        ),
        ("/zst/linux-64/repodata.json.zst".to_owned(), zst),
        (
            "/sharded/linux-64/repodata_shards.msgpack.zst".to_owned(),
            index.clone(),
        ),
        (
            format!(
                "/sharded/linux-64/shards/{}.msgpack.zst",
                conda::hex::encode(&digest(&shards[0].1))
            ),
            shards[0].1.clone(),
        ),
        (
            format!(
                "/sharded/linux-64/shards/{}.msgpack.zst",
                conda::hex::encode(&digest(&shards[1].1))
            ),
            shards[1].1.clone(),
        ),
        (
            "/wrong/linux-64/repodata_shards.msgpack.zst".to_owned(),
            index,
        ),
        (
            format!(
                "/wrong/linux-64/shards/{}.msgpack.zst",
                conda::hex::encode(&digest(&shards[0].1))
            ),
            shards[1].1.clone(),
        ),
    ]);
    let server = Server::start(move |request| {
        paths
            .iter()
            .find(|(path, _)| *path == request.path)
            .map_or(Reply::status(404), |(_, body)| {
                Reply::file(request, body, "\"1\"")
            })
    });
    let place = Place::new();
    let folder = place.path().join("local/linux-64");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("repodata.json"), &text).expect("a file");
    let client = place.client();
    let local = place.path().join("local").display().to_string();
    for channel in [
        server.url("plain"),
        server.url("zst"),
        server.url("sharded"),
        local,
    ] {
        let lists = records(&client, &[&channel], &["python"]).expect(&channel);
        assert_eq!(
            files(&lists),
            [["python-3.7-0.conda", "zlib-1.2-0.conda"]],
            "{channel}"
        );
    }
    // Shards are cached under their digest, so that another cache is needed.
    let place = Place::new();
    let error =
        records(&place.client(), &[&server.url("wrong")], &["python"]).expect_err("wrong shard");
    assert!(chain(&error).contains("SHA-256"), "{}", chain(&error));
}

#[test]
fn real_repodata_is_read_from_folders_and_servers() {
    let Some(folder) = shared("repodata/conda-forge-2024-05") else {
        return;
    };
    let server = Server::folder(folder.clone());
    let place = Place::new();
    let client = place.client();
    let read = |text: &str| {
        let channel = client.channel(text, Path::new("/")).expect("a channel");
        let lists = client
            .records(
                &[channel],
                &[Subdir::LinuxAarch64],
                &specs(&["python", "conda"]),
                &|_| (),
            )
            .expect("records");
        files(&lists).remove(0)
    };
    let local = read(&folder.display().to_string());
    assert!(local.len() > 100, "{}", local.len());
    assert!(local.iter().any(|name| name.starts_with("python-3.")));
    assert_eq!(read(&server.url("")), local);
}

#[test]
fn repodata_is_cached_and_serves_offline() {
    let place = Place::new();
    let (url, expect) = {
        let server = forge();
        let url = server.url("forge");
        let log = Log::default();
        let client = place.client();
        let channel = channel(&client, &url);
        let lists = client
            .records(
                &[channel],
                &[Subdir::Linux64],
                &specs(&["python"]),
                &|event| log.report(event),
            )
            .expect("records");
        assert_eq!(log.count("SubdirStarted"), 2);
        let done: Vec<String> = log
            .lines()
            .into_iter()
            .filter(|line| line.starts_with("SubdirDone"))
            .collect();
        assert!(
            done.iter()
                .all(|line| line.contains("found: true, cached: false")),
            "{done:?}"
        );
        assert!(log.count("RepodataBytes") > 0);
        (url, files(&lists))
    };
    let lists = records(&place.offline(), &[&url], &["python"]).expect("from the cache");
    assert_eq!(files(&lists), expect);
    let error = records(
        &place.offline(),
        &["https://example.org/never"],
        &["python"],
    )
    .expect_err("never seen");
    assert!(
        matches!(error, Error::RepodataOffline { .. }),
        "{}",
        chain(&error)
    );
    assert!(
        error.to_string().contains("https://example.org/never/"),
        "{error}"
    );
    assert!(error.to_string().contains("--offline"), "{error}");
}

#[test]
fn mirrors_are_asked_instead() {
    let server = forge();
    let place = Place::new();
    let client = Client::new(Options {
        mirrors: [(
            "https://conda.invalid/forge".parse().expect("a URL"),
            vec![server.url("forge").parse().expect("a URL")],
        )]
        .into(),
        channel_alias: "https://conda.invalid/".parse().expect("a URL"),
        ..place.options()
    })
    .expect("a client");
    let lists = records(&client, &["forge"], &["tk"]).expect("records");
    assert_eq!(files(&lists), [["tk-8.6-0.conda"]]);
    assert_eq!(
        lists[0][0].url.as_str(),
        "https://conda.invalid/forge/linux-64/tk-8.6-0.conda"
    );
}

#[test]
fn calls_may_come_from_several_threads() {
    let server = forge();
    let place = Place::new();
    let client = place.client();
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let lists =
                    records(&client, &[&server.url("forge")], &["python"]).expect("records");
                seen.lock().expect("lists").push(files(&lists));
            });
        }
    });
    let seen = seen.into_inner().expect("lists");
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter()
            .all(|lists| *lists == seen[0] && lists[0].len() == 5)
    );
}
