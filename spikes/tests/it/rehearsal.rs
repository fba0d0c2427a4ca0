//! A rehearsal on a node: it goes through everything, disturbs nobody, and is taken away again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{BackupServer, Machine, Pve, World},
};

use crate::{
    guests::{Burnt, everything, living},
    journal::{Step, follow},
    support::{BOX, by_pipe, container},
};

/// Container 103 has a network card and is started with its node; the group `host/desk` is no guest.
fn lively(world: &World, server: &BackupServer, _: &Pve, key: &Path) -> Result<()> {
    let folder = container(world, "ct-103", b"the till")?;
    let config = format!(
        "arch: amd64\nhostname: till\nmemory: 256\n{CARD}\nonboot: 1\nrootfs: local:103/subvol-103-disk-0.subvol,size=1G\n"
    );
    let config = world.write("ct-103.conf", config.as_bytes())?;
    let specs = [format!("pct.conf:{}", config.display()), format!("root.pxar:{}", folder.display())];
    server.back_up(&specs, "ct/103", key)?;
    server.back_up(&[format!("a.pxar:{}", folder.display())], "host/desk", key).map(drop)
}

const CARD: &str = "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=10.0.0.3/24";

/// What people and PVE keep in `/etc/pve`: no lock, no list that PVE makes itself, no file without content.
fn kept(pve: &Pve) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let of_pve = |path: &Path| path.ends_with(".vmlist") || path.ends_with(".version");
    let files = everything(pve)?.into_iter().filter_map(|(path, bytes)| Some((path, bytes?)));
    Ok(files.filter(|(path, bytes)| !bytes.is_empty() && !of_pve(path)).collect())
}

fn volumes(pve: &Pve) -> Result<Vec<String>> {
    let listed = pve.run("pvesm", &["list", "local"])?.with_code(0)?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Guests of the numbers that the box's own have, and a storage of somebody's.
fn inhabited(burnt: &Burnt, pve: &Pve, node: &str) -> Result<()> {
    for (place, text) in [
        ("lxc/101", "arch: amd64\nhostname: theirs\nrootfs: local:101/subvol-101-disk-7.subvol,size=1G\n"),
        ("qemu-server/102", "memory: 64\nname: theirs\n"),
    ] {
        fs::write(pve.etc(&format!("nodes/{node}/{place}.conf")), text)?;
    }
    let theirs = burnt.world.folder().join("job/theirs.enc");
    if !theirs.exists() {
        burnt.server.run(&["key", "create", "--kdf", "none", &theirs.display().to_string()])?.with_code(0)?;
    }
    pve.add_storage("pbs", &burnt.server, &theirs)
}

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

/// The guests are back under scratch numbers, and nothing else has come to the node.
fn is_rehearsed(burnt: &Burnt, machine: &Machine, pve: &Pve, before: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    ensure!(Tree::read(&pve.container_root(900_000))? == burnt.tree, "the files of container 101 are others");
    ensure!(fs::read(pve.disk(900_002))? == burnt.disk, "the disk of machine 102 is another");
    let till = pve.container_config(900_001)?;
    ensure!(till.contains("hostname: till") && till.contains("onboot: 0"), "{till}");
    let card = till.lines().find(|line| line.starts_with("net0:")).context("a card")?;
    ensure!(card.contains("ip=10.0.0.3/24") && !card.contains("BC:24:11:00:00:01"), "{card}");
    let desk = machine.restored("host/desk", "a.pxar");
    ensure!(desk.join("books").exists(), "the archive is not back");
    for (path, bytes) in before {
        ensure!(fs::read(path).is_ok_and(|now| now == *bytes), "{} was changed", path.display());
    }
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let more: Vec<String> =
        kept(pve)?.keys().filter(|path| !before.contains_key(*path)).map(|path| name(path)).collect();
    ensure!(more == ["900000.conf", "900001.conf", "900002.conf", "user.cfg"], "{more:?}");
    Ok(())
}

/// S54, on a node that is in use: everything is gone through, nobody notices, and it goes again.
#[test]
fn s54_a_rehearsal_on_a_node_goes_through_everything_and_is_taken_away() -> Result<()> {
    let (burnt, old) = living(lively)?;
    let (machine, pve) = burnt.node("box2")?;
    inhabited(&burnt, &pve, "pve2")?;
    let (before, volumes_before) = (kept(&pve)?, volumes(&pve)?);
    let more = ["--start", "--start-wait", "5"];
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &["--rehearsal"])?, &more, &burnt.words)?;
    let shown = told(&ended);
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{shown}", ended.code);
    is_rehearsed(&burnt, &machine, &pve, &before).context(shown.clone())?;
    for sentence in [
        "Rehearsed: ",
        "container 900000",
        "virtual machine 900002",
        "could not become 101: the number 101 is taken by the container \"theirs\"",
        "becomes 900001 in this rehearsal, and 103 in earnest",
        "`tenwords-agent recover --abort` takes away what this rehearsal has made",
        "started for a moment, cut off from every network",
    ] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(!machine.state().join("closure.json").exists(), "it has left a list to be closed");
    // The box lives on, is protected, and the hub says what it was.
    ensure!(old.is_protected()?, "the living box is not protected any more");
    let hub = burnt.hub.show(BOX)?;
    ensure!(hub["recovery"]["rehearsal"] == true && hub["versions"] == 1, "{hub}");
    let status = machine.agent(&["recover", "--status"], "")?.with_code(0)?;
    ensure!(status.wrote().contains("to take it away: recover --abort"), "{}", status.wrote());

    // One that runs is not taken away; the rest is, and the same command goes on.
    pve.run("pct", &["start", "900001"])?.with_code(0)?;
    let refused = machine.agent(&["recover", "--abort"], "")?.with_code(10)?;
    ensure!(refused.said().contains("running") && refused.said().contains("pct stop"), "{}", refused.said());
    pve.container_config(900_001)?;
    pve.run("pct", &["stop", "900001"])?.with_code(0)?;
    let aborted = machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
    ensure!(aborted.wrote().contains("The rehearsal is taken away."), "{}", aborted.wrote());
    ensure!(kept(&pve)? == before, "something is left or changed:\n{}", aborted.wrote());
    ensure!(volumes(&pve)? == volumes_before, "volumes are left: {:?}", volumes(&pve)?);
    ensure!(!machine.state().join("recovered").exists(), "the folder is left:\n{}", aborted.wrote());
    machine.agent(&["recover", "--abort"], "")?.with_code(10)?;
    machine.agent(&["recover", "--status"], "")?.with_code(0)?;
    Ok(())
}

