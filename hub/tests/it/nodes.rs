//! Several nodes are one box, and a node that is installed anew is the same node.

use reqwest::{Method, Response, StatusCode};
use tenwords_protocol::{
    id::NodeId,
    nodes::{KeeperRequest, MAX_NODES, NodeList, NodeState},
    problem::ProblemCode,
    v1::V1,
};

use crate::support::{
    Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases, update,
};

on_both_databases![
    s49_a_node_that_is_installed_anew_is_the_same_node_of_the_same_box,
    a_machine_that_calls_itself_as_a_node_does_not_take_its_place,
    s58_several_nodes_are_one_box_with_one_history,
    the_box_says_which_node_escrows,
    a_node_that_is_taken_out_is_told_so,
    a_box_has_so_many_nodes,
];

fn named(hub: &TestHub, hostname: &str) -> Machine {
    Machine { hostname: hostname.to_owned(), ..Machine::new(hub) }
}

async fn keeper(machine: &Machine, node_id: NodeId) -> Response {
    let request = KeeperRequest { v: V1, node_id };
    machine.client.put(machine.url(&machine.of_box("/keeper"))).json(&request).send().await.unwrap()
}

async fn nodes(machine: &Machine) -> NodeList {
    expect(machine.get(&machine.of_box("/nodes")).await, StatusCode::OK).await
}

