//! What of a guest its backups hold, and what not: the guest's configuration, read as vzdump reads it.
//!
//! The rules are PVE's own (qemu-server `QemuConfig.pm` `get_backup_volumes`, `QemuServer.pm`
//! `parse_vm_config`, `Drive.pm`; pve-container `LXC/Config.pm` `mountpoint_backup_enabled` and
//! `parse_pct_config`; pve-common `JSONSchema.pm` `parse_property_string`):
//!
//! | | in the backup |
//! | --- | --- |
//! | a machine's disks, its TPM state too | unless `backup=0` |
//! | a machine's EFI disk | only with `bios: ovmf` |
//! | CD drives, cloud-init's too | never; they hold nothing of the guest's own |
//! | a container's `rootfs` | always |
//! | a container's mount points | only volumes, only with `backup=1` |
//! | `unusedN` | never |
//! | a line that PVE cannot parse | never: PVE passes it over |
//!
//! Only what is current counts: sections of snapshots, pending changes and special ones do not. What a
//! container mounts by raw `lxc.mount` lines is not looked at.

mod cards;

use std::{collections::BTreeMap, fs, io};

pub(crate) use cards::{nets, on, reaches_out};

use super::{error::PveError, node::Node};

/// What counts for backups in a guest's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestConfig {
    /// What its owner calls it, as written there.
    pub name: Option<String>,
    /// Whether it is a template (which jobs back up like any other guest).
    pub template: bool,
    /// Its disks or mount points, by kind and number; without CD drives.
    pub disks: Vec<Disk>,
}

/// A disk or mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `scsi0`, `rootfs`, `mp1`.
    pub key: String,
    /// The volume or path; empty if it cannot be read.
    pub volume: String,
    /// In bytes, as the configuration states it (`size=8G`).
    pub size: Option<u64>,
    /// Why no backup holds it; `None` if they do.
    pub left_out: Option<LeftOut>,
}

/// Why a disk is in no backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// `backup=0`.
    SwitchedOff,
    /// A container's mount point without `backup=1`.
    NotSwitchedOn,
    /// A folder or device of the host.
    OfTheHost,
    /// An EFI disk without OVMF.
    NoOvmf,
    /// Attached to nothing.
    Unused,
    /// PVE cannot parse the line.
    Unreadable,
}

/// What a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container.
    Container,
    /// A virtual machine.
    Machine,
}

impl Kind {
    /// PVE's program for it.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Container => "pct",
            Self::Machine => "qm",
        }
    }
}

/// A guest of one of the cluster's nodes.
#[derive(Debug)]
pub struct Placed {
    /// Its number.
    pub vmid: u32,
    /// What it is.
    pub kind: Kind,
    /// The node on which it lives.
    pub node: String,
    /// Its configuration, or why that could not be read.
    pub config: Result<GuestConfig, PveError>,
}

/// Every guest of every node, by number: one listing for each node and kind, one file for each guest.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::Io`] for a folder that cannot be listed.
pub fn all(node: &Node) -> Result<Vec<Placed>, PveError> {
    node.readable()?;
    let mut guests = Vec::new();
    for name in names(node, "nodes")? {
        for (kind, folder) in [(Kind::Container, "lxc"), (Kind::Machine, "qemu-server")] {
            for file in names(node, &format!("nodes/{name}/{folder}"))? {
                let Some(vmid) = file.strip_suffix(".conf").and_then(super::jobs::number) else { continue };
                let config = match node.read(&format!("nodes/{name}/{folder}/{file}")) {
                    // It was removed or has moved to another node meanwhile.
                    Ok(None) => continue,
                    Ok(Some(text)) => Ok(match kind {
                        Kind::Container => GuestConfig::of_container(&text),
                        Kind::Machine => GuestConfig::of_machine(&text),
                    }),
                    Err(error) => Err(error),
                };
                guests.push(Placed { vmid, kind, node: name.clone(), config });
            }
        }
    }
    guests.sort_by_key(|guest| guest.vmid);
    // One that moved between two listings is seen twice.
    guests.dedup_by_key(|guest| guest.vmid);
    Ok(guests)
}

