//! A directive, looked at and edited: what is sent is what was asked for and seen, and nothing else.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use nix::pty::openpty;
use serde_json::{Value, json};

use crate::desk::{Desk, ID, Ran, problem, ran};

const HASH: &str = "acf95f53d4447abe50f0142e37cc385fecc6969d657a7e4e4ce501503e5e5708";

pub(crate) fn item(group: &str) -> Value {
    json!({"source": "pbs", "group": group, "snapshot": "newest", "as": {}})
}

fn head(number: u64, origin: &str, items: usize) -> Value {
    let head = json!({"number": number, "made_at": "2026-03-03T12:00:05Z", "origin": origin, "items": items,
        "left_out": 0, "sha256": HASH});
    let more = if origin == "operator" { json!({"by": "admin"}) } else { json!({"version": 7}) };
    let mut head = head.as_object().unwrap().clone();
    head.extend(more.as_object().unwrap().clone());
    head.into()
}

pub(crate) fn stored(number: u64, origin: &str, items: &[Value]) -> (u16, String) {
    let directive = json!({"v": 1, "number": number, "items": items});
    (200, json!({"v": 1, "head": head(number, origin, items.len()), "directive": directive}).to_string())
}

pub(crate) fn list(heads: &[(u64, &str)]) -> (u16, String) {
    let heads: Vec<Value> = heads.iter().map(|(number, origin)| head(*number, origin, 2)).collect();
    (200, json!({"v": 1, "directives": heads}).to_string())
}

pub(crate) fn inventory() -> (u16, String) {
    let group = |name: &str| json!({"group": name, "count": 3, "newest": "2026-03-03T02:30:00Z"});
    let guest = |group: &str, name: &str| json!({"group": group, "name": name, "covered": true});
    let source = json!({"id": "pbs", "answered": true,
        "groups": [group("ct/101"), group("ct/103"), group("vm/102")]});
    let guests = [guest("ct/101", "web"), guest("ct/103", "ol\u{1b}[2Jd\u{202e}"), guest("vm/102", "db")];
    let silent = json!({"id": "second", "answered": false, "groups": []});
    let said = json!({"v": 1, "made_at": "2026-03-03T12:00:00Z", "sources": [source, silent], "guests": guests});
    (200, json!({"v": 1, "version": 7, "received_at": "2026-03-03T12:00:05Z", "inventory": said}).to_string())
}

/// An automatic directive stands, and the box has said what it has.
pub(crate) fn automatic() -> Vec<(u16, String)> {
    let items = [item("ct/101"), item("vm/102"), item("ct/103")];
    vec![list(&[(3, "automatic")]), stored(3, "automatic", &items), inventory()]
}

fn none() -> Vec<(u16, String)> {
    vec![list(&[]), problem(404, "not_found", "the box has not said yet what it has")]
}

fn edited() -> (u16, String) {
    let (_, body) = stored(4, "operator", &[item("ct/101")]);
    (201, body)
}

/// What was sent, as the last thing.
fn sent(desk: &Desk, answers: Vec<(u16, String)>, arguments: &[&str]) -> (Ran, Option<Value>) {
    let expected = answers.len();
    let hub = desk.hub(answers);
    let ran = desk.run_at(&hub, &[&["directive", "edit", "lab-1"], arguments].concat());
    let asked = hub.asked();
    let is_post = |line: &str| line == format!("POST /v1/boxes/{ID}/directives HTTP/1.1");
    assert!(asked.len() <= expected, "more was asked: {asked:?}");
    let body = asked.last().filter(|last| is_post(&last.line)).and_then(|last| last.body.clone());
    (ran, body)
}

fn desk() -> Desk {
    Desk::new().with_boxes(&[("lab-1", ID)])
}

