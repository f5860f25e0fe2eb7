//! What an installation costs the user's machine: memory does not grow with packages, and the
//! program inside every installer stays small.

use fs_err as fs;

use super::support::{make_in, many};
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
fn time_grows_with_the_number_of_files_and_no_faster() {
    let cost = |count: usize| -> Option<u64> {
        let place = Place::new();
        // User and system time so far, in ticks.
        place.write(
            "post.sh",
            "set -- $(cat \"/proc/$PPID/stat\")\necho $((${14} + ${15}))\n",
        );
        let made = make_in(place, &[many(count)], "post_install = \"post.sh\"")?;
        // In main memory, where a file costs the same each time.
        let script = "mount -t tmpfs tmpfs where\nexec sh \"$1\" -b --threads=1 -p \"$2\"";
        let output = run(&mut made.with_mounts(script)?).succeeds();
        let number = output.stdout.lines().find_map(|line| line.parse().ok());
        Some(number.unwrap_or_else(|| panic!("{output}")))
    };
    let (Some(few), Some(lots)) = (cost(4000), cost(16_000)) else {
        return;
    };
    let few = few.max(10);
    assert!(
        lots < few * 8,
        "{few} ticks for 4000 files, {lots} for 16000"
    );
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
