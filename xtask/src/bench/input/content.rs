//! Contents of files that compress like those of real packages: Python sources and headers four
//! to one, shared libraries three to one, some data hardly at all.

use super::random::Random;

/// What the files of one package have in common: its names, its phrases, its machine code.
pub(super) struct Vocabulary {
    words: Vec<String>,
    lines: Vec<String>,
    functions: Vec<Vec<u8>>,
}

impl Vocabulary {
    pub(super) fn new(random: &mut Random) -> Vocabulary {
        const SYLLABLES: &[&str] = &[
            "con", "da", "pre", "fix", "ar", "chi", "load", "er", "in", "dex", "re", "cord", "str",
            "map", "val", "ue", "pack", "age", "ver", "sion", "num", "py", "list", "get", "set",
            "is",
        ];
        let word = |random: &mut Random| {
            let count = 1 + random.below(4);
            (0..count)
                .map(|_| SYLLABLES[random.below(SYLLABLES.len())])
                .collect::<String>()
        };
        let words: Vec<String> = (0..3000).map(|_| word(random)).collect();
        let mut vocabulary = Vocabulary {
            words,
            lines: Vec::new(),
            functions: Vec::new(),
        };
        vocabulary.lines = (0..400).map(|_| vocabulary.line(random)).collect();
        vocabulary.functions = (0..300)
            .map(|_| {
                let length = 24 + random.below(200);
                (0..length).map(|_| code(random)).collect()
            })
            .collect();
        vocabulary
    }

    /// A text of `length` bytes.
    pub(super) fn text(&self, random: &mut Random, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length + 128);
        while text.len() < length {
            if random.below(3) == 0 {
                text.extend_from_slice(self.lines[random.skewed(self.lines.len())].as_bytes());
            } else {
                text.extend_from_slice(self.line(random).as_bytes());
            }
        }
        text.truncate(length);
        text
    }

    /// Something like a shared library: code, tables of addresses, zeros and names.
    pub(super) fn library(&self, random: &mut Random, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 4096);
        bytes.extend_from_slice(b"\x7fELF\x02\x01\x01\0");
        while bytes.len() < length {
            match random.below(16) {
                0 => bytes.resize(bytes.len() + 8 + random.below(500), 0),
                1 | 2 => {
                    let base = random.next() & 0xf_ffff;
                    for number in 0..32 {
                        let address = base + number * 24 + (random.next() & 7);
                        bytes.extend_from_slice(&address.to_le_bytes());
                    }
                }
                3 => {
                    for _ in 0..16 {
                        let name = self.words[random.skewed(self.words.len())].as_bytes();
                        bytes.extend_from_slice(name);
                        bytes.push(0);
                    }
                }
                _ => {
                    let start = bytes.len();
                    let function = &self.functions[random.skewed(self.functions.len())];
                    bytes.extend_from_slice(function);
                    // The same function with other operands.
                    for _ in 0..function.len() / 12 {
                        let at = start + random.below(function.len());
                        bytes[at] = code(random);
                    }
                }
            }
        }
        bytes.truncate(length);
        bytes
    }

    /// Something like an image: nothing to be found in it.
    pub(super) fn noise(random: &mut Random, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&random.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn line(&self, random: &mut Random) -> String {
        let word = |random: &mut Random| self.words[random.skewed(self.words.len())].as_str();
        let indent = "    ".repeat(random.below(4));
        let (a, b, c) = (word(random), word(random), word(random));
        match random.below(8) {
            0 => format!("\n{indent}def {a}_{b}(self, {c}):\n"),
            1 => format!("{indent}return self.{a}({b}, {c}={})\n", random.below(100)),
            2 => format!("{indent}if not {a}.{b}: raise ValueError(\"{c} {a}\")\n"),
            3 => format!(
                "{indent}# {a} {b} {} {c} the {}\n",
                word(random),
                word(random)
            ),
            4 => format!("import {a}.{b} as {c}\n"),
            5 => format!("{indent}{a} = [{b}, {c}, {:#06x}]\n", random.below(1 << 16)),
            _ => format!("{indent}{a}_{b} = {c}.{}({a})\n", word(random)),
        }
    }
}

/// A byte as machine code has them: a few are frequent.
fn code(random: &mut Random) -> u8 {
    const FREQUENT: [u8; 16] = [
        0x48, 0x8b, 0x00, 0x89, 0xff, 0x24, 0x4c, 0x8d, 0x0f, 0xe8, 0x85, 0xc0, 0x74, 0x83, 0x41,
        0x44,
    ];
    if random.below(2) == 0 {
        FREQUENT[random.skewed(16)]
    } else {
        u8::try_from(random.next() & 0xff).unwrap_or_default()
    }
}
