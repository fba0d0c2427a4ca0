//! A cluster is one box: real agents on nodes that see one `/etc/pve`, a real hub.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use serde_json::Value;
use tempfile::TempDir;
use tenwords_spikes::world::{BackupServer, Hub, Machine, Operators, Pve, World, write_private};
use zeroize::Zeroizing;

use crate::{
    codes,
    guests::back_up_container,
    orders_hub::fired,
    support::{BOX, Disk, as_shown, mail_of, mailer_is_ready, pass, reported, versions},
};

struct Cluster {
    nodes: Vec<(Machine, Pve)>,
    server: BackupServer,
    hub: Hub,
    world: World,
    _base: TempDir,
}

/// Three nodes with one storage. The first is enrolled, and nothing is escrowed.
fn cluster() -> Result<Cluster> {
    cluster_with(|_| Ok(()))
}

/// The same, in a world that is `made` to have something more.
fn cluster_with(made: impl FnOnce(&World) -> Result<()>) -> Result<Cluster> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    made(&world)?;
    let server = BackupServer::local(&world)?;
    let hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box(BOX)?;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        let machine = Machine::new(&world, &format!("box{number}"), &server.client)?;
        let pve = Pve::install(&world, &machine, &server, &format!("pve{number}"))?;
        nodes.push((machine, pve));
    }
    let made = world.folder().join("job/made.enc");
    server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    nodes[0].1.add_storage("pbs", &server, &made)?;
    back_up_container(&world, &server, 101, &made)?;
    let cluster = Cluster { nodes, server, hub, world, _base: base };
    cluster.is_one(true)?;
    cluster.node(1).enroll(&ticket)?;
    Ok(cluster)
}

impl Cluster {
    fn node(&self, number: usize) -> &Machine {
        &self.nodes[number - 1].0
    }

    fn pve(&self, number: usize) -> &Pve {
        &self.nodes[number - 1].1
    }

    fn is_one(&self, quorate: bool) -> Result<()> {
        Pve::cluster(&self.nodes.iter().map(|(_, pve)| pve).collect::<Vec<_>>(), quorate)
    }

    fn says(&self, number: usize, arguments: &[&str], code: i32) -> Result<Value> {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        let ended = self.node(number).agent(&arguments, "")?;
        ensure!(ended.code == Some(code), "{arguments:?}: {:?}: {}{}", ended.code, ended.wrote(), ended.said());
        ended.json()
    }

    fn update(&self, number: usize) -> Result<Value> {
        let ended = self.node(number).agent(&["--json", "escrow", "update"], "")?;
        ensure!(matches!(ended.code, Some(0 | 1)), "{:?}: {}{}", ended.code, ended.wrote(), ended.said());
        ended.json()
    }

    /// With the ticket of a node that is of the box.
    fn joins(&self, number: usize, by: usize) -> Result<Value> {
        self.says(by, &["join", "--for", &format!("pve{number}")], 0)?;
        self.says(number, &["join"], 0)
    }

    fn shared(&self, name: &str) -> PathBuf {
        self.pve(1).etc("priv/tenwords").join(name)
    }

    /// As PVE does at "autogenerate".
    fn gets_another_key(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.world.folder().join("job").join(name);
        self.server.run(&["key", "create", "--kdf", "none", &path.display().to_string()])?.with_code(0)?;
        let (enc, old) = (self.pve(1).etc("priv/storage/pbs.enc"), self.pve(1).etc("priv/storage/pbs.enc.old"));
        let (before, after) = (fs::read(&enc)?, fs::read(&path)?);
        fs::rename(&enc, old)?;
        write_private(&enc, &after)?;
        let cfg = self.pve(1).etc("storage.cfg");
        let text = fs::read_to_string(&cfg)?;
        fs::write(&cfg, text.replace(&fingerprint(&before)?, &fingerprint(&after)?))?;
        Ok(after)
    }

    fn versions(&self) -> Result<u64> {
        versions(&self.hub)
    }

    fn nodes_at_hub(&self) -> Result<Vec<Value>> {
        let shown = self.hub.show(BOX)?;
        Ok(shown["nodes"].as_array().with_context(|| format!("no nodes: {shown}"))?.clone())
    }

    fn pass(&self, number: usize, kind: &str) -> Result<Value> {
        pass(self.node(number), kind)
    }

    fn reasons(&self) -> Result<Vec<(String, String)>> {
        let fleet = self.hub.operator(&["fleet"])?.with_code(0)?.json()?;
        let of = fleet["boxes"].as_array().and_then(|boxes| boxes.iter().find(|it| it["name"] == BOX));
        let reasons = of.context("the fleet has the box")?["reasons"].as_array().context("reasons")?.clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(reasons.iter().map(|it| (text(&it["code"]), text(&it["subjects"][0]))).collect())
    }
}

