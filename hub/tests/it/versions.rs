//! Escrow versions: pushed, read back, limited, never changed.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use tenwords_protocol::{
    boxes::{PushReply, VersionList},
    fingerprint::Fingerprint,
    part::PartName,
    problem::ProblemCode,
    version::StoredHeader,
};

use crate::support::{
    Machine, Operator, TestHub, Words, bundle, ceremony, enrolled_box, expect_problem, on_both_databases, update,
};

on_both_databases![
    what_was_pushed_is_read_back,
    a_push_equal_to_the_newest_keeps_its_number,
    a_bundle_whose_header_lies_is_refused,
    s12_a_box_can_neither_delete_nor_overwrite_nor_read_anothers,
    s13_the_daily_limit_says_when_to_come_again,
    s13_what_a_thief_pushed_does_not_shut_the_recovered_box_out,
    s15_a_box_cannot_push_for_another_nor_with_a_revoked_certificate,
    the_list_comes_in_pages_and_however_much_a_box_pushed_the_first_version_is_found,
];

async fn what_was_pushed_is_read_back(hub: &mut TestHub) {
    let (box_id, mut machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| u8::try_from(i * 7 % 256).unwrap()).collect();
    let key = PartName::Key(Fingerprint::from_bytes([1; 32]));
    let parts = BTreeMap::from([(PartName::Root, large), (key, (0..=255).collect())]);
    let pushed = bundle(box_id, 2, parts.clone());
    assert_eq!(machine.push(&pushed).await.number.get(), 2);
    hub.restart().await;
    machine.again(hub);

    let list: VersionList = machine.get(&machine.of_box("/versions")).await.json().await.unwrap();
    assert_eq!(list.versions.iter().map(|v| v.number.get()).collect::<Vec<_>>(), [2, 1]);
    for which in ["2", "newest"] {
        let one: StoredHeader = machine.get(&machine.of_box(&format!("/versions/{which}"))).await.json().await.unwrap();
        assert_eq!((&one, one.header.clone()), (&list.versions[0], pushed.header().clone()));
    }
    for (name, bytes) in &parts {
        let response = machine.get(&machine.of_box(&format!("/versions/2/parts/{name}"))).await;
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        assert_eq!(response.bytes().await.unwrap(), bytes, "{name}");
    }
    for missing in ["/versions/3", "/versions/0", "/versions/01", "/versions/+2", "/versions/oldest"] {
        expect_problem(machine.get(&machine.of_box(missing)).await, ProblemCode::NotFound).await;
    }
    for missing in ["2/parts/update/1", "1/parts/..%2froot.age", "2/parts/root.agee", "9/parts/root.age", "2/parts/"] {
        let response = machine.get(&machine.of_box(&format!("/versions/{missing}"))).await;
        expect_problem(response, ProblemCode::NotFound).await;
    }
    expect_problem(machine.get(&machine.of_box("/directive")).await, ProblemCode::NotFound).await;
}

async fn a_push_equal_to_the_newest_keeps_its_number(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (k1, k2) = (ceremony(box_id, 1, Words(1)), ceremony(box_id, 2, Words(1)));
    let response = machine.try_push(&k1).await;
    assert_eq!(response.status(), StatusCode::OK);
    let known: PushReply = response.json().await.unwrap();
    assert_eq!(known.number.get(), 1);
    assert_eq!(machine.push(&k2).await.number.get(), 2);
    // A return to an earlier state is a new version.
    assert_eq!(machine.push(&k1).await.number.get(), 3);
    let newest: StoredHeader = machine.get(&machine.of_box("/versions/newest")).await.json().await.unwrap();
    assert_eq!(&newest.header, k1.header());
}

