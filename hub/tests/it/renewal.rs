//! Certificates of nodes give way to the next ones, on connections that are open too.

use reqwest::{Response, StatusCode};
use tenwords_hub::clock::Clock as _;
use tenwords_protocol::{
    problem::ProblemCode,
    renew::{RenewReply, RenewRequest},
    v1::V1,
};

use crate::support::{
    Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases, update,
};

on_both_databases![
    s26_a_certificate_that_ended_is_renewed_and_does_nothing_else,
    s26_in_its_grace_a_certificate_renews_on_the_connection_that_is_open,
    s26_what_ended_too_long_ago_was_revoked_or_only_reads_is_not_renewed,
    an_answer_that_was_lost_harms_nobody,
    the_first_use_ends_what_the_node_was_given_before_and_nothing_later,
    a_node_renews_so_often_in_a_day,
    of_what_nobody_has_used_the_newest_two_hold,
];

const DAY: u64 = 86_400;

/// Asks with the certificate of `machine` for one over the key of `next`.
async fn try_renew(machine: &Machine, next: &Machine) -> Response {
    let request = RenewRequest { v: V1, csr: next.csr() };
    machine.client.post(machine.url(&machine.of_box("/certificate"))).json(&request).send().await.unwrap()
}

/// The same machine with a new key and certificate.
async fn renewed(hub: &TestHub, machine: &Machine) -> Machine {
    let mut next = Machine::new(hub);
    let reply: RenewReply = expect(try_renew(machine, &next).await, StatusCode::OK).await;
    assert_eq!(reply.server_ca.0, hub.server_ca.as_ref());
    next.is_now(hub, machine.box_id.unwrap(), machine.node_id.unwrap(), &reply.certificate);
    next
}

async fn s26_a_certificate_that_ended_is_renewed_and_does_nothing_else(hub: &mut TestHub) {
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // On the connection that is open, and on a new one. Where the open one was given up meanwhile, the machine finds the
    // hub's own certificate as good as it was.
    machine.by_its_own_clock(hub);
    assert!(machine.reads().await);
    hub.clock.forward(91 * DAY);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    hub.restart().await;
    machine.again(hub);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    expect_problem(machine.try_push(&update(box_id, 2, Words(1))).await, ProblemCode::CertificateExpired).await;
    let shown = Operator::of(hub).show(box_id).await;
    let (node, now) = (&shown.nodes[0], hub.clock.now());
    assert!(node.certificate_expires_at < now, "nobody could tell that it has ended");
    assert!(shown.last_seen.unwrap() < now && node.last_seen.unwrap() < now, "a refused request is no sign of life");
    let next = renewed(hub, &machine).await;
    assert!(next.reads().await);
    let shown = Operator::of(hub).show(box_id).await;
    assert_eq!(shown.nodes.iter().map(|node| node.node_id).collect::<Vec<_>>(), [machine.node_id.unwrap()]);
    assert!(shown.nodes[0].certificate_expires_at > now && shown.nodes[0].last_seen == Some(now));
    assert_eq!(hub.audited("certificate.renew-late").await.len(), 1);
    assert_eq!(hub.audited("certificate.superseded").await.len(), 1);
    // What was at work with the former one is the node itself for a while, and then a copy of its disk.
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    assert!(hub.audited("request.revoked").await.is_empty());
    hub.clock.forward(2 * 3600);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    assert_eq!(hub.audited("request.revoked").await.len(), 1);
    // The former one does not even renew any more, and says why.
    let refused = expect_problem(try_renew(&machine, &machine).await, ProblemCode::CertificateRevoked).await;
    assert!(refused.problem.detail.unwrap().contains("newer certificate"));
}

