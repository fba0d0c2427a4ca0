//! Recovery without any hub: from a kit, from the box's own backup server, from a datastore's bare folder;
//! and a box that no hub ever knew.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use tenwords_protocol::version::Bundle;
use tenwords_spikes::{
    terminal::numbered_words,
    tree::Tree,
    world::{Machine, Recovery},
};
use zeroize::Zeroizing;

use crate::support::{BOX, GROUP, Scene, as_shown, joined, key_part, protected};

/// A recovery by these arguments that must end well, with data and key back.
fn recovers(scene: &Scene, machine: &Machine, arguments: &[&str]) -> Result<Recovery> {
    let recovery = machine.recover_without_hub(arguments, &[&scene.words])?;
    ensure!(recovery.code == 0, "it ended with {}:\n{}", recovery.code, *recovery.shown);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    Ok(recovery)
}

fn has_key(scene: &Scene, machine: &Machine) -> Result<()> {
    let installed = KeyFile::parse(&fs::read(machine.installed_key())?)?.open(None)?;
    ensure!(installed.fingerprint() == scene.key.fingerprint(), "the key is another");
    Ok(())
}

fn kit_of(scene: &Scene) -> Result<String> {
    let kit = scene.world.folder().join("bakery.kit").display().to_string();
    let said = scene.box_1.agent(&["kit", "--out", &kit], "")?.with_code(0)?.wrote();
    ensure!(said.contains("Never keep it beside the ten words"), "{said}");
    Ok(kit)
}

/// The kit that a recovery has closed with.
fn closing_kit(machine: &Machine) -> Result<String> {
    let kit = fs::read_dir(machine.state())?.filter_map(Result::ok).map(|entry| entry.path());
    let mut kits = kit.filter(|path| path.extension().is_some_and(|end| end == "kit"));
    let kit = kits.next().context("a closing kit")?;
    ensure!(kits.next().is_none(), "one kit");
    Ok(kit.display().to_string())
}

#[test]
fn s33_with_the_hub_gone_a_kit_and_the_words_bring_the_box_back() -> Result<()> {
    let mut scene = protected()?;
    let kit = kit_of(&scene)?;
    scene.box_1.agent(&["kit", "--out", &kit], "")?.with_code(2)?;
    scene.hub.stop()?;

    let other = format!("{}.own", kit.as_str());
    let said = scene.box_1.agent(&["kit", "--out", &other], "")?.with_code(0)?.wrote();
    ensure!(said.contains("the box's own newest copy"), "without the hub the box's own copy is written: {said}");

    let machine = scene.fresh("box2")?;
    let wrong = scene.words.split(' ').rev().collect::<Vec<_>>().join(" ");
    let refused = machine.recover_without_hub(&["--kit", &kit], &[&wrong, &wrong, &wrong])?;
    ensure!(refused.code == 11, "wrong words ended with {}:\n{}", refused.code, *refused.shown);
    machine.nothing_installed()?;

    let recovery = recovers(&scene, &machine, &["--kit", &kit])?;
    has_key(&scene, &machine)?;
    ensure!(recovery.shown.contains("the kit "), "it says where the escrow lay:\n{}", *recovery.shown);
    // It ends with an escrow of its own, which a third machine recovers from.
    let closing = closing_kit(&machine)?;
    // Protected it is; closed it is not, after a recovery.
    let told = machine.agent(&["status"], "")?.with_code(1)?.wrote();
    ensure!(told.contains("no hub keeps the escrow"), "status says what keeps it: {told}");
    recovers(&scene, &scene.fresh("box3")?, &["--kit", &closing])?;
    Ok(())
}