fn fingerprint(key: &[u8]) -> Result<String> {
    Ok(KeyFile::parse(key)?.open(None)?.fingerprint().to_string())
}

fn ceremony(cluster: &Cluster, number: usize) -> Result<Zeroizing<String>> {
    cluster.node(number).ceremony(as_shown)
}

#[test]
fn s58_three_nodes_of_one_cluster_are_one_box_with_one_history() -> Result<()> {
    let cluster = cluster()?;
    // Before a ceremony there is nothing that a node could join.
    let nothing = cluster.says(2, &["join", "--no-wait"], 10)?;
    ensure!(nothing["error"].to_string().contains("no box of this cluster is known"), "{nothing}");
    let words = ceremony(&cluster, 1)?;
    for name in ["box.json", "box.key"] {
        ensure!(fs::metadata(cluster.shared(name))?.mode() & 0o777 == 0o600, "{name} is open to others");
    }
    ensure!(!fs::read_to_string(cluster.shared("box.json"))?.contains("PRIVATE KEY"));

    // Another node is offered to join, and told how.
    let offered = cluster.says(2, &["status"], 1)?;
    ensure!(offered["error"].to_string().contains(BOX) && offered["remedy"].to_string().contains("join"), "{offered}");
    let waits = cluster.says(2, &["join", "--no-wait"], 10)?;
    ensure!(waits["remedy"].to_string().contains("join --for pve2"), "{waits}");
    cluster.says(1, &["join", "--for", "pve9"], 2)?;
    cluster.says(1, &["join", "--for", "pve1"], 2)?;
    let joined = cluster.joins(2, 1)?;
    ensure!(joined["changed"] == true && joined["keeper"] == "pve1", "{joined}");
    ensure!(!cluster.shared("join-pve2").exists(), "the ticket stays");
    ensure!(cluster.says(2, &["join"], 0)?["changed"] == false);
    ensure!(cluster.nodes_at_hub()?.len() == 2 && cluster.versions()? == 1);
    // It has what a keeper needs, and says how the box stands.
    ensure!(cluster.node(2).is_protected()?, "the other node is not protected");
    ensure!(fs::read(cluster.node(1).state().join("box.key"))? == fs::read(cluster.node(2).state().join("box.key"))?);
    let status = cluster.says(2, &["status"], 0)?;
    ensure!(status["notes"].to_string().contains("pve1 escrows") && status.get("readiness").is_none(), "{status}");

    // A new key: every node keeps it, one escrows it, the others follow.
    let second = cluster.gets_another_key("second.enc")?;
    let waiting = cluster.update(2)?;
    ensure!(waiting["state"] == "waiting" && waiting["lacking"][0] == fingerprint(&second)?, "{waiting}");
    ensure!(cluster.versions()? == 1, "two nodes escrow");
    ensure!(cluster.update(1)?["state"] == "updated" && cluster.versions()? == 2);
    let followed = cluster.update(2)?;
    ensure!(followed["state"] == "current" && followed["keeper"] == "pve1", "{followed}");

    // Another keeper goes on in the same chain; the former one follows.
    let other = cluster.says(1, &["keeper", "pve3"], 10)?;
    ensure!(other["error"].to_string().contains("no agent that belongs"), "{other}");
    ensure!(cluster.says(1, &["keeper", "pve2"], 0)?["changed"] == true);
    ensure!(cluster.says(2, &["keeper"], 0)?["keeper"] == "pve2");
    let third = cluster.gets_another_key("third.enc")?;
    ensure!(cluster.update(1)?["state"] == "waiting" && cluster.versions()? == 2);
    let updated = cluster.update(2)?;
    ensure!(updated["state"] == "updated" && updated["update"] == 2, "{updated}");
    ensure!(cluster.update(1)?["state"] == "current" && cluster.versions()? == 3);
    ensure!(cluster.update(2)?["state"] == "current" && cluster.versions()? == 3, "unchanged is pushed again");

    // All are lost: the words once, and every key is there. The other new nodes join.
    let enc = cluster.pve(1).etc("priv/storage/pbs.enc");
    back_up_container(&cluster.world, &cluster.server, 103, &enc)?;
    let machine = Machine::new(&cluster.world, "new1", &cluster.server.client)?;
    let pve = Pve::install(&cluster.world, &machine, &cluster.server, "pve1")?;
    let recovery = machine.recover(&cluster.hub.arm(BOX, &[])?, &[&words])?;
    ensure!(recovery.code == 0, "{}", *recovery.shown);
    let kept = machine.agent(&["--json", "key", "list"], "")?.with_code(0)?.json()?;
    ensure!(kept.to_string().contains(&fingerprint(&third)?), "the newest key is not back: {kept}");
    let beside = Machine::new(&cluster.world, "new2", &cluster.server.client)?;
    let of_beside = Pve::install(&cluster.world, &beside, &cluster.server, "pve2")?;
    Pve::cluster(&[&pve, &of_beside], true)?;
    machine.agent(&["join", "--for", "pve2"], "")?.with_code(0)?;
    beside.agent(&["join"], "")?.with_code(0)?;
    ensure!(beside.is_protected()?);
    Ok(())
}

