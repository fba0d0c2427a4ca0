//! The store's conformance suite, the same on both databases.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sqlx::AssertSqlSafe;
use tenwords_hub::clock::Clock as _;
use tenwords_hub::store::{
    AddOperator, AddPins, AddPinsOutcome, Ask, AskOutcome, Backend, EndPins, EndPinsOutcome, FORMAT, GiveAnswer,
    GiveAnswerOutcome, Location, Push, PushOutcome, SqliteSetting, Store, StoreError, Tell, TellOutcome,
};
use tenwords_protocol::{
    bounded::Text,
    bytes::Base64,
    operators::Pins,
    orders::{OutcomeKind, pins_sha256},
    v1::V1,
};

use crate::support::{Machine, TestHub, Words, ceremony, enrolled_box, on_both_databases, update};

on_both_databases![
    what_is_append_only_refuses_direct_sql,
    an_act_that_fails_takes_nothing_of_its_neighbours_with_it,
    two_writers_give_every_version_a_number_of_its_own,
    a_store_of_another_hub_is_refused,
    a_newer_store_is_refused,
    a_store_from_before_the_first_release_is_refused,
    an_emptied_store_is_refused,
    a_new_hub_wants_an_empty_database,
    commits_are_on_the_disk,
    a_damaged_part_is_not_handed_out,
];

/// Wall 6, the database's half.
async fn what_is_append_only_refuses_direct_sql(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    machine.drill(hub, Words(1), None).await;
    an_order_and_pins(hub, &machine).await;
    let sql = hub.sql().await;
    let mut attempts = vec![
        "UPDATE versions SET received_at = 0",
        "UPDATE versions SET header = '' WHERE number = 1",
        "DELETE FROM versions",
        "UPDATE parts SET body = $1",
        "DELETE FROM parts WHERE name = 'root.age'",
        "UPDATE drills SET recorded_at = recorded_at + 1",
        "DELETE FROM drills",
        "UPDATE orders SET expires_at = expires_at + 1",
        "UPDATE orders SET body = $1",
        "DELETE FROM orders",
        "UPDATE answers SET body = $1",
        "DELETE FROM answers",
        "UPDATE outcomes SET kind = 'withdrawn'",
        "DELETE FROM outcomes",
        "UPDATE pins SET body = ''",
        "DELETE FROM pins",
        "UPDATE pins_ended SET ended_at = ended_at + 1",
        "DELETE FROM pins_ended",
        "UPDATE audit SET detail = ''",
        "DELETE FROM audit WHERE seq = 1",
    ];
    let of_backend: &[&str] = match hub.backend() {
        Backend::Postgres => &[
            "TRUNCATE versions CASCADE",
            "TRUNCATE parts",
            "TRUNCATE drills",
            "INSERT INTO drills SELECT * FROM drills ON CONFLICT (nonce) DO UPDATE SET request = ''",
            "TRUNCATE orders CASCADE",
            "TRUNCATE answers",
            "TRUNCATE outcomes",
            "TRUNCATE pins CASCADE",
            "TRUNCATE pins_ended",
            "INSERT INTO orders SELECT * FROM orders ON CONFLICT (position) DO UPDATE SET expires_at = 0",
            "INSERT INTO pins SELECT * FROM pins ON CONFLICT (number) DO UPDATE SET body = ''",
            "TRUNCATE audit",
            "INSERT INTO audit SELECT * FROM audit ON CONFLICT (seq) DO UPDATE SET detail = ''",
        ],
        Backend::Sqlite => &[
            "REPLACE INTO versions SELECT box_id, number, kind, 0, '', '' FROM versions",
            "REPLACE INTO parts SELECT box_id, number, name, 0, '', 0, x'' FROM parts",
            "REPLACE INTO drills SELECT box_id, number, kind, version, 0, serial, nonce, '' FROM drills",
            "REPLACE INTO drills SELECT box_id, number + 1, kind, version, 0, serial, nonce, '' FROM drills",
            "REPLACE INTO orders SELECT box_id, sha256, position + 1, node_id, serial, 0, 0, x'' FROM orders",
            "REPLACE INTO orders SELECT box_id, 'x', position, node_id, serial, 0, 0, x'' FROM orders",
            "REPLACE INTO answers SELECT box_id, number, sha256, 0, '', x'' FROM answers",
            "REPLACE INTO outcomes SELECT box_id, sha256, number, 0, 'done', 0, x'' FROM outcomes",
            "REPLACE INTO pins SELECT number, 'x', 0, '', '' FROM pins",
            "REPLACE INTO pins_ended SELECT number, 0, '' FROM pins_ended",
            "REPLACE INTO audit SELECT seq, 0, '', '', NULL, '', previous, '' FROM audit",
            "INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT (seq) DO UPDATE SET detail = ''",
        ],
    };
    attempts.extend(of_backend);
    let before = everything(&sql).await;
    for attempt in attempts {
        let query = sqlx::query(attempt);
        let query = if attempt.contains("$1") { query.bind(Vec::<u8>::new()) } else { query };
        // By the guard itself, and not because another table happens to refer to the row.
        let refused = query.execute(&sql).await.unwrap_err().to_string();
        assert!(refused.contains("is append-only"), "{attempt}: {refused}");
        assert_eq!(everything(&sql).await, before, "{attempt}");
    }
    assert!(sqlx::query("DELETE FROM boxes").execute(&sql).await.is_err());
}

