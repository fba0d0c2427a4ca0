//! The hub as a process: killed in the middle of pushes, and searched for what it must not keep.

use std::{fs, path::Path, sync::Arc, time::Duration};

use reqwest::StatusCode;
use tenwords_hub::clock::Clock as _;
use tenwords_protocol::{
    bounded::Text,
    boxes::PushReply,
    bytes::Base64,
    hash::Sha256,
    operators::Pins,
    orders::{AnswerRequest, AskRequest, OutcomeKind, OutcomeRequest, PinsRequest},
    v1::V1,
    version::{Bundle, StoredHeader},
};
use tokio::sync::mpsc;

use crate::{
    command::{self, Process},
    support::{Machine, Operator, TestHub, Words, ceremony, enrolled_box, update},
};

const BOXES: usize = 6;

fn start(hub: &mut TestHub) -> Process {
    let process = command::serve(hub.dir.path());
    hub.agents = process.address("agents");
    hub.people = process.address("people");
    process
}

/// One acknowledgement.
struct Acknowledged {
    which: usize,
    number: u64,
    pushed: Bundle,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_version_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let made = command::init(dir.path());
    let mut hub = TestHub::attached(dir, &made);
    let mut process = start(&mut hub);
    let mut machines = Vec::new();
    for i in 0..BOXES {
        let (_, machine) = enrolled_box(&hub, &format!("box{i}"), Words(1)).await;
        machines.push(machine);
    }
    let (mut acknowledged, mut sequences) = (Vec::new(), [2; BOXES]);
    for kill_after in [1, 20, 45] {
        let (sender, mut acks) = mpsc::unbounded_channel();
        let mut pushers = Vec::new();
        for (which, mut machine) in machines.drain(..).enumerate() {
            let (sender, first) = (sender.clone(), sequences[which]);
            pushers.push(tokio::spawn(async move {
                let last = push_until_refused(&mut machine, which, first, &sender).await;
                (machine, last)
            }));
        }
        drop(sender);
        let mut heard = 0;
        while let Some(ack) = acks.recv().await {
            acknowledged.push(ack);
            heard += 1;
            if heard == kill_after {
                process.child.kill().unwrap();
                process.child.wait().unwrap();
            }
        }
        assert!(heard >= kill_after, "the pushers stopped early, after {heard}");
        for (which, pusher) in pushers.into_iter().enumerate() {
            let (machine, last) = pusher.await.unwrap();
            sequences[which] = last + 1;
            machines.push(machine);
        }
        process = start(&mut hub);
        for machine in &mut machines {
            machine.again(&hub);
        }
        for ack in &acknowledged {
            is_there(&machines[ack.which], ack).await;
        }
        whole_and_gapless(&hub, &machines).await;
    }
}

/// Ceremonies and updates in turn, until the hub does not answer any more.
async fn push_until_refused(
    machine: &mut Machine,
    which: usize,
    first: u64,
    acks: &mpsc::UnboundedSender<Acknowledged>,
) -> u64 {
    let box_id = machine.box_id.unwrap();
    for sequence in first.. {
        let pushed = match sequence % 2 {
            0 => ceremony(box_id, sequence, Words(1)),
            _ => update(box_id, sequence, Words(1)),
        };
        let request = machine.client.post(machine.url(&machine.of_box("/versions")));
        let Ok(response) = request.body(pushed.to_text().unwrap()).send().await else { return sequence };
        assert_eq!(response.status(), StatusCode::CREATED);
        let Ok(reply) = response.json::<PushReply>().await else { return sequence };
        acks.send(Acknowledged { which, number: reply.number.get(), pushed }).unwrap();
    }
    unreachable!("sequences do not end")
}