#[test]
fn what_the_options_ask_for_is_sent_with_the_number_that_it_is_based_on() {
    let until = "until 2026-03-01T23:59:59Z";
    let other = |group: &str, snapshot: &str, to: Value| json!({"source": "pbs", "group": group, "snapshot": snapshot, "as": to});
    for (options, items) in [
        (&["--only", "vm/102,ct/101"][..], json!([item("vm/102"), item("ct/101")])),
        (
            &["--only", "ct/101", "--as-of", "2026-03-01", "--vmid", "ct/101=201", "--storage", "local-zfs"],
            json!([other("ct/101", until, json!({"vmid": 201, "storage": "local-zfs"}))]),
        ),
        (
            &["--storage", "vm/102=slow"],
            json!([item("ct/101"), other("vm/102", "newest", json!({"storage": "slow"})), item("ct/103")]),
        ),
    ] {
        let (ran, body) =
            sent(&desk(), [automatic(), vec![edited()]].concat(), &[options, &["--yes", "--json"]].concat());
        assert_eq!(ran.code, 0, "{options:?} {}", ran.stderr);
        assert_eq!(body, Some(json!({"v": 1, "based_on": 3, "automatic": false, "items": items})), "{options:?}");
        assert_eq!(ran.json()["directive"]["head"]["number"], 4);
        assert!(ran.json()["changes"].as_array().is_some_and(|changes| !changes.is_empty()));
    }
    let (_, body) = sent(&desk(), [none(), vec![edited()]].concat(), &["--only", "pbs:ct/101", "--yes"]);
    assert_eq!(body, Some(json!({"v": 1, "based_on": 0, "automatic": false, "items": [item("ct/101")]})));
}

