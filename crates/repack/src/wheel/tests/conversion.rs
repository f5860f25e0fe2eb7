//! What becomes of sound wheels.

use super::*;
use crate::draft::{PlaceholderMode, placeholder};

#[test]
fn a_pure_wheel_becomes_noarch() {
    let place = Place::new(&[Wheel {
        name: "some_tool-1.2.0-py3-none-any.whl",
        metadata: "Summary: A tool\nLicense-Expression: MIT\nLicense-File: LICENSE\nProject-URL: Homepage, https://example.org\n\
            Requires-Python: >=3.8,!=3.9.0\n",
        files: &[
            ("some_tool/__init__.py", b"x = 1\n"),
            ("some_tool/__pycache__/__init__.cpython-311.pyc", b"\0"),
            ("some_tool-1.2.0.data/scripts/old-tool", b"#!python -E\nprint(1)\n"),
            ("some_tool-1.2.0.data/scripts/shell", b"#!/bin/sh\n"),
            ("some_tool-1.2.0.data/data/share/man/man1/tool.1", b".TH\n"),
            ("some_tool-1.2.0.data/purelib/more.py", b"y = 1\n"),
            ("some_tool-1.2.0.dist-info/licenses/LICENSE", b"Do.\n"),
            ("some_tool-1.2.0.dist-info/INSTALLER", b"pip\n"),
            ("some_tool-1.2.0.dist-info/REQUESTED", b""),
            ("some_tool-1.2.0.dist-info/direct_url.json", b"{}"),
            (
                "some_tool-1.2.0.dist-info/entry_points.txt",
                b"[console_scripts]\ntool = some_tool:main\n[gui_scripts]\ngtool = some_tool.gui:App.run\n",
            ),
        ],
    }]);
    let drafts = place.drafts("packages = [\"some-tool\"]").unwrap();
    let [draft] = drafts.as_slice() else {
        panic!("{drafts:?}")
    };
    assert_eq!(
        (draft.name.as_str(), draft.version.as_str()),
        ("some-tool", "1.2.0")
    );
    assert_eq!(
        (draft.subdir.as_str(), draft.build.as_str()),
        ("noarch", "py_0")
    );
    assert!(draft.noarch_python);
    assert_eq!(
        draft.entry_points,
        ["gtool = some_tool.gui:App.run", "tool = some_tool:main"]
    );
    assert_eq!(draft.depends, ["python >=3.8,!=3.9.0"]);
    assert_eq!(draft.license, "MIT");
    assert_eq!(draft.summary, "A tool");
    assert_eq!(draft.home, "https://example.org");
    assert_eq!(draft.license_files.len(), 1);
    assert_eq!(draft.license_files[0].0, "LICENSE");
    assert_eq!(draft.timestamp_ms, 1_709_209_802_000);
    let info = "site-packages/some_tool-1.2.0.dist-info";
    let expected = [
        "python-scripts/old-tool".to_owned(),
        "python-scripts/shell".to_owned(),
        "share/man/man1/tool.1".to_owned(),
        "site-packages/more.py".to_owned(),
        "site-packages/some_tool/__init__.py".to_owned(),
        format!("{info}/INSTALLER"),
        format!("{info}/METADATA"),
        format!("{info}/RECORD"),
        format!("{info}/WHEEL"),
        format!("{info}/entry_points.txt"),
        format!("{info}/licenses/LICENSE"),
    ];
    let mut paths: Vec<&String> = draft.files.keys().collect();
    paths.sort_by_key(|path| path.replace("some_tool-1.2.0", "some_tool_"));
    let mut expected: Vec<&String> = expected.iter().collect();
    expected.sort_by_key(|path| path.replace("some_tool-1.2.0", "some_tool_"));
    assert_eq!(paths, expected);
    assert_eq!(content(draft, &format!("{info}/INSTALLER")), "conda\n");
    let script = content(draft, "python-scripts/old-tool");
    assert_eq!(
        script,
        format!("#!{}/bin/python\nprint(1)\n", placeholder())
    );
    for (path, expected_mode, replaced) in [
        ("python-scripts/old-tool", 0o755, true),
        ("python-scripts/shell", 0o755, false),
        ("site-packages/more.py", 0o644, false),
    ] {
        let Some(DraftFile::File {
            mode, placeholder, ..
        }) = draft.files.get(path)
        else {
            panic!("{path}")
        };
        assert_eq!(
            (*mode, placeholder.is_some()),
            (expected_mode, replaced),
            "{path}"
        );
    }
    let record = content(draft, &format!("{info}/RECORD"));
    for line in [
        "../../../bin/gtool,,",
        "../../../bin/old-tool,,",
        "../../../bin/tool,,",
        "../../../share/man/man1/tool.1,sha256=",
        "some_tool/__init__.py,sha256=",
        "some_tool-1.2.0.dist-info/RECORD,,",
        "some_tool-1.2.0.dist-info/INSTALLER,sha256=",
    ] {
        assert!(
            record.lines().any(|one| one.starts_with(line)),
            "{line} in\n{record}"
        );
    }
    assert!(
        !record.contains(".pyc") && !record.contains("REQUESTED"),
        "{record}"
    );
}