/// One row of each.
async fn an_order_and_pins(hub: &TestHub, machine: &Machine) {
    let (store, now) = (hub.store().await, hub.clock.now());
    let (box_id, node_id, serial) = (machine.box_id.unwrap(), machine.node_id.unwrap(), machine.serial());
    let expires_at = now.plus(Duration::from_secs(60));
    let asked = Ask { text: b"an order".to_vec(), expires_at, serial: serial.clone(), node_id, box_id, now };
    let asked = store.perform(asked).await.unwrap();
    let AskOutcome::Asked(order) = asked else { panic!("{asked:?}") };
    let operator = "admin".to_owned();
    let given = GiveAnswer { box_id, order, signature: Text::cut("x"), operator: operator.clone(), now };
    assert!(matches!(store.perform(given).await.unwrap(), GiveAnswerOutcome::Stored(_)));
    let (outcome, said) = (OutcomeKind::Refused, Text::cut("no"));
    let told = Tell { order, outcome, said, serial, node_id, box_id, now };
    assert_eq!(store.perform(told).await.unwrap(), TellOutcome::Told);
    let pins = Pins { v: V1, statement: Base64(vec![0]), signature: "x".to_owned() };
    let sha256 = pins_sha256(&pins).unwrap();
    let added = store.perform(AddPins { pins, operator: operator.clone(), now }).await.unwrap();
    assert_eq!(added, AddPinsOutcome::Added);
    assert_eq!(store.perform(EndPins { sha256, operator, now }).await.unwrap(), EndPinsOutcome::Ended);
}

async fn everything(sql: &sqlx::AnyPool) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for table in
        ["versions", "parts", "drills", "orders", "answers", "outcomes", "pins", "pins_ended", "audit", "boxes"]
    {
        let length = match table {
            "versions" => "LENGTH(header) + received_at",
            "parts" => "LENGTH(body) + size",
            "drills" => "LENGTH(request) + recorded_at",
            "orders" => "LENGTH(body) + expires_at",
            "answers" => "LENGTH(body) + answered_at",
            "outcomes" => "LENGTH(kind) + told_at",
            "pins" => "LENGTH(body) + added_at",
            "pins_ended" => "LENGTH(ended_by) + ended_at",
            "audit" => "LENGTH(detail) + time",
            _ => "LENGTH(name)",
        };
        let select = format!("SELECT CAST(COUNT(*) * 1000000 + SUM({length}) AS BIGINT) FROM {table}");
        found.push((table.to_owned(), sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(sql).await.unwrap()));
    }
    found
}

async fn an_act_that_fails_takes_nothing_of_its_neighbours_with_it(hub: &mut TestHub) {
    let store = Arc::new(hub.store().await);
    let now = hub.clock.now();
    // Names stand once: of these acts, sent all at once, every second one must fail.
    let acts = (0..40_u32).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let name = format!("operator {}", i / 2);
            store.perform(AddOperator { name, role: "admin", token_hash: format!("{i}"), now }).await
        })
    });
    let mut done = 0;
    for act in acts.collect::<Vec<_>>() {
        match act.await.unwrap() {
            Ok(()) => done += 1,
            Err(error) => assert!(matches!(error, StoreError::Database(_)), "{error:?}"),
        }
    }
    assert_eq!(done, 20);
    assert_eq!(store.operators().await.unwrap().len(), 21);
    // What failed has left no row in the audit either.
    assert_eq!(hub.audited("operator.add").await.len(), 21);
    assert!(store.verify_audit().await.unwrap().is_ok());
}

