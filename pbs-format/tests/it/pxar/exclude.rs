//! `.pxarexclude` lists, held against what the real client 3.2.4 stored of the very same tree; and
//! lists that are none.

use std::{fs, io::sink, os::unix::fs::symlink, path::Path};

use pbs_format::pxar::{CreateOptions, CreateReport, Event, create};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::support::{Scratch, events};

fn options() -> CreateOptions {
    CreateOptions { exclude_lists: true, ..CreateOptions::default() }
}

fn made(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::write(path, "x").unwrap();
        }
    }
}

/// The paths that are stored, in the archive's order.
fn stored(root: &Path, options: &CreateOptions) -> (Vec<String>, CreateReport) {
    let mut archive = Vec::new();
    let report = create(root, &mut archive, options).unwrap();
    assert!(report.not_stored.is_empty(), "{report:?}");
    let entries = events(&archive).into_iter().filter(|(_, event, _)| !matches!(event, Event::Leave));
    let paths = entries.map(|(path, ..)| path.to_str().unwrap().to_owned()).filter(|path| !path.is_empty());
    (paths.collect(), report)
}

/// What `pxar create` and `pxar list` of 3.2.4 said of this tree. It warned of `mixed`, where the
/// list is a folder.
#[test]
fn lists_leave_out_what_they_do_with_the_real_client() {
    let scratch = Scratch::new();
    let root = scratch.path();
    made(
        root,
        &[
            "keep",
            "one.log",
            "a/one.log",
            "a/b/two.log",
            "a/b/c/three.tmp",
            "a/cache/f",
            "cache/f",
            "d/cache",
            "d/abs",
            "d/sub.abs",
            "abs",
            "deep/x/y/z",
            "deep/x/abs",
            "!odd/k/abs",
            "gone/f",
            "a/b/keep.log",
            "linked/secret",
            "mixed/q",
            "mixed/dir",
            "upper.LOG",
            "sp ace",
            "d/inc.log",
            ".pxarexclude-cli",
            "d/.pxarexclude-cli",
            "d/dirs/only/",
            "d/only",
            "pat",
            "mixed/.pxarexclude/",
        ],
    );
    let list = "# a comment\n  *.log  \n\n/abs\ncache/\n!keep.log\ngone\nonly/\ny/z\nsp ace\n/deep/x/abs\n";
    for (folder, list) in [
        ("", list),
        ("d", "/abs\n!/inc.log\n"),
        ("a", "!two.log\n*.tmp\n!/b/c\r\n"),
        ("!odd", "/k\n"),
        ("gone", "nothing\n"),
    ] {
        fs::write(root.join(folder).join(".pxarexclude"), list).unwrap();
    }
    fs::write(root.join("pat"), "secret\n").unwrap();
    symlink("../pat", root.join("linked/.pxarexclude")).unwrap();

    let (paths, report) = stored(root, &options());
    let real = [
        "!odd",
        "!odd/.pxarexclude",
        "!odd/k",
        "!odd/k/abs",
        ".pxarexclude",
        "a",
        "a/.pxarexclude",
        "a/b",
        "a/b/c",
        "a/b/keep.log",
        "a/b/two.log",
        "d",
        "d/.pxarexclude",
        "d/.pxarexclude-cli",
        "d/abs",
        "d/cache",
        "d/dirs",
        "d/only",
        "d/sub.abs",
        "deep",
        "deep/x",
        "deep/x/y",
        "keep",
        "linked",
        "linked/.pxarexclude",
        "mixed",
        "mixed/.pxarexclude",
        "mixed/dir",
        "mixed/q",
        "pat",
        "upper.LOG",
    ];
    assert_eq!(paths, real);
    assert_eq!(report.excluded, 13);
    assert_eq!(report.not_followed, [("mixed/.pxarexclude".into(), "it is no file".to_owned())]);

    // Who does not ask for it gets everything.
    let (paths, report) = stored(root, &CreateOptions::default());
    assert!(paths.contains(&"abs".to_owned()) && paths.contains(&".pxarexclude-cli".to_owned()));
    assert_eq!((report.excluded, report.not_followed.len()), (0, 0));
}

/// The client panics on the first of these; nothing but the line is lost here.
#[test]
fn a_line_that_is_no_pattern_is_told_and_the_others_hold() {
    let scratch = Scratch::new();
    made(scratch.path(), &["a", "b", "c]", "k-", "m", "x"]);
    let long = "z".repeat(4097);
    let lines = [
        "[unclosed",
        "[",
        "[^",
        "[a-]",
        "[a\\]",
        "[[:alpha:]",
        "[a[:nothing:]]",
        "back\\",
        "nul\0",
        &long,
        "a",
        "[b-b]",
        "c\\]",
        "[kl][-]",
        "[[:digit:]m]",
    ];
    fs::write(scratch.join(".pxarexclude"), lines.join("\n")).unwrap();
    let (paths, report) = stored(scratch.path(), &options());
    assert_eq!(paths, [".pxarexclude", "x"]);
    let told: Vec<_> = report.not_followed.iter().map(|(_, why)| why.split(':').next().unwrap().to_owned()).collect();
    let expected: Vec<_> = (1..=10).map(|line| format!("bad pattern in line {line}")).collect();
    assert_eq!(told, expected);

    fs::write(scratch.join(".pxarexclude"), "[\n".repeat(1000)).unwrap();
    assert_eq!(stored(scratch.path(), &options()).1.not_followed.len(), 100);
}

#[test]
fn a_list_that_cannot_be_one_is_told_and_leaves_nothing_out() {
    let scratch = Scratch::new();
    made(scratch.path(), &["pipe/a", "huge/a", "loop/a", "dangling/a"]);
    mknodat(CWD, scratch.join("pipe/.pxarexclude"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    fs::write(scratch.join("huge/.pxarexclude"), "a\n".repeat(1 << 20)).unwrap();
    symlink(".pxarexclude", scratch.join("loop/.pxarexclude")).unwrap();
    symlink("nowhere", scratch.join("dangling/.pxarexclude")).unwrap();
    let (paths, report) = stored(scratch.path(), &options());
    assert_eq!(paths.iter().filter(|path| path.ends_with("/a")).count(), 4, "{paths:?}");
    let told: Vec<_> = report.not_followed.iter().map(|(list, _)| list.to_str().unwrap()).collect();
    assert_eq!(told, ["huge/.pxarexclude", "loop/.pxarexclude", "pipe/.pxarexclude"]);
}

#[test]
fn a_file_whose_first_name_is_left_out_is_stored_under_its_next() {
    let scratch = Scratch::new();
    made(scratch.path(), &["a"]);
    fs::hard_link(scratch.join("a"), scratch.join("b")).unwrap();
    fs::write(scratch.join(".pxarexclude"), "/a\n").unwrap();
    let report = create(scratch.path(), sink(), &options()).unwrap();
    assert_eq!((report.files, report.hardlinks, report.excluded), (2, 0, 1));
}
