//! The pages of a channel as people use them: in a real browser, from a server and from a folder, with
//! and without scripts.

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;
use serde_json::{Value, json};

use crate::support::browser::{Browser, DOWN, ENTER, ESCAPE, UP};
use crate::support::package::Package;
use crate::support::run::{Place, run};
use crate::support::server::Server;
use crate::support::{requirements, tree};

/// Writes packages and indexes them with everything that there is.
fn publish(place: &Place, packages: &[Package]) -> std::path::PathBuf {
    let channel = place.join("my channel");
    fs::create_dir_all(&channel).expect("a folder");
    for package in packages {
        package.write_to(&channel);
    }
    let arguments = ["--all", "--channel-name", "mine"];
    run(place
        .archiconda()
        .arg("index")
        .args(arguments)
        .arg(&channel))
    .succeeds();
    channel
}

fn described(package: Package, about: &Value) -> Package {
    let mut package = package;
    package.info.push(("info/about.json", about.to_string()));
    package
}

fn packages() -> Vec<Package> {
    let evil = "<script>window.evil = 1</script><img src=x onerror='window.evil = 1'>";
    vec![
        described(
            Package::named("alpha 1.9 0"),
            &json!({ "summary": "The old one." }),
        ),
        described(
            Package::named("alpha 1.10 0").needs(&["beta >=1,<2", "elsewhere"]),
            &json!({
                "summary": "The first letter.",
                "license": "MIT",
                "home": "https://example.org/alpha",
            }),
        ),
        described(
            Package::generic("beta 1.0 0"),
            &json!({ "summary": "Follows alpha.", "home": "javascript:window.evil=1" }),
        ),
        described(
            Package::named("evil 1.0 0").on("linux-aarch64"),
            &json!({ "summary": evil, "description": evil, "dev_url": evil, "license": evil }),
        ),
        Package::named("libalphabet 3.0 0").on("linux-aarch64"),
    ]
}

/// The names that are shown.
fn shown(browser: &Browser) -> Value {
    browser.script(
        "return [...document.querySelectorAll('a.name')].filter(a => a.offsetParent).map(a => a.textContent)",
    )
}

/// Nothing went wrong in the pages, and nothing was asked for but files of the channel.
fn assert_quiet(browser: &Browser, channel: &str) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let foreign: Vec<String> = browser
        .requests()
        .into_iter()
        .filter(|url| {
            // The browser's own empty page.
            let own = ["data:", "chrome:"];
            !url.starts_with(channel) && !own.iter().any(|scheme| url.starts_with(scheme))
        })
        .collect();
    assert_eq!(foreign, Vec::<String>::new());
    assert_eq!(browser.script("return window.evil ?? null"), Value::Null);
}

