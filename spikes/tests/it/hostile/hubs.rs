//! A hub that goes in the midst of a recovery, is slow, lies where a recovery reads it late, or is put back
//! as it was yesterday.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenwords_spikes::{process::Run, tree::Tree};

use super::{
    Stage,
    answers::{edited, instead, text},
    liar::{Answer, Asked, Liar, Lie, Shown},
    recover, recovers, refused, told,
};
use crate::support::{BOX, GROUP, as_shown, protected, versions};

/// The truth until this was asked for, that answer included; from then on nobody is there.
fn gone_after(method: &'static str, path: &'static str) -> Lie {
    let mut gone = false;
    Box::new(move |asked: &Asked, truth| {
        let answer = if gone { None } else { Some(truth) };
        gone |= asked.method == method && asked.path.ends_with(path);
        answer
    })
}

fn down() -> Lie {
    Box::new(|_, _| None)
}

/// Every answer comes, and none at once.
fn slow() -> Lie {
    Box::new(|_, truth| {
        thread::sleep(Duration::from_millis(700));
        Some(truth)
    })
}

#[test]
fn a_hub_that_goes_midway_costs_nothing_that_was_done_and_the_same_command_goes_on() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, machine, ticket, liar } = &stage;
    liar.tells(down());
    refused(scene, machine, ticket, &scene.words, 15, "does not answer")?;
    liar.tells(gone_after("POST", "/recovery/claim"));
    refused(scene, machine, ticket, &scene.words, 15, "does not answer")?;

    // Once the words are proven nothing waits for it: what is missing is the closing ceremony alone.
    liar.tells(gone_after("POST", "/recovery/prove"));
    let ended = recover(scene, machine, ticket, &scene.words)?;
    let shown = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?}:\n{shown}", ended.code);
    for sentence in ["the hub does not tell the box's last inventory", "the closing ceremony: the hub at"] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    let data = machine.restored(GROUP, "root.pxar");
    ensure!(Tree::read(&data)? == scene.data, "the data is another");
    let inode = fs::metadata(&data)?.ino();
    ensure!(!machine.is_protected()?, "what no hub holds is told as protected");

    // Down, it costs nothing; slow, it is waited for; and what is there is not restored again.
    liar.tells(down());
    let ended = recover(scene, machine, ticket, &scene.words)?;
    ensure!(ended.code == Some(15), "recover ended with {:?}:\n{}", ended.code, told(&ended));
    liar.tells(slow());
    let shown = recovers(scene, machine, ticket)?;
    ensure!(fs::metadata(&data)?.ino() == inode, "it was restored twice:\n{shown}");
    ensure!(!shown.contains("begun: "), "something was begun again:\n{shown}");
    ensure!(versions(&scene.hub)? == 2, "the closing ceremony was not held once");
    liar.tells(super::liar::honest());
    ensure!(machine.is_protected()?, "it is not protected");
    Ok(())
}

const CLAIM: &str = "/recovery/claim";
const PROVE: &str = "/recovery/prove";

