//! Orders on the box: what would be replaced waits, what was signed is done once, and nothing that was
//! signed for another time, box or thing counts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::order::{self, Order};
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{MARTA, Machine, Operators, Pve, SAFE},
};

use crate::{
    guests::{Burnt, burnt},
    journal::{follow, follow_with},
    resumed::is,
    support::{BOX, by_pipe, container},
};

pub(crate) const ORDER: &str = "tenwords-order-v1";

/// A node that has burnt, whose operators have keys.
pub(crate) fn ordered() -> Result<(Burnt, Operators)> {
    let mut operators = None;
    let burnt = burnt(|world, _, _, _| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    Ok((burnt, operators.context("operators")?))
}

/// A new node on which somebody's container has the number 101, with a volume of its own.
pub(crate) fn taken(burnt: &Burnt, name: &str) -> Result<(Machine, Pve)> {
    let (machine, pve) = burnt.node(name)?;
    pve.write_container(101, THEIRS)?;
    let volume = pve.container_root(101);
    fs::create_dir_all(&volume)?;
    fs::write(volume.join("theirs"), "what nobody else has")?;
    Ok((machine, pve))
}

const THEIRS: &str = "arch: amd64\nhostname: theirs\nmemory: 256\nrootfs: local:101/subvol-101-disk-0.subvol,size=1G\n";

/// The texts of the orders that the machine waits for.
fn texts(machine: &Machine) -> Result<Vec<PathBuf>> {
    let folder = machine.state().join("recovery/orders");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        found.push(entry?.path());
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "order"));
    Ok(found)
}

pub(crate) fn only(machine: &Machine) -> Result<PathBuf> {
    let texts = texts(machine)?;
    ensure!(texts.len() == 1, "there are {texts:?}");
    texts.into_iter().next().context("an order")
}

pub(crate) fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

pub(crate) fn recover(burnt: &Burnt, machine: &Machine, ticket: &str, more: &[&str]) -> Result<Ended> {
    by_pipe(&burnt.world, machine, ticket, more, &burnt.words)
}

pub(crate) fn with(burnt: &Burnt, machine: &Machine, ticket: &str, signed: &Path) -> Result<Ended> {
    recover(burnt, machine, ticket, &["--order", signed.to_str().context("a path")?])
}

pub(crate) fn untouched(pve: &Pve, told: &str) -> Result<()> {
    ensure!(pve.container_config(101)? == THEIRS, "their container was touched:\n{told}");
    let theirs = fs::read_to_string(pve.container_root(101).join("theirs"))?;
    ensure!(theirs == "what nobody else has", "their volume was touched:\n{told}");
    Ok(())
}

/// The container is the burnt one's. Its volume has another number: Proxmox VE makes it while the old one is there.
pub(crate) fn is_ours(burnt: &Burnt, pve: &Pve) -> Result<()> {
    let config = pve.container_config(101)?;
    ensure!(config.contains("hostname: web101") && !config.contains("lock:"), "{config}");
    let root = pve.container_root(101).with_file_name("subvol-101-disk-1.subvol");
    ensure!(Tree::read(&root)? == burnt.tree, "the files of container 101 are others");
    Ok(())
}