/// What a meta-channel has, and why, is told by a page with a picture, and leads on to the packages.
#[test]
fn people_read_why_a_package_is_in_a_meta_channel() {
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        return;
    };
    publish(&place, &packages());
    place.write(
        "less.toml",
        "name = \"less\"\nchannels = [\"my channel\"]\nplatforms = [\"linux-64\", \"linux-aarch64\"]\n\
         roots = [\"beta\"]\n[target.linux-64]\nroots = [\"alpha\"]\n[target.linux-aarch64]\nroots = [\"evil\"]\n",
    );
    let mut build = place.archiconda();
    build.args(["channel", "build", "less.toml", "--output-dir", "www"]);
    // Of alpha's dependencies one is nowhere; mirrored, since the channel is a folder.
    run(build.current_dir(place.join("."))).succeeds();
    let channel = place.join("www/less");
    let server = Server::start(&channel);
    let folder = file_url(&channel);
    for (base, is_scripted) in [
        (server.url(), true),
        (folder.clone(), true),
        (folder, false),
    ] {
        let off = json!({ "value": !is_scripted });
        browser.tools("Emulation.setScriptExecutionDisabled", &off);
        browser.open(&format!("{base}index.html"));
        browser.script("document.querySelector('footer a[href=\"about.html\"]').click()");
        browser.wait("document.title.startsWith('About less')");
        let told = browser.read("document.querySelector('main').innerText");
        for part in [
            "Before and after",
            "What linux-64 has, and why",
            "the definition asks for",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        // What stays is a part of what there was, in numbers and in the picture.
        let widths = browser.script(
            "return ['before', 'after'].map(kind => [...document.querySelectorAll(`rect.${kind}`)]
                .map(rect => rect.getBoundingClientRect().width))",
        );
        let widths: Vec<Vec<f64>> = serde_json::from_value(widths).expect("widths");
        let [before, after] = widths.as_slice() else {
            panic!("{widths:?}");
        };
        assert!(
            !before.is_empty() && before.iter().zip(after).all(|(one, other)| one >= other),
            "{widths:?}"
        );
        assert!(
            before.iter().zip(after).any(|(one, other)| one > other),
            "{widths:?}"
        );
        let colours = browser.script(
            "return ['before', 'after'].map(kind => getComputedStyle(document.querySelector(`rect.${kind}`)).fill)",
        );
        assert_ne!(colours[0], colours[1]);
        browser
            .script("document.querySelector('table.why a[href=\"packages/evil.html\"]').click()");
        browser.wait("document.querySelector('h1')?.textContent.includes('evil')");
        assert_quiet(&browser, &base);
    }
}

fn file_url(folder: &Path) -> String {
    format!("file://{}/", folder.display()).replace(' ', "%20")
}

#[test]
fn people_find_packages_by_typing() {
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        return;
    };
    let channel = publish(&place, &packages());
    let server = Server::start(&channel);
    let search = |browser: &Browser| {
        browser.open(&format!("{}index.html", server.url()));
        assert_eq!(
            shown(browser),
            json!(["alpha", "beta", "evil", "libalphabet"])
        );
        assert_eq!(server.count("packages.js"), 0, "loaded when it is needed");
        browser.press("/alpha");
        browser.wait("document.getElementById('status').textContent.startsWith('3 of 4')");
        // Names that begin so, names that have it, then summaries.
        assert_eq!(shown(browser), json!(["alpha", "libalphabet", "beta"]));
        assert_eq!(
            browser.read("document.querySelector('input').value"),
            "alpha"
        );
        assert_eq!(
            browser.read("document.getElementById('status').ariaLive"),
            "polite"
        );
        let row = browser.read("document.querySelector('#results tbody tr').innerText");
        for part in ["alpha", "The first letter.", "1.10", "linux-64"] {
            assert!(row.contains(part), "{part} is not in {row}");
        }
    };
    search(&browser);

    browser.press(DOWN);
    assert_eq!(browser.read("document.activeElement.textContent"), "alpha");
    browser.press(DOWN);
    assert_eq!(
        browser.read("document.activeElement.textContent"),
        "libalphabet"
    );
    browser.press(&[UP, UP].concat());
    assert_eq!(browser.read("document.activeElement.tagName"), "INPUT");

    browser.script(
        "const select = document.querySelector('select'); select.value = 'linux-64';
         select.dispatchEvent(new Event('input'))",
    );
    assert_eq!(
        shown(&browser),
        json!(["alpha", "beta"]),
        "what can be installed there"
    );
    browser.press(" nothing");
    assert_eq!(shown(&browser), json!([]));
    assert_eq!(
        browser.read("document.getElementById('status').textContent"),
        "0 of 4 packages"
    );
    browser.script(
        "const select = document.querySelector('select'); select.value = '';
         select.dispatchEvent(new Event('input'))",
    );
    browser.press(ESCAPE);
    assert_eq!(
        shown(&browser),
        json!(["alpha", "beta", "evil", "libalphabet"])
    );

    browser.press("/letter");
    browser.wait("document.querySelector('#results a.name')");
    browser.press(ENTER);
    browser
        .wait("location.pathname.endsWith('/packages/alpha.html') && document.querySelector('h1')");
    assert_eq!(
        browser.read("document.querySelector('h1').textContent"),
        "alpha"
    );
    browser.press("/evil");
    browser.wait("document.querySelector('#results a.name')");
    assert_eq!(
        shown(&browser),
        json!(["evil"]),
        "the search is on all pages"
    );
    browser.press(ENTER);
    browser
        .wait("location.pathname.endsWith('/packages/evil.html') && document.querySelector('h1')");
    let text = browser.read("document.querySelector('main').innerText");
    assert!(text.contains("<script>window.evil = 1</script>"), "{text}");

    browser.script("history.go(-2)");
    browser.wait("location.pathname.endsWith('/index.html')");
    browser.wait("document.querySelector('input')?.value === 'letter'");
    browser.wait("document.querySelector('#results a.name')?.textContent === 'alpha'");
    assert_quiet(&browser, &server.url());
}

