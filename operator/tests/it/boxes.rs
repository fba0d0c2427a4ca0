//! Adding and looking at boxes, and whose word counts for their names.

use std::fs;

use serde_json::json;

use crate::desk::{Desk, ID, OTHER_ID, TOKEN, problem, ticket, ticket_reply};

fn summary(id: &str, name: &str) -> serde_json::Value {
    json!({"box_id": id, "name": name, "added_at": "2026-03-03T12:00:00Z", "enrolled_at": "2026-03-03T12:05:00Z",
        "last_seen": "2026-03-04T12:00:00Z", "versions": 0})
}

#[test]
fn the_box_id_is_made_here_and_is_on_disk_before_the_hub_hears_it() {
    let desk = Desk::new();
    let hub = desk.hub(vec![(500, String::new())]);
    let ran = desk.run_at(&hub, &["box", "add", "lab-1", "--json"]);
    assert_eq!(ran.code, 20, "{}", ran.stderr);
    let sent = hub.asked()[0].body.clone().unwrap();
    assert_eq!(sent["name"], "lab-1");
    assert_eq!(desk.map()["boxes"][0]["box_id"], sent["box_id"]);
    assert_eq!(hub.asked()[0].line, "POST /v1/boxes HTTP/1.1");
    assert_eq!(hub.asked()[0].authorization, format!("Bearer {TOKEN}"));
}

#[test]
fn a_lost_answer_loses_nothing_since_the_same_id_is_asked_for_again() {
    let desk = Desk::new();
    let lost = desk.hub(vec![(500, String::new())]);
    desk.run_at(&lost, &["box", "add", "lab-1"]);
    let id = lost.asked()[0].body.clone().unwrap()["box_id"].as_str().unwrap().to_owned();
    let forms = ticket();
    let hub = desk.hub(vec![(200, ticket_reply(&id, &forms))]);
    let ran = desk.run_at(&hub, &["box", "add", "lab-1", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(hub.asked()[0].body.clone().unwrap()["box_id"], id.as_str());
    let answer = ran.json();
    assert_eq!((answer["box_id"].as_str(), answer["name"].as_str()), (Some(id.as_str()), Some("lab-1")));
    assert_eq!(answer["ticket"], json!({"paste": forms.0, "typed": forms.1}));
    assert_eq!(desk.map()["boxes"][0]["acknowledged"], true);
}

#[test]
fn a_new_name_that_the_hub_refuses_does_not_stay_in_the_map() {
    for (status, code, exit) in [(409, "conflict", 2), (400, "bad_request", 2), (401, "unauthenticated", 16)] {
        let desk = Desk::new();
        let hub = desk.hub(vec![problem(status, code, "lab-1 exists")]);
        let ran = desk.run_at(&hub, &["box", "add", "lab-1", "--json"]);
        assert_eq!((ran.code, ran.refusal()["code"].as_str()), (exit, Some(code)));
        assert_eq!(desk.map()["boxes"], json!([]));
    }
}

#[test]
fn a_name_that_the_hub_may_have_taken_stays_in_the_map_whatever_it_says_later() {
    let desk = Desk::new();
    let hub = desk.hub(vec![(500, String::new()), problem(401, "unauthenticated", ""), problem(409, "conflict", "")]);
    for _ in 0..3 {
        assert_ne!(desk.run_at(&hub, &["box", "add", "lab-1"]).code, 0);
    }
    let sent: Vec<_> = hub.asked().iter().map(|asked| asked.body.clone().unwrap()["box_id"].clone()).collect();
    assert_eq!((sent[0] == sent[1], sent[0] == sent[2]), (true, true));
    assert_eq!(desk.map()["boxes"][0]["box_id"], sent[0]);
}

#[test]
fn a_ticket_for_another_box_or_of_another_form_is_not_shown() {
    let (one, two) = (ticket(), ticket());
    for (forms, id) in [
        (one.clone(), Some(OTHER_ID)),
        ((one.0.clone(), two.1), None),
        (("tenwords1:x".to_owned(), one.1.clone()), None),
        (("\x1b[2J".to_owned(), one.1), None),
    ] {
        let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
        let hub = desk.hub(vec![(200, ticket_reply(id.unwrap_or(ID), &forms))]);
        let ran = desk.run_at(&hub, &["box", "add", "lab-1"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (20, ""), "{}", ran.stderr);
        assert!(!ran.stderr.contains(&forms.0), "{}", ran.stderr);
    }
}

#[test]
fn what_the_hub_calls_a_box_never_changes_the_map() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID), ("lab-2", OTHER_ID)]);
    let before = fs::read(desk.map_file()).unwrap();
    // The hub has exchanged two names: whoever believed it would recover the wrong box.
    let answer = json!({"v": 1, "boxes": [summary(ID, "lab-2"), summary(OTHER_ID, "lab-1")]}).to_string();
    let list = || (200, answer.clone());
    let hub = desk.hub(vec![list(), list(), list(), (200, ticket_reply(ID, &ticket()))]);
    let listed = desk.run_at(&hub, &["box", "list"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(listed.stdout.contains(&format!("lab-1  {ID}")), "{}", listed.stdout);
    assert!(listed.stderr.contains(&format!("the hub calls lab-1 ({ID}) \"lab-2\"")), "{}", listed.stderr);
    let json = desk.run_at(&hub, &["box", "list", "--json"]).json();
    assert_eq!(
        (json["boxes"][0]["name"].as_str(), json["boxes"][0]["hub_name"].as_str()),
        (Some("lab-1"), Some("lab-2"))
    );
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(2));
    let armed = desk.run_at(&hub, &["recovery", "arm", "lab-1", "--reason", "fire"]);
    assert_eq!(armed.code, 0, "{}", armed.stderr);
    assert!(armed.stderr.contains("your own name for it counts here"), "{}", armed.stderr);
    assert!(armed.stderr.contains("the ten words could bring nothing back"), "{}", armed.stderr);
    assert_eq!(hub.asked()[3].line, format!("POST /v1/boxes/{ID}/recovery HTTP/1.1"));
    assert_eq!(fs::read(desk.map_file()).unwrap(), before);
}

