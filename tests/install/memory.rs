//! What an installation costs the user's machine: memory does not grow with packages, and the
//! program inside every installer stays small.

use fs_err as fs;

use super::support::make_in;
use crate::support::package::{FileKind, Package, file, text_prefix};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// Of the installation in main memory at its largest, in KiB.
const MEMORY: u64 = 64 << 10;

/// Of the program inside an installer, in bytes.
const PROGRAM: u64 = 3 << 20;

#[test]
fn memory_does_not_grow_with_packages() {
    let place = Place::new();
    // The script's parent is the installer, which has everything behind it.
    place.write(
        "post.sh",
        "grep VmHWM \"/proc/$PPID/status\" >\"$PREFIX/memory\"\n",
    );
    let Some(made) = make_in(place, &[huge()], "post_install = \"post.sh\"") else {
        return;
    };
    for arguments in [&["--threads=2"] as &[&str], &["--threads=2", "-k", "-f"]] {
        run(&mut made.installation(arguments)).succeeds();
        let text = fs::read_to_string(made.prefix().join("memory")).expect("a file");
        let peak = text
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok());
        let peak: u64 = peak.expect("a number");
        assert!(peak <= MEMORY, "{peak} KiB with {arguments:?}");
        let large = fs::metadata(made.prefix().join("share/huge/0"))
            .expect("a file")
            .len();
        assert_eq!(large, 150 << 20);
    }
}

#[test]
fn the_program_inside_is_small() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for platform in ["linux-64", "linux-aarch64"] {
        let program = runtimes.join(format!("runtime-{platform}"));
        let length = fs::metadata(&program).expect("a program").len();
        assert!(length <= PROGRAM, "{length} bytes for {platform}");
    }
}

/// 300 MB: two long files, one of them with placeholders, and some short ones.
fn huge() -> Package {
    // Compresses, but not to nothing, so that windows are used.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let block: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        [b'a' + (state % 16) as u8, b'\n']
    })
    .take(1 << 19)
    .flatten()
    .collect();
    let mut files = vec![file("share/huge/0", block.repeat(150))];
    let mut named = text_prefix("share/huge/1", "@PREFIX@/bin\n");
    if let FileKind::Content(content) = &mut named.kind {
        let line = content.clone();
        content.extend(block.repeat(100));
        content.extend(line);
    }
    files.push(named);
    files.extend((2..52).map(|number| file(&format!("share/huge/{number}"), &block)));
    Package::generic("huge 1.0 0").with(files)
}
