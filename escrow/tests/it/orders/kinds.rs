//! Each kind of key: what may be pinned signs, and what may not does not.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tenwords_escrow::signers::{self, SignersError};
use tenwords_protocol::{
    operators::{OperatorList, Role, Signer},
    order,
};

use super::{
    security::{TOUCHED, VERIFIED},
    *,
};

fn golden(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/golden/orders/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Pinned as by a statement, which no reader of files has seen.
fn pinned(public: &str) -> OperatorList {
    let (kind, key) = public.split_once(' ').unwrap();
    let key = STANDARD.decode(key.split(' ').next().unwrap()).unwrap();
    OperatorList::new(vec![Signer::new([Role::Operational].into(), kind, key).unwrap()]).unwrap()
}

#[test]
fn each_kind_of_key_that_ssh_keygen_makes_lets_an_order_happen() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    for key in ["ed25519", "p256", "p384", "rsa"] {
        let armour = world.sign(key, NAMESPACE, GUEST);
        assert!(world.stock_takes(&world.public(key), NAMESPACE, GUEST, &armour), "{key}");
        for offered in [signed(GUEST, &armour), bare(&armour)] {
            let checked = judge(&offered, &[REPOINT, GUEST], &operators).unwrap_or_else(|why| panic!("{key}: {why}"));
            assert_eq!(checked.signer(), world.fingerprint(key));
            assert_eq!((checked.text(), checked.code()), (GUEST, order::code(GUEST)));
            assert_eq!(*checked.order(), Order::parse(GUEST).unwrap());
        }
    }
}

#[test]
fn a_key_in_ssh_agent_signs_too() {
    let Some(world) = World::get() else { return };
    let script = "ssh-add -q rsa && ssh-add -q ed25519 && ssh-keygen -Y sign -f $KEY.pub -n tenwords-order-v1";
    for key in ["ed25519", "rsa"] {
        // The agent lives as long as the shell under it.
        let script = script.replace("$KEY", key);
        let armour = world.tried("ssh-agent", &["/bin/sh", "-c", &script], GUEST).unwrap();
        assert_eq!(judge(&bare(&armour), &[GUEST], &world.operators()).unwrap().signer(), world.fingerprint(key));
    }
}

#[test]
fn a_security_key_signs_as_stock_ssh_keygen_has_it_and_must_be_touched() {
    let Some(world) = World::get() else { return };
    for index in 0..Security::KINDS.len() {
        let key = Security::of(world, index);
        let operators = signers::parse(format!("operational {}", key.public()).as_bytes()).unwrap();
        for flags in [TOUCHED, TOUCHED | VERIFIED, 0xff] {
            let armour = key.sign(NAMESPACE, GUEST, flags);
            assert!(world.stock_takes(&key.public(), NAMESPACE, GUEST, &armour), "{index} {flags}");
            for offered in [signed(GUEST, &armour), bare(&armour)] {
                let checked = judge(&offered, &[GUEST], &operators);
                assert!(checked.is_ok(), "{index} {flags}: {checked:?}");
            }
            let other = unsigned(&signed(REPOINT, &armour), &[REPOINT], &operators);
            assert!(matches!(other, SignatureRefusal::Text { .. }), "{other:?}");
        }
    }
}

/// Stock ssh-keygen takes these: nobody but us asks for the touch.
#[test]
fn s36_a_security_key_that_was_not_touched_is_refused() {
    let Some(world) = World::get() else { return };
    for index in 0..Security::KINDS.len() {
        let key = Security::of(world, index);
        for flags in [0, VERIFIED, 0xfe] {
            let armour = key.sign(NAMESPACE, GUEST, flags);
            assert!(world.stock_takes(&key.public(), NAMESPACE, GUEST, &armour));
            for offered in [signed(GUEST, &armour), bare(&armour)] {
                let why = unsigned(&offered, &[GUEST], &pinned(&key.public()));
                assert!(matches!(why, SignatureRefusal::Untouched { .. }), "{why:?}");
            }
        }
        // The flag is among what is signed, so it cannot be written in afterwards.
        let mut bytes = crafted::blob(&key.sign(NAMESPACE, GUEST, 0));
        let flags = bytes.len() - 5;
        bytes[flags] = TOUCHED;
        let why = unsigned(&signed(GUEST, &security::armour(&bytes)), &[GUEST], &pinned(&key.public()));
        assert!(matches!(why, SignatureRefusal::Text { .. }), "{why:?}");
    }
}

#[test]
fn rsa_of_4096_bits_is_the_largest_that_is_verified() {
    let operators = signers::parse(format!("operational {}", golden("rsa-4096.pub")).as_bytes()).unwrap();
    assert!(judge(&signed(REPOINT, &golden("rsa-4096.sig")), &[REPOINT], &operators).is_ok());
    let larger = golden("rsa-8192.pub");
    let file = format!("operational {larger}");
    assert!(matches!(signers::parse(file.as_bytes()), Err(SignersError::Key { line: 1, .. })));
    let why = unsigned(&signed(REPOINT, &golden("rsa-8192.sig")), &[REPOINT], &pinned(larger.trim()));
    assert!(matches!(why, SignatureRefusal::Kind { .. }), "{why:?}");
}

#[test]
fn s36_sha1_is_refused() {
    let operators = pinned(golden("rsa-sha1.pub").trim());
    let why = unsigned(&signed(REPOINT, &golden("rsa-sha1.sig")), &[REPOINT], &operators);
    assert_eq!(why, SignatureRefusal::Sha1);
}

#[test]
fn kinds_that_cannot_be_pinned_sign_nothing_where_a_statement_pinned_them() {
    let Some(world) = World::get() else { return };
    for key in ["p521", "rsa1024"] {
        assert!(signers::parse(format!("operational {}", world.public(key)).as_bytes()).is_err());
        let armour = world.sign(key, NAMESPACE, GUEST);
        let why = unsigned(&signed(GUEST, &armour), &[GUEST], &pinned(&world.public(key)));
        assert!(matches!(why, SignatureRefusal::Kind { .. }), "{why:?}");
    }
}