/// S54: on the living box itself, whose guests run under their own numbers.
#[test]
fn s54_a_rehearsal_on_the_living_box_itself_disturbs_nothing() -> Result<()> {
    let mut node = None;
    let (burnt, machine) = living(|world, server, pve, key| {
        node = Some(pve.clone());
        lively(world, server, pve, key)?;
        fs::write(pve.etc("nodes/pve1/lxc/101.conf"), "arch: amd64\nhostname: web101\n")?;
        Ok(fs::write(pve.etc("nodes/pve1/qemu-server/102.conf"), "memory: 64\nname: db102\n")?)
    })?;
    let pve = node.context("the node")?;
    let (before, config) = (kept(&pve)?, fs::read(machine.config())?);
    // A machine that is enrolled takes no ticket; a kit can be tried anywhere.
    let kit = burnt.world.folder().join("bakery.kit").display().to_string();
    machine.agent(&["kit", "--out", &kit], "")?.with_code(0)?;
    let recovery = machine.recover_without_hub(&["--kit", &kit, "--rehearsal"], &[&burnt.words])?;
    ensure!(recovery.code == 0, "it ended with {}:\n{}", recovery.code, *recovery.shown);
    is_rehearsed(&burnt, &machine, &pve, &before).context(recovery.shown.to_string())?;
    ensure!(machine.is_protected()? && fs::read(machine.config())? == config, "the box is another");
    // Whoever takes a guest out of the pool keeps it.
    let users = fs::read_to_string(pve.etc("user.cfg"))?;
    let pool = users.split(':').find(|field| field.starts_with("tenwords-")).context("the pool")?;
    pve.run("../bin/pvesh", &["set", &format!("/pools/{pool}"), "--vms", "900001", "--delete", "1"])?.with_code(0)?;
    let aborted = machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
    ensure!(aborted.wrote().contains("it is not in the pool"), "{}", aborted.wrote());
    pve.container_config(900_001)?;
    pve.run("pct", &["destroy", "900001"])?.with_code(0)?;
    ensure!(kept(&pve)? == before, "something is left or changed:\n{}", aborted.wrote());
    ensure!(machine.is_protected()?, "the box is not protected");
    Ok(())
}

