//! The channel's page, the lists by initial, and the data of the search.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::text::{Count, Path, Text, file_stem, shorten};
use super::{Root, Search, Site, begin, end};
use crate::json::write_text;
use crate::output::channeldata::Summary;
use crate::output::date::Day;

/// How many names stand on one page, so that it loads at once.
const ROWS: usize = 1000;

/// How many of the names updated last stand on the page of a channel that has more.
const RECENT: usize = 50;

/// The list of names that begin with neither letter nor digit.
const OTHER: &str = "other";

/// A name in the lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed<'a> {
    /// The name.
    pub(crate) name: &'a str,
    /// What channeldata says.
    pub(crate) summary: &'a Summary,
}

/// All pages and data that list the names: path in the channel, and content. The names are sorted.
/// A page that an earlier run wrote and that is not among these is to be removed.
pub(crate) fn channel_pages(site: &Site<'_>, packages: &[Listed<'_>]) -> Vec<(String, String)> {
    let mut pages = vec![("html/packages.js".to_owned(), search_data(site, packages))];
    let mut index = String::new();
    begin(
        &mut index,
        site,
        Root::Here,
        site.channel_name,
        Search::Packages,
    );
    let newest = packages
        .iter()
        .map(|package| package.summary.timestamp)
        .max();
    let _ = write!(
        index,
        "<h1>{}</h1>\n<p class=\"about\">{} {}",
        Text(site.channel_name),
        Count(packages.len()),
        if packages.len() == 1 {
            "package"
        } else {
            "packages"
        },
    );
    if let Some(newest) = newest.filter(|time| *time > 0) {
        let _ = write!(index, ", updated {}", time(newest));
    }
    index.push_str("</p>\n");
    if packages.is_empty() {
        index.push_str("<p>There are no packages yet.</p>\n");
    } else if packages.len() <= ROWS {
        table(&mut index, "Packages", "", packages);
    } else {
        let mut initials: BTreeMap<(bool, String), Vec<Listed<'_>>> = BTreeMap::new();
        for package in packages {
            let initial = initial(package.name);
            // What is no letter comes last.
            let listed = initials.entry((initial == OTHER, initial)).or_default();
            listed.push(*package);
        }
        index.push_str("<nav class=\"initials\" aria-label=\"Packages by initial\"><ul>");
        for ((_, initial), listed) in &initials {
            let count = Count(listed.len());
            let _ = write!(
                index,
                "<li><a href=\"html/list-{initial}.html\" title=\"{count} packages\">{initial}</a></li>"
            );
            pages.push(list_page(site, initial, listed));
        }
        index.push_str("</ul></nav>\n<h2>Updated last</h2>\n");
        let mut recent = packages.to_vec();
        recent.sort_by_key(|package| (Reverse(package.summary.timestamp), package.name));
        recent.truncate(RECENT);
        table(&mut index, "Packages updated last", "", &recent);
    }
    end(&mut index, site, Root::Here);
    pages.push(("index.html".to_owned(), index));
    pages
}

fn list_page(site: &Site<'_>, initial: &str, packages: &[Listed<'_>]) -> (String, String) {
    let mut page = String::new();
    let title = format!("{initial} · {}", site.channel_name);
    begin(&mut page, site, Root::Above, &title, Search::Packages);
    let count = Count(packages.len());
    let _ = writeln!(
        page,
        "<h1>{initial}</h1>\n<p class=\"about\">{count} packages</p>"
    );
    table(&mut page, "Packages", Root::Above.path(), packages);
    end(&mut page, site, Root::Above);
    (format!("html/list-{initial}.html"), page)
}

/// The page that a name is listed on; part of a file name.
fn initial(name: &str) -> String {
    match name
        .chars()
        .next()
        .map(|letter| letter.to_ascii_lowercase())
    {
        Some(letter) if letter.is_ascii_alphanumeric() => letter.to_string(),
        _ => OTHER.to_owned(),
    }
}

fn table(out: &mut String, caption: &str, up: &str, packages: &[Listed<'_>]) {
    let _ = writeln!(
        out,
        "<table class=\"packages\">\n<caption>{caption}</caption>\n<thead><tr><th scope=\"col\">Package</th>\
         <th scope=\"col\">Version</th><th scope=\"col\">Updated</th><th scope=\"col\">Licence</th>\
         <th scope=\"col\">Platforms</th></tr></thead>\n<tbody>"
    );
    for Listed { name, summary } in packages {
        let stem = file_stem(name);
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><a class=\"name\" href=\"{up}packages/{}.html\">{}</a>",
            Path(&stem),
            Text(&shorten(name, 100))
        );
        let described = short_summary(summary);
        if !described.is_empty() {
            let _ = write!(out, "<p>{}</p>", Text(&described));
        }
        let _ = write!(
            out,
            "</th><td>{}</td><td>{}</td><td>{}</td><td>",
            Text(&shorten(&summary.version, 40)),
            time(summary.timestamp),
            Text(&shorten(summary.text("license"), 60)),
        );
        platforms(out, &summary.subdirs);
        out.push_str("</td></tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
}

/// Platforms as a list of marks.
pub(super) fn platforms(out: &mut String, subdirs: &[String]) {
    out.push_str("<ul class=\"platforms\">");
    for subdir in subdirs {
        let _ = write!(out, "<li>{}</li>", Text(subdir));
    }
    out.push_str("</ul>");
}

/// A day, readable by machines; nothing for a time that is none.
pub(super) fn time(seconds: i64) -> String {
    let day = Day(seconds).to_string();
    if day.is_empty() || seconds == 0 {
        return String::new();
    }
    format!("<time datetime=\"{day}\">{day}</time>")
}

/// The summary in one line of a list.
fn short_summary(summary: &Summary) -> String {
    shorten(summary.text("summary"), 200)
}

/// A script with one call: rows of name, version, day, licence, platforms as bits, summary, and the
/// page's file name where the name does not give it.
fn search_data(site: &Site<'_>, packages: &[Listed<'_>]) -> String {
    let mut data = "archiconda({\"platforms\":[".to_owned();
    for (position, subdir) in site.subdirs.iter().enumerate() {
        if position > 0 {
            data.push(',');
        }
        write_text(subdir, &mut data);
    }
    data.push_str("],\"packages\":[");
    for (position, Listed { name, summary }) in packages.iter().enumerate() {
        data.push_str(if position > 0 { ",\n[" } else { "\n[" });
        write_text(name, &mut data);
        data.push(',');
        write_text(&shorten(&summary.version, 40), &mut data);
        let day = if summary.timestamp == 0 {
            String::new()
        } else {
            Day(summary.timestamp).to_string()
        };
        let _ = write!(data, ",\"{day}\",");
        write_text(&shorten(summary.text("license"), 60), &mut data);
        // Numbers of JavaScript hold 53 bits; there are about twenty platforms.
        let bits: u64 = site
            .subdirs
            .iter()
            .take(53)
            .zip(0..)
            .filter(|(subdir, _)| summary.subdirs.iter().any(|known| known == *subdir))
            .map(|(_, bit): (_, u32)| 1 << bit)
            .sum();
        let _ = write!(data, ",{bits},");
        write_text(&short_summary(summary), &mut data);
        let stem = file_stem(name);
        if stem != *name {
            data.push(',');
            write_text(&stem, &mut data);
        }
        data.push(']');
    }
    data.push_str("\n]});\n");
    data
}
