//! What nodes say, and how their boxes stand by it.

use reqwest::{Response, StatusCode};
use serde_json::json;
use tenwords_hub::{
    clock::Clock as _,
    store::{KEPT_DAYS, Stand},
};
use tenwords_protocol::{
    bounded::{List, Text},
    hash::Sha256,
    id::BoxId,
    inventory::{Coverage, Crypt, SourceState, Verified},
    nodes::KeeperRequest,
    problem::ProblemCode,
    readiness::{ReasonCode, State},
    report::{
        Alarm, AlarmCode, Escrowed, GroupFact, HeldEscrow, KeyFact, Machine as Node, Observed, Pruning, Report,
        ReportReply, SecondHolder, Signature, SnapshotFact, SourceFact,
    },
    time::Timestamp,
    v1::V1,
    version::Grade,
};

use crate::support::{
    Machine, Operator, TestHub, Words, ceremony, enrolled_box, expect, expect_problem, on_both_databases,
};

on_both_databases![
    a_box_stands_by_what_it_says_and_by_what_the_hub_has,
    silence_is_noticed_without_any_request,
    what_a_keeper_could_not_look_at_stays_as_it_was,
    a_node_reports_every_ten_seconds_at_most,
    s19_a_hub_that_has_lost_a_version_says_so,
    another_machine_with_the_same_identity_is_told_to_everybody,
    how_a_box_stood_is_kept_for_400_days_of_the_hub_and_no_clock_shortens_them,
    a_report_that_cannot_be_read_or_is_too_large_is_refused,
    a_lying_box_gets_no_better_word_than_the_hubs_own_facts_allow,
    only_the_keeper_says_how_the_box_stands,
    a_box_that_flaps_or_makes_words_up_does_not_fill_its_history,
    an_older_look_does_not_overtake_a_newer_one,
    a_machine_that_came_by_a_recovery_is_called_as_it_calls_itself,
];

fn list<T, const MAX: usize>(items: impl IntoIterator<Item = T>) -> List<T, MAX> {
    List::cut(items).0
}

/// What a box says of which nothing is wrong, by the ceremony of [`enrolled_box`].
fn observed(hub: &TestHub, box_id: BoxId, words: Words) -> Observed {
    let now = hub.clock.now();
    let bundle = ceremony(box_id, 1, words);
    let keys: Vec<_> = bundle.header().keys().collect();
    let newest = SnapshotFact {
        time: now,
        crypt: Crypt::Encrypt,
        key: keys.first().copied(),
        verified: Verified::Never,
        signature: Signature::Good,
    };
    Observed {
        escrow: Some(HeldEscrow {
            ceremony: std::num::NonZeroU64::MIN,
            newest: std::num::NonZeroU64::MIN,
            root_sha256: bundle.header().facts().root_sha256,
            second_holder: SecondHolder::Agrees,
        }),
        keys: list(keys.into_iter().map(|fingerprint| KeyFact {
            fingerprint,
            in_use: true,
            snapshots: 1,
            held: true,
            escrowed: Some(Escrowed { grade: Grade::Proven, since: now }),
            since: now,
        })),
        sources: list([SourceFact {
            id: Text::cut("pbs"),
            state: SourceState::InUse,
            in_escrow: true,
            answered_at: Some(now),
            pruning: Pruning::Cannot,
            since: now,
        }]),
        servers_asked_at: Some(now),
        groups: list([GroupFact {
            group: "ct/101".parse().unwrap(),
            name: Some(Text::cut("mail")),
            coverage: Coverage::Source,
            exempt: false,
            interval: Some(86_400),
            newest: Some(newest),
            signed_at: Some(now),
            since: now,
        }]),
        ..Observed::default()
    }
}