/// Killed where its storages stand and where they are about to go, it ends as if it never was; given up there,
/// nothing is left. An earlier rehearsal is taken away with it, a recovery in earnest never.
#[test]
fn s54_a_rehearsal_that_is_killed_goes_on_or_leaves_nothing() -> Result<()> {
    let (burnt, _old) = living(lively)?;
    let moments = [
        ("journal-installing", true),
        ("journal-started", true),
        ("journal-restored", true),
        ("journal-removed", false),
    ];
    for (number, (name, done)) in moments.into_iter().enumerate() {
        let (machine, pve) = burnt.node(&format!("killed-{number}"))?;
        inhabited(&burnt, &pve, "pve2")?;
        let before = kept(&pve)?;
        let step: Step = (name.to_owned(), done);
        let killed = |ticket: &str| -> Result<()> {
            let (steps, code) = follow(&burnt, &machine, ticket, |_, found| *found == step)?;
            ensure!(code.is_none(), "it ended with {code:?} before {step:?}: {steps:?}");
            Ok(())
        };
        // Given up.
        let ticket = burnt.hub.arm(BOX, &["--rehearsal"])?;
        killed(&ticket)?;
        let aborted = machine.agent(&["recover", "--abort"], "")?.with_code(0).with_context(|| format!("{step:?}"))?;
        ensure!(kept(&pve)? == before, "{step:?}: something is left:\n{}", aborted.wrote());
        // Gone on with.
        let ticket = burnt.hub.arm(BOX, &["--rehearsal"])?;
        killed(&ticket)?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        ensure!(ended.code == Some(0), "{step:?}: {:?}:\n{}", ended.code, told(&ended));
        is_rehearsed(&burnt, &machine, &pve, &before).with_context(|| format!("{step:?}:\n{}", told(&ended)))?;
        machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
        ensure!(kept(&pve)? == before, "{step:?}: something is left");
    }
    Ok(())
}

/// The recovery in earnest on a machine that has rehearsed: its guests stay when the rehearsal is taken away.
#[test]
fn s54_what_was_recovered_in_earnest_stays_when_a_rehearsal_is_taken_away() -> Result<()> {
    let (burnt, _old) = living(lively)?;
    let (machine, pve) = burnt.node("box2")?;
    let into = machine.folder().join("practice").display().to_string();
    let ticket = burnt.hub.arm(BOX, &["--rehearsal"])?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &["--into", &into], &burnt.words)?;
    ensure!(ended.code == Some(0), "{:?}:\n{}", ended.code, told(&ended));
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &[])?, &[], &burnt.words)?;
    ensure!(ended.code == Some(0), "{:?}:\n{}", ended.code, told(&ended));
    let (web, till) = (pve.container_config(101)?, pve.container_config(103)?);
    ensure!(till.contains("BC:24:11:00:00:01") && till.contains("onboot: 1"), "{till}");
    machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
    ensure!(pve.container_config(900_000).is_err() && !Path::new(&into).exists(), "the rehearsal is still there");
    ensure!(pve.container_config(101)? == web && pve.container_config(103)? == till, "a guest was changed");
    ensure!(machine.restored("host/desk", "a.pxar").exists(), "what was restored in earnest is gone");
    machine.agent(&["recover", "--abort"], "")?.with_code(10)?;
    ensure!(machine.is_protected()?, "the new box is not protected");
    Ok(())
}

/// S54: of a directive everything counts but the number.
#[test]
fn s54_a_rehearsal_follows_the_directive_but_never_to_its_numbers() -> Result<()> {
    let (burnt, _old) = living(lively)?;
    let edit = ["directive", "edit", BOX, "--only", "ct/101", "--vmid", "ct/101=201", "--storage", "local", "--yes"];
    burnt.hub.operator(&edit)?.with_code(0)?;
    let (machine, pve) = burnt.node("box2")?;
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &["--rehearsal"])?, &[], &burnt.words)?;
    let shown = told(&ended);
    ensure!(ended.code == Some(0), "{:?}:\n{shown}", ended.code);
    ensure!(shown.contains("becomes 900000 in this rehearsal, and 201 in earnest"), "{shown}");
    ensure!(Tree::read(&pve.container_root(900_000))? == burnt.tree, "the files are others:\n{shown}");
    ensure!(pve.container_config(201).is_err() && pve.container_config(900_001).is_err(), "more came back:\n{shown}");
    Ok(())
}
