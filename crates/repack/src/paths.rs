//! Paths inside of packages, as texts: relative, with slashes. Nothing is looked up on the disk.

/// A path from the folder it is seen from, without `.`, and without `..` that would lead out.
pub(crate) fn join(folder: &str, rest: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The folder of a path; empty at the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The target of a link from the root, without a leading slash.
pub(crate) fn absolute(link: &str, target: &str) -> String {
    let folder = if target.starts_with('/') {
        ""
    } else {
        parent(link)
    };
    join(folder, target)
}

/// The way from a link to a file of the same prefix.
pub(crate) fn relative(link: &str, target: &str) -> String {
    let from: Vec<&str> = link.split('/').collect();
    let from = from.get(..from.len() - 1).unwrap_or_default();
    let to: Vec<&str> = target.split('/').collect();
    let common = from
        .iter()
        .zip(&to)
        .take_while(|(one, other)| one == other)
        .count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let down = to.get(common..).unwrap_or_default().iter().copied();
    let way: Vec<&str> = up.chain(down).collect();
    way.join("/")
}

/// The name of a shared library that lies where the dynamic linker of the prefix looks for it.
pub(crate) fn library(path: &str) -> Option<&str> {
    path.strip_prefix("lib/")
        .filter(|name| !name.contains('/') && name.contains(".so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_the_files_went() {
        assert_eq!(absolute("usr/lib/x/a.so", "b.so"), "usr/lib/x/b.so");
        assert_eq!(absolute("usr/lib/x/a.so", "../../b"), "usr/b");
        assert_eq!(absolute("usr/lib/x", "/etc/x"), "etc/x");
        assert_eq!(absolute("a", "../../../etc/passwd"), "etc/passwd");
        assert_eq!(relative("lib/a.so", "lib/b.so"), "b.so");
        assert_eq!(relative("bin/a", "lib/x/b"), "../lib/x/b");
        assert_eq!(relative("lib/x/y/a", "lib/b"), "../../b");
    }
}
