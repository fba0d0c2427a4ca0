//! Orders for a key file that holds another key, and for a snapshot that nobody vouches for.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use serde_json::json;
use tenwords_protocol::order::{self, Act, Order};
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{BackupServer, MARTA, Machine, Operators, Pve, World},
};

use crate::{
    guests::{Burnt, burnt},
    hostile::liar::{Answer, Asked, Liar},
    journal::follow_with,
    support::{BOX, Scene, as_shown, by_pipe, client, container, edit_manifest, joined_with},
};

const ORDER: &str = "tenwords-order-v1";

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

fn recover(burnt: &Burnt, machine: &Machine, ticket: &str, signed: Option<&Path>, code: i32) -> Result<String> {
    let mut more = Vec::new();
    if let Some(signed) = signed {
        more.extend(["--order", signed.to_str().context("a path")?]);
    }
    let ended = by_pipe(&burnt.world, machine, ticket, &more, &burnt.words)?;
    ensure!(ended.code == Some(code), "it ended with {:?} instead of {code}:\n{}", ended.code, told(&ended));
    Ok(told(&ended))
}

/// The one order that the machine waits for.
fn only(machine: &Machine) -> Result<(PathBuf, Order)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(machine.state().join("recovery/orders"))? {
        found.push(entry?.path());
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "order"));
    ensure!(found.len() == 1, "there are {found:?}");
    let path = found.pop().context("an order")?;
    let order = Order::parse(&fs::read(&path)?)?;
    Ok((path, order))
}

/// The same with the box's own settings, where no Proxmox VE is.
fn recover_plainly(scene: &Scene, machine: &Machine, ticket: &str, signed: Option<&Path>, code: i32) -> Result<String> {
    let mut more = Vec::new();
    if let Some(signed) = signed {
        more.extend(["--order", signed.to_str().context("a path")?]);
    }
    let ended = by_pipe(&scene.world, machine, ticket, &more, &scene.words)?;
    ensure!(ended.code == Some(code), "it ended with {:?} instead of {code}:\n{}", ended.code, told(&ended));
    Ok(told(&ended))
}

/// A node whose operators have keys.
fn ordered() -> Result<(Burnt, Operators)> {
    let mut operators = None;
    let burnt = burnt(|world, _, _, _| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    Ok((burnt, operators.context("operators")?))
}

/// A box without Proxmox VE, whose operators have keys; its ceremony is still to be held.
fn settled() -> Result<(Scene, Operators)> {
    let mut operators = None;
    let scene = joined_with(
        |world, _| {
            operators = Some(Operators::new(world)?);
            Ok(())
        },
        &[],
    )?;
    Ok((scene, operators.context("operators")?))
}

fn sign(burnt: &Burnt, operators: &Operators, text: &Path, name: &str) -> Result<PathBuf> {
    burnt.world.write(name, &fs::read(operators.signs(MARTA, ORDER, text)?)?)
}

/// The keys that are kept beside the escrow's own.
fn lineage(machine: &Machine, ours: &[u8]) -> Result<Vec<Vec<u8>>> {
    let ours = KeyFile::parse(ours)?.open(None)?.fingerprint();
    let folder = machine.state().join("lineage");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    ensure!(fs::metadata(&folder)?.permissions().mode() & 0o777 == 0o700);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "{}", path.display());
        if path.extension().is_some_and(|ending| ending == "enc") {
            let key = fs::read(path)?;
            let is_ours =
                KeyFile::parse(&key).and_then(|key| key.open(None)).is_ok_and(|key| key.fingerprint() == ours);
            found.extend((!is_ours).then_some(key));
        }
    }
    Ok(found)
}

fn made_key(world: &World, server: &BackupServer, name: &str) -> Result<PathBuf> {
    let path = world.folder().join("job").join(name);
    server.run(&["key", "create", "--kdf", "none", &path.display().to_string()])?.with_code(0)?;
    Ok(path)
}