#[test]
fn s35_s36_a_guest_is_replaced_by_a_signed_order_once_and_by_nothing_else() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve) = taken(&burnt, "box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;

    // Without an order: it waits, and the rest goes on.
    let ended = recover(&burnt, &machine, &ticket, &[])?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    untouched(&pve, &told(&ended))?;
    burnt.machine_is_back(&pve, 102)?;
    let text = only(&machine)?;
    let bytes = fs::read(&text)?;
    let order = Order::parse(&bytes)?;
    let code = order::code(&bytes).to_string();
    ensure!(told(&ended).contains(&code), "the code {code} is not shown:\n{}", told(&ended));
    ensure!(order.destroys.iter().any(|line| line.as_str().contains("\"theirs\"")), "{order:?}");
    let status = machine.agent(&["recover", "--status"], "")?;
    ensure!(status.wrote().contains(&code), "{}", status.wrote());

    // Signed by whoever may not, for another purpose, or with a byte changed.
    let stranger = operators.has_key("stranger")?;
    ensure!(stranger.starts_with("ssh-ed25519 "), "{stranger}");
    for (who, namespace, why) in [
        ("stranger", ORDER, "not among the operator keys"),
        (SAFE, ORDER, "role"),
        (MARTA, "tenwords-pins-v1", "namespace"),
        (MARTA, "file", "namespace"),
    ] {
        let signed = operators.signs(who, namespace, &text)?;
        let ended = with(&burnt, &machine, &ticket, &signed)?;
        ensure!(ended.code == Some(13), "{why}: it ended with {:?}:\n{}", ended.code, told(&ended));
        ensure!(told(&ended).contains("REFUSED"), "{why}:\n{}", told(&ended));
        untouched(&pve, &told(&ended))?;
    }
    let changed = burnt.world.write("changed.order", &[&bytes[..], b" "].concat())?;
    let signed = operators.signs(MARTA, ORDER, &changed)?;
    let ended = with(&burnt, &machine, &ticket, &signed)?;
    ensure!(ended.code == Some(13) && told(&ended).contains("REFUSED"), "{}", told(&ended));
    untouched(&pve, &told(&ended))?;

    // The one order, all the time the same.
    ensure!(only(&machine)? == text && fs::read(&text)? == bytes, "another order is asked for");
    let signed = operators.signs(MARTA, ORDER, &text)?;
    let kept = burnt.world.write("kept.sig", &fs::read(&signed)?)?;
    let ended = with(&burnt, &machine, &ticket, &kept)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    is_ours(&burnt, &pve)?;
    ensure!(!pve.container_root(101).exists(), "what was replaced is still there");

    // Yesterday's order on a new box, whose number is taken just the same.
    let (other, its) = taken(&burnt, "box3")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let ended = with(&burnt, &other, &ticket, &kept)?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(told(&ended).contains("REFUSED"), "{}", told(&ended));
    untouched(&its, &told(&ended))
}

/// What lies there has changed since the order was written: it speaks of another thing.
#[test]
fn s36_what_has_changed_since_is_another_thing_and_asks_anew() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve) = taken(&burnt, "box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let ended = recover(&burnt, &machine, &ticket, &[])?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    let first = only(&machine)?;
    let signed = operators.signs(MARTA, ORDER, &first)?;
    let changed = THEIRS.replace("memory: 256", "memory: 512");
    pve.write_container(101, &changed)?;
    let ended = with(&burnt, &machine, &ticket, &signed)?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(pve.container_config(101)? == changed, "it was replaced all the same:\n{}", told(&ended));
    let second = only(&machine)?;
    ensure!(second != first, "no other order is asked for:\n{}", told(&ended));
    let ended = with(&burnt, &machine, &ticket, &operators.signs(MARTA, ORDER, &second)?)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    is_ours(&burnt, &pve)
}

