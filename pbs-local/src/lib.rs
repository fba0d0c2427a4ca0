//! A datastore in a plain directory, with `proxmox-backup-client`'s command line.
//!
//! # NAME
//!
//! pbs-local: make and restore backups in Proxmox Backup Server's own format, without a server.
//!
//! # SYNOPSIS
//!
//! ```text
//! pbs-local [--root DIR] [--token-sha256 ID=HEX]... [--certificate-sha256 FP]
//!           [--without-rights ID]... [--role ID=ROLE]... [--maintenance MODE[:MESSAGE]] COMMAND ...
//! ```
//!
//! # DESCRIPTION
//!
//! Two uses, one program:
//!
//! **Break-glass.** The backup server is gone, its disk or a copy of the datastore is here. With a
//! key file, everything comes back without PBS:
//!
//! ```text
//! pbs-local snapshot list --repository /mnt/disk/store
//! pbs-local restore ct/100/2026-03-03T12:00:00Z root.pxar ./root --repository /mnt/disk/store --keyfile K.enc
//! pbs-local restore vm/101/2026-03-03T12:00:00Z drive-scsi0.img - --repository /mnt/disk/store --keyfile K.enc > disk.raw
//! ```
//!
//! Restoring and listing write nothing into the datastore, so it may be mounted read-only.
//!
//! **Stand-in.** In tests and demos it takes the client's place: same arguments, prompts, streams,
//! JSON, texts and exit codes as the real 3.2.4, as recorded in `transcripts/`. A wrapper is all
//! that a program which drives the client needs:
//!
//! ```text
//! #!/bin/sh
//! exec pbs-local --root /srv/stores --token-sha256 'backup@pbs!box1=<64 hex>' "$@"
//! ```
//!
//! # OPTIONS BEFORE THE COMMAND
//!
//! * `--root DIR`: datastore `x` of any repository (`user@pbs!token@host:8007:x`) is the folder
//!   `DIR/x`. Not needed if the repository is a path.
//! * `--token-sha256 ID=HEX`: may be repeated. Then only these tokens come in, with the secret whose
//!   SHA-256 is HEX, and the client's texts for a wrong secret, an unknown token and a missing
//!   `PBS_PASSWORD`. Without any, nobody is asked. This plays a server's answer; it protects nothing.
//! * `--certificate-sha256 FP`: plays a server with this certificate, unknown to the system:
//!   `PBS_FINGERPRINT` must name it, or the connection fails as it does with the client (and on a
//!   terminal the client's question is asked).
//! * `--without-rights ID`: may be repeated. This user or token comes in and may do nothing: the
//!   client's texts for a role that is missing, on the token or on its user.
//! * `--role ID=ROLE`: may be repeated. Of those that come in by `--token-sha256` each has the role
//!   `DatastoreBackup`, unless this says `DatastorePowerUser` or `DatastoreAdmin`. Only `prune` asks.
//! * `--maintenance MODE[:MESSAGE]`: plays a datastore in maintenance. `offline` refuses everything,
//!   `read-only` refuses backups and new namespaces.
//!
//! # COMMANDS
//!
//! `key create`, `key change-passphrase`, `key show`, `backup`, `restore`, `snapshot list` (also
//! `snapshots`), `snapshot files` (also `files`), `list`, `prune --dry-run`, `status`, `version`, `login`,
//! `logout`, `namespace create`, `namespace list`, and one of its own: `datastore create`.
//! `pbs-local help COMMAND` describes each.
//!
//! A repository is `[[user@realm[!token]@]host[:port]:]datastore`, or a path that begins with `/`,
//! `./` or `../`: the datastore's folder itself, for which no token is asked.
//!
//! # KEYS
//!
//! `--keyfile PATH` or `--keyfd N`, else the default key: `proxmox-backup/encryption-key.json` in
//! `XDG_CONFIG_HOME` (`~/.config`) or one of `XDG_CONFIG_DIRS` (`/etc/xdg`). `--crypt-mode none`
//! keeps the default key out. A protected key's passphrase comes from `PBS_ENCRYPTION_PASSWORD`
//! (`_FD`, `_FILE`, `_CMD`; the first line) or is asked for on the terminal. PBKDF2 key files are
//! opened, not written.
//!
//! # WHAT IS CHECKED, AND WHAT IS NOT
//!
//! Manifest, sizes, checksums, each chunk's CRC, digest and tag are checked as the client checks
//! them (`formats.md` §7.3). No more: like the client, `restore` takes an **unsigned plaintext
//! snapshot** without a word, even if the manifest names your key. Who does not trust the datastore
//! reads `index.json` and verifies its signature first.
//!
//! # DIFFERENCES FROM THE CLIENT
//!
//! No network, no cache of repositories and fingerprints, no ticket, no catalog in backups
//! (`catalog shell` finds none, everything else works), no three seconds of delay after a wrong
//! secret, no exclusion patterns, no plainer tables. What an archive could not get back or take in is
//! told as `not restored: …` and `not stored as it is: …`. A chunk that any snapshot of the datastore
//! has counts as reused, not only one of the group's last. Missing: whatever removes a backup (`prune` says what a
//! server would keep, of the rules for that it knows `--keep-last` alone, and it does not come without `--dry-run`),
//! mount, map, notes, protection, tasks, garbage collection, master keys, paper keys. Usage texts are our own.
//!
//! # EXIT STATUS
//!
//! 0: done. 255: any error, told on standard error as `Error: …`. A signal kills at once; a target
//! that was half restored stays.
//!
//! # ENVIRONMENT
//!
//! `PBS_REPOSITORY`, `PBS_PASSWORD`, `PBS_ENCRYPTION_PASSWORD`, `PBS_FINGERPRINT`, `PBS_LOG` (`error`,
//! `warn`, `info`, `debug`), `PROXMOX_OUTPUT_FORMAT`, `XDG_CONFIG_HOME`, `XDG_CONFIG_DIRS`, `HOME`.
//!
//! # As a library
//!
//! [`run`] is the whole program. This room never decides whom to trust; it never talks to a network,
//! and holds passphrases in wiped buffers only.

