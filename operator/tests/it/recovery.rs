//! Opening and closing recovery windows.

use std::{fs::File, io::Write as _, process::Stdio};

use nix::pty::openpty;
use serde_json::json;

use crate::desk::{Desk, ID, problem, ran, ticket, ticket_reply};

/// The list, with this box in it.
fn known() -> (u16, String) {
    let summary = json!({"box_id": ID, "name": "lab-1", "added_at": "2026-03-03T12:00:00Z", "versions": 3});
    (200, json!({"v": 1, "boxes": [summary]}).to_string())
}

#[test]
fn arm_sends_what_was_asked_and_gives_the_ticket() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let forms = ticket();
    let hub = desk.hub(vec![known(), (200, ticket_reply(ID, &forms))]);
    let arguments = ["recovery", "arm", "lab-1", "--reason", " burglary ", "--minutes", "30", "--stolen"];
    let ran = desk.run_at(&hub, &[&arguments[..], &["--lost-at", "2026-03-03T02:00:00Z", "--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        hub.asked()[1].body,
        Some(json!({"v": 1, "reason": "burglary", "minutes": 30, "rehearsal": false, "stolen": true,
            "lost_at": "2026-03-03T02:00:00Z", "confirm_alive": false}))
    );
    assert_eq!(ran.json()["ticket"], json!({"paste": forms.0, "typed": forms.1}));
}

#[test]
fn a_box_that_may_be_alive_is_not_armed_without_a_word_from_the_operator() {
    let alive = || problem(409, "box_is_alive", "heard of 4 minutes ago");
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let hub = desk.hub(vec![known(), alive(), known(), (200, ticket_reply(ID, &ticket()))]);
    let refused = desk.run_at(&hub, &["recovery", "arm", "lab-1", "--reason", "fire", "--json"]);
    assert_eq!((refused.code, refused.refusal()["code"].as_str()), (2, Some("box_is_alive")));
    assert_eq!(hub.asked().len(), 2, "there is no terminal to ask at, and so no second try");
    let armed = desk.run_at(&hub, &["recovery", "arm", "lab-1", "--reason", "fire", "--yes"]);
    assert_eq!(armed.code, 0, "{}", armed.stderr);
    assert_eq!(hub.asked()[3].body.clone().unwrap()["confirm_alive"], true);
}

#[test]
fn at_a_terminal_only_the_boxs_own_name_arms_a_box_that_may_be_alive() {
    for (typed, code, asked) in [("lab-1\n", 0, 3), ("y\n", 2, 2), ("lab-2\n", 2, 2), ("\n", 2, 2), ("\x04", 2, 2)] {
        let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
        let hub = desk.hub(vec![known(), problem(409, "box_is_alive", ""), (200, ticket_reply(ID, &ticket()))]);
        let terminal = openpty(None, None).unwrap();
        // The line waits in the terminal until it is asked for.
        File::from(terminal.master.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        let address = format!("https://localhost:{}", hub.address.port());
        let mut command = desk.program(&["--hub", &address, "recovery", "arm", "lab-1", "--reason", "fire"]);
        command.arg("--ca").arg(desk.path("server-ca.pem")).arg("--token-file").arg(desk.path("token"));
        let ran = ran(command.stdin(Stdio::from(terminal.slave)).output().unwrap());
        assert_eq!((ran.code, hub.asked().len()), (code, asked), "{typed:?} {}", ran.stderr);
    }
}

#[test]
fn disarm_closes_the_window_of_the_box_that_was_named() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let hub = desk.hub(vec![(204, String::new()), problem(404, "not_found", "no window is open")]);
    let ran = desk.run_at(&hub, &["recovery", "disarm", "lab-1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(hub.asked()[0].line, format!("DELETE /v1/boxes/{ID}/recovery HTTP/1.1"));
    assert_eq!(desk.run_at(&hub, &["recovery", "disarm", ID]).code, 2);
}

#[test]
fn each_refusal_of_the_hub_has_its_exit_code() {
    for (status, code, exit) in [
        (401, "unauthenticated", 16),
        (403, "forbidden", 16),
        (404, "not_found", 2),
        (429, "rate_limited", 15),
        (500, "internal", 20),
        (503, "unavailable", 15),
        (418, "code_of_a_later_hub", 20),
    ] {
        let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
        let hub = desk.hub(vec![known(), problem(status, code, "why")]);
        let ran = desk.run_at(&hub, &["recovery", "arm", "lab-1", "--reason", "fire", "--json"]);
        assert_eq!((ran.code, ran.refusal()["code"].as_str()), (exit, Some(code)), "{}", ran.stderr);
    }
}
