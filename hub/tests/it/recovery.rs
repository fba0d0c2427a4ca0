//! Arm, claim, prove: who may read, who becomes the box, and what a ticket alone is worth.

use reqwest::StatusCode;
use tenwords_hub::clock::Clock as _;
use tenwords_protocol::{
    problem::ProblemCode,
    recovery::{CertificateList, ClaimReply},
    ticket::{Ticket, TicketSecret},
    words::{Purpose, WordsProof},
};

use crate::support::{
    Machine, Operator, Place, TestHub, Words, ceremony, enrolled_box, expect_problem, on_both_databases, update,
};

on_both_databases![
    a_lost_box_comes_back,
    arming_asks_again_while_the_box_is_heard_of,
    arming_is_bounded_and_has_a_reason,
    a_proof_is_taken_once_and_for_one_certificate_only,
    each_version_is_proven_with_its_own_key,
    disarming_stops_a_reader_who_has_not_proven,
    s29_without_the_ticket_nothing_is_claimed_and_nothing_revoked,
    s30_the_window_bounds_the_claim_and_not_the_work,
    s31_the_first_key_has_the_ticket,
    s53_a_lost_answer_is_given_again_to_the_same_key_only,
    s54_a_rehearsal_and_a_leaked_ticket_change_nothing,
    a_recovery_certificate_lives_seven_days,
    a_recovered_box_has_a_certificate_like_an_enrolled_one,
    a_recovery_certificate_that_has_proven_is_refused_everywhere,
    s53_a_lost_answer_to_the_proof_is_given_again_to_the_same_key_only,
];

