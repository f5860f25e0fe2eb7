//! A repodata.json in which only a few records are others than in the one that is there: what stays is copied, and nobody
//! has to have all records at hand.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use archive::package::Kind;
use memchr::{memchr2, memchr3};

use super::{Head, SECTIONS, quoted, write_info, write_removed};

/// How much is read at a time, in bytes.
const PIECE: usize = 1 << 18;

/// The records of files that are others now, by file name; nothing for files that are no longer there.
pub(crate) type Changes<'a> = BTreeMap<&'a str, Option<Cow<'a, str>>>;

/// Copies what [`super::write`] wrote with the same head, not below `v3`, but for the changes. `removed` must be sorted.
pub(crate) fn splice(
    old: &mut dyn Read,
    out: &mut dyn Write,
    head: &Head<'_>,
    changes: &Changes<'_>,
    removed: &[String],
) -> io::Result<()> {
    let mut old = Old::new(old);
    let mut info = Vec::new();
    write_info(&mut info, head)?;
    old.expect(&info)?;
    out.write_all(&info)?;
    for (kind, key) in SECTIONS {
        old.expect(key)?;
        out.write_all(key)?;
        let of_kind = changes
            .iter()
            .filter(|(file, _)| Kind::from_file_name(file) == Some(kind));
        section(&mut old, out, of_kind)?;
    }
    write_removed(out, head, removed)?;
    out.write_all(b"}")
}

/// Copies the members of one section, both sorted by file name, up to its end.
fn section<'a>(
    old: &mut Old<'_>,
    out: &mut dyn Write,
    changes: impl Iterator<Item = (&'a &'a str, &'a Option<Cow<'a, str>>)>,
) -> io::Result<()> {
    let mut changes = changes.peekable();
    let mut out = Members {
        out,
        is_first: true,
    };
    out.out.write_all(b"{")?;
    old.expect(b"{")?;
    while let Some(member) = old.member()? {
        while let Some((file, record)) =
            changes.next_if(|(file, _)| file.as_bytes() < &*member.file)
        {
            out.add(file, record.as_deref())?;
        }
        match changes.next_if(|(file, _)| file.as_bytes() == &*member.file) {
            Some((file, record)) => out.add(file, record.as_deref())?,
            None => out.copy(member.text)?,
        }
    }
    for (file, record) in changes {
        out.add(file, record.as_deref())?;
    }
    out.out.write_all(b"}")
}

struct Members<'a> {
    out: &'a mut dyn Write,
    is_first: bool,
}

impl Members<'_> {
    fn add(&mut self, file: &str, record: Option<&str>) -> io::Result<()> {
        let Some(record) = record else {
            return Ok(());
        };
        self.copy(quoted(file).as_bytes())?;
        self.out.write_all(b":")?;
        self.out.write_all(record.as_bytes())
    }

    fn copy(&mut self, text: &[u8]) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_all(b",")?;
        }
        self.out.write_all(text)
    }
}

/// A member of a section.
struct Member<'a> {
    /// The file name, without escapes.
    file: Cow<'a, [u8]>,
    /// The name and the record as they stand there.
    text: &'a [u8],
}

/// The file that is there, of which a part is in memory: at least the member that is looked at.
struct Old<'a> {
    source: &'a mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
}

impl<'a> Old<'a> {
    fn new(source: &'a mut dyn Read) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Reads more of the file, which must have more.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let piece = PIECE.max(self.buffer.len()) as u64;
        let read = (&mut *self.source)
            .take(piece)
            .read_to_end(&mut self.buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn expect(&mut self, text: &[u8]) -> io::Result<()> {
        while self.rest().len() < text.len() {
            self.fill()?;
        }
        if !self.rest().starts_with(text) {
            return Err(strange());
        }
        self.start += text.len();
        Ok(())
    }

    /// The next member; nothing at the end of the section, which is passed.
    fn member(&mut self) -> io::Result<Option<Member<'_>>> {
        while self.rest().is_empty() {
            self.fill()?;
        }
        match self.rest().first() {
            Some(b'}') => {
                self.start += 1;
                return Ok(None);
            }
            Some(b',') => self.start += 1,
            _ => {}
        }
        let (key, end) = loop {
            if let Some(found) = extent(self.rest())? {
                break found;
            }
            self.fill()?;
        };
        let from = self.start;
        self.start += end;
        let text = self.buffer.get(from..self.start).ok_or_else(strange)?;
        let file = text.get(1..key).ok_or_else(strange)?;
        let file = if file.contains(&b'\\') {
            let quoted = text.get(..=key).ok_or_else(strange)?;
            Cow::Owned(serde_json::from_slice::<String>(quoted)?.into_bytes())
        } else {
            Cow::Borrowed(file)
        };
        Ok(Some(Member { file, text }))
    }
}

/// Of `"FILE":{…}` at the beginning of a text, where the quote after the name is and where it ends; nothing where the text
/// is too short for that.
fn extent(text: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(key) = string(text, 0)? else {
        return Ok(None);
    };
    let mut at = key;
    for expected in *b"\":{" {
        match text.get(at) {
            None => return Ok(None),
            Some(byte) if *byte == expected => at += 1,
            Some(_) => return Err(strange()),
        }
    }
    let mut depth = 1_usize;
    while depth > 0 {
        let Some(next) = text
            .get(at..)
            .and_then(|rest| memchr3(b'"', b'{', b'}', rest))
        else {
            return Ok(None);
        };
        at += next;
        match text.get(at) {
            Some(b'{') => depth += 1,
            Some(b'}') => depth -= 1,
            _ => match string(text, at)? {
                Some(end) => at = end,
                None => return Ok(None),
            },
        }
        at += 1;
    }
    Ok(Some((key, at)))
}

/// Where the quote is that ends the string which begins at a place.
fn string(text: &[u8], start: usize) -> io::Result<Option<usize>> {
    match text.get(start) {
        Some(b'"') => {}
        Some(_) => return Err(strange()),
        None => return Ok(None),
    }
    let mut at = start + 1;
    loop {
        let Some(next) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) else {
            return Ok(None);
        };
        at += next;
        if text.get(at) == Some(&b'"') {
            return Ok(Some(at));
        }
        // What is escaped ends nothing.
        at += 2;
    }
}

fn strange() -> io::Error {
    let problem = "it is not what was written here the last time";
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
