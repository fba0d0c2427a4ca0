//! The root's text, as it lies inside `root.age`: two lines, each ended by LF.
//!
//! The first is the age identity, so that `head -n1` makes an identity file for stock age. The
//! second is one JSON object. Unknown fields, doubled keys, nulls and floats are refused, since a
//! sealed text that two readers could understand differently is not one text. Secrets go from the
//! typed values into one wiped buffer and back, without a copy between.

use std::{collections::BTreeMap, fmt, io::Write as _, num::NonZeroU64};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Visitor},
};
use tenwords_protocol::{directive::Name, hash::Sha256, id::BoxId, json, part::PartName, time::Timestamp, v1::V1};
use zeroize::Zeroizing;

use crate::{
    keys::{AgeIdentity, WordsKey},
    root::{AbsolutePath, CodeLabel, FileMode, FileSecret, Root, RootError, RootFacts, Secrets, Trust},
    secret::{FileBytes, SecretBuffer, TokenSecret},
};

/// Room for everything but the files.
const ROOM: usize = 64 << 10;

/// Writes the two lines.
pub(crate) fn write(root: &Root) -> Result<Zeroizing<Vec<u8>>, RootError> {
    let facts = root.facts();
    let files: usize = facts.secrets.files.iter().map(|file| file.data.len()).sum();
    let mut out = SecretBuffer::with_capacity(files * 4 / 3 + ROOM);
    let line = Written {
        v: V1,
        box_id: facts.box_id,
        box_name: &facts.box_name,
        code: facts.code,
        sequence: facts.sequence,
        made_at: facts.made_at,
        parts: facts.parts.iter().map(|(key, sha256)| (PartName::Key(*key), *sha256)).collect(),
        trust: &facts.trust,
        secrets: WrittenSecrets {
            tokens: facts.secrets.tokens.iter().map(|(id, token)| (id, token.expose_text())).collect(),
            files: facts.secrets.files.iter().map(WrittenFile::of).collect(),
        },
        words_key: Coded(facts.words_key.expose_seed()),
        box_key: facts.box_key.to_string(),
    };
    writeln!(out, "{}", *facts.identity.expose_line()).map_err(|_| RootError::Unwritable)?;
    serde_json::to_writer(&mut out, &line).map_err(|_| RootError::Unwritable)?;
    writeln!(out).map_err(|_| RootError::Unwritable)?;
    Ok(out.into_bytes())
}

/// Reads the two lines, and nothing but them.
pub(crate) fn read(text: &[u8]) -> Result<Root, RootError> {
    let lines = text.strip_suffix(b"\n").ok_or(RootError::Lines)?;
    let mut lines = lines.split(|b| *b == b'\n');
    let (Some(identity), Some(facts), None) = (lines.next(), lines.next(), lines.next()) else {
        return Err(RootError::Lines);
    };
    let identity = str::from_utf8(identity).ok().and_then(|line| AgeIdentity::parse(line).ok());
    let identity = identity.ok_or(RootError::Lines)?;
    let line: Read = json::from_slice(facts).map_err(RootError::Text)?;
    let parts = line.parts.into_iter().map(|(name, sha256)| match name {
        PartName::Key(key) => Ok((key, sha256)),
        PartName::Pins(_) | PartName::Root | PartName::Update(_) => {
            Err(RootError::Facts("the root lists a part that is no key"))
        }
    });
    let files = line.secrets.files.into_iter().map(|file| {
        Ok(FileSecret { path: file.path, mode: FileMode::new(file.mode)?, data: FileBytes::new(file.data.0) })
    });
    let tokens = line.secrets.tokens.into_iter().map(|(id, token)| {
        let token = TokenSecret::new(token.0).map_err(|_| RootError::Facts("a token secret is not one line"))?;
        Ok((id, token))
    });
    let facts = RootFacts {
        box_id: line.box_id,
        box_name: line.box_name,
        code: line.code,
        sequence: line.sequence,
        made_at: line.made_at,
        parts: parts.collect::<Result<_, RootError>>()?,
        trust: line.trust,
        secrets: Secrets {
            tokens: tokens.collect::<Result<_, RootError>>()?,
            files: files.collect::<Result<_, RootError>>()?,
        },
        words_key: WordsKey::from_seed(&line.words_key.0),
        box_key: line.box_key.parse().map_err(|_| RootError::Facts("the box key is no public key"))?,
        identity,
    };
    Root::checked(facts)
}

