//! Which box can be brought back today, from the box's own look to what cron hears: real agent, hub and operator.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::{
    tree::Tree,
    world::{BackupServer, Hub, Machine, Pve, World},
};

use crate::{
    guests::{Burnt, back_up_machine, living},
    support::{
        BOX, Disk, GROUP, Scene, as_shown, client, container, edit_manifest, joined, joined_with, mail_of,
        mailer_is_ready, pass, protected, reported, stands,
    },
    updates::copied,
};

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
    let (state, codes) = stands(&scene.hub)?;
    ensure!(state == "at-risk" && codes == ["nothing-said"], "{state} {codes:?}");
    ensure!(scene.hub.operator(&["fleet", "--fail-on", "at-risk"])?.code == Some(1));

    ensure!(scene.pass("servers")?["changed"] == true);
    ensure!(scene.pass("servers")?["changed"] == false, "nothing has changed");
    let (state, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(state == "ready" && codes.is_empty(), "{state} {codes:?}");
    scene.hub.operator(&["fleet", "--fail-on", "at-risk"])?.with_code(0)?;
    let status = scene.box_1.agent(&["status", "--json"], "")?.with_code(0)?.json()?;
    ensure!(status["readiness"]["state"] == "ready", "{}", status["readiness"]);

    // A plain snapshot, although the source is encrypted.
    back_up_plain(&scene.world, &scene.server)?;
    scene.pass("servers")?;
    let (state, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(state == "at-risk" && codes.iter().any(|code| code == "snapshot-plain"), "{state} {codes:?}");

    // The key file goes.
    fs::remove_file(scene.box_1.key_file())?;
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(codes.iter().any(|code| code == "source-broken"), "{codes:?}");
    let ended = scene.hub.operator(&["fleet", "--fail-on", "at-risk"])?;
    ensure!(ended.code == Some(1) && ended.said().contains("1 box is at-risk or worse"), "{}", ended.said());

    // The disk takes nothing: the report is what says so.
    let memory = scene.box_1.state().join("report.json");
    fs::remove_file(&memory)?;
    fs::create_dir(&memory)?;
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(codes.iter().any(|code| code == "state-unwritable"), "{codes:?}");
    fs::remove_dir(&memory)?;
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(!codes.iter().any(|code| code == "state-unwritable"), "{codes:?}");
    Ok(())
}

/// A snapshot of the group that anybody can read, newer than every other one of it.
fn back_up_plain(world: &World, server: &BackupServer) -> Result<()> {
    let folder = container(world, "plain", b"not for everybody")?;
    let (kind, id) = GROUP.split_once('/').context("a group")?;
    let spec = format!("root.pxar:{}", folder.display());
    let time = (Timestamp::now().unix() + 60).to_string();
    let arguments =
        ["backup", &spec, "--backup-type", kind, "--backup-id", id, "--backup-time", &time, "--crypt-mode", "none"];
    server.run(&arguments)?.with_code(0)?;
    Ok(())
}

/// A Proxmox VE node that has held its ceremony, with a job for its two guests, and where its mail goes.
struct Node {
    burnt: Burnt,
    machine: Machine,
    pve: Pve,
    mail: PathBuf,
}

impl Node {
    fn new() -> Result<Self> {
        let mut pve = None;
        let (burnt, machine) = living(|_, _, its, _| {
            its.write_container(101, "arch: amd64\nhostname: web101\n")?;
            its.write_machine(102, "memory: 1024\nname: db102\n")?;
            fs::write(its.etc("jobs.cfg"), "vzdump: nightly\n\tvmid 101,102\n\tstorage pbs\n\tschedule 21:00\n")?;
            pve = Some(its.clone());
            Ok(())
        })?;
        let mail = mail_of(&machine)?;
        let node = Self { burnt, machine, pve: pve.context("a node")?, mail };
        pass(&node.machine, "keep")?;
        pass(&node.machine, "servers")?;
        let (state, codes) = node.reported()?;
        ensure!(state == "ready" && node.mailed().is_empty(), "{state} {codes:?} {}", node.mailed());
        Ok(node)
    }

    /// A key of the test's own, which the machine does not have.
    fn foreign_key(&self) -> Result<PathBuf> {
        let path = self.burnt.world.folder().join("job/foreign.enc");
        self.burnt.server.run(&["key", "create", "--kdf", "none", &path.display().to_string()])?.with_code(0)?;
        Ok(path)
    }

    /// The virtual machine is backed up under a key that nobody holds.
    fn back_up_under_a_foreign_key(&self) -> Result<()> {
        back_up_machine(&self.burnt.world, &self.burnt.server, 102, &self.foreign_key()?).map(drop)
    }

    fn reported(&self) -> Result<(String, Vec<String>)> {
        reported(&self.burnt.hub, &self.machine)
    }

    fn mailed(&self) -> String {
        fs::read_to_string(&self.mail).unwrap_or_default()
    }
}

/// The key file is gone although the stanza names its key, and a backup is made in the clear all the same: the source is
/// broken, and what lies there is told no less.
#[test]
fn s43_a_plain_snapshot_is_told_while_the_key_file_is_gone() -> Result<()> {
    let node = Node::new()?;
    fs::remove_file(node.pve.etc("priv/storage/pbs.enc"))?;
    let stanza = fs::read_to_string(node.pve.etc("storage.cfg"))?;
    ensure!(stanza.contains("encryption-key"), "{stanza}");
    back_up_plain(&node.burnt.world, &node.burnt.server)?;
    node.back_up_under_a_foreign_key()?;
    pass(&node.machine, "servers")?;
    let (state, codes) = node.reported()?;
    let has = |code: &str| codes.iter().any(|its| its == code);
    for code in ["source-broken", "plain-snapshot", "snapshot-plain", "unknown-key"] {
        ensure!(has(code), "`{code}` is not told: {state} {codes:?}\n{}", node.mailed());
    }
    // Their job is what it was; nobody is to mend that.
    ensure!(!has("covered-elsewhere") && !has("not-covered"), "{codes:?}");
    let mailed = node.mailed();
    for words in [
        "the newest snapshot of ct/101 on pbs, of ",
        "is not encrypted although pbs is",
        "snapshots on pbs need 1 key that this box does not have",
    ] {
        ensure!(mailed.contains(words), "`{words}` is not told:\n{mailed}");
    }
    ensure!(!mailed.contains("is in no job"), "{mailed}");
    let cron = node.burnt.hub.operator(&["fleet", "--fail-on", "at-risk"])?;
    ensure!(cron.code == Some(1), "{}", cron.said());
    Ok(())
}

/// What may not wait for a recovery: the next pass tells it to the machine's own mailer, since a hub that lies will not
/// report itself, and to the hub.
#[test]
fn what_must_not_wait_is_told_by_the_boxs_own_mail_and_to_the_hub() -> Result<()> {
    let node = Node::new()?;
    back_up_plain(&node.burnt.world, &node.burnt.server)?;
    node.back_up_under_a_foreign_key()?;
    node.pve.write_container(103, "arch: amd64\nhostname: new103\n")?;
    node.burnt.server.give_role("DatastorePowerUser")?;
    hours_go_by(&node.machine, 24)?;
    pass(&node.machine, "servers")?;
    // Its token is asked of after the first of it was told.
    mailer_is_ready(&node.machine)?;
    pass(&node.machine, "servers")?;
    let (state, mut codes) = node.reported()?;
    ensure!(state == "at-risk", "{state} {codes:?}");
    codes.extend(notes(&node.burnt.hub)?);
    let mailed = node.mailed();
    for (code, words) in [
        ("plain-snapshot", "is not encrypted although pbs is"),
        ("unknown-key", "snapshots on pbs need 1 key that this box does not have"),
        ("not-covered", "guest 103 is in no job that writes to an encrypted backup server"),
        ("token-may-prune", "the token of pbs may remove backups there"),
    ] {
        ensure!(codes.iter().any(|its| its == code), "`{code}` is not told to the hub: {codes:?}");
        ensure!(mailed.matches(words).count() == 1, "`{words}` is not told to the administrator once:\n{mailed}");
    }
    Ok(())
}

/// The copy of a machine that ran has its start and its identity, and counts on from an earlier moment. What the hub says
/// to mend it by ends the copy.
#[test]
fn a_copy_of_a_disk_that_speaks_too_is_told_to_its_administrator_and_to_the_hub() -> Result<()> {
    let scene = joined()?;
    let copy = scene.fresh("copy")?;
    copied(&scene.box_1.state(), &copy.state())?;
    let mails = [mail_of(&scene.box_1)?, mail_of(&copy)?];
    let has = |codes: &[String]| codes.iter().any(|code| code == "clone");
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(!has(&codes) && !mails[0].exists(), "it is told before there is one: {codes:?}");

    Disk::of(&scene.hub)?.was_up_for_longer()?;
    for (machine, mail) in [&copy, &scene.box_1].into_iter().zip([&mails[1], &mails[0]]) {
        let (state, codes) = reported(&scene.hub, machine)?;
        ensure!(state != "ready" && has(&codes), "{state} {codes:?}");
        let told = fs::read_to_string(mail).context("nobody is told")?;
        for words in ["two machines speak to the hub as this node", "tenwords-agent enroll --again"] {
            ensure!(told.contains(words), "`{words}` is not told:\n{told}");
        }
    }

    let shown = scene.hub.show(BOX)?;
    let host = shown["nodes"][0]["hostname"].as_str().context("its name")?;
    let reply = scene.hub.operator(&["box", "ticket", BOX, "--reinstall", host])?.with_code(0)?.json()?;
    let ticket = reply["ticket"]["paste"].as_str().context("a ticket")?;
    let operators = scene.box_1.folder().join("etc/operators").display().to_string();
    let enroll = ["enroll", "--ticket-file", "-", "--operator-keys", &operators, "--again"];
    scene.box_1.agent(&enroll, ticket)?.with_code(0)?;
    let settings = fs::read_to_string(copy.config())?;
    let refused = copy.agent(&["pass", "report"], &settings)?;
    ensure!(refused.code != Some(0), "the copy still speaks: {}", refused.wrote());
    reported(&scene.hub, &scene.box_1)?;
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
    let (state, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(state == "at-risk" && codes == ["snapshot-unsigned"], "{state} {codes:?}");
    Ok(())
}

/// What is noted of the box at the hub, and is no reason.
fn notes(hub: &Hub) -> Result<Vec<String>> {
    let fleet = hub.operator(&["fleet"])?.with_code(0)?.json()?;
    let of = fleet["boxes"].as_array().and_then(|boxes| boxes.iter().find(|it| it["name"] == BOX));
    let notes = of.and_then(|of| of["notes"].as_array()).context("notes")?.iter();
    Ok(notes.map(|it| it["code"].to_string().replace('"', "")).collect())
}

/// The tokens of the box's sources were asked of so many hours earlier than they were, and the mailer was last tried
/// long ago.
fn hours_go_by(machine: &Machine, hours: u64) -> Result<()> {
    let path = machine.state().join("servers.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    for source in kept["sources"].as_object_mut().context("sources")?.values_mut() {
        let at: Timestamp = serde_json::from_value(source["pruning_asked"]["at"].clone())?;
        let earlier = Timestamp::from_unix(at.unix() - i64::try_from(hours)? * 3600)?;
        source["pruning_asked"]["at"] = serde_json::to_value(earlier)?;
    }
    fs::write(&path, serde_json::to_vec(&kept)?)?;
    mailer_is_ready(machine)
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
    let (state, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(state == "ready" && notes(&scene.hub)?.is_empty() && mailed().is_empty(), "{state} {codes:?} {}", mailed());

    scene.server.give_role("DatastorePowerUser")?;
    hours_go_by(&scene.box_1, 24)?;
    ensure!(scene.pass("servers")?["changed"] == true, "nobody reports it today");
    let (state, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(
        state == "ready" && codes.is_empty() && notes(&scene.hub)? == [CODE],
        "{state} {codes:?} {:?}",
        notes(&scene.hub)?
    );
    let status = scene.box_1.agent(&["status"], "")?.with_code(0)?;
    ensure!(status.wrote().contains("note: the box's own token may remove backups"), "{}", status.wrote());
    ensure!(mailed().starts_with("To: root\n") && mailed().matches(TOLD).count() == 1, "{}", mailed());
    hours_go_by(&scene.box_1, 1)?;
    ensure!(scene.pass("servers")?["changed"] == false && questions()? == 3, "it is no news");
    ensure!(mailed().matches(TOLD).count() == 1, "it is told again: {}", mailed());

    scene.server.give_role("DatastoreBackup")?;
    hours_go_by(&scene.box_1, 1)?;
    scene.pass("servers")?;
    reported(&scene.hub, &scene.box_1)?;
    ensure!(notes(&scene.hub)?.is_empty(), "{:?}", notes(&scene.hub)?);
    ensure!(mailed().contains("OVER: the token of "), "{}", mailed());

    let expected = format!("prune {GROUP} --dry-run true --output-format json\n").repeat(4);
    ensure!(fs::read_to_string(&asked)? == expected, "{}", fs::read_to_string(&asked)?);
    untouched()
}
