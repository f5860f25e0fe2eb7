//! Prefixes that did not exist.

use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn every_kind_of_entry_is_where_the_plan_says() {
    let room = Room::new();
    let installed = room.install(two_packages()).unwrap();
    assert_eq!(
        installed,
        Installed {
            packages: 2,
            compiled: 0
        }
    );
    let prefix = room.prefix.to_str().unwrap();
    let padding = "\\x00".repeat(BUILD.len() - prefix.len());
    let mut expected = vec![
        "bin/".to_owned(),
        format!("bin/beta 755 #!{prefix}/bin/python3.10\\nimport beta\\n"),
        format!("bin/script 755 #!{prefix}/bin/python\\nhome = \\'{prefix}\\'\\n"),
        "bin/tool 755 #!/bin/sh\\necho tool\\n".into(),
        "lib/".into(),
        "lib/liba-same.so.1 644 data".into(),
        "lib/liba.so -> liba.so.1".into(),
        format!("lib/liba.so.1 644 ELF{prefix}/lib{padding}\\x00!"),
        "lib/python3.10/".into(),
        "lib/python3.10/site-packages/".into(),
        "lib/python3.10/site-packages/beta.py 644 x = 1\\n".into(),
        "share/".into(),
        "share/alpha/".into(),
        "share/alpha/data 644 data".into(),
        "share/alpha/empty 644 ".into(),
        "var/".into(),
        "var/empty/".into(),
    ];
    expected.sort();
    let found = listing(&room.prefix);
    let (records, files): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|line| line.starts_with("conda-meta"));
    assert_eq!(files, expected);
    let records: Vec<&str> = records
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        records,
        [
            "conda-meta/",
            "conda-meta/alpha-1.0-0.json",
            "conda-meta/beta-2.0-0.json",
            "conda-meta/history"
        ]
    );
    let data = |path: &str| fs::metadata(room.prefix.join(path)).unwrap();
    assert_eq!(
        data("lib/liba-same.so.1").ino(),
        data("share/alpha/data").ino()
    );
    assert_eq!(data("bin/tool").mtime(), 1_500_000_000);
    // Nothing else beside the prefix.
    assert_eq!(
        fs::read_dir(room.prefix.parent().unwrap()).unwrap().count(),
        1
    );
}

#[test]
fn records_say_what_was_written() {
    let room = Room::new();
    room.install(two_packages()).unwrap();
    let prefix = room.prefix.to_str().unwrap();
    let record = room.json("conda-meta/alpha-1.0-0.json");
    assert_eq!(record["name"], "alpha");
    assert_eq!(record["requested_specs"], serde_json::json!([]));
    assert_eq!(
        record["extracted_package_dir"],
        format!("{prefix}/pkgs/alpha-1.0-0")
    );
    assert_eq!(
        record["link"]["source"],
        format!("{prefix}/pkgs/alpha-1.0-0")
    );
    assert_eq!(
        record["files"],
        serde_json::json!([
            "bin/tool",
            "lib/liba-same.so.1",
            "lib/liba.so",
            "lib/liba.so.1",
            "share/alpha/data",
            "share/alpha/empty",
            "var/empty"
        ])
    );
    let paths = &record["paths_data"]["paths"];
    assert_eq!(record["paths_data"]["paths_version"], 1);
    let digest = |path: &str| {
        archive::digest::Sha256::of(&fs::read(room.prefix.join(path)).unwrap()).to_string()
    };
    let relocated = &paths[3];
    assert_eq!(relocated["_path"], "lib/liba.so.1");
    assert_eq!(relocated["file_mode"], "binary");
    assert_eq!(relocated["prefix_placeholder"], BUILD);
    assert_eq!(relocated["sha256_in_prefix"], digest("lib/liba.so.1"));
    assert_ne!(relocated["sha256_in_prefix"], relocated["sha256"]);
    assert_eq!(paths[1]["sha256"], digest("share/alpha/data"));
    assert_eq!(paths[2]["path_type"], "softlink");

    let record = room.json("conda-meta/beta-2.0-0.json");
    assert_eq!(record["requested_specs"], serde_json::json!(["beta >=2"]));
    let paths = record["paths_data"]["paths"].as_array().unwrap();
    let names: Vec<&str> = paths
        .iter()
        .map(|path| path["_path"].as_str().unwrap())
        .collect();
    // The file that lost its place to another package's is not its own.
    assert_eq!(
        names,
        [
            "bin/beta",
            "bin/script",
            "lib/python3.10/site-packages/beta.py"
        ]
    );
    assert_eq!(paths[0]["path_type"], "unix_python_entry_point");
    assert_eq!(paths[0]["sha256"], digest("bin/beta"));
    assert_eq!(paths[1]["file_mode"], "text");
    assert_eq!(paths[1]["size_in_bytes"], room.read("bin/script").len());

    assert_eq!(
        room.read("conda-meta/history"),
        "==> 1970-01-01 00:00:00 <==\n# cmd: fixture.sh -b\n+c/noarch::alpha-1.0-0\n\
         +c/noarch::beta-2.0-0\n# update specs: ['alpha']\n"
    );
}

