//! The tar stream of a layer: POSIX headers with fixed names, numbers and times, and pax records for
//! what does not fit in. Entries come in the order in which they are written; each folder comes
//! before what is in it, and once.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use tar::EntryType;

use crate::oci::WHITEOUT;

/// What an entry has besides its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    /// Permission bits.
    pub(crate) mode: u32,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// Seconds since the epoch.
    pub(crate) modified: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    /// A file of so many bytes, which follow.
    File(u64),
    Directory,
    /// A symbolic link that says this.
    Link(&'a str),
    /// The same file as this earlier entry.
    HardLink(&'a str),
}

/// A tar stream in the making. Paths are relative to the image's root.
pub(crate) struct Archive<W: Write> {
    builder: tar::Builder<W>,
    directories: HashSet<String>,
    length: u64,
    /// Bytes of the last file that are still to come, and how many follow to fill its last block.
    left: u64,
    fill: u64,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(sink: W) -> Archive<W> {
        Archive {
            builder: tar::Builder::new(sink),
            directories: HashSet::new(),
            length: 0,
            left: 0,
            fill: 0,
        }
    }

    /// How many bytes of content there are so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Takes folders for granted: they are in a layer below.
    pub(crate) fn has_directory(&mut self, path: &str) {
        self.directories.insert(path.to_owned());
    }

    /// Writes a folder, unless it is there.
    pub(crate) fn directory(&mut self, path: &str, meta: Meta) -> io::Result<()> {
        if self.directories.insert(path.to_owned()) {
            self.begin(path, meta, What::Directory)?;
        }
        Ok(())
    }

    /// Writes the folders above a path that are not there yet.
    pub(crate) fn parents(&mut self, path: &str, meta: Meta) -> io::Result<()> {
        for (slash, _) in path.match_indices('/') {
            self.directory(&path[..slash], meta)?;
        }
        Ok(())
    }

    /// Writes a whole entry.
    pub(crate) fn entry(
        &mut self,
        path: &str,
        meta: Meta,
        what: What<'_>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        self.begin(path, meta, what)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.write(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.end()
    }

    /// Hides what the layers below have at a path.
    pub(crate) fn whiteout(&mut self, path: &str, meta: Meta) -> io::Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let between = if folder.is_empty() { "" } else { "/" };
        let sign = format!("{folder}{between}{WHITEOUT}{name}");
        self.head(&sign, meta, What::File(0))?;
        self.end()
    }

    /// Begins an entry; a file's bytes follow, and then [`Archive::end`].
    pub(crate) fn begin(&mut self, path: &str, meta: Meta, what: What<'_>) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.starts_with(WHITEOUT) {
            let problem = format!("`{path}` has a name that takes away what the layers below have");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        self.head(path, meta, what)
    }

    fn head(&mut self, path: &str, meta: Meta, what: What<'_>) -> io::Result<()> {
        self.check_ended()?;
        let mut header = tar::Header::new_ustar();
        let mut records: Vec<(&str, &str)> = Vec::new();
        let (kind, size, link) = match what {
            What::File(size) => (EntryType::Regular, size, None),
            What::Directory => (EntryType::Directory, 0, None),
            What::Link(target) => (EntryType::Symlink, 0, Some(target)),
            What::HardLink(target) => (EntryType::Link, 0, Some(target)),
        };
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(meta.mode & 0o7777);
        header.set_uid(u64::from(meta.owner.0));
        header.set_gid(u64::from(meta.owner.1));
        header.set_mtime(meta.modified);
        let slashed;
        let name = if kind.is_dir() {
            slashed = format!("{path}/");
            &slashed
        } else {
            path
        };
        if header.set_path(name).is_err() {
            records.push(("path", name));
        }
        if let Some(link) = link
            && header.set_link_name_literal(link).is_err()
        {
            records.push(("linkpath", link));
        }
        let texts = records.iter().map(|(key, text)| (*key, text.as_bytes()));
        self.builder.append_pax_extensions(texts)?;
        header.set_cksum();
        self.builder.get_mut().write_all(header.as_bytes())?;
        self.left = size;
        self.fill = size.next_multiple_of(512) - size;
        Ok(())
    }

    /// Writes bytes of the file that was begun.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("a file is longer than was said before"))?;
        self.length += bytes.len() as u64;
        self.builder.get_mut().write_all(bytes)
    }

    /// Ends the file that was begun.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.check_ended()?;
        let fill = usize::try_from(self.fill).unwrap_or(0);
        self.fill = 0;
        self.builder.get_mut().write_all(&[0; 512][..fill])
    }

    fn check_ended(&self) -> io::Result<()> {
        if self.left == 0 {
            Ok(())
        } else {
            Err(io::Error::other("a file is shorter than was said before"))
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.end()?;
        self.builder.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta {
        mode: 0o755,
        owner: (0, 0),
        modified: 1_600_000_000,
    };

    #[test]
    fn long_names_and_links_survive() {
        let long = format!("opt/{}/x", "n".repeat(150));
        let target = format!("../{}", "t".repeat(180));
        let mut archive = Archive::new(Vec::new());
        archive.parents(&long, META).unwrap();
        archive
            .entry(&long, META, What::File(3), &mut &b"abc"[..])
            .unwrap();
        let link = |archive: &mut Archive<Vec<u8>>, path, what| {
            archive.entry(path, META, what, &mut io::empty()).unwrap();
        };
        link(&mut archive, "opt/l", What::Link(&target));
        link(&mut archive, "opt/m", What::Link("//odd/./x"));
        link(&mut archive, "opt/h", What::HardLink(&long));
        let bytes = archive.finish().unwrap();
        let mut reader = tar::Archive::new(&bytes[..]);
        let found: Vec<(String, Option<String>, u64)> = reader
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let link = entry.link_name_bytes().map(|link| text(&link));
                (text(&entry.path_bytes()), link, entry.size())
            })
            .collect();
        let folder = format!("opt/{}/", "n".repeat(150));
        assert_eq!(
            found,
            [
                ("opt/".to_owned(), None, 0),
                (folder, None, 0),
                (long.clone(), None, 3),
                ("opt/l".to_owned(), Some(target), 0),
                ("opt/m".to_owned(), Some("//odd/./x".to_owned()), 0),
                ("opt/h".to_owned(), Some(long), 0),
            ]
        );
    }

    #[test]
    fn whiteouts_are_no_accident() {
        let mut archive = Archive::new(Vec::new());
        archive.whiteout("opt/x", META).unwrap();
        archive.whiteout("y", META).unwrap();
        for path in ["opt/.wh.x", ".wh..wh..opq"] {
            archive.begin(path, META, What::File(0)).unwrap_err();
        }
        archive.directory("opt/.wh.d", META).unwrap_err();
        let bytes = archive.finish().unwrap();
        let mut reader = tar::Archive::new(&bytes[..]);
        let entries = reader.entries().unwrap();
        let names = entries.map(|entry| entry.unwrap().path_bytes().into_owned());
        assert_eq!(names.collect::<Vec<_>>(), [&b"opt/.wh.x"[..], b".wh.y"]);
    }

    #[test]
    fn a_file_that_is_not_as_long_as_it_said_is_an_error() {
        let mut archive = Archive::new(Vec::new());
        archive.begin("x", META, What::File(2)).unwrap();
        assert!(archive.write(b"abc").is_err());
        let mut archive = Archive::new(Vec::new());
        archive.begin("x", META, What::File(2)).unwrap();
        archive.write(b"a").unwrap();
        assert!(archive.end().is_err());
        assert!(archive.finish().is_err());
    }
}
