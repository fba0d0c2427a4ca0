//! Enrolment tickets of boxes that exist: for how long, for whom, how many.

use reqwest::{Method, Response, StatusCode};
use tenwords_protocol::{
    bounded::Text,
    boxes::TicketReply,
    id::BoxId,
    nodes::{JoinRequest, TicketRequest},
    problem::ProblemCode,
    ticket::Ticket,
    v1::V1,
};

use crate::support::{
    Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases, parties::ticket,
};

on_both_databases![
    a_ticket_is_good_for_the_days_that_were_said,
    s58_a_node_has_another_machine_join_and_no_third_one,
    so_many_tickets_wait_and_so_many_a_box_has_in_a_day,
    a_stolen_machine_does_not_come_back_with_a_ticket_that_it_has_saved,
    a_machine_that_was_recovered_elsewhere_does_not_come_back_with_a_saved_ticket,
    a_node_that_was_taken_out_does_not_come_back_with_a_saved_ticket,
    a_ticket_of_a_node_whose_certificate_holds_no_more_lets_nobody_in,
];

const DAY: u64 = 86_400;

async fn try_ticket(operator: &Operator, box_id: BoxId, for_days: Option<u32>, end_others: bool) -> Response {
    let request = TicketRequest { v: V1, for_days, end_others, hostname: None };
    operator.send(Method::POST, &format!("/v1/boxes/{box_id}/tickets"), Some(&request)).await
}

async fn try_join(machine: &Machine, hostname: &str) -> Response {
    let request = JoinRequest { v: V1, hostname: Text::cut(hostname) };
    machine.client.post(machine.url(&machine.of_box("/tickets"))).json(&request).send().await.unwrap()
}

async fn given(response: Response) -> Ticket {
    ticket(&expect::<TicketReply>(response, StatusCode::CREATED).await)
}

fn named(hub: &TestHub, hostname: &str) -> Machine {
    Machine { hostname: hostname.to_owned(), ..Machine::new(hub) }
}

async fn a_ticket_is_good_for_the_days_that_were_said(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let month = given(try_ticket(&operator, box_id, Some(30), false).await).await;
    let day = given(try_ticket(&operator, box_id, None, false).await).await;
    for wrong in [0, 31, u32::MAX] {
        let refused = try_ticket(&operator, box_id, Some(wrong), false).await;
        expect_problem(refused, ProblemCode::BadRequest).await;
    }
    hub.clock.forward(DAY);
    expect_problem(named(hub, "late").try_enroll(&day).await, ProblemCode::TicketRefused).await;
    hub.clock.forward(29 * DAY - 1);
    named(hub, "pve2").enroll(hub, &month).await;
    // A ticket that went astray ends with the others.
    let astray = given(try_ticket(&operator, box_id, Some(30), false).await).await;
    let next = given(try_ticket(&operator, box_id, Some(30), true).await).await;
    expect_problem(named(hub, "thief").try_enroll(&astray).await, ProblemCode::TicketRefused).await;
    named(hub, "pve3").enroll(hub, &next).await;
    let nobody = BoxId::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    expect_problem(try_ticket(&operator, nobody, None, false).await, ProblemCode::NotFound).await;
}