/// A node of whose storage somebody has made another key.
fn with_their_key(burnt: &Burnt, name: &str) -> Result<(Machine, Pve, Vec<u8>)> {
    let (machine, pve) = burnt.node(name)?;
    let theirs = made_key(&burnt.world, &burnt.server, &format!("theirs-{name}.enc"))?;
    pve.add_storage("pbs", &burnt.server, &theirs)?;
    let bytes = fs::read(pve.etc("priv/storage/pbs.enc"))?;
    Ok((machine, pve, bytes))
}

#[test]
fn a_key_file_is_replaced_by_a_signed_order_and_the_former_key_is_kept() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve, theirs) = with_their_key(&burnt, "box2")?;
    let enc = pve.etc("priv/storage/pbs.enc");
    let ticket = burnt.hub.arm(BOX, &[])?;

    // It waits, with the guests that need it; nothing of PVE's is touched.
    let before = fs::read(pve.etc("storage.cfg"))?;
    let shown = recover(&burnt, &machine, &ticket, None, 13)?;
    ensure!(fs::read(&enc)? == theirs && pve.has_no_guests()?, "something was touched:\n{shown}");
    ensure!(fs::read(pve.etc("storage.cfg"))? == before, "the storage was touched:\n{shown}");
    ensure!(lineage(&machine, &burnt.key)?.is_empty(), "something was kept:\n{shown}");
    let (text, order) = only(&machine)?;
    let code = order::code(&fs::read(&text)?).to_string();
    ensure!(shown.contains(&format!("it waits for the order {code}")), "{shown}");
    let ours = KeyFile::parse(&burnt.key)?.open(None)?.fingerprint();
    ensure!(
        matches!(&order.act, Act::KeyReplace { key_file, key } if key_file.as_str() == enc.to_str().unwrap_or_default() && *key == ours),
        "{order:?}"
    );
    let their = KeyFile::parse(&theirs)?.open(None)?.fingerprint().short();
    for sentence in [their.as_str(), "stays kept"] {
        ensure!(order.destroys.iter().any(|line| line.as_str().contains(sentence)), "{sentence}: {order:?}");
    }

    // The key there is another one by now: the signature is for what was there, and another order is asked for.
    let signed = sign(&burnt, &operators, &text, "first.sig")?;
    let other = fs::read(made_key(&burnt.world, &burnt.server, "other.enc")?)?;
    fs::write(&enc, &other)?;
    // The storage itself speaks of the former one: that is for no order.
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 14)?;
    ensure!(shown.contains("no order changes a storage"), "{shown}");
    ensure!(fs::read(&enc)? == other && pve.has_no_guests()? && only(&machine).is_err(), "{shown}");
    let [before, after] =
        [&theirs, &other].map(|key| anyhow::Ok(KeyFile::parse(key)?.open(None)?.fingerprint().to_string()));
    let stanza = fs::read_to_string(pve.etc("storage.cfg"))?;
    let (before, after): (String, String) = (before?, after?);
    fs::write(pve.etc("storage.cfg"), stanza.replace(&before, &after))?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 13)?;
    ensure!(fs::read(&enc)? == other && pve.has_no_guests()?, "it was replaced:\n{shown}");
    ensure!(shown.contains("REFUSED"), "{shown}");
    let (second, _) = only(&machine)?;
    ensure!(second != text, "no other order is asked for:\n{shown}");

    // An order for the key file of another machine.
    let (elsewhere, its, _) = with_their_key(&burnt, "box3")?;
    recover(&burnt, &elsewhere, &burnt.hub.arm(BOX, &[])?, None, 13)?;
    let of_another = sign(&burnt, &operators, &only(&elsewhere)?.0, "another.sig")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let shown = recover(&burnt, &machine, &ticket, Some(&of_another), 13)?;
    ensure!(fs::read(&enc)? == other && shown.contains("REFUSED"), "it was replaced:\n{shown}");
    ensure!(its.has_no_guests()?);

    // What was there cannot be kept: it is not replaced, and the order is not used up.
    let signed = sign(&burnt, &operators, &only(&machine)?.0, "second.sig")?;
    let folder = machine.state().join("lineage");
    let aside = machine.state().join("lineage-aside");
    fs::rename(&folder, &aside)?;
    fs::write(&folder, "in the way")?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 14)?;
    ensure!(fs::read(&enc)? == other, "it was replaced, and is kept nowhere:\n{shown}");
    fs::remove_file(&folder)?;
    fs::rename(&aside, &folder)?;

    // Ordered: the former key is kept, ours is there, and the guests come back.
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 0)?;
    let there = KeyFile::parse(&fs::read(&enc)?)?.open(None)?.fingerprint();
    ensure!(there == ours, "the key is another:\n{shown}");
    ensure!(lineage(&machine, &burnt.key)? == [other], "what was replaced is not kept:\n{shown}");
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)
}

