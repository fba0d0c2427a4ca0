//! Every recorded run of the real client is run again here and compared: exit code, stdout, stderr,
//! or the whole conversation on the terminal. What cannot be compared is named, with the reason.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::sys::termios::{FlowArg, tcflow};
use pbs_format::key::KeyFile;

use crate::{
    pty::{Pty, Wiring, quiet},
    recorded::{Block, Talk, blocks},
    replay::{Equal, bench, bench_with_store, compare_streams, here, replay, replay_on_terminal, words},
    support::{Bench, REPOSITORY, SECRET, TOKEN, finish, sha256},
};

/// A key file that the passphrase opens, made with little work.
fn protected(plain: &[u8], passphrase: &str, hint: Option<&str>) -> Vec<u8> {
    let rng = &mut rand::rand_core::UnwrapErr(rand::rngs::SysRng);
    let key = KeyFile::parse(plain).unwrap();
    let created = key.created();
    let key = key.open(None).unwrap();
    let file = KeyFile::scrypt_with(&key, passphrase.as_bytes(), (16, 8, 1), created, created, rng).unwrap();
    let file = match hint {
        Some(hint) => file.with_hint(hint).unwrap(),
        None => file,
    };
    file.to_json().to_vec()
}

/// The recorded key of a transcript, out of its text.
fn recorded_key(text: &str) -> Vec<u8> {
    let start = text.find("{\"kdf\":null,").unwrap();
    let end = start + text[start..].find('}').unwrap() + 1;
    text.as_bytes()[start..end].to_vec()
}

const AB: &str = include_str!("../transcripts/ab.txt");
const C2: &str = include_str!("../transcripts/c2.txt");
const CD: &str = include_str!("../transcripts/cd.txt");
const E: &str = include_str!("../transcripts/e.txt");
const X: &str = include_str!("../transcripts/x.txt");
const Y: &str = include_str!("../transcripts/y.txt");

