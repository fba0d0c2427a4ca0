//! Manifests: `manifests` of the vectors, and every flipped byte.

use pbs_format::{
    blob,
    key::EncryptionKey,
    manifest::{CryptMode, Manifest, ManifestError, UploadStats},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde_json::{Value, json};

use crate::golden::{cases, key_from_hex, key_of, text};

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text.as_bytes())
}

#[test]
fn valid_manifests_verify_and_have_the_canonical_text_of_the_vectors() {
    let mut signed = 0;
    for (name, case) in cases("/manifests/valid") {
        let manifest = parse(text(case, "text")).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(manifest.to_text(), text(case, "text"), "{name}");
        let Some(key) = key_of(case) else {
            assert!(!manifest.is_signed(), "{name}");
            manifest.check(None).unwrap();
            continue;
        };
        assert_eq!(manifest.canonical_text().unwrap(), text(case, "canonical"), "{name}");
        if case["signature_hex"].is_null() {
            assert!(matches!(manifest.verify(&key), Err(ManifestError::Unsigned)), "{name}");
            continue;
        }
        let verified = manifest.verify(&key).unwrap();
        assert_eq!(verified.key_fingerprint(), key.fingerprint(), "{name}");
        assert_eq!(verified.files(), manifest.files(), "{name}");
        let other = key_from_hex(&"aa".repeat(32));
        assert!(
            matches!(manifest.verify(&other), Err(ManifestError::WrongKey { .. } | ManifestError::WrongSignature)),
            "{name}"
        );
        signed += 1;
    }
    assert!(signed >= 3);
}

#[test]
fn tampered_manifests_verify_only_if_nothing_signed_was_changed() {
    for (name, case) in cases("/manifests/tamper") {
        let key = key_of(case).unwrap();
        let verified = parse(text(case, "text")).unwrap().verify(&key);
        match case["verifies"].as_bool().unwrap() {
            true => assert!(verified.is_ok(), "{name}: {verified:?}"),
            false => assert!(matches!(verified, Err(ManifestError::WrongSignature)), "{name}: {verified:?}"),
        }
    }
}

/// The signed manifest of the vectors' encrypted snapshot.
fn signed() -> (&'static str, EncryptionKey) {
    let snapshot = &crate::golden::VECTORS["datastore"]["snapshots"][1];
    (text(snapshot, "manifest_text"), key_of(snapshot).unwrap())
}

#[test]
fn every_flipped_bit_outside_unprotected_is_refused() {
    let (text, key) = signed();
    parse(text).unwrap().verify(&key).unwrap();
    let start = text.find("\"unprotected\": ").unwrap() + "\"unprotected\": ".len();
    let end = text.rfind("\n}").unwrap();
    for index in (0..start).chain(end..text.len()) {
        for bit in 0..8 {
            let mut flipped = text.as_bytes().to_vec();
            flipped[index] ^= 1 << bit;
            // A blank may become nothing but another byte; JSON's other blanks differ in two bits.
            let verified = Manifest::parse(&flipped).and_then(|manifest| manifest.verify(&key));
            assert!(verified.is_err(), "byte {index} bit {bit}: {}", String::from_utf8_lossy(&flipped));
        }
    }
}

#[test]
fn every_flipped_bit_of_the_blob_is_found_by_its_checksum_or_magic() {
    let (text, key) = signed();
    for compress in [false, true] {
        let raw = blob::encode(text.as_bytes(), None, compress, &mut rng()).unwrap();
        Manifest::parse(&raw).unwrap().verify(&key).unwrap();
        for index in 0..raw.len() {
            for bit in 0..8 {
                let mut flipped = raw.clone();
                flipped[index] ^= 1 << bit;
                assert!(matches!(Manifest::parse(&flipped), Err(ManifestError::Blob(_))), "byte {index} bit {bit}");
            }
        }
    }
}

