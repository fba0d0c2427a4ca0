use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use pbs_format::key::{EncryptionKey, KeyFile};

use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const PIN: &str = "08:4e:d5:55:ff:02:42:d2:a5:96:c9:0c:bf:e7:9d:be:38:5b:4d:c4:22:9c:0d:ef:92:48:96:45:cb:9c:77:28";

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes(Zeroizing::new([byte; 32]))
}

/// A node whose storage `pbs` has these lines, and these files in `priv/storage`.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(storage_cfg: &str) -> Result<Self, std::io::Error> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("pve/priv/storage"))?;
        for (name, text) in [
            (".version", "{}"),
            (".vmlist", "{\"version\": 1, \"ids\": {}}"),
            (".members", "{\"nodename\": \"pve1\", \"version\": 0}"),
            ("storage.cfg", storage_cfg),
        ] {
            fs::write(folder.path().join("pve").join(name), text)?;
        }
        Ok(Self { folder })
    }

    fn with_key(self, name: &str, byte: u8) -> Result<Self, std::io::Error> {
        self.with(name, &KeyFile::plain(&key(byte), 1, 2).to_json())
    }

    fn with(self, name: &str, bytes: &[u8]) -> Result<Self, std::io::Error> {
        let path = self.folder.path().join("pve/priv/storage").join(name);
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(self)
    }

    fn sources(&self, settings: &str) -> Outcome<BoxSources> {
        let path = self.folder.path().join("agent.toml");
        let place = self.folder.path().display();
        let text = format!(
            "[pve]\netc = \"{place}/pve\"\npct = \"/x\"\nqm = \"/x\"\nqmrestore = \"/x\"\npvesm = \"/x\"\n{settings}"
        );
        fs::write(&path, text).or_stop(Code::Internal, || "writing".into())?;
        of_box(&Configuration::read(&path)?)
    }
}

fn stanza(lines: &str) -> String {
    let lines = lines.replace('|', "\n\t");
    format!(
        "dir: local\n\tpath /var/lib/vz\n\tcontent backup\n\n\
         pbs: pbs\n\tserver pbs.example\n\tdatastore store\n\tusername backup@pbs!box1\n\tfingerprint {PIN}\n\t{lines}\n"
    )
}

/// What a source is, in a word or the words of its trouble.
fn state(source: &BoxSource) -> String {
    match &source.state {
        State::InUse { fact, .. } => format!("in use with {}", fact.key_fingerprint.short()),
        State::Unencrypted => "unencrypted".into(),
        State::NotUsed { why, key } => format!("not used: {why}, {}", if key.is_some() { "a key" } else { "no key" }),
        State::Broken(stop, _) => format!("broken: {} {:?} -> {:?}", stop.what, stop.causes(), stop.remedy),
    }
}

#[test]
fn a_storage_is_what_its_key_file_and_its_stanza_make_it() -> TestResult {
    let (ours, other) = (key(1).fingerprint(), key(2).fingerprint());
    let named = |fingerprint: Fingerprint| format!("content backup|encryption-key {fingerprint}");
    let is_ours = format!("in use with {}", ours.short());
    for (lines, file, expected) in [
        (named(ours), Some(1), is_ours.clone()),
        ("content backup|encryption-key 1".into(), Some(1), is_ours.clone()),
        // PVE encrypts if the key file is there, whatever the stanza says.
        ("content backup".into(), Some(1), is_ours.clone()),
        ("nodes pve2,pve3".into(), Some(1), is_ours.clone()),
        ("content backup".into(), None, "unencrypted".into()),
        (named(ours), None, format!("is to encrypt with key {}, and its key file", ours.short())),
        ("encryption-key 1".into(), None, "is to encrypt, and its key file".into()),
        (named(other), Some(1), format!("names key {}", other.short())),
        (named(other), Some(1), format!("holds key {}", ours.short())),
        ("disable|content backup".into(), Some(1), "not used: it is disabled, a key".into()),
        ("disable 1".into(), None, "not used: it is disabled, no key".into()),
        (format!("disable|encryption-key {other}"), Some(1), "not used: it is disabled, a key".into()),
        ("content none".into(), Some(1), "not used: it is not for backups (content), a key".into()),
        ("content iso,images".into(), Some(1), "not used: it is not for backups (content), a key".into()),
        // PVE splits at these too, and takes its default where it does not know a word.
        ("content images;backup".into(), Some(1), is_ours.clone()),
        ("content images backup".into(), Some(1), is_ours.clone()),
        ("content backups".into(), Some(1), is_ours.clone()),
        ("port x".into(), Some(1), "broken: storage pbs is not understood".into()),
        ("port \u{1b}[2J\u{202e}".into(), Some(1), "broken: storage pbs is not understood".into()),
    ] {
        let pve = Bench::new(&stanza(&lines))?;
        let pve = if let Some(byte) = file { pve.with_key("pbs.enc", byte)? } else { pve };
        let found = pve.sources("").map_err(|stop| stop.what)?;
        assert_eq!(found.sources.len(), 1, "{lines}");
        let seen = state(&found.sources[0]);
        assert!(seen.contains(&expected), "{lines} with {file:?}: {seen}");
        assert!(!seen.contains(['\u{1b}', '\u{202e}']), "{lines}: {seen}");
    }
    Ok(())
}

