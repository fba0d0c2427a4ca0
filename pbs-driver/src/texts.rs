//! The table of what the client says when it fails, and the reading of it.
//!
//! Each row is a shape of the text after `Error: `, and what that means. Every text ever recorded
//! (`transcripts/`, `formats.md` §11.4 and §11.5) fits exactly one row, which a test holds. Names
//! inside a text (files of an archive above all) are somebody else's, so rows look at how a text
//! begins and ends, never somewhere in the middle of it.
//!
//! Differences between versions live here and nowhere else: 3.2.4 was recorded; rows marked *4.x*
//! and *source* are from `formats.md` and were never seen to happen here.

use tenwords_protocol::fingerprint::{Fingerprint, ShortFingerprint};

use crate::{
    failure::{Failure, Refusal, Silence, Thing},
    scrub::{WITHHELD, holds_any, scrub},
};

use Shape::{Between, Ends, Is, Starts, StartsNotEnds};

/// Names the failure in what a child said on stderr (or on its terminal). `secrets` are those that it
/// was given: nothing that holds a part of one gets into the result.
#[must_use]
pub fn classify(said: &[u8], secrets: &[&str]) -> Failure {
    // Before anything is copied out of the caller's buffer, which is wiped.
    if holds_any(said, secrets) {
        return Failure::Unknown { text: WITHHELD.to_owned() };
    }
    let lines: Vec<String> = said
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(ERROR)) else {
        let text = lines[lines.len().saturating_sub(3)..].join(" / ");
        return Failure::Unknown { text: scrub(text.as_bytes(), secrets) };
    };
    let text = &lines[at][ERROR.len()..];
    let causes = lines[at + 1..].iter().map(|line| without_number(line)).take_while(|line| *line != "Stack backtrace:");
    let texts: Vec<&str> = if text == VAGUE { causes.chain([text]).collect() } else { vec![text] };
    let named = texts.iter().find_map(|text| name(text, secrets));
    match named {
        Some(Failure::Certificate { .. }) => {
            Failure::Certificate { expected: expected_certificate(&lines[..at]), presented: None }
        }
        Some(failure) => failure,
        None => Failure::Unknown { text: scrub(text.as_bytes(), secrets) },
    }
}

/// What `version` says about the server instead of failing.
#[must_use]
pub(crate) fn classify_version(said: &[u8], secrets: &[&str]) -> Option<Failure> {
    let text = String::from_utf8_lossy(said);
    let at = text.find(NO_SERVER)?;
    let mut line = ERROR.as_bytes().to_vec();
    line.extend_from_slice(&text.as_bytes()[at + NO_SERVER.len()..]);
    // The lines about the certificate stand before it.
    let mut whole = text.as_bytes()[..at].to_vec();
    whole.extend_from_slice(&line);
    Some(classify(&whole, secrets))
}

fn name(text: &str, secrets: &[&str]) -> Option<Failure> {
    let text = normal(text);
    let row = ROWS.iter().find(|row| row.shape.fits(text))?;
    (row.means)(&Text { text, shown: scrub(text.as_bytes(), secrets) })
}

/// 3.2.4 puts this in front of what 4.x has as the cause.
fn normal(text: &str) -> &str {
    text.strip_prefix("error trying to connect: ").unwrap_or(text)
}

/// `    0: text` of a `Caused by:` block.
fn without_number(line: &str) -> &str {
    let line = line.trim_start();
    match line.split_once(": ") {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => line,
    }
}

fn expected_certificate(before: &[String]) -> Option<Fingerprint> {
    before.iter().find_map(|line| line.strip_prefix("expected:")?.trim().parse().ok())
}

/// A text as a row sees it.
struct Text<'a> {
    text: &'a str,
    shown: String,
}

impl Text<'_> {
    /// The word after `mark`, as a short fingerprint.
    fn key_after(&self, mark: &str) -> Option<ShortFingerprint> {
        let rest = &self.text[self.text.find(mark)? + mark.len()..];
        rest.get(..23)?.parse().ok()
    }

    fn shown(&self) -> String {
        self.shown.clone()
    }
}

