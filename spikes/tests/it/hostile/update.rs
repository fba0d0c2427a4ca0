//! What the box adds without a person is read back too: a hub that keeps something else has escrowed nothing.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::world::write_private;

use super::{
    liar::{Liar, honest},
    lied_to, part, told,
};
use crate::support::{Disk, as_shown};

/// The versions that the box has sent since the last lie began.
fn sent(liar: &Liar) -> Vec<Vec<u8>> {
    let heard = liar.heard().into_iter();
    heard.filter(|asked| asked.method == "POST" && asked.path.ends_with("/versions")).map(|asked| asked.body).collect()
}

#[test]
fn s09_an_update_that_comes_back_as_another_is_not_escrowed_and_the_same_bytes_are_sent_again() -> Result<()> {
    let (scene, liar, mill) = lied_to()?;
    mill.ceremony(as_shown)?;
    ensure!(mill.is_protected()?);

    let made = scene.world.folder().join("job/second.enc");
    scene.server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    let second = fs::read(&made)?;
    write_private(&mill.key_file(), &second)?;
    let pending = mill.state().join("escrow.pending");
    let (mut bytes, mut posted) = (None, Vec::new());
    let flipped = |at: fn(usize) -> usize| {
        move |body: &mut Vec<u8>| {
            let at = at(body.len());
            body[at] ^= 1;
        }
    };
    for (what, lie) in [
        ("a bit in the middle", part("/update", flipped(|length| length / 2))),
        ("its last bit", part("/update", flipped(|length| length - 1))),
        ("one byte less", part("/update", |body| body.truncate(body.len() - 1))),
    ] {
        liar.tells(lie);
        let ended = mill.agent(&["escrow", "update"], "")?;
        let told = told(&ended);
        ensure!(ended.code == Some(12), "{what}: it ended with {:?}: {told}", ended.code);
        ensure!(told.contains("what to do: "), "{what}: it is not said what to do: {told}");
        let kept = fs::read(&pending).with_context(|| format!("{what}: what is to be sent again is gone"))?;
        ensure!(bytes.get_or_insert_with(|| kept.clone()) == &kept, "{what}: it was made anew");
        posted.extend(sent(&liar));
        // The hub has something of that number; a box that cannot read it back does not rely on it.
        ensure!(!mill.is_protected()?, "{what}: status says protected");
        ensure!(Disk::of(&scene.hub)?.parts(2)?.len() == 1, "{what}: the real hub has none");
        ensure!(fs::read(mill.key_file())? == second, "{what}: the live key was touched");
    }
    ensure!(posted.len() == 1, "it was sent {} times to a hub that lists it", posted.len());

    // The truth is that it was never kept: the same is sent again, byte for byte, and now it counts.
    Disk::of(&scene.hub)?.hide(2)?;
    liar.tells(honest());
    let said = mill.agent(&["--json", "escrow", "update"], "")?.with_code(0)?.json()?;
    ensure!(said["state"] == "updated" && said["version"] == 2 && said["update"] == 1, "{said}");
    ensure!(sent(&liar) == posted, "what was sent again is another");
    ensure!(!pending.exists(), "it is still to be sent");
    ensure!(mill.is_protected()?, "it does not count now");
    Ok(())
}
