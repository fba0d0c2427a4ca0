//! Rules about the text of the tree.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::graph::root;

/// A tracked file: its path from the root, and its text if it is text.
pub(crate) struct Tracked {
    pub(crate) path: String,
    pub(crate) text: Option<String>,
}

/// Every file that git tracks, and that still lies in the work tree.
pub(crate) fn tracked() -> Result<Vec<Tracked>> {
    let root = root();
    let output = Command::new("git").arg("-C").arg(&root).args(["ls-files", "-z"]).output().context("starting git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let mut files = Vec::new();
    for path in output.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        let path = String::from_utf8(path.to_vec()).context("a path that is not UTF-8")?;
        let file: PathBuf = root.join(&path);
        if !file.is_file() {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| path.clone())?;
        files.push(Tracked { path, text: String::from_utf8(bytes).ok() });
    }
    ensure!(files.iter().any(|file| file.path == "Cargo.toml"), "git lists no Cargo.toml");
    Ok(files)
}

#[test]
fn no_file_names_a_machine() -> Result<()> {
    let found = lines_with(&machine_marks(), &tracked()?);
    assert!(found.is_empty(), "paths of somebody's machine:\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn a_planted_machine_path_is_found() {
    for mark in machine_marks() {
        let planted = Tracked { path: "docs/x.md".into(), text: Some(format!("one\nsee {mark}main/x\n")) };
        assert_eq!(lines_with(&machine_marks(), &[planted]).len(), 1, "{mark}");
    }
}

#[test]
fn dependencies_come_from_one_registry() -> Result<()> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("Cargo.lock")?;
    let sources: Vec<&str> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    assert!(!sources.is_empty());
    for source in sources {
        assert_eq!(source, "source = \"registry+https://github.com/rust-lang/crates.io-index\"");
    }
    Ok(())
}

#[test]
fn no_test_is_ignored_and_no_lint_is_allowed_without_a_reason() -> Result<()> {
    // In two pieces, so that this file does not find itself.
    let marks = [concat!("#[", "allow("), concat!("#![", "allow("), concat!("TO", "DO"), concat!("FIX", "ME")];
    let sources: Vec<Tracked> = tracked()?.into_iter().filter(|file| file.path.ends_with(".rs")).collect();
    let mut found = lines_with(&marks.map(String::from), &sources);
    found.extend(sources.iter().flat_map(ignored_in_the_gate));
    assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

#[test]
fn only_what_the_long_tier_runs_may_be_ignored() {
    let ignore = concat!("#[", "ignore");
    for (mark, name, is_found) in [
        (format!("{ignore} = \"minutes\"]"), "proof_a_thousand", false),
        (format!("{ignore}]"), "proof_a_thousand", true),
        (format!("{ignore} = \"minutes\"]"), "a_thousand", true),
    ] {
        let text = format!("#[test]\n{mark}\nfn {name}() {{}}\n");
        let planted = Tracked { path: "a/tests/it/b.rs".into(), text: Some(text) };
        assert_eq!(ignored_in_the_gate(&planted).len(), usize::from(is_found), "{mark} {name}");
    }
}

/// Tests that the gate leaves out and that `cargo xtask proof` would not run either, or that give no reason.
fn ignored_in_the_gate(file: &Tracked) -> Vec<String> {
    let mark = concat!("#[", "ignore");
    let lines: Vec<&str> = file.text.iter().flat_map(|text| text.lines()).collect();
    let is_long = |at: usize| {
        let name = lines[at..].iter().find_map(|line| line.trim_start().strip_prefix("fn "));
        lines[at].contains(" = \"") && name.is_some_and(|name| name.starts_with("proof_"))
    };
    let marked = (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with(mark) && !is_long(*at));
    marked.map(|at| format!("{}:{}: {}", file.path, at + 1, lines[at].trim())).collect()
}

fn lines_with(marks: &[String], files: &[Tracked]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (index, line) in file.text.iter().flat_map(|text| text.lines()).enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    found
}

/// In two pieces each, so that this file does not find itself.
fn machine_marks() -> Vec<String> {
    [
        ("/wo", "rk/"),
        ("/root/", ".cargo"),
        ("/root/", ".rustup"),
        ("/root/", ".pyenv"),
        ("/home/", "runner"),
        ("/Us", "ers/"),
    ]
    .map(|(one, two)| format!("{one}{two}"))
    .to_vec()
}