#[test]
fn s58_a_lost_node_of_a_living_cluster_comes_back_without_words() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    let before = cluster.nodes_at_hub()?;
    // The machine burns; another one is installed under its name, and is a node of the cluster again.
    let machine = Machine::new(&cluster.world, "other2", &cluster.server.client)?;
    let pve = Pve::install(&cluster.world, &machine, &cluster.server, "pve2")?;
    Pve::cluster(&[cluster.pve(1), &pve, cluster.pve(3)], true)?;
    let recovery = machine.recover(&cluster.hub.arm(BOX, &[])?, &[])?;
    ensure!(recovery.code == 10, "{}", *recovery.shown);
    let shown = recovery.shown.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(shown.contains("No words are needed") && shown.contains("tenwords-agent join"), "{shown}");
    cluster.hub.operator(&["recovery", "disarm", BOX])?.with_code(0)?;
    cluster.says(1, &["join", "--for", "pve2"], 0)?;
    machine.agent(&["join"], "")?.with_code(0)?;
    ensure!(machine.is_protected()?);
    let after = cluster.nodes_at_hub()?;
    let ids = |nodes: &[Value]| nodes.iter().map(|node| node["node_id"].to_string()).collect::<Vec<_>>();
    ensure!(ids(&before) == ids(&after), "a duplicate: {after:?}");
    ensure!(cluster.versions()? == 1);
    // What burnt is a node no more.
    let former = cluster.node(2).agent(&["renew", "--now"], "")?;
    ensure!(former.code == Some(16), "{:?} {}", former.code, former.said());
    Ok(())
}

#[test]
fn a_silent_keeper_and_a_node_that_has_not_joined_are_told_to_the_hub_and_to_the_machines_administrator() -> Result<()>
{
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    cluster.pass(1, "servers")?;
    cluster.pass(1, "report")?;
    let shown = cluster.hub.show(BOX)?;
    ensure!(shown["keeper"] == cluster.nodes_at_hub()?[0]["node_id"], "the hub does not know the keeper: {shown}");
    let has = |code: &str, of: &str| -> Result<()> {
        let reasons = cluster.reasons()?;
        ensure!(reasons.iter().any(|(its, subject)| its == code && subject.starts_with(of)), "{reasons:?}");
        Ok(())
    };
    has("node-not-joined", "pve3")?;

    // A key that the keeper has left for long.
    let second = cluster.gets_another_key("second.enc")?;
    let mail = mail_of(cluster.node(2))?;
    cluster.pass(2, "keep")?;
    ensure!(!mail.exists(), "it is told before the keeper has had its time");
    let index = cluster.node(2).state().join("lineage/index.json");
    let mut seen: Value = serde_json::from_str(&fs::read_to_string(&index)?)?;
    seen["keys"][&fingerprint(&second)?]["first_seen"] = "2026-01-01T00:00:00Z".into();
    fs::write(&index, seen.to_string())?;
    cluster.pass(2, "keep")?;
    let told = fs::read_to_string(&mail)?;
    ensure!(
        told.contains("pve1 escrows for this box, and has not") && told.contains("tenwords-agent keeper"),
        "{told}"
    );
    cluster.pass(2, "report")?;
    has("keeper-silent", "pve1")?;

    // The one that speaks takes over, and both are over.
    cluster.says(2, &["keeper", "pve2"], 0)?;
    cluster.pass(2, "keep")?;
    ensure!(cluster.versions()? == 2);
    let alarms = fs::read_to_string(cluster.node(2).state().join("alarms.json"))?;
    let alarms: Value = serde_json::from_str(&alarms)?;
    let of_keeper =
        alarms["alarms"].as_object().context("alarms")?.iter().find(|(name, _)| name.contains("keeper-silent"));
    ensure!(of_keeper.is_some_and(|(_, alarm)| alarm["ended"] == true), "{alarms}");
    Ok(())
}

