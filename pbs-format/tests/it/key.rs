//! Key files: `fingerprints` and `keyfiles` of the vectors, the recorded ones, and every damaged
//! sibling.

use std::{error::Error as _, fs, os::unix::fs::PermissionsExt as _};

use pbs_format::key::{self, EncryptionKey, Kdf, KdfError, KeyFile, KeyFileError};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde_json::{Value, json};

use crate::golden::{self, cases, hex_of, key_from_hex, text};

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

#[test]
fn fingerprints_are_those_of_the_vectors() {
    for (name, case) in cases("/fingerprints") {
        let key = golden::key_of(case).unwrap();
        assert_eq!(key.fingerprint().to_string(), text(case, "full"), "{name}");
        assert_eq!(key.fingerprint().short(), text(case, "short"), "{name}");
    }
}

#[test]
fn valid_key_files_open_and_come_back_byte_for_byte() {
    for (name, case) in cases("/keyfiles/valid") {
        let json = text(case, "json");
        let file = KeyFile::parse(json.as_bytes()).unwrap();
        let passphrase = case["passphrase_hex"].as_str().map(|hex| hex::decode(hex).unwrap());
        let key = file.open(passphrase.as_deref()).unwrap();
        assert_eq!(key.expose_bytes().as_slice(), hex_of(case, "key_hex"), "{name}");
        assert_eq!(key.fingerprint().to_string(), text(case, "fingerprint"), "{name}");
        assert_eq!(file.created(), case["created_epoch"].as_i64().unwrap(), "{name}");
        assert_eq!(file.modified(), case["modified_epoch"].as_i64().unwrap(), "{name}");
        assert_eq!(std::str::from_utf8(&file.to_json()).unwrap(), json, "{name}");
    }
}

