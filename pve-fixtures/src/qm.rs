//! `qm`: what is done with a machine that is there.

use crate::{
    Died,
    arguments::Own,
    guest, removal,
    root::{Kind, Root},
};

pub(crate) fn run(own: &Own) -> Result<(), Died> {
    let (command, words) = own.rest.split_first().ok_or("ERROR: no command specified")?;
    if removal::knows(command) {
        return removal::run(&Root::open(own)?, Kind::Vm, command, words);
    }
    if !guest::knows(Kind::Vm, command) {
        return Err(format!("ERROR: unknown command 'qm {command}'"));
    }
    guest::run(&Root::open(own)?, Kind::Vm, command, words)
}
