//! Keys and passwords of PVE's storages: put whole, closed to others, never over different ones.

use std::{fs, thread, time::Duration};

use pbs_driver::pve::{
    PveError,
    error::KeyThere,
    secrets::{KeySlot, Put, key, master_key, password, present_key, put_key, put_master_key, put_password},
    storage::KeyMark,
};
use tenwords_protocol::hash::Sha256;

use crate::{
    place::{KEYS, TOKEN, all_words},
    pve_place::{Pve, id, other_key},
};

const ENC: &str = "priv/storage/pbs1.enc";

#[test]
fn a_key_is_put_once_and_closed_to_others() {
    let pve = Pve::new();
    assert!(key(&pve.node, &id("pbs1"), KeySlot::Current).unwrap().is_none());
    assert_eq!(put_key(&pve.node, &id("pbs1"), &KEYS.plain).unwrap(), Put::Written);
    assert_eq!(pve.text(ENC).as_bytes(), &*KEYS.plain);
    pve.assert_mode(ENC, 0o600);
    pve.assert_mode("priv/storage", 0o700);
    let stored = key(&pve.node, &id("pbs1"), KeySlot::Current).unwrap().unwrap();
    assert_eq!((stored.fingerprint(), stored.expose_text()), (KEYS.fingerprint, &KEYS.plain[..]));
    assert_eq!(stored.mark(), KeyMark::Fingerprint(KEYS.fingerprint));
    pve.assert_tidy();

    let before = pve.everything();
    assert_eq!(put_key(&pve.node, &id("pbs1"), &KEYS.plain).unwrap(), Put::Same);
    assert_eq!(pve.everything(), before, "a second time nothing is touched");
}

#[test]
fn the_same_key_in_another_text_is_left_as_it_is() {
    let pve = Pve::new();
    // As pvesm writes a key that it is given: the text and a line feed more; and without a fingerprint.
    let mut text = String::from_utf8(KEYS.plain.to_vec()).unwrap();
    let stated = format!("\"{}\"", KEYS.fingerprint);
    assert!(text.contains(&stated), "{text}");
    text = text.replace(&stated, "null") + "\n";
    pve.write(ENC, text.as_bytes());
    let before = pve.everything();
    assert_eq!(put_key(&pve.node, &id("pbs1"), &KEYS.plain).unwrap(), Put::Same);
    assert_eq!(pve.everything(), before);
    let stored = key(&pve.node, &id("pbs1"), KeySlot::Current).unwrap().unwrap();
    assert_eq!((stored.fingerprint(), stored.mark()), (KEYS.fingerprint, KeyMark::Unnamed));
}

#[test]
fn a_different_key_is_never_replaced_and_both_are_named() {
    let pve = Pve::new();
    let (other, fingerprint) = other_key();
    pve.write(ENC, &other);
    let before = pve.everything();
    let error = put_key(&pve.node, &id("pbs1"), &KEYS.plain).unwrap_err();
    match &error {
        PveError::DifferentKey { path, there, sha256, given } => {
            assert_eq!((*there, **given), (KeyThere::Key(fingerprint), KEYS.fingerprint));
            assert_eq!((path, *sha256), (&pve.node.file(ENC), Sha256::of(&other)));
        }
        other => panic!("{other:?}"),
    }
    let words = all_words(&error);
    assert!(words.contains(&fingerprint.to_string()) && words.contains(&KEYS.fingerprint.to_string()), "{words}");
    assert!(error.next_step().contains("order"), "{}", error.next_step());
    assert_eq!(pve.everything(), before);
    pve.assert_tidy();
}

