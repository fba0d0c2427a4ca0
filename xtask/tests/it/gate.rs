//! The gate runs what the README tells a newcomer to run, and nothing that a clean machine lacks.

use std::fs;

use anyhow::{Context as _, Result};

use crate::graph::root;

#[test]
fn the_gate_runs_the_readmes_test_command_and_the_lints() -> Result<()> {
    let script = fs::read_to_string(root().join(".ci/run")).context(".ci/run")?;
    let readme = fs::read_to_string(root().join("README.md")).context("README.md")?;
    for command in ["cargo demo", "cargo xtask test"] {
        assert!(readme.contains(command), "the README does not say {command:?}");
    }
    for command in [
        "step cargo xtask test",
        "step cargo fmt --all --check",
        "step cargo clippy --locked --workspace --all-targets -- -D warnings",
        "RUSTDOCFLAGS=\"-D warnings\" step cargo doc --locked --workspace --no-deps",
        "export TENWORDS_REQUIRE_POSTGRES=1",
        "set -euo pipefail",
    ] {
        assert!(script.lines().any(|line| line.trim() == command), ".ci/run has no line {command:?}");
    }
    assert!(!script.contains("--release"), "the gate has one profile");
    Ok(())
}

#[test]
fn the_readme_is_under_two_screens() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md")).context("README.md")?;
    assert!(readme.lines().count() <= 80, "{} lines", readme.lines().count());
    Ok(())
}
