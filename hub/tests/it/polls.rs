//! Requests that wait for an answer. None of these tests looks at a clock: whether one was woken is the
//! hub's to count.

use reqwest::{Response, StatusCode};
use tenwords_hub::{
    clock::Clock as _,
    store::{GiveAnswer, GiveAnswerOutcome},
};
use tenwords_protocol::{
    bounded::Text,
    orders::{Answer, AnswerList, LONGEST_WAIT},
    problem::ProblemCode,
};
use tokio::task::JoinHandle;

use crate::support::{Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases};

on_both_databases![
    an_answer_wakes_who_waits_for_it,
    an_answer_that_another_process_wrote_is_found,
    who_is_revoked_while_it_waits_hears_so,
    a_hub_that_stops_sends_everybody_home,
    a_box_has_so_many_places_to_wait,
];

/// A request that waits as long as one may, once the hub says that it does.
async fn waits(hub: &TestHub, machine: &Machine, after: u64) -> JoinHandle<reqwest::Result<Response>> {
    let before = counted(hub, "waited").await;
    let path = machine.of_box(&format!("/answers?after={after}&wait={LONGEST_WAIT}"));
    let request = machine.client.get(machine.url(&path)).send();
    let task = tokio::spawn(request);
    while counted(hub, "waited").await == before {
        assert!(!task.is_finished(), "it does not wait");
        tokio::task::yield_now().await;
    }
    task
}

/// How many requests have waited, or were woken, so far.
async fn counted(hub: &TestHub, what: &str) -> u64 {
    let response = hub.client(None).get(format!("http://{}/metrics", hub.health)).send().await.unwrap();
    let text = response.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("tenwords_hub_answers_{what}_total "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn came(task: JoinHandle<reqwest::Result<Response>>) -> Vec<Answer> {
    let response = task.await.unwrap().unwrap();
    expect::<AnswerList>(response, StatusCode::OK).await.answers.to_vec()
}

async fn an_answer_wakes_who_waits_for_it(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_id, other) = enrolled_box(hub, "beta", Words(2)).await;
    let (asked, others) = (machine.ask(hub, b"an order").await, other.ask(hub, b"another").await);
    for round in 1..=3_u64 {
        let (waiting, elsewhere) = (waits(hub, &machine, round - 1).await, waits(hub, &other, round - 1).await);
        operator.answer(box_id, asked, &format!("answer {round}")).await;
        let got: Vec<_> = came(waiting).await.iter().map(|it| (it.number.get(), it.order)).collect();
        assert_eq!(got, [(round, asked)]);
        operator.answer(other_id, others, &format!("answer {round}")).await;
        assert_eq!(came(elsewhere).await.iter().map(|it| it.order).collect::<Vec<_>>(), [others]);
    }
    // What is there already is not waited for.
    let before = counted(hub, "waited").await;
    assert_eq!(machine.answers(1, LONGEST_WAIT).await.len(), 2);
    assert_eq!((counted(hub, "waited").await, counted(hub, "woken").await), (before, 6));
}

async fn an_answer_that_another_process_wrote_is_found(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let order = machine.ask(hub, b"an order").await;
    let waiting = waits(hub, &machine, 0).await;
    let (signature, operator, now) = (Text::cut("x"), "another".to_owned(), hub.clock.now());
    let given = GiveAnswer { box_id, order, signature, operator, now };
    let given = hub.store().await.perform(given).await.unwrap();
    assert!(matches!(given, GiveAnswerOutcome::Stored(_)), "{given:?}");
    assert_eq!((came(waiting).await.len(), counted(hub, "woken").await), (1, 1));
}

async fn who_is_revoked_while_it_waits_hears_so(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let order = machine.ask(hub, b"an order").await;
    let waiting = waits(hub, &machine, 0).await;
    operator.arm(box_id, |request| request.stolen = true).await;
    // An answer that was let in a moment too early is not handed out either.
    let sql = hub.sql().await;
    sqlx::query(
        "INSERT INTO answers (box_id, number, sha256, answered_at, answered_by, body) VALUES ($1, 1, $2, 0, '', $3)",
    )
    .bind(box_id.to_string())
    .bind(order.to_string())
    .bind(b"x".to_vec())
    .execute(&sql)
    .await
    .unwrap();
    expect_problem(waiting.await.unwrap().unwrap(), ProblemCode::CertificateRevoked).await;
    let audited = hub.audited("request.revoked").await;
    assert!(audited.len() == 1 && audited[0].contains("while it waited: revoked"), "{audited:?}");
}

async fn a_hub_that_stops_sends_everybody_home(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let order = machine.ask(hub, b"an order").await;
    let waiting = waits(hub, &machine, 0).await;
    hub.restart().await;
    assert_eq!(came(waiting).await, []);
    drop(operator);
    machine.again(hub);
    let waiting = waits(hub, &machine, 0).await;
    Operator::of(hub).answer(box_id, order, "x").await;
    assert_eq!(came(waiting).await.len(), 1);
}

async fn a_box_has_so_many_places_to_wait(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    let order = machine.ask(hub, b"an order").await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(waits(hub, &machine, 0).await);
    }
    let refused = machine.get(&machine.of_box("/answers?after=0&wait=45")).await;
    assert!(expect_problem(refused, ProblemCode::RateLimited).await.retry_after.is_some());
    assert_eq!(other.answers(0, 0).await, []);
    // Who hangs up leaves its place.
    waiting.pop().unwrap().abort();
    loop {
        let response = machine.get(&machine.of_box("/answers?after=0&wait=0")).await;
        if response.status() == StatusCode::OK {
            break;
        }
        expect_problem(response, ProblemCode::RateLimited).await;
    }
    Operator::of(hub).answer(box_id, order, "x").await;
    for task in waiting {
        assert_eq!(came(task).await.len(), 1);
    }
}
