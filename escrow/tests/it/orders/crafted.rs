//! Signatures that are spelled well and put together wrong: what ssh-keygen would not write.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};
use ssh_key::PrivateKey;

use super::{
    security::{TOUCHED, armour, raw, wire},
    *,
};

/// The bytes inside an armour.
pub(crate) fn blob(armour: &str) -> Vec<u8> {
    let lines: String = armour.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(lines).unwrap()
}

/// The parts of an SSHSIG by the key `ed25519`.
struct Parts {
    version: u32,
    namespace: &'static [u8],
    reserved: &'static [u8],
    hash: &'static [u8],
    algorithm: &'static [u8],
    behind_signature: &'static [u8],
    behind: &'static [u8],
}

const GOOD: Parts = Parts {
    version: 1,
    namespace: NAMESPACE.as_bytes(),
    reserved: b"",
    hash: b"sha512",
    algorithm: b"ssh-ed25519",
    behind_signature: b"",
    behind: b"",
};

impl Parts {
    /// The signature holds, whatever the parts say.
    fn signed(&self, world: &World) -> String {
        let private = PrivateKey::from_openssh(world.tried("cat", &["ed25519"], b"").unwrap()).unwrap();
        let head = [wire(self.namespace), wire(self.reserved), wire(self.hash)].concat();
        let made = raw(&private, &[b"SSHSIG".as_slice(), &head, &wire(&Sha512::digest(GUEST))].concat());
        let signature = [wire(self.algorithm), wire(&made), self.behind_signature.to_vec()].concat();
        let key = private.public_key().to_bytes().unwrap();
        let whole =
            [b"SSHSIG".as_slice(), &self.version.to_be_bytes(), &wire(&key), &head, &wire(&signature), self.behind];
        armour(&whole.concat())
    }
}

#[test]
fn a_signature_has_one_form() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    assert!(judge(&signed(GUEST, &GOOD.signed(world)), &[GUEST], &operators).is_ok());
    for (parts, what) in [
        (Parts { version: 0, ..GOOD }, "Armour"),
        (Parts { version: 2, ..GOOD }, "Armour"),
        (Parts { namespace: b"", ..GOOD }, "Armour"),
        (Parts { namespace: b"\xff", ..GOOD }, "Armour"),
        (Parts { namespace: b"tenwords-order-v1\0", ..GOOD }, "Namespace"),
        (Parts { reserved: b"x", ..GOOD }, "Armour"),
        (Parts { hash: b"sha1", ..GOOD }, "Armour"),
        (Parts { hash: b"SHA512", ..GOOD }, "Armour"),
        (Parts { hash: b"sha256", ..GOOD }, "Hash"),
        (Parts { algorithm: b"sk-ssh-ed25519@openssh.com", ..GOOD }, "Armour"),
        (Parts { algorithm: b"sk-ssh-ed25519@openssh.com", behind_signature: &[TOUCHED, 0, 0, 0, 1], ..GOOD }, "Text"),
        (Parts { algorithm: b"rsa-sha2-512", ..GOOD }, "Text"),
        (Parts { algorithm: b"ssh-rsa", ..GOOD }, "Sha1"),
        (Parts { algorithm: b"", ..GOOD }, "Text"),
        (Parts { behind_signature: b"x", ..GOOD }, "Armour"),
        (Parts { behind_signature: &[TOUCHED, 0, 0, 0, 1], ..GOOD }, "Armour"),
        (Parts { behind: b"x", ..GOOD }, "Armour"),
    ] {
        let why = unsigned(&signed(GUEST, &parts.signed(world)), &[GUEST], &operators);
        assert!(format!("{why:?}").starts_with(what), "{why:?} instead of {what}");
    }
}

/// The damage of which the armour says nothing: the bytes inside, changed and spelled well again.
#[test]
fn s36_a_signature_changed_in_any_byte_is_refused() {
    let Some(world) = World::get() else { return };
    let security = [Security::of(world, 0), Security::of(world, 1)];
    let mut lines: String = security.iter().map(|key| format!("operational {}\n", key.public())).collect();
    lines.push_str(&world.operators().to_text());
    let operators = tenwords_escrow::signers::parse(lines.as_bytes()).unwrap();
    let mut armours = security.map(|key| key.sign(NAMESPACE, GUEST, TOUCHED)).to_vec();
    armours.extend(["ed25519", "p256", "rsa"].map(|key| world.sign(key, NAMESPACE, GUEST)));
    for whole in armours {
        let bytes = blob(&whole);
        assert!(judge(&signed(GUEST, &armour(&bytes)), &[GUEST], &operators).is_ok());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(judge(&signed(GUEST, &armour(&changed)), &[GUEST], &operators).is_err(), "byte {at} of {whole}");
            assert!(judge(&signed(GUEST, &armour(&bytes[..at])), &[GUEST], &operators).is_err(), "cut at {at}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_is_offered_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        lengths in prop::collection::vec(0_u32..40, 1..8),
    ) {
        let operators = OperatorList::default();
        let fields: Vec<u8> = lengths.iter().flat_map(|length| [&length.to_be_bytes()[..], &bytes].concat()).collect();
        for inner in [bytes.clone(), fields] {
            let text = armour(&[b"SSHSIG\0\0\0\x01".as_slice(), &inner].concat());
            for file in [text.as_bytes(), &inner] {
                if let Ok(offered) = Offered::parse(file) {
                    prop_assert!(judge(&offered, &[GUEST], &operators).is_err());
                }
            }
        }
    }
}
