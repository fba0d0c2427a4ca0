//! A box is no more: everything that speaks for it ends, and nothing of it is deleted before the days that were stated
//! are over.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use tenwords_hub::{
    clock::Clock as _,
    store::{LetGo, Stand},
};
use tenwords_protocol::{
    bounded::Text,
    boxes::{ChangeBoxRequest, RetireRequest, ReviveRequest},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};

use crate::support::{Machine, Operator, TestHub, Words, enrolled_box, expect_problem, on_both_databases, update};

on_both_databases![
    s15_a_retired_box_is_told_so_on_an_open_connection_and_nothing_is_deleted,
    what_was_retired_by_mistake_is_a_box_again,
    a_box_has_a_customer_or_none,
    the_history_of_a_retired_box_goes_once_its_days_are_over_and_by_nothing_else,
];

async fn retire(operator: &Operator, box_id: BoxId, keep_days: u32) -> Response {
    let request = RetireRequest { v: V1, reason: "sold".to_owned(), keep_days };
    operator.send(Method::POST, &format!("/v1/boxes/{box_id}/retirement"), Some(&request)).await
}

async fn s15_a_retired_box_is_told_so_on_an_open_connection_and_nothing_is_deleted(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    let (enrolment, recovery) = (operator.ticket(box_id).await, operator.arm(box_id, |_| ()).await);
    assert!(machine.reads().await);
    for days in [0, 29, u32::MAX] {
        expect_problem(retire(&operator, box_id, days).await, ProblemCode::BadRequest).await;
    }
    assert_eq!(retire(&operator, box_id, 400).await.status(), StatusCode::CREATED);
    assert_eq!(retire(&operator, box_id, 30).await.status(), StatusCode::OK, "the first word stands");
    let refused = expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::BoxRetired).await;
    assert!(refused.problem.detail.unwrap().contains("retired"));
    expect_problem(machine.try_push(&update(box_id, 2, Words(1))).await, ProblemCode::BoxRetired).await;
    let new = Machine::new(hub);
    expect_problem(new.try_enroll(&enrolment).await, ProblemCode::TicketRefused).await;
    expect_problem(new.try_claim(&recovery).await, ProblemCode::TicketRefused).await;
    expect_problem(operator.try_arm(box_id, |_| ()).await, ProblemCode::BoxRetired).await;
    assert!(other.reads().await);
    // A clock that says that it is ten years later lets nothing go.
    hub.clock.forward(3650 * 86_400);
    hub.restart().await;
    let shown = Operator::of(hub).show(box_id).await;
    let retired = shown.retired.unwrap();
    assert_eq!((shown.versions, shown.nodes.len(), retired.keep_days, retired.reason.as_str()), (1, 0, 400, "sold"));
    assert_eq!(hub.audited("box.retire").await.len(), 1);
    assert_eq!(hub.audited("request.revoked").await.len(), 2);
}

async fn what_was_retired_by_mistake_is_a_box_again(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    retire(&operator, box_id, 30).await;
    let path = format!("/v1/boxes/{box_id}/retirement");
    let request = ReviveRequest { v: V1, reason: "it was another".to_owned() };
    for _ in 0..2 {
        let response = operator.send(Method::DELETE, &path, Some(&request)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(operator.show(box_id).await.retired, None);
    // No certificate comes back by it.
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::BoxRetired).await;
    let mut new = Machine::new(hub);
    assert_eq!(Some(new.enroll(hub, &operator.ticket(box_id).await).await.node_id), machine.node_id);
    let mut recovered = Machine::new(hub);
    recovered.claim(hub, &operator.arm(box_id, |_| ()).await).await;
    assert!(recovered.prove(hub, Words(1), 1).await.is_box);
    assert_eq!(hub.audited("box.revive").await, ["it was another"]);
    let nobody = format!("/v1/boxes/{}/retirement", BoxId::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng)));
    expect_problem(operator.send(Method::DELETE, &nobody, Some(&request)).await, ProblemCode::NotFound).await;
}

