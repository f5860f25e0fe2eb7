//! Pages of made-up channels, as text; tests/pages.rs looks at them in a browser.

use std::collections::BTreeSet;
use std::io;

use archive::digest::Sha256;
use proptest::prelude::*;
use serde_json::json;

use super::about::{self, About, about_page};
use super::text::{Count, Path, Size, Text, file_stem, shorten, web_address};
use super::{IndexFile, Listed, Site, assets, channel_pages, package, write_subdir};
use crate::base_url::BaseUrl;
use crate::output::channeldata::Summary;

const SUBDIRS: [&str; 2] = ["linux-64", "noarch"];

fn site() -> Site<'static> {
    Site {
        channel_name: "mine",
        subdirs: &SUBDIRS,
        has_packages: true,
        ..Site::default()
    }
}

fn pages(names: &[String], entry: &str) -> Vec<(String, String)> {
    let summary = Summary::read(entry);
    let listed: Vec<Listed<'_>> = names
        .iter()
        .map(|name| Listed {
            name,
            summary: &summary,
        })
        .collect();
    channel_pages(&site(), &listed)
}

fn find<'a>(pages: &'a [(String, String)], path: &str) -> &'a str {
    let found = pages.iter().find(|(found, _)| found == path);
    &found.unwrap_or_else(|| panic!("no {path}")).1
}

fn page(name: &str, entry: &str, records: &[(&str, &str, serde_json::Value)], all: bool) -> String {
    let site = Site {
        html_dependencies: all,
        ..site()
    };
    let records: Vec<(&str, &str, String)> = records
        .iter()
        .map(|(subdir, file, record)| (*subdir, *file, record.to_string()))
        .collect();
    let files: Vec<package::File<'_>> = records
        .iter()
        .map(|(subdir, file, record)| package::File {
            subdir,
            file,
            record,
        })
        .collect();
    let package = package::Package {
        name,
        entry,
        icon: None,
        files: &files,
    };
    package::page(&site, &package, &|name| name == "python" || name == "a")
}

#[test]
fn a_small_channel_is_on_one_page() {
    let names = ["a".to_owned(), "b".to_owned()];
    let entry = r#"{"license":"MIT","subdirs":["linux-64"],"summary":"What it is.","timestamp":1699933655,"version":"1.2"}"#;
    let pages = pages(&names, entry);
    let paths: Vec<&str> = pages.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["html/packages.js", "index.html"]);
    let index = find(&pages, "index.html");
    for part in [
        "<title>mine</title>",
        "2 packages",
        "<a class=\"name\" href=\"packages/a.html\">a</a><p>What it is.</p>",
        "<td>1.2</td><td><time datetime=\"2023-11-14\">2023-11-14</time></td><td>MIT</td>",
        "<li>linux-64</li>",
        "href=\"rss.xml\"",
    ] {
        assert!(index.contains(part), "{part} is not in {index}");
    }
    assert_eq!(
        find(&pages, "html/packages.js"),
        "archiconda({\"platforms\":[\"linux-64\",\"noarch\"],\"packages\":[\n\
         [\"a\",\"1.2\",\"2023-11-14\",\"MIT\",1,\"What it is.\"],\n\
         [\"b\",\"1.2\",\"2023-11-14\",\"MIT\",1,\"What it is.\"]\n]});\n"
    );
}