/// The names in a folder of the cluster file system; none if there is no such folder.
fn names(node: &Node, folder: &str) -> Result<Vec<String>, PveError> {
    let path = node.file(folder);
    let listed = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    match listed {
        Ok(entries) => Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(source) => Err(PveError::Io { doing: "listing", path, source }),
    }
}

impl GuestConfig {
    /// A container's, `lxc/<vmid>.conf`. There is no text that cannot be read.
    #[must_use]
    pub fn of_container(text: &[u8]) -> Self {
        let lines = current(text, is_containers_section);
        let mut disks = Vec::new();
        for (key, value) in &lines {
            let Some((kind, number)) = numbered(key) else { continue };
            let left_out = match (kind, number) {
                ("rootfs", None) => |drive: &Drive<'_>| drive.volume.is_none().then_some(LeftOut::Unreadable),
                ("mp", Some(0..256)) => mount_point,
                ("unused", Some(0..256)) => |_: &Drive<'_>| Some(LeftOut::Unused),
                _ => continue,
            };
            disks.push(disk(key, &Drive::parse(value, "volume"), left_out));
        }
        Self { name: lines.get("hostname").cloned(), template: is_on(lines.get("template")), disks: sorted(disks) }
    }

    /// A machine's, `qemu-server/<vmid>.conf`. There is no text that cannot be read.
    #[must_use]
    pub fn of_machine(text: &[u8]) -> Self {
        let mut lines = current(text, is_machines_section);
        if let Some(drive) = lines.remove("cdrom") {
            lines.insert("ide2".to_owned(), format!("{drive},media=cdrom"));
        }
        let ovmf = lines.get("bios").is_some_and(|bios| bios == "ovmf");
        let mut disks = Vec::new();
        for (key, value) in &lines {
            let Some((kind, Some(number))) = numbered(key) else { continue };
            let drive = Drive::parse(value, "file");
            if drive.is_cd {
                continue;
            }
            let left_out = match (kind, number) {
                ("ide", 0..4) | ("scsi", 0..31) | ("virtio", 0..16) | ("sata", 0..6) => machine_disk,
                ("efidisk", 0) if !ovmf => |_: &Drive<'_>| Some(LeftOut::NoOvmf),
                ("efidisk" | "tpmstate", 0) => unswitchable_disk,
                ("unused", 0..256) => |_: &Drive<'_>| Some(LeftOut::Unused),
                _ => continue,
            };
            disks.push(disk(key, &drive, left_out));
        }
        Self { name: lines.get("name").cloned(), template: is_on(lines.get("template")), disks: sorted(disks) }
    }
}

fn disk(key: &str, drive: &Drive<'_>, left_out: impl Fn(&Drive<'_>) -> Option<LeftOut>) -> Disk {
    let volume = drive.volume.unwrap_or_default().to_owned();
    Disk { key: key.to_owned(), volume, size: drive.size, left_out: left_out(drive) }
}

fn mount_point(drive: &Drive<'_>) -> Option<LeftOut> {
    match (drive.volume, drive.backup) {
        (Some(_), _) if !drive.is_mounted => Some(LeftOut::Unreadable),
        (None, _) | (_, Switch::Unreadable) => Some(LeftOut::Unreadable),
        (Some(volume), _) if volume.starts_with('/') => Some(LeftOut::OfTheHost),
        (_, Switch::On) => None,
        (_, Switch::Off | Switch::Absent) => Some(LeftOut::NotSwitchedOn),
    }
}

fn machine_disk(drive: &Drive<'_>) -> Option<LeftOut> {
    match (drive.volume, drive.backup) {
        (None, _) | (_, Switch::Unreadable) => Some(LeftOut::Unreadable),
        (_, Switch::Off) => Some(LeftOut::SwitchedOff),
        (_, Switch::On | Switch::Absent) => None,
    }
}

