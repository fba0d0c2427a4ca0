//! Every route with every kind of caller. A route without a row here turns the first test red.

use std::collections::BTreeSet;

use reqwest::{Method, Response};
use serde_json::json;
use tenwords_hub::routes::{Side, table};
use tenwords_protocol::{id::BoxId, problem::ProblemCode};

use crate::support::{Machine, Operator, Place, TestHub, Words, ceremony, enrolled_box, expect_problem};

/// What a caller may expect of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It is done, or refused for another reason than who asks.
    LetIn,
    /// 401.
    WhoAreYou,
    /// 403, as another box's or as a reader.
    Forbidden,
    /// 403, revoked.
    Revoked,
    /// 403, expired.
    Expired,
}

use Answer::{Expired, Forbidden, LetIn, Revoked, WhoAreYou};

struct Row {
    side: Side,
    method: &'static str,
    path: &'static str,
    /// By: nobody, the box, another box, a revoked, an expired, a recovery certificate.
    agents: [Answer; 6],
    /// By: no token, a wrong token, the admin.
    people: [Answer; 3],
}

const OPEN: [Answer; 6] = [LetIn; 6];
const ANY_CERTIFICATE: [Answer; 6] = [WhoAreYou, LetIn, LetIn, Revoked, Expired, LetIn];
const READER: [Answer; 6] = [WhoAreYou, LetIn, Forbidden, Revoked, Expired, LetIn];
const THE_BOX: [Answer; 6] = [WhoAreYou, LetIn, Forbidden, Revoked, Expired, Forbidden];
/// The one thing for which an ended certificate is good.
const RENEWER: [Answer; 6] = [WhoAreYou, LetIn, Forbidden, Revoked, LetIn, Forbidden];
/// On the people's side a certificate is not even asked for.
const NOT_THERE: [Answer; 6] = [WhoAreYou; 6];
const NO_OPERATORS: [Answer; 3] = [WhoAreYou; 3];
const OPERATOR: [Answer; 3] = [WhoAreYou, WhoAreYou, LetIn];

const ROWS: &[Row] = &[
    agents("POST", "/v1/enroll", OPEN),
    agents("POST", "/v1/recovery/claim", OPEN),
    agents("POST", "/v1/recovery/prove", ANY_CERTIFICATE),
    agents("POST", "/v1/boxes/{box_id}/versions", THE_BOX),
    agents("GET", "/v1/boxes/{box_id}/versions", READER),
    agents("GET", "/v1/boxes/{box_id}/versions/{number}", READER),
    agents("GET", "/v1/boxes/{box_id}/versions/{number}/parts/{*name}", READER),
    agents("POST", "/v1/boxes/{box_id}/versions/{number}/inventory", THE_BOX),
    agents("GET", "/v1/boxes/{box_id}/inventory", READER),
    agents("GET", "/v1/boxes/{box_id}/directive", READER),
    agents("GET", "/v1/boxes/{box_id}/certificates", THE_BOX),
    agents("POST", "/v1/boxes/{box_id}/drills/nonce", THE_BOX),
    agents("POST", "/v1/boxes/{box_id}/drills", THE_BOX),
    agents("POST", "/v1/boxes/{box_id}/orders", THE_BOX),
    agents("GET", "/v1/boxes/{box_id}/answers", THE_BOX),
    agents("POST", "/v1/boxes/{box_id}/orders/{order}/outcome", THE_BOX),
    agents("GET", "/v1/boxes/{box_id}/pins", READER),
    agents("POST", "/v1/boxes/{box_id}/certificate", RENEWER),
    agents("GET", "/v1/boxes/{box_id}/nodes", THE_BOX),
    agents("PUT", "/v1/boxes/{box_id}/keeper", THE_BOX),
    agents("POST", "/v1/boxes/{box_id}/tickets", THE_BOX),
    agents("GET", "/v1/boxes/{box_id}/calls", THE_BOX),
    agents("POST", "/v1/boxes/{box_id}/reports", THE_BOX),
    people("POST", "/v1/boxes"),
    people("GET", "/v1/boxes"),
    people("POST", "/v1/boxes/{box_id}/recovery"),
    people("DELETE", "/v1/boxes/{box_id}/recovery"),
    people("GET", "/v1/boxes/{box_id}/inventory"),
    people("GET", "/v1/boxes/{box_id}/directives"),
    people("POST", "/v1/boxes/{box_id}/directives"),
    people("GET", "/v1/boxes/{box_id}/directives/{number}"),
    people("GET", "/v1/orders"),
    people("GET", "/v1/boxes/{box_id}/orders/{order}"),
    people("POST", "/v1/boxes/{box_id}/orders/{order}/answers"),
    people("PATCH", "/v1/boxes/{box_id}"),
    people("POST", "/v1/boxes/{box_id}/tickets"),
    people("POST", "/v1/boxes/{box_id}/calls"),
    people("DELETE", "/v1/boxes/{box_id}/nodes/{node_id}"),
    people("POST", "/v1/boxes/{box_id}/retirement"),
    people("DELETE", "/v1/boxes/{box_id}/retirement"),
    people("POST", "/v1/pins"),
    people("GET", "/v1/pins"),
    people("DELETE", "/v1/pins/{sha256}"),
];

const fn agents(method: &'static str, path: &'static str, agents: [Answer; 6]) -> Row {
    // An operator's token is nothing on the agents' side.
    let people = match agents[0] {
        LetIn => [LetIn; 3],
        _ => NO_OPERATORS,
    };
    Row { side: Side::Agents, method, path, agents, people }
}

const fn people(method: &'static str, path: &'static str) -> Row {
    Row { side: Side::People, method, path, agents: NOT_THERE, people: OPERATOR }
}