#[test]
fn a_box_that_only_the_hub_names_is_marked_and_not_found_by_that_name() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let answer = json!({"v": 1, "boxes": [summary(OTHER_ID, "lab-9\x1b[31m")]}).to_string();
    let hub = desk.hub(vec![(200, answer)]);
    let listed = desk.run_at(&hub, &["box", "list"]);
    assert!(listed.stdout.contains("? \"lab-9?[31m\""), "{}", listed.stdout);
    assert!(listed.stderr.contains(&format!("the hub does not know lab-1 ({ID})")), "{}", listed.stderr);
    let armed = desk.run_at(&hub, &["--json", "recovery", "arm", "lab-9", "--reason", "fire"]);
    assert_eq!((armed.code, armed.refusal()["code"].as_str()), (2, Some("unknown_name")));
    assert_eq!(hub.asked().len(), 1, "nothing more was sent");
}

#[test]
fn the_newest_drills_are_in_the_json_and_a_box_without_any_has_none() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID), ("lab-2", OTHER_ID)]);
    let words = json!({"at": "2026-03-04T08:00:00Z", "version": 7, "code_number": 2});
    let archive = json!({"at": "2026-03-04T09:00:00Z", "version": 7, "code_number": 2, "source": "pbs",
        "snapshot": "host/box1/2026-03-04T02:30:00Z", "archive": "etc.pxar", "bytes": 0, "files": u64::MAX});
    let mut practised = summary(ID, "lab-1");
    practised["drills"] = json!({"words": words, "archive": archive});
    let answer = json!({"v": 1, "boxes": [practised, summary(OTHER_ID, "lab-2")]}).to_string();
    let hub = desk.hub(vec![(200, answer.clone()), (200, answer.clone()), (200, answer)]);
    let listed = desk.run_at(&hub, &["box", "list", "--json"]).json();
    assert_eq!(listed["boxes"][0]["drills"], json!({"words": words, "archive": archive}));
    assert_eq!(listed["boxes"][1].get("drills"), None);
    assert_eq!(desk.run_at(&hub, &["box", "show", "lab-1", "--json"]).json()["drills"]["archive"], archive);
    assert_eq!(desk.run_at(&hub, &["box", "show", "lab-2", "--json"]).json().get("drills"), None);
}

/// What a hub says of a drill is names, numbers and times; anything else is no answer at all.
#[test]
fn a_drill_that_is_not_of_the_written_form_is_not_shown() {
    for (field, value) in [("source", "pbs\x1b[2J"), ("archive", "../etc.pxar"), ("snapshot", "ct/101/\u{202e}")] {
        let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
        let mut archive = json!({"at": "2026-03-04T09:00:00Z", "version": 7, "code_number": 2, "source": "pbs",
            "snapshot": "host/box1/2026-03-04T02:30:00Z", "archive": "etc.pxar", "bytes": 0, "files": 1});
        let mut practised = summary(ID, "lab-1");
        for (given, code) in [(archive[field].clone(), 0), (value.into(), 20)] {
            archive[field] = given;
            practised["drills"] = json!({"archive": archive});
            let hub = desk.hub(vec![(200, json!({"v": 1, "boxes": [practised]}).to_string())]);
            let ran = desk.run_at(&hub, &["box", "show", "lab-1"]);
            assert_eq!(ran.code, code, "{field}: {}", ran.stderr);
            assert!(!ran.stderr.contains(value) && !ran.stdout.contains(value), "{field}");
        }
    }
}

#[test]
fn a_damaged_map_stops_before_anything_is_sent() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    fs::write(desk.map_file(), "{\"v\":1,\"boxes\":[{").unwrap();
    let hub = desk.hub(vec![(200, ticket_reply(ID, &ticket()))]);
    for command in [&["box", "add", "lab-2"][..], &["box", "list"], &["recovery", "disarm", "lab-1"]] {
        let ran = desk.run_at(&hub, command);
        assert_eq!(ran.code, 2, "{command:?} {}", ran.stderr);
        assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
    }
    assert!(hub.asked().is_empty());
    assert_eq!(fs::read_to_string(desk.map_file()).unwrap(), "{\"v\":1,\"boxes\":[{");
}
