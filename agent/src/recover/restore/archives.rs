//! The plan's archives, through the client into files and folders.

use std::{fs, io, path::Path, time::Instant};

use pbs_driver::{Client, DriverError, Failure, restore};
use pbs_format::{datastore::FileKind, pxar};

use super::{board::Watch, command};
use crate::{
    durable,
    recover::{
        plan::{Keyring, Piece, Work, chain},
        report::{Missing, Restored, milliseconds},
    },
};

/// Restores one archive of a snapshot. What came counts only once the snapshot's list was looked at again.
/// `by_hand` is the command that restores it alone.
pub(super) fn restore(
    client: &Client,
    keyring: &Keyring<'_>,
    (work, piece): (&Work<'_>, &Piece),
    by_hand: Option<String>,
    watch: &Watch<'_>,
) -> Result<(Restored, Before), Missing> {
    one(client, keyring, work, piece, watch).map_err(|why| why.missing(work, piece, by_hand))
}

/// Why an archive is not there.
enum Why {
    /// Something lies at its target.
    Occupied,
    /// The restore did not succeed; what it left was removed.
    Failed(String),
    /// What came is not what was signed: nothing that a person should do without our looking on.
    Untrue(String),
}

impl Why {
    fn missing(self, work: &Work<'_>, piece: &Piece, by_hand: Option<String>) -> Missing {
        let what = format!("{} {} {}", work.source.id, work.snapshot.snapshot(), piece.name);
        let target = &piece.target;
        match self {
            Self::Occupied => Missing {
                what,
                why: format!("something lies at {}", target.display()),
                remedy: format!(
                    "move {} aside, or have the operator order its replacement; then run the same command again",
                    target.display()
                ),
                waits_for_order: true,
            },
            Self::Failed(why) => {
                Missing { what, why, remedy: format!("{MEND}{}", command::alone(by_hand)), waits_for_order: false }
            }
            Self::Untrue(why) => Missing { what, why, remedy: MEND.to_owned(), waits_for_order: false },
        }
    }
}

fn one(
    client: &Client,
    keyring: &Keyring<'_>,
    work: &Work<'_>,
    piece: &Piece,
    watch: &Watch<'_>,
) -> Result<(Restored, Before), Why> {
    let Piece { file: archive, name, bytes, target } = piece;
    let bytes = *bytes;
    let before = Before::look(target)?;
    if let Some(parent) = target.parent() {
        durable::folder(parent, 0o700)
            .map_err(|error| Why::Failed(format!("cannot make {}: {error}", parent.display())))?;
    }
    let key = work.snapshot.key().fingerprint();
    let gone = || Why::Failed("its key or its signed entry is gone".to_owned());
    let key_file = keyring.key_file(key).ok_or_else(gone)?;
    let entry = work.snapshot.archive(archive.as_str()).ok_or_else(gone)?;
    let signed = entry.entry();
    let request = restore::Request { access: work.access, snapshot: work.snapshot.snapshot(), signed, key_file, key };
    let mut observe = |moment: restore::Progress| watch.at(moment.received, None);
    let began = Instant::now();
    let result = if archive.kind() == FileKind::Dynamic {
        restore::tree(client, &request, target, &mut observe)
    } else {
        restore::file(client, &request, target, &mut observe)
    };
    // No plausible half is left behind.
    let failed = |why: String| Why::Failed(format!("{why}{}", removed(target, before)));
    // The driver has taken back what it had made, or says that it could not. What else lies there was
    // put there by somebody meanwhile, and is not this run's to remove.
    let output = result.map_err(|error| match error {
        DriverError::Client { failure: Failure::TargetExists, .. } => Why::Occupied,
        error @ (DriverError::NotSigned { .. } | DriverError::NotUnderOurKey { .. }) => Why::Untrue(chain(&error)),
        error => Why::Failed(chain(&error)),
    })?;
    if archive.kind() == FileKind::Fixed {
        // An image says its length in the signed entry: the client was not handed another one.
        let found = fs::metadata(target).map(|found| found.len()).unwrap_or_default();
        if found != bytes {
            return Err(failed(format!("the image has {found} bytes, {bytes} were signed")));
        }
    }
    let restored = Restored {
        source: work.source.id.to_string(),
        snapshot: work.snapshot.snapshot().to_string(),
        archive: name.clone(),
        target: target.clone(),
        bytes,
        milliseconds: milliseconds(began.elapsed()),
        said: output.said,
    };
    Ok((restored, before))
}

const MEND: &str = "mend what the cause names; then run the same command again, with another --into";

/// What lay at a target before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// A folder without anything in it, perhaps somebody's mount point: it stays.
    EmptyFolder,
}

impl Before {
    fn look(target: &Path) -> Result<Self, Why> {
        let unknown = |error: io::Error| Why::Failed(format!("cannot look at {}: {error}", target.display()));
        match fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Nothing),
            Err(error) => Err(unknown(error)),
            Ok(found) if found.is_dir() && fs::read_dir(target).map_err(unknown)?.next().is_none() => {
                Ok(Self::EmptyFolder)
            }
            Ok(_) => Err(Why::Occupied),
        }
    }
}

/// Removes what this run has put at `target`, which was free before; says so if it cannot.
pub(super) fn removed(target: &Path, before: Before) -> String {
    let result = match before {
        Before::Nothing => pxar::remove(target),
        Before::EmptyFolder => pxar::empty(target),
    };
    match result {
        Ok(()) => String::new(),
        Err(error) => format!("; what it left at {} could NOT be removed ({error}), do not use it", target.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_never_removed() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (full, empty, absent) =
            (folder.path().join("full"), folder.path().join("empty"), folder.path().join("absent"));
        fs::create_dir(&full)?;
        fs::write(full.join("theirs"), "x")?;
        fs::create_dir(&empty)?;
        assert!(matches!(Before::look(&full), Err(Why::Occupied)));
        assert!(matches!(Before::look(&full.join("theirs")), Err(Why::Occupied)));
        assert!(matches!(Before::look(&full.join("theirs/x")), Err(Why::Failed(_))));
        for (path, before) in [(&empty, Before::EmptyFolder), (&absent, Before::Nothing)] {
            assert!(Before::look(path).is_ok_and(|found| found == before));
            fs::create_dir_all(path.join("ours"))?;
            assert_eq!(removed(path, before), "");
            assert_eq!(path.exists(), before == Before::EmptyFolder);
        }
        assert_eq!(fs::read_dir(&empty)?.count(), 0);
        Ok(())
    }
}
