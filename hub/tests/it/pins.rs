//! Pins statements: one text of an operator for every box.

use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tenwords_protocol::{
    bytes::Base64,
    operators::Pins,
    orders::{MAX_PINS, PinsList, PinsRequest},
    problem::ProblemCode,
    v1::V1,
};

use crate::support::{Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases};

on_both_databases![
    a_statement_reaches_every_box_as_it_came,
    what_is_no_statement_is_refused,
    so_many_statements_are_kept,
];

fn pins(statement: &[u8], signature: &str) -> Pins {
    Pins { v: V1, statement: Base64(statement.to_vec()), signature: signature.to_owned() }
}

async fn add(hub: &TestHub, pins: &Pins) -> Response {
    Operator::of(hub).send(Method::POST, "/v1/pins", Some(&PinsRequest { v: V1, pins: pins.clone() })).await
}

async fn of_box(machine: &Machine) -> Vec<Pins> {
    let response = machine.get(&machine.of_box("/pins")).await;
    expect::<PinsList>(response, StatusCode::OK).await.pins.to_vec()
}

async fn a_statement_reaches_every_box_as_it_came(hub: &mut TestHub) {
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    assert_eq!(of_box(&machine).await, []);
    let sent =
        [pins(b"two", "no signature"), pins(b"\0\xff", "\0\u{1b}\u{202e}\r\n"), pins(b"", ""), pins(b"two", "another")];
    for pins in &sent {
        assert_eq!(add(hub, pins).await.status(), StatusCode::CREATED);
    }
    for pins in &sent {
        assert_eq!(add(hub, pins).await.status(), StatusCode::OK);
    }
    hub.restart().await;
    machine.again(hub);
    let (_, later) = enrolled_box(hub, "beta", Words(2)).await;
    let ticket = Operator::of(hub).arm(box_id, |_| ()).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    for machine in [&machine, &later, &reader] {
        assert_eq!(of_box(machine).await, sent);
    }
    let response = Operator::of(hub).send(Method::GET, "/v1/pins", None::<&()>).await;
    assert_eq!(expect::<PinsList>(response, StatusCode::OK).await.pins.to_vec(), sent);
    let audited = hub.audited("pins.added").await;
    assert!(audited.len() == 4 && audited[3].starts_with("statement 4, "), "{audited:?}");
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}

async fn what_is_no_statement_is_refused(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let operator = Operator::of(hub);
    for body in [
        json!({}),
        json!({"v": 1}),
        json!({"v": 2, "pins": pins(b"x", "y")}),
        json!({"v": 1, "pins": {"v": 1, "statement": "x", "signature": "y"}}),
        json!({"v": 1, "pins": {"v": 1, "statement": "eA==", "signature": "y", "more": 1}}),
        json!({"v": 1, "pins": pins(b"x", "y"), "box_id": machine.box_id}),
    ] {
        expect_problem(operator.send(Method::POST, "/v1/pins", Some(&body)).await, ProblemCode::BadRequest).await;
    }
    expect_problem(add(hub, &pins(&[7; 64 << 10], "y")).await, ProblemCode::TooLarge).await;
    assert_eq!(of_box(&machine).await, []);
}

async fn so_many_statements_are_kept(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    for number in 0..MAX_PINS {
        assert_eq!(add(hub, &pins(b"x", &format!("{number}"))).await.status(), StatusCode::CREATED);
    }
    expect_problem(add(hub, &pins(b"x", "more")).await, ProblemCode::RateLimited).await;
    assert_eq!(add(hub, &pins(b"x", "7")).await.status(), StatusCode::OK);
    assert_eq!(of_box(&machine).await.len(), MAX_PINS);
}
