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
    support::{BOX, by_pipe, container, edit_manifest},
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

fn sign(burnt: &Burnt, operators: &Operators, text: &Path, name: &str) -> Result<PathBuf> {
    burnt.world.write(name, &fs::read(operators.signs(MARTA, ORDER, text)?)?)
}

/// Where replaced keys lie.
fn lineage(machine: &Machine) -> Result<Vec<Vec<u8>>> {
    let folder = machine.state().join("lineage");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    ensure!(fs::metadata(&folder)?.permissions().mode() & 0o777 == 0o700);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "{}", path.display());
        found.push(fs::read(path)?);
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
    let mut operators = None;
    let burnt = burnt(|world, _, _, _| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    let operators = operators.context("operators")?;
    let (machine, pve, theirs) = with_their_key(&burnt, "box2")?;
    let enc = pve.etc("priv/storage/pbs.enc");
    let ticket = burnt.hub.arm(BOX, &[])?;

    // It waits, with the guests that need it; nothing of PVE's is touched.
    let before = fs::read(pve.etc("storage.cfg"))?;
    let shown = recover(&burnt, &machine, &ticket, None, 13)?;
    ensure!(fs::read(&enc)? == theirs && pve.has_no_guests()?, "something was touched:\n{shown}");
    ensure!(fs::read(pve.etc("storage.cfg"))? == before, "the storage was touched:\n{shown}");
    ensure!(lineage(&machine)?.is_empty(), "something was kept:\n{shown}");
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
    fs::write(&folder, "in the way")?;
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 14)?;
    ensure!(fs::read(&enc)? == other, "it was replaced, and is kept nowhere:\n{shown}");
    fs::remove_file(&folder)?;

    // Ordered: the former key is kept, ours is there, and the guests come back.
    let shown = recover(&burnt, &machine, &ticket, Some(&signed), 0)?;
    let there = KeyFile::parse(&fs::read(&enc)?)?.open(None)?.fingerprint();
    ensure!(there == ours, "the key is another:\n{shown}");
    ensure!(lineage(&machine)? == [other], "what was replaced is not kept:\n{shown}");
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)
}

/// What is in plain text on the server, in a group of its own.
fn back_up_plainly(burnt: &Burnt, group: &str, content: &[u8]) -> Result<(Tree, PathBuf)> {
    let name = format!("plain-{}-{}", group.replace('/', "-"), content.len());
    let folder = container(&burnt.world, &name, content)?;
    let (kind, id) = group.split_once('/').context("a group")?;
    let spec = format!("a.pxar:{}", folder.display());
    burnt
        .server
        .run(&["backup", &spec, "--backup-type", kind, "--backup-id", id, "--crypt-mode", "none"])?
        .with_code(0)?;
    let snapshot = burnt.server.snapshots(group)?.pop().context("a snapshot")?;
    let place = burnt.server.folder.as_ref().context("the datastore")?.join(snapshot);
    Ok((Tree::read(&folder)?, place))
}

fn unsigned(machine: &Machine, group: &str) -> PathBuf {
    let usual = machine.restored(group, "a.pxar");
    let (into, rest) = (usual.ancestors().nth(3).unwrap_or(&usual), group.replace('/', "-"));
    into.join("unsigned/pbs").join(rest).join("a.pxar")
}

#[test]
fn what_nobody_vouches_for_comes_into_a_folder_by_a_signed_order_for_its_very_list() -> Result<()> {
    let mut operators = None;
    let burnt = burnt(|world, _, _, _| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    let operators = operators.context("operators")?;
    let (tree, place) = back_up_plainly(&burnt, "host/desk", b"letters")?;
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
    let mut operators = None;
    let burnt = burnt(|world, _, _, _| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    let operators = operators.context("operators")?;
    let (tree, _) = back_up_plainly(&burnt, "ct/666", b"by somebody")?;
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
