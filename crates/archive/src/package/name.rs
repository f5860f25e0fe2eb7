//! Package file names: `NAME-VERSION-BUILD` and an extension (CEP 26).

use std::fmt;

/// The two formats that conda packages come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A zip archive of two Zstandard-compressed tar archives.
    Conda,
    /// One bzip2-compressed tar archive.
    TarBz2,
}

impl Kind {
    /// The format that a file name, path or URL names by its extension.
    pub fn from_file_name(name: &str) -> Option<Self> {
        [Self::Conda, Self::TarBz2]
            .into_iter()
            .find(|kind| name.ends_with(kind.extension()))
    }

    /// The extension with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Conda => ".conda",
            Self::TarBz2 => ".tar.bz2",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.extension())
    }
}

/// Whether a text can be the file name of a package, and leads to no other folder when it stands in a path. What an index calls
/// a package is as hostile as the package.
pub fn is_file_name(text: &str) -> bool {
    let odd = |letter: char| letter.is_control() || matches!(letter, '/' | '\\');
    Kind::from_file_name(text).is_some()
        && text.len() <= 255
        && !text.starts_with('.')
        && !text.contains(odd)
}

/// Name, version and build string of a package, from its file name with or without the extension.
/// `None` where one of them is missing or the text is a path.
pub fn split_file_name(file_name: &str) -> Option<(&str, &str, &str)> {
    let stem = Kind::from_file_name(file_name)
        .and_then(|kind| file_name.strip_suffix(kind.extension()))
        .unwrap_or(file_name);
    let mut parts = stem.rsplitn(3, '-');
    let (build, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = |part: &str| !part.is_empty() && !part.contains(['/', '\\', '\0']);
    (sound(name) && sound(version) && sound(build)).then_some((name, version, build))
}
