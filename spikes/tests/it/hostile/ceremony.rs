//! S09: what comes back is not what was stored. The ceremony ends with an error, nothing claims to
//! protect the box, and the live key is as it was.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::hash::Sha256;
use tenwords_spikes::{terminal::numbered_words, world::Machine};

use super::{
    LONG,
    liar::{Asked, Lie, honest},
    lied_to, part,
};
use crate::support::as_shown;

/// A ceremony up to its end, whatever that is.
fn held(machine: &Machine) -> Result<(u32, String)> {
    let mut terminal = machine.at_terminal(&["escrow", "create", "--new-code"])?;
    let screen = terminal.expect("Press Enter when they are written down", LONG)?;
    let words = numbered_words(&screen, 10).context("ten words")?;
    terminal.type_line("")?;
    terminal.expect("The ten words: ", LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&words)?;
    let (code, shown) = terminal.end(LONG)?;
    // The screen that showed the words was left before: what follows may be quoted.
    let from = shown.find("tenwords-agent:").or_else(|| shown.find("Protected:")).unwrap_or(shown.len());
    Ok((code, shown[from..].to_owned()))
}

#[test]
fn s09_a_flipped_bit_on_the_way_back_ends_the_ceremony() -> Result<()> {
    let (_scene, liar, mill) = lied_to()?;
    let live = Sha256::of(&fs::read(mill.key_file())?);
    let middle = |body: &mut Vec<u8>| {
        let at = body.len() / 2;
        body[at] ^= 1;
    };
    let end = |body: &mut Vec<u8>| {
        let at = body.len() - 1;
        body[at] ^= 0x80;
    };
    let forgets: Lie = Box::new(|asked: &Asked, mut truth| {
        // Each ceremony before this one has left a version behind, so the number is not known here.
        let one = asked.path.rsplit_once("/versions/").is_some_and(|(_, number)| number.parse::<u64>().is_ok());
        if asked.method == "GET" && one {
            truth.status = 404;
            truth.body = b"{}".to_vec();
        }
        Some(truth)
    });
    for (what, lie, sentences) in [
        ("a bit of the key part", part("/key/", middle), ["is not what was stored there", "what to do: "]),
        ("a bit of the root", part("/root.age", end), ["is not what was stored there", "what to do: "]),
        ("a hub that has forgotten it", forgets, ["does not have it", "is not protected"]),
    ] {
        liar.tells(lie);
        let (code, shown) = held(&mill).context(what)?;
        ensure!(code == 12, "{what}: the ceremony ended with {code}: {shown}");
        for sentence in sentences {
            ensure!(shown.contains(sentence), "{what}: `{sentence}` is not said: {shown}");
        }
        ensure!(shown.to_lowercase().contains("not protected"), "{what}: it does not say so: {shown}");
        ensure!(!shown.contains("Protected: "), "{what}: {shown}");
        liar.tells(honest());
        ensure!(!mill.is_protected()?, "{what}: status says protected");
        ensure!(Sha256::of(&fs::read(mill.key_file())?) == live, "{what}: the live key was touched");
        mill.left_nothing_in_memory()?;
    }
    mill.ceremony(as_shown)?;
    ensure!(mill.is_protected()?);
    // A hub that later shows something else than what was stored does not keep its box in safety.
    liar.tells(Box::new(|asked: &Asked, mut truth| {
        if asked.method == "GET" && asked.path.contains("/versions") && !asked.path.contains("/parts/") {
            let told = String::from_utf8_lossy(&truth.body).into_owned();
            let at = told.find("\"sha256\":\"").expect("a hash") + 12;
            truth.body[at] = if truth.body[at] == b'0' { b'1' } else { b'0' };
        }
        Some(truth)
    }));
    ensure!(!mill.is_protected()?, "status does not compare");
    ensure!(Sha256::of(&fs::read(mill.key_file())?) == live, "the live key was touched");
    Ok(())
}
