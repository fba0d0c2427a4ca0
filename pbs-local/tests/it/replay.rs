//! Running a recorded block again, and comparing.
//!
//! `/w` of the recordings is the bench's own folder `w`. Keys are the recorded ones, so fingerprints
//! are compared as they are; sizes, times and durations are only compared as "a number" where a
//! test says so.

use std::fs;

use crate::{
    pty::{Pty, Wiring},
    recorded::{Block, Talk},
    support::{Bench, Ran},
};

/// How much of a text must be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Equal {
    /// All of it.
    Exactly,
    /// All but numbers.
    ButNumbers,
    /// The first line, where usage follows, which is our own.
    FirstLine,
}

/// A bench whose folder `w` is the recordings' `/w`.
pub(crate) fn bench() -> Bench {
    let mut bench = Bench::bare();
    let root = bench.path("w");
    fs::create_dir(&root).unwrap();
    bench.own = vec!["--root".into(), root.into()];
    bench
}

/// The same with datastore `store` in it.
pub(crate) fn bench_with_store() -> Bench {
    let bench = bench();
    bench.run(&["datastore", "create", "store"]).done();
    bench
}

pub(crate) fn here(bench: &Bench, text: &str) -> String {
    text.replace("/w/", &(bench.text_path("w") + "/"))
}

pub(crate) fn words(bench: &Bench, block: &Block) -> Vec<String> {
    block.words.iter().map(|word| here(bench, word)).collect()
}

/// Digits and fractions become `#`, units and names of days and months one of a kind.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    let mut number = false;
    for char in text.chars() {
        if char.is_ascii_digit() || (number && char == '.') {
            if !number {
                plain.push('#');
            }
            number = true;
        } else {
            number = false;
            plain.push(char);
        }
    }
    for unit in ["KiB", "MiB", "GiB"] {
        plain = plain.replace(&format!("# {unit}"), "# B");
    }
    for day in ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] {
        plain = plain.replace(&format!("{day} "), "Day ");
    }
    for month in ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] {
        plain = plain.replace(&format!("{month}  #"), "Month #").replace(&format!("{month} #"), "Month #");
    }
    // Tables are as wide as what is in them.
    while plain.contains("──") || plain.contains("══") || plain.contains("  ") {
        plain = plain.replace("──", "─").replace("══", "═").replace("  ", " ");
    }
    plain
}

/// What the recordings have and we deliberately do not: the catalog; and the machine's own name.
fn expected(bench: &Bench, text: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let pretty = "\n      {\n        \"crypt-mode\": \"encrypt\",\n        \"filename\": \"catalog.pcat1.didx\",\n        \"size\": 177\n      },";
    let row = "│ catalog.pcat1.didx │ encrypt    │      177 │\n├────────────────────┼────────────┼──────────┤\n";
    let text = here(bench, text)
        .replace("Client name: vm\n", &format!("Client name: {}\n", host.trim()))
        .replace("{\"crypt-mode\":\"encrypt\",\"filename\":\"catalog.pcat1.didx\",\"size\":177},", "")
        .replace(pretty, "")
        .replace("\"catalog.pcat1.didx\",", "")
        .replace(row, "")
        .replace("catalog.pcat1 ", "");
    text.split_inclusive('\n').filter(|line| !line.starts_with("Uploaded backup catalog")).collect()
}

#[track_caller]
fn compare(what: &str, block: &Block, equal: Equal, recorded: &str, got: &str) {
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let (recorded, got) = match equal {
        Equal::Exactly => (recorded.to_owned(), got.to_owned()),
        Equal::ButNumbers => (without_numbers(recorded), without_numbers(got)),
        Equal::FirstLine => (first(recorded), first(got)),
    };
    assert_eq!(recorded, got, "{what} of {:?} ({})", block.title, block.words.join(" "));
}

/// Runs a block and compares.
#[track_caller]
pub(crate) fn replay(bench: &Bench, block: &Block, equal: Equal) {
    let words = words(bench, block);
    if block.is_pty() {
        return replay_on_terminal(bench, block, &words, equal);
    }
    compare_streams(bench, block, equal, bench.run(&words));
}

#[track_caller]
pub(crate) fn compare_streams(bench: &Bench, block: &Block, equal: Equal, ran: Ran) {
    let stderr = expected(bench, &block.stderr);
    let usage =
        stderr.contains("no command specified") || stderr.contains("no such command") || stderr.contains("\nUsage:");
    compare("stderr", block, if usage { Equal::FirstLine } else { equal }, &stderr, &ran.stderr);
    compare("stdout", block, equal, &expected(bench, &block.stdout), &ran.stdout_text());
    assert_eq!(ran.code, Some(block.exit), "exit code of {:?}", block.title);
}

#[track_caller]
pub(crate) fn replay_on_terminal(bench: &Bench, block: &Block, words: &[String], equal: Equal) {
    let wiring = Wiring {
        controlling: block.note.contains("controlling=True"),
        stdout: block.note.contains("stdout=pty"),
        stderr: block.note.contains("stderr=pty"),
    };
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut pty = Pty::spawn(bench, &words, wiring);
    let mut talk = block.talk.iter().peekable();
    let mut rest = Vec::new();
    while let Some(step) = talk.next() {
        match (step, talk.peek()) {
            // What ends in a newline is no prompt: the recorder typed on after the end.
            (Talk::Tty(text), Some(Talk::Send(_))) if text.ends_with(b"\n") => {
                rest.extend_from_slice(text);
                break;
            }
            (Talk::Tty(text), Some(Talk::Send(answer))) => {
                pty.prompt(text);
                pty.send(answer);
                talk.next();
            }
            (Talk::Tty(text), _) => rest.extend_from_slice(text),
            (Talk::Send(answer), _) => pty.send(answer),
        }
    }
    let ended = pty.finish();
    let (recorded, got) = (String::from_utf8(rest).unwrap(), String::from_utf8(ended.tty).unwrap());
    let usage = recorded.contains("\nUsage:");
    if equal == Equal::Exactly && !usage {
        // To the byte: a lone LF would mean that the terminal had not got its settings back.
        compare("terminal", block, equal, &here(bench, &recorded), &got);
    } else {
        let recorded = expected(bench, &recorded.replace("\r\n", "\n"));
        compare("terminal", block, if usage { Equal::FirstLine } else { equal }, &recorded, &got.replace("\r\n", "\n"));
    }
    assert_eq!(ended.code.unwrap_or_else(|| -ended.signal.unwrap()), block.exit, "exit code of {:?}", block.title);
    let stderr = recorded_stderr(block);
    if !wiring.stderr {
        compare("stderr", block, equal, &here(bench, &stderr), &ended.stderr);
    }
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "", "stdout of {:?}", block.title);
}

/// `  stderr  b'…'` of a conversation.
fn recorded_stderr(block: &Block) -> String {
    block.stderr_bytes.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}
