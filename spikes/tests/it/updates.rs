//! What the box adds to its escrow without the ten words: stored once, given again, read by a recovery.

mod hostile;
mod killed;
mod pve;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenwords_spikes::{
    terminal::numbered_words,
    tree::Tree,
    world::{Machine, write_private},
};

use crate::support::{BOX, Disk, GROUP, Scene, container, mailer_is_ready, protected, reported, versions};

const LATER: &str = "ct/102";
const WORDS: &str = "The ten words: ";
const LONG: std::time::Duration = std::time::Duration::from_secs(300);

/// A key file of its own.
fn made_key(scene: &Scene, name: &str) -> Result<Vec<u8>> {
    let path = scene.world.folder().join("job").join(name);
    scene.server.run(&["key", "create", "--kdf", "none", &path.display().to_string()])?.with_code(0)?;
    Ok(fs::read(path)?)
}

/// Somebody puts this key where the box's own lies.
fn has_key(machine: &Machine, key: &[u8]) -> Result<()> {
    write_private(&machine.key_file(), key)
}

/// `escrow update`, and what it says.
fn update(machine: &Machine) -> Result<Value> {
    let ended = machine.agent(&["--json", "escrow", "update"], "")?;
    ensure!(matches!(ended.code, Some(0 | 1)), "{:?}: {}{}", ended.code, ended.wrote(), ended.said());
    ended.json()
}

fn state(said: &Value) -> &str {
    said["state"].as_str().unwrap_or_default()
}

/// A container under the key that the box has now.
fn back_up_later(scene: &Scene, name: &str) -> Result<Tree> {
    let later = container(&scene.world, name, format!("the books of {name}").as_bytes())?;
    let data = Tree::read(&later)?;
    scene.server.back_up(&[format!("root.pxar:{}", later.display())], LATER, &scene.box_1.key_file())?;
    Ok(data)
}

/// The box gets another key, a container under it, and an update.
fn with_another_key(scene: &Scene) -> Result<(Tree, Value)> {
    has_key(&scene.box_1, &made_key(scene, "second.enc")?)?;
    let later = back_up_later(scene, "later")?;
    let said = update(&scene.box_1)?;
    Ok((later, said))
}

/// A recovery that brings both containers back.
fn both_are_back(scene: &Scene, machine: &Machine, later: &Tree) -> Result<String> {
    let recovery = scene.recovers(machine, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    ensure!(Tree::read(&machine.restored(LATER, "root.pxar"))? == *later, "the later one:\n{}", *recovery.shown);
    Ok(recovery.shown.to_string())
}

/// The same state makes no version; each return to a former one does, and the recovery gets the key of the root.
#[test]
fn s14_one_state_is_one_version_and_a_return_to_a_former_key_is_another() -> Result<()> {
    let scene = protected()?;
    let first = fs::read(scene.box_1.key_file())?;
    for _ in 0..3 {
        let said = update(&scene.box_1)?;
        ensure!(state(&said) == "current" && said.get("version").is_none(), "{said}");
        ensure!(versions(&scene.hub)? == 1, "the same state was stored again: {said}");
    }
    let (later, said) = with_another_key(&scene)?;
    ensure!(state(&said) == "updated" && said["version"] == 2 && said["update"] == 1, "{said}");
    ensure!(said["keys"].as_array().is_some_and(|keys| keys.len() == 1), "{said}");
    ensure!(scene.box_1.is_protected()?, "a sealed key is escrowed");
    let status = scene.box_1.agent(&["status"], "")?.wrote();
    ensure!(status.contains("sealed, not proven"), "{status}");
    has_key(&scene.box_1, &first)?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "updated" && said["version"] == 3 && said["update"] == 2, "{said}");
    for _ in 0..2 {
        ensure!(state(&update(&scene.box_1)?) == "current" && versions(&scene.hub)? == 3);
    }
    // The facts are lost, or damaged: what is live is escrowed once more, and then no more.
    for (text, expected) in [(None, 4), (Some("{}"), 5)] {
        let facts = scene.box_1.state().join("escrow.facts");
        match text {
            None => fs::remove_file(&facts)?,
            Some(text) => fs::write(&facts, text)?,
        }
        ensure!(state(&update(&scene.box_1)?) == "updated" && versions(&scene.hub)? == expected, "{text:?}");
        ensure!(state(&update(&scene.box_1)?) == "current" && versions(&scene.hub)? == expected, "{text:?}");
    }
    let shown = both_are_back(&scene, &scene.fresh("box2")?, &later)?;
    ensure!(shown.contains("4 updates lie on this ceremony"), "{shown}");
    ensure!(shown.contains("update 1 of") && shown.contains("added key"), "{shown}");
    Ok(())
}