/// The schema of these two knows no `backup`, so that a line with it is passed over.
fn unswitchable_disk(drive: &Drive<'_>) -> Option<LeftOut> {
    (drive.volume.is_none() || drive.backup != Switch::Absent).then_some(LeftOut::Unreadable)
}

/// `[volume=]volume,key=value,…`
struct Drive<'a> {
    volume: Option<&'a str>,
    backup: Switch,
    size: Option<u64>,
    is_cd: bool,
    /// Whether a mount point says where.
    is_mounted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    Absent,
    Off,
    On,
    Unreadable,
}

impl<'a> Drive<'a> {
    fn parse(value: &'a str, volume_key: &str) -> Self {
        let mut drive = Self { volume: None, backup: Switch::Absent, size: None, is_cd: false, is_mounted: false };
        let mut broken = false;
        for part in value.split(',').filter(|part| !part.trim().is_empty()) {
            match part.split_once('=') {
                None => broken |= drive.volume.replace(part).is_some(),
                Some(("" | "volume" | "file", "")) => broken = true,
                Some((key, volume)) if key == "volume" || key == volume_key => {
                    broken |= drive.volume.replace(volume).is_some();
                }
                Some(("backup", word)) => {
                    broken |= drive.backup != Switch::Absent;
                    drive.backup = Switch::read(word);
                }
                Some(("size", text)) => drive.size = bytes(text),
                Some(("media", kind)) => drive.is_cd = kind == "cdrom",
                Some(("mp", path)) => drive.is_mounted = !path.is_empty(),
                Some(_) => {}
            }
        }
        if broken {
            drive.volume = None;
        }
        drive
    }
}

impl Switch {
    fn read(word: &str) -> Self {
        let is = |words: [&str; 4]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
        if is(["1", "on", "yes", "true"]) {
            Self::On
        } else if is(["0", "off", "no", "false"]) {
            Self::Off
        } else {
            Self::Unreadable
        }
    }
}

/// A size as PVE writes it: bytes, or so many K, M, G or T.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(number) => (number, "KMGT".find(text.get(number.len()..)?).map(|at| 1024_u64 << (10 * at))?),
        None => (text, 1),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut scale = unit;
    part.bytes().try_fold(whole, |sum, digit| {
        scale /= 10;
        digit.is_ascii_digit().then(|| sum.checked_add(u64::from(digit - b'0') * scale)).flatten()
    })
}

/// The lines before the first section; of two with one key the later counts.
fn current(text: &[u8], is_section: fn(&str) -> bool) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let mut lines = BTreeMap::new();
    for line in text.split('\n') {
        if line.starts_with('[') && is_section(line.trim_end()) {
            break;
        }
        if line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if numbered(key).is_some() && !value.is_empty() {
            lines.insert(key.to_owned(), value.to_owned());
        }
    }
    lines
}

/// Any word in brackets: what PVE does not know begins a section that it skips.
fn is_machines_section(line: &str) -> bool {
    line.strip_suffix(']').is_some_and(|inner| !inner.contains(']'))
}

fn section_of(kind: Kind) -> fn(&str) -> bool {
    match kind {
        Kind::Container => is_containers_section,
        Kind::Machine => is_machines_section,
    }
}

/// A snapshot's name, or the pending changes; any other line is one that PVE passes over.
fn is_containers_section(line: &str) -> bool {
    let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() > 1
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    word || name.eq_ignore_ascii_case("pve:pending")
}

/// `scsi0` in its two parts, for a key as PVE has them: small letters, `_` and `-`, then digits.
fn numbered(key: &str) -> Option<(&str, Option<u32>)> {
    let kind = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let fine = kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'));
    let digits = &key[kind.len()..];
    match digits {
        _ if !fine => None,
        "" => Some((kind, None)),
        // `scsi00` is no disk of PVE's.
        _ if digits.len() > 1 && digits.starts_with('0') => None,
        _ => digits.parse().ok().map(|number| (kind, Some(number))),
    }
}

fn is_on(word: Option<&String>) -> bool {
    word.is_some_and(|word| Switch::read(word) == Switch::On)
}