#[test]
fn s33_a_kit_that_somebody_changed_is_refused() -> Result<()> {
    let scene = protected()?;
    let kit = kit_of(&scene)?;
    let text = fs::read(&kit)?;
    let bundle = Bundle::parse(&text)?;
    let machine = scene.fresh("box2")?;
    let refused = |text: &[u8], code: u32, says: &str| -> Result<()> {
        let path = format!("{kit}.changed");
        fs::write(&path, text)?;
        let recovery = machine.recover_without_hub(&["--kit", &path], &[&scene.words])?;
        ensure!(recovery.code == code, "{says}: ended with {}:\n{}", recovery.code, *recovery.shown);
        ensure!(recovery.shown.contains(says), "{says} is not said:\n{}", *recovery.shown);
        machine.nothing_installed()
    };
    // Cut, another first line, one byte of a part.
    refused(&text[..text.len() / 2], 12, "the kit")?;
    refused(&[b"x", text.as_slice()].concat(), 12, "not a tenwords bundle")?;
    let mut parts = bundle.parts().clone();
    let name = key_part(&parts)?;
    // Another key part under the same name, with a header that fits it: the root does not list it.
    let foreign = protected()?;
    let foreign_kit = Bundle::parse(&fs::read(kit_of(&foreign)?)?)?;
    let (from, to) = (key_part(foreign_kit.parts())?, name);
    parts.insert(to, foreign_kit.parts()[&from].clone());
    let swapped = Bundle::new(bundle.header().facts().clone(), parts)?;
    refused(&swapped.to_text()?, 12, "what is kept beside it is not what was stored")?;
    Ok(())
}

#[test]
fn a_box_without_a_hub_holds_its_ceremony_into_a_kit() -> Result<()> {
    let mut scene = joined()?;
    let file = fs::read(scene.box_1.key_file())?;
    let alone = Machine::new(&scene.world, "alone", &scene.server.client)?.with_source(&scene.server, &file)?;
    let kit = scene.world.folder().join("alone.kit").display().to_string();
    let refused = alone.agent(&["escrow", "create"], "")?.with_code(10)?.said();
    ensure!(refused.contains("--kit FILE"), "it says how it goes without a hub: {refused}");

    let mut terminal = alone.at_terminal(&["escrow", "create", "--kit", &kit, "--box-name", "mill"])?;
    let screen = terminal.expect("Press Enter when they are written down", LONG)?;
    scene.words = numbered_words(&screen, 10).context("ten words")?;
    terminal.type_line("")?;
    terminal.expect("The ten words: ", LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&scene.words)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0 && shown.contains("stored in the kit"), "ended with {code}:\n{}", *shown);
    ensure!(alone.is_protected()?, "the box says that it is protected");
    let sheet = scene.world.folder().join("sheet.txt").display().to_string();
    alone.agent(&["sheet", "--out", &sheet], "")?.with_code(0)?;
    ensure!(fs::read_to_string(&sheet)?.contains("mill"), "a sheet is made without a hub");

    // Its code is kept, and the next kit is another file.
    let second = format!("{kit}.2");
    let (code, shown) = alone
        .conversation(&["escrow", "create", "--keep-code", "--kit", &second], &[("The ten words: ", &scene.words)])?;
    ensure!(code == 0, "the code is kept: {code}:\n{}", *shown);
    recovers(&scene, &scene.fresh("box2")?, &["--kit", &second])?;
    Ok(())
}

#[test]
fn the_boxs_own_backup_server_is_a_second_holder() -> Result<()> {
    let mut scene = protected()?;
    let (_, group) = second_holder(&scene)?;
    // It is no backup, and raises no alarm as one.
    let inventory = scene.box_1.agent(&["--json", "inventory"], "")?.with_code(0)?.wrote();
    ensure!(!inventory.contains(&group) && inventory.contains("\"plain\":0"), "{inventory}");
    scene.hub.stop()?;
    let token = scene.world.write("their.token", format!("{}\n", scene.server.expose_secret()).as_bytes())?;
    let token = token.display().to_string();
    let arguments = [
        "--second-holder",
        &scene.server.repository,
        "--certificate",
        &scene.server.certificate,
        "--token-file",
        &token,
    ];
    let machine = scene.fresh("box2")?;
    let recovery = recovers(&scene, &machine, &arguments)?;
    has_key(&scene, &machine)?;
    ensure!(recovery.shown.contains(&group), "it says where the escrow lay:\n{}", *recovery.shown);
    ensure!(!recovery.shown.contains("NOT ALL"), "{}", *recovery.shown);
    // A certificate that is another one gets no token.
    let other = format!("{}00", &scene.server.certificate[..93]);
    let mut wrong = arguments;
    wrong[3] = &other;
    let machine = scene.fresh("box3")?;
    let refused = machine.recover_without_hub(&wrong, &[])?;
    ensure!(refused.code != 0, "another certificate: {}\n{}", refused.code, *refused.shown);
    machine.nothing_installed()?;
    Ok(())
}

