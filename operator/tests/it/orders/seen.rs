//! Everything that a person sees of orders.

use std::fs;

use serde_json::json;
use tenwords_protocol::hash::Sha256;

use super::{Clock, GUEST, KEY, PATH, REPOINT, UNSIGNED, code, desk, list, said, signed, stored};
use crate::{
    desk::{ID, OTHER_ID, Ran, problem, ran},
    transcripts::transcript,
};

/// File, what is typed, what the hub answers, one after the other.
type Case<'a> = (&'static str, Vec<&'a str>, Vec<(u16, String)>);

pub(crate) fn transcripts() -> Vec<(&'static str, String)> {
    let clock = Clock::start();
    let desk = desk(&clock);
    desk.key("late", &["ed25519"], "");
    let good = clock.good();
    let (good_code, wrong) = (code(&good), "0000-0000-0000-0000");
    let expired = clock.order("restore-overwrite", GUEST, (-9, -5));
    for (name, text) in [
        ("path.order", clock.order("restore-overwrite", PATH, (-5, 7))),
        ("key.order", clock.order("key-replace", KEY, (-5, 7))),
        ("repoint.order", clock.order("repoint", REPOINT, (-5, 7))),
        ("unsigned.order", clock.order("unsigned-snapshot", UNSIGNED, (-5, 7))),
        ("unknown.order", clock.order("format-disk", GUEST, (-5, 7))),
        ("expired.order", expired.clone()),
        ("early.order", clock.order("restore-overwrite", GUEST, (3, 7))),
        ("edited.order", good.replace(":101,", ": 101,")),
        ("other.order", good.replace(ID, OTHER_ID)),
        ("second.order", good.clone()),
        ("third.order", good.clone()),
    ] {
        fs::write(desk.path(name), text).unwrap();
    }
    let open = |text: &str, id: &str| clock.listed(text, id, "open");
    let all = json!({"v": 1, "left_out": 3, "orders": [open(&good, ID),
        open(&clock.order("format-disk", GUEST, (-5, 7)), ID), open(&good, OTHER_ID),
        open(&good.replace(ID, OTHER_ID), OTHER_ID), open(&expired, ID)]});
    let with_code =
        |file: &'static str| vec!["order", "sign", file, "--key", "boss", "--code", good_code.as_str(), "--yes"];
    let wait = vec!["order", "send", "lab-1.signed", "--wait=1"];
    let outcome = |kind: &str, words: &str| vec![list(&[]), stored(), said(open(&good, ID), kind, words)];
    let cases: Vec<Case<'_>> = vec![
        ("order-list", vec!["order", "list"], vec![(200, all.to_string())]),
        ("order-list-none", vec!["order", "list"], vec![list(&[])]),
        (
            "order-list-all",
            vec!["order", "list", "--all"],
            vec![said(clock.listed(&expired, ID, "done"), "done", "guest 101 is restored\u{1b}[2J")],
        ),
        ("order-show", vec!["order", "show", &good_code], vec![list(&[open(&good, ID)])]),
        ("order-show-out", vec!["order", "show", &good_code, "--out", "carried.order"], vec![list(&[open(&good, ID)])]),
        ("order-show-elsewhere", vec!["order", "show", &good_code], vec![list(&[open(&good, OTHER_ID)])]),
        ("order-show-no-such", vec!["order", "show", wrong], vec![list(&[]), list(&[])]),
        ("order-show-path", vec!["order", "show", "path.order"], vec![]),
        ("order-show-key", vec!["order", "show", "key.order"], vec![]),
        ("order-show-repoint", vec!["order", "show", "repoint.order"], vec![]),
        ("order-show-unsigned", vec!["order", "show", "unsigned.order"], vec![]),
        ("order-show-expired", vec!["order", "show", "expired.order"], vec![]),
        ("order-show-no-file", vec!["order", "show", "none.order"], vec![]),
        ("order-sign-unknown-op", with_code("unknown.order"), vec![]),
        ("order-sign-expired", with_code("expired.order"), vec![]),
        ("order-sign-early", with_code("early.order"), vec![]),
        ("order-sign-edited", with_code("edited.order"), vec![]),
        ("order-sign-unknown-box", with_code("other.order"), vec![]),
        ("order-sign-no-terminal", vec!["order", "sign", "lab-1.order", "--key", "boss"], vec![]),
        (
            "order-sign-wrong-code",
            vec!["order", "sign", "lab-1.order", "--key", "boss", "--code", wrong, "--yes"],
            vec![],
        ),
        (
            "order-sign-no-key",
            vec!["order", "sign", "lab-1.order", "--key", "no", "--code", &good_code, "--yes"],
            vec![],
        ),
        ("order-sign", with_code("lab-1.order"), vec![]),
        ("order-sign-again", with_code("lab-1.order"), vec![]),
        ("order-sign-send", [with_code("second.order"), vec!["--send"]].concat(), vec![stored()]),
        ("order-send", vec!["order", "send", "lab-1.signed"], vec![stored()]),
        (
            "order-send-ended",
            vec!["order", "send", "lab-1.signed"],
            vec![problem(409, "conflict", "the order has ended")],
        ),
        ("order-send-done", wait.clone(), outcome("done", "guest 101 is restored")),
        ("order-send-refused", wait.clone(), outcome("refused", "the key is not pinned")),
        ("order-send-failed", wait.clone(), outcome("failed", "pct restore ended with 255")),
        ("order-send-withdrawn", wait.clone(), outcome("withdrawn", "the recovery was ended")),
        ("order-send-silent", wait.clone(), vec![list(&[]), stored(), list(&[]), list(&[])]),
        (
            "order-send-used",
            wait,
            vec![list(&[]), stored(), said(open(&good, ID), "used", "x"), said(open(&good, ID), "used", "x")],
        ),
        ("order-send-bare", vec!["order", "send", "lab-1.order", "--order", "lab-1.order"], vec![]),
    ];
    let mut done = Vec::new();
    let keep = |typed: &[&str], ran: &Ran| {
        let mut others = clock.settled();
        for text in [&good, &expired] {
            others.push((Sha256::of(text.as_bytes()).to_string(), format!("{:e<64}", "order")));
        }
        for file in ["path.order", "key.order", "repoint.order", "unsigned.order"] {
            let hash = Sha256::of(&fs::read(desk.path(file)).unwrap());
            others.push((hash.to_string(), format!("{:e<64}", "order")));
        }
        desk.settled(&transcript(typed, ran), &["boss", "late"], &others)
    };
    for (name, typed, answers) in cases {
        let ran = if answers.is_empty() { desk.run(&typed) } else { desk.run_at(&desk.hub(answers), &typed) };
        done.push((name, keep(&typed, &ran)));
    }
    assert_eq!(fs::read(desk.path("carried.order")).unwrap(), good.as_bytes());
    // A signature alone.
    fs::write(desk.path("lab-1.sig"), signed(&desk, "lab-1.signed").signature).unwrap();
    let typed = ["order", "send", "lab-1.sig"];
    done.push(("order-send-alone", keep(&typed, &desk.run(&typed))));
    // An own list, in which the key may not sign orders.
    desk.signers("allowed", &[("boss", "recovery"), ("late", "operational")]);
    assert_eq!(desk.run(&["pins", "init", "allowed", "--generation", "2"]).code, 0);
    let typed = ["order", "show", "lab-1.order"];
    done.push(("order-show-older-list", keep(&typed, &desk.run(&typed))));
    let typed = with_code("third.order");
    done.push(("order-sign-not-pinned", keep(&typed, &desk.run(&typed))));
    fs::remove_file(desk.path("third.signed")).unwrap();
    let nowhere = ran(desk.program(&typed).env("PATH", desk.path("nowhere")).output().unwrap());
    done.push(("order-sign-no-ssh-keygen", keep(&typed, &nowhere)));
    done
}
