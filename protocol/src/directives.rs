//! A box's directives at the hub: how one is made from what the box said, what makes one sound, and
//! what operators ask and are told.
//!
//! Each has a number, one more than the one before it, and is kept. The newest is the one that stands.
//! One that was made automatically names what the last inventory knew, to be looked at and edited; it
//! holds nothing back: a recovery goes by it only once an operator has made it his own, and until then
//! restores the newest good snapshot of everything that it finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU32, NonZeroU64},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    directive::{AsArchive, AsGuest, Directive, Group, Item, Name, Namespace, Place, Target, Wanted},
    hash::Sha256,
    holdings::{HeldGroup, HeldSource, Holdings},
    json,
    time::Timestamp,
    v1::V1,
};

/// Items of one directive, at most.
pub const MAX_ITEMS: usize = 1000;
/// Bytes of one directive, at most.
pub const MAX_DIRECTIVE_BYTES: usize = 128 << 10;

/// How a directive came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The hub made it from an inventory.
    Automatic,
    /// An operator wrote it.
    Operator,
}

/// What the hub keeps of a directive beside its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectiveHead {
    /// Its number.
    pub number: NonZeroU64,
    /// When it was made, by the hub's clock.
    pub made_at: Timestamp,
    /// How.
    pub origin: Origin,
    /// The operator who edited it, or went back to the automatic one; absent if the hub made it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The version whose inventory it was made from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<NonZeroU64>,
    /// How many items.
    pub items: u64,
    /// Groups that the inventory had and the directive could not take.
    pub left_out: u64,
    /// Over its text.
    pub sha256: Sha256,
}

/// One directive as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDirective {
    /// Always 1.
    pub v: V1,
    /// What is kept beside it.
    pub head: DirectiveHead,
    /// Its text.
    pub directive: Directive,
}

/// `GET /v1/boxes/{box_id}/directives`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectiveList {
    /// Always 1.
    pub v: V1,
    /// Newest first.
    pub directives: Vec<DirectiveHead>,
}

/// `POST /v1/boxes/{box_id}/directives`: an operator's own, or back to the automatic one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// Always 1.
    pub v: V1,
    /// The newest number when the edit began, 0 if there was none: an edit of what is not the newest any
    /// more is refused.
    pub based_on: u64,
    /// Drop what was edited: the automatic one stands again.
    #[serde(default)]
    pub automatic: bool,
    /// What to restore; empty for the automatic one.
    #[serde(default)]
    pub items: Vec<Item>,
}

/// A directive made from an inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// Guests by number, then archives.
    pub items: Vec<Item>,
    /// Groups of the inventory that it does not name.
    pub left_out: u64,
}

/// Why items are no directive.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsound {
    /// It would mean everything, which is not what somebody means who writes nothing.
    #[error("it names nothing to restore: an empty directive is none")]
    Empty,
    /// More than [`MAX_ITEMS`], or [`MAX_DIRECTIVE_BYTES`].
    #[error("it is too large: {MAX_ITEMS} items and {} KiB are the limit", MAX_DIRECTIVE_BYTES >> 10)]
    TooLarge,
    /// The same thing stands there twice.
    #[error("{0} stands there twice")]
    Twice(String),
    /// Two guests with one number.
    #[error("{0} and another guest would both become {1}")]
    SameNumber(String, NonZeroU32),
}

/// What is one thing: a guest, or one archive of a group.
pub type Thing<'i> = (&'i Name, Option<&'i Namespace>, &'i Group, Option<&'i Name>);

// === impl ===

/// The directive that names all that a box said it had: guests in the order of their numbers, each from
/// where its newest snapshot was and wherever its configuration wants it, then every archive of other
/// groups into a new folder. Always the newest snapshot, so that what is made later is not passed over.
#[must_use]
pub fn automatic(holdings: &Holdings) -> Made {
    let mut guests: BTreeMap<(NonZeroU32, &Group), (&HeldSource, &HeldGroup)> = BTreeMap::new();
    let (mut archives, mut groups) = (Vec::new(), 0);
    for source in holdings.sources.iter() {
        groups += source.groups_left_out;
        for held in source.groups.iter() {
            let Some(number) = held.group.guest() else {
                archives.push((source, held));
                continue;
            };
            let best = guests.entry((number, &held.group)).or_insert((source, held));
            if best.1.newest < held.newest {
                *best = (source, held);
            }
        }
    }
    let mut made = Made { items: Vec::new(), left_out: groups };
    let mut room = MAX_DIRECTIVE_BYTES;
    for (source, held) in guests.into_values() {
        made.add(&mut room, vec![item(source, held, Target::Guest(AsGuest { vmid: None, storage: None }))]);
    }
    for (source, held) in archives {
        let to_folder = |archive: &Name| AsArchive { archive: archive.clone(), to: Place::NewFolder };
        let of_group = held.archives.iter().map(|name| item(source, held, Target::Archive(to_folder(name))));
        made.add(&mut room, of_group.collect());
    }
    made
}

fn item(source: &HeldSource, held: &HeldGroup, target: Target) -> Item {
    Item { source: source.id.clone(), namespace: None, group: held.group.clone(), snapshot: Wanted::Newest, target }
}

impl Made {
    /// A group with all its archives, or not at all.
    fn add(&mut self, room: &mut usize, items: Vec<Item>) {
        // Head, commas and brackets are far less than the hundred bytes that are kept free.
        let bytes = json::to_vec(&items).map_or(usize::MAX, |text| text.len()).saturating_add(100);
        if items.is_empty() || self.items.len() + items.len() > MAX_ITEMS || bytes > *room {
            self.left_out += 1;
            return;
        }
        *room -= bytes - 100;
        self.items.extend(items);
    }
}

