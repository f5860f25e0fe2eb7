//! A name's page: what it is, how to install it, what it needs, and its files by version.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use archive::digest::{Hasher, Sha256};

use super::channel::{platforms, time};
use super::text::{Count, Path, Size, Text, file_stem, shorten, web_address};
use super::{Root, Search, Site, begin, end, file_address};
use crate::Json;
use crate::output::channeldata::Summary;
use crate::output::current::version::VersionOrder;
use crate::output::date;

/// A file of the name.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "a file name, as everywhere else")]
pub(crate) struct File<'a> {
    /// The platform's folder.
    pub(crate) subdir: &'a str,
    /// The file name.
    pub(crate) file: &'a str,
    /// The record after patches.
    pub(crate) record: &'a str,
}

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package<'a> {
    /// The name.
    pub(crate) name: &'a str,
    /// What channeldata.json says, as text.
    pub(crate) entry: &'a str,
    /// The path of its icon in the channel, if there is one.
    pub(crate) icon: Option<&'a str>,
    /// All files, of all platforms.
    pub(crate) files: &'a [File<'a>],
}

/// The page's path in the channel.
pub(crate) fn path(name: &str) -> String {
    format!("packages/{}.html", file_stem(name))
}

/// Changes whenever the page does: a run renders only the pages whose key it has not kept. `names` is
/// a digest of all names of the channel, for dependencies are links only to names that are there.
pub(crate) fn key(site: &Site<'_>, package: &Package<'_>, names: &Sha256) -> Sha256 {
    let mut hasher = Hasher::new();
    let mut add = |part: &str| {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    // Another state of this program may render otherwise.
    add(include_str!("package.rs"));
    let mut frame = String::new();
    begin(&mut frame, site, Root::Above, "", Search::Packages);
    end(&mut frame, site, Root::Above);
    add(&frame);
    add(&format!("{:?}", site.base_url));
    add(if site.html_dependencies {
        "all"
    } else {
        "newest"
    });
    add(package.name);
    add(package.entry);
    add(package.icon.unwrap_or_default());
    for file in package.files {
        add(file.subdir);
        add(file.file);
        add(file.record);
    }
    add(&names.to_string());
    hasher.finish().sha256
}

/// The page. `is_known` tells which names have a page.
pub(crate) fn page(
    site: &Site<'_>,
    package: &Package<'_>,
    is_known: &dyn Fn(&str) -> bool,
) -> String {
    let summary = Summary::read(package.entry);
    let mut out = String::new();
    let title = format!("{} · {}", shorten(package.name, 100), site.channel_name);
    begin(&mut out, site, Root::Above, &title, Search::Packages);
    head(&mut out, package, &summary);
    install(&mut out, package.name);
    let versions = versions(package.files);
    let links = Links { is_known };
    if let Some((version, files)) = versions.first() {
        dependencies(&mut out, version, files, &links);
    }
    out.push_str("<section>\n<h2>Versions</h2>\n");
    for (position, (version, files)) in versions.iter().enumerate() {
        let is_open = if position == 0 { " open" } else { "" };
        let newest = files.iter().map(|file| file.timestamp).max().unwrap_or(0);
        let subdirs: BTreeSet<&str> = files.iter().map(|file| file.subdir).collect();
        let subdirs: Vec<String> = subdirs.into_iter().map(str::to_owned).collect();
        let _ = write!(
            out,
            "<details class=\"version\"{is_open}><summary><b>{}</b> {} <span>{} {}</span> ",
            Text(&shorten(version, 100)),
            time(newest),
            Count(files.len()),
            if files.len() == 1 { "file" } else { "files" },
        );
        platforms(&mut out, &subdirs);
        out.push_str("</summary>\n");
        table(&mut out, site, files, &links);
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
    end(&mut out, site, Root::Above);
    out
}

/// What the page needs of a record.
struct Parsed<'a> {
    subdir: &'a str,
    file: &'a str,
    build: String,
    build_number: u64,
    timestamp: i64,
    size: u64,
    md5: String,
    sha256: String,
    is_revoked: bool,
    depends: Vec<String>,
    constrains: Vec<String>,
}

/// The files by version, the newest first; those of a version by platform, the newest first.
fn versions<'a>(files: &[File<'a>]) -> Vec<(String, Vec<Parsed<'a>>)> {
    let mut versions: BTreeMap<String, Vec<Parsed<'a>>> = BTreeMap::new();
    for file in files {
        let Ok(Json::Map(record)) = Json::parse(file.record.as_bytes()) else {
            continue;
        };
        let text = |key: &str| match record.get(key) {
            Some(Json::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let number = |key: &str| match record.get(key) {
            Some(Json::Integer(digits)) => digits.parse().unwrap_or(0),
            _ => 0,
        };
        let list = |key: &str| match record.get(key) {
            Some(Json::List(items)) => items
                .iter()
                .filter_map(|item| match item {
                    Json::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let parsed = Parsed {
            subdir: file.subdir,
            file: file.file,
            build: text("build"),
            build_number: number("build_number"),
            timestamp: date::seconds(i64::try_from(number("timestamp")).unwrap_or(0)),
            size: number("size"),
            md5: text("md5"),
            sha256: text("sha256"),
            is_revoked: record.get("revoked") == Some(&Json::Bool(true)),
            depends: list("depends"),
            constrains: list("constrains"),
        };
        versions.entry(text("version")).or_default().push(parsed);
    }
    let mut sorted: Vec<(Option<VersionOrder>, String, Vec<Parsed<'a>>)> = versions
        .into_iter()
        .map(|(version, files)| (VersionOrder::parse(&version), version, files))
        .collect();
    sorted.sort_by(|left, right| (&right.0, &right.1).cmp(&(&left.0, &left.1)));
    sorted
        .into_iter()
        .map(|(_, version, mut files)| {
            files.sort_by_key(|file| {
                (
                    file.subdir,
                    Reverse(file.build_number),
                    Reverse(file.timestamp),
                    file.file,
                )
            });
            (version, files)
        })
        .collect()
}

fn head(out: &mut String, package: &Package<'_>, summary: &Summary) {
    out.push_str("<div class=\"title\">\n");
    if let Some(icon) = package.icon {
        let icon = icon.strip_prefix("icons/").unwrap_or(icon);
        let _ = writeln!(
            out,
            "<img src=\"../icons/{}\" alt=\"\" width=\"48\" height=\"48\">",
            Path(icon)
        );
    }
    let _ = writeln!(
        out,
        "<h1>{}</h1>\n<p class=\"about\">{}</p>\n</div>",
        Text(&shorten(package.name, 200)),
        Text(&shorten(&summary.version, 100))
    );
    let described = [summary.text("summary"), summary.text("description")];
    for (position, text) in described.iter().enumerate() {
        if !text.is_empty() && described.first().filter(|_| position > 0) != Some(text) {
            let class = if position == 0 { "lead" } else { "description" };
            let text = shorten(text, 5000);
            let _ = writeln!(out, "<p class=\"{class}\">{}</p>", Text(&text));
        }
    }
    out.push_str("<dl class=\"facts\">\n");
    if summary.timestamp > 0 {
        let _ = writeln!(
            out,
            "<div><dt>Updated</dt><dd>{}</dd></div>",
            time(summary.timestamp)
        );
    }
    if !summary.text("license").is_empty() {
        let licence = shorten(summary.text("license"), 300);
        let _ = writeln!(
            out,
            "<div><dt>Licence</dt><dd>{}</dd></div>",
            Text(&licence)
        );
    }
    out.push_str("<div><dt>Platforms</dt><dd>");
    platforms(out, &summary.subdirs);
    out.push_str("</dd></div>\n");
    for (title, key) in [
        ("Home", "home"),
        ("Documentation", "doc_url"),
        ("Development", "dev_url"),
        ("Source", "source_url"),
        ("Repository", "source_git_url"),
    ] {
        let value = summary.text(key);
        let shown = shorten(value, 200);
        let shown = Text(&shown);
        if let Some(address) = web_address(value) {
            let _ = writeln!(
                out,
                "<div><dt>{title}</dt><dd><a rel=\"noopener noreferrer nofollow\" href=\"{}\">{shown}</a></dd></div>",
                Text(address)
            );
        } else if !value.is_empty() {
            let _ = writeln!(out, "<div><dt>{title}</dt><dd>{shown}</dd></div>");
        }
    }
    out.push_str("</dl>\n");
}

/// Lines to copy. There are none for a name that a shell would not take as one word.
fn install(out: &mut String, name: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(is_plain) {
        return;
    }
    out.push_str("<section>\n<h2>Install</h2>\n<dl class=\"install\">\n");
    // The script knows where the page, and so the channel, is.
    let channel = "<span class=\"address\">CHANNEL-ADDRESS</span>";
    for (tool, lines) in [
        ("conda", format!("conda install --channel {channel} {name}")),
        ("mamba", format!("mamba install --channel {channel} {name}")),
        (
            "pixi",
            format!("pixi workspace channel add {channel}\npixi add {name}"),
        ),
    ] {
        let _ = writeln!(
            out,
            "<div><dt>{tool}</dt><dd><pre class=\"command\" data-tool=\"{tool}\"><code>{lines}</code></pre></dd></div>"
        );
    }
    out.push_str("</dl>\n</section>\n");
}

/// What the newest version needs. Files that need the same stand together.
fn dependencies(out: &mut String, version: &str, files: &[Parsed<'_>], links: &Links<'_>) {
    let mut sets: Vec<(&Parsed<'_>, BTreeMap<&str, BTreeSet<&str>>)> = Vec::new();
    for file in files {
        let same = |(known, _): &(&Parsed<'_>, _)| {
            known.depends == file.depends && known.constrains == file.constrains
        };
        let position = sets.iter().position(same).unwrap_or_else(|| {
            sets.push((file, BTreeMap::new()));
            sets.len() - 1
        });
        if let Some((_, builds)) = sets.get_mut(position) {
            let builds = builds.entry(file.subdir).or_default();
            builds.insert(file.build.as_str());
        }
    }
    let _ = writeln!(
        out,
        "<section>\n<h2>Dependencies <small>of {}</small></h2>",
        Text(&shorten(version, 100))
    );
    let is_single = sets.len() == 1;
    for (position, (file, builds)) in sets.iter().enumerate() {
        if !is_single {
            let is_open = if position == 0 { " open" } else { "" };
            let _ = write!(out, "<details class=\"needs\"{is_open}><summary>");
            for (subdir, builds) in builds {
                let builds: Vec<&str> = builds.iter().copied().collect();
                let builds = shorten(&builds.join(", "), 200);
                let _ = write!(out, "<b>{}</b> {} ", Text(subdir), Text(&builds));
            }
            out.push_str("</summary>\n");
        }
        links.lists(out, file);
        if !is_single {
            out.push_str("</details>\n");
        }
    }
    out.push_str("</section>\n");
}

fn table(out: &mut String, site: &Site<'_>, files: &[Parsed<'_>], links: &Links<'_>) {
    out.push_str(
        "<table class=\"files\">\n<thead><tr><th scope=\"col\">File</th><th scope=\"col\">Platform</th>\
         <th scope=\"col\">Size</th><th scope=\"col\">Date</th><th scope=\"col\">SHA-256 and MD5</th></tr></thead>\n<tbody>\n",
    );
    for file in files {
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><a href=\"{}\">{}</a>",
            file_address(site, file.subdir, file.file),
            Text(file.file)
        );
        if file.is_revoked {
            out.push_str(" <strong>revoked</strong>");
        }
        if site.html_dependencies {
            out.push_str("<details><summary>Dependencies</summary>");
            links.lists(out, file);
            out.push_str("</details>");
        }
        let _ = writeln!(
            out,
            "</th><td>{}</td><td class=\"size\">{}</td><td>{}</td><td class=\"digest\"><code>{}</code> <code>{}</code></td></tr>",
            Text(file.subdir),
            Size(file.size),
            time(file.timestamp),
            Text(&file.sha256),
            Text(&file.md5),
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

struct Links<'a> {
    is_known: &'a dyn Fn(&str) -> bool,
}

impl Links<'_> {
    fn lists(&self, out: &mut String, file: &Parsed<'_>) {
        if file.depends.is_empty() {
            out.push_str("<p>None.</p>\n");
        }
        for (title, specs) in [
            ("", &file.depends),
            ("If installed, then", &file.constrains),
        ] {
            if specs.is_empty() {
                continue;
            }
            if !title.is_empty() {
                let _ = writeln!(out, "<p>{title}</p>");
            }
            out.push_str("<ul class=\"specs\">");
            for spec in specs {
                let (before, name, after) = parts(spec);
                let _ = write!(out, "<li>{}", Text(before));
                if (self.is_known)(name) {
                    let stem = file_stem(name);
                    let _ = write!(out, "<a href=\"{}.html\">{}</a>", Path(&stem), Text(name));
                } else {
                    let _ = write!(out, "<b>{}</b>", Text(name));
                }
                let _ = write!(out, "{}</li>", Text(&shorten(after, 300)));
            }
            out.push_str("</ul>\n");
        }
    }
}

/// A spec's channel, name, and what follows (CEP 29).
fn parts(spec: &str) -> (&str, &str, &str) {
    let start = spec
        .split([' ', '['])
        .next()
        .and_then(|first| first.rfind("::"))
        .map_or(0, |colons| colons + 2);
    let (before, rest) = spec.split_at_checked(start).unwrap_or(("", spec));
    let end = rest
        .find(|letter: char| letter.is_whitespace() || "=<>!~[;,@".contains(letter))
        .unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    (before, name, after)
}