/// The snapshot of the second holder in the datastore's folder.
fn second_holder(scene: &Scene) -> Result<(std::path::PathBuf, String)> {
    let id = scene.hub.show(BOX)?["box_id"].as_str().context("an id")?.to_owned();
    let group = format!("host/tenwords-{id}");
    let folder = scene.server.folder.as_ref().context("a folder")?.join(&group);
    ensure!(folder.is_dir(), "there is no {}", folder.display());
    Ok((folder, group))
}

#[test]
fn break_glass_from_a_bare_datastore_with_nothing_but_the_words() -> Result<()> {
    let mut scene = protected()?;
    scene.hub.stop()?;
    // The disk of the server, somewhere else; and a machine without a client.
    let disk = scene.world.folder().join("disk");
    fs::rename(scene.server.folder.as_ref().context("a folder")?, &disk)?;
    let nowhere = scene.world.folder().join("no-client");
    let machine = Machine::new(&scene.world, "rescue", &nowhere)?;
    let path = disk.display().to_string();
    let before = Tree::read(&disk)?;
    let recovery = recovers(&scene, &machine, &["--datastore", &path])?;
    ensure!(!machine.installed_key().exists(), "a datastore's folder is only read");
    ensure!(recovery.shown.contains("puts no key, token or source in place"), "{}", *recovery.shown);
    ensure!(Tree::read(&disk)? == before, "the datastore is as it was");
    machine.left_nothing_in_memory()?;

    let not_one = scene.world.make("not-a-datastore")?.display().to_string();
    let refused = scene.fresh("box3")?.recover_without_hub(&["--datastore", &not_one], &[])?;
    ensure!(refused.code == 2 && refused.shown.contains(".chunks"), "{}:\n{}", refused.code, *refused.shown);
    Ok(())
}

/// Two boxes on one datastore: the words say which.
#[test]
fn of_several_boxes_the_words_open_their_own() -> Result<()> {
    let scene = protected()?;
    let file = fs::read(scene.box_1.key_file())?;
    let (_, ticket) = scene.hub.add_box("mill")?;
    let mill = Machine::new(&scene.world, "mill", &scene.server.client)?.with_source(&scene.server, &file)?;
    mill.enroll(&ticket)?;
    mill.ceremony(as_shown)?;
    let disk = scene.server.folder.as_ref().context("a folder")?.display().to_string();
    let recovery = recovers(&scene, &scene.fresh("rescue")?, &["--datastore", &disk])?;
    ensure!(recovery.shown.contains("box bakery"), "{}", *recovery.shown);
    let wrong: Zeroizing<String> = Zeroizing::new(scene.words.split(' ').rev().collect::<Vec<_>>().join(" "));
    let refused = scene.fresh("rescue2")?.recover_without_hub(&["--datastore", &disk], &[&wrong, &wrong, &wrong])?;
    ensure!(refused.code == 11, "{}:\n{}", refused.code, *refused.shown);
    ensure!(Path::new(&disk).is_dir(), "the datastore is there");
    Ok(())
}