#[test]
fn a_manifest_that_two_readers_could_see_differently_is_refused() {
    let (text, key) = signed();
    let doubled = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        parse(&text.replacen(from, to, 1)).and_then(|manifest| manifest.verify(&key))
    };
    for (from, to) in [
        ("\"backup-id\": \"100\",", "\"backup-id\": \"100\", \"backup-id\": \"100\","),
        ("\"crypt-mode\": \"encrypt\",", "\"crypt-mode\": \"none\", \"crypt-mode\": \"encrypt\","),
        ("\"crypt-mode\": \"encrypt\",", "\"crypt-mode\": \"encrypt\", \"\\u0063rypt-mode\": \"none\","),
        ("\"unprotected\": {", "\"unprotected\": {}, \"unprotected\": {"),
        ("\"unprotected\": {", "\"unprotected\": {\"a\": {\"b\": 1, \"b\": 1},"),
    ] {
        assert!(matches!(doubled(from, to), Err(ManifestError::Json(_))), "{to}");
    }
    assert!(matches!(doubled("\n}", "\n}\n{}"), Err(ManifestError::Json(_))));
    assert!(matches!(doubled("\"root.pxar.didx\"", "\"pct.conf.blob\""), Err(ManifestError::ListedTwice { .. })));
    assert!(matches!(
        doubled("\"backup-id\": \"100\",", "\"backup-id\": \"100\", \"new\": null,"),
        Err(ManifestError::NoCanonicalText(_))
    ));
    assert!(matches!(
        doubled("\"backup-id\": \"100\",", "\"backup-id\": \"100\", \"new\": 1.0,"),
        Err(ManifestError::NoCanonicalText(_))
    ));
    // Outside the signed part both are legal.
    doubled("\"unprotected\": {", "\"unprotected\": {\"a\": [null, 0.5],").unwrap();
}

