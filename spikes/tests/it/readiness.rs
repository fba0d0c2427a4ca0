//! Which box can be brought back today, from the box's own look to what cron hears: real agent, hub and operator.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::support::{BOX, GROUP, Scene, edit_manifest, protected};

/// How the box stands at the hub: in a word, and the codes of its reasons.
fn stands(scene: &Scene) -> Result<(String, Vec<String>)> {
    let fleet = scene.hub.operator(&["fleet"])?.with_code(0)?.json()?;
    let of = fleet["boxes"].as_array().and_then(|boxes| boxes.iter().find(|it| it["name"] == BOX));
    let of = of.context("the fleet has the box")?;
    let codes = of["reasons"].as_array().context("reasons")?.iter();
    Ok((
        of["state"].as_str().context("a state")?.to_owned(),
        codes.map(|it| it["code"].to_string().replace('"', "")).collect(),
    ))
}

fn reported(scene: &Scene) -> Result<(String, Vec<String>)> {
    // A node reports every ten seconds at most; the hub says when.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let settings = fs::read_to_string(scene.box_1.config())?;
        let ended = scene.box_1.agent(&["pass", "report"], &settings)?;
        if ended.code == Some(0) {
            return stands(scene);
        }
        ensure!(std::time::Instant::now() < end, "{}{}", ended.wrote(), ended.said());
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

/// The box says that its own group is backed up there.
fn with_own_group(scene: &Scene) -> Result<()> {
    let text = fs::read_to_string(scene.box_1.config())?;
    let text = text.replacen(
        "[[source]]",
        &format!("[[source]]\nrestore_paths = {{ \"{GROUP}/root.pxar\" = \"/srv/{BOX}\" }}"),
        1,
    );
    fs::write(scene.box_1.config(), text)?;
    Ok(())
}

#[test]
fn s43_a_box_is_ready_until_something_speaks_against_it_and_cron_hears_of_it() -> Result<()> {
    let scene = protected()?;
    with_own_group(&scene)?;
    let (state, codes) = stands(&scene)?;
    ensure!(state == "at-risk" && codes == ["nothing-said"], "{state} {codes:?}");
    ensure!(scene.hub.operator(&["fleet", "--fail-on", "at-risk"])?.code == Some(1));

    ensure!(scene.pass("servers")?["changed"] == true);
    ensure!(scene.pass("servers")?["changed"] == false, "nothing has changed");
    let (state, codes) = reported(&scene)?;
    ensure!(state == "ready" && codes.is_empty(), "{state} {codes:?}");
    scene.hub.operator(&["fleet", "--fail-on", "at-risk"])?.with_code(0)?;
    let status = scene.box_1.agent(&["status", "--json"], "")?.with_code(0)?.json()?;
    ensure!(status["readiness"]["state"] == "ready", "{}", status["readiness"]);

    // A plain snapshot, although the source is encrypted.
    let folder = crate::support::container(&scene.world, "plain", b"not for everybody")?;
    let (kind, id) = GROUP.split_once('/').context("a group")?;
    let spec = format!("root.pxar:{}", folder.display());
    let time = (tenwords_protocol::time::Timestamp::now().unix() + 60).to_string();
    let arguments =
        ["backup", &spec, "--backup-type", kind, "--backup-id", id, "--backup-time", &time, "--crypt-mode", "none"];
    scene.server.run(&arguments)?.with_code(0)?;
    scene.pass("servers")?;
    let (state, codes) = reported(&scene)?;
    ensure!(state == "at-risk" && codes.iter().any(|code| code == "snapshot-plain"), "{state} {codes:?}");

    // The key file goes.
    fs::remove_file(scene.box_1.key_file())?;
    let (_, codes) = reported(&scene)?;
    ensure!(codes.iter().any(|code| code == "source-broken"), "{codes:?}");
    let ended = scene.hub.operator(&["fleet", "--fail-on", "at-risk"])?;
    ensure!(ended.code == Some(1) && ended.said().contains("1 box is at-risk or worse"), "{}", ended.said());

    // The disk takes nothing: the report is what says so.
    let memory = scene.box_1.state().join("report.json");
    fs::remove_file(&memory)?;
    fs::create_dir(&memory)?;
    let (_, codes) = reported(&scene)?;
    ensure!(codes.iter().any(|code| code == "state-unwritable"), "{codes:?}");
    fs::remove_dir(&memory)?;
    let (_, codes) = reported(&scene)?;
    ensure!(!codes.iter().any(|code| code == "state-unwritable"), "{codes:?}");
    Ok(())
}

#[test]
fn s66_a_snapshot_that_the_box_did_not_sign_is_noticed_the_same_day() -> Result<()> {
    let scene = protected()?;
    with_own_group(&scene)?;
    let newest = scene.server.snapshots(GROUP)?.pop().context("a snapshot")?;
    let folder = scene.server.folder.as_ref().context("the stand-in's datastore")?.join(newest);
    edit_manifest(&folder, |manifest| manifest["files"][0]["size"] = 1.into())?;
    scene.pass("servers")?;
    let (state, codes) = reported(&scene)?;
    ensure!(state == "at-risk" && codes == ["snapshot-unsigned"], "{state} {codes:?}");
    Ok(())
}
