//! What needs an operator's word: asked for, waited for, and used once.
//!
//! The order of things is the wall. A [`wish::Wish`] says what would be destroyed and what comes in its
//! place, as the box itself sees it. The [`Desk`] draws a challenge for it, notes it in the journal,
//! writes the exact text, shows it with its code and posts it. What comes back is judged by
//! `tenwords_escrow::order`; a good answer closes the challenge on the disk, and only then is there a
//! [`permit::Permit`], without which nothing that exists is replaced. The hub's part in this is to carry
//! bytes.

mod desk;
pub(crate) mod given_up;
mod inbox;
pub(crate) mod permit;
pub(crate) mod there;
pub(crate) mod waiting;
pub(crate) mod wish;

pub(crate) use self::{
    desk::{Desk, folder},
    inbox::Inbox,
    permit::Permit,
    waiting::{Thing, Waiting},
    wish::Wish,
};