struct Row {
    shape: Shape,
    /// `None` where the text has the shape, but not the fingerprints that belong there.
    means: fn(&Text<'_>) -> Option<Failure>,
}

/// How a text looks. No two rows may fit one recorded text.
#[derive(Debug)]
enum Shape {
    Is(&'static str),
    Starts(&'static str),
    Ends(&'static str),
    /// Begins with the first and ends with the second.
    Between(&'static str, &'static str),
    /// Begins with the first, but does not end with the second.
    StartsNotEnds(&'static str, &'static str),
}

impl Shape {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Is(whole) => text == *whole,
            Self::Starts(start) => text.starts_with(start),
            Self::Ends(end) => text.ends_with(end),
            Self::Between(start, end) => text.starts_with(start) && text.ends_with(end),
            Self::StartsNotEnds(start, end) => text.starts_with(start) && !text.ends_with(end),
        }
    }
}

const fn row(shape: Shape, means: fn(&Text<'_>) -> Option<Failure>) -> Row {
    Row { shape, means }
}

fn key_file(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::KeyFile { why: text.shown() })
}

fn damaged(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::Damaged { what: text.shown() })
}

fn unknown_client(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::UnknownClient { why: text.shown() })
}

fn target_unusable(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::TargetUnusable { why: text.shown() })
}

fn target_exists(_: &Text<'_>) -> Option<Failure> {
    Some(Failure::TargetExists)
}

fn disk_full(_: &Text<'_>) -> Option<Failure> {
    Some(Failure::DiskFull)
}

fn not_found(what: Thing) -> Option<Failure> {
    Some(Failure::NotFound { what })
}

fn refused(why: Refusal) -> Option<Failure> {
    Some(Failure::NotAuthorised { why })
}

fn unreachable(why: Silence) -> Option<Failure> {
    Some(Failure::Unreachable { why })
}

fn wrong_key(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::WrongKey {
        asked: text.key_after("manifest's key ")?,
        given: text.key_after("does not match provided key ")?,
    })
}

fn role(missing: Option<String>) -> Option<Failure> {
    refused(Refusal::Role { missing })
}

const ERROR: &str = "Error: ";
const NO_SERVER: &str = "could not connect to server - ";
/// What 4.x says for three different things; the cause is below it.
const VAGUE: &str = "client error (Connect)";
const TARGET_FILE: &str = "unable to create target file \"";
const EXTRACTING: &str = "error extracting archive - ";
const CONNECTING: &str = "error connecting to https://";
const BUILDING: &str = "error building client for repository ";

const PERMISSION: &str = "permission check failed - ";

