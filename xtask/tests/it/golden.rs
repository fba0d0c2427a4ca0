//! Golden files of the tree. `cargo xtask golden` writes them; otherwise they are compared.

use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::graph::root;

/// Compares with `xtask/tests/golden/<name>`, or writes it.
pub(crate) fn check(name: &str, actual: &str) -> Result<()> {
    let path = root().join("xtask/tests/golden").join(name);
    if env::var_os("TENWORDS_GOLDEN").is_some_and(|value| value == "write") {
        return fs::write(&path, actual).with_context(|| format!("writing {}", path.display()));
    }
    let expected = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    if expected == actual {
        return Ok(());
    }
    let gone =
        expected.lines().filter(|line| !actual.lines().any(|other| other == *line)).map(|line| format!("- {line}"));
    let come =
        actual.lines().filter(|line| !expected.lines().any(|other| other == *line)).map(|line| format!("+ {line}"));
    let difference: Vec<String> = gone.chain(come).collect();
    bail!("{name} is no longer the tree's; if that is meant, `cargo xtask golden`:\n{}", difference.join("\n"))
}
