//! What a box says it has, the directive that is made of it, and an operator's own.

use std::num::NonZeroU64;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tenwords_protocol::{
    bounded::List,
    directive::Directive,
    directives::{DirectiveList, EditRequest, MAX_DIRECTIVE_BYTES, Origin, StoredDirective},
    holdings::{HeldGroup, HeldSource, Holdings, InventoryReply, MAX_HOLDINGS_BYTES},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};

use crate::support::{Machine, Operator, TestHub, Words, ceremony, enrolled_box, expect_problem, on_both_databases};

on_both_databases![
    a_ceremonys_inventory_makes_the_directive_that_nobody_has_to_follow,
    an_operators_directive_stands_until_he_drops_it_and_every_one_is_kept,
    an_edit_of_what_is_not_the_newest_any_more_is_refused_and_told,
    two_edits_at_once_are_one,
    what_is_no_directive_is_refused_and_changes_nothing,
    a_hostile_inventory_is_refused_and_a_box_can_only_add,
    a_version_has_one_inventory_and_a_late_one_changes_nothing,
    a_revoked_box_says_nothing_more,
    what_a_disk_was_made_to_say_is_not_passed_on,
];

fn held(group: &str) -> HeldGroup {
    HeldGroup {
        group: group.parse().unwrap(),
        count: 1,
        newest: "2026-03-03T02:30:00Z".parse().unwrap(),
        size: None,
        key: None,
        archives: List::default(),
    }
}

fn inventory(groups: &[&str]) -> Holdings {
    let groups = List::cut(groups.iter().map(|group| held(group))).0;
    let source = HeldSource { id: "pbs".parse().unwrap(), namespace: None, answered: true, groups, groups_left_out: 0 };
    let (sources, made_at) = (List::cut([source]).0, "2026-03-03T12:00:00Z".parse().unwrap());
    Holdings { v: V1, made_at, sources, guests: List::default(), guests_left_out: 0 }
}

async fn try_say(machine: &Machine, version: u64, text: Vec<u8>) -> Response {
    machine.try_push_text(&machine.of_box(&format!("/versions/{version}/inventory")), text).await
}

async fn says(machine: &Machine, version: u64, groups: &[&str]) {
    let response = try_say(machine, version, serde_json::to_vec(&inventory(groups)).unwrap()).await;
    assert_eq!(response.status(), StatusCode::CREATED, "{}", response.text().await.unwrap());
}

async fn push(machine: &Machine, sequence: u64) {
    machine.push(&ceremony(machine.box_id.unwrap(), sequence, Words(1))).await;
}

async fn listed(hub: &TestHub, box_id: BoxId) -> Vec<(u64, Origin)> {
    let path = format!("/v1/boxes/{box_id}/directives");
    let response = Operator::of(hub).send(Method::GET, &path, None::<&()>).await;
    let list: DirectiveList = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    list.directives.iter().map(|head| (head.number.get(), head.origin)).collect()
}

