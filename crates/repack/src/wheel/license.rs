//! A wheel's licence as an SPDX expression, where its metadata says clearly which one it is.

use super::metadata::Metadata;

/// Trove classifiers that mean one SPDX identifier. Those that leave a version open do not
/// (`License :: OSI Approved :: BSD License`): they are used as hints only.
const CLASSIFIERS: &[(&str, &str)] = &[
    ("MIT License", "MIT"),
    ("MIT No Attribution License (MIT-0)", "MIT-0"),
    ("Apache Software License", "Apache-2.0"),
    ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ("Mozilla Public License 1.1 (MPL 1.1)", "MPL-1.1"),
    ("Python Software Foundation License", "PSF-2.0"),
    ("ISC License (ISCL)", "ISC"),
    ("The Unlicense (Unlicense)", "Unlicense"),
    ("Boost Software License 1.0 (BSL-1.0)", "BSL-1.0"),
    ("zlib/libpng License", "Zlib"),
    ("GNU General Public License v2 (GPLv2)", "GPL-2.0-only"),
    (
        "GNU General Public License v2 or later (GPLv2+)",
        "GPL-2.0-or-later",
    ),
    ("GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
    (
        "GNU General Public License v3 or later (GPLv3+)",
        "GPL-3.0-or-later",
    ),
    (
        "GNU Lesser General Public License v2 (LGPLv2)",
        "LGPL-2.0-only",
    ),
    (
        "GNU Lesser General Public License v2 or later (LGPLv2+)",
        "LGPL-2.0-or-later",
    ),
    (
        "GNU Lesser General Public License v3 (LGPLv3)",
        "LGPL-3.0-only",
    ),
    (
        "GNU Lesser General Public License v3 or later (LGPLv3+)",
        "LGPL-3.0-or-later",
    ),
    ("GNU Affero General Public License v3", "AGPL-3.0-only"),
    (
        "GNU Affero General Public License v3 or later (AGPLv3+)",
        "AGPL-3.0-or-later",
    ),
    ("Historical Permission Notice and Disclaimer (HPND)", "HPND"),
    ("Academic Free License (AFL)", "AFL-3.0"),
];

/// What authors write in the old `License` key.
const WORDS: &[(&str, &str)] = &[
    ("apache", "Apache-2.0"),
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("apache software license", "Apache-2.0"),
    ("apache software license 2.0", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("bsd", "BSD-3-Clause"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("bsd 3-clause license", "BSD-3-Clause"),
    ("bsd license", "BSD-3-Clause"),
    ("new bsd", "BSD-3-Clause"),
    ("isc", "ISC"),
    ("isc license", "ISC"),
    ("lgpl", "LGPL-2.1-or-later"),
    ("mit", "MIT"),
    ("mit license", "MIT"),
    ("the mit license", "MIT"),
    ("mpl-2.0", "MPL-2.0"),
    ("mpl 2.0", "MPL-2.0"),
    ("psf", "PSF-2.0"),
    ("psf-2.0", "PSF-2.0"),
    ("psfl", "PSF-2.0"),
    ("python software foundation license", "PSF-2.0"),
    ("unlicense", "Unlicense"),
    ("zlib", "Zlib"),
];

/// SPDX where it is clear, the author's word where that is short, `unknown` otherwise.
pub(super) fn license(metadata: &Metadata) -> String {
    if let Some(expression) = &metadata.license_expression {
        return expression.clone();
    }
    let word = metadata.license.as_deref().unwrap_or_default().trim();
    let lower = word.to_ascii_lowercase();
    if let Some((_, spdx)) = WORDS.iter().find(|(known, _)| *known == lower) {
        return (*spdx).to_owned();
    }
    let mut classified: Vec<&str> = metadata
        .classifiers
        .iter()
        .filter(|line| line.starts_with("License ::"))
        .filter_map(|line| line.rsplit(" :: ").next())
        .filter_map(|last| CLASSIFIERS.iter().find(|(known, _)| *known == last))
        .map(|(_, spdx)| *spdx)
        .collect();
    classified.sort_unstable();
    classified.dedup();
    if !classified.is_empty() {
        return classified.join(" OR ");
    }
    if !word.is_empty() && word.len() <= 60 && !word.contains('\n') {
        return word.to_owned();
    }
    let loosely = metadata
        .classifiers
        .iter()
        .find_map(|line| line.strip_prefix("License :: OSI Approved :: "));
    loosely.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::file_name::FileName;
    use super::*;

    #[test]
    fn spdx_where_it_is_clear() {
        let name = FileName::parse("a-1-py3-none-any.whl").unwrap();
        for (headers, expected) in [
            (
                "License-Expression: MIT OR Apache-2.0\nLicense: x\n",
                "MIT OR Apache-2.0",
            ),
            ("License: BSD 3-Clause\n", "BSD-3-Clause"),
            (
                "Classifier: License :: OSI Approved :: MIT License\n",
                "MIT",
            ),
            (
                "Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: OSI Approved :: Apache Software License\n",
                "Apache-2.0 OR MIT",
            ),
            ("License: Same as Perl\n", "Same as Perl"),
            (
                "Classifier: License :: OSI Approved :: BSD License\n",
                "BSD License",
            ),
            ("Classifier: Topic :: Utilities\n", "unknown"),
            ("", "unknown"),
        ] {
            let text = format!("Name: a\nVersion: 1\n{headers}");
            assert_eq!(
                license(&Metadata::parse(&name, &text).unwrap()),
                expected,
                "{headers}"
            );
        }
    }
}
