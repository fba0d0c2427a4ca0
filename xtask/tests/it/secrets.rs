//! Who reads secrets. Their read access goes by methods named `expose…` only, so that one search
//! lists every reader; the list is golden, and a new reader is a decision.

use anyhow::Result;

use crate::{
    golden,
    tree::{Tracked, tracked},
};

#[test]
fn golden_list_of_the_readers_of_secrets() -> Result<()> {
    golden::check("expose.txt", &readers(&tracked()?))
}

#[test]
fn a_planted_reader_is_listed() {
    let file = |path: &str, text: &str| Tracked { path: path.into(), text: Some(text.into()) };
    let call = format!("let k = key.{}bytes();", mark());
    let files = [
        file("hub/src/quiet.rs", "fn main() {}"),
        file("hub/src/reader.rs", &call),
        file("hub/tests/it/reader.rs", &call),
        file("docs/reader.md", &call),
    ];
    let listed = readers(&files);
    assert!(listed.ends_with("hub/src/reader.rs\nhub/tests/it/reader.rs\n"), "{listed}");
}

fn readers(files: &[Tracked]) -> String {
    let mut text =
        String::from("# Files that name a method which reads a secret. `cargo xtask golden` writes this list.\n");
    let reads =
        |file: &&Tracked| file.path.ends_with(".rs") && file.text.as_deref().is_some_and(|text| text.contains(&mark()));
    let mut paths: Vec<&str> = files.iter().filter(reads).map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    for path in paths {
        text.push_str(path);
        text.push('\n');
    }
    text
}

/// In two pieces, so that this file does not list itself.
fn mark() -> String {
    ["expose", "_"].concat()
}