async fn a_bundle_whose_header_lies_is_refused(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let good = String::from_utf8(ceremony(box_id, 2, Words(1)).to_text().unwrap()).unwrap();
    let lies: [(&str, String); 9] = [
        ("another first line", good.replacen("tenwords kit 1", "tenwords kit 2", 1)),
        ("a part with other bytes", good.replacen("YSBrZXkgZmlsZQ==", "YSBrZXkgZmlsZR==", 1)),
        ("a part of another length", good.replacen("YSBrZXkgZmlsZQ==", "YSBrZXkgZmls", 1)),
        ("a part that is not in the header", good.replacen("\"parts\":{", "\"parts\":{\"update/1\":\"YQ==\",", 1)),
        ("a part name that is none", good.replacen("root.age\":\"", "root.bge\":\"", 1)),
        ("a size that is none", good.replacen("\"size\":10", "\"size\":11", 1)),
        ("an unknown field", good.replacen("\"v\":1", "\"v\":1,\"extra\":1", 1)),
        ("a key twice", good.replacen("\"v\":1", "\"v\":1,\"v\":1", 1)),
        ("a later version of the text", good.replacen("\"v\":1", "\"v\":2", 1)),
    ];
    for (what, text) in lies {
        assert_ne!(text, good, "{what}");
        let response = machine.try_push_text(&machine.of_box("/versions"), text.into_bytes()).await;
        let refused = expect_problem(response, ProblemCode::BadRequest).await;
        assert!(refused.problem.detail.is_some(), "{what}");
    }
    let kit = ceremony(box_id, 2, Words(1)).with_kit(
        vec![{
            let (header, parts) = update(box_id, 1, Words(1)).into_parts();
            tenwords_protocol::version::UpdateVersion::of_fetched(header, parts).unwrap()
        }],
        None,
    );
    expect_problem(machine.try_push(&kit).await, ProblemCode::BadRequest).await;
    let huge = vec![b'x'; tenwords_protocol::version::MAX_BUNDLE_BYTES + 1];
    let response = machine.try_push_text(&machine.of_box("/versions"), huge).await;
    expect_problem(response, ProblemCode::TooLarge).await;
    assert_eq!(Operator::of(hub).show(box_id).await.versions, 1);
}

async fn s12_a_box_can_neither_delete_nor_overwrite_nor_read_anothers(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other, stranger) = enrolled_box(hub, "beta", Words(2)).await;
    for method in [Method::DELETE, Method::PUT, Method::PATCH, Method::POST] {
        for path in ["/versions/1", "/versions/newest", "/versions/1/parts/root.age"] {
            let response = machine.send(method.clone(), &machine.of_box(path)).await;
            expect_problem(response, ProblemCode::MethodNotAllowed).await;
        }
    }
    let response = machine.send(Method::DELETE, &machine.of_box("/versions")).await;
    expect_problem(response, ProblemCode::MethodNotAllowed).await;
    let paths = ["/versions", "/versions/1", "/versions/newest", "/versions/1/parts/root.age", "/directive"];
    for path in paths {
        let response = machine.get(&format!("/v1/boxes/{other}{path}")).await;
        expect_problem(response, ProblemCode::Forbidden).await;
    }
    let audited = hub.audited("request.trespassed").await;
    assert_eq!(audited.len(), paths.len(), "{audited:?}");
    assert!(audited.iter().all(|detail| detail.contains(&other.to_string())), "{audited:?}");
    assert!(machine.reads().await && stranger.reads().await);
    assert_eq!(Operator::of(hub).show(box_id).await.versions, 1);
}

async fn s13_the_daily_limit_says_when_to_come_again(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    hub.clock.forward(3600);
    for sequence in 2..=24 {
        assert_eq!(machine.push(&ceremony(box_id, sequence, Words(1))).await.number.get(), sequence);
    }
    let waiting = ceremony(box_id, 25, Words(1));
    let refused = expect_problem(machine.try_push(&waiting).await, ProblemCode::RateLimited).await;
    // The first of the twenty-four was pushed an hour before the others.
    assert_eq!(refused.retry_after, Some(23 * 3600));
    // Updates have a limit of their own; an equal push is not a version, and another box is not this one.
    assert_eq!(machine.push(&update(box_id, 1, Words(1))).await.number.get(), 25);
    assert_eq!(machine.try_push(&update(box_id, 1, Words(1))).await.status(), StatusCode::OK);
    enrolled_box(hub, "beta", Words(1)).await;
    assert!(machine.reads().await);
    assert_eq!(hub.audited("version.refused").await.len(), 1);

    hub.clock.forward(23 * 3600 - 1);
    let refused = expect_problem(machine.try_push(&waiting).await, ProblemCode::RateLimited).await;
    assert_eq!(refused.retry_after, Some(1));
    hub.clock.forward(1);
    assert_eq!(machine.push(&waiting).await.number.get(), 26);
    assert_eq!(Operator::of(hub).show(box_id).await.versions, 26);
}

