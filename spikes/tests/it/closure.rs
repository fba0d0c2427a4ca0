//! What is left to be done after a recovery, on the built programs: each line alive until proven dead, and
//! red until all are closed.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::world::{BackupServer, Machine, Pve, World};

use crate::{
    guests::{Burnt, burnt, living},
    support::{BOX, Disk, joined, protected},
};

/// The checklist after a look at everything.
fn look(machine: &Machine) -> Result<Value> {
    let ended = machine.agent(&["--json", "closure"], "")?;
    ensure!(matches!(ended.code, Some(0 | 1)), "{:?}: {}{}", ended.code, ended.wrote(), ended.said());
    let list = ended.json()?;
    ensure!((ended.code == Some(0)) == (list["closed"] == true), "{list}");
    Ok(list)
}

/// `proven`, `attested` or `open`, and how or what was seen.
fn line(list: &Value, id: &str) -> Result<(String, String)> {
    let lines = list["lines"].as_array().context("lines")?;
    let line = lines.iter().find(|line| line["id"] == id).with_context(|| format!("no line {id} in {list}"))?;
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let seen = text("how").or_else(|| text("seen")).or_else(|| text("reason")).unwrap_or_default();
    Ok((text("state").context("a state")?, seen))
}

fn is(list: &Value, id: &str, state: &str, seen: &str) -> Result<()> {
    let found = line(list, id)?;
    ensure!(found.0 == state && found.1.contains(seen), "{id} is {found:?}, and not {state}: {seen}");
    Ok(())
}

/// A clock with whole seconds cannot tell what comes in the same second.
fn next_second() {
    let now = Timestamp::now();
    while Timestamp::now() == now {
        thread::sleep(Duration::from_millis(20));
    }
}

fn back_up(world: &World, server: &BackupServer, group: &str, key: &Path) -> Result<()> {
    let vmid = group.split_once('/').context("a group")?.1;
    let (config, data) = match group.starts_with("ct/") {
        true => ("pct.conf", format!("root.pxar:{}", world.folder().join(format!("ct-{vmid}")).display())),
        false => {
            ("qemu-server.conf", format!("drive-scsi0.img:{}", world.folder().join(format!("vm-{vmid}.raw")).display()))
        }
    };
    let of_guest = world.folder().join(format!("{}.conf", group.replace('/', "-")));
    server.back_up(&[format!("{config}:{}", of_guest.display()), data], group, key)?;
    Ok(())
}

/// An administrator gives the token a new secret on the server, and it to the node.
fn put_secret(pve: &Pve, server: &BackupServer) -> Result<()> {
    pve.run("pvesm", &["set", "pbs", "--password", server.expose_secret()])?.with_code(0)?;
    Ok(())
}

/// The key file of the node, where its jobs look for it.
fn key_of(burnt: &Burnt, name: &str) -> Result<std::path::PathBuf> {
    let path = burnt.world.write(name, &burnt.key)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path)
}

