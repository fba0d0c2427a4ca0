//! An order: the exact text that an operator signs, so that one named destructive thing may happen once.
//!
//! The agent on the box writes it, around a challenge of its own; the hub carries it as bytes; the
//! operator's command line shows every field of it and signs the bytes. One order has one text: a text
//! that does not come out again byte for byte is refused, so that nothing can stand in it that was not
//! shown. What has a control or bidirectional character, or is too long to be looked at, is no order.
//!
//! Whether a signature counts is decided in the escrow's room (`order`), and only by the agent.

mod line;

use std::{collections::BTreeMap, fmt, num::NonZeroU64, str::FromStr};

use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

pub use self::line::{Line, LineError, OrderedPath};
use crate::{
    bounded::List,
    code16::{self, Code16, code16},
    directive::{Name, Namespace},
    fingerprint::Fingerprint,
    hash::Sha256,
    id::{BoxId, NodeId, RecoveryId},
    json,
    operators::Role,
    time::Timestamp,
    v1::V1,
};

/// The SSHSIG namespace of an operator's signature over an order.
pub const NAMESPACE: &str = "tenwords-order-v1";
/// Bytes of an order's text, at most.
pub const MAX_ORDER_BYTES: usize = 16 << 10;
/// Bytes of a signature's armour, at most. The largest that we verify, of an RSA key of 4096 bits,
/// has less than 2 KiB; one of a certificate has more.
pub const MAX_SIGNATURE_BYTES: usize = 8 << 10;
/// The first line of a signature's armour.
pub const SIGNATURE_BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
/// Its last line.
pub const SIGNATURE_END: &str = "-----END SSH SIGNATURE-----";
/// Lines that say what is destroyed, at most.
pub const MAX_LINES: usize = 64;

/// What an operator signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Order {
    /// The box, by its own id.
    pub box_id: BoxId,
    /// The machine on which it happens; a recovery without a hub has none.
    pub node_id: Option<NodeId>,
    /// The recovery that asks.
    pub recovery: RecoveryId,
    /// What happens.
    pub act: Act,
    /// What lies there now and will be gone, or what was believed until now; at least one line.
    pub destroys: List<Line, MAX_LINES>,
    /// What lies there now, exactly: of anything else the order does not speak.
    pub found: Option<Sha256>,
    /// The list of operator keys by which the box will judge the signature.
    pub operators: OperatorsSeen,
    /// Drawn by the box for this order alone.
    pub challenge: Challenge,
    /// When it was drawn, by the box's clock.
    pub issued: Timestamp,
    /// A signature counts until then.
    pub expires: Timestamp,
}

/// What an order lets happen: the four ops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// This snapshot replaces this guest or path.
    RestoreOverwrite {
        /// What is replaced.
        target: Overwritten,
        /// By what.
        snapshot: OrderedSnapshot,
    },
    /// A key opened from this box's escrow replaces that key file.
    KeyReplace {
        /// The file.
        key_file: OrderedPath,
        /// The key that it will hold.
        key: Fingerprint,
    },
    /// A source is elsewhere than the escrow says.
    Repoint {
        /// The source, by the root's id.
        source: Name,
        /// Where it is.
        place: OrderedPlace,
    },
    /// One plaintext or unsigned snapshot may be restored, to a free place.
    UnsignedSnapshot {
        /// Which.
        snapshot: OrderedSnapshot,
        /// Over its list of files, as the server has it now.
        list_sha256: Sha256,
    },
}

/// What a restore replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overwritten {
    /// The guest with this number, whatever its kind.
    Guest(std::num::NonZeroU32),
    /// A file or folder.
    Path(OrderedPath),
}

/// A snapshot, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedSnapshot {
    /// The source, by the root's id.
    pub source: Name,
    /// Its namespace, if not the datastore's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// `ct/101/2026-03-03T02:30:00Z`.
    pub snapshot: Line,
    /// One archive of it; without one, the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Name>,
}

