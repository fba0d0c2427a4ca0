//! A storage with key and token onto a node: on folders always, on a real pmxcfs when
//! `TENWORDS_ETC_PVE` names one that is there to be written to.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
};

use pbs_driver::pve::{
    Node, PveError, State, StorageCfg,
    error::KeyThere,
    install::{Placed, Wanted, named, place, take_away},
    secrets::{KeyReplaces, KeySlot, PresentKey, Put, key, password, present_key, put_key, put_password},
    storage::KeyMark,
};
use tenwords_protocol::hash::Sha256;

use crate::{
    place::{KEYS, TOKEN, all_words},
    pve_place::{FRESH, Pve, id, node, other_key, storage, wanted},
};

/// What holds on any node that has a fresh `storage.cfg` and nothing else.
fn suite(node: &Node) {
    assert_eq!(node.state(), State::Writable);
    let wished = storage("pbs1");
    let done = place(node, &wanted(&wished)).unwrap();
    assert_eq!(done, Placed { stanza: Put::Written, key: Some(Put::Written), former_key: None, secret: Put::Written });
    assert_eq!(key(node, &wished.id, KeySlot::Current).unwrap().unwrap().fingerprint(), KEYS.fingerprint);
    assert_eq!(password(node, &wished.id).unwrap().unwrap().as_str(), TOKEN);
    let found = StorageCfg::read(node).unwrap().get(&wished.id).unwrap().unwrap();
    assert_eq!(found.encryption_key, Some(KeyMark::Fingerprint(KEYS.fingerprint)));
    assert_eq!(found.repository, wished.repository);
    let text = node.read("storage.cfg").unwrap().unwrap();
    assert!(text.starts_with(FRESH.as_bytes()));

    let again = place(node, &wanted(&wished)).unwrap();
    assert_eq!(again, Placed { stanza: Put::Same, key: Some(Put::Same), former_key: None, secret: Put::Same });

    let (other, fingerprint) = other_key();
    match put_key(node, &wished.id, &other) {
        Err(PveError::DifferentKey { there, given, .. }) => {
            assert_eq!((there, *given), (KeyThere::Key(KEYS.fingerprint), fingerprint));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(put_password(node, &wished.id, "other"), Err(PveError::DifferentSecret { .. })));
    // What a run that was killed before its rename leaves is no hindrance, and is gone afterwards.
    let left = node.file("priv/storage/pbs2.enc.tenwords-new");
    fs::write(&left, b"half").unwrap();
    assert_eq!(put_key(node, &id("pbs2"), &other).unwrap(), Put::Written);
    assert!(!left.exists());
    assert_eq!(node.read("storage.cfg").unwrap().unwrap(), text);
    for (folder, names) in [("priv/storage", &["pbs1.enc", "pbs1.pw", "pbs2.enc"][..]), ("priv/lock", &[])] {
        let entries = fs::read_dir(node.file(folder)).unwrap();
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, names, "{folder}");
    }
    let half = StorageCfg::edit(node, |storages| storages.add_pbs(&storage("local")));
    assert!(matches!(half, Err(PveError::DifferentStorage { property: "type", .. })));
}

#[test]
fn a_storage_comes_whole_and_only_once() {
    let pve = Pve::new();
    suite(&pve.node);
    pve.assert_tidy();
    for (file, mode) in [("storage.cfg", 0o640), ("priv/storage/pbs1.enc", 0o600), ("priv/storage/pbs1.pw", 0o600)] {
        pve.assert_mode(file, mode);
    }
    let before = pve.everything();
    place(&pve.node, &wanted(&storage("pbs1"))).unwrap();
    assert_eq!(pve.everything(), before, "a second run changes nothing");
}

#[test]
fn a_storage_is_taken_away_with_its_key_and_nothing_else() {
    let pve = Pve::new();
    let (scratch, theirs) = (storage("tenwords-x-1"), storage("pbs1"));
    place(&pve.node, &wanted(&theirs)).unwrap();
    // Written anew, with the same in it.
    let content =
        || pve.everything().into_iter().map(|(path, (mode, .., text))| (path, mode, text)).collect::<Vec<_>>();
    let before = content();
    for _ in 0..2 {
        place(&pve.node, &wanted(&scratch)).unwrap();
        fs::write(pve.node.file("priv/storage/tenwords-x-1.enc.tenwords-new"), b"half").unwrap();
        assert_eq!(named(&pve.node, "tenwords-x-").unwrap(), [scratch.id.clone()].into());
        take_away(&pve.node, &scratch.id).unwrap();
        assert_eq!(content(), before);
    }
    // A key whose stanza was never written is known by its name; one that is not there is gone.
    put_key(&pve.node, &id("tenwords-x-2"), &other_key().0).unwrap();
    assert_eq!(named(&pve.node, "tenwords-x-").unwrap(), [id("tenwords-x-2")].into());
    for _ in 0..2 {
        take_away(&pve.node, &id("tenwords-x-2")).unwrap();
        assert_eq!(content(), before);
    }
    assert!(named(&pve.node, "tenwords-x-").unwrap().is_empty());
    assert!(matches!(take_away(&pve.node, &id("local")), Err(PveError::DifferentStorage { property: "type", .. })));
    assert_eq!(content(), before);
}

