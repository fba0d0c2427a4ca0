//! Every recorded text means exactly one thing.
//!
//! `tests/recorded/failures.txt`: all that the real client 3.2.4 printed after `Error: ` in
//! `pbs-facts/transcripts/` (paths shortened to `/w`), and what `formats.md` §11.4 and §11.5 list
//! beside. One line each: what it means, a tab, the text.

use pbs_driver::{
    Failure, Repository,
    failure::{Silence, classify},
};
use tenwords_protocol::fingerprint::Fingerprint;

const RECORDED: &str = include_str!("../recorded/failures.txt");

fn recorded() -> impl Iterator<Item = (&'static str, &'static str)> {
    RECORDED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}")))
}

/// The meaning in one word, as it stands in the file.
fn word(failure: &Failure) -> String {
    let debug = format!("{failure:?}");
    let end = debug.find([' ', '{', '(']).unwrap_or(debug.len());
    let mut word = debug[..end].to_owned();
    match failure {
        Failure::NotAuthorised { why } => {
            let why = format!("{why:?}");
            word += &format!(".{}", why.split(' ').next().unwrap());
        }
        Failure::Damaged { how, .. } => word += &format!(".{how:?}"),
        Failure::NotFound { what } => word += &format!(".{what:?}"),
        Failure::Unreachable { why } => word += &format!(".{why:?}"),
        _ => {}
    }
    word
}

#[test]
fn s51_every_recorded_failure_means_what_it_should() {
    assert!(recorded().count() > 150);
    for (meaning, text) in recorded() {
        let failure = classify(format!("Using encryption key from '/w/K'..\nError: {text}\n").as_bytes(), &[]);
        assert_eq!(word(&failure), meaning, "{text}");
    }
}

#[test]
fn s51_later_releases_print_more_below_and_mean_the_same() {
    for (meaning, text) in recorded() {
        let said = format!(
            "Error: {text}\n\nCaused by:\n    0: {text}\n    1: something else\n\nStack backtrace:\n   0: anyhow::error\n"
        );
        assert_eq!(word(&classify(said.as_bytes(), &[])), meaning, "{text}");
        let on_a_terminal = format!("Error: {text}\r\n");
        assert_eq!(word(&classify(on_a_terminal.as_bytes(), &[])), meaning, "{text}");
    }
}

#[test]
fn s51_a_vague_text_is_named_by_its_cause() {
    let refused = "error connecting to https://127.0.0.1:8999/ - tcp connect error: Connection refused (os error 111)";
    for cause in [refused.to_owned(), format!("0: {refused}"), format!("0: what is this\n    1: {refused}")] {
        let said = format!("Error: client error (Connect)\n\nCaused by:\n    {cause}\n");
        assert_eq!(classify(said.as_bytes(), &[]), Failure::Unreachable { why: Silence::Refused }, "{cause}");
    }
    let said = b"Error: client error (Connect)\n\nCaused by:\n    never seen\n";
    assert_eq!(classify(said, &[]), Failure::Unreachable { why: Silence::Unstated });
}

#[test]
fn an_unseen_text_stays_unknown_and_keeps_its_words() {
    for (said, text) in [
        ("Error: quantum flux\n", "quantum flux"),
        ("lead\nError: first\nError: second\n", "first"),
        ("no error line\nat all\n", "no error line / at all"),
        ("", ""),
        ("Error: missing key - manifest was created with key zz\n", "missing key - manifest was created with key zz"),
        ("Error: a\u{1b}[31m\u{202e}b\n", "a [31mb"),
        ("prefix Error: missing key\n", "prefix Error: missing key"),
    ] {
        assert_eq!(classify(said.as_bytes(), &[]), Failure::Unknown { text: text.to_owned() }, "{said:?}");
    }
}

