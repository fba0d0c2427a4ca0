//! An SSHSIG taken apart, in the one spelling that ssh-keygen writes.
//!
//! The text is armoured again and compared, since base64 and the armour leave room for more than one
//! text; every field is read to its end, since what stands behind one would be signed by nobody. The
//! version and the reserved field are not among what an SSHSIG signs, so both have their one value.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ssh_key::{Algorithm, HashAlg, PublicKey, Signature, SshSig};
use tenwords_protocol::order::{MAX_SIGNATURE_BYTES, SIGNATURE_BEGIN, SIGNATURE_END};

/// Characters of a line between them.
const WIDTH: usize = 70;
/// What a FIDO2 signature has behind it: a byte of flags and a counter.
const FIDO: usize = 5;

/// What stands in a signature.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The key that says it made it, or a certificate, in OpenSSH's wire form.
    pub(crate) key: Vec<u8>,
    /// What it was made for.
    pub(crate) namespace: String,
    /// The hash of the text that it is over.
    pub(crate) hash: HashAlg,
    /// How it was made: `ssh-ed25519`, `rsa-sha2-512`.
    pub(crate) algorithm: String,
    /// The signature itself, with flags and counter if it is of a FIDO2 key.
    signature: Vec<u8>,
}

/// The armour with the line ends and surrounding empty lines that ssh-keygen writes: what is copied
/// from a terminal or sent through mail loses them, and they say nothing.
pub(crate) fn normal(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    format!("{}\n", text.trim_matches('\n'))
}

impl Wire {
    /// Takes a text apart that ssh-keygen could have written.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_SIGNATURE_BYTES {
            return None;
        }
        let lines = text.strip_prefix(SIGNATURE_BEGIN)?.strip_prefix('\n')?;
        let lines = lines.strip_suffix('\n')?.strip_suffix(SIGNATURE_END)?.strip_suffix('\n')?;
        let blob = STANDARD.decode(lines.replace('\n', "")).ok().filter(|blob| armour(blob) == text)?;
        let mut fields = Fields(blob.strip_prefix(b"SSHSIG")?.strip_prefix(&1_u32.to_be_bytes())?);
        let key = fields.string()?.to_vec();
        let namespace = fields.text()?;
        let reserved = fields.string()?;
        let hash = fields.text()?.parse().ok()?;
        let mut inner = Fields(fields.string()?);
        let algorithm = inner.text()?;
        let behind = if algorithm.starts_with("sk-") { FIDO } else { 0 };
        let signature = [inner.string()?, inner.0].concat();
        let whole = fields.0.is_empty() && inner.0.len() == behind && reserved.is_empty() && !namespace.is_empty();
        whole.then_some(Self { key, namespace, hash, algorithm, signature })
    }

    /// What a FIDO2 key says of how it was used; nothing for other keys.
    pub(crate) fn flags(&self) -> Option<u8> {
        let flags = self.signature.len().checked_sub(FIDO)?;
        self.algorithm.starts_with("sk-").then(|| self.signature[flags])
    }

    /// Whether that key made it over these bytes, for what it says and with the hash that it says.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        self.verified(bytes).is_ok()
    }

    fn verified(&self, bytes: &[u8]) -> ssh_key::Result<()> {
        let key = PublicKey::from_bytes(&self.key)?;
        let algorithm: Algorithm = self.algorithm.parse()?;
        let fits = match &algorithm {
            Algorithm::Rsa { hash } => hash.is_some() && matches!(key.algorithm(), Algorithm::Rsa { .. }),
            other => *other == key.algorithm(),
        };
        if !fits {
            return Err(ssh_key::Error::AlgorithmUnknown);
        }
        let signature = Signature::new(algorithm, self.signature.clone())?;
        let whole = SshSig::new(key.key_data().clone(), self.namespace.as_str(), self.hash, signature)?;
        key.verify(&self.namespace, bytes, &whole)
    }
}

/// Fields of OpenSSH's wire form, from the first on.
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

impl<'b> Fields<'b> {
    /// The next field with a length before it.
    pub(crate) fn string(&mut self) -> Option<&'b [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.string()?.to_vec()).ok()
    }
}

fn armour(blob: &[u8]) -> String {
    let text = STANDARD.encode(blob);
    let lines: Vec<&str> = text.as_bytes().chunks(WIDTH).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("{SIGNATURE_BEGIN}\n{}\n{SIGNATURE_END}\n", lines.join("\n"))
}
