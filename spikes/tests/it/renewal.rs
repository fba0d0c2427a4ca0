//! A node's certificate is renewed by the agent, whatever cuts it off; and a machine that was installed anew is the
//! node that it was.
#![expect(clippy::disallowed_methods, reason = "a child that is killed by its number is started by hand")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::world::Machine;

use crate::support::{BOX, Disk, Scene, protected};

/// The one node of the box, as the operator sees it.
fn node(scene: &Scene) -> Result<Value> {
    let shown = scene.hub.show(BOX)?;
    let nodes = shown["nodes"].as_array().context("nodes")?;
    ensure!(nodes.len() == 1, "{} nodes: {shown}", nodes.len());
    Ok(nodes[0].clone())
}

fn ends(node: &Value) -> Result<Timestamp> {
    Ok(node["certificate_expires_at"].as_str().context("when it ends")?.parse()?)
}

fn ticket(scene: &Scene, more: &[&str]) -> Result<String> {
    let reply = scene.hub.operator(&[&["box", "ticket", BOX][..], more].concat())?.with_code(0)?.json()?;
    reply["ticket"]["paste"].as_str().map(str::to_owned).context("a ticket")
}

/// The files of keys that the node has.
fn keys(machine: &Machine) -> Result<Vec<String>> {
    let found = fs::read_dir(machine.state())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(found.filter(|name| name.starts_with("node") && name.ends_with(".key")).collect())
}

#[test]
fn s26_a_node_whose_certificate_ended_is_red_until_it_has_renewed_it() -> Result<()> {
    let scene = protected()?;
    let machine = &scene.box_1;
    ensure!(machine.is_protected()?);
    let early = machine.agent(&["--json", "renew"], "")?.with_code(0)?.json()?;
    ensure!(early["changed"] == false, "{early}");
    let before = node(&scene)?;

    let mut disk = Disk::of(&scene.hub)?;
    disk.certificates_expire()?;
    let status = machine.agent(&["status"], "")?;
    ensure!(status.code == Some(1) && status.wrote().contains("tenwords-agent renew"), "{}", status.wrote());
    ensure!(ends(&node(&scene)?)? <= Timestamp::now(), "the fleet cannot tell");
    let renewed = machine.agent(&["--json", "renew", "--now"], "")?.with_code(0)?.json()?;
    ensure!(renewed["changed"] == true, "{renewed}");
    ensure!(machine.is_protected()? && ends(&node(&scene)?)? > Timestamp::now());
    ensure!(node(&scene)?["node_id"] == before["node_id"]);
    ensure!(keys(machine)?.len() == 1, "the former key is still there: {:?}", keys(machine)?);

    // Too long ago: a ticket of the operator makes it a node again, and the same one.
    disk.certificates_expired_long_ago()?;
    let refused = machine.agent(&["renew", "--now"], "")?.with_code(16)?;
    ensure!(refused.said().contains("enroll --again"), "{}", refused.said());
    let operators = machine.folder().join("etc/operators").display().to_string();
    let enroll = ["--json", "enroll", "--ticket-file", "-", "--operator-keys", &operators];
    let idle = machine.agent(&enroll, "")?.with_code(0)?.json()?;
    ensure!(idle["changed"] == false, "{idle}");
    let again = machine.agent(&[&enroll[..], &["--again"]].concat(), &ticket(&scene, &[])?)?.with_code(0)?.json()?;
    ensure!(again["changed"] == true && again["node_id"] == before["node_id"], "{again}");
    ensure!(machine.is_protected()?);
    ensure!(keys(machine)?.len() == 1, "{:?}", keys(machine)?);
    Ok(())
}

#[test]
fn s26_a_renewal_that_is_killed_at_any_step_leaves_a_node_of_the_box() -> Result<()> {
    let scene = protected()?;
    let machine = &scene.box_1;
    let before = node(&scene)?;
    let steps = ["node-key", "node-key-renewed", "identity-renewed"];
    for at in steps.iter().flat_map(|name| [(*name, "durable write"), (*name, "on the disk")]) {
        let killed = follow(&scene, machine, at)?;
        ensure!(killed.is_none(), "{at:?}: renew ended with {killed:?}");
        ensure!(machine.is_protected()?, "killed at {at:?}, and the node is none any more");
        ensure!(node(&scene)?["node_id"] == before["node_id"]);
        // The next one goes on; what the killed one has left goes with the next look.
        let is_done = at == ("identity-renewed", "on the disk");
        machine.agent(if is_done { &["renew"] } else { &["renew", "--now"] }, "")?.with_code(0)?;
        ensure!(keys(machine)?.len() == 1, "{at:?}: {:?}", keys(machine)?);
    }
    ensure!(machine.is_protected()?);
    Ok(())
}

/// Renews, and kills the agent where the durable step of this name begins, or is on the disk. Tells the exit code
/// if it came to an end of its own.
fn follow(scene: &Scene, machine: &Machine, (name, stage): (&str, &str)) -> Result<Option<i32>> {
    let mut child = Command::new(&scene.world.programs().agent)
        .args(["--config".into(), machine.config().into_os_string()])
        .args(["renew", "--now"])
        .env_clear()
        .envs(scene.world.environment())
        .envs([("TENWORDS_LOG", "tenwords_agent::durable=trace"), ("NO_COLOR", "1")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let step = format!("step=\"{name}\"");
    for line in BufReader::new(child.stderr.take().context("its errors")?).lines() {
        let line = line?;
        if line.contains(&step) && line.contains(stage) {
            child.kill()?;
            break;
        }
    }
    Ok(child.wait()?.code())
}

#[test]
fn s49_a_machine_that_was_installed_anew_is_the_node_that_it_was() -> Result<()> {
    let scene = protected()?;
    let before = (scene.hub.show(BOX)?, node(&scene)?);
    let identity = fs::read(scene.box_1.state().join("identity.json"))?;
    fs::remove_dir_all(scene.box_1.state())?;
    // Whoever has a ticket and only takes the name does not take the place.
    let refused = scene.box_1.enroll(&ticket(&scene, &[])?);
    ensure!(refused.is_err(), "a ticket without a host name took a living node's place");
    let host = before.1["hostname"].as_str().context("its name")?;
    scene.box_1.enroll(&ticket(&scene, &["--reinstall", host])?)?;
    ensure!(fs::read(scene.box_1.state().join("identity.json"))? != identity);
    let after = scene.hub.show(BOX)?;
    ensure!(node(&scene)?["node_id"] == before.1["node_id"], "a duplicate: {after}");
    ensure!(after["versions"] == before.0["versions"] && after["enrolled_at"] == before.0["enrolled_at"]);
    let boxes = scene.hub.operator(&["box", "list"])?.with_code(0)?.json()?;
    ensure!(boxes["boxes"].as_array().is_some_and(|boxes| boxes.len() == 1), "{boxes}");
    // The words open what was escrowed before, on yet another machine.
    scene.recovers(&scene.fresh("box2")?, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    Ok(())
}
