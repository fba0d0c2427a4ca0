//! The agent is killed at each durable write of an update; the next run ends well, and no number is given twice.
#![expect(clippy::disallowed_methods, reason = "a child that is killed by its number is started by hand")]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::part::PartName;

use super::{both_are_back, has_key, made_key, state, update};
use crate::support::{Disk, Scene, protected, versions};

/// Runs an update until this write begins, or is on the disk; whether it came to that.
fn killed_at(scene: &Scene, step: &str, done: bool) -> Result<bool> {
    let mut child = Command::new(&scene.world.programs().agent)
        .args(["--config".as_ref(), scene.box_1.config().as_os_str()])
        .args(["escrow", "update"])
        .env_clear()
        .envs(scene.world.environment())
        .envs([("TENWORDS_LOG", "tenwords_agent::durable=trace"), ("NO_COLOR", "1")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let word = if done { "on the disk" } else { "durable write" };
    for line in BufReader::new(child.stderr.take().context("its errors")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if line.contains(word) && line.contains(&format!("step=\"{step}\"")) {
            child.kill()?;
            break;
        }
    }
    Ok(child.wait()?.code().is_none())
}

#[test]
fn s37_killed_at_any_write_of_an_update_the_same_bytes_are_sent_again() -> Result<()> {
    let scene = protected()?;
    let mut kills = 0;
    let mut later = None;
    for (round, (step, done)) in ["update-pending", "escrow-bundle", "escrow-facts", "lineage", "lineage-index"]
        .into_iter()
        .flat_map(|step| [(step, false), (step, true)])
        .enumerate()
    {
        has_key(&scene.box_1, &made_key(&scene, &format!("key-{round}.enc"))?)?;
        later = Some(super::back_up_later(&scene, &format!("later-{round}"))?);
        let before = versions(&scene.hub)?;
        ensure!(killed_at(&scene, step, done)?, "it was not killed at {step}");
        kills += 1;
        let said = update(&scene.box_1)?;
        ensure!(matches!(state(&said), "updated" | "current"), "{step}: {said}");
        ensure!(versions(&scene.hub)? == before + 1, "{step}: it was stored twice, or not at all: {said}");
        ensure!(state(&update(&scene.box_1)?) == "current", "{step}");
        ensure!(scene.box_1.is_protected()?, "{step}: {said}");
    }
    let mut disk = Disk::of(&scene.hub)?;
    let mut numbers = BTreeSet::new();
    for number in 2..=kills + 1 {
        for name in disk.parts(number)?.into_keys() {
            ensure!(matches!(name, PartName::Update(_)) && numbers.insert(name), "{name} stands twice");
        }
    }
    let shown = both_are_back(&scene, &scene.fresh("box2")?, &later.context("a container")?)?;
    ensure!(!shown.contains("REFUSED") && shown.contains(&format!("{kills} updates lie on")), "{shown}");
    Ok(())
}
