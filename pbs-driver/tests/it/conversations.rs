//! The conversation tables, held against what the real client was seen to show, byte for byte.

use std::fmt::Write as _;

use pbs_driver::{Client, DriverError, Failure, failure::Refusal, key, status};
use tenwords_protocol::fingerprint::Fingerprint;

use crate::place::{KEYS, Place, WORDS};

const RECORDED: &str = include_str!("../recorded/conversations.txt");

struct Recorded<'a> {
    command: &'a str,
    means: &'a str,
    name: &'a str,
    exit: i32,
    script: String,
}

/// A shell text that shows exactly the recorded bytes, and reads an answer where one was typed.
fn recorded() -> Vec<Recorded<'static>> {
    let mut all: Vec<Recorded<'_>> = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("= ") {
            let (what, name) = head.split_once(" | ").unwrap();
            let (command, means) = what.split_once(' ').unwrap();
            all.push(Recorded { command, means, name, exit: 0, script: String::new() });
            continue;
        }
        let one = all.last_mut().unwrap();
        match line.split_once(' ') {
            Some(("exit", code)) => one.exit = code.parse().unwrap(),
            Some(("tty", literal)) => {
                let octal = bytes(literal).iter().fold(String::new(), |mut text, byte| {
                    write!(text, "\\{byte:03o}").unwrap();
                    text
                });
                writeln!(one.script, "printf '{octal}'").unwrap();
            }
            _ if line == "send" => one.script.push_str("raw; IFS= read -r answer; stty \"$old\"\n"),
            _ => panic!("{line}"),
        }
    }
    all
}

/// The bytes of a Python literal without hexadecimal escapes.
fn bytes(literal: &str) -> Vec<u8> {
    let inner = &literal[2..literal.len() - 1];
    let text = inner.replace("\\r", "\r").replace("\\n", "\n").replace("\\'", "'");
    assert!(!text.contains('\\'), "{text}");
    text.into_bytes()
}

#[test]
fn s06_s51_every_recorded_conversation_comes_to_its_recorded_end() {
    let all = recorded();
    assert!(all.len() > 25, "{}", all.len());
    for one in all {
        let place = Place::new();
        let made = if one.command == "unwrap" { "plain" } else { "wrapped" };
        let works = if one.exit == 0 { format!("cp \"${made}\" \"$3\"\n") } else { String::new() };
        let end = if one.exit < 0 { format!("kill {} $$; sleep 60", one.exit) } else { format!("exit {}", one.exit) };
        let client = place.client(&format!("{works}{}{end}", one.script));
        let result = hold(&place, &client, one.command);
        let means = match &result {
            Ok(()) => "Done".to_owned(),
            Err(DriverError::Client { failure, .. }) => {
                let debug = format!("{failure:?}");
                debug.split([' ', '{']).next().unwrap().to_owned()
            }
            Err(other) => panic!("{}: {other:?}", one.name),
        };
        assert_eq!(means, one.means, "{}: {result:?}", one.name);
        place.assert_clean();
    }
}

fn hold(place: &Place, client: &Client, command: &str) -> Result<(), DriverError> {
    let folder = place.private.folder().unwrap();
    let path = match command {
        "create" => folder.path().join("k.enc"),
        "wrap" => folder.write("k.enc", &KEYS.plain).unwrap(),
        _ => folder.write("k.enc", &KEYS.wrapped).unwrap(),
    };
    match command {
        "create" => key::create(client, &path, WORDS),
        "rewrap" => key::rewrap(client, &path, WORDS, "other words entirely"),
        "unwrap" => key::unwrap(client, &path, WORDS),
        "wrap" => key::wrap(client, &path, WORDS),
        other => panic!("{other}"),
    }
}

/// Old, new, new again: each where it belongs.
#[test]
fn three_questions_get_the_old_passphrase_and_twice_the_new_one() {
    let place = Place::new();
    let client = place.client(
        "for prompt in 'Encryption Key Password: ' 'New Password: ' 'Verify Password: '; do
ask \"$prompt\"; printf '%s\\n' \"$answer\" >> \"$scratch/got\"; done; cp \"$wrapped\" \"$3\"",
    );
    let folder = place.private.folder().unwrap();
    let path = folder.write("k.enc", &KEYS.wrapped).unwrap();
    key::rewrap(&client, &path, WORDS, "other words").unwrap();
    assert_eq!(place.left("got").unwrap(), format!("{WORDS}\nother words\nother words\n"));
    drop(folder);
    place.assert_clean();
}

/// By pipes nobody answers: whoever asks is ended, and what it asked is named.
#[test]
fn s06_a_question_on_a_pipe_ends_the_child_and_is_named() {
    for (question, expected) in [
        ("Encryption Key Password: ", Failure::KeyProtected),
        ("Password for \"backup@pbs\": ", Failure::NotAuthorised { why: Refusal::NoSecret }),
        (
            "fingerprint: aa:bb\\nAre you sure you want to continue connecting? (y/n): ",
            Failure::Certificate { expected: Some(Fingerprint::from_bytes([0xaa; 32])), presented: None },
        ),
    ] {
        let place = Place::new();
        let client = place.client(&format!("printf 'lead\\n{question}' >&2; exec sleep 600"));
        let error = status::probe(&client, &place.access()).unwrap_err();
        assert_eq!(error.failure(), Some(&expected), "{question}");
        place.assert_clean();
    }
    let place = Place::new();
    let client = place.client("printf 'New Password: ' >&2; exec sleep 600");
    let error = status::probe(&client, &place.access()).unwrap_err();
    assert!(
        matches!(error.failure(), Some(Failure::UnknownClient { why }) if why.contains("New Password:")),
        "{error:?}"
    );
}