#[test]
fn a_machine_that_has_not_joined_and_one_whose_keeper_the_hub_does_not_hear_tell_their_own_administrator() -> Result<()>
{
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    // A new machine is in the cluster, and nobody has made it a node of the box.
    let mail = mail_of(cluster.node(3))?;
    let mailed = || fs::read_to_string(&mail).unwrap_or_default();
    cluster.pass(3, "keep")?;
    let told = mailed();
    for words in [&format!("is box {BOX}"), "what to do: ", "tenwords-agent join"] {
        ensure!(told.contains(words), "`{words}` is not told:\n{told}");
    }
    cluster.joins(3, 1)?;
    mailer_is_ready(cluster.node(3))?;
    cluster.pass(3, "keep")?;
    ensure!(mailed().contains("- OVER: "), "{}", mailed());

    // The hub hears of the keeper, and then for hours of this node alone.
    cluster.pass(1, "report")?;
    reported(&cluster.hub, cluster.node(3))?;
    ensure!(!mailed().contains("has not heard of it"), "{}", mailed());
    let keeper = cluster.hub.show(BOX)?["keeper"].as_str().context("a keeper")?.to_owned();
    Disk::of(&cluster.hub)?.is_silent(&keeper)?;
    mailer_is_ready(cluster.node(3))?;
    reported(&cluster.hub, cluster.node(3))?;
    let told = mailed();
    for words in ["pve1 escrows for this box, and the hub has not heard of it for hours", "`tenwords-agent keeper`"] {
        ensure!(told.contains(words), "`{words}` is not told:\n{told}");
    }
    Ok(())
}

#[test]
fn what_is_shared_may_be_damaged_planted_or_out_of_reach_and_nothing_is_lost_by_it() -> Result<()> {
    let cluster = cluster()?;
    // S40: without quorum the ceremony holds, and says that nobody else knows of it.
    cluster.is_one(false)?;
    ceremony(&cluster, 1)?;
    ensure!(!cluster.shared("box.json").exists());
    cluster.is_one(true)?;
    ensure!(cluster.says(1, &["keeper"], 0)?["notes"].to_string().contains("nothing is shared"));
    cluster.says(1, &["keeper", "pve1"], 0)?;

    // A ticket of another box leads nowhere, and nothing of it is kept.
    let (_, foreign) = cluster.hub.add_box("mill")?;
    write_private(&cluster.shared("join-pve2"), foreign.as_bytes())?;
    let refused = cluster.says(2, &["join"], 12)?;
    ensure!(refused["error"].to_string().contains("another box"), "{refused}");
    ensure!(!cluster.node(2).state().join("identity.json").exists());
    cluster.joins(2, 1)?;

    // Another box key than the shared ceremony's is taken by nobody.
    let good = fs::read(cluster.shared("box.key"))?;
    fs::remove_dir_all(cluster.node(2).state().join("drills")).ok();
    fs::remove_file(cluster.node(2).state().join("escrow.json"))?;
    write_private(&cluster.shared("box.key"), b"-----BEGIN OPENSSH PRIVATE KEY-----\n")?;
    let ended = cluster.node(2).agent(&["escrow", "update"], "")?;
    ensure!(ended.code == Some(10) && ended.said().contains("not the shared ceremony's"), "{}", ended.said());
    write_private(&cluster.shared("box.key"), &good)?;
    ensure!(cluster.update(2)?["state"] == "current");

    // What cannot be read makes no second keeper.
    let text = fs::read(cluster.shared("box.json"))?;
    write_private(&cluster.shared("box.json"), b"{")?;
    cluster.gets_another_key("second.enc")?;
    ensure!(cluster.update(2)?["state"] == "waiting" && cluster.versions()? == 1);
    ensure!(cluster.update(1)?["state"] == "updated" && cluster.versions()? == 2);
    fs::remove_file(cluster.shared("box.json"))?;
    cluster.gets_another_key("third.enc")?;
    ensure!(cluster.update(2)?["state"] == "waiting" && cluster.versions()? == 2);
    cluster.says(1, &["keeper", "pve1"], 0)?;
    ensure!(cluster.update(1)?["state"] == "updated" && cluster.update(2)?["state"] == "current");
    ensure!(fs::read(cluster.shared("box.json"))? == text, "it is not what it was");
    Ok(())
}

