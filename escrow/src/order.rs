//! Whether a signature lets what is asked for happen, once.
//!
//! A box judges it alone, by the operator keys that its root (and what operators signed since) has.
//! The checks are made in the order of the design page: what [`crate::signed`] checks, the
//! signature over the raw bytes, that these bytes are the text of an order that is open, the time,
//! the role. An order that is not open any more, or was another box's, is refused although its
//! signature is good: so nothing can be replayed, and a box that has forgotten its orders has none open.
//!
//! [`CheckedOrder`] is the proof. It cannot be copied; whoever does what the order lets happen takes it
//! by value, and closes the challenge in the same step.

use tenwords_protocol::{
    code16::Code16,
    json,
    operators::{OperatorList, Role},
    order::{self, MAX_ORDER_BYTES, MAX_SIGNATURE_BYTES, NAMESPACE, Order, OrderError, SIGNATURE_BEGIN, SignedOrder},
    time::Timestamp,
};
use thiserror::Error;

use crate::signed::{self, Judged, SignatureRefusal};

/// Bytes of a file that is offered, at most: base64 of a text, a signature, and what JSON adds.
const MAX_OFFERED: usize = 2 * (MAX_ORDER_BYTES + MAX_SIGNATURE_BYTES);

/// What somebody gave as an answer to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// Text and signature, from the hub or from a file of `tenwords order sign`.
    Signed(SignedOrder),
    /// A signature alone, as `ssh-keygen -Y sign` writes it. It is over one of the open orders, or nothing.
    Armour(String),
}

/// An order that may be carried out, once. Only [`check`] gives one.
#[derive(Debug)]
#[must_use = "an order that was checked is used, or its challenge stays open"]
pub struct CheckedOrder {
    order: Order,
    text: Vec<u8>,
    signer: String,
}

/// Why what was offered lets nothing happen.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderRefusal {
    /// Signed by an operator, and other than the order with this challenge that is open.
    #[error("an order with this challenge waits, but not a byte of it may be changed, and this text is another")]
    Changed,
    /// Its time is over.
    #[error("the order's time was over at {expires}, and it is {now}")]
    Expired {
        /// Until when it could be used.
        expires: Timestamp,
        /// The box's clock.
        now: Timestamp,
    },
    /// Neither a signature nor a signed order.
    #[error("this is neither a signature of ssh-keygen nor a signed order: {0}")]
    Form(String),
    /// A signature alone, over no order that waits here.
    #[error("the signature of the key {signer} does not hold for any order that is open")]
    NoneOpen {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
    },
    /// Signed by an operator, and an order that does not wait here: used, withdrawn, or of another box.
    #[error(
        "this order is not open here: it was used or withdrawn, or another box or an earlier recovery asked for it"
    )]
    NotOpen,
    /// The box's clock is before the time at which it was written.
    #[error("the order was written at {issued}, and it is {now}: the box's clock went back")]
    NotYet {
        /// When it was written, by this box's clock.
        issued: Timestamp,
        /// The same clock.
        now: Timestamp,
    },
    /// The key is pinned, and not for orders.
    #[error("the key {signer} is pinned, but not with the role {needed}")]
    Role {
        /// The key, as `ssh-keygen -l` prints it.
        signer: String,
        /// What it lacks.
        needed: Role,
    },
    /// The signature does not count.
    #[error(transparent)]
    Signature(#[from] SignatureRefusal),
    /// Signed by an operator, and no order.
    #[error("what was signed is no order: {0}")]
    Text(OrderError),
    /// More than a signed order can have.
    #[error(
        "a signed order has at most {MAX_OFFERED} bytes, its text {MAX_ORDER_BYTES}, a signature {MAX_SIGNATURE_BYTES}"
    )]
    TooLong,
}

// === impl Offered ===

impl Offered {
    /// Reads what was pasted or stands in a file. Line ends and empty lines around a signature do not
    /// matter; everything else does.
    ///
    /// # Errors
    /// [`OrderRefusal::Form`], [`OrderRefusal::TooLong`].
    pub fn parse(bytes: &[u8]) -> Result<Self, OrderRefusal> {
        if bytes.len() > MAX_OFFERED {
            return Err(OrderRefusal::TooLong);
        }
        let begins = bytes.trim_ascii_start();
        let offered = if begins.is_empty() {
            return Err(OrderRefusal::Form("nothing stands there".to_owned()));
        } else if begins.starts_with(SIGNATURE_BEGIN.as_bytes()) {
            let text = str::from_utf8(bytes).map_err(|_| SignatureRefusal::Armour)?;
            Self::Armour(text.to_owned())
        } else if begins.starts_with(b"{") {
            Self::Signed(json::from_slice(bytes).map_err(|error| OrderRefusal::Form(error.to_string()))?)
        } else {
            return Err(OrderRefusal::Form("it begins with neither".to_owned()));
        };
        offered.bounded()?;
        Ok(offered)
    }