#[test]
fn a_manifest_with_a_damaged_field_is_refused() {
    let good: Value = serde_json::from_str(signed().0).unwrap();
    let csum = good["files"][0]["csum"].as_str().unwrap().to_uppercase();
    for (pointer, value) in [
        ("/backup-type", json!("lxc")),
        ("/backup-type", Value::Null),
        ("/backup-id", json!("../1")),
        ("/backup-id", json!(100)),
        ("/backup-time", json!("1718003600")),
        ("/backup-time", json!(0)),
        ("/backup-time", json!(-1)),
        ("/backup-time", json!(1.5)),
        ("/files", json!({})),
        ("/files/0", json!([])),
        ("/files/0/filename", json!("pct.conf")),
        ("/files/0/filename", json!("../pct.conf.blob")),
        ("/files/0/crypt-mode", json!("plain")),
        ("/files/0/crypt-mode", Value::Null),
        ("/files/0/size", json!(-83)),
        ("/files/0/size", json!("83")),
        ("/files/0/csum", json!("1c6b")),
        ("/files/0/csum", json!(csum)),
        ("/signature", json!(good["signature"].as_str().unwrap().to_uppercase())),
        ("/signature", json!("")),
        ("/signature", json!(false)),
        ("/unprotected", json!([])),
        ("/unprotected/key-fingerprint", json!("6c:34")),
        ("/unprotected/key-fingerprint", json!(7)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value.clone();
        let refused = parse(&bad.to_string());
        assert!(
            matches!(refused, Err(ManifestError::Field { .. } | ManifestError::Name(_))),
            "{pointer} {value}: {refused:?}"
        );
    }
    for field in ["backup-type", "backup-id", "backup-time", "files"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(field);
        assert!(matches!(parse(&bad.to_string()), Err(ManifestError::Field { .. })), "{field}");
    }
    for bad in ["", "{", "[]", "null", "{}x", "\u{feff}{}"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(parse(&deep), Err(ManifestError::Json(_))));
}

#[test]
fn an_encrypted_or_oversized_manifest_is_refused() {
    let (text, key) = signed();
    let raw = blob::encode(text.as_bytes(), Some(&key), true, &mut rng()).unwrap();
    assert!(matches!(Manifest::parse(&raw), Err(ManifestError::Encrypted)));
    let bomb = blob::encode(&vec![b' '; (16 << 20) + 1], None, true, &mut rng()).unwrap();
    assert!(matches!(Manifest::parse(&bomb), Err(ManifestError::Blob(blob::BlobError::TooLarge { .. }))));
    let long = format!("{text}{}", " ".repeat(16 << 20));
    assert!(matches!(parse(&long), Err(ManifestError::TooLarge)));
}

/// `formats.md` §7.3, row by row.
#[test]
fn the_clients_own_check_is_the_recorded_table() {
    let (text, key) = signed();
    let other = key_from_hex(&"aa".repeat(32));
    let of = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        change(&mut value);
        parse(&value.to_string()).unwrap()
    };
    let as_it_is = of(&|_| {});
    assert!(matches!(as_it_is.check(Some(&other)), Err(ManifestError::WrongKey { signed: true, .. })));
    assert!(matches!(as_it_is.check(None), Err(ManifestError::MissingKey { .. })));
    assert!(as_it_is.check(Some(&key)).is_ok());

    let stripped = of(&|value| value["unprotected"] = json!({}));
    assert!(matches!(stripped.check(Some(&other)), Err(ManifestError::WrongSignature)));
    assert!(stripped.check(Some(&key)).is_ok());
    assert!(stripped.check(None).is_ok(), "the signature is not looked at without a key");

    let unsigned = of(&|value| value["signature"] = Value::Null);
    assert!(matches!(unsigned.check(Some(&other)), Err(ManifestError::WrongKey { signed: false, .. })));
    assert!(matches!(unsigned.check(None), Err(ManifestError::MissingKey { .. })));
    assert!(unsigned.check(Some(&key)).is_ok(), "which is why nobody may take this for a proof");
    assert!(matches!(unsigned.verify(&key), Err(ManifestError::Unsigned)));

    let plain = of(&|value| {
        value["signature"] = Value::Null;
        value["unprotected"] = json!({});
    });
    assert!(plain.check(None).is_ok() && plain.check(Some(&other)).is_ok());
}

#[test]
fn what_we_sign_is_what_the_vectors_have() {
    for (index, (name, key)) in [("plain", None), ("encrypted", Some(signed().1))].into_iter().enumerate() {
        let stored = text(&crate::golden::VECTORS["datastore"]["snapshots"][index], "manifest_text");
        let read = parse(stored).unwrap();
        let (snapshot, files) = (read.snapshot().clone(), read.files().to_vec());
        let written = match &key {
            Some(key) => Manifest::sign(snapshot, files, key).unwrap(),
            None => Manifest::unsigned(snapshot, files).unwrap(),
        };
        assert_eq!(written.to_text(), stored, "{name}");
        let noted =
            written.with_notes("naïve “notes”\n").with_upload_stats(UploadStats { count: 1, ..Default::default() });
        let again = Manifest::parse(&noted.to_blob(&mut rng()).unwrap()).unwrap();
        assert_eq!(again.to_text(), noted.to_text(), "{name}");
        assert_eq!(again.unprotected().unwrap()["notes"], "naïve “notes”\n");
        if let Some(key) = &key {
            let verified = again.verify(key).unwrap();
            assert!(verified.all_encrypted());
            assert_eq!(verified.snapshot().to_string(), "ct/100/2024-06-10T07:13:20Z");
            assert_eq!(verified.file("pct.conf.blob").unwrap().crypt_mode, CryptMode::Encrypt);
        }
    }
    let read = parse(signed().0).unwrap();
    let twice = [read.files(), read.files()].concat();
    assert!(matches!(Manifest::unsigned(read.snapshot().clone(), twice), Err(ManifestError::ListedTwice { .. })));
}
