//! The packages of an installer, as a table or as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::host::size;
use crate::plan::PackageHead;

/// A table with a line of headings; columns are separated by two blanks or more.
pub(super) fn table(packages: &[PackageHead], output: &mut dyn Write) -> io::Result<()> {
    let headings = ["name", "version", "build", "subdir", "size"].map(str::to_owned);
    let mut rows = vec![headings];
    rows.extend(packages.iter().map(|package| {
        let PackageHead {
            name,
            version,
            build,
            subdir,
            ..
        } = package;
        [
            name.clone(),
            version.clone(),
            build.clone(),
            subdir.clone(),
            size(package.size),
        ]
    }));
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for [name, version, build, subdir, size] in &rows {
        let [first, second, third, fourth, fifth] = widths;
        writeln!(
            output,
            "{name:<first$}  {version:<second$}  {build:<third$}  {subdir:<fourth$}  {size:>fifth$}"
        )?;
    }
    output.flush()
}

/// An array of objects, one per package; sizes in bytes.
pub(super) fn json(packages: &[PackageHead], output: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Row<'a> {
        name: &'a str,
        version: &'a str,
        build: &'a str,
        subdir: &'a str,
        channel: &'a str,
        url: &'a str,
        size: u64,
        entries: u64,
    }
    let rows: Vec<Row<'_>> = packages
        .iter()
        .map(|package| Row {
            name: &package.name,
            version: &package.version,
            build: &package.build,
            subdir: &package.subdir,
            channel: &package.channel,
            url: &package.url,
            size: package.size,
            entries: package.entries,
        })
        .collect();
    serde_json::to_writer_pretty(&mut *output, &rows)?;
    output.write_all(b"\n")?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Vec<PackageHead> {
        let package = |name: &str, version: &str, subdir: &str, size| PackageHead {
            name: name.into(),
            version: version.into(),
            build: "0".into(),
            subdir: subdir.into(),
            channel: "conda-forge".into(),
            url: format!("https://example.org/{name}"),
            entries: 3,
            size,
            plan: 0,
        };
        vec![
            package("python", "3.10", "linux-64", 12_345_678),
            package("pip", "23", "noarch", 42),
        ]
    }

    #[test]
    fn a_table_is_aligned() {
        let mut output = Vec::new();
        table(&packages(), &mut output).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "name    version  build  subdir        size\n\
             python  3.10     0      linux-64   12.3 MB\n\
             pip     23       0      noarch    42 bytes\n"
        );
    }

    #[test]
    fn json_is_an_array_of_objects() {
        let mut output = Vec::new();
        json(&packages(), &mut output).unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(rows[0]["name"], "python");
        assert_eq!(rows[0]["size"], 12_345_678);
        assert_eq!(rows[1]["url"], "https://example.org/pip");
        assert_eq!(rows.as_array().map(Vec::len), Some(2));
    }
}
