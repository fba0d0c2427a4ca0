//! Fixtures: programs that stand in for Proxmox VE's `pct`, `qm`, `qmrestore`, `pvesh`, `pvesm` and for `pbs-restore`
//! where no Proxmox VE is. For tests and the demo only; no package contains them.
//!
//! # SYNOPSIS
//!
//! ```text
//! fixture-node --fixture-root DIR --client PATH --datastores DIR [--node NAME]
//! DIR/usr/sbin/pct restore VMID STORAGE:backup/ct/ID/TIME [--storage S] [--unique 1] [--force 1] ...
//! DIR/usr/sbin/pct | qm config | set | start | status | shutdown | stop | unlock | destroy VMID ... ; qm agent VMID ping
//! DIR/usr/bin/pvesh create /pools --poolid P | set /pools/P --vms N,... [--delete 1] | delete /pools/P
//! DIR/usr/sbin/qmrestore STORAGE:backup/vm/ID/TIME VMID [--storage S] [--unique 1] [--force 1]
//! DIR/usr/sbin/pvesm status | list STORAGE [--vmid N] | free VOLID | add TYPE ID ... | set ID ... | remove ID
//! DIR/usr/bin/pbs-restore --repository R [--ns N] SNAPSHOT ARCHIVE TARGET [--verbose] [--keyfile K] ...
//! ```
//!
//! # DESCRIPTION
//!
//! `fixture-node` lays out a node below `DIR`: `etc/pve` as pmxcfs shows it (`.version`, `.members`,
//! `.vmlist`, `storage.cfg`, `nodes/NAME/{lxc,qemu-server}`, `priv/storage`), one storage `local` of
//! kind `dir` at `var/lib/vz`, and one wrapper of two lines for each program, where Debian's packages
//! have it. A program that drives Proxmox VE is given these paths and cannot tell.
//!
//! What they do is what the sources of pve-container 6.1.10, qemu-server 9.2.6, pve-storage 9.1.7 and
//! pve-qemu 11.0.0 do with a backup on Proxmox Backup Server (`docs/findings/pve-restore.md`): they
//! call the *client* for configuration, list and file archive with the arguments and the environment
//! that PVE gives it, and `pbs-restore` for disks; they take locks, make volumes, refuse an existing
//! number unless `--force` is given, and then replace the guest and remove its volumes; they print
//! what PVE prints. The work runs in a worker with a session of its own, as PVE's tasks do: a SIGTERM
//! at the program is passed on to the worker's group, which cleans up; a SIGKILL is not.
//!
//! # DIFFERENCES FROM PROXMOX VE
//!
//! * Nobody must be root, and nobody's rights are asked for.
//! * Volumes are on storages of kind `dir` only. A container's volume is a folder
//!   (`subvol-100-disk-0.subvol`), where PVE on such a storage makes a file system in a file and
//!   mounts it; what belongs on a mount point of its own is moved there after the extraction.
//! * The container of an unprivileged user is extracted without a user namespace: owners are those of
//!   the archive.
//! * No guest ever runs: what is started is a file that says so (`guest.rs`, which also says how one is made
//!   to fail). Of a guest's configuration `set` changes network cards only. `--start` and `--ha-managed` are not known.
//! * Options of the guest's configuration beside `--hostname`, `--rootfs` and mount points are not
//!   known, and the latter are refused.
//! * `pvesm add pbs …` asks the client for the datastore's status where PVE asks the server's API.
//!
//! # OPTIONS BEFORE THE COMMAND
//!
//! * `--fixture-root DIR`: everything that is `/` for PVE.
//! * `--client PATH`: what stands at `/usr/bin/proxmox-backup-client`.
//! * `--pbs-restore PATH`: what stands at `/usr/bin/pbs-restore`; default `DIR/usr/bin/pbs-restore`.
//! * `--datastores DIR` (`fixture-pbs-restore`, `fixture-node`): datastore `x` of any repository is the
//!   folder `DIR/x`.
//! * `--help`: this page.
//!
//! # EXIT STATUS
//!
//! 0: done. 255: any error, told on standard error; what a task printed before it is on standard output.

mod arguments;
mod client;
mod config;
mod guest;
mod layout;
mod pbs_restore;
mod pct;
mod pools;
mod pvesm;
mod qm;
mod qmrestore;
mod removal;
mod root;
mod storage;
mod worker;

use std::{ffi::OsString, process::ExitCode};

use crate::{arguments::Own, worker::Output};

/// Which program is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixture {
    /// Lays out a node; plays nothing of PVE's.
    Node,
    /// `pbs-restore`
    PbsRestore,
    /// `pct`
    Pct,
    /// `pvesh`
    Pvesh,
    /// `pvesm`
    Pvesm,
    /// `qm`
    Qm,
    /// `qmrestore`
    Qmrestore,
}

/// An end with a message, as Perl's `die` makes one: told on standard error, exit code 255.
pub(crate) type Died = String;

/// Runs one command line, without the program's own name, and tells how it ended.
#[must_use]
pub fn run(fixture: Fixture, words: Vec<OsString>) -> ExitCode {
    let done = arguments::own(words).and_then(|own| perform(fixture, own));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            if !message.is_empty() {
                Output::tell_error(&format!("{}\n", message.trim_end_matches('\n')));
            }
            ExitCode::from(255)
        }
    }
}

fn perform(fixture: Fixture, own: Own) -> Result<(), Died> {
    if own.help {
        Output::tell(HELP);
        return Ok(());
    }
    match fixture {
        Fixture::Node => layout::create(&own),
        Fixture::PbsRestore => pbs_restore::run(&own),
        Fixture::Pct => pct::run(&own),
        Fixture::Pvesh => pools::run(&own),
        Fixture::Pvesm => pvesm::run(&own),
        Fixture::Qm => qm::run(&own),
        Fixture::Qmrestore => qmrestore::run(&own),
    }
}

const HELP: &str = "\
This is a FIXTURE: it stands in for a program of Proxmox VE in tests and demos. It is not Proxmox VE.

  fixture-node --fixture-root DIR --client PATH --datastores DIR [--node NAME]
      lays out a node below DIR and writes the wrappers usr/sbin/{pct,qm,qmrestore,pvesm} and
      usr/bin/pbs-restore, which call
  fixture-pct         --fixture-root DIR --client PATH restore VMID VOLID [--storage S] [--force 1]
                      [--unique 1] [--unprivileged 0|1] [--hostname N] [--ignore-unpack-errors 1]
  fixture-pct | fixture-qm  ... config | set | start | status | shutdown | stop VMID; fixture-qm ... agent VMID ping
  fixture-qmrestore   --fixture-root DIR --client PATH VOLID VMID [--storage S] [--force 1] [--unique 1]
  fixture-pvesm       --fixture-root DIR --client PATH status | list STORAGE [--vmid N]
                      | add TYPE ID ... | set ID ... | remove ID
  fixture-pbs-restore --datastores DIR --repository R [--ns N] SNAPSHOT ARCHIVE TARGET [--verbose]
                      [--format raw] [--keyfile K] [--skip-zero]

Volumes are folders and raw files on storages of kind dir below DIR. No guest ever runs.
";
