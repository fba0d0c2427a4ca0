//! The table of what the client says when it fails, and the reading of it.
//!
//! Each row is a shape of the text after `Error: `, and what that means. Every text ever recorded
//! (`transcripts/`, `formats.md` §11.4 and §11.5), and every one that was read in the public sources of
//! client and server, fits exactly one row, which a test holds. Names inside a text (files of an archive
//! above all) are somebody else's, so rows look at how a text begins and ends, never somewhere in the
//! middle of it.
//!
//! A row that only some versions say names its row of [`crate::compat`].

use tenwords_protocol::fingerprint::{Fingerprint, ShortFingerprint};

use crate::{
    compat::{self, Difference},
    failure::{Damage, Failure, Refusal, Silence, Thing},
    scrub::{WITHHELD, holds_any, scrub},
};

use Shape::{Between, BetweenElse, Ends, EndsElse, Is, LastStarts, Quoted, Starts, StartsNotEnds};

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
    // A text that says nothing is named by its causes, and so is one that nobody has seen.
    let texts: Vec<&str> = if text.starts_with(VAGUE) {
        causes.chain([text]).collect()
    } else {
        [text].into_iter().chain(causes).collect()
    };
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

/// Without what stands before a cause and says no more than where it was met. Of several errors of
/// OpenSSL's, which it prints oldest first, the last is the one that ended the connection.
fn normal(text: &str) -> &str {
    let text = [CONNECTION, PIPING].iter().fold(text, |text, before| text.strip_prefix(before).unwrap_or(text));
    match text.rfind(", error:") {
        Some(at) if text.starts_with("error:") => &text[at + 2..],
        _ => text,
    }
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
    /// The row of the table of versions, where not all of them say this.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that holds the two tables together"))]
    said_by: Option<&'static Difference>,
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
    /// Begins with the first and ends with the second, but not with the third.
    BetweenElse(&'static str, &'static str, &'static str),
    /// Begins with the first, but does not end with the second.
    StartsNotEnds(&'static str, &'static str),
    /// Ends with the second, but does not begin with the first.
    EndsElse(&'static str, &'static str),
    /// What follows its last `: ` or ` - ` begins so. (A cause with numbers in it, whose end varies.)
    LastStarts(&'static str),
    /// A name without quotes between the first and the second, and anything behind.
    Quoted(&'static str, &'static str),
}

impl Shape {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Is(whole) => text == *whole,
            Self::Starts(start) => text.starts_with(start),
            Self::Ends(end) => text.ends_with(end),
            Self::Between(start, end) => text.starts_with(start) && text.ends_with(end),
            Self::BetweenElse(start, end, other) => {
                text.starts_with(start) && text.ends_with(end) && !text.ends_with(other)
            }
            Self::StartsNotEnds(start, end) => text.starts_with(start) && !text.ends_with(end),
            Self::EndsElse(start, end) => text.ends_with(end) && !text.starts_with(start),
            Self::LastStarts(start) => last_cause(text).starts_with(start),
            Self::Quoted(start, then) => text
                .strip_prefix(start)
                .and_then(|rest| rest.split_once('\''))
                .is_some_and(|(_, rest)| rest.starts_with(then)),
        }
    }
}

fn last_cause(text: &str) -> &str {
    let end = [": ", " - "].iter().filter_map(|mark| text.rfind(mark).map(|at| at + mark.len())).max();
    &text[end.unwrap_or(0)..]
}

const fn row(shape: Shape, means: fn(&Text<'_>) -> Option<Failure>) -> Row {
    Row { shape, said_by: None, means }
}

/// A row that only some versions say.
const fn of(version: &'static Difference, shape: Shape, means: fn(&Text<'_>) -> Option<Failure>) -> Row {
    Row { shape, said_by: Some(version), means }
}

fn key_file(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::KeyFile { why: text.shown() })
}

fn damaged(how: Damage, text: &Text<'_>) -> Option<Failure> {
    Some(Failure::Damaged { how, what: text.shown() })
}

fn file(text: &Text<'_>) -> Option<Failure> {
    damaged(Damage::File, text)
}

fn archive(text: &Text<'_>) -> Option<Failure> {
    damaged(Damage::Archive, text)
}

fn corrupt_chunk(text: &Text<'_>) -> Option<Failure> {
    damaged(Damage::CorruptChunk, text)
}

fn missing_chunk(text: &Text<'_>) -> Option<Failure> {
    damaged(Damage::MissingChunk, text)
}

fn busy(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::Busy { what: text.shown() })
}

fn datastore_gone(text: &Text<'_>) -> Option<Failure> {
    Some(Failure::DatastoreGone { what: text.shown() })
}

