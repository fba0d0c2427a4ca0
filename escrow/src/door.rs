//! The one native door (wall 4): what a sealed blob must look like before anything is derived from
//! it and before any tool sees it.
//!
//! A hub could plant a key file with `kdf: null`, which "opens" with any code, or one whose scrypt
//! parameters cost a gigabyte; an age file could have a work factor of 30, or a second stanza that
//! opens with somebody else's key. So the shapes are exact. A part is read whole within its limit
//! ([`read`]) and then checked; the checks run no derivation, allocate no more than the part itself
//! has bytes, and decide nothing about trust: what passes may still have been made by anybody.
//!
//! The formats: PBS key files `formats.md` §1; age v1 <https://age-encryption.org/v1>.

mod header;

use std::{fmt, io::Read};

use pbs_format::key::{DerivedKey, EncryptionKey, Kdf, KeyFile, KeyFileError};
use serde::Deserialize;
use serde_json::Value;
use tenwords_protocol::{
    bytes::{Base64, Base64Array},
    fingerprint::Fingerprint,
    hash::Sha256,
    json::{self, JsonError},
    part::PartName,
    update::Update,
    version::{MAX_AGE_BYTES, MAX_KEY_BYTES},
};
use thiserror::Error;

use self::header::{Stanza, decodes_to, stanzas};
use crate::code::RecoveryCode;

/// The scrypt work factor of a root, set and maximum: N = 2^16.
pub const WORK_FACTOR: u8 = 16;

/// The least and the greatest N of a key part.
const KEY_PART_N: std::ops::RangeInclusive<u64> = 1 << 16..=1 << 18;
/// PBS writes 32 bytes of salt.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// A key part that has passed the door: a PBS key file under scrypt, that names its fingerprint.
///
/// Whether it opens, with what, and to which key, is not known yet.
#[derive(Debug)]
pub struct KeyPart {
    bytes: Vec<u8>,
    file: KeyFile,
    fingerprint: Fingerprint,
}

/// An age file with exactly one stanza: scrypt, work factor 16.
pub struct AgePart {
    bytes: Vec<u8>,
}

/// An age file with one X25519 stanza and at most one of grease: the body of an update.
pub struct UpdatePart {
    bytes: Vec<u8>,
}

/// A part `update/<sequence>` in the shape of one: a statement, a signature, a body. Whether the
/// statement is one and who signed it is not known yet.
#[derive(Debug)]
pub struct SealedUpdate {
    statement: Vec<u8>,
    signature: String,
    body: UpdatePart,
}

/// A key file without protection, out of an update's body. Only the key gate opens one.
#[derive(Debug)]
pub(crate) struct PlainKey {
    file: KeyFile,
}