/// The smallest file that an ELF reader takes for a library: it needs nothing.
fn elf(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 3;
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[20] = 1;
    bytes[52] = 64;
    bytes[54] = 56;
    bytes[58] = 64;
    bytes
}

#[test]
fn a_wheel_with_machine_code_becomes_a_package_of_the_platform() {
    let module = elf(183);
    let name = "fast-2.0.post1-cp38-abi3-manylinux_2_28_aarch64.whl";
    let place = Place::new(&[Wheel {
        name,
        metadata: "",
        files: &[
            ("fast.abi3.so", &module),
            ("+fast-2.0.post1.data/scripts/native", b"\x01\x02"),
            ("fast-2.0.post1.data/headers/fast.h", b"int x;\n"),
            (
                "fast-2.0.post1.dist-info/entry_points.txt",
                b"[console_scripts]\nfast = fast:Main.run\n",
            ),
        ],
    }]);
    let drafts = place
        .drafts("packages = [\"fast\"]\nbuild_number = 3")
        .unwrap();
    let draft = &drafts[0];
    assert_eq!(
        (draft.subdir.as_str(), draft.build.as_str()),
        ("linux-aarch64", "py311_3")
    );
    assert!(!draft.noarch_python && draft.entry_points.is_empty());
    assert_eq!(
        draft.depends,
        ["python >=3.11,<3.12.0a0", "__glibc >=2.28,<3.0.a0"]
    );
    for path in [
        "lib/python3.11/site-packages/fast.abi3.so",
        "bin/native",
        "include/python3.11/fast/fast.h",
        "lib/python3.11/site-packages/fast-2.0.post1.dist-info/RECORD",
    ] {
        assert!(
            draft.files.contains_key(path),
            "{path} of {:?}",
            draft.files.keys()
        );
    }
    let script = content(draft, "bin/fast");
    assert!(
        script.starts_with(&format!("#!{}/bin/python\n", placeholder())),
        "{script}"
    );
    assert!(
        script.contains("from fast import Main\n") && script.contains("sys.exit(Main.run())"),
        "{script}"
    );
    let Some(DraftFile::File {
        mode, placeholder, ..
    }) = draft.files.get("bin/fast")
    else {
        panic!()
    };
    assert_eq!(*mode, 0o755);
    assert_eq!(placeholder.as_ref().unwrap().mode, PlaceholderMode::Text);
}

#[test]
fn machine_code_of_another_machine_is_refused() {
    let module = elf(62);
    let place = Place::new(&[Wheel {
        name: "fast-2.0-cp311-cp311-manylinux_2_28_aarch64.whl",
        metadata: "",
        files: &[("fast.so", &module)],
    }]);
    let error = message(&place.drafts("packages = [\"fast\"]").unwrap_err());
    assert!(
        error.contains("fast.so") && error.contains("linux-aarch64"),
        "{error}"
    );
}

