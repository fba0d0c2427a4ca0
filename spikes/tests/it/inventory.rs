//! The inventory, and the storages of PVE as sources, on the built programs over a folder that looks
//! like `/etc/pve`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use pbs_driver::Repository;
use pbs_format::key::KeyFile;
use tempfile::TempDir;
use tenwords_escrow::{
    code::RecoveryCode,
    door,
    root::{KeptIn, Root},
};
use tenwords_protocol::{
    fingerprint::Fingerprint,
    inventory::{Answer, Coverage, Inventory, Listing, SourceState},
    json,
    part::PartName,
};
use tenwords_spikes::{
    process::Ended,
    world::{BackupServer, Machine, World, write_private},
};

use crate::support::{BOX, Disk, GROUP, as_shown, container, joined, versions};

/// A folder that looks like the `/etc/pve` of a node that stands alone.
struct Pve(PathBuf);

impl Pve {
    /// Makes it, and tells the machine's agent where it is.
    fn of(machine: &Machine) -> Result<Self> {
        let mut text = fs::read_to_string(machine.config())?;
        let told = text.lines().find_map(|line| line.strip_prefix("etc = \"")?.strip_suffix('"').map(PathBuf::from));
        let etc = told.unwrap_or_else(|| machine.folder().join("pve"));
        if !text.contains("[pve]") {
            let etc = etc.display();
            text.push_str(&format!(
                "[pve]\netc = \"{etc}\"\npct = \"{etc}/no\"\nqm = \"{etc}/no\"\nqmrestore = \"{etc}/no\"\npvesm = \"{etc}/no\"\n"
            ));
            fs::write(machine.config(), text)?;
        }
        let pve = Self(etc);
        for folder in ["priv/storage", "nodes/pve1/lxc", "nodes/pve1/qemu-server"] {
            fs::create_dir_all(pve.0.join(folder))?;
        }
        pve.put(".version", "{\"starttime\": 1, \"clinfo\": 1}\n")?;
        pve.put(".vmlist", "{\"version\": 1, \"ids\": {}}\n")?;
        pve.put(".members", "{\"nodename\": \"pve1\", \"version\": 0}\n")?;
        Ok(pve)
    }

    fn put(&self, name: &str, text: &str) -> Result<()> {
        write_private(&self.0.join(name), text.as_bytes())
    }

    /// Adds a storage that backs up to this server; with a key, also its key file.
    fn storage(&self, id: &str, server: &BackupServer, key: Option<&[u8]>, more: &str) -> Result<()> {
        let repository: Repository = server.repository.parse()?;
        let mut stanza = format!(
            "pbs: {id}\n\tdatastore {}\n\tserver {}\n\tport {}\n\tusername {}\n\tfingerprint {}\n\tcontent backup\n{more}",
            repository.datastore(),
            repository.host().name(),
            repository.port(),
            repository.auth_id(),
            server.certificate,
        );
        if let Some(file) = key {
            let fingerprint = KeyFile::parse(file)?.open(None)?.fingerprint();
            stanza.push_str(&format!("\tencryption-key {fingerprint}\n"));
            write_private(&self.0.join(format!("priv/storage/{id}.enc")), file)?;
        }
        self.put(&format!("priv/storage/{id}.pw"), &format!("{}\n", server.expose_secret()))?;
        let path = self.0.join("storage.cfg");
        let before = fs::read_to_string(&path).unwrap_or_default();
        self.put("storage.cfg", &format!("{before}{stanza}\n"))
    }
}

/// A world with a server and no hub, and a machine with PVE's files.
struct Small {
    machine: Machine,
    pve: Pve,
    server: BackupServer,
    world: World,
    _base: TempDir,
}

fn small() -> Result<Small> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let server = BackupServer::local(&world)?;
    let machine = Machine::new(&world, "node", &server.client)?;
    let pve = Pve::of(&machine)?;
    Ok(Small { machine, pve, server, world, _base: base })
}

impl Small {
    /// A new key file without passphrase.
    fn key(&self, name: &str) -> Result<(PathBuf, Vec<u8>, Fingerprint)> {
        let path = self.world.folder().join("job").join(name);
        self.server.run(&["key", "create", "--kdf", "none", &path.display().to_string()])?.with_code(0)?;
        let file = fs::read(&path)?;
        let fingerprint = KeyFile::parse(&file)?.open(None)?.fingerprint();
        Ok((path, file, fingerprint))
    }