#[test]
fn a_node_of_another_box_that_joins_a_cluster_leaves_only_where_that_is_said() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    let (_, ticket) = cluster.hub.add_box("mill")?;
    cluster.node(3).enroll(&ticket)?;
    let shared = fs::read(cluster.shared("box.json"))?;
    ceremony(&cluster, 3)?;
    ensure!(fs::read(cluster.shared("box.json"))? == shared, "it has made the cluster its own box");
    let status = cluster.says(3, &["status"], 1)?;
    ensure!(status["problems"].to_string().contains(&format!("this cluster is box {BOX}")), "{status}");
    cluster.says(3, &["keeper", "pve3"], 10)?;
    // Its own escrow is kept up to date as before, until it has joined.
    cluster.gets_another_key("second.enc")?;
    ensure!(cluster.update(3)?["state"] == "updated");
    ensure!(cluster.update(1)?["state"] == "updated");
    cluster.says(1, &["join", "--for", "pve3"], 0)?;
    let stays = cluster.says(3, &["join"], 10)?;
    ensure!(stays["remedy"].to_string().contains("--leave mill"), "{stays}");
    cluster.says(3, &["join", "--leave", BOX], 10)?;
    let joined = cluster.says(3, &["join", "--leave", "mill"], 0)?;
    ensure!(joined["changed"] == true && joined["notes"].to_string().contains("mill"), "{joined}");
    let status = cluster.node(3).agent(&["--json", "status"], "")?;
    ensure!(status.code == Some(0), "{}", status.wrote());
    ensure!(cluster.nodes_at_hub()?.len() == 2, "{:?}", cluster.nodes_at_hub()?);
    // The other box's escrow is where it was.
    let mill = cluster.hub.show("mill")?;
    ensure!(mill["versions"] == 2, "{mill}");
    Ok(())
}

/// A machine that takes the place of one of the nodes.
fn replaced(cluster: &Cluster, number: usize) -> Result<(Machine, Pve)> {
    let machine = Machine::new(&cluster.world, &format!("other{number}"), &cluster.server.client)?;
    let pve = Pve::install(&cluster.world, &machine, &cluster.server, &format!("pve{number}"))?;
    // The first one's files stay: they are the cluster's.
    let others = (2..=3).filter(|other| *other != number).map(|other| cluster.pve(other));
    Pve::cluster(&[cluster.pve(1)].into_iter().chain([&pve]).chain(others).collect::<Vec<_>>(), true)?;
    Ok((machine, pve))
}

#[test]
fn s58_a_keeper_that_was_lost_or_away_goes_on_without_words() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    // The keeper itself is lost. Another node lets it in, and it has everything again.
    let (machine, _) = replaced(&cluster, 1)?;
    cluster.says(2, &["join", "--for", "pve1"], 0)?;
    machine.agent(&["join"], "")?.with_code(0)?;
    ensure!(machine.is_protected()?, "a keeper that was installed anew is not protected");
    cluster.gets_another_key("second.enc")?;
    let update = machine.agent(&["--json", "escrow", "update"], "")?.with_code(0)?.json()?;
    ensure!(update["state"] == "updated" && update.get("keeper").is_none(), "{update}");
    ensure!(cluster.update(2)?["state"] == "current");
    ensure!(cluster.nodes_at_hub()?.len() == 2, "a duplicate");

    // It is away while the ceremony is held elsewhere, and is named again before it has heard of that.
    ceremony(&cluster, 2)?;
    cluster.says(2, &["keeper", "pve1"], 0)?;
    cluster.gets_another_key("third.enc")?;
    let update = machine.agent(&["--json", "escrow", "update"], "")?.with_code(0)?.json()?;
    ensure!(update["state"] == "updated", "{update}");
    ensure!(cluster.update(2)?["state"] == "current");
    Ok(())
}

#[test]
fn a_keeper_that_is_no_node_any_more_is_told_at_once() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    ensure!(cluster.node(2).is_protected()?);
    // Taken out of the cluster: the others are left.
    Pve::cluster(&[cluster.pve(1), cluster.pve(2), cluster.pve(3)], true)?;
    let members = serde_json::json!({
        "nodename": "pve2", "version": 3, "cluster": {"name": "fixture", "version": 2, "nodes": 2, "quorate": 1},
        "nodelist": {"pve2": {"id": 2}, "pve3": {"id": 3}},
    });
    fs::write(cluster.pve(2).etc(".members"), members.to_string())?;
    let status = cluster.says(2, &["status"], 1)?;
    let problems = status["problems"].to_string();
    ensure!(problems.contains("pve1 escrows") && problems.contains("tenwords-agent keeper pve2"), "{status}");
    let mail = mail_of(cluster.node(2))?;
    cluster.pass(2, "keep")?;
    ensure!(fs::read_to_string(&mail)?.contains("nobody does"));
    cluster.says(2, &["keeper", "pve2"], 0)?;
    ensure!(cluster.node(2).is_protected()?);

    // A cluster's node whose cluster service did not start does not say who is gone.
    let members = serde_json::json!({"nodename": "pve2", "version": 3});
    fs::write(cluster.pve(2).etc(".members"), members.to_string())?;
    ensure!(cluster.node(2).is_protected()?);
    cluster.says(2, &["keeper", "pve3"], 10)?;
    Ok(())
}