#[test]
fn a_plain_key_file_is_written_as_the_reference_writes_it_in_utc() {
    let mut seen = 0;
    for (name, case) in cases("/keyfiles/valid") {
        if case["passphrase_hex"].is_string() || case["zone_minutes"] != 0 {
            continue;
        }
        let key = golden::key_of(case).unwrap();
        let (created, modified) = (case["created_epoch"].as_i64().unwrap(), case["modified_epoch"].as_i64().unwrap());
        let written = KeyFile::plain(&key, created, modified).to_json();
        assert_eq!(std::str::from_utf8(&written).unwrap(), text(case, "json"), "{name}");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn odd_but_legal_key_files_open() {
    for (name, case) in cases("/keyfiles/accept") {
        let file = KeyFile::parse(text(case, "text").as_bytes()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let key = file.open(case["passphrase_utf8"].as_str().map(str::as_bytes)).unwrap();
        assert_eq!(key.expose_bytes().as_slice(), hex_of(case, "key_hex"), "{name}");
    }
}

/// The kind of refusal that each case of `keyfiles.reject` must get.
fn refusal(error: &KeyFileError) -> &'static str {
    match error {
        KeyFileError::Json(_) => "json",
        KeyFileError::Kdf(KdfError::PassphraseTooShort) => "short passphrase",
        KeyFileError::DataLength { .. } => "length",
        KeyFileError::WrongPassphrase => "wrong passphrase",
        KeyFileError::WrongFingerprint { .. } => "fingerprint",
        other => panic!("{other:?}"),
    }
}

#[test]
fn illegal_key_files_are_refused_for_the_right_reason() {
    let expected = [
        ("passphrase under 5 bytes", "short passphrase"),
        ("wrong passphrase", "wrong passphrase"),
        ("flipped bit in the IV", "wrong passphrase"),
        ("flipped bit in the tag", "wrong passphrase"),
        ("flipped bit in the ciphertext", "wrong passphrase"),
        ("last byte missing", "length"),
        ("31 bytes", "length"),
        ("another key's fingerprint", "fingerprint"),
        ("URL-safe base64", "json"),
        ("plain key of 31 bytes", "length"),
        ("no data field", "json"),
        ("no created field", "json"),
        ("unknown kdf", "json"),
        ("time without a zone", "json"),
        ("time with a fraction", "json"),
    ];
    let cases = cases("/keyfiles/reject");
    assert_eq!(cases.iter().map(|case| case.0).collect::<Vec<_>>(), expected.map(|case| case.0));
    for ((name, case), (_, reason)) in cases.into_iter().zip(expected) {
        let passphrase = case["passphrase_utf8"].as_str().filter(|p| !p.is_empty());
        let error = KeyFile::parse(text(case, "text").as_bytes())
            .and_then(|file| file.open(passphrase.map(str::as_bytes)))
            .expect_err(name);
        assert_eq!(refusal(&error), reason, "{name}");
    }
}

#[test]
fn what_the_real_client_wrote_opens_with_the_ten_words() {
    let live = KeyFile::parse(&golden::file("K.enc")).unwrap();
    let key = live.open(None).unwrap();
    assert_eq!(live.fingerprint(), Some(key.fingerprint()));
    let code = golden::file("code.txt");
    let code = code.strip_suffix(b"\n").unwrap();
    for name in ["blob-scrypt.json", "blob-pbkdf2.json", "blob-scrypt-hint.json"] {
        let text = golden::file(name);
        let file = KeyFile::parse(&text).unwrap();
        assert_eq!(file.open(Some(code)).unwrap().expose_bytes(), key.expose_bytes(), "{name}");
        assert_eq!(file.to_json().as_slice(), text, "{name}");
        assert_eq!(file.hint().is_some(), name.contains("hint"), "{name}");
    }
    let scrypt = KeyFile::parse(&golden::file("blob-scrypt.json")).unwrap();
    assert!(matches!(scrypt.kdf(), Kdf::Scrypt { n: 65_536, r: 8, p: 1, salt } if salt.len() == 32));
    let wrong = [code, b"x"].concat();
    assert!(matches!(scrypt.open(Some(&wrong)), Err(KeyFileError::WrongPassphrase)));
    assert!(matches!(scrypt.open(None), Err(KeyFileError::PassphraseNeeded)));
}

#[test]
fn a_sealed_key_file_opens_again_and_is_never_the_same_twice() {
    let key = EncryptionKey::generate(&mut rng());
    let sealed = |rng| KeyFile::scrypt_with(&key, b"five!", (1024, 8, 1), 1_717_600_000, 1_717_600_001, rng).unwrap();
    let (one, two) = (sealed(&mut rng()), sealed(&mut rng()));
    assert_ne!(one.to_json(), two.to_json());
    for file in [one, two] {
        let again = KeyFile::parse(&file.to_json()).unwrap();
        assert_eq!(again.open(Some(b"five!")).unwrap().expose_bytes(), key.expose_bytes());
        assert_eq!((again.created(), again.modified()), (1_717_600_000, 1_717_600_001));
        assert_eq!(again.fingerprint(), Some(key.fingerprint()));
        let hinted = again.with_hint("der \"übliche\"").unwrap();
        assert_eq!(KeyFile::parse(&hinted.to_json()).unwrap().hint(), Some("der \"übliche\""));
        let Kdf::Scrypt { salt, .. } = hinted.kdf() else { panic!("{hinted:?}") };
        assert_eq!(salt.len(), 32);
    }
}

#[test]
fn what_cannot_be_opened_again_is_not_sealed() {
    let key = EncryptionKey::generate(&mut rng());
    assert!(matches!(
        KeyFile::scrypt(&key, b"four", 0, 0, &mut rng()),
        Err(KeyFileError::Kdf(KdfError::PassphraseTooShort))
    ));
    assert!(matches!(
        KeyFile::scrypt_with(&key, b"long enough", (1 << 22, 8, 1), 0, 0, &mut rng()),
        Err(KeyFileError::Kdf(KdfError::TooExpensive))
    ));
    let plain = || KeyFile::plain(&key, 0, 0);
    assert!(matches!(plain().with_hint("x"), Err(KeyFileError::HintWithoutPassphrase)));
    let sealed = || KeyFile::scrypt_with(&key, b"five!", (2, 1, 1), 0, 0, &mut rng()).unwrap();
    for bad in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(sealed().with_hint(bad), Err(KeyFileError::Hint)), "{bad:?}");
    }
    assert!(sealed().with_hint(&"ü".repeat(64)).is_ok());
    assert!(matches!(plain().derive(b"12345"), Err(KeyFileError::Kdf(KdfError::NotProtected))));
}

