//! The form that conda-index writes with `--no-compact`: the same text with line breaks and two
//! spaces for each level, as `json.dumps(indent=2)` has it, and a line break at the end.

use std::io::{self, Write};

/// Passes compact JSON on, indented. [`Indented::finish`] ends it.
pub(crate) struct Indented<W> {
    inner: W,
    depth: usize,
    within: Within,
    /// A bracket was opened, and nothing has followed yet.
    opened: bool,
}

#[derive(PartialEq)]
enum Within {
    Plain,
    Text,
    Escape,
}

impl<W: Write> Indented<W> {
    /// Writes to `inner`, which should be buffered.
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            depth: 0,
            within: Within::Plain,
            opened: false,
        }
    }

    /// The last line break.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(b"\n")?;
        Ok(self.inner)
    }

    fn line(&mut self) -> io::Result<()> {
        self.inner.write_all(b"\n")?;
        for _ in 0..self.depth {
            self.inner.write_all(b"  ")?;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        match self.within {
            Within::Escape => self.within = Within::Text,
            Within::Text if byte == b'\\' => self.within = Within::Escape,
            Within::Text if byte == b'"' => self.within = Within::Plain,
            Within::Text => {}
            Within::Plain => {
                let closes = matches!(byte, b'}' | b']');
                if closes {
                    self.depth = self.depth.saturating_sub(1);
                }
                if closes != self.opened {
                    self.line()?;
                }
                self.opened = matches!(byte, b'{' | b'[');
                match byte {
                    b'{' | b'[' => self.depth += 1,
                    b'"' => self.within = Within::Text,
                    b',' => {
                        self.inner.write_all(b",")?;
                        return self.line();
                    }
                    b':' => return self.inner.write_all(b": "),
                    _ => {}
                }
            }
        }
        self.inner.write_all(&[byte])
    }
}

impl<W: Write> Write for Indented<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.byte(*byte)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
