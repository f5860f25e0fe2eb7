//! A platform's page: its files, as conda-index lists them. Of a large platform, which may have half a
//! million, those that were built last: no browser could show the others.

use std::fmt::Write as _;
use std::io::{self, Write};

use archive::digest::Sha256;

use super::text::{Count, Path, Size, Text};
use super::{Root, Search, Site, begin, channel::time, end, file_address};
use crate::Json;
use crate::output::channeldata::newest;
use crate::output::repodata::fields::{fields, string};

/// How many files a page lists at most: those that were built last.
pub(crate) const FILES: usize = 10_000;

/// How many rows a table has: a browser lays out only the tables that are seen.
const ROWS: usize = 200;

/// One of the files that clients fetch, at the top of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexFile<'a> {
    /// The file name.
    pub(crate) file: &'a str,
    /// The length in bytes.
    pub(crate) size: u64,
    /// The digest.
    pub(crate) sha256: Sha256,
}

/// Gives all records after patches, sorted by file name, to the function: file name and record.
pub(crate) type Records<'a> =
    &'a dyn Fn(&mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()>;

/// Writes the page. `total` tells how many packages the platform has, of which `records` gives some.
pub(crate) fn write_subdir(
    out: &mut dyn Write,
    site: &Site<'_>,
    subdir: &str,
    index_files: &[IndexFile<'_>],
    total: usize,
    records: Records<'_>,
) -> io::Result<()> {
    let mut text = String::new();
    let title = format!("{}/{subdir}", site.channel_name);
    begin(&mut text, site, Root::Above, &title, Search::Files);
    let _ = writeln!(text, "<h1>{}</h1>", Text(subdir));
    if !index_files.is_empty() {
        text.push_str("<h2>Index</h2>\n");
        head(&mut text, "Index files", false);
        for file in index_files {
            let row = Row {
                file: file.file,
                size: file.size,
                time: 0,
                sha256: &file.sha256.to_string(),
                // It would take longer than all else that is done to a large file.
                md5: "",
                popup: None,
            };
            row.write(&mut text, &Path(file.file).to_string());
        }
        text.push_str("</tbody>\n</table>\n");
    }
    text.push_str("<h2>Packages</h2>\n");
    let mut count = 0_usize;
    records(&mut |file, record| {
        if count.is_multiple_of(ROWS) {
            if count > 0 {
                text.push_str("</tbody>\n</table>\n");
            }
            out.write_all(text.as_bytes())?;
            text.clear();
            head(&mut text, "Packages", count > 0);
        }
        count += 1;
        row(&mut text, site, subdir, file, record);
        Ok(())
    })?;
    text.push_str(if count > 0 {
        "</tbody>\n</table>\n"
    } else {
        ""
    });
    let noun = if total == 1 { "package" } else { "packages" };
    let _ = if count < total {
        let (count, total) = (Count(count), Count(total));
        writeln!(
            text,
            "<p class=\"about\">The {count} newest of {total} {noun}. All of them are in repodata.json.</p>"
        )
    } else {
        writeln!(text, "<p class=\"about\">{} {noun}</p>", Count(total))
    };
    end(&mut text, site, Root::Above);
    out.write_all(text.as_bytes())
}

fn head(out: &mut String, caption: &str, continues: bool) {
    let class = if continues { " class=\"quiet\"" } else { "" };
    let _ = writeln!(
        out,
        "<table class=\"files\">\n<caption>{caption}</caption>\n<thead{class}><tr><th scope=\"col\">File</th>\
         <th scope=\"col\">Size</th><th scope=\"col\">Date</th><th scope=\"col\">SHA-256</th>\
         <th scope=\"col\">MD5</th></tr></thead>\n<tbody>"
    );
}

struct Row<'a> {
    file: &'a str,
    size: u64,
    time: i64,
    sha256: &'a str,
    md5: &'a str,
    popup: Option<String>,
}

impl Row<'_> {
    fn write(&self, out: &mut String, address: &str) {
        let popup = match &self.popup {
            Some(popup) => format!(" title=\"{}\"", Text(popup)),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><a class=\"name\" href=\"{address}\"{popup}>{}</a></th>\
             <td class=\"size\">{}</td><td>{}</td><td class=\"digest\"><code>{}</code></td>\
             <td class=\"digest\"><code>{}</code></td></tr>",
            Text(self.file),
            Size(self.size),
            time(self.time),
            Text(self.sha256),
            Text(self.md5),
        );
    }
}

fn row(out: &mut String, site: &Site<'_>, subdir: &str, file: &str, record: &str) {
    let mut row = Row {
        file,
        size: 0,
        time: 0,
        sha256: "",
        md5: "",
        popup: site.html_dependencies.then(|| popup(record)).flatten(),
    };
    for (key, value) in fields(record).map_while(Result::ok) {
        match &*key {
            "size" => row.size = value.parse().unwrap_or(0),
            "timestamp" => row.time = newest::seconds(value),
            // Digests need no escapes; what has some is none.
            "sha256" => row.sha256 = value.trim_matches('"'),
            "md5" => row.md5 = value.trim_matches('"'),
            _ => {}
        }
    }
    row.write(out, &file_address(site, subdir, file));
}

/// What conda-index shows over a file name: who it is, and what it needs, a line each.
fn popup(record: &str) -> Option<String> {
    let (mut name, mut version, mut build) = (None, None, None);
    let mut depends = Vec::new();
    for (key, value) in fields(record).map_while(Result::ok) {
        match &*key {
            "name" => name = string(value),
            "version" => version = string(value),
            "build" => build = string(value),
            "depends" => {
                if let Ok(Json::List(items)) = Json::parse(value.as_bytes()) {
                    depends = items;
                }
            }
            _ => {}
        }
    }
    if depends.is_empty() {
        return None;
    }
    let mut popup = format!("{} v{} {}\n\ndepends:", name?, version?, build?);
    for spec in depends {
        if let Json::Text(spec) = spec {
            let _ = write!(popup, "\n{spec}");
        }
    }
    Some(popup)
}
