//! Orders: what a box asks, what operators answer, and what the box says came of it.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tenwords_hub::clock::Clock as _;
use tenwords_protocol::{
    hash::Sha256,
    id::BoxId,
    order::MAX_ORDER_BYTES,
    orders::{Asked, LONGEST, MAX_ANSWERS, MAX_LISTED, MAX_OPEN, OrderState, OutcomeKind},
    problem::ProblemCode,
};

use crate::support::{
    Machine, Operator, TestHub, Words, enrolled_box, expect, expect_problem, on_both_databases, queue::order,
};

on_both_databases![
    an_order_waits_is_answered_and_is_done,
    an_answer_that_the_box_refused_leaves_the_order_waiting,
    what_a_box_says_is_kept_and_what_ended_stays_ended,
    an_order_ends_by_the_hubs_clock,
    a_box_asks_and_hears_for_itself_alone,
    what_the_hub_carries_it_does_not_read,
    what_a_hostile_box_sends_is_refused_and_changes_nothing,
    a_box_has_so_many_orders_open_and_so_many_in_a_day,
    an_order_has_so_many_answers_and_so_much_said_of_it,
    a_list_says_what_it_leaves_out,
    what_a_disk_was_made_to_say_of_an_order_is_not_passed_on,
];

async fn an_order_waits_is_answered_and_is_done(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_id, other) = enrolled_box(hub, "beta", Words(2)).await;
    let first = machine.ask(hub, b"first").await;
    hub.clock.forward(1);
    let second = other.ask(hub, b"second").await;
    let third = machine.ask(hub, b"third").await;
    assert_eq!(operator.waiting().await, [first, second, third]);
    // Asked again, the same, also once its time would be another.
    let again: Asked = expect(machine.try_ask(&order(hub, b"first", 1)).await, StatusCode::OK).await;
    assert_eq!(again.order, first);

    let shown = operator.order(box_id, first).await;
    assert_eq!((shown.order, shown.box_id, Some(shown.node_id)), (first, box_id, machine.node_id));
    assert_eq!((shown.text.0.as_slice(), shown.answers, shown.outcome), (b"first".as_slice(), 0, None));
    assert_eq!((shown.state, shown.expires_at.unix()), (OrderState::Open, hub.clock.now().unix() - 1 + 3600));
    assert_eq!(machine.answers(0, 0).await, []);

    assert_eq!(operator.answer(box_id, third, "an answer").await, 1);
    assert_eq!(operator.answer(box_id, first, "another").await, 2);
    assert_eq!(operator.answer(other_id, second, "a third").await, 1);
    // The answer to it was lost on the way: it is the same one.
    let again = operator.try_answer(box_id, first, "another").await;
    assert_eq!(again.status(), StatusCode::OK);

    hub.restart().await;
    machine.again(hub);
    let operator = Operator::of(hub);
    let got = machine.answers(0, 45).await;
    let got: Vec<_> = got.iter().map(|it| (it.number.get(), it.order, it.signature.as_str())).collect();
    assert_eq!(got, [(1, third, "an answer"), (2, first, "another")]);
    assert_eq!(machine.answers(1, 0).await.len(), 1);
    assert_eq!(machine.answers(u64::MAX, 0).await, []);
    assert_eq!(operator.order(box_id, first).await.state, OrderState::Answered);

    machine.tell(first, OutcomeKind::Used, "the guest is being restored").await;
    let shown = operator.order(box_id, first).await;
    assert_eq!((shown.state, shown.outcome.unwrap().outcome), (OrderState::Answered, OutcomeKind::Used));
    expect_problem(operator.try_answer(box_id, first, "late").await, ProblemCode::Outdated).await;
    machine.tell(first, OutcomeKind::Done, "restored").await;
    let shown = operator.order(box_id, first).await;
    assert_eq!((shown.state, shown.outcome.unwrap().said.as_str()), (OrderState::Done, "restored"));
    assert_eq!(operator.waiting().await, [second, third]);
    let all: Vec<_> = operator.orders("?all=true").await.orders.iter().map(|order| order.order).collect();
    assert_eq!(all, [third, second, first]);

    let said = [
        ("order.asked", vec![format!("{first}, 5 bytes, until {}", shown.expires_at)]),
        ("order.answered", vec![format!("{third}: answer 1"), format!("{first}: answer 2")]),
        ("order.outcome", vec![format!("{first}: used"), format!("{first}: done")]),
    ];
    for (action, details) in said {
        let found = hub.audited(action).await;
        assert!(details.iter().all(|detail| found.contains(detail)), "{action}: {found:?}");
        assert!(!found.iter().any(|row| row.contains("third") || row.contains("restored")), "{found:?}");
    }
    assert_eq!(hub.audited("order.asked").await.len(), 3);
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}

