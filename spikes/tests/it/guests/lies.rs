//! Backup servers that lie to Proxmox VE's own programs, and texts from elsewhere.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::tree::Tree;

use super::{Burnt, burnt, nothing};
use crate::support::{BOX, by_pipe, client, container, edit_manifest, harmful};

/// The folder of the only snapshot of a group on the server.
fn snapshot(burnt: &Burnt, group: &str) -> Result<(std::path::PathBuf, Timestamp)> {
    let name = burnt.server.snapshots(group)?.pop().context("a snapshot")?;
    let time = name.rsplit('/').next().context("a time")?.parse()?;
    Ok((burnt.server.folder.as_ref().context("a folder")?.join(name), time))
}

/// Container 101 in plain, unsigned, but claiming to be that snapshot, with our fingerprint on it.
fn twin(burnt: &Burnt, time: Timestamp) -> Result<std::path::PathBuf> {
    let planted = container(&burnt.world, "planted", b"planted by the server")?;
    let config = burnt.world.write("planted.conf", b"arch: amd64\nhostname: planted\nrootfs: local:101/x,size=8G\n")?;
    let specs = [format!("pct.conf:{}", config.display()), format!("root.pxar:{}", planted.display())];
    let time = time.unix().to_string();
    let plain = ["--backup-type", "ct", "--backup-id", "909", "--backup-time", &time, "--crypt-mode", "none"];
    let arguments: Vec<&str> = ["backup"].into_iter().chain(specs.iter().map(String::as_str)).chain(plain).collect();
    burnt.server.run(&arguments)?.with_code(0)?;
    let (from, _) = snapshot(burnt, "ct/909")?;
    let aside = burnt.world.folder().join("aside");
    fs::rename(&from, &aside)?;
    fs::remove_dir_all(from.parent().context("its group")?)?;
    let fingerprint = KeyFile::parse(&burnt.key)?.open(None)?.fingerprint().to_string();
    edit_manifest(&aside, |manifest| {
        manifest["backup-id"] = "101".into();
        manifest["unprotected"]["key-fingerprint"] = fingerprint.into();
    })?;
    Ok(aside)
}

/// The agent sees the genuine snapshot whenever it looks; PVE's programs get a plain twin, which the
/// client restores without a word.
#[test]
fn s66_what_only_proxmox_ve_is_shown_or_only_afterwards_is_no_guest_of_ours() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (there, time) = snapshot(&burnt, "ct/101")?;
    let aside = twin(&burnt, time)?;
    let used = burnt.world.folder().join("turned");
    let script = format!(
        "if [ -n \"$PROXMOX_OUTPUT_NO_HEADER\" ]; then case \"$*\" in *' ct/101/'*)\n\
         mv '{there}' '{kept}'; cp -a '{aside}' '{there}'; echo \"$*\" >> '{used}'\n\
         \"$CLIENT\" \"$@\"; end=$?; rm -r '{there}'; mv '{kept}' '{there}'; exit $end ;; esac; fi",
        there = there.display(),
        kept = burnt.world.folder().join("kept").display(),
        aside = aside.display(),
        used = used.display(),
    );
    let turning = client(&burnt.world, &burnt.server, "turning-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &turning)?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 14)?;
    ensure!(fs::read_to_string(&used)?.contains("root.pxar"), "the twin was not asked for");
    for sentence in ["was not read under key", "pct destroy 101"] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(!shown.contains("ct 101, stopped"), "it is told as restored:\n{shown}");
    burnt.machine_is_back(&pve, 102)?;

    a_list_that_is_another_one_afterwards(&burnt, "box3", &CONTAINER)?;
    a_list_that_is_another_one_afterwards(&burnt, "box4", &MACHINE)
}