#[test]
fn a_ceremony_that_could_not_be_shared_is_told_until_it_is() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    cluster.is_one(false)?;
    ceremony(&cluster, 2)?;
    // It escrows all the same, and the former keeper adds nothing to what is past.
    cluster.gets_another_key("second.enc")?;
    ensure!(cluster.update(2)?["state"] == "updated");
    let former = cluster.node(1).agent(&["escrow", "update"], "")?;
    ensure!(former.code == Some(12), "{:?} {}", former.code, former.said());
    let status = cluster.says(2, &["status"], 1)?;
    ensure!(status["problems"].to_string().contains("tenwords-agent keeper pve2"), "{status}");
    cluster.is_one(true)?;
    cluster.says(2, &["keeper", "pve2"], 0)?;
    ensure!(cluster.node(2).is_protected()?);
    ensure!(cluster.update(1)?["state"] == "current" && cluster.node(1).is_protected()?);
    Ok(())
}

#[test]
fn a_used_ticket_and_a_damaged_copy_are_mended_by_the_same_commands() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.says(1, &["join", "--for", "pve2"], 0)?;
    let ticket = fs::read(cluster.shared("join-pve2"))?;
    cluster.says(2, &["join"], 0)?;
    // One that is spent is taken away, and the next one is good.
    write_private(&cluster.shared("join-pve3"), &ticket)?;
    let refused = cluster.says(3, &["join"], 16)?;
    ensure!(refused["remedy"].to_string().contains("join --for pve3"), "{refused}");
    ensure!(!cluster.shared("join-pve3").exists());
    cluster.joins(3, 2)?;
    ensure!(cluster.node(3).is_protected()?);
    // A follower's damaged copy is the hub's again.
    fs::write(cluster.node(2).state().join("escrow.bundle"), "damaged")?;
    ensure!(cluster.update(2)?["state"] == "current" && cluster.node(2).is_protected()?);
    // A node that was taken out at the hub is let in again.
    cluster.hub.operator(&["box", "remove-node", BOX, "pve3", "--yes"])?.with_code(0)?;
    cluster.says(1, &["join", "--for", "pve3"], 0)?;
    ensure!(cluster.says(3, &["join", "--again"], 0)?["changed"] == true);
    ensure!(cluster.node(3).is_protected()?);
    Ok(())
}

/// One machine with Proxmox VE, which is in no cluster.
fn single(world: &World, server: &BackupServer, name: &str, node: &str) -> Result<(Machine, Pve)> {
    let machine = Machine::new(world, name, &server.client)?;
    let pve = Pve::install(world, &machine, server, node)?;
    let made = world.folder().join("job").join(format!("{name}.enc"));
    server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    pve.add_storage("pbs", server, &made)?;
    Ok((machine, pve))
}

fn is_called(pve: &Pve, name: &str) -> Result<()> {
    Ok(fs::write(pve.etc(".members"), serde_json::json!({"nodename": name, "version": 9}).to_string())?)
}

