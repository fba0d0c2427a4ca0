//! SSHSIG, as far as it says who signed and for what. Whether a signature is a good one is found out by
//! `ssh-keygen` ([`crate::sshkeygen`]), and whether it counts only by the box.

use tenwords_protocol::{
    bytes::{Base64, Base64Array},
    hash::Sha256,
    order::{MAX_SIGNATURE_BYTES, SIGNATURE_BEGIN, SIGNATURE_END},
};

use crate::failure::Failure;

/// An armoured signature of the namespace that was asked for, by a plain key, over a SHA-512.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Armour {
    text: String,
    key: Vec<u8>,
}

impl Armour {
    pub(crate) fn parse(text: &[u8], namespace: &str) -> Result<Self, Failure> {
        let refused = |why: &str| {
            let remedy = format!("a signature is made by: ssh-keygen -Y sign -n {namespace} -f KEY FILE");
            Failure::usage("signature", format!("that is no signature that a box could take: {why}"), remedy)
        };
        let text = str::from_utf8(text).ok().filter(|text| text.len() <= MAX_SIGNATURE_BYTES);
        let text = text.ok_or_else(|| refused("it is not a text of at most 8 KiB"))?;
        let body = text.trim_end().strip_prefix(SIGNATURE_BEGIN).and_then(|rest| rest.strip_suffix(SIGNATURE_END));
        let body: String =
            body.ok_or_else(|| refused("it has not the first and last line of one"))?.split('\n').collect();
        let Base64(blob) = serde_json::from_value(serde_json::Value::String(body))
            .map_err(|_| refused("what stands between the first and last line is damaged"))?;
        let parts = parts(&blob).ok_or_else(|| refused("what stands between the first and last line is damaged"))?;
        if parts.namespace != namespace.as_bytes() {
            let of = crate::show::clean(&String::from_utf8_lossy(parts.namespace));
            return Err(refused(&format!("it was made for {of:?}, and not for {namespace:?}")));
        }
        if parts.hash != b"sha512" {
            return Err(refused("it is not over a SHA-512"));
        }
        let key_type = field(parts.key).map(|(key_type, _)| String::from_utf8_lossy(key_type));
        match key_type {
            Some(of) if of.contains("-cert-") => {
                Err(refused("it was made with a certificate, and a box knows keys only"))
            }
            Some(_) => Ok(Self { text: text.to_owned(), key: parts.key.to_vec() }),
            None => Err(refused("it names no key")),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The key that it says made it, in OpenSSH's wire form.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

struct Parts<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    hash: &'a [u8],
}

fn parts(blob: &[u8]) -> Option<Parts<'_>> {
    let rest = blob.strip_prefix(b"SSHSIG\0\0\0\x01")?;
    let (key, rest) = field(rest)?;
    let (namespace, rest) = field(rest)?;
    let (_reserved, rest) = field(rest)?;
    let (hash, rest) = field(rest)?;
    let (_signature, rest) = field(rest)?;
    rest.is_empty().then_some(Parts { key, namespace, hash })
}

/// A text with its length before it, and what follows.
pub(crate) fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// A key's fingerprint as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", Base64Array(*Sha256::of(key).as_bytes()).to_string().trim_end_matches('='))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn blob(key: &[u8], namespace: &[u8], hash: &[u8]) -> Vec<u8> {
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [key, namespace, b"", hash, b"signature"] {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(part);
        }
        blob
    }

    fn armour(blob: Vec<u8>) -> String {
        let body = serde_json::to_value(Base64(blob)).unwrap();
        format!("{SIGNATURE_BEGIN}\n{}\n{SIGNATURE_END}\n", body.as_str().unwrap())
    }

    #[test]
    fn a_signature_for_something_else_or_by_a_certificate_is_named() {
        let (plain, certificate) = (b"\0\0\0\x0bssh-ed25519key".as_slice(), b"\0\0\0\x0fx-cert-v01@ossh".as_slice());
        let good = armour(blob(plain, b"n", b"sha512"));
        assert_eq!(Armour::parse(good.as_bytes(), "n").unwrap().key(), plain);
        for (bad, why) in [
            (armour(blob(plain, b"git", b"sha512")), "made for \\\"git\\\""),
            (armour(blob(plain, b"n", b"sha256")), "SHA-512"),
            (armour(blob(certificate, b"n", b"sha512")), "certificate"),
            (armour(blob(b"", b"n", b"sha512")), "no key"),
            (armour([blob(plain, b"n", b"sha512"), vec![0]].concat()), "damaged"),
            (armour(b"SSHSIG\0\0\0\x01\xff\xff\xff\xff".to_vec()), "damaged"),
            (good.replace("SSH SIGNATURE", "PGP SIGNATURE"), "first and last line"),
            ("x".repeat(9000), "8 KiB"),
        ] {
            let failure = format!("{:?}", Armour::parse(bad.as_bytes(), "n").unwrap_err());
            assert!(failure.contains(why), "{why}: {failure}");
        }
    }
}
