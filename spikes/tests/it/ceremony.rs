//! The ceremony with partners that err or lie.

use std::fs;

use anyhow::{Result, ensure};
use tenwords_spikes::world::BackupServer;

use crate::support::{BOX, Disk, as_shown, client, joined, joined_with, key_part, protected, versions};

/// The client's place is taken by one that changes one digit of what it wrapped.
fn with_a_slip(server: &mut BackupServer, field: &str) -> Result<()> {
    let text = fs::read_to_string(&server.client)?;
    let (_, command) = text.split_once("exec ").unwrap_or_default();
    let slip = format!(
        "#!/bin/sh\n{command}\nend=$?\n[ \"$1$2$5\" = keychange-passphrasescrypt ] && sed -i -e 's/\\({field}\":\"..\\)Q/\\1A/;t' -e 's/\\({field}\":\"..\\)./\\1Q/' \"$3\"\nexit $end\n"
    );
    fs::write(&server.client, slip)?;
    Ok(())
}

/// S09: what is wrong with a wrapped key is noticed before it is pushed.
#[test]
fn s09_a_slip_on_the_disk_is_caught_before_the_push() -> Result<()> {
    for field in ["data", "salt"] {
        let scene = joined_with(|_, server| with_a_slip(server, field), &[])?;
        let refused = scene.box_1.ceremony(as_shown);
        ensure!(refused.is_err(), "a wrapped key with another {field} was called protected");
        ensure!(!scene.box_1.is_protected()?);
        ensure!(versions(&scene.hub)? == 0, "it was pushed");
        scene.box_1.left_nothing_in_memory()?;
    }
    Ok(())
}

/// S09: and once more after it was fetched back.
#[test]
fn s09_a_hub_that_keeps_something_else_is_caught_when_it_is_fetched_back() -> Result<()> {
    let scene = joined()?;
    let mut disk = Disk::of(&scene.hub)?;
    disk.replace_key_parts_by(b"{\"kdf\":null}")?;
    ensure!(scene.box_1.ceremony(as_shown).is_err(), "a key part that the hub replaced was called protected");
    ensure!(!scene.box_1.is_protected()?);
    scene.box_1.left_nothing_in_memory()
}

#[test]
fn the_hub_keeps_a_key_file_under_scrypt_and_without_a_hint() -> Result<()> {
    let scene = protected()?;
    let parts = Disk::of(&scene.hub)?.parts(1)?;
    let part = String::from_utf8(parts[&key_part(&parts)?].clone())?;
    ensure!(part.contains("\"Scrypt\"") && !part.contains("hint"), "the key part is a key file under scrypt");
    Ok(())
}

/// The agent is killed at each of its calls of the client in turn, before the push and after it. What is
/// left is no key in memory and no half an escrow, and the same command is safe.
#[test]
fn a_ceremony_that_is_killed_at_any_call_of_the_client_is_begun_again_and_ends_well() -> Result<()> {
    let (mut kills, mut stored_before) = (0, 0);
    let scene = joined_with(
        |world, server| {
            // `at` says at which call the agent ends; without it the calls are only counted.
            let folder = world.folder().join("calls");
            fs::create_dir(&folder)?;
            let script = format!(
                "cd '{0}' && echo >> made && [ \"$(wc -l < made)\" = \"$(cat at 2> /dev/null)\" ] && kill -9 $PPID && exit 1; cd /",
                folder.display()
            );
            server.client = client(world, server, "counted", &script)?;
            Ok(())
        },
        &[],
    )?;
    let folder = scene.world.folder().join("calls");
    for at in 1..=64 {
        fs::write(folder.join("made"), "")?;
        fs::write(folder.join("at"), at.to_string())?;
        let ended = scene.box_1.ceremony(as_shown);
        fs::remove_file(folder.join("at"))?;
        if ended.is_ok() {
            break;
        }
        kills += 1;
        // Never half an escrow: the box says what its hub has, or that it does not know that version.
        let (stored, protected) = (versions(&scene.hub)?, scene.box_1.is_protected()?);
        ensure!(stored == stored_before || stored == stored_before + 1, "killed at {at}: {stored} versions");
        ensure!(!protected || stored > 0, "killed at {at}: protected by nothing");
        stored_before = stored;
    }
    ensure!(kills > 5, "it was killed {kills} times");
    ensure!(scene.box_1.is_protected()?);
    let words = scene.box_1.ceremony(as_shown)?;
    scene.box_1.left_nothing_in_memory()?;
    scene.recovers(&scene.fresh("box2")?, &scene.hub.arm(BOX, &[])?, &words)?;
    Ok(())
}