#[test]
fn every_route_has_a_row() {
    let served: BTreeSet<_> = table().into_iter().map(|route| (route.side, route.method, route.path)).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|row| (row.side, row.method, row.path)).collect();
    assert_eq!(served, rows);
    assert_eq!(ROWS.len(), rows.len());
}

struct Callers {
    box_id: BoxId,
    machines: [Machine; 6],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_with_every_caller() {
    let mut hub = TestHub::start(Place::sqlite()).await;
    let callers = callers(&mut hub).await;
    for row in ROWS {
        for (machine, expected) in callers.machines.iter().zip(row.agents) {
            let who = machine_name(&callers, machine);
            judge(row, &format!("{who} certificate"), send(&hub, row, &callers, Some(machine), None).await, expected)
                .await;
        }
        let wrong = format!("twa_{}", "0".repeat(52));
        let tokens = [("no token", None), ("a wrong token", Some(wrong.as_str())), ("admin", Some(&*hub.token))];
        for ((who, token), expected) in tokens.into_iter().zip(row.people) {
            judge(row, who, send(&hub, row, &callers, None, token).await, expected).await;
        }
    }
}

async fn callers(hub: &mut TestHub) -> Callers {
    let operator = Operator::of(hub);
    let (expired_box, mut expired) = enrolled_box(hub, "expired", Words(3)).await;
    // The certificate must be of the box that is asked for: enrol it there, under another name.
    hub.clock.forward(60 * 86_400);
    let (box_id, owner) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, stranger) = enrolled_box(hub, "beta", Words(2)).await;
    let (revoked_box, revoked) = enrolled_box(hub, "revoked", Words(4)).await;
    operator.arm(revoked_box, |request| request.stolen = true).await;
    hub.clock.forward(30 * 86_400 + 10);
    hub.restart().await;
    let operator = Operator::of(hub);
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    let mut machines = [Machine::new(hub), owner, stranger, revoked, Machine::new(hub), reader];
    for machine in &mut machines[1..4] {
        machine.again(hub);
    }
    expired.again(hub);
    machines[4] = expired;
    assert_ne!(expired_box, box_id);
    Callers { box_id, machines }
}

fn machine_name(callers: &Callers, machine: &Machine) -> &'static str {
    let names = ["no", "the box's", "another box's", "a revoked", "an expired", "a recovery"];
    let at = callers.machines.iter().position(|found| std::ptr::eq(found, machine)).unwrap();
    names[at]
}

async fn send(hub: &TestHub, row: &Row, callers: &Callers, machine: Option<&Machine>, token: Option<&str>) -> Response {
    let address = match row.side {
        Side::Agents => hub.agents,
        Side::People => hub.people,
    };
    // The revoked and the expired certificate ask for their own box, so that nothing else refuses them.
    let own = machine.and_then(|machine| machine.box_id).filter(|_| {
        machine.is_some_and(|machine| {
            let name = machine_name(callers, machine);
            name.contains("revoked") || name.contains("expired")
        })
    });
    let box_id = own.unwrap_or(callers.box_id);
    let path = row
        .path
        .replace("{box_id}", &box_id.to_string())
        .replace("{number}", "newest")
        .replace("{order}", &"0".repeat(64))
        .replace("{sha256}", &"0".repeat(64))
        .replace("{node_id}", "b2a1c0d9-e8f7-4655-8443-322110ffeedd")
        .replace("newest/parts/{*name}", "1/parts/root.age");
    let client = match machine {
        Some(machine) => machine.client.clone(),
        None => hub.client(None),
    };
    let request = client.request(row.method.parse::<Method>().unwrap(), format!("https://{address}{path}"));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let request = match row.path {
        "/v1/boxes/{box_id}/versions" if row.method == "POST" => {
            request.body(ceremony(box_id, 1, Words(1)).to_text().unwrap())
        }
        _ if matches!(row.method, "POST" | "PUT" | "PATCH") => request.json(&json!({"v": 1})),
        _ => request,
    };
    let response = request.send().await.unwrap();
    // Attempts without a ticket count; here they are not the subject.
    hub.clock.forward(if row.path.contains("enroll") || row.path.contains("claim") { 600 } else { 0 });
    response
}

async fn judge(row: &Row, who: &str, response: Response, expected: Answer) {
    let place = format!("{} {} with {who}", row.method, row.path);
    let code = match expected {
        LetIn => {
            let status = response.status().as_u16();
            let refused = matches!(status, 401 | 403 | 429 | 500..);
            assert!(!refused, "{place}: {status} {}", response.text().await.unwrap());
            return;
        }
        WhoAreYou => ProblemCode::Unauthenticated,
        Forbidden => ProblemCode::Forbidden,
        Revoked => ProblemCode::CertificateRevoked,
        Expired => ProblemCode::CertificateExpired,
    };
    assert_eq!(response.status().as_u16(), code.status(), "{place}: {expected:?} was expected");
    expect_problem(response, code).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_in_one_form_only() {
    let hub = TestHub::start(Place::sqlite()).await;
    let token = hub.token.clone();
    assert!(Operator::of(&hub).boxes().await.is_empty());
    for wrong in [token.to_lowercase(), format!("{token}0"), token[..55].to_owned(), token.replace("twa_", "twb_")] {
        let response = Operator::with_token(&hub, &wrong).send(Method::GET, "/v1/boxes", None::<&()>).await;
        expect_problem(response, ProblemCode::Unauthenticated).await;
    }
    let url = format!("https://{}/v1/boxes?token={token}", hub.people);
    for header in [format!("bearer {token}"), format!("Basic {token}"), token.clone(), format!("Bearer  {token}")] {
        let response = hub.client(None).get(&url).header("authorization", header).send().await.unwrap();
        expect_problem(response, ProblemCode::Unauthenticated).await;
    }
}