/// Where a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedPlace {
    /// Name or address.
    pub server: Line,
    /// Its port.
    pub port: std::num::NonZeroU16,
    /// The datastore.
    pub datastore: Name,
    /// Absent for the datastore's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Its certificate's fingerprint. There is no other way to say which server is meant.
    pub certificate: Fingerprint,
}

/// A list of operator keys, as the box has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorsSeen {
    /// Its generation.
    pub generation: NonZeroU64,
    /// Over its text.
    pub sha256: Sha256,
}

/// 128 bits that a box draws for one order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Challenge([u8; 16]);

/// What an op is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// `key-replace`
    KeyReplace,
    /// `repoint`
    Repoint,
    /// `restore-overwrite`
    RestoreOverwrite,
    /// `unsigned-snapshot`
    UnsignedSnapshot,
}

/// An order with a signature over it, as it goes from operator to box in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedOrder {
    /// Always 1.
    pub v: V1,
    /// The exact text that was signed.
    pub order: crate::bytes::Base64,
    /// SSHSIG armour over it, namespace [`NAMESPACE`].
    pub signature: String,
}

/// Why a text is no order.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderError {
    /// It names an act that this version does not know.
    #[error("`{0}` is no act that this version knows: nothing is signed or done that cannot be named")]
    UnknownOp(String),
    /// It has a field too many or too few for its act, or says two things.
    #[error("the order does not say one thing: {0}")]
    Shape(String),
    /// It reads like an order, and is not spelled as a box spells one.
    #[error("the text is not spelled as a box writes it; not a byte of an order may be changed")]
    Spelling,
    /// Longer than an order can be.
    #[error("an order has at most {MAX_ORDER_BYTES} bytes")]
    TooLong,
}

/// As it stands in the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: V1,
    op: String,
    box_id: BoxId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node_id: Option<NodeId>,
    recovery: RecoveryId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest: Option<std::num::NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<OrderedPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_file: Option<OrderedPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<OrderedPlace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<OrderedSnapshot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list_sha256: Option<Sha256>,
    destroys: List<Line, MAX_LINES>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<Sha256>,
    operators: OperatorsSeen,
    challenge: Challenge,
    issued: Timestamp,
    expires: Timestamp,
}

// === impl Order ===

impl Order {
    /// Its exact text: one line of JSON, ended by LF.
    ///
    /// # Errors
    /// [`OrderError::TooLong`].
    pub fn to_text(&self) -> Result<Vec<u8>, OrderError> {
        let mut text = json::to_vec(self).map_err(|error| OrderError::Shape(error.to_string()))?;
        text.push(b'\n');
        if text.len() > MAX_ORDER_BYTES { Err(OrderError::TooLong) } else { Ok(text) }
    }

    /// Reads a text, and nothing that [`Self::to_text`] does not write.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn parse(text: &[u8]) -> Result<Self, OrderError> {
        if text.len() > MAX_ORDER_BYTES {
            return Err(OrderError::TooLong);
        }
        let written: Written = json::from_slice(text).map_err(|error| match op_of(text) {
            Some(op) if op.parse::<Op>().is_err() => OrderError::UnknownOp(shown(&op)),
            _ => OrderError::Shape(error.to_string()),
        })?;
        let order = Self::try_from(written)?;
        if order.to_text()? == text { Ok(order) } else { Err(OrderError::Spelling) }
    }

    /// The op that it names.
    #[must_use]
    pub fn op(&self) -> Op {
        match self.act {
            Act::KeyReplace { .. } => Op::KeyReplace,
            Act::Repoint { .. } => Op::Repoint,
            Act::RestoreOverwrite { .. } => Op::RestoreOverwrite,
            Act::UnsignedSnapshot { .. } => Op::UnsignedSnapshot,
        }
    }

    /// The role that a signer needs for it.
    #[must_use]
    pub fn role(&self) -> Role {
        Role::Operational
    }
}

/// The code that box and operator compare: of the exact text, whatever it says.
#[must_use]
pub fn code(text: &[u8]) -> Code16 {
    code16(code16::ORDER, text)
}