async fn two_writers_give_every_version_a_number_of_its_own(hub: &mut TestHub) {
    let (alpha, a) = enrolled_box(hub, "alpha", Words(1)).await;
    let (beta, b) = enrolled_box(hub, "beta", Words(2)).await;
    let stores = [Arc::new(hub.store().await), Arc::new(hub.store().await)];
    let now = hub.clock.now();
    let (a, b) = (a.serial(), b.serial());
    let mut tasks = Vec::new();
    for sequence in 2..=11 {
        for (box_id, serial) in [(alpha, &a), (beta, &b)] {
            for (which, store) in stores.iter().enumerate() {
                let bundle = match which {
                    0 => ceremony(box_id, sequence, Words(1)),
                    _ => update(box_id, sequence, Words(1)),
                };
                let (store, serial) = (Arc::clone(store), serial.clone());
                tasks.push(tokio::spawn(async move {
                    let push = Push::new(bundle, serial, "node:test".to_owned(), now).unwrap();
                    (box_id, store.perform(push).await.unwrap())
                }));
            }
        }
    }
    let mut numbers = BTreeSet::new();
    for task in tasks {
        let (box_id, outcome) = task.await.unwrap();
        let PushOutcome::Stored(number, _) = outcome else { panic!("{outcome:?}") };
        assert!(numbers.insert((box_id, number.get())), "{number} was given twice");
    }
    let expected = [alpha, beta].into_iter().flat_map(|id| (2..=21).map(move |number| (id, number)));
    assert_eq!(numbers, expected.collect());
    assert!(stores[0].verify_audit().await.unwrap().is_ok());
}

async fn a_store_of_another_hub_is_refused(hub: &mut TestHub) {
    let opened = Store::open(&hub.location(), "0123456789abcdef0123456789abcdef").await;
    assert!(matches!(opened, Err(StoreError::Foreign { .. })), "{opened:?}");
}

async fn a_newer_store_is_refused(hub: &mut TestHub) {
    let sql = hub.sql().await;
    sqlx::query("UPDATE hub SET format = format + 1").execute(&sql).await.unwrap();
    let opened = Store::open(&hub.location(), &hub.hub_id).await;
    assert!(matches!(opened, Err(StoreError::Newer { found }) if found == FORMAT + 1), "{opened:?}");
}

async fn a_store_from_before_the_first_release_is_refused(hub: &mut TestHub) {
    let sql = hub.sql().await;
    sqlx::query("UPDATE hub SET format = 1").execute(&sql).await.unwrap();
    let opened = Store::open(&hub.location(), &hub.hub_id).await;
    assert!(matches!(opened, Err(StoreError::Older { found: 1 })), "{opened:?}");
}

async fn an_emptied_store_is_refused(hub: &mut TestHub) {
    let location = match hub.backend() {
        Backend::Postgres => {
            let sql = hub.sql().await;
            sqlx::query("DROP SCHEMA public CASCADE").execute(&sql).await.unwrap();
            sqlx::query("CREATE SCHEMA public").execute(&sql).await.unwrap();
            hub.location()
        }
        Backend::Sqlite => {
            let empty = hub.dir.path().join("empty.db");
            std::fs::write(&empty, b"").unwrap();
            Location::embedded(&empty)
        }
    };
    let opened = Store::open(&location, &hub.hub_id).await;
    assert!(matches!(opened, Err(StoreError::Empty)), "{opened:?}");
}

async fn a_new_hub_wants_an_empty_database(hub: &mut TestHub) {
    let made = Store::create(&hub.location(), "0123456789abcdef0123456789abcdef", hub.clock.now()).await;
    assert!(matches!(made, Err(StoreError::NotEmpty)), "{made:?}");
    hub.store().await;
}

async fn commits_are_on_the_disk(hub: &mut TestHub) {
    if hub.backend() == Backend::Postgres {
        // PostgreSQL's own default is synchronous; the test's server alone runs without fsync.
        let sql = hub.sql().await;
        let value: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&sql).await.unwrap();
        assert_eq!(value, "on");
        return;
    }
    let store = hub.store().await;
    assert_eq!(store.setting(SqliteSetting::Synchronous).await.unwrap(), "2");
    assert_eq!(store.setting(SqliteSetting::Journal).await.unwrap(), "wal");
    assert_eq!(store.setting(SqliteSetting::ForeignKeys).await.unwrap(), "1");
}

async fn a_damaged_part_is_not_handed_out(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let sql = hub.sql().await;
    let disarm = match hub.backend() {
        Backend::Postgres => "ALTER TABLE parts DISABLE TRIGGER USER",
        Backend::Sqlite => "DROP TRIGGER parts_no_update",
    };
    sqlx::query(disarm).execute(&sql).await.unwrap();
    sqlx::query("UPDATE parts SET body = $1 WHERE name = 'root.age'")
        .bind(b"root of sequence 2".to_vec())
        .execute(&sql)
        .await
        .unwrap();
    let response = machine.get(&machine.of_box("/versions/1/parts/root.age")).await;
    crate::support::expect_problem(response, tenwords_protocol::problem::ProblemCode::Internal).await;
}