#[test]
fn the_facts_of_a_storage_are_those_of_its_stanza() -> TestResult {
    let pve = Bench::new(&stanza("namespace tenants/a|port 8008"))?.with_key("pbs.enc", 1)?;
    let pve = pve.with("pbs.pw", b"the-secret\nmore\n")?;
    let found = pve.sources("").map_err(|stop| stop.what)?;
    let State::InUse { fact, .. } = &found.sources[0].state else { return Err("not in use".into()) };
    let said = serde_json::to_value(fact)?;
    let expected = serde_json::json!({
        "id": "pbs", "server": "pbs.example", "port": 8008, "datastore": "store", "namespace": "tenants/a",
        "certificate": PIN, "auth_id": "backup@pbs!box1", "key_fingerprint": key(1).fingerprint(),
        "kept_in": "storage.cfg",
    });
    assert_eq!(said, expected);
    // PVE reads the first line.
    assert_eq!(found.sources[0].secret().map_err(|stop| stop.what)?.expose_text(), "the-secret");
    // A key that storage.cfg does not name would be missed by nobody.
    assert!(found.notes.iter().any(|note| note.contains("does not say so")), "{:?}", found.notes);

    let web = stanza("port 8008").replace(&format!("\tfingerprint {PIN}\n"), "");
    let pve = Bench::new(&web)?.with_key("pbs.enc", 1)?;
    let found = pve.sources("").map_err(|stop| stop.what)?;
    let State::InUse { fact, .. } = &found.sources[0].state else { return Err("not in use".into()) };
    assert_eq!(serde_json::to_value(fact)?["certificate"], "web-pki");
    let secret = found.sources[0].secret().map_err(|stop| stop.what);
    assert!(secret.err().is_some_and(|what| what.contains("no password file")));
    Ok(())
}

#[test]
fn former_keys_count_and_a_damaged_one_is_a_note() -> TestResult {
    let pve = Bench::new(&stanza("content backup"))?.with_key("pbs.enc", 1)?.with_key("pbs.enc.old", 2)?;
    let found = pve.sources("").map_err(|stop| stop.what)?;
    let keys: Vec<_> = found.keys().map(LiveKey::fingerprint).collect();
    assert_eq!(keys, [key(1).fingerprint(), key(2).fingerprint()]);
    let pve = pve.with("pbs.enc.old", b"{}")?;
    let found = pve.sources("").map_err(|stop| stop.what)?;
    assert!(
        found.former.is_empty() && found.notes.iter().any(|note| note.contains("pbs.enc.old")),
        "{:?}",
        found.notes
    );
    let pve = pve.with("pbs.enc", b"{}")?;
    let seen = state(&pve.sources("").map_err(|stop| stop.what)?.sources[0]);
    assert!(seen.contains("is not a PBS key file"), "{seen}");
    Ok(())
}

#[test]
fn one_id_names_one_source() -> TestResult {
    let entry = |id: &str| {
        format!(
            "[[source]]\nid = \"{id}\"\nrepository = \"u@pbs@h:store\"\ncertificate = \"web-pki\"\nkey_file = \"/nowhere/k\"\n\
             token_file = \"/nowhere/t\"\n"
        )
    };
    let pve = Bench::new(&stanza("disable"))?;
    let stop = pve.sources(&entry("pbs")).err();
    assert!(
        stop.as_ref().is_some_and(|stop| stop.code == Code::Usage && stop.what.contains("both a storage")),
        "{:?}",
        stop.map(|stop| stop.what)
    );
    let found = pve.sources(&entry("second")).map_err(|stop| stop.what)?;
    let seen: Vec<_> = found.sources.iter().map(|source| (source.id.as_str(), state(source))).collect();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].0 == "second" && seen[1].1.contains("there is no key file /nowhere/k"), "{seen:?}");
    Ok(())
}

#[test]
fn without_pve_there_is_nothing_to_say_and_an_unmounted_one_is_named() -> TestResult {
    let pve = Bench::new(&stanza("content backup"))?;
    let members = pve.folder.path().join("pve/.members");
    fs::remove_file(&members)?;
    let found = pve.sources("").map_err(|stop| stop.what)?;
    assert!(found.sources.is_empty() && found.notes.is_empty());
    // With one of PVE's programs there it is a node whose file system is not mounted.
    let path = pve.folder.path().join("agent.toml");
    let text = fs::read_to_string(&path)?.replace("pct = \"/x\"", &format!("pct = \"{}\"", Path::display(&path)));
    fs::write(&path, text)?;
    let stop = Configuration::read(&path).and_then(|configuration| of_box(&configuration)).err();
    assert!(stop.as_ref().is_some_and(|stop| stop.what.contains("not mounted")), "{:?}", stop.map(|stop| stop.what));
    Ok(())
}

#[test]
fn a_storage_that_stands_for_the_time_of_a_restore_is_no_source() -> TestResult {
    let scratch = "tenwords-0c5f4a1e-8a53-4f5e-9d2b-7f6a3c1d2e4f-1-0707070707070707";
    let text = stanza("content backup");
    let text = format!(
        "{text}\n{}",
        text.replace("pbs: pbs\n", &format!("pbs: {scratch}\n")).replace("dir: local", "dir: other")
    );
    let pve = Bench::new(&text)?.with_key("pbs.enc", 1)?.with_key(&format!("{scratch}.enc"), 2)?;
    let found = pve.sources("").map_err(|stop| stop.what)?;
    assert_eq!(found.sources.iter().map(|source| source.id.as_str()).collect::<Vec<_>>(), ["pbs"]);
    assert!(found.notes.iter().any(|note| note.contains(scratch)), "{:?}", found.notes);
    assert_eq!(found.keys().count(), 1);
    Ok(())
}