#[test]
fn dropping_it_sends_no_items() {
    let own = [list(&[(4, "operator"), (3, "automatic")]), stored(4, "operator", &[item("ct/101")]), inventory()];
    let (ran, body) = sent(&desk(), [&own[..], &[stored(5, "automatic", &[])]].concat(), &["--auto", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(body, Some(json!({"v": 1, "based_on": 4, "automatic": true, "items": []})));
    // Where the automatic one stands, there is nothing to drop.
    let (ran, body) = sent(&desk(), automatic(), &["--auto", "--yes"]);
    assert_eq!((ran.code, body), (0, None), "{}", ran.stderr);
    assert!(ran.stdout.contains("nothing was changed"), "{}", ran.stdout);
}

#[test]
fn nothing_is_sent_that_was_not_agreed_to() {
    let (unasked, body) = sent(&desk(), automatic(), &["--only", "ct/101", "--json"]);
    assert_eq!((unasked.code, body), (2, None), "{}", unasked.stderr);
    assert!(unasked.stderr.contains("not_confirmed") && unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    for (typed, code, asked) in [("y\n", 0, 4), ("n\n", 2, 3), ("\n", 2, 3), ("\x04", 2, 3)] {
        let desk = desk();
        let hub = desk.hub([automatic(), vec![edited()]].concat());
        let terminal = openpty(None, None).unwrap();
        File::from(terminal.master.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        let address = format!("https://localhost:{}", hub.address.port());
        let mut command = desk.program(&["--hub", &address, "directive", "edit", "lab-1", "--only", "ct/101"]);
        command.arg("--ca").arg(desk.path("server-ca.pem")).arg("--token-file").arg(desk.path("token"));
        let ran = ran(command.stdin(Stdio::from(terminal.slave)).output().unwrap());
        assert_eq!((ran.code, hub.asked().len()), (code, asked), "{typed:?} {}", ran.stderr);
        assert!(ran.stderr.contains("- vm/102 \"db\" from pbs, newest, as virtual machine 102"), "{}", ran.stderr);
        assert!(ran.stderr.contains("ct/103 \"ol?[2Jd?\"") && !ran.stderr.contains('\x1b'), "{}", ran.stderr);
    }
}

#[test]
fn a_stale_edit_is_told_with_what_to_look_at() {
    let refused = problem(409, "outdated", "the edit is based on number 3, and number 4 stands");
    let (ran, body) = sent(&desk(), [automatic(), vec![refused]].concat(), &["--only", "ct/101", "--yes"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(body.is_some());
    assert!(ran.stderr.contains("number 4 stands") && ran.stderr.contains("directive diff lab-1"), "{}", ran.stderr);
}

/// An editor that does this to its file.
fn editor(desk: &Desk, script: &str) -> String {
    let path = desk.path("editor");
    fs::write(&path, format!("#!/bin/sh\nset -e\ncp \"$1\" '{}'\n{script}\n", desk.path("seen").display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn by_editor(desk: &Desk, answers: Vec<(u16, String)>, script: &str) -> (Ran, Vec<crate::standin::Asked>) {
    let hub = desk.hub(answers);
    let address = format!("https://localhost:{}", hub.address.port());
    let mut command = desk.program(&["--hub", &address, "directive", "edit", "lab-1", "--yes"]);
    command.arg("--ca").arg(desk.path("server-ca.pem")).arg("--token-file").arg(desk.path("token"));
    command.env("EDITOR", editor(desk, script)).env("PATH", "/usr/bin:/bin").env("TMPDIR", desk.path("."));
    let ran = ran(command.output().unwrap());
    (ran, hub.asked())
}

#[test]
fn an_editor_gets_what_stands_and_what_it_leaves_is_sent() {
    let desk = desk();
    let script = "sed -i -e '/vm.102/d' -e '/ct.103/d' -e 's/as\":{}},/as\":{\"vmid\":201}}/' \"$1\"";
    let (ran, asked) = by_editor(&desk, [automatic(), vec![edited()]].concat(), script);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let items = json!([{"source": "pbs", "group": "ct/101", "snapshot": "newest", "as": {"vmid": 201}}]);
    assert_eq!(asked[3].body, Some(json!({"v": 1, "based_on": 3, "automatic": false, "items": items})));
    let seen = fs::read_to_string(desk.path("seen")).unwrap();
    assert!(seen.contains("# ct/101 \"web\"\n{\"source\":\"pbs\""), "{seen}");
    assert!(!seen.contains('\x1b') && !seen.contains('\u{202e}'), "{seen}");
}

#[test]
fn an_editor_that_changes_nothing_or_empties_it_or_fails_sends_nothing() {
    for (script, code) in [("true", 0), (": > \"$1\"", 0), ("exit 1", 2), ("printf '{\"items\":[]}' > \"$1\"", 2)] {
        let (ran, asked) = by_editor(&desk(), automatic(), script);
        assert_eq!((ran.code, asked.len()), (code, 3), "{script}: {}", ran.stderr);
    }
}

#[test]
fn a_text_that_cannot_be_read_is_kept_for_another_try() {
    let desk = desk();
    let script = "sed -i 's/\"as\":{}/\"as\":{\"path\":\"\\/etc\"}/' \"$1\"";
    let (ran, asked) = by_editor(&desk, automatic(), script);
    assert_eq!((ran.code, asked.len()), (2, 3), "{}", ran.stderr);
    assert!(ran.stderr.contains("a field `path` that is not known here"), "{}", ran.stderr);
    let path = ran.stderr.split("--file ").nth(1).map(str::trim).unwrap();
    assert!(fs::read_to_string(path).unwrap().contains("\"path\":\"/etc\""));
    let mended = fs::read_to_string(path).unwrap().replace("{\"path\":\"/etc\"}", "{\"vmid\":900}");
    let one = mended.lines().filter(|line| !line.contains("vm/102") && !line.contains("ct/103")).collect::<Vec<_>>();
    fs::write(path, one.join("\n").replace("900}},", "900}}")).unwrap();
    let (ran, body) = sent(&desk, [automatic(), vec![edited()]].concat(), &["--file", path, "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(body.unwrap()["items"][0]["as"]["vmid"], 900);
}

#[test]
fn what_the_hub_must_not_say_in_a_directive_is_not_shown() {
    for (what, answer) in [
        (
            "a server",
            stored(
                3,
                "automatic",
                &[json!({"source": "pbs", "group": "ct/101", "snapshot": "newest", "as": {}, "server": "x"})],
            ),
        ),
        ("another number", stored(9, "automatic", &[item("ct/101")])),
        ("an escape", stored(3, "automatic", &[item("ct/1\u{1b}[2J")])),
    ] {
        let desk = desk();
        let hub = desk.hub(vec![list(&[(3, "automatic")]), answer, inventory()]);
        let ran = desk.run_at(&hub, &["directive", "show", "lab-1"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains('\x1b'), "{what}");
    }
}

#[test]
fn two_directives_are_compared_by_their_numbers_or_the_newest_with_the_one_before() {
    let (old, new) =
        (stored(3, "automatic", &[item("ct/101"), item("vm/102")]), stored(4, "operator", &[item("vm/102")]));
    let desk = desk();
    let newest = || vec![list(&[(4, "operator"), (3, "automatic")]), new.clone(), inventory()];
    let hub = desk.hub([newest(), vec![old.clone()], newest(), vec![old.clone(), new.clone()]].concat());
    let ran = desk.run_at(&hub, &["directive", "diff", "lab-1", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = ["- ct/101 \"web\" from pbs, newest, as container 101", "~ nothing else is restored from here on"];
    assert_eq!((ran.json()["from"].as_u64(), ran.json()["changes"].clone()), (Some(3), json!(expected)));
    let back = desk.run_at(&hub, &["directive", "diff", "lab-1", "4", "3", "--json"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(
        back.stdout.contains("+ ct/101") && back.stdout.contains("everything is restored again"),
        "{}",
        back.stdout
    );
}
