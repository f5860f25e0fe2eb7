//! A writer of zip archives that does not ask whether they make sense.

/// An archive to be; contents are stored.
#[derive(Default)]
pub(in super::super) struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

/// 2024-02-29 12:30:02.
const TIME: u16 = 12 * 2048 + 30 * 32 + 1;
const DATE: u16 = 44 * 512 + 2 * 32 + 29;

impl Zip {
    /// Adds a file as it is.
    pub(in super::super) fn add(&mut self, name: &[u8], content: &[u8], mode: u32) {
        let length = long(content.len());
        self.add_packed(name, content, mode, 0, length, rawzip::crc32(content), 0);
    }

    /// Adds a file and says of it what is given.
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the fields of a zip header"
    )]
    pub(in super::super) fn add_packed(
        &mut self,
        name: &[u8],
        packed: &[u8],
        mode: u32,
        method: u16,
        size: u32,
        crc: u32,
        flags: u16,
    ) {
        let offset = long(self.bytes.len());
        let mut common = Vec::new();
        for number in [20, flags | 0x800, method, TIME, DATE] {
            common.extend_from_slice(&number.to_le_bytes());
        }
        for number in [crc, long(packed.len()), size] {
            common.extend_from_slice(&number.to_le_bytes());
        }
        common.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        self.bytes.extend_from_slice(b"PK\x03\x04");
        self.bytes.extend_from_slice(&common);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(packed);
        self.repeat(name, &common, offset, mode);
    }

    /// One more line of the directory for a file that is there already.
    pub(in super::super) fn repeat(&mut self, name: &[u8], common: &[u8], offset: u32, mode: u32) {
        self.directory.extend_from_slice(b"PK\x01\x02");
        // Made by Unix, version 2.0.
        self.directory.extend_from_slice(&[20, 3]);
        self.directory.extend_from_slice(common);
        self.directory.extend_from_slice(&[0; 6]);
        self.directory
            .extend_from_slice(&(mode << 16).to_le_bytes());
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(name);
        self.count += 1;
    }

    /// The archive.
    pub(in super::super) fn finish(mut self) -> Vec<u8> {
        let offset = long(self.bytes.len());
        self.bytes.extend_from_slice(&self.directory);
        self.bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        for _ in 0..2 {
            self.bytes.extend_from_slice(&self.count.to_le_bytes());
        }
        self.bytes
            .extend_from_slice(&long(self.directory.len()).to_le_bytes());
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes
    }
}

fn long(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}