/// A hub that was restored from an old backup is given again what it had acknowledged: updates, or all of it.
#[test]
fn s19_a_hub_restored_from_an_old_backup_is_given_everything_again() -> Result<()> {
    let mut scene = crate::support::joined()?;
    let copy = |scene: &mut Scene, name: &str| -> Result<()> {
        scene.hub.stop()?;
        copied(scene.hub.data(), &scene.world.folder().join(name))?;
        scene.hub.serve()
    };
    let restored = |scene: &mut Scene, name: &str| -> Result<()> {
        scene.hub.stop()?;
        fs::remove_dir_all(scene.hub.data())?;
        copied(&scene.world.folder().join(name), scene.hub.data())?;
        scene.hub.serve()
    };
    copy(&mut scene, "before-the-ceremony")?;
    scene.words = scene.box_1.ceremony(crate::support::as_shown)?;
    copy(&mut scene, "before-the-update")?;
    let (later, _) = with_another_key(&scene)?;
    ensure!(versions(&scene.hub)? == 2);

    restored(&mut scene, "before-the-update")?;
    ensure!(versions(&scene.hub)? == 1 && !scene.box_1.is_protected()?, "status does not see what is lost");
    let said = update(&scene.box_1)?;
    ensure!(said["given_again"] == 1 && state(&said) == "current", "{said}");
    ensure!(said["hub_faults"] == serde_json::json!(["lost"]), "{said}");
    ensure!(versions(&scene.hub)? == 2 && scene.box_1.is_protected()?);
    ensure!(update(&scene.box_1)?["given_again"] == 0, "it is given once");

    // Where nobody types anything, this machine's administrator is told: the hub will not report itself.
    let mail = scene.with_mail()?;
    scene.pass("keep")?;
    ensure!(!mail.exists(), "nothing has happened, and somebody is told: {}", fs::read_to_string(&mail)?);
    let lost = |codes: &[String]| codes.iter().any(|code| code == "versions-lost");
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(!lost(&codes), "nothing is lost: {codes:?}");
    restored(&mut scene, "before-the-update")?;
    // Until the next pass has mended it, whoever looks at the fleet sees it.
    let (stands, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(stands != "ready" && lost(&codes), "{stands} {codes:?}");
    scene.pass("keep")?;
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(!lost(&codes), "it is told of what was given again: {codes:?}");
    let told = fs::read_to_string(&mail)?;
    ensure!(told.contains("the hub had lost versions of this box's escrow"), "{told}");
    ensure!(versions(&scene.hub)? == 2 && scene.box_1.is_protected()?);

    restored(&mut scene, "before-the-ceremony")?;
    let status = scene.box_1.agent(&["status"], "")?.wrote();
    ensure!(status.contains("the hub has lost this box's escrow"), "{status}");
    let said = update(&scene.box_1)?;
    ensure!(said["given_again"] == 2, "{said}");
    ensure!(versions(&scene.hub)? == 2 && scene.box_1.is_protected()?);
    both_are_back(&scene, &scene.fresh("box2")?, &later)?;
    Ok(())
}

/// A folder with all that is in it.
pub(crate) fn copied(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &target)?
        } else {
            fs::copy(entry.path(), &target).map(drop)?
        }
    }
    Ok(())
}