/// The list of files is another one when the agent looks again after the restore: the guest is left,
/// and not trusted. For a virtual machine's disks nothing else would tell.
fn a_list_that_is_another_one_afterwards(burnt: &Burnt, box_name: &str, lied: &Lied) -> Result<()> {
    let (there, _) = snapshot(burnt, lied.group)?;
    let (other, _) = snapshot(burnt, lied.other)?;
    let [list, genuine, done] = ["list", "genuine", "done"].map(|name| burnt.world.folder().join(name));
    fs::copy(other.join("index.json.blob"), &list)?;
    let there = there.join("index.json.blob");
    fs::copy(&there, &genuine)?;
    // What PVE restores is genuine; when it is done, the server shows another list under the same key.
    let script = format!(
        "case \"$PROXMOX_OUTPUT_NO_HEADER $*\" in\n\
         '1 restore '*' {group}/'*' {last} '*) touch '{done}' ;;\n\
         ' restore {group}/'*' index.json '*) [ ! -e '{done}' ] || cp '{list}' '{there}' ;; esac",
        group = lied.group,
        last = lied.last,
        done = done.display(),
        list = list.display(),
        there = there.display(),
    );
    let replacing = client(&burnt.world, &burnt.server, &format!("replacing-client-{box_name}"), &script)?;
    let (machine, pve) = burnt.node_with(box_name, &replacing)?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 14)?;
    for sentence in lied.told {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    ensure!(!shown.contains(lied.untold), "it is told as restored:\n{shown}");
    ensure!(
        pve.container_root(101).exists() && pve.disk(102).exists(),
        "what nobody ordered to be removed was removed"
    );
    fs::copy(&genuine, &there)?;
    fs::remove_file(&done)?;
    if lied.group == "ct/101" {
        burnt.machine_is_back(&pve, 102)
    } else {
        ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "container 101 is another:\n{shown}");
        Ok(())
    }
}

/// A guest whose list is swapped once PVE's programs have asked for `last`.
struct Lied {
    group: &'static str,
    other: &'static str,
    last: &'static str,
    told: [&'static str; 3],
    untold: &'static str,
}

const CONTAINER: Lied = Lied {
    group: "ct/101",
    other: "vm/102",
    last: "root.pxar",
    told: [
        "container 101 on storage local is there, and is NOT to be trusted",
        "`pct set 101 --onboot 0`",
        "remove it (`pct destroy 101 --destroy-unreferenced-disks 0`)",
    ],
    untold: "ct 101, stopped",
};

const MACHINE: Lied = Lied {
    group: "vm/102",
    other: "ct/101",
    last: "qemu-server.conf",
    told: [
        "virtual machine 102 is there, and is NOT to be trusted",
        "`qm set 102 --onboot 0`",
        "remove it (`qm destroy 102 --destroy-unreferenced-disks 0`)",
    ],
    untold: "vm 102, stopped",
};

/// S71, by the agent: megabytes and escape sequences in what the client and PVE's programs say, in a
/// note on the server and in the name of a guest.
#[test]
fn s71_what_programs_servers_and_guests_say_is_shown_harmlessly_and_bounded() -> Result<()> {
    let burnt = burnt(nothing)?;
    let noise = "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}gnp.exe\u{2066}\u{9b}31m";
    // Long lines and many of them, on standard error and within an error that is no known one.
    let script = format!(
        "if [ \"$1\" = restore ]; then yes '{noise} said by a program' | head -c 3000000 >&2\n\
         yes x | tr -d '\\n' | head -c 10000000 >&2; echo >&2; fi\n\
         case \"$*\" in *' ct/101/'*' root.pxar '*) echo \"Error: {noise} $(yes y | tr -d '\\n' | head -c 100000)\" >&2; exit 255 ;; esac"
    );
    let talking = client(&burnt.world, &burnt.server, "talking-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &talking)?;
    let name = format!("{noise}{}", "long".repeat(1000));
    fs::write(pve.etc("nodes/pve2/qemu-server/102.conf"), format!("name: {name}\nscsi0: local:102/x.raw\n"))?;
    let (there, _) = snapshot(&burnt, "ct/101")?;
    edit_manifest(&there, |manifest| manifest["unprotected"]["notes"] = noise.repeat(10_000).into())?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let told = format!("{}{}", ended.said(), String::from_utf8_lossy(&ended.stdout));
    ensure!(ended.code == Some(14), "recover ended with {:?}:\n{}", ended.code, &told[..told.len().min(4000)]);
    ensure!(told.contains("is taken by the virtual machine"), "102 is not named:\n{told}");
    ensure!(told.len() < 100_000, "{} bytes were shown", told.len());
    ensure!(!harmful(&told), "{told:?}");
    machine.left_nothing_in_memory()
}
