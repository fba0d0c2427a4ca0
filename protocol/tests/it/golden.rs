//! Every golden text is read, says what it was made to say, and is written again byte for byte.

use std::{collections::BTreeSet, fmt::Debug};

use serde::{Serialize, de::DeserializeOwned};
use tenwords_protocol::{
    audit::{self, AuditRow},
    bounded::List,
    boxes::{
        AddBoxRequest, ArmRequest, BoxList, ChangeBoxRequest, PushReply, RetireRequest, ReviveRequest, TicketReply,
        VersionList,
    },
    calls::{CallReply, CallRequest, Called},
    code16::code16,
    directive::Directive,
    directives::{DirectiveList, EditRequest, StoredDirective, automatic, check},
    drill::{DrillReply, DrillRequest, NonceReply, NonceRequest},
    enroll::{EnrollReply, EnrollRequest},
    hash::Sha256,
    holdings::{Holdings, InventoryReply, InventoryStored, MAX_HOLDINGS_BYTES},
    inventory::{Answer, Guest, Inventory},
    json,
    nodes::{JoinRequest, KeeperRequest, NodeList, TicketRequest},
    operators::{MAX_STATEMENT_BYTES, OperatorList, Pins, PinsError, PinsStatement, Role},
    order::{self, Op, Order, SignedOrder},
    orders::{
        AnswerList, AnswerRequest, AnswerStored, AskRequest, Asked, OrderList, OutcomeRequest, PinsList, PinsRequest,
        pins_sha256,
    },
    problem::{Problem, ProblemCode},
    recovery::{CertificateList, ClaimReply, ClaimRequest, ProveReply},
    renew::{RenewReply, RenewRequest},
    report::{Report, ReportReply},
    ticket::{AuthorityPrefix, Ticket},
    update::{Statement, Update},
    version::{Bundle, Header, Kind, StoredHeader},
    words::{Claim, WordsProof, signing_text},
};

use crate::{TestResult, golden, golden_text};

/// Reads and writes one text; `Err` says which file and why.
fn again<T: DeserializeOwned + Serialize>(name: &str, text: &[u8]) -> Result<T, String> {
    let value: T = json::from_slice(text).map_err(|error| format!("{name}: {error}"))?;
    let written = json::to_vec(&value).map_err(|error| format!("{name}: {error}"))?;
    if written == text { Ok(value) } else { Err(format!("{name}: written as {}", String::from_utf8_lossy(&written))) }
}

fn file<T: DeserializeOwned + Serialize>(name: &str) -> Result<T, String> {
    again(name, &golden(name))
}

