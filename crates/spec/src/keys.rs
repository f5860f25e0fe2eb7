//! The names of all keys, ours and constructor's, and what we say about those that have no effect
//! here. Which values a key takes is decided in `distribution`.

/// Where a key stands with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Read by `distribution`.
    Supported,
    /// Accepted without effect, as constructor does; the text says why.
    Obsolete(&'static str),
    /// Constructor has it, we do not yet.
    NotYet,
    /// Constructor has it for installers that we do not build yet.
    OtherInstallers(&'static str),
}

use Status::{NotYet, Obsolete, OtherInstallers, Supported};

const WINDOWS: Status = OtherInstallers("Windows");
const MACOS: Status = OtherInstallers("macOS");
const GRAPHICAL: Status = OtherInstallers("graphical (macOS and Windows)");
const DOCKER: Status = OtherInstallers("docker");

/// The keys of `construct.yaml` (`constructor/_schema.py`, release 3.16) and our own `platforms`,
/// `target` and `compression`, in the order of the documentation.
pub(crate) const KEYS: &[(&str, Status)] = &[
    ("$schema", Supported),
    ("name", Supported),
    ("version", Supported),
    ("platforms", Supported),
    ("target", Supported),
    ("channels", Supported),
    ("channels_remap", Supported),
    ("specs", Supported),
    ("environment_file", Supported),
    ("exclude", Supported),
    ("user_requested_specs", Supported),
    ("virtual_specs", Supported),
    ("license_file", Supported),
    ("write_condarc", Supported),
    ("condarc", Supported),
    ("conda_default_channels", Supported),
    ("conda_channel_alias", Supported),
    ("default_prefix", Supported),
    ("initialize_conda", Supported),
    ("initialize_by_default", Supported),
    ("extra_files", Supported),
    ("pre_install", Supported),
    ("post_install", Supported),
    ("script_env_variables", Supported),
    ("keep_pkgs", Supported),
    ("installer_filename", Supported),
    ("ignore_duplicate_files", Supported),
    ("check_path_spaces", Supported),
    ("conclusion_text", Supported),
    ("build_outputs", Supported),
    ("compression", Supported),
    (
        "install_in_dependency_order",
        Obsolete("packages are always installed in the order of their dependencies"),
    ),
    (
        "attempt_hardlinks",
        Obsolete("hard links are used where they are possible"),
    ),
    (
        "check_path_length",
        Obsolete("the length of a prefix is checked against the packages' own limits"),
    ),
    ("mirrored_channels", NotYet),
    ("menu_packages", NotYet),
    ("environment", NotYet),
    ("transmute_file_type", NotYet),
    ("extra_envs", NotYet),
    ("register_envs", NotYet),
    ("installer_type", NotYet),
    ("batch_mode", NotYet),
    ("company", NotYet),
    ("freeze_base", NotYet),
    ("pre_install_desc", GRAPHICAL),
    ("post_install_desc", GRAPHICAL),
    ("welcome_image", GRAPHICAL),
    ("header_image", GRAPHICAL),
    ("icon_image", GRAPHICAL),
    ("default_image_color", GRAPHICAL),
    ("welcome_image_text", GRAPHICAL),
    ("header_image_text", GRAPHICAL),
    ("welcome_file", GRAPHICAL),
    ("welcome_text", GRAPHICAL),
    ("post_install_pages", GRAPHICAL),
    ("conclusion_file", GRAPHICAL),
    ("reverse_domain_identifier", GRAPHICAL),
    ("signing_identity_name", MACOS),
    ("notarization_identity_name", MACOS),
    ("default_location_pkg", MACOS),
    ("pkg_domains", MACOS),
    ("pkg_name", MACOS),
    ("install_path_exists_error_text", MACOS),
    ("progress_notifications", MACOS),
    ("readme_file", MACOS),
    ("readme_text", MACOS),
    ("windows_signing_tool", WINDOWS),
    ("signing_certificate", WINDOWS),
    ("uninstall_name", WINDOWS),
    ("uninstall_with_conda_exe", WINDOWS),
    ("pre_uninstall", WINDOWS),
    ("default_prefix_domain_user", WINDOWS),
    ("default_prefix_all_users", WINDOWS),
    ("register_python", WINDOWS),
    ("register_python_default", WINDOWS),
    ("nsis_template", WINDOWS),
    ("temp_extra_files", WINDOWS),
    ("docker_base_image", DOCKER),
    ("docker_tag", DOCKER),
    ("docker_labels", DOCKER),
    ("docker_image_format", DOCKER),
];

/// Names that other tools use for one of our keys.
const ALIASES: &[(&str, &str)] = &[
    ("packages", "specs"),
    ("dependencies", "specs"),
    ("license", "license_file"),
    ("licence_file", "license_file"),
    ("prefix", "default_prefix"),
    ("channel_alias", "conda_channel_alias"),
    ("default_channels", "conda_default_channels"),
    ("mirrors", "channels_remap"),
    ("outputs", "build_outputs"),
    ("environment_variables", "script_env_variables"),
];

/// What is known about a key, if it is known.
pub(crate) fn status(key: &str) -> Option<Status> {
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .map(|(_, status)| *status)
}

/// The key that somebody who wrote `key` probably meant.
pub(crate) fn suggestion(key: &str) -> Option<&'static str> {
    let alias = ALIASES
        .iter()
        .find(|(name, _)| *name == key)
        .map(|(_, meant)| *meant);
    let supported = || KEYS.iter().filter(|(_, status)| *status == Supported);
    alias
        .or_else(|| nearest(key, supported().map(|(name, _)| *name)))
        .or_else(|| nearest(key, KEYS.iter().map(|(name, _)| *name)))
}