async fn an_answer_that_the_box_refused_leaves_the_order_waiting(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let asked = machine.ask(hub, b"an order").await;
    for round in 1..=3 {
        operator.answer(box_id, asked, &format!("answer {round}")).await;
        assert_eq!(operator.order(box_id, asked).await.state, OrderState::Answered);
        // Said twice, because the hub's answer was lost, it is said once.
        for _ in 0..2 {
            machine.tell(asked, OutcomeKind::Refused, "no pinned key made it").await;
        }
        let shown = operator.order(box_id, asked).await;
        assert_eq!((shown.state, shown.answers), (OrderState::Open, round));
        assert_eq!(shown.outcome.unwrap().said.as_str(), "no pinned key made it");
        assert_eq!(operator.waiting().await, [asked]);
    }
    assert_eq!(hub.audited("order.outcome").await.len(), 3);
}

async fn what_a_box_says_is_kept_and_what_ended_stays_ended(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let ends = [
        (OutcomeKind::Done, OrderState::Done),
        (OutcomeKind::Failed, OrderState::Withdrawn),
        (OutcomeKind::Withdrawn, OrderState::Withdrawn),
    ];
    for (end, state) in ends {
        let asked = machine.ask(hub, format!("{end:?}").as_bytes()).await;
        operator.answer(box_id, asked, "one").await;
        operator.answer(box_id, asked, "two").await;
        machine.tell(asked, OutcomeKind::Used, "one").await;
        // The second answer comes too late, which says nothing of the order.
        machine.tell(asked, OutcomeKind::Refused, "two").await;
        let shown = operator.order(box_id, asked).await;
        assert_eq!((shown.state, shown.outcome.unwrap().outcome), (OrderState::Answered, OutcomeKind::Used));
        machine.tell(asked, end, "\0 over \u{202e}").await;
        machine.tell(asked, end, "\0 over \u{202e}").await;
        for other in [OutcomeKind::Refused, OutcomeKind::Used, OutcomeKind::Withdrawn] {
            expect_problem(machine.try_tell(asked, other, "not so").await, ProblemCode::Outdated).await;
        }
        expect_problem(operator.try_answer(box_id, asked, "three").await, ProblemCode::Outdated).await;
        let shown = operator.order(box_id, asked).await;
        assert_eq!((shown.state, shown.outcome.unwrap().said.as_str()), (state, "\0 over \u{202e}"));
        assert_eq!(operator.waiting().await, []);
        // It asks the same once more: it has ended all the same.
        assert_eq!(machine.try_ask(&order(hub, format!("{end:?}").as_bytes(), 60)).await.status(), StatusCode::OK);
        assert_eq!(operator.order(box_id, asked).await.state, state);
    }
    assert_eq!(hub.audited("order.outcome").await.len(), 3 * ends.len());
}

async fn an_order_ends_by_the_hubs_clock(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    for (seconds, is_taken) in [(0, false), (-1, false), (1, true), (LONGEST as i64, true), (LONGEST as i64 + 1, false)]
    {
        let response = machine.try_ask(&order(hub, format!("{seconds}").as_bytes(), seconds)).await;
        match is_taken {
            true => assert_eq!(response.status(), StatusCode::CREATED, "{seconds}"),
            false => drop(expect_problem(response, ProblemCode::BadRequest).await),
        }
    }
    let (used, waits) = (machine.ask(hub, b"used").await, machine.ask(hub, b"waits").await);
    machine.tell(used, OutcomeKind::Used, "").await;
    hub.clock.forward(3599);
    assert_eq!(operator.waiting().await.len(), 3);
    operator.answer(box_id, waits, "in time").await;
    hub.clock.forward(1);
    assert_eq!(operator.waiting().await.len(), 1);
    assert_eq!(operator.order(box_id, waits).await.state, OrderState::Expired);
    let refused = expect_problem(operator.try_answer(box_id, waits, "late").await, ProblemCode::Outdated).await;
    assert!(refused.problem.detail.unwrap().contains("time is over"));
    // What came in time is still fetched, and what the box did takes as long as it takes.
    assert_eq!(machine.answers(0, 0).await.len(), 1);
    machine.tell(used, OutcomeKind::Done, "").await;
    assert_eq!(operator.order(box_id, used).await.state, OrderState::Done);
}

