//! A planned swap of hardware: the old box lives until the words are proven on the new one, and is told then.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    guests::{living, nothing},
    support::{BOX, by_pipe},
};

/// The old box's last backup comes along, its certificate dies with the proof and not before, and the old
/// machine says in plain words where the box lives now.
#[test]
fn a_planned_swap_moves_the_box_and_the_old_machine_says_so() -> Result<()> {
    let (burnt, old) = living(nothing)?;
    // Whoever swaps is asked first: the old box was heard of just now.
    let refused = burnt.hub.operator(&["recovery", "arm", BOX, "--reason", "new hardware"])?;
    ensure!(refused.code != Some(0) && refused.said().contains("heard of"), "{}", refused.said());
    let ticket = burnt.hub.arm(BOX, &[])?;
    ensure!(old.is_protected()?, "the old box died before the words were proven");

    let (new, pve) = burnt.node("box2")?;
    let ended = by_pipe(&burnt.world, &new, &ticket, &[], &burnt.words)?;
    let told = format!("{}{}", ended.said(), ended.wrote());
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(told.contains("if the former machine still runs") && told.contains("--onboot 0"), "{told}");
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    ensure!(new.is_protected()?, "the new machine is not protected");

    let status = old.agent(&["status"], "")?.with_code(1)?;
    let told = status.wrote();
    for sentence in
        ["NOT PROTECTED", "this box lives on another machine now, since 20", "start none of the box's guests"]
    {
        ensure!(told.contains(sentence), "`{sentence}` is not told:\n{told}");
    }
    let json = old.agent(&["--json", "status"], "")?.with_code(1)?.json()?;
    ensure!(json["revoked"] == true && json["protected"] == false, "{json}");

    // No ceremony of its, and nothing of one gets to the hub.
    let versions = burnt.hub.show(BOX)?["versions"].clone();
    let (code, shown) = old.at_terminal(&["escrow", "create"])?.end(Duration::from_secs(120))?;
    ensure!(code == 16, "the old machine's ceremony ended with {code}:\n{}", *shown);
    ensure!(shown.contains("this box lives on another machine now"), "{}", *shown);
    ensure!(burnt.hub.show(BOX)?["versions"] == versions, "the hub took a version of it");
    ensure!(new.is_protected()?, "the new machine is not protected any more");
    Ok(())
}

/// A machine that was reported stolen is not told that anybody knows.
#[test]
fn a_stolen_box_hears_nothing_of_where_it_lives() -> Result<()> {
    let (burnt, stolen) = living(nothing)?;
    let ticket = burnt.hub.arm(BOX, &["--stolen"])?;
    let (new, _) = burnt.node("box2")?;
    let ended = by_pipe(&burnt.world, &new, &ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{}", ended.code, ended.said());
    let told = stolen.agent(&["status"], "")?.with_code(1)?.wrote();
    ensure!(!told.contains("another machine") && told.contains("revoked this machine's certificate"), "{told}");
    Ok(())
}
