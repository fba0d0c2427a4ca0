//! What a box adds to its escrow without the ten words: keys and tokens that came after a ceremony.
//!
//! An update proves itself ([`open_chain`]). Its statement is signed by the box key whose public half
//! the root has; it names box, code and root; its number is the next one; it carries the hash of the
//! statement before it, the first one that of `root.age`; and it has the hash of its body, which only
//! the root's identity opens. A break ends the chain: what came before it stands, the rest is refused.
//!
//! The body has keys and tokens, and no field for a server, datastore, certificate, path or operator.
//! Whoever has stolen the box can make updates; they give a recovery nothing but more keys, and other
//! secrets for the sources that the root has. Therefore also: of two updates with one number the one that
//! was stored first stands.
//!
//! The reader of JSON takes one key file's text at a time through memory of its own, which it does not
//! wipe, as age does with a chunk of what it opens; everything on our side of them is wiped.

mod body;
mod chain;
mod make;
#[cfg(test)]
mod tests;

pub use self::{
    chain::{Break, Chain, ChainedStatement, Followed, OpenedUpdate, UpdateError, follow, open_chain},
    make::{Ceremony, Contents, Link, MakeError, make},
};
