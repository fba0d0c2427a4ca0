//! Whether a guest is what PVE's restore makes of a backup, by its configuration and its volumes.
//!
//! PVE's restore writes the configuration, looks for volumes that nothing names, and then puts the guest into the pool it
//! was told. Whose program is ended in between leaves a guest that is whole, and without the mark by which it is known
//! ([`super::pool`]). It is not the guest that somebody made there if its configuration says what the backup's says,
//! but for what a restore draws or makes anew, and each of its volumes was made since.
//!
//! By that nothing may be taken away: somebody may have restored the same backup by hand. It may be taken for what was
//! to be restored, and be looked at.

use std::collections::BTreeSet;

use super::{
    former::{Lines, is_in_creation, sections},
    guest_config::Kind,
    leftover::is_of,
    torn::Volumes,
};

/// Whether this configuration is what a restore of `backed_up` to this number comes to, with volumes that were not there
/// `before`. In doubt it is not.
#[must_use]
pub fn is_restored(kind: Kind, vmid: u32, backed_up: &[u8], now: &[u8], before: &Volumes) -> bool {
    if is_in_creation(now) {
        return false;
    }
    let (mut then, mut now) = (sections(backed_up), sections(now));
    let (mut then, lines) = (then.remove("").unwrap_or_default(), now.remove("").unwrap_or_default());
    // Snapshots, pending changes and a lock came later: somebody uses it.
    if !now.is_empty() || lines.contains_key("lock") {
        return false;
    }
    // A disk that was not backed up becomes a comment.
    then.retain(|key, value| {
        kind == Kind::Container || !is_drive(kind, key) || value.split(',').all(|part| part != "backup=0")
    });
    let own = own_volumes(kind, vmid, &lines);
    let all_made = before.made_of(&own) == own;
    // Without a volume of its own nothing shows that it was not there before.
    !own.is_empty() && all_made && said(kind, vmid, &then, &lines) == said(kind, vmid, &lines, &lines)
}

/// What of these lines a restore keeps; its volumes are others, where `now` has some of its own.
fn said(kind: Kind, vmid: u32, lines: &Lines, now: &Lines) -> Lines {
    let is_left_out = |key: &str, value: &str| {
        DRAWN.contains(&key) || is_numbered(key, "unused") || (key, value) == ("unprivileged", "0")
    };
    let kept = lines.iter().filter(|(key, value)| !is_left_out(key, value));
    let mut said: Lines = kept
        .map(|(key, value)| {
            let is_own = now.get(key).and_then(|value| volume(value)).is_some_and(|volume| is_of(volume, vmid));
            let value = if is_drive(kind, key) { drive(value, is_own) } else { value.clone() };
            (key.clone(), value)
        })
        .collect();
    if kind == Kind::Container {
        // What PVE writes where the backup has nothing.
        for (key, value) in [("hostname", format!("CT{vmid}")), ("memory", "512".into()), ("swap", "512".into())] {
            said.entry(key.to_owned()).or_insert(value);
        }
    }
    said
}

/// A drive without its size, which PVE brings in step with the volume, and without a volume that was made anew.
fn drive(value: &str, is_own: bool) -> String {
    let is_kept = |part: &&str| !part.starts_with("size=") && (!is_own || part.contains('='));
    value.split(',').filter(is_kept).collect::<Vec<_>>().join(",")
}

fn own_volumes(kind: Kind, vmid: u32, lines: &Lines) -> BTreeSet<String> {
    let drives = lines.iter().filter(|(key, _)| is_drive(kind, key));
    let volumes = drives.filter_map(|(_, value)| volume(value));
    volumes.filter(|volume| is_of(volume, vmid)).map(str::to_owned).collect()
}

/// The part that has no name.
fn volume(value: &str) -> Option<&str> {
    value.split(',').find(|part| !part.contains('='))
}

fn is_drive(kind: Kind, key: &str) -> bool {
    match kind {
        Kind::Machine => ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"].iter().any(|it| is_numbered(key, it)),
        Kind::Container => key == "rootfs" || is_numbered(key, "mp"),
    }
}

