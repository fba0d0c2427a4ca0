//! The list of operator keys that a box pins: public keys with their roles.

use std::{collections::BTreeSet, fmt, num::NonZeroU64, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::{
    bytes::Base64,
    code16::{self, Code16, code16},
    hash::Sha256,
    json,
    time::Timestamp,
    v1::V1,
};

/// The SSHSIG namespace of a signature over a pins statement.
pub const NAMESPACE: &str = "tenwords-pins-v1";
/// Bytes of a statement's text, at most: some fifty RSA keys, or three hundred of Ed25519.
pub const MAX_STATEMENT_BYTES: usize = 40 << 10;

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Orders.
    Operational,
    /// A change of this list.
    Recovery,
}

/// One line of the list: `<role>[,<role>] <keytype> <base64>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    roles: BTreeSet<Role>,
    key_type: String,
    key: Vec<u8>,
}

/// The whole list, sorted by line; possibly empty (then nothing destructive can be ordered).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorList(Vec<Signer>);

/// The statement inside `pins/<generation>`: a new list for every box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinsStatement {
    /// Always 1.
    pub v: V1,
    /// The new list's generation.
    pub generation: NonZeroU64,
    /// The hash of the list that it replaces.
    pub replaces: Sha256,
    /// The new list, a line each.
    pub signers: OperatorList,
    /// When it was made.
    pub made_at: Timestamp,
}

/// The part `pins/<generation>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Always 1.
    pub v: V1,
    /// The exact bytes of the statement.
    pub statement: Base64,
    /// SSHSIG armour over them, namespace `tenwords-pins-v1`.
    pub signature: String,
}

/// Why a text is no pins statement.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinsError {
    /// It cannot be read as one.
    #[error("the text is no pins statement: {0}")]
    Shape(String),
    /// It reads like one, and is not spelled as one is written.
    #[error("the text is not spelled as a pins statement is written; not a byte of it may be changed")]
    Spelling,
    /// Longer than one can be.
    #[error("a pins statement has at most {MAX_STATEMENT_BYTES} bytes")]
    TooLong,
}

/// Why a line is not one of the list.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorListError {
    /// The key's base64, or the type inside it, is wrong.
    #[error("the key is not an OpenSSH public key of the type that the line names")]
    Key,
    /// Not three fields, one blank between them.
    #[error("an operator's line is `<role>[,<role>] <keytype> <base64>`")]
    Line,
    /// The lines are not sorted, or a key stands there twice.
    #[error("the operators' lines are not sorted, or one key stands there twice")]
    Order,
    /// A role that does not exist.
    #[error("an operator's role is `operational` or `recovery`")]
    Role,
}

// === impl Role ===

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operational => "operational",
            Self::Recovery => "recovery",
        })
    }
}

impl FromStr for Role {
    type Err = OperatorListError;

    fn from_str(text: &str) -> Result<Self, OperatorListError> {
        match text {
            "operational" => Ok(Self::Operational),
            "recovery" => Ok(Self::Recovery),
            _ => Err(OperatorListError::Role),
        }
    }
}

// === impl Signer ===

impl Signer {
    /// A signer with these roles and this key (OpenSSH wire form).
    ///
    /// # Errors
    /// [`OperatorListError`] without a role, or if the key does not begin with its type.
    pub fn new(roles: BTreeSet<Role>, key_type: &str, key: Vec<u8>) -> Result<Self, OperatorListError> {
        if roles.is_empty() {
            return Err(OperatorListError::Role);
        }
        let plain = !key_type.is_empty()
            && key_type.len() <= 64
            && key_type.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'@' | b'.'));
        let named = key.get(..4).and_then(|length| {
            let length = u32::from_be_bytes(length.try_into().ok()?);
            key.get(4..4 + usize::try_from(length).ok()?)
        });
        // What a certificate may sign is its issuer's word; keys are pinned by their own material.
        if !plain || key_type.contains("-cert-") || named != Some(key_type.as_bytes()) {
            return Err(OperatorListError::Key);
        }
        Ok(Self { roles, key_type: key_type.to_owned(), key })
    }

    /// What it may sign.
    #[must_use]
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// The key's type, `ssh-ed25519`.
    #[must_use]
    pub fn key_type(&self) -> &str {
        &self.key_type
    }

    /// The key in OpenSSH's wire form.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, role) in self.roles.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{role}")?;
        }
        write!(f, " {} {}", self.key_type, STANDARD.encode(&self.key))
    }
}

impl FromStr for Signer {
    type Err = OperatorListError;

    fn from_str(text: &str) -> Result<Self, OperatorListError> {
        let [roles, key_type, key] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(OperatorListError::Line);
        };
        let roles = roles.split(',').map(str::parse).collect::<Result<BTreeSet<Role>, _>>()?;
        let key = STANDARD.decode(key).map_err(|_| OperatorListError::Key)?;
        let signer = Self::new(roles, key_type, key)?;
        if signer.to_string() == text { Ok(signer) } else { Err(OperatorListError::Line) }
    }
}

// === impl OperatorList ===

impl OperatorList {
    /// The list of these signers, sorted.
    ///
    /// # Errors
    /// [`OperatorListError::Order`] if one key stands there twice.
    pub fn new(mut signers: Vec<Signer>) -> Result<Self, OperatorListError> {
        signers.sort_by_key(ToString::to_string);
        let keys: BTreeSet<&[u8]> = signers.iter().map(Signer::key).collect();
        if keys.len() == signers.len() { Ok(Self(signers)) } else { Err(OperatorListError::Order) }
    }

    /// The signers in the order of their lines.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.0
    }

    /// Its text: LF-ended lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.iter().map(|signer| format!("{signer}\n")).collect()
    }

    /// SHA-256 of [`Self::to_text`].
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        Sha256::of(self.to_text().as_bytes())
    }

    /// The code by which box and operator compare their lists.
    #[must_use]
    pub fn code(&self) -> Code16 {
        code16(code16::PINS, self.to_text().as_bytes())
    }
}

impl Serialize for OperatorList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for OperatorList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = Vec::<String>::deserialize(deserializer)?;
        let signers = lines.iter().map(|line| line.parse()).collect::<Result<Vec<Signer>, _>>();
        let list = signers.and_then(Self::new).map_err(D::Error::custom)?;
        let sorted = list.0.iter().map(ToString::to_string).eq(lines);
        if sorted { Ok(list) } else { Err(D::Error::custom(OperatorListError::Order)) }
    }
}

// === impl PinsStatement ===

impl PinsStatement {
    /// Its exact text, which is signed: one line of JSON, ended by LF.
    ///
    /// # Errors
    /// [`PinsError::TooLong`].
    pub fn to_text(&self) -> Result<Vec<u8>, PinsError> {
        let mut text = json::to_vec(self).map_err(|error| PinsError::Shape(error.to_string()))?;
        text.push(b'\n');
        if text.len() > MAX_STATEMENT_BYTES { Err(PinsError::TooLong) } else { Ok(text) }
    }

    /// Reads a text, and nothing that [`Self::to_text`] does not write.
    ///
    /// # Errors
    /// [`PinsError`].
    pub fn parse(text: &[u8]) -> Result<Self, PinsError> {
        if text.len() > MAX_STATEMENT_BYTES {
            return Err(PinsError::TooLong);
        }
        let statement: Self = json::from_slice(text).map_err(|error| PinsError::Shape(error.to_string()))?;
        if statement.to_text()? == text { Ok(statement) } else { Err(PinsError::Spelling) }
    }
}