#[test]
fn every_message_is_read_and_written_again_byte_for_byte() -> TestResult {
    file::<Header>("header-ceremony.json")?;
    file::<Header>("header-update.json")?;
    file::<StoredHeader>("header-stored.json")?;
    file::<Directive>("directive.json")?;
    file::<EnrollRequest>("enroll-request.json")?;
    file::<EnrollReply>("enroll-reply.json")?;
    file::<ClaimRequest>("claim-request.json")?;
    file::<ClaimReply>("claim-reply.json")?;
    file::<ClaimReply>("claim-reply-lost.json")?;
    file::<WordsProof>("prove-recover.json")?;
    file::<WordsProof>("prove-drill-words.json")?;
    file::<WordsProof>("prove-drill-archive.json")?;
    file::<ProveReply>("prove-reply.json")?;
    file::<ProveReply>("prove-reply-rehearsed.json")?;
    file::<CertificateList>("certificate-list.json")?;
    file::<NonceRequest>("drill-nonce-request.json")?;
    file::<NonceReply>("drill-nonce-reply.json")?;
    file::<DrillRequest>("drill-words.json")?;
    file::<DrillRequest>("drill-archive.json")?;
    file::<DrillReply>("drill-reply.json")?;
    file::<AddBoxRequest>("add-box.json")?;
    file::<AddBoxRequest>("add-box-rollout.json")?;
    file::<ChangeBoxRequest>("change-box.json")?;
    file::<RetireRequest>("retire.json")?;
    file::<ReviveRequest>("revive.json")?;
    file::<RenewRequest>("renew-request.json")?;
    file::<RenewReply>("renew-reply.json")?;
    file::<NodeList>("node-list.json")?;
    file::<KeeperRequest>("keeper.json")?;
    file::<TicketRequest>("ticket-request.json")?;
    file::<JoinRequest>("join.json")?;
    file::<CallRequest>("call.json")?;
    file::<Called>("called.json")?;
    file::<CallReply>("call-reply.json")?;
    file::<CallReply>("call-reply-none.json")?;
    file::<TicketReply>("ticket-reply.json")?;
    file::<ArmRequest>("arm.json")?;
    file::<BoxList>("box-list.json")?;
    file::<VersionList>("version-list.json")?;
    file::<PushReply>("push-reply.json")?;
    file::<Pins>("pins.json")?;
    file::<SignedOrder>("order-signed.json")?;
    file::<Inventory>("inventory.json")?;
    file::<Holdings>("inventory-of-hub.json")?;
    file::<InventoryReply>("inventory-reply.json")?;
    file::<InventoryStored>("inventory-stored.json")?;
    file::<Report>("report.json")?;
    file::<Report>("report-node.json")?;
    file::<ReportReply>("report-reply.json")?;
    file::<EditRequest>("directive-edit.json")?;
    file::<EditRequest>("directive-edit-auto.json")?;
    file::<StoredDirective>("directive-stored.json")?;
    file::<DirectiveList>("directive-list.json")?;
    file::<Update>("update.json")?;
    file::<Statement>("update-statement.json")?;
    file::<AskRequest>("order-ask.json")?;
    file::<Asked>("order-asked.json")?;
    file::<AnswerRequest>("order-answer.json")?;
    file::<AnswerStored>("order-answer-stored.json")?;
    file::<AnswerList>("order-answers.json")?;
    file::<OrderList>("order-list.json")?;
    for line in golden_text("order-outcomes.jsonl").lines() {
        again::<OutcomeRequest>("order-outcomes.jsonl", line.as_bytes())?;
    }
    file::<PinsRequest>("pins-request.json")?;
    file::<PinsList>("pins-list.json")?;
    Ok(())
}

#[test]
fn an_orders_id_is_the_hash_of_the_text_that_travels() -> TestResult {
    let (request, asked): (AskRequest, Asked) = (file("order-ask.json")?, file("order-asked.json")?);
    assert_eq!(Sha256::of(&request.order.0), asked.order);
    let list: OrderList = file("order-list.json")?;
    assert!(list.orders.iter().all(|shown| shown.order == asked.order && shown.text == request.order));
    Ok(())
}

#[test]
fn every_golden_file_is_read_by_a_test() -> TestResult {
    let tests = [include_str!("golden.rs"), include_str!("refusals.rs")].concat();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))? {
        let name = entry?.file_name().into_string().map_err(|_| "a name that is not UTF-8")?;
        let stem = name.trim_end_matches(".txt");
        assert!(name == "README.md" || name == "make.py" || tests.contains(stem), "{name} is read by no test");
    }
    Ok(())
}

#[test]
fn every_bundle_is_read_and_written_again_byte_for_byte() -> TestResult {
    for (name, kind, parts, updates, directive) in [
        ("bundle-pushed.txt", Kind::Ceremony, 2, 0, false),
        ("bundle-update.txt", Kind::Update, 2, 0, false),
        ("bundle-kit.txt", Kind::Ceremony, 2, 1, true),
    ] {
        let text = golden(name);
        let bundle = Bundle::parse(&text)?;
        assert_eq!(bundle.header().facts().kind, kind, "{name}");
        assert_eq!(bundle.parts().len(), parts, "{name}");
        assert_eq!(bundle.updates().len(), updates, "{name}");
        assert_eq!(bundle.directive().is_some(), directive, "{name}");
        assert_eq!(bundle.to_text()?, text, "{name}");
    }
    Ok(())
}

