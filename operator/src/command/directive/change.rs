//! What the options ask for, done to the items of a directive. Nothing is asked or sent here.

use tenwords_protocol::{
    directive::{AsGuest, GroupType, Item, Name, Target, Wanted},
    directives,
    holdings::Holdings,
};

use crate::{
    cli::{Choice, EditDirective},
    failure::Failure,
};

/// The items as they are to be.
pub(super) fn apply(base: Vec<Item>, last: Option<&Holdings>, edit: &EditDirective) -> Result<Vec<Item>, Failure> {
    let mut items = if edit.only.is_empty() { base } else { chosen(&base, last, &edit.only)? };
    if items.is_empty() {
        return Err(nothing());
    }
    if let Some(as_of) = edit.as_of {
        items.iter_mut().for_each(|item| item.snapshot = as_of.0);
    }
    for to in &edit.storage {
        let of_all = to.group.is_none();
        let mut guests = guests(&mut items).filter(|(item, _)| of_all || to.group.as_ref() == Some(item)).peekable();
        if guests.peek().is_none() {
            let what = to.group.as_ref().map_or("no guest is".to_owned(), |group| format!("{group} as a guest is not"));
            return Err(not_there(&what));
        }
        guests.for_each(|(_, guest)| guest.storage = Some(to.storage.clone()));
    }
    for numbered in &edit.vmid {
        let mut guests = guests(&mut items).filter(|(group, _)| *group == numbered.group);
        let Some((_, guest)) = guests.next() else {
            return Err(not_there(&format!("{} as a guest is not", numbered.group)));
        };
        guest.vmid = Some(numbered.number);
    }
    Ok(items)
}

fn guests(items: &mut [Item]) -> impl Iterator<Item = (tenwords_protocol::directive::Group, &mut AsGuest)> {
    items.iter_mut().filter_map(|item| match &mut item.target {
        Target::Guest(guest) => Some((item.group.clone(), guest)),
        Target::Archive(_) => None,
    })
}

/// Those that were chosen, in the order in which they were: as they stand, else as the last inventory has
/// them, else, where the source is plain, as the guest that the group names.
fn chosen(base: &[Item], last: Option<&Holdings>, choices: &[Choice]) -> Result<Vec<Item>, Failure> {
    let known = last.map(|last| directives::automatic(last).items).unwrap_or_default();
    let mut items: Vec<Item> = Vec::new();
    for choice in choices {
        let is_it = |item: &&Item| {
            item.group == choice.group && choice.source.as_ref().is_none_or(|source| *source == item.source)
        };
        let mut found: Vec<Item> = base.iter().filter(is_it).cloned().collect();
        if found.is_empty() {
            found = known.iter().filter(is_it).cloned().collect();
        }
        if found.is_empty() {
            found = vec![unknown(base, last, choice)?];
        }
        items.extend(found);
    }
    Ok(items)
}

/// One that neither names: made since the last inventory, or at a source that is not the nearest.
fn unknown(base: &[Item], last: Option<&Holdings>, choice: &Choice) -> Result<Item, Failure> {
    let group = &choice.group;
    let seen = match last {
        Some(last) => format!("the box's last inventory, of {}, does not name {group}", last.made_at),
        None => format!("the box has sent no inventory yet, so the hub does not know {group}"),
    };
    if group.kind == GroupType::Host || group.guest().is_none() {
        let remedy = "its archives have to be named: write it into the text that `tenwords directive edit` opens";
        return Err(Failure::usage("unknown_group", seen, remedy));
    }
    let mut sources: Vec<&Name> = base.iter().map(|item| &item.source).collect();
    sources.extend(last.iter().flat_map(|last| last.sources.iter()).map(|source| &source.id));
    sources.sort();
    sources.dedup();
    let source = match (&choice.source, &sources[..]) {
        (Some(named), _) => named.clone(),
        (None, [one]) => (*one).clone(),
        (None, several) => {
            let known: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
            let known = if known.is_empty() { "pbs".to_owned() } else { known.join(" or ") };
            let remedy =
                format!("if it was made since, say from which source: SOURCE:{group}, with {known} for SOURCE");
            return Err(Failure::usage("unknown_group", seen, remedy));
        }
    };
    let target = Target::Guest(AsGuest { vmid: None, storage: None });
    Ok(Item { source, namespace: None, group: group.clone(), snapshot: Wanted::Newest, target })
}

