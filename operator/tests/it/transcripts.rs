//! What a person sees, whole: help and refusals with their exit codes, one file each.

use std::{env, fs, path::Path};

use serde_json::json;

use crate::{
    desk::{Desk, ID, OTHER_ID, Ran, problem, ticket_reply},
    directive, orders, pins,
};

/// (file, what is typed). None of these reaches a hub.
const CASES: [(&str, &[&str]); 45] = [
    ("help", &["--help"]),
    ("help-box", &["box", "--help"]),
    ("help-box-add", &["box", "add", "--help"]),
    ("help-box-ticket", &["box", "ticket", "--help"]),
    ("help-box-retire", &["box", "retire", "--help"]),
    ("help-box-remove-node", &["box", "remove-node", "--help"]),
    ("retire-without-a-word-of-the-kit", &["box", "retire", "lab-1", "--reason", "sold"]),
    ("add-nothing", &["box", "add"]),
    ("help-recovery", &["recovery", "--help"]),
    ("help-recovery-arm", &["recovery", "arm", "--help"]),
    ("nothing-typed", &[]),
    ("unknown-command", &["bx"]),
    ("bad-name", &["box", "add", "two words"]),
    ("no-reason", &["recovery", "arm", "lab-1"]),
    ("empty-reason", &["recovery", "arm", "lab-1", "--reason", " "]),
    ("too-long-a-window", &["recovery", "arm", "lab-1", "--reason", "x", "--minutes", "2000"]),
    ("stolen-rehearsal", &["recovery", "arm", "lab-1", "--reason", "x", "--stolen", "--rehearsal"]),
    ("bad-time", &["recovery", "arm", "lab-1", "--reason", "x", "--lost-at", "yesterday"]),
    ("no-hub", &["box", "list"]),
    ("no-ca", &["box", "list", "--hub", "https://hub.example.net:8444"]),
    ("hub-without-tls", &["box", "list", "--hub", "http://hub.example.net:8444"]),
    ("unknown-box", &["recovery", "disarm", "lab-1"]),
    ("help-directive", &["directive", "--help"]),
    ("help-directive-show", &["directive", "show", "--help"]),
    ("help-directive-edit", &["directive", "edit", "--help"]),
    ("help-directive-diff", &["directive", "diff", "--help"]),
    ("bad-day", &["directive", "edit", "lab-1", "--as-of", "tuesday"]),
    ("bad-guest", &["directive", "edit", "lab-1", "--only", "101"]),
    ("help-order", &["order", "--help"]),
    ("help-order-list", &["order", "list", "--help"]),
    ("help-order-show", &["order", "show", "--help"]),
    ("help-order-sign", &["order", "sign", "--help"]),
    ("help-order-send", &["order", "send", "--help"]),
    ("help-pins", &["pins", "--help"]),
    ("help-pins-init", &["pins", "init", "--help"]),
    ("help-pins-show", &["pins", "show", "--help"]),
    ("help-pins-propose", &["pins", "propose", "--help"]),
    ("help-pins-sign", &["pins", "sign", "--help"]),
    ("help-pins-take", &["pins", "take", "--help"]),
    ("help-pins-send", &["pins", "send", "--help"]),
    ("help-pins-end", &["pins", "end", "--help"]),
    ("pins-end-bad-hash", &["pins", "end", "pins-2.json"]),
    ("order-yes-without-code", &["order", "sign", "lab-1.order", "--key", "boss", "--yes"]),
    ("order-bad-box", &["order", "show", "lab-1.order", "--box", "lab-1"]),
    ("auto-and-only", &["directive", "edit", "lab-1", "--auto", "--only", "ct/101"]),
];