#[test]
fn an_inventory_says_which_keys_nobody_holds_and_which_guests_nothing_covers() -> TestResult {
    let inventory: Inventory = file("inventory.json")?;
    let unknown: Vec<String> =
        inventory.unknown_keys().map(|(source, key)| format!("{} {}", source.id, key.fingerprint.short())).collect();
    assert_eq!(unknown, ["pbs 00:01:02:03:04:05:06:07"]);
    let uncovered: Vec<u32> = inventory.uncovered().map(|guest| guest.vmid.get()).collect();
    assert_eq!(uncovered, [102, 104]);
    Ok(())
}

/// Wall 10: what a stolen disk of the hub says is names, ids, fingerprints, times and sizes.
#[test]
fn the_hub_is_told_what_there_is_and_not_where_or_as_whom_to_get_it() -> TestResult {
    let inventory: Inventory = file("inventory.json")?;
    let (holdings, text) = Holdings::fitting(&inventory)?;
    assert_eq!(text, golden("inventory-of-hub.json"));
    let text = String::from_utf8(text)?;
    for untold in
        ["pbs.example", "8007", "store", "backup@pbs", "20:21", "why", "mon..fri", "local:", "pve1", "user.cfg"]
    {
        assert!(!text.contains(untold), "`{untold}` is told");
    }
    let made = automatic(&holdings);
    assert_eq!(check(&made.items), Ok(()));
    let groups: Vec<String> = made.items.iter().map(|item| item.group.to_string()).collect();
    assert_eq!(groups, ["ct/101", "vm/102", "vm/103", "vm/104", "host/box1", "host/box1"]);
    assert_eq!(made.left_out, 2);
    Ok(())
}

#[test]
fn an_inventory_of_any_size_is_told_as_far_as_the_hub_takes_it_and_the_rest_is_counted() -> TestResult {
    let mut inventory: Inventory = file("inventory.json")?;
    let guest: Guest = inventory.guests[0].clone();
    inventory.guests = List::cut((0..10_000).map(|_| guest.clone())).0;
    let mut sources = inventory.sources.to_vec();
    if let Answer::Listed(listing) = &mut sources[0].answer {
        let group = listing.groups[0].clone();
        listing.groups = List::cut((0..10_000).map(|_| group.clone())).0;
    }
    inventory.sources = List::cut(sources).0;
    let (holdings, text) = Holdings::fitting(&inventory)?;
    assert!(text.len() <= MAX_HOLDINGS_BYTES, "{}", text.len());
    let groups = &holdings.sources[0];
    assert_eq!(u64::try_from(groups.groups.len())? + groups.groups_left_out, 10_002);
    assert_eq!(u64::try_from(holdings.guests.len())? + holdings.guests_left_out, 10_003);
    assert!(groups.groups.len() > 1000, "{}", groups.groups.len());
    Ok(())
}

#[test]
fn a_ticket_has_its_two_forms_and_leads_to_its_hub() -> TestResult {
    let text = golden_text("tickets.txt");
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        ("hub.example", 8443),
        ("hub.example", 9443),
        ("192.0.2.7", 8443),
        ("2001:db8::7", 8443),
        ("2001:db8::7", 9443),
    ];
    assert_eq!(lines.len(), expected.len() * 2);
    for (pair, address) in lines.chunks(2).zip(expected) {
        for form in pair {
            let ticket: Ticket = form.parse()?;
            assert_eq!(*ticket.expose_pasted(), pair[0]);
            assert_eq!(*ticket.expose_typed(), pair[1]);
            assert_eq!(ticket.hub().host_and_port(), address);
            assert_eq!(ticket.authority(), AuthorityPrefix::of_spki(b"not a real SPKI"));
            assert_eq!(
                *ticket.into_secret().expose_bytes(),
                std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap_or(0))
            );
        }
    }
    Ok(())
}

#[test]
fn the_words_key_signs_the_lines_of_the_design_page() -> TestResult {
    let header: Header = file("header-ceremony.json")?;
    let (box_id, spki_sha256) = (header.facts().box_id, Sha256::of(b"not a real SPKI"));
    for purpose in ["recover", "drill-words", "drill-archive"] {
        let proof: WordsProof = file(&format!("prove-{purpose}.json"))?;
        let WordsProof { purpose: signed, version, time, nonce, .. } = proof;
        let text = signing_text(&Claim { purpose: signed, box_id, version, nonce, time, spki_sha256 });
        assert_eq!(text, golden_text(&format!("prove-{purpose}.txt")));
        proof.verify(box_id, spki_sha256, &header.facts().words_key)?;
        assert!(proof.verify(box_id, Sha256::of(b"another"), &header.facts().words_key).is_err());
    }
    Ok(())
}