/// The candidate with the least edit distance to `word`, where that is small enough for a slip of
/// the fingers; the first one of several.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    const LONGEST: usize = 40;
    let word: Vec<char> = word
        .chars()
        .take(LONGEST + 1)
        .flat_map(char::to_lowercase)
        .collect();
    if word.len() > LONGEST {
        return None;
    }
    let tolerance = (word.len() / 3).clamp(1, 3);
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= tolerance)
        .map(|candidate| {
            (
                distance(&word, &candidate.chars().collect::<Vec<_>>()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insertions, deletions, replacements and swapped neighbours.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_previous: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, left_char) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right_char) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(left_char != right_char);
            let mut best = replaced
                .min(previous[column + 1] + 1)
                .min(current[column] + 1);
            let swapped = row > 0
                && column > 0
                && left[row - 1] == *right_char
                && right[column - 1] == *left_char;
            if swapped {
                best = best.min(before_previous[column - 1] + 1);
            }
            current.push(best);
        }
        before_previous = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_key() {
        for (written, meant) in [
            ("chanels", Some("channels")),
            ("channel", Some("channels")),
            ("spec", Some("specs")),
            ("sepcs", Some("specs")),
            ("platform", Some("platforms")),
            ("license-file", Some("license_file")),
            ("License_File", Some("license_file")),
            ("targets", Some("target")),
            ("postinstall", Some("post_install")),
            ("dependencies", Some("specs")),
            ("extra_env", Some("extra_envs")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(suggestion(written), meant, "{written}");
        }
        assert_eq!(suggestion(&"channels".repeat(100_000)), None);
    }

    #[test]
    fn the_distance_counts_single_edits() {
        for (left, right, expected) in [
            ("", "", 0),
            ("ab", "ba", 1),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(
                distance(&chars(left), &chars(right)),
                expected,
                "{left} {right}"
            );
        }
    }

    #[test]
    fn every_supported_key_is_documented() {
        let documentation = include_str!("../../../docs/spec.md");
        for (name, status) in KEYS {
            let named = documentation.contains(&format!("`{name}"));
            assert!(named || matches!(status, OtherInstallers(_)), "{name}");
        }
    }

    #[test]
    fn every_key_of_constructor_is_named_once() {
        let mut names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        // 78 keys of the schema, and three of our own.
        assert_eq!(before, 78 + 3);
    }
}