/// File, what is typed, what the hub answers, one after the other.
type WithAHub = (&'static str, &'static [&'static str], Vec<(u16, String)>);

fn with_a_hub() -> [WithAHub; 12] {
    let ticket = (
        "tenwords1:hub.example:M2GT58X4MPKAFA59AYZJQK8KZGHCBF1SKNFY",
        "hub.example M2GT-58X4-MPKA-FA59-AYZJ-QK8K-ZGHC-BF1S-KNFY",
    );
    let ticket = ticket_reply(ID, &(ticket.0.to_owned(), ticket.1.to_owned()));
    let arm = &["recovery", "arm", "lab-1", "--reason", "fire", "--stolen"];
    let facts = json!({"v": 1, "kind": "ceremony", "box_id": ID, "code_number": 2,
        "code_id": "0e1d2c3b-4a59-4867-b706-f5e4d3c2b1a0", "sequence": 41, "grade": "proven",
        "root_sha256": "acf95f53d4447abe50f0142e37cc385fecc6969d657a7e4e4ce501503e5e5708",
        "words_key": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "agent_version": "0.1.0",
        "made_at": "2026-03-03T12:00:00Z", "parts": [
        {"name": "key/0eabd4460b6eb9ca345023dee2b778c790e54a1683b9659c0a57ae199090159b", "size": 29,
         "sha256": "686c00d46b8b386094a5fa905fbad4c3128d1e67ec05c5b295cc4ea502165408"},
        {"name": "root.age", "size": 38, "sha256": "acf95f53d4447abe50f0142e37cc385fecc6969d657a7e4e4ce501503e5e5708"}]});
    let newest = json!({"v": 1, "number": 7, "received_at": "2026-03-03T12:00:05Z", "header": facts});
    let recovery = json!({"reason": "fire", "armed_at": "2026-03-04T12:00:00Z", "until": "2026-03-04T14:00:00Z",
        "rehearsal": false, "stolen": true});
    let boxes = json!({"v": 1, "boxes": [
        {"box_id": ID, "name": "lab-one", "added_at": "2026-03-03T11:00:00Z", "enrolled_at": "2026-03-03T11:30:00Z",
         "last_seen": "2026-03-03T12:00:05Z", "versions": 7, "newest": newest, "recovery": recovery, "drills": {
            "words": {"at": "2026-03-04T08:00:00Z", "version": 7, "code_number": 2},
            "archive": {"at": "2026-02-04T08:00:00Z", "version": 3, "code_number": 1, "source": "pbs",
                "snapshot": "ct/101/2026-02-04T02:30:00Z", "archive": "root.pxar", "bytes": 1_048_576, "files": 42}}},
        {"box_id": OTHER_ID, "name": "attic", "added_at": "2026-03-03T11:00:00Z", "versions": 0}]})
    .to_string();
    let new = json!({"v": 1, "boxes": [
        {"box_id": ID, "name": "lab-1", "added_at": "2026-03-03T11:00:00Z", "versions": 0}]})
    .to_string();
    let cluster = json!({"v": 1, "boxes": [
        {"box_id": ID, "name": "lab-1", "added_at": "2026-03-03T11:00:00Z", "enrolled_at": "2026-03-03T11:30:00Z",
         "last_seen": "2026-03-03T12:00:05Z", "versions": 0, "customer": "Bakery", "keeper": OTHER_ID, "nodes": [
            {"node_id": OTHER_ID, "hostname": "pve1", "enrolled_at": "2026-03-03T11:30:00Z",
             "certificate_expires_at": "2126-06-01T12:00:00Z", "last_seen": "2026-03-03T12:00:05Z"},
            {"node_id": ID, "hostname": "", "enrolled_at": "2026-03-03T11:30:00Z",
             "certificate_expires_at": "2016-06-01T12:00:00Z"}],
         "retired": {"at": "2026-03-05T12:00:00Z", "reason": "sold", "keep_days": 400}}]})
    .to_string();
    [
        ("box-show-nodes", &["box", "show", "lab-1"], vec![(200, cluster)]),
        ("box-add", &["box", "add", "lab-1"], vec![(200, ticket.clone())]),
        ("box-list", &["box", "list"], vec![(200, boxes.clone())]),
        ("box-show", &["box", "show", "lab-1"], vec![(200, boxes.clone())]),
        ("box-show-new", &["box", "show", "lab-1"], vec![(200, new)]),
        ("armed", arm, vec![(200, boxes.clone()), (200, ticket)]),
        ("alive", arm, vec![(200, boxes), problem(409, "box_is_alive", "heard of 4 minutes ago")]),
        ("directive-show", &["directive", "show", "lab-1"], directive::automatic()),
        (
            "directive-show-none",
            &["directive", "show", "lab-1"],
            vec![directive::list(&[]), problem(404, "not_found", "the box has not said yet what it has")],
        ),
        (
            "directive-history",
            &["directive", "show", "lab-1", "--history"],
            vec![directive::list(&[(2, "operator"), (1, "automatic")])],
        ),
        (
            "directive-edit",
            &["directive", "edit", "lab-1", "--only", "ct/101,vm/102", "--as-of", "2026-03-01", "--yes"],
            [directive::automatic(), vec![directive::stored(4, "operator", &[directive::item("ct/101")])]].concat(),
        ),
        ("directive-unknown-guest", &["directive", "edit", "lab-1", "--only", "host/nas"], directive::automatic()),
    ]
}

#[test]
fn golden_transcripts() {
    let mut cases: Vec<(&str, String)> =
        CASES.iter().map(|(name, typed)| (*name, transcript(typed, &Desk::new().run(typed)))).collect();
    for (name, typed, answers) in with_a_hub() {
        let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
        let hub = desk.hub(answers);
        cases.push((name, transcript(typed, &desk.run_at(&hub, typed))));
    }
    cases.extend(orders::transcripts());
    cases.extend(pins::transcripts());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcripts");
    let mut different = Vec::new();
    for (name, actual) in &cases {
        let path = folder.join(format!("{name}.txt"));
        if env::var_os("TENWORDS_GOLDEN").is_some_and(|value| value == "write") {
            fs::write(&path, actual).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected != *actual {
            different.push(format!("{name}: expected\n{expected}\nfound\n{actual}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), cases.len(), "a transcript that no case writes");
}

pub(crate) fn transcript(typed: &[&str], ran: &Ran) -> String {
    let spelled = typed.iter().map(|word| if word.contains(' ') { format!(" '{word}'") } else { format!(" {word}") });
    let mut text = format!("$ tenwords{}\n", spelled.collect::<String>());
    for (stream, lines) in [("", &ran.stdout), ("! ", &ran.stderr)] {
        for line in lines.lines() {
            text.push_str(format!("{stream}{line}").trim_end());
            text.push('\n');
        }
    }
    text.push_str(&format!("[exit {}]\n", ran.code));
    text
}
