//! What can have changed between two runs of one recovery: nothing that is somebody else's is taken away, and
//! no wrong turn ends the right one.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{process::Ended, tree::Tree};

use crate::{
    journal::{Step, burnt_with_archives, end_state_after_a_kill, follow, follow_with},
    support::{BOX, by_pipe},
};

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

pub(crate) fn is(name: &str) -> impl Fn(usize, &Step) -> bool {
    move |_, step| *step == (name.to_owned(), true)
}

/// A second run is killed when its plan is kept and the journal does not name it yet: the third goes on.
#[test]
fn s39_a_run_that_is_killed_while_it_plans_anew_ends_nothing() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    for at in ["journal-installing", "plan.next.json", "journal-planned", "journal-restored"] {
        let (steps, code) = follow(&burnt, &machine, &ticket, is(at))?;
        ensure!(code.is_none(), "it ended with {code:?} before {at}: {steps:?}");
        let status = machine.agent(&["recover", "--status"], "")?.with_code(14)?;
        ensure!(status.wrote().contains("4. pbs host/desk"), "{at}: {}", status.wrote());
    }
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    end_state_after_a_kill(&burnt, &machine, &pve, &archives).map(drop)
}

/// While a guest is unfinished, the lost box's disks come back on a storage of their own, with volumes of the
/// same number: they are nobody's to free.
#[test]
fn s72_disks_that_were_attached_meanwhile_are_not_touched() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let (steps, code) = follow_with(&burnt, &machine, &ticket, &["--parallel", "1"], is("journal-started"))?;
    ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");
    let old = burnt.world.make("old-disks")?;
    let survived = ["subvol-101-disk-0.subvol", "vm-101-disk-7.raw"].map(|name| old.join("images/101").join(name));
    fs::create_dir_all(&survived[0])?;
    fs::write(survived[0].join("books"), "the only copy")?;
    fs::write(&survived[1], "the only disk")?;
    let storages = fs::read_to_string(pve.etc("storage.cfg"))?;
    let stanza = format!("dir: old\n\tpath {}\n\tcontent images,rootdir\n\n", old.display());
    fs::write(pve.etc("storage.cfg"), format!("{storages}{stanza}"))?;

    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(survived[0].join("books").exists() && survived[1].exists(), "somebody's disks are gone:\n{}", told(&ended));
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "the container is another");
    end_state_after_a_kill(&burnt, &machine, &pve, &archives).map(drop)
}

/// Another box's ticket in the midst of a recovery is refused, and the right one goes on; given up after the
/// words were proven, it is begun anew with the same ticket.
#[test]
fn a_wrong_ticket_or_giving_up_ends_nothing_for_good() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let (steps, code) = follow(&burnt, &machine, &ticket, is("journal-proven"))?;
    ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");
    burnt.hub.add_box("florist")?;
    let others = burnt.hub.arm("florist", &[])?;
    let ended = by_pipe(&burnt.world, &machine, &others, &[], &burnt.words)?;
    ensure!(ended.code == Some(10), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(told(&ended).contains("the ticket is another's"), "{}", told(&ended));
    let (steps, code) = follow(&burnt, &machine, &ticket, is("journal-restored"))?;
    ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");

    let aborted = machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
    ensure!(aborted.wrote().contains("  stays: "), "{}", aborted.wrote());
    // What was restored stays, so another folder is named, and its number is taken.
    let restored = pve.container_root(101).exists() || pve.disk(102).exists();
    ensure!(restored, "what was restored is gone:\n{}", aborted.wrote());
    let into = machine.folder().join("anew");
    let into = into.to_str().context("a path")?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &["--into", into], &burnt.words)?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(Tree::read(&std::path::Path::new(into).join("pbs/host-desk/a.pxar"))? == archives[0], "a.pxar is another");
    Ok(())
}
