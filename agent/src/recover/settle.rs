//! What an earlier run has left unfinished: brought to its end, taken away, or left alone because it is
//! not this recovery's.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use pbs_driver::{
    Client,
    pve::{
        Node,
        former::AsFound,
        replaced::{self, Former},
        torn::{self, Volumes},
    },
};
use tenwords_protocol::time::Timestamp;

use super::{
    course::{Event, ItemId, Mark, Standing},
    log::Log,
    plan::chain,
    report::GuestKind,
    stage::Stage,
};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
};

/// What came of it, for a person.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It had come as far as its end, and is there.
    Finished,
    /// The same, and what it replaced lies beside it still; why that is known.
    Beside(String),
    /// It is taken away, and begun anew.
    Cleared,
    /// Somebody else's lies there now; why that is known.
    NotOurs(String),
    /// PVE has restored this guest to its end, and nobody looked afterwards. It may be in use by now, and is
    /// not taken away.
    Unseen(GuestKind, u32),
    /// A guest that nobody works on, that does not say it is unfinished, and that does not carry the mark, for this
    /// reason. PVE gives the mark last of all: who was ended right before leaves a whole guest without it. Whoever has
    /// its backup can tell; it is not taken away.
    Unmarked(GuestKind, u32, String),
}

/// Settles one. An error leaves it as it is, for another run.
///
/// Where the recovery is given up, nothing is destroyed any more: what was to replace something goes, unless it
/// has its place already.
pub(crate) fn settle(log: &Log, node: Option<&Node>, client: &Client, item: ItemId, way: Way) -> Outcome<Settled> {
    let standing = log.tell(|course| course.standing(item).clone());
    let mark = standing.mark().cloned();
    let settled = match standing.mark() {
        Some(Mark::Stage { stage, target, replaces }) => {
            match Stage::again(log.recovery(), item, (stage, target), *replaces) {
                Some(stage) => archive(&standing, &stage, way)?,
                None => Settled::NotOurs(format!("{} is no name that this recovery gives", stage.display())),
            }
        }
        Some(Mark::Guest {
            guest,
            vmid,
            volumes_before,
            storages_before,
            replaces,
            replaced_meaning,
            replaced_volumes,
        }) => {
            let node = node.ok_or_else(|| {
                Stop::new(Code::Preflight, format!("{guest} {vmid} was begun, and there is no Proxmox VE here now"))
                    .remedy("run the command on the node where it was begun")
            })?;
            let before = Volumes { volumes: volumes_before.clone(), storages: storages_before.clone() };
            let former = replaces.map(|config_sha256| AsFound {
                config_sha256,
                meaning_sha256: *replaced_meaning,
                volumes: replaced_volumes.clone(),
            });
            self::guest(log, node, client, (*guest, *vmid), (&standing, way), (&before, former.as_ref()))?
        }
        None => return Ok(Settled::Cleared),
    };
    if let Settled::Unseen(..) | Settled::Unmarked(..) = settled {
        return Ok(settled);
    }
    let at = Timestamp::now();
    log.note(match (&settled, standing) {
        (Settled::Finished | Settled::Beside(_), Standing::Staged { what, .. }) => {
            Event::Restored { at, item, what: *what }
        }
        (Settled::NotOurs(why), _) => Event::NotOurs { at, item, why: why.clone() },
        _ => Event::Cleared { at, item },
    })?;
    if let (Settled::Finished | Settled::Beside(_), Some(Mark::Stage { stage, target, replaces })) = (&settled, &mark)
        && let Some(stage) = Stage::again(log.recovery(), item, (stage, target), *replaces)
        && let Err(error) = stage.tidy()
    {
        tracing::warn!(%error, "a sign of a recovery is left");
    }
    Ok(settled)
}

/// Why it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The recovery goes on.
    On,
    /// It is given up.
    Up,
}

fn archive(standing: &Standing, stage: &Stage, way: Way) -> Outcome<Settled> {
    let cannot = || format!("what an interrupted run has left at {} cannot be settled", stage.path.display());
    if let Standing::Staged { inode, .. } = standing {
        // Whole, and judged: what was missing is its place at most.
        if stage.is_placed(*inode).or_stop(Code::Preflight, cannot)? {
            return Ok(finished(stage, *inode));
        }
        let is_to_be_placed = way == Way::On || stage.replaces.is_none();
        if is_to_be_placed && stage.inode().is_ok_and(|found| found == *inode) {
            match stage.place() {
                Ok(()) => return Ok(finished(stage, *inode)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    stage.clear().or_stop(Code::Preflight, cannot)?;
                    return Ok(Settled::NotOurs(format!("something lies at {}", stage.target.display())));
                }
                Err(error) => return Err(Stop::new(Code::Preflight, cannot()).because(error)),
            }
        }
    }
    stage.clear().or_stop(Code::Preflight, cannot)?;
    Ok(Settled::Cleared)
}