fn certificate(_: &Text<'_>) -> Option<Failure> {
    Some(Failure::Certificate { expected: None, presented: None })
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
/// What 4.x says for all kinds of things ([`compat::CONNECT`]); the cause is below it.
const VAGUE: &str = "client error (";
const CONNECTION: &str = "error trying to connect: ";
/// `restore … -`.
const PIPING: &str = "unable to pipe data - ";
const OWNER: &str = "/owner\" - No such file or directory (os error 2)";
const PARSING: &str = "Failed to parse chunk ";
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
    row(BetweenElse("unable to read \"", "\" - No such file or directory (os error 2)", OWNER), key_file),
    row(Between("Unable to store key file \"", "\" - File exists (os error 17)"), target_exists),
    // serde's texts about what is no key file; positions vary.
    row(Starts("missing field `"), key_file),
    row(Starts("unknown variant `"), key_file),
    row(Starts("expected ident at line "), key_file),
    row(Starts("expected value at line "), key_file),
    row(Starts("EOF while parsing "), key_file),
    row(Starts("Invalid byte "), key_file),
    row(Starts("got strange key length ("), key_file), // source: pbs-key-config, and so below
    row(Starts("error reading encryption key from fd "), key_file),
    row(Starts("failed to load decryption key from \""), key_file),
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
    row(Is("--keyfile and --keyfd are mutually exclusive"), unknown_client),
    row(Is("--crypt-mode without --keyfile and no default key file available"), unknown_client),
    row(Is("$XDG_RUNTIME_DIR must be set"), unknown_client),
    // Who may do what (§11.5).
    row(Between(BUILDING, " - API token secret must be provided!"), |_| refused(Refusal::NoSecret)),
    row(Between(BUILDING, " - no password input mechanism available"), |_| refused(Refusal::NoSecret)),
    row(Starts("unable to open file in ENV("), |_| refused(Refusal::NoSecret)),
    row(Is("authentication failed - invalid credentials"), |_| refused(Refusal::WrongSecret)),
    row(Is("permission check failed."), |_| refused(Refusal::WrongSecret)),
    row(Is("authentication failed - user account or token disabled or expired."), |_| refused(Refusal::Disabled)),
    of(&compat::REFUSAL, Is("authentication failed"), |_| refused(Refusal::Unstated)),
    row(Is("permission check failed"), |_| role(None)),
    row(Starts(PERMISSION), |text| role(text.shown().strip_prefix(PERMISSION).map(str::to_owned))),
    row(Starts("no permissions on /"), |text| role(Some(text.shown()))),
    row(Starts("missing permissions '"), |text| role(Some(text.shown()))), // source: cached_user_info.rs
    row(Is("no authentication credentials provided."), |_| refused(Refusal::NoSecret)), // source
    row(Starts("authentication failed - no authentication credentials provided"), |_| refused(Refusal::NoSecret)),
    row(Starts("backup owner check failed"), |_| refused(Refusal::Owner)),
    // What there is.
    row(Starts("no such datastore '"), |_| not_found(Thing::Datastore)),
    row(Is("ENOENT: No such file or directory"), |_| not_found(Thing::SnapshotOrNamespace)),
    row(Between("snapshot ", " does not exist."), |_| not_found(Thing::Snapshot)),
    // The server's file that says whose a group is: seen of a real one for a group that is not there.
    row(Between("unable to read \"", OWNER), |_| not_found(Thing::Snapshot)),
    row(Between("backup group ", " does not contain any snapshots."), |_| not_found(Thing::Snapshot)),
    row(Starts("manifest does not contain file '"), |_| not_found(Thing::Archive)),
    row(Starts("unknown archive type: \""), |_| not_found(Thing::Archive)), // source
    of(&compat::NO_ARCHIVE, Is("archive not found in manifest"), |_| not_found(Thing::Archive)),
    of(&compat::NO_ARCHIVE, Starts("failed to parse archive type for '"), |_| not_found(Thing::Archive)),
    // pbs-datastore/src/datastore.rs, pbs-api-types/src/maintenance.rs: "datastore 'x' is in offline
    // maintenance mode: <why>", "… is in read-only …", "… is in datastore is being deleted" and so on.
    row(Quoted("datastore '", " is in "), |text| Some(Failure::Maintenance { what: text.shown() })),
    row(Quoted("unable to open chunk store '", " at "), datastore_gone), // source: chunk_store.rs
    row(Between("unable to acquire lock on ", " - locked by another operation"), busy), // source: reader/mod.rs
    // What is damaged on the server. A chunk's trouble stands at the end, whatever was being done.
    row(Starts("wrong size for file '"), file),
    row(Starts("wrong checksum for file '"), file),
    row(Starts("unable to read dynamic index '"), file),
    row(Starts("unable to read fixed index '"), file),
    row(Between("open file \"", "\" failed - not found"), file),
    row(Starts("Unable to open dynamic index \""), file),
    row(Starts("Unable to open fixed index \""), file),
    row(Starts("blob too small ("), file),
    row(Starts("decode backup manifest blob failed - "), file), // source: manifest.rs, and so below
    row(Starts("unable to parse backup manifest json - "), file),
    row(Is("blob crc check failed"), file),
    row(Is("unable to parse raw blob - wrong magic"), file),
    row(Is("OpenSSL error"), file), // a blob whose tag does not fit
    row(Starts(PARSING), corrupt_chunk),
    row(EndsElse(PARSING, "Data blob has wrong CRC checksum."), corrupt_chunk),
    row(EndsElse(PARSING, "Invalid blob magic number."), corrupt_chunk), // source
    row(EndsElse(PARSING, "detected chunk with wrong digest."), corrupt_chunk),
    row(EndsElse(PARSING, "Index and chunk CryptMode don't match."), corrupt_chunk),
    row(EndsElse(PARSING, "unable to decrypt blob - missing CryptConfig"), corrupt_chunk),
    row(LastStarts("detected chunk with wrong length ("), corrupt_chunk), // source
    row(Between(EXTRACTING, ": OpenSSL error"), corrupt_chunk),           // source
    row(Ends("\" failed: No such file or directory (os error 2)"), missing_chunk),
    row(Between(EXTRACTING, "pxar archive does not start with a directory entry!"), archive), // source, and so below
    row(Between(EXTRACTING, "found empty pxar archive"), archive),
    row(Between(EXTRACTING, "unexpected eof while decoding pxar archive"), archive),
    row(Between(EXTRACTING, "archive file entry contains slashes, which is invalid and a security concern"), archive),
    row(Between(EXTRACTING, "broken pxar archive (directory stack underrun)"), archive),
    // Where it should go.
    row(Between(EXTRACTING, "EEXIST: File exists"), target_exists),
    row(Between(EXTRACTING, "File exists (os error 17)"), target_exists),
    row(Between(TARGET_FILE, "\" - File exists (os error 17)"), target_exists),
    row(StartsNotEnds(TARGET_FILE, "\" - File exists (os error 17)"), target_unusable),
    row(
        Starts("error extracting archive - failed to initialize extractor: error creating directory \""),
        target_unusable,
    ),
    of(&compat::EXTRACTION, Starts("error extracting archive - error creating directory \""), target_unusable),
    row(
        Starts("error extracting archive - failed to initialize extractor: unable to open target directory \""),
        target_unusable,
    ), // source
    of(&compat::EXTRACTION, Starts("error extracting archive - unable to open target directory \""), target_unusable),
    // We stopped reading what it writes.
    row(Is("Broken pipe (os error 32)"), |_| Some(Failure::Interrupted)),
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
    of(&compat::CONNECT, Is("client error (Connect)"), |_| unreachable(Silence::Unstated)),
    of(&compat::CONNECT, Is("client error (SendRequest)"), |_| unreachable(Silence::Lost)),
    row(Is("unexpected EOF"), |_| unreachable(Silence::NotPbs)),
    row(Starts("error:0A00010B:SSL routines:"), |_| unreachable(Silence::NotPbs)),
    of(&compat::OPENSSL, Starts("error:1408F10B:SSL routines:"), |_| unreachable(Silence::NotPbs)),
    row(Starts("error:0A000126:SSL routines:"), |_| unreachable(Silence::Lost)), // end in the middle of the handshake
    row(Starts("error:0A000086:SSL routines:"), certificate),
    of(&compat::OPENSSL, Starts("error:1416F086:SSL routines:"), certificate),
    row(Is("Connection reset by peer (os error 104)"), |_| unreachable(Silence::Lost)),
    row(Is("connection closed before message completed"), |_| unreachable(Silence::Lost)), // hyper
    row(Is("http download request timed out"), |_| unreachable(Silence::TimedOut)),        // source
    row(Is("http request timed out"), |_| unreachable(Silence::TimedOut)),                 // source
    row(Is("http upgrade request timed out"), |_| unreachable(Silence::TimedOut)),         // source
    row(Between(EXTRACTING, "connection closed because of a broken pipe"), |_| unreachable(Silence::Lost)),
    row(Starts("connection closed because of "), |_| unreachable(Silence::Lost)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s51_a_text_of_some_versions_names_its_row_in_the_table_of_versions() {
        let named: Vec<_> = ROWS.iter().filter_map(|row| row.said_by).collect();
        assert!(named.len() > 8);
        for row in named {
            assert!(compat::DIFFERENCES.iter().any(|known| std::ptr::eq(*known, row)), "{}", row.what);
        }
    }

    /// What each text means is asked in `tests/it/texts.rs`; here, that no second row could have it.
    #[test]
    fn s51_no_recorded_text_fits_two_rows() {
        for line in include_str!("../tests/recorded/failures.txt")
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let (meaning, text) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
            let fit: Vec<_> =
                ROWS.iter().filter(|row| row.shape.fits(normal(text))).map(|row| format!("{:?}", row.shape)).collect();
            assert_eq!(fit.len(), usize::from(meaning != "Unknown"), "{text}: {fit:?}");
        }
    }
}
