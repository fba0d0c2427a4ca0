//! Calls of operators, and the nodes that wait for them.

use reqwest::{Method, Response, StatusCode};
use tenwords_hub::Limits;
use tenwords_protocol::{
    calls::{CallKind, CallReply, CallRequest, Called, LONGEST_CALL_WAIT},
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};
use tokio::task::JoinHandle;

use crate::support::{
    Machine, Operator, Place, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases,
};

on_both_databases![
    a_call_is_heard_by_every_node_of_its_box_once,
    who_is_revoked_while_it_waits_hears_no_call,
    those_who_wait_for_calls_take_no_place_of_those_who_wait_for_answers,
];

async fn counted(hub: &TestHub, what: &str) -> u64 {
    let response = hub.client(None).get(format!("http://{}/metrics", hub.health)).send().await.unwrap();
    let text = response.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("tenwords_hub_{what}_total "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A request that waits as long as one may, once the hub says that it does.
async fn waits(hub: &TestHub, machine: &Machine, after: u64) -> JoinHandle<Response> {
    let before = counted(hub, "calls_waited").await;
    let path = machine.of_box(&format!("/calls?after={after}&wait={LONGEST_CALL_WAIT}"));
    let request = machine.client.get(machine.url(&path)).send();
    let task = tokio::spawn(async { request.await.unwrap() });
    while counted(hub, "calls_waited").await == before {
        assert!(!task.is_finished(), "it does not wait");
        tokio::task::yield_now().await;
    }
    task
}

async fn heard(response: Response) -> (u64, Option<String>) {
    let reply: CallReply = expect(response, StatusCode::OK).await;
    (reply.number, reply.kind.map(|kind| kind.as_str().to_owned()))
}

async fn call(operator: &Operator, box_id: BoxId) -> u64 {
    let request = CallRequest { v: V1, kind: CallKind::Report };
    let response = operator.send(Method::POST, &format!("/v1/boxes/{box_id}/calls"), Some(&request)).await;
    expect::<Called>(response, StatusCode::OK).await.waiting
}

async fn a_call_is_heard_by_every_node_of_its_box_once(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, mut first) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_id, other) = enrolled_box(hub, "beta", Words(2)).await;
    let mut second = Machine { hostname: "pve2".to_owned(), ..Machine::new(hub) };
    second.enroll(hub, &operator.ticket(box_id).await).await;
    let ask = async |machine: &Machine, after: u64| {
        heard(machine.get(&machine.of_box(&format!("/calls?after={after}&wait=0"))).await).await
    };
    assert_eq!(ask(&first, 0).await, (0, None));
    let (here, there) = (waits(hub, &first, 0).await, waits(hub, &other, 0).await);
    assert_eq!(call(&operator, box_id).await, 1);
    let (number, kind) = heard(here.await.unwrap()).await;
    assert_eq!((kind.as_deref(), counted(hub, "calls_woken").await), (Some("report"), 1));
    assert!(!there.is_finished(), "another box's call was heard");
    // Who was away hears it when it asks, and nobody hears it twice.
    assert_eq!(ask(&second, 0).await, (number, Some("report".to_owned())));
    assert_eq!(ask(&first, number).await, (number, None));
    // A number of a hub that ran before this one is none of this one's.
    hub.restart().await;
    for machine in [&mut first, &mut second] {
        machine.again(hub);
        assert_eq!(ask(machine, number).await, (number, None));
    }
    let waiting = waits(hub, &first, number).await;
    assert_eq!(call(&Operator::of(hub), box_id).await, 1);
    let (next, kind) = heard(waiting.await.unwrap()).await;
    assert!(next != number && kind.is_some());
    assert_eq!(ask(&second, number).await, (next, kind));
    assert_eq!(heard(there.await.unwrap()).await, (0, None), "who waits at a hub that stops is sent home");
    assert_eq!(call(&Operator::of(hub), other_id).await, 0);
    let nobody = BoxId::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    let request = CallRequest { v: V1, kind: CallKind::Report };
    let path = format!("/v1/boxes/{nobody}/calls");
    expect_problem(Operator::of(hub).send(Method::POST, &path, Some(&request)).await, ProblemCode::NotFound).await;
}

async fn who_is_revoked_while_it_waits_hears_no_call(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let waiting = waits(hub, &machine, 0).await;
    operator.arm(box_id, |request| request.stolen = true).await;
    call(&operator, box_id).await;
    expect_problem(waiting.await.unwrap(), ProblemCode::CertificateRevoked).await;
}

async fn those_who_wait_for_calls_take_no_place_of_those_who_wait_for_answers(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let waiting = [waits(hub, &machine, 0).await, waits(hub, &machine, 0).await];
    let refused = machine.get(&machine.of_box("/calls?wait=50")).await;
    assert_eq!(expect_problem(refused, ProblemCode::RateLimited).await.retry_after, Some(60));
    assert_eq!(machine.answers(0, 0).await, []);
    assert_eq!(call(&operator, box_id).await, 1);
    for task in waiting {
        assert!(heard(task.await.unwrap()).await.1.is_some());
    }
    assert_eq!(counted(hub, "calls_woken").await, 2);
    for query in ["wait=51", "after=-1", "more=1", "after=1&after=2"] {
        let refused = machine.get(&machine.of_box(&format!("/calls?{query}"))).await;
        expect_problem(refused, ProblemCode::BadRequest).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_connections_are_never_taken_by_those_who_wait() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let hub = TestHub::start_within(Place::sqlite(), limits).await;
    let (mut machines, mut waiting) = (Vec::new(), Vec::new());
    for number in 0..5 {
        machines.push(enrolled_box(&hub, &format!("box-{number}"), Words(number)).await.1);
    }
    for machine in &machines[..4] {
        waiting.push(waits(&hub, machine, 0).await);
    }
    let refused = machines[4].get(&machines[4].of_box("/calls?wait=50")).await;
    expect_problem(refused, ProblemCode::RateLimited).await;
    assert!(machines[4].reads().await);
    waiting.pop().unwrap().abort();
    // Its place is free once the hub has seen that it hung up.
    loop {
        let response = machines[4].get(&machines[4].of_box("/calls?wait=0")).await;
        if response.status() == StatusCode::OK {
            break;
        }
        expect_problem(response, ProblemCode::RateLimited).await;
    }
}