/// What is in plain text on the server, in a group of its own.
fn back_up_plainly(world: &World, server: &BackupServer, group: &str, content: &[u8]) -> Result<(Tree, PathBuf)> {
    let name = format!("plain-{}", group.replace('/', "-"));
    let folder = container(world, &name, content)?;
    let (kind, id) = group.split_once('/').context("a group")?;
    let spec = format!("a.pxar:{}", folder.display());
    server.run(&["backup", &spec, "--backup-type", kind, "--backup-id", id, "--crypt-mode", "none"])?.with_code(0)?;
    let snapshot = server.snapshots(group)?.pop().context("a snapshot")?;
    let place = server.folder.as_ref().context("the datastore")?.join(snapshot);
    Ok((Tree::read(&folder)?, place))
}

fn unsigned(machine: &Machine, group: &str) -> PathBuf {
    let usual = machine.restored(group, "a.pxar");
    let (into, rest) = (usual.ancestors().nth(3).unwrap_or(&usual), group.replace('/', "-"));
    into.join("unsigned/pbs").join(rest).join("a.pxar")
}

#[test]
fn what_nobody_vouches_for_comes_into_a_folder_by_a_signed_order_for_its_very_list() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (tree, place) = back_up_plainly(&burnt.world, &burnt.server, "host/desk", b"letters")?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;

    // It waits; the rest comes back.
    let shown = recover(&burnt, &machine, &ticket, None, 13)?;
    burnt.container_is_back(&pve, 101)?;
    let (usual, place_of_it) = (machine.restored("host/desk", "a.pxar"), unsigned(&machine, "host/desk"));
    ensure!(!usual.exists() && !place_of_it.exists(), "it came without an order:\n{shown}");
    let (text, order) = only(&machine)?;
    ensure!(matches!(order.act, Act::UnsignedSnapshot { .. }) && order.found.is_none(), "{order:?}");
    for sentence in ["not encrypted", "not signed", "nobody vouches", &place_of_it.display().to_string()] {
        ensure!(order.destroys.iter().any(|line| line.as_str().contains(sentence)), "{sentence}: {order:?}");
    }
    ensure!(shown.contains(&order::code(&fs::read(&text)?).to_string()), "{shown}");

    // The server has another list now: the signature is for the former one.
    let signed = sign(&burnt, &operators, &text, "first.sig")?;
    edit_manifest(&place, |manifest| manifest["unprotected"]["notes"] = "another".into())?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 13)?;
    ensure!(shown.contains("REFUSED"), "{shown}");
    ensure!(!usual.exists() && !place_of_it.exists(), "it came by an order for another list:\n{shown}");
    let (second, _) = only(&machine)?;
    ensure!(second != text, "no other order is asked for:\n{shown}");

    // Its place is taken: nothing is replaced by it.
    let signed = sign(&burnt, &operators, &second, "second.sig")?;
    fs::create_dir_all(&place_of_it)?;
    fs::write(place_of_it.join("theirs"), "x")?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 14)?;
    ensure!(fs::read_to_string(place_of_it.join("theirs"))? == "x", "it was replaced:\n{shown}");
    fs::remove_dir_all(&place_of_it)?;

    // Ordered once more, since what waited was no more to be had: it comes into its own folder, and is told.
    recover(&burnt, &machine, &ticket, None, 13)?;
    let signed = sign(&burnt, &operators, &only(&machine)?.0, "third.sig")?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 0)?;
    ensure!(Tree::read(&place_of_it)? == tree, "the archive is another:\n{shown}");
    ensure!(!usual.exists(), "it lies where what is proven lies:\n{shown}");
    ensure!(shown.contains("NOBODY VOUCHES FOR IT"), "{shown}");
    Ok(())
}

