//! One archive comes back by nothing but what the words opened, is held against its signed entry and the
//! live tree, and goes again.

use std::{path::Path, time::Instant};

use pbs_driver::Client;
use pbs_format::datastore::FileKind;
use serde::Serialize;
use tenwords_protocol::{
    directive::{Group, Name},
    drill::{DrilledArchive, Snapshot},
};

use super::{
    clock::Timed,
    compare::{self, Compared},
    scratch::Scratch,
};
use crate::{
    added::Added,
    cli,
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    opening::OpenedEscrow,
    recover::{
        connect::{self, Answers, Connected},
        orders::Waiting,
        plan::{Earlier, Ground, Keyring, Piece, Plan, Planner, Work},
        preflight,
        report::Missing,
        restore,
    },
    seat::Seat as _,
    settings::Configuration,
    show::{harmless, size},
    sources,
};

/// So much stays free for the box that lives on the same disk.
const LEFT_FREE: u64 = 256 << 20;
const NO_GUESTS: &str = "a drill makes no guest";

/// What a drill of an archive is done with.
pub(super) struct Setting<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) args: &'a cli::Drill,
    pub(super) client: &'a Client,
}

/// An archive that came back, and is gone again.
#[derive(Debug, Serialize)]
pub(crate) struct Brought {
    #[serde(flatten)]
    pub(crate) facts: DrilledArchive,
    /// Why this one.
    pub(crate) chosen: String,
    /// Whether its bytes were held against the signed entry while they came.
    pub(crate) is_held: bool,
    pub(crate) milliseconds: u128,
    /// What could not be looked at when it was counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) unseen: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compared: Option<Compared>,
    /// What the client said while it restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Lists, chooses, restores, counts, compares. What it has made in the scratch folder is the caller's to
/// remove.
pub(super) fn bring(
    setting: &Setting<'_>,
    (opened, added): (&OpenedEscrow, &Added),
    scratch: &Scratch,
    notes: &mut Vec<String>,
    seat: &mut Timed<'_>,
) -> Outcome<Brought> {
    let Setting { configuration, args, client } = setting;
    let trust = &opened.escrow.root().facts().trust;
    let connected = connected(setting, opened, added, notes)?;
    seat.lap("connect and list");
    interrupt::check()?;

    let keys = added.keyring(opened);
    let keyring = Keyring::new(client, &keys)?;
    let ground = Ground { why_not: NO_GUESTS, ..Ground::default() };
    let into = scratch.archive();
    let planner = Planner {
        client,
        keyring: &keyring,
        trust,
        ground: &ground,
        into: &into,
        lost_at: None,
        earlier: &Earlier::default(),
        is_rehearsal: true,
    };
    let plan = planner.plan(&connected, None);
    notes.extend(plan.notes.into_iter().filter(|note| !note.starts_with(NO_GUESTS)));
    let unproven = plan.waiting.iter().flat_map(Waiting::missing);
    let missing = plan.missing.into_iter().chain(unproven).collect();
    let (work, chosen) = choose(plan.work, missing, args, notes)?;
    let piece = work.archives.first().ok_or_else(|| Stop::new(Code::Internal, "nothing was chosen"))?;
    let (name, file, bytes) = (piece.name.clone(), piece.file.clone(), piece.bytes);
    has_room(bytes, &configuration.settings.state)?;
    let what = format!("{name} of {} from {}", work.snapshot.snapshot(), work.source.id);
    seat.say(&format!("  {} ({}): {chosen}", harmless(&what, 200), size(bytes)));
    let mut facts = facts(&work, &name)?;
    seat.lap("choose and gate");
    interrupt::check()?;

    let began = Instant::now();
    let plan = Plan { work: vec![with_target(work, &into)], ..Plan::default() };
    let (restored, missing) = restore::archives(client, &keyring, &plan, seat);
    seat.lap("restore");
    interrupt::check()?;
    let Some(restored) = restored.into_iter().next() else {
        let why = missing.into_iter().next().map(|missing| missing.why).unwrap_or_default();
        return Err(Stop::new(Code::PartlyRestored, format!("{what} did not come back: {why}"))
            .remedy("mend what the cause names, then run the drill again; `inventory` tells what lies on the server"));
    };
    let milliseconds = began.elapsed().as_millis();

    let counted = compare::count(&into);
    (facts.files, facts.bytes) = (counted.files, counted.bytes);
    let live = args
        .against
        .clone()
        .or_else(|| sources::original_path(trust, &facts.source, &facts.snapshot.group, &facts.archive));
    let compared = live.and_then(|live| beside(&into, &live, notes));
    seat.lap("count and compare");
    interrupt::check()?;
    let is_held = file.kind() != FileKind::Blob && !file.as_str().ends_with(".mpxar.didx");
    Ok(Brought { facts, chosen, is_held, milliseconds, unseen: counted.unseen, compared, said: restored.said })
}

/// The sources that answer, by the escrow's own tokens, with the snapshots that were asked for.
fn connected<'a>(
    setting: &Setting<'_>,
    opened: &'a OpenedEscrow,
    added: &Added,
    notes: &mut Vec<String>,
) -> Outcome<Vec<Connected<'a>>> {
    let Setting { args, client, .. } = setting;
    let root = opened.escrow.root();
    let known = |id: &Name| root.facts().trust.sources.iter().any(|source| source.id == *id);
    if let Some(id) = args.source.as_ref().filter(|id| !known(id)) {
        let names: Vec<_> = root.facts().trust.sources.iter().map(|source| source.id.as_str()).collect();
        return Err(Stop::new(Code::Usage, format!("the escrow has no source {id}"))
            .remedy(format!("name one of these with --source: {}", names.join(", "))));
    }
    let Answers { mut connected, missing, notes: told, .. } = connect::as_they_are(client, root, &added.tokens)?;
    notes.extend(told);
    connected.retain(|source| args.source.as_ref().is_none_or(|id| source.source.id == *id));
    if connected.is_empty() {
        let whys: Vec<_> = missing.into_iter().map(|missing| missing.why).collect();
        return Err(Stop::new(Code::Unreachable, format!("the source does not answer: {}", whys.join("; ")))
            .remedy("see that the backup server answers; then run the drill again"));
    }
    notes.extend(missing.into_iter().map(|missing| format!("{}: {}", missing.what, missing.why)));
    if let Some(group) = args.group.as_ref().map(Group::to_string) {
        for source in &mut connected {
            source.snapshots.retain(|info| info.snapshot.group().to_string() == group);
        }
        if connected.iter().all(|source| source.snapshots.is_empty()) {
            return Err(Stop::new(Code::Usage, format!("no source has a snapshot of {group}"))
                .remedy("`tenwords-agent inventory` lists the groups"));
        }
    }
    Ok(connected)
}