#[test]
fn key_commands_behave_as_recorded() {
    let mut bench = bench();
    let plain = recorded_key(CD);
    bench.write("w/w_cd/K.enc", &plain);
    let scrypt = with_modified(protected(&plain, "Passphrase-1", None), "2026-11-21T00:24:27+00:00");
    bench.write("w/w_cd/SCRYPT", &scrypt);
    bench.write("w/w_cd/bad", "nonsense");
    bench.write("w/w_cd/fpbad", wrong_fingerprint(&plain));
    let copy = bench.path("w/w_cd/COPY");
    let mut last_hint = false;
    for block in blocks(CD) {
        let mut words = words(&bench, &block);
        bench.unset("PBS_ENCRYPTION_PASSWORD");
        bench.unset("PBS_ENCRYPTION_PASSWORD_FILE");
        let title = block.title.as_str();
        // What the recorder put in place before each run.
        let old = match title {
            "... then the old passphrase" | "... then the new one" => None,
            "wrong passphrase when the key has a hint" => Some(protected(&plain, "Passphrase-1", Some("the usual"))),
            "key show with hint" => {
                let file = protected(&plain, "Passphrase-1", Some("the usual"));
                Some(with_modified(file, "2026-11-21T00:24:38+00:00").into_bytes())
            }
            _ if asks_old(&block)
                || title.contains("scrypt -> ")
                || title.contains("scrypt->")
                || title.contains("_FILE")
                || title.contains("EMPTY string") =>
            {
                Some(protected(&plain, "Passphrase-1", None))
            }
            _ => Some(plain.clone()),
        };
        if let Some(old) = old {
            fs::write(&copy, old).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let before = fs::read(&copy).unwrap();
        match title {
            // The list of what pbs-local does not have.
            "key paperkey text" | "key paperkey text, scrypt key, subject" => continue,
            "help key change-passphrase" => continue, // our own words
            "key create" => {
                fs::remove_file(bench.path("w/w_cd/K.enc")).unwrap();
                replay(&bench, &block, Equal::Exactly);
                bench.write("w/w_cd/K.enc", &plain);
                continue;
            }
            _ => {}
        }
        if title.starts_with("type-ahead") {
            type_ahead(&bench, &block, &words);
            continue;
        }
        if title.starts_with("env set WRONG") {
            bench.set("PBS_ENCRYPTION_PASSWORD", "Wrong-passphrase");
        } else if title.starts_with("env set to the EMPTY") {
            bench.set("PBS_ENCRYPTION_PASSWORD", "");
        } else if title.starts_with("env set") {
            bench.set("PBS_ENCRYPTION_PASSWORD", "Passphrase-1");
        } else if title.starts_with("PBS_ENCRYPTION_PASSWORD_FILE") {
            let file = bench.write("w/w_cd/pwfile", "Passphrase-1\nsecond line\n");
            bench.set("PBS_ENCRYPTION_PASSWORD_FILE", file);
        }
        if title == "with --hint" {
            words.truncate(words.len() - 2);
            words.push("the usual".to_owned());
            last_hint = true;
        }
        if title == "change-passphrase through a symlink" {
            std::os::unix::fs::symlink(&copy, bench.path("w/w_cd/sym")).unwrap();
        }
        if title.starts_with("stdin=pipe") || title == "setsid, stdin=pipe" {
            let ran = bench.run_with_input(&words, b"Passphrase-1\nPassphrase-1\n");
            compare_streams(&bench, &block, Equal::Exactly, ran);
        } else if block.is_pty() {
            replay_on_terminal(&bench, &block, &words, Equal::Exactly);
        } else {
            // The width of the table follows the path, which is longer here.
            let equal = if title.starts_with("key show") && block.stdout.contains('│') {
                Equal::ButNumbers
            } else {
                Equal::Exactly
            };
            compare_streams(&bench, &block, equal, bench.run(&words));
        }
        if block.exit != 0 || title.contains("symlink") {
            assert_eq!(fs::read(&copy).unwrap(), before, "{title}");
        }
        if block.exit == 0 && block.words.get(1).is_some_and(|word| word == "change-passphrase") {
            after_change(&bench, &block, &before);
        }
    }
    assert!(last_hint);
    let sym = fs::symlink_metadata(bench.path("w/w_cd/sym")).unwrap();
    assert!(sym.is_file() && sym.permissions().mode() & 0o777 == 0o600);
    let mut left: Vec<_> = fs::read_dir(bench.path("w/w_cd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["COPY", "K.enc", "SCRYPT", "bad", "fpbad", "new", "new2", "pwfile", "sym"]);
}

/// `client.md`: mode 0600, a new inode, created kept, fingerprint kept, hint dropped.
fn after_change(bench: &Bench, block: &Block, before: &[u8]) {
    let path = here(bench, &block.words[2]);
    let before = KeyFile::parse(before).unwrap();
    let after = KeyFile::parse(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((after.created(), after.fingerprint()), (before.created(), before.fingerprint()));
    assert!(after.modified() >= before.modified());
    assert_eq!(after.hint(), (block.title == "with --hint").then_some("the usual"));
    let none = block.words.iter().any(|word| word == "none");
    assert_eq!(*after.kdf() == pbs_format::key::Kdf::None, none, "{}", block.title);
}

fn asks_old(block: &Block) -> bool {
    let prompt = b"Encryption Key Password: ";
    block.words.get(1).is_some_and(|word| word == "change-passphrase")
        && block.talk.first().is_some_and(|talk| *talk == Talk::Tty(prompt.to_vec()))
}

fn with_modified(file: Vec<u8>, time: &str) -> String {
    let text = String::from_utf8(file).unwrap();
    let at = text.find("\"modified\":\"").unwrap() + 12;
    format!("{}{time}{}", &text[..at], &text[at + 25..])
}

fn wrong_fingerprint(plain: &[u8]) -> String {
    let text = String::from_utf8(plain.to_vec()).unwrap();
    let at = text.find("\"fingerprint\":\"").unwrap() + 15;
    format!("{}{}\"}}", &text[..at], vec!["00"; 32].join(":"))
}

fn type_ahead(bench: &Bench, block: &Block, words: &[String]) {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let Some(Talk::Send(answers)) = block.talk.first() else { panic!("{block:?}") };
    let ended = Pty::spawn_with(bench, &words, Wiring::ALL, |master| {
        use std::io::Write as _;
        master.write_all(answers).unwrap();
    })
    .finish();
    let Some(Talk::Tty(recorded)) = block.talk.last() else { panic!("{block:?}") };
    assert_eq!(ended.tty.escape_ascii().to_string(), recorded.escape_ascii().to_string());
    assert_eq!(ended.code, Some(0));
}

#[test]
fn more_of_the_terminal_behaves_as_recorded() {
    let mut bench = bench();
    let plain = recorded_key(CD);
    let copy = bench.write("w/w_y/COPY", &plain);
    for block in blocks(Y) {
        bench.unset("PBS_ENCRYPTION_PASSWORD");
        let title = block.title.as_str();
        if let Some((_, passphrase)) = title.split_once("decrypt check through PBS_ENCRYPTION_PASSWORD='") {
            bench.set("PBS_ENCRYPTION_PASSWORD", passphrase.trim_end_matches('\'').replace("\\t", "\t"));
        } else if title.starts_with("SIG") {
            fs::write(&copy, &plain).unwrap();
            let signal =
                if title.starts_with("SIGTERM") { nix::sys::signal::SIGTERM } else { nix::sys::signal::SIGINT };
            let words = words(&bench, &block);
            let mut pty = Pty::spawn(&bench, &words.iter().map(String::as_str).collect::<Vec<_>>(), Wiring::ALL);
            pty.prompt(b"New Password: ");
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pty.id().cast_signed()), signal).unwrap();
            let ended = pty.finish();
            assert_eq!(ended.signal, Some(-block.exit), "{title}");
            assert_eq!(fs::read(&copy).unwrap(), plain);
            continue;
        } else if title.starts_with("errfmt") || title.starts_with("(3.2.4 proper)") {
            continue; // another client's error format; the unwritable target stands with the golden tests
        } else if block.words[0] == "key" {
            fs::write(&copy, &plain).unwrap();
        }
        replay(&bench, &block, Equal::Exactly);
    }
    let words = ["key", "change-passphrase", copy.as_str(), "--kdf", "scrypt"];
    fs::write(&copy, &plain).unwrap();
    let mut pty = Pty::spawn_with(&bench, &words, Wiring::ALL, |master| {
        use std::io::Write as _;
        quiet(master);
        master.write_all(b"Passphrase-1\rPassphrase-1\r").unwrap();
    });
    pty.take(b"New Password: ************\r\nVerify Password: ************\r\n");
    assert_eq!(pty.finish().code, Some(0));
}

/// A tree like the recorded one.
fn tree(bench: &Bench) {
    let at = |name: &str| bench.path(&format!("w/w_ab/tree/{name}"));
    fs::create_dir_all(at("sub/deep")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    fs::write(at("hello.txt"), "hello world\n").unwrap();
    fs::hard_link(at("hello.txt"), at("hard")).unwrap();
    std::os::unix::fs::symlink("hello.txt", at("link")).unwrap();
    fs::File::create(at("sparse")).unwrap().set_len(9_000_001).unwrap();
    fs::write(at("sub/deep/árvíztűrő név.txt"), "content\n").unwrap();
    fs::write(at("sub/rand.bin"), crate::support::noise(5_000_000)).unwrap();
    fs::write(at("zero"), "").unwrap();
    fs::write(bench.path("w/w_ab/box.conf"), "mode=test\nname=backup\n").unwrap();
    fs::write(bench.path("w/w_ab/disk.raw"), crate::support::noise(20_000_000)).unwrap();
}

#[test]
fn backup_list_and_restore_behave_as_recorded() {
    let mut bench = bench_with_store();
    fs::create_dir(bench.path("w/w_ab")).unwrap();
    tree(&bench);
    let key = recorded_key(AB);
    let mut times = (1_795_220_572..).map(|time: i64| time.to_string());
    for block in blocks(AB) {
        let title = block.title.as_str();
        let mut words = words(&bench, &block);
        bench.set("XDG_CONFIG_HOME", bench.path("no-config"));
        match title {
            "key create, relative path" => {
                let mut command = bench.command(&words);
                compare_streams(&bench, &block, Equal::Exactly, finish(command.current_dir(bench.path("w/w_ab"))));
                fs::write(bench.path("w/w_ab/K.enc"), &key).unwrap();
                fs::copy(bench.path("w/w_ab/K2.enc"), bench.path("w/w_ab/other.enc")).unwrap();
                continue;
            }
            "encrypted backup: pxar + conf blob + img" | "second, incremental backup" | "third backup on a pty" => {
                words.extend(["--backup-time".to_owned(), times.next().unwrap()]);
            }
            "restore pxar with the WRONG key" | "restore conf with the WRONG key" => {
                // The other key is not the recorded one, so neither is its fingerprint.
                let other = KeyFile::parse(&fs::read(bench.path("w/w_ab/other.enc")).unwrap()).unwrap();
                let other = other.fingerprint().unwrap().short();
                let mut block = block.clone();
                block.stderr = block.stderr.replace("3c:e0:55:01:a4:a7:4b:7b", &other);
                replay(&bench, &block, Equal::Exactly);
                continue;
            }
            "restore with a broken key file" => drop(bench.write("w/w_ab/bad.enc", "{\"kdf\":null}")),
            "restore with a truncated key file" => drop(bench.write("w/w_ab/trunc.enc", &key[..40])),
            "restore with an empty key file" => drop(bench.write("w/w_ab/empty.enc", "")),
            "restore with --keyfd" => {
                let mut shell = std::process::Command::new("sh");
                bench.prepare(&mut shell);
                shell.args(["-c", "key=$1; shift; exec \"$@\" 4< \"$key\"", "sh"]);
                shell
                    .arg(bench.path("w/w_ab/K.enc"))
                    .arg(env!("CARGO_BIN_EXE_pbs-local"))
                    .args(&bench.own)
                    .args(&words);
                compare_streams(&bench, &block, Equal::Exactly, finish(&mut shell));
                continue;
            }
            _ if title.contains("default place") || title.contains("default key exists") => {
                bench.write("home/.config/proxmox-backup/encryption-key.json", &key);
                bench.unset("XDG_CONFIG_HOME");
            }
            "catalog dump" => continue, // no catalog
            _ => {}
        }
        let numbers = ["backup", "list", "files", "img"].iter().any(|word| title.contains(word));
        let equal = if numbers { Equal::ButNumbers } else { Equal::Exactly };
        if block.is_pty() {
            replay_on_terminal(&bench, &block, &words, equal);
        } else {
            compare_streams(&bench, &block, equal, bench.run(&words));
        }
        if title.contains("without key") {
            let target = words.last().unwrap();
            assert!(!fs::exists(target).unwrap(), "{target}");
        }
    }
    assert_eq!(fs::read(bench.path("w/w_ab/disk.out")).unwrap(), fs::read(bench.path("w/w_ab/disk.raw")).unwrap());
    assert_eq!(fs::read(bench.path("w/w_ab/box.out")).unwrap(), b"mode=test\nname=backup\n");
    let noise = fs::read(bench.path("w/w_ab/tree/sub/rand.bin")).unwrap();
    assert_eq!(fs::read(bench.path("w/w_ab/r1/sub/rand.bin")).unwrap(), noise);
}

/// A datastore with the snapshot that the other recordings restore from.
fn with_snapshot(bench: &Bench) {
    fs::create_dir(bench.path("w/w_ab")).unwrap();
    tree(bench);
    fs::remove_file(bench.path("w/w_ab/disk.raw")).unwrap();
    bench.write("w/w_ab/K.enc", recorded_key(AB));
    let (tree, conf, key) =
        (bench.text_path("w/w_ab/tree"), bench.text_path("w/w_ab/box.conf"), bench.text_path("w/w_ab/K.enc"));
    let line =
        format!("backup data.pxar:{tree} box.conf:{conf} --keyfile {key} --backup-id box1 --backup-time 1795220574");
    bench.line(&line).done();
}

#[test]
fn protected_keys_behave_as_recorded() {
    let mut bench = bench_with_store();
    with_snapshot(&bench);
    bench.write("w/w_cd/KP.enc", protected(&recorded_key(AB), "Passphrase-1", None));
    for block in blocks(C2) {
        for name in ["", "_FD", "_FILE", "_CMD"] {
            bench.unset(&format!("PBS_ENCRYPTION_PASSWORD{name}"));
        }
        let title = block.title.as_str();
        let words = words(&bench, &block);
        if title.starts_with("key paperkey") || title.starts_with("protect the key") {
            continue; // no paper keys; the other stands with the key commands
        }
        if title.ends_with("wrong PBS_ENCRYPTION_PASSWORD") {
            bench.set("PBS_ENCRYPTION_PASSWORD", "Wrong-pass");
        } else if title.ends_with("PBS_ENCRYPTION_PASSWORD") || title.ends_with("env") && !title.contains("no env") {
            bench.set("PBS_ENCRYPTION_PASSWORD", "Passphrase-1");
        } else if title.ends_with("_FILE") {
            let file = bench.write("w/w_cd/pwfile", "Passphrase-1\n");
            bench.set("PBS_ENCRYPTION_PASSWORD_FILE", file);
        } else if title.ends_with("_FILE missing file") {
            bench.set("PBS_ENCRYPTION_PASSWORD_FILE", bench.path("nope"));
        } else if title.ends_with("_CMD") {
            bench.set("PBS_ENCRYPTION_PASSWORD_CMD", "printf '%s\\nmore' \"Passphrase-1\"");
        } else if title.ends_with("_FD") {
            bench.set("PBS_ENCRYPTION_PASSWORD_FD", "0");
            let ran = bench.run_with_input(&words, b"Passphrase-1\n");
            compare_streams(&bench, &block, Equal::Exactly, ran);
            continue;
        }
        if title.ends_with("stdin=pipe with the passphrase") {
            compare_streams(&bench, &block, Equal::Exactly, bench.run_with_input(&words, b"Passphrase-1\n"));
            continue;
        }
        let numbers = title.starts_with("backup") || title.starts_with("snapshot list");
        replay(&bench, &block, if numbers { Equal::ButNumbers } else { Equal::Exactly });
    }
}

#[test]
fn a_server_is_played_as_recorded() {
    let mut bench = bench_with_store();
    with_snapshot(&bench);
    let certificate = "ff:f1:a4:42:81:b0:51:4c:cb:ee:be:d8:fd:c8:df:85:6f:3f:b8:ac:e8:aa:71:c2:b5:c0:d5:6c:f3:fc:69:7e";
    for own in
        ["--token-sha256", &format!("{TOKEN}={}", sha256(SECRET.as_bytes())), "--certificate-sha256", certificate]
    {
        bench.own.push(own.into());
    }
    let mut skipped = Vec::new();
    for block in blocks(E) {
        bench.set("PBS_REPOSITORY", REPOSITORY);
        bench.set("PBS_PASSWORD", SECRET);
        bench.set("PBS_FINGERPRINT", certificate);
        let title = block.title.as_str();
        match title {
            _ if title.contains("without PBS_REPOSITORY") => bench.unset("PBS_REPOSITORY"),
            "garbage PBS_REPOSITORY" => bench.set("PBS_REPOSITORY", "nonsense!!@@"),
            "login with a wrong password" | "status with a wrong password" => {
                bench.set("PBS_REPOSITORY", "backup@pbs@127.0.0.1:8007:store");
                bench.set("PBS_PASSWORD", "wrong");
            }
            "user, no PBS_PASSWORD, no tty" => {
                bench.set("PBS_REPOSITORY", "backup@pbs@127.0.0.1:8007:store");
                bench.unset("PBS_PASSWORD");
            }
            "token, no PBS_PASSWORD, no tty" | "token, no PBS_PASSWORD, pty" => bench.unset("PBS_PASSWORD"),
            _ if title.starts_with("wrong token secret") => bench.set("PBS_PASSWORD", SECRET.replace('5', "6")),
            "malformed token secret" => bench.set("PBS_PASSWORD", "malformed"),
            "empty PBS_PASSWORD" => bench.set("PBS_PASSWORD", ""),
            "unknown token name" => bench.set("PBS_REPOSITORY", "backup@pbs!nope@127.0.0.1:8007:store"),
            "unknown user" => bench.set("PBS_REPOSITORY", "nobody@pbs!box1@127.0.0.1:8007:store"),
            _ if title.starts_with("datastore that does not exist") => {
                bench.set("PBS_REPOSITORY", REPOSITORY.replace(":store", ":nostore"));
            }
            _ if title.starts_with("wrong PBS_FINGERPRINT") => bench.set("PBS_FINGERPRINT", vec!["aa"; 32].join(":")),
            "malformed PBS_FINGERPRINT" => bench.set("PBS_FINGERPRINT", "zz"),
            "empty PBS_FINGERPRINT" => bench.set("PBS_FINGERPRINT", ""),
            "fingerprint in upper case" => bench.set("PBS_FINGERPRINT", certificate.to_uppercase()),
            "fingerprint without colons" => bench.set("PBS_FINGERPRINT", certificate.replace(':', "")),
            _ if title.starts_with("no PBS_FINGERPRINT") => bench.unset("PBS_FINGERPRINT"),
            _ => {}
        }
        let reason = match title {
            "version --output-format json" | "version --output-format json-pretty" => "the repoid names pbs-local",
            _ if title.contains("notes show") || title.contains("protected show") => "no such commands",
            _ if title.contains("server down") || title.contains("connection refused") => "no network",
            "host name that does not resolve" | "server accepts and closes" | "server speaks plain http" => {
                "no network"
            }
            "login with user+password (no token)" | "list as user (same datastore; owner is the token)" => "no users",
            "user, no PBS_PASSWORD, pty" => "no users",
            "wrong PBS_FINGERPRINT on a pty" => "killed while it asked; below",
            _ if title.contains("stored in ~/.config") => "no cache of fingerprints",
            _ => "",
        };
        if !reason.is_empty() {
            skipped.push(title.to_owned());
            continue;
        }
        if title.starts_with("no PBS_FINGERPRINT, pty, answer") {
            let Some([Talk::Tty(question), Talk::Send(answer), Talk::Tty(_)]) = block.talk.first_chunk() else {
                panic!("{block:?}")
            };
            let mut pty = Pty::spawn(&bench, &["status"], Wiring::ALL);
            pty.take(question);
            pty.send(answer);
            assert_eq!(pty.finish().code, Some(block.exit), "{title}");
            continue;
        }
        let numbers = title.starts_with("status") || title.contains("upper case") || title.contains("secret, backup");
        replay(&bench, &block, if numbers { Equal::ButNumbers } else { Equal::Exactly });
    }
    assert_eq!(skipped.len(), 19, "{skipped:#?}");

    bench.set("PBS_FINGERPRINT", vec!["aa"; 32].join(":"));
    let mut pty = Pty::spawn(&bench, &["status"], Wiring::ALL);
    let recorded = blocks(E).into_iter().find(|block| block.title == "wrong PBS_FINGERPRINT on a pty").unwrap();
    let Talk::Tty(question) = &recorded.talk[0] else { panic!() };
    pty.take(question);
    let pid = nix::unistd::Pid::from_raw(pty.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).unwrap();
    assert_eq!(pty.finish().signal, Some(9));
}

#[test]
fn places_and_passwords_behave_as_recorded() {
    let mut bench = bench_with_store();
    with_snapshot(&bench);
    for own in ["--token-sha256", &format!("{TOKEN}={}", sha256(SECRET.as_bytes()))] {
        bench.own.push(own.into());
    }
    fs::create_dir(bench.path("w/w_x")).unwrap();
    fs::create_dir(bench.path("w/w_x/emptydir")).unwrap();
    let mut ran = 0;
    for block in blocks(X) {
        let title = block.title.as_str();
        bench.set("HOME", bench.path("home"));
        bench.set("PBS_PASSWORD", SECRET);
        bench.unset("PBS_PASSWORD_FILE");
        bench.unset("PBS_PASSWORD_CMD");
        bench.set("PBS_REPOSITORY", REPOSITORY);
        match title {
            _ if title.starts_with("key in /etc/xdg") => {
                drop(bench.write("xdg/proxmox-backup/encryption-key.json", recorded_key(AB)));
            }
            "HOME not set at all (root: passwd entry is used)" => bench.unset("HOME"),
            "HOME does not exist" => bench.set("HOME", "/nope"),
            "PBS_PASSWORD_FILE" => {
                bench.unset("PBS_PASSWORD");
                let file = bench.write("w/w_x/password", format!("{SECRET}\nmore\n"));
                bench.set("PBS_PASSWORD_FILE", file);
            }
            "PBS_PASSWORD_CMD" => {
                bench.unset("PBS_PASSWORD");
                bench.set("PBS_PASSWORD_CMD", format!("echo {SECRET}"));
            }
            "--repository on the command line" => bench.unset("PBS_REPOSITORY"),
            // Commands that are not here; and what stands in tests of its own (prune.rs).
            _ if title.contains("prune") || title.contains("protect") || title.contains("forget") => continue,
            "garbage-collect" | "notes update" | "list: where the note ends up (comment)" => continue,
            _ if title.contains("NON-ROOT") || title.contains("not writable") => continue,
            _ if title.starts_with("restore with") || title.contains("file system full") => continue,
            _ => {}
        }
        let numbers = title.contains("HOME") || block.words[0] == "status" || title == "backup --dry-run";
        replay(&bench, &block, if numbers { Equal::ButNumbers } else { Equal::Exactly });
        fs::remove_dir_all(bench.path("xdg/proxmox-backup")).unwrap_or_default();
        ran += 1;
    }
    assert_eq!(ran, 13);
    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("w/w_x/emptydir/hello.txt"), mode("w/w_ab/tree/hello.txt"));
}

/// `client.md`: the prompt is written before raw mode is set. Only a driver that waits for ECHO to go
/// is safe, so ours must not get it wrong the safe way round.
#[test]
fn the_prompt_comes_before_raw_mode() {
    let bench = bench();
    let copy = bench.write("w/COPY", recorded_key(CD));
    let (mut pty, held) = Pty::spawn_held(&bench, &["key", "change-passphrase", &copy]);
    // It can sleep only where it writes the prompt, which does not get out.
    let start = Instant::now();
    while !pty.sleeps() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came to the prompt");
        std::thread::yield_now();
    }
    assert!(pty.echoes());
    tcflow(&held, FlowArg::TCOON).unwrap();
    drop(held);
    pty.prompt(b"New Password: ");
    assert!(!pty.echoes());
    pty.send(b"\x03");
    pty.take(b"Error: cancelled\r\n");
    assert_eq!(pty.finish().code, Some(255));
}

/// Streams that are closed or unreadable are no reason to hang or panic.
#[test]
fn closed_streams_are_survived() {
    let bench = bench();
    let key = bench.write("w/K", recorded_key(CD));
    let mut shell = std::process::Command::new("sh");
    bench.prepare(&mut shell);
    shell.args(["-c", "exec \"$@\" <&-", "sh", env!("CARGO_BIN_EXE_pbs-local"), "key", "change-passphrase", &key]);
    let ran = finish(&mut shell);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(255), "Error: unable to change passphrase - no tty\n"));

    let mut command = bench.command(&["key", "show", &key]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.signal().is_none());
}
