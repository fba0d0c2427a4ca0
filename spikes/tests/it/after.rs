//! What comes after the restore: guests are held against what was signed, started for a moment without a
//! network, and the lost box's backup jobs are offered.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::world::{BackupServer, Machine, Pve, World};

use crate::{
    guests::burnt,
    support::{BOX, container},
};

/// One more guest on the server, with these lines in its configuration.
fn back_up(world: &World, server: &BackupServer, group: &str, lines: &str, key: &Path) -> Result<()> {
    let (kind, vmid) = group.split_once('/').context("a group")?;
    let folder = container(world, &format!("after-{vmid}"), vmid.as_bytes())?;
    let (name, config, data) = match kind {
        "ct" => (
            "pct.conf",
            format!("{lines}hostname: g{vmid}\nrootfs: local:{vmid}/subvol-{vmid}-disk-0.subvol,size=1G\n"),
            format!("root.pxar:{}", folder.display()),
        ),
        _ => (
            "qemu-server.conf",
            format!(
                "#qmdump#map:scsi0:drive-scsi0:local:raw:\n{lines}name: g{vmid}\n\
                 scsi0: local:{vmid}/vm-{vmid}-disk-0.raw,size=4M\n"
            ),
            format!("drive-scsi0.img:{}", world.write(&format!("{vmid}.raw"), &[7; 4 << 20])?.display()),
        ),
    };
    let config = world.write(&format!("{vmid}.conf"), config.as_bytes())?;
    server.back_up(&[format!("{name}:{}", config.display()), data], group, key)?;
    Ok(())
}