/// The archive that is asked for, else the smallest file archive: a drill is to be done in reasonable
/// time, and each archive comes back the same way.
fn choose<'a>(
    work: Vec<Work<'a>>,
    missing: Vec<Missing>,
    args: &cli::Drill,
    notes: &mut Vec<String>,
) -> Outcome<(Work<'a>, String)> {
    let named = args.archive.as_ref().and_then(Option::as_deref);
    let is_wanted = |piece: &Piece| match named {
        Some(name) => piece.name == name || piece.file.as_str() == name,
        None => piece.file.kind() == FileKind::Dynamic,
    };
    let (mut best, mut of, mut names) = (None::<(u64, Work<'a>)>, 0, Vec::new());
    for mut one in work {
        names.extend(one.archives.iter().map(|piece| format!("{} {}", one.snapshot.snapshot().group(), piece.name)));
        one.archives.retain(is_wanted);
        of += one.archives.len();
        one.archives.sort_by_key(|piece| piece.bytes);
        one.archives.truncate(1);
        let Some(bytes) = one.archives.first().map(|piece| piece.bytes) else { continue };
        if best.as_ref().is_none_or(|(least, _)| bytes < *least) {
            best = Some((bytes, one));
        }
    }
    let Some((_, best)) = best else {
        let whys: Vec<_> = missing.iter().map(|missing| format!("{}: {}", missing.what, missing.why)).collect();
        let stop = match (named, whys.is_empty()) {
            (_, false) => Stop::new(Code::GateRefused, format!("no snapshot can be restored: {}", whys.join("; ")))
                .remedy("hold a backup under an escrowed key, then run the drill again"),
            (Some(name), true) => {
                Stop::new(Code::Usage, format!("no newest proven snapshot has an archive {}", harmless(name, 100)))
                    .remedy(format!("name one of these: {}", harmless(&names.join(", "), 600)))
            }
            (None, true) if names.is_empty() => {
                Stop::new(Code::GateRefused, "there is no snapshot on any source that answered")
                    .remedy("hold a first backup, then run the drill again")
            }
            (None, true) => Stop::new(Code::Usage, "the newest snapshots have no file archive, only images and blobs")
                .remedy(format!("name one with --archive: {}", harmless(&names.join(", "), 600))),
        };
        return Err(stop);
    };
    notes.extend(missing.into_iter().map(|missing| format!("{}: {}", missing.what, missing.why)));
    let chosen = match (named, of) {
        (_, 1) => "the only one that can be meant".to_owned(),
        (Some(_), of) => format!("the smallest of {of} of that name in the newest proven snapshots"),
        (None, of) => format!("the smallest of {of} file archives in the newest proven snapshots"),
    };
    Ok((best, chosen))
}

fn has_room(bytes: u64, state: &Path) -> Outcome<()> {
    let needed = bytes.saturating_add(LEFT_FREE);
    match preflight::free_space(state) {
        Some(free) if free < needed => Err(Stop::new(
            Code::Preflight,
            format!(
                "{} are needed below {}, of which {} stay free; {} are free",
                size(needed),
                state.display(),
                size(LEFT_FREE),
                size(free)
            ),
        )
        .remedy("make room, or name a smaller archive with --archive; nothing was restored")),
        _ => Ok(()),
    }
}

fn with_target<'a>(work: Work<'a>, target: &Path) -> Work<'a> {
    let archives = work.archives.into_iter().map(|piece| Piece { target: target.to_owned(), ..piece }).collect();
    Work { archives, ..work }
}

fn facts(work: &Work<'_>, archive: &str) -> Outcome<DrilledArchive> {
    let odd = || format!("the name of {} cannot be told the hub", harmless(archive, 100));
    let snapshot = work.snapshot.snapshot();
    Ok(DrilledArchive {
        source: work.source.id.clone(),
        snapshot: Snapshot {
            group: snapshot.group().to_string().parse().or_stop(Code::Internal, odd)?,
            time: snapshot.time(),
        },
        archive: archive.parse().or_stop(Code::Internal, odd)?,
        bytes: 0,
        files: 0,
    })
}

fn beside(restored: &Path, live: &Path, notes: &mut Vec<String>) -> Option<Compared> {
    match compare::compare(restored, live) {
        Ok(compared) => Some(compared),
        Err(error) => {
            notes.push(format!("it could not be compared with {}: {error}", live.display()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_for_which_there_is_no_room_is_refused_before_anything_comes() {
        let stop = has_room(u64::MAX / 2, Path::new("/")).err();
        let stop = stop.filter(|stop| stop.code == Code::Preflight && stop.what.contains("256.00 MiB stay free"));
        assert!(stop.and_then(|stop| stop.remedy).is_some_and(|remedy| remedy.contains("smaller archive")));
    }
}
