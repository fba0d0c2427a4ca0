//! Our own line editor for the ten words. Crates' editors keep copies: histories, kill rings, undo.
//!
//! [`keys`] turns bytes into keys, [`slots`] is the ten words being typed (no I/O: keys in, state
//! out), [`page`] and [`view`] turn the state into what a screen of any size shows, [`sheet`] shows
//! a drawn code, [`hunt`] the search after a refusal, [`armour`] takes a signature. The terminal itself
//! is `terminal.rs`.
//!
//! Every buffer here that holds letters of a word is wiped when dropped, and has its full size from
//! the beginning: a buffer that grows leaves a copy behind. Nothing here is `Debug` or `Clone`.

pub(crate) mod armour;
pub(crate) mod hunt;
pub(crate) mod keys;
pub(crate) mod line;
pub(crate) mod page;
pub(crate) mod sheet;
pub(crate) mod slots;
mod view;

pub(crate) use view::Entry;