#[test]
fn s44_what_a_stolen_box_has_is_shown_alive_until_it_is_proven_dead() -> Result<()> {
    let (burnt, stolen) = living(|_, _, _, _| Ok(()))?;
    let (machine, pve) = burnt.node("box2")?;
    let recovery = machine.recover(&burnt.hub.arm(BOX, &["--stolen"])?, &[&burnt.words])?;
    ensure!(recovery.code == 0, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
    ensure!(
        recovery.shown.contains("[x] certificate: ") && recovery.shown.contains("[ ] token:pbs: "),
        "{}",
        *recovery.shown
    );

    // It comes on line: the hub does not take it, the backup server does.
    ensure!(!stolen.is_protected()?, "the hub takes the stolen box's certificate");
    let key = key_of(&burnt, "stolen.enc")?;
    back_up(&burnt.world, &burnt.server, "ct/101", &key)?;
    // Ahead of the clock too, so that it will be the newest for long.
    let ahead = (Timestamp::now().unix() + 86_400).to_string();
    let (config, data) = (
        format!("pct.conf:{}", burnt.world.folder().join("ct-101.conf").display()),
        format!("root.pxar:{}", burnt.world.folder().join("ct-101").display()),
    );
    let keyfile = key.display().to_string();
    let arguments = ["backup", &config, &data, "--backup-type", "ct", "--backup-id", "101", "--keyfile", &keyfile];
    burnt.server.run(&[&arguments[..], &["--backup-time", &ahead]].concat())?.with_code(0)?;
    let list = look(&machine)?;
    is(&list, "certificate", "proven", "the hub has revoked every certificate")?;
    is(&list, "token:pbs", "open", "ALIVE: ")?;
    is(&list, "other-secrets", "open", "ALIVE: ")?;
    is(&list, "escrow", "proven", "sequence 2")?;
    // What the thief has backed up with the stolen key is no backup of the new box's.
    is(&list, "backup:ct/101", "open", "could be the lost box's own")?;
    let status = machine.agent(&["--json", "status"], "")?.with_code(1)?.json()?;
    ensure!(status["protected"] == true && status["closure"]["closed"] == false, "{status}");

    // A hub on which the stolen one's certificate lives again is seen too.
    let mut disk = Disk::of(&burnt.hub)?;
    disk.revive_certificates()?;
    is(&look(&machine)?, "certificate", "open", "ALIVE: the hub takes the certificate of machine")?;

    // The token gets a new secret. The box still has the former one, which proves that it is dead.
    next_second();
    let rotated = burnt.server.with_new_secret()?;
    ensure!(back_up(&burnt.world, &burnt.server, "ct/101", &key).is_err(), "the stolen box can still back up");
    let list = look(&machine)?;
    is(&list, "token:pbs", "proven", "refuses the lost box's secret")?;
    is(&list, "backup:ct/101", "open", "")?;
    put_secret(&pve, &rotated)?;
    let list = look(&machine)?;
    is(&list, "token:pbs", "proven", "refuses the lost box's secret")?;
    // What the thief left stays his, whatever its time was.
    is(&list, "backup:ct/101", "open", "nothing was backed up since")?;
    is(&list, "escrow", "open", "the token of source pbs was changed since")?;
    ensure!(list["closed"] == false, "{list}");
    Ok(())
}

#[test]
fn s62_after_the_first_night_jobs_and_backups_are_back_and_the_closure_is_green() -> Result<()> {
    let jobs = "vzdump: backup-all\n\tschedule 21:00\n\tall 1\n\tstorage pbs\n\n";
    let burnt = burnt(|_, _, pve, _| Ok(fs::write(pve.etc("jobs.cfg"), jobs)?))?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let recovery = machine.recover_with(&ticket, &["--install-jobs"], &[&burnt.words])?;
    ensure!(recovery.code == 0, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
    ensure!(fs::read_to_string(pve.etc("jobs.cfg"))? == jobs, "the job is not back");
    let shown = machine.agent(&["status"], "")?.with_code(1)?.wrote();
    for sentence in ["Protected: box", "is NOT CLOSED", "[ ] token:pbs", "[ ] backup:vm/102", "[ ] code"] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }

    // The day after: the token gets a new secret, on the server and here, and the escrow has it too.
    next_second();
    let rotated = burnt.server.with_new_secret()?;
    put_secret(&pve, &rotated)?;
    let list = look(&machine)?;
    is(&list, "token:pbs", "proven", "takes another secret")?;
    is(&list, "backup:ct/101", "open", "nothing was backed up since")?;
    next_second();
    let (code, shown) =
        machine.conversation(&["escrow", "create", "--keep-code"], &[("The ten words: ", &burnt.words)])?;
    ensure!(code == 0, "the ceremony ended with {code}:\n{}", shown.replace(&*burnt.words, "…"));

    // The first night: one guest plain, one under a key that no escrow has.
    let other = burnt.world.folder().join("other.enc");
    rotated.run(&["key", "create", "--kdf", "none", &other.display().to_string()])?.with_code(0)?;
    back_up(&burnt.world, &rotated, "ct/101", &other)?;
    let list = look(&machine)?;
    is(&list, "escrow", "proven", "sequence 3")?;
    is(&list, "backup:ct/101", "open", "is not in the newest escrow")?;
    next_second();
    for group in ["ct/101", "vm/102"] {
        back_up(&burnt.world, &rotated, group, &pve.etc("priv/storage/pbs.enc"))?;
    }
    let list = look(&machine)?;
    for group in ["ct/101", "vm/102"] {
        is(&list, &format!("backup:{group}"), "proven", "under key")?;
    }

    // What no look can prove is said by somebody.
    for line in ["other-secrets", "code"] {
        let reason = "the disks are ashes, and Ms Huber alone has the sheet";
        machine.agent(&["closure", "attest", line, "--by", "Jo Berg", "--reason", reason], "")?;
    }
    let list = look(&machine)?;
    is(&list, "code", "attested", "")?;
    ensure!(list["closed"] == true, "{list}");
    let shown = machine.agent(&["closure"], "")?.with_code(0)?.wrote();
    ensure!(shown.contains("by Jo Berg: the disks are ashes") && shown.contains("Closed: "), "{shown}");
    machine.agent(&["status"], "")?.with_code(0)?;
    Ok(())
}

#[test]
fn only_what_is_on_the_list_and_open_is_attested() -> Result<()> {
    let scene = protected()?;
    let machine = scene.fresh("box2")?;
    scene.recovers(&machine, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    let attest = |line: &str, by: &str, reason: &str| {
        machine.agent(&["closure", "attest", line, "--by", by, "--reason", reason], "")
    };
    for (line, by, reason, told) in [
        ("backup:ct/101", "Jo", "done", "has no line backup:ct/101"),
        ("word", "Jo", "done", "has no line word"),
        ("\u{1b}[2J", "Jo", "done", "has no line"),
        ("other-secrets", "  ", "done", "--by is empty"),
        ("other-secrets", "Jo", "", "--reason is empty"),
        ("certificate", "Jo", "done", "nothing is to be attested"),
    ] {
        let said = attest(line, by, reason)?.with_code(2)?.said();
        ensure!(said.contains(told) && !said.contains('\u{1b}'), "`{told}` is not told:\n{said}");
    }
    // A list that cannot be read is not a closed one, and is not written over.
    let file = machine.state().join("closure.json");
    let (whole, mode) = (fs::read(&file)?, fs::metadata(&file)?.permissions().mode() & 0o777);
    ensure!(mode == 0o600, "it has mode {mode:o}");
    let secret = scene.server.expose_secret().as_bytes();
    ensure!(!whole.windows(secret.len()).any(|window| window == secret), "the token lies in it");
    fs::write(&file, &whole[..whole.len() / 2])?;
    machine.agent(&["closure"], "")?.with_code(20)?;
    let shown = machine.agent(&["status"], "")?.with_code(1)?.wrote();
    ensure!(shown.contains("closure.json cannot be read"), "{shown}");
    ensure!(fs::read(&file)? == whole[..whole.len() / 2], "it was written over");
    Ok(())
}

/// No hub can be asked there, and perhaps one knows the lost box all the same.
#[test]
fn without_a_hub_it_is_for_somebody_to_say_that_the_certificate_is_dead() -> Result<()> {
    let scene = protected()?;
    let kit = scene.world.folder().join("box.kit").display().to_string();
    scene.box_1.agent(&["kit", "--out", &kit], "")?.with_code(0)?;
    let machine = scene.fresh("box2")?;
    let recovery = machine.recover_without_hub(&["--kit", &kit], &[&scene.words])?;
    ensure!(recovery.code == 0, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
    let list = look(&machine)?;
    is(&list, "certificate", "open", "to be taken as ALIVE")?;
    is(&list, "kit", "proven", "second holder")?;
    machine.agent(&["closure", "attest", "certificate", "--by", "Jo", "--reason", "no hub ever knew it"], "")?;
    is(&look(&machine)?, "certificate", "attested", "no hub ever knew it")?;
    // What is attested and seen to be otherwise says both.
    machine.agent(&["closure", "attest", "token:pbs", "--by", "Jo", "--reason", "ashes"], "")?;
    is(&look(&machine)?, "token:pbs", "attested", "ALIVE: ")?;
    let shown = machine.agent(&["closure"], "")?.with_code(1)?.wrote();
    ensure!(shown.contains("by Jo: ashes") && shown.contains("ALIVE: "), "{shown}");
    Ok(())
}

#[test]
fn where_nothing_was_recovered_there_is_no_list() -> Result<()> {
    let scene = joined()?;
    let said = scene.box_1.agent(&["closure"], "")?.with_code(10)?.said();
    ensure!(said.contains("no recovery has left anything"), "{said}");
    let words = scene.box_1.ceremony(crate::support::as_shown)?;
    let machine = scene.fresh("box2")?;
    let recovery = machine.recover(&scene.hub.arm(BOX, &["--rehearsal"])?, &[&words])?;
    ensure!(recovery.code == 0 && !recovery.shown.contains("To be closed"), "{}", *recovery.shown);
    ensure!(!machine.state().join("closure.json").exists(), "a rehearsal has left a list");
    scene.box_1.agent(&["status"], "")?.with_code(0)?;
    Ok(())
}
