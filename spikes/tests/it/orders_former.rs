//! What an order lets replace, where the replacement does not come: it is there still, and costs nobody his data.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Result, ensure};
use tenwords_spikes::world::{MARTA, Machine, Pve};

use crate::{
    guests::Burnt,
    orders::{ORDER, is_ours, only, ordered, recover, taken, told, with},
    support::BOX,
};

/// As an editor leaves it: Proxmox VE writes another text of it, and one volume was gone before.
const EDITED: &str = "rootfs: local:101/subvol-101-disk-0.subvol,size=1G\n\nmemory: 256\nonboot: no\n\
    unused0: local:101/vm-101-disk-7.raw\nhostname: theirs\narch: amd64\n";

/// A node like [`taken`], whose Proxmox VE reads no configuration from the server while one of these files is there:
/// it is told nothing, or its task is killed.
struct Mute {
    silent: PathBuf,
    kills: PathBuf,
}

fn mute(burnt: &Burnt, name: &str) -> Result<(Machine, Pve, Mute)> {
    let flag = |what: &str| burnt.world.folder().join(format!("{name}-{what}"));
    let mute = Mute { silent: flag("silent"), kills: flag("kills") };
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *pct.conf*)\n\
         [ ! -e '{}' ] || {{ echo 'Error: error trying to connect: tcp connect error' >&2; exit 255; }}\n\
         [ ! -e '{}' ] || {{ kill -9 $PPID; exit 1; }};; esac\nexec '{}' \"$@\"\n",
        mute.silent.display(),
        mute.kills.display(),
        burnt.server.client.display()
    );
    let client = burnt.world.write(&format!("{name}-client"), text.as_bytes())?;
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755))?;
    let machine = Machine::new(&burnt.world, name, &burnt.server.client)?;
    let pve = Pve::install_with(&burnt.world, &machine, &burnt.server, "pve2", &client)?;
    pve.write_container(101, EDITED)?;
    fs::create_dir_all(pve.container_root(101))?;
    fs::write(pve.container_root(101).join("theirs"), "what nobody else has")?;
    Ok((machine, pve, mute))
}

/// Their container is there with its files, whatever Proxmox VE has made of its configuration's text.
fn is_theirs(pve: &Pve, said: &str) -> Result<()> {
    let config = pve.container_config(101)?;
    ensure!(config.contains("hostname: theirs") && config.contains("unused0: "), "{config}\n{said}");
    let file = pve.container_root(101).join("theirs");
    ensure!(file.is_file(), "their volume was destroyed:\n{said}");
    for word in ["destroy 101", "pvesm free", "101.conf`"] {
        ensure!(!said.contains(word), "somebody is told to destroy it:\n{said}");
    }
    Ok(())
}

#[test]
fn a_guest_edited_by_hand_outlives_an_order_that_comes_to_nothing() -> Result<()> {
    let (burnt, operators) = ordered()?;
    for (name, is_killed) in [("silent", false), ("killed", true)] {
        let (machine, pve, mute) = mute(&burnt, name)?;
        let ticket = burnt.hub.arm(BOX, &[])?;
        let ended = recover(&burnt, &machine, &ticket, &[])?;
        ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
        let first = only(&machine)?;
        let signed = operators.signs(MARTA, ORDER, &first)?;
        fs::write(if is_killed { &mute.kills } else { &mute.silent }, "")?;
        let ended = with(&burnt, &machine, &ticket, &signed)?;
        ensure!(ended.code == Some(14), "it ended with {:?}:\n{}", ended.code, told(&ended));
        is_theirs(&pve, &told(&ended))?;
        let config = pve.container_config(101)?;
        ensure!(config != EDITED && config.contains("lock: create") == is_killed, "{config}");
        ensure!(told(&ended).contains("pct unlock 101") == is_killed, "{}", told(&ended));

        // The server is as silent as before: what is there is nobody's to take away, and waits for another order.
        let ended = recover(&burnt, &machine, &ticket, &[])?;
        ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
        is_theirs(&pve, &told(&ended))?;
        ensure!(!pve.container_config(101)?.contains("lock"), "it is locked still:\n{}", told(&ended));
        let second = only(&machine)?;
        ensure!(second != first, "the used order is asked for again");

        for flag in [&mute.kills, &mute.silent].into_iter().filter(|flag| flag.exists()) {
            fs::remove_file(flag)?;
        }
        let ended = with(&burnt, &machine, &ticket, &operators.signs(MARTA, ORDER, &second)?)?;
        ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
        is_ours(&burnt, &pve)?;
    }
    Ok(())
}

#[test]
fn an_order_for_a_guest_that_runs_is_not_used_up() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve) = taken(&burnt, "box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    pve.run("pct", &["start", "101"])?.with_code(0)?;
    let ended = recover(&burnt, &machine, &ticket, &[])?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    let text = only(&machine)?;
    let kept = burnt.world.write("kept.sig", &fs::read(operators.signs(MARTA, ORDER, &text)?)?)?;
    let ended = with(&burnt, &machine, &ticket, &kept)?;
    let said = told(&ended);
    ensure!(ended.code == Some(13) && said.contains("`pct shutdown 101`"), "it ended with {:?}:\n{said}", ended.code);
    ensure!(only(&machine)? == text, "another order is asked for:\n{said}");
    ensure!(pve.container_root(101).join("theirs").is_file(), "it was replaced while it ran:\n{said}");

    pve.run("pct", &["shutdown", "101"])?.with_code(0)?;
    let ended = with(&burnt, &machine, &ticket, &kept)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    is_ours(&burnt, &pve)
}