#[test]
fn pages_work_from_a_folder() {
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        return;
    };
    let url = file_url(&publish(&place, &packages()));
    browser.open(&format!("{url}index.html"));
    browser.press("/beta");
    browser.wait("document.querySelector('#results a.name')?.textContent === 'beta'");
    browser.press(ENTER);
    browser
        .wait("location.pathname.endsWith('/packages/beta.html') && document.querySelector('h1')");
    let home = browser.read("document.querySelector('.facts').innerText");
    assert!(home.contains("javascript:window.evil=1"), "{home}");
    assert_eq!(
        browser.read("document.querySelectorAll('a[href^=javascript]').length"),
        "0"
    );

    browser.open(&format!("{url}packages/alpha.html"));
    let commands = browser.read("document.querySelector('.install').innerText");
    let address = url.trim_end_matches('/');
    for line in [
        format!("conda install --channel {address} alpha"),
        format!("mamba install --channel {address} alpha"),
        format!("pixi workspace channel add {address}\npixi add alpha"),
    ] {
        assert!(commands.contains(&line), "{line} is not in {commands}");
    }
    // Browsers let pages copy only when somebody has done something.
    browser.script("document.querySelector('[aria-label=\"Copy the line for conda\"]').focus()");
    browser.press(ENTER);
    browser
        .wait("document.getElementById('status').textContent === 'The line for conda is copied.'");

    browser.script("document.querySelector('.specs a').click()");
    browser.wait("location.pathname.endsWith('/packages/beta.html')");
    browser.open(&format!("{url}linux-64/index.html"));
    browser.press("/1.10");
    browser.wait("document.getElementById('status').textContent !== ''");
    assert_eq!(shown(&browser), json!(["alpha-1.10-0.conda"]));
    assert_quiet(&browser, &url);
}

#[test]
fn pages_are_read_without_scripts() {
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        return;
    };
    let url = file_url(&publish(&place, &packages()));
    browser.tools(
        "Emulation.setScriptExecutionDisabled",
        &json!({ "value": true }),
    );
    let text = |path: &str| {
        browser.open(&format!("{url}{path}"));
        browser.read("document.body.innerText")
    };
    let index = text("index.html");
    for part in [
        "mine",
        "4 packages",
        "alpha",
        "The first letter.",
        "1.10",
        "BSD-3-Clause",
        "linux-aarch64",
    ] {
        assert!(index.contains(part), "{part} is not in {index}");
    }
    assert_eq!(
        browser.read("document.getElementById('search').offsetParent"),
        "null"
    );
    let link = browser.read("document.querySelector('a.name').href");
    assert_eq!(link, format!("{url}packages/alpha.html"));
    let alpha = text("packages/alpha.html");
    for part in [
        "The first letter.",
        "conda install --channel",
        "beta >=1,<2",
        "alpha-1.10-0.conda",
        "1.9",
    ] {
        assert!(alpha.contains(part), "{part} is not in {alpha}");
    }
    assert_eq!(
        browser
            .read("[...document.querySelectorAll('.version b')].map(b => b.textContent).join(' ')"),
        "1.10 elsewhere 1.9"
    );
    let file = browser.read("document.querySelector('.version a').href");
    assert_eq!(file, format!("{url}linux-64/alpha-1.10-0.conda"));
    assert!(text("linux-64/index.html").contains("alpha-1.9-0.conda"));
    assert_quiet(&browser, &url);
}

