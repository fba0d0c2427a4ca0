//! Whether an operator's signature counts, by a list of operator keys, until the text is asked for.
//!
//! The order of the checks is fixed: armour, namespace, hash algorithm, signer pinned by its key
//! material, plain key, a kind that is verified, touch of a FIDO2 key. Only then is anything verified, so
//! that nobody but a pinned key makes work. [`order`](crate::order) and [`pins`](crate::pins) go on from
//! there. OpenSSH's own list has options that widen what a key may do; ours has none.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ssh_key::{HashAlg, PublicKey};
use tenwords_protocol::{
    hash::Sha256,
    operators::{OperatorList, Role, Signer},
};
use thiserror::Error;

use crate::{
    signers,
    sshsig::wire::{Fields, Wire, normal},
};

/// How an RSA key says that it signed with SHA-1.
const RSA_SHA1: &str = "ssh-rsa";
/// Flag of a FIDO2 signature: somebody touched the key.
const TOUCHED: u8 = 1;

/// Why a signature does not count.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureRefusal {
    /// The text is not what ssh-keygen writes.
    #[error("the signature is not an SSHSIG as ssh-keygen writes it, or was damaged on its way")]
    Armour,
    /// Whoever signed showed a certificate.
    #[error(
        "the signature was made with a certificate of the key {signer}; here keys count, and not what others say of them"
    )]
    Certificate {
        /// The key inside it, as `ssh-keygen -l` prints it.
        signer: String,
    },
    /// Another hash than SHA-512.
    #[error("the signature is not over SHA-512")]
    Hash,
    /// The key is pinned, and of a kind whose signatures are not verified here.
    #[error("signatures of the key {signer} are not verified here: {reason}")]
    Kind {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
        /// Why not.
        reason: &'static str,
    },
    /// It was made for another purpose.
    #[error("the signature was made for `{found}`, not for `{expected}`")]
    Namespace {
        /// What it should have been made for.
        expected: &'static str,
        /// What it says; cut, if somebody wrote a story there.
        found: String,
    },
    /// The key is not among those that this box pins.
    #[error("the key {signer} is not among the operator keys that this box pins")]
    NotPinned {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
    },
    /// An RSA signature over SHA-1.
    #[error("the RSA signature is over SHA-1, which others can forge")]
    Sha1,
    /// It is over another text, or was changed.
    #[error("the signature of the key {signer} does not hold for this text")]
    Text {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
    },
    /// A FIDO2 key signed without being touched: whoever has the computer can do that.
    #[error("the security key {signer} signed without being touched")]
    Untouched {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
    },
}

/// A signature in which everything is right but what it is over.
#[derive(Debug)]
pub(crate) struct Judged<'l> {
    wire: Wire,
    signer: &'l Signer,
}

/// Checks everything that can be known without the text.
pub(crate) fn judge<'l>(
    armour: &str,
    namespace: &'static str,
    operators: &'l OperatorList,
) -> Result<Judged<'l>, SignatureRefusal> {
    let wire = Wire::read(&normal(armour)).ok_or(SignatureRefusal::Armour)?;
    if wire.namespace != namespace {
        return Err(SignatureRefusal::Namespace { expected: namespace, found: shown(&wire.namespace) });
    }
    if wire.hash != HashAlg::Sha512 {
        return Err(SignatureRefusal::Hash);
    }
    if wire.algorithm == RSA_SHA1 {
        return Err(SignatureRefusal::Sha1);
    }
    let certified = certified_key(&wire.key);
    let material = certified.as_deref().unwrap_or(&wire.key);
    let name = fingerprint(material);
    let Some(signer) = operators.signers().iter().find(|signer| signer.key() == material) else {
        return Err(SignatureRefusal::NotPinned { signer: name });
    };
    if certified.is_some() {
        return Err(SignatureRefusal::Certificate { signer: name });
    }
    // What is pinned by a statement was seen by no reader of ours before.
    let key = PublicKey::from_bytes(material).map_err(|_| "the key cannot be read");
    if let Err(reason) = key.and_then(|key| signers::acceptable(key.key_data())) {
        return Err(SignatureRefusal::Kind { signer: name, reason });
    }
    if signer.key_type().starts_with("sk-") && wire.flags().is_none_or(|flags| flags & TOUCHED == 0) {
        return Err(SignatureRefusal::Untouched { signer: name });
    }
    Ok(Judged { wire, signer })
}

impl Judged<'_> {
    /// Whether it is over these bytes.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        self.wire.holds(bytes)
    }

    /// Whether its key may sign such a thing.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.signer.roles().contains(&role)
    }

    /// The key, as `ssh-keygen -l` prints it.
    pub(crate) fn signer(&self) -> String {
        fingerprint(self.signer.key())
    }
}

impl SignatureRefusal {
    /// What a person can do now.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Armour => {
                "give the whole signature, from the line BEGIN SSH SIGNATURE to the line END SSH SIGNATURE, or the file itself"
            }
            Self::Certificate { .. } => {
                "sign with the key itself: name the plain key file to ssh-keygen, and not the one that ends in `-cert.pub`"
            }
            Self::Hash => "sign again without `-O hashalg`; ssh-keygen takes SHA-512 by itself",
            Self::Kind { .. } => "sign with another key that the box pins",
            Self::Namespace { .. } => {
                "sign again with `tenwords`, or with `ssh-keygen -Y sign -n` and the second of these names"
            }
            Self::NotPinned { .. } => {
                "sign with a key that the box pins, or let a holder of a recovery key pin this one (`tenwords pins`)"
            }
            Self::Sha1 => "sign again with an OpenSSH of 2019 or later, which signs with SHA-2",
            Self::Text { .. } => "fetch the text once more as the box wrote it, and sign exactly that file",
            Self::Untouched { .. } => {
                "sign again and touch the key when it blinks; a key made with `-O no-touch-required` cannot be used here"
            }
        }
    }
}

/// The plain key inside a certificate, by which it would be pinned.
fn certified_key(blob: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields(blob);
    let kind = str::from_utf8(fields.string()?).ok()?;
    let plain = kind.replacen("-cert-v01", "", 1);
    if plain == kind {
        return None;
    }
    // Certificates of keys that are no security keys name a type that OpenSSH alone has.
    let plain = if plain.starts_with("sk-") { plain.as_str() } else { plain.trim_end_matches("@openssh.com") };
    let count = match plain {
        "ssh-ed25519" => 1,
        "ssh-rsa" | "sk-ssh-ed25519@openssh.com" => 2,
        "sk-ecdsa-sha2-nistp256@openssh.com" => 3,
        ecdsa if ecdsa.starts_with("ecdsa-sha2-") => 2,
        _ => 0,
    };
    let _nonce = fields.string()?;
    let mut key = field(plain.as_bytes())?;
    for _ in 0..count {
        key.extend(field(fields.string()?)?);
    }
    Some(key)
}

fn field(bytes: &[u8]) -> Option<Vec<u8>> {
    Some([&u32::try_from(bytes.len()).ok()?.to_be_bytes(), bytes].concat())
}

fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::of(key).as_bytes()))
}

/// A name from outside that goes before a person's eyes.
fn shown(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(40).collect()
}
