//! The story, the searches and the walls, on the built programs: from the command line and the
//! terminal, as a person meets them.

mod after;
mod backups;
mod ceremony;
mod closure;
mod codes;
mod connect;
mod console;
mod consumption;
mod directive;
mod drill;
mod guests;
mod hostile;
mod hub;
mod inventory;
mod journal;
mod manners;
mod never_asked;
mod parallel;
mod preflight;
mod recordings;
mod recovery;
mod rehearsal;
mod resumed;
mod sheet;
mod sheet_pictures;
mod signals;
mod spoken;
mod stock;
mod story;
mod support;
mod swap;
mod terminals;
mod without_hub;
mod words_ceremony;
mod words_entry;