fn nothing() -> Failure {
    let what = "there is nothing to change: no directive stands, and the box has sent no inventory to make one of";
    let remedy = "name what to restore with its source: --only pbs:ct/101,pbs:vm/102";
    Failure::usage("no_directive", what, remedy)
}

fn not_there(what: &str) -> Failure {
    let remedy = "`tenwords directive show NAME` shows what stands; --only takes in what the box has beside it";
    Failure::usage("not_in_directive", format!("{what} in the directive"), remedy)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;
    use tenwords_protocol::json;

    use super::*;
    use crate::cli::{Arguments, Command, DirectiveCommand};

    fn edit(options: &[&str]) -> EditDirective {
        let typed = [&["tenwords", "directive", "edit", "lab-1"], options].concat();
        match Arguments::try_parse_from(typed).unwrap().command {
            Command::Directive(DirectiveCommand::Edit(edit)) => edit,
            _ => panic!("an edit"),
        }
    }

    fn last() -> Holdings {
        json::from_slice(
            br#"{"v":1,"made_at":"2026-03-03T12:00:00Z","guests":[{"group":"ct/101","name":"web","covered":true}],
            "sources":[{"id":"pbs","answered":true,"groups":[
            {"group":"ct/101","count":1,"newest":"2026-03-03T02:00:00Z"},
            {"group":"host/box1","count":1,"newest":"2026-03-03T02:00:00Z","archives":["etc.pxar","srv.pxar"]},
            {"group":"vm/102","count":1,"newest":"2026-03-03T02:00:00Z"}]}]}"#,
        )
        .unwrap()
    }

    fn done(options: &[&str]) -> Result<Vec<String>, Failure> {
        let last = last();
        let base = directives::automatic(&last).items;
        let items = apply(base, Some(&last), &edit(options))?;
        Ok(items.iter().map(|item| super::super::told::item(item, None)).collect())
    }

    #[test]
    fn each_option_does_what_it_says_and_together_they_do_all_of_it() {
        assert_eq!(
            done(&["--only", "vm/102,ct/101"]).unwrap(),
            ["vm/102 from pbs, newest, as virtual machine 102", "ct/101 from pbs, newest, as container 101"]
        );
        assert_eq!(
            done(&["--only", "host/box1", "--as-of", "2026-03-01"]).unwrap(),
            [
                "host/box1 from pbs, newest until 2026-03-01T23:59:59Z, as etc.pxar into a new folder",
                "host/box1 from pbs, newest until 2026-03-01T23:59:59Z, as srv.pxar into a new folder"
            ]
        );
        let all = ["--only", "ct/101,vm/102", "--as-of", "2026-03-01T04:00:00Z", "--storage", "zfs"];
        assert_eq!(
            done(&[&all[..], &["--storage", "vm/102=slow", "--vmid", "ct/101=201"]].concat()).unwrap(),
            [
                "ct/101 from pbs, newest until 2026-03-01T04:00:00Z, as container 201 on storage zfs",
                "vm/102 from pbs, newest until 2026-03-01T04:00:00Z, as virtual machine 102 on storage slow"
            ]
        );
        // One that was made since the inventory: there is one source that it can be at.
        assert_eq!(done(&["--only", "ct/109"]).unwrap(), ["ct/109 from pbs, newest, as container 109"]);
        assert_eq!(done(&["--only", "second:ct/101"]).unwrap(), ["ct/101 from second, newest, as container 101"]);
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_what_to_do() {
        for (options, code) in [
            (&["--only", "host/box9"][..], "unknown_group"),
            (&["--vmid", "ct/109=201"], "not_in_directive"),
            (&["--storage", "ct/109=zfs"], "not_in_directive"),
            (&["--only", "host/box1", "--storage", "zfs"], "not_in_directive"),
        ] {
            let failure = format!("{:?}", done(options).unwrap_err());
            assert!(failure.contains(code), "{options:?} {failure}");
        }
        assert!(format!("{:?}", apply(Vec::new(), None, &edit(&["--as-of", "newest"]))).contains("no_directive"));
        assert!(format!("{:?}", apply(Vec::new(), None, &edit(&["--only", "ct/101"]))).contains("SOURCE:ct/101"));
    }
}