#[test]
fn pages_are_light_or_dark_wide_or_narrow() {
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        return;
    };
    let url = file_url(&publish(&place, &packages()));
    let scheme = |value: &str| {
        let feature = json!({ "name": "prefers-color-scheme", "value": value });
        browser.tools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    };
    let brightness = |property: &str| -> u64 {
        let color = browser.read(&format!("getComputedStyle(document.body).{property}"));
        color
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|part| part.parse::<u64>().ok())
            .take(3)
            .sum()
    };
    for path in ["index.html", "packages/alpha.html", "linux-64/index.html"] {
        browser.open(&format!("{url}{path}"));
        scheme("light");
        assert!(
            brightness("backgroundColor") > 600 && brightness("color") < 200,
            "{path}"
        );
        scheme("dark");
        assert!(
            brightness("backgroundColor") < 150 && brightness("color") > 600,
            "{path}"
        );
        for width in [320, 375, 800, 1600] {
            let size =
                json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
            browser.tools("Emulation.setDeviceMetricsOverride", &size);
            let fits =
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
            assert_eq!(
                browser.read(fits),
                "true",
                "{path} scrolls sideways at {width}"
            );
        }
        let unlabelled = browser.read(
            "[...document.querySelectorAll('input, select, button')].filter(e => !e.ariaLabel && !e.textContent).length",
        );
        assert_eq!(unlabelled, "0", "{path}");
        let landmarks = "['header', 'nav', 'main', 'footer', 'h1', '[role=search]', 'a.skip'].filter(s => !document.querySelector(s)).join()";
        assert_eq!(browser.read(landmarks), "", "{path}");
    }
    assert_quiet(&browser, &url);
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are the point")]
fn thirty_thousand_names_are_searched_while_typing() {
    const NAMES: usize = 30_000;
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        return;
    };
    // The pages of few packages, with the data of many: what a browser gets from a large channel.
    let channel = publish(&place, &packages());
    let mut data = "archiconda({\"platforms\":[\"linux-64\",\"noarch\"],\"packages\":[".to_owned();
    for number in 0..NAMES {
        let comma = if number > 0 { ",\n" } else { "\n" };
        let summary = "Reads, writes and checks files of a kind that few have heard of, quickly";
        let _ = write!(
            data,
            "{comma}[\"package-{number:05}\",\"1.{number}\",\"2026-01-02\",\"BSD-3-Clause\",{},\"{summary} ({number})\"]",
            number % 3 + 1
        );
    }
    fs::write(channel.join("html/packages.js"), data + "\n]});\n").expect("the data");
    let url = file_url(&channel);
    browser.open(&format!("{url}index.html"));
    browser.script("window.start = performance.now()");
    browser.press("/p");
    browser.wait("document.getElementById('status').textContent === '30,000 of 30,000 packages'");
    let first = browser.read("Math.round(performance.now() - window.start)");
    let typed = browser.script(
        "const input = document.querySelector('input'); const times = [];
         for (const text of ['pa', 'package-1', 'package-12', 'package-12345', 'few heard', 'kind 777', '(29999)']) {
           input.value = text;
           const start = performance.now();
           input.dispatchEvent(new Event('input'));
           document.body.offsetHeight;
           times.push([text, document.getElementById('status').textContent, Math.round(performance.now() - start)]);
         }
         return times",
    );
    eprintln!("loaded and searched {NAMES} names in {first} ms; then {typed} (milliseconds)");
    let counts: Vec<&str> = typed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|row| row[1].as_str())
        .collect();
    let expected = ["30,000", "10,000", "1,000", "1", "30,000", "57", "1"];
    assert_eq!(counts.len(), expected.len());
    for (count, expected) in counts.iter().zip(expected) {
        assert_eq!(*count, format!("{expected} of 30,000 packages"));
    }
    assert_eq!(shown(&browser), json!(["package-29999"]));
    assert_quiet(&browser, &url);
}