    fn inventory(&self) -> Result<(Inventory, Ended)> {
        taken(&self.machine)
    }

    /// The agent's client from now on is this piece of script, `$CLIENT` the one before.
    fn with_client(&self, script: &str) -> Result<()> {
        let path = self.world.folder().join("bin/another-client");
        fs::write(&path, format!("#!/bin/sh\nCLIENT='{}'\n{script}\n", self.server.client.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        let text = fs::read_to_string(self.machine.config())?;
        let text = text.replace(&self.server.client.display().to_string(), &path.display().to_string());
        Ok(fs::write(self.machine.config(), text)?)
    }
}

/// What a command shows a person, in full.
fn shown(machine: &Machine, command: &str, code: i32) -> Result<String> {
    Ok(String::from_utf8(machine.agent(&[command], "")?.with_code(code)?.stdout)?)
}

/// `inventory --json`, read strictly.
fn taken(machine: &Machine) -> Result<(Inventory, Ended)> {
    let ended = machine.agent(&["inventory", "--json"], "")?;
    let inventory = json::from_slice(&ended.stdout).with_context(|| ended.said())?;
    Ok((inventory, ended))
}

fn listing<'a>(inventory: &'a Inventory, id: &str) -> Result<&'a Listing> {
    let source = inventory.sources.iter().find(|source| source.id.as_str() == id).context("no such source")?;
    match &source.answer {
        Answer::Listed(listing) => Ok(listing),
        other => anyhow::bail!("{id} was not listed: {other:?}"),
    }
}

/// S34, the half that lists: snapshots under two keys on one server are told apart, and a key that no
/// file of this box holds is named until one does.
#[test]
fn s34_snapshots_under_two_keys_are_listed_and_a_key_that_nobody_holds_is_named() -> Result<()> {
    let small = small()?;
    let (first_path, first, ours) = small.key("first.enc")?;
    let (second_path, second, other) = small.key("second.enc")?;
    let folder = container(&small.world, "container", b"books")?;
    let specs = [format!("root.pxar:{}", folder.display())];
    let old = small.server.back_up(&specs, GROUP, &second_path)?;
    small.server.back_up(&specs, "ct/102", &first_path)?;
    small.server.back_up(&specs, "host/box1", &first_path)?;
    small.pve.storage("pbs", &small.server, Some(&first), "")?;

    let (inventory, ended) = small.inventory()?;
    ensure!(ended.code == Some(0), "{}", ended.said());
    let listed = listing(&inventory, "pbs")?;
    ensure!(listed.snapshots == 3 && listed.plain == 0 && listed.groups.len() == 3, "{listed:?}");
    let keys: Vec<_> = listed.keys.iter().map(|key| (key.fingerprint, key.snapshots, key.held)).collect();
    ensure!(keys == [(ours, 2, true), (other, 1, false)], "{keys:?}");
    let group = listed.groups.iter().find(|entry| entry.group.to_string() == GROUP).context("the group")?;
    ensure!(group.newest.fingerprint == Some(other) && old.ends_with(&group.newest.time.to_string()), "{group:?}");
    let unknown: Vec<_> = inventory.unknown_keys().map(|(_, key)| key.fingerprint).collect();
    ensure!(unknown == [other], "{unknown:?}");
    let shown = shown(&small.machine, "inventory", 0)?;
    let line = shown.lines().find(|line| line.contains("NO KEY FILE")).context("it is not told to a person")?;
    ensure!(line.contains(&other.short()), "{line}");

    // As soon as a storage has it, also one that is switched off, nothing is missing.
    small.pve.storage("former", &small.server, Some(&second), "\tdisable\n")?;
    let (inventory, _) = small.inventory()?;
    ensure!(inventory.unknown_keys().count() == 0, "{inventory:?}");
    let states: Vec<_> = inventory.sources.iter().map(|source| (source.id.as_str(), source.state)).collect();
    ensure!(states == [("pbs", SourceState::InUse), ("former", SourceState::NotUsed)], "{states:?}");
    small.machine.left_nothing_in_memory()
}