static ROWS: &[Row] = &[
    // Keys and signatures (formats.md §7.3).
    row(Starts("missing key - manifest was created with key "), |text| {
        Some(Failure::MissingKey { asked: text.key_after("manifest was created with key ")? })
    }),
    row(Starts("wrong key - unable to verify signature since manifest's key "), wrong_key),
    row(Starts("wrong key - manifest's key "), wrong_key),
    row(Is("wrong signature in manifest"), |_| Some(Failure::WrongSignature)),
    // Passphrases and key files (§11.4).
    row(Is("Unable to decrypt key (wrong password?) - OpenSSL error"), |_| Some(Failure::WrongPassphrase)),
    row(Starts("Unable to decrypt key (password hint: "), |_| Some(Failure::WrongPassphrase)),
    row(Is("Unable to decrypt key - short data"), key_file),
    row(Is("Passwords do not match!"), |_| Some(Failure::PassphrasesDiffer)),
    row(Is("Password too short!"), |_| Some(Failure::PassphraseTooShort)),
    row(Is("Passphrase is too short!"), |_| Some(Failure::PassphraseTooShort)),
    row(Starts("invalid utf-8 sequence of "), |_| Some(Failure::PassphrasesDiffer)),
    row(Is("cancelled"), |_| Some(Failure::Interrupted)),
    row(Starts("KeyConfig contains wrong fingerprint "), |text| {
        Some(Failure::KeyFileMismatch {
            stated: text.key_after("contains wrong fingerprint ")?,
            found: text.key_after("contained key has fingerprint ")?,
        })
    }),
    row(Is("no password input mechanism available"), |_| Some(Failure::KeyProtected)),
    row(Is("no encryption file provided and no default file found"), key_file),
    row(Between("unable to read \"", "\" - No such file or directory (os error 2)"), key_file),
    row(Between("Unable to store key file \"", "\" - File exists (os error 17)"), target_exists),
    // serde's texts about what is no key file; positions vary.
    row(Starts("missing field `"), key_file),
    row(Starts("unknown variant `"), key_file),
    row(Starts("expected ident at line "), key_file),
    row(Starts("expected value at line "), key_file),
    row(Starts("EOF while parsing "), key_file),
    row(Starts("Invalid byte "), key_file),
    row(Starts("failed to parse rfc3339 timestamp "), key_file),
    // Asked in a way that it does not know, or without the terminal that it was given: not our client.
    row(Is("unable to change passphrase - no tty"), unknown_client),
    row(Is("unable to read passphrase - no tty"), unknown_client),
    row(Is("cannot read password without a controlling tty"), unknown_client),
    row(Is("password hint not allowed for Kdf::None"), unknown_client),
    row(Starts("no such command '"), unknown_client),
    row(Is("no command specified."), unknown_client),
    row(Starts("parameter verification failed - '"), unknown_client),
    row(Is("unable to get (default) repository"), unknown_client),
    row(Starts("unable to parse repository url '"), unknown_client),
    row(Starts("unable to parse backup snapshot path '"), unknown_client),
    row(Starts("--keyfile/--keyfd and --crypt-mode=none are mutually exclusive"), unknown_client),
    row(Is("$XDG_RUNTIME_DIR must be set"), unknown_client),
    // Who may do what (§11.5).
    row(Between(BUILDING, " - API token secret must be provided!"), |_| refused(Refusal::NoSecret)),
    row(Between(BUILDING, " - no password input mechanism available"), |_| refused(Refusal::NoSecret)),
    row(Starts("unable to open file in ENV("), |_| refused(Refusal::NoSecret)),
    row(Is("authentication failed - invalid credentials"), |_| refused(Refusal::WrongSecret)),
    row(Is("permission check failed."), |_| refused(Refusal::WrongSecret)),
    row(Is("authentication failed - user account or token disabled or expired."), |_| refused(Refusal::Disabled)),
    // 4.x (proxmox-rs 470ee44b, 26b55800) says only this.
    row(Is("authentication failed"), |_| refused(Refusal::Unstated)),
    row(Is("permission check failed"), |_| role(None)),
    row(Starts(PERMISSION), |text| role(text.shown().strip_prefix(PERMISSION).map(str::to_owned))),
    row(Starts("no permissions on /"), |text| role(Some(text.shown()))),
    row(Starts("backup owner check failed"), |_| refused(Refusal::Owner)),
    // What there is.
    row(Starts("no such datastore '"), |_| not_found(Thing::Datastore)),
    row(Is("ENOENT: No such file or directory"), |_| not_found(Thing::SnapshotOrNamespace)),
    row(Between("snapshot ", " does not exist."), |_| not_found(Thing::Snapshot)),
    row(Between("backup group ", " does not contain any snapshots."), |_| not_found(Thing::Snapshot)),
    row(Starts("manifest does not contain file '"), |_| not_found(Thing::Archive)),
    row(Is("archive not found in manifest"), |_| not_found(Thing::Archive)), // 4.x
    row(Starts("failed to parse archive type for '"), |_| not_found(Thing::Archive)), // 4.x
    // Not recorded: the wording is from memory of the server.
    row(Starts("datastore '"), |text| Some(Failure::Maintenance { what: text.shown() })),
    // What is damaged on the server. A chunk's trouble stands at the end, whatever was being done.
    row(Starts("wrong size for file '"), damaged),
    row(Starts("wrong checksum for file '"), damaged),
    row(Starts("unable to read dynamic index '"), damaged),
    row(Starts("unable to read fixed index '"), damaged),
    row(Between("open file \"", "\" failed - not found"), damaged),
    row(Ends("Data blob has wrong CRC checksum."), damaged),
    row(Ends("detected chunk with wrong digest."), damaged),
    row(Ends("Index and chunk CryptMode don't match."), damaged),
    row(Ends("unable to decrypt blob - missing CryptConfig"), damaged),
    row(Ends("\" failed: No such file or directory (os error 2)"), damaged),
    // Where it should go.
    row(Between(EXTRACTING, "EEXIST: File exists"), target_exists),
    row(Between(EXTRACTING, "File exists (os error 17)"), target_exists),
    row(Between(TARGET_FILE, "\" - File exists (os error 17)"), target_exists),
    row(StartsNotEnds(TARGET_FILE, "\" - File exists (os error 17)"), target_unusable),
    row(
        Starts("error extracting archive - failed to initialize extractor: error creating directory \""),
        target_unusable,
    ),
    row(Between(EXTRACTING, "Operation not permitted (os error 1)"), target_unusable),
    row(Between(EXTRACTING, "Permission denied (os error 13)"), target_unusable),
    row(Between(EXTRACTING, "Read-only file system (os error 30)"), target_unusable),
    row(Ends("No space left on device (os error 28)"), disk_full),
    // The way to the server.
    row(Between(CONNECTING, " - tcp connect error: Connection refused (os error 111)"), |_| {
        unreachable(Silence::Refused)
    }),
    row(Between(CONNECTING, " - tcp connect error: deadline has elapsed"), |_| unreachable(Silence::TimedOut)),
    row(Between(CONNECTING, " - tcp connect error: Connection timed out (os error 110)"), |_| {
        unreachable(Silence::TimedOut)
    }),
    row(Between(CONNECTING, " - tcp connect error: No route to host (os error 113)"), |_| {
        unreachable(Silence::NoRoute)
    }),
    row(Between(CONNECTING, " - tcp connect error: Network is unreachable (os error 101)"), |_| {
        unreachable(Silence::NoRoute)
    }),
    row(Between(CONNECTING, "Name or service not known"), |_| unreachable(Silence::NoSuchHost)),
    row(Between(CONNECTING, "Temporary failure in name resolution"), |_| unreachable(Silence::NoSuchHost)),
    row(Is(VAGUE), |_| unreachable(Silence::Unstated)), // 4.x, when it gives no cause
    row(Is("unexpected EOF"), |_| unreachable(Silence::NotPbs)),
    row(Starts("error:0A00010B:SSL routines:"), |_| unreachable(Silence::NotPbs)),
    row(Starts("error:0A000086:SSL routines:"), |_| Some(Failure::Certificate { expected: None, presented: None })),
    row(Is("http request timed out"), |_| unreachable(Silence::TimedOut)), // source
    row(Is("http upgrade request timed out"), |_| unreachable(Silence::TimedOut)), // source
    row(Between(EXTRACTING, "connection closed because of a broken pipe"), |_| unreachable(Silence::Lost)),
    row(Starts("connection closed because of "), |_| unreachable(Silence::Lost)),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What each text means is asked in `tests/it/texts.rs`; here, that no second row could have it.
    #[test]
    fn s51_no_recorded_text_fits_two_rows() {
        for line in include_str!("../tests/recorded/failures.txt").lines().filter(|line| !line.starts_with('#')) {
            let (meaning, text) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
            let fit: Vec<_> =
                ROWS.iter().filter(|row| row.shape.fits(normal(text))).map(|row| format!("{:?}", row.shape)).collect();
            assert_eq!(fit.len(), usize::from(meaning != "Unknown"), "{text}: {fit:?}");
        }
    }
}