/// The journal is cut, removed or put aside: no challenge is open again.
#[test]
fn s36_a_used_order_stays_used_whatever_becomes_of_the_journal() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve) = taken(&burnt, "box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    recover(&burnt, &machine, &ticket, &[])?;
    let journal = machine.state().join("recovery/journal");
    let before = fs::read(&journal)?;
    let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
    let kept = burnt.world.write("kept.sig", &fs::read(&signed)?)?;
    let ended = with(&burnt, &machine, &ticket, &kept)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    is_ours(&burnt, &pve)?;

    // As if it had never been used: the journal of the moment at which it was still open.
    fs::write(&journal, &before)?;
    pve.write_container(101, THEIRS)?;
    let ended = with(&burnt, &machine, &burnt.hub.arm(BOX, &[])?, &kept)?;
    ensure!(ended.code != Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(pve.container_config(101)? == THEIRS, "it was replaced a second time:\n{}", told(&ended));
    // The journal is gone altogether.
    fs::remove_dir_all(machine.state().join("recovery"))?;
    let ended = with(&burnt, &machine, &burnt.hub.arm(BOX, &[])?, &kept)?;
    ensure!(ended.code != Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(pve.container_config(101)? == THEIRS, "it was replaced a second time:\n{}", told(&ended));
    Ok(())
}

/// Somebody has filled the place of an archive: old and new change places, by an order.
#[test]
fn s35_a_path_is_replaced_as_a_whole_and_only_by_an_order() -> Result<()> {
    let (burnt, operators, trees) = with_archives()?;
    let (machine, _) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let place = filled(&burnt, &machine, &ticket)?;
    let ended = recover(&burnt, &machine, &ticket, &[])?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(fs::read_to_string(place.join("theirs"))? == "x", "it was touched:\n{}", told(&ended));
    let text = only(&machine)?;
    let signed = operators.signs(MARTA, ORDER, &text)?;
    let kept = burnt.world.write("kept.sig", &fs::read(&signed)?)?;
    // One more file there, and it is not what the operator has seen.
    fs::write(place.join("more"), "y")?;
    let ended = with(&burnt, &machine, &ticket, &kept)?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(place.join("more").exists() && place.join("theirs").exists(), "it was touched:\n{}", told(&ended));
    let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
    let ended = with(&burnt, &machine, &ticket, &signed)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(Tree::read(&place)? == trees[0], "the archive is another:\n{}", told(&ended));
    nothing_beside(&place)
}

fn with_archives() -> Result<(Burnt, Operators, [Tree; 2])> {
    let (mut operators, mut trees) = (None, None);
    let burnt = burnt(|world, server, _, key| {
        operators = Some(Operators::new(world)?);
        let folders = [container(world, "files-a", b"letters")?, container(world, "files-b", b"bills")?];
        trees = Some([Tree::read(&folders[0])?, Tree::read(&folders[1])?]);
        let [a, b] = folders.map(|folder| folder.display().to_string());
        server.back_up(&[format!("a.pxar:{a}"), format!("b.pxar:{b}")], "host/desk", key).map(drop)
    })?;
    Ok((burnt, operators.context("operators")?, trees.context("archives")?))
}

/// The recovery is planned and killed; then somebody fills the place of the first archive.
fn filled(burnt: &Burnt, machine: &Machine, ticket: &str) -> Result<PathBuf> {
    let (steps, code) = follow(burnt, machine, ticket, is("target-mark"))?;
    ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");
    // What the killed one may have held, pmxcfs lets go by itself after two minutes.
    let lock = machine.folder().join("etc/pve/priv/lock/file-storage_cfg");
    if lock.exists() {
        fs::remove_dir(&lock)?;
    }
    let place = machine.restored("host/desk", "a.pxar");
    fs::create_dir_all(&place)?;
    fs::write(place.join("theirs"), "x")?;
    Ok(place)
}

fn nothing_beside(place: &Path) -> Result<()> {
    for entry in fs::read_dir(place.parent().context("a folder")?)? {
        let name = entry?.file_name();
        ensure!(!name.to_string_lossy().starts_with(".tenwords-"), "{name:?} is left");
    }
    Ok(())
}

/// The agent dies after an order was used: the work is gone on with, or another order is asked for; what is
/// there is theirs or ours, whole, and never anything else.
#[test]
fn s37_killed_after_an_order_was_used_it_is_done_once_or_asked_for_anew() -> Result<()> {
    let (burnt, operators, trees) = with_archives()?;
    // The order is used; the new content has changed places with what was there. All the other moments: below.
    for (step, is_gone_on_with) in [("journal-order-used", false), ("archive-exchanged", true)] {
        let ended = killed(&burnt, &operators, &trees, step, |name, began| name == step && began)?;
        ensure!(ended == Some(is_gone_on_with), "killed at {step}: {ended:?}");
    }
    Ok(())
}

/// The same at every durable step until the new content is in its place.
#[test]
#[ignore = "long: part of `cargo xtask proof`"]
fn proof_s37_killed_at_every_step_after_an_order_was_used() -> Result<()> {
    let (burnt, operators, trees) = with_archives()?;
    let (mut moment, mut resumed, mut anew) = (0, 0, 0);
    loop {
        let (mut passed, mut is_used, mut is_over) = (0, false, false);
        let ended = killed(&burnt, &operators, &trees, &format!("moment-{moment}"), |name, _| {
            is_used |= name == "order-used";
            is_over |= name == "journal-closing";
            passed += usize::from(is_used);
            passed > moment && !is_over
        })?;
        match ended {
            Some(true) => resumed += 1,
            Some(false) => anew += 1,
            None => break,
        }
        moment += 1;
    }
    ensure!(moment > 8 && resumed > 0 && anew > 0, "{moment} moments: {resumed} gone on with, {anew} asked for anew");
    Ok(())
}

/// Replaces a path by an order, and is killed at a step. Tells whether the same command then went on with it
/// (or another order had to be signed); nothing if it was not killed. In the end it is there, once.
fn killed(
    burnt: &Burnt,
    operators: &Operators,
    trees: &[Tree; 2],
    name: &str,
    mut at: impl FnMut(&str, bool) -> bool,
) -> Result<Option<bool>> {
    let (machine, _) = burnt.node(&format!("killed-{name}"))?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let place = filled(burnt, &machine, &ticket)?;
    let ended = recover(burnt, &machine, &ticket, &[])?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
    let more = ["--order", signed.to_str().context("a path")?];
    let (steps, code) = follow_with(burnt, &machine, &ticket, &more, |_, step| at(&step.0, step.1))?;
    if code.is_some() {
        ensure!(code == Some(0), "it ended with {code:?} after {steps:?}");
        return Ok(None);
    }
    let is_theirs = || fs::read_to_string(place.join("theirs")).is_ok_and(|text| text == "x");
    let is_ours = Tree::read(&place).is_ok_and(|tree| tree == trees[0]);
    ensure!(is_theirs() != is_ours, "neither theirs nor ours lies there, killed after {steps:?}");
    // The signature that was used is there still, and does nothing more.
    let ended = recover(burnt, &machine, &ticket, &more)?;
    let is_gone_on_with = match ended.code {
        Some(0) => true,
        Some(13) => {
            ensure!(is_theirs(), "killed after {steps:?}, then:\n{}", told(&ended));
            let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
            let ended = with(burnt, &machine, &ticket, &signed)?;
            ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
            false
        }
        code => anyhow::bail!("killed after {steps:?}, it ended with {code:?}:\n{}", told(&ended)),
    };
    ensure!(Tree::read(&place)? == trees[0], "killed after {steps:?}, the archive is another:\n{}", told(&ended));
    nothing_beside(&place)?;
    Ok(Some(is_gone_on_with))
}

/// The same with a guest, whose restore Proxmox VE's own program may bring to its end without us.
#[test]
fn s37_killed_while_a_guest_is_replaced_it_is_theirs_or_ours_and_whole() -> Result<()> {
    let (burnt, operators) = ordered()?;
    for step in ["journal-order-used", "journal-started"] {
        let (machine, pve) = taken(&burnt, &format!("killed-{step}"))?;
        let ticket = burnt.hub.arm(BOX, &[])?;
        let ended = recover(&burnt, &machine, &ticket, &[])?;
        ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
        let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
        let more = ["--order", signed.to_str().context("a path")?];
        let (steps, code) = follow_with(&burnt, &machine, &ticket, &more, |_, (name, done)| name == step && *done)?;
        ensure!(code.is_none(), "it was not killed at {step}, but ended with {code:?} after {steps:?}");
        let ended = recover(&burnt, &machine, &ticket, &more)?;
        match ended.code {
            Some(0) => {}
            Some(13) => {
                untouched(&pve, &told(&ended))?;
                let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
                let ended = with(&burnt, &machine, &ticket, &signed)?;
                ensure!(ended.code == Some(0), "killed at {step}, then {:?}:\n{}", ended.code, told(&ended));
            }
            code => anyhow::bail!("killed at {step}, it ended with {code:?}:\n{}", told(&ended)),
        }
        let config = pve.container_config(101)?;
        ensure!(config.contains("hostname: web101") && !config.contains("lock:"), "killed at {step}: {config}");
    }
    Ok(())
}
