//! Drills: what a box proves while it lives, and what it cannot claim.

use std::num::NonZeroU64;

use serde_json::{Value, json};
use tenwords_hub::{
    clock::Clock as _,
    store::{Drill, DrillOutcome, TakeNonce, TakeNonceOutcome, Unproven},
};
use tenwords_protocol::{
    bounded::{List, Text},
    bytes::Base64Array,
    drill::{DrillRequest, DrilledArchive, Drills, Phase},
    problem::ProblemCode,
    time::Timestamp,
    words::{Nonce, Purpose},
};

use crate::support::{Machine, Operator, TestHub, Words, ceremony, enrolled_box, expect_problem, on_both_databases};

on_both_databases![
    the_newest_drill_of_each_level_is_shown,
    a_drills_proof_is_taken_once_and_for_one_certificate_only,
    what_the_box_sent_is_kept_with_its_proof_whatever_its_phases_are_called,
    two_at_once_with_one_nonce_are_one_drill,
    each_drill_is_proven_with_its_versions_own_key,
    a_drills_nonce_serves_no_recovery_and_the_reverse,
    a_drill_is_the_boxs_own,
    what_lost_its_right_while_it_asked_gets_nothing,
    unused_nonces_are_few_however_often_a_box_asks,
    the_forty_ninth_drill_of_a_day_waits_for_the_next,
    a_drill_that_does_not_hang_together_is_not_read,
];

fn archive(files: u64) -> DrilledArchive {
    DrilledArchive {
        source: "pbs".parse().unwrap(),
        snapshot: "ct/101/2026-03-03T02:30:00Z".parse().unwrap(),
        archive: "root.pxar".parse().unwrap(),
        bytes: u64::MAX,
        files,
    }
}

async fn drills_of(hub: &TestHub, machine: &Machine) -> Option<Drills> {
    Operator::of(hub).show(machine.box_id.unwrap()).await.drills
}

async fn refused(machine: &Machine, request: &DrillRequest) {
    let refused = expect_problem(machine.try_drill(request).await, ProblemCode::ProofRefused).await;
    assert!(refused.problem.detail.is_some_and(|detail| detail.contains("new nonce")));
}

