//! A box is no more: everything that speaks for it ends, and nothing of it is deleted.

use reqwest::{Method, Response, StatusCode};
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
    // Ten years later, too, everything is there.
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
