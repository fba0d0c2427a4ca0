//! Every way to fail, with the client's own text for it.
//!
//! The texts are the recorded ones (`formats.md` §7.3, §11; `transcripts/`): others match on them, so
//! they are one table. The client prints one line that holds the cause too, therefore the fields are
//! called `cause` and not `source`: nobody prints a chain here. Texts without a counterpart (no server
//! has them) are marked *own*.

use std::{io, path::PathBuf, str::Utf8Error};

use thiserror::Error;

/// What ends a command with `Error: …` and exit code 255.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line is wrong. `usage` is printed below.
    #[error("{text}")]
    Usage {
        /// What is wrong.
        text: String,
        /// How it would be right.
        usage: String,
    },
    /// Neither `--repository` nor `PBS_REPOSITORY`.
    #[error("unable to get (default) repository")]
    NoRepository,
    /// `PBS_REPOSITORY` is no repository.
    #[error("unable to parse repository url '{text}'")]
    BadRepository {
        /// As given.
        text: String,
    },
    /// *Own*: a named datastore, and no folder to look it up in.
    #[error(
        "no --root given, so datastore '{store}' cannot be found (a path beginning with / names a datastore itself)"
    )]
    NoRoot {
        /// The datastore's name.
        store: String,
    },
    /// *Own*: one of our options before the command.
    #[error("{option}: {reason}")]
    OwnOption {
        /// Its name.
        option: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Not `type/id` or `type/id/time`.
    #[error("unable to parse backup snapshot path '{text}'")]
    BadSnapshot {
        /// As given.
        text: String,
    },
    /// Not `type/id`.
    #[error("unable to parse backup group path '{text}'")]
    BadGroup {
        /// As given.
        text: String,
    },

    /// The password or secret could not be had.
    #[error("error building client for repository {repository} - {cause}")]
    Login {
        /// As shown.
        repository: String,
        /// Why.
        cause: Box<Error>,
    },
    /// A token without `PBS_PASSWORD`.
    #[error("API token secret must be provided!")]
    NoTokenSecret,
    /// Nothing in the environment, and standard input is no terminal.
    #[error("no password input mechanism available")]
    NoPasswordInput,
    /// Wrong secret of a known token.
    #[error("authentication failed - invalid credentials")]
    WrongSecret,
    /// A token that is not among those given.
    #[error("authentication failed - user account or token disabled or expired.")]
    UnknownToken,
    /// A user's password: there are no users here.
    #[error("permission check failed.")]
    WrongPassword,
    /// The certificate is not the one that `PBS_FINGERPRINT` names.
    #[error(
        "error trying to connect: error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889:"
    )]
    Certificate,

    /// `status` of a datastore that is not there.
    #[error("permission check failed")]
    StatusDenied,
    /// Anything else with a datastore that is not there.
    #[error("permission check failed - missing {privileges} on /datastore/{store}")]
    Denied {
        /// What one would need.
        privileges: &'static str,
        /// The datastore's name.
        store: String,
    },
    /// A restore from a datastore that is not there.
    #[error("no permissions on /datastore/{store}")]
    NoPermissions {
        /// Datastore, and namespace if there is one.
        store: String,
    },
    /// A datastore that is closed, or only to be read.
    #[error("datastore '{store}' is in {mode} maintenance mode: {message}")]
    Maintenance {
        /// The datastore's name.
        store: String,
        /// `offline` or `read-only`.
        mode: &'static str,
        /// The administrator's words.
        message: String,
    },
    /// *Own*: the folder that was given cannot be read as a datastore.
    #[error("no datastore at \"{}\" - {cause}", path.display())]
    NoDatastore {
        /// As given.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// *Own*: `prune` in earnest.
    #[error("pbs-local removes no backup; with --dry-run it says what a server would keep")]
    NothingIsRemoved,
    /// A namespace or snapshot that is not there, when listing.
    #[error("ENOENT: No such file or directory")]
    NotFound,
    /// A snapshot that is not there, when restoring.
    #[error("snapshot {snapshot} does not exist.")]
    NoSnapshot {
        /// `type/id/time`.
        snapshot: String,
    },
    /// A group without snapshots, when restoring its newest.
    #[error("backup group {group} does not contain any snapshots.")]
    EmptyGroup {
        /// `type/id`.
        group: String,
    },
    /// The group belongs to somebody else.
    #[error("backup owner check failed ({who} != {owner})")]
    Owner {
        /// Who backs up.
        who: String,
        /// Whose group it is.
        owner: String,
    },
    /// A snapshot that is not newer than the group's last.
    #[error("backup timestamp is older than last backup.")]
    TooOld,
    /// Somebody else works there.
    #[error("unable to acquire lock on {what} \"{}\" - locked by another operation", path.display())]
    Locked {
        /// Group or snapshot directory.
        what: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// *Own*: something else in the datastore could not be read or written.
    #[error("{what} \"{}\" failed - {cause}", path.display())]
    Store {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        cause: String,
    },

    /// An index that the manifest lists and that is not there: the server opens it to allow its chunks.
    #[error("Unable to open {kind} index {path:?} - No such file or directory (os error 2)")]
    IndexMissing {
        /// `dynamic` or `fixed`.
        kind: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A file of the snapshot is not there.
    #[error("open file \"{}\" failed - not found", path.display())]
    FileMissing {
        /// Its path in the datastore.
        path: PathBuf,
    },
    /// An encrypted snapshot and no key.
    #[error("missing key - manifest was created with key {manifest}")]
    MissingKey {
        /// Short fingerprint.
        manifest: String,
    },
    /// A signed snapshot and another key.
    #[error(
        "wrong key - unable to verify signature since manifest's key {manifest} does not match provided key {provided}"
    )]
    WrongKeySigned {
        /// Short fingerprint.
        manifest: String,
        /// Short fingerprint.
        provided: String,
    },
    /// An unsigned snapshot that names another key.
    #[error("wrong key - manifest's key {manifest} does not match provided key {provided}")]
    WrongKey {
        /// Short fingerprint.
        manifest: String,
        /// Short fingerprint.
        provided: String,
    },
    /// The signature is not this key's.
    #[error("wrong signature in manifest")]
    WrongSignature,
    /// The archive is not in the snapshot.
    #[error("manifest does not contain file '{file}'")]
    NotInManifest {
        /// Its server name.
        file: String,
    },
    /// The file has another size than the manifest says.
    #[error("wrong size for file '{file}' ({expected} != {found})")]
    WrongSize {
        /// Its server name.
        file: String,
        /// In the manifest.
        expected: u64,
        /// On disk.
        found: u64,
    },
    /// The file has another checksum than the manifest says.
    #[error("wrong checksum for file '{file}'")]
    WrongChecksum {
        /// Its server name.
        file: String,
    },
    /// An index that is none.
    #[error("unable to read {kind} index '{file}' - {cause}")]
    BadIndex {
        /// `dynamic` or `fixed`.
        kind: &'static str,
        /// Its server name.
        file: String,
        /// What is wrong.
        cause: String,
    },
    /// Manifest, blob or chunk that cannot be decoded or read; the text of the format's reader.
    #[error("{0}")]
    Content(String),
    /// Writing the archive's files failed; the text names the entry and the cause.
    #[error("error extracting archive - {0}")]
    Extract(String),
    /// The archive could not be copied to standard output.
    #[error("unable to pipe data - {0}")]
    Pipe(io::Error),
    /// The target is there already, or its folder is not.
    #[error("unable to create target file {path:?} - {cause}")]
    Target {
        /// As given.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Standard output or the target could not be written, with the bare text of the system.
    #[error("{0}")]
    Write(io::Error),

    /// `--keyfile` and `--keyfd`.
    #[error("--keyfile and --keyfd are mutually exclusive")]
    TwoKeys,
    /// A key, and a mode that uses none.
    #[error("--keyfile/--keyfd and --crypt-mode=none are mutually exclusive")]
    KeyWithoutUse,
    /// A mode that needs a key.
    #[error("--crypt-mode without --keyfile and no default key file available")]
    ModeWithoutKey,
    /// A key file that cannot be read; on the server, the file that says whose a group is.
    #[error("unable to read {path:?} - {cause}")]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// *Own*: the descriptor of `--keyfd` cannot be read.
    #[error("unable to read encryption key from file descriptor {number} - {cause}")]
    KeyDescriptor {
        /// As given.
        number: u64,
        /// Why.
        cause: io::Error,
    },
    /// Not a key file; the text of the JSON reader.
    #[error("{0}")]
    KeyText(String),
    /// Wrong passphrase.
    #[error("Unable to decrypt key (wrong password?) - OpenSSL error")]
    WrongPassphrase,
    /// Wrong passphrase, and the file has a hint.
    #[error("Unable to decrypt key (password hint: {hint})")]
    WrongPassphraseHint {
        /// As in the file, without control characters.
        hint: String,
    },
    /// The key data has less than 32 bytes.
    #[error("Unable to decrypt key - short data")]
    ShortKey,
    /// *Own*: the file asks for work that no real key file asks for, or holds no 32-byte key.
    #[error("Unable to decrypt key - {0}")]
    KeyRefused(String),
    /// The key is not the one that the file names.
    #[error("KeyConfig contains wrong fingerprint {stated}, contained key has fingerprint {computed}")]
    WrongFingerprint {
        /// Short fingerprint.
        stated: String,
        /// Short fingerprint.
        computed: String,
    },
    /// The passphrase that opens has fewer than five bytes.
    #[error("Passphrase is too short!")]
    PassphraseTooShort,
    /// A new passphrase has fewer than five bytes.
    #[error("Password too short!")]
    NewPassphraseTooShort,
    /// The repetition differs.
    #[error("Passwords do not match!")]
    PassphrasesDiffer,
    /// `key change-passphrase` without a terminal.
    #[error("unable to change passphrase - no tty")]
    NoTtyToChange,
    /// `key create` without a terminal.
    #[error("unable to read passphrase - no tty")]
    NoTtyToRead,
    /// Standard output is no terminal and there is no `/dev/tty`.
    #[error("cannot read password without a controlling tty")]
    NoControllingTerminal,
    /// Ctrl-C, or the terminal was closed.
    #[error("cancelled")]
    Cancelled,
    /// What was typed is not UTF-8.
    #[error("{0}")]
    AnswerNotText(Utf8Error),
    /// The terminal failed.
    #[error("{0}")]
    Terminal(io::Error),
    /// A hint for no passphrase.
    #[error("password hint not allowed for Kdf::None")]
    HintWithoutPassphrase,
    /// *Own*: a hint that no key file may have.
    #[error("parameter verification failed - 'hint': a hint has 1 to 64 characters and no control characters")]
    Hint,
    /// The key file could not be made.
    #[error("Unable to store key file {path:?} - {cause}")]
    KeyStore {
        /// As given.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// No path and no default key.
    #[error("no encryption file provided and no default file found")]
    NoDefaultKey,
    /// *Own*: no place for a default key.
    #[error("no home directory, so there is no place for a default key")]
    NoHome,
    /// *Own*: the default key's folder could not be made.
    #[error("unable to create directory {path:?} - {cause}")]
    DefaultKeyFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },

    /// The descriptor or file that a variable names could not be read.
    #[error("unable to open file in ENV({variable}): {cause}")]
    SecretFile {
        /// The variable.
        variable: String,
        /// Why.
        cause: io::Error,
    },
    /// The variable names no descriptor.
    #[error("unable to parse file descriptor in ENV({variable})")]
    SecretDescriptor {
        /// The variable.
        variable: String,
    },
    /// The command that a variable names failed.
    #[error("unable to run command in ENV({variable}): {reason}")]
    SecretCommand {
        /// The variable.
        variable: String,
        /// Why.
        reason: String,
    },
    /// The password is not UTF-8.
    #[error("ENV({variable}) is not valid UTF-8")]
    SecretNotText {
        /// The variable.
        variable: &'static str,
    },

    /// A source that cannot be looked at.
    #[error("unable to access '{}' - {cause}", path.display())]
    Source {
        /// As given.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A source of the wrong kind.
    #[error("got unexpected file type (expected {expected})")]
    SourceKind {
        /// `directory`, `regular file` or `file or block device`.
        expected: &'static str,
    },
    /// Two sources for one archive.
    #[error("archive '{name}' already exists")]
    Twice {
        /// The archive.
        name: String,
    },
    /// *Own*: reading a source failed in the middle.
    #[error("unable to back up '{}' - {cause}", path.display())]
    SourceRead {
        /// As given.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A blob that no server takes.
    #[error("blob '{}' is larger than 16 MiB", path.display())]
    BlobTooLarge {
        /// The source.
        path: PathBuf,
    },
    /// *Own*: this machine's name cannot be read, and no `--backup-id` was given.
    #[error("unable to read this machine's name - {0}")]
    Hostname(io::Error),

    /// The table for programs could not be written.
    #[error("{0}")]
    Json(serde_json::Error),
    /// `logout` without a place for tickets.
    #[error("$XDG_RUNTIME_DIR must be set")]
    NoRuntimeDir,
}