/// The fields of the answers to claim and proof, one after the other. What those of the list, the headers, the
/// parts and the directive come to is held beside this (`answers.rs`, `versions.rs`).
#[test]
fn lies_in_the_answers_to_claim_and_proof_are_refused_and_the_same_command_ends_well() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, machine, ticket, liar } = &stage;
    let foreign = |field: &'static str| {
        move |reply: &mut Value| {
            let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
            reply[field] = base64(other.cert.der()).into();
        }
    };
    let set = |field: &'static str, value: Value| move |reply: &mut Value| reply[field] = value.clone();
    let without_certificate = |reply: &mut Value| drop(reply.as_object_mut().expect("fields").remove("certificate"));
    let cases: Vec<(&str, Lie, i32, &str)> = vec![
        ("a certificate for another key", edited(CLAIM, foreign("certificate")), 12, "another key"),
        ("a certificate that is none", edited(CLAIM, set("certificate", "AAAA".into())), 12, "another key"),
        ("a nonce of its own", edited(CLAIM, set("nonce", base64(&[7; 32]).into())), 16, "the hub refused"),
        ("a node id that is none", edited(CLAIM, set("node_id", "../x".into())), 12, "cannot be read"),
        ("a time that is none", edited(CLAIM, set("hub_time", "yesterday".into())), 12, "cannot be read"),
        ("in earnest told as a rehearsal", edited(CLAIM, set("rehearsal", true.into())), 10, "and this is a rehearsal"),
        ("that it is not the box", edited(PROVE, set("is_box", false.into())), 12, "not the one that was due"),
        ("no certificate", edited(PROVE, without_certificate), 12, "not the one that was due"),
        ("another key's certificate", edited(PROVE, foreign("certificate")), 12, "not the one that was due"),
        (
            "a certificate that is none",
            edited(PROVE, set("certificate", "AAAA".into())),
            12,
            "not the one that was due",
        ),
        ("a count that is none", edited(PROVE, set("revoked", (-1).into())), 12, "cannot be read"),
        ("another version", edited(PROVE, set("v", 2.into())), 12, "cannot be read"),
        ("half an answer", text(PROVE, |told| told[..told.len() / 2].into()), 12, "cannot be read"),
        ("without end", instead(PROVE, |truth| Answer { zeros: 1 << 30, ..truth }), 12, "larger than such an answer"),
        ("nothing there", instead(PROVE, |truth| Answer { status: 404, ..truth }), 12, "no such thing"),
    ];
    for (what, lie, code, sentence) in cases {
        liar.tells(lie);
        let ended = recover(scene, machine, ticket, &scene.words)?;
        let shown = told(&ended);
        ensure!(ended.code == Some(code), "{what}: recover ended with {:?} instead of {code}:\n{shown}", ended.code);
        ensure!(shown.contains(sentence), "{what}: `{sentence}` is not said:\n{shown}");
        ensure!(shown.contains("what to do: "), "{what}: it is not said what to do:\n{shown}");
        machine.nothing_installed().context(what)?;
    }
    ensure!(versions(&scene.hub)? == 1, "a lie has ended in a ceremony");

    // Everything was lost before there was anything, says the hub: nothing is chosen, and why is told.
    liar.tells(edited(CLAIM, set("lost_at", "2001-01-01T00:00:00Z".into())));
    let ended = recover(scene, machine, ticket, &scene.words)?;
    let shown = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?}:\n{shown}", ended.code);
    ensure!(shown.contains("1 snapshots are newer than the loss at 2001-01-01T00:00:00Z"), "{shown}");
    ensure!(!machine.restored(GROUP, "root.pxar").exists(), "it was restored all the same");

    // The inventory decides nothing: garbage is told, and holds nothing up.
    liar.tells(text("/inventory", |told| told[..told.len() / 2].into()));
    let shown = recovers(scene, machine, ticket)?;
    ensure!(shown.contains("the hub does not tell the box's last inventory"), "{shown}");
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The hub's disk died, and its operator has put yesterday's copy in place: it knows neither the newest
/// escrow nor the ticket.
#[test]
fn a_hub_put_back_as_it_was_says_so_by_what_it_lacks_and_arms_anew() -> Result<()> {
    let mut scene = protected()?;
    let aside = scene.world.folder().join("yesterday");
    scene.hub.stop()?;
    copy(scene.hub.data(), &aside)?;
    scene.hub.serve()?;
    let newer = scene.box_1.ceremony(as_shown)?;
    let machine = scene.fresh("box2")?;
    let ticket = scene.hub.arm(BOX, &[])?;
    // It has claimed, and got no further.
    let wrong = super::other_words();
    refused(&scene, &machine, &ticket, wrong.expose_passphrase(), 11, "open no version")?;

    // Another one in its place, with an authority of its own, is told nothing.
    let other = Liar::with(&scene.hub, Shown::strange(Vec::new())?)?;
    refused(&scene, &machine, &other.ticket(&ticket)?, &newer, 12, "not the hub that was expected")?;
    ensure!(other.heard().is_empty(), "it was told {:?}", other.heard());

    scene.hub.stop()?;
    fs::remove_dir_all(scene.hub.data())?;
    copy(&aside, scene.hub.data())?;
    scene.hub.serve()?;
    let shown = refused(&scene, &machine, &ticket, &newer, 16, "the hub refused")?;
    ensure!(shown.contains("arm this recovery anew"), "{shown}");
    let ticket = scene.hub.arm(BOX, &[])?;
    // The newer words fit nothing there; those of the code that it does have open it.
    refused(&scene, &machine, &ticket, &newer, 11, "open no version")?;
    recovers(&scene, &machine, &ticket)?;
    ensure!(machine.is_protected()?, "it is not protected");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    Run::new("/bin/cp".as_ref(), Path::new("/")).args(["-a"]).args([from, to]).to_end(super::LONG)?.with_code(0)?;
    Ok(())
}
