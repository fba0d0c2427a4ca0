//! What the agent does around its children: the live key is watched, and nobody leaves a core file.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};
use tenwords_protocol::hash::Sha256;

use crate::support::{as_shown, joined_with, versions};

/// Wall 3: a key file that somebody else changes during the ceremony is noticed, and nothing is stored.
#[test]
fn a_live_key_that_changes_during_the_ceremony_is_told_and_nothing_is_stored() -> Result<()> {
    let scene = joined_with(
        |world, server| {
            // Somebody else writes the same key anew while the client works on the copy.
            let path = world.folder().join("client-that");
            let key = world.folder().join("box1/etc/K.enc");
            let change = format!(
                "case \"$*\" in *change-passphrase*) for f in {}*; do printf ' ' >>\"$f\"; done;; esac",
                key.display()
            );
            fs::write(&path, format!("#!/bin/sh\n{change}\nexec {} \"$@\"\n", server.client.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            server.client = path;
            Ok(())
        },
        &[],
    )?;
    ensure!(scene.box_1.key_file().to_string_lossy().contains("/box1/etc/K.enc"), "{:?}", scene.box_1.key_file());
    let error = scene.box_1.ceremony(as_shown).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(!error.is_empty(), "the ceremony ended well");
    ensure!(!scene.box_1.is_protected()?, "it says that it is protected");
    ensure!(versions(&scene.hub)? == 0, "something was stored");
    scene.box_1.left_nothing_in_memory()
}

/// Wall 2 and 3: the live key is the same file afterwards, and the client cannot leave a core.
#[test]
fn a_ceremony_leaves_the_live_key_as_it_was_and_no_child_may_leave_a_core() -> Result<()> {
    let mut limits = None;
    let scene = joined_with(
        |world, server| {
            let path = world.folder().join("client-that");
            let seen = world.folder().join("limits");
            let look = format!("echo \"$(ulimit -c) $(ulimit -H -c)\" >>{}", seen.display());
            fs::write(&path, format!("#!/bin/sh\n{look}\nexec {} \"$@\"\n", server.client.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            server.client = path;
            limits = Some(seen);
            Ok(())
        },
        &[],
    )?;
    let before = Sha256::of(&fs::read(scene.box_1.key_file())?);
    let seen = limits.unwrap_or_default();
    // What the test itself had the client do before is not the agent's.
    fs::write(&seen, "")?;
    scene.box_1.ceremony(as_shown)?;
    ensure!(Sha256::of(&fs::read(scene.box_1.key_file())?) == before, "the live key file was changed");
    let limits = fs::read_to_string(&seen)?;
    ensure!(
        limits.lines().count() >= 3 && limits.lines().all(|line| line == "0 0"),
        "a child may leave a core: {limits}"
    );
    Ok(())
}