/// A box whose state was set back, as with a machine from a snapshot, goes on where its own updates at the hub end.
#[test]
fn a_box_whose_state_was_set_back_takes_its_own_updates_from_the_hub() -> Result<()> {
    let scene = protected()?;
    let kept = scene.world.folder().join("state-before");
    copied(&scene.box_1.state(), &kept)?;
    let (later, _) = with_another_key(&scene)?;
    fs::remove_dir_all(scene.box_1.state())?;
    copied(&kept, &scene.box_1.state())?;
    has_key(&scene.box_1, &made_key(&scene, "third.enc")?)?;
    let said = update(&scene.box_1)?;
    ensure!(
        state(&said) == "updated" && said["update"] == 2,
        "it makes the next one, and no second of one number: {said}"
    );
    // The box's own copy is damaged: the hub's will do, and the damaged one can be looked at.
    fs::write(scene.box_1.state().join("escrow.bundle"), "torn")?;
    let said = update(&scene.box_1)?;
    ensure!(scene.box_1.is_protected()?, "{said}");
    ensure!(fs::read(scene.box_1.state().join("escrow.bundle.damaged"))? == b"torn", "it is not set aside");
    // One that cannot be read now may be good: nothing takes its place until it is gone.
    let bundle = scene.box_1.state().join("escrow.bundle");
    fs::remove_file(&bundle)?;
    fs::create_dir(&bundle)?;
    scene.box_1.agent(&["escrow", "update"], "")?.with_code(20)?;
    ensure!(bundle.is_dir(), "it was replaced");
    fs::remove_dir(&bundle)?;
    let said = update(&scene.box_1)?;
    ensure!(bundle.is_file() && scene.box_1.is_protected()?, "{said}");
    let shown = both_are_back(&scene, &scene.fresh("box2")?, &later)?;
    ensure!(!shown.contains("REFUSED"), "{shown}");
    Ok(())
}

/// The day's updates are used up: the newest state waits, says for how long, and arrives in one piece.
#[test]
fn s13_beyond_the_daily_limit_the_newest_state_waits_and_arrives() -> Result<()> {
    let scene = protected()?;
    let first = fs::read(scene.box_1.key_file())?;
    let second = made_key(&scene, "second.enc")?;
    for round in 0..24 {
        has_key(&scene.box_1, if round % 2 == 0 { &second } else { &first })?;
        let said = update(&scene.box_1)?;
        ensure!(state(&said) == "updated", "{round}: {said}");
    }
    has_key(&scene.box_1, &made_key(&scene, "third.enc")?)?;
    for round in 0..2 {
        let said = update(&scene.box_1)?;
        ensure!(state(&said) == "waiting", "{said}");
        ensure!(said["second_holders"].is_array() == (round == 0), "its own backup server takes it, and once: {said}");
        ensure!(said["retry_after"].as_u64().is_some_and(|after| after > 3600 && after <= 86_400), "{said}");
    }
    ensure!(!scene.box_1.is_protected()?, "status does not say what waits");
    // Where nobody types anything: to the machine's own mailer, and in the fleet.
    let mail = scene.with_mail()?;
    scene.pass("keep")?;
    // What was done to the keys is told first.
    mailer_is_ready(&scene.box_1)?;
    scene.pass("keep")?;
    let told = fs::read_to_string(&mail)?;
    ensure!(told.contains("the hub takes no more from this box today"), "{told}");
    let waits = |codes: &[String]| codes.iter().any(|code| code == "escrow-waits");
    let (stands, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(stands != "ready" && waits(&codes), "{stands} {codes:?}");
    has_key(&scene.box_1, &made_key(&scene, "fourth.enc")?)?;
    let later = back_up_later(&scene, "later")?;
    ensure!(state(&update(&scene.box_1)?) == "waiting" && versions(&scene.hub)? == 25);
    Disk::of(&scene.hub)?.a_day_goes_by()?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "updated", "{said}");
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(!waits(&codes), "it is told of what has arrived: {codes:?}");
    // The one that waited as it was, and one for everything since.
    ensure!(versions(&scene.hub)? == 27 && scene.box_1.is_protected()?, "{said}");
    both_are_back(&scene, &scene.fresh("box2")?, &later)?;
    Ok(())
}