#[test]
fn what_an_rsa_master_key_wraps_is_a_plain_key_file() {
    let wrapped = &golden::VECTORS["rsa_wrapped_key"];
    let message = text(wrapped, "message");
    let file = KeyFile::parse(message.as_bytes()).unwrap();
    assert_eq!((file.kdf(), file.to_json().len()), (&Kdf::None, 255));
    file.open(None).unwrap();
    let raw = golden::base64_of(wrapped, "blob_b64");
    assert_eq!(pbs_format::blob::decode(&raw, None, 1 << 20).unwrap(), hex_of(wrapped, "wrapped_hex"));
}

/// A key file as a JSON value, for damaged siblings.
fn small() -> Value {
    serde_json::from_str(text(cases("/keyfiles/valid")[4].1, "json")).unwrap()
}

#[test]
fn a_key_file_with_a_damaged_shape_is_refused() {
    let parse = |text: &str| KeyFile::parse(text.as_bytes());
    let good = small().to_string();
    assert!(parse(&good).is_ok());
    for bad in [
        String::new(),
        "{".into(),
        format!("{good}{good}"),
        format!("{good}x"),
        good.replacen("{", r#"{"data":"","#, 1),
        good.replacen("{", r#"{"hint":"a","hint":"b","#, 1),
    ] {
        assert!(matches!(parse(&bad), Err(KeyFileError::Json(_))), "{bad}");
    }
    for bad in ["[]", "\"secret\"", "17", "null", "\u{feff}{}"] {
        assert!(matches!(parse(bad), Err(KeyFileError::NotAnObject)), "{bad}");
    }
    assert!(matches!(parse(&format!("{good}{}", " ".repeat(key::MAX_KEY_FILE))), Err(KeyFileError::TooLarge)));
    for (field, value) in [
        ("fingerprint", json!("0e:ab")),
        ("fingerprint", json!("0eab:d4".repeat(9))),
        ("created", json!("2024-06-05T15:06:40")),
        ("created", json!("2024-06-05 15:06:40Z")),
        ("created", json!("2024-13-05T15:06:40Z")),
        ("created", json!("2024-06-05T15:06:60Z")),
        ("created", json!("2024-06-05T15:06:40+24:00")),
        ("created", json!("2024-06-05T15:06:40+0000x")),
        ("created", json!(1_717_600_000)),
        ("data", json!("====")),
        ("data", json!([1, 2, 3])),
        ("kdf", json!("Scrypt")),
        ("kdf", json!({"Scrypt": {"n": 1024, "r": 8, "p": 1}})),
        ("kdf", json!({"Scrypt": {"n": -1024, "r": 8, "p": 1, "salt": ""}})),
        ("kdf", json!({"Scrypt": {"n": 1024.0, "r": 8, "p": 1, "salt": ""}})),
        ("kdf", json!({"Scrypt": {"n": 1024, "r": 8, "p": 1, "salt": ""}, "PBKDF2": {"iter": 1, "salt": ""}})),
    ] {
        let mut file = small();
        file[field] = value.clone();
        assert!(matches!(parse(&file.to_string()), Err(KeyFileError::Json(_))), "{field} {value}");
    }
}

#[test]
fn work_beyond_the_limits_is_refused_before_it_is_done() {
    for kdf in [
        json!({"Scrypt": {"n": 1_u64 << 40, "r": 8, "p": 1, "salt": ""}}),
        json!({"Scrypt": {"n": 1024, "r": 8, "p": u64::MAX, "salt": ""}}),
        json!({"PBKDF2": {"iter": u32::MAX, "salt": ""}}),
    ] {
        let mut file = small();
        file["kdf"] = kdf.clone();
        let file = KeyFile::parse(file.to_string().as_bytes()).unwrap();
        assert!(matches!(file.open(Some(b"12345")), Err(KeyFileError::Kdf(KdfError::TooExpensive))), "{kdf}");
    }
    let mut file = small();
    file["data"] = json!("AAAA");
    let file = KeyFile::parse(file.to_string().as_bytes()).unwrap();
    assert!(matches!(file.derive(b"12345"), Err(KeyFileError::DataLength { expected: 64, found: 3 })));
}

/// The derivation runs once for each distinct `kdf` text that still parses; the rest costs
/// microseconds.
#[test]
fn every_flipped_byte_of_kdf_data_and_fingerprint_is_refused() {
    let original = small();
    let good = KeyFile::parse(original.to_string().as_bytes()).unwrap();
    let derived = good.derive(b"12345").unwrap();
    let key = good.open_derived(&derived).unwrap();

    let mut refused = 0;
    let data = hex_of(cases("/keyfiles/valid")[4].1, "data_hex");
    for index in 0..data.len() {
        for bit in 0..8 {
            let mut flipped = data.clone();
            flipped[index] ^= 1 << bit;
            let mut file = original.clone();
            file["data"] = json!(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &flipped));
            let file = KeyFile::parse(file.to_string().as_bytes()).unwrap();
            assert!(matches!(file.open_derived(&derived), Err(KeyFileError::WrongPassphrase)), "{index}.{bit}");
            refused += 1;
        }
    }
    assert_eq!(refused, 64 * 8);

    let text = original.to_string();
    for field in ["fingerprint", "data", "kdf"] {
        let value = original[field].to_string();
        let start = text.find(&value).unwrap();
        for index in start..start + value.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[index] ^= 1;
            // With the changed `kdf` the passphrase has to be derived anew: that is the point.
            let opened = KeyFile::parse(&flipped).and_then(|file| match field {
                "kdf" => file.open(Some(b"12345")),
                _ => file.open_derived(&derived),
            });
            match opened {
                Err(_) => {}
                Ok(opened) => panic!("{field} at {index} opened: {}", opened.fingerprint() == key.fingerprint()),
            }
        }
    }
}