#[test]
fn a_large_channel_is_listed_by_initial() {
    let mut names: Vec<String> = (0..1500).map(|number| format!("p{number:04}")).collect();
    names.insert(0, "_mutex".to_owned());
    names.push("Upper".to_owned());
    let pages = pages(&names, r#"{"timestamp":5,"version":"1"}"#);
    let index = find(&pages, "index.html");
    assert!(index.contains("1,502 packages"));
    assert!(index.len() < 40_000, "{}", index.len());
    let links: Vec<usize> = [
        "html/list-p.html",
        "html/list-u.html",
        "html/list-other.html",
    ]
    .iter()
    .filter_map(|link| index.find(link))
    .collect();
    assert_eq!(links.len(), 3);
    assert!(links.is_sorted(), "what is no letter comes last");
    assert_eq!(
        find(&pages, "html/list-p.html")
            .matches("class=\"name\"")
            .count(),
        1500
    );
    let other = find(&pages, "html/list-other.html");
    assert!(
        other.contains("href=\"../packages/_mutex.html\""),
        "{other}"
    );
    assert!(find(&pages, "html/list-u.html").contains("packages/~55pper.html"));
}

#[test]
fn a_package_page_tells_versions_files_and_dependencies() {
    let record = |version: &str, build: &str, depends: &[&str], time: u64| {
        json!({
            "name": "a", "version": version, "build": build, "build_number": 0,
            "depends": depends, "constrains": ["numpy >=1"], "size": 1_572_864,
            "timestamp": time, "md5": "m".repeat(32), "sha256": "s".repeat(64),
        })
    };
    let entry = r#"{"home":"https://example.org/?a&b","license":"MIT","subdirs":["linux-64"],"summary":"S.","timestamp":1699933655,"version":"1.10"}"#;
    let records = [
        (
            "linux-64",
            "a-1.9-0.conda",
            record("1.9", "0", &["old"], 1_500_000_000_000),
        ),
        (
            "linux-64",
            "a-1.10-py311_0.conda",
            record(
                "1.10",
                "py311_0",
                &[
                    "python >=3.11,<3.12.0a0",
                    "c::python[version='3']",
                    "__glibc",
                ],
                1_699_933_655_000,
            ),
        ),
        (
            "noarch",
            "a-1.10-1.conda",
            record("1.10", "1", &[], 1_699_933_655_000),
        ),
    ];
    let found = page("a", entry, &records, false);
    for part in [
        "<h1>a</h1>",
        "<a rel=\"noopener noreferrer nofollow\" href=\"https://example.org/?a&amp;b\">",
        "conda install --channel <span class=\"address\">CHANNEL-ADDRESS</span> a</code>",
        "mamba install --channel",
        "pixi workspace channel add",
        "<li><a href=\"python.html\">python</a> &gt;=3.11,&lt;3.12.0a0</li>",
        "<li>c::<a href=\"python.html\">python</a>[version=&#39;3&#39;]</li>",
        "<li><b>__glibc</b></li>",
        "<b>linux-64</b> py311_0 ",
        "<p>None.</p>",
        "If installed, then",
        "<a href=\"../linux-64/a-1.10-py311_0.conda\">",
        "1.5 MB",
    ] {
        assert!(found.contains(part), "{part} is not in {found}");
    }
    let newest = found.find("<b>1.10</b>").unwrap();
    assert!(
        newest < found.find("<b>1.9</b>").unwrap(),
        "the newest first"
    );
    assert!(!found.contains("<b>old</b>"), "only with html_dependencies");
    assert!(page("a", entry, &records, true).contains("<b>old</b>"));
    assert_eq!(found, page("a", entry, &records, false));
}

#[test]
fn a_platform_page_lists_all_files() {
    let record = json!({
        "name": "a", "version": "1", "build": "0", "depends": ["b >=1", "c"],
        "size": 10, "timestamp": 1_699_933_655_123_u64, "md5": "mm", "sha256": "ss",
    })
    .to_string();
    let index = [IndexFile {
        file: "repodata.json",
        size: 2048,
        sha256: Sha256::of(b""),
    }];
    let write_some = |site: &Site<'_>, count: usize, total: usize| {
        let mut out = Vec::new();
        let records = |take: &mut dyn FnMut(&str, &str) -> io::Result<()>| {
            (0..count).try_for_each(|number| take(&format!("a-{number:04}-0.conda"), &record))
        };
        write_subdir(&mut out, site, "linux-64", &index, total, &records).unwrap();
        String::from_utf8(out).unwrap()
    };
    let write = |site: &Site<'_>, count| write_some(site, count, count);
    let found = write_some(&site(), 3, 12_000);
    assert!(found.contains("The 3 newest of 12,000 packages"), "{found}");
    let found = write(&site(), 201);
    assert_eq!(found.matches("<tr><th scope=\"row\">").count(), 202);
    assert_eq!(
        found.matches("<table").count(),
        found.matches("</table>").count()
    );
    for part in [
        "<title>mine/linux-64</title>",
        "href=\"../index.html\"",
        "href=\"repodata.json\"",
        "2 KB",
        "<a class=\"name\" href=\"../linux-64/a-0000-0.conda\">a-0000-0.conda</a></th><td class=\"size\">10 B</td>",
        "<code>ss</code>",
        "201 packages",
    ] {
        assert!(found.contains(part), "{part} is not in {found}");
    }
    let elsewhere = BaseUrl::Channel("https://example.org/files/".to_owned());
    let alone = Site {
        has_packages: false,
        html_dependencies: true,
        base_url: Some(&elsewhere),
        ..site()
    };
    let found = write(&alone, 1);
    assert!(
        !found.contains("../index.html"),
        "there is no page of the channel"
    );
    assert!(found.contains(
        "href=\"https://example.org/files/linux-64/a-0000-0.conda\" title=\"a v1 0\n\ndepends:\nb &gt;=1\nc\""
    ));
    assert!(write(&site(), 0).contains("0 packages"));
}