impl Item {
    /// What it is about, whichever snapshot and wherever to.
    #[must_use]
    pub fn thing(&self) -> Thing<'_> {
        let archive = match &self.target {
            Target::Archive(archive) => Some(&archive.archive),
            Target::Guest(_) => None,
        };
        (&self.source, self.namespace.as_ref(), &self.group, archive)
    }

    /// The number that the guest would have.
    #[must_use]
    pub fn number(&self) -> Option<NonZeroU32> {
        match &self.target {
            Target::Archive(_) => None,
            Target::Guest(guest) => guest.vmid.or_else(|| self.group.guest()),
        }
    }
}

/// Whether these items are a directive that an operator may leave on a hub.
///
/// # Errors
/// [`Unsound`] says what is wrong, the first thing of it.
pub fn check(items: &[Item]) -> Result<(), Unsound> {
    if items.is_empty() {
        return Err(Unsound::Empty);
    }
    let directive = Directive { v: V1, number: u64::MAX, items: items.to_vec() };
    let size = json::to_vec(&directive).map_or(usize::MAX, |text| text.len());
    if items.len() > MAX_ITEMS || size > MAX_DIRECTIVE_BYTES {
        return Err(Unsound::TooLarge);
    }
    let (mut things, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for item in items {
        if !things.insert(item.thing()) {
            return Err(Unsound::Twice(item.group.to_string()));
        }
        if let Some(number) = item.number()
            && !numbers.insert(number)
        {
            return Err(Unsound::SameNumber(item.group.to_string(), number));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::bounded::List;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn held(group: &str, day: u8, archives: &[&str]) -> Result<HeldGroup, Box<dyn std::error::Error>> {
        let names = archives.iter().map(|name| name.parse()).collect::<Result<Vec<Name>, _>>()?;
        let newest = format!("2026-03-{day:02}T12:00:00Z").parse()?;
        let archives = List::cut(names).0;
        Ok(HeldGroup { group: group.parse()?, count: 1, newest, size: None, key: None, archives })
    }

    fn holdings(sources: &[(&str, Vec<HeldGroup>)]) -> Result<Holdings, Box<dyn std::error::Error>> {
        let source = |(id, groups): &(&str, Vec<HeldGroup>)| {
            let groups = List::cut(groups.clone()).0;
            Ok(HeldSource { id: id.parse()?, namespace: None, answered: true, groups, groups_left_out: 0 })
        };
        let sources = sources.iter().map(source).collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
        let made_at = "2026-03-05T12:00:00Z".parse()?;
        let (sources, guests) = (List::cut(sources).0, List::default());
        Ok(Holdings { v: V1, made_at, sources, guests, guests_left_out: 0 })
    }

    #[test]
    fn an_automatic_directive_names_guests_by_number_then_archives_and_always_the_newest() -> TestResult {
        let pbs = vec![
            held("ct/1000", 1, &[])?,
            held("ct/101", 2, &[])?,
            held("host/box1", 1, &["etc.pxar", "srv.pxar"])?,
            held("host/empty", 1, &[])?,
        ];
        let second = vec![held("ct/101", 3, &[])?, held("ct/0102", 1, &["root.pxar"])?, held("vm/102", 1, &[])?];
        let made = automatic(&holdings(&[("pbs", pbs), ("second", second)])?);
        let named: Vec<String> = made
            .items
            .iter()
            .map(|item| {
                format!(
                    "{} {} {} {}",
                    item.source,
                    item.group,
                    item.snapshot,
                    match &item.target {
                        Target::Guest(_) => "guest".to_owned(),
                        Target::Archive(archive) => archive.archive.to_string(),
                    }
                )
            })
            .collect();
        assert_eq!(
            named,
            [
                "second ct/101 newest guest",
                "second vm/102 newest guest",
                "pbs ct/1000 newest guest",
                "pbs host/box1 newest etc.pxar",
                "pbs host/box1 newest srv.pxar",
                "second ct/0102 newest root.pxar",
            ]
        );
        assert_eq!(made.left_out, 1, "a group without a known archive cannot be named");
        assert_eq!(check(&made.items), Ok(()));
        Ok(())
    }

    #[test]
    fn however_much_a_box_says_it_has_its_directive_stays_small_and_what_is_left_out_is_counted() -> TestResult {
        let id = "x".repeat(64);
        let mut groups = Vec::new();
        for number in 1..=3000 {
            groups.push(held(&format!("ct/{number}"), 1, &[])?);
        }
        let made = automatic(&holdings(&[(&id, groups)])?);
        assert_eq!(check(&made.items), Ok(()));
        assert_eq!(u64::try_from(made.items.len())? + made.left_out, 3000);
        assert!(made.left_out >= 2000);
        Ok(())
    }

    #[test]
    fn what_would_be_restored_twice_or_not_at_all_is_no_directive() -> TestResult {
        let made = automatic(&holdings(&[("pbs", vec![held("ct/101", 1, &[])?, held("vm/102", 1, &[])?])])?);
        let number = NonZeroU32::new(101);
        let [one, two] = &made.items[..] else { return Err("two items".into()) };
        let as_101 = Item { target: Target::Guest(AsGuest { vmid: number, storage: None }), ..two.clone() };
        assert_eq!(check(&[]), Err(Unsound::Empty));
        assert_eq!(check(&[one.clone(), one.clone()]), Err(Unsound::Twice("ct/101".into())));
        assert!(matches!(check(&[one.clone(), as_101]), Err(Unsound::SameNumber(..))));
        let many = vec![one.clone(); MAX_ITEMS + 1];
        assert_eq!(check(&many), Err(Unsound::TooLarge));
        Ok(())
    }
}
