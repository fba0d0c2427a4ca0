//! S32 and S65: a hub that serves something else than what the box stored.

use pbs_format::key::KeyFile;
use tenwords_escrow::{
    code::RecoveryCode,
    door::{DoorError, KeyPart},
    open::{self, OpenError, Parts},
    verify::KeyOpener,
};
use tenwords_protocol::part::PartName;

use crate::support::{
    ESCROW, Faithful, GOLDEN_PART, NoClient, OTHER_BOX, box_id, ceremony, golden_code, golden_fingerprint, golden_name,
    key, other_code, parts, wrapped,
};

/// In the client's place: nothing hostile may come this far.
struct Untouched;

impl KeyOpener for Untouched {
    type Error = NoClient;

    fn open_copy(&self, part: &KeyPart, _: &RecoveryCode) -> Result<pbs_format::key::EncryptionKey, NoClient> {
        panic!("a tool saw {part:?}");
    }
}

fn refusal(parts: &Parts) -> OpenError {
    open::open_ceremony(parts, box_id(), &golden_code(), &Untouched).unwrap_err()
}

#[test]
fn s32_a_planted_key_is_refused_at_the_door_or_by_the_roots_hashes() {
    let planted = key("the hub's own");
    let name = PartName::Key(planted.fingerprint());
    let plain = KeyFile::plain(&planted, 0, 0).to_json().to_vec();
    let mut with_plain = parts();
    with_plain.insert(name, plain.clone());
    assert!(matches!(refusal(&with_plain), OpenError::Extra { name: n } if n == name), "not in the root at all");

    // In the place of ours: `kdf: null` opens with any code.
    let mut in_place = parts();
    in_place.insert(golden_name(), plain);
    assert!(matches!(refusal(&in_place), OpenError::Door { source: DoorError::Kdf { found: "nothing" }, .. }));

    // Under a code of the hub's own, and claiming our fingerprint.
    let theirs = String::from_utf8(wrapped(&planted, &other_code())).unwrap();
    let lying = theirs.replace(&planted.fingerprint().to_string(), &golden_fingerprint().to_string());
    assert_ne!(lying, theirs);
    let mut lies = parts();
    lies.insert(golden_name(), lying.into_bytes());
    assert!(matches!(refusal(&lies), OpenError::Hash { name: n } if n == golden_name()));

    // Its own fingerprint under our name.
    let mut named = parts();
    named.insert(golden_name(), theirs.into_bytes());
    assert!(matches!(refusal(&named), OpenError::Door { source: DoorError::Name { .. }, .. }));
}

#[test]
fn s32_a_planted_root_does_not_open() {
    let theirs = ceremony(box_id(), &other_code(), &[&wrapped(&key("the hub's own"), &other_code())]);
    assert!(refusal(theirs.bundle().parts()).is_wrong_words());
    let mut mixed = parts();
    mixed.insert(PartName::Root, theirs.bundle().parts()[&PartName::Root].clone());
    assert!(refusal(&mixed).is_wrong_words());
}

#[test]
fn s65_an_old_root_with_a_newer_key_part_is_refused() {
    let code = golden_code();
    // The same key, wrapped again at a later ceremony: it opens, and is not the root's part.
    let newer =
        wrapped(&KeyFile::parse(GOLDEN_PART).unwrap().open(Some(code.expose_passphrase().as_bytes())).unwrap(), &code);
    let mut old_root = parts();
    old_root.insert(golden_name(), newer);
    assert!(matches!(refusal(&old_root), OpenError::Hash { name } if name == golden_name()));
}

#[test]
fn s65_parts_of_two_ceremonies_are_refused() {
    let code = golden_code();
    let second = ceremony(box_id(), &code, &[GOLDEN_PART]);
    let mut root_of_second = parts();
    root_of_second.insert(PartName::Root, second.bundle().parts()[&PartName::Root].clone());
    assert!(matches!(refusal(&root_of_second), OpenError::Extra { .. }), "a part more than its root lists");
    let mut root_of_first = second.bundle().parts().clone();
    root_of_first.insert(PartName::Root, parts()[&PartName::Root].clone());
    assert!(matches!(refusal(&root_of_first), OpenError::Missing { .. }), "a part less than its root lists");
}

#[test]
fn s65_another_boxs_escrow_under_the_same_words_is_refused() {
    let code = golden_code();
    let theirs = ceremony(OTHER_BOX.parse().unwrap(), &code, &[GOLDEN_PART]);
    match refusal(theirs.bundle().parts()) {
        OpenError::BoxId { expected, found } => {
            assert_eq!((expected, found.to_string().as_str()), (box_id(), OTHER_BOX));
        }
        other => panic!("{other:?}"),
    }
    assert!(open::open_ceremony(theirs.bundle().parts(), OTHER_BOX.parse().unwrap(), &code, &Faithful).is_ok());
}

#[test]
fn s65_missing_foreign_and_flipped_parts_are_refused() {
    let mut none = parts();
    none.remove(&PartName::Root);
    assert!(matches!(refusal(&none), OpenError::Missing { name: PartName::Root }));
    let mut cut = parts();
    cut.remove(&golden_name());
    assert!(matches!(refusal(&cut), OpenError::Missing { name } if name == golden_name()));
    for foreign in ["update/1", "pins/1"] {
        let name: PartName = foreign.parse().unwrap();
        let mut more = parts();
        more.insert(name, b"{}".to_vec());
        assert!(matches!(refusal(&more), OpenError::Extra { name: n } if n == name), "{foreign}");
    }
    // Every byte of a key part, by the hash in the root. (Every byte of the root: in `seal`.)
    let opened = open::open_ceremony(&parts(), box_id(), &golden_code(), &Faithful).unwrap();
    let listed = opened.root().facts().parts[&golden_fingerprint()];
    for at in 0..GOLDEN_PART.len() {
        let mut flipped = GOLDEN_PART.to_vec();
        flipped[at] ^= 1;
        assert_ne!(tenwords_protocol::hash::Sha256::of(&flipped), listed);
    }
    // The whole path with its derivation, for a byte of each field.
    for field in ["\"n\":", "\"salt\":\"", "\"created\":\"2", "\"modified\":\"2", "\"data\":\"", "\"fingerprint\":\""] {
        let text = String::from_utf8(GOLDEN_PART.to_vec()).unwrap();
        let mut flipped = parts();
        flipped.get_mut(&golden_name()).unwrap()[text.find(field).unwrap() + field.len()] ^= 1;
        assert!(matches!(refusal(&flipped), OpenError::Door { .. } | OpenError::Hash { .. }), "{field}");
    }
    for at in [0, 25, 33, 60, 110, 160, 230, ESCROW.bundle().parts()[&PartName::Root].len() - 1] {
        let mut flipped = parts();
        flipped.get_mut(&PartName::Root).unwrap()[at] ^= 1;
        assert!(matches!(refusal(&flipped), OpenError::Door { .. } | OpenError::Root(_)), "{at}");
    }
}

#[test]
fn a_wrong_code_yields_nothing() {
    let error = open::open_ceremony(&parts(), box_id(), &other_code(), &Untouched).unwrap_err();
    assert!(error.is_wrong_words() && error.is_before_opening());
    assert_eq!(crate::support::chain(&error), "the root is not opened: these words do not open this root");
}