async fn a_lost_box_comes_back(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let lost_at = hub.clock.now();
    let ticket = operator.arm(box_id, |request| request.lost_at = Some(lost_at)).await;
    let mut new = Machine::new(hub);
    let claim = new.claim(hub, &ticket).await;
    assert_eq!((claim.box_id, claim.box_name.as_str(), claim.rehearsal), (box_id, "alpha", false));
    assert_eq!((claim.hub_time, claim.lost_at), (hub.clock.now(), Some(lost_at)));
    assert_ne!(Some(claim.node_id), old.node_id);

    // A reader reads, and nothing else.
    for path in ["/versions", "/versions/newest", "/versions/1/parts/root.age"] {
        assert_eq!(new.get(&new.of_box(path)).await.status(), StatusCode::OK);
    }
    expect_problem(new.get(&new.of_box("/directive")).await, ProblemCode::NotFound).await;
    expect_problem(new.try_push(&ceremony(box_id, 2, Words(1))).await, ProblemCode::Forbidden).await;
    assert!(old.reads().await);

    let proven = new.prove(hub, Words(1), 1).await;
    assert_eq!((proven.is_box, proven.revoked), (true, 1));
    expect_problem(old.get(&old.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    // The new machine is told which certificates are dead, and that nobody's but its own lives.
    let list: CertificateList = new.get(&new.of_box("/certificates")).await.json().await.unwrap();
    let (alive, dead): (Vec<_>, Vec<_>) = list.certificates.iter().partition(|entry| entry.revoked_at.is_none());
    assert!(matches!(&alive[..], [own] if own.is_box && Some(own.node_id) == new.node_id), "{alive:?}");
    assert!(dead.iter().any(|entry| entry.is_box && Some(entry.node_id) == old.node_id), "{dead:?}");
    assert_eq!(new.push(&ceremony(box_id, 2, Words(1))).await.number.get(), 2);
    let state = operator.show(box_id).await.recovery.unwrap();
    assert_eq!((state.claimed_at, state.proven_at, state.disarmed_at), (Some(lost_at), Some(lost_at), None));
    assert_eq!(state.reason, "the house burnt");
    let acts = ["recovery.arm", "recovery.claim", "recovery.prove"];
    for action in acts {
        assert_eq!(hub.audited(action).await.len(), 1, "{action}");
    }
}

async fn arming_asks_again_while_the_box_is_heard_of(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, machine) = enrolled_box(hub, "alpha", Words(1)).await;
    let unconfirmed = |request: &mut tenwords_protocol::boxes::ArmRequest| request.confirm_alive = false;
    hub.clock.forward(3599);
    expect_problem(operator.try_arm(box_id, unconfirmed).await, ProblemCode::BoxIsAlive).await;
    assert_eq!(operator.show(box_id).await.recovery, None);
    // A rehearsal is for a box that lives.
    let rehearsal =
        operator.try_arm(box_id, |request| (request.confirm_alive, request.rehearsal) = (false, true)).await;
    assert_eq!(rehearsal.status(), StatusCode::CREATED);
    hub.clock.forward(1);
    let response = operator.try_arm(box_id, unconfirmed).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    // What a recovery certificate does is not the box being heard of.
    assert!(machine.reads().await);
    expect_problem(operator.try_arm(box_id, unconfirmed).await, ProblemCode::BoxIsAlive).await;
    hub.clock.forward(3600);
    let ticket = operator.arm(box_id, unconfirmed).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    assert!(new.reads().await);
    operator.arm(box_id, unconfirmed).await;
}

async fn arming_is_bounded_and_has_a_reason(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    for minutes in [0, 4, 1441, u32::MAX] {
        let response = operator.try_arm(box_id, |request| request.minutes = minutes).await;
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    for reason in ["", "  ", "two\nlines", &"x".repeat(501)] {
        let response = operator.try_arm(box_id, |request| request.reason = reason.to_owned()).await;
        expect_problem(response, ProblemCode::BadRequest).await;
    }
    let both = operator.try_arm(box_id, |request| (request.rehearsal, request.stolen) = (true, true)).await;
    expect_problem(both, ProblemCode::BadRequest).await;
    let nobody = "00000000-0000-4000-8000-000000000000".parse().unwrap();
    expect_problem(operator.try_arm(nobody, |_| ()).await, ProblemCode::NotFound).await;
    expect_problem(operator.disarm(nobody).await, ProblemCode::NotFound).await;
    assert!(old.reads().await);
    assert_eq!(hub.audited("recovery.arm").await.len(), 0);
}

async fn a_proof_is_taken_once_and_for_one_certificate_only(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let (mut new, mut other) = (Machine::new(hub), Machine::new(hub));
    let first = operator.arm(box_id, |_| ()).await;
    new.claim(hub, &first).await;
    let (beta, _) = enrolled_box(hub, "beta", Words(2)).await;
    let second = operator.arm(beta, |_| ()).await;
    other.claim(hub, &second).await;

    let proof = new.proof(hub, Words(1), 1);
    let with = |change: fn(&mut WordsProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        changed
    };
    let late = |seconds: i64| {
        let time = tenwords_protocol::time::Timestamp::from_unix(hub.clock.now().unix() + seconds).unwrap();
        Words(1).prove(box_id, 1, new.nonce.unwrap(), time, new.spki_sha256(), Purpose::Recover)
    };
    let drill = Words(1).prove(box_id, 1, new.nonce.unwrap(), hub.clock.now(), new.spki_sha256(), Purpose::DrillWords);
    let foreign = Words(1).prove(box_id, 1, other.nonce.unwrap(), hub.clock.now(), new.spki_sha256(), Purpose::Recover);
    let refused = [
        ("another signature", with(|p| p.signature.0[0] ^= 1)),
        ("another nonce", with(|p| p.nonce.0[0] ^= 1)),
        ("the other certificate's nonce", foreign),
        ("a version that is not there", with(|p| p.version = p.version.saturating_add(1))),
        ("too old", late(-601)),
        ("too new", late(601)),
        ("another purpose", drill),
        ("another key", new.proof(hub, Words(2), 1)),
    ];
    for (what, proof) in &refused {
        let problem = expect_problem(new.try_prove(proof).await, ProblemCode::ProofRefused).await;
        assert!(problem.problem.detail.is_some(), "{what}");
    }
    assert_eq!(hub.audited("proof.refused").await.len(), refused.len());
    expect_problem(other.try_prove(&proof).await, ProblemCode::ProofRefused).await;
    expect_problem(old.try_prove(&proof).await, ProblemCode::ProofRefused).await;
    assert!(old.reads().await && other.reads().await);

    // Slow and fast clocks are within reason; then the proof is used up.
    let slow = late(-600);
    let within = new.try_prove(&slow).await;
    assert_eq!(within.status(), StatusCode::OK);
    for proof in [&proof, &slow] {
        expect_problem(new.try_prove(proof).await, ProblemCode::CertificateRevoked).await;
    }
    assert!(!old.reads().await && other.reads().await && !new.reads().await);

    // With the box's certificate neither: the nonce was the recovery certificate's, and is used.
    let nonce = new.nonce;
    new.claim(hub, &first).await;
    assert_ne!(new.nonce, nonce);
    for proof in [&proof, &slow] {
        expect_problem(new.try_prove(proof).await, ProblemCode::ProofRefused).await;
    }
    let again = new.proof(hub, Words(1), 1);
    assert_eq!(new.try_prove(&again).await.status(), StatusCode::OK);
    expect_problem(new.try_prove(&again).await, ProblemCode::ProofRefused).await;
}

async fn each_version_is_proven_with_its_own_key(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    // A thief on the old box pushes a version with a words key of his own.
    old.push(&ceremony(box_id, 2, Words(66))).await;
    old.push(&update(box_id, 3, Words(66))).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    for (words, version) in [(Words(1), 2), (Words(66), 1), (Words(1), 3)] {
        let proof = new.proof(hub, words, version);
        expect_problem(new.try_prove(&proof).await, ProblemCode::ProofRefused).await;
    }
    assert!(new.prove(hub, Words(1), 1).await.is_box);
}

async fn disarming_stops_a_reader_who_has_not_proven(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    assert_eq!(operator.disarm(box_id).await.status(), StatusCode::NO_CONTENT);
    let ticket = operator.arm(box_id, |_| ()).await;
    assert_eq!(operator.disarm(box_id).await.status(), StatusCode::NO_CONTENT);
    let mut new = Machine::new(hub);
    expect_problem(new.try_claim(&ticket).await, ProblemCode::TicketRefused).await;
    assert!(operator.show(box_id).await.recovery.unwrap().disarmed_at.is_some());

    let ticket = operator.arm(box_id, |_| ()).await;
    new.claim(hub, &ticket).await;
    operator.disarm(box_id).await;
    expect_problem(new.get(&new.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    expect_problem(new.try_claim(&ticket).await, ProblemCode::TicketRefused).await;
    let proof = new.proof(hub, Words(1), 1);
    expect_problem(new.try_prove(&proof).await, ProblemCode::CertificateRevoked).await;
    assert!(old.reads().await);

    // Once it is proven, there is nothing to disarm.
    let ticket = operator.arm(box_id, |_| ()).await;
    new.client = hub.client(None);
    new.claim(hub, &ticket).await;
    new.prove(hub, Words(1), 1).await;
    operator.disarm(box_id).await;
    assert!(new.reads().await);
    assert_eq!(hub.audited("recovery.disarm").await.len(), 2);
}

async fn s29_without_the_ticket_nothing_is_claimed_and_nothing_revoked(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let attacker = Machine::new(hub);
    for _ in 0..10 {
        let secret = TicketSecret::random(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
        let guessed = Ticket::new(ticket.hub().clone(), ticket.authority(), secret);
        expect_problem(attacker.try_claim(&guessed).await, ProblemCode::TicketRefused).await;
    }
    let limited = expect_problem(attacker.try_claim(&ticket).await, ProblemCode::RateLimited).await;
    assert_eq!(limited.retry_after, Some(600));
    assert!(old.reads().await);
    let audited = hub.audited("ticket.refused").await;
    assert_eq!(audited.len(), 10);
    assert!(audited.iter().all(|detail| detail.contains("recovery.claim from 127.0.0.1")), "{audited:?}");
    let state = operator.show(box_id).await.recovery.unwrap();
    assert_eq!((state.claimed_at, state.proven_at), (None, None));
    // The limit is the attacker's address's, not the box's: later the genuine machine claims.
    hub.clock.forward(600);
    Machine::new(hub).claim(hub, &ticket).await;
}

async fn s30_the_window_bounds_the_claim_and_not_the_work(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let late = operator.arm(box_id, |request| request.minutes = 5).await;
    hub.clock.forward(300);
    let mut new = Machine::new(hub);
    expect_problem(new.try_claim(&late).await, ProblemCode::TicketRefused).await;

    let ticket = operator.arm(box_id, |request| request.minutes = 5).await;
    expect_problem(new.try_claim(&late).await, ProblemCode::TicketRefused).await;
    hub.clock.forward(299);
    new.claim(hub, &ticket).await;
    hub.clock.forward(6 * 86_400);
    for path in ["/versions", "/versions/1", "/versions/1/parts/root.age"] {
        assert_eq!(new.get(&new.of_box(path)).await.status(), StatusCode::OK);
    }
    assert!(new.prove(hub, Words(1), 1).await.is_box);
}

async fn s31_the_first_key_has_the_ticket(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let (first, second) = (Machine::new(hub), Machine::new(hub));
    // At the same moment: exactly one wins.
    let (a, b) = tokio::join!(first.try_claim(&ticket), second.try_claim(&ticket));
    let (winner, loser) = if a.status().is_success() { (&first, &second) } else { (&second, &first) };
    let (won, lost) = if a.status().is_success() { (a, b) } else { (b, a) };
    let won: ClaimReply = won.json().await.unwrap();
    expect_problem(lost, ProblemCode::TicketRefused).await;
    let repeated: ClaimReply = winner.try_claim(&ticket).await.json().await.unwrap();
    assert_eq!(repeated, won);
    expect_problem(loser.try_claim(&ticket).await, ProblemCode::TicketRefused).await;
    assert_eq!(hub.audited("recovery.claim").await.len(), 1);
}

async fn s53_a_lost_answer_is_given_again_to_the_same_key_only(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |request| request.minutes = 5).await;
    let mut new = Machine::new(hub);
    // The answer is never read; meanwhile the window ends and the hub is started anew.
    drop(new.try_claim(&ticket).await);
    hub.clock.forward(3600);
    hub.restart().await;
    new = Machine { key: new.key, ..Machine::new(hub) };
    let claim = new.claim(hub, &ticket).await;
    let again: ClaimReply = new.try_claim(&ticket).await.json().await.unwrap();
    assert_eq!(again, claim);
    expect_problem(Machine::new(hub).try_claim(&ticket).await, ProblemCode::TicketRefused).await;
    assert!(new.prove(hub, Words(1), 1).await.is_box);
}

async fn s54_a_rehearsal_and_a_leaked_ticket_change_nothing(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, old) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |request| request.rehearsal = true).await;
    let mut practice = Machine::new(hub);
    assert!(practice.claim(hub, &ticket).await.rehearsal);
    for _ in 0..2 {
        let proven = practice.prove(hub, Words(1), 1).await;
        assert_eq!((proven.is_box, proven.revoked, proven.certificate), (false, 0, None));
        // The answer lost, the same again: the certificate stays the reader's.
        let reader = practice.certificate.clone();
        practice.claim(hub, &ticket).await;
        assert_eq!(practice.certificate, reader);
    }
    expect_problem(practice.try_push(&ceremony(box_id, 2, Words(1))).await, ProblemCode::Forbidden).await;
    assert!(practice.reads().await);
    assert_eq!(old.push(&ceremony(box_id, 2, Words(1))).await.number.get(), 2);
    let state = operator.show(box_id).await.recovery.unwrap();
    assert!(state.rehearsal && state.proven_at.is_some());
    assert_eq!(hub.audited("recovery.rehearsed").await.len(), 2);

    // A stranger with a leaked ticket reads ciphertext; without the words he revokes nothing.
    let leaked = operator.arm(box_id, |_| ()).await;
    let mut stranger = Machine::new(hub);
    stranger.claim(hub, &leaked).await;
    let proof = stranger.proof(hub, Words(99), 1);
    expect_problem(stranger.try_prove(&proof).await, ProblemCode::ProofRefused).await;
    expect_problem(stranger.try_push(&ceremony(box_id, 3, Words(99))).await, ProblemCode::Forbidden).await;
    assert_eq!(old.push(&ceremony(box_id, 3, Words(1))).await.number.get(), 3);
}

async fn a_recovery_certificate_lives_seven_days(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    hub.clock.forward(7 * 86_400);
    expect_problem(new.get(&new.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
    expect_problem(new.try_claim(&ticket).await, ProblemCode::TicketRefused).await;
    // The same key may claim again under a new window.
    let (ticket, first) = (operator.arm(box_id, |_| ()).await, new.certificate.clone());
    new.client = hub.client(None);
    new.claim(hub, &ticket).await;
    assert_ne!(new.certificate, first);
    assert!(new.prove(hub, Words(1), 1).await.is_box);
}

async fn a_recovered_box_has_a_certificate_like_an_enrolled_one(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut new = Machine::new(hub);
    let claim = new.claim(hub, &ticket).await;
    hub.clock.forward(6 * 86_400);
    let proven = new.prove(hub, Words(1), 1).await.certificate.unwrap();
    assert_ne!(proven, claim.certificate);
    let (_, given) = x509_parser::parse_x509_certificate(&proven.0).unwrap();
    let (_, reader) = x509_parser::parse_x509_certificate(&claim.certificate.0).unwrap();
    assert_eq!(given.public_key().raw, reader.public_key().raw);
    assert_eq!(given.subject(), reader.subject());
    let validity = given.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 90 * 86_400 + 3600);

    hub.clock.forward(90 * 86_400 - 1);
    hub.restart().await;
    new.again(hub);
    assert_eq!(new.push(&ceremony(box_id, 2, Words(1))).await.number.get(), 2);
    hub.clock.forward(1);
    expect_problem(new.get(&new.of_box("/versions")).await, ProblemCode::CertificateExpired).await;
}

async fn a_recovery_certificate_that_has_proven_is_refused_everywhere(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let ticket = operator.arm(box_id, |_| ()).await;
    let mut new = Machine::new(hub);
    new.claim(hub, &ticket).await;
    // On the very connection that is open.
    let reader = new.client.clone();
    new.prove(hub, Words(1), 1).await;
    let refused = async |request: reqwest::RequestBuilder| {
        expect_problem(request.send().await.unwrap(), ProblemCode::CertificateRevoked).await;
    };
    for path in ["/versions", "/versions/newest", "/versions/1", "/versions/1/parts/root.age", "/directive"] {
        refused(reader.get(new.url(&new.of_box(path)))).await;
    }
    let pushed = ceremony(box_id, 2, Words(1)).to_text().unwrap();
    refused(reader.post(new.url(&new.of_box("/versions"))).body(pushed)).await;
    // Not even with a proof that verifies, over a nonce that nobody has used.
    new.claim(hub, &ticket).await;
    let proof = new.proof(hub, Words(1), 1);
    refused(reader.post(new.url("/v1/recovery/prove")).json(&proof)).await;
    assert_eq!(new.try_prove(&proof).await.status(), StatusCode::OK);
    assert!(new.reads().await);
}

async fn s53_a_lost_answer_to_the_proof_is_given_again_to_the_same_key_only(hub: &mut TestHub) {
    let operator = Operator::of(hub);
    let (box_id, _) = enrolled_box(hub, "alpha", Words(1)).await;
    let (other_box, other) = enrolled_box(hub, "beta", Words(1)).await;
    let ticket = operator.arm(box_id, |request| request.minutes = 5).await;
    let mut new = Machine::new(hub);
    let claim = new.claim(hub, &ticket).await;
    let lost = new.proof(hub, Words(1), 1);
    // The answer is never read; meanwhile the window ends and the hub is started anew.
    drop(new.try_prove(&lost).await);
    hub.clock.forward(3600);
    hub.restart().await;
    let operator = Operator::of(hub);

    // Others hold the ticket, the proof and the certificates, and have neither key nor words.
    let mut thief = Machine::new(hub);
    expect_problem(thief.try_claim(&ticket).await, ProblemCode::TicketRefused).await;
    expect_problem(thief.try_prove(&lost).await, ProblemCode::Unauthenticated).await;
    let later = operator.arm(box_id, |_| ()).await;
    thief.claim(hub, &later).await;
    expect_problem(thief.try_prove(&lost).await, ProblemCode::ProofRefused).await;
    let mut other =
        Machine { key: other.key, certificate: other.certificate, box_id: Some(other_box), ..Machine::new(hub) };
    other.again(hub);
    expect_problem(other.try_prove(&lost).await, ProblemCode::ProofRefused).await;

    // The machine itself claims again, and has the box's certificate.
    new = Machine { key: new.key, ..Machine::new(hub) };
    let again = new.claim(hub, &ticket).await;
    assert_eq!((again.box_id, again.node_id), (claim.box_id, claim.node_id));
    assert_ne!(again.certificate, claim.certificate);
    assert_ne!(again.nonce, claim.nonce);
    expect_problem(new.try_prove(&lost).await, ProblemCode::ProofRefused).await;
    expect_problem(new.try_prove(&new.proof(hub, Words(2), 1)).await, ProblemCode::ProofRefused).await;
    assert_eq!(new.push(&ceremony(box_id, 2, Words(1))).await.number.get(), 2);
    // Proving once more is the same certificate, and takes nothing from anybody.
    let proven = new.prove(hub, Words(1), 1).await;
    assert_eq!((proven.is_box, proven.revoked, proven.certificate), (true, 0, Some(again.certificate)));
    assert!(thief.reads().await && other.reads().await && new.reads().await);
    // Once an operator has taken the box from the machine, nothing is given again.
    operator.arm(box_id, |request| request.stolen = true).await;
    let gone = Machine { key: new.key, ..Machine::new(hub) };
    expect_problem(gone.try_claim(&ticket).await, ProblemCode::TicketRefused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_box_is_out_at_once_and_the_words_still_recover_it() {
    let hub = TestHub::start(Place::sqlite()).await;
    let operator = Operator::of(&hub);
    let (box_id, thief) = enrolled_box(&hub, "alpha", Words(1)).await;
    assert!(thief.reads().await);
    let ticket = operator.arm(box_id, |request| request.stolen = true).await;
    // On the very connection that was open before.
    expect_problem(thief.get(&thief.of_box("/versions")).await, ProblemCode::CertificateRevoked).await;
    let mut new = Machine::new(&hub);
    new.claim(&hub, &ticket).await;
    let proven = new.prove(&hub, Words(1), 1).await;
    assert_eq!((proven.is_box, proven.revoked), (true, 0));
    assert!(operator.show(box_id).await.recovery.unwrap().stolen);
}