async fn is_there(machine: &Machine, ack: &Acknowledged) {
    let found = machine.get(&machine.of_box(&format!("/versions/{}", ack.number))).await;
    let found: StoredHeader = found.json().await.unwrap();
    assert_eq!(&found.header, ack.pushed.header());
    for (name, bytes) in ack.pushed.parts() {
        let part = machine.get(&machine.of_box(&format!("/versions/{}/parts/{name}", ack.number))).await;
        assert_eq!(part.bytes().await.unwrap(), bytes);
    }
}

/// No half version, no number left out, and the audit's chain whole.
async fn whole_and_gapless(hub: &TestHub, machines: &[Machine]) {
    let store = hub.store().await;
    for machine in machines {
        let versions = store.versions(machine.box_id.unwrap(), None).await.unwrap();
        let numbers: Vec<_> = versions.iter().rev().map(|version| version.number.get()).collect();
        assert_eq!(numbers, (1..=versions.len() as u64).collect::<Vec<_>>());
        for version in versions {
            for entry in version.header.parts() {
                let part = store.part(machine.box_id.unwrap(), version.number, entry.name).await.unwrap();
                assert_eq!(part.unwrap().len() as u64, entry.size);
            }
        }
    }
    assert!(store.verify_audit().await.unwrap().is_ok());
}

/// What is kept of an order, and of whom boxes believe.
enum Kept {
    Asked(Sha256),
    Told(Sha256),
    Answered(Sha256),
    Listed(Pins),
}

