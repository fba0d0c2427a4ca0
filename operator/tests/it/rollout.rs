//! A list of boxes, tickets of boxes that are there, nodes, and a box's end.

use std::{fs, os::unix::fs::MetadataExt as _};

use serde_json::{Value, json};

use crate::desk::{Desk, ID, OTHER_ID, problem, ticket, ticket_reply};

const NODE: &str = "b2a1c0d9-e8f7-4655-8443-322110ffeedd";

/// A hub's list of boxes.
fn boxes(boxes: &[Value]) -> (u16, String) {
    (200, json!({"v": 1, "boxes": boxes}).to_string())
}

fn summary(id: &str, name: &str) -> Value {
    let node = |id: &str, host: &str| {
        json!({"node_id": id, "hostname": host, "enrolled_at": "2026-03-03T12:00:00Z",
            "certificate_expires_at": "2026-06-01T12:00:00Z", "last_seen": "2026-03-04T12:00:00Z"})
    };
    json!({"box_id": id, "name": name, "added_at": "2026-03-03T12:00:00Z", "enrolled_at": "2026-03-03T12:05:00Z",
        "versions": 0, "customer": "Bakery \u{202e}Ltd", "keeper": NODE,
        "nodes": [node(NODE, "pve1"), node(OTHER_ID, "pve2")]})
}

#[test]
fn a_list_with_one_bad_line_adds_nothing_and_asks_the_hub_nothing() {
    let desk = Desk::new();
    fs::write(desk.path("boxes.csv"), "name,customer\nlab-1,Bakery\nlab-1,Mill\n").unwrap();
    let hub = desk.hub(Vec::new());
    let ran = desk.run_at(&hub, &["box", "add", "--from", "boxes.csv", "--json"]);
    assert_eq!((ran.code, ran.refusal()["code"].as_str()), (2, Some("list")));
    assert!(ran.refusal()["what"].as_str().unwrap().contains("line 3"), "{}", ran.stderr);
    assert!(hub.asked().is_empty() && !desk.map_file().exists());
}