/// A guest's group, a directive, and a hub that would like it otherwise.
#[test]
fn what_nobody_vouches_for_is_no_guest_and_goes_where_no_directive_says() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (tree, _) = back_up_plainly(&burnt.world, &burnt.server, "ct/666", b"by somebody")?;
    let (machine, pve) = burnt.node("box2")?;
    let hub = Liar::with_the_hubs_key(&burnt.hub)?;
    hub.speaks_for(&machine);
    let items = json!([{"source": "pbs", "group": "ct/666", "snapshot": "newest", "as": {"vmid": 101}}]);
    let directive = json!({"v": 1, "number": 1, "items": items}).to_string();
    hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
        let body = directive.clone().into_bytes();
        Some(if asked.path.ends_with("/directive") { Answer { body, status: 200, ..truth } } else { truth })
    }));
    let ticket = hub.ticket(&burnt.hub.arm(BOX, &[])?)?;

    let shown = recover(&burnt, &machine, &ticket, None, 13)?;
    let place = unsigned(&machine, "ct/666");
    ensure!(pve.has_no_guests()? && !place.exists(), "a directive has brought it in:\n{shown}");
    let signed = sign(&burnt, &operators, &only(&machine)?.0, "guest.sig")?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 0)?;
    ensure!(pve.has_no_guests()?, "it has become a guest:\n{shown}");
    ensure!(Tree::read(&place)? == tree, "the archive is another:\n{shown}");
    Ok(())
}

/// S32: what is under a key of somebody else's, however it is dressed up, is for no order.
#[test]
fn s32_a_planted_key_and_what_is_under_it_come_in_by_no_order() -> Result<()> {
    let burnt = burnt(|world, _, _, _| Operators::new(world).map(drop))?;
    let theirs = made_key(&burnt.world, &burnt.server, "planted.enc")?;
    let ours = KeyFile::parse(&burnt.key)?.open(None)?.fingerprint().to_string();
    let folder = container(&burnt.world, "planted", b"by the hub's friend")?;
    let spec = [format!("a.pxar:{}", folder.display())];
    let store = burnt.server.folder.as_ref().context("the datastore")?;
    // As it is; said to be under ours; the same with its signature gone.
    burnt.server.back_up(&spec, "host/planted1", &theirs)?;
    edit_manifest(&store.join(burnt.server.back_up(&spec, "host/planted2", &theirs)?), |manifest| {
        manifest["unprotected"]["key-fingerprint"] = ours.clone().into();
    })?;
    edit_manifest(&store.join(burnt.server.back_up(&spec, "host/planted3", &theirs)?), |manifest| {
        manifest["signature"] = serde_json::Value::Null;
    })?;
    let (machine, pve) = burnt.node("box2")?;
    let shown = recover(&burnt, &machine, &burnt.hub.arm(BOX, &[])?, None, 14)?;
    burnt.container_is_back(&pve, 101)?;
    ensure!(!machine.state().join("recovery/orders").exists(), "an order is asked for:\n{shown}");
    for group in ["host/planted1", "host/planted2", "host/planted3"] {
        ensure!(shown.contains(group), "{group} is not named:\n{shown}");
        ensure!(
            !machine.restored(group, "a.pxar").exists() && !unsigned(&machine, group).exists(),
            "{group}:\n{shown}"
        );
    }
    let enc = KeyFile::parse(&fs::read(pve.etc("priv/storage/pbs.enc"))?)?.open(None)?.fingerprint();
    ensure!(enc.to_string() == ours, "their key is in place:\n{shown}");
    Ok(())
}