/// A hub that is away for long: nothing piles up on the box, and the newest state arrives.
#[test]
fn a_hub_that_is_away_costs_no_room_and_gets_the_newest_state() -> Result<()> {
    let mut scene = protected()?;
    scene.hub.stop()?;
    let count = |scene: &Scene| Ok::<_, anyhow::Error>(fs::read_dir(scene.box_1.state())?.count());
    let mut before = None;
    for round in 0..4 {
        has_key(&scene.box_1, &made_key(&scene, &format!("key-{round}.enc"))?)?;
        let ended = scene.box_1.agent(&["escrow", "update"], "")?;
        ensure!(ended.code == Some(15), "{:?}: {}", ended.code, ended.said());
        let now = count(&scene)?;
        ensure!(before.is_none_or(|before| before == now), "files pile up");
        before = Some(now);
    }
    let later = back_up_later(&scene, "later")?;
    scene.hub.serve()?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "updated" && said["keys"].as_array().is_some_and(|keys| keys.len() == 4), "{said}");
    ensure!(versions(&scene.hub)? == 3, "the one that waited as it was, and one for everything since");
    both_are_back(&scene, &scene.fresh("box2")?, &later)?;
    Ok(())
}

/// The hub is away, or says no: the box's own backup server has the new key all the same, and the hub gets the same
/// bytes later.
#[test]
fn a_hub_that_does_not_take_it_keeps_a_new_key_from_no_second_holder() -> Result<()> {
    let mut scene = protected()?;
    let state_of = |name: &str| scene.box_1.state().join(name);
    let (pending, own) = (state_of("escrow.pending"), state_of("escrow.bundle"));
    scene.hub.stop()?;
    has_key(&scene.box_1, &made_key(&scene, "second.enc")?)?;
    let later = back_up_later(&scene, "later")?;
    let ended = scene.box_1.agent(&["escrow", "update"], "")?;
    ensure!(ended.code == Some(15), "{:?}: {}", ended.code, ended.said());
    let (made, before) = (fs::read(&pending)?, fs::read(&own)?);
    // A second holder that has it is not given it again, and no other update is made of the same number.
    let datastore = scene.server.folder.clone().context("a folder")?;
    let stored = snapshots_of_the_escrow(&datastore)?;
    scene.box_1.agent(&["escrow", "update"], "")?.with_code(15)?;
    ensure!(fs::read(&pending)? == made && fs::read(&own)? == before, "what waits is another");
    ensure!(snapshots_of_the_escrow(&datastore)? == stored, "it was stored again");
    // Without the hub everything is back, what came after the ceremony too.
    let machine = scene.fresh("box2")?;
    let datastore = datastore.to_str().context("a path")?;
    let recovery = machine.recover_without_hub(&["--datastore", datastore], &[&scene.words])?;
    ensure!(recovery.code == 0, "{}:\n{}", recovery.code, *recovery.shown);
    ensure!(recovery.shown.contains("1 updates lie on"), "{}", *recovery.shown);
    ensure!(Tree::read(&machine.restored(LATER, "root.pxar"))? == later, "{}", *recovery.shown);
    // The hub gets what the second holder has.
    scene.hub.serve()?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "updated" && said["update"] == 1 && versions(&scene.hub)? == 2, "{said}");
    ensure!(said.get("second_holders").is_none(), "the holder had it already: {said}");
    ensure!(!pending.exists() && scene.box_1.is_protected()?, "{said}");
    both_are_back(&scene, &scene.fresh("box3")?, &later)?;
    Ok(())
}

/// How many snapshots of an escrow lie in a datastore.
fn snapshots_of_the_escrow(datastore: &Path) -> Result<usize> {
    let mut count = 0;
    for group in fs::read_dir(datastore.join("host"))? {
        let group = group?;
        if group.file_name().to_string_lossy().starts_with("tenwords-") {
            count += fs::read_dir(group.path())?.flatten().filter(|entry| entry.path().is_dir()).count();
        }
    }
    Ok(count)
}