// === the written form ===

#[derive(Serialize)]
struct Written<'a> {
    v: V1,
    box_id: BoxId,
    box_name: &'a str,
    code: CodeLabel,
    sequence: NonZeroU64,
    made_at: Timestamp,
    parts: BTreeMap<PartName, Sha256>,
    trust: &'a Trust,
    secrets: WrittenSecrets<'a>,
    words_key: Coded<'a>,
    box_key: String,
}

#[derive(Serialize)]
struct WrittenSecrets<'a> {
    tokens: BTreeMap<&'a Name, &'a str>,
    files: Vec<WrittenFile<'a>>,
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    path: &'a AbsolutePath,
    mode: u32,
    data: Coded<'a>,
}

impl<'a> WrittenFile<'a> {
    fn of(file: &'a FileSecret) -> Self {
        Self { path: &file.path, mode: file.mode.bits(), data: Coded(file.data.expose_bytes()) }
    }
}

/// Bytes in padded base64, by way of a wiped buffer.
struct Coded<'a>(&'a [u8]);

impl Serialize for Coded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len().div_ceil(3) * 4));
        STANDARD.encode_string(self.0, &mut text);
        serializer.serialize_str(&text)
    }
}

// === the read form ===

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "v")]
    _v: V1,
    box_id: BoxId,
    box_name: String,
    code: CodeLabel,
    sequence: NonZeroU64,
    made_at: Timestamp,
    parts: BTreeMap<PartName, Sha256>,
    trust: Trust,
    secrets: ReadSecrets,
    words_key: SecretSeed,
    box_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadSecrets {
    tokens: BTreeMap<Name, SecretText>,
    files: Vec<ReadFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    path: AbsolutePath,
    mode: u32,
    data: SecretBase64,
}

pub(crate) struct SecretText(pub(crate) Zeroizing<String>);

struct SecretBase64(Zeroizing<Vec<u8>>);

struct SecretSeed(Zeroizing<[u8; 32]>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Take(|text: &str| Some(Self(Zeroizing::new(text.to_owned())))))
    }
}

impl<'de> Deserialize<'de> for SecretBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Take(|text: &str| {
            let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
            let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
            bytes.truncate(length);
            Some(Self(bytes))
        }))
    }
}

impl<'de> Deserialize<'de> for SecretSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SecretBase64(bytes) = SecretBase64::deserialize(deserializer)?;
        let mut seed = Zeroizing::new([0; 32]);
        if bytes.len() != seed.len() {
            return Err(D::Error::custom("a seed of 32 bytes was expected"));
        }
        seed.copy_from_slice(&bytes);
        Ok(Self(seed))
    }
}

