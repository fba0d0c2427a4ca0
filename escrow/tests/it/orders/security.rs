//! FIDO2 keys in software: the bytes that a real one makes, by OpenSSH's PROTOCOL.u2f.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, Sha512};
use ssh_key::{PrivateKey, SigningKey, public::KeyData};

use super::world::World;

/// A key for `ssh:`.
pub(crate) struct Security {
    kind: &'static str,
    private: PrivateKey,
}

/// How it is used: its flags and counter.
pub(crate) const TOUCHED: u8 = 1;
pub(crate) const VERIFIED: u8 = 4;

impl Security {
    pub(crate) const KINDS: [(&'static str, &'static str); 2] =
        [("third", "sk-ssh-ed25519@openssh.com"), ("p256", "sk-ecdsa-sha2-nistp256@openssh.com")];

    /// Of the kind at this place of [`Self::KINDS`]. Inside is a key of ssh-keygen.
    pub(crate) fn of(world: &World, index: usize) -> Self {
        let (name, kind) = Self::KINDS[index];
        let text = world.tried("cat", &[name], b"").unwrap();
        Self { kind, private: PrivateKey::from_openssh(text).unwrap() }
    }

    fn blob(&self) -> Vec<u8> {
        let key = match self.private.public_key().key_data() {
            KeyData::Ed25519(key) => wire(&key.0),
            KeyData::Ecdsa(key) => [wire(b"nistp256"), wire(key.as_sec1_bytes())].concat(),
            other => panic!("{other:?}"),
        };
        [wire(self.kind.as_bytes()), key, wire(b"ssh:")].concat()
    }

    /// Type and base64.
    pub(crate) fn public(&self) -> String {
        format!("{} {}", self.kind, STANDARD.encode(self.blob()))
    }

    pub(crate) fn sign(&self, namespace: &str, text: &[u8], flags: u8) -> String {
        let head = [wire(namespace.as_bytes()), wire(b""), wire(b"sha512")].concat();
        let message = [b"SSHSIG".as_slice(), &head, &wire(&Sha512::digest(text))].concat();
        let trailer = [&[flags][..], &7_u32.to_be_bytes()].concat();
        let asked = [&Sha256::digest(b"ssh:")[..], &trailer, &Sha256::digest(&message)].concat();
        let made = raw(&self.private, &asked);
        let signature = [wire(self.kind.as_bytes()), wire(&made), trailer].concat();
        let blob = [b"SSHSIG".as_slice(), &1_u32.to_be_bytes(), &wire(&self.blob()), &head, &wire(&signature)];
        armour(&blob.concat())
    }
}

/// The trait that signs comes with the bound, and is exported by nobody.
pub(crate) fn raw<K: SigningKey>(key: &K, message: &[u8]) -> Vec<u8> {
    key.sign(message).as_bytes().to_vec()
}

pub(crate) fn wire(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

pub(crate) fn armour(blob: &[u8]) -> String {
    let text = STANDARD.encode(blob);
    let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}