#[test]
fn hostile_texts_make_no_markup() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}\u{0}";
    let entry = json!({
        "summary": evil, "description": evil, "license": evil, "version": evil,
        "home": "javascript:alert(1)", "doc_url": "https://x/\" onclick=\"alert(1)",
        "dev_url": ["data:text/html,x"], "subdirs": [evil], "timestamp": 1,
    })
    .to_string();
    let record = json!({
        "name": evil, "version": evil, "build": evil, "depends": [evil, "a\"><b>"],
        "md5": evil, "sha256": evil, "subdir": evil,
    });
    let mut found = pages(&[evil.to_owned()], &entry);
    found.push((
        String::new(),
        page(evil, &entry, &[(evil, evil, record.clone())], true),
    ));
    let mut out = Vec::new();
    let text = record.to_string();
    let evil_base = BaseUrl::Channel("javascript:alert(1)//".to_owned());
    let bad_site = Site {
        channel_name: evil,
        subdirs: &[evil],
        base_url: Some(&evil_base),
        has_packages: true,
        html_dependencies: true,
        has_about: true,
    };
    let about = About {
        channels: vec![evil],
        updated: 1,
        folders: vec![about::Folder {
            name: evil,
            names: 1,
            ..about::Folder::default()
        }],
        platforms: vec![about::Platform {
            name: evil,
            roots: vec![evil],
            names: vec![about::Why {
                name: evil,
                packages: 1,
                asker: Some(evil),
                spec: evil,
            }],
        }],
    };
    found.push((String::new(), about_page(&bad_site, &about)));
    write_subdir(&mut out, &bad_site, evil, &[], 1, &|take| take(evil, &text)).unwrap();
    found.push((String::new(), String::from_utf8(out).unwrap()));
    for (path, page) in found {
        if path == "html/packages.js" {
            assert!(page.is_ascii());
            continue;
        }
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.contains("href=\"javascript"), "{page}");
        assert!(!page.contains("href=\"data:text"), "{page}");
        assert!(!page.contains(" onclick=\""), "{page}");
        assert!(!page.contains(['\u{202e}', '\u{0}']), "{page}");
        assert!(
            !page.contains("<code>conda install"),
            "no shell takes the name as one word"
        );
    }
}

#[test]
fn keys_change_with_the_page() {
    let key = |name: &str, entry: &str, record: &str, all: bool, names: &str| {
        let site = Site {
            html_dependencies: all,
            ..site()
        };
        let files = [package::File {
            subdir: "noarch",
            file: "a-1-0.conda",
            record,
        }];
        let package = package::Package {
            name,
            entry,
            icon: None,
            files: &files,
        };
        package::key(&site, &package, &Sha256::of(names.as_bytes()))
    };
    let same = key("a", "{}", "{}", false, "a");
    assert_eq!(same, key("a", "{}", "{}", false, "a"));
    let others = [
        key("b", "{}", "{}", false, "a"),
        key("a", "{ }", "{}", false, "a"),
        key("a", "{}", "{ }", false, "a"),
        key("a", "{}", "{}", true, "a"),
        key("a", "{}", "{}", false, "b"),
    ];
    assert!(others.iter().all(|other| *other != same));
}

#[test]
fn only_addresses_of_the_web_are_links() {
    for good in [
        "https://example.org",
        "HTTP://example.org/a?b#c",
        " https://x ",
    ] {
        assert_eq!(web_address(good), Some(good.trim()));
    }
    for bad in [
        "",
        "javascript:alert(1)",
        "java\nscript:alert(1)",
        "//example.org",
        "ftp://x",
        "https:x",
        "https://a b",
        "https://a\tb",
        "data:text/html,x",
        "file:///etc/passwd",
    ] {
        assert_eq!(web_address(bad), None, "{bad}");
    }
}

#[test]
fn small_forms() {
    let sizes = [
        (42, "42 B"),
        (1042, "1 KB"),
        (10_004_242, "9.5 MB"),
        (100_000_004_242, "93.13 GB"),
    ];
    for (size, expected) in sizes {
        assert_eq!(Size(size).to_string(), expected);
    }
    for (count, expected) in [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(Count(count).to_string(), expected);
    }
    assert_eq!(shorten("abc", 3), "abc");
    assert_eq!(shorten("ab cd", 3), "ab…");
    assert_eq!(shorten("äöü", 2), "äö…");
    for (name, expected) in [
        ("numpy", "numpy"),
        ("_x.y-z", "_x.y-z"),
        ("Upper", "~55pper"),
        ("..", "~2e."),
        ("a/b", "a~2fb"),
        ("index", "index~."),
        ("", "~."),
    ] {
        assert_eq!(file_stem(name), expected);
    }
    assert_eq!(file_stem(&"a".repeat(300)).len(), 65);
    assert_eq!(Path("..").to_string(), "%2E%2E");
    assert_eq!(Path("a b#?/%.conda").to_string(), "a%20b%23%3F%2F%25.conda");
    for (path, content) in assets() {
        assert!(!content.is_empty(), "{path}");
        assert!(
            !content.contains("http"),
            "{path} must need nothing from elsewhere"
        );
    }
}

proptest! {
    #[test]
    fn different_names_have_different_pages(names in prop::collection::hash_set("[a-cA-C./~_ ]{0,4}|index", 0..40)) {
        let stems: BTreeSet<String> = names
            .iter()
            .map(|name| file_stem(name).to_lowercase())
            .collect();
        prop_assert_eq!(stems.len(), names.len());
        for stem in stems {
            prop_assert!(!stem.contains('/') && !stem.starts_with('.') && stem != "index");
        }
    }

    #[test]
    fn no_text_is_markup(text in any::<String>()) {
        let escaped = Text(&text).to_string();
        prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        let path = Path(&text).to_string();
        prop_assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~+!.%".contains(&byte)));
    }
}