/// It has its place; what it replaced goes.
fn finished(stage: &Stage, inode: u64) -> Settled {
    match stage.remove_replaced(inode) {
        Ok(()) => Settled::Finished,
        Err(error) => Settled::Beside(format!("what it replaced lies at {} still: {error}", stage.path.display())),
    }
}

fn guest(
    log: &Log,
    node: &Node,
    client: &Client,
    (guest, vmid): (GuestKind, u32),
    (standing, way): (&Standing, Way),
    (before, former): (&Volumes, Option<&AsFound>),
) -> Outcome<Settled> {
    let cannot = || format!("what an interrupted run has left of {guest} {vmid} cannot be settled");
    let stop =
        |why: String, remedy: &str| Err(Stop::new(Code::Preflight, format!("{}: {why}", cannot())).remedy(remedy));
    let is_copy = log.tell(|course| course.begun().is_some_and(|begun| begun.rehearsal));
    let Some(pool) = log.pool() else { return stop("it has no mark".to_owned(), "tell the operator") };
    let look = || torn::look(node, guest.kind(), vmid, &pool).or_stop(Code::Preflight, cannot);
    let mut found = look()?;
    // PVE's program may have outlived the agent that started it, and ends with its first word to nobody.
    let since = Instant::now();
    while found == torn::Found::AtWork && since.elapsed() < PATIENCE {
        interrupt::check()?;
        thread::sleep(BETWEEN);
        found = look()?;
    }
    // What an order let replace may lie there still: then the restore had not taken anything away, and whatever the
    // journal says of what was left, it is not taken away here either.
    if let Some(former) = former
        && found != torn::Found::AtWork
    {
        let place = (guest.kind(), vmid);
        let state = replaced::look(node, client.private(), place, &pool, former);
        match state.or_stop(Code::Preflight, cannot)? {
            Former::Whole => {
                return Ok(Settled::NotOurs(format!("the {guest} {vmid} that was to be replaced is there still")));
            }
            Former::Locked => {
                replaced::give_back(node, client.private(), place, former, before).or_stop(Code::Preflight, cannot)?;
                return Ok(Settled::NotOurs(format!(
                    "the {guest} {vmid} that was to be replaced was there still, and Proxmox VE's lock is out of it"
                )));
            }
            Former::Gone(now) => found = now,
        }
    }
    match found {
        torn::Found::AtWork => {
            return stop(
                "Proxmox VE is still at work on it".to_owned(),
                "wait until its task has ended, then run the same command again",
            );
        }
        torn::Found::Elsewhere => return Ok(Settled::NotOurs(format!("{vmid} is another guest's number now"))),
        torn::Found::InPool { .. } if !is_copy && matches!(standing, Standing::Left { .. }) => {
            return stop(
                "Proxmox VE has restored it, and what it read could not be shown to be what was signed".to_owned(),
                &format!(
                    "do not use it: remove it by hand (`{} destroy {vmid}`); then run the same command again",
                    if guest == GuestKind::Ct { "pct" } else { "qm" }
                ),
            );
        }
        torn::Found::InPool { .. } if !is_copy => return Ok(Settled::Unseen(guest, vmid)),
        torn::Found::Nothing => return Ok(Settled::Cleared),
        torn::Found::InPool { .. } | torn::Found::Other { .. } | torn::Found::Unfinished { .. } => {}
    }
    let looked_at = match (found, standing) {
        // A rehearsal's copy is nobody's to use.
        (torn::Found::Unfinished { config_sha256 } | torn::Found::InPool { config_sha256 }, _) => config_sha256,
        (torn::Found::Other { config_sha256 }, Standing::Left { config_sha256: left, .. })
            if *left == config_sha256 =>
        {
            config_sha256
        }
        _ => {
            let why = format!("the {guest} {vmid} that is there does not carry this recovery's mark ({pool})");
            // A copy has nothing by which it could be told from one that somebody took out of the pool to keep it;
            // what an order let replace may have had the very configuration of its own backup.
            let may_be_whole = way == Way::On && !is_copy && former.is_none();
            return Ok(match standing {
                Standing::Started(_) if may_be_whole => Settled::Unmarked(guest, vmid, why),
                _ => Settled::NotOurs(why),
            });
        }
    };
    if let Err(error) = torn::clear(node, client.private(), (guest.kind(), vmid), looked_at, before) {
        return stop(
            chain(&error),
            "see what the cause names; if nobody needs what lies there, remove it by hand, with the volumes that are \
             this number's; then run the same command again",
        );
    }
    Ok(Settled::Cleared)
}

/// For a program of PVE's that is at work on a guest which an earlier run has begun.
const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_millis(250);
