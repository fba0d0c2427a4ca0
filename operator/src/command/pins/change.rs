//! A change of the list, in words.

use std::collections::BTreeSet;

use tenwords_protocol::operators::{OperatorList, Role, Signer};

use crate::{show::table, sshsig::fingerprint};

/// A line for each key that is not as before.
pub(super) fn told(before: &OperatorList, after: &OperatorList) -> Vec<String> {
    let find = |list: &OperatorList, key: &[u8]| list.signers().iter().find(|signer| signer.key() == key).cloned();
    let mut lines = Vec::new();
    for was in before.signers() {
        let named = named(was);
        match find(after, was.key()) {
            None => lines.push(format!("- {named} loses everything: {}", roles(was))),
            Some(is) if is.roles() != was.roles() => {
                lines.push(format!("~ {named}: {} instead of {}", roles(&is), roles(was)));
            }
            Some(_) => {}
        }
    }
    for is in after.signers().iter().filter(|is| find(before, is.key()).is_none()) {
        lines.push(format!("+ {} may then {}", named(is), rights(is.roles())));
    }
    lines
}

/// What would be wrong with the list afterwards, said loudly.
pub(super) fn warnings(after: &OperatorList) -> Vec<String> {
    let nobody = |role: Role| !after.signers().iter().any(|signer| signer.roles().contains(&role));
    let mut warnings = Vec::new();
    if nobody(Role::Recovery) {
        warnings.push(
            "NO recovery key is left in it: no statement could ever change it again, on any box; only somebody with \
             root on each box could"
                .to_owned(),
        );
    }
    if nobody(Role::Operational) {
        warnings.push(
            "NO operational key is left in it: nobody could sign an order, and no box would overwrite anything"
                .to_owned(),
        );
    }
    warnings
}

/// The keys with their roles.
pub(super) fn keys(list: &OperatorList) -> String {
    if list.signers().is_empty() {
        return "  no key: nothing destructive can be ordered\n".to_owned();
    }
    let row =
        |signer: &Signer| vec![format!("  {}", fingerprint(signer.key())), signer.key_type().to_owned(), roles(signer)];
    table(&list.signers().iter().map(row).collect::<Vec<_>>())
}

fn named(signer: &Signer) -> String {
    format!("{} ({})", fingerprint(signer.key()), signer.key_type())
}

pub(super) fn roles(signer: &Signer) -> String {
    signer.roles().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn rights(roles: &BTreeSet<Role>) -> String {
    let right = |role: &Role| match role {
        Role::Operational => "sign orders",
        Role::Recovery => "change this list",
    };
    roles.iter().map(right).collect::<Vec<_>>().join(" and ")
}