async fn stored(hub: &TestHub, box_id: BoxId, which: &str) -> StoredDirective {
    let path = format!("/v1/boxes/{box_id}/directives/{which}");
    let response = Operator::of(hub).send(Method::GET, &path, None::<&()>).await;
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

fn groups(directive: &Directive) -> Vec<String> {
    directive.items.iter().map(|item| item.group.to_string()).collect()
}

async fn try_edit(hub: &TestHub, box_id: BoxId, request: &impl serde::Serialize) -> Response {
    Operator::of(hub).send(Method::POST, &format!("/v1/boxes/{box_id}/directives"), Some(request)).await
}

fn only(based_on: u64, group: &str) -> EditRequest {
    let item = json!({"source": "pbs", "group": group, "snapshot": "newest", "as": {"vmid": 201}});
    EditRequest { v: V1, based_on, automatic: false, items: vec![serde_json::from_value(item).unwrap()] }
}

async fn edits(hub: &TestHub, box_id: BoxId, request: &EditRequest) -> StoredDirective {
    let response = try_edit(hub, box_id, request).await;
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, StatusCode::CREATED, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// What the box's certificate, or its recovery's, is given.
async fn followed(machine: &Machine) -> Option<Directive> {
    let response = machine.get(&machine.of_box("/directive")).await;
    match response.status() {
        StatusCode::OK => Some(serde_json::from_str(&response.text().await.unwrap()).unwrap()),
        _ => {
            expect_problem(response, ProblemCode::NotFound).await;
            None
        }
    }
}

async fn a_ceremonys_inventory_makes_the_directive_that_nobody_has_to_follow(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_id, other) = enrolled_box(hub, "beta", Words(2)).await;
    assert_eq!((listed(hub, box_id).await, followed(&machine).await), (Vec::new(), None));
    says(&machine, 1, &["vm/102", "ct/101", "host/box1"]).await;
    let first = stored(hub, box_id, "newest").await;
    assert_eq!((first.head.number.get(), first.head.origin, first.head.by), (1, Origin::Automatic, None));
    assert_eq!((first.head.version, first.head.left_out), (NonZeroU64::new(1), 1));
    assert_eq!(groups(&first.directive), ["ct/101", "vm/102"]);
    // The same again is no new directive; something else is.
    push(&machine, 2).await;
    says(&machine, 2, &["vm/102", "ct/101"]).await;
    assert_eq!(listed(hub, box_id).await, [(1, Origin::Automatic)]);
    push(&machine, 3).await;
    says(&machine, 3, &["ct/101"]).await;
    assert_eq!(listed(hub, box_id).await, [(2, Origin::Automatic), (1, Origin::Automatic)]);
    assert_eq!(groups(&stored(hub, box_id, "1").await.directive), ["ct/101", "vm/102"]);

    // What was made since must come back too, so a recovery is given nothing that would leave it out.
    let ticket = Operator::of(hub).arm(box_id, |_| ()).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    assert_eq!((followed(&machine).await, followed(&reader).await), (None, None));
    for machine in [&machine, &reader] {
        let text = machine.get(&machine.of_box("/inventory")).await.text().await.unwrap();
        let InventoryReply { version, inventory: last, .. } = serde_json::from_str(&text).unwrap();
        assert_eq!((version.get(), last), (3, inventory(&["ct/101"])));
    }
    let refused = try_say(&reader, 3, serde_json::to_vec(&inventory(&["ct/1"])).unwrap()).await;
    expect_problem(refused, ProblemCode::Forbidden).await;
    assert_eq!(listed(hub, other_id).await, []);
    expect_problem(other.get(&other.of_box("/inventory")).await, ProblemCode::NotFound).await;

    let audited = hub.audited("directive.automatic").await;
    assert_eq!(audited.len(), 2);
    assert!(audited[1].starts_with("directive 2 after 1, 1 items, ") && audited[1].ends_with("of version 3"));
    assert_eq!(hub.audited("inventory.send").await.len(), 3);
}

async fn an_operators_directive_stands_until_he_drops_it_and_every_one_is_kept(hub: &mut TestHub) {
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    says(&machine, 1, &["vm/102", "ct/101"]).await;
    let edited = edits(hub, box_id, &only(1, "ct/101")).await;
    assert_eq!((edited.head.number.get(), edited.head.origin), (2, Origin::Operator));
    assert_eq!(edited.head.by.as_deref(), Some("admin"));
    assert_eq!(edited.directive.items, only(0, "ct/101").items);
    push(&machine, 2).await;
    says(&machine, 2, &["vm/102", "ct/101", "ct/103"]).await;
    assert_eq!(listed(hub, box_id).await.len(), 2, "an inventory has changed what an operator chose");

    let ticket = Operator::of(hub).arm(box_id, |_| ()).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    hub.restart().await;
    machine.again(hub);
    reader.again(hub);
    for machine in [&machine, &reader] {
        assert_eq!(followed(machine).await, Some(edited.directive.clone()));
    }
    let again = edits(hub, box_id, &only(2, "vm/102")).await;
    assert_eq!(followed(&reader).await.map(|it| (it.number, groups(&it))), Some((3, vec!["vm/102".to_owned()])));

    let automatic = EditRequest { v: V1, based_on: 3, automatic: true, items: Vec::new() };
    let dropped = edits(hub, box_id, &automatic).await;
    assert_eq!((dropped.head.origin, dropped.head.by.as_deref()), (Origin::Automatic, Some("admin")));
    assert_eq!(groups(&dropped.directive), ["ct/101", "vm/102", "ct/103"]);
    assert_eq!(followed(&machine).await, None);
    push(&machine, 3).await;
    says(&machine, 3, &["ct/101"]).await;
    let all = [Origin::Automatic, Origin::Automatic, Origin::Operator, Origin::Operator, Origin::Automatic];
    assert_eq!(listed(hub, box_id).await, [5, 4, 3, 2, 1].into_iter().zip(all).collect::<Vec<_>>());
    assert_eq!(stored(hub, box_id, "2").await, edited);

    let rows = hub.store().await.audit_after(0, 10_000).await.unwrap();
    let edits: Vec<_> =
        rows.iter().filter(|row| row.actor == "operator:admin" && row.action.starts_with("directive.")).collect();
    let actions: Vec<&str> = edits.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["directive.edit", "directive.edit", "directive.automatic"]);
    assert_eq!(edits[0].detail, format!("directive 2 after 1, 1 items, {}", edited.head.sha256));
    assert_eq!(edits[1].detail, format!("directive 3 after 2, 1 items, {}", again.head.sha256));
    assert!(edits.iter().all(|row| row.box_id == Some(box_id)));
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}