async fn the_newest_drill_of_each_level_is_shown(hub: &mut TestHub) {
    let (_, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    assert_eq!(drills_of(hub, &machine).await, None);
    machine.drill(hub, Words(1), None).await;
    let only = drills_of(hub, &machine).await.unwrap();
    assert_eq!((only.words.is_some(), only.archive), (true, None));
    for files in [1, 2] {
        hub.clock.forward(60);
        machine.drill(hub, Words(1), Some(archive(files))).await;
    }
    hub.clock.forward(60);
    let words = machine.drill(hub, Words(1), None).await;
    assert_eq!(words.recorded_at, hub.clock.now());

    hub.restart().await;
    machine.again(hub);
    let Drills { words: Some(words), archive: Some(shown) } = drills_of(hub, &machine).await.unwrap() else {
        panic!("one of each")
    };
    let one = NonZeroU64::MIN;
    assert_eq!((words.at, words.version, words.code_number), (hub.clock.now(), one, one));
    assert_eq!((shown.at.unix(), shown.version, shown.code_number), (hub.clock.now().unix() - 60, one, one));
    let practised = archive(2);
    assert_eq!((shown.source, shown.snapshot), (practised.source, practised.snapshot));
    assert_eq!((shown.archive, shown.bytes, shown.files), (practised.archive, u64::MAX, 2));
    assert_eq!(drills_of(hub, &other).await, None);

    let audited = hub.audited("drill.archive").await;
    let said = format!("; root.pxar of ct/101/2026-03-03T02:30:00Z from pbs: {} bytes in 2 files", u64::MAX);
    assert_eq!(audited.len(), 2);
    assert!(audited[1].ends_with(&said) && audited[1].contains(&machine.serial()), "{audited:?}");
    assert_eq!(hub.audited("drill.words").await.len(), 2);
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
}

async fn a_drills_proof_is_taken_once_and_for_one_certificate_only(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(1)).await;
    let nonce = machine.drill_nonce().await;
    let good = machine.drill_with(hub, nonce, (Words(1), 1), None);
    let with = |change: fn(&mut DrillRequest)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let signed = |seconds: i64, spki_sha256, purpose| {
        let time = Timestamp::from_unix(hub.clock.now().unix() + seconds).unwrap();
        let proof = Words(1).prove(box_id, 1, nonce, time, spki_sha256, purpose);
        DrillRequest { proof, ..good.clone() }
    };
    let own = machine.spki_sha256();
    let mut other_purpose = signed(0, own, Purpose::DrillArchive);
    other_purpose.proof.purpose = Purpose::DrillWords;
    let cases = [
        ("another signature", with(|r| r.proof.signature.0[0] ^= 1)),
        ("another nonce", with(|r| r.proof.nonce.0[0] ^= 1)),
        ("another box's nonce", machine.drill_with(hub, other.drill_nonce().await, (Words(1), 1), None)),
        ("a version that is not there", machine.drill_with(hub, nonce, (Words(1), 2), None)),
        ("beyond all versions", machine.drill_with(hub, nonce, (Words(1), u64::MAX), None)),
        ("another version than was signed", with(|r| r.proof.version = NonZeroU64::MAX)),
        ("other words", machine.drill_with(hub, nonce, (Words(2), 1), None)),
        ("another certificate's key", signed(0, other.spki_sha256(), Purpose::DrillWords)),
        ("a proof of something else", other_purpose),
        ("too old", signed(-601, own, Purpose::DrillWords)),
        ("too new", signed(601, own, Purpose::DrillWords)),
        ("an archive that the words alone were signed for", {
            let mut changed = good.clone();
            (changed.proof.purpose, changed.archive) = (Purpose::DrillArchive, Some(archive(1)));
            changed
        }),
    ];
    for (what, request) in &cases {
        println!("{what}");
        refused(&machine, request).await;
    }
    refused(&other, &good).await;
    assert_eq!(hub.audited("drill.refused").await.len(), cases.len() + 1);
    assert_eq!(drills_of(hub, &machine).await, None);

    // Clocks are within reason; then the nonce is used up, whatever is signed with it.
    assert_eq!(machine.try_drill(&signed(-600, own, Purpose::DrillWords)).await.status(), 201);
    for again in
        [good.clone(), signed(-600, own, Purpose::DrillWords), machine.drill_with(hub, nonce, (Words(1), 1), None)]
    {
        refused(&machine, &again).await;
    }
    assert_eq!(hub.audited("drill.words").await.len(), 1);
    let health = hub.client(None).get(format!("http://{}/metrics", hub.health)).send().await.unwrap();
    let text = health.text().await.unwrap();
    assert!(text.contains("tenwords_hub_drills_total 1\n"), "{text}");
    assert!(text.contains(&format!("tenwords_hub_drills_refused_total {}\n", cases.len() + 4)), "{text}");
}

async fn what_the_box_sent_is_kept_with_its_proof_whatever_its_phases_are_called(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let mut request = machine.drill_with(hub, machine.drill_nonce().await, (Words(1), 1), Some(archive(u64::MAX)));
    let phase = |name: &str| Phase { name: Text::cut(&name.repeat(64)), milliseconds: u64::MAX };
    (request.phases, _) = List::cut(["\0", "\u{202e}", "\u{10ffff}", "\"", "'"].map(phase));
    assert_eq!(machine.try_drill(&request).await.status(), 201);
    assert_eq!(drills_of(hub, &machine).await.unwrap().archive.map(|drill| drill.files), Some(u64::MAX));
    let kept: String = sqlx::query_scalar("SELECT request FROM drills").fetch_one(&hub.sql().await).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), serde_json::to_value(&request).unwrap());
    let kept: DrillRequest = serde_json::from_str(&kept).unwrap();
    assert!(kept.proof.verify(box_id, machine.spki_sha256(), &Words(1).public()).is_ok());
}

async fn two_at_once_with_one_nonce_are_one_drill(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let request = machine.drill_with(hub, machine.drill_nonce().await, (Words(1), 1), None);
    let (a, b) = tokio::join!(machine.try_drill(&request), machine.try_drill(&request));
    let lost = if a.status().is_success() { b } else { a };
    expect_problem(lost, ProblemCode::ProofRefused).await;
    assert_eq!(hub.audited("drill.words").await.len(), 1);
}

