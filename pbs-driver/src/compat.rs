//! What differs between versions of the client, in one table.
//!
//! 3.2.4 was run and recorded (`pbs-facts/transcripts`); 2.0 to 3.2.4 were read in the public history
//! of proxmox-backup, what came later in proxmox-rs of 2026-05 as far as it holds the client's parts.
//! Nobody here has run a 4.x client: its rows are from those sources and from what `formats.md` lists.
//!
//! The driver asks no version before it acts. It does what works in all of them, and a row here says
//! how that is held; a row of `texts.rs` that only some versions say points at its row here. A
//! version that is in no column is *said* ([`remarks`]), never refused: on the worst day a client that
//! works is worth more than one that is known.

use crate::version::Version;

/// One difference.
#[derive(Debug)]
pub struct Difference {
    /// About what.
    pub what: &'static str,
    /// In 2.x.
    pub two: &'static str,
    /// In 3.x.
    pub three: &'static str,
    /// In 4.x.
    pub four: &'static str,
    /// What this crate does so that it need not know which one it drives.
    pub held_by: &'static str,
    /// Where it was read or seen.
    pub source: &'static str,
    /// How it is known.
    pub known: Known,
}

/// How a difference is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// One side was seen to happen, the other read in the source.
    RecordedAndRead,
    /// Read in the source, on all sides.
    Read,
    /// At least one side is from a list of ours, and was neither run nor read.
    Listed,
}

/// What stands below the `Error: ` line.
pub static CHAIN: Difference = Difference {
    what: "causes below the error line",
    two: "none: the outermost text in one line",
    three: "none up to 3.2.4; then an empty line and a `Caused by:` block (`{:?}`)",
    four: "a `Caused by:` block, numbered if there are several",
    held_by: "the first line that starts with `Error: ` is named; if it says nothing, its causes are, in their order",
    source: "proxmox-rs 8240e502 (proxmox-router 2.1.4, 2024-06-19); transcripts/y.txt, a client built with it",
    known: Known::RecordedAndRead,
};

/// The words for a connection that did not come about.
pub static CONNECT: Difference = Difference {
    what: "a server that cannot be reached",
    two: "`error trying to connect: <cause>`",
    three: "`error trying to connect: <cause>`",
    four: "`client error (Connect)`, the cause below it from 4.2.5 on",
    held_by: "the leading words are passed over, the cause is named; without a cause the failure says so",
    source: "transcripts/e.txt; formats.md §11.5; hyper-util 0.1, client/legacy/client.rs",
    known: Known::Listed,
};

/// How much a refused secret is told.
pub static REFUSAL: Difference = Difference {
    what: "an access that the server refuses (its version decides, not the client's)",
    two: "`authentication failed - <why>`",
    three: "`authentication failed - <why>`",
    four: "`authentication failed`, since 2026-01 for every cause",
    held_by: "three failures where the server says which, one that names all three where it does not",
    source: "transcripts/e.txt; proxmox-rs 470ee44b, 26b55800 (2026-01-29), proxmox-rest-server/src/rest.rs",
    known: Known::RecordedAndRead,
};

/// The words for an archive that is not in the snapshot.
pub static NO_ARCHIVE: Difference = Difference {
    what: "an archive that the snapshot has not",
    two: "`manifest does not contain file '<name>'`",
    three: "`manifest does not contain file '<name>'`",
    four: "`archive not found in manifest`, `failed to parse archive type for '<name>'`",
    held_by: "one failure for all of them",
    source: "transcripts/ab.txt; proxmox-backup v2.0.12 and 4940514b, pbs-datastore/src/manifest.rs; formats.md §11.5",
    known: Known::Listed,
};

/// How the failure of an extraction is put together.
pub static EXTRACTION: Difference = Difference {
    what: "a failure in the middle of an archive's extraction by the client",
    two: "`error extracting archive - <context>: … <cause>` in one line",
    three: "to 3.0.4 as 2.x; from 3.0.5 with `failed to initialize extractor: ` or `encountered unexpected error during extraction: ` before it",
    four: "as 3.0.5",
    held_by: "such a text is named by how it begins and by its cause at the end, never by what stands between",
    source: "proxmox-backup c66f2579 (2023-07-17), 7e4815ba (2023-11-25), e5b6a0b3 (2.4.2) pbs-client/src/pxar/extract.rs",
    known: Known::Read,
};