async fn s58_a_node_has_another_machine_join_and_no_third_one(hub: &mut TestHub) {
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = given(try_join(&first, "PVE2").await).await;
    expect_problem(named(hub, "pve3").try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
    assert!(hub.audited("ticket.refused").await[0].contains("another name"));
    let mut second = named(hub, "pve2");
    assert_eq!(second.enroll(hub, &ticket).await.box_id, box_id);
    // The machine is lost, and comes back under its own name: the living node lets it in, and no words are needed.
    let again = given(try_join(&first, "pve2").await).await;
    let mut new = named(hub, "pve2");
    assert_eq!(Some(new.enroll(hub, &again).await.node_id), second.node_id);
    let late = given(try_join(&second, "pve4").await).await;
    hub.clock.forward(3600);
    expect_problem(named(hub, "pve4").try_enroll(&late).await, ProblemCode::TicketRefused).await;
    for wrong in ["", "a b", "ä"] {
        expect_problem(try_join(&first, wrong).await, ProblemCode::BadRequest).await;
    }
    assert_eq!(hub.audited("box.ticket").await.len(), 3);
}

async fn so_many_tickets_wait_and_so_many_a_box_has_in_a_day(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    for _ in 0..64 {
        given(try_join(&first, "pve2").await).await;
    }
    expect_problem(try_ticket(&operator, box_id, None, false).await, ProblemCode::Conflict).await;
    given(try_ticket(&operator, box_id, None, true).await).await;
    let refused = expect_problem(try_join(&first, "pve2").await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(DAY));
    given(try_join(&other, "pve2").await).await;
    assert_eq!(hub.audited("ticket.not-given").await.len(), 1);
    hub.clock.forward(DAY);
    given(try_join(&first, "pve2").await).await;
}

async fn a_stolen_machine_does_not_come_back_with_a_ticket_that_it_has_saved(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let joining = given(try_join(&first, "pve2").await).await;
    let of_operator = given(try_ticket(&operator, box_id, Some(30), false).await).await;
    let recovery = operator.arm(box_id, |request| request.stolen = true).await;
    for saved in [&joining, &of_operator] {
        expect_problem(named(hub, "pve2").try_enroll(saved).await, ProblemCode::TicketRefused).await;
    }
    // The window itself stays, and a ticket that is given later is good.
    let mut new = Machine::new(hub);
    new.claim(hub, &recovery).await;
    new.prove(hub, Words(1), 1).await;
    named(hub, "pve2").enroll(hub, &operator.ticket(box_id).await).await;
}

async fn a_machine_that_was_recovered_elsewhere_does_not_come_back_with_a_saved_ticket(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let joining = given(try_join(&first, "pve2").await).await;
    let of_operator = given(try_ticket(&operator, box_id, Some(30), false).await).await;
    // A practice ends nothing.
    let practice = operator.arm(box_id, |request| request.rehearsal = true).await;
    let mut practises = Machine::new(hub);
    practises.claim(hub, &practice).await;
    practises.prove(hub, Words(1), 1).await;
    let mut third = named(hub, "pve3");
    let another = given(try_join(&first, "pve3").await).await;
    third.enroll(hub, &another).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &operator.arm(box_id, |_| ()).await).await;
    new.prove(hub, Words(1), 1).await;
    for saved in [&joining, &of_operator] {
        expect_problem(named(hub, "pve2").try_enroll(saved).await, ProblemCode::TicketRefused).await;
    }
    assert!(new.reads().await);
}

async fn a_node_that_was_taken_out_does_not_come_back_with_a_saved_ticket(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut second = named(hub, "pve2");
    second.enroll(hub, &operator.ticket(box_id).await).await;
    let own = given(try_join(&second, "pve2").await).await;
    let of_another = given(try_join(&first, "pve2").await).await;
    let path = format!("/v1/boxes/{box_id}/nodes/{}", second.node_id.unwrap());
    let removed = operator.send(Method::DELETE, &path, None::<&()>).await;
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    for saved in [&own, &of_another] {
        expect_problem(named(hub, "pve2").try_enroll(saved).await, ProblemCode::TicketRefused).await;
    }
    assert!(first.reads().await);
}

async fn a_ticket_of_a_node_whose_certificate_holds_no_more_lets_nobody_in(hub: &mut TestHub) {
    let (_, first) = enrolled_box(hub, "alpha", Words(1)).await;
    hub.clock.forward(90 * DAY - 1800);
    let ticket = given(try_join(&first, "pve2").await).await;
    // The ticket is good for an hour, its node for half of it.
    hub.clock.forward(1801);
    hub.restart().await;
    expect_problem(named(hub, "pve2").try_enroll(&ticket).await, ProblemCode::TicketRefused).await;
    assert!(hub.audited("ticket.refused").await[0].contains("in the box no more"));
}
