//! Pins statements: one text of an operator for every box.

use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tenwords_protocol::{
    bytes::Base64,
    operators::Pins,
    orders::{MAX_PINS, PinsList, PinsRequest, pins_sha256},
    problem::ProblemCode,
    v1::V1,
};

use crate::support::{Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases};

on_both_databases![
    a_statement_reaches_every_box_as_it_came,
    what_is_no_statement_is_refused,
    so_many_statements_are_taken_and_listed,
    an_ended_statement_is_listed_no_more_and_may_come_again,
];

fn pins(statement: &[u8], signature: &str) -> Pins {
    Pins { v: V1, statement: Base64(statement.to_vec()), signature: signature.to_owned() }
}

async fn add(hub: &TestHub, pins: &Pins) -> Response {
    Operator::of(hub).send(Method::POST, "/v1/pins", Some(&PinsRequest { v: V1, pins: pins.clone() })).await
}

async fn end(hub: &TestHub, pins: &Pins) -> Response {
    let path = format!("/v1/pins/{}", pins_sha256(pins).unwrap());
    Operator::of(hub).send(Method::DELETE, &path, None::<&()>).await
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

async fn so_many_statements_are_taken_and_listed(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // It is noon.
    for number in 0..MAX_PINS {
        if number > 0 && number % 16 == 0 {
            let refused = expect_problem(add(hub, &pins(b"x", "more")).await, ProblemCode::RateLimited).await;
            let left = if number == 16 { 12 * 3600 } else { 86_400 };
            assert_eq!(refused.retry_after, Some(left));
            hub.clock.forward(left);
        }
        assert_eq!(add(hub, &pins(b"x", &format!("{number}"))).await.status(), StatusCode::CREATED);
    }
    hub.clock.forward(86_400);
    let refused = expect_problem(add(hub, &pins(b"x", "more")).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, None);
    assert_eq!(add(hub, &pins(b"x", "7")).await.status(), StatusCode::OK);
    assert_eq!(of_box(&machine).await.len(), MAX_PINS);
    // One that is ended makes room for one.
    assert_eq!(end(hub, &pins(b"x", "7")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(add(hub, &pins(b"x", "more")).await.status(), StatusCode::CREATED);
    expect_problem(add(hub, &pins(b"x", "7")).await, ProblemCode::RateLimited).await;
    let listed = of_box(&machine).await;
    assert_eq!((listed.len(), listed.last()), (MAX_PINS, Some(&pins(b"x", "more"))));
}

/// Whoever has taken a token can fill the list, and can empty it; neither is for good.
async fn an_ended_statement_is_listed_no_more_and_may_come_again(hub: &mut TestHub) {
    let (_, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // The same statement under another signature is another one.
    let (good, forged, later) = (pins(b"one", "good"), pins(b"one", "forged"), pins(b"two", "good"));
    for pins in [&good, &forged, &later] {
        assert_eq!(add(hub, pins).await.status(), StatusCode::CREATED);
    }
    for _ in 0..2 {
        assert_eq!(end(hub, &forged).await.status(), StatusCode::NO_CONTENT);
        assert_eq!(of_box(&machine).await, [good.clone(), later.clone()]);
    }
    assert_eq!(end(hub, &good).await.status(), StatusCode::NO_CONTENT);
    hub.restart().await;
    machine.again(hub);
    assert_eq!(of_box(&machine).await, std::slice::from_ref(&later));
    assert_eq!(add(hub, &good).await.status(), StatusCode::CREATED);
    assert_eq!(add(hub, &good).await.status(), StatusCode::OK);
    assert_eq!(of_box(&machine).await, [later.clone(), good.clone()]);
    let response = Operator::of(hub).send(Method::GET, "/v1/pins", None::<&()>).await;
    assert_eq!(expect::<PinsList>(response, StatusCode::OK).await.pins.to_vec(), [later, good.clone()]);

    expect_problem(end(hub, &pins(b"none", "")).await, ProblemCode::NotFound).await;
    let operator = Operator::of(hub);
    for hash in ["x".to_owned(), pins_sha256(&good).unwrap().to_string().to_uppercase()] {
        let response = operator.send(Method::DELETE, &format!("/v1/pins/{hash}"), None::<&()>).await;
        expect_problem(response, ProblemCode::NotFound).await;
    }
    let said = [
        format!("statement 2, {}", pins_sha256(&forged).unwrap()),
        format!("statement 1, {}", pins_sha256(&good).unwrap()),
    ];
    assert_eq!(hub.audited("pins.ended").await, said);
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}