fn is_numbered(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a restore makes anew, or leaves out.
const DRAWN: [&str; 5] = ["vmgenid", "lock", "parent", "digest", "snapshots"];

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "#qmdump#map:scsi0:drive-scsi0:fast:raw:\nname: db\nmemory: 1024\nvmgenid: 1-2\n\
        net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nide2: local:iso/x.iso,media=cdrom,size=1M\n\
        scsi0: fast:vm-102-disk-0,discard=on,size=5M\nscsi1: fast:vm-102-disk-1,backup=no,size=9M\nunused0: fast:vm-102-disk-4\n";
    const RESTORED: &str = "#scsi1: fast:vm-102-disk-1,backup=no,size=9M\nide2: local:iso/x.iso,media=cdrom,size=2M\n\
        memory: 1024\nname: db\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\nvmgenid: 3-4\n\
        scsi0: slow:vm-102-disk-0,discard=on,size=8M\n";

    fn before(volumes: &[&str]) -> Volumes {
        Volumes {
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
            storages: ["slow".to_owned()].into(),
        }
    }

    fn is_machine(now: &str, before: &Volumes) -> bool {
        is_restored(Kind::Machine, 102, MACHINE.as_bytes(), now.as_bytes(), before)
    }

    #[test]
    fn a_machine_as_a_restore_leaves_it_is_known() {
        let nothing = before(&[]);
        assert!(is_machine(RESTORED, &nothing));
        // A volume that was there before, and that PVE has found.
        assert!(is_machine(&format!("{RESTORED}unused0: slow:vm-102-disk-7\n"), &before(&["slow:vm-102-disk-7"])));
        for (line, other) in [
            ("name: db\n", "name: till\n"),
            ("name: db\n", ""),
            ("name: db\n", "name: db\nonboot: 1\n"),
            ("name: db\n", "name: db\nlock: create\n"),
            ("name: db\n", "name: db\nlock: backup\n"),
            ("00:01,", "00:02,"),
            ("x.iso", "y.iso"),
            ("discard=on,", ""),
            ("size=8M\n", "size=8M\nscsi2: slow:vm-102-disk-1,backup=0\n"),
            ("size=8M\n", "size=8M\n[before]\nname: db\n"),
            // Whose volume it is cannot be told, or it is another guest's.
            ("slow:vm-102", "fast:vm-102"),
            ("slow:vm-102", "slow:vm-103"),
        ] {
            let changed = RESTORED.replace(line, other);
            assert!(changed != RESTORED && !is_machine(&changed, &nothing), "{line} -> {other}");
        }
        assert!(!is_machine(RESTORED, &before(&["slow:vm-102-disk-0"])), "its volume was there before");
    }

    #[test]
    fn what_a_failed_restore_leaves_is_not_taken_for_a_whole_one() {
        for now in ["", "memory: 128\n", "memory: 128\nlock: create\n", "lock: create\n"] {
            assert!(!is_machine(now, &before(&[])), "{now}");
            // Nor is it where the backup says no more than that.
            assert!(!is_restored(Kind::Machine, 102, b"memory: 128\n", now.as_bytes(), &before(&[])), "{now}");
        }
    }

    #[test]
    fn a_container_as_a_restore_leaves_it_is_known() {
        let backed_up = b"#a note\narch: amd64\nhostname: web\nunprivileged: 0\nmp0: fast:101/x.raw,mp=/srv,size=1G\n\
            mp1: /srv/data,mp=/data\nrootfs: fast:101/y.raw,size=8G\n[vzdump]\nsnaptime: 1\n";
        let restored = "arch: amd64\nhostname: web\nmemory: 512\nmp0: slow:101/vm-101-disk-1.raw,mp=/srv,size=1G\n\
            mp1: /srv/data,mp=/data\nrootfs: slow:101/vm-101-disk-0.raw,size=8G\nswap: 512\n";
        let is = |now: &str| is_restored(Kind::Container, 101, backed_up, now.as_bytes(), &before(&[]));
        assert!(is(restored));
        for (line, other) in [
            ("hostname: web", "hostname: theirs"),
            ("swap: 512", "swap: 1024"),
            ("mp=/srv,", "mp=/srw,"),
            ("mp1: /srv/data", "mp1: /srv/other"),
            ("slow:101/vm-101-disk-1", "fast:101/vm-101-disk-1"),
        ] {
            let changed = restored.replace(line, other);
            assert!(changed != restored && !is(&changed), "{line} -> {other}");
        }
        assert!(!is("arch: amd64\nhostname: theirs\nmemory: 256\n"));
    }
}
