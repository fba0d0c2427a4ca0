//! Snapshots that do not prove themselves: what they lack, and that only the hash of exactly their list
//! lets them through.

use std::{collections::BTreeMap, sync::Arc};

use pbs_format::{
    manifest::{CryptMode, FileEntry, Manifest},
    name::SnapshotRef,
};
use serde_json::{Value, json};
use tenwords_escrow::{
    gate::{GateError, GatedKey, GatedSnapshot, Lack, UnprovenSnapshot},
    open,
};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};

use crate::support::{Faithful, box_id, golden_code, golden_fingerprint, key, parts};

/// Written by the real server.
const BOX1: &[u8] = include_bytes!("../golden/manifest-box1.blob");
const SIGNED_ONLY: &[u8] = include_bytes!("../golden/manifest-signed.blob");
const PLAIN: &[u8] = include_bytes!("../golden/manifest-plain.blob");
const OTHER_KEY: &[u8] = include_bytes!("../golden/manifest-other-key.blob");

fn keys() -> BTreeMap<Fingerprint, Arc<GatedKey>> {
    let opened = open::open_ceremony(&parts(), box_id(), &golden_code(), &Faithful).unwrap();
    opened.keys().clone()
}

fn at(path: &str) -> SnapshotRef {
    path.parse().unwrap()
}

fn box1() -> SnapshotRef {
    at("host/box1/2024-02-29T12:34:56Z")
}

fn text(blob: &[u8]) -> Vec<u8> {
    Manifest::parse(blob).unwrap().to_text().into_bytes()
}

fn stored(blob: &[u8]) -> Value {
    serde_json::from_slice(&text(blob)).unwrap()
}

fn read(manifest: &Value, wanted: &SnapshotRef) -> Result<UnprovenSnapshot, GateError> {
    UnprovenSnapshot::read(manifest.to_string().as_bytes(), &keys(), wanted)
}

#[test]
fn a_plaintext_snapshot_is_let_through_by_the_hash_of_exactly_its_list() {
    let (list, wanted) = (text(PLAIN), at("host/plain/2024-02-29T12:34:57Z"));
    let read = || UnprovenSnapshot::read(&list, &keys(), &wanted).unwrap();
    let found = read();
    assert_eq!((found.snapshot(), found.list_sha256()), (&wanted, Sha256::of(&list)));
    assert_eq!(found.lacks()[0], Lack::Signature);
    assert_eq!(found.lacks().len(), found.files().len() + 1, "{:?}", found.lacks());
    let words: Vec<String> = found.lacks().iter().map(ToString::to_string).collect();
    assert_eq!(words[0], "its list of files is not signed");
    assert!(words.contains(&"root.pxar.didx is not encrypted".to_owned()), "{words:?}");

    let allowed = found.allow(Sha256::of(&list)).unwrap();
    assert_eq!((allowed.snapshot(), allowed.list_sha256()), (&wanted, Sha256::of(&list)));
    assert!(allowed.key().is_none());
    assert_eq!(allowed.archive("root.pxar").unwrap().server_name(), "root.pxar.didx");
    assert!(allowed.archive("index.json").is_none());

    for ordered in [Sha256::of(b""), Sha256::of(PLAIN), Sha256::of(&[&list[..], b"\n"].concat())] {
        match read().allow(ordered) {
            Err(GateError::OtherList { ordered: named, found, .. }) => {
                assert_eq!((named, found), (ordered, Sha256::of(&list)));
            }
            other => panic!("{other:?}"),
        }
    }
    // One byte of what nobody signs, and of what counts.
    for (what, with) in [("\"none\"", "\"none\" "), ("\"size\": ", "\"size\":  ")] {
        let changed = String::from_utf8(list.clone()).unwrap().replacen(what, with, 1);
        let changed = UnprovenSnapshot::read(changed.as_bytes(), &keys(), &wanted).unwrap();
        assert!(matches!(changed.allow(Sha256::of(&list)), Err(GateError::OtherList { .. })), "{what}");
    }
}

#[test]
fn what_proves_itself_is_nothing_to_be_asked_for() {
    assert!(GatedSnapshot::check(BOX1, keys().values().next().unwrap(), &box1()).is_ok());
    let error = UnprovenSnapshot::read(&text(BOX1), &keys(), &box1()).unwrap_err();
    assert!(matches!(error, GateError::Proven(_)), "{error}");
}