#[test]
fn files_are_made_once_and_replaced_in_one_step() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_from_hex(&"07".repeat(32));
    let path = folder.path().join("encryption-key.json");
    key::create_file(&path, &KeyFile::plain(&key, 1, 1)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let error = key::create_file(&path, &KeyFile::plain(&key, 2, 2)).unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "File exists (os error 17)");
    assert_eq!(key::read_file(&path).unwrap().created(), 1);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    key::replace_file(&link, &KeyFile::plain(&key, 3, 3)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(key::read_file(&path).unwrap().created(), 1);
    key::replace_file(&path, &KeyFile::plain(&key, 4, 4)).unwrap();
    assert_eq!(key::read_file(&path).unwrap().created(), 4);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing temporary is left");

    let missing = key::replace_file(&folder.path().join("no/such/folder"), &KeyFile::plain(&key, 5, 5));
    assert!(missing.is_err());
    fs::write(&path, "x".repeat(key::MAX_KEY_FILE + 1)).unwrap();
    assert!(matches!(key::read_file(&path), Err(key::KeyPlaceError::Content { source: KeyFileError::TooLarge, .. })));
}

#[test]
fn secrets_do_not_show_when_formatted() {
    let key = key_from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    let plain = KeyFile::plain(&key, 0, 0);
    let sealed = KeyFile::parse(small().to_string().as_bytes()).unwrap();
    let shown = format!("{key:?} {plain:?} {plain:#?} {sealed:?} {:?}", sealed.derive(b"12345").unwrap());
    for form in ["000102030405", "AAECAwQF", "0, 1, 2, 3", "bcf8b1740b", "188, 248"] {
        assert!(!shown.contains(form), "{shown}");
    }
    assert!(shown.contains("EncryptionKey([redacted])") && shown.contains("DerivedKey([redacted])"));
}

/// As PBS writes it (`formats.md` §1.3): 65535 rounds, and the golden file's length but for the data.
#[test]
fn a_key_under_pbkdf2_is_written_as_pbs_writes_it() {
    let key = key_from_hex(&"42".repeat(32));
    let rng = &mut rng();
    let file = KeyFile::pbkdf2(&key, b"Passphrase-1", 1_700_000_000, 1_700_000_001, rng).unwrap();
    assert!(matches!(file.kdf(), Kdf::Pbkdf2 { iter: 65_535, salt } if salt.len() == 32));
    let text = file.to_json();
    assert_eq!(text.len(), 374);
    let again = KeyFile::parse(&text).unwrap();
    assert_eq!(again.open(Some(b"Passphrase-1")).unwrap().expose_bytes(), key.expose_bytes());
    assert!(matches!(again.open(Some(b"Passphrase-2")), Err(KeyFileError::WrongPassphrase)));
    assert!(matches!(KeyFile::pbkdf2(&key, b"four", 0, 0, rng), Err(KeyFileError::Kdf(_))));
}