/// The ceremony takes the storages by themselves: their facts and secrets are in the root, their keys in
/// the escrow, and what is wrong with one stops it by name.
#[test]
fn a_ceremony_takes_the_storages_of_pve_and_refuses_one_whose_key_is_gone() -> Result<()> {
    let scene = joined()?;
    let machine = Machine::new(&scene.world, "node", &scene.server.client)?;
    let pve = Pve::of(&machine)?;
    let made = fs::read(scene.box_1.key_file())?;
    pve.storage("pbs", &scene.server, Some(&made), "")?;
    let other = scene.world.folder().join("job/other.enc");
    scene.server.run(&["key", "create", "--kdf", "none", &other.display().to_string()])?.with_code(0)?;
    let other = fs::read(&other)?;
    let former = KeyFile::parse(&other)?.open(None)?.fingerprint();
    pve.storage("former", &scene.server, Some(&other), "\tdisable\n")?;
    pve.storage("plain", &scene.server, None, "")?;
    let (_, ticket) = scene.hub.add_box("butcher")?;
    machine.enroll(&ticket)?;
    ensure!(!machine.is_protected()?, "protected without a ceremony");

    // The key file is gone, and the stanza says that there is one.
    let key_file = pve.0.join("priv/storage/pbs.enc");
    fs::remove_file(&key_file)?;
    let refused = machine.ceremony(as_shown).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("its key file") && refused.contains(&scene.key.fingerprint().short()), "{refused}");
    // Another key is in its place.
    write_private(&key_file, &other)?;
    let refused = machine.ceremony(as_shown).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains(&former.short()) && refused.contains(&scene.key.fingerprint().short()), "{refused}");
    let told = shown(&machine, "status", 1)?;
    ensure!(told.contains("storage.cfg names key"), "{told}");

    write_private(&key_file, &made)?;
    let before = fs::read(&key_file)?;
    let words = machine.ceremony(as_shown)?;
    ensure!(machine.is_protected()?, "{}", machine.agent(&["status"], "")?.said());
    ensure!(fs::read(&key_file)? == before, "the live key file was touched");
    let told = shown(&machine, "status", 0)?;
    ensure!(told.contains("storage plain is NOT ENCRYPTED") && told.contains("it is disabled"), "{told}");

    // The key is escrowed, and a recovery would look elsewhere: that is not protected.
    let path = pve.0.join("storage.cfg");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, text.replacen("\tdatastore ", "\tdatastore moved-", 1))?;
    let told = shown(&machine, "status", 1)?;
    ensure!(told.contains("source pbs is not in the escrow as it is now"), "{told}");
    fs::write(&path, text)?;
    ensure!(machine.is_protected()?, "{}", machine.agent(&["status"], "")?.said());

    ensure!(versions(&scene.hub)? == 0, "the box {BOX} has a version that it did not make");
    let parts = Disk::of(&scene.hub)?.parts(1)?;
    for fingerprint in [scene.key.fingerprint(), former] {
        ensure!(parts.contains_key(&PartName::Key(fingerprint)), "key {} is not escrowed", fingerprint.short());
    }
    let code = RecoveryCode::parse(&words)?;
    let root = Root::open(&door::check_root(&parts[&PartName::Root])?, &code)?;
    let facts = root.facts();
    let sources: Vec<_> = facts.trust.sources.iter().map(|source| (source.id.as_str(), source.kept_in)).collect();
    ensure!(sources == [("pbs", KeptIn::StorageCfg)], "{sources:?}");
    let token = facts.secrets.tokens.values().next().context("a token")?;
    ensure!(token.expose_text() == scene.server.expose_secret(), "the token's secret is another");
    let storage_cfg = facts.secrets.files.iter().find(|file| file.path.as_str().ends_with("/storage.cfg"));
    ensure!(storage_cfg.is_some(), "storage.cfg is not among the small files");
    machine.left_nothing_in_memory()
}