#[test]
fn a_name_that_the_hub_has_from_somebody_else_adds_nothing() {
    let desk = Desk::new();
    fs::write(desk.path("boxes.csv"), "name\nlab-1\nlab-2\n").unwrap();
    let hub = desk.hub(vec![boxes(&[summary(ID, "lab-2")])]);
    let ran = desk.run_at(&hub, &["box", "add", "--from", "boxes.csv", "--tickets", "tickets.csv"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(hub.asked().len(), 1);
    assert!(!desk.path("tickets.csv").exists() && !desk.map_file().exists());
}

#[test]
fn tickets_of_a_list_go_to_a_file_of_ones_own_or_to_a_program_and_to_no_screen() {
    let desk = Desk::new();
    fs::write(desk.path("boxes.csv"), "name\nlab-1\n").unwrap();
    let ran = desk.run(&["box", "add", "--from", "boxes.csv"]);
    assert!(ran.code == 2 && ran.stderr.contains("--tickets"), "{}", ran.stderr);
    fs::write(desk.path("there.csv"), "mine").unwrap();
    let hub = desk.hub(Vec::new());
    let ran = desk.run_at(&hub, &["box", "add", "--from", "boxes.csv", "--tickets", "there.csv"]);
    assert_eq!((ran.code, fs::read_to_string(desk.path("there.csv")).unwrap().as_str()), (2, "mine"));
    assert!(hub.asked().is_empty());
}

#[test]
fn a_list_goes_on_where_it_was_cut_off_and_leaves_alone_what_is_there() {
    // The id is drawn here, so the stand-in cannot know it beforehand: it is put into the map by a lost answer.
    let desk = Desk::new();
    for name in ["lab-1", "lab-2"] {
        desk.run_at(&desk.hub(vec![(500, String::new())]), &["box", "add", name]);
    }
    let id = |at: usize| desk.map()["boxes"][at]["box_id"].as_str().unwrap().to_owned();
    let (first, second, forms) = (id(0), id(1), ticket());
    fs::write(desk.path("boxes.csv"), "name,customer,for_days\nlab-1,Bakery,30\nlab-2,,\n").unwrap();
    let hub = desk.hub(vec![boxes(&[]), (200, ticket_reply(&first, &forms)), problem(503, "unavailable", "later")]);
    let ran = desk.run_at(&hub, &["box", "add", "--from", "boxes.csv", "--tickets", "one.csv", "--for-days", "7"]);
    assert_eq!(ran.code, 15, "{}", ran.stderr);
    let sent: Vec<_> = hub.asked()[1..].iter().map(|asked| asked.body.clone().unwrap()).collect();
    assert_eq!((&sent[0]["customer"], &sent[0]["for_days"]), (&json!("Bakery"), &json!(30)));
    assert_eq!((&sent[1]["customer"], &sent[1]["for_days"]), (&Value::Null, &json!(7)));
    let kept = fs::read_to_string(desk.path("one.csv")).unwrap();
    assert_eq!(kept, format!("name,box_id,ticket,expires_at\nlab-1,{first},{},2026-03-03T14:00:00Z\n", forms.0));
    assert_eq!(fs::metadata(desk.path("one.csv")).unwrap().mode() & 0o777, 0o600);
    assert!(!ran.stdout.contains(&forms.0) && !ran.stderr.contains(&forms.0));
    // The first is there, and its ticket on its way: nothing is asked for it.
    let hub = desk.hub(vec![boxes(&[summary(&first, "lab-1")]), (200, ticket_reply(&second, &forms))]);
    let ran = desk.run_at(&hub, &["box", "add", "--from", "boxes.csv", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let shown = ran.json();
    assert_eq!(shown["existed"], json!(["lab-1"]));
    assert_eq!((&shown["added"][0]["name"], &shown["added"][0]["ticket"]["paste"]), (&json!("lab-2"), &json!(forms.0)));
    assert_eq!(hub.asked().len(), 2);
}

#[test]
fn boxes_are_found_by_their_customer_and_nothing_hidden_is_shown() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let list = || {
        vec![boxes(&[
            summary(ID, "lab-1"),
            json!({"box_id": OTHER_ID, "name": "attic",
        "added_at": "2026-03-03T12:00:00Z", "versions": 0}),
        ])]
    };
    let all = desk.run_at(&desk.hub(list()), &["box", "list"]);
    assert!(all.stdout.contains("Bakery ?Ltd") && all.stdout.contains("none: ceremony pending"), "{}", all.stdout);
    let none = desk.run_at(&desk.hub(list()), &["box", "list", "--customer", "Mill", "--json"]);
    assert_eq!(none.json()["boxes"], json!([]));
    let one = desk.run_at(&desk.hub(list()), &["box", "list", "--customer", "Bakery \u{202e}Ltd", "--json"]);
    let found = &one.json()["boxes"][0];
    assert_eq!(
        (&found["name"], &found["ceremony_pending"], &found["keeper"]),
        (&json!("lab-1"), &json!(true), &json!(NODE))
    );
    assert_eq!(found["nodes"][1]["hostname"], "pve2");
}

#[test]
fn a_customer_is_said_and_taken_back() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let hub = desk.hub(vec![(204, String::new()), (204, String::new())]);
    assert_eq!(desk.run_at(&hub, &["box", "set", "lab-1", "--customer", "Bakery Ltd"]).code, 0);
    assert_eq!(desk.run_at(&hub, &["box", "set", "lab-1", "--customer", ""]).code, 0);
    let said: Vec<_> = hub.asked().iter().map(|asked| asked.body.clone().unwrap()["customer"].clone()).collect();
    assert_eq!(said, [json!("Bakery Ltd"), json!("")]);
    assert_eq!(hub.asked()[0].line, format!("PATCH /v1/boxes/{ID} HTTP/1.1"));
    assert_eq!(desk.run_at(&hub, &["box", "set", "lab-1", "--customer", "a\u{202e}b"]).code, 2);
    assert_eq!(hub.asked().len(), 2);
}

#[test]
fn a_ticket_for_another_box_than_was_asked_for_is_not_shown() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let forms = ticket();
    let hub = desk.hub(vec![(201, ticket_reply(ID, &forms)), (201, ticket_reply(OTHER_ID, &forms))]);
    let asked = ["box", "ticket", "lab-1", "--for-days", "30", "--end-others", "--json"];
    let ran = desk.run_at(&hub, &asked);
    assert_eq!(ran.json()["ticket"]["paste"], forms.0.as_str());
    let body = hub.asked()[0].body.clone().unwrap();
    assert_eq!((&body["for_days"], &body["end_others"]), (&json!(30), &json!(true)));
    let ran = desk.run_at(&hub, &asked);
    assert!(ran.code == 20 && !ran.stdout.contains(&forms.0) && !ran.stderr.contains(&forms.0), "{}", ran.stderr);
    assert_eq!(desk.run_at(&hub, &["box", "ticket", "lab-1", "--for-days", "31"]).code, 2);
    let hub = desk.hub(vec![(201, ticket_reply(ID, &forms)), (201, ticket_reply(ID, &forms))]);
    assert_eq!(desk.run_at(&hub, &["box", "ticket", "lab-1", "--reinstall", "pve2"]).code, 0);
    assert_eq!(desk.run_at(&hub, &["box", "ticket", "lab-1"]).code, 0);
    let said: Vec<_> = hub.asked().iter().map(|asked| asked.body.clone().unwrap()["hostname"].clone()).collect();
    assert_eq!(said, [json!("pve2"), json!(null)]);
    assert_eq!(desk.run_at(&hub, &["box", "ticket", "lab-1", "--reinstall", "two words"]).code, 2);
}

#[test]
fn a_node_is_taken_out_by_its_name_or_id_and_not_without_a_yes() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let list = boxes(&[summary(ID, "lab-1")]);
    for (typed, node) in [("pve2", OTHER_ID), (NODE, NODE)] {
        let hub = desk.hub(vec![list.clone(), (204, String::new())]);
        let ran = desk.run_at(&hub, &["box", "remove-node", "lab-1", typed, "--yes"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(hub.asked()[1].line, format!("DELETE /v1/boxes/{ID}/nodes/{node} HTTP/1.1"));
    }
    for more in [&["pve2"][..], &["pve9", "--yes"]] {
        let hub = desk.hub(vec![list.clone()]);
        let ran = desk.run_at(&hub, &[&["box", "remove-node", "lab-1"], more].concat());
        assert_eq!((ran.code, hub.asked().len()), (2, 1), "{}", ran.stderr);
    }
}

#[test]
fn a_box_is_retired_with_a_word_about_its_last_kit_and_not_without_a_yes() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let retire = ["box", "retire", "lab-1", "--reason", "sold"];
    let list = boxes(&[summary(ID, "lab-1")]);
    for bad in
        [&[][..], &["--kit-made", "--without-kit"], &["--without-kit", "--undo"], &["--kit-made", "--keep-days", "29"]]
    {
        assert_eq!(desk.run(&[&retire, bad].concat()).code, 2, "{bad:?}");
    }
    let hub = desk.hub(vec![list.clone()]);
    let ran = desk.run_at(&hub, &[&retire[..], &["--kit-made"]].concat());
    assert_eq!((ran.code, hub.asked().len()), (2, 1), "{}", ran.stderr);
    let hub = desk.hub(vec![list, (201, String::new())]);
    let ran = desk.run_at(&hub, &[&retire[..], &["--without-kit", "--yes", "--json"]].concat());
    assert_eq!((ran.code, &ran.json()["keep_days"]), (0, &json!(400)), "{}", ran.stderr);
    assert_eq!(hub.asked()[1].body, Some(json!({"v": 1, "reason": "sold", "keep_days": 400})));
    let hub = desk.hub(vec![(204, String::new())]);
    let ran = desk.run_at(&hub, &[&retire[..], &["--undo", "--json"]].concat());
    assert_eq!((ran.code, &ran.json()["retired"]), (0, &json!(false)), "{}", ran.stderr);
    assert_eq!(hub.asked()[0].line, format!("DELETE /v1/boxes/{ID}/retirement HTTP/1.1"));
}

#[test]
fn a_call_says_how_many_have_heard_it() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    for (waiting, said) in [(0, "not listening"), (1, "one node"), (3, "3 nodes")] {
        let hub = desk.hub(vec![(200, json!({"v": 1, "waiting": waiting}).to_string())]);
        let ran = desk.run_at(&hub, &["box", "call", "lab-1"]);
        assert!(ran.code == 0 && ran.stdout.contains(said), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(hub.asked()[0].body, Some(json!({"v": 1, "kind": "report"})));
    }
}