async fn an_edit_of_what_is_not_the_newest_any_more_is_refused_and_told(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // The first needs no inventory.
    for wrong in [1, u64::MAX] {
        expect_problem(try_edit(hub, box_id, &only(wrong, "ct/101")).await, ProblemCode::Outdated).await;
    }
    edits(hub, box_id, &only(0, "ct/101")).await;
    for (based_on, said) in [(0, "number none, and number 1 stands"), (7, "number 7, and number 1 stands")] {
        let refused =
            expect_problem(try_edit(hub, box_id, &only(based_on, "vm/102")).await, ProblemCode::Outdated).await;
        let detail = refused.problem.detail.unwrap();
        assert!(detail.contains(said) && detail.contains("by operator admin"), "{detail}");
    }
    edits(hub, box_id, &EditRequest { v: V1, based_on: 1, automatic: true, items: Vec::new() }).await;
    says(&machine, 1, &["ct/101"]).await;
    let refused = expect_problem(try_edit(hub, box_id, &only(2, "vm/102")).await, ProblemCode::Outdated).await;
    assert!(refused.problem.detail.unwrap().contains("by the hub, from a new inventory"));
    assert_eq!(listed(hub, box_id).await.len(), 3);
    assert_eq!(hub.audited("directive.edit").await.len(), 1);
}

async fn two_edits_at_once_are_one(hub: &mut TestHub) {
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let (one, two) = (only(0, "ct/101"), only(0, "vm/102"));
    let (one, two) = tokio::join!(try_edit(hub, box_id, &one), try_edit(hub, box_id, &two));
    let mut codes = [one.status().as_u16(), two.status().as_u16()];
    codes.sort_unstable();
    assert_eq!((codes, listed(hub, box_id).await.len()), ([201, 409], 1));
}

