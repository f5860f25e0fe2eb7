//! Which compressed streams a plan is about, and where each lies: in a package as it was fetched, or in
//! the plan cache.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err::File;

use archive::payload::{Frame, ReadAt};

use crate::cache::Cache;
use crate::scan::Part;

/// All frames of an installer in their order, each once.
#[derive(Debug, Default)]
pub struct Frames {
    sources: Vec<(PathBuf, Part)>,
    numbers: HashMap<(PathBuf, u64), usize>,
}

impl Frames {
    /// Frames that lie in one file, in their order.
    pub(crate) fn of_one(path: &Path, parts: impl Iterator<Item = Part>) -> Frames {
        Frames {
            sources: parts.map(|part| (path.to_owned(), part)).collect(),
            numbers: HashMap::new(),
        }
    }

    /// Adds the parts of one package, which lies at `package`, and returns their frame numbers.
    pub(crate) fn add(&mut self, parts: &[Part], package: &Path, cache: &Cache) -> Vec<usize> {
        parts
            .iter()
            .map(|part| {
                let path = match &part.cached {
                    Some(name) => cache.stream_path(name),
                    None => package.to_owned(),
                };
                let sources = &mut self.sources;
                *self
                    .numbers
                    .entry((path.clone(), part.offset))
                    .or_insert_with(|| {
                        sources.push((path, part.clone()));
                        sources.len() - 1
                    })
            })
            .collect()
    }

    /// Decoded sizes in bytes.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        self.sources.iter().map(|(_, part)| part.size).collect()
    }

    /// The file and the place in it of each frame, in their order.
    pub(crate) fn sources(&self) -> &[(PathBuf, Part)] {
        &self.sources
    }

    /// Compressed length of all, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.sources.iter().map(|(_, part)| part.length).sum()
    }

    /// The frames as if they stood back to back in one file, as `archive::payload` reads them. That
    /// file is never made: its bytes are read where they lie, when they are asked for.
    pub fn assembled(&self) -> (Vec<Frame>, Assembled) {
        let mut frames = Vec::with_capacity(self.sources.len());
        let mut sections = Vec::with_capacity(self.sources.len());
        let mut offset = 0;
        for (path, part) in &self.sources {
            frames.push(Frame {
                offset,
                length: part.length,
                size: part.size,
                sha256: part.sha256,
            });
            sections.push(Section {
                start: offset,
                length: part.length,
                path: path.clone(),
                offset: part.offset,
            });
            offset += part.length;
        }
        (frames, Assembled { sections })
    }
}

/// Frames that lie in many files, read as one.
#[derive(Debug)]
pub struct Assembled {
    /// By `start`.
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    /// Position among all frames.
    start: u64,
    length: u64,
    path: PathBuf,
    /// Position in the file.
    offset: u64,
}

impl ReadAt for Assembled {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let next = self
            .sections
            .partition_point(|section| section.start <= offset);
        let section = next.checked_sub(1).and_then(|last| self.sections.get(last));
        let Some((section, left)) = section.and_then(|section| {
            let left = (section.start + section.length).checked_sub(offset)?;
            (left > 0).then_some((section, left))
        }) else {
            return Ok(0);
        };
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let file = File::open(&section.path)?;
        let position = section.offset + (offset - section.start);
        // Opened for each piece of up to 4 MiB: no limit of open files, whatever the number of packages.
        ReadAt::read_at(file.file(), &mut buffer[..count], position)
    }
}
