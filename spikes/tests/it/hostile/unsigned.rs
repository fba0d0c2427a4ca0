//! What no operator has signed: replacing what is there, and what was backed up after the loss.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{BackupServer, World},
};

use super::liar::{Answer, Asked, Liar, honest};
use crate::{
    guests::{back_up_container, burnt},
    support::{BOX, by_pipe, client, container},
};

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

/// S35: what lies where a guest or an archive is to go is never replaced, whatever the hub calls it; another
/// number is free to be chosen.
#[test]
fn s35_what_is_there_is_not_replaced_unsigned_a_new_number_is_free_and_the_hubs_scratch_is_not_believed() -> Result<()>
{
    let mut files = None;
    let burnt = burnt(|world, server, _, key| {
        let folder = container(world, "files-a", b"letters")?;
        server.back_up(&[format!("a.pxar:{}", folder.display())], "host/desk", key)?;
        files = Some(Tree::read(&folder)?);
        Ok(())
    })?;
    let files = files.context("the archive")?;
    let torn = burnt.world.folder().join("torn");
    fs::write(&torn, "")?;
    let script = format!(
        "case \"$*\" in *' a.pxar '*) [ ! -e '{}' ] || {{ echo 'Error: it breaks' >&2; exit 255; }} ;; esac",
        torn.display()
    );
    let tearing = client(&burnt.world, &burnt.server, "tearing-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &tearing)?;
    let theirs = "arch: amd64\nhostname: theirs\nmemory: 256\n";
    fs::write(pve.etc("local/lxc/101.conf"), theirs)?;
    let hub = Liar::with_the_hubs_key(&burnt.hub)?;
    hub.speaks_for(&machine);
    let first = hub.ticket(&burnt.hub.arm(BOX, &[])?)?;
    let directed = |more: Value, vmid: u32| {
        let mut guest = json!({"source": "pbs", "group": "ct/101", "snapshot": "newest", "as": {"vmid": vmid}});
        for (name, value) in more.as_object().into_iter().flatten() {
            guest[name] = value.clone();
        }
        let archive = json!({"source": "pbs", "group": "host/desk", "snapshot": "newest",
            "as": {"archive": "a.pxar", "to": "new-folder"}});
        let directive = json!({"v": 1, "number": 1, "items": [guest, archive]}).to_string();
        hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
            let body = directive.clone().into_bytes();
            Some(if asked.path.ends_with("/directive") { Answer { body, status: 200, ..truth } } else { truth })
        }));
    };
    let with = |ticket: &str| by_pipe(&burnt.world, &machine, ticket, &[], &burnt.words);

    // The hub has no word for what may be replaced.
    for more in [json!({"scratch": true}), json!({"replace": true}), json!({"as": {"vmid": 101, "scratch": true}})] {
        directed(more.clone(), 101);
        let ended = with(&first)?;
        ensure!(ended.code == Some(12), "{more}: recover ended with {:?}:\n{}", ended.code, told(&ended));
        machine.nothing_installed()?;
    }
    // A rehearsal goes to scratch folders; that this is one is not for the hub to say once it has armed another.
    hub.tells(Box::new(|asked: &Asked, truth: Answer| {
        let told = String::from_utf8_lossy(&truth.body).replace("\"rehearsal\":false", "\"rehearsal\":true");
        Some(if asked.path.ends_with("/claim") { Answer { body: told.into_bytes(), ..truth } } else { truth })
    }));
    let ended = with(&first)?;
    ensure!(ended.code == Some(12), "recover ended with {:?}:\n{}", ended.code, told(&ended));
    let aborted = machine.agent(&["recover", "--abort"], "")?;
    ensure!(aborted.code == Some(0), "{}", told(&aborted));

    let ticket = hub.ticket(&burnt.hub.arm(BOX, &[])?)?;
    let recover = || with(&ticket);

    // Its own number is taken: it waits for an order, and the archive fails for another reason.
    directed(json!({}), 101);
    let ended = recover()?;
    let shown = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?}:\n{shown}", ended.code);
    for sentence in ["WAITS for an order", "101 is taken by the container \"theirs\""] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }

    // Somebody puts something where the archive goes; a new number for the guest is allowed.
    let place = machine.restored("host/desk", "a.pxar");
    fs::create_dir_all(&place)?;
    fs::write(place.join("theirs"), "x")?;
    fs::remove_file(&torn)?;
    directed(json!({}), 201);
    let ended = recover()?;
    let shown = told(&ended);
    ensure!(ended.code == Some(13), "recover ended with {:?}:\n{shown}", ended.code);
    ensure!(shown.contains(&format!("something lies at {}", place.display())), "{shown}");
    ensure!(fs::read_to_string(place.join("theirs"))? == "x" && fs::read_dir(&place)?.count() == 1, "{shown}");
    ensure!(fs::read_to_string(pve.etc("local/lxc/101.conf"))? == theirs, "somebody's guest was touched:\n{shown}");
    burnt.container_is_back(&pve, 201)?;

    fs::remove_dir_all(&place)?;
    let ended = recover()?;
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(Tree::read(&place)? == files, "the archive is another");
    ensure!(fs::read_to_string(pve.etc("local/lxc/101.conf"))? == theirs, "somebody's guest was touched");
    hub.tells(honest());
    Ok(())
}

