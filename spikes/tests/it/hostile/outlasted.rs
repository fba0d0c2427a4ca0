//! A recovery that outlasts its window, and one that outlasts its certificate.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::tree::Tree;

use super::{recovers, refused};
use crate::{
    journal::{burnt_with_archives, follow},
    support::{BOX, Disk, by_pipe, protected},
};

#[test]
fn s30_a_window_that_ends_before_the_claim_is_armed_anew_and_after_it_nothing_stops() -> Result<()> {
    let scene = protected()?;
    let mut disk = Disk::of(&scene.hub)?;
    let machine = scene.fresh("box2")?;
    let ticket = scene.hub.arm(BOX, &[])?;
    disk.windows_end()?;
    let shown = refused(&scene, &machine, &ticket, &scene.words, 16, "its time has run out")?;
    ensure!(shown.contains("ask the operator for a new one"), "{shown}");
    ensure!(scene.box_1.is_protected()?, "the box has lost something");

    // Claimed, with words that were wrong once; then the time is over.
    let ticket = scene.hub.arm(BOX, &[])?;
    let wrong = super::other_words();
    let file = wrong.expose_passphrase();
    let recovery = scene.refuses(&machine, &ticket, &[file, file, file], &[11])?;
    ensure!(!recovery.shown.contains("4 Opened"), "something was opened:\n{}", *recovery.shown);
    disk.windows_end()?;
    recovers(&scene, &machine, &ticket)?;
    ensure!(machine.is_protected()?, "it is not protected");
    Ok(())
}

/// Killed in its midst and taken up again a week later: the certificate of the claim is over, and so is the
/// window. A new ticket for the same machine is all that it takes, in earnest and in a rehearsal.
#[test]
fn a_recovery_that_outlasts_its_certificate_goes_on_where_it_was_with_a_new_ticket() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let mut disk = Disk::of(&burnt.hub)?;
    for (name, flags) in [("rehearsed", &["--rehearsal"][..]), ("earnest", &[])] {
        let (machine, pve) = burnt.node(name)?;
        let ticket = burnt.hub.arm(BOX, flags)?;
        let mut staged = 0;
        let (steps, code) = follow(&burnt, &machine, &ticket, |_, step| {
            staged += usize::from(*step == ("journal-restored".to_owned(), true));
            staged == 2
        })?;
        ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");
        disk.windows_end()?;
        disk.certificates_expire()?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let told = format!("{}{}", ended.said(), ended.wrote());
        ensure!(ended.code == Some(16), "{name}: recover ended with {:?}:\n{told}", ended.code);
        for sentence in ["expired", "arm this recovery anew", "goes on where it was"] {
            ensure!(told.contains(sentence), "{name}: `{sentence}` is not told:\n{told}");
        }
        let status = machine.agent(&["--json", "recover", "--status"], "")?.with_code(14)?.json()?;
        let items = status["recovery"]["items"].as_array().context("items")?;
        let back = items.iter().filter(|item| item["state"] == "restored").count();
        ensure!(back >= 2, "{name}: what was restored is forgotten: {status}");
        let inode = |archive: &str| fs::metadata(machine.restored("host/desk", archive)).map(|found| found.ino()).ok();
        let before = ["a.pxar", "b.pxar"].map(inode);

        let ticket = burnt.hub.arm(BOX, flags)?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let told = format!("{}{}", ended.said(), ended.wrote());
        ensure!(ended.code == Some(0), "{name}: recover ended with {:?}:\n{told}", ended.code);
        let count = |is_it: &dyn Fn(&str) -> bool| told.lines().filter(|line| is_it(line)).count();
        let begun = count(&|line| line.starts_with("begun: "));
        // What PVE's own program still brought to its end by itself is not begun again either.
        let adopted = count(&|line| {
            let is_whole = ["had restored it to its end before", "had restored it, and was ended"];
            line.starts_with("  note: ") && is_whole.iter().any(|sentence| line.contains(sentence))
        });
        ensure!(begun + adopted == items.len() - back, "{name}: {begun} were begun, {back} were back:\n{told}");
        for (archive, (tree, before)) in ["a.pxar", "b.pxar"].iter().zip(archives.iter().zip(before)) {
            let place = machine.restored("host/desk", archive);
            ensure!(Tree::read(&place)? == *tree, "{name}: {archive} is another");
            ensure!(before.is_none() || inode(archive) == before, "{name}: {archive} was restored twice");
        }
        if flags.is_empty() {
            burnt.container_is_back(&pve, 101)?;
            burnt.machine_is_back(&pve, 102)?;
            ensure!(machine.is_protected()?, "it is not protected");
        }
    }
    Ok(())
}
