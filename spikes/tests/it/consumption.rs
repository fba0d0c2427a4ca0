//! The consumption phases, on the built program.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use tenwords_spikes::{
    process::Run,
    programs::{Programs, program},
};

#[test]
fn the_phases_hold_with_and_without_a_terminal_and_leave_nothing() -> Result<()> {
    let base = tempfile::tempdir()?;
    let out = tempfile::tempdir()?;
    let page = out.path().join("findings.md");
    let folder = Programs::find()?.hub.parent().map(ToOwned::to_owned).unwrap_or_default();
    let paths = [base.path(), &page].map(|path| path.display().to_string());
    Run::new(&program(&folder, "consumption")?, out.path())
        .args(["--mib", "2", "--folder", &paths[0], "--out", &paths[1]])
        .envs(&[("PATH".to_owned(), "/usr/bin:/bin".to_owned())])
        .to_end(Duration::from_secs(600))?
        .with_code(0)?;
    let text = fs::read_to_string(&page)?;
    for fact in [
        "## With a controlling terminal",
        "## Without a controlling terminal",
        "### C0 (S0): ",
        "### C1 (S1): ",
        "| K is untouched | content, inode and mode are the same |",
        "### C2 (S2): ",
        "refused: missing key",
        "### C3 (S3): ",
        "each the same as before",
        "### C4 (S4): ",
        "| the datastore | as it was found",
        "| a key that was planted for the purpose | found |",
    ] {
        ensure!(text.contains(fact), "`{fact}` is not among the findings:\n{text}");
    }
    ensure!(fs::read_dir(base.path())?.count() == 0, "something is left");
    Ok(())
}