/// What nobody has seen is named by what caused it, if that is known.
#[test]
fn s51_an_unseen_text_is_named_by_a_known_cause() {
    let said = b"Error: a new way of saying it\n\nCaused by:\n    0: error at entry \"x\"\n    1: No space left on device (os error 28)\n";
    assert_eq!(classify(said, &[]), Failure::DiskFull);
    let said = b"Error: a new way of saying it\n\nCaused by:\n    never seen\n";
    assert_eq!(classify(said, &[]), Failure::Unknown { text: "a new way of saying it".to_owned() });
}

/// The name of a file in an archive is the archive's maker's, not the client's word.
#[test]
fn a_name_inside_a_text_does_not_decide() {
    let named = |name: &str, cause: &str| {
        let said = format!(
            "Error: error extracting archive - encountered unexpected error during extraction: error at entry \"{name}\": failed to extract file: {cause}\n"
        );
        word(&classify(said.as_bytes(), &[]))
    };
    assert_eq!(named("No space left on device (os error 28)", "never seen"), "Unknown");
    assert_eq!(
        named(
            "missing key - manifest was created with key 1a:8d:27:c9:81:68:f6:3b",
            "No space left on device (os error 28)"
        ),
        "DiskFull"
    );
    assert_eq!(named("a\nError: wrong signature in manifest", "never seen"), "Unknown");
}

#[test]
fn every_failure_says_what_to_do_next() {
    let source: Repository = "backup@pbs!box1@pbs.example:8007:store".parse().unwrap();
    for (_, text) in recorded() {
        let failure = classify(format!("Error: {text}\n").as_bytes(), &[]);
        assert!(failure.next_step().len() > 8, "{failure:?}");
        assert!(failure.next_step_at(&source).len() > 8, "{failure:?}");
        let shown = failure.to_string();
        assert!(!shown.is_empty() && !shown.ends_with('.') || shown.contains(':'), "{shown}");
    }
}

/// Where a name is known, it is said: nobody has to guess which token, key or server is meant.
#[test]
fn s38_the_next_step_names_what_it_is_about() {
    let source: Repository = "backup@pbs!box1@pbs.example:8007:store".parse().unwrap();
    let named = |text: &str, names: &[&str]| {
        let failure = classify(format!("Error: {text}\n").as_bytes(), &[]);
        let step = format!("{failure} | {}", failure.next_step_at(&source));
        for name in names {
            assert!(step.contains(name), "{name} is not in: {step}");
        }
    };
    named("missing key - manifest was created with key 1a:8d:27:c9:81:68:f6:3b", &["1a:8d:27:c9:81:68:f6:3b"]);
    named(
        "wrong key - unable to verify signature since manifest's key 1a:8d:27:c9:81:68:f6:3b does not match provided key 3c:e0:55:01:a4:a7:4b:7b",
        &["1a:8d:27:c9:81:68:f6:3b", "3c:e0:55:01:a4:a7:4b:7b"],
    );
    named("authentication failed - invalid credentials", &["backup@pbs!box1", "pbs.example"]);
    named("authentication failed - user account or token disabled or expired.", &["backup@pbs!box1", "disabled"]);
    named(
        "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/store",
        &["Datastore.Audit", "both backup@pbs and backup@pbs!box1", "/datastore/store"],
    );
    named("no such datastore 'store'", &["store", "pbs.example"]);
    named("datastore 'store' is in offline maintenance mode: moving house", &["moving house", "store", "pbs.example"]);
    named(
        "error trying to connect: error connecting to https://pbs.example:8007/ - tcp connect error: Connection refused (os error 111)",
        &["pbs.example:8007", "nobody listens"],
    );
    let (expected, presented) = (Fingerprint::from_bytes([0xaa; 32]), Fingerprint::from_bytes([0xbb; 32]));
    let failure = Failure::Certificate { expected: Some(expected), presented: Some(presented) };
    let step = format!("{failure} | {}", failure.next_step_at(&source));
    assert!(step.contains(&expected.to_string()) && step.contains(&presented.to_string()), "{step}");
    let no_client = Failure::NoClient { program: "/usr/bin/proxmox-backup-client".into() };
    assert!(no_client.to_string().contains("the package proxmox-backup-client"), "{no_client}");
}