#[test]
fn long_and_shared_files_arrive_whole() {
    let room = Room::new();
    let mut made = Fixture::new();
    let alpha = made.package("alpha", "1.0");
    let long: Vec<u8> = (0..3_000_000u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    let frame = made.frame(&[alpha]);
    let file = made.bytes(frame, &long, 0o644);
    // More than can be open at once, so that the frame is read twice.
    for copy in 0..100 {
        made.entry(alpha, &format!("long/{copy}"), Kind::File(file.clone()));
    }
    let short = made.bytes(frame, b"short", 0o444);
    for copy in 0..100 {
        made.entry(alpha, &format!("short/{copy}"), Kind::File(short.clone()));
    }
    // A long text in which the prefix stands at the borders of what is read at once.
    let mut text = vec![b'.'; (1 << 18) - 10];
    let mut occurrences = Vec::new();
    for _ in 0..3 {
        occurrences.push(Occurrence {
            offset: text.len() as u64,
            encoding: Encoding::Utf8,
        });
        text.extend(BUILD.as_bytes());
        text.resize(text.len() + (1 << 18) - 5, b'.');
    }
    let places = Places::Text {
        shebang: 0,
        occurrences,
    };
    made.relocated(alpha, "text", &text, places);
    room.install(made).unwrap();
    for copy in 0..100 {
        assert_eq!(
            fs::read(room.prefix.join(format!("long/{copy}"))).unwrap(),
            long
        );
        assert_eq!(room.read(&format!("short/{copy}")), "short");
    }
    let expected = String::from_utf8(text)
        .unwrap()
        .replace(BUILD, room.prefix.to_str().unwrap());
    assert_eq!(room.read("text"), expected);
}

#[test]
fn extra_files_and_texts_win() {
    let room = Room::new();
    let mut made = two_packages();
    made.extra("bin/tool", b"mine");
    made.extra("new/file", b"also mine");
    for (path, text) in [(".condarc", "a: b\n"), ("share/alpha/data", "text")] {
        made.plan.texts.push(crate::plan::Text {
            path: path.into(),
            text: text.into(),
        });
    }
    room.install(made).unwrap();
    assert_eq!(room.read("bin/tool"), "mine");
    assert_eq!(room.read("new/file"), "also mine");
    assert_eq!(room.read(".condarc"), "a: b\n");
    assert_eq!(room.read("share/alpha/data"), "text");
    // The other name of the replaced file still has the package's content.
    assert_eq!(room.read("lib/liba-same.so.1"), "data");
}

#[test]
fn kept_packages_are_as_they_were_packed() {
    let room = Room::new();
    let options = Options {
        keep_packages: true,
        ..room.options()
    };
    room.install_with(two_packages(), &options).0.unwrap();
    assert_eq!(
        room.read("pkgs/alpha-1.0-0/lib/liba.so.1"),
        format!("ELF{BUILD}/lib\0!")
    );
    assert_eq!(room.read("pkgs/alpha-1.0-0/info/index.json"), "{}");
    assert_eq!(
        room.read("pkgs/beta-2.0-0/site-packages/beta.py"),
        "x = 1\n"
    );
    assert_eq!(room.read("pkgs/beta-2.0-0/share/alpha/data"), "other data");
    assert_eq!(room.read("share/alpha/data"), "data");
    assert!(!room.prefix.join("pkgs/beta-2.0-0/bin/beta").exists());
    let record = room.json("pkgs/beta-2.0-0/info/repodata_record.json");
    assert_eq!(
        record["url"],
        "https://example.org/c/noarch/beta-2.0-0.conda"
    );
    let urls = "https://example.org/c/noarch/alpha-1.0-0.conda\n\
                https://example.org/c/noarch/beta-2.0-0.conda\n";
    assert_eq!(room.read("pkgs/urls.txt"), urls);
    assert_eq!(
        room.read("pkgs/urls"),
        urls.replace(".conda\n", ".conda#abc\n")
    );

    let inode = |path: &str| fs::metadata(room.prefix.join(path)).unwrap().ino();
    for (prefix, package) in [
        ("bin/tool", "pkgs/alpha-1.0-0/bin/tool"),
        ("share/alpha/empty", "pkgs/alpha-1.0-0/share/alpha/empty"),
        ("lib/liba-same.so.1", "pkgs/alpha-1.0-0/share/alpha/data"),
        (
            "lib/python3.10/site-packages/beta.py",
            "pkgs/beta-2.0-0/site-packages/beta.py",
        ),
    ] {
        assert_eq!(inode(prefix), inode(package), "{prefix}");
    }
    assert_eq!(room.json("conda-meta/alpha-1.0-0.json")["link"]["type"], 1);
}

#[test]
fn scripts_run_in_order_and_know_the_installer() {
    let room = Room::new();
    let mut made = two_packages();
    let show = "pwd; echo $PREFIX $INSTALLER_NAME $INSTALLER_VER $INSTALLER_PLAT $INSTALLER_TYPE \
                $INSTALLER_PATH $INSTALLER_UNATTENDED $MINE";
    made.plan
        .scripts
        .environment
        .insert("MINE".into(), "a $b".into());
    made.plan.scripts.pre_install = Some(format!(
        "#!/bin/sh\n({show}; ls -A) > \"$PREFIX/pre\"\nmkdir bin\n"
    ));
    made.plan.scripts.post_install = Some(format!("({show}; echo $FORCE) > post; ls bin >> post"));
    let alpha = "#!/bin/sh\necho $PKG_NAME $PKG_VERSION $PKG_BUILDNUM $ROOT_PREFIX > $PREFIX/link\n\
                 echo ${PATH%%:*} >> $PREFIX/link; echo hello >> $PREFIX/.messages.txt\n";
    made.file(0, "bin/.alpha-post-link.sh", alpha.as_bytes());
    made.packages[0].scripts.post_link = Some("bin/.alpha-post-link.sh".into());
    let (result, events) = room.install_with(made, &room.options());
    result.unwrap();
    let prefix = room.prefix.to_str().unwrap();
    let known =
        format!("{prefix}\n{prefix} Fixture3 1.2 linux-aarch64 SH /somewhere/fixture.sh 1 a $b\n");
    assert_eq!(room.read("pre"), format!("{known}pre\n"));
    assert_eq!(room.read("post"), format!("{known}0\nbeta\nscript\ntool\n"));
    assert_eq!(
        room.read("link"),
        format!("alpha 1.0 7 {prefix}\n{prefix}/bin\n")
    );
    assert!(!room.prefix.join(".messages.txt").exists());
    let of_scripts: Vec<&String> = events
        .iter()
        .filter(|event| event.contains("cript") || event.contains("hello"))
        .collect();
    assert_eq!(
        of_scripts,
        [
            "Script { script: \"pre_install script\" }",
            "Script { script: \"post-link script of alpha\" }",
            "Message { package: \"alpha\", text: \"hello\" }",
            "Script { script: \"post_install script\" }",
        ]
    );
}

#[test]
fn skipped_scripts_do_not_run() {
    let room = Room::new();
    let mut made = two_packages();
    made.plan.scripts.pre_install = Some("exit 1".into());
    made.plan.scripts.post_install = Some("exit 1".into());
    made.file(0, "bin/.alpha-post-link.sh", b"exit 1\n");
    made.packages[0].scripts.post_link = Some("bin/.alpha-post-link.sh".into());
    let options = Options {
        skip_scripts: true,
        ..room.options()
    };
    room.install_with(made, &options).0.unwrap();
    assert!(room.prefix.join("bin/tool").exists());
}

/// Python of the machine, as the "installed" one.
fn with_python(made: &mut Fixture) -> bool {
    let program = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";
    let Ok(output) = std::process::Command::new("python3")
        .args(["-c", program])
        .output()
    else {
        return false;
    };
    let output = String::from_utf8(output.stdout).unwrap();
    let (version, executable) = output.trim().split_once('\n').unwrap();
    made.plan.python.as_mut().unwrap().version = version.into();
    let wrapper = format!("#!/bin/sh\nexec {executable} \"$@\"\n");
    made.file(0, "bin/python3.10", wrapper.as_bytes());
    true
}

#[test]
#[expect(clippy::print_stderr, reason = "says why the test is skipped")]
fn modules_are_compiled_with_their_final_names() {
    let room = Room::new();
    let mut made = two_packages();
    if !with_python(&mut made) {
        eprintln!("skipped: there is no python3");
        return;
    }
    made.file(1, "lib/python3.10/site-packages/broken.py", b"x = (\n");
    made.file(
        1,
        "lib/python3.10/site-packages/p/__init__.py",
        b"def f(): pass\n",
    );
    made.file(1, "lib/python3.10/other.py", b"x = 1\n");
    // A compiled module must not follow this link out of the prefix.
    let outside = room.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap().to_owned();
    made.file(1, "lib/python3.10/site-packages/evil/a.py", b"x = 1\n");
    let link = "lib/python3.10/site-packages/evil/__pycache__";
    made.entry(
        1,
        link,
        Kind::SymbolicLink {
            target,
            listed: None,
        },
    );
    let version = made.plan.python.as_ref().unwrap().version.replace('.', "");
    let options = Options {
        compile: true,
        ..room.options()
    };
    let (result, events) = room.install_with(made, &options);
    assert_eq!(
        result.unwrap(),
        Installed {
            packages: 2,
            compiled: 2
        }
    );
    assert!(
        events.contains(&"Compiling { files: 3 }".to_owned()),
        "{events:?}"
    );

    let cache = "lib/python3.10/site-packages/__pycache__";
    let compiled = format!("{cache}/beta.cpython-{version}.pyc");
    let bytes = fs::read(room.prefix.join(&compiled)).unwrap();
    let name = room.prefix.join("lib/python3.10/site-packages/beta.py");
    let name = name.to_str().unwrap().as_bytes();
    assert!(bytes.windows(name.len()).any(|window| window == name));
    let source = fs::metadata(room.prefix.join("lib/python3.10/site-packages/beta.py")).unwrap();
    let noted = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    assert_eq!(i64::from(noted), source.mtime());
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);

    let record = room.json("conda-meta/beta-2.0-0.json");
    let files = record["files"].as_array().unwrap();
    assert!(files.contains(&compiled.as_str().into()));
    let paths = record["paths_data"]["paths"].as_array().unwrap();
    let expected = serde_json::json!({ "_path": compiled, "path_type": "pyc_file" });
    assert!(paths.contains(&expected));
    assert_eq!(files.len(), paths.len());
}