/// S71 for the inventory: whatever stands in the names of guests, jobs and pools, the screen and the
/// JSON text stay harmless and bounded, and the text stays one that is read strictly.
#[test]
fn s71_hostile_names_of_guests_and_jobs_are_shown_harmlessly() -> Result<()> {
    let small = small()?;
    let (_, key, _) = small.key("key.enc")?;
    small.pve.storage("pbs", &small.server, Some(&key), "")?;
    let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\u{9b}31m\u{7f}\r\u{200b}";
    let long = format!("{hostile}{}", "A".repeat(500_000));
    // PVE would see no header in a line with a blank more.
    let word = hostile.replace('\r', "");
    small.pve.put("nodes/pve1/lxc/101.conf", &format!("hostname: {long}\nrootfs: local:x\nmp0: {long},mp=/x\n"))?;
    small
        .pve
        .put("nodes/pve1/qemu-server/102.conf", &format!("name: {hostile}\nscsi0: {hostile},backup=0\n#{long}\n"))?;
    small.pve.put(
        "jobs.cfg",
        &format!("vzdump: a{word}\n\tschedule {hostile}\n\tpool {word}\n\tstorage {hostile}\n\tcomment {long}\n"),
    )?;
    small.pve.put("user.cfg", &format!("pool:{word}:{hostile}:101:\n"))?;
    let (inventory, ended) = small.inventory()?;
    ensure!(ended.stdout.iter().all(|byte| matches!(byte, b'\n' | 0x20..0x7f)), "the JSON text is not plain");
    ensure!(ended.stdout.len() < 20_000, "{} bytes", ended.stdout.len());
    ensure!(inventory.guests.len() == 2 && inventory.jobs.len() == 1, "{inventory:?}");
    let shown = shown(&small.machine, "inventory", 0)?;
    let obeyed = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{9b}')
    };
    ensure!(!shown.contains(obeyed), "{shown:?}");
    ensure!(shown.len() < 10_000 && shown.contains("NO JOB COVERS IT"), "{} bytes", shown.len());
    Ok(())
}

/// Which guests and disks are in no backup, of two nodes.
#[test]
fn guests_without_a_job_and_disks_without_a_backup_are_named() -> Result<()> {
    let small = small()?;
    let (_, key, _) = small.key("key.enc")?;
    small.pve.storage("pbs", &small.server, Some(&key), "")?;
    for (name, text) in [
        (
            "nodes/pve1/lxc/101.conf",
            "hostname: web\nrootfs: local:x\nmp0: local:y,mp=/srv\nmp1: local:z,mp=/b,backup=1\n",
        ),
        ("nodes/pve1/lxc/102.conf", "hostname: db\nrootfs: local:x\n"),
        (
            "nodes/pve2/qemu-server/201.conf",
            "name: mail\nscsi0: local:x\nscsi1: local:y,backup=0\nide2: none,media=cdrom\n",
        ),
        ("nodes/pve2/qemu-server/202.conf", "name: base\ntemplate: 1\nscsi0: local:x\n"),
        ("nodes/pve2/qemu-server/notes.txt", "no guest"),
        (
            "jobs.cfg",
            "vzdump: backup-1\n\tvmid 101,201,999\n\tstorage pbs\n\tschedule 21:00\n\n\
             vzdump: backup-2\n\tall 1\n\tstorage pbs\n\tenabled 0\n\tschedule 22:00\n\n\
             vzdump: backup-3\n\tpool shop\n\tstorage local\n\tschedule 23:00\n",
        ),
        ("vzdump.cron", "0 3 * * * root vzdump 102 --quiet 1\n"),
        ("user.cfg", "pool:shop::202:local:\n"),
    ] {
        let path = small.pve.0.join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)?;
    }
    let (inventory, ended) = small.inventory()?;
    ensure!(ended.code == Some(0), "{}", ended.said());
    let guests: Vec<_> = inventory
        .guests
        .iter()
        .map(|guest| {
            let jobs: Vec<&str> = guest.jobs.iter().map(|job| job.as_str()).collect();
            let disks: Vec<&str> = guest.excluded.iter().map(|disk| disk.disk.as_str()).collect();
            (guest.vmid.get(), guest.node.as_str(), guest.coverage, jobs.join(" "), disks.join(" "))
        })
        .collect();
    let expected = [
        (101, "pve1", Coverage::Source, "backup-1".to_owned(), "mp0".to_owned()),
        (102, "pve1", Coverage::Elsewhere, "vzdump.cron:1".to_owned(), String::new()),
        (201, "pve2", Coverage::Source, "backup-1".to_owned(), "scsi1".to_owned()),
        (202, "pve2", Coverage::Elsewhere, "backup-3".to_owned(), String::new()),
    ];
    ensure!(guests == expected, "{guests:?}");
    let problem = inventory.jobs[0].problem.as_ref().map(|problem| problem.as_str().to_owned());
    ensure!(problem.is_some_and(|problem| problem.ends_with("999")), "{:?}", inventory.jobs);
    ensure!(inventory.node.as_ref().is_some_and(|node| node.as_str() == "pve1"));
    Ok(())
}