async fn each_drill_is_proven_with_its_versions_own_key(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    machine.push(&ceremony(box_id, 2, Words(66))).await;
    for pair in [(Words(1), 2), (Words(66), 1)] {
        refused(&machine, &machine.drill_with(hub, machine.drill_nonce().await, pair, None)).await;
    }
    let older = machine.drill_with(hub, machine.drill_nonce().await, (Words(1), 1), None);
    assert_eq!(machine.try_drill(&older).await.status(), 201);
    let newer = machine.drill_with(hub, machine.drill_nonce().await, (Words(66), 2), Some(archive(1)));
    assert_eq!(machine.try_drill(&newer).await.status(), 201);
    let shown = drills_of(hub, &machine).await.unwrap();
    assert_eq!(shown.words.map(|drill| drill.version.get()), Some(1));
    assert_eq!(shown.archive.map(|drill| drill.version.get()), Some(2));
}

async fn a_drills_nonce_serves_no_recovery_and_the_reverse(hub: &mut TestHub) {
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = Operator::of(hub).arm(box_id, |_| ()).await;
    let mut machine = Machine::new(hub);
    machine.claim(hub, &ticket).await;
    machine.prove(hub, Words(1), 1).await;
    // The box's certificate now has a nonce of each kind.
    machine.claim(hub, &ticket).await;
    let (recovery, drill) = (machine.nonce.unwrap(), machine.drill_nonce().await);
    refused(&machine, &machine.drill_with(hub, recovery, (Words(1), 1), None)).await;
    machine.nonce = Some(drill);
    let proof = machine.proof(hub, Words(1), 1);
    expect_problem(machine.try_prove(&proof).await, ProblemCode::ProofRefused).await;
    // Nor does a drill's proof prove a recovery, whatever its nonce.
    for nonce in [recovery, drill] {
        let practised = machine.drill_with(hub, nonce, (Words(1), 1), None).proof;
        expect_problem(machine.try_prove(&practised).await, ProblemCode::ProofRefused).await;
    }
    // Each is still good for what it was given for, so nothing else refused it.
    let request = machine.drill_with(hub, drill, (Words(1), 1), None);
    assert_eq!(machine.try_drill(&request).await.status(), 201);
    machine.nonce = Some(recovery);
    assert!(machine.prove(hub, Words(1), 1).await.is_box);
}

async fn a_drill_is_the_boxs_own(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other, _) = enrolled_box(hub, "beta", Words(1)).await;
    let ask = async |machine: &Machine, path: String, body: &Value| {
        machine.client.post(machine.url(&path)).json(body).send().await.unwrap()
    };
    let nonce = old.drill_nonce().await;
    let drill = serde_json::to_value(old.drill_with(hub, nonce, (Words(1), 1), None)).unwrap();
    let both = [("/drills/nonce", json!({"v": 1})), ("/drills", drill)];
    for (path, body) in &both {
        let response = ask(&old, format!("/v1/boxes/{other}{path}"), body).await;
        expect_problem(response, ProblemCode::Forbidden).await;
    }
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    for (path, body) in &both {
        expect_problem(ask(&reader, reader.of_box(path), body).await, ProblemCode::Forbidden).await;
        let nobody = Machine { box_id: Some(box_id), ..Machine::new(hub) };
        expect_problem(ask(&nobody, nobody.of_box(path), body).await, ProblemCode::Unauthenticated).await;
    }
    operator.arm(box_id, |request| request.stolen = true).await;
    for (path, body) in &both {
        expect_problem(ask(&old, old.of_box(path), body).await, ProblemCode::CertificateRevoked).await;
    }
    assert_eq!(drills_of(hub, &old).await, None);
}

/// The handlers let it through, and then it was revoked, or it never was the box's.
async fn what_lost_its_right_while_it_asked_gets_nothing(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let request = old.drill_with(hub, old.drill_nonce().await, (Words(1), 1), None);
    let ticket = operator.arm(box_id, |request| request.stolen = true).await;
    let mut reader = Machine::new(hub);
    reader.claim(hub, &ticket).await;
    let (store, now) = (hub.store().await, hub.clock.now());
    for machine in [&old, &reader] {
        let nonce: Nonce = Base64Array([9; 32]);
        let serial = machine.serial();
        let taken = store.perform(TakeNonce { nonce, serial: serial.clone(), now }).await.unwrap();
        assert_eq!(taken, TakeNonceOutcome::NotTheBox);
        let drill = Drill {
            request: request.clone(),
            serial,
            spki_sha256: machine.spki_sha256(),
            node_id: machine.node_id.unwrap(),
            box_id,
            now,
        };
        assert_eq!(store.perform(drill).await.unwrap(), DrillOutcome::Refused(Unproven::Certificate));
    }
    assert_eq!(drills_of(hub, &old).await, None);
}

