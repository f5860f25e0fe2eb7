//! A place in a text, for who reads JSON byte by byte.

/// What is before `position`, in bytes, was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) text: &'a str,
    pub(crate) position: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The next byte.
    pub(crate) fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Passes over the next byte if it is this one.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.position += usize::from(found);
        found
    }

    /// Whether all was read.
    pub(crate) fn is_over(&self) -> bool {
        self.position == self.text.len()
    }
}