/// A signature that comes only when all else is done: the key is replaced by the run that waits for it, and the
/// guests that it held up come back.
#[test]
fn a_key_that_is_ordered_while_the_run_waits_brings_its_guests_back() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve, theirs) = with_their_key(&burnt, "box2")?;
    let hub = Liar::with_the_hubs_key(&burnt.hub)?;
    hub.speaks_for(&machine);
    let folder = machine.state().join("recovery/orders");
    hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
        // Only a run that waits is answered.
        if !asked.path.contains("/answers") || asked.path.contains("wait=0") {
            return Some(truth);
        }
        let answer = || -> Result<Vec<u8>> {
            let text = fs::read_dir(&folder)?.find_map(|entry| {
                let path = entry.ok()?.path();
                path.extension().is_some_and(|extension| extension == "order").then_some(path)
            });
            let text = text.context("an order")?;
            let order = tenwords_protocol::hash::Sha256::of(&fs::read(&text)?);
            let signature = fs::read_to_string(operators.signs(MARTA, ORDER, &text)?)?;
            let answer = json!({"number": 1, "order": order, "signature": signature});
            Ok(json!({"v": 1, "answers": [answer]}).to_string().into_bytes())
        };
        match answer() {
            Ok(body) => Some(Answer { body, status: 200, ..truth }),
            Err(_) => Some(truth),
        }
    }));
    let ticket = hub.ticket(&burnt.hub.arm(BOX, &[])?)?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &["--wait-for-orders", "2"], &burnt.words)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    let shown = told(&ended);
    ensure!(shown.contains("wait for an operator's order"), "it did not wait:\n{shown}");
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    ensure!(lineage(&machine, &burnt.key)? == [theirs], "what was replaced is not kept:\n{shown}");
    Ok(())
}

/// The same for a source of the agent's own settings; what it holds up is nothing but itself.
#[test]
fn a_key_file_of_the_settings_is_replaced_by_a_signed_order_too() -> Result<()> {
    let (mut scene, operators) = settled()?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let ours = fs::read(scene.box_1.key_file())?;
    let scene_key = ours.clone();
    let machine = scene.fresh("box2")?;
    let theirs = fs::read(made_key(&scene.world, &scene.server, "theirs.enc")?)?;
    let place = machine.installed_key();
    fs::create_dir_all(place.parent().context("a folder")?)?;
    fs::write(&place, &theirs)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let shown = recover_plainly(&scene, &machine, &ticket, None, 13)?;
    ensure!(fs::read(&place)? == theirs, "it was replaced:\n{shown}");
    ensure!(Tree::read(&machine.restored("ct/101", "root.pxar"))? == scene.data, "the archive is another:\n{shown}");
    let signed = operators.signs(MARTA, ORDER, &only(&machine)?.0)?;
    let shown = recover_plainly(&scene, &machine, &ticket, Some(&signed), 0)?;
    let [there, ours] =
        [fs::read(&place)?, ours].map(|key| anyhow::Ok(KeyFile::parse(&key)?.open(None)?.fingerprint()));
    ensure!(there? == ours?, "the key is another:\n{shown}");
    ensure!(lineage(&machine, &scene_key)? == [theirs], "what was replaced is not kept:\n{shown}");
    Ok(())
}

/// A directive says `original`, and the escrow lists a path for it: not for what nobody vouches for.
#[test]
fn what_nobody_vouches_for_never_goes_to_its_original_place() -> Result<()> {
    let (mut scene, operators) = settled()?;
    let original = scene.world.folder().join("original/place");
    let text = fs::read_to_string(scene.box_1.config())?;
    let path = format!("restore_paths = {{ \"host/desk/a.pxar\" = \"{}\" }}\n", original.display());
    fs::write(scene.box_1.config(), text + &path)?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let (tree, _) = back_up_plainly(&scene.world, &scene.server, "host/desk", b"letters")?;
    let machine = scene.fresh("box2")?;
    let hub = Liar::with_the_hubs_key(&scene.hub)?;
    hub.speaks_for(&machine);
    let items = json!([{"source": "pbs", "group": "host/desk", "snapshot": "newest",
        "as": {"archive": "a.pxar", "to": "original"}}]);
    let directive = json!({"v": 1, "number": 1, "items": items}).to_string();
    hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
        let body = directive.clone().into_bytes();
        Some(if asked.path.ends_with("/directive") { Answer { body, status: 200, ..truth } } else { truth })
    }));
    let ticket = hub.ticket(&scene.hub.arm(BOX, &[])?)?;
    let shown = recover_plainly(&scene, &machine, &ticket, None, 13)?;
    ensure!(!original.exists(), "it came to its original place:\n{shown}");
    let signed = operators.signs(MARTA, ORDER, &only(&machine)?.0)?;
    let shown = recover_plainly(&scene, &machine, &ticket, Some(&signed), 0)?;
    ensure!(!original.exists(), "it came to its original place:\n{shown}");
    ensure!(Tree::read(&unsigned(&machine, "host/desk"))? == tree, "the archive is another:\n{shown}");
    Ok(())
}