/// A token with a new secret goes along; the recovery asks nobody for it.
#[test]
fn a_new_secret_of_a_token_is_carried_and_tried_where_the_former_is_refused() -> Result<()> {
    let scene = protected()?;
    let server = scene.server.with_new_secret()?;
    write_private(&scene.box_1.token_file(), format!("{}\n", server.expose_secret()).as_bytes())?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "updated" && said["tokens"][0] == "pbs", "{said}");
    ensure!(!said.to_string().contains(server.expose_secret()), "the secret is told");
    ensure!(state(&update(&scene.box_1)?) == "current");
    let drill = scene.box_1.conversation(&["drill", "--archive"], &[(WORDS, &scene.words)])?;
    ensure!(drill.0 == 0, "{}:\n{}", drill.0, *drill.1);
    let machine = scene.fresh("box2")?;
    let recovery = scene.recovers(&machine, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    ensure!(!recovery.shown.contains("not shown"), "it was asked for:\n{}", *recovery.shown);
    let installed = fs::read_to_string(machine.installed_token())?;
    ensure!(installed.trim() == server.expose_secret(), "the former secret was put in place");
    Ok(())
}

/// The next ceremony takes the keys in, proves them, and a new chain begins; a drill before it names what came by
/// an update.
#[test]
fn the_next_ceremony_folds_updates_in_and_a_new_chain_begins() -> Result<()> {
    let scene = protected()?;
    let (later, _) = with_another_key(&scene)?;
    let (code, shown) = scene.box_1.conversation(&["drill", "--words"], &[(WORDS, &scene.words)])?;
    ensure!(code == 0 && shown.contains("update 1 of") && shown.contains("nobody has proven"), "{code}:\n{}", *shown);
    // A new code: the former key comes from what the box has kept, and its sheet is not asked for.
    let mut terminal = scene.box_1.at_terminal(&["escrow", "create", "--new-code"])?;
    let screen = terminal.expect("Press Enter when they are written down", LONG)?;
    let words = numbered_words(&screen, 10).context("ten words")?;
    terminal.type_line("")?;
    terminal.expect(WORDS, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&words)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0, "{code}:\n{}", *shown);
    let status = scene.box_1.agent(&["--json", "status"], "")?.json()?;
    ensure!(status["escrow"]["keys"].as_array().is_some_and(|keys| keys.len() == 2), "{status}");
    ensure!(status["escrow"].get("sealed").is_none(), "{status}");
    ensure!(state(&update(&scene.box_1)?) == "current", "nothing is news after a ceremony");
    has_key(&scene.box_1, &made_key(&scene, "third.enc")?)?;
    let said = update(&scene.box_1)?;
    ensure!(said["update"] == 1, "a new chain: {said}");
    let machine = scene.fresh("box2")?;
    scene.recovers(&machine, &scene.hub.arm(BOX, &[])?, &words).err().map_or(Ok(()), |error| {
        // The key that was live at the ceremony is the second one.
        if error.to_string().contains("the key is another") { Ok(()) } else { Err(error) }
    })?;
    ensure!(Tree::read(&machine.restored(LATER, "root.pxar"))? == later);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data);
    // What came by the update is the new box's own now: under the words, and kept.
    let listed = machine.agent(&["--json", "key", "list"], "")?.with_code(0)?.json()?;
    let proven = |row: &Value| row["escrowed"]["grade"] == "proven" && row["kept"] == true;
    ensure!(listed["keys"].as_array().is_some_and(|rows| rows.len() == 3 && rows.iter().all(proven)), "{listed}");
    Ok(())
}

/// A key is changed and nobody has held a ceremony: nothing can be added to, and that is said.
#[test]
fn without_a_ceremony_an_update_says_what_is_to_be_done() -> Result<()> {
    let scene = crate::support::joined()?;
    let ended = scene.box_1.agent(&["escrow", "update"], "")?.with_code(1)?;
    ensure!(ended.wrote().contains("no ceremony was held"), "{}", ended.wrote());
    ensure!(versions(&scene.hub)? == 0);
    ensure!(scene.box_1.state().join("lineage").is_dir(), "the key is kept all the same");
    Ok(())
}