/// Opt-in: the folder must be a mounted pmxcfs without a `storage.cfg`, which a real node never is.
#[test]
fn the_same_on_a_real_pmxcfs_where_one_is_named() {
    let Some(etc) = std::env::var_os("TENWORDS_ETC_PVE") else {
        println!("SKIPPED the_same_on_a_real_pmxcfs_where_one_is_named: TENWORDS_ETC_PVE names none");
        return;
    };
    let node = node(Path::new("/nonexistent"), Path::new(&etc));
    assert!(node.read("storage.cfg").unwrap().is_none(), "there is a storage.cfg: this is no scratch pmxcfs");
    fs::write(node.file("storage.cfg"), FRESH).unwrap();
    if !node.file("priv").exists() {
        fs::create_dir(node.file("priv")).unwrap();
    }
    suite(&node);
}

/// What the real pmxcfs shows without quorum, dead, or stopped. Run by hand, as the test above.
#[test]
fn s40_on_a_real_pmxcfs_that_cannot_be_written_where_one_is_named() {
    let Some(etc) = std::env::var_os("TENWORDS_ETC_PVE_UNFIT") else {
        println!("SKIPPED s40_on_a_real_pmxcfs_that_cannot_be_written_where_one_is_named: the variable names none");
        return;
    };
    let node = node(Path::new("/nonexistent"), Path::new(&etc));
    println!("{:?}", node.state());
    match place(&node, &wanted(&storage("pbs1"))).unwrap_err() {
        PveError::ReadOnly { .. } | PveError::NotMounted { .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_that_speaks_against_it_is_found_before_the_first_write() {
    let (other, _) = other_key();
    let mark = |storage: pbs_driver::pve::PbsStorage, byte| {
        let key = tenwords_protocol::fingerprint::Fingerprint::from_bytes([byte; 32]);
        storage.with_encryption_key(Some(KeyMark::Fingerprint(key)))
    };
    type Spoil<'a> = Box<dyn Fn(&Pve) + 'a>;
    let cases: Vec<(&str, Spoil<'_>)> = vec![
        ("DifferentKey", Box::new(|pve| pve.write("priv/storage/pbs1.enc", &other))),
        ("DifferentKey", Box::new(|pve| pve.write("priv/storage/pbs1.enc", b"?"))),
        ("DifferentSecret", Box::new(|pve| pve.write("priv/storage/pbs1.pw", b"?\n"))),
        ("DifferentStorage", Box::new(|pve| pve.write("storage.cfg", b"nfs: pbs1\n\tserver s\n\n"))),
        (
            "DifferentStorage",
            Box::new(|pve| {
                let mut storages = StorageCfg::parse(FRESH.as_bytes());
                storages.add_pbs(&mark(storage("pbs1"), 1)).unwrap();
                pve.write("storage.cfg", &storages.to_bytes());
            }),
        ),
        ("Storage", Box::new(|pve| pve.write("storage.cfg", b"pbs: pbs1\n\tserver s\n\n"))),
        ("TooLarge", Box::new(|pve| pve.write("storage.cfg", &vec![b'#'; 1024 * 1024 + 1]))),
    ];
    for (expected, spoil) in cases {
        let pve = Pve::new();
        spoil(&pve);
        let before = pve.everything();
        let error = place(&pve.node, &wanted(&storage("pbs1"))).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
        assert!(!all_words(&error).contains(TOKEN), "{error:?}");
        assert_eq!(pve.everything(), before, "{expected}");
    }
    let pve = Pve::new();
    let before = pve.everything();
    let wished = storage("pbs1");
    for bad in [
        Wanted { key: Some(&KEYS.wrapped), ..wanted(&wished) },
        Wanted { key: Some(b"{}"), ..wanted(&wished) },
        Wanted { secret: "two\nlines", ..wanted(&wished) },
    ] {
        place(&pve.node, &bad).unwrap_err();
        assert!(!format!("{bad:?}").contains("lines"));
    }
    assert_eq!(pve.everything(), before);
}

fn may_replace(text: &[u8]) -> Option<KeyReplaces> {
    Some(KeyReplaces { sha256: Sha256::of(text) })
}

/// A storage with another key than ours, placed by us.
fn with_another_key(
    storage: &pbs_driver::pve::PbsStorage,
) -> (Pve, Vec<u8>, tenwords_protocol::fingerprint::Fingerprint) {
    let pve = Pve::new();
    let (other, fingerprint) = other_key();
    place(&pve.node, &Wanted { key: Some(&other), ..wanted(storage) }).unwrap();
    (pve, other, fingerprint)
}

#[test]
fn a_key_is_replaced_only_by_the_hash_of_what_lies_there_and_the_former_one_is_handed_back() {
    let wished = storage("pbs1");
    let (pve, other, fingerprint) = with_another_key(&wished);
    let before = pve.everything();
    for key_replaces in [None, may_replace(b""), may_replace(&KEYS.plain), may_replace(&[&other[..], b"\n"].concat())] {
        let error = place(&pve.node, &Wanted { key_replaces, ..wanted(&wished) }).unwrap_err();
        match error {
            PveError::DifferentKey { path, there, sha256, given } => {
                assert_eq!(path, pve.node.file("priv/storage/pbs1.enc"));
                assert_eq!((there, *given), (KeyThere::Key(fingerprint), KEYS.fingerprint));
                assert_eq!(sha256, Sha256::of(&other));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(pve.everything(), before);
    }

    let kept = present_key(&pve.node, &wished.id).unwrap();
    let replacing = Wanted { key_replaces: may_replace(&other), ..wanted(&wished) };
    let done = place(&pve.node, &replacing).unwrap();
    assert_eq!((done.stanza, done.key, done.secret), (Put::Written, Some(Put::Written), Put::Same));
    let former: PresentKey = done.former_key.unwrap();
    assert_eq!((former.expose_text(), Some(&former)), (&other[..], kept.as_ref()));
    assert!(!format!("{former:?}").contains(std::str::from_utf8(&other[60..80]).unwrap()), "{former:?}");
    assert_eq!(pve.text("priv/storage/pbs1.enc").as_bytes(), &*KEYS.plain);
    pve.assert_mode("priv/storage/pbs1.enc", 0o600);
    let found = StorageCfg::read(&pve.node).unwrap().get(&wished.id).unwrap().unwrap();
    assert_eq!(found.encryption_key, Some(KeyMark::Fingerprint(KEYS.fingerprint)));
    pve.assert_tidy();

    // Once more: nothing is replaced a second time.
    let before = pve.everything();
    let again = place(&pve.node, &replacing).unwrap();
    assert_eq!(again, Placed { stanza: Put::Same, key: Some(Put::Same), former_key: None, secret: Put::Same });
    assert_eq!(pve.everything(), before);
}

#[test]
fn what_else_speaks_against_a_key_is_not_replaced_with_it() {
    let wished = storage("pbs1");
    // Another secret; a stanza that names a third key: found before the first write.
    let (pve, other, _) = with_another_key(&wished);
    let before = pve.everything();
    let replacing = Wanted { key_replaces: may_replace(&other), ..wanted(&wished) };
    let error = place(&pve.node, &Wanted { secret: "another", ..replacing }).unwrap_err();
    assert!(matches!(error, PveError::DifferentSecret { .. }), "{error:?}");
    assert_eq!(pve.everything(), before);
    let third = other_key().0;
    pve.write("priv/storage/pbs1.enc", &third);
    let before = pve.everything();
    let error = place(&pve.node, &Wanted { key_replaces: may_replace(&third), ..replacing }).unwrap_err();
    assert!(matches!(error, PveError::DifferentStorage { property: "encryption-key", .. }), "{error:?}");
    assert_eq!(pve.everything(), before);

    // What is no key has no name in the stanza.
    let pve = Pve::new();
    pve.write("priv/storage/pbs1.enc", b"?");
    let done = place(&pve.node, &Wanted { key_replaces: may_replace(b"?"), ..wanted(&wished) }).unwrap();
    assert_eq!(done.former_key.unwrap().expose_text(), b"?");
    pve.assert_tidy();
}

/// Cut off after the mark, or after the key: the same call goes on.
#[test]
fn a_replacement_goes_on_where_one_before_it_was_cut_off() {
    let wished = storage("pbs1");
    let (whole, other, fingerprint) = with_another_key(&wished);
    let replacing = Wanted { key_replaces: may_replace(&other), ..wanted(&wished) };
    place(&whole.node, &replacing).unwrap();
    let (marked, placed) = (whole.text("storage.cfg"), whole.text("priv/storage/pbs1.enc"));
    assert!(!marked.contains(&fingerprint.to_string()));
    for has_key in [false, true] {
        let pve = Pve::new();
        place(&pve.node, &Wanted { key: Some(&other), ..wanted(&wished) }).unwrap();
        pve.write("storage.cfg", marked.as_bytes());
        if has_key {
            pve.write("priv/storage/pbs1.enc", placed.as_bytes());
        }
        let done = place(&pve.node, &replacing).unwrap();
        assert_eq!((done.stanza, done.former_key.is_some()), (Put::Same, !has_key));
        assert_eq!(pve.text("priv/storage/pbs1.enc"), placed);
        pve.assert_tidy();
    }
}

#[test]
fn a_run_goes_on_where_one_before_it_was_cut_off() {
    let wished = storage("pbs1");
    // Each order in which files can be there: key, secret, stanza.
    for there in 0..8 {
        let pve = Pve::new();
        let has = |bit| there & bit != 0;
        if has(1) {
            put_key(&pve.node, &wished.id, &KEYS.plain).unwrap();
        }
        if has(2) {
            put_password(&pve.node, &wished.id, TOKEN).unwrap();
        }
        if has(4) {
            StorageCfg::edit(&pve.node, |storages| storages.add_pbs(&wished)).unwrap();
        }
        let done = place(&pve.node, &wanted(&wished)).unwrap();
        let put = |there| if there { Put::Same } else { Put::Written };
        assert_eq!((done.key, done.secret), (Some(put(has(1))), put(has(2))), "{there}");
        assert_eq!(done.stanza, Put::Written, "the key's mark at least was missing");
        let whole = place(&pve.node, &wanted(&wished)).unwrap();
        assert_eq!(whole, Placed { stanza: Put::Same, key: Some(Put::Same), former_key: None, secret: Put::Same });
        pve.assert_tidy();
    }
    let pve = Pve::new();
    let plain = place(&pve.node, &Wanted { key: None, ..wanted(&wished) }).unwrap();
    assert_eq!((plain.key, plain.stanza), (None, Put::Written));
    assert!(!pve.has("priv/storage/pbs1.enc") && !pve.text("storage.cfg").contains("encryption-key"));
}

#[test]
fn a_file_that_cannot_be_put_in_place_leaves_nothing_beside_it() {
    let pve = Pve::new();
    // A folder where the file should be: the rename fails after everything else went well.
    fs::create_dir_all(pve.node.file("priv/storage/pbs1.pw/inner")).unwrap();
    let before = pve.text("storage.cfg");
    let error = place(&pve.node, &wanted(&storage("pbs1"))).unwrap_err();
    assert!(matches!(error, PveError::Io { .. }), "{error:?}");
    assert_eq!(pve.text("storage.cfg"), before);
    pve.assert_tidy();
}

#[test]
fn killed_at_any_moment_the_file_is_the_old_or_the_new_one() {
    let pve = Pve::new();
    let whole = [FRESH.replace("local-lvm", "one"), FRESH.replace("local-lvm", "two")];
    let mut seen = [0; 2];
    for round in 0..24 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "pve_install::inner_replaces_for_ever", "--nocapture", "--test-threads=1"])
            .env("TENWORDS_PVE_INNER", pve.etc())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It says so when it is at work; from then on each round lets it do a little more.
        let mut out = child.stdout.take().unwrap();
        let mut said = vec![0; 4096];
        let mut count = 0;
        while count <= round {
            let got = out.read(&mut said).unwrap();
            assert!(got > 0, "it ended by itself");
            count += said[..got].iter().filter(|&&byte| byte == b'+').count();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let text = pve.text("storage.cfg");
        let which = whole.iter().position(|whole| *whole == text);
        seen[which.unwrap_or_else(|| panic!("neither: {text:?}"))] += 1;
        // pmxcfs ends a dead holder's lock; a folder does not.
        let _ = fs::remove_dir(pve.node.file("priv/lock/file-storage_cfg"));
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    assert!(StorageCfg::edit(&pve.node, |storages| storages.add_pbs(&storage("pbs1"))).unwrap());
    pve.assert_tidy();
}

/// Run by the test above, and killed.
#[test]
fn inner_replaces_for_ever() {
    let Some(etc) = std::env::var_os("TENWORDS_PVE_INNER") else { return };
    let node = node(Path::new("/nonexistent"), Path::new(&etc));
    for name in ["one", "two"].into_iter().cycle() {
        let text = FRESH.replace("local-lvm", name);
        StorageCfg::edit(&node, |storages| {
            *storages = StorageCfg::parse(text.as_bytes());
            Ok(true)
        })
        .unwrap();
        print!("+");
        std::io::Write::flush(&mut std::io::stdout()).unwrap();
    }
}
