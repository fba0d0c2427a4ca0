//! What a rehearsal has made is taken away: guests in its own pool that are stopped, archives in its folder,
//! its scratch storages. It may be done again from any point, and never touches what does not carry the
//! rehearsal's mark, nor anything of a recovery in earnest.

use std::{
    fs, io,
    path::{Component, Path},
};

use pbs_driver::{
    Client,
    pve::{
        Node,
        torn::{self, Found, Volumes},
    },
};
use pbs_format::pxar;

use super::of;
use crate::{
    exit::{Code, Outcome, Stop},
    recover::{
        course::{Begun, Course, ItemId, Mark, What},
        install, log,
        plan::chain,
        report::RestoredGuest,
        target::TargetFolder,
    },
    show::harmless,
};

/// What came of it.
pub(super) struct Tidied {
    pub(super) removed: Vec<String>,
    /// Somebody else's by now.
    pub(super) stays: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// How it came to one thing.
enum One {
    Removed,
    Gone,
    Stays(String),
    Failed(String),
}

/// For the report of a rehearsal.
pub(in crate::recover) fn how_to_tidy(begun: &Begun, is_without_guests: bool) -> String {
    let into = begun.into.display();
    let command = "when you have seen enough, `tenwords-agent recover --abort` takes away what this rehearsal has made";
    match log::pool(begun.recovery).filter(|_| !is_without_guests) {
        Some(pool) => format!(
            "{command}: the guests of pool {pool} (each must be stopped; one that is to stay is taken out of that pool \
             first) and what it restored into {into}. They have network addresses of their own and are not started \
             with the node; but what is set within a guest is as in its original, which lives: start none on its network"
        ),
        None => format!("{command}: what it restored into {into}"),
    }
}

/// Takes it away. An error is one after all that could be is gone; the same command goes on.
pub(super) fn tidy(course: &Course, begun: &Begun, node: Option<&Node>, client: &Client) -> Outcome<Tidied> {
    let mut tidied = Tidied { removed: Vec::new(), stays: Vec::new(), notes: Vec::new() };
    let mut failed = Vec::new();
    let is_ours = TargetFolder::look(&begun.into, Some(begun.recovery));
    for (item, what) in course.restored() {
        let one = match what {
            What::Guest(guest) => self::guest(course, begun, node, client, item, guest),
            What::Archive(archive) => match &is_ours {
                Ok(_) => self::archive(&begun.into, &archive.target),
                Err(stop) => One::Stays(stop.in_one_line()),
            },
        };
        match one {
            One::Removed => tidied.removed.push(of(what)),
            One::Gone => {}
            One::Stays(why) => tidied.stays.push(format!("{}: {}", of(what), harmless(&why, 300))),
            One::Failed(why) => failed.push(format!("{}: {}", of(what), harmless(&why, 300))),
        }
    }
    if let Some(node) = node
        && let Err(missing) = install::scratch::remove(node, begun.recovery)
    {
        failed.push(format!("{}: {}", missing.what, harmless(&missing.why, 300)));
    }
    if !failed.is_empty() {
        return Err(Stop::new(
            Code::Preflight,
            format!("not all that the rehearsal has made could be taken away: {}", failed.join("; ")),
        )
        .remedy("mend what is named (a guest that runs is stopped by hand: `pct stop N`, `qm stop N`); then run the same command again"));
    }
    if let Ok(folder) = is_ours
        && !folder.forget()?
    {
        tidied.notes.push(format!("what else lies in {} stays", begun.into.display()));
    }
    // Who is left in the pool was put there by somebody else, and is let go.
    tidied.notes.extend(log::dissolve(begun.recovery, node, client.private()));
    Ok(tidied)
}

fn guest(
    course: &Course,
    begun: &Begun,
    node: Option<&Node>,
    client: &Client,
    item: ItemId,
    guest: &RestoredGuest,
) -> One {
    let Some(node) = node else { return One::Failed("there is no Proxmox VE here now".to_owned()) };
    let (Some(pool), Some(Mark::Guest { volumes_before, storages_before, .. })) =
        (log::pool(begun.recovery), course.mark(item))
    else {
        return One::Stays("the journal has no mark of it".to_owned());
    };
    let kind = guest.kind.kind();
    match torn::look(node, kind, guest.vmid, &pool) {
        Ok(Found::Nothing) => One::Gone,
        Ok(Found::InPool { config_sha256 }) => {
            let before = Volumes { volumes: volumes_before.clone(), storages: storages_before.clone() };
            match torn::clear(node, client.private(), (kind, guest.vmid), config_sha256, &before) {
                Ok(()) => One::Removed,
                Err(error) => One::Failed(chain(&error)),
            }
        }
        Ok(Found::AtWork) => One::Failed("Proxmox VE is at work on it".to_owned()),
        Ok(Found::Unfinished { .. } | Found::Other { .. } | Found::Elsewhere) => {
            One::Stays(format!("it is not in the pool {pool} any more"))
        }
        Err(error) => One::Failed(chain(&error)),
    }
}

/// Only what lies below the folder that carries the mark; the folders that are empty then go too.
fn archive(into: &Path, target: &Path) -> One {
    let is_below = target.strip_prefix(into).is_ok_and(|rest| {
        rest.components().next().is_some() && rest.components().all(|part| matches!(part, Component::Normal(_)))
    });
    if !is_below {
        return One::Stays("it does not lie in the rehearsal's folder".to_owned());
    }
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return One::Gone,
        Err(error) => return One::Failed(error.to_string()),
        Ok(_) => {}
    }
    if let Err(error) = pxar::remove(target) {
        return One::Failed(error.to_string());
    }
    for folder in target.ancestors().skip(1).take_while(|folder| *folder != into) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    One::Removed
}
