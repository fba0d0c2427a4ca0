//! `tenwords pins`: the list of keys that boxes believe, and the statements that change it.
//!
//! A change is written as a statement ([`mod@propose`]), signed by a recovery key of the list that it
//! replaces ([`mod@sign`]) and left for every box ([`mod@send`]), until somebody has the hub carry it no more
//! ([`mod@end`]). The operator's own list begins with the file that was put on the boxes ([`mod@init`]) and
//! follows only such statements ([`mod@take`]).

mod change;
mod end;
mod init;
mod lists;
mod propose;
mod send;
mod show;
mod sign;
mod take;

use std::path::Path;

use tenwords_protocol::{
    json,
    operators::{Pins, PinsStatement, Role},
};

pub(super) use self::{
    end::run as end, init::run as init, propose::run as propose, send::run as send, show::run as show,
    sign::run as sign, take::run as take,
};
use super::Desk;
use crate::{failure::Failure, files, operators::Operators, show::clean, sshkeygen, sshsig::Armour};

/// Of a file with a list or a statement, in bytes.
const LARGEST_FILE: usize = 1 << 20;

/// The own list, or the one in a file that was named instead.
fn current(desk: &Desk, from: Option<&Path>) -> Result<Operators, Failure> {
    if let Some(from) = from {
        return lists::read(from).map(|found| found.operators);
    }
    Operators::read(&desk.settings.state)?.ok_or_else(|| {
        let remedy = "begin it with the file that was put on your boxes: tenwords pins init FILE";
        Failure::usage("no_operators", "you keep no list of operator keys yet", remedy)
    })
}

/// A statement that changes this list, and nothing else.
fn statement(text: &[u8], current: &Operators) -> Result<PinsStatement, Failure> {
    let refused = |why: String| {
        let remedy = "`tenwords pins propose` writes one that changes your list";
        Failure::usage("statement", format!("that is no statement that changes this list: {why}"), remedy)
    };
    let statement = PinsStatement::parse(text).map_err(|why| refused(clean(&why.to_string())))?;
    if Some(statement.generation) != current.generation.checked_add(1) {
        let (of, ours) = (statement.generation, current.generation);
        return Err(refused(format!("it makes generation {of}, and this list is of generation {ours}")));
    }
    if statement.replaces != current.list.hash() {
        return Err(refused("it replaces another list of that generation".to_owned()));
    }
    lists::check(&statement.signers)?;
    Ok(statement)
}

/// That a recovery key of this list made the signature.
fn vouched(pins: &Pins, current: &Operators) -> Result<Armour, Failure> {
    let armour = Armour::parse(pins.signature.as_bytes(), tenwords_protocol::operators::NAMESPACE)?;
    may_sign(current, armour.key())?;
    sshkeygen::check(tenwords_protocol::operators::NAMESPACE, &pins.statement.0, &armour)?;
    Ok(armour)
}

/// That this key may change this list.
fn may_sign(current: &Operators, key: &[u8]) -> Result<(), Failure> {
    if current.has_role(key, Role::Recovery) {
        return Ok(());
    }
    let is = match current.signer(key) {
        Some(_) => "has not the role `recovery` there",
        None => "does not stand there",
    };
    let what = format!("the key {} may not change the list that is replaced: it {is}", crate::sshsig::fingerprint(key));
    Err(Failure::usage("not_recovery", what, "sign with a recovery key of that list; no box would take another"))
}

fn signed(path: &Path) -> Result<Pins, Failure> {
    json::from_slice(&files::read(path, LARGEST_FILE)?).map_err(|error| {
        let what = format!("{} is no signed statement: {error}", path.display());
        Failure::usage("pins", what, "`tenwords pins sign` writes one, pins-GENERATION.json")
    })
}