#[test]
fn the_same_channel_has_the_same_pages() {
    let place = Place::new();
    let channel = publish(&place, &packages());
    let before = tree::snapshot(&channel);
    let again = Place::new();
    let other = publish(&again, &packages());
    let pages = |tree: tree::Tree| {
        tree.without(|path| {
            let end = path.rsplit('.').next().unwrap_or_default();
            !["html", "js", "css", "xml"].contains(&end) && !path.ends_with("channeldata.json")
        })
    };
    tree::assert_same(&pages(before), &pages(tree::snapshot(&other)));
}

#[test]
fn conda_index_makes_the_same_channeldata() {
    let (Some(python), Some(conda)) = (requirements::oracles(), requirements::conda()) else {
        return;
    };
    let Some(real) = requirements::shared("channels/conda-forge-2023") else {
        return;
    };
    let place = Place::new();
    let read = |channel: &str| -> Value {
        let text = fs::read(place.join(channel).join("channeldata.json")).expect("channeldata");
        serde_json::from_slice(&text).expect("JSON")
    };
    for channel in ["ours", "theirs"] {
        for subdir in ["linux-aarch64", "noarch"] {
            fs::create_dir_all(place.join(channel).join(subdir)).expect("a folder");
            for entry in fs::read_dir(real.join(subdir)).expect("packages") {
                let from = entry.expect("a package").path();
                let name = from.file_name().expect("a name");
                let to = place.join(channel).join(subdir).join(name);
                fs::copy(&from, to).expect("a copy");
            }
        }
    }
    let arguments = ["--channeldata", "--channel-name", "test"];
    let ours = place.join("ours");
    run(place.archiconda().arg("index").args(arguments).arg(&ours)).succeeds();
    let mut theirs = place.command(python);
    theirs
        .env("PYTHONPATH", conda)
        .env("CONDA_PKGS_DIRS", place.join("pkgs"))
        .args(["-m", "conda_index"])
        .args(arguments)
        .arg(place.join("theirs"));
    run(&mut theirs).succeeds();
    let mut newest = std::collections::BTreeMap::new();
    for subdir in ["linux-aarch64", "noarch"] {
        let repodata = fs::read(ours.join(subdir).join("repodata.json")).expect("repodata");
        let repodata: Value = serde_json::from_slice(&repodata).expect("JSON");
        for record in ["packages", "packages.conda"]
            .iter()
            .flat_map(|section| repodata[section].as_object().expect("records").values())
        {
            let time = record["timestamp"].as_u64().unwrap_or(0) / 1000;
            let known = newest.entry(record["name"].to_string()).or_insert(0);
            *known = time.max(*known);
        }
    }
    let (ours, mut theirs) = (read("ours"), read("theirs"));
    assert!(
        theirs["packages"]
            .as_object()
            .is_some_and(|names| names.len() > 70)
    );
    for (name, entry) in theirs["packages"].as_object_mut().expect("names") {
        // Theirs is that of the package that came last.
        entry["timestamp"] = json!(newest[&json!(name).to_string()]);
        assert_eq!(&ours["packages"][name], entry, "{name}");
    }
    assert_eq!(ours, theirs);

    // The same feed, but for the dates and the order that follow from the wrong times.
    let items = |channel: &str| {
        let feed = fs::read_to_string(place.join(channel).join("rss.xml")).expect("a feed");
        let mut items: Vec<String> = feed
            .split("<item>")
            .skip(1)
            .map(|item| {
                item.lines()
                    .filter(|line| {
                        let left_out = ["<pubDate>", "</channel>", "</rss>"];
                        !left_out.iter().any(|part| line.contains(part))
                    })
                    .collect::<String>()
                    .trim()
                    .to_owned()
            })
            .collect();
        items.sort();
        items
    };
    for (ours, theirs) in items("ours").iter().zip(&items("theirs")) {
        if !theirs.contains("<guid>[") {
            assert_eq!(ours, theirs);
        }
    }
}
