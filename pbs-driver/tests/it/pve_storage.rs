//! The `pbs:` stanzas of `storage.cfg`, understood or refused, added and left alone.

use pbs_driver::{
    Certificate,
    pve::{PbsStorage, PveError, StorageCfg, StorageId, storage::KeyMark},
};
use tenwords_protocol::fingerprint::Fingerprint;

use crate::pve_place::{FRESH, PIN, id, storage};

const KEY: [u8; 32] = [0x6c; 32];

fn one(stanza: &str) -> Result<PbsStorage, PveError> {
    let storages = StorageCfg::parse(format!("{FRESH}pbs: pbs1\n{stanza}\n").as_bytes());
    let all: Vec<_> = storages.pbs().collect();
    assert_eq!(all.len(), 1);
    let found = storages.get(&id("pbs1"));
    assert_eq!(format!("{:?}", found.as_ref().map(|found| found.as_ref().unwrap())), format!("{:?}", all[0].as_ref()));
    found.map(Option::unwrap)
}

#[test]
fn every_property_is_understood() {
    let (pin, key) = (Fingerprint::from_bytes(PIN), Fingerprint::from_bytes(KEY));
    let text = format!(
        "\tnodes pve1,pve2;pve3\n\tdatastore store\n\tserver fe80::1\n\tcontent backup\n\tencryption-key {key}\n\
         \tfingerprint {}\n\tnamespace a/b\n\tport 8008\n\tusername backup@pbs!box1\n\tmaster-pubkey 1\n\
         \tprune-backups keep-all=1\n\tsomething-new yes\n",
        pin.to_string().to_uppercase()
    );
    let found = one(&text).unwrap();
    assert_eq!(found.repository.to_string(), "backup@pbs!box1@[fe80::1]:8008:store");
    assert_eq!(found.namespace.to_string(), "a/b");
    assert_eq!(found.certificate(), Certificate::Pinned(pin));
    assert_eq!(found.encryption_key, Some(KeyMark::Fingerprint(key)));
    assert!(found.master_pubkey && !found.disabled);
    assert_eq!(found.content.as_deref(), Some("backup"));
    assert!(found.is_for("pve2") && !found.is_for("pve4"));

    let least = one("\tserver pbs\n\tdatastore store\n").unwrap();
    assert_eq!(least.repository.to_string(), "root@pam@pbs:8007:store");
    assert!(least.namespace.is_root() && least.is_for("any"));
    assert_eq!((least.certificate(), least.encryption_key), (Certificate::WebPki, None));

    let both = "\tserver pbs\n\tdatastore store\n";
    assert_eq!(one(&format!("{both}\tencryption-key 1\n")).unwrap().encryption_key, Some(KeyMark::Unnamed));
    for (text, disabled) in
        [("\tdisable", true), ("\tdisable 1", true), ("\tdisable 0", false), ("\tdisable yes", false)]
    {
        let found = one(&format!("{both}{text}\n")).unwrap();
        assert_eq!((found.disabled, found.is_for("any")), (disabled, !disabled), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_named() {
    for (stanza, property) in [
        ("\tserver pbs\n", "datastore"),
        ("\tdatastore store\n", "server"),
        ("\tdatastore store\n\tserver\n", "server"),
        ("\tdatastore store\n\tserver a b\n", "server"),
        ("\tdatastore store\n\tserver -x\n", "server"),
        ("\tdatastore ../store\n\tserver s\n", "datastore"),
        ("\tdatastore store\n\tserver s\n\tport 65536\n", "port"),
        ("\tdatastore store\n\tserver s\n\tport 0\n", "datastore"),
        ("\tdatastore store\n\tserver s\n\tusername root\n", "username"),
        ("\tdatastore store\n\tserver s\n\tnamespace a//b\n", "namespace"),
        ("\tdatastore store\n\tserver s\n\tfingerprint 08:4E\n", "fingerprint"),
        ("\tdatastore store\n\tserver s\n\tencryption-key yes\n", "encryption-key"),
        ("\tdatastore store\n\tserver s\n\tnodes\n", "nodes"),
    ] {
        match one(stanza) {
            Err(PveError::Storage { id, property: named, .. }) => {
                assert_eq!((id.as_str(), named), ("pbs1", property), "{stanza}")
            }
            other => panic!("{stanza}: {other:?}"),
        }
    }
}

#[test]
fn only_stanzas_that_count_are_listed_each_by_itself() {
    let text = "pbs: one\n\tserver a\n\tdatastore store\n\n\
                PBS: two\n\tserver b\n\n\
                pbs: one\n\tserver c\n\tdatastore store\n\n\
                pbs: three\n\tserver d\n\tdatastore store\n\nnfs: three\n\tserver e\n\n\
                pbs: x\n\tserver f\n\tdatastore store\n\n";
    let storages = StorageCfg::parse(text.as_bytes());
    let all: Vec<_> = storages.pbs().collect();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(matches!(&all[0], Err(PveError::Storage { id, property: "datastore", .. }) if id == "two"));
    assert_eq!(all[1].as_ref().unwrap().repository.host().name(), "c", "of two the last");
    assert!(matches!(&all[2], Err(PveError::StorageId(name)) if name == "x"));
    assert_eq!(storages.get(&id("three")).unwrap(), None, "that one is an nfs storage now");
}

#[test]
fn a_storages_name_is_as_pve_takes_it() {
    for good in ["ab", "pbs1", "A-b_c.d9", "local-lvm"] {
        assert_eq!(good.parse::<StorageId>().unwrap().to_string(), good);
    }
    for bad in ["", "a", "1a", "-a", "a-", "a.", "a/b", "../../x", "a b", "a\n", "\u{e4}b", "a:b", &"a".repeat(101)] {
        assert!(matches!(bad.parse::<StorageId>(), Err(PveError::StorageId(_))), "{bad:?}");
    }
}

#[test]
fn a_storage_is_added_as_pve_would_write_it() {
    let mut wished = storage("pbs1");
    wished.encryption_key = Some(KeyMark::Fingerprint(Fingerprint::from_bytes(KEY)));
    wished.nodes = vec!["pve1".to_owned(), "pve2".to_owned()];
    wished.disabled = true;
    let mut storages = StorageCfg::parse(FRESH.as_bytes());
    assert!(storages.add_pbs(&wished).unwrap());
    let expected = format!(
        "{FRESH}pbs: pbs1\n\tdisable\n\tdatastore store\n\tserver pbs.example\n\tcontent backup\n\tencryption-key {}\n\
         \tfingerprint {}\n\tnamespace a/b\n\tnodes pve1,pve2\n\tport 8008\n\tusername backup@pbs!box1\n\n",
        Fingerprint::from_bytes(KEY),
        Fingerprint::from_bytes(PIN)
    );
    assert_eq!(String::from_utf8(storages.to_bytes()).unwrap(), expected);
    let found = storages.get(&wished.id).unwrap().unwrap();
    wished.content = Some("backup".to_owned());
    assert_eq!(found, wished);
    assert!(!storages.add_pbs(&wished).unwrap(), "a second time it is there");
    assert_eq!(storages.to_bytes(), expected.as_bytes());

    // An address of version 6 goes in without brackets, the usual port and the root namespace not at all.
    let plain = PbsStorage::new(id("six"), "u@pbs@[2001:db8::1]:store".parse().unwrap(), "".parse().unwrap());
    storages.add_pbs(&plain).unwrap();
    let text = String::from_utf8(storages.to_bytes()).unwrap();
    assert!(
        text.ends_with("pbs: six\n\tdatastore store\n\tserver 2001:db8::1\n\tcontent backup\n\tusername u@pbs\n\n"),
        "{text}"
    );
    assert_eq!(storages.get(&id("six")).unwrap().unwrap().repository, plain.repository);
}

#[test]
fn the_mark_of_a_key_is_added_to_the_storage_that_is_there() {
    let text = format!(
        "{FRESH}# ours\npbs: pbs1\n\tserver pbs.example\n  datastore  store\n\tport 8008\n\tnamespace a/b\n\
         \tusername backup@pbs!box1\n\tfingerprint {}\n\tprune-backups keep-all=1\n\n# end\n",
        Fingerprint::from_bytes(PIN)
    );
    let mark = KeyMark::Fingerprint(Fingerprint::from_bytes(KEY));
    let wished = storage("pbs1").with_encryption_key(Some(mark));
    let mut storages = StorageCfg::parse(text.as_bytes());
    assert!(storages.add_pbs(&wished).unwrap());
    let expected = text.replace("keep-all=1\n", &format!("keep-all=1\n\tencryption-key {mark}\n"));
    assert_eq!(String::from_utf8(storages.to_bytes()).unwrap(), expected);
    // A mark is never taken away, and "1" may be that key's.
    assert!(!storages.add_pbs(&storage("pbs1")).unwrap());
    assert!(!storages.add_pbs(&storage("pbs1").with_encryption_key(Some(KeyMark::Unnamed))).unwrap());
    assert_eq!(storages.to_bytes(), expected.as_bytes());
}

#[test]
fn another_storage_of_that_name_is_never_changed() {
    let mark = |byte| Some(KeyMark::Fingerprint(Fingerprint::from_bytes([byte; 32])));
    let mut storages = StorageCfg::parse(FRESH.as_bytes());
    storages.add_pbs(&storage("pbs1").with_encryption_key(mark(1))).unwrap();
    let before = storages.to_bytes();
    let with = |repository: &str| PbsStorage::new(id("pbs1"), repository.parse().unwrap(), "a/b".parse().unwrap());
    let other_pin = |mut storage: PbsStorage, pin| {
        storage.fingerprint = pin;
        storage
    };
    let pin = Some(Fingerprint::from_bytes(PIN));
    let root_namespace = PbsStorage::new(id("pbs1"), storage("pbs1").repository, "".parse().unwrap());
    for (wished, property) in [
        (with("backup@pbs!box1@other.example:8008:store"), "server"),
        (with("backup@pbs!box1@pbs.example:8007:store"), "port"),
        (with("backup@pbs!box1@pbs.example:8008:other"), "datastore"),
        (with("backup@pbs!box2@pbs.example:8008:store"), "username"),
        (other_pin(root_namespace, pin), "namespace"),
        (other_pin(storage("pbs1"), None), "fingerprint"),
        (other_pin(storage("pbs1"), Some(Fingerprint::from_bytes([9; 32]))), "fingerprint"),
        (storage("pbs1").with_encryption_key(mark(2)), "encryption-key"),
    ] {
        match storages.add_pbs(&wished) {
            Err(PveError::DifferentStorage { id, property: named, there, wanted }) => {
                assert_eq!((id.as_str(), named), ("pbs1", property));
                assert_ne!(there, wanted);
            }
            other => panic!("{property}: {other:?}"),
        }
    }
    let local = PbsStorage::new(id("local"), storage("pbs1").repository, "".parse().unwrap());
    assert!(matches!(storages.add_pbs(&local), Err(PveError::DifferentStorage { property: "type", .. })));
    assert_eq!(storages.to_bytes(), before);
}
