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

struct SecretText(Zeroizing<String>);

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