fn op_of(text: &[u8]) -> Option<String> {
    let value: BTreeMap<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    value.get("op")?.as_str().map(str::to_owned)
}

/// A word of a text that is not understood.
fn shown(word: &str) -> String {
    word.chars().filter(char::is_ascii_graphic).take(40).collect()
}

impl TryFrom<Written> for Order {
    type Error = OrderError;

    fn try_from(written: Written) -> Result<Self, OrderError> {
        let Written { v: _, op, guest, path, key_file, key, source, place, snapshot, list_sha256, .. } = written;
        let op: Op = op.parse()?;
        let act = match (op, guest, path, key_file, key, source, place, snapshot, list_sha256) {
            (Op::RestoreOverwrite, Some(guest), None, None, None, None, None, Some(snapshot), None) => {
                Act::RestoreOverwrite { target: Overwritten::Guest(guest), snapshot }
            }
            (Op::RestoreOverwrite, None, Some(path), None, None, None, None, Some(snapshot), None) => {
                Act::RestoreOverwrite { target: Overwritten::Path(path), snapshot }
            }
            (Op::KeyReplace, None, None, Some(key_file), Some(key), None, None, None, None) => {
                Act::KeyReplace { key_file, key }
            }
            (Op::Repoint, None, None, None, None, Some(source), Some(place), None, None) => {
                Act::Repoint { source, place }
            }
            (Op::UnsignedSnapshot, None, None, None, None, None, None, Some(snapshot), Some(list_sha256)) => {
                Act::UnsignedSnapshot { snapshot, list_sha256 }
            }
            _ => return Err(OrderError::Shape(format!("its fields are not those of `{op}`"))),
        };
        // A guest is restored as a whole, a path gets one archive.
        if let Act::RestoreOverwrite { target, snapshot } = &act
            && matches!(target, Overwritten::Guest(_)) != snapshot.archive.is_none()
        {
            return Err(OrderError::Shape("a guest is replaced by a snapshot, a path by one archive of it".to_owned()));
        }
        if written.destroys.is_empty() {
            return Err(OrderError::Shape("it does not say what is destroyed".to_owned()));
        }
        let needs_found = matches!(op, Op::RestoreOverwrite | Op::KeyReplace);
        if needs_found != written.found.is_some() {
            return Err(OrderError::Shape(format!("`{op}` and what is found there do not fit")));
        }
        if written.issued >= written.expires {
            return Err(OrderError::Shape("it ends before it begins".to_owned()));
        }
        Ok(Self {
            box_id: written.box_id,
            node_id: written.node_id,
            recovery: written.recovery,
            act,
            destroys: written.destroys,
            found: written.found,
            operators: written.operators,
            challenge: written.challenge,
            issued: written.issued,
            expires: written.expires,
        })
    }
}

impl From<Order> for Written {
    fn from(order: Order) -> Self {
        let op = order.op().to_string();
        let mut written = Self {
            v: V1,
            op,
            box_id: order.box_id,
            node_id: order.node_id,
            recovery: order.recovery,
            guest: None,
            path: None,
            key_file: None,
            key: None,
            source: None,
            place: None,
            snapshot: None,
            list_sha256: None,
            destroys: order.destroys,
            found: order.found,
            operators: order.operators,
            challenge: order.challenge,
            issued: order.issued,
            expires: order.expires,
        };
        match order.act {
            Act::RestoreOverwrite { target, snapshot } => {
                match target {
                    Overwritten::Guest(guest) => written.guest = Some(guest),
                    Overwritten::Path(path) => written.path = Some(path),
                }
                written.snapshot = Some(snapshot);
            }
            Act::KeyReplace { key_file, key } => (written.key_file, written.key) = (Some(key_file), Some(key)),
            Act::Repoint { source, place } => (written.source, written.place) = (Some(source), Some(place)),
            Act::UnsignedSnapshot { snapshot, list_sha256 } => {
                (written.snapshot, written.list_sha256) = (Some(snapshot), Some(list_sha256));
            }
        }
        written
    }
}

