//! Nothing grows and nothing stays: memory, descriptors, threads, processes, files.

use std::{fs, ops::ControlFlow, path::PathBuf};

use pbs_driver::{
    Client, Failure, Limits, key,
    restore::{self, Request},
    status, version,
};
use pbs_format::manifest::{CryptMode, FileEntry};
use tenwords_protocol::hash::Sha256;

use crate::place::{KEYS, Place, WORDS, all_words, pbs_local, rerun, until, write_program};

/// Asks as the real client does, with one program started in all: a thousand runs are seconds.
const QUICK: &str = r#"stty -echo -icanon
printf 'New Password: '; IFS= read -r first; printf '*\r\n'
printf 'Verify Password: '; IFS= read -r again; printf '*\r\n'
[ "$first" = "$again" ] || { echo 'Error: Passwords do not match!'; exit 255; }
IFS= read -r made < "$wrapped"; printf '%s' "$made" > "$3""#;

#[test]
fn a_thousand_wraps_leave_nothing_behind() {
    rerun("bounded::inner_a_thousand_wraps", &[], &[("TENWORDS_ALONE", "1")]);
}

/// Counts what the whole process holds, so it must run alone; see the test above.
#[test]
fn inner_a_thousand_wraps() {
    if std::env::var_os("TENWORDS_ALONE").is_some() {
        let place = Place::new();
        let client = Client::new(quick(&place), place.private.clone()).unwrap().with_limits(patient());
        wrap_often(&place, &client);
    }
}

/// With `pbs-local` and its real derivation.
#[test]
#[ignore = "a thousand derivations take minutes; cargo xtask proof runs it"]
fn proof_a_thousand_wraps_by_a_working_client_leave_nothing_behind() {
    rerun("bounded::inner_a_thousand_wraps_by_pbs_local", &[], &[("TENWORDS_ALONE", "1")]);
}

/// Only run by the test above.
#[test]
fn inner_a_thousand_wraps_by_pbs_local() {
    if std::env::var_os("TENWORDS_ALONE").is_some() {
        let place = Place::new();
        let root = place.scratch().join("root");
        fs::create_dir(&root).unwrap();
        let wrapper = place.scratch().join("proxmox-backup-client");
        write_program(
            &wrapper,
            &format!("#!/bin/sh\nexec '{}' --root '{}' \"$@\"\n", pbs_local().display(), root.display()),
        );
        let client = Client::new(wrapper, place.private.clone()).unwrap().with_limits(patient());
        wrap_often(&place, &client);
    }
}

fn wrap_often(place: &Place, client: &Client) {
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let once = || drop(key::wrapped(client, &KEYS.plain, WORDS).unwrap());
    (0..10).for_each(|_| once());
    let before = (count("fd"), count("task"), resident("VmRSS"));
    // Four at a time: most of a conversation is waiting for the other side.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| once()));
        }
    });
    until("the threads to be gone", || count("task") <= before.1);
    assert_eq!(count("fd"), before.0);
    // Of every thread: a child belongs to the one that started it, and to another when that one ends.
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        assert_eq!(children.trim(), "");
    }
    place.assert_clean();
    let grown = resident("VmRSS").saturating_sub(before.2);
    assert!(grown < 8 * 1024, "{grown} KiB more after a thousand wraps");
}

#[test]
fn memory_is_flat_while_a_child_prints_for_ever() {
    rerun("bounded::inner_memory_is_flat", &[], &[("TENWORDS_ALONE", "1")]);
}

