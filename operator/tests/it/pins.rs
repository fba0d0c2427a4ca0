//! The list of operators' keys: who gains and loses what is said, and only a recovery key of the list
//! that is replaced changes it.

mod seen;

use std::{
    fs::{self, File},
    io::Write as _,
    process::{Command, Stdio},
};

use nix::pty::openpty;
use serde_json::{Value, json};
use tenwords_protocol::{
    bytes::Base64,
    operators::{NAMESPACE, Pins, PinsStatement},
    orders::pins_sha256,
    v1::V1,
};

use crate::desk::{Desk, ran};

pub(crate) use self::seen::transcripts;

const KEYS: [(&str, &str); 3] = [("boss", "recovery"), ("anna", "operational"), ("fired", "operational,recovery")];

/// A desk with the keys of three operators and of one who is yet to come, and their list.
fn desk() -> Desk {
    let desk = Desk::new();
    for name in ["boss", "anna", "fired", "heir"] {
        desk.key(name, &["ed25519"], "");
    }
    desk.signers("allowed_signers", &KEYS);
    assert_eq!(desk.run(&["pins", "init", "allowed_signers"]).code, 0);
    desk
}

fn own(desk: &Desk) -> Value {
    serde_json::from_slice(&fs::read(desk.path(".local/share/tenwords/operators.json")).unwrap()).unwrap()
}

fn pins(desk: &Desk, file: &str) -> Pins {
    serde_json::from_slice(&fs::read(desk.path(file)).unwrap()).unwrap()
}