#[test]
fn it_is_that_of_the_snapshot_that_was_asked_for_and_can_be_read_in_one_way_only() {
    for other in
        ["host/plain/2024-02-29T12:34:58Z", "host/plain2/2024-02-29T12:34:57Z", "ct/plain/2024-02-29T12:34:57Z"]
    {
        let error = UnprovenSnapshot::read(&text(PLAIN), &keys(), &at(other)).unwrap_err();
        assert!(matches!(error, GateError::Snapshot { .. }), "{other}: {error}");
    }
    let wanted = at("host/plain/2024-02-29T12:34:57Z");
    let mut twice = stored(PLAIN);
    let first = twice["files"][0].clone();
    twice["files"].as_array_mut().unwrap().push(first);
    let mut odd = stored(PLAIN);
    odd["files"][0]["crypt-mode"] = json!("perhaps");
    let doubled = String::from_utf8(text(PLAIN)).unwrap().replacen('{', "{\"backup-id\": \"plain\",", 1);
    for list in [twice.to_string(), odd.to_string(), doubled, String::new(), "{}".to_owned()] {
        let error = UnprovenSnapshot::read(list.as_bytes(), &keys(), &wanted).unwrap_err();
        assert!(matches!(error, GateError::List(_)), "{list}: {error}");
    }
}

#[test]
fn what_a_list_lacks_is_said_for_each_way_of_lacking_it() {
    let ours = golden_fingerprint();
    // Signed under our key, and in plain text.
    let signed = at("host/signed/2024-02-29T12:34:58Z");
    let found = UnprovenSnapshot::read(&text(SIGNED_ONLY), &keys(), &signed).unwrap();
    assert!(found.lacks().iter().all(|lack| matches!(lack, Lack::Encryption(_))), "{:?}", found.lacks());
    let hash = found.list_sha256();
    assert_eq!(found.allow(hash).unwrap().key().unwrap().fingerprint(), ours);

    // Encrypted under our key, the signature taken off, or changed.
    let mut bare = stored(BOX1);
    bare["signature"] = Value::Null;
    let found = read(&bare, &box1()).unwrap();
    assert_eq!(found.lacks(), [Lack::Signature]);
    let hash = found.list_sha256();
    let allowed = found.allow(hash).unwrap();
    assert_eq!(allowed.key().unwrap().fingerprint(), ours);
    assert_eq!(allowed.archive("root.pxar").unwrap().entry().crypt_mode, CryptMode::Encrypt);
    let mut wrong = stored(BOX1);
    wrong["signature"] = json!("00".repeat(32));
    assert_eq!(read(&wrong, &box1()).unwrap().lacks(), [Lack::TrueSignature(ours)]);

    // Under a key of somebody else's: nothing that is encrypted can be had.
    let wanted = at("host/box1/2024-02-29T12:34:59Z");
    let found = UnprovenSnapshot::read(&text(OTHER_KEY), &keys(), &wanted).unwrap();
    assert!(matches!(found.lacks()[0], Lack::KnownSigner { stated: Some(stated) } if stated != ours));
    assert!(found.lacks()[1..].iter().all(|lack| matches!(lack, Lack::Key(_))), "{:?}", found.lacks());
    let hash = found.list_sha256();
    let allowed = found.allow(hash).unwrap();
    assert_eq!((allowed.key().is_some(), allowed.archives().count()), (false, 0));

    // Signed by a stranger who claims our key; and one file of many in plain text.
    let files = Manifest::parse(BOX1).unwrap().files().to_vec();
    let theirs = Manifest::sign(box1(), files, &key("the server's own")).unwrap();
    let mut claimed: Value = serde_json::from_str(&theirs.to_text()).unwrap();
    claimed["unprotected"]["key-fingerprint"] = json!(ours.to_string());
    assert_eq!(read(&claimed, &box1()).unwrap().lacks(), [Lack::TrueSignature(ours)]);
    let entry = |name: &str, crypt_mode| FileEntry {
        filename: name.parse().unwrap(),
        crypt_mode,
        size: 1,
        csum: Sha256::of(b"x"),
    };
    let files = vec![entry("root.pxar.didx", CryptMode::Encrypt), entry("pct.conf.blob", CryptMode::None)];
    let opened = keys();
    let mixed = Manifest::sign(box1(), files, opened[&ours].expose_key()).unwrap();
    let mixed = UnprovenSnapshot::read(mixed.to_text().as_bytes(), &opened, &box1()).unwrap();
    assert_eq!(mixed.lacks(), [Lack::Encryption("pct.conf.blob".parse().unwrap())]);
}