/// Looks at the whole process, so it must run alone; see the test above.
#[test]
fn inner_memory_is_flat() {
    if std::env::var_os("TENWORDS_ALONE").is_none() {
        return;
    }
    let place = Place::new();
    let answer = "echo '{\"avail\":1,\"total\":2,\"used\":1}'";
    let lines = "yes 'a line of a program that cannot stop talking about what it does' | head -c";
    let run = |body: String| status::probe(&place.client(&body), &place.access());
    run(format!("{lines} 1M >&2; {answer}")).unwrap();
    key::wrapped(&place.client(&format!("exec {lines} 1M")), &KEYS.plain, WORDS).unwrap_err();

    let before = resident("VmHWM");
    // By pipes, to a good end and to a bad one.
    run(format!("{lines} 256M >&2; {answer}")).unwrap();
    let error = run(format!("{lines} 64M >&2; echo 'Error: permission check failed' >&2; exit 255")).unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::NotAuthorised { .. })), "{error:?}");
    // An answer is read up to a limit.
    let error = run(format!("{lines} 256M")).unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::UnknownClient { .. })), "{error:?}");
    // On a terminal: ended at a limit, before and after the answers.
    for body in ["exec yes".to_owned(), format!("ask 'New Password: '; ask 'Verify Password: '; {lines} 256M")] {
        let error = key::wrapped(&place.client(&body), &KEYS.plain, WORDS).unwrap_err();
        assert!(matches!(error.failure(), Some(Failure::UnknownClient { .. })), "{error:?}");
    }
    // While an archive is awaited: words on standard error without end, and then none of them the right ones.
    let (key_file, out) = (place.scratch().join("plain.json"), place.scratch().join("out"));
    let signed = |archive: &str| FileEntry {
        filename: archive.parse().unwrap(),
        crypt_mode: CryptMode::Encrypt,
        size: 1 << 40,
        csum: Sha256::of(b""),
    };
    let (access, snapshot) = (place.access(), "host/box1/2026-11-21T00:22:54Z".parse().unwrap());
    for (archive, body) in [
        ("root.pxar.didx", format!("{lines} 128M >&2; exit 255")),
        ("box.conf.blob", format!("{lines} 128M >&2; exit 255")),
        // Content before the key was named is read no further than a pipe is wide.
        ("disk.img.fidx", format!("{lines} 128M >&2; exec {lines} 128M")),
    ] {
        let client = place.client(&body);
        let signed = signed(archive);
        let request = Request {
            access: &access,
            snapshot: &snapshot,
            signed: &signed,
            protection: restore::Protection::Under { key_file: &key_file, key: KEYS.fingerprint },
        };
        let mut go_on = |_| ControlFlow::Continue(());
        let result = match archive {
            "root.pxar.didx" => restore::tree(&client, &request, &out, &mut go_on).map(drop),
            _ => restore::file(&client, &request, &out, &mut go_on).map(drop),
        };
        assert!(result.is_err() && !out.exists(), "{archive}: {result:?}");
    }
    let grown = resident("VmHWM").saturating_sub(before);
    // What an answer may hold (16 MiB, and the same again while it grows), and little more.
    assert!(grown < 48 * 1024, "{grown} KiB more for a gibibyte of words");
    place.assert_clean();
}

/// Escape sequences, text that turns round and ten megabytes, in everything that a client says.
#[test]
fn s71_whatever_a_client_prints_is_shown_harmlessly_and_bounded() {
    let evil = "\\033]0;owned\\007\\033[2J\\033[1;31m\\342\\200\\256gnp.exe\\342\\201\\246\\000\\b\\b\\r";
    let flood = "yes 'x\u{202e}y' | head -c 10M";
    for body in [
        format!("printf 'Error: {evil}\\n' >&2; exit 255"),
        format!("{{ printf 'Error: {evil}'; {flood} | tr -d '\\n'; }} >&2; exit 255"),
        format!("{{ {flood}; printf 'Error: {evil}'; }} >&2; exit 255"),
        format!("{flood} >&2; exit 3"),
        format!("printf '{evil}'; {flood}"),
        format!("printf '{{\"client\":{{\"version\":\"{evil}\",\"release\":\"{evil}\"}}}}'"),
    ] {
        let place = Place::new();
        let client = place.client(&body);
        for error in [
            status::probe(&client, &place.access()).unwrap_err(),
            match version::client(&client) {
                Err(error) => error,
                Ok(version) => panic!("{version}"),
            },
            key::wrapped(&client, &KEYS.plain, WORDS).unwrap_err(),
        ] {
            let words = all_words(&error);
            // Two forms of one error, each with its causes.
            assert!(words.chars().count() < 4000, "{} characters: {body}", words.chars().count());
            assert!(
                !words.chars().any(|c| c.is_control()
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')),
                "{words:?}"
            );
        }
        place.assert_clean();
    }
}

#[test]
fn s51_a_client_of_an_unknown_version_is_said_and_used() {
    let place = Place::new();
    let client = place.client(
        "case $1 in
version) echo '{\"client\":{\"version\":\"7.0\",\"release\":\"1\",\"repoid\":\"x\"}}' ;;
*) echo '{\"avail\":1,\"total\":2,\"used\":1,\"new\":[]}' ;;
esac",
    );
    let version = version::client(&client).unwrap();
    assert_eq!(version.to_string(), "7.0.1");
    let remarks = pbs_driver::compat::remarks(&version);
    assert!(remarks.len() == 1 && remarks[0].contains("7.0.1"), "{remarks:?}");
    status::probe(&client, &place.access()).unwrap();
    place.assert_clean();
}

fn quick(place: &Place) -> PathBuf {
    place.script(QUICK)
}

fn patient() -> Limits {
    Limits { spawn: std::time::Duration::from_secs(60), ..Limits::default() }
}

/// A line of `/proc/self/status`, in KiB.
fn resident(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}
