//! Small archives, and what comes of them.

use super::*;
use crate::control::paragraphs;

/// One package a line: `NAME VERSION | FIELD: VALUE | …`.
fn packages(lines: &str) -> Vec<Package> {
    let all = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    all.map(|line| {
        let mut parts = line.split(" ; ");
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let mut text = format!("Package: {name}\nVersion: {version}\nArchitecture: arm64\n");
        for field in parts {
            text.push_str(field);
            text.push('\n');
        }
        Package::of(&paragraphs(&text).next().unwrap()).unwrap()
    })
    .collect()
}

fn wanted(text: &str) -> Vec<Alternatives> {
    relation::parse(text, "arm64").expect("relations")
}

fn solve(archive: &str, installed: &str, text: &str) -> Result<String, String> {
    let pool = Pool::new("arm64", packages(archive));
    let installed = packages(installed);
    match resolve(&pool, &installed, &wanted(text)) {
        Ok(all) => {
            let all: Vec<String> = all.into_iter().map(title).collect();
            Ok(all.join(", "))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn what_is_needed_comes_and_nothing_else() {
    let archive = "
        aa 1 ; Depends: bb (>= 2), cc | dd ; Recommends: ee
        bb 1
        bb 2 ; Pre-Depends: ff
        cc 1
        dd 1
        ee 1
        ff 1 ; Depends: aa";
    assert_eq!(solve(archive, "", "aa").unwrap(), "aa 1, bb 2, cc 1, ff 1");
    // What is there is not taken again, and an alternative that is there will do.
    assert_eq!(solve(archive, "dd 1\nff 1", "aa").unwrap(), "aa 1, bb 2");
    assert_eq!(
        solve(archive, "bb 1", "aa").unwrap(),
        "aa 1, bb 2, cc 1, ff 1"
    );
    assert_eq!(solve(archive, "bb 1", "bb").unwrap(), "");
}

#[test]
fn an_alternative_that_something_else_needs_is_enough() {
    let archive = "
        aa 1 ; Depends: big | small, zz
        big 1
        small 1
        zz 1 ; Depends: small";
    assert_eq!(solve(archive, "", "aa").unwrap(), "aa 1, small 1, zz 1");
}

#[test]
fn what_is_provided() {
    let archive = "
        aa 1 ; Depends: mail (>= 2)
        post 1 ; Provides: mail ; Priority: required
        exim 1 ; Provides: mail (= 3)
        zmail 1 ; Provides: mail (= 3) ; Priority: important
        any 1 ; Depends: exim:any";
    assert_eq!(solve(archive, "", "aa").unwrap(), "aa 1, zmail 1");
    let error = solve(archive, "", "any").unwrap_err();
    assert!(
        error.contains("any needs exim:any cannot be had"),
        "{error}"
    );
}

#[test]
fn a_wrong_choice_is_taken_back() {
    let archive = "
        aa 1 ; Depends: one | two, last
        one 1
        two 1
        last 1 ; Depends: odd | even
        odd 1 ; Conflicts: two ; Depends: nothing
        even 1 ; Breaks: one (<< 2)";
    assert_eq!(
        solve(archive, "", "aa").unwrap(),
        "aa 1, even 1, last 1, two 1"
    );
}

#[test]
fn excluded_packages_are_named_with_who_needs_them() {
    let archive = "
        aa 1 ; Depends: bb, cc
        bb 1 ; Depends: dd
        cc 1 ; Conflicts: virtual
        dd 1 ; Provides: virtual";
    let error = solve(archive, "", "aa").unwrap_err();
    assert!(error.contains("aa needs cc 1"), "{error}");
    assert!(error.contains("aa needs bb needs dd 1"), "{error}");
    let error = solve("aa 1 ; Depends: bb (>= 2)\nbb 1", "", "aa").unwrap_err();
    assert_eq!(error, "aa needs bb (>= 2) cannot be had (there is 1)");
    // Nothing excludes itself, by whatever name.
    let own = "aa 1 ; Provides: mail ; Conflicts: mail, aa (<< 2)";
    assert_eq!(solve(own, "", "aa").unwrap(), "aa 1");
}

#[test]
fn what_is_installed_is_replaced_where_it_must_be() {
    let archive = "
        libc 2
        libc-bin 2 ; Depends: libc (>= 2)
        curl 1 ; Depends: libc (>= 2)
        new 1 ; Breaks: old (<< 2)
        old 2";
    let installed = "libc 1\nlibc-bin 1 ; Depends: libc (<< 2)\nold 1";
    assert_eq!(
        solve(archive, installed, "curl").unwrap(),
        "curl 1, libc 2, libc-bin 2"
    );
    assert_eq!(solve(archive, installed, "new").unwrap(), "new 1, old 2");
    // What would break and cannot be replaced is no answer; what was broken before stays so.
    let error = solve(
        "libc 2",
        "libc 1\nown 1 ; Depends: libc (<< 2)",
        "libc (>= 2)",
    )
    .unwrap_err();
    assert_eq!(error, "own 1 needs libc (<< 2) cannot be had");
    assert_eq!(
        solve("libc 2", "own 1 ; Depends: libc (<< 2)", "libc").unwrap(),
        "libc 2"
    );
}

#[test]
fn the_order_of_the_index_changes_nothing() {
    let mut lines: Vec<String> = (0..40)
        .map(|number| {
            let one = (number * 7 + 3) % 40;
            let other = (number * 11 + 5) % 40;
            format!(
                "p{number} 1 ; Depends: p{one} | p{other}, v{} ; Provides: v{}",
                number % 5,
                one % 5
            )
        })
        .collect();
    let first = solve(&lines.join("\n"), "", "p1, p2");
    lines.reverse();
    assert_eq!(solve(&lines.join("\n"), "", "p1, p2"), first);
    assert!(first.is_ok());
}