#[test]
fn a_problem_of_every_code_has_its_words_and_status() -> TestResult {
    let text = golden_text("problems.jsonl");
    let problems =
        text.lines().map(|line| again("problems.jsonl", line.as_bytes())).collect::<Result<Vec<Problem>, _>>()?;
    assert_eq!(problems.iter().map(|problem| problem.code.clone()).collect::<Vec<_>>(), ProblemCode::ALL);
    for problem in problems {
        assert_eq!(Problem::new(problem.code.clone(), problem.detail.clone()), problem);
    }
    let unknown: Problem = json::from_slice(br#"{"type":"t","title":"t","status":418,"code":"tea\u001b[2J"}"#)?;
    assert_eq!(unknown.code, ProblemCode::Unknown("tea[2J".into()));
    Ok(())
}

#[test]
fn the_operators_list_is_its_sorted_lines() -> TestResult {
    let text = golden_text("operators.txt");
    let list = OperatorList::new(text.lines().rev().map(str::parse).collect::<Result<_, _>>()?)?;
    assert_eq!(list.to_text(), text);
    assert_eq!(list.hash().to_string(), golden_text("operators.sha256").trim_end());
    let lines: Vec<&str> = text.lines().collect();
    let read: OperatorList = again("operators.txt", &json::to_vec(&lines)?)?;
    assert_eq!(read, list);
    let roles: Vec<Role> = list.signers().iter().flat_map(|signer| signer.roles().iter().copied()).collect();
    assert_eq!(roles, [Role::Operational, Role::Operational, Role::Operational, Role::Recovery, Role::Recovery]);
    let pins: Pins = file("pins.json")?;
    assert_eq!(golden("pins-statement.json"), pins.statement.0);
    assert_eq!(pins_sha256(&pins)?.to_string(), golden_text("pins.sha256").trim_end());
    Ok(())
}

#[test]
fn a_pins_statement_has_one_text() -> TestResult {
    let text = golden("pins-statement.json");
    let statement = PinsStatement::parse(&text)?;
    assert_eq!(statement.replaces.to_string(), golden_text("operators.sha256").trim_end());
    assert_eq!(statement.to_text()?, text);
    let text = golden_text("pins-statement.json");
    for other in [
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!(" {text}"),
        text.replace(":2,", ": 2,"),
        text.replace("\"v\":1,\"generation\":2,", "\"generation\":2,\"v\":1,"),
        text.replace("operational", "operationa\\u006c"),
    ] {
        assert_eq!(PinsStatement::parse(other.as_bytes()), Err(PinsError::Spelling), "{other}");
    }
    for other in [
        text.replace(":2,", ":2,\"generation\":3,"),
        text.replace(":2,", ":0,"),
        text.replace(":2,", ":2,\"also\":1,"),
        text.replace("operational", "root"),
    ] {
        assert!(matches!(PinsStatement::parse(other.as_bytes()), Err(PinsError::Shape(_))), "{other}");
    }
    assert_eq!(PinsStatement::parse(&[b' '; MAX_STATEMENT_BYTES + 1]), Err(PinsError::TooLong));
    Ok(())
}

#[test]
fn an_order_of_each_op_is_its_text_and_has_its_code() -> TestResult {
    let codes = golden_text("order-codes.txt");
    let mut ops = BTreeSet::new();
    for (name, op, has_node) in [
        ("restore-guest", Op::RestoreOverwrite, true),
        ("restore-path", Op::RestoreOverwrite, false),
        ("key-replace", Op::KeyReplace, true),
        ("repoint", Op::Repoint, true),
        ("unsigned-snapshot", Op::UnsignedSnapshot, true),
    ] {
        let text = golden(&format!("order-{name}.txt"));
        let order = Order::parse(&text).map_err(|error| format!("{name}: {error}"))?;
        assert_eq!((order.op(), order.node_id.is_some(), order.role()), (op, has_node, Role::Operational), "{name}");
        assert_eq!(order.to_text()?, text, "{name}");
        let line = format!("{name}\t{}", order::code(&text));
        assert!(codes.lines().any(|code| code == line), "{line}");
        // Each character of it stands where it does: without one, or with one twice, it is no order.
        for at in 0..text.len() {
            let without = [&text[..at], &text[at + 1..]].concat();
            let twice = [&text[..at], &text[at..=at], &text[at..]].concat();
            for other in [without, twice] {
                let read = Order::parse(&other);
                assert!(read.is_err() || read.is_ok_and(|read| read != order), "{name}, byte {at}");
            }
        }
        ops.insert(op);
    }
    assert_eq!(ops.len(), 4);
    assert_eq!(codes.lines().count(), 5);
    let signed: SignedOrder = file("order-signed.json")?;
    assert_eq!(signed.order.0, golden("order-repoint.txt"));
    Ok(())
}

#[test]
fn an_update_carries_the_exact_bytes_of_its_statement() -> TestResult {
    let update: Update = file("update.json")?;
    assert_eq!(golden("update-statement.json"), update.statement.0);
    let statement: Statement = again("update-statement.json", &update.statement.0)?;
    assert_eq!(statement.previous, statement.root_sha256, "the first one's previous is the root");
    assert_eq!(statement.body_sha256, Sha256::of(&update.body.0));
    let keys: Vec<String> = statement.fingerprints.iter().map(|key| key.short().to_string()).collect();
    assert_eq!(keys, ["00:01:02:03:04:05:06:07", "0e:ab:d4:46:0b:6e:b9:ca"]);
    Ok(())
}

#[test]
fn the_audits_hashes_are_those_that_python_computed() -> TestResult {
    let text = golden_text("audit.jsonl");
    let rows = text.lines().map(|line| again("audit.jsonl", line.as_bytes())).collect::<Result<Vec<AuditRow>, _>>()?;
    let head = audit::verify((0, AuditRow::FIRST_PREVIOUS), &rows)?;
    assert_eq!(head, (2, rows[1].hash));
    let broken = |change: fn(&mut Vec<AuditRow>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        audit::verify((0, AuditRow::FIRST_PREVIOUS), &rows).is_err()
    };
    assert!(broken(|rows| rows[0].detail.push('.')));
    assert!(broken(|rows| rows[0].box_id = None));
    assert!(broken(|rows| rows.swap(0, 1)));
    assert!(broken(|rows| drop(rows.remove(0))));
    assert!(broken(|rows| rows[1].seq = 3));
    assert!(audit::verify((u64::MAX, AuditRow::FIRST_PREVIOUS), &rows).is_err());
    Ok(())
}

#[test]
fn codes_of_sixteen_characters_are_those_that_python_computed() {
    for line in golden_text("code16.txt").lines() {
        let [label, text, code] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(code16(label, text.as_bytes()).to_string(), code);
    }
}

/// S52 for what travels: a secret prints its type's name alone.
#[test]
fn s52_what_travels_prints_no_secret() -> TestResult {
    let request: EnrollRequest = file("enroll-request.json")?;
    let claim: ClaimRequest = file("claim-request.json")?;
    let reply: TicketReply = file("ticket-reply.json")?;
    let ticket: Ticket = golden_text("tickets.txt").lines().next().unwrap_or_default().parse()?;
    let values: [(&str, &dyn Debug); 4] =
        [("EnrollRequest", &request), ("ClaimRequest", &claim), ("TicketReply", &reply), ("Ticket", &ticket)];
    for (name, value) in values {
        let printed = format!("{value:?} {value:#?}");
        assert!(printed.contains("([redacted])"), "{name}: {printed}");
        for form in ["M2GT58X4", "M2GT-58X4", "a0a1a2", "160, 161", "oKGio6SlpqeoqQ"] {
            assert!(!printed.contains(form), "{name} prints {form}");
        }
    }
    Ok(())
}
