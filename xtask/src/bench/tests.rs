//! What a reader of figures relies on: the same inputs everywhere, honest ratios, a page that keeps
//! what was not measured.

use fs_err as fs;

use super::facts::Facts;
use super::input::{self, PLATFORM, Shape};
use super::measure::{Run, Runs, measure_here, median};
use super::report::{Bound, Outcome, Quantity, publish};

fn small() -> Shape {
    Shape {
        platform: PLATFORM,
        packages: 3,
        files: 60,
        bytes: 600_000,
        largest: Some(0.4),
        single: Some(300_000),
    }
}

#[test]
fn inputs_are_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = input::packages(&folder.path().join("first"), small()).unwrap();
    let second = input::packages(&folder.path().join("second"), small()).unwrap();
    assert_eq!(first.files.len(), 4);
    assert_eq!(first.names[3], "single");
    for (first, second) in first.files.iter().zip(&second.files) {
        assert!(fs::read(first).unwrap() == fs::read(second).unwrap());
    }
    let expected = first.channel.join(PLATFORM).join("single-1.0-0.conda");
    assert_eq!(first.files[3], expected);
}

#[test]
fn inputs_compress_like_real_packages() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        platform: PLATFORM,
        packages: 2,
        files: 300,
        bytes: 4_000_000,
        largest: None,
        single: None,
    };
    let packages = input::packages(folder.path(), shape).unwrap();
    let ratio = 4_000_000 / packages.length;
    assert!((3..=5).contains(&ratio), "{ratio}");
}

#[test]
fn a_run_that_fails_is_an_error_and_says_why() {
    let command = ["sh", "-c", "echo no such luck >&2; exit 3"].map(Into::into);
    let error = measure_here(&command).unwrap_err().to_string();
    assert!(error.contains("no such luck"), "{error}");
}

#[test]
fn the_middle_of_numbers() {
    assert_eq!(
        median(vec![3.0, 1.0, 2.0]).total_cmp(&2.0),
        std::cmp::Ordering::Equal
    );
    assert_eq!(
        median(vec![4.0, 1.0]).total_cmp(&2.5),
        std::cmp::Ordering::Equal
    );
    assert!(median(Vec::new()).is_nan());
}

fn outcome(name: &'static str, cpu: f64) -> Outcome {
    let runs = |label: &str, cpu| Runs {
        label: label.to_owned(),
        runs: vec![Run {
            wall: cpu,
            cpu,
            memory: 1_000_000,
            written: 0,
        }],
    };
    let mut outcome = Outcome::new(
        name,
        "Something.".to_owned(),
        vec![runs("a", cpu), runs("b", 1.0)],
    );
    outcome.ratio(Quantity::Cpu, "a", "b", Bound::AtMost(1.5));
    outcome.ratio(Quantity::Cpu, "a", "not measured", Bound::AtMost(1.5));
    outcome
}

#[test]
fn a_mark_is_met_or_missed() {
    assert!(outcome("one", 1.5).targets[0].met);
    assert!(!outcome("one", 1.6).targets[0].met);
    assert_eq!(outcome("one", 1.6).targets.len(), 1);
}

#[test]
fn the_page_keeps_what_was_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("benchmarks.md");
    fs::write(
        &page,
        "# Benchmarks\n\nIntroduction.\n\n## Limits\n\nBy hand.\n",
    )
    .unwrap();
    let facts = Facts::gather(folder.path());
    let write = |found: &[Outcome]| {
        publish(&page, "cargo xtask bench", &facts, found).unwrap();
        fs::read_to_string(&page).unwrap()
    };
    write(&[outcome("one", 1.25), outcome("two", 2.0)]);
    let text = write(&[outcome("one", 1.75)]);
    for kept in [
        "Introduction.",
        "## Limits\n\nBy hand.",
        "## two",
        "2.00 | **missed** |",
    ] {
        assert!(text.contains(kept), "{text}");
    }
    assert!(
        text.contains("1.75 | **missed** |") && !text.contains("1.25"),
        "{text}"
    );
    assert_eq!(text.matches("## one").count(), 1);
    assert!(text.ends_with("By hand.\n"), "{text}");
    assert_eq!(write(&[outcome("one", 1.75)]), text);
}