#[test]
fn a_python_that_cannot_run_is_only_a_warning() {
    for python in [None, Some(&b"#!/bin/sh\nexit 3\n"[..])] {
        let room = Room::new();
        let mut made = two_packages();
        if let Some(script) = python {
            made.file(0, "bin/python3.10", script);
        }
        let options = Options {
            compile: true,
            ..room.options()
        };
        let (result, events) = room.install_with(made, &options);
        assert_eq!(result.unwrap().compiled, 0);
        let warnings = events
            .iter()
            .filter(|event| event.starts_with("NotCompiled"));
        assert_eq!(warnings.count(), 1, "{events:?}");
    }
}

#[test]
fn what_pre_install_puts_where_a_package_has_something_gives_way() {
    for exists in [false, true] {
        let room = Room::new();
        if exists {
            fs::create_dir(&room.prefix).unwrap();
        }
        let mut made = two_packages();
        let script = "mkdir -p bin lib share/mine\n\
            for file in bin/tool lib/liba.so share/mine/file; do echo script >$file; done\n";
        made.plan.scripts.pre_install = Some(script.into());
        room.install(made).unwrap();
        assert_eq!(room.read("bin/tool"), "#!/bin/sh\necho tool\n");
        let link = fs::read_link(room.prefix.join("lib/liba.so")).unwrap();
        assert_eq!(link.to_str(), Some("liba.so.1"));
        assert_eq!(room.read("share/mine/file"), "script\n");
    }
}

#[test]
fn names_may_be_as_long_as_the_file_system_takes() {
    let room = Room::new();
    let prefix = room.prefix.with_file_name("n".repeat(250));
    let options = Options {
        prefix: prefix.clone(),
        ..room.options()
    };
    let mut made = Fixture::new();
    let alpha = made.package("alpha", "1.0");
    made.file(alpha, "bin/tool", b"tool");
    room.install_with(made, &options).0.unwrap();
    assert!(prefix.join("bin/tool").exists());
    assert_eq!(fs::read_dir(prefix.parent().unwrap()).unwrap().count(), 1);
}
