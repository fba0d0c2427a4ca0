//! What a story that is broken off (Ctrl-C) must still take away: the folders and processes of every
//! world that lives in this program.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal};

static LIVING: Mutex<Living> = Mutex::new(Living { folders: BTreeSet::new(), processes: BTreeSet::new() });

struct Living {
    folders: BTreeSet<PathBuf>,
    processes: BTreeSet<i32>,
}

/// Ends every world of this program: for the moment before it ends itself.
fn abandon_all() {
    let living = living();
    for process in &living.processes {
        let _gone_already = kill(Pid::from_raw(*process), Signal::SIGKILL);
    }
    for folder in &living.folders {
        let _nobody_left_to_tell = fs::remove_dir_all(folder);
    }
}

/// Waits for Ctrl-C or SIGTERM, takes everything away and ends the program: for a thread of its own.
pub fn end_when_asked() {
    let asked = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::io::Result::Ok(())
        })
    });
    // Otherwise a signal ends the program as ever, and what it made stays.
    if let Ok(Ok(())) = asked {
        abandon_all();
        eprintln!("\nbroken off; what was made is removed");
        std::process::exit(130);
    }
}

pub(super) fn folder_lives(folder: &Path) {
    living().folders.insert(folder.to_owned());
}

pub(super) fn folder_is_gone(folder: &Path) {
    living().folders.remove(folder);
}

pub(super) fn process_lives(id: u32) {
    living().processes.extend(i32::try_from(id).ok());
}

pub(super) fn process_is_gone(id: u32) {
    if let Ok(id) = i32::try_from(id) {
        living().processes.remove(&id);
    }
}

fn living() -> MutexGuard<'static, Living> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}