/// The same of what a box asks, what it says came of it, and what operators send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_order_outcome_answer_and_statement_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let made = command::init(dir.path());
    let mut hub = TestHub::attached(dir, &made);
    let mut process = start(&mut hub);
    let (box_id, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let machine = Arc::new(machine);
    let (sender, mut acks) = mpsc::unbounded_channel();
    for asker in 0..4 {
        let (machine, sender) = (Arc::clone(&machine), sender.clone());
        let expires_at = hub.clock.now().plus(Duration::from_secs(86_400));
        let (operator, people, token) = (hub.client(None), format!("https://{}", hub.people), hub.token.clone());
        tokio::spawn(async move {
            for number in 0..15 {
                let text = format!("order {number} of {asker}").into_bytes();
                let (order, ask) = (Sha256::of(&text), AskRequest { v: V1, order: Base64(text), expires_at });
                let path = machine.url(&machine.of_box("/orders"));
                let Ok(response) = machine.client.post(path).json(&ask).send().await else { return };
                assert_eq!(response.status(), StatusCode::CREATED);
                sender.send(Kept::Asked(order)).unwrap();
                let path = machine.url(&machine.of_box(&format!("/orders/{order}/outcome")));
                let tell = OutcomeRequest { v: V1, outcome: OutcomeKind::Refused, said: Text::cut("no") };
                let Ok(response) = machine.client.post(path).json(&tell).send().await else { return };
                assert_eq!(response.status(), StatusCode::NO_CONTENT);
                sender.send(Kept::Told(order)).unwrap();
                let path = format!("{people}/v1/boxes/{}/orders/{order}/answers", machine.box_id.unwrap());
                let answer = AnswerRequest { v: V1, signature: Text::cut("a signature") };
                let Ok(response) = operator.post(path).bearer_auth(&token).json(&answer).send().await else { return };
                assert_eq!(response.status(), StatusCode::CREATED);
                sender.send(Kept::Answered(order)).unwrap();
                if number > 2 {
                    continue;
                }
                let statement = Base64(format!("{number} of {asker}").into_bytes());
                let pins = Pins { v: V1, statement, signature: String::new() };
                let request = PinsRequest { v: V1, pins: pins.clone() };
                let path = format!("{people}/v1/pins");
                let Ok(response) = operator.post(path).bearer_auth(&token).json(&request).send().await else { return };
                assert_eq!(response.status(), StatusCode::CREATED);
                sender.send(Kept::Listed(pins)).unwrap();
            }
        });
    }
    drop(sender);
    let mut acknowledged = Vec::new();
    while let Some(ack) = acks.recv().await {
        acknowledged.push(ack);
        if acknowledged.len() == 41 {
            process.child.kill().unwrap();
            process.child.wait().unwrap();
        }
    }
    assert!((41..60 * 3).contains(&acknowledged.len()), "{}", acknowledged.len());
    process = start(&mut hub);
    let operator = Operator::of(&hub);
    let mut kinds = [0; 4];
    for kept in acknowledged {
        match kept {
            Kept::Asked(order) => {
                assert_eq!(Sha256::of(&operator.order(box_id, order).await.text.0), order);
                kinds[0] += 1;
            }
            Kept::Told(order) => {
                assert!(operator.order(box_id, order).await.outcome.is_some(), "what was said of {order} is lost");
                kinds[1] += 1;
            }
            Kept::Answered(order) => {
                assert_eq!(operator.order(box_id, order).await.answers, 1, "the answer to {order} is lost");
                kinds[2] += 1;
            }
            Kept::Listed(pins) => {
                assert!(hub.store().await.pins().await.unwrap().contains(&pins), "{pins:?} is lost");
                kinds[3] += 1;
            }
        }
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    assert!(hub.store().await.verify_audit().await.unwrap().is_ok());
    drop(process);
}

/// Wall 10 and the log: no token, no ticket and no part in places where they do not belong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_and_no_ticket_is_logged_or_stored() {
    let dir = tempfile::tempdir().unwrap();
    let made = command::init(dir.path());
    let mut hub = TestHub::attached(dir, &made);
    let process = start(&mut hub);
    let operator = Operator::of(&hub);
    let box_id = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse().unwrap();
    let enrolment = operator.add(box_id, "alpha").await;
    let mut old = Machine::new(&hub);
    old.enroll(&hub, &enrolment).await;
    old.push(&ceremony(box_id, 1, Words(1))).await;
    let recovery = operator.arm(box_id, |_| ()).await;
    let (mut new, late) = (Machine::new(&hub), Machine::new(&hub));
    new.claim(&hub, &recovery).await;
    assert_eq!(late.try_claim(&recovery).await.status(), StatusCode::FORBIDDEN);
    new.prove(&hub, Words(1), 1).await;
    let wrong = format!("twa_{}", "7".repeat(52));
    let refused = Operator::with_token(&hub, &wrong).send(reqwest::Method::GET, "/v1/boxes", None::<&()>).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let data = hub.dir.path().join("data");
    let log = command::log(hub.dir.path());
    let mut secrets = vec![hub.token.clone(), wrong];
    for ticket in [enrolment, recovery] {
        let pasted = ticket.expose_pasted();
        secrets.push(pasted.rsplit(':').next().unwrap()[..16].to_owned());
        secrets.push(hex_of(&ticket.into_secret()));
    }
    let found = search(&[&data, &log], &secrets);
    assert_eq!(found, Vec::<String>::new());
    // The parts lie in the store, and the log has never seen them.
    let parts = ["root of sequence 1".to_owned(), "a key file".to_owned()];
    assert_eq!(search(&[&log], &parts), Vec::<String>::new());
    assert!(!search(&[&data], &parts).is_empty(), "the search finds nothing at all");
    // Seen to find: the same search with a planted token.
    fs::write(data.join("planted"), format!("x{}x", hub.token)).unwrap();
    assert_eq!(search(&[&data, &log], &secrets).len(), 1);
    drop(process);
}

fn hex_of(secret: &tenwords_protocol::ticket::TicketSecret) -> String {
    secret.expose_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files that hold one of these texts, in any case.
fn search(places: &[&Path], texts: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    for place in places {
        match fs::read_dir(place) {
            Ok(entries) => files.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => files.push((*place).to_owned()),
        }
    }
    let mut found = Vec::new();
    for file in files {
        let bytes = fs::read(&file).unwrap().to_ascii_lowercase();
        for text in texts {
            let text = text.to_ascii_lowercase();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(format!("{} holds {text}", file.display()));
            }
        }
    }
    found
}