/// Takes a secret text where it stands; its refusal does not repeat it.
struct Take<F>(F);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Take<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom("padded base64 was expected"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Written by hand (a Python script), not by this module; so is the check line.
    const GOLDEN: &str = include_str!("../tests/golden/root.txt");
    const CHECK_LINE: &str = "QSFH-XAE7-SSHK-HKY3";

    /// The same with the first source kept in PVE's storage.cfg, its check line by the same script.
    const STORAGE_CHECK_LINE: &str = "5HTH-D4QN-0E4H-WX6A";

    fn kept_in(what: &str) -> String {
        GOLDEN.replacen("\"},{\"id\":\"pbs-second\"", &format!("\",\"kept_in\":{what}}},{{\"id\":\"pbs-second\""), 1)
    }

    fn refusal(text: &str) -> String {
        let error = read(text.as_bytes()).unwrap_err();
        match &error {
            RootError::Text(source) => source.to_string(),
            other => other.to_string(),
        }
    }

    #[test]
    fn the_golden_text_is_read_and_written_byte_for_byte() {
        let root = read(GOLDEN.as_bytes()).unwrap();
        assert_eq!(*write(&root).unwrap(), GOLDEN.as_bytes());
        let facts = root.facts();
        assert_eq!(facts.box_name, "Bäckerei Müller, pve1");
        assert_eq!(facts.code.number.get(), 2);
        assert_eq!(facts.sequence.get(), 41);
        assert_eq!(facts.trust.sources[1].namespace, None);
        assert_eq!(facts.secrets.files[1].data.expose_bytes(), (0..=255).collect::<Vec<u8>>());
        assert_eq!(facts.secrets.files[1].mode.bits(), 0o600);
        assert_eq!(facts.secrets.tokens.values().next().unwrap().expose_text(), "e0c8f6a2-1b2c-4d3e-8f90-a1b2c3d4e5f6");
        assert!(GOLDEN.starts_with(facts.identity.expose_line().as_str()));
    }

    #[test]
    fn the_check_line_covers_the_trust_facts_and_the_box() {
        let line = |text: &str| read(text.as_bytes()).unwrap().check_line().unwrap().to_string();
        assert_eq!(line(GOLDEN), CHECK_LINE);
        for (from, to, same) in [
            ("pbs.example", "pbs.hostile", false),
            (
                "\"web-pki\"",
                "\"03:d6:6d:d0:88:35:c1:ca:3f:12:8c:ce:ac:d1:f3:1a:c9:41:63:09:6b:20:f4:45:ae:84:28:5b:c0:83:2d:72\"",
                false,
            ),
            ("\"generation\":1", "\"generation\":2", false),
            ("/srv/data", "/srv/date", false),
            ("3f2b8a52", "3f2b8a53", false),
            ("\"sequence\":41", "\"sequence\":42", true),
            ("e0c8f6a2-1b2c", "e0c8f6a2-1b2d", true),
        ] {
            assert_eq!(line(&GOLDEN.replace(from, to)) == CHECK_LINE, same, "{from}");
        }
    }

    #[test]
    fn a_storage_of_pve_says_so_and_another_source_says_nothing() {
        use crate::root::KeptIn;
        let text = kept_in("\"storage.cfg\"");
        let root = read(text.as_bytes()).unwrap();
        assert_eq!(*write(&root).unwrap(), text.as_bytes());
        let kept: Vec<KeptIn> = root.facts().trust.sources.iter().map(|source| source.kept_in).collect();
        assert_eq!(kept, [KeptIn::StorageCfg, KeptIn::Settings]);
        assert_eq!(root.check_line().unwrap().to_string(), STORAGE_CHECK_LINE);
        for other in ["\"agent.toml\"", "\"Settings\"", "\"\""] {
            assert!(refusal(&kept_in(other)).contains("a word that is not known"), "{other}");
        }
        assert!(refusal(&kept_in("null")).contains("a null"));
    }

    #[test]
    fn whatever_two_readers_could_read_differently_is_refused() {
        let signers = GOLDEN.find("\"operational ").unwrap()..GOLDEN.find("]},\"restore_paths\"").unwrap();
        let (first, second) = GOLDEN[signers.clone()].split_once(",\"operational,").unwrap();
        let mut wrong = Vec::new();
        let swapped = GOLDEN.replace(&GOLDEN[signers], &format!("\"operational,{second},{first}"));
        let sources = GOLDEN.find("{\"id\":\"pbs-main\"").unwrap()..GOLDEN.find("],\"operators\"").unwrap();
        let (one, two) = GOLDEN[sources.clone()].split_once("},{").unwrap();
        let unsorted = GOLDEN.replace(&GOLDEN[sources], &format!("{{{two},{one}}}"));
        for (text, reason) in [
            (GOLDEN.replace("{\"v\":1,", "{\"v\":2,"), "this is version 2"),
            (GOLDEN.replace("{\"v\":1,", "{"), "missing field `v`"),
            (GOLDEN.replace("{\"v\":1,", "{\"v\":1,\"v\":1,"), "stands twice"),
            (GOLDEN.replace("{\"v\":1,", "{\"v\":1,\"note\":1,"), "`note`"),
            (GOLDEN.replace("{\"v\":1,", "{\"v\":1.0,"), "not an integer"),
            (GOLDEN.replace("\"port\":8007", "\"port\":8007,\"path\":\"/x\""), "`path`"),
            (GOLDEN.replace("\"port\":8007", "\"port\":0"), "expected"),
            (GOLDEN.replace("\"port\":8007", "\"port\":65536"), "expected"),
            (GOLDEN.replace("\"namespace\":\"tenants/a\"", "\"namespace\":null"), "a null"),
            (GOLDEN.replace("\"namespace\":\"tenants/a\"", "\"namespace\":\"a/../b\""), "namespace"),
            (GOLDEN.replace("\"web-pki\"", "\"any\""), "fingerprint"),
            (GOLDEN.replace("backup@pbs", "backup"), "user@realm"),
            (GOLDEN.replace("2001:db8::7", "[2001:db8::7]"), "without brackets"),
            (GOLDEN.replace("pbs-second", "pbs-main"), "not sorted by id, or two have one id"),
            (unsorted, "not sorted by id, or two have one id"),
            (swapped, "not sorted"),
            (GOLDEN.replace("\"/srv/data\"", "\"/srv/../data\""), "absolute path"),
            (GOLDEN.replace("\"/srv/data\"", "\"srv/data\""), "absolute path"),
            (GOLDEN.replace("\"/srv/data\"", "\"/srv/data/\""), "absolute path"),
            (GOLDEN.replace("\"/srv/data\"", "\"/etc\""), "stands there twice"),
            (GOLDEN.replace("\"data.pxar\"", "\"etc.pxar\""), "stands there twice"),
            (GOLDEN.replace("\"data.pxar\"", "\"xdata.pxar\""), "not sorted"),
            (GOLDEN.replace("\"data.pxar\"", "\"../data.pxar\""), "a name of letters"),
            (GOLDEN.replace("{\"source\":\"pbs-main\"", "{\"source\":\"pbs-third\""), "belongs to no source"),
            (GOLDEN.replace("\"/etc/hosts\"", "\"/etc/wireguard/wg0.conf\""), "stands there twice"),
            (GOLDEN.replace("\"mode\":420", "\"mode\":4096"), "0o7777"),
            (GOLDEN.replace("\"pbs-main\":\"e0", "\"pbs-third\":\"e0"), "belongs to no source"),
            (GOLDEN.replace("a1b2c3d4e5f6\"}", "a1b2c3d4e5f6\\n\"}"), "not one line"),
            (
                GOLDEN
                    .replace("0NfY2drb3N3e3+Dh4uPk5ebn6Onq6+zt7u/w8fLz9PX29/j5+vv8/f7/\"", "\"")
                    .replace("/w==\"", "/w=\""),
                "base64",
            ),
            (GOLDEN.replace("cWfPglUYu00u59+K", "cWfPglUYu00u59+"), "base64"),
            (GOLDEN.replace("cWfPglUYu00u59+K/82fBzh0Aoanp0t5VQOGhrREJUM=", "AAAA"), "seed of 32 bytes"),
            (GOLDEN.replace("\"key/059b", "\"update/1\":\"00\",\"key/059b"), "64"),
            (GOLDEN.replace("\"key/059b33", "\"key/159b33"), "not among the parts"),
            (GOLDEN.replace("\"key/059b33ba", "\"../059b33ba"), "a part is named"),
            (GOLDEN.replace("NSS88GNML", "NSS88GNMP"), "identity line"),
            (GOLDEN.replace("AGE-SECRET-KEY", "age-secret-key"), "identity line"),
            (GOLDEN.replace("AGE-SECRET-KEY", "# x\nAGE-SECRET-KEY"), "identity line"),
            (GOLDEN.replace("NSS88GNML\n", "NSS88GNML\r\n"), "identity line"),
            (GOLDEN.replace("\"box_key\":\"ssh-ed25519 ", "\"box_key\":\"ssh-rsa "), "box key"),
            (GOLDEN.trim_end().to_owned(), "identity line"),
            (format!("{GOLDEN}\n"), "identity line"),
            (format!("{GOLDEN}{{}}\n"), "identity line"),
            (String::new(), "identity line"),
        ] {
            assert!(text != GOLDEN, "the case changes nothing: {reason}");
            let found = refusal(&text);
            if !found.contains(reason) {
                wrong.push(format!("{found:?}, and not {reason:?}"));
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn a_refusal_repeats_no_secret() {
        for text in [
            GOLDEN.replace("\"e0c8f6a2-1b2c-4d3e-8f90-a1b2c3d4e5f6\"", "[\"e0c8f6a2\"]"),
            GOLDEN.replace("\"words_key\":\"cWf", "\"words_key\":\"!cWf"),
            GOLDEN.replace("a1b2c3d4e5f6\"}", "a1b2c3d4e5f6"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            let said = format!("{} {error:?}", refusal(&text));
            for secret in ["e0c8f6a2", "cWfPglUY", "AGE-SECRET"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }
}
