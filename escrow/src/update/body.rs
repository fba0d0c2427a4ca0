//! The text inside an update's age file: one JSON object, unknown fields refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    directive::Name,
    fingerprint::Fingerprint,
    json::{self, JsonError},
    v1::V1,
};
use zeroize::Zeroizing;

use crate::{
    secret::{SecretBuffer, TokenSecret},
    text::SecretText,
};

/// Room for some keys and tokens.
const ROOM: usize = 16 << 10;

/// What was written, before any of it was looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    #[serde(rename = "v")]
    _v: V1,
    pub(super) keys: BTreeMap<Fingerprint, SecretText>,
    pub(super) tokens: BTreeMap<Name, SecretText>,
}

#[derive(Serialize)]
struct Written<'a> {
    v: V1,
    keys: BTreeMap<Fingerprint, &'a str>,
    tokens: BTreeMap<&'a Name, &'a str>,
}

pub(super) fn read(text: &[u8]) -> Result<Body, JsonError> {
    json::from_slice(text)
}

/// Writes it into one wiped buffer; nothing if a key file is not text, which none of PBS's is.
pub(super) fn write(
    keys: &BTreeMap<Fingerprint, Zeroizing<Vec<u8>>>,
    tokens: &BTreeMap<Name, TokenSecret>,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = SecretBuffer::with_capacity(ROOM);
    let written = Written {
        v: V1,
        keys: keys.iter().map(|(key, file)| Some((*key, str::from_utf8(file).ok()?))).collect::<Option<_>>()?,
        tokens: tokens.iter().map(|(id, token)| (id, token.expose_text())).collect(),
    };
    serde_json::to_writer(&mut out, &written).ok()?;
    Some(out.into_bytes())
}
