//! Everything that a person sees of the list of operators' keys.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::json;
use tenwords_protocol::{
    bytes::Base64,
    operators::{NAMESPACE, Pins, PinsStatement},
    orders::pins_sha256,
};

use super::{desk, pins};
use crate::{desk::Desk, transcripts::transcript};

pub(crate) fn transcripts() -> Vec<(&'static str, String)> {
    let desk = desk();
    let names = ["boss", "anna", "fired", "heir"];
    let fingerprint = |name: &str| desk.fingerprint(name);
    let (boss, anna, fired) = (fingerprint("boss"), fingerprint("anna"), fingerprint("fired"));
    let heir = desk.line("heir", "operational");
    let promoted = desk.line("anna", "operational,recovery");
    let (boss_line, fired_line) = (desk.line("boss", "recovery"), desk.line("fired", "operational"));
    let mut done = Vec::new();
    let keep = |text: String, more: &[(String, String)]| {
        let mut others = more.to_vec();
        for (name, role) in [
            ("boss", "recovery"),
            ("fired", "operational,recovery"),
            ("fired", "operational"),
            ("heir", "operational"),
            ("anna", "operational,recovery"),
        ] {
            others.push((desk.line(name, role), format!("{role} ssh-ed25519 {name}…")));
        }
        sorted(&desk.settled(&text, &names, &others))
    };
    let mut run = |name: &'static str, typed: &[&str]| {
        let ran = desk.run(typed);
        done.push((name, keep(transcript(typed, &ran), &[])));
    };
    run("pins-show", &["pins", "show"]);
    run("pins-show-file", &["pins", "show", "allowed_signers"]);
    run("pins-init-again", &["pins", "init", "allowed_signers"]);
    run(
        "pins-propose-unchanged",
        &["pins", "propose", "--remove", &fired, "--add", &desk.line("fired", "operational,recovery")],
    );
    run("pins-propose-nothing", &["pins", "propose"]);
    run("pins-propose-unknown", &["pins", "propose", "--remove", "heir.pub"]);
    run("pins-propose-known", &["pins", "propose", "--add", &boss_line]);
    run("pins-propose-bad-line", &["pins", "propose", "--add", "boss ssh-ed25519 AAAA"]);
    run(
        "pins-propose-no-recovery",
        &["pins", "propose", "--remove", &boss, "--remove", &fired, "--add", &fired_line, "--out", "a"],
    );
    run("pins-propose-no-operational", &["pins", "propose", "--remove", &anna, "--remove", "fired.pub", "--out", "b"]);
    run(
        "pins-propose",
        &["pins", "propose", "--remove", &fired, "--remove", &anna, "--add", &promoted, "--add", &heir],
    );
    run("pins-sign-no-terminal", &["pins", "sign", "pins-2.statement", "--key", "boss"]);
    run("pins-sign-operational", &["pins", "sign", "pins-2.statement", "--key", "anna", "--yes"]);
    run("pins-sign-stranger", &["pins", "sign", "pins-2.statement", "--key", "heir", "--yes"]);
    run("pins-sign", &["pins", "sign", "pins-2.statement", "--key", "boss", "--yes"]);
    run("pins-sign-again", &["pins", "sign", "pins-2.statement", "--key", "boss", "--yes", "--out", "c"]);
    run("pins-take-unsigned", &["pins", "take", "pins-2.statement"]);
    // The hub carries the own list's statement, the one after it, a forged one and what is none.
    let signed = pins(&desk, "pins-2.json");
    let next = |key: &str, out: &str| {
        assert_eq!(
            desk.run(&["pins", "propose", "--remove", "heir.pub", "--out", &format!("{out}.statement")]).code,
            0
        );
        let mut by_hand = Command::new("ssh-keygen");
        let statement = desk.path(&format!("{out}.statement"));
        by_hand.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(desk.path(key)).arg(&statement);
        assert!(by_hand.stderr(Stdio::null()).status().unwrap().success());
        let signature = fs::read_to_string(desk.path(&format!("{out}.statement.sig"))).unwrap();
        Pins { statement: Base64(fs::read(statement).unwrap()), signature, ..signed.clone() }
    };
    let (after, forged) = (next("boss", "after"), next("heir", "forged"));
    let none = Pins { statement: Base64(b"{}".to_vec()), ..signed.clone() };
    let all = [&signed, &after, &forged, &none];
    let made_at = |pins: &Pins| PinsStatement::parse(&pins.statement.0).unwrap().made_at.to_string();
    let mut more: Vec<_> = all[..3].iter().map(|pins| (made_at(pins), "2026-03-03T12:00:00Z".to_owned())).collect();
    for (pins, name) in all.iter().zip(["signed", "after", "forged", "none"]) {
        more.push((pins_sha256(pins).unwrap().to_string(), format!("{name:e<64}")));
    }
    let of_forged = pins_sha256(&forged).unwrap().to_string();
    let (end, other) = (vec!["pins", "end", &of_forged], "0".repeat(64));
    let list = json!({"v": 1, "pins": all}).to_string();
    fs::write(desk.path("pins-3.json"), serde_json::to_vec(&after).unwrap()).unwrap();
    fs::write(desk.path("forged.json"), serde_json::to_vec(&forged).unwrap()).unwrap();
    for (name, typed, answers) in [
        ("pins-show-hub", &["pins", "show"][..], vec![(200, list.clone())]),
        ("pins-end-no-terminal", &end, vec![(200, list.clone())]),
        ("pins-end-no-such", &["pins", "end", &other, "--yes"], vec![(200, list.clone())]),
        ("pins-end", &[end.as_slice(), &["--yes"]].concat(), vec![(200, list), (204, String::new())]),
        ("pins-show-hub-none", &["pins", "show"], vec![(200, json!({"v": 1, "pins": []}).to_string())]),
        ("pins-send", &["pins", "send", "pins-2.json"], vec![(200, json!({"v": 1}).to_string())]),
        ("pins-take-forged", &["pins", "take", "forged.json", "--yes"], vec![]),
        ("pins-take", &["pins", "take", "pins-3.json", "--yes"], vec![]),
    ] {
        let ran = if answers.is_empty() { desk.run(typed) } else { desk.run_at(&desk.hub(answers), typed) };
        done.push((name, keep(transcript(typed, &ran), &more)));
    }
    let new = Desk::new();
    let typed = ["pins", "show"];
    done.push(("pins-show-none", transcript(&typed, &new.run(&typed))));
    done
}

/// Keys stand in the order of their material, which is drawn: lines of keys that follow each other are
/// put in the order of their names.
fn sorted(text: &str) -> String {
    let is_key = |line: &str| line.contains(" SHA256:") && line.contains("ssh-ed25519");
    let mut lines: Vec<&str> = text.lines().collect();
    for group in lines.chunk_by_mut(|a, b| is_key(a) && is_key(b)) {
        group.sort_unstable();
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