async fn what_is_no_directive_is_refused_and_changes_nothing(hub: &mut TestHub) {
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let good = serde_json::to_value(only(0, "ct/101")).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let item = good["items"][0].clone();
    let many = vec![item.clone(); 1001];
    for (what, request) in [
        ("nothing", with(&|it| it["items"] = json!([]))),
        ("no items at all", json!({"v": 1, "based_on": 0})),
        ("another version", with(&|it| it["v"] = 2.into())),
        ("no base", json!({"v": 1, "items": [item]})),
        ("one thing twice", with(&|it| it["items"] = json!([item, item]))),
        (
            "two guests with one number",
            with(&|it| {
                let mut other = item.clone();
                other["group"] = "vm/102".into();
                it["items"] = json!([item, other]);
            }),
        ),
        ("too many", with(&|it| it["items"] = many.clone().into())),
        ("items for the automatic one", with(&|it| it["automatic"] = true.into())),
        ("a server", with(&|it| it["items"][0]["server"] = "192.0.2.1".into())),
        ("a path", with(&|it| it["items"][0]["as"]["path"] = "/etc".into())),
        ("a token", with(&|it| it["token"] = "x".into())),
        ("a path for a storage", with(&|it| it["items"][0]["as"]["storage"] = "../x".into())),
        ("a repository for a source", with(&|it| it["items"][0]["source"] = "root@pam@192.0.2.1:store".into())),
        ("a null", with(&|it| it["items"][0]["namespace"] = Value::Null)),
    ] {
        println!("{what}");
        expect_problem(try_edit(hub, box_id, &request).await, ProblemCode::BadRequest).await;
    }
    let long = with(&|it| it["items"] = json!("x".repeat(MAX_DIRECTIVE_BYTES)));
    expect_problem(try_edit(hub, box_id, &long).await, ProblemCode::TooLarge).await;
    let nobody: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse().unwrap();
    expect_problem(try_edit(hub, nobody, &only(0, "ct/101")).await, ProblemCode::NotFound).await;
    for path in ["directives", "directives/1", "directives/newest", "inventory"] {
        let path = format!("/v1/boxes/{nobody}/{path}");
        let response = Operator::of(hub).send(Method::GET, &path, None::<&()>).await;
        expect_problem(response, ProblemCode::NotFound).await;
    }
    assert_eq!(listed(hub, box_id).await, []);
    assert!(hub.audited("directive.edit").await.is_empty());
}

async fn a_hostile_inventory_is_refused_and_a_box_can_only_add(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    let good = serde_json::to_value(inventory(&["ct/101"])).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        serde_json::to_vec(&changed).unwrap()
    };
    let groups = |count: usize| -> Value { (0..count).map(|_| json!(0)).collect() };
    for (what, text) in [
        ("nothing", Vec::new()),
        ("no JSON", b"{".to_vec()),
        ("a secret's field", with(&|it| it["password"] = "x".into())),
        ("a server", with(&|it| it["sources"][0]["server"] = "pbs.example".into())),
        ("an escape as an id", with(&|it| it["sources"][0]["id"] = "\u{1b}[2J".into())),
        ("a path as a group", with(&|it| it["sources"][0]["groups"][0]["group"] = "ct/../x".into())),
        ("a path as an archive", with(&|it| it["sources"][0]["groups"][0]["archives"] = json!(["/etc"]))),
        ("a list without end", with(&|it| it["sources"][0]["groups"] = groups(10_001))),
        ("a long name", with(&|it| it["guests"] = json!([{"group": "ct/1", "name": "x".repeat(65), "covered": true}]))),
        ("two texts", [with(&|_| ()), with(&|_| ())].concat()),
        ("a key twice", String::from_utf8(with(&|_| ())).unwrap().replace("\"v\":1", "\"v\":1,\"v\":1").into_bytes()),
    ] {
        println!("{what}");
        expect_problem(try_say(&machine, 1, text).await, ProblemCode::BadRequest).await;
    }
    expect_problem(try_say(&machine, 1, vec![b' '; MAX_HOLDINGS_BYTES + 1]).await, ProblemCode::TooLarge).await;
    // A name may hold anything: whoever shows it makes it harmless, and nothing of it is in the directive.
    let named = with(&|it| {
        it["guests"] = json!([{"group": "ct/101", "name": "\u{1b}[2J\u{202e}\u{0}", "covered": true}]);
    });
    for version in ["0", "2", "newest", "01", "-1", "18446744073709551616"] {
        let path = machine.of_box(&format!("/versions/{version}/inventory"));
        expect_problem(machine.try_push_text(&path, named.clone()).await, ProblemCode::NotFound).await;
    }
    let path = machine.of_box("/versions/1/inventory");
    expect_problem(other.try_push_text(&path, named.clone()).await, ProblemCode::Forbidden).await;
    assert_eq!(try_say(&machine, 1, named).await.status(), StatusCode::CREATED);
    let newest = stored(hub, box_id, "newest").await;
    assert!(!serde_json::to_string(&newest).unwrap().contains("2J"));

    for path in ["/versions/1/inventory", "/inventory", "/directive"] {
        for method in [Method::DELETE, Method::PUT, Method::PATCH] {
            expect_problem(machine.send(method, &machine.of_box(path)).await, ProblemCode::MethodNotAllowed).await;
        }
    }
    // Nor can anybody past the hub's own code.
    let pool = hub.sql().await;
    for (table, column) in [("inventories", "version"), ("directives", "number")] {
        for sql in [
            format!("DELETE FROM {table}"),
            format!("UPDATE {table} SET {column} = 9"),
            format!("INSERT INTO {table} SELECT * FROM {table}"),
        ] {
            let done = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).execute(&pool).await;
            assert!(done.is_err(), "{sql}");
        }
    }
}

