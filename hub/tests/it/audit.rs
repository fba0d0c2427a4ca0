//! The audit: a chain that shows what was changed behind the hub's back.

use sqlx::{AssertSqlSafe, Row as _};
use tenwords_hub::store::{Backend, Store, StoreError};
use tenwords_protocol::audit::{AuditError, AuditRow, verify};

use crate::support::{Operator, TestHub, Words, ceremony, enrolled_box, on_both_databases};

on_both_databases![
    every_act_has_its_row_and_the_chain_holds,
    a_changed_row_breaks_the_chain,
    a_hub_does_not_start_on_a_changed_last_row,
];

async fn every_act_has_its_row_and_the_chain_holds(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    machine.push(&ceremony(box_id, 2, Words(1))).await;
    Operator::of(hub).arm(box_id, |_| ()).await;
    Operator::of(hub).disarm(box_id).await;
    let store = hub.store().await;
    let rows = store.audit_after(0, 100).await.unwrap();
    let acts: Vec<_> = rows.iter().map(|row| (row.actor.as_str(), row.action.as_str())).collect();
    let node = format!("node:{}", machine.node_id.unwrap());
    assert_eq!(
        acts,
        [
            ("hub", "operator.add"),
            ("operator:admin", "box.add"),
            (&node, "box.enroll"),
            (&node, "version.push"),
            (&node, "version.push"),
            ("operator:admin", "recovery.arm"),
            ("operator:admin", "recovery.disarm"),
        ]
    );
    let last = rows.last().unwrap();
    let head = store.verify_audit().await.unwrap().unwrap();
    assert_eq!(head, (last.seq, last.hash));
    // Who has kept an earlier head checks from there.
    assert_eq!(verify((rows[2].seq, rows[2].hash), &rows[3..]).unwrap(), head);
    assert!(matches!(verify((0, AuditRow::FIRST_PREVIOUS), &rows[1..]), Err(AuditError::Broken { seq: 2 })));
}

async fn a_changed_row_breaks_the_chain(hub: &mut TestHub) {
    enrolled_box(hub, "alpha", Words(1)).await;
    let store = hub.store().await;
    assert!(store.verify_audit().await.unwrap().is_ok());
    let sql = hub.sql().await;
    disable_guards(hub.backend(), &sql).await;
    for (change, undo, broken) in [
        (
            "UPDATE audit SET detail = 'nothing of interest' WHERE seq = 2",
            "UPDATE audit SET detail = $1 WHERE seq = 2",
            2,
        ),
        ("UPDATE audit SET actor = 'operator:other' WHERE seq = 3", "UPDATE audit SET actor = $1 WHERE seq = 3", 3),
    ] {
        let column = if change.contains("detail") { "detail" } else { "actor" };
        let select = format!("SELECT {column} FROM audit WHERE seq = {broken}");
        let before: String = sqlx::query(AssertSqlSafe(select)).fetch_one(&sql).await.unwrap().try_get(column).unwrap();
        sqlx::query(change).execute(&sql).await.unwrap();
        let found = store.verify_audit().await.unwrap();
        assert!(matches!(found, Err(AuditError::Broken { seq }) if seq == broken), "{change}: {found:?}");
        sqlx::query(undo).bind(before).execute(&sql).await.unwrap();
        assert!(store.verify_audit().await.unwrap().is_ok());
    }
    // A row that is gone.
    sqlx::query("DELETE FROM audit WHERE seq = 2").execute(&sql).await.unwrap();
    assert!(matches!(store.verify_audit().await.unwrap(), Err(AuditError::Broken { seq: 3 })));
}

async fn a_hub_does_not_start_on_a_changed_last_row(hub: &mut TestHub) {
    enrolled_box(hub, "alpha", Words(1)).await;
    let sql = hub.sql().await;
    disable_guards(hub.backend(), &sql).await;
    let change = "UPDATE audit SET detail = 'changed' WHERE seq = (SELECT MAX(seq) FROM audit)";
    sqlx::query(change).execute(&sql).await.unwrap();
    let opened = Store::open(&hub.location(), &hub.hub_id).await;
    assert!(matches!(opened, Err(StoreError::AuditTail)), "{opened:?}");
}

/// What somebody does who owns the database.
async fn disable_guards(backend: Backend, sql: &sqlx::AnyPool) {
    let change = match backend {
        Backend::Postgres => "ALTER TABLE audit DISABLE TRIGGER USER",
        Backend::Sqlite => "DROP TRIGGER audit_no_update",
    };
    sqlx::query(change).execute(sql).await.unwrap();
    if backend == Backend::Sqlite {
        sqlx::query("DROP TRIGGER audit_no_delete").execute(sql).await.unwrap();
    }
}