#[test]
fn python_is_bound_where_the_requirements_depend_on_it() {
    let place = Place::new(&[
        Wheel {
            name: "a-1-py3-none-any.whl",
            metadata: "Requires-Python: >=3.8\nRequires-Dist: old; python_version < '3.11'\nRequires-Dist: b>=1,<2; python_version >= '3'\n\
                Requires-Dist: win; sys_platform == 'win32'\nRequires-Dist: c[x]~=1.4.2\nRequires-Dist: opt; extra == 'more'\n",
            files: &[],
        },
        Wheel {
            name: "b-1.5-py3-none-any.whl",
            metadata: "Requires-Dist: new; python_version >= '3.13'\n",
            files: &[],
        },
        Wheel {
            name: "c-1.4.3-py3-none-any.whl",
            metadata: "Provides-Extra: x\nRequires-Dist: ruamel_yaml; extra == 'x'\n",
            files: &[],
        },
        Wheel {
            name: "ruamel.yaml-0.18-py3-none-any.whl",
            metadata: "Requires-Dist: arm; platform_machine == 'aarch64'\n",
            files: &[],
        },
        Wheel {
            name: "arm-1-cp311-none-any.whl",
            metadata: "",
            files: &[],
        },
    ]);
    let drafts = place.drafts("packages = [\"A\"]").unwrap();
    let found: Vec<_> = drafts
        .iter()
        .map(|draft| {
            (
                draft.name.as_str(),
                draft.subdir.as_str(),
                draft.depends.join("; "),
            )
        })
        .collect();
    let expected = [
        (
            "a",
            "noarch",
            "python >=3.11; b >=1,<2a0; c >=1.4.2,1.4.*; ruamel.yaml",
        ),
        ("arm", "noarch", "python >=3.11,<3.12.0a0"),
        ("b", "noarch", "python <3.13.0a0"),
        ("c", "noarch", "python"),
        (
            "ruamel.yaml",
            "linux-aarch64",
            "python >=3.11,<3.12.0a0; arm",
        ),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(a, b, c)| (*a, *b, (*c).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_definition_knows_better() {
    let place = Place::new(&[
        Wheel {
            name: "a-1-py3-none-any.whl",
            metadata: "Requires-Dist: gone\nRequires-Dist: b\n",
            files: &[],
        },
        Wheel {
            name: "b-1-py3-none-any.whl",
            metadata: "",
            files: &[],
        },
    ]);
    let section = "packages = [\"a\"]\nnames = { B = \"b-python\" }\n\
        [wheels.package.a]\nlicense = \"MIT\"\nsummary = \"S\"\nhome = \"H\"\nskip = [\"gone\"]\ndepends = [\"ca-certificates\"]";
    let drafts = place.drafts(section).unwrap();
    assert_eq!(drafts[0].depends, ["python", "b-python", "ca-certificates"]);
    assert_eq!(
        (drafts[0].license.as_str(), drafts[0].summary.as_str()),
        ("MIT", "S")
    );
    assert_eq!(drafts[0].home, "H");
    assert_eq!(drafts[1].name, "b-python");
}

#[test]
fn two_wheels_cannot_become_one_package() {
    let wheel = |name| Wheel {
        name,
        metadata: "",
        files: &[],
    };
    let place = Place::new(&[wheel("a-1-py3-none-any.whl"), wheel("b-1-py3-none-any.whl")]);
    let section = "packages = [\"a\", \"b\"]\nnames = { b = \"a\" }";
    let error = message(&place.drafts(section).unwrap_err());
    assert!(
        error.contains("a-1-py3") && error.contains("b-1-py3"),
        "{error}"
    );
}

#[test]
fn drafts_are_the_same_each_time() {
    let wheel = || Wheel {
        name: "a-1-py3-none-any.whl",
        metadata: "Requires-Dist: b\n",
        files: &[
            ("a.py", b"1"),
            (
                "a-1.dist-info/entry_points.txt",
                b"[console_scripts]\na = a:b\n",
            ),
        ],
    };
    let other = || Wheel {
        name: "b-1-py3-none-any.whl",
        metadata: "",
        files: &[],
    };
    let show = |place: &Place| {
        let drafts = place.drafts("packages = [\"a\"]").unwrap();
        let shown = drafts.iter().map(|draft| {
            let files: Vec<_> = draft
                .files
                .keys()
                .map(|path| (path.clone(), content(draft, path)))
                .collect();
            format!(
                "{} {:?} {:?} {}",
                draft.name, draft.depends, files, draft.timestamp_ms
            )
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(
        show(&Place::new(&[wheel(), other()])),
        show(&Place::new(&[other(), wheel()]))
    );
}