/// The list is the ordered one until the archive is fetched, and another one then: what came is taken away, and
/// the order is used up.
#[test]
fn a_list_that_changes_while_it_is_restored_is_not_the_one_that_was_ordered() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (_, place) = back_up_plainly(&burnt.world, &burnt.server, "host/desk", b"letters")?;
    let (index, turned) = (place.join("index.json.blob"), burnt.world.folder().join("turned.blob"));
    let genuine = fs::read(&index)?;
    edit_manifest(&place, |manifest| manifest["unprotected"]["notes"] = "another".into())?;
    fs::rename(&index, &turned)?;
    fs::write(&index, &genuine)?;
    let script = format!(
        "case \"$*\" in 'restore host/desk/'*' a.pxar '*) \"$CLIENT\" \"$@\"; end=$?; cp '{}' '{}'; exit $end ;; esac",
        turned.display(),
        index.display()
    );
    let turning = client(&burnt.world, &burnt.server, "turning-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &turning)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    recover(&burnt, &machine, &ticket, None, 13)?;
    burnt.container_is_back(&pve, 101)?;
    let (text, _) = only(&machine)?;
    let signed = sign(&burnt, &operators, &text, "first.sig")?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 14)?;
    let target = unsigned(&machine, "host/desk");
    ensure!(fs::read(&index)? != genuine, "nothing was turned:\n{shown}");
    ensure!(!target.exists(), "what came under another list is there:\n{shown}");
    // Back to what was ordered: the order was for once.
    fs::write(&index, &genuine)?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 13)?;
    ensure!(shown.contains("REFUSED") && !target.exists(), "{shown}");
    Ok(())
}

/// Killed at each step on the way: the key that lies there is theirs or ours, theirs is kept before it goes, and
/// one more order is all that it costs.
#[test]
fn s37_killed_while_a_key_file_is_replaced_it_is_asked_for_anew_or_done() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let ours = KeyFile::parse(&burnt.key)?.open(None)?.fingerprint();
    for step in ["lineage", "journal-order-used"] {
        let (machine, pve, theirs) = with_their_key(&burnt, &format!("killed-{step}"))?;
        let enc = pve.etc("priv/storage/pbs.enc");
        let ticket = burnt.hub.arm(BOX, &[])?;
        recover(&burnt, &machine, &ticket, None, 13)?;
        let signed = sign(&burnt, &operators, &only(&machine)?.0, &format!("{step}-1.sig"))?;
        let more = ["--order", signed.to_str().context("a path")?];
        let (steps, code) = follow_with(&burnt, &machine, &ticket, &more, |_, (name, done)| name == step && *done)?;
        ensure!(code.is_none(), "it was not killed at {step}, but ended with {code:?} after {steps:?}");
        ensure!(lineage(&machine, &burnt.key)?.contains(&theirs), "killed at {step}, their key is not kept");
        let ended = by_pipe(&burnt.world, &machine, &ticket, &more, &burnt.words)?;
        match ended.code {
            Some(0) => {}
            Some(13) => {
                ensure!(fs::read(&enc)? == theirs, "killed at {step}:\n{}", told(&ended));
                let signed = sign(&burnt, &operators, &only(&machine)?.0, &format!("{step}-2.sig"))?;
                recover(&burnt, &machine, &ticket, Some(&signed), 0)?;
            }
            code => anyhow::bail!("killed at {step}, it ended with {code:?}:\n{}", told(&ended)),
        }
        ensure!(KeyFile::parse(&fs::read(&enc)?)?.open(None)?.fingerprint() == ours, "killed at {step}");
        ensure!(lineage(&machine, &burnt.key)?.contains(&theirs), "killed at {step}, their key is gone");
        burnt.container_is_back(&pve, 101)?;
    }
    Ok(())
}
