//! Recovery code, sealing and opening, the root, the one door, double verification.

pub mod code;
pub mod door;
pub mod gate;
pub mod keyboard;
pub mod keys;
pub mod open;
pub mod root;
pub mod seal;
pub mod secret;
pub mod select;
pub mod signers;
mod text;
mod typed;
pub mod verify;
mod wordlist;
