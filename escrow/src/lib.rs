//! Recovery code, sealing and opening, the root, the one door, double verification.
//!
//! This is the room that decides what is *ours*. Ten words come in, and only what they open, and
//! what the opened root vouches for, goes out. Whoever handed the bytes over (hub, kit, PBS) is not
//! asked.
//!
//! | to | look at |
//! | --- | --- |
//! | draw ten words, or read them in whatever spelling they were typed | [`code`] |
//! | follow one word while it is typed, and complete it | [`begun`] |
//! | find the one slip in ten words that open nothing | [`slip`] |
//! | turn away a blob before anything is derived from it or any tool sees it | [`door`] |
//! | know what a recovery believes, and print its check line | [`root`] |
//! | seal a root, or open one | [`seal`] |
//! | make or use words key, box key and age identity | [`keys`] |
//! | read the operator keys that are given at enrolment | [`signers`] |
//! | know why an operator's signature does not count | [`signed`] |
//! | make an escrow that may be called *proven* | [`verify`] |
//! | choose the versions to try the words on, and say what happened | [`select`] |
//! | open a version | [`open`] |
//! | add to an escrow without the words, or open what was added | [`update`] |
//! | let a key or a snapshot through to a restore | [`gate`] |
//! | judge an operator's signature over an order | [`order`] |
//! | know which operator keys count after what was said of them since the root | [`pins`] |
//!
//! # A ceremony
//!
//! ```
//! # use std::error::Error;
//! use tenwords_escrow::{
//!     code::RecoveryCode, door, root::Root,
//!     verify::{KeyOpener, OpenedByClient, OpenedNatively, VerifiedEscrow, VerifiedKeyPart},
//! };
//! # use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
//! # use tenwords_escrow::root::RootFacts;
//! # fn facts(_: impl Iterator<Item = (Fingerprint, Sha256)>) -> RootFacts { unimplemented!() }
//! # fn ceremony<C: KeyOpener>(
//! #     code: &RecoveryCode, wrapped: &[u8], live: Fingerprint, client: &C,
//! # ) -> Result<(), Box<dyn Error>> where C::Error: Send + Sync {
//! let part = door::check_key_part(wrapped)?;
//! let by_client = OpenedByClient::of(&part, code, client)?;
//! let natively = OpenedNatively::of(&part, code)?;
//! let key = VerifiedKeyPart::new(part, by_client, natively, live)?;
//! let root = Root::new(facts([key.entry()].into_iter()))?;
//! let escrow = VerifiedEscrow::new(&root, vec![key], "0.1.0", code)?;
//! // push escrow.bundle(), fetch it back, then escrow.read_back(…)
//! # Ok(())
//! # }
//! ```
//!
//! # What holds here
//!
//! - Nothing here does I/O (but [`door::read`], from a reader that is handed in), looks at a clock or
//!   knows a terminal. Randomness is an argument, except inside age, which accepts none.
//! - What must have happened is a type: see [`verify`] and [`gate`].
//! - No type that holds a secret can be cloned, compared, displayed or serialised; reading one is
//!   called `expose_…`, and a test lists the files that do.
//! - No error repeats a secret, nor a word that was typed, nor a word that is near it.
//!
//! What this room never does: it does not drive a program (it asks a [`verify::KeyOpener`]), it does
//! not decide where data goes, and it does not do what an order lets happen.

pub mod begun;
pub mod code;
pub mod door;
pub mod gate;
pub mod keyboard;
pub mod keys;
pub mod open;
pub mod order;
pub mod pins;
pub mod root;
pub mod seal;
pub mod secret;
pub mod select;
pub mod signed;
pub mod signers;
pub mod slip;
pub mod sshsig;
mod text;
mod typed;
pub mod update;
pub mod verify;
mod wordlist;