/// Why a blob was turned away.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DoorError {
    /// An age file in its armoured form; parts are binary.
    #[error("the age file is armoured, where a binary one was expected")]
    Armoured,
    /// The key data is not 64 bytes, which is what scrypt-protected files have.
    #[error("the key file's data is not the 64 bytes of a protected key")]
    DataLength,
    /// The key file does not state its fingerprint.
    #[error("the key file does not state its fingerprint")]
    FingerprintMissing,
    /// The age header is no header of version 1, or is longer than any of ours.
    #[error("the age header is not one of version 1: {0}")]
    Header(&'static str),
    /// The key file has a hint.
    #[error("the key file has a hint, and a hint of a recovery code may be known to anybody")]
    Hint,
    /// The key file is not JSON, or has something beside the fields that PBS writes.
    #[error("the key part is not a PBS key file as proxmox-backup-client writes it")]
    KeyFile(#[source] JsonError),
    /// The key file passed our own reading and not that of the format.
    #[error("the key part is not a PBS key file")]
    KeyFormat(#[source] KeyFileError),
    /// The key file is protected by something else than scrypt.
    #[error("the key file is protected by {found}, where scrypt was expected")]
    Kdf {
        /// PBS's word for it.
        found: &'static str,
    },
    /// The part is named after another key than it states.
    #[error("the part is named after key {}, its file states {}", named.short(), stated.short())]
    Name {
        /// In the part's name.
        named: Fingerprint,
        /// In the file.
        stated: Fingerprint,
    },
    /// In an update's body: not a plain key file. What it is instead is not repeated.
    #[error("the key file is not a plain one as proxmox-backup-client writes it: {0}")]
    Plain(&'static str),
    /// The part cannot be read from where it lies.
    #[error("the part cannot be read")]
    Read(#[source] std::io::Error),
    /// The salt is missing or absurd.
    #[error("the key file has {found} bytes of salt")]
    Salt {
        /// Its bytes.
        found: usize,
    },
    /// scrypt parameters that PBS does not write, some of which cost a gigabyte.
    #[error("the key file asks for scrypt with n = {n}, r = {r}, p = {p}")]
    Scrypt {
        /// The cost.
        n: u64,
        /// The block size.
        r: u64,
        /// The parallelism.
        p: u64,
    },
    /// The age file has other recipients than it may.
    #[error("the age file is for other recipients than it may: {0}")]
    Stanzas(&'static str),
    /// More bytes than the part may have.
    #[error("the part has more than {limit} bytes")]
    TooLarge {
        /// How many it may have.
        limit: usize,
    },
    /// The age file ends before its payload does.
    #[error("the age file has no payload")]
    Truncated,
    /// The part is not an update as it travels.
    #[error("the part is not an update")]
    Update(#[source] JsonError),
    /// The age file asks for another amount of work.
    #[error("the age file asks for scrypt work factor {found}, where {WORK_FACTOR} was expected")]
    WorkFactor {
        /// As in the file.
        found: String,
    },
}

/// The bytes that a part of this name may have.
#[must_use]
pub const fn limit(name: PartName) -> usize {
    match name {
        PartName::Key(_) => MAX_KEY_BYTES,
        PartName::Pins(_) | PartName::Root | PartName::Update(_) => MAX_AGE_BYTES,
    }
}

/// Reads one part whole, and stops one byte after its limit however much there is.
///
/// # Errors
/// [`DoorError::TooLarge`] or [`DoorError::Read`].
pub fn read(name: PartName, from: impl Read) -> Result<Vec<u8>, DoorError> {
    let limit = limit(name);
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(DoorError::Read)?;
    within(&bytes, limit)?;
    Ok(bytes)
}

/// The door for a part `key/<fingerprint>`.
///
/// # Errors
/// [`DoorError`] for anything but a key file as `key change-passphrase --kdf scrypt` writes it.
pub fn check_key_part(bytes: &[u8]) -> Result<KeyPart, DoorError> {
    within(bytes, MAX_KEY_BYTES)?;
    name_common_refusals(bytes)?;
    let text: KeyText = json::from_slice(bytes).map_err(DoorError::KeyFile)?;
    let KdfText::Scrypt { n, r, p, salt } = text.kdf;
    if !KEY_PART_N.contains(&n) || !n.is_power_of_two() || r != 8 || p != 1 {
        return Err(DoorError::Scrypt { n, r, p });
    }
    if !SALT_BYTES.contains(&salt.0.len()) {
        return Err(DoorError::Salt { found: salt.0.len() });
    }
    let file = KeyFile::parse(bytes).map_err(DoorError::KeyFormat)?;
    Ok(KeyPart { bytes: bytes.to_vec(), file, fingerprint: text.fingerprint })
}

/// The door for a part of that name: also the name must be that of the stated fingerprint.
///
/// # Errors
/// As [`check_key_part`], and [`DoorError::Name`].
pub fn check_named_key_part(named: Fingerprint, bytes: &[u8]) -> Result<KeyPart, DoorError> {
    let part = check_key_part(bytes)?;
    if part.fingerprint != named {
        return Err(DoorError::Name { named, stated: part.fingerprint });
    }
    Ok(part)
}

/// The door for `root.age`.
///
/// # Errors
/// [`DoorError`] for anything but a binary age file under one passphrase with work factor 16.
pub fn check_root(bytes: &[u8]) -> Result<AgePart, DoorError> {
    within(bytes, MAX_AGE_BYTES)?;
    let stanzas = stanzas(bytes)?;
    let [Stanza { kind: "scrypt", args, body }] = &stanzas[..] else {
        return Err(DoorError::Stanzas("exactly one passphrase was expected"));
    };
    let [salt, work] = args[..] else {
        return Err(DoorError::Header("a passphrase stanza has two arguments"));
    };
    if work != WORK_FACTOR.to_string() {
        return Err(DoorError::WorkFactor { found: work.chars().take(8).collect() });
    }
    if !decodes_to(salt, 16) || !decodes_to(body, 32) {
        return Err(DoorError::Header("salt or wrapped key of the passphrase stanza have the wrong length"));
    }
    Ok(AgePart { bytes: bytes.to_vec() })
}

/// The door for the age file inside a part `update/<sequence>`.
///
/// # Errors
/// [`DoorError`] for anything but a binary age file for one X25519 identity, with or without one
/// stanza of grease (age adds it to everything that is not under a passphrase).
pub fn check_update(bytes: &[u8]) -> Result<UpdatePart, DoorError> {
    within(bytes, MAX_AGE_BYTES)?;
    let stanzas = stanzas(bytes)?;
    let (grease, others): (Vec<_>, Vec<_>) = stanzas.iter().partition(|stanza| stanza.kind.ends_with("-grease"));
    let [Stanza { kind: "X25519", args, body }] = others[..] else {
        return Err(DoorError::Stanzas("exactly one X25519 recipient was expected"));
    };
    if grease.len() > 1 {
        return Err(DoorError::Stanzas("at most one stanza of grease was expected"));
    }
    if !matches!(args[..], [share] if decodes_to(share, 32)) || !decodes_to(body, 32) {
        return Err(DoorError::Header("share or wrapped key of the X25519 stanza have the wrong length"));
    }
    Ok(UpdatePart { bytes: bytes.to_vec() })
}

/// The door for a part `update/<sequence>`, and for the age file in it.
///
/// # Errors
/// [`DoorError::Update`] for another text, and as [`check_update`].
pub fn check_update_part(bytes: &[u8]) -> Result<SealedUpdate, DoorError> {
    within(bytes, MAX_AGE_BYTES)?;
    let update: Update = json::from_slice(bytes).map_err(DoorError::Update)?;
    let body = check_update(&update.body.0)?;
    Ok(SealedUpdate { statement: update.statement.0, signature: update.signature, body })
}

/// The door for a key file in an update's body, the one place for files without protection: byte for
/// byte what the client writes, so that nothing can stand beside the key.
pub(crate) fn check_plain_key(text: &[u8]) -> Result<PlainKey, DoorError> {
    within(text, MAX_KEY_BYTES)?;
    // What serde says of a text that holds a key is dropped: it may quote it.
    let file = KeyFile::parse(text).map_err(|_| DoorError::Plain("it is no key file"))?;
    if *file.kdf() != Kdf::None {
        return Err(DoorError::Plain("it is under a passphrase"));
    }
    if file.fingerprint().is_none() {
        return Err(DoorError::FingerprintMissing);
    }
    if file.hint().is_some() {
        return Err(DoorError::Hint);
    }
    if *file.to_json() != text {
        return Err(DoorError::Plain("it is spelled in another way"));
    }
    Ok(PlainKey { file })
}

impl KeyPart {
    /// The part, byte for byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fingerprint that the file states. Anybody could have written it.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the root lists for this part.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }

    /// When the key was made, and when the file was last written, in Unix seconds. Unproven.
    #[must_use]
    pub fn times(&self) -> (i64, i64) {
        (self.file.created(), self.file.modified())
    }

    /// Opens it natively: one scrypt derivation, 64 to 256 MiB.
    ///
    /// # Errors
    /// [`KeyFileError`] if the code is not the one, or the file was changed.
    pub fn open(&self, code: &RecoveryCode) -> Result<EncryptionKey, KeyFileError> {
        self.open_derived(&self.derive(code)?)
    }

    /// The derivation alone.
    ///
    /// # Errors
    /// [`KeyFileError::Kdf`], which the door has excluded.
    pub fn derive(&self, code: &RecoveryCode) -> Result<DerivedKey, KeyFileError> {
        self.file.derive(code.expose_passphrase().as_bytes())
    }

    /// Opens it with what the code became, in microseconds.
    ///
    /// # Errors
    /// [`KeyFileError`] if that is not the key of this file, or the file was changed.
    pub fn open_derived(&self, derived: &DerivedKey) -> Result<EncryptionKey, KeyFileError> {
        self.file.open_derived(derived)
    }
}

impl AgePart {
    /// The part, byte for byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a header lists for this part.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }
}

impl fmt::Debug for AgePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgePart({} bytes)", self.bytes.len())
    }
}

impl UpdatePart {
    /// The age file, byte for byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl SealedUpdate {
    /// The bytes that are signed.
    #[must_use]
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// The armour, unchecked.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The age file.
    #[must_use]
    pub const fn body(&self) -> &UpdatePart {
        &self.body
    }
}

impl PlainKey {
    pub(crate) fn open(&self) -> Result<EncryptionKey, KeyFileError> {
        self.file.open(None)
    }

    pub(crate) fn times(&self) -> (i64, i64) {
        (self.file.created(), self.file.modified())
    }
}

impl fmt::Debug for UpdatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpdatePart({} bytes)", self.bytes.len())
    }
}

/// Exactly the fields that PBS writes; `hint` is one that it writes and that is not among them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    kdf: KdfText,
    #[serde(rename = "created")]
    _created: String,
    #[serde(rename = "modified")]
    _modified: String,
    #[serde(rename = "data")]
    _data: Base64Array<64>,
    fingerprint: Fingerprint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum KdfText {
    Scrypt { n: u64, r: u64, p: u64, salt: Base64 },
}

/// Gives the refusals that matter a name of their own. It passes nothing: the strict reading
/// follows.
fn name_common_refusals(bytes: &[u8]) -> Result<(), DoorError> {
    let Ok(Value::Object(file)) = serde_json::from_slice(bytes) else { return Ok(()) };
    match file.get("kdf") {
        None | Some(Value::Null) => return Err(DoorError::Kdf { found: "nothing" }),
        Some(Value::Object(kdf)) if kdf.contains_key("PBKDF2") => return Err(DoorError::Kdf { found: "pbkdf2" }),
        Some(_) => {}
    }
    if file.contains_key("hint") {
        return Err(DoorError::Hint);
    }
    if file.get("fingerprint").is_none_or(Value::is_null) {
        return Err(DoorError::FingerprintMissing);
    }
    match file.get("data") {
        Some(Value::String(data)) if data.len() != 88 => Err(DoorError::DataLength),
        _ => Ok(()),
    }
}

const fn within(bytes: &[u8], limit: usize) -> Result<(), DoorError> {
    if bytes.len() <= limit { Ok(()) } else { Err(DoorError::TooLarge { limit }) }
}
