//! The page of a meta-channel: what it was made of, how much smaller it is, and why each name is in it.

use std::fmt::Write as _;

use super::channel::time;
use super::text::{Count, Path, Text, file_stem};
use super::{Root, Search, Site, begin, end};

/// How many names a table lists at most.
const NAMES: usize = 2000;

/// The width of the picture, in its own units.
const WIDTH: usize = 600;

/// What the page tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct About<'a> {
    /// The channels that it was compiled from.
    pub(crate) channels: Vec<&'a str>,
    /// When it last became another one, in seconds since 1970; 0 tells nothing.
    pub(crate) updated: i64,
    /// The platforms' folders.
    pub(crate) folders: Vec<Folder<'a>>,
    /// The platforms that were asked about.
    pub(crate) platforms: Vec<Platform<'a>>,
}

/// How large one platform's folder is, and was. What is not known is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Folder<'a> {
    pub(crate) name: &'a str,
    pub(crate) packages: usize,
    pub(crate) packages_before: Option<usize>,
    pub(crate) names: usize,
    pub(crate) names_before: usize,
}

/// What one platform asks for, and comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Platform<'a> {
    pub(crate) name: &'a str,
    pub(crate) roots: Vec<&'a str>,
    /// By name.
    pub(crate) names: Vec<Why<'a>>,
}

/// Why a name is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Why<'a> {
    pub(crate) name: &'a str,
    pub(crate) packages: usize,
    /// The name of a package that asks for it; none for the definition itself.
    pub(crate) asker: Option<&'a str>,
    /// What is asked for.
    pub(crate) spec: &'a str,
}

/// The page.
pub(crate) fn about_page(site: &Site<'_>, about: &About<'_>) -> String {
    let mut out = String::new();
    let title = format!("About {}", site.channel_name);
    begin(&mut out, site, Root::Here, &title, Search::Packages);
    let _ = writeln!(out, "<h1>{}</h1>", Text(&title));
    let channels: Vec<_> = about
        .channels
        .iter()
        .map(|channel| Text(channel).to_string())
        .collect();
    let _ = write!(
        out,
        "<p class=\"lead\">Compiled from {}",
        channels.join(", then ")
    );
    if about.updated > 0 {
        let _ = write!(out, "; last changed {}", time(about.updated));
    }
    out.push_str(".</p>\n<h2>Before and after</h2>\n");
    sizes(&mut out, about);
    for platform in &about.platforms {
        names(&mut out, site, platform);
    }
    end(&mut out, site, Root::Here);
    out
}

/// The picture, and the same in numbers.
fn sizes(out: &mut String, about: &About<'_>) {
    let most = about
        .folders
        .iter()
        .map(|folder| folder.names_before.max(folder.names));
    let most = most.max().unwrap_or(0).max(1);
    let height = about.folders.len() * 44;
    let _ = write!(
        out,
        "<svg class=\"sizes\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Names before and after\">"
    );
    for (number, folder) in about.folders.iter().enumerate() {
        // A name is seen even beside ten thousand.
        let width = |names: usize| (names * WIDTH / most).max(usize::from(names > 0) * 2);
        let top = number * 44;
        let _ = write!(
            out,
            "<text x=\"0\" y=\"{}\">{}</text><rect class=\"before\" x=\"0\" y=\"{}\" width=\"{}\" height=\"14\"/>\
             <rect class=\"after\" x=\"0\" y=\"{}\" width=\"{}\" height=\"14\"/>",
            top + 14,
            Text(folder.name),
            top + 20,
            width(folder.names_before),
            top + 20,
            width(folder.names),
        );
    }
    out.push_str(
        "</svg>\n<table class=\"folders\">\n<caption>Names and packages before and after</caption>\n<thead><tr>\
         <th scope=\"col\">Platform</th><th scope=\"col\">Names</th><th scope=\"col\">of</th>\
         <th scope=\"col\">Packages</th><th scope=\"col\">of</th></tr></thead>\n<tbody>\n",
    );
    for folder in &about.folders {
        let before = folder.packages_before.map(|count| Count(count).to_string());
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Text(folder.name),
            Count(folder.names),
            Count(folder.names_before),
            Count(folder.packages),
            before.as_deref().unwrap_or("not counted"),
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

fn names(out: &mut String, site: &Site<'_>, platform: &Platform<'_>) {
    let _ = writeln!(out, "<h2>What {} has, and why</h2>", Text(platform.name));
    out.push_str("<p>It was asked for:</p>\n<ul class=\"specs\">");
    for root in &platform.roots {
        let _ = write!(out, "<li>{}</li>", Text(root));
    }
    out.push_str(
        "</ul>\n<table class=\"why\">\n<caption>Names</caption>\n<thead><tr><th scope=\"col\">Name</th>\
         <th scope=\"col\">Packages</th><th scope=\"col\">Since</th></tr></thead>\n<tbody>\n",
    );
    let link = |out: &mut String, name: &str| {
        let _ = if site.has_packages {
            write!(
                out,
                "<a href=\"packages/{}.html\">{}</a>",
                Path(&file_stem(name)),
                Text(name)
            )
        } else {
            write!(out, "{}", Text(name))
        };
    };
    for why in platform.names.iter().take(NAMES) {
        out.push_str("<tr><th scope=\"row\">");
        link(out, why.name);
        let _ = write!(out, "</th><td>{}</td><td>", Count(why.packages));
        match why.asker {
            None => out.push_str("the definition asks for "),
            Some(asker) => {
                link(out, asker);
                out.push_str(" asks for ");
            }
        }
        let _ = writeln!(out, "<code>{}</code></td></tr>", Text(why.spec));
    }
    out.push_str("</tbody>\n</table>\n");
    if let Some(more) = platform
        .names
        .len()
        .checked_sub(NAMES)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(out, "<p>And {} more.</p>", Count(more));
    }
}