fn sorted(mut disks: Vec<Disk>) -> Vec<Disk> {
    disks.sort_by(|a, b| numbered(&a.key).cmp(&numbered(&b.key)));
    disks
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Vec<(String, Option<LeftOut>)>;

    fn found(config: &GuestConfig) -> Found {
        config.disks.iter().map(|disk| (disk.key.clone(), disk.left_out)).collect()
    }

    fn expected(disks: &[(&str, Option<LeftOut>)]) -> Found {
        disks.iter().map(|(key, left_out)| ((*key).to_owned(), *left_out)).collect()
    }

    #[test]
    fn of_a_machine_everything_is_backed_up_that_is_not_switched_off() {
        use LeftOut::{NoOvmf, SwitchedOff, Unreadable, Unused};
        for (line, left_out) in [
            ("scsi0: local-lvm:vm-100-disk-0,size=8G", Some(None)),
            ("scsi0: local-lvm:vm-100-disk-0,backup=1", Some(None)),
            ("scsi0: local-lvm:vm-100-disk-0,backup=0", Some(Some(SwitchedOff))),
            ("scsi0: file=local-lvm:vm-100-disk-0,backup=No", Some(Some(SwitchedOff))),
            ("scsi0: volume=local-lvm:x,backup=off", Some(Some(SwitchedOff))),
            ("scsi0: local-lvm:x,backup=maybe", Some(Some(Unreadable))),
            ("scsi0: local-lvm:x,backup=0,backup=1", Some(Some(Unreadable))),
            ("scsi0: local-lvm:x,local-lvm:y", Some(Some(Unreadable))),
            ("scsi0: backup=0", Some(Some(Unreadable))),
            ("scsi30: /dev/disk/by-id/x", Some(None)),
            ("scsi31: local-lvm:x", None),
            ("virtio15: local-lvm:x", Some(None)),
            ("sata5: local-lvm:x", Some(None)),
            ("ide0: local-lvm:x", Some(None)),
            ("ide2: local:iso/x.iso,media=cdrom", None),
            ("ide2: none,media=cdrom", None),
            ("ide3: local-lvm:vm-100-cloudinit,media=cdrom,size=4M", None),
            ("cdrom: local:iso/x.iso", None),
            ("efidisk0: local-lvm:x,size=4M", Some(Some(NoOvmf))),
            ("bios: ovmf\nefidisk0: local-lvm:x,size=4M", Some(None)),
            ("bios: ovmf\nefidisk0: local-lvm:x,backup=0", Some(Some(Unreadable))),
            ("bios: seabios\nefidisk0: local-lvm:x", Some(Some(NoOvmf))),
            ("tpmstate0: local-lvm:x,size=4M,version=v2.0", Some(None)),
            ("tpmstate0: local-lvm:x,backup=0", Some(Some(Unreadable))),
            ("unused0: local-lvm:x", Some(Some(Unused))),
            ("net0: virtio=BC:24:11:00:00:00,bridge=vmbr0", None),
            ("hostpci0: 0000:01:00,backup=0", None),
            ("#scsi0: local-lvm:x", None),
            (" scsi0: local-lvm:x", None),
            ("scsi00: local-lvm:x", None),
            ("scsi0:", None),
            // The later of two counts.
            ("scsi0: local-lvm:x\nscsi0: local-lvm:y,backup=0", Some(Some(SwitchedOff))),
            ("[snap]\nscsi0: local-lvm:x", None),
            ("[PENDING]\nscsi0: local-lvm:x", None),
            ("[special:cloudinit]\nscsi0: local-lvm:x", None),
            ("[?]\nscsi0: local-lvm:x", None),
        ] {
            let config = GuestConfig::of_machine(format!("boot: order=scsi0\n{line}\nmemory: 512\n").as_bytes());
            let seen: Vec<_> = config.disks.iter().map(|disk| disk.left_out).collect();
            assert_eq!(seen, left_out.into_iter().collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn of_a_container_only_the_root_and_what_is_switched_on_is_backed_up() {
        use LeftOut::{NotSwitchedOn, OfTheHost, Unreadable, Unused};
        for (line, left_out) in [
            ("rootfs: local-lvm:vm-101-disk-0,size=8G", Some(None)),
            ("rootfs: volume=local-lvm:x,backup=0", Some(None)),
            ("rootfs: size=8G", Some(Some(Unreadable))),
            ("mp0: local-lvm:x,mp=/srv,size=8G", Some(Some(NotSwitchedOn))),
            ("mp0: local-lvm:x,mp=/srv,backup=0", Some(Some(NotSwitchedOn))),
            ("mp0: local-lvm:x,mp=/srv,backup=1", Some(None)),
            ("mp255: volume=local-lvm:x,mp=/srv,backup=yes", Some(None)),
            ("mp256: local-lvm:x,mp=/srv,backup=1", None),
            ("mp0: local-lvm:x,mp=/srv,backup=2", Some(Some(Unreadable))),
            ("mp0: local-lvm:x,backup=1", Some(Some(Unreadable))),
            ("mp0: /srv/data,mp=/srv,backup=1", Some(Some(OfTheHost))),
            ("mp0: /dev/sdb1,mp=/srv,backup=1", Some(Some(OfTheHost))),
            ("unused0: local-lvm:x", Some(Some(Unused))),
            ("lxc.mount.entry: /srv srv none bind 0 0", None),
            ("[vzdump]\nmp0: local-lvm:x,mp=/srv", None),
            ("[pve:pending]\nmp0: local-lvm:x,mp=/srv", None),
            // PVE passes such a line over and goes on.
            ("[1]\nmp0: local-lvm:x,mp=/srv", Some(Some(NotSwitchedOn))),
        ] {
            let config = GuestConfig::of_container(format!("arch: amd64\n{line}\n").as_bytes());
            let seen: Vec<_> = config.disks.iter().map(|disk| disk.left_out).collect();
            assert_eq!(seen, left_out.into_iter().collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn sizes_are_read_as_pve_writes_them() {
        for (text, expected) in [
            ("8G", Some(8 << 30)),
            ("512M", Some(512 << 20)),
            ("528K", Some(528 << 10)),
            ("2T", Some(2 << 40)),
            ("4194304", Some(4_194_304)),
            ("1.5G", Some(1_610_612_736)),
            ("", None),
            ("G", None),
            ("-1G", None),
            ("8g", None),
            ("1.xG", None),
            ("99999999999999999999", None),
            ("18446744073709551615T", None),
        ] {
            let seen = bytes(text);
            let near = |wanted: u64| seen.is_some_and(|seen| seen.abs_diff(wanted) < 16);
            assert!(expected.map_or(seen.is_none(), near), "{text}: {seen:?}");
        }
        let config = GuestConfig::of_container(b"rootfs: local-lvm:vm-101-disk-0,size=8G\n");
        assert_eq!(config.disks[0].size, Some(8 << 30));
    }

    #[test]
    fn names_templates_and_order_come_out_as_they_are() {
        let machine = GuestConfig::of_machine(
            b"#a note\\: name: no\nname: web \nscsi10: a:b\nscsi2: a:c\ntemplate: 1\nefidisk0: a:d\n[s]\nname: former\n",
        );
        assert_eq!((machine.name.as_deref(), machine.template), (Some("web"), true));
        assert_eq!(
            found(&machine),
            expected(&[("efidisk0", Some(LeftOut::NoOvmf)), ("scsi2", None), ("scsi10", None)])
        );
        assert_eq!(machine.disks[1].volume, "a:c");
        let container = GuestConfig::of_container("hostname: b\u{e4}cker\u{202e}\ntemplate: 0\n".as_bytes());
        assert_eq!((container.name.as_deref(), container.template), (Some("b\u{e4}cker\u{202e}"), false));
        assert_eq!(GuestConfig::of_machine(b"\xff\xfe: \x00\nname: \xff\n").name.as_deref(), Some("\u{fffd}"));
    }
}
