//! Orders of a machine that is the box no more, and answers that are too large for one page.

use reqwest::StatusCode;
use tenwords_protocol::{
    hash::Sha256,
    orders::{AnswerList, LONGEST, MAX_ANSWERS, MAX_OPEN, MAX_PAGE_BYTES, OrderState, OutcomeKind},
    problem::ProblemCode,
};

use crate::support::{
    Machine, Operator, TestHub, Words, enrolled_box, expect_problem, on_both_databases, queue::order,
};

on_both_databases![
    nobody_answers_a_machine_that_cannot_fetch_it,
    what_a_stolen_machine_asked_is_not_in_the_way_of_the_next,
    many_large_answers_come_in_pages,
];

/// What the hub says of an order of a machine that was revoked.
const NO_MORE: &str = "the machine that asked is the box no more";

async fn nobody_answers_a_machine_that_cannot_fetch_it(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let asked = old.ask(hub, b"an order").await;
    let ticket = operator.arm(box_id, |request| request.stolen = true).await;
    for _ in 0..2 {
        let refused = expect_problem(operator.try_answer(box_id, asked, "x").await, ProblemCode::Outdated).await;
        assert!(refused.problem.detail.unwrap().contains("was revoked"));
    }
    expect_problem(old.try_ask(&order(hub, b"another", 60)).await, ProblemCode::CertificateRevoked).await;
    expect_problem(old.try_tell(asked, OutcomeKind::Done, "").await, ProblemCode::CertificateRevoked).await;
    expect_problem(old.get(&old.of_box("/answers")).await, ProblemCode::CertificateRevoked).await;
    // It waits no more, and it is said why.
    assert_eq!(operator.waiting().await, []);
    let shown = operator.order(box_id, asked).await;
    assert_eq!((shown.state, shown.outcome.unwrap().said.as_str()), (OrderState::Withdrawn, NO_MORE));
    assert_eq!(hub.audited("order.outcome").await, [format!("{asked}: withdrawn, {NO_MORE}")]);
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    expect_problem(new.try_ask(&order(hub, b"too early", 60)).await, ProblemCode::Forbidden).await;
    expect_problem(new.get(&new.of_box("/answers")).await, ProblemCode::Forbidden).await;
    assert!(new.get(&new.of_box("/pins")).await.status().is_success());
    new.prove(hub, Words(1), 1).await;
    let asked_anew = new.ask(hub, b"on another machine").await;
    operator.answer(box_id, asked_anew, "good").await;
    assert_eq!(new.answers(0, 0).await.len(), 1);
    let late = new.try_tell(asked, OutcomeKind::Withdrawn, "the machine that asked is lost").await;
    expect_problem(late, ProblemCode::Outdated).await;
    assert_eq!(operator.waiting().await, [asked_anew]);
}

/// Whoever has the old machine's certificate may use up all that it may ask, until the words are proven.
async fn what_a_stolen_machine_asked_is_not_in_the_way_of_the_next(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_id, other) = enrolled_box(hub, "beta", Words(2)).await;
    let of_other = other.ask(hub, b"another box's").await;
    let longest = LONGEST as i64;
    for number in 0..200_u64 {
        let response = old.try_ask(&order(hub, &number.to_be_bytes(), longest)).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{number}");
        if number < 200 - MAX_OPEN as u64 {
            old.tell(Sha256::of(&number.to_be_bytes()), OutcomeKind::Done, "").await;
        }
    }
    expect_problem(old.try_ask(&order(hub, b"more", longest)).await, ProblemCode::RateLimited).await;
    let (done, used, last) = (0_u64.to_be_bytes(), 198_u64.to_be_bytes(), 199_u64.to_be_bytes());
    old.tell(Sha256::of(&used), OutcomeKind::Used, "").await;
    operator.answer(box_id, Sha256::of(&last), "an answer").await;

    // A practice, and a claim alone, end nothing.
    let ticket = operator.arm(other_id, |request| request.rehearsal = true).await;
    let mut practises = Machine::new(hub);
    practises.claim(hub, &ticket).await;
    practises.prove(hub, Words(2), 1).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    assert_eq!(operator.waiting().await.len(), 1 + MAX_OPEN);

    new.prove(hub, Words(1), 1).await;
    assert_eq!(operator.waiting().await, [of_other]);
    for text in [used, last] {
        let shown = operator.order(box_id, Sha256::of(&text)).await;
        assert_eq!((shown.state, shown.outcome.unwrap().said.as_str()), (OrderState::Withdrawn, NO_MORE));
        let refused = operator.try_answer(box_id, Sha256::of(&text), "late").await;
        let refused = expect_problem(refused, ProblemCode::Outdated).await;
        assert!(refused.problem.detail.unwrap().contains("was revoked"));
    }
    assert_eq!(operator.order(box_id, Sha256::of(&done)).await.state, OrderState::Done);
    let said = hub.audited("order.outcome").await;
    assert_eq!(said.iter().filter(|row| row.ends_with(NO_MORE)).count(), MAX_OPEN);
    for number in 0..MAX_OPEN as u64 {
        new.ask(hub, format!("{number} of the new machine").as_bytes()).await;
    }
    expect_problem(new.try_ask(&order(hub, b"more", 60)).await, ProblemCode::RateLimited).await;
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}

async fn many_large_answers_come_in_pages(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut sent = Vec::new();
    for name in [b"one", b"two", b"six"] {
        let asked = machine.ask(hub, name).await;
        for number in 0..MAX_ANSWERS {
            // Six bytes of JSON for each character.
            let signature = format!("{number}{}", "\0".repeat(8000));
            operator.answer(box_id, asked, &signature).await;
            sent.push(signature);
        }
    }
    let (mut got, mut pages) = (Vec::new(), 0);
    loop {
        let after = got.len();
        let response = machine.get(&machine.of_box(&format!("/answers?after={after}"))).await;
        let body = response.bytes().await.unwrap();
        assert!(body.len() <= MAX_PAGE_BYTES + 1024, "{}", body.len());
        let page: AnswerList = serde_json::from_slice(&body).unwrap();
        if page.answers.is_empty() {
            break;
        }
        assert_eq!(page.answers[0].number.get(), after as u64 + 1);
        got.extend(page.answers.iter().map(|answer| answer.signature.as_str().to_owned()));
        pages += 1;
    }
    assert_eq!((got, pages), (sent, 3));
}
