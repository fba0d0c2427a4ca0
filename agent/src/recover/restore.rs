//! Restores the plan's archives through the client, and looks at the manifest once more after.

use std::{
    fs,
    io::IsTerminal as _,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use pbs_driver::{Client, restore};
use pbs_format::datastore::{FileKind, FileName};

use super::{
    plan::{self, Keyring, Plan, Work, chain},
    report::{Missing, Restored},
};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    show::size,
};

/// Without a terminal, a plain line so often.
const PLAIN: Duration = Duration::from_secs(10);

/// What came back and what did not. One failure does not stop the others.
pub(crate) fn run(client: &Client, keyring: &Keyring<'_>, plan: &Plan<'_>) -> Outcome<(Vec<Restored>, Vec<Missing>)> {
    let (mut restored, mut missing) = (Vec::new(), Vec::new());
    for work in &plan.work {
        for (archive, target) in &work.archives {
            let what = format!("{} {} {}", work.source.id, work.snapshot.snapshot(), archive.archive());
            match one(client, keyring, work, archive, target)? {
                Ok(done) => restored.push(done),
                Err((why, waits_for_order)) => missing.push(Missing {
                    what,
                    why,
                    remedy: if waits_for_order {
                        format!("move {} aside, or have the operator order its replacement; then run the same command again", target.display())
                    } else {
                        "mend what the cause names, then run the same command again".to_owned()
                    },
                    waits_for_order,
                }),
            }
        }
        if let Err(why) = unchanged(client, keyring, work) {
            // What was restored under a list that changed meanwhile is not the plan's.
            let what = format!("{} {}", work.source.id, work.snapshot.snapshot());
            restored.retain(|done| {
                done.snapshot != work.snapshot.snapshot().to_string() || done.source != work.source.id.as_str()
            });
            for (_, target) in &work.archives {
                remove(target);
            }
            missing.push(Missing {
                what,
                why: format!("the server changed the snapshot while it was restored, and what came was removed: {why}"),
                remedy: "ask who writes to the backup server, then run the same command again".to_owned(),
                waits_for_order: false,
            });
        }
    }
    Ok((restored, missing))
}

type Why = (String, bool);

fn one(
    client: &Client,
    keyring: &Keyring<'_>,
    work: &Work<'_>,
    archive: &FileName,
    target: &Path,
) -> Outcome<Result<Restored, Why>> {
    let occupied = match fs::symlink_metadata(target) {
        Err(_) => false,
        Ok(found) if found.is_dir() => fs::read_dir(target).map_or(true, |mut entries| entries.next().is_some()),
        Ok(_) => true,
    };
    if occupied {
        return Ok(Err((format!("{} exists and is not empty", target.display()), true)));
    }
    if let Some(parent) = target.parent() {
        durable::folder(parent, 0o700).or_stop(Code::Internal, || format!("cannot make {}", parent.display()))?;
    }
    let key = work.snapshot.key().fingerprint();
    let (Some(key_file), Some(entry)) = (keyring.key_file(key), work.snapshot.archive(archive.as_str())) else {
        return Ok(Err(("its key or its signed entry is gone".to_owned(), false)));
    };
    let bytes = entry.entry().size;
    let request = restore::Request { access: work.access, snapshot: work.snapshot.snapshot(), archive, key_file, key };
    let mut progress = Progress::new(archive.archive(), bytes);
    let mut observe = |moment: restore::Progress| {
        progress.at(moment.written);
        ControlFlow::Continue(())
    };
    let began = Instant::now();
    let result = if archive.kind() == FileKind::Dynamic {
        restore::tree(client, &request, target, &mut observe)
    } else {
        restore::file(client, &request, target, &mut observe)
    };
    progress.end();
    match result {
        Ok(output) => {
            for line in output.said {
                tracing::warn!(archive = archive.archive(), "{line}");
            }
            Ok(Ok(Restored {
                source: work.source.id.to_string(),
                snapshot: work.snapshot.snapshot().to_string(),
                archive: archive.archive().to_owned(),
                target: target.to_owned(),
                bytes,
                milliseconds: began.elapsed().as_millis(),
            }))
        }
        Err(error) => {
            // No plausible half is left behind.
            remove(target);
            Ok(Err((chain(&error), false)))
        }
    }
}

fn unchanged(client: &Client, keyring: &Keyring<'_>, work: &Work<'_>) -> Result<(), String> {
    let key = work.snapshot.key();
    let key_file = keyring.key_file(key.fingerprint()).ok_or("its key file is gone")?;
    let again = plan::gate(client, work.access, work.snapshot.snapshot(), key, key_file)?;
    let entries = |snapshot: &tenwords_escrow::gate::GatedSnapshot| {
        snapshot
            .archives()
            .map(|archive| (archive.server_name().to_owned(), archive.entry().size, archive.entry().csum))
            .collect::<Vec<_>>()
    };
    if entries(&again) == entries(&work.snapshot) {
        Ok(())
    } else {
        Err("its signed list of files is another one now".into())
    }
}

/// Removes what this run has restored to `target`, which was free before.
fn remove(target: &Path) {
    let result = match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(target),
        Ok(_) => fs::remove_file(target),
        Err(_) => Ok(()),
    };
    if let Err(error) = result {
        tracing::warn!(target = %target.display(), %error, "cannot remove what a failed restore has left");
    }
}

struct Progress {
    name: String,
    total: u64,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Progress {
    fn new(name: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template(
                "  {msg:24!} {bar:24} {bytes:>11} of {total_bytes} {bytes_per_sec:>12} {eta:>4} left",
            ) {
                bar.set_style(style);
            }
            bar.set_message(name.to_owned());
            bar
        });
        Self { name: name.to_owned(), total, bar, told: Instant::now() }
    }

    fn at(&mut self, written: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(written.min(self.total)),
            None if self.told.elapsed() >= PLAIN => {
                self.told = Instant::now();
                eprintln!("{}: {} of {}", self.name, size(written.min(self.total)), size(self.total));
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