async fn a_box_asks_and_hears_for_itself_alone(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_id, other) = enrolled_box(hub, "beta", Words(2)).await;
    // The same text of two boxes is two orders.
    let asked = machine.ask(hub, b"an order").await;
    operator.answer(box_id, asked, "for alpha").await;
    let path = format!("/v1/boxes/{other_id}/orders/{asked}");
    expect_problem(operator.send(Method::GET, &path, None::<&()>).await, ProblemCode::NotFound).await;
    expect_problem(operator.try_answer(other_id, asked, "x").await, ProblemCode::NotFound).await;
    expect_problem(other.try_tell(asked, OutcomeKind::Done, "x").await, ProblemCode::NotFound).await;
    assert_eq!(other.ask(hub, b"an order").await, asked);
    other.tell(asked, OutcomeKind::Withdrawn, "").await;
    assert_eq!(other.answers(0, 0).await, []);
    assert_eq!(operator.order(box_id, asked).await.state, OrderState::Answered);

    // Under another box's name nobody asks, hears or says anything, and it is written down.
    let foreign = Machine { box_id: Some(box_id), ..Machine::new(hub) };
    let foreign = Machine { client: other.client.clone(), ..foreign };
    expect_problem(foreign.try_ask(&order(hub, b"forged", 60)).await, ProblemCode::Forbidden).await;
    expect_problem(foreign.try_tell(asked, OutcomeKind::Done, "").await, ProblemCode::Forbidden).await;
    for path in ["/answers?after=0&wait=45", "/pins"] {
        expect_problem(foreign.get(&foreign.of_box(path)).await, ProblemCode::Forbidden).await;
    }
    assert_eq!(hub.audited("request.trespassed").await.len(), 4);
    assert_eq!((operator.waiting().await, hub.audited("order.asked").await.len()), (vec![asked], 2));
    let nobody: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse().unwrap();
    let refused = expect_problem(operator.try_answer(nobody, asked, "x").await, ProblemCode::NotFound).await;
    assert!(refused.problem.detail.unwrap().contains("no box has this id"));
}

async fn what_the_hub_carries_it_does_not_read(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let texts: [&[u8]; 5] = [b"", b"\0\xff\xfe", b"{\"v\":2,\"op\":\"erase\"}", b"{\"v\":1", &[7; MAX_ORDER_BYTES]];
    for text in texts {
        let asked = machine.ask(hub, text).await;
        assert_eq!(operator.order(box_id, asked).await.text.0, text);
    }
    let asked = machine.ask(hub, b"an order").await;
    let long = "\u{10ffff}".repeat(8192);
    let signatures = ["", "\0", "no signature", "\u{1b}[2J\u{202e}\u{10ffff}\r\n\"'\\", long.as_str()];
    for signature in signatures {
        operator.answer(box_id, asked, signature).await;
    }
    let got = machine.answers(0, 0).await;
    let got: Vec<_> = got.iter().map(|answer| answer.signature.as_str()).collect();
    assert_eq!(got, signatures);
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}