/// As the thief would: with the box's own key and token, at a time that is later than the loss.
fn after_the_loss(
    world: &World,
    server: &BackupServer,
    key: &Path,
    specs: &[(&str, &Path)],
    group: &str,
) -> Result<()> {
    let (kind, id) = group.split_once('/').context("a group")?;
    let specs: Vec<String> = specs.iter().map(|(name, path)| format!("{name}:{}", path.display())).collect();
    let key = key.display().to_string();
    let mut all: Vec<&str> = vec!["backup"];
    all.extend(specs.iter().map(String::as_str));
    all.extend(["--backup-type", kind, "--backup-id", id, "--keyfile", &key, "--backup-time", "4000000000"]);
    server.run(&all)?.with_code(0).with_context(|| world.folder().display().to_string())?;
    Ok(())
}

/// S70: what a thief has backed up with the box's own key after the loss is listed, and not chosen.
#[test]
fn s70_what_is_newer_than_the_loss_is_listed_and_not_chosen() -> Result<()> {
    let mut made = None;
    let burnt = burnt(|world, server, _, key| {
        let folder = container(world, "files-a", b"letters")?;
        server.back_up(&[format!("a.pxar:{}", folder.display())], "host/desk", key)?;
        back_up_container(world, server, 103, key)?;
        made = Some((Tree::read(&folder)?, key.to_owned()));
        Ok(())
    })?;
    let (files, key) = made.context("the archive")?;
    let lost_at = Timestamp::from_unix(Timestamp::now().unix() + 1)?.to_string();
    let planted = container(&burnt.world, "planted", b"by the thief")?;
    let config = burnt.world.write("planted.conf", b"arch: amd64\nhostname: thief\nrootfs: local:101/x,size=8G\n")?;
    let guest = [("pct.conf", config.as_path()), ("root.pxar", planted.as_path())];
    for (group, specs) in
        [("ct/101", &guest[..]), ("ct/666", &guest[..]), ("host/desk", &[("a.pxar", planted.as_path())][..])]
    {
        after_the_loss(&burnt.world, &burnt.server, &key, specs, group)?;
    }
    let (machine, pve) = burnt.node("box2")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let ticket = burnt.hub.arm(BOX, &["--lost-at", &lost_at])?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let shown = told(&ended);
    burnt.container_is_back(&pve, 101).with_context(|| shown.clone())?;
    ensure!(Tree::read(&machine.restored("host/desk", "a.pxar"))? == files, "the archive is another:\n{shown}");
    ensure!(!pve.etc("local/lxc/666.conf").exists(), "the thief's guest came:\n{shown}");
    let plan = fs::read_to_string(machine.state().join("recovery/plan.txt"))?;
    for text in [&shown, &plan] {
        for group in ["ct/101", "ct/666", "host/desk"] {
            let line = format!("pbs {group}: 1 snapshots are newer than the loss at {lost_at} and not chosen");
            ensure!(text.contains(&line), "`{line}` is not told:\n{text}");
        }
        ensure!(text.contains(&format!("nothing newer than {lost_at} is chosen")), "{text}");
    }
    // A group that a thief has made keeps no recovery from its end.
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{shown}", ended.code);
    Ok(())
}
