//! Arbitrary bytes, and golden texts with arbitrary damage, never panic; what is read is written
//! again as it was where one value has one text.

use proptest::prelude::*;
use tenwords_protocol::{
    audit::AuditRow,
    boxes::{AddBoxRequest, ArmRequest, BoxList, VersionList},
    calls::CallReply,
    crockford,
    directive::{Directive, Group, Name, Namespace, Wanted},
    directives::{EditRequest, StoredDirective},
    drill::{DrillRequest, Snapshot},
    enroll::EnrollRequest,
    fingerprint::{Fingerprint, ShortFingerprint},
    hash::Sha256,
    holdings::Holdings,
    id::BoxId,
    inventory::Inventory,
    json,
    nodes::{JoinRequest, NodeList},
    operators::{PinsStatement, Signer},
    order::{Line, Order, OrderedPath, SignedOrder},
    part::PartName,
    problem::Problem,
    recovery::{ClaimReply, ClaimRequest},
    renew::RenewReply,
    report::Report,
    ticket::{HubAddress, Ticket},
    time::Timestamp,
    update::{Statement, Update},
    version::{Bundle, Header},
    words::WordsProof,
};

use crate::golden;

/// Gives `bytes` to every reader.
fn read_as_everything(bytes: &[u8]) {
    drop(Bundle::parse(bytes));
    drop(json::from_slice::<Header>(bytes));
    drop(json::from_slice::<Directive>(bytes));
    drop(json::from_slice::<WordsProof>(bytes));
    drop(json::from_slice::<DrillRequest>(bytes));
    drop(json::from_slice::<EnrollRequest>(bytes));
    drop(json::from_slice::<ClaimRequest>(bytes));
    drop(json::from_slice::<ClaimReply>(bytes));
    drop(json::from_slice::<AddBoxRequest>(bytes));
    drop(json::from_slice::<ArmRequest>(bytes));
    drop(json::from_slice::<NodeList>(bytes));
    drop(json::from_slice::<JoinRequest>(bytes));
    drop(json::from_slice::<RenewReply>(bytes));
    drop(json::from_slice::<CallReply>(bytes));
    drop(json::from_slice::<BoxList>(bytes));
    drop(json::from_slice::<VersionList>(bytes));
    if let Ok(statement) = PinsStatement::parse(bytes) {
        assert_eq!(statement.to_text().as_deref(), Ok(bytes));
    }
    if let Ok(order) = Order::parse(bytes) {
        assert_eq!(order.to_text().as_deref(), Ok(bytes));
    }
    drop(json::from_slice::<SignedOrder>(bytes));
    drop(json::from_slice::<Problem>(bytes));
    drop(json::from_slice::<Inventory>(bytes));
    drop(json::from_slice::<Holdings>(bytes));
    drop(json::from_slice::<Report>(bytes));
    drop(json::from_slice::<EditRequest>(bytes));
    drop(json::from_slice::<StoredDirective>(bytes));
    drop(json::from_slice::<Update>(bytes));
    drop(json::from_slice::<Statement>(bytes));
    if let Ok(row) = json::from_slice::<AuditRow>(bytes) {
        drop(row.computed());
    }
    if let Ok(value) = json::from_slice::<serde_json::Value>(bytes) {
        drop(json::canonical(&value));
    }
}

macro_rules! one_text {
    ($text:expr; $($type:ty),*) => {$(
        if let Ok(value) = $text.parse::<$type>() {
            prop_assert_eq!(value.to_string(), $text.clone(), "a {}", std::any::type_name::<$type>());
        }
    )*};
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_as_everything(&bytes);
        let line = [b"tenwords kit 1 - Never keep this beside the ten words.\n".as_slice(), &bytes, b"\n"].concat();
        read_as_everything(&line);
    }

    #[test]
    fn damaged_golden_texts_never_panic(
        name in prop::sample::select(vec![
            "header-ceremony.json", "directive.json", "prove-recover.json", "enroll-request.json", "claim-reply.json",
            "bundle-kit.txt", "box-list.json", "pins-statement.json", "arm.json", "inventory.json", "update.json", "report.json",
            "update-statement.json", "drill-archive.json", "inventory-of-hub.json", "directive-edit.json",
            "order-restore-guest.txt", "order-restore-path.txt", "order-key-replace.txt", "order-repoint.txt",
            "order-unsigned-snapshot.txt", "order-signed.json",
        ]),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_usize), 1..4),
    ) {
        let mut bytes = golden(name);
        for (at, byte, drop_count) in cuts {
            let at = at.index(bytes.len());
            let end = (at + drop_count).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        read_as_everything(&bytes);
    }

    #[test]
    fn a_value_has_one_text(text in prop_oneof![
        "\\PC{0,40}",
        "[0-9a-f:]{23}", "[0-9a-f]{64}", "[0-9a-f-]{36}",
        "[0-9+-]{4}-[0-9+-]{2}-[0-9 ]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
        "(key|pins|update|root)[./][0-9a+-]{0,4}", "(ct|vm|host)/[A-Za-z0-9._-]{0,4}",
        "(ct|vm)/[0-9a/.-]{1,3}/2026-0[0-9]-0[0-9]T1[0-9]:00:0[0-9]Z",
        "[a-z0-9.\\[\\]:]{0,14}", "/[a-z./]{0,8}",
    ]) {
        one_text!(text; BoxId, Fingerprint, ShortFingerprint, Sha256, Timestamp, PartName, Group, Name, Namespace,
            Wanted, Signer, HubAddress, Snapshot, Line, OrderedPath);
    }

    #[test]
    fn ticket_texts_never_panic(text in "\\PC{0,30}", code in "[0-9A-Za-z -]{30,48}", hub in "[a-z.:\\[\\]0-9]{0,9}") {
        drop(text.parse::<Ticket>());
        drop(format!("tenwords1:{hub}:{code}{text}").parse::<Ticket>());
        drop(format!("{hub} {code}").parse::<Ticket>());
        drop(crockford::decode::<20>(&code));
        if let Ok(address) = hub.parse::<HubAddress>() {
            let (host, port) = address.host_and_port();
            prop_assert!(!host.is_empty() && port > 0);
        }
    }
}
