//! The pages that people read: `index.html` of the channel and of each platform, and a page for each
//! name.
//!
//! | file | what | when |
//! |---|---|---|
//! | `SUBDIR/index.html` | the files of a platform, at most 10,000 | always |
//! | `html/style.css`, `html/script.js` | what all pages share | always |
//! | `index.html` | the names, or of more than a thousand those updated last | with channeldata |
//! | `html/list-LETTER.html` | the names with that initial, if there are more than a thousand | with channeldata |
//! | `html/packages.js` | the names for the search, loaded when somebody searches | with channeldata |
//! | `packages/NAME.html` | one name: versions, files, dependencies | with channeldata |
//! | `about.html` | what a meta-channel has, and why | of meta-channels |
//!
//! **A page for each name, not one template and data.** Pages are to be read without scripts, and
//! from `file://`, where a script may not fetch; a template would be empty there. What a page for each
//! name costs is bounded otherwise: [`package::key`] tells from digests alone whether a page can have
//! changed, so that a run renders the pages of changed names only. The search is data, for 30,000
//! rows of a table would be ten megabytes at each visit: a plain script that calls a function, since
//! `file://` allows neither `fetch` nor modules.
//!
//! **Nothing is believed.** Names, summaries and addresses come from packages. Everything is
//! escaped by [`text`], addresses are links only if they are http or https, the scripts make no
//! markup from text, and a Content-Security-Policy forbids all but the two files. Nothing depends on
//! a clock: the same channel gives the same bytes.

use std::fmt::Write as _;

use text::{Path, Text};

use crate::base_url::BaseUrl;

mod about;
mod channel;
pub(crate) mod package;
mod subdir;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use about::{About, Folder, Platform, Why, about_page};
pub(crate) use channel::{Listed, channel_pages};
pub(crate) use subdir::{FILES, IndexFile, Records as SubdirRecords, write_subdir};

/// What the pages of a channel have in common.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Site<'a> {
    /// The channel's name; a title only.
    pub(crate) channel_name: &'a str,
    /// The platforms' folders, sorted.
    pub(crate) subdirs: &'a [&'a str],
    /// Where the packages are, if not in the channel.
    pub(crate) base_url: Option<&'a BaseUrl>,
    /// The channel's page and the packages' pages are written, and so can be linked to.
    pub(crate) has_packages: bool,
    /// All files show their dependencies, not only those of the newest version.
    pub(crate) html_dependencies: bool,
    /// There is a page about a meta-channel.
    pub(crate) has_about: bool,
}

/// The files that all pages need: path in the channel, and content.
pub(crate) fn assets() -> [(&'static str, &'static str); 2] {
    [
        ("html/style.css", include_str!("html/style.css")),
        ("html/script.js", include_str!("html/script.js")),
    ]
}

/// The way from a page to the channel's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Here,
    Above,
}

impl Root {
    fn path(self) -> &'static str {
        match self {
            Self::Here => "",
            Self::Above => "../",
        }
    }
}

/// What the search field of a page searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    Packages,
    Files,
}

/// All up to the content: head, navigation, search.
fn begin(out: &mut String, site: &Site<'_>, root: Root, title: &str, search: Search) {
    let up = root.path();
    let _ = write!(
        out,
        r#"<!doctype html>
<html lang="en" data-root="{}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self' file:; script-src 'self' file:; img-src 'self' file: data:; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{up}html/style.css">
<script src="{up}html/script.js" defer></script>
"#,
        if root == Root::Here { "./" } else { "../" },
        title = Text(title),
    );
    if site.has_packages {
        let _ = writeln!(
            out,
            r#"<link rel="alternate" type="application/rss+xml" title="Updates" href="{up}rss.xml">"#
        );
    }
    out.push_str("</head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to the content</a>\n");
    out.push_str("<header>\n<nav aria-label=\"Channel\">\n");
    let name = Text(site.channel_name);
    if site.has_packages {
        let _ = writeln!(
            out,
            r#"<a class="channel" href="{up}index.html">{name}</a>"#
        );
    } else {
        let _ = writeln!(out, r#"<span class="channel">{name}</span>"#);
    }
    out.push_str("<ul>");
    for subdir in site.subdirs {
        let (path, subdir) = (Path(subdir), Text(subdir));
        let _ = write!(
            out,
            r#"<li><a href="{up}{path}/index.html">{subdir}</a></li>"#
        );
    }
    out.push_str("</ul>\n</nav>\n");
    let (kind, label) = match search {
        Search::Packages => ("packages", "Search packages"),
        Search::Files => ("files", "Filter files"),
    };
    // Only a script can search; it shows the form.
    let _ = write!(
        out,
        r#"<form id="search" role="search" data-search="{kind}" hidden>
<input type="search" aria-label="{label}" placeholder="{label}" autocomplete="off" autocapitalize="off" spellcheck="false" aria-keyshortcuts="/">
"#
    );
    if search == Search::Packages {
        out.push_str("<select aria-label=\"Platform\"><option value=\"\">All platforms</option>");
        for subdir in site.subdirs.iter().filter(|subdir| **subdir != "noarch") {
            let _ = write!(out, "<option>{}</option>", Text(subdir));
        }
        out.push_str("</select>\n");
    }
    out.push_str(
        "<p id=\"status\" role=\"status\" aria-live=\"polite\"></p>\n</form>\n</header>\n\
         <section id=\"results\" aria-label=\"Search results\" hidden></section>\n\
         <main id=\"content\">\n",
    );
}

/// All after the content.
fn end(out: &mut String, site: &Site<'_>, root: Root) {
    let up = root.path();
    out.push_str("</main>\n<footer>\n");
    if site.has_about {
        let _ = writeln!(
            out,
            r#"<p><a href="{up}about.html">What is in this channel, and why</a></p>"#
        );
    }
    if site.has_packages {
        let _ = writeln!(
            out,
            r#"<p><a href="{up}rss.xml">Updates (RSS)</a> <a href="{up}channeldata.json">channeldata.json</a></p>"#
        );
    }
    out.push_str("</footer>\n</body>\n</html>\n");
}

/// Where a package's file is to be had, from a page below the root.
fn file_address(site: &Site<'_>, subdir: &str, file: &str) -> String {
    let base = site.base_url.and_then(|base| base.of(subdir));
    match base.as_deref().and_then(text::web_address) {
        Some(base) => format!("{}/{}", Text(base.trim_end_matches('/')), Path(file)),
        None => format!("../{}/{}", Path(subdir), Path(file)),
    }
}
