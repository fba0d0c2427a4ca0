//! `tenwords directive`: what can be typed, and how times, guests and storages are written.

use std::{num::NonZeroU32, num::NonZeroU64, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use tenwords_protocol::{
    directive::{Group, Name, Wanted},
    time::Timestamp,
};

use super::Which;

const EDIT_AFTER: &str = "\
Without options your editor opens ($VISUAL, else $EDITOR, else vi) on what stands, one item a line.
Whatever you ask for is shown in words first, and asked for; --yes sends it without asking.

  tenwords directive edit lab-1 --only ct/101,vm/102        these first, and nothing else
  tenwords directive edit lab-1 --as-of 2026-03-03          each as it was that day (to its end, UTC)
  tenwords directive edit lab-1 --storage local-zfs         all guests to that storage
  tenwords directive edit lab-1 --vmid ct/101=201           under another number
  tenwords directive edit lab-1 --file items.json           items that a program has written
  tenwords directive edit lab-1 --auto                      drop it: everything, newest, again

What a directive does not name is not restored. The recovery names what it leaves there. Until it has
ended well, the same command on the new machine takes in what you edit meanwhile; afterwards Proxmox VE
itself restores what was left, from the storage that is back.";

const SHOW_AFTER: &str = "\
An automatic directive is made by the hub from the inventory that the box sends with each ceremony. It
is there to be looked at and edited, and holds nothing back: as long as it stands, a recovery restores
the newest good snapshot of everything it finds, named here or not. Yours, once you have edited it, is
followed to the letter, until `tenwords directive edit NAME --auto` drops it.";

#[derive(Debug, Subcommand)]
pub(crate) enum DirectiveCommand {
    /// What a recovery of this box would restore, and who says so
    #[command(after_help = SHOW_AFTER)]
    Show(ShowDirective),
    /// Choose what it restores: these guests only, as of a day, to another storage or number
    #[command(after_help = EDIT_AFTER)]
    Edit(EditDirective),
    /// What changed from one directive to another, in words
    Diff(DiffDirective),
}

#[derive(Debug, Args)]
pub(crate) struct ShowDirective {
    #[command(flatten)]
    pub(crate) which: Which,
    /// An earlier one by its number [default: the one that stands]
    #[arg(long, value_name = "N")]
    pub(crate) number: Option<NonZeroU64>,
    /// All of them, newest first, without their items
    #[arg(long, conflicts_with = "number")]
    pub(crate) history: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffDirective {
    #[command(flatten)]
    pub(crate) which: Which,
    /// From this number [default: the one before B]
    #[arg(value_name = "A")]
    pub(crate) from: Option<NonZeroU64>,
    /// To this number [default: the one that stands]
    #[arg(value_name = "B")]
    pub(crate) to: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
pub(crate) struct EditDirective {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only these, in this order: ct/101, or pbs:ct/101 to say from which source
    #[arg(long, value_name = "GROUP,…", value_delimiter = ',')]
    pub(crate) only: Vec<Choice>,
    /// Each as it was then: a day (to its end, UTC), a time, or `newest`
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<AsOf>,
    /// Guests go to this storage of the new machine: NAME for all, GROUP=NAME for one
    #[arg(long, value_name = "[GROUP=]NAME")]
    pub(crate) storage: Vec<ToStorage>,
    /// This guest gets that number
    #[arg(long, value_name = "GROUP=N")]
    pub(crate) vmid: Vec<Numbered>,
    /// The items from a file, written as the editor shows them; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "as_of", "storage", "vmid"])]
    pub(crate) file: Option<PathBuf>,
    /// Drop what was edited: the automatic one stands again, and everything is restored
    #[arg(long, conflicts_with_all = ["only", "as_of", "storage", "vmid", "file"])]
    pub(crate) auto: bool,
    /// Send it without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A group, perhaps with the source that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) source: Option<Name>,
    pub(crate) group: Group,
}

/// Which snapshot of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsOf(pub(crate) Wanted);

/// A storage for one guest or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToStorage {
    pub(crate) group: Option<Group>,
    pub(crate) storage: Name,
}

/// Another number for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) group: Group,
    pub(crate) number: NonZeroU32,
}

impl EditDirective {
    /// Whether anything says how it is to be changed, so that no editor is needed.
    pub(crate) fn has_changes(&self) -> bool {
        !self.only.is_empty() || self.as_of.is_some() || !self.storage.is_empty() || !self.vmid.is_empty()
    }
}

impl FromStr for Choice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "a group such as ct/101, vm/102 or host/box1; with its source, pbs:ct/101";
        let (source, group) = match text.split_once(':') {
            Some((source, group)) => (Some(source.parse().map_err(|_| wrong)?), group),
            None => (None, text),
        };
        Ok(Self { source, group: group.parse().map_err(|_| wrong)? })
    }
}

impl FromStr for AsOf {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "newest" {
            return Ok(Self(Wanted::Newest));
        }
        let day = format!("{text}T23:59:59Z").parse::<Timestamp>();
        let until = text.parse().or(day).map_err(
            |_| "a day such as 2026-03-03, a time such as 2026-03-03T12:00:00Z (UTC, both), or the word newest",
        )?;
        Ok(Self(Wanted::Until(until)))
    }
}

impl FromStr for ToStorage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "a storage's name such as local-zfs, or for one guest ct/101=local-zfs";
        let (group, storage) = match text.split_once('=') {
            Some((group, storage)) => (Some(group.parse().map_err(|_| wrong)?), storage),
            None => (None, text),
        };
        Ok(Self { group, storage: storage.parse().map_err(|_| wrong)? })
    }
}

impl FromStr for Numbered {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "a guest and its new number, 100 to 999999999: ct/101=201";
        let (group, number) = text.split_once('=').ok_or(wrong)?;
        let number: NonZeroU32 = number.parse().map_err(|_| wrong)?;
        if !(100..=999_999_999).contains(&number.get()) {
            return Err(wrong);
        }
        Ok(Self { group: group.parse().map_err(|_| wrong)?, number })
    }
}