async fn unused_nonces_are_few_however_often_a_box_asks(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    let others = other.drill_nonce().await;
    let mut nonces = Vec::new();
    for _ in 0..10 {
        nonces.push(machine.drill_nonce().await);
    }
    let sql = hub.sql().await;
    let kept =
        async || -> i64 { sqlx::query_scalar("SELECT COUNT(*) FROM drill_nonces").fetch_one(&sql).await.unwrap() };
    assert_eq!(kept().await, 4 + 1);
    for old in &nonces[..6] {
        refused(&machine, &machine.drill_with(hub, *old, (Words(1), 1), None)).await;
    }
    for good in &nonces[6..] {
        let request = machine.drill_with(hub, *good, (Words(1), 1), None);
        assert_eq!(machine.try_drill(&request).await.status(), 201);
    }
    assert_eq!(kept().await, 1);
    let request = other.drill_with(hub, others, (Words(2), 1), None);
    assert_eq!(other.try_drill(&request).await.status(), 201);
    machine.drill(hub, Words(1), None).await;
    assert_eq!(kept().await, 0);
}

async fn the_forty_ninth_drill_of_a_day_waits_for_the_next(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (_, other) = enrolled_box(hub, "beta", Words(2)).await;
    // It is noon. Yesterday's do not count, nor does what is refused.
    machine.drill(hub, Words(1), None).await;
    hub.clock.forward(12 * 3600);
    refused(&machine, &machine.drill_with(hub, machine.drill_nonce().await, (Words(9), 1), None)).await;
    for count in 0..48 {
        machine.drill(hub, Words(1), (count % 2 == 0).then(|| archive(count))).await;
    }
    hub.clock.forward(3600);
    let nonce = machine.drill_nonce().await;
    let limited = async |left: u64| {
        let request = machine.drill_with(hub, nonce, (Words(1), 1), None);
        let refused = expect_problem(machine.try_drill(&request).await, ProblemCode::RateLimited).await;
        assert_eq!(refused.retry_after, Some(left));
    };
    limited(23 * 3600).await;
    other.drill(hub, Words(2), None).await;
    hub.clock.forward(23 * 3600 - 1);
    limited(1).await;
    assert_eq!(hub.audited("drill.refused").await.iter().filter(|why| why.contains("used up")).count(), 2);
    hub.clock.forward(1);
    // The nonce was not used up by it.
    let request = machine.drill_with(hub, nonce, (Words(1), 1), None);
    assert_eq!(machine.try_drill(&request).await.status(), 201);
    let recorded: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM drills").fetch_one(&hub.sql().await).await.unwrap();
    assert_eq!(recorded, 1 + 48 + 1 + 1);
}

async fn a_drill_that_does_not_hang_together_is_not_read(hub: &mut TestHub) {
    let (_, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let nonce = machine.drill_nonce().await;
    let of = |archive| serde_json::to_value(machine.drill_with(hub, nonce, (Words(1), 1), archive)).unwrap();
    let (words, with_archive) = (of(None), of(Some(archive(1))));
    let changed = |value: &Value, change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        value
    };
    let mut cases = vec![
        changed(&words, &|v| v["archive"] = with_archive["archive"].clone()),
        changed(&with_archive, &|v| drop(v.as_object_mut().unwrap().remove("archive"))),
        changed(&words, &|v| v["proof"]["purpose"] = "recover".into()),
        changed(&words, &|v| v["more"] = 1.into()),
        changed(&words, &|v| v["proof"]["more"] = 1.into()),
        changed(&words, &|v| v["phases"] = json!([{"name": "open", "milliseconds": 1, "more": 1}])),
        changed(&words, &|v| v["phases"] = vec![json!({"name": "open", "milliseconds": 1}); 17].into()),
        changed(&with_archive, &|v| v["archive"]["server"] = "192.0.2.1".into()),
        changed(&words, &|v| v["v"] = 2.into()),
    ];
    cases.push(json!({}));
    for case in cases {
        let refused = expect_problem(machine.try_drill(&case).await, ProblemCode::BadRequest).await;
        assert!(refused.problem.detail.is_some(), "{case}");
    }
    for body in ["", "{}", "{\"v\":2}", "{\"v\":1,\"more\":1}"] {
        let path = machine.url(&machine.of_box("/drills/nonce"));
        let response = machine.client.post(path).body(body).send().await.unwrap();
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    // Nothing of it was written, and the nonce is still good.
    assert_eq!(drills_of(hub, &machine).await, None);
    assert_eq!(machine.try_drill(&words).await.status(), 201);
}