async fn s13_what_a_thief_pushed_does_not_shut_the_recovered_box_out(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, thief) = enrolled_box(hub, "alpha", Words(1)).await;
    for sequence in 2..=24 {
        thief.push(&ceremony(box_id, sequence, Words(1))).await;
    }
    expect_problem(thief.try_push(&ceremony(box_id, 25, Words(1))).await, ProblemCode::RateLimited).await;
    hub.clock.forward(60);
    let ticket = operator.arm(box_id, |request| request.stolen = true).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    // Somebody who claimed before the operator armed anew reads no more.
    let ticket = operator.arm(box_id, |_| ()).await;
    expect_problem(new.get(&new.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    new.client = hub.client(None);
    new.claim(hub, &ticket).await;
    new.prove(hub, Words(1), 1).await;
    assert_eq!(new.push(&ceremony(box_id, 25, Words(1))).await.number.get(), 25);
}

async fn the_list_comes_in_pages_and_however_much_a_box_pushed_the_first_version_is_found(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    for sequence in 2..=70 {
        hub.clock.forward(3700);
        machine.push(&ceremony(box_id, sequence, Words(1))).await;
    }
    let list = async |query: &str| -> Vec<u64> {
        let list: VersionList = machine.get(&machine.of_box(&format!("/versions{query}"))).await.json().await.unwrap();
        list.versions.iter().map(|stored| stored.number.get()).collect()
    };
    assert_eq!(list("").await, (7..=70).rev().collect::<Vec<_>>());
    assert_eq!(list("?before=7").await, (1..=6).rev().collect::<Vec<_>>());
    assert!(list("?before=1").await.is_empty());
    for odd in ["?before=0", "?before=07", "?before=x", "?after=3", "?before=3&x=1"] {
        let response = machine.get(&machine.of_box(&format!("/versions{odd}"))).await;
        expect_problem(response, ProblemCode::BadRequest).await;
    }
}

async fn s15_a_box_cannot_push_for_another_nor_with_a_revoked_certificate(hub: &mut TestHub) {
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other, _) = enrolled_box(hub, "beta", Words(2)).await;
    let text = ceremony(other, 2, Words(1)).to_text().unwrap();
    let response = machine.try_push_text(&format!("/v1/boxes/{other}/versions"), text.clone()).await;
    expect_problem(response, ProblemCode::Forbidden).await;
    let response = machine.try_push_text(&machine.of_box("/versions"), text).await;
    expect_problem(response, ProblemCode::Forbidden).await;
    assert_eq!(hub.audited("request.trespassed").await.len(), 2);
    assert_eq!(Operator::of(hub).show(other).await.versions, 1);

    Operator::of(hub).arm(box_id, |request| request.stolen = true).await;
    let response = machine.try_push(&ceremony(box_id, 2, Words(1))).await;
    expect_problem(response, ProblemCode::CertificateRevoked).await;
    assert_eq!(hub.audited("request.revoked").await.len(), 1);
    assert_eq!(Operator::of(hub).show(box_id).await.versions, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_box_cannot_fill_the_audit_with_refusals() {
    let hub = TestHub::start(crate::support::Place::sqlite()).await;
    let (box_id, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let (other, _) = enrolled_box(&hub, "beta", Words(2)).await;
    let path = format!("/v1/boxes/{other}/versions");
    for _ in 0..40 {
        expect_problem(machine.get(&path).await, ProblemCode::Forbidden).await;
    }
    assert_eq!(hub.audited("request.trespassed").await.len(), 20);
    hub.clock.forward(3600);
    expect_problem(machine.get(&path).await, ProblemCode::Forbidden).await;
    assert_eq!(hub.audited("request.trespassed").await.len(), 21);
    // Nor can it keep something else out of it by that.
    for _ in 0..40 {
        expect_problem(machine.get(&path).await, ProblemCode::Forbidden).await;
    }
    Operator::of(&hub).arm(box_id, |request| request.stolen = true).await;
    expect_problem(machine.get(&machine.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    assert_eq!(hub.audited("request.revoked").await.len(), 1);
    let unknown = Machine::new(&hub);
    expect_problem(unknown.get(&path).await, ProblemCode::Unauthenticated).await;
}
