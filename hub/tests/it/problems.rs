//! Whatever is refused is refused by a problem document, axum's own refusals included.

use reqwest::Method;
use serde_json::json;
use tenwords_protocol::problem::ProblemCode;

use crate::support::{Machine, Operator, Place, TestHub, Words, enrolled_box, expect_problem};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_a_problem_document() {
    let hub = TestHub::start(Place::sqlite()).await;
    let (box_id, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let nobody = Machine::new(&hub);
    let operator = Operator::of(&hub);
    for path in ["/", "/v1", "/v2/enroll", "/v1/boxes", "/v1/enroll/", "/metrics", "/v1/boxes/x"] {
        expect_problem(nobody.get(path).await, ProblemCode::NotFound).await;
    }
    for path in ["/v1/enroll", "/v1/recovery/claim", "/v1/recovery/prove"] {
        expect_problem(nobody.get(path).await, ProblemCode::MethodNotAllowed).await;
    }
    for (path, bodies) in [
        ("/v1/enroll", ["", "{", "[]", "{\"v\":2}"]),
        ("/v1/recovery/claim", ["x", "null", "{\"v\":1}", "{\"v\":1,\"v\":1}"]),
    ] {
        for body in bodies {
            let response = nobody.client.post(nobody.url(path)).body(body).send().await.unwrap();
            expect_problem(response, ProblemCode::BadRequest).await;
        }
        hub.clock.forward(600);
    }
    let response = nobody.client.post(nobody.url("/v1/enroll")).body(vec![b' '; 70_000]).send().await.unwrap();
    expect_problem(response, ProblemCode::TooLarge).await;
    let response = machine.client.post(machine.url("/v1/recovery/prove")).body("{}").send().await.unwrap();
    expect_problem(response, ProblemCode::BadRequest).await;

    expect_problem(operator.send(Method::GET, "/v1/enroll", None::<&()>).await, ProblemCode::NotFound).await;
    expect_problem(operator.send(Method::PUT, "/v1/boxes", None::<&()>).await, ProblemCode::MethodNotAllowed).await;
    let bodies = [
        json!({}),
        json!({"v": 1, "box_id": "ABC", "name": "x"}),
        json!({"v": 1, "box_id": box_id, "name": "x", "more": 1}),
        json!({"v": 1, "box_id": box_id, "name": null}),
        json!({"v": 1, "box_id": box_id, "name": 1.5}),
    ];
    for body in bodies {
        let response = operator.send(Method::POST, "/v1/boxes", Some(&body)).await;
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    for path in ["/v1/boxes/not-an-id/recovery", "/v1/boxes/%ff/recovery"] {
        let response = operator.send(Method::DELETE, path, None::<&()>).await;
        expect_problem(response, ProblemCode::NotFound).await;
    }
}

/// What a caller typed does not come back in an answer, and a ticket's secret least of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_does_not_repeat_what_was_sent() {
    let hub = TestHub::start(Place::sqlite()).await;
    let nobody = Machine::new(&hub);
    let body = json!({"v": 1, "ticket": {"MARK": "MARK"}, "csr": "MARK", "hostname": ["MARK"]});
    let response = nobody.client.post(nobody.url("/v1/enroll")).json(&body).send().await.unwrap();
    let refused = expect_problem(response, ProblemCode::BadRequest).await;
    assert!(!format!("{:?}", refused.problem).contains("MARK"), "{:?}", refused.problem);
    assert_eq!(refused.status.as_u16(), 400);
}