    /// The hub hands over parts, and not a file: so this is asked again where they are used.
    fn bounded(&self) -> Result<(), OrderRefusal> {
        let (text, armour) = match self {
            Self::Signed(signed) => (signed.order.0.len(), signed.signature.len()),
            Self::Armour(armour) => (0, armour.len()),
        };
        if text > MAX_ORDER_BYTES || armour > MAX_SIGNATURE_BYTES { Err(OrderRefusal::TooLong) } else { Ok(()) }
    }
}

/// Judges an answer. `open` are the exact texts of the orders whose challenges are open, `operators`
/// the keys that count now, `now` the box's clock.
///
/// # Errors
/// [`OrderRefusal`], of the first check that fails.
pub fn check<'o>(
    offered: &Offered,
    open: impl IntoIterator<Item = &'o [u8]>,
    operators: &OperatorList,
    now: Timestamp,
) -> Result<CheckedOrder, OrderRefusal> {
    offered.bounded()?;
    let armour = match offered {
        Offered::Signed(signed) => &signed.signature,
        Offered::Armour(armour) => armour,
    };
    let judged = signed::judge(armour, NAMESPACE, operators)?;
    let (text, order) = match offered {
        Offered::Signed(signed) => whole(&judged, &signed.order.0, open)?,
        Offered::Armour(_) => bare(&judged, open)?,
    };
    if now < order.issued {
        return Err(OrderRefusal::NotYet { issued: order.issued, now });
    }
    if now >= order.expires {
        return Err(OrderRefusal::Expired { expires: order.expires, now });
    }
    let needed = order.role();
    if !judged.has(needed) {
        return Err(OrderRefusal::Role { signer: judged.signer(), needed });
    }
    Ok(CheckedOrder { order, text: text.to_vec(), signer: judged.signer() })
}

/// The open order that this text is, if the signature is over it.
fn whole<'o>(
    judged: &Judged<'_>,
    text: &[u8],
    open: impl IntoIterator<Item = &'o [u8]>,
) -> Result<(&'o [u8], Order), OrderRefusal> {
    if !judged.holds(text) {
        return Err(SignatureRefusal::Text { signer: judged.signer() }.into());
    }
    let open: Vec<&[u8]> = open.into_iter().collect();
    if let Some(found) = open.iter().find(|open| **open == text) {
        return Ok((found, Order::parse(found).map_err(OrderRefusal::Text)?));
    }
    // It is refused. What follows says only what was wrong with it.
    let order = Order::parse(text).map_err(OrderRefusal::Text)?;
    let challenged = |open: &&[u8]| Order::parse(open).is_ok_and(|open| open.challenge == order.challenge);
    Err(if open.iter().any(challenged) { OrderRefusal::Changed } else { OrderRefusal::NotOpen })
}

/// The open order that the signature is over.
fn bare<'o>(judged: &Judged<'_>, open: impl IntoIterator<Item = &'o [u8]>) -> Result<(&'o [u8], Order), OrderRefusal> {
    let found = open.into_iter().find(|open| judged.holds(open));
    let found = found.ok_or_else(|| OrderRefusal::NoneOpen { signer: judged.signer() })?;
    Ok((found, Order::parse(found).map_err(OrderRefusal::Text)?))
}

// === impl CheckedOrder ===

impl CheckedOrder {
    /// What may happen.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// Its exact text, by which the challenge to close is found.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The code that box and operator compared.
    #[must_use]
    pub fn code(&self) -> Code16 {
        order::code(&self.text)
    }

    /// Who signed it, as `ssh-keygen -l` prints a key.
    #[must_use]
    pub fn signer(&self) -> &str {
        &self.signer
    }
}

// === impl OrderRefusal ===

impl OrderRefusal {
    /// What a person can do now.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Changed => "sign the text that the box shows now; compare its code on both screens",
            Self::Expired { .. } => "let the box ask again: it draws another challenge, and the operator signs that",
            Self::Form(_) => "give what `ssh-keygen -Y sign` or `tenwords order sign` wrote, whole",
            Self::NoneOpen { .. } | Self::NotOpen => {
                "look at what the box asks for now, and sign that text; an order that was used cannot be used again"
            }
            Self::NotYet { .. } => "set the box's clock, then give the same answer again",
            Self::Role { .. } => {
                "sign with a key that is pinned as `operational`; a recovery key changes the list of keys, no more"
            }
            Self::Signature(refusal) => refusal.next_step(),
            Self::Text(_) => "sign nothing but what a box asks for; compare the code on both screens",
            Self::TooLong => "give the signature or the signed order alone",
        }
    }
}