/// A program of PVE's that does something of its own afterwards, `$VMID` and `$ROOT` given.
fn meddle(machine: &Machine, program: &str, script: &str) -> Result<()> {
    let path = machine.folder().join("usr/sbin").join(program);
    let real = path.with_extension("real");
    fs::rename(&path, &real)?;
    let (root, real) = (machine.folder().display().to_string(), real.display().to_string());
    let text = format!("#!/bin/sh\n'{real}' \"$@\" || exit $?\nROOT='{root}'\nALL=\"$*\"\n{script}\nexit 0\n");
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn a_guest_that_is_not_as_it_was_backed_up_is_there_and_to_be_looked_at() -> Result<()> {
    let burnt = burnt(|_, _, _, _| Ok(()))?;
    let (machine, pve) = burnt.node("box2")?;
    meddle(&machine, "qmrestore", "truncate -s 1M \"$ROOT/var/lib/vz/images/102/vm-102-disk-0.raw\"")?;
    let smaller =
        "case \"$ALL\" in restore*) sed -i s/size=8G/size=4G/ \"$ROOT\"/etc/pve/nodes/pve2/lxc/101.conf;; esac";
    meddle(&machine, "pct", smaller)?;
    let recovery = machine.recover_with(&burnt.hub.arm(BOX, &[])?, &["--start"], &[&burnt.words])?;
    ensure!(recovery.code == 14, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
    for sentence in [
        "NOT ALL as it should be",
        "TO BE LOOKED AT: its scsi0 has 1.00 MiB, and 5.00 MiB were backed up",
        "TO BE LOOKED AT: its rootfs is stated with 4.00 GiB, and was backed up with 8.00 GiB",
    ] {
        ensure!(recovery.shown.contains(sentence), "`{sentence}` is not told:\n{}", *recovery.shown);
    }
    // They are there, and what is not as it should be is not started.
    ensure!(pve.machine_config(102).is_ok() && pve.container_config(101).is_ok());
    ensure!(!machine.folder().join("run/fixture").exists(), "something was started");
    Ok(())
}

/// What was at the moment of the start.
fn started(machine: &Machine, vmid: u32) -> Option<String> {
    fs::read_to_string(machine.folder().join(format!("run/fixture/started-{vmid}"))).ok()
}

fn cards(config: &str) -> Vec<&str> {
    config.lines().filter(|line| line.starts_with("net")).collect()
}

#[test]
fn guests_are_started_for_a_moment_cut_off_from_every_network() -> Result<()> {
    let net = "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\nnet1: virtio=BC:24:11:00:00:02,bridge=vmbr1\n";
    let eth = "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:03,ip=dhcp,link_down=0\n";
    let burnt = burnt(|world, server, _, key| {
        back_up(world, server, "ct/111", eth, key)?;
        back_up(world, server, "vm/112", &format!("agent: 1\n{net}"), key)?;
        back_up(world, server, "vm/113", &format!("agent: 1\n{net}"), key)?;
        back_up(world, server, "vm/114", net, key)?;
        back_up(world, server, "vm/115", &format!("args: -netdev user,id=n9\n{net}"), key)?;
        back_up(world, server, "ct/116", eth, key)?;
        back_up(world, server, "vm/117", net, key)?;
        back_up(world, server, "ct/118", eth, key)
    })?;
    let (machine, pve) = burnt.node("box2")?;
    let ways = machine.folder().join("var/fixture");
    fs::create_dir_all(&ways)?;
    for way in ["no-agent-113", "start-fails-114", "set-lies-116", "stop-fails-117", "dies-118"] {
        fs::write(ways.join(way), "")?;
    }
    let ticket = burnt.hub.arm(BOX, &[])?;
    let recovery = machine.recover_with(&ticket, &["--start", "--start-wait", "1"], &[&burnt.words])?;
    let shown = &*recovery.shown;
    ensure!(recovery.code == 14, "recover ended with {}:\n{shown}", recovery.code);
    let told = |kind: &str, vmid: u32| {
        let lines = shown.split(&format!("-> {kind} {vmid}, ")).nth(1).unwrap_or_default();
        lines.split(" -> ").next().unwrap_or_default().to_owned()
    };
    for (kind, vmid, sentence) in [
        ("ct", 111, "came up"),
        ("vm", 112, "came up, and its agent answered"),
        ("vm", 113, "came up, and its agent did not answer in time"),
        ("vm", 114, "DID NOT COME UP: qm start did not succeed, and said: start failed: QEMU exited with code 1"),
        ("vm", 115, "DID NOT COME UP: it could not be cut off from the network"),
        ("ct", 116, "DID NOT COME UP: its net0 is still connected, whatever pct said"),
        ("vm", 117, "to be put back by hand: qm stop 117"),
        ("ct", 118, "DID NOT COME UP: it was started and does not run any more"),
    ] {
        ensure!(told(kind, vmid).contains(sentence), "{vmid}: `{sentence}` is not told:\n{shown}");
    }
    for vmid in [111, 112, 113, 114, 117, 118] {
        let config = started(&machine, vmid).with_context(|| format!("{vmid} was not started:\n{shown}"))?;
        let cards = cards(&config);
        ensure!(!cards.is_empty(), "{vmid} has no network card:\n{config}");
        ensure!(cards.iter().all(|card| card.ends_with("link_down=1")), "{vmid} was not cut off:\n{config}");
    }
    for vmid in [115, 116] {
        ensure!(started(&machine, vmid).is_none(), "{vmid} was started");
    }
    // Nothing runs, and every network is as it was; but of the one that could not be stopped.
    for vmid in [111, 112, 113, 114, 118] {
        ensure!(!machine.folder().join(format!("run/fixture/running-{vmid}")).exists(), "{vmid} runs");
    }
    ensure!(cards(&pve.container_config(111)?) == cards(eth), "{}", pve.container_config(111)?);
    for vmid in [112, 113, 114] {
        ensure!(cards(&pve.machine_config(vmid)?) == cards(net), "{}", pve.machine_config(vmid)?);
    }
    let left = pve.machine_config(117)?;
    ensure!(cards(&left).iter().all(|card| card.ends_with("link_down=1")), "one that runs was connected:\n{left}");
    ensure!(
        told("vm", 117).contains("qm set 117 --net0 'virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1'"),
        "{shown}"
    );
    Ok(())
}

const JOBS: &str = "vzdump: backup-all\n\tschedule 21:00\n\tall 1\n\tstorage pbs\n\tprune-backups keep-last=3\n\n\
                    vzdump: backup-hook\n\tschedule 22:00\n\tall 1\n\tstorage pbs\n\tscript /root/hook.pl\n\n\
                    vzdump: backup-gone\n\tschedule 23:00\n\tvmid 101,999\n\tstorage pbs\n\n\
                    vzdump: backup-two\n\tschedule 02:00\n\tvmid 101,102\n\tstorage pbs\n\n";
const THERE: &str = "# an administrator's\nvzdump: backup-two\n\tschedule 03:00\n\tall 1\n\tstorage local\n\n";

fn with_jobs(_: &World, _: &BackupServer, pve: &Pve, _: &Path) -> Result<()> {
    Ok(fs::write(pve.etc("jobs.cfg"), JOBS)?)
}

#[test]
fn backup_jobs_come_back_never_over_another_and_never_with_a_program() -> Result<()> {
    let burnt = burnt(with_jobs)?;
    let (machine, pve) = burnt.node("box2")?;
    fs::write(pve.etc("jobs.cfg"), THERE)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let recovery = machine.recover_with(&ticket, &["--install-jobs"], &[&burnt.words])?;
    let shown = &*recovery.shown;
    // The one of that name is another here.
    ensure!(recovery.code == 14, "recover ended with {}:\n{shown}", recovery.code);
    for sentence in [
        "the backup job backup-all is in place: all guests to pbs at 21:00, and keeps keep-last=3",
        "the backup job backup-hook is not put in place: it has a program of the node run",
        "the backup job backup-gone is not put in place: guests 999 are not here",
        "the backup job backup-two: jobs.cfg has another job backup-two",
    ] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    let text = fs::read_to_string(pve.etc("jobs.cfg"))?;
    let expected = "vzdump: backup-all\n\tschedule 21:00\n\tall 1\n\tstorage pbs\n\tprune-backups keep-last=3\n\n";
    ensure!(text == format!("{THERE}{expected}"), "{text}");
    ensure!(!pve.etc("priv/lock/file-jobs_cfg").exists(), "the lock was left");
    Ok(())
}

#[test]
fn each_backup_job_is_asked_for_by_itself() -> Result<()> {
    let burnt = burnt(with_jobs)?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = machine.folder().join("ticket");
    tenwords_spikes::world::write_private(&ticket, burnt.hub.arm(BOX, &[])?.as_bytes())?;
    let ticket = ticket.display().to_string();
    let (code, shown) = machine.conversation(
        &["recover", "--ticket-file", &ticket],
        &[
            ("The ten words: ", &burnt.words),
            ("Does this fit? [y/n] ", "y"),
            ("Shall it run here from now on? [y/n] ", "n"),
            ("Shall it run here from now on? [y/n] ", "y"),
        ],
    )?;
    ensure!(code == 0, "recover ended with {code}:\n{}", shown.replace(&*burnt.words, "…"));
    for sentence in ["backup job backup-all: all guests to pbs", "backup-all is not put in place: nobody wanted it"] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{}", shown.replace(&*burnt.words, "…"));
    }
    let text = fs::read_to_string(pve.etc("jobs.cfg"))?;
    ensure!(text == "vzdump: backup-two\n\tschedule 02:00\n\tvmid 101,102\n\tstorage pbs\n\n", "{text}");
    Ok(())
}
