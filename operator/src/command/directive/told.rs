//! A directive, and what changes between two, in words.

use tenwords_protocol::{
    directive::{Group, GroupType, Item, Place, Target, Wanted},
    holdings::Holdings,
};

use crate::show::clean;

/// `ct/101 "web"`, by what the box said its owner calls it.
pub(super) fn what(group: &Group, last: Option<&Holdings>) -> String {
    match last.and_then(|last| last.name_of(group)) {
        Some(name) => format!("{group} \"{}\"", clean(name)),
        None => group.to_string(),
    }
}

pub(super) fn snapshot(wanted: Wanted) -> String {
    match wanted {
        Wanted::At(time) => format!("the one of {time}"),
        Wanted::Newest => "newest".to_owned(),
        Wanted::Until(time) => format!("newest until {time}"),
    }
}

pub(super) fn target(item: &Item) -> String {
    match &item.target {
        Target::Archive(archive) => match archive.to {
            Place::NewFolder => format!("{} into a new folder", archive.archive),
            Place::Original => format!("{} to its original path", archive.archive),
        },
        Target::Guest(guest) => {
            let kind = match item.group.kind {
                GroupType::Ct => "container",
                GroupType::Host => "guest",
                GroupType::Vm => "virtual machine",
            };
            let number = item.number().map(|number| format!(" {number}")).unwrap_or_default();
            let storage = guest.storage.as_ref().map(|name| format!(" on storage {name}")).unwrap_or_default();
            format!("{kind}{number}{storage}")
        }
    }
}

/// One item whole.
pub(super) fn item(item: &Item, last: Option<&Holdings>) -> String {
    let namespace = item.namespace.as_ref().map(|name| format!(" (namespace {name})")).unwrap_or_default();
    format!(
        "{} from {}{namespace}, {}, as {}",
        what(&item.group, last),
        item.source,
        snapshot(item.snapshot),
        target(item)
    )
}

/// What `to` does otherwise than `from`; empty if nothing.
pub(super) fn changes(from: &[Item], to: &[Item], last: Option<&Holdings>) -> Vec<String> {
    let mut lines = Vec::new();
    for before in from {
        let Some(after) = to.iter().find(|after| after.thing() == before.thing()) else {
            lines.push(format!("- {}", item(before, last)));
            continue;
        };
        let mut parts = Vec::new();
        if before.snapshot != after.snapshot {
            parts.push(format!("snapshot {} -> {}", snapshot(before.snapshot), snapshot(after.snapshot)));
        }
        if before.target != after.target {
            parts.push(format!("as {} -> {}", target(before), target(after)));
        }
        if !parts.is_empty() {
            lines.push(format!("~ {}: {}", what(&before.group, last), parts.join("; ")));
        }
    }
    let is_new = |after: &&Item| !from.iter().any(|before| before.thing() == after.thing());
    lines.extend(to.iter().filter(is_new).map(|after| format!("+ {}", item(after, last))));
    let order = |items: &[Item], others: &[Item]| -> Vec<String> {
        let both = items.iter().filter(|item| others.iter().any(|other| other.thing() == item.thing()));
        both.map(|item| format!("{:?}", item.thing())).collect()
    };
    if order(from, to) != order(to, from) {
        lines.push("~ the order is another one".to_owned());
    }
    lines
}

/// Groups of the last inventory that no item names, each once.
pub(super) fn left_out(items: &[Item], last: &Holdings) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for source in last.sources.iter() {
        for held in source.groups.iter() {
            let is_named = items
                .iter()
                .any(|item| item.group == held.group && (item.source == source.id || held.group.guest().is_some()));
            let named = what(&held.group, Some(last));
            if !is_named && !lines.contains(&named) {
                lines.push(named);
            }
        }
    }
    lines
}