#[test]
fn a_single_machine_is_not_told_of_others() -> Result<()> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let server = BackupServer::local(&world)?;
    let hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box(BOX)?;
    let (machine, pve) = single(&world, &server, "box1", "pve")?;
    back_up_container(&world, &server, 101, &world.folder().join("job/box1.enc"))?;
    is_called(&pve, "pve")?;
    machine.enroll(&ticket)?;
    let words = machine.ceremony(as_shown)?;
    ensure!(machine.is_protected()?);
    let status = |code| machine.agent(&["--json", "status"], "")?.with_code(code)?.json();

    // It is renamed: one command, and it is told at once.
    is_called(&pve, "pve-a")?;
    let renamed = status(1)?;
    ensure!(renamed["problems"].to_string().contains("tenwords-agent keeper pve-a"), "{renamed}");
    machine.agent(&["keeper", "pve-a"], "")?.with_code(0)?;
    ensure!(machine.is_protected()?);

    // Its agent is lost and /etc/pve is not: there is nobody who could let it in, and it is not kept from recovering.
    let identity = fs::read_to_string(machine.state().join("identity.json"))?;
    fs::remove_dir_all(machine.state())?;
    let alone = machine.agent(&["--json", "join"], "")?.with_code(10)?.json()?;
    ensure!(alone["remedy"].to_string().contains("--reinstall pve-a"), "{alone}");
    let offered = status(1)?;
    ensure!(offered["remedy"].to_string().contains("recover"), "{offered}");
    let again = hub.operator(&["box", "ticket", BOX, "--reinstall", "pve"])?.with_code(0)?.json()?;
    ensure!(again["ticket"].is_object(), "{again}");
    let recovery = machine.recover(&hub.arm(BOX, &[])?, &[&words])?;
    ensure!([0, 14].contains(&recovery.code), "{} {}", recovery.code, *recovery.shown);
    ensure!(fs::read_to_string(machine.state().join("identity.json"))? != identity);

    // It becomes another box: what it shared with nobody does not hold it.
    let (_, other) = hub.add_box("mill")?;
    let (machine, _) = (Machine::new(&world, "again", &server.client)?, ());
    let pve_again = Pve::install(&world, &machine, &server, "pve")?;
    is_called(&pve_again, "pve")?;
    fs::create_dir_all(pve_again.etc("priv/tenwords"))?;
    for name in ["box.json", "box.key"] {
        write_private(&pve_again.etc("priv/tenwords").join(name), &fs::read(pve.etc("priv/tenwords").join(name))?)?;
    }
    pve_again.add_storage("pbs", &server, &world.folder().join("job/box1.enc"))?;
    machine.enroll(&other)?;
    machine.ceremony(as_shown)?;
    ensure!(machine.is_protected()?, "a former box speaks against it");
    ensure!(fs::read_to_string(pve_again.etc("priv/tenwords/box.json"))?.contains("mill"));
    Ok(())
}

#[test]
fn a_box_without_a_hub_is_no_stranger_to_its_own_cluster() -> Result<()> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let server = BackupServer::local(&world)?;
    let (machine, pve) = single(&world, &server, "box1", "pve")?;
    is_called(&pve, "pve")?;
    let kit = world.folder().join("job/kit").display().to_string();
    let mut terminal = machine.at_terminal(&["escrow", "create", "--new-code", "--kit", &kit])?;
    let long = std::time::Duration::from_secs(300);
    let screen = terminal.expect("Press Enter when they are written down", long)?;
    let words = tenwords_spikes::terminal::numbered_words(&screen, 10).context("ten words")?;
    terminal.type_line("")?;
    terminal.expect("The ten words: ", long)?;
    terminal.await_silence(std::time::Duration::from_secs(60))?;
    terminal.type_line(&words)?;
    let (code, _) = terminal.end(long)?;
    ensure!(code == 0, "{code}");
    ensure!(pve.etc("priv/tenwords/box.json").exists());
    let status = machine.agent(&["--json", "status"], "")?.json()?;
    ensure!(!status["problems"].to_string().contains("not a node"), "{status}");
    Ok(())
}

#[test]
fn a_new_code_on_a_node_that_lacks_a_key_does_not_have_the_former_sheet_destroyed() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    // A key that came and went while the other node did not look: an update under code 1 is all that has it.
    let second = cluster.gets_another_key("second.enc")?;
    ensure!(cluster.update(1)?["state"] == "updated");
    cluster.gets_another_key("third.enc")?;
    cluster.gets_another_key("fourth.enc")?;
    ensure!(cluster.update(2)?["keeper"] == "pve1");
    let kept = cluster.says(2, &["key", "list"], 0)?;
    ensure!(!kept.to_string().contains(&fingerprint(&second)?), "{kept}");
    let before = [("or draw a new one (n)?", "n"), ("Do you have the sheet of that code? [y/N] ", "n")];
    let (_, shown) = codes::replaced(cluster.node(2), &before)?;
    ensure!(shown.contains("Keep the sheet of code 1 too"), "{}", *shown);
    Ok(())
}

#[test]
fn what_is_shared_was_set_back_and_no_second_keeper_comes_of_it() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    cluster.joins(3, 1)?;
    let names = ["box.json", "box.key"];
    let old = names.map(|name| fs::read(cluster.shared(name)));
    ceremony(&cluster, 2)?;
    for number in [1, 2, 3] {
        ensure!(cluster.update(number)?["state"] == "current");
    }
    for (name, old) in names.into_iter().zip(old) {
        write_private(&cluster.shared(name), &old?)?;
    }
    cluster.gets_another_key("second.enc")?;
    for number in [1, 3] {
        let follows = cluster.update(number)?;
        ensure!(follows["keeper"] == "pve2" && follows["state"] == "waiting", "node {number}: {follows}");
    }
    ensure!(cluster.versions()? == 2, "two nodes escrow");
    ensure!(cluster.update(2)?["state"] == "updated" && cluster.versions()? == 3);
    // It is told where it can be mended.
    let status = cluster.says(2, &["status"], 1)?;
    ensure!(status["problems"].to_string().contains("tenwords-agent keeper pve2"), "{status}");
    cluster.says(2, &["keeper", "pve2"], 0)?;
    ensure!(cluster.node(2).is_protected()? && cluster.update(1)?["state"] == "current");
    Ok(())
}