/// A statement that lets one operator go and another come.
fn propose(desk: &Desk) {
    let (gone, line) = (desk.fingerprint("fired"), desk.line("heir", "operational"));
    let ran = desk.run(&["pins", "propose", "--remove", &gone, "--add", &line]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_signed_statement_is_the_one_that_openssh_verifies_and_becomes_the_own_list() {
    let desk = desk();
    let former = own(&desk);
    propose(&desk);
    assert_eq!(own(&desk), former, "nothing changes before it is signed");
    let ran = desk.run(&["pins", "sign", "pins-2.statement", "--key", "boss", "--yes", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let signed = pins(&desk, "pins-2.json");
    let text = fs::read(desk.path("pins-2.statement")).unwrap();
    assert_eq!(signed.statement.0, text);
    let statement = PinsStatement::parse(&text).unwrap();
    let mut expected =
        vec![desk.line("boss", "recovery"), desk.line("anna", "operational"), desk.line("heir", "operational")];
    expected.sort();
    assert_eq!(statement.signers.to_text().lines().collect::<Vec<_>>(), expected);
    assert_eq!(ran.json()["code"], statement.signers.code().to_string());
    assert_eq!((own(&desk)["generation"].clone(), own(&desk)["signers"].clone()), (json!(2), json!(expected)));
    let kept = fs::read(desk.path(".local/share/tenwords/operators-1.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), former);
    assert!(desk.verifies("allowed_signers", "recovery", NAMESPACE, &text, &signed.signature));
    assert!(!desk.verifies("allowed_signers", "recovery", "tenwords-order-v1", &text, &signed.signature));
}

#[test]
fn only_a_recovery_key_of_the_list_that_is_replaced_changes_it() {
    let desk = desk();
    propose(&desk);
    let before = own(&desk);
    for key in ["anna", "heir"] {
        // With the public half beside the key, and without it.
        for has_public in [true, false] {
            if !has_public {
                fs::rename(desk.path(&format!("{key}.pub")), desk.path("aside.pub")).unwrap();
            }
            let ran = desk.run(&["pins", "sign", "pins-2.statement", "--key", key, "--yes", "--json"]);
            let refusal = ran.stderr.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap()).unwrap();
            assert_eq!((ran.code, refusal["code"].as_str()), (2, Some("not_recovery")), "{key} {}", ran.stderr);
            assert!(!desk.path("pins-2.json").exists());
            if !has_public {
                fs::rename(desk.path("aside.pub"), desk.path(&format!("{key}.pub"))).unwrap();
            }
        }
    }
    assert_eq!(own(&desk), before);
}

#[test]
fn a_statement_that_does_not_follow_the_own_list_is_not_signed() {
    let desk = desk();
    propose(&desk);
    let text = fs::read_to_string(desk.path("pins-2.statement")).unwrap();
    let hash = PinsStatement::parse(text.as_bytes()).unwrap().replaces.to_string();
    for other in [
        text.replace("\"generation\":2", "\"generation\":3"),
        text.replace("\"generation\":2", "\"generation\":1"),
        text.replace(&hash, &"4".repeat(64)),
        text.replace("\"generation\":2", "\"generation\": 2"),
        text.trim_end().to_owned(),
        text.replace("ssh-ed25519", "ssh-dss"),
        String::new(),
    ] {
        fs::write(desk.path("other"), &other).unwrap();
        let ran = desk.run(&["pins", "sign", "other", "--key", "boss", "--yes"]);
        assert_eq!(ran.code, 2, "{other} {}", ran.stderr);
        assert!(!desk.path("pins-2.json").exists(), "{other}");
    }
}

#[test]
fn at_a_terminal_only_a_yes_signs() {
    for (typed, signs) in [("y\n", true), ("n\n", false), ("\n", false), ("\x04", false)] {
        let desk = desk();
        propose(&desk);
        let terminal = openpty(None, None).unwrap();
        File::from(terminal.master.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        let mut command = desk.program(&["pins", "sign", "pins-2.statement", "--key", "boss"]);
        let ran = ran(command.stdin(Stdio::from(terminal.slave)).output().unwrap());
        assert_eq!((ran.code, desk.path("pins-2.json").exists()), (if signs { 0 } else { 2 }, signs), "{}", ran.stderr);
    }
}

#[test]
fn a_colleagues_statement_is_taken_only_with_a_recovery_keys_signature() {
    let desk = desk();
    propose(&desk);
    assert_eq!(desk.run(&["pins", "sign", "pins-2.statement", "--key", "boss", "--yes"]).code, 0);
    let good = fs::read(desk.path("pins-2.json")).unwrap();
    let colleague = self::desk();
    // Another desk has other keys, and so another list: it is not one for it.
    fs::write(colleague.path("pins-2.json"), &good).unwrap();
    assert_eq!(colleague.run(&["pins", "take", "pins-2.json", "--yes"]).code, 2);
    // A colleague with the list of before.
    let colleague = Desk::new();
    fs::copy(desk.path("allowed_signers"), colleague.path("allowed_signers")).unwrap();
    assert_eq!(colleague.run(&["pins", "init", "allowed_signers"]).code, 0);
    let mut by_hand = Command::new("ssh-keygen");
    by_hand.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(desk.path("anna")).arg(desk.path("pins-2.statement"));
    assert!(by_hand.stderr(Stdio::null()).status().unwrap().success());
    let mut forged = pins(&desk, "pins-2.json");
    forged.signature = fs::read_to_string(desk.path("pins-2.statement.sig")).unwrap();
    let mut damaged = pins(&desk, "pins-2.json");
    let later = String::from_utf8(damaged.statement.0).unwrap().replace("\"made_at\":\"20", "\"made_at\":\"21");
    damaged.statement.0 = later.into_bytes();
    for (bad, expected) in [(forged, "not_recovery"), (damaged, "signature")] {
        fs::write(colleague.path("bad.json"), serde_json::to_vec(&bad).unwrap()).unwrap();
        let ran = colleague.run(&["pins", "take", "bad.json", "--yes", "--json"]);
        let refusal = ran.stderr.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap()).unwrap();
        assert_eq!((ran.code, refusal["code"].as_str()), (2, Some(expected)), "{}", ran.stderr);
        assert_eq!(own(&colleague)["generation"], 1);
    }
    fs::write(colleague.path("pins-2.json"), &good).unwrap();
    let taken = colleague.run(&["pins", "take", "pins-2.json", "--yes", "--json"]);
    assert_eq!((taken.code, own(&colleague)), (0, own(&desk)), "{}", taken.stderr);
}

#[test]
fn what_is_sent_is_the_signed_statement_whole() {
    let desk = desk();
    propose(&desk);
    assert_eq!(desk.run(&["pins", "sign", "pins-2.statement", "--key", "boss", "--yes"]).code, 0);
    let signed = pins(&desk, "pins-2.json");
    let hub = desk.hub(vec![(200, json!({"v": 1}).to_string())]);
    let ran = desk.run_at(&hub, &["pins", "send", "pins-2.json", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(hub.asked()[0].line, "POST /v1/pins HTTP/1.1");
    assert_eq!(hub.asked()[0].body, Some(json!({"v": 1, "pins": signed})));
    let code = PinsStatement::parse(&signed.statement.0).unwrap().signers.code().to_string();
    assert_eq!(ran.json(), json!({"v": 1, "generation": 2, "code": code}));
}

#[test]
fn the_statement_that_is_ended_is_the_one_whose_hash_was_typed() {
    let desk = desk();
    let junk = |text: &str| Pins { v: V1, statement: Base64(text.into()), signature: "x".to_owned() };
    let (one, two) = (junk("one"), junk("two"));
    let list = || (200, json!({"v": 1, "pins": [one, two]}).to_string());
    let hub = desk.hub(vec![list(), list(), (204, String::new()), list()]);
    let shown = desk.run_at(&hub, &["pins", "show", "--json"]).json();
    let hash = shown["at_the_hub"][1]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(hash, pins_sha256(&two).unwrap().to_string());
    let ended = desk.run_at(&hub, &["pins", "end", &hash, "--yes", "--json"]);
    assert_eq!((ended.code, ended.json()["sha256"].as_str()), (0, Some(hash.as_str())), "{}", ended.stderr);
    // Without a yes nothing is sent.
    assert_eq!(desk.run_at(&hub, &["pins", "end", &hash]).code, 2);
    let lines: Vec<String> = hub.asked().into_iter().map(|asked| asked.line).collect();
    let get = "GET /v1/pins HTTP/1.1".to_owned();
    assert_eq!(lines, [get.clone(), get.clone(), format!("DELETE /v1/pins/{hash} HTTP/1.1"), get]);
}

#[test]
fn the_json_of_show_has_roles_and_fingerprints_as_openssh_writes_them() {
    let desk = desk();
    let shown = desk.run(&["pins", "show", "--json"]).json();
    let mut keys: Vec<Value> = KEYS
        .iter()
        .map(|(name, roles)| {
            json!({"roles": roles.split(',').collect::<Vec<_>>(), "key_type": "ssh-ed25519",
                "fingerprint": desk.fingerprint(name)})
        })
        .collect();
    let sorted = |keys: &mut Vec<Value>| keys.sort_by_key(|key| key["fingerprint"].to_string());
    let mut found = shown["keys"].as_array().unwrap().clone();
    sorted(&mut keys);
    sorted(&mut found);
    assert_eq!((found, shown["generation"].clone(), shown["warnings"].clone()), (keys, json!(1), json!([])));
    assert_eq!(shown.get("at_the_hub"), None);
}

#[test]
fn lines_that_boxes_would_not_take_are_refused() {
    let desk = Desk::new();
    desk.key("good", &["ed25519"], "");
    desk.key("short", &["rsa", "-b", "1024"], "");
    desk.key("long", &["rsa", "-b", "2048"], "");
    desk.key("curve", &["ecdsa", "-b", "521"], "");
    let good = desk.line("good", "operational");
    for (lines, taken) in [
        (good.clone(), true),
        (format!("# a comment\n\n  {good}  comment of it\n"), true),
        (desk.line("good", "recovery,operational"), true),
        (desk.line("long", "operational"), true),
        (desk.line("short", "operational"), false),
        (desk.line("curve", "operational"), false),
        (format!("{good}\n{good}"), false),
        (good.replace("operational", "boss"), false),
        (good.replace("operational", "operational namespaces=\"git\""), false),
        (good.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"), false),
        (good.replace("ssh-ed25519", "ssh-rsa"), false),
        (good[..good.len() - 8].to_owned(), false),
        ("operational ssh-ed25519".to_owned(), false),
    ] {
        let _ = fs::remove_dir_all(desk.path(".local"));
        fs::write(desk.path("allowed_signers"), &lines).unwrap();
        let ran = desk.run(&["pins", "init", "allowed_signers"]);
        assert_eq!(ran.code, if taken { 0 } else { 2 }, "{lines} {}", ran.stderr);
    }
}
