//! Evidence that anyone can run again.
//!
//! | to see | look at |
//! | --- | --- |
//! | the whole story, from a key to ten words to another box | [`demo`] |
//! | how keys are escrowed with the client alone, phase by phase | [`consumption`] |
//! | what a customer sees at a terminal, and its recordings | [`customer`], [`record`] |
//! | the world in which the story happens | [`world`] |
//! | what a hub does under many boxes | [`load`] |
//! | what a process costs | [`measure`] |
//! | how it is known that no secret lies where it must not | [`search`] |
//! | how it is known that the data is the same | [`tree`] |
//!
//! Everything here drives the programs that are shipped, as a person would: by their command lines
//! and on a real terminal. Nothing in the product knows that it is watched.
#![expect(clippy::disallowed_methods, reason = "evidence starts the programs that it is about, and asks the clock")]

pub mod consumption;
pub mod customer;
pub mod demo;
pub mod load;
pub mod measure;
pub mod process;
pub mod programs;
pub mod real;
pub mod record;
pub mod search;
pub mod story;
pub mod terminal;
pub mod tree;
pub mod world;