#[test]
fn what_stands_in_a_keys_place_and_is_none_is_not_replaced_either() {
    let cut = &KEYS.plain[..KEYS.plain.len() / 2];
    // One byte of the key itself, so that it is not the one that the file states.
    let text = String::from_utf8(KEYS.plain.to_vec()).unwrap();
    let at = text.find("\"data\":\"").unwrap() + 9;
    let swapped = if &text[at..=at] == "A" { "B" } else { "A" };
    let damaged = [&text[..at], swapped, &text[at + 1..]].concat();
    for (there, why) in [
        (&b""[..], "is empty"),
        (b"{}", "is not a key file"),
        (b"-----BEGIN RSA PRIVATE KEY-----", "is not a key file"),
        (cut, "is not a key file"),
        (&KEYS.wrapped, "is under a passphrase"),
        (damaged.as_bytes(), "holds another key than it says"),
    ] {
        let pve = Pve::new();
        pve.write(ENC, there);
        let before = pve.everything();
        let error = put_key(&pve.node, &id("pbs1"), &KEYS.plain).unwrap_err();
        match &error {
            PveError::DifferentKey { there: KeyThere::NoKey(said), sha256, .. } => {
                assert!(said.starts_with(why) && *sha256 == Sha256::of(there), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(all_words(&error).contains(why) && !all_words(&error).contains(&text[at + 2..at + 30]), "{error:?}");
        let present = present_key(&pve.node, &id("pbs1")).unwrap().unwrap();
        assert!(matches!(present.there(), KeyThere::NoKey(said) if said.starts_with(why)), "{present:?}");
        assert_eq!(present.expose_text(), there);
        for error in [
            key(&pve.node, &id("pbs1"), KeySlot::Current).unwrap_err(),
            // And as what is to be put.
            put_key(&pve.node, &id("pbs2"), there).unwrap_err(),
        ] {
            assert!(matches!(error, PveError::KeyFile { .. }), "{error:?}");
            let words = all_words(&error);
            assert!(words.contains(why), "{words}");
            assert!(!words.contains(&text[at + 2..at + 30]), "the key is in the words: {words}");
        }
        assert_eq!(pve.everything(), before);
    }
}

#[test]
fn the_former_key_is_found() {
    let pve = Pve::new();
    let (other, fingerprint) = other_key();
    pve.write("priv/storage/pbs1.enc.old", &other);
    assert_eq!(key(&pve.node, &id("pbs1"), KeySlot::Former).unwrap().unwrap().fingerprint(), fingerprint);
    assert!(key(&pve.node, &id("pbs1"), KeySlot::Current).unwrap().is_none());
}

#[test]
fn a_password_is_put_once_and_another_one_is_never_replaced() {
    let pve = Pve::new();
    assert!(password(&pve.node, &id("pbs1")).unwrap().is_none());
    assert_eq!(put_password(&pve.node, &id("pbs1"), TOKEN).unwrap(), Put::Written);
    assert_eq!(pve.text("priv/storage/pbs1.pw"), format!("{TOKEN}\n"));
    pve.assert_mode("priv/storage/pbs1.pw", 0o600);
    assert_eq!(password(&pve.node, &id("pbs1")).unwrap().unwrap().as_str(), TOKEN);
    let before = pve.everything();
    assert_eq!(put_password(&pve.node, &id("pbs1"), TOKEN).unwrap(), Put::Same);
    let error = put_password(&pve.node, &id("pbs1"), "other").unwrap_err();
    assert!(matches!(error, PveError::DifferentSecret { .. }), "{error:?}");
    assert!(!all_words(&error).contains(TOKEN) && !all_words(&error).contains("other"), "{error:?}");
    assert_eq!(pve.everything(), before);

    // PVE reads the first line.
    pve.write("priv/storage/two.pw", b"one\ntwo\n");
    assert_eq!(password(&pve.node, &id("two")).unwrap().unwrap().as_str(), "one");
    assert_eq!(put_password(&pve.node, &id("two"), "one").unwrap(), Put::Same);

    for bad in ["", "a\nb", "a\r", "a\0", &"x".repeat(1025)] {
        assert!(matches!(put_password(&pve.node, &id("new"), bad), Err(PveError::Secret)), "{bad:?}");
    }
    for there in [&b""[..], b"\n", b"\xff\xfe\n"] {
        pve.write("priv/storage/bad.pw", there);
        assert!(matches!(password(&pve.node, &id("bad")), Err(PveError::Secret)), "{there:?}");
        assert!(matches!(put_password(&pve.node, &id("bad"), TOKEN), Err(PveError::DifferentSecret { .. })));
    }
    pve.assert_tidy();
}

#[test]
fn a_master_key_is_put_once() {
    let pve = Pve::new();
    let pem = b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n";
    assert_eq!(put_master_key(&pve.node, &id("pbs1"), pem).unwrap(), Put::Written);
    assert_eq!(put_master_key(&pve.node, &id("pbs1"), pem.trim_ascii_end()).unwrap(), Put::Same);
    assert!(matches!(put_master_key(&pve.node, &id("pbs1"), b"other"), Err(PveError::DifferentSecret { .. })));
    assert_eq!(master_key(&pve.node, &id("pbs1")).unwrap().unwrap(), pem);
    assert!(master_key(&pve.node, &id("pbs2")).unwrap().is_none());
}

#[test]
fn a_link_in_a_keys_place_is_not_followed() {
    let pve = Pve::new();
    let outside = pve.program("outside");
    fs::create_dir_all(pve.node.file("priv/storage")).unwrap();
    std::os::unix::fs::symlink(&outside, pve.node.file(ENC)).unwrap();
    assert!(matches!(put_key(&pve.node, &id("pbs1"), &KEYS.plain), Err(PveError::Io { .. })));
    assert!(!outside.exists());
}

#[test]
fn pves_lock_is_respected() {
    let pve = Pve::new();
    let lock = "priv/lock/file-storage_cfg";
    fs::create_dir_all(pve.node.file(lock)).unwrap();
    let before = pve.everything();
    let error = put_key(&pve.node, &id("pbs1"), &KEYS.plain).unwrap_err();
    assert!(matches!(error, PveError::Locked { .. }), "{error:?}");
    assert!(!pve.has(ENC));
    assert_eq!(pve.everything(), before, "a lock that is another's stays");
    // The wish that it end is heard: its times are at the beginning of time.
    let times = fs::metadata(pve.node.file(lock)).unwrap().modified().unwrap();
    let patient = pve.node.clone().with_patience(Duration::from_secs(60));
    let holder = thread::spawn({
        let path = pve.node.file(lock);
        move || {
            crate::place::until("the wish for the lock", || {
                fs::metadata(&path).unwrap().modified().unwrap() == std::time::UNIX_EPOCH
            });
            fs::remove_dir(&path).unwrap();
        }
    });
    assert_ne!(times, std::time::UNIX_EPOCH);
    assert_eq!(put_key(&patient, &id("pbs1"), &KEYS.plain).unwrap(), Put::Written);
    holder.join().unwrap();
    pve.assert_tidy();
}

#[test]
fn of_many_at_once_one_key_gets_the_place() {
    let pve = Pve::new();
    let node = pve.node.clone().with_patience(Duration::from_secs(60));
    let keys: Vec<_> = (0..4).map(|_| other_key()).collect();
    let results: Vec<_> = thread::scope(|scope| {
        let put = |text: &Vec<u8>| put_key(&node, &id("pbs1"), text);
        let runs: Vec<_> = keys.iter().map(|(text, _)| scope.spawn(move || put(text))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let there = key(&pve.node, &id("pbs1"), KeySlot::Current).unwrap().unwrap().fingerprint();
    for ((_, given), result) in keys.iter().zip(results) {
        match result {
            Ok(Put::Written) => assert_eq!(*given, there),
            Err(PveError::DifferentKey { there: named, given: mine, .. }) => {
                assert_eq!((named, *mine), (KeyThere::Key(there), *given));
                assert_ne!(*given, there);
            }
            other => panic!("{other:?}"),
        }
    }
    pve.assert_tidy();
}
