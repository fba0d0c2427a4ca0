//! S31, S53: answers that are lost on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Result, ensure};
use tenwords_spikes::tree::Tree;

use super::{Stage, liar::Lie, recover, recovers, refused, told};
use crate::support::{BOX, GROUP, as_shown, versions};

/// The first answer on this path is lost; the hub has done what was asked.
fn first_lost(method: &'static str, path: &'static str) -> (Lie, Arc<AtomicUsize>) {
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let lie: Lie = Box::new(move |asked, truth| {
        let hit = asked.method == method && asked.path.ends_with(path);
        if hit && count.fetch_add(1, Ordering::SeqCst) == 0 { None } else { Some(truth) }
    });
    (lie, lost)
}

#[test]
fn s53_s31_a_lost_claim_is_answered_again_to_the_same_machine_only() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, machine, ticket, liar } = &stage;
    let (lie, lost) = first_lost("POST", "/recovery/claim");
    liar.tells(lie);
    refused(scene, machine, ticket, &scene.words, 15, "does not answer")?;
    ensure!(lost.load(Ordering::SeqCst) == 1, "it was asked more than once");
    ensure!(scene.hub.show(BOX)?["recovery"]["claimed_at"].is_string(), "the hub has given the certificate");
    // Whoever found the ticket meanwhile comes too late.
    let other = scene.fresh("stranger")?;
    refused(scene, &other, ticket, &scene.words, 16, "ask the operator for a new one")?;
    ensure!(scene.box_1.is_protected()?, "box 1 is not touched by a claim");
    recovers(scene, machine, ticket)?;
    ensure!(versions(&scene.hub)? == 2, "the closing ceremony was held once");
    Ok(())
}

/// The hub has taken the proof, and the machine does not know it.
#[test]
fn s53_a_lost_answer_to_the_proof_stops_nothing() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, machine, ticket, liar } = &stage;
    let (lie, lost) = first_lost("POST", "/recovery/prove");
    liar.tells(lie);
    let ended = recover(scene, machine, ticket, &scene.words)?;
    let said = told(&ended);
    ensure!(ended.code == Some(15) && said.contains("does not answer"), "{:?}:\n{said}", ended.code);
    machine.nothing_installed()?;
    // That it has begun is all that it knows.
    let journal = std::fs::read_to_string(machine.state().join("recovery/journal"))?;
    ensure!(journal.lines().count() == 1 && journal.contains("\"event\":\"begun\""), "{journal}");
    ensure!(lost.load(Ordering::SeqCst) == 1, "it was asked more than once");
    ensure!(scene.hub.show(BOX)?["recovery"]["proven_at"].is_string(), "the hub has the proof");
    recovers(scene, machine, ticket)?;
    ensure!(versions(&scene.hub)? == 2, "the closing ceremony was held once");
    ensure!(machine.is_protected()?, "it speaks for the box");
    Ok(())
}

/// The closing ceremony arrived, and the machine does not know it: the data is back all the same,
/// and it says what is to be done.
#[test]
fn a_lost_answer_to_the_closing_ceremony_is_told_and_loses_nothing() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, machine, ticket, liar } = &stage;
    let (lie, lost) = first_lost("POST", "/versions");
    liar.tells(lie);
    let ended = recover(scene, machine, ticket, &scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?} instead of 14:\n{told}", ended.code);
    ensure!(lost.load(Ordering::SeqCst) == 1, "it was asked {lost:?} times");
    ensure!(told.contains("the closing ceremony: the hub at"), "{told}");
    ensure!(told.contains("`tenwords-agent escrow create`"), "{told}");
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    ensure!(!machine.is_protected()?, "what was not read back does not protect");
    machine.ceremony(as_shown)?;
    ensure!(machine.is_protected()?, "the next ceremony does");
    Ok(())
}
