//! The demonstration's last words: one line for each installer.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

/// One installer.
pub(crate) struct Row {
    /// The file's name.
    pub(crate) file: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its digest, in hexadecimal.
    pub(crate) sha256: String,
    /// How many packages it holds.
    pub(crate) packages: usize,
    /// How many files it installs.
    pub(crate) files: u64,
    /// Seconds that it took to build.
    pub(crate) build: f64,
    /// Seconds that it took to install, if it was.
    pub(crate) install: Option<f64>,
}

const HEADINGS: [&str; 7] = [
    "file",
    "size (bytes)",
    "sha256",
    "packages",
    "files",
    "build (s)",
    "install (s)",
];

/// Prints the table to stdout, and where the files lie.
pub(crate) fn print(folder: &Path, rows: &[Row]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\n{}\nin {}\n", render(rows), folder.display())?;
    Ok(())
}

fn render(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.file.clone(),
            row.size.to_string(),
            row.sha256.clone(),
            row.packages.to_string(),
            row.files.to_string(),
            format!("{:.1}", row.build),
            row.install
                .map_or_else(|| "untried".to_owned(), |seconds| format!("{seconds:.1}")),
        ]
    }));
    let mut widths = [0; HEADINGS.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut cells = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Names to the left, figures to the right.
            let cell = if matches!(column, 0 | 2) {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
            cells.push_str(&cell);
        }
        text.push_str(cells.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Row, render};

    #[test]
    fn columns_line_up() {
        let row = |file: &str, install| Row {
            file: file.to_owned(),
            size: 12_345_678,
            sha256: "ab".repeat(32),
            packages: 31,
            files: 4_096,
            build: 2.345,
            install,
        };
        let text = render(&[row("a.sh", Some(1.0)), row("longer-name.sh", None)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let digest = lines[1].find("abab").expect("a digest");
        assert_eq!(lines[0].find("sha256"), Some(digest), "{text}");
        assert_eq!(lines[2].find("abab"), Some(digest), "{text}");
        assert!(lines[1].ends_with("1.0"), "{text}");
        assert!(lines[2].ends_with("untried"), "{text}");
    }
}