/// What no update carries: another server under the same name. Its token goes nowhere.
#[test]
fn a_source_that_is_elsewhere_is_told_and_nothing_of_it_is_sent() -> Result<()> {
    let scene = protected()?;
    let text = fs::read_to_string(scene.box_1.config())?;
    fs::write(scene.box_1.config(), text.replace(":store\"", ":another\""))?;
    write_private(&scene.box_1.token_file(), b"a-secret-of-another-server\n")?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "current" && versions(&scene.hub)? == 1, "{said}");
    ensure!(said["ceremony_needed"][0].as_str().is_some_and(|why| why.contains("source pbs")), "{said}");
    Ok(())
}

/// A box without any hub: its own backup server takes the updates, and a recovery from there has them.
#[test]
fn a_box_without_a_hub_leaves_its_updates_at_its_own_backup_server() -> Result<()> {
    let mut scene = crate::support::joined()?;
    let file = fs::read(scene.box_1.key_file())?;
    let alone = Machine::new(&scene.world, "alone", &scene.server.client)?.with_source(&scene.server, &file)?;
    let kit = scene.world.folder().join("alone.kit").display().to_string();
    let mut terminal = alone.at_terminal(&["escrow", "create", "--kit", &kit, "--box-name", "mill"])?;
    let screen = terminal.expect("Press Enter when they are written down", LONG)?;
    scene.words = numbered_words(&screen, 10).context("ten words")?;
    terminal.type_line("")?;
    terminal.expect(WORDS, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&scene.words)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0, "{code}:\n{}", *shown);

    let second = made_key(&scene, "second.enc")?;
    has_key(&alone, &second)?;
    let later = container(&scene.world, "later", b"the later books")?;
    let data = Tree::read(&later)?;
    scene.server.back_up(&[format!("root.pxar:{}", later.display())], LATER, &alone.key_file())?;
    let said = update(&alone)?;
    ensure!(state(&said) == "updated" && said["second_holders"].as_array().is_some_and(|all| all.len() == 1), "{said}");
    ensure!(said["warnings"].to_string().contains("is older than the escrow"), "the kit is older: {said}");
    ensure!(state(&update(&alone)?) == "current");
    // Its server does not take it: the update waits, and is sent as it was.
    let third = made_key(&scene, "third.enc")?;
    has_key(&alone, &third)?;
    let text = fs::read_to_string(&scene.server.client)?;
    fs::write(&scene.server.client, "#!/bin/sh\nexit 1\n")?;
    ensure!(state(&update(&alone)?) == "waiting");
    fs::write(&scene.server.client, text)?;
    let said = update(&alone)?;
    ensure!(state(&said) == "updated" && said["update"] == 2, "{said}");
    // Its own copy is a kit with everything.
    let newer = scene.world.folder().join("newer.kit").display().to_string();
    let told = alone.agent(&["--json", "kit", "--out", &newer], "")?.with_code(0)?.json()?;
    ensure!(told["updates"] == 2, "{told}");
    for (name, arguments) in [
        ("box2", vec!["--kit", newer.as_str()]),
        ("box3", vec!["--datastore", scene.server.folder.as_deref().and_then(Path::to_str).context("a folder")?]),
    ] {
        let machine = scene.fresh(name)?;
        let recovery = machine.recover_without_hub(&arguments, &[&scene.words])?;
        ensure!(recovery.code == 0, "{name}: {}:\n{}", recovery.code, *recovery.shown);
        ensure!(Tree::read(&machine.restored(LATER, "root.pxar"))? == data, "{name}:\n{}", *recovery.shown);
    }
    // The kit of the ceremony alone does not have it, and says nothing else.
    let machine = scene.fresh("box4")?;
    let recovery = machine.recover_without_hub(&["--kit", &kit], &[&scene.words])?;
    ensure!(recovery.code == 14 && !machine.restored(LATER, "root.pxar").exists(), "{}", *recovery.shown);
    Ok(())
}
