//! Recoveries under unfriendly conditions.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::code::RecoveryCode;
use tenwords_spikes::{tree::Tree, world::write_private};

use crate::support::{BOX, GROUP, Scene, as_shown, joined_with, protected, versions};

const SOON: Duration = Duration::from_secs(120);

fn other_words() -> RecoveryCode {
    RecoveryCode::draw(&mut UnwrapErr(SysRng))
}

/// S03: the words of an older code say which code they are, and open it.
#[test]
fn s03_the_words_of_an_older_code_open_it_and_say_so() -> Result<()> {
    let scene = protected()?;
    let newer = scene.box_1.ceremony(as_shown)?;
    ensure!(*newer != *scene.words, "each ceremony draws its own words");
    let ticket = scene.hub.arm(BOX, &[])?;
    let recovery = scene.recovers(&scene.fresh("box2")?, &ticket, &scene.words)?;
    ensure!(recovery.shown.contains("code 1"), "it is not told which code it was:\n{}", *recovery.shown);
    Ok(())
}

/// S05, S63: whatever this machine's environment and default keys say, wrong words fail, right ones
/// open, and the backup without the key stays noise.
#[test]
fn s05_s63_a_hostile_environment_changes_nothing() -> Result<()> {
    let hostile = [
        ("PBS_PASSWORD", "wrong"),
        ("PBS_PASSWORD_CMD", "false"),
        ("PBS_FINGERPRINT", "00:00"),
        ("PBS_REPOSITORY", "nobody@pbs@192.0.2.1:nowhere"),
        ("PBS_ENCRYPTION_PASSWORD", "something else"),
        ("PBS_ENCRYPTION_PASSWORD_CMD", "false"),
        ("PBS_LOG", "debug"),
        ("RUST_BACKTRACE", "1"),
        ("RUST_LOG", "trace"),
        ("https_proxy", "http://192.0.2.1:1"),
        ("ALL_PROXY", "http://192.0.2.1:1"),
        ("LANG", "de_DE.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("PROXMOX_OUTPUT_FORMAT", "json-pretty"),
    ];
    let mut scene = joined_with(
        |world, server| {
            // Another key lies where the client looks by itself.
            for folder in ["home/.config/proxmox-backup", "xdg/proxmox-backup"] {
                let key = world.make(folder)?.join("encryption-key.json").display().to_string();
                server.run(&["key", "create", "--kdf", "none", &key])?.with_code(0)?;
            }
            Ok(())
        },
        &hostile,
    )?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let xdg = scene.world.folder().join("xdg").display().to_string();
    let ticket = scene.hub.arm(BOX, &[])?;
    // The right words stand in the environment, and wrong ones are typed.
    let stranger = scene
        .fresh("box2")?
        .with_environment(&hostile)
        .with_environment(&[("PBS_ENCRYPTION_PASSWORD", &scene.words), ("XDG_CONFIG_DIRS", &xdg)]);
    let wrong = other_words();
    let wrong = wrong.expose_passphrase();
    scene.refuses(&stranger, &ticket, &[wrong, wrong, wrong], &[11])?;
    let machine = scene
        .fresh("box3")?
        .with_environment(&hostile)
        .with_environment(&[("XDG_CONFIG_DIRS", &xdg), ("XDG_CONFIG_HOME", &xdg)]);
    let ticket = scene.hub.arm(BOX, &[])?;
    scene.recovers(&machine, &ticket, &scene.words)?;
    machine.left_nothing_in_memory()
}

/// S53: the same box asks again and gets the answer; nobody else does.
#[test]
fn s53_a_lost_answer_to_a_claim_is_given_again_to_the_same_box_only() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let box_2 = scene.fresh("box2")?;
    let wrong = other_words();
    let wrong = wrong.expose_passphrase();
    scene.refuses(&box_2, &ticket, &[wrong, wrong, wrong], &[11])?;
    // The answer never arrived: the key with which it was asked for is all that box 2 has.
    let kept = box_2.state().join("recovery.json");
    fs::remove_file(&kept).with_context(|| format!("removing {}", kept.display()))?;
    scene.refuses(&scene.fresh("stranger")?, &ticket, &[&scene.words], &[16])?;
    scene.recovers(&box_2, &ticket, &scene.words)?;
    scene.refuses(&scene.fresh("latecomer")?, &ticket, &[&scene.words], &[16])?;
    Ok(())
}

