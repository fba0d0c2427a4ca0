//! What travels, against golden texts made outside this crate (`tests/golden/README.md`).

mod golden;
mod never_panics;
mod readiness;
mod refusals;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A golden file's bytes.
fn golden(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A golden file's text.
fn golden_text(name: &str) -> String {
    String::from_utf8(golden(name)).expect("golden texts are UTF-8")
}