/// Somebody who may write to the datastore puts more beside the second holder: nothing of it ends the
/// recovery, and nothing of it is believed.
#[test]
fn what_somebody_plants_beside_the_second_holder_ends_nothing_and_is_not_believed() -> Result<()> {
    let scene = protected()?;
    let first = scene.world.write("first.kit", &fs::read(scene.box_1.state().join("escrow.bundle"))?)?;
    let (code, shown) =
        scene.box_1.conversation(&["escrow", "create", "--keep-code"], &[("The ten words: ", &scene.words)])?;
    ensure!(code == 0, "a second ceremony under the same code: {code}:\n{}", *shown);
    let genuine = Bundle::parse(&fs::read(scene.box_1.state().join("escrow.bundle"))?)?;
    let id = genuine.header().facts().box_id.to_string();
    let plant = |name: &str, group_id: &str, text: &[u8], time: u64| -> Result<()> {
        let file = scene.world.write(name, text)?.display().to_string();
        let group = format!("tenwords-{group_id}");
        let time = time.to_string();
        let spec = format!("kit.conf:{file}");
        let arguments = ["backup", &spec, "--backup-type", "host", "--backup-id", &group, "--backup-time", &time];
        scene.server.run(&[arguments.as_slice(), &["--crypt-mode", "none"]].concat())?.with_code(0)?;
        Ok(())
    };
    let to_come = 4_000_000_000;
    // The older kit once more, as the newest by its time.
    plant("replayed", &id, &fs::read(&first)?, to_come)?;
    // The genuine one in the group of a box that sorts before all others, and garbage in its own.
    plant("moved", "00000000-0000-4000-8000-000000000000", &genuine.to_text()?, to_come)?;
    plant("garbage", &id, b"nothing of the kind", to_come + 1)?;
    // One key part changed, under a header that fits it, as the newest of all.
    let mut parts = genuine.parts().clone();
    let name = key_part(&parts)?;
    let part = parts.get_mut(&name).context("a key part")?;
    let at = String::from_utf8_lossy(part).find("\"data\":\"").context("data")? + 20;
    part[at] = if part[at] == b'A' { b'B' } else { b'A' };
    let changed = Bundle::new(genuine.header().facts().clone(), parts)?;
    plant("changed", &id, &changed.to_text()?, to_come + 2)?;

    let disk = scene.server.folder.as_ref().context("a folder")?.display().to_string();
    let recovery = recovers(&scene, &scene.fresh("rescue")?, &["--datastore", &disk])?;
    ensure!(recovery.shown.contains("sequence 2"), "the newer one is believed:\n{}", *recovery.shown);
    // PBS takes nothing that is older than the last of a group: a ceremony ends well, and says so.
    let (code, shown) =
        scene.box_1.conversation(&["escrow", "create", "--keep-code"], &[("The ten words: ", &scene.words)])?;
    ensure!(code == 0 && shown.contains("is no second holder of this version"), "{code}:\n{}", *shown);
    Ok(())
}

#[test]
fn a_machine_that_is_another_box_keeps_its_state() -> Result<()> {
    let scene = protected()?;
    let kit = kit_of(&scene)?;
    let file = fs::read(scene.box_1.key_file())?;
    let (_, ticket) = scene.hub.add_box("mill")?;
    let mill = Machine::new(&scene.world, "mill", &scene.server.client)?.with_source(&scene.server, &file)?;
    mill.enroll(&ticket)?;
    mill.ceremony(as_shown)?;
    let state = |name: &str| fs::read(mill.state().join(name));
    let before = [state("escrow.json")?, state("escrow.bundle")?, state("box.key")?, state("operators.json")?];
    let refused = mill.recover_without_hub(&["--kit", &kit], &[&scene.words])?;
    ensure!(refused.code == 10 && refused.shown.contains("this machine is box mill"), "{}", *refused.shown);
    // To practise is allowed anywhere, and changes nothing.
    let into = scene.world.folder().join("practice").display().to_string();
    let practised = mill.recover_without_hub(&["--kit", &kit, "--rehearsal", "--into", &into], &[&scene.words])?;
    ensure!(practised.code == 0 && practised.shown.contains("Rehearsed: "), "{}", *practised.shown);
    let after = [state("escrow.json")?, state("escrow.bundle")?, state("box.key")?, state("operators.json")?];
    ensure!(before == after && mill.is_protected()?, "the mill's state has changed");
    // With a ticket it is the operator who says so.
    let flag = scene.box_1.agent(&["recover", "--ticket", "x", "--rehearsal"], "")?;
    ensure!(flag.code == Some(2), "the flag would have been ignored");
    Ok(())
}

const LONG: std::time::Duration = std::time::Duration::from_secs(300);
