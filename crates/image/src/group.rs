//! Which packages share a layer. A layer is fetched and stored as a whole, so packages that change
//! together belong together, and a package must not move because another one came, went or grew: its
//! layer follows from what it is and from its name alone.

use archive::digest::Sha256;

/// What the grouping looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    /// For all platforms: small, and released often.
    pub(crate) noarch: bool,
    /// In the package cache alone.
    pub(crate) prefetched: bool,
}

/// The packages, as positions in `subjects`, that each layer holds: at most `budget` layers, none
/// empty. Within a layer they keep their order.
pub(crate) fn group(
    subjects: &[Subject<'_>],
    budget: usize,
    has_prefetch: bool,
) -> Vec<Vec<usize>> {
    let shares = Shares::of(budget.max(1), has_prefetch);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); budget.max(1)];
    for (position, subject) in subjects.iter().enumerate() {
        layers[shares.layer(subject)].push(position);
    }
    layers.retain(|layer| !layer.is_empty());
    layers
}

/// How many layers each kind of package has: a function of the definition, not of the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    compiled: usize,
    python: usize,
    noarch: usize,
    prefetched: usize,
}

impl Shares {
    fn of(budget: usize, has_prefetch: bool) -> Shares {
        let prefetched = match (has_prefetch, budget) {
            (false, _) | (_, ..=1) => 0,
            (true, budget) => (budget / 3).max(1),
        };
        let rest = budget - prefetched;
        let python = usize::from(rest >= 3);
        let rest = rest - python;
        let noarch = if rest >= 2 { (rest / 3).max(1) } else { 0 };
        Shares {
            compiled: rest - noarch,
            python,
            noarch,
            prefetched,
        }
    }

    fn layer(self, subject: &Subject<'_>) -> usize {
        let Shares {
            compiled,
            python,
            noarch,
            prefetched,
        } = self;
        let bucket = |first: usize, count: usize| first + bucket(family(subject.name), count);
        if subject.prefetched && prefetched > 0 {
            bucket(compiled + python + noarch, prefetched)
        } else if subject.name == "python" && python > 0 {
            compiled
        } else if subject.noarch && noarch > 0 {
            bucket(compiled + python, noarch)
        } else {
            bucket(0, compiled)
        }
    }
}

/// The part of a name that packages of one source have in common: `libgcc-ng` and
/// `gcc_impl_linux-aarch64` are both `gcc`, `libllvm20` and `llvm-tools` both `llvm`.
fn family(name: &str) -> &str {
    let name = match name.strip_prefix("lib") {
        Some(rest) if rest.len() > 1 => rest,
        _ => name,
    };
    let first = name.split(['-', '_', '.']).find(|part| !part.is_empty());
    let first = first.unwrap_or(name);
    let letters = first.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if letters.is_empty() { first } else { letters }
}

/// The same on every machine and in every version of this program.
fn bucket(family: &str, count: usize) -> usize {
    let [a, b, c, d, ..] = Sha256::of(family.as_bytes()).0;
    let number = u32::from_be_bytes([a, b, c, d]);
    // A u32 fits: images for 16-bit machines are not baked there.
    usize::try_from(number).unwrap_or(0) % count.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(name: &str) -> Subject<'_> {
        Subject {
            name,
            noarch: name.len().is_multiple_of(3),
            prefetched: name.len().is_multiple_of(5),
        }
    }

    #[test]
    fn packages_of_one_source_are_a_family() {
        for (name, expected) in [
            ("libgcc-ng", "gcc"),
            ("gcc_impl_linux-aarch64", "gcc"),
            ("libllvm20", "llvm"),
            ("ruamel.yaml.clib", "ruamel"),
            ("python", "python"),
            ("lib", "lib"),
            ("7zip", "7zip"),
            ("_openmp_mutex", "openmp"),
        ] {
            assert_eq!(family(name), expected, "{name}");
        }
    }

    #[test]
    fn every_layer_of_the_budget_has_a_use() {
        for budget in 1..=120 {
            for has_prefetch in [false, true] {
                let shares = Shares::of(budget, has_prefetch);
                let sum = shares.compiled + shares.python + shares.noarch + shares.prefetched;
                assert_eq!(sum, budget, "{shares:?}");
                assert!(shares.compiled > 0);
            }
        }
    }

    proptest! {
        #[test]
        fn all_packages_are_somewhere_and_none_moves_for_another(
            names in proptest::collection::btree_set("[a-z]{1,12}", 1..40),
            budget in 1_usize..20,
            has_prefetch: bool,
        ) {
            let all: Vec<Subject<'_>> = names.iter().map(|name| subject(name)).collect();
            let layers = group(&all, budget, has_prefetch);
            prop_assert!(layers.len() <= budget);
            let mut seen: Vec<usize> = layers.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..all.len()).collect::<Vec<_>>());
            // Without the first package, all others are with those that they were with.
            let fewer = group(&all[1..], budget, has_prefetch);
            let shifted: Vec<Vec<usize>> = layers
                .iter()
                .map(|layer| layer.iter().filter(|p| **p > 0).map(|p| p - 1).collect())
                .filter(|layer: &Vec<usize>| !layer.is_empty())
                .collect();
            prop_assert_eq!(fewer, shifted);
        }
    }
}