mod arguments;
mod command;
mod crypt;
mod environment;
mod error;
mod human;
mod log;
mod repository;
mod server;
mod store;
mod table;
mod terminal;
mod wording;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, str::FromStr as _};

use nix::sys::resource::{Resource, setrlimit};
use tenwords_protocol::fingerprint::Fingerprint;

pub use crate::error::Error;
use crate::{
    arguments::{Asked, Verb},
    command::{Context, backup, key, list, prune, restore, status},
    log::{Log, to_stderr},
    repository::AuthId,
    server::{Maintenance, Role, Server, Token},
};

/// Runs one command line, without the program's own name, and tells how it ended.
#[must_use]
pub fn run(words: Vec<OsString>) -> ExitCode {
    // Keys and passphrases are in this process: no core dump may hold them. Lowering is always allowed.
    if let Err(errno) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        to_stderr(&format!("core dumps cannot be turned off: {errno}\n"));
    }
    match perform(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            to_stderr(&format!("Error: {error}\n"));
            if let Error::Usage { usage, .. } = &error {
                to_stderr(usage);
            }
            ExitCode::from(255)
        }
    }
}

fn perform(words: &[OsString]) -> Result<(), Error> {
    let (root, server, rest) = own_options(words)?;
    let parsed = match arguments::parse(rest)? {
        Asked::Help(text) => return command::print(&text),
        Asked::Run(parsed) => parsed,
    };
    let context = Context { parsed: &parsed, root: root.as_deref(), server: &server, log: Log::from_environment() };
    match parsed.command.verb {
        Verb::Backup => backup::run(&context),
        Verb::DatastoreCreate => list::create_datastore(&context),
        Verb::KeyChangePassphrase => key::change_passphrase(&context),
        Verb::KeyCreate => key::create(&context),
        Verb::KeyShow => key::show(&context),
        Verb::List => list::groups(&context),
        Verb::Login => status::login(&context),
        Verb::Logout => status::logout(&context),
        Verb::NamespaceCreate => list::create_namespace(&context),
        Verb::NamespaceList => list::namespaces(&context),
        Verb::Prune => prune::run(&context),
        Verb::Restore => restore::run(&context),
        Verb::SnapshotFiles => list::files(&context),
        Verb::SnapshotList => list::snapshots(&context),
        Verb::Status => status::status(&context),
        Verb::Version => status::version(&context),
    }
}

/// Takes our own options from the front; the rest is the client's.
fn own_options(words: &[OsString]) -> Result<(Option<PathBuf>, Server, &[OsString]), Error> {
    let mut root = None;
    let mut server = Server::default();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        let word = word.to_string_lossy();
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (word.into_owned(), None),
        };
        let Some(option) = OWN_OPTIONS.into_iter().find(|option| *option == name) else { break };
        let refused = |reason: &str| Error::OwnOption { option, reason: reason.to_owned() };
        let (value, after) = match (attached, after.split_first()) {
            (Some(value), _) => (value, after),
            (None, Some((value, after))) => (value.clone(), after),
            (None, None) => return Err(refused("its value is missing")),
        };
        let text = value.to_string_lossy();
        match option {
            "--root" => root = Some(PathBuf::from(&value)),
            "--token-sha256" => {
                let token = Token::parse(&text);
                server.tokens.push(token.ok_or_else(|| refused("expected user@realm!token=<64 hex digits>"))?);
            }
            "--without-rights" => {
                let auth_id = AuthId::parse(&text);
                server.without_rights.push(auth_id.ok_or_else(|| refused("expected user@realm[!token]"))?);
            }
            "--role" => {
                let role = Role::parse(&text);
                server.roles.push(role.ok_or_else(|| refused(ROLES))?);
            }
            "--maintenance" => {
                let maintenance = Maintenance::parse(&text);
                server.maintenance =
                    Some(maintenance.ok_or_else(|| refused("expected offline[:MESSAGE] or read-only[:MESSAGE]"))?);
            }
            _ => {
                let certificate = Fingerprint::from_str(&text.to_ascii_lowercase());
                server.certificate = Some(certificate.map_err(|error| refused(&error.to_string()))?);
            }
        }
        rest = after;
    }
    Ok((root, server, rest))
}

const OWN_OPTIONS: [&str; 6] =
    ["--root", "--token-sha256", "--certificate-sha256", "--without-rights", "--role", "--maintenance"];
const ROLES: &str = "expected user@realm!token=<DatastoreBackup, DatastorePowerUser or DatastoreAdmin>";