async fn a_box_has_a_customer_or_none(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let change = async |customer: Option<&str>| {
        let request = ChangeBoxRequest { v: V1, customer: customer.map(Text::cut) };
        operator.send(Method::PATCH, &format!("/v1/boxes/{box_id}"), Some(&request)).await
    };
    for (said, shown) in [("Müller KG", Some("Müller KG")), ("Müller KG", Some("Müller KG")), ("", None)] {
        assert_eq!(change(Some(said)).await.status(), StatusCode::NO_CONTENT);
        let customer = operator.show(box_id).await.customer;
        assert_eq!(customer.as_ref().map(Text::as_str), shown);
    }
    assert_eq!(hub.audited("box.change").await, ["customer Müller KG", "no customer"]);
    for wrong in [None, Some(" x"), Some("x\ny"), Some("\u{1b}[31m")] {
        expect_problem(change(wrong).await, ProblemCode::BadRequest).await;
    }
}

/// One more day on which the hub is up.
async fn a_day(hub: &TestHub) {
    hub.clock.forward(86_400);
    hub.store().await.perform(Stand { found: Vec::new(), now: hub.clock.now() }).await.unwrap();
}

async fn the_history_of_a_retired_box_goes_once_its_days_are_over_and_by_nothing_else(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other, _) = enrolled_box(hub, "beta", Words(2)).await;
    retire(&operator, box_id, 30).await;
    let (sql, of) = (hub.sql().await, box_id.to_string());
    let tries = [
        "DELETE FROM versions WHERE box_id = $1",
        "DELETE FROM parts WHERE box_id = $1",
        "UPDATE boxes SET let_go_at = 9999999999 WHERE box_id = $1",
        "UPDATE boxes SET keep_days = 1 WHERE box_id = $1",
        "UPDATE boxes SET retired_position = -40 WHERE box_id = $1",
        "UPDATE boxes SET retired_at = 0 WHERE box_id = $1",
    ];
    for day in 1..30 {
        a_day(hub).await;
        let store = hub.store().await;
        assert!(store.to_be_let_go(hub.clock.now()).await.unwrap().is_empty(), "on day {day}");
        assert!(!store.perform(LetGo { box_id, now: hub.clock.now() }).await.unwrap(), "on day {day}");
    }
    // Neither a clock nor a hand is in the place of a day on which the hub was up.
    let late = LetGo { box_id, now: hub.clock.now().plus(Duration::from_secs(3650 * 86_400)) };
    assert!(!hub.store().await.perform(late).await.unwrap());
    for try_it in tries {
        assert!(sqlx::query(try_it).bind(&of).execute(&sql).await.is_err(), "{try_it}");
    }
    assert_eq!(Operator::of(hub).show(box_id).await.versions, 1);
    a_day(hub).await;
    // A clock that was set back is no later day.
    hub.clock.back(86_400);
    let store = hub.store().await;
    assert!(store.to_be_let_go(hub.clock.now()).await.unwrap().is_empty());
    hub.clock.forward(86_400);
    assert_eq!(store.to_be_let_go(hub.clock.now()).await.unwrap(), [box_id]);
    drop(store);
    // The hub does it by itself, and says so.
    hub.restart().await;
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while hub.audited("box.let-go").await.is_empty() {
        assert!(std::time::Instant::now() < until, "it lets nothing go");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gone = hub.audited("box.let-go").await;
    assert!(gone.len() == 1 && gone[0].contains("1 versions"), "{gone:?}");
    let operator = Operator::of(hub);
    let shown = operator.show(box_id).await;
    assert!(shown.versions == 0 && shown.newest.is_none() && shown.retired.unwrap().let_go_at.is_some());
    assert_eq!(operator.show(other).await.versions, 1);
    // What has gone does not come back, and what is there stays.
    let request = ReviveRequest { v: V1, reason: "it was another".to_owned() };
    let path = format!("/v1/boxes/{box_id}/retirement");
    expect_problem(operator.send(Method::DELETE, &path, Some(&request)).await, ProblemCode::BoxRetired).await;
    assert!(sqlx::query(tries[0]).bind(other.to_string()).execute(&hub.sql().await).await.is_err());
    let undone = "UPDATE boxes SET let_go_at = NULL WHERE box_id = $1";
    assert!(sqlx::query(undone).bind(&of).execute(&hub.sql().await).await.is_err());
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}