async fn what_a_hostile_box_sends_is_refused_and_changes_nothing(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let long = order(hub, &[7; MAX_ORDER_BYTES + 1], 60);
    expect_problem(machine.try_ask(&long).await, ProblemCode::TooLarge).await;
    // The hub may hang up before all of it was sent.
    let endless = machine.client.post(machine.url(&machine.of_box("/orders"))).body(vec![b'x'; 10 << 20]);
    if let Ok(response) = endless.send().await {
        expect_problem(response, ProblemCode::TooLarge).await;
    }
    let (good, text) = (order(hub, b"x", 60), "eA==");
    for (what, body) in [
        ("nothing", json!({})),
        ("another version", json!({"v": 2, "order": text, "expires_at": good.expires_at})),
        ("no end", json!({"v": 1, "order": text})),
        ("no base64", json!({"v": 1, "order": "x", "expires_at": good.expires_at})),
        ("more", json!({"v": 1, "order": text, "expires_at": good.expires_at, "state": "answered"})),
        ("for another", json!({"v": 1, "order": text, "expires_at": good.expires_at, "box_id": box_id})),
        ("no time", json!({"v": 1, "order": text, "expires_at": "for ever"})),
    ] {
        println!("{what}");
        let response = machine.client.post(machine.url(&machine.of_box("/orders"))).json(&body).send().await.unwrap();
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    assert_eq!(operator.orders("?all=true").await.orders.len(), 0);

    let asked = machine.ask(hub, b"an order").await;
    let outcome = machine.url(&machine.of_box(&format!("/orders/{asked}/outcome")));
    for body in [
        json!({"v": 1, "outcome": "answered", "said": ""}),
        json!({"v": 1, "outcome": "done"}),
        json!({"v": 1, "outcome": "done", "said": "x".repeat(401)}),
        json!({"v": 1, "outcome": "done", "said": "", "at": "2026-03-03T12:00:00Z"}),
    ] {
        let response = machine.client.post(&outcome).json(&body).send().await.unwrap();
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    for path in ["/orders/x/outcome".to_owned(), format!("/orders/{}/outcome", asked.to_string().to_uppercase())] {
        let body = json!({"v": 1, "outcome": "done", "said": ""});
        let response = machine.client.post(machine.url(&machine.of_box(&path))).json(&body).send().await.unwrap();
        expect_problem(response, ProblemCode::NotFound).await;
    }
    for query in ["after=x", "wait=46", "after=1&after=2", "more=1"] {
        let response = machine.get(&machine.of_box(&format!("/answers?{query}"))).await;
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    // A box does not answer itself, nor does it see or take back what it asked by another method.
    for (method, path) in [
        (Method::DELETE, "/orders".to_owned()),
        (Method::PUT, format!("/orders/{asked}/outcome")),
        (Method::POST, "/answers".to_owned()),
        (Method::POST, "/pins".to_owned()),
    ] {
        let response = machine.send(method, &machine.of_box(&path)).await;
        expect_problem(response, ProblemCode::MethodNotAllowed).await;
    }
    let itself = machine.send(Method::POST, &machine.of_box(&format!("/orders/{asked}/answers"))).await;
    expect_problem(itself, ProblemCode::NotFound).await;
    let answers = format!("/v1/boxes/{box_id}/orders/{asked}/answers");
    for body in [json!({"v": 1}), json!({"v": 1, "signature": "x".repeat(8193)}), json!({"v": 1, "signature": 1})] {
        expect_problem(operator.send(Method::POST, &answers, Some(&body)).await, ProblemCode::BadRequest).await;
    }
    let refused = operator.send(Method::GET, "/v1/orders?all=1", None::<&()>).await;
    expect_problem(refused, ProblemCode::BadRequest).await;
    let shown = operator.order(box_id, asked).await;
    assert_eq!((shown.state, shown.answers, shown.outcome), (OrderState::Open, 0, None));
}

async fn a_box_has_so_many_orders_open_and_so_many_in_a_day(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    // It is noon.
    let asked = async |number: u64, seconds: i64| machine.try_ask(&order(hub, &number.to_be_bytes(), seconds)).await;
    let mut orders = Vec::new();
    for number in 0..MAX_OPEN as u64 {
        assert_eq!(asked(number, 60 + number as i64).await.status(), StatusCode::CREATED);
        orders.push(Sha256::of(&number.to_be_bytes()));
    }
    let refused = expect_problem(asked(1000, 60).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(60));
    assert_eq!(hub.audited("order.refused").await, ["too many wait already"]);
    // What was asked is still known, another box is not held up, and each way in which one ends makes room.
    assert_eq!(asked(0, 60).await.status(), StatusCode::OK);
    other.ask(hub, b"another box's").await;
    machine.tell(orders[63], OutcomeKind::Withdrawn, "").await;
    assert_eq!(asked(100, 600).await.status(), StatusCode::CREATED);
    hub.clock.forward(60);
    assert_eq!(asked(101, 600).await.status(), StatusCode::CREATED);
    expect_problem(asked(102, 600).await, ProblemCode::RateLimited).await;

    hub.clock.forward(600);
    for number in 200..200 + 200 - 66 {
        let response = asked(number, 600).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{number}");
        machine.tell(Sha256::of(&number.to_be_bytes()), OutcomeKind::Withdrawn, "").await;
    }
    let refused = expect_problem(asked(1000, 60).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(12 * 3600 - 660));
    hub.clock.forward(12 * 3600 - 660);
    assert_eq!(asked(1000, 60).await.status(), StatusCode::CREATED);
}

async fn an_order_has_so_many_answers_and_so_much_said_of_it(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (asked, other) = (machine.ask(hub, b"an order").await, machine.ask(hub, b"another").await);
    for number in 1..=MAX_ANSWERS as u64 {
        assert_eq!(operator.answer(box_id, asked, &format!("answer {number}")).await, number);
    }
    let refused = expect_problem(operator.try_answer(box_id, asked, "more").await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(3600));
    assert_eq!(operator.try_answer(box_id, asked, "answer 3").await.status(), StatusCode::OK);
    assert_eq!(operator.answer(box_id, other, "more").await, MAX_ANSWERS as u64 + 1);

    for number in 0..32 {
        machine.tell(asked, OutcomeKind::Refused, &format!("{number}")).await;
    }
    for kind in [OutcomeKind::Refused, OutcomeKind::Used] {
        expect_problem(machine.try_tell(asked, kind, "more").await, ProblemCode::RateLimited).await;
    }
    machine.tell(asked, OutcomeKind::Withdrawn, "enough").await;
    assert_eq!(operator.order(box_id, asked).await.state, OrderState::Withdrawn);
    assert_eq!(hub.audited("order.outcome").await.len(), 33);
}

async fn a_list_says_what_it_leaves_out(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let boxes = MAX_LISTED / MAX_OPEN + 1;
    for number in 0..boxes {
        let (_, machine) = enrolled_box(hub, &format!("box{number}"), Words(1)).await;
        for order in 0..MAX_OPEN {
            machine.ask(hub, format!("{number} {order}").as_bytes()).await;
        }
        if number == 0 {
            machine.tell(Sha256::of(b"0 0"), OutcomeKind::Withdrawn, "").await;
        }
    }
    let (waiting, all) = (operator.orders("").await, operator.orders("?all=true").await);
    assert_eq!((waiting.orders.len(), waiting.left_out), (MAX_LISTED, MAX_OPEN as u64 - 1));
    assert_eq!((all.orders.len(), all.left_out), (MAX_LISTED, MAX_OPEN as u64));
    assert_eq!(waiting.orders[0].text.0, b"0 1");
    assert_eq!(all.orders[0].text.0, format!("{} {}", boxes - 1, MAX_OPEN - 1).as_bytes());
}

/// Triggers are for our own code. Whoever has the disk can drop them, and is found out by the hash.
async fn what_a_disk_was_made_to_say_of_an_order_is_not_passed_on(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let asked = machine.ask(hub, b"an order").await;
    let pool = hub.sql().await;
    let drop = match hub.backend() {
        tenwords_hub::store::Backend::Postgres => "DROP TRIGGER orders_append_only ON orders",
        tenwords_hub::store::Backend::Sqlite => "DROP TRIGGER orders_no_update",
    };
    sqlx::query(drop).execute(&pool).await.unwrap();
    sqlx::query("UPDATE orders SET body = $1").bind(b"another order".to_vec()).execute(&pool).await.unwrap();
    for path in [format!("/v1/boxes/{box_id}/orders/{asked}"), "/v1/orders".to_owned()] {
        expect_problem(operator.send(Method::GET, &path, None::<&()>).await, ProblemCode::Internal).await;
    }
}