fn report(hub: &TestHub, boot: &str, uptime: u64, observed: Option<Observed>) -> Report {
    Report {
        v: V1,
        made_at: hub.clock.now(),
        machine: Node {
            name: Text::cut("pve1"),
            agent_version: Text::cut("0.1.0"),
            client_version: None,
            boot_id: Text::cut(boot),
            uptime,
            keeper: None,
        },
        observed,
        alarms: List::default(),
        alarms_left_out: 0,
    }
}

async fn try_report(machine: &Machine, report: &Report) -> Response {
    machine.client.post(machine.url(&machine.of_box("/reports"))).json(report).send().await.unwrap()
}

async fn reported(machine: &Machine, report: &Report) -> ReportReply {
    expect(try_report(machine, report).await, StatusCode::OK).await
}

async fn read_metrics(hub: &TestHub) -> String {
    let response = hub.client(None).get(format!("http://{}/metrics", hub.health)).send().await.unwrap();
    response.text().await.unwrap()
}

fn codes(reply: &ReportReply) -> Vec<&str> {
    reply.readiness.reasons.iter().map(|reason| reason.code.as_str()).collect()
}

async fn a_box_stands_by_what_it_says_and_by_what_the_hub_has(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let operator = Operator::of(hub);
    let before = operator.show(id).await.readiness.unwrap();
    assert_eq!((before.state, &before.reasons[0].code), (State::AtRisk, &ReasonCode::NothingSaid));
    let good = observed(hub, id, Words(1));
    let reply = reported(&machine, &report(hub, "a", 1, Some(good.clone()))).await;
    assert_eq!((reply.readiness.state, codes(&reply)), (State::Ready, vec![]));
    assert_eq!(reply.newest.map(std::num::NonZeroU64::get), Some(1));
    assert_eq!(reply.hub_time, hub.clock.now());

    let mut bad = good;
    bad.groups = list([GroupFact { coverage: Coverage::None, ..bad.groups[0].clone() }]);
    let mut said = report(hub, "a", 20, Some(bad));
    said.alarms = list([Alarm { code: AlarmCode::KeyFileGone, subject: Text::cut("pbs"), since: hub.clock.now() }]);
    hub.clock.forward(20);
    assert_eq!(codes(&reported(&machine, &said).await), ["not-covered", "key-file-gone"]);

    hub.restart().await;
    let shown = Operator::of(hub).show(id).await;
    let readiness = shown.readiness.unwrap();
    assert_eq!((readiness.state, readiness.reasons.len()), (State::AtRisk, 2));
    assert_eq!(readiness.reasons[0].subjects[0].as_str(), "ct/101 mail");
    assert_eq!(shown.in_state_since, Some(hub.clock.now()));
}

