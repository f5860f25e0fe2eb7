//! The order of explicit lists, and what they lack.

use proptest::prelude::*;

use super::support::{names, record};
use crate::order::MOST_PACKAGES;
use crate::{Error, order, virtual_packages};
use conda::{RepoDataRecord, Subdir};

#[test]
fn dependencies_come_first_and_lacking_ones_are_named() {
    let records = vec![
        record(
            "conda",
            "4.5",
            "0",
            &["python >=3", "pycosat >=0.6", "requests"],
        ),
        record("python", "3.7", "0", &["zlib >=1.2,<1.3", "__glibc >=2.12"]),
        record("requests", "2.0", "0", &["python 2.7.*"]),
        record("zlib", "1.2", "0", &["__cuda"]),
    ];
    let (records, missing) =
        order(records, &virtual_packages(Subdir::Linux64, &[])).expect("an order");
    assert_eq!(names(&records), ["zlib", "python", "requests", "conda"]);
    let missing: Vec<(&str, &str)> = missing
        .iter()
        .map(|missing| (missing.package.as_str(), missing.dependency.as_str()))
        .collect();
    assert_eq!(
        missing,
        [
            ("conda-4.5-0.conda", "pycosat >=0.6"),
            ("requests-2.0-0.conda", "python 2.7.*"),
            ("zlib-1.2-0.conda", "__cuda"),
        ]
    );
}

#[test]
fn one_name_twice_is_an_error_that_names_both() {
    let records = vec![record("xz", "5.2", "0", &[]), record("xz", "5.4", "0", &[])];
    let text = order(records, &[]).expect_err("twice").to_string();
    assert!(
        text.contains("xz-5.2-0.conda") && text.contains("xz-5.4-0.conda"),
        "{text}"
    );
}

#[test]
fn specs_that_cannot_be_parsed_are_met_by_name() {
    let records = vec![
        record("a", "1", "0", &["b >>=1,,", "c >>=1,,"]),
        record("b", "1", "0", &[]),
    ];
    let (_, missing) = order(records, &[]).expect("an order");
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].dependency, "c >>=1,,");
}

#[test]
fn long_chains_neither_overflow_the_stack_nor_pass_unlimited() {
    let chain = |length: usize| -> Vec<RepoDataRecord> {
        (0..length)
            .map(|index| {
                let next = format!("p{}", index + 1);
                record(&format!("p{index}"), "1", "0", &[&next])
            })
            .collect()
    };
    let (records, missing) = order(chain(MOST_PACKAGES), &[]).expect("an order");
    assert_eq!(missing.len(), 1);
    assert_eq!(names(&records).last(), Some(&"p0"));
    assert!(matches!(
        order(chain(MOST_PACKAGES + 1), &[]),
        Err(Error::TooMany { .. })
    ));
}

proptest! {
    /// Any graph, cycles included: nothing is lost, and the order of the input does not matter.
    #[test]
    fn the_order_does_not_depend_on_the_input(
        edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..30),
        shuffle in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let records: Vec<RepoDataRecord> = (0..12)
            .map(|index| {
                let depends: Vec<String> = edges
                    .iter()
                    .filter(|(from, to)| *from == index && from != to)
                    .map(|(_, to)| format!("p{to} >=1"))
                    .collect();
                let depends: Vec<&str> = depends.iter().map(String::as_str).collect();
                record(&format!("p{index}"), "1", "0", &depends)
            })
            .collect();
        let shuffled = shuffle.iter().map(|index| records[*index].clone()).collect();
        let (sorted, missing) = order(records, &[]).expect("an order");
        prop_assert!(missing.is_empty());
        prop_assert_eq!(sorted.len(), 12);
        let acyclic = edges.iter().all(|(from, to)| from >= to);
        if acyclic {
            let place = |name: usize| {
                sorted.iter().position(|record| record.package_record.name.as_normalized() == format!("p{name}"))
            };
            for (from, to) in &edges {
                prop_assert!(place(*to) <= place(*from));
            }
        }
        let (again, _) = order(shuffled, &[]).expect("an order");
        prop_assert_eq!(again, sorted);
    }
}
