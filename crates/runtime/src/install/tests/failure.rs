//! What is left of an installation that does not come to its end: nothing.

use std::sync::atomic::Ordering;

use super::*;
use crate::plan::Text;

/// Checks that this installation fails with these words and leaves nothing.
fn check(made: Fixture, expected: &str) {
    let mut room = Room::new();
    room.prefix = room.folder.path().join("target/a/b/prefix");
    let (result, events) = room.install_with(made, &room.options());
    let text = chain(&result.unwrap_err());
    let text = text.replace(room.prefix.to_str().unwrap(), "PREFIX");
    assert!(text.contains(expected), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(room.listing(), Vec::<String>::new());
    assert_eq!(events.last().map(String::as_str), Some("Undoing"));
}

#[test]
fn plans_that_lead_out_of_the_prefix_are_refused() {
    for path in [
        "../x",
        "a/../../x",
        "/etc/x",
        "a//x",
        "./x",
        "",
        "a/",
        ".installing/new/x",
    ] {
        for kind in [
            Kind::Directory,
            Kind::SymbolicLink {
                target: "x".into(),
                listed: None,
            },
            Kind::EntryPoint {
                body: String::new(),
            },
        ] {
            let mut made = two_packages();
            made.entry(1, path, kind);
            check(
                made,
                &format!("`beta-2.0-0` has the path `{path}`, which may lead outside"),
            );
        }
        let mut made = two_packages();
        made.entry(1, "y", Kind::HardLink { to: path.into() });
        check(made, "which may lead outside");
        let mut made = two_packages();
        made.extra(path, b"x");
        check(made, "`extra_files` has the path");
        let mut made = two_packages();
        made.plan.texts.push(Text {
            path: path.into(),
            text: String::new(),
        });
        check(made, "`the installer` has the path");
        let mut made = two_packages();
        made.packages[0].dist = path.into();
        check(made, "which may lead outside");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let target = || outside.path().to_str().unwrap().to_owned();
    for link in ["aaa", "zzz"] {
        let mut made = two_packages();
        made.entry(
            0,
            link,
            Kind::SymbolicLink {
                target: target(),
                listed: None,
            },
        );
        made.file(1, &format!("{link}/file"), b"x");
        check(made, &format!("PREFIX/{link}`"));
        // Within one package, and for a file that is to be written twice.
        let mut made = two_packages();
        made.file(0, &format!("{link}/file"), b"x");
        made.entry(
            0,
            link,
            Kind::SymbolicLink {
                target: target(),
                listed: None,
            },
        );
        check(made, &format!("PREFIX/{link}`"));
        let mut made = two_packages();
        made.file(1, link, b"x");
        made.entry(
            0,
            link,
            Kind::SymbolicLink {
                target: format!("{}/new", target()),
                listed: None,
            },
        );
        check(made, &format!("cannot write `PREFIX/{link}`: File exists"));
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn contradictory_plans_are_refused() {
    type Change = fn(&mut Fixture);
    let changes: [(&str, Change); 9] = [
        ("listed twice", |made| {
            let work = made.plan.work[0].clone();
            made.plan.work.push(work);
        }),
        ("there is no package 9", |made| {
            made.plan.work[0].packages.push(9);
        }),
        ("not all files of `alpha-1.0-0` have a frame", |made| {
            made.plan.work.remove(0);
        }),
        ("there is no frame", |made| {
            made.plan.work[0].frame = 99;
            for entry in &mut made.packages[0].entries {
                if let Kind::File(file) = &mut entry.kind {
                    file.frame = 99;
                }
            }
        }),
        ("a hard link to `nothing`", |made| {
            made.entry(
                0,
                "x",
                Kind::HardLink {
                    to: "nothing".into(),
                },
            );
        }),
        ("the position of `x` is impossible", |made| {
            let Kind::File(file) = &mut made.file(0, "x", b"abc").kind else {
                return;
            };
            file.size = 1 << 40;
        }),
        ("is impossible", |made| {
            let Kind::File(file) = &mut made.file(0, "x", b"abc").kind else {
                return;
            };
            file.offset -= 102;
        }),
        (
            "the prefix cannot be written into `x` of `alpha-1.0-0`",
            |made| {
                let occurrences = vec![Occurrence {
                    offset: 1,
                    encoding: Encoding::Utf8,
                }];
                let text = [b'x'; 100];
                made.relocated(
                    0,
                    "x",
                    &text,
                    Places::Text {
                        shebang: 0,
                        occurrences,
                    },
                );
            },
        ),
        ("there is no python", |made| made.plan.python = None),
    ];
    for (expected, change) in changes {
        let mut made = two_packages();
        change(&mut made);
        check(made, expected);
    }
    let mut made = two_packages();
    made.plan.menus.push(1.into());
    let room = Room::new();
    assert!(matches!(
        room.install(made),
        Err(Error::Unsupported { field: "menus" })
    ));
}

#[test]
fn a_prefix_that_is_too_long_for_a_binary_is_refused_with_the_files_name() {
    let mut room = Room::new();
    room.prefix = room.folder.path().join("target").join("p".repeat(100));
    let text = chain(&room.install(two_packages()).unwrap_err());
    let length = room.prefix.as_os_str().len();
    let room_for = BUILD.len();
    assert_eq!(
        text,
        format!(
            "the prefix cannot be written into `lib/liba.so.1` of `alpha-1.0-0`: there is room \
             for a prefix of {room_for} bytes, and this one has {length}"
        )
    );
    assert_eq!(room.listing(), Vec::<String>::new());
}

#[test]
fn damaged_frames_are_refused() {
    let room = Room::new();
    let result = two_packages().with(room.folder.path(), |payload, plan| {
        let path = room.folder.path().join("installer.sh");
        let mut bytes = fs::read(&path).unwrap();
        let frame = &payload.index.frames[0];
        bytes[usize::try_from(frame.offset + frame.length / 2).unwrap()] ^= 1;
        fs::write(&path, bytes).unwrap();
        install(payload, plan, &room.options(), &|_| ())
    });
    let text = chain(&result.unwrap_err());
    assert!(text.contains("frame 0 of the payload is corrupt"), "{text}");
    assert_eq!(room.listing(), Vec::<String>::new());
}

#[test]
fn failing_scripts_fail_the_installation() {
    let mut made = two_packages();
    made.plan.scripts.pre_install = Some("echo > file; exit 1".into());
    check(made, "the pre_install script failed: exit status: 1");
    let mut made = two_packages();
    made.plan.scripts.post_install = Some("#!/no/such/interpreter\n".into());
    check(made, "cannot run the post_install script: No such file");
    let mut made = two_packages();
    made.file(0, "bin/.alpha-post-link.sh", b"echo what; kill -9 $$");
    made.packages[0].scripts.post_link = Some("bin/.alpha-post-link.sh".into());
    check(made, "the post-link script of alpha failed: signal: 9");
}

#[test]
fn the_output_of_a_failed_link_script_is_shown() {
    let room = Room::new();
    let mut made = two_packages();
    made.file(
        0,
        "bin/.alpha-post-link.sh",
        b"echo one; echo two >&2; exit 1",
    );
    made.packages[0].scripts.post_link = Some("bin/.alpha-post-link.sh".into());
    let (_, events) = room.install_with(made, &room.options());
    let script = "post-link script of alpha";
    let expected = format!(
        "{:?}",
        Event::ScriptOutput {
            script,
            text: "one\ntwo"
        }
    );
    assert!(events.contains(&expected), "{events:?}");
}

#[test]
fn interruption_undoes_everything() {
    // At each event, which is to say in each phase.
    for moment in 0.. {
        let room = Room::new();
        let cancelled = AtomicBool::new(false);
        let options = Options {
            cancelled: &cancelled,
            threads: 1,
            ..room.options()
        };
        let mut made = two_packages();
        made.plan.scripts.pre_install = Some("true".into());
        made.plan.scripts.post_install = Some("sleep 0.1".into());
        let seen = Mutex::new(0);
        let report = |_: Event<'_>| {
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            cancelled.fetch_or(*seen > moment, Ordering::Relaxed);
        };
        let result = made.with(room.folder.path(), |payload, plan| {
            install(payload, plan, &options, &report)
        });
        if *seen.lock().unwrap() <= moment {
            result.unwrap();
            assert!(moment > 5);
            return;
        }
        assert!(
            matches!(result, Err(Error::Cancelled)),
            "{moment}: {result:?}"
        );
        assert_eq!(room.listing(), Vec::<String>::new());
    }
}

#[test]
fn a_script_that_runs_on_is_ended() {
    let room = Room::new();
    let cancelled = AtomicBool::new(false);
    let options = Options {
        cancelled: &cancelled,
        ..room.options()
    };
    let mut made = two_packages();
    made.plan.scripts.post_install = Some("exec sleep 60".into());
    let start = std::time::Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !room.prefix.exists() && start.elapsed().as_secs() < 30 {
                std::thread::yield_now();
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            cancelled.store(true, Ordering::Relaxed);
        });
        room.install_with(made, &options).0
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert!(start.elapsed().as_secs() < 30);
    assert_eq!(room.listing(), Vec::<String>::new());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let room = Room::new();
    room.put("file", "x");
    let options = Options {
        prefix: room.prefix.join("file/prefix"),
        ..room.options()
    };
    let text = chain(&room.install_with(two_packages(), &options).0.unwrap_err());
    assert!(
        text.contains("file/.prefix.installing`: Not a directory"),
        "{text}"
    );
    let options = Options {
        prefix: "relative".into(),
        ..room.options()
    };
    let error = room.install_with(two_packages(), &options).0.unwrap_err();
    assert!(matches!(error, Error::Prefix { .. }), "{error}");
}