async fn a_version_has_one_inventory_and_a_late_one_changes_nothing(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    push(&machine, 2).await;
    says(&machine, 2, &["ct/102"]).await;
    let same = try_say(&machine, 2, serde_json::to_vec(&inventory(&["ct/102"])).unwrap()).await;
    assert_eq!(same.status(), StatusCode::OK);
    let other = try_say(&machine, 2, serde_json::to_vec(&inventory(&["ct/109"])).unwrap()).await;
    expect_problem(other, ProblemCode::Conflict).await;
    says(&machine, 1, &["ct/101"]).await;
    assert_eq!(listed(hub, box_id).await, [(1, Origin::Automatic)]);
    assert_eq!(groups(&stored(hub, box_id, "newest").await.directive), ["ct/102"]);
    let text = machine.get(&machine.of_box("/inventory")).await.text().await.unwrap();
    assert_eq!(serde_json::from_str::<InventoryReply>(&text).unwrap().version.get(), 2);
}

async fn a_revoked_box_says_nothing_more(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    Operator::of(hub).arm(box_id, |request| request.stolen = true).await;
    let response = try_say(&machine, 1, serde_json::to_vec(&inventory(&["ct/101"])).unwrap()).await;
    expect_problem(response, ProblemCode::CertificateRevoked).await;
    assert_eq!(listed(hub, box_id).await, []);
}

/// Triggers are for our own code. Whoever has the disk can drop them, and is found out by the hash.
async fn what_a_disk_was_made_to_say_is_not_passed_on(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    says(&machine, 1, &["ct/101"]).await;
    edits(hub, box_id, &only(1, "ct/101")).await;
    let pool = hub.sql().await;
    let drops: &[&str] = match hub.backend() {
        tenwords_hub::store::Backend::Postgres => &[
            "DROP TRIGGER directives_append_only ON directives",
            "DROP TRIGGER inventories_append_only ON inventories",
        ],
        tenwords_hub::store::Backend::Sqlite => {
            &["DROP TRIGGER directives_no_update", "DROP TRIGGER inventories_no_update"]
        }
    };
    for sql in drops.iter().chain(&[
        "UPDATE directives SET body = REPLACE(body, '201', '202')",
        "UPDATE inventories SET body = REPLACE(body, 'ct/101', 'ct/102')",
    ]) {
        sqlx::query(*sql).execute(&pool).await.unwrap();
    }
    for path in ["/directive", "/inventory"] {
        expect_problem(machine.get(&machine.of_box(path)).await, ProblemCode::Internal).await;
    }
}
