//! Boxes are added, nodes enrol.

use reqwest::Method;
use tenwords_protocol::{
    boxes::AddBoxRequest,
    enroll::EnrollReply,
    id::BoxId,
    problem::ProblemCode,
    ticket::{AuthorityPrefix, Ticket, TicketSecret},
    v1::V1,
};

use crate::support::{Machine, Operator, Place, TestHub, Words, enrolled_box, expect_problem, on_both_databases};

on_both_databases![
    the_same_key_gets_the_same_answer_and_another_the_common_refusal,
    an_enrolment_ticket_ends_after_a_day,
    a_box_is_added_once,
    the_list_says_what_the_hub_knows,
];

fn new_id() -> BoxId {
    BoxId::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng))
}

async fn the_same_key_gets_the_same_answer_and_another_the_common_refusal(hub: &mut TestHub) {
    let ticket = Operator::of(hub).add(new_id(), "alpha").await;
    let (mut first, second) = (Machine::new(hub), Machine::new(hub));
    let reply = first.enroll(hub, &ticket).await;
    assert_eq!(reply.box_name, "alpha");
    assert_eq!(reply.server_ca.0, hub.server_ca.as_ref());
    hub.clock.forward(30 * 86_400);
    let repeated: EnrollReply = first.try_enroll(&ticket).await.json().await.unwrap();
    assert_eq!(repeated, reply);
    let refused = expect_problem(second.try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
    // A ticket that nobody has given is refused in the very same words.
    let secret = TicketSecret::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    let guessed = Ticket::new(ticket.hub().clone(), ticket.authority(), secret);
    let unknown = expect_problem(second.try_enroll(&guessed).await, ProblemCode::TicketRefused).await;
    assert_eq!(refused.problem, unknown.problem);
    // A fresh enrolment ticket claims nothing, and a fresh recovery ticket enrols nobody.
    let fresh = Operator::of(hub).add(new_id(), "beta").await;
    let claimed = expect_problem(second.try_claim(&fresh).await, ProblemCode::TicketRefused).await;
    let armed = Operator::of(hub).arm(reply.box_id, |_| ()).await;
    let enrolled = expect_problem(second.try_enroll(&armed).await, ProblemCode::TicketRefused).await;
    assert_eq!((&claimed.problem, &enrolled.problem), (&unknown.problem, &unknown.problem));
    assert_eq!(hub.audited("ticket.refused").await.len(), 4);
}

async fn an_enrolment_ticket_ends_after_a_day(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let box_id = new_id();
    let ticket = operator.add(box_id, "alpha").await;
    hub.clock.forward(86_400);
    let mut machine = Machine::new(hub);
    expect_problem(machine.try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
    // The operator asks again for the same box; the first ticket stays dead, the second one works.
    let again = operator.add(box_id, "alpha").await;
    expect_problem(machine.try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
    hub.clock.forward(86_399);
    assert_eq!(machine.enroll(hub, &again).await.box_id, box_id);
}

async fn a_box_is_added_once(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let waiting = new_id();
    operator.add(waiting, "beta").await;
    for (id, name) in
        [(box_id, "alpha"), (box_id, "gamma"), (new_id(), "alpha"), (waiting, "alpha"), (new_id(), "beta")]
    {
        let request = AddBoxRequest { v: V1, box_id: id, name: name.to_owned(), customer: None, for_days: None };
        let response = operator.send(Method::POST, "/v1/boxes", Some(&request)).await;
        expect_problem(response, ProblemCode::Conflict).await;
    }
    for name in ["", "a b", "ä", "a\n", "<b>", &"x".repeat(64)] {
        let request = AddBoxRequest { v: V1, box_id: new_id(), name: name.to_owned(), customer: None, for_days: None };
        let response = operator.send(Method::POST, "/v1/boxes", Some(&request)).await;
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    assert_eq!(operator.boxes().await.len(), 2);
}

async fn the_list_says_what_the_hub_knows(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    operator.add(new_id(), "waiting").await;
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    hub.clock.forward(600);
    assert!(machine.reads().await);
    let boxes = operator.boxes().await;
    assert_eq!(boxes.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["alpha", "waiting"]);
    let found = &boxes[0];
    assert_eq!((found.box_id, found.versions), (box_id, 1));
    assert_eq!(found.newest.as_ref().unwrap().number.get(), 1);
    assert_eq!(found.enrolled_at, Some(found.added_at));
    assert_eq!(found.last_seen, Some(found.added_at.plus(std::time::Duration::from_secs(600))));
    assert_eq!(found.recovery, None);
    let waiting = &boxes[1];
    assert_eq!((waiting.versions, &waiting.newest, waiting.enrolled_at, waiting.last_seen), (0, &None, None, None));
}

/// The agent compares the chain with the ticket before it sends the secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ticket_names_the_hub_and_its_server_ca() {
    let hub = TestHub::start(Place::sqlite()).await;
    let ticket = Operator::of(&hub).add(new_id(), "alpha").await;
    assert_eq!(ticket.hub().as_str(), hub.agents.to_string());
    let (_, parsed) = x509_parser::parse_x509_certificate(&hub.server_ca).unwrap();
    assert_eq!(ticket.authority(), AuthorityPrefix::of_spki(parsed.public_key().raw));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_limited_per_source_and_a_good_ticket_does_not_count() {
    let hub = TestHub::start(Place::sqlite()).await;
    let ticket = Operator::of(&hub).add(new_id(), "alpha").await;
    let (machine, mut good) = (Machine::new(&hub), Machine::new(&hub));
    for _ in 0..20 {
        assert!(good.try_enroll(&ticket).await.status().is_success());
    }
    good.enroll(&hub, &ticket).await;
    for _ in 0..10 {
        expect_problem(machine.try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
    }
    let refused = expect_problem(machine.try_enroll(&ticket).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(600));
    hub.clock.forward(600);
    expect_problem(machine.try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
}
