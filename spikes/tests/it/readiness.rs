//! Which box can be brought back today, from the box's own look to what cron hears: real agent, hub and operator.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::tree::Tree;

use crate::support::{BOX, GROUP, Scene, as_shown, client, edit_manifest, joined_with, protected};

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

pub(crate) fn reported(scene: &Scene) -> Result<(String, Vec<String>)> {
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
    let time = (Timestamp::now().unix() + 60).to_string();
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

/// What is noted of the box at the hub, and is no reason.
fn notes(scene: &Scene) -> Result<Vec<String>> {
    let fleet = scene.hub.operator(&["fleet"])?.with_code(0)?.json()?;
    let of = fleet["boxes"].as_array().and_then(|boxes| boxes.iter().find(|it| it["name"] == BOX));
    let notes = of.and_then(|of| of["notes"].as_array()).context("notes")?.iter();
    Ok(notes.map(|it| it["code"].to_string().replace('"', "")).collect())
}

/// The tokens of the box's sources were asked of so many hours earlier than they were, and the mailer was last tried
/// long ago.
fn hours_go_by(scene: &Scene, hours: u64) -> Result<()> {
    let path = scene.box_1.state().join("servers.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    for source in kept["sources"].as_object_mut().context("sources")?.values_mut() {
        let at: Timestamp = serde_json::from_value(source["pruning_asked"]["at"].clone())?;
        let earlier = Timestamp::from_unix(at.unix() - i64::try_from(hours)? * 3600)?;
        source["pruning_asked"]["at"] = serde_json::to_value(earlier)?;
    }
    fs::write(&path, serde_json::to_vec(&kept)?)?;
    let path = scene.box_1.state().join("alarms.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    kept.as_object_mut().context("alarms")?.remove("tried");
    fs::write(&path, serde_json::to_vec(&kept)?)?;
    Ok(())
}

/// The box's client: one that is asked to remove anything in earnest does, whatever its server would say.
fn with_a_client_that_removes() -> Result<(Scene, PathBuf)> {
    let mut asked = PathBuf::new();
    let mut scene = joined_with(
        |world, server| {
            asked = world.folder().join("asked");
            let (log, store) = (asked.display(), server.folder.as_ref().context("a datastore")?.display());
            let script = format!(
                "case \" $* \" in *\" prune \"*|*\" forget \"*)\n\
                 echo \"$*\" >> '{log}'\n\
                 case \" $* \" in *\" forget \"*|*\" --keep-\"*) rm -r '{store}/{GROUP}';; *\" --dry-run true \"*) ;;\n\
                 *) rm -r '{store}/{GROUP}';; esac;; esac"
            );
            server.client = client(world, server, "client-that-removes", &script)?;
            Ok(())
        },
        &[],
    )?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    Ok((scene, asked))
}

/// It is found out by a question that removes nothing, told to the hub and to the machine's own mailer, and over as
/// soon as the role was changed.
#[test]
fn a_token_that_may_remove_backups_is_found_out_and_nothing_is_removed() -> Result<()> {
    const CODE: &str = "token-may-prune";
    const TOLD: &str = "may remove backups";
    let (scene, asked) = with_a_client_that_removes()?;
    with_own_group(&scene)?;
    let mail = scene.with_mail()?;
    let mailed = || fs::read_to_string(&mail).unwrap_or_default();
    let store = scene.server.folder.as_ref().context("a datastore")?;
    let before = (scene.server.snapshots(GROUP)?, Tree::read(store)?);
    ensure!(before.0.len() == 1, "{:?}", before.0);
    let untouched = || -> Result<()> {
        ensure!(before == (scene.server.snapshots(GROUP)?, Tree::read(store)?), "something was removed");
        Ok(())
    };

    // The role that it should have; and that is not asked twice a day.
    scene.pass("servers")?;
    scene.pass("servers")?;
    let questions = || -> Result<usize> { Ok(fs::read_to_string(&asked)?.lines().count()) };
    untouched()?;
    ensure!(questions()? == 1, "{}", fs::read_to_string(&asked)?);
    let (state, codes) = reported(&scene)?;
    ensure!(state == "ready" && notes(&scene)?.is_empty() && mailed().is_empty(), "{state} {codes:?} {}", mailed());

    scene.server.give_role("DatastorePowerUser")?;
    hours_go_by(&scene, 24)?;
    ensure!(scene.pass("servers")?["changed"] == true, "nobody reports it today");
    let (state, codes) = reported(&scene)?;
    ensure!(state == "ready" && codes.is_empty() && notes(&scene)? == [CODE], "{state} {codes:?} {:?}", notes(&scene)?);
    let status = scene.box_1.agent(&["status"], "")?.with_code(0)?;
    ensure!(status.wrote().contains("note: the box's own token may remove backups"), "{}", status.wrote());
    ensure!(mailed().starts_with("To: root\n") && mailed().matches(TOLD).count() == 1, "{}", mailed());
    hours_go_by(&scene, 1)?;
    ensure!(scene.pass("servers")?["changed"] == false && questions()? == 3, "it is no news");
    ensure!(mailed().matches(TOLD).count() == 1, "it is told again: {}", mailed());

    scene.server.give_role("DatastoreBackup")?;
    hours_go_by(&scene, 1)?;
    scene.pass("servers")?;
    reported(&scene)?;
    ensure!(notes(&scene)?.is_empty(), "{:?}", notes(&scene)?);
    ensure!(mailed().contains("OVER: the token of "), "{}", mailed());

    let expected = format!("prune {GROUP} --dry-run true --output-format json\n").repeat(4);
    ensure!(fs::read_to_string(&asked)? == expected, "{}", fs::read_to_string(&asked)?);
    untouched()
}