/// It knows of the newer ceremony by name, and was to escrow by the former one.
#[test]
fn a_former_keeper_that_has_only_heard_of_the_newest_ceremony_does_not_take_over_by_what_is_set_back() -> Result<()> {
    let mut cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    cluster.joins(3, 1)?;
    cluster.says(3, &["keeper", "pve3"], 0)?;
    let old = fs::read(cluster.shared("box.json"))?;
    let key = fs::read(cluster.shared("box.key"))?;
    ceremony(&cluster, 2)?;
    cluster.hub.stop()?;
    let ended = cluster.node(3).agent(&["escrow", "update"], "")?;
    ensure!(ended.code == Some(15), "{:?} {}", ended.code, ended.said());
    write_private(&cluster.shared("box.key"), &key)?;
    write_private(&cluster.shared("box.json"), &old)?;
    cluster.hub.serve()?;
    cluster.gets_another_key("second.enc")?;
    let follows = cluster.update(3)?;
    ensure!(follows["keeper"] == "pve2" && cluster.versions()? == 2, "{follows}");
    ensure!(cluster.update(2)?["state"] == "updated");
    // Whom somebody names is the keeper, whatever was known before.
    cluster.says(2, &["keeper", "pve3"], 0)?;
    ensure!(cluster.update(3)?["state"] == "updated" && cluster.update(2)?["keeper"] == "pve3");
    Ok(())
}

#[test]
fn another_keeper_is_given_the_ceremony_that_it_goes_on_with() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    cluster.is_one(false)?;
    ceremony(&cluster, 1)?;
    cluster.is_one(true)?;
    // Nobody has been told of the second one yet, and the node that has held it names another.
    cluster.says(1, &["keeper", "pve2"], 0)?;
    ensure!(cluster.update(2)?["state"] == "updated" || cluster.node(2).is_protected()?);
    cluster.gets_another_key("second.enc")?;
    ensure!(cluster.update(2)?["state"] == "updated");
    let follows = cluster.update(1)?;
    ensure!(follows["keeper"] == "pve2" && follows["state"] == "current", "{follows}");
    Ok(())
}

#[test]
fn a_newer_list_of_operators_is_shared_by_whoever_takes_it_and_lowered_by_nobody() -> Result<()> {
    let mut operators = None;
    let cluster = cluster_with(|world| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    let generation = || -> Result<Value> {
        let shared: Value = serde_json::from_slice(&fs::read(cluster.shared("box.json"))?)?;
        Ok(shared["operators"]["generation"].clone())
    };
    ensure!(generation()? == 1, "{}", generation()?);
    fired(&cluster.hub, &cluster.world, &operators.context("operators")?)?;
    cluster.node(2).agent(&["pins", "take"], "")?.with_code(0)?;
    ensure!(generation()? == 2, "{}", generation()?);
    // The keeper has not heard of it, and shares what it has once more.
    cluster.says(1, &["keeper", "pve1"], 0)?;
    ensure!(generation()? == 2, "{}", generation()?);
    Ok(())
}

#[test]
fn a_node_that_does_not_escrow_asks_once_a_day_what_needs_its_kept_keys() -> Result<()> {
    let cluster = cluster()?;
    ceremony(&cluster, 1)?;
    cluster.joins(2, 1)?;
    cluster.update(2)?;
    let asked = || -> Result<(Value, Value)> {
        let index: Value = serde_json::from_slice(&fs::read(cluster.node(2).state().join("lineage/index.json"))?)?;
        let needed = index["keys"].as_object().and_then(|keys| keys.values().next()).map(|key| key["needed"].clone());
        Ok((index["asked_on"].clone(), needed.context("a kept key")?))
    };
    ensure!(asked()? == (Value::Null, Value::Null), "{:?}", asked()?);
    cluster.pass(2, "servers")?;
    let first = asked()?;
    ensure!(first.0.is_i64() && first.1["snapshots"] == 1, "{first:?}");
    // On the same day the server is not asked again, whatever has come.
    back_up_container(&cluster.world, &cluster.server, 103, &cluster.pve(1).etc("priv/storage/pbs.enc"))?;
    cluster.pass(2, "servers")?;
    ensure!(asked()? == first, "{:?} after {first:?}", asked()?);
    Ok(())
}
