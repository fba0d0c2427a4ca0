//! A hub in trouble, and boxes that ask for what is not theirs.

use std::time::Duration;

use reqwest::StatusCode;
use tenwords_hub::{
    clock::Clock as _,
    store::{Entry, Record, TRESPASSED},
};
use tenwords_protocol::{id::BoxId, problem::ProblemCode, readiness::Reason};

use crate::support::{Machine, Operator, TestHub, Words, ceremony, enrolled_box, expect_problem, on_both_databases};

on_both_databases![
    s15_what_a_box_does_to_another_is_refused_written_down_and_counted,
    s17_a_clock_that_jumps_deletes_nothing_and_what_it_refuses_it_says,
];

const TEN_YEARS: u64 = 3652 * 86_400;

async fn counted(hub: &TestHub, what: &str) -> u64 {
    let response = hub.client(None).get(format!("http://{}/metrics", hub.health)).send().await.unwrap();
    let text = response.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("tenwords_hub_{what}_total "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn s15_what_a_box_does_to_another_is_refused_written_down_and_counted(hub: &mut TestHub) {
    let (alpha_id, alpha) = enrolled_box(hub, "alpha", Words(1)).await;
    let (beta_id, beta) = enrolled_box(hub, "beta", Words(2)).await;
    let path = format!("/v1/boxes/{beta_id}/versions");
    let text = ceremony(beta_id, 2, Words(1)).to_text().unwrap();
    expect_problem(alpha.try_push_text(&path, text.clone()).await, ProblemCode::Forbidden).await;
    // On its own path, with the other's header.
    let own = format!("/v1/boxes/{alpha_id}/versions");
    expect_problem(alpha.try_push_text(&own, text).await, ProblemCode::Forbidden).await;
    let shown = Operator::of(hub).show(beta_id).await;
    assert_eq!(shown.versions, 1);
    assert_eq!(hub.audited("request.trespassed").await.len(), 2);
    assert_eq!((counted(hub, "foreign").await, counted(hub, "forbidden").await), (2, 2));
    // It stands in the fleet for a week, where cron sees it; the other box has nothing to answer for.
    let said = async |hub: &TestHub, of: BoxId| {
        let found = Operator::of(hub).boxes().await.into_iter().find(|found| found.box_id == of).unwrap();
        let readiness = found.readiness.unwrap();
        let codes = |reasons: &[Reason]| reasons.iter().map(|reason| reason.code.to_string()).collect::<Vec<_>>();
        (codes(&readiness.reasons), codes(&readiness.notes))
    };
    let trespassed = "trespassed".to_owned();
    assert!(said(hub, alpha_id).await.0.contains(&trespassed), "{:?}", said(hub, alpha_id).await);
    assert!(!said(hub, beta_id).await.0.contains(&trespassed));
    hub.clock.forward(8 * 86_400);
    assert!(!said(hub, alpha_id).await.0.contains(&trespassed));
    // Who has a ticket and no words does not stand for the box; nor does a moment that is still to come.
    let ticket = Operator::of(hub).arm(beta_id, |request| request.rehearsal = true).await;
    let mut stranger = Machine::new(hub);
    stranger.claim(hub, &ticket).await;
    expect_problem(stranger.get(&format!("/v1/boxes/{alpha_id}/versions")).await, ProblemCode::Forbidden).await;
    assert!(!said(hub, beta_id).await.0.contains(&trespassed));
    let entry = Entry {
        time: hub.clock.now().plus(Duration::from_secs(TEN_YEARS)),
        actor: "node".to_owned(),
        action: TRESPASSED,
        box_id: Some(alpha_id),
        detail: String::new(),
    };
    hub.store().await.perform(Record(entry)).await.unwrap();
    assert!(!said(hub, alpha_id).await.0.contains(&trespassed));
    // A machine that was taken out of its box, and goes on.
    Operator::of(hub).arm(beta_id, |request| request.stolen = true).await;
    expect_problem(beta.get(&beta.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    assert!(said(hub, beta_id).await.1.contains(&"revoked-used".to_owned()), "{:?}", said(hub, beta_id).await);
}

async fn s17_a_clock_that_jumps_deletes_nothing_and_what_it_refuses_it_says(hub: &mut TestHub) {
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // How a box stands follows from the time; what the hub has of it does not.
    let kept = async |hub: &TestHub| {
        let mut boxes = Operator::of(hub).boxes().await;
        boxes.iter_mut().for_each(|found| (found.readiness, found.in_state_since) = (None, None));
        boxes
    };
    let before = kept(hub).await;
    hub.clock.forward(TEN_YEARS);
    hub.restart().await;
    machine.again(hub);
    assert_eq!(kept(hub).await, before);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    // Set right again, and then as far the other way: nobody is locked out by a certificate that seems not to have
    // begun.
    for _ in 0..2 {
        hub.clock.back(TEN_YEARS);
        hub.restart().await;
        machine.again(hub);
        assert!(machine.reads().await);
        assert_eq!(machine.get(&machine.of_box("/versions/1/parts/root.age")).await.status(), StatusCode::OK);
        assert_eq!(Operator::of(hub).show(box_id).await.versions, 1);
    }
    hub.clock.forward(TEN_YEARS);
    hub.restart().await;
    let mut new = Machine::new(hub);
    new.claim(hub, &Operator::of(hub).arm(box_id, |_| ()).await).await;
    assert!(new.prove(hub, Words(1), 1).await.is_box);
    let store = hub.store().await;
    assert!(store.verify_audit().await.unwrap().is_ok());
}
