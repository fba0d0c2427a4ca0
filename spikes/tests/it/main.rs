//! The story, the searches and the walls, on the built programs: from the command line and the
//! terminal, as a person meets them.

mod backups;
mod ceremony;
mod console;
mod consumption;
mod guests;
mod hostile;
mod hub;
mod inventory;
mod manners;
mod preflight;
mod recovery;
mod sheet;
mod signals;
mod stock;
mod story;
mod support;
mod words_ceremony;
mod words_entry;
mod words_screen;
