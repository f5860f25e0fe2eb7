//! What a bench found, as a table for a terminal, as JSON, and as a section of docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use fs_err as fs;
use serde::Serialize;

use super::facts::Facts;
use super::measure::{Run, Runs, median};

/// What a bench found.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    /// What was measured, in a sentence or two.
    pub(super) about: String,
    pub(super) runs: Vec<Runs>,
    /// A table of its own in place of that of the runs, with its titles.
    pub(super) figures: Vec<Vec<String>>,
    pub(super) targets: Vec<Target>,
    /// Peers that are not there, and why.
    pub(super) missing: Vec<String>,
}

/// A mark, and where we are.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) bound: Bound,
    pub(super) found: f64,
    pub(super) unit: &'static str,
    pub(super) met: bool,
}

/// On which side of the mark one should be.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Wall,
    Cpu,
    Memory,
    Written,
}

impl Outcome {
    pub(super) fn new(name: &'static str, about: String, runs: Vec<Runs>) -> Outcome {
        Outcome {
            name,
            about,
            runs,
            figures: Vec::new(),
            targets: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Adds a target for `over` : `under`, in the middle of the rounds that have both. One of them
    /// missing is no target.
    pub(super) fn ratio(&mut self, quantity: Quantity, over: &str, under: &str, bound: Bound) {
        let runs = |label: &str| self.runs.iter().find(|runs| runs.label == label);
        let (Some(first), Some(second)) = (runs(over), runs(under)) else {
            return;
        };
        let ratios: Vec<f64> = first
            .runs
            .iter()
            .zip(&second.runs)
            .map(|(a, b)| quantity.of(a) / quantity.of(b))
            .collect();
        let what = format!("{} of {over} : {under}", quantity.name());
        self.target(what, median(ratios), "", bound);
    }

    pub(super) fn target(&mut self, what: String, found: f64, unit: &'static str, bound: Bound) {
        let met = match bound {
            Bound::AtMost(limit) => found <= limit,
            Bound::AtLeast(limit) => found >= limit,
        };
        self.targets.push(Target {
            what,
            bound,
            found,
            unit,
            met,
        });
    }

    /// The middle of a command's figures.
    pub(super) fn middle(&self, quantity: Quantity, label: &str) -> f64 {
        let runs = self.runs.iter().filter(|runs| runs.label == label);
        let figures = runs.flat_map(|runs| &runs.runs).map(|run| quantity.of(run));
        median(figures.collect())
    }

    /// The largest of a command's figures.
    pub(super) fn largest(&self, quantity: Quantity, label: &str) -> f64 {
        let runs = self.runs.iter().filter(|runs| runs.label == label);
        runs.flat_map(|runs| &runs.runs)
            .map(|run| quantity.of(run))
            .fold(0.0, f64::max)
    }

    /// Both tables, aligned.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{}: {}\n\n{}", self.name, self.about, grid(&self.rows()));
        if !self.targets.is_empty() {
            text += "\n";
            text += &grid(&self.target_rows());
        }
        for missing in &self.missing {
            let _ = writeln!(text, "missing: {missing}");
        }
        text
    }

    fn rows(&self) -> Vec<Vec<String>> {
        if !self.figures.is_empty() {
            return self.figures.clone();
        }
        let mut rows = vec![titles(&[
            "",
            "wall s",
            "CPU s",
            "peak MB",
            "written MB",
            "runs",
        ])];
        for runs in &self.runs {
            let column = |quantity: Quantity, digits: usize| {
                let values: Vec<f64> = runs.runs.iter().map(|run| quantity.of(run)).collect();
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(0.0, f64::max);
                format!(
                    "{:.digits$} ({least:.digits$}–{most:.digits$})",
                    median(values)
                )
            };
            rows.push(vec![
                runs.label.clone(),
                column(Quantity::Wall, 3),
                column(Quantity::Cpu, 3),
                column(Quantity::Memory, 1),
                column(Quantity::Written, 1),
                runs.runs.len().to_string(),
            ]);
        }
        rows
    }

    fn target_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![titles(&["target", "wanted", "found", ""])];
        for target in &self.targets {
            let (sign, limit) = match target.bound {
                Bound::AtMost(limit) => ("≤", limit),
                Bound::AtLeast(limit) => ("≥", limit),
            };
            rows.push(vec![
                target.what.clone(),
                format!("{sign} {limit}{}", target.unit),
                format!("{:.2}{}", target.found, target.unit),
                if target.met { "met" } else { "**missed**" }.to_owned(),
            ]);
        }
        rows
    }

    fn section(&self, command: &str, facts: &Facts) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.name, self.about);
        let _ = writeln!(
            text,
            "`{command}`, {}\n\n{}",
            facts.date,
            markdown(&self.rows())
        );
        if !self.targets.is_empty() {
            let _ = writeln!(text, "{}", markdown(&self.target_rows()));
        }
        for missing in &self.missing {
            let _ = writeln!(text, "Not there: {missing}\n");
        }
        let _ = writeln!(text, "Machine: {}.\n", facts.machine);
        text
    }
}

impl Quantity {
    #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
    fn of(self, run: &Run) -> f64 {
        match self {
            Quantity::Wall => run.wall,
            Quantity::Cpu => run.cpu,
            Quantity::Memory => run.memory as f64 / 1e6,
            Quantity::Written => run.written as f64 / 1e6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Quantity::Wall => "wall time",
            Quantity::Cpu => "CPU",
            Quantity::Memory => "peak memory",
            Quantity::Written => "bytes written",
        }
    }
}

/// Puts the sections of these benches into the page; what else is in it stays.
pub(super) fn publish(page: &Path, command: &str, facts: &Facts, found: &[Outcome]) -> Result<()> {
    let mut text = fs::read_to_string(page)?;
    for outcome in found {
        let section = outcome.section(command, facts);
        let title = format!("## {}\n", outcome.name);
        let (start, end) = if let Some(start) = text.find(&title) {
            let rest = text.get(start + 1..).unwrap_or_default();
            let next = rest.find("\n## ").map(|next| start + 1 + next + 1);
            (start, next.unwrap_or(text.len()))
        } else {
            // What is written by hand stays last.
            let last = text.find("## Limits\n").unwrap_or(text.len());
            (last, last)
        };
        text.replace_range(start..end, &section);
    }
    let text = format!("{}\n", text.trim_end());
    fs::write(page, text).context("cannot write the page")
}

fn titles(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn markdown(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if number == 0 {
            let _ = writeln!(text, "|---|{}", "--:|".repeat(row.len() - 1));
        }
    }
    text
}

fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (number, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if number == 0 {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