/// A list of 10,000 snapshots is folded in bounded memory, a server that lists without end is given up,
/// and a source that does not answer leaves the others told.
#[test]
fn a_list_of_ten_thousand_snapshots_is_folded_in_bounded_memory() -> Result<()> {
    let small = small()?;
    let (_, key, fingerprint) = small.key("key.enc")?;
    for id in ["big", "silent", "endless", "last"] {
        small.pve.storage(id, &small.server, Some(&key), "")?;
    }
    let list = small.world.folder().join("list.json");
    fs::write(&list, snapshots(10_000, fingerprint))?;
    let (asked, memory) = (small.world.folder().join("asked"), small.world.folder().join("memory"));
    small.with_client(&format!(
        r#"say() {{ echo "Error: $1" >&2; exit 255; }}
echo "$1 $2" >> '{asked}'
number=$(grep -c '^status' '{asked}')
case "$1 $2 $number" in
status*2) say 'error trying to connect: error connecting to https://127.0.0.1:8007/ - tcp connect error: Connection refused (os error 111)' ;;
status*4) grep VmHWM /proc/$PPID/status > '{memory}' ;;
'snapshot list 1') cat '{list}'; exit 0 ;;
'snapshot list 3') exec yes '[{{"backup-id":"1"' ;;
esac
exec "$CLIENT" "$@""#,
        asked = asked.display(),
        memory = memory.display(),
        list = list.display(),
    ))?;
    let (inventory, ended) = small.inventory()?;
    ensure!(ended.code == Some(15), "{}", ended.said());
    let listed = listing(&inventory, "big")?;
    ensure!(
        listed.snapshots == 10_000 && listed.groups.len() == 100 && listed.keys[0].snapshots == 10_000,
        "{listed:?}"
    );
    let reasons: Vec<_> = inventory
        .sources
        .iter()
        .filter_map(|source| match &source.answer {
            Answer::Failed(failed) => Some((source.id.as_str(), format!("{:?}", failed.reason))),
            _ => None,
        })
        .collect();
    ensure!(
        reasons == [("silent", "Unreachable".to_owned()), ("endless", "Client".to_owned())],
        "{reasons:?} of {:?}",
        inventory.sources
    );
    listing(&inventory, "last")?;
    // What was asked is all that was asked: one status and one list for each source that answers.
    let asked = fs::read_to_string(&asked)?;
    let count = |what: &str| asked.lines().filter(|line| line.starts_with(what)).count();
    ensure!(count("status") == 4 && count("snapshot list") == 3 && asked.lines().count() == 8, "{asked}");
    let peak = fs::read_to_string(&memory)?;
    let peak: u64 = peak.split_whitespace().nth(1).context("a number")?.parse()?;
    ensure!(peak < 96 << 10, "the agent took {peak} KiB at its peak");
    Ok(())
}

/// A list as the real client prints one: 100 groups with guests of six archives.
fn snapshots(count: i64, key: Fingerprint) -> String {
    let archive = |name: &str| format!(r#"{{"crypt-mode":"encrypt","filename":"{name}","size":34359738368}}"#);
    let archives = (0..6).map(|disk| archive(&format!("drive-scsi{disk}.img.fidx"))).collect::<Vec<_>>().join(",");
    let rows = (0..count).map(|number| {
        format!(
            r#"{{"backup-id":"{}","backup-time":{},"backup-type":"vm","comment":"a guest of some name","files":[{{"crypt-mode":"sign-only","filename":"index.json.blob","size":1234}},{{"filename":"client.log.blob"}},{}],"fingerprint":"{key}","owner":"backup@pbs!box1","protected":false,"size":206158430208,"verification":{{"state":"ok","upid":"UPID:pbs:000003E8:00000001:00000001:65E46BC0:verificationjob:store:root@pam:"}}}}"#,
            100 + number % 100,
            1_700_000_000 + number,
            archives
        )
    });
    format!("[{}]\n", rows.collect::<Vec<_>>().join(","))
}