/// OpenSSL's number for a refused certificate and for an answer that is no TLS.
pub static OPENSSL: Difference = Difference {
    what: "OpenSSL's error numbers",
    two: "1.1.1 of Debian 11: `error:1416F086:…`, `error:1408F10B:…`",
    three: "3.0 of Debian 12: `error:0A000086:…`, `error:0A00010B:…`",
    four: "3.5 of Debian 13: the same numbers",
    held_by: "both numbers of each are rows; the file, line and function behind them are not looked at",
    source: "transcripts/e.txt for 3.0; OpenSSL's own numbering for 1.1.1, as many programs' reports show it",
    known: Known::Listed,
};

/// Names of archives on the command line.
pub static ARCHIVE_NAMES: Difference = Difference {
    what: "which name of an archive `restore` takes",
    two: "the short one (`root.pxar`) or the stored one",
    three: "the short one (`root.pxar`) or the stored one",
    four: "the short one, and only endings that it knows",
    held_by: "restore gives the short name where the client puts the same ending back, the stored name elsewhere",
    source: "formats.md §6.1, §11.3; proxmox-backup 4940514b, proxmox-backup-client/src/main.rs",
    known: Known::Listed,
};

/// Ways for a secret to reach the client.
pub static CREDENTIALS: Difference = Difference {
    what: "where a token's secret is read from",
    two: "PBS_PASSWORD; _FD, _FILE and _CMD from 2.0.6 on",
    three: "PBS_PASSWORD, _FD, _FILE, _CMD, the first one that is set",
    four: "the same, and systemd credentials (CREDENTIALS_DIRECTORY)",
    held_by: "PBS_PASSWORD_FILE, in an environment in which nothing else is set; before 2.0.6 it is `no secret was given`",
    source: "proxmox-backup 16a01c19 (2021-07-22); docs/backup-client.rst; formats.md §11.2",
    known: Known::Listed,
};

/// Namespaces.
pub static NAMESPACES: Difference = Difference {
    what: "namespaces (`--ns`)",
    two: "from 2.2 on",
    three: "yes",
    four: "yes",
    held_by: "`--ns` is given for a namespace that is not the root only",
    source: "proxmox-backup v2.0.12 (none) and v2.2.1, proxmox-backup-client/src/main.rs",
    known: Known::Read,
};

/// Options that let a restore write over what is there.
pub static OVERWRITE: Difference = Difference {
    what: "options that overwrite",
    two: "--allow-existing-dirs; --overwrite from 2.2.6 on",
    three: "also --overwrite-files, --overwrite-symlinks, --overwrite-hardlinks from 3.0.3 on",
    four: "the same",
    held_by: "none is ever passed",
    source: "proxmox-backup 10cc2a13 (2022-08-19), 70bca123 (2023-08-17)",
    known: Known::Read,
};

/// Default keys.
pub static KEY_LOOKUP: Difference = Difference {
    what: "where a key is looked for that was not named",
    two: "XDG_CONFIG_HOME, XDG_CONFIG_DIRS (/etc/xdg)",
    three: "XDG_CONFIG_HOME, XDG_CONFIG_DIRS (/etc/xdg)",
    four: "the same, and systemd credentials for its passphrase",
    held_by: "HOME and every XDG folder are empty ones of our own; a restore names its key file",
    source: "client.md (seen with /etc/xdg); formats.md §11.2",
    known: Known::Listed,
};

/// Prompts of the key commands.
pub static PROMPTS: Difference = Difference {
    what: "questions of the key commands",
    two: "the same as 3.x",
    three: "`Encryption Key Password: `, `New Password: `, `Verify Password: `, raw mode after the prompt",
    four: "the same library (proxmox-sys tty.rs)",
    held_by: "one set of tables (`conversation.rs`); another wording is shown, named and never answered",
    source: "transcripts/cd.txt; proxmox-backup v2.0.12, v2.2.1, e5b6a0b3, proxmox-backup-client/src/key.rs; proxmox-rs of 2026-05",
    known: Known::RecordedAndRead,
};

