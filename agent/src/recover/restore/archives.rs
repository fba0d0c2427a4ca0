//! The plan's archives, through the client into files and folders.

use std::{fs, io, path::Path, time::Instant};

use pbs_driver::{DriverError, restore};
use pbs_format::datastore::FileKind;

use super::{Bench, board::Watch, command, ledger::Ledger};
use crate::{
    durable,
    exit::Stop,
    recover::{
        orders::{
            Permit,
            there::{self, There},
        },
        plan::{Passed, Piece, Work, chain},
        report::{Missing, Restored, milliseconds},
        stage::{Ground, Stage},
    },
};

/// Restores one archive of a snapshot. What came counts only once the snapshot's list was looked at again.
/// `by_hand` is the command that restores it alone.
pub(super) fn restore(
    bench: &Bench<'_>,
    (work, piece): (&Work<'_>, &Piece),
    by_hand: Option<String>,
    watch: &Watch<'_>,
) -> Result<(Restored, Stage), Missing> {
    one(bench, work, piece, watch).map_err(|why| why.missing(work, piece, by_hand))
}

/// Why an archive is not there.
enum Why {
    /// Something lies at its target.
    Occupied,
    /// The restore did not succeed; what it left was removed.
    Failed(String),
    /// It could not be noted that it begins.
    Unnoted(Stop),
    /// What came is not what was signed: nothing that a person should do without our looking on.
    Untrue(String),
}

impl Why {
    fn text(&self) -> &str {
        match self {
            Self::Occupied => "something lies in its place",
            Self::Unnoted(_) => "it could not be noted",
            Self::Failed(why) | Self::Untrue(why) => why,
        }
    }

    fn missing(self, work: &Work<'_>, piece: &Piece, by_hand: Option<String>) -> Missing {
        let what = format!("{} {} {}", work.source.id, work.snapshot.snapshot(), piece.name);
        let target = &piece.target;
        match self {
            Self::Occupied => occupied(what, target, &work.snapshot),
            Self::Unnoted(stop) => Missing::of(what, stop),
            Self::Failed(why) => {
                Missing { what, why, remedy: format!("{MEND}{}", command::alone(by_hand)), waits_for_order: false }
            }
            Self::Untrue(why) => Missing { what, why, remedy: MEND.to_owned(), waits_for_order: false },
        }
    }
}

/// Something lies in its place that is not this recovery's.
pub(super) fn occupied(what: String, target: &Path, by: &Passed) -> Missing {
    let is_orderable = by.ordered().is_none();
    let remedy = match is_orderable {
        true => format!(
            "move {} aside, or run the same command again: it then asks for an operator's order to replace it",
            target.display()
        ),
        false => format!(
            "move {} aside (what nobody vouches for replaces nothing), and run the same command again",
            target.display()
        ),
    };
    Missing { what, why: format!("something lies at {}", target.display()), remedy, waits_for_order: is_orderable }
}

fn one(bench: &Bench<'_>, work: &Work<'_>, piece: &Piece, watch: &Watch<'_>) -> Result<(Restored, Stage), Why> {
    let Piece { id, file: archive, name, bytes, target, is_original, over } = piece;
    let (bytes, keyring) = (*bytes, bench.keyring);
    // Since it was planned somebody may have made a link of a folder above.
    if *is_original && let Some(why) = there::is_run_by_the_system(target) {
        return Err(Why::Failed(why));
    }
    let ground = ground(target, over.as_ref(), &bench.ledger)?;
    if let Some(parent) = target.parent() {
        durable::folder(parent, 0o700)
            .map_err(|error| Why::Failed(format!("cannot make {}: {error}", parent.display())))?;
    }
    let gone = || Why::Failed("its key or its listed entry is gone".to_owned());
    let protection = work.snapshot.protection(keyring).ok_or_else(gone)?;
    let signed = work.snapshot.entry(archive.as_str()).ok_or_else(gone)?;
    if let Some(ordered) = work.snapshot.ordered() {
        // From here on the order is used up.
        ordered.begin(|permit| bench.ledger.redeem(permit)).map_err(Why::Unnoted)?;
    }
    let request = restore::Request { access: work.access, snapshot: work.snapshot.snapshot(), signed, protection };
    let stage = bench.ledger.begins_archive(*id, target, ground).map_err(Why::Unnoted)?;
    let mut observe = |moment: restore::Progress| watch.at(moment.received, None);
    let began = Instant::now();
    let result = if archive.kind() == FileKind::Dynamic {
        restore::tree(bench.client, &request, &stage.path, &mut observe)
    } else {
        restore::file(bench.client, &request, &stage.path, &mut observe)
    };
    // What failed is taken away by the driver, which says if it could not.
    let failed = |why: Why| {
        bench.ledger.archive_failed(*id, &stage, why.text());
        why
    };
    let output = result.map_err(|error| {
        failed(match error {
            error @ (DriverError::NotSigned { .. } | DriverError::NotUnderOurKey { .. }) => Why::Untrue(chain(&error)),
            error => Why::Failed(chain(&error)),
        })
    })?;
    if archive.kind() == FileKind::Fixed {
        // An image says its length in the signed entry: the client was not handed another one.
        let found = fs::metadata(&stage.path).map(|found| found.len()).unwrap_or_default();
        if found != bytes {
            let mut why = format!("the image has {found} bytes, {bytes} were signed");
            if let Err(error) = stage.clear() {
                why.push_str(&format!("; {} could not be removed: {error}", stage.path.display()));
            }
            return Err(failed(Why::Untrue(why)));
        }
    }
    let restored = Restored {
        source: work.source.id.to_string(),
        snapshot: work.snapshot.snapshot().to_string(),
        archive: name.clone(),
        target: target.clone(),
        bytes,
        milliseconds: milliseconds(began.elapsed()),
        said: over.iter().map(Permit::told).chain(output.said).collect(),
        unproven: work.snapshot.lacks(),
    };
    Ok((restored, stage))
}

const MEND: &str = "mend what the cause names; then run the same command again";

/// What lies at a target, and may be filled or replaced.
fn ground(target: &Path, over: Option<&Permit>, ledger: &Ledger<'_>) -> Result<Ground, Why> {
    let unknown = |error: io::Error| Why::Failed(format!("cannot look at {}: {error}", target.display()));
    match (there::look(target).map_err(unknown)?, over) {
        (There::Nothing, _) => Ok(Ground::Nothing),
        (There::EmptyFolder, _) => Ok(Ground::EmptyFolder),
        // From here on the order is used up.
        (There::Thing { found, .. }, Some(permit)) if permit.found() == Some(found) => {
            ledger.redeem(permit).map(|_| Ground::Replaced(found)).map_err(Why::Unnoted)
        }
        // Nobody has ordered it, or of another thing than what lies there now.
        (There::Thing { .. } | There::Never(_), _) => Err(Why::Occupied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen() -> io::Result<()> {
        let (folder, nowhere) = (tempfile::tempdir()?, Ledger::nowhere());
        let (full, empty, absent) =
            (folder.path().join("full"), folder.path().join("empty"), folder.path().join("absent"));
        fs::create_dir(&full)?;
        fs::write(full.join("theirs"), "x")?;
        fs::create_dir(&empty)?;
        assert!(matches!(ground(&full, None, &nowhere), Err(Why::Occupied)));
        assert!(matches!(ground(&full.join("theirs"), None, &nowhere), Err(Why::Occupied)));
        assert!(matches!(ground(&full.join("theirs/x"), None, &nowhere), Err(Why::Failed(_))));
        assert!(ground(&empty, None, &nowhere).is_ok_and(|found| found == Ground::EmptyFolder));
        assert!(ground(&absent, None, &nowhere).is_ok_and(|found| found == Ground::Nothing));
        Ok(())
    }
}