async fn s49_a_node_that_is_installed_anew_is_the_same_node_of_the_same_box(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    // Two spellings are one host.
    let mut new = named(hub, "PVE1.Example");
    let reply = new.enroll(hub, &operator.reinstall(box_id, "pve1.EXAMPLE").await).await;
    assert_eq!((reply.box_id, reply.node_id), (box_id, old.node_id.unwrap()));
    assert!(old.reads().await, "the new installation has not spoken yet");
    assert!(new.reads().await && !old.reads().await);
    let boxes = operator.boxes().await;
    assert_eq!((boxes.len(), boxes[0].nodes.len(), boxes[0].versions), (1, 1, 1));
    new.push(&update(box_id, 2, Words(1))).await;
    let refused = expect_problem(old.get(&old.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    assert!(refused.problem.detail.unwrap().contains("enrolled anew"));
    assert!(hub.audited("box.enroll").await[1].contains("installed anew"));
}

async fn a_machine_that_calls_itself_as_a_node_does_not_take_its_place(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.ticket(box_id).await;
    for name in ["pve1.example", "PVE1.Example"] {
        let refused = expect_problem(named(hub, name).try_enroll(&ticket).await, ProblemCode::Conflict).await;
        assert!(refused.problem.detail.unwrap().contains("tenwords box ticket NAME --reinstall HOST"));
    }
    assert!(old.reads().await);
    assert!(hub.audited("enroll.refused").await[0].contains("pve1.example is a node whose certificate holds"));
    // One that is for another host lets neither in, and the first one is not spent.
    let other = operator.reinstall(box_id, "pve2").await;
    expect_problem(named(hub, "pve1.example").try_enroll(&other).await, ProblemCode::TicketRefused).await;
    named(hub, "pve3").enroll(hub, &ticket).await;
    // Whose certificate has ended needs no such ticket.
    let late = operator.ticket(box_id).await;
    hub.clock.forward(86_399);
    expect_problem(named(hub, "pve1.example").try_enroll(&late).await, ProblemCode::Conflict).await;
    hub.clock.forward(90 * 86_400);
    hub.restart().await;
    let mut again = named(hub, "pve1.example");
    assert_eq!(Some(again.enroll(hub, &Operator::of(hub).ticket(box_id).await).await.node_id), old.node_id);
}

async fn s58_several_nodes_are_one_box_with_one_history(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let (mut second, mut third) = (named(hub, "pve2"), named(hub, "pve3"));
    for machine in [&mut second, &mut third] {
        machine.enroll(hub, &operator.ticket(box_id).await).await;
        assert_ne!(machine.node_id, first.node_id);
    }
    second.push(&update(box_id, 2, Words(1))).await;
    hub.clock.forward(600);
    assert!(third.reads().await);
    let shown = &operator.boxes().await[0];
    assert_eq!((shown.versions, shown.nodes.len()), (2, 3));
    let ids = |nodes: &[NodeState]| nodes.iter().map(|node| node.node_id).collect::<Vec<_>>();
    assert_eq!(ids(&nodes(&first).await.nodes), ids(&shown.nodes));
    let seen: Vec<_> = shown.nodes.iter().map(|node| (node.hostname.as_str(), node.last_seen)).collect();
    let latest = seen.iter().map(|(_, seen)| *seen).max().unwrap();
    assert_eq!(seen.iter().filter(|(_, seen)| *seen == latest).map(|(name, _)| *name).collect::<Vec<_>>(), ["pve3"]);
    // The whole box is lost: one code, one recovery, and all of them are former machines.
    let mut new = Machine::new(hub);
    new.claim(hub, &operator.arm(box_id, |_| ()).await).await;
    assert_eq!(new.prove(hub, Words(1), 1).await.revoked, 3);
    for former in [&first, &second, &third] {
        expect_problem(former.get(&former.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    }
    let left: Vec<_> = operator.show(box_id).await.nodes.iter().map(|node| node.node_id).collect();
    assert_eq!(left, [new.node_id.unwrap()]);
}

async fn the_box_says_which_node_escrows(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, stranger) = enrolled_box(hub, "beta", Words(2)).await;
    let mut second = named(hub, "pve2");
    second.enroll(hub, &operator.ticket(box_id).await).await;
    assert_eq!(operator.show(box_id).await.keeper, None);
    for (who, which) in [(&first, &first), (&first, &first), (&first, &second), (&second, &first)] {
        assert_eq!(keeper(who, which.node_id.unwrap()).await.status(), StatusCode::NO_CONTENT);
        assert_eq!(operator.show(box_id).await.keeper, which.node_id);
        assert_eq!(nodes(&second).await.keeper, which.node_id);
    }
    assert_eq!(hub.audited("keeper.set").await.len(), 3, "what changes nothing is no row");
    expect_problem(keeper(&first, stranger.node_id.unwrap()).await, ProblemCode::NotFound).await;
    for round in 4..48 {
        let which = if round % 2 == 0 { &second } else { &first };
        assert_eq!(keeper(&first, which.node_id.unwrap()).await.status(), StatusCode::NO_CONTENT, "{round}");
    }
    let refused = expect_problem(keeper(&first, first.node_id.unwrap()).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(86_400));
}

async fn a_node_that_is_taken_out_is_told_so(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut second = named(hub, "pve2");
    second.enroll(hub, &operator.ticket(box_id).await).await;
    keeper(&first, second.node_id.unwrap()).await;
    let remove = |node_id: NodeId| format!("/v1/boxes/{box_id}/nodes/{node_id}");
    let path = remove(second.node_id.unwrap());
    for _ in 0..2 {
        let response = operator.send(Method::DELETE, &path, None::<&()>).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    let refused = expect_problem(second.get(&second.of_box("/nodes")).await, ProblemCode::CertificateRevoked).await;
    assert!(refused.problem.detail.unwrap().contains("taken this node out"));
    let shown = operator.show(box_id).await;
    assert_eq!((shown.nodes.len(), shown.keeper), (1, None));
    assert!(first.reads().await);
    assert_eq!(hub.audited("node.remove").await.len(), 1);
    let nobody = remove("b2a1c0d9-e8f7-4655-8443-322110ffeedd".parse().unwrap());
    expect_problem(operator.send(Method::DELETE, &nobody, None::<&()>).await, ProblemCode::NotFound).await;
    // It may come back, as the node that it was.
    let mut again = named(hub, "pve2");
    assert_eq!(Some(again.enroll(hub, &operator.ticket(box_id).await).await.node_id), second.node_id);
}

async fn a_box_has_so_many_nodes(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    for number in 2..=MAX_NODES {
        let mut machine = named(hub, &format!("pve{number}"));
        machine.enroll(hub, &operator.ticket(box_id).await).await;
    }
    assert_eq!(nodes(&first).await.nodes.len(), MAX_NODES);
    let (ticket, mut late) = (operator.ticket(box_id).await, named(hub, "late"));
    for _ in 0..2 {
        // The ticket is not spent by the refusal.
        expect_problem(late.try_enroll(&ticket).await, ProblemCode::Conflict).await;
    }
    // One that is installed anew has its place.
    let mut anew = named(hub, "pve7");
    anew.enroll(hub, &operator.reinstall(box_id, "pve7").await).await;
    let path = format!("/v1/boxes/{box_id}/nodes/{}", anew.node_id.unwrap());
    operator.send(Method::DELETE, &path, None::<&()>).await;
    late.enroll(hub, &operator.ticket(box_id).await).await;
}
