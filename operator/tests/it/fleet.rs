//! `tenwords fleet`: which box can be brought back, and what cron hears of it.

use serde_json::{Value, json};

use crate::desk::{Desk, ID, OTHER_ID};

const THIRD_ID: &str = "7f3c2d1e-0b9a-4876-9654-3210fedcba98";

fn reason(code: &str, state: &str) -> Value {
    json!({"code": code, "state": state, "subjects": ["ct/101 mail\u{202e}"], "more": 3, "since": "2026-03-03T12:00:00Z",
        "what": "its newest snapshot is older than its job says", "remedy": "look at its backup job's last run in PVE"})
}

fn stands(id: &str, name: &str, state: &str, reasons: &[Value]) -> Value {
    json!({"box_id": id, "name": name, "customer": "Bakery Ltd", "added_at": "2026-03-03T12:00:00Z",
        "enrolled_at": "2026-03-03T12:05:00Z", "versions": 1, "in_state_since": "2026-03-04T12:00:00Z",
        "readiness": {"state": state, "reasons": reasons, "notes": []}})
}

fn list(boxes: &[Value]) -> (u16, String) {
    (200, json!({"v": 1, "boxes": boxes}).to_string())
}

fn mixed() -> (u16, String) {
    list(&[
        stands(ID, "lab-1", "ready", &[]),
        stands(OTHER_ID, "attic", "at-risk", &[reason("snapshot-late", "at-risk")]),
        stands(THIRD_ID, "shop", "unprotected", &[reason("of-tomorrow", "unprotected")]),
    ])
}

#[test]
fn the_worst_comes_first_with_what_mends_it() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID), ("attic", OTHER_ID), ("shop", THIRD_ID)]);
    let ran = desk.run_at(&desk.hub(vec![mixed()]), &["fleet"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let text = &ran.stdout;
    assert!(text.starts_with("3 boxes: 1 ready, 1 at-risk, 1 unprotected\n"), "{text}");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is missing: {text}"));
    assert!(
        at("unprotected  shop") < at("at-risk      attic") && at("at-risk      attic") < at("ready        lab-1"),
        "{text}"
    );
    assert!(text.contains("ct/101 mail? and 3 more (since 2026-03-03T12:00:00Z)"), "{text}");
    assert!(text.contains("    what to do: look at its backup job's last run in PVE\n"), "{text}");
    let json = desk.run_at(&desk.hub(vec![mixed()]), &["fleet", "--json"]).json();
    assert_eq!(json["counts"], json!({"ready": 1, "at-risk": 1, "unprotected": 1}));
    assert_eq!((&json["boxes"][0]["name"], &json["boxes"][0]["state"]), (&json!("shop"), &json!("unprotected")));
    assert_eq!(json["boxes"][1]["reasons"][0]["code"], "snapshot-late");
}

#[test]
fn cron_hears_of_a_box_that_stands_so_badly_or_worse() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID), ("attic", OTHER_ID), ("shop", THIRD_ID)]);
    for (limit, boxes, code, said) in [
        ("at-risk", mixed(), 1, "2 boxes are at-risk or worse"),
        ("unprotected", mixed(), 1, "1 box is unprotected or worse"),
        ("at-risk", list(&[ID, OTHER_ID, THIRD_ID].map(|id| stands(id, "x", "ready", &[]))), 0, ""),
    ] {
        let ran = desk.run_at(&desk.hub(vec![boxes]), &["fleet", "--fail-on", limit]);
        assert_eq!(ran.code, code, "{limit}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{limit}: {}", ran.stderr);
    }
    assert_eq!(desk.run(&["fleet", "--fail-on", "ready"]).code, 2);
}

#[test]
fn a_hub_that_keeps_quiet_is_no_good_news() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID), ("attic", OTHER_ID)]);
    let fails = ["fleet", "--fail-on", "unprotected"];
    // About a box of the operator's own map, and about how one stands: a hub of another version.
    let silent = stands(ID, "lab-1", "ready", &[]);
    let ran = desk.run_at(&desk.hub(vec![list(std::slice::from_ref(&silent))]), &fails);
    assert!(ran.code == 1 && ran.stderr.contains("the hub does not know attic"), "{}", ran.stderr);
    let mut older = stands(OTHER_ID, "attic", "ready", &[]);
    older.as_object_mut().unwrap().remove("readiness");
    let ran = desk.run_at(&desk.hub(vec![list(&[silent.clone(), older])]), &fails);
    assert!(ran.code == 1 && ran.stdout.contains("1 unknown"), "{}{}", ran.stdout, ran.stderr);
    // One that was retired is no box of the fleet, if it was retired from here; the hub's word alone hides none.
    let mut retired = stands(OTHER_ID, "attic", "unprotected", &[]);
    retired["retired"] = json!({"at": "2026-03-04T12:00:00Z", "reason": "sold", "keep_days": 400});
    let both = list(&[silent, retired.clone()]);
    let ran = desk.run_at(&desk.hub(vec![both.clone()]), &fails);
    assert!(ran.code == 1 && ran.stderr.contains("it was not retired from here"), "{}", ran.stderr);
    let retire = ["box", "retire", "attic", "--reason", "sold", "--kit-made", "--yes"];
    let hub = desk.hub(vec![list(std::slice::from_ref(&retired)), (204, String::new()), both.clone()]);
    assert_eq!(desk.run_at(&hub, &retire).code, 0);
    let ran = desk.run_at(&hub, &fails);
    assert!(ran.code == 0 && !ran.stderr.contains("retired"), "{}", ran.stderr);
    // An undone retirement is forgotten.
    let hub = desk.hub(vec![(204, String::new()), both]);
    assert_eq!(desk.run_at(&hub, &["box", "retire", "attic", "--reason", "kept", "--undo"]).code, 0);
    assert_eq!(desk.run_at(&hub, &fails).code, 1);
}

#[test]
fn a_hub_without_any_box_is_no_good_news() {
    let desk = Desk::new().with_boxes(&[]);
    let ran = desk.run_at(&desk.hub(vec![list(&[])]), &["fleet", "--fail-on", "unprotected"]);
    assert!(ran.code == 1 && ran.stderr.contains("no such box to look at"), "{}", ran.stderr);
    assert_eq!(desk.run_at(&desk.hub(vec![list(&[])]), &["fleet"]).code, 0);
    // Also where all that it has is said to be retired, by whomever.
    let mut retired = stands(ID, "lab-1", "ready", &[]);
    retired["retired"] = json!({"at": "2026-03-04T12:00:00Z", "reason": "sold", "keep_days": 400});
    let ran = desk.run_at(&desk.hub(vec![list(&[retired])]), &["fleet", "--fail-on", "unprotected"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}

#[test]
fn a_customer_without_a_box_is_no_good_news_either() {
    let desk = Desk::new().with_boxes(&[("lab-1", ID)]);
    let one = list(&[stands(ID, "lab-1", "ready", &[])]);
    let ran = desk.run_at(&desk.hub(vec![one.clone()]), &["fleet", "--customer", "Bakery Ltd", "--fail-on", "at-risk"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = desk.run_at(&desk.hub(vec![one]), &["fleet", "--customer", "Bakery", "--fail-on", "at-risk"]);
    assert!(ran.code == 1 && ran.stderr.contains("no box of customer"), "{}", ran.stderr);
}