fn box_1_is_untouched(scene: &Scene, versions_before: u64) -> Result<()> {
    ensure!(scene.box_1.is_protected()?, "box 1 is not protected any more");
    ensure!(versions(&scene.hub)? == versions_before, "the hub has another number of versions");
    Ok(())
}

/// S54: a rehearsal changes nothing for the living box, and the hub says that it was one.
#[test]
fn s54_a_rehearsal_leaves_the_living_box_as_it_is() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &["--rehearsal"])?;
    let box_2 = scene.fresh("box2")?;
    let recovery = box_2.recover(&ticket, &[&scene.words])?;
    ensure!(recovery.code == 0, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
    ensure!(recovery.shown.contains("Rehearsed: "), "it does not say that it was one:\n{}", *recovery.shown);
    // The data came back, and nothing that the new machine could go on with.
    ensure!(Tree::read(&box_2.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    ensure!(!box_2.installed_key().exists() && !box_2.installed_token().exists(), "it has put a key or token in place");
    ensure!(!fs::read_to_string(box_2.config())?.contains("[[source]]"), "it has added a source");
    box_1_is_untouched(&scene, 1)?;
    let shown = scene.hub.show(BOX)?;
    ensure!(shown["recovery"]["rehearsal"] == true && shown["recovery"]["proven_at"].is_string(), "{shown}");
    // It still speaks for the box.
    scene.box_1.ceremony(as_shown)?;
    ensure!(scene.box_1.is_protected()?);
    Ok(())
}

/// S54: a ticket without the words revokes nothing.
#[test]
fn s54_a_leaked_ticket_without_the_words_revokes_nothing() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let wrong = other_words();
    let wrong = wrong.expose_passphrase();
    scene.refuses(&scene.fresh("thief")?, &ticket, &[wrong, wrong, wrong], &[11])?;
    box_1_is_untouched(&scene, 1)?;
    let shown = scene.hub.show(BOX)?;
    ensure!(shown["recovery"]["claimed_at"].is_string() && shown["recovery"]["proven_at"].is_null(), "{shown}");
    scene.box_1.ceremony(as_shown)?;
    ensure!(scene.box_1.is_protected()?);
    Ok(())
}

/// After a recovery the old box's certificate is worth nothing.
#[test]
fn the_old_box_is_revoked_once_the_words_were_proven() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    scene.recovers(&scene.fresh("box2")?, &ticket, &scene.words)?;
    ensure!(!scene.box_1.is_protected()?, "the old box still speaks for the box");
    ensure!(scene.box_1.ceremony(as_shown).is_err(), "the old box could push");
    ensure!(versions(&scene.hub)? == 2, "only the closing ceremony was added");
    Ok(())
}

/// Impossible words never reach a derivation, a slip is named, and the screen keeps nothing.
#[test]
fn s01_s02_the_prompt_takes_any_spelling_and_names_an_impossible_word() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let machine = scene.fresh("box2")?;
    let spelled = scene
        .words
        .split(' ')
        .enumerate()
        .map(|(index, word)| format!("{}) \u{201c}{}\u{201d}", index + 1, word.to_uppercase()))
        .collect::<Vec<_>>()
        .join(" ,\u{a0}");
    let nine = scene.words.rsplit_once(' ').context("ten words")?.0;
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let mut terminal = machine.at_terminal(&["recover", "--ticket-file", &file.display().to_string()])?;
    terminal.expect("The ten words: ", SOON)?;
    terminal.await_silence(SOON)?;
    // Nine words and Enter: the tenth is waited for; what is no word is told at once.
    terminal.type_line(&format!("{nine} qwertzuiop"))?;
    terminal.expect("Word 10 is not in the list.", SOON)?;
    // All of them once more, over what stands there.
    terminal.type_line(&format!("1 {spelled}"))?;
    terminal.expect("Does this fit? [y/n] ", SOON)?;
    terminal.type_line("y")?;
    let (code, shown) = terminal.end(SOON)?;
    ensure!(code == 0, "recover ended with {code}:\n{}", *shown);
    Ok(())
}