// === impl Op ===

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyReplace => "key-replace",
            Self::Repoint => "repoint",
            Self::RestoreOverwrite => "restore-overwrite",
            Self::UnsignedSnapshot => "unsigned-snapshot",
        })
    }
}

impl FromStr for Op {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        [Self::KeyReplace, Self::Repoint, Self::RestoreOverwrite, Self::UnsignedSnapshot]
            .into_iter()
            .find(|op| op.to_string() == text)
            .ok_or_else(|| OrderError::UnknownOp(shown(text)))
    }
}

// === impl Challenge ===

impl Challenge {
    /// A fresh one.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({self})")
    }
}

impl Serialize for Challenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Challenge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(D::Error::custom("32 lower-case hexadecimal digits were expected"));
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = str::from_utf8(pair).map_err(D::Error::custom)?;
            *byte = u8::from_str_radix(digits, 16).map_err(D::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const TEXT: &str = concat!(
        r#"{"v":1,"op":"restore-overwrite","box_id":"3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d","#,
        r#""node_id":"b2a1c0d9-e8f7-4655-8443-322110ffeedd","recovery":"0e1d2c3b-4a59-4867-b706-f5e4d3c2b1a0","#,
        r#""guest":101,"snapshot":{"source":"pbs","snapshot":"ct/101/2026-03-03T02:30:00Z"},"#,
        r#""destroys":["the container \"web\" with its volumes"],"#,
        r#""found":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
        r#""operators":{"generation":1,"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"#,
        r#""challenge":"000102030405060708090a0b0c0d0e0f","issued":"2026-03-03T12:00:00Z","expires":"2026-03-04T12:00:00Z"}"#,
        "\n"
    );

    #[test]
    fn an_order_has_one_text() -> Tested {
        let order = Order::parse(TEXT.as_bytes())?;
        assert_eq!(order.op(), Op::RestoreOverwrite);
        assert_eq!(order.to_text()?, TEXT.as_bytes());
        for other in [
            TEXT.trim_end().to_owned(),
            format!(" {TEXT}"),
            format!("{TEXT}\n"),
            TEXT.replace(":101,", ": 101,"),
            TEXT.replace("\"guest\":101,", "").replace("\"found\"", "\"guest\":101,\"found\""),
            TEXT.replace("container", "c\\u006fntainer"),
        ] {
            assert_eq!(Order::parse(other.as_bytes()), Err(OrderError::Spelling), "{other}");
        }
        Ok(())
    }

    #[test]
    fn what_does_not_say_one_thing_is_no_order() {
        let unknown = TEXT.replace("restore-overwrite", "format-disk");
        assert_eq!(Order::parse(unknown.as_bytes()), Err(OrderError::UnknownOp("format-disk".to_owned())));
        for other in [
            TEXT.replace("\"guest\":101", "\"guest\":101,\"guest\":102"),
            TEXT.replace("\"guest\":101", "\"guest\":101,\"path\":\"/srv\""),
            TEXT.replace("\"guest\":101", "\"path\":\"/srv\""),
            TEXT.replace("\"guest\":101", "\"path\":\"/srv/../etc\""),
            TEXT.replace("\"guest\":101,", ""),
            TEXT.replace("\"guest\":101", "\"guest\":101,\"also\":1"),
            TEXT.replace("restore-overwrite", "key-replace"),
            TEXT.replace("\"v\":1", "\"v\":2"),
            TEXT.replace("container", "\\u202econtainer"),
            TEXT.replace("container", "cont\\nainer"),
            TEXT.replace("[\"the container \\\"web\\\" with its volumes\"]", "[]"),
            TEXT.replace("2026-03-04", "2026-03-02"),
            TEXT.replace("000102", "00010G"),
            TEXT.replace("\"found\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",", ""),
        ] {
            assert!(matches!(Order::parse(other.as_bytes()), Err(OrderError::Shape(_))), "{other}");
        }
        assert_eq!(Order::parse(&[b' '; MAX_ORDER_BYTES + 1]), Err(OrderError::TooLong));
    }
}