/// Progress of a restore.
pub static PROGRESS: Difference = Difference {
    what: "progress of a restore",
    two: "none for file archives",
    three: "none for file archives, one closing line for images",
    four: "`progress 4% (…)`, ended by CR",
    held_by: "nothing is read from it; progress is counted from the bytes that come",
    source: "transcripts/fg.txt; formats.md §11.5",
    known: Known::Listed,
};

/// What `version` prints.
pub static VERSION_OUTPUT: Difference = Difference {
    what: "`version --output-format json`",
    two: "`client` and, if a server answers, `server`, each with version, release, repoid",
    three: "the same; exit 0 also when no server answers",
    four: "the same, as far as is known",
    held_by: "the two fields are read, others passed over; a version that is not two numbers is kept as text and said",
    source: "proxmox-backup v2.0.12 and 4940514b, proxmox-backup-client/src/main.rs (`api_version`); transcripts/e.txt",
    known: Known::Listed,
};

/// All of them.
pub static DIFFERENCES: &[&Difference] = &[
    &ARCHIVE_NAMES,
    &CHAIN,
    &CONNECT,
    &CREDENTIALS,
    &EXTRACTION,
    &KEY_LOOKUP,
    &NAMESPACES,
    &NO_ARCHIVE,
    &OPENSSL,
    &OVERWRITE,
    &PROGRESS,
    &PROMPTS,
    &REFUSAL,
    &VERSION_OUTPUT,
];

/// What a person should know about this version before relying on it; nothing for a known one.
#[must_use]
pub fn remarks(version: &Version) -> Vec<String> {
    let Some((major, minor)) = version.numbers() else {
        return vec![format!("the client calls its version \"{version}\", which cannot be read; {UNNAMED}")];
    };
    match (major, minor) {
        (2, 0 | 1) => vec![format!(
            "proxmox-backup-client {version} has no namespaces (they came with 2.2), and before 2.0.6 reads no secret from a file"
        )],
        (2..=4, _) => Vec::new(),
        _ => vec![format!("proxmox-backup-client {version} is neither 2.x, 3.x nor 4.x; {UNNAMED}")],
    }
}

const UNNAMED: &str = "it is used all the same, but what it says may stay unnamed here";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s51_every_difference_says_all_three_lines_and_its_source() {
        for row in DIFFERENCES {
            for text in [row.what, row.two, row.three, row.four, row.held_by, row.source] {
                assert!(text.len() >= 3, "{row:?}");
            }
        }
        let mut names: Vec<_> = DIFFERENCES.iter().map(|row| row.what).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DIFFERENCES.len());
    }

    #[test]
    fn s51_a_version_that_nobody_knows_is_said() {
        for (version, said) in [
            (r#"{"version":"2.0","release":"4"}"#, Some("no namespaces")),
            (r#"{"version":"2.4","release":"2"}"#, None),
            (r#"{"version":"3.2","release":"4"}"#, None),
            (r#"{"version":"4.1","release":"1"}"#, None),
            (r#"{"version":"5.0","release":"1"}"#, Some("neither 2.x, 3.x nor 4.x")),
            (r#"{"version":"1.1","release":"1"}"#, Some("neither 2.x, 3.x nor 4.x")),
            (r#"{"version":"next","release":"1"}"#, Some("cannot be read")),
            (r#"{"version":"\u001b[2J5","release":"\u202e"}"#, Some("cannot be read")),
        ] {
            let version: Version = serde_json::from_str(version).unwrap_or_else(|error| panic!("{error}"));
            let remarks = remarks(&version).join("\n");
            match said {
                Some(said) => assert!(remarks.contains(said), "{remarks}"),
                None => assert_eq!(remarks, ""),
            }
            assert!(!remarks.chars().any(|c| c.is_control() || c == '\u{202e}'), "{remarks:?}");
        }
    }
}