async fn s26_in_its_grace_a_certificate_renews_on_the_connection_that_is_open(hub: &mut TestHub) {
    let (_, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    machine.by_its_own_clock(hub);
    assert!(machine.reads().await);
    hub.clock.forward(91 * DAY);
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    assert_eq!(try_renew(&machine, &Machine::new(hub)).await.status(), StatusCode::OK);
}

async fn s26_what_ended_too_long_ago_was_revoked_or_only_reads_is_not_renewed(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (_, mut sleeper) = enrolled_box(hub, "alpha", Words(1)).await;
    let (stolen_id, mut stolen) = enrolled_box(hub, "beta", Words(2)).await;
    let ticket = operator.arm(stolen_id, |request| request.stolen = true).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    expect_problem(try_renew(&reader, &reader).await, ProblemCode::Forbidden).await;
    expect_problem(try_renew(&stolen, &stolen).await, ProblemCode::CertificateRevoked).await;
    hub.clock.forward((90 + 180) * DAY - 1);
    hub.restart().await;
    for machine in [&mut sleeper, &mut stolen] {
        machine.again(hub);
    }
    expect_problem(try_renew(&stolen, &stolen).await, ProblemCode::CertificateRevoked).await;
    assert_eq!(try_renew(&sleeper, &Machine::new(hub)).await.status(), StatusCode::OK);
    hub.clock.forward(1);
    let refused = expect_problem(try_renew(&sleeper, &Machine::new(hub)).await, ProblemCode::CertificateExpired).await;
    assert!(refused.problem.detail.unwrap().contains("tenwords box ticket"));
    assert_eq!(hub.audited("certificate.renew-late").await.len(), 1);
}

async fn an_answer_that_was_lost_harms_nobody(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    hub.clock.forward(60 * DAY);
    let mut next = Machine::new(hub);
    let lost: RenewReply = expect(try_renew(&machine, &next).await, StatusCode::OK).await;
    assert!(machine.reads().await, "nobody has used the new one");
    hub.clock.forward(DAY);
    let again: RenewReply = expect(try_renew(&machine, &next).await, StatusCode::OK).await;
    assert_eq!(again, lost);
    assert_eq!(hub.audited("certificate.renew").await.len(), 1);
    next.is_now(hub, box_id, machine.node_id.unwrap(), &again.certificate);
    assert!(next.reads().await && !machine.reads().await);
    // A key that was used already gets another certificate, and not the one that it has.
    let third: RenewReply = expect(try_renew(&next, &next).await, StatusCode::OK).await;
    assert_ne!(third.certificate, again.certificate);
}

async fn the_first_use_ends_what_the_node_was_given_before_and_nothing_later(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut other = Machine::new(hub);
    other.hostname = "pve2".to_owned();
    other.enroll(hub, &Operator::of(hub).ticket(box_id).await).await;
    let order = machine.ask(hub, b"an order").await;
    let (second, third) = (renewed(hub, &machine).await, renewed(hub, &machine).await);
    assert!(machine.reads().await && second.reads().await && !machine.reads().await);
    assert!(third.reads().await && !second.reads().await && third.reads().await);
    assert!(other.reads().await, "another node's certificate is its own");
    // What the node has asked is still its own.
    Operator::of(hub).answer(box_id, order, "x").await;
    assert_eq!(third.answers(0, 0).await.len(), 1);
}

async fn a_node_renews_so_often_in_a_day(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    // The one of the enrolment is the first of the day.
    for _ in 0..7 {
        assert_eq!(try_renew(&machine, &Machine::new(hub)).await.status(), StatusCode::OK);
    }
    let refused = expect_problem(try_renew(&machine, &Machine::new(hub)).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(DAY));
    assert_eq!(hub.audited("renewal.refused").await.len(), 1);
    hub.clock.forward(DAY);
    assert_eq!(try_renew(&machine, &Machine::new(hub)).await.status(), StatusCode::OK);
}

async fn of_what_nobody_has_used_the_newest_two_hold(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    assert!(machine.reads().await);
    let mut given = Vec::new();
    for _ in 0..4 {
        given.push(renewed(hub, &machine).await);
    }
    for old in &given[..2] {
        expect_problem(old.get(&old.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    }
    assert!(machine.reads().await, "the one that it uses is none of them");
    assert!(given[2].reads().await && given[3].reads().await);
}