async fn silence_is_noticed_without_any_request(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    reported(&machine, &report(hub, "a", 1, Some(observed(hub, id, Words(1))))).await;
    hub.clock.forward(25 * 3600);
    let readiness = Operator::of(hub).show(id).await.readiness.unwrap();
    assert!(readiness.reasons.iter().any(|reason| reason.code == ReasonCode::BoxSilent), "{readiness:?}");
    // The look that nobody asks for is made at each start, and written down.
    hub.restart().await;
    let mut metrics = read_metrics(hub).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !metrics.contains("tenwords_hub_boxes{state=\"at-risk\"} 1\n") {
        assert!(std::time::Instant::now() < deadline, "nobody has looked: {metrics}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        metrics = read_metrics(hub).await;
    }
    assert!(metrics.contains("tenwords_hub_box_reasons{reason=\"box-silent\"} 1\n"), "{metrics}");
    let looked_at = hub.clock.now().unix();
    assert!(metrics.contains(&format!("tenwords_hub_last_look_timestamp_seconds {looked_at}\n")), "{metrics}");
    assert!(!metrics.contains("alpha"), "a box's name stands on a page without any identity");
}

async fn what_a_keeper_could_not_look_at_stays_as_it_was(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    reported(&machine, &report(hub, "a", 1, Some(observed(hub, id, Words(1))))).await;
    hub.clock.forward(3600);
    let reply = reported(&machine, &report(hub, "a", 3601, None)).await;
    assert_eq!(reply.readiness.state, State::Ready, "an hour without a look is no reason");
    hub.clock.forward(24 * 3600);
    let reply = reported(&machine, &report(hub, "a", 90_001, None)).await;
    assert!(codes(&reply).contains(&"box-silent"), "a day without a look is: {reply:?}");
}

async fn a_node_reports_every_ten_seconds_at_most(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    reported(&machine, &report(hub, "a", 1, None)).await;
    hub.clock.forward(4);
    let refused =
        expect_problem(try_report(&machine, &report(hub, "a", 5, None)).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(6));
    hub.clock.forward(6);
    reported(&machine, &report(hub, "a", 11, None)).await;
    // A clock that was set back keeps nobody waiting.
    hub.clock.back(60);
    reported(&machine, &report(hub, "a", 12, None)).await;
}

async fn s19_a_hub_that_has_lost_a_version_says_so(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut said = observed(hub, id, Words(1));
    if let Some(escrow) = &mut said.escrow {
        escrow.newest = std::num::NonZeroU64::new(3).unwrap();
    }
    let reply = reported(&machine, &report(hub, "a", 1, Some(said.clone()))).await;
    assert_eq!((codes(&reply), reply.newest.map(std::num::NonZeroU64::get)), (vec!["versions-lost"], Some(1)));
    if let Some(escrow) = &mut said.escrow {
        (escrow.ceremony, escrow.root_sha256) = (escrow.newest, Sha256::of(b"a later one"));
    }
    hub.clock.forward(10);
    assert_eq!(codes(&reported(&machine, &report(hub, "a", 11, Some(said))).await), ["versions-lost"]);
    assert_eq!(Operator::of(hub).show(id).await.readiness.unwrap().state, State::AtRisk);
}

async fn another_machine_with_the_same_identity_is_told_to_everybody(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let good = observed(hub, id, Words(1));
    for (boot, uptime) in [("a", 1), ("b", 1), ("b", 20)] {
        let reply = reported(&machine, &report(hub, boot, uptime, Some(good.clone()))).await;
        assert_eq!(codes(&reply), Vec::<&str>::new(), "a machine that was started anew");
        hub.clock.forward(10);
    }
    let reply = reported(&machine, &report(hub, "a", 60, Some(good.clone()))).await;
    assert_eq!(codes(&reply), ["clone"], "a start that was over has come back");
    hub.restart().await;
    assert_eq!(Operator::of(hub).show(id).await.readiness.unwrap().reasons[0].code, ReasonCode::Clone);
}

async fn how_a_box_stood_is_kept_for_400_days_of_the_hub_and_no_clock_shortens_them(hub: &mut TestHub) {
    let (id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let store = hub.store().await;
    let begin = store.history(id).await.unwrap().len();
    let stand = async |state: State, reasons: &str| {
        let now = hub.clock.now();
        store.perform(Stand { found: vec![(id, state, reasons.to_owned())], now }).await.unwrap();
        store.history(id).await.unwrap()
    };
    stand(State::Ready, "").await;
    stand(State::Ready, "").await;
    let two = stand(State::AtRisk, "box-silent").await;
    assert_eq!(two.len(), begin + 2, "what has not changed is written twice: {two:?}");
    // Ten years forward and back again: one day more, and nothing goes.
    hub.clock.forward(3650 * 86_400);
    stand(State::Unprotected, "key-not-escrowed").await;
    hub.clock.back(3650 * 86_400);
    let four = stand(State::AtRisk, "box-silent").await;
    assert_eq!(four.len(), begin + 4, "a clock that jumped has taken something away: {four:?}");
    for _ in 0..=KEPT_DAYS {
        hub.clock.forward(86_400);
        stand(State::AtRisk, "box-silent").await;
    }
    let left = store.history(id).await.unwrap();
    assert_eq!(left.len(), 1, "what stands stays, and what is older than 400 days goes: {left:?}");
    assert_eq!((left[0].state, left[0].reasons.as_str()), (State::AtRisk, "box-silent"));
    store.close().await;
}

async fn a_report_that_cannot_be_read_or_is_too_large_is_refused(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let path = machine.url(&machine.of_box("/reports"));
    let good = serde_json::to_value(report(hub, "a", 1, None)).unwrap();
    for (what, change) in [
        ("another version", json!({"v": 2})),
        ("no machine", json!({"machine": null})),
        (
            "a list that is too long",
            json!({"alarms": vec![json!({"code": "x", "subject": "", "since": hub.clock.now().to_string()}); 129]}),
        ),
        (
            "a text that is too long",
            json!({"alarms": [{"code": "x", "subject": "y".repeat(129), "since": hub.clock.now().to_string()}]}),
        ),
    ] {
        let mut text = good.clone();
        text.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = machine.client.post(&path).json(&text).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{what}");
    }
    let large = machine.client.post(&path).body(vec![b' '; (4 << 20) + 1]).send().await.unwrap();
    expect_problem(large, ProblemCode::TooLarge).await;
    // A field and a word of tomorrow silence nobody.
    let mut text = good;
    text["of_tomorrow"] = json!({"x": 1});
    text["alarms"] = json!([{"code": "of-tomorrow", "subject": "", "since": hub.clock.now().to_string()}]);
    let answer = machine.client.post(&path).json(&text).send().await.unwrap();
    let reply: ReportReply = expect(answer, StatusCode::OK).await;
    assert!(codes(&reply).contains(&"of-tomorrow"));
}

async fn a_lying_box_gets_no_better_word_than_the_hubs_own_facts_allow(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut lie = observed(hub, id, Words(1));
    // A key that no ceremony of it has, said to be proven.
    let other = KeyFact {
        fingerprint: "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"
            .parse()
            .unwrap(),
        ..lie.keys[0].clone()
    };
    lie.keys = list([lie.keys[0].clone(), other]);
    let reply = reported(&machine, &report(hub, "a", 1, Some(lie))).await;
    assert_eq!((reply.readiness.state, codes(&reply)), (State::Unprotected, vec!["key-not-escrowed"]));
    let now: Timestamp = hub.clock.now();
    assert_eq!(reply.hub_time, now);
}

async fn only_the_keeper_says_how_the_box_stands(hub: &mut TestHub) {
    let (id, first) = enrolled_box(hub, "alpha", Words(1)).await;
    let operator = Operator::of(hub);
    let good = observed(hub, id, Words(1));
    let mut bad = good.clone();
    bad.groups = list([GroupFact { coverage: Coverage::None, ..bad.groups[0].clone() }]);
    // The only node speaks for the box, also if nobody has said that it escrows.
    assert_eq!(codes(&reported(&first, &report(hub, "a", 1, Some(bad.clone()))).await), ["not-covered"]);
    let mut second = Machine { hostname: "pve2".to_owned(), ..Machine::new(hub) };
    second.enroll(hub, &operator.ticket(id).await).await;
    // Another one does not talk over it, whoever escrows.
    let of_second = |uptime: u64| report(hub, "b", uptime, Some(good.clone()));
    assert_eq!(codes(&reported(&second, &of_second(1)).await), ["not-covered"]);
    let escrows = async |who: &Machine| {
        let request = KeeperRequest { v: V1, node_id: who.node_id.unwrap() };
        let put = who.client.put(who.url(&who.of_box("/keeper"))).json(&request).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::NO_CONTENT);
    };
    escrows(&first).await;
    hub.clock.forward(10);
    assert_eq!(codes(&reported(&second, &of_second(11)).await), ["not-covered"]);
    escrows(&second).await;
    hub.clock.forward(10);
    assert_eq!(codes(&reported(&second, &of_second(21)).await), Vec::<&str>::new());
    assert_eq!(codes(&reported(&first, &report(hub, "a", 21, Some(bad.clone()))).await), Vec::<&str>::new());
    // The keeper is taken out: the one that is left speaks.
    let path = format!("/v1/boxes/{id}/nodes/{}", second.node_id.unwrap());
    operator.send(reqwest::Method::DELETE, &path, None::<&()>).await;
    hub.clock.forward(10);
    assert_eq!(codes(&reported(&first, &report(hub, "a", 31, Some(bad))).await), ["not-covered"]);
}

async fn a_box_that_flaps_or_makes_words_up_does_not_fill_its_history(hub: &mut TestHub) {
    let (id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut said = report(hub, "a", 1, Some(observed(hub, id, Words(1))));
    said.alarms = list(["sunspots", "moonshine"].map(|word| Alarm {
        code: AlarmCode::Unknown(word.to_owned()),
        subject: Text::cut(""),
        since: hub.clock.now(),
    }));
    assert_eq!(reported(&machine, &said).await.readiness.reasons.len(), 2);
    let store = hub.store().await;
    assert_eq!(store.history(id).await.unwrap()[0].reasons, "other");
    let stand = async |state: State, reasons: String| {
        store.perform(Stand { found: vec![(id, state, reasons)], now: hub.clock.now() }).await.unwrap();
        store.history(id).await.unwrap()
    };
    let mut history = Vec::new();
    for number in 0..100 {
        history = stand(State::AtRisk, format!("reason-{number}")).await;
    }
    assert_eq!(history.len(), 48);
    assert_eq!(history[0].reasons, "reason-99", "the newest is what stands");
    hub.clock.forward(86_400);
    assert_eq!(stand(State::Unprotected, "key-not-escrowed".to_owned()).await.len(), 49);
    store.close().await;
}

async fn an_older_look_does_not_overtake_a_newer_one(hub: &mut TestHub) {
    let (id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let store = hub.store().await;
    let stand = async |state: State, now: Timestamp| {
        store.perform(Stand { found: vec![(id, state, String::new())], now }).await.unwrap();
        store.history(id).await.unwrap()[0].state
    };
    let now = hub.clock.now();
    let later = now.plus(std::time::Duration::from_secs(5));
    assert_eq!(stand(State::Unprotected, later).await, State::Unprotected);
    assert_eq!(stand(State::Ready, now).await, State::Unprotected);
    assert_eq!(stand(State::Ready, later).await, State::Ready);
    store.close().await;
}

async fn a_machine_that_came_by_a_recovery_is_called_as_it_calls_itself(hub: &mut TestHub) {
    let (id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let operator = Operator::of(hub);
    let mut new = Machine::new(hub);
    new.claim(hub, &operator.arm(id, |_| ()).await).await;
    new.prove(hub, Words(1), 1).await;
    let mut second = Machine { hostname: "pve2".to_owned(), ..Machine::new(hub) };
    second.enroll(hub, &operator.ticket(id).await).await;
    let named = async |hub: &TestHub, name: &str, uptime: u64| {
        hub.clock.forward(10);
        let mut said = report(hub, "a", uptime, None);
        said.machine.name = Text::cut(name);
        reported(&new, &said).await;
        let nodes = operator.show(id).await.nodes;
        let of_new = nodes.iter().find(|node| Some(node.node_id) == new.node_id).unwrap();
        of_new.hostname.as_str().to_owned()
    };
    // Not by what is no name, and not by a living node's.
    assert_eq!(named(hub, "a name with blanks", 10).await, "");
    assert_eq!(named(hub, "PVE2", 20).await, "");
    assert_eq!(named(hub, "pve1", 30).await, "pve1");
    // Once it has one it keeps it, as every node does.
    assert_eq!(named(hub, "pve7", 40).await, "pve1");
}
