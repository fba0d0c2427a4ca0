//! What is not the written form is refused: one checker, the cases as data.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tenwords_protocol::{
    boxes::{
        AddBoxRequest, ArmRequest, BoxList, ChangeBoxRequest, PushReply, RetireRequest, ReviveRequest, TicketReply,
        VersionList,
    },
    calls::{CallReply, CallRequest, Called},
    directive::Directive,
    directives::{DirectiveList, EditRequest, StoredDirective},
    drill::{DrillReply, DrillRequest, NonceReply, NonceRequest},
    enroll::{EnrollReply, EnrollRequest},
    holdings::{Holdings, InventoryReply, InventoryStored},
    inventory::Inventory,
    json,
    nodes::{JoinRequest, KeeperRequest, NodeList, TicketRequest},
    operators::{OperatorList, Pins, PinsStatement, Signer},
    order::{Order, SignedOrder},
    problem::Problem,
    recovery::{CertificateList, ClaimReply, ClaimRequest, ProveReply},
    renew::{RenewReply, RenewRequest},
    report::{Report, ReportReply},
    ticket::{Ticket, TicketError},
    update::{Statement, Update},
    version::{Bundle, BundleError, Header, StoredHeader},
    words::WordsProof,
};

use crate::{TestResult, golden, golden_text};

/// How a text is read: `Err` carries the refusal and what caused it.
type Reader = fn(&[u8]) -> Result<(), String>;

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<(), String> {
    json::from_slice::<T>(text).map(drop).map_err(|error| error.to_string())
}

fn read_bundle(text: &[u8]) -> Result<(), String> {
    Bundle::parse(text).map(drop).map_err(|error| match error {
        BundleError::Json(source) => source.to_string(),
        other => other.to_string(),
    })
}

/// As JSON, in any order of fields; `Order::parse` compares the bytes as well. An act that is not known is
/// named, cut to what can be seen: whoever has an older program must learn which.
fn read_order(text: &[u8]) -> Result<(), String> {
    read::<Order>(text).map_err(|refusal| match refusal.split_once('`') {
        Some((before, _)) if refusal.contains("is no act that this version knows") => before.to_owned(),
        _ => refusal,
    })
}

/// Texts that the receiver must understand whole.
const STRICT: [(&str, Reader); 39] = [
    ("header-ceremony.json", read::<Header>),
    ("header-update.json", read::<Header>),
    ("directive.json", read::<Directive>),
    ("enroll-request.json", read::<EnrollRequest>),
    ("claim-request.json", read::<ClaimRequest>),
    ("prove-recover.json", read::<WordsProof>),
    ("prove-drill-words.json", read::<WordsProof>),
    ("prove-drill-archive.json", read::<WordsProof>),
    ("drill-nonce-request.json", read::<NonceRequest>),
    ("drill-words.json", read::<DrillRequest>),
    ("drill-archive.json", read::<DrillRequest>),
    ("add-box.json", read::<AddBoxRequest>),
    ("add-box-rollout.json", read::<AddBoxRequest>),
    ("change-box.json", read::<ChangeBoxRequest>),
    ("retire.json", read::<RetireRequest>),
    ("revive.json", read::<ReviveRequest>),
    ("renew-request.json", read::<RenewRequest>),
    ("keeper.json", read::<KeeperRequest>),
    ("ticket-request.json", read::<TicketRequest>),
    ("join.json", read::<JoinRequest>),
    ("call.json", read::<CallRequest>),
    ("arm.json", read::<ArmRequest>),
    ("pins.json", read::<Pins>),
    ("pins-statement.json", read::<PinsStatement>),
    ("order-restore-guest.txt", read_order),
    ("order-restore-path.txt", read_order),
    ("order-key-replace.txt", read_order),
    ("order-repoint.txt", read_order),
    ("order-unsigned-snapshot.txt", read_order),
    ("order-signed.json", read::<SignedOrder>),
    ("inventory.json", read::<Inventory>),
    ("inventory-of-hub.json", read::<Holdings>),
    ("directive-edit.json", read::<EditRequest>),
    ("directive-edit-auto.json", read::<EditRequest>),
    ("update.json", read::<Update>),
    ("update-statement.json", read::<Statement>),
    ("bundle-pushed.txt", read_bundle),
    ("bundle-update.txt", read_bundle),
    ("bundle-kit.txt", read_bundle),
];

/// Replies, which may say more than this program knows; and reports, which decide nothing.
const REPLIES: [(&str, Reader); 24] = [
    ("header-stored.json", read::<StoredHeader>),
    ("enroll-reply.json", read::<EnrollReply>),
    ("claim-reply.json", read::<ClaimReply>),
    ("claim-reply-lost.json", read::<ClaimReply>),
    ("prove-reply.json", read::<ProveReply>),
    ("prove-reply-rehearsed.json", read::<ProveReply>),
    ("certificate-list.json", read::<CertificateList>),
    ("renew-reply.json", read::<RenewReply>),
    ("node-list.json", read::<NodeList>),
    ("called.json", read::<Called>),
    ("call-reply.json", read::<CallReply>),
    ("drill-nonce-reply.json", read::<NonceReply>),
    ("drill-reply.json", read::<DrillReply>),
    ("ticket-reply.json", read::<TicketReply>),
    ("box-list.json", read::<BoxList>),
    ("version-list.json", read::<VersionList>),
    ("push-reply.json", read::<PushReply>),
    ("inventory-reply.json", read::<InventoryReply>),
    ("inventory-stored.json", read::<InventoryStored>),
    ("directive-stored.json", read::<StoredDirective>),
    ("directive-list.json", read::<DirectiveList>),
    ("report.json", read::<Report>),
    ("report-node.json", read::<Report>),
    ("report-reply.json", read::<ReportReply>),
];

/// Every text that follows from `value` by one change at any depth.
fn changed_everywhere(value: &Value, change: &dyn Fn(&Value) -> Option<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = change(value).into_iter().collect();
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                for changed in changed_everywhere(inner, change) {
                    let mut object = object.clone();
                    object.insert(key.clone(), changed);
                    out.push(Value::Object(object));
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                for changed in changed_everywhere(inner, change) {
                    let mut items = items.clone();
                    items[index] = changed;
                    out.push(Value::Array(items));
                }
            }
        }
        _ => {}
    }
    out
}

/// A golden text's JSON, and what stands before and after it.
fn split(name: &str) -> (String, Value, String) {
    let text = golden_text(name);
    let start = text.find('{').unwrap_or(0);
    let end = text.rfind('}').map_or(0, |end| end + 1);
    let value = serde_json::from_str(&text[start..end]).expect("golden texts are JSON");
    (text[..start].to_owned(), value, text[end..].to_owned())
}

fn refuses_all(name: &str, reader: Reader, what: &str, change: &dyn Fn(&Value) -> Option<Value>) {
    let (before, value, after) = split(name);
    let changed = changed_everywhere(&value, change);
    assert!(!changed.is_empty(), "{name}: no case of {what}");
    for value in changed {
        let text = format!("{before}{value}{after}");
        assert!(reader(text.as_bytes()).is_err(), "{name} with {what} was taken: {text}");
    }
}

#[test]
fn the_golden_texts_are_taken_in_any_order_of_fields() {
    for (name, reader) in STRICT.into_iter().chain(REPLIES) {
        let (before, value, after) = split(name);
        assert_eq!(reader(format!("{before}{value}{after}").as_bytes()), Ok(()), "{name}");
    }
}

#[test]
fn a_field_that_is_not_known_is_refused_at_every_depth_where_it_could_change_the_meaning() {
    let add = |value: &Value| {
        let mut object = value.as_object()?.clone();
        object.insert("zz".into(), Value::from(1));
        Some(Value::Object(object))
    };
    for (name, reader) in STRICT {
        refuses_all(name, reader, "a field more", &add);
    }
}

#[test]
fn a_field_that_is_not_known_is_ignored_in_a_reply() {
    for (name, reader) in REPLIES {
        let (_, value, _) = split(name);
        let mut object = value.as_object().cloned().expect("a reply is an object");
        object.insert("zz".into(), serde_json::json!({"later": [1, "x"]}));
        assert_eq!(reader(Value::Object(object).to_string().as_bytes()), Ok(()), "{name}");
    }
    assert_eq!(read::<Problem>(br#"{"type":"t","title":"t","status":404,"code":"not_found","instance":"/x"}"#), Ok(()));
}

#[test]
fn an_array_is_not_an_object_whose_fields_lost_their_names() {
    let unnamed = |value: &Value| Some(Value::Array(value.as_object()?.values().cloned().collect()));
    for (name, reader) in STRICT.into_iter().chain(REPLIES) {
        refuses_all(name, reader, "an array for an object", &unnamed);
    }
    // In the order of the type's fields, where serde's own reader would take it.
    assert!(read::<PushReply>(br#"[1,7,"2026-03-03T12:00:05Z"]"#).is_err());
    let directive = |target: &str| {
        format!(r#"{{"v":1,"number":1,"items":[{{"source":"a","group":"ct/1","snapshot":"newest","as":{target}}}]}}"#)
    };
    assert_eq!(read::<Directive>(directive(r#"{"vmid":101}"#).as_bytes()), Ok(()));
    assert!(read::<Directive>(directive(r#"[101,"local"]"#).as_bytes()).is_err());
    assert!(read::<Directive>(directive(r#"["data.pxar","original"]"#).as_bytes()).is_err());
}

#[test]
fn nulls_floats_and_other_versions_are_refused_everywhere() {
    for (name, reader) in STRICT.into_iter().chain(REPLIES) {
        refuses_all(name, reader, "a null", &|_| Some(Value::Null));
        refuses_all(name, reader, "a float", &|value| value.as_u64().map(|_| Value::from(1.5)));
        refuses_all(name, reader, "an integer written as a float", &|value| {
            value.as_u64().and_then(|n| u32::try_from(n).ok()).map(|n| Value::from(f64::from(n)))
        });
        for version in [0, 2] {
            refuses_all(name, reader, "another version", &|value| {
                let mut object = value.as_object()?.clone();
                object.insert("v".into(), Value::from(version)).map(|_| Value::Object(object))
            });
        }
        if name != "header-stored.json" {
            refuses_all(name, reader, "no version", &|value| {
                let mut object = value.as_object()?.clone();
                object.remove("v").map(|_| Value::Object(object))
            });
        }
    }
}

#[test]
fn a_key_twice_is_refused_at_every_depth_also_in_another_spelling() {
    for (name, reader) in STRICT.into_iter().chain(REPLIES) {
        let text = golden_text(name);
        let braces: Vec<usize> = text.match_indices("{\"").map(|(at, _)| at).collect();
        assert!(!braces.is_empty());
        for at in braces {
            let inner = &text[at + 1..];
            let key = &inner[..inner[1..].find('"').expect("a key ends") + 2];
            let first = key.chars().nth(1).map(u32::from).expect("a key has a character");
            let spelled = format!("\"\\u{first:04x}{}", &key[2..]);
            for twice in [key, spelled.as_str()] {
                // The value of the second is a copy of the first's, so that nothing else is wrong.
                let (before, value, after) = (&text[..at], &text[at + 1..], "");
                let changed = format!("{before}{{{twice}:{},{value}{after}", first_value(inner));
                assert!(reader(changed.as_bytes()).is_err(), "{name}: {changed}");
            }
        }
    }
}

/// The text of the first value in `"key":value,…`.
fn first_value(text: &str) -> String {
    let start = text.find(':').expect("a key has a value") + 1;
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    values.next().and_then(Result::ok).expect("golden texts are JSON").to_string()
}

#[test]
fn ids_hashes_and_times_have_one_spelling() {
    for (name, reader) in STRICT.into_iter().chain(REPLIES) {
        let (before, value, after) = split(name);
        let upper = |value: &Value| {
            let text = value.as_str()?;
            let id_or_hash = text.bytes().all(|b| b.is_ascii_digit() || b"abcdef-".contains(&b)) && text.len() >= 36;
            (id_or_hash && text.bytes().any(|b| b.is_ascii_lowercase())).then(|| Value::from(text.to_uppercase()))
        };
        let local = |value: &Value| {
            value.as_str().filter(|t| t.ends_with(":00Z")).map(|t| Value::from(t.replace('Z', "+00:00")))
        };
        let unpadded =
            |value: &Value| value.as_str().filter(|t| t.ends_with('=')).map(|t| Value::from(t.trim_end_matches('=')));
        for change in [&upper as &dyn Fn(&Value) -> Option<Value>, &local, &unpadded] {
            for value in changed_everywhere(&value, change) {
                let text = format!("{before}{value}{after}");
                assert!(reader(text.as_bytes()).is_err(), "{name}: {text}");
            }
        }
    }
}

/// One replacement in a golden text that must lead to this refusal.
#[test]
fn headers_and_bundles_that_do_not_fit_their_parts_are_refused() {
    let root_entry = r#",{"name":"root.age","size":"#;
    let cases: [(&str, &str, &str, &str); 23] = [
        (
            "header-ceremony.json",
            r#""parts":[{"name":"key"#,
            r#""parts":[{"name":"root.age","size":1,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"},{"name":"key"#,
            "not sorted",
        ),
        ("header-update.json", r#""name":"pins/2""#, r#""name":"update/2""#, "not sorted"),
        ("header-update.json", r#""name":"pins/2""#, r#""name":"update/1""#, "not sorted"),
        ("header-update.json", r#""name":"pins/2""#, r#""name":"update/01""#, "a part is named"),
        ("header-update.json", r#""name":"pins/2""#, r#""name":"../pins/2""#, "a part is named"),
        ("header-update.json", r#""name":"pins/2""#, r#""name":"root.age""#, "does not belong"),
        ("header-update.json", r#""grade":"sealed""#, r#""grade":"proven""#, "only sealed"),
        ("header-update.json", r#""kind":"update""#, r#""kind":"ceremony""#, "does not belong"),
        ("header-update.json", r#""kind":"update""#, r#""kind":"Update""#, "not known here"),
        ("header-ceremony.json", r#""kind":"ceremony""#, r#""kind":"update""#, "does not belong"),
        ("header-ceremony.json", r#""sequence":41"#, r#""sequence":0"#, "nonzero"),
        ("header-ceremony.json", r#""code_number":2"#, r#""code_number":-2"#, "nonzero"),
        ("header-ceremony.json", r#""size":29"#, r#""size":4097"#, "4096 are the limit"),
        ("header-ceremony.json", r#""size":38"#, r#""size":1048577"#, "1048576 are the limit"),
        ("header-ceremony.json", r#""size":38"#, r#""size":18446744073709551615"#, "1048576 are the limit"),
        ("header-ceremony.json", r#""agent_version":"0.1.0""#, r#""agent_version":"""#, "the agent's version"),
        (
            "header-ceremony.json",
            r#""agent_version":"0.1.0""#,
            "\"agent_version\":\"0.1\\u001b[2J\"",
            "the agent's version",
        ),
        ("header-ceremony.json", r#""root_sha256":"a"#, r#""root_sha256":"b"#, "root.age is not the one"),
        ("header-ceremony.json", r#""root_sha256":"#, r#""root_sha256":"00","x":"#, "64 lower-case hex"),
        ("header-ceremony.json", root_entry, r#",{"name":"root.pem","size":"#, "a part is named"),
        ("bundle-pushed.txt", r#""size":38"#, r#""size":37"#, "root.age is not the one"),
        ("bundle-pushed.txt", "tenwords kit 1", "tenwords kit 2", "first line"),
        ("bundle-pushed.txt", r#"{"v":1,"header""#, "{\n\"v\":1,\"header\"", "more than two lines"),
    ];
    for (name, from, to, expected) in cases {
        let reader = STRICT.iter().find(|(known, _)| *known == name).expect("a strict text").1;
        let text = golden_text(name);
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{name}: `{from}` is not in it");
        let refusal = reader(changed.as_bytes()).err().unwrap_or_else(|| panic!("{name} with `{to}` was taken"));
        assert!(refusal.contains(expected), "{name} with `{to}`: {refusal}");
    }
}

#[test]
fn a_list_of_parts_has_its_limits() -> TestResult {
    let (_, mut value, _) = split("header-update.json");
    let entry = |name: String, size: u64| serde_json::json!({"name": name, "size": size, "sha256": "0".repeat(64)});
    let refusal =
        |value: &Value| json::from_slice::<Header>(value.to_string().as_bytes()).map(drop).map_err(|e| e.to_string());
    let many: Vec<Value> = {
        let mut names: Vec<String> = (1..=257).map(|n| format!("pins/{n}")).collect();
        names.sort_unstable();
        names.into_iter().map(|name| entry(name, 1)).collect()
    };
    value["parts"] = many.into();
    assert!(refusal(&value).is_err_and(|e| e.contains("257 parts")));
    value["parts"] = (1..=3).map(|n| entry(format!("pins/{n}"), 1 << 20)).collect();
    assert!(refusal(&value).is_err_and(|e| e.contains("the version has 3145728 bytes")));
    value["parts"] = (1..=2).map(|n| entry(format!("pins/{n}"), 1 << 20)).collect();
    assert_eq!(refusal(&value), Ok(()));
    value["parts"] = (1..=2).map(|n| entry(format!("update/{n}"), 1)).collect();
    assert!(refusal(&value).is_err_and(|e| e.contains("one update")));
    value["parts"] = Vec::<Value>::new().into();
    assert!(refusal(&value).is_err_and(|e| e.contains("lacks")));
    Ok(())
}

#[test]
fn the_keys_of_an_update_have_one_order_and_a_limit() {
    let (_, golden, _) = split("update-statement.json");
    let with = |keys: Vec<String>| {
        let mut value = golden.clone();
        value["fingerprints"] = keys.into();
        read::<Statement>(value.to_string().as_bytes())
    };
    let key = |number: usize| vec![format!("{number:02x}"); 32].join(":");
    assert_eq!(with(vec![]), Ok(()));
    assert_eq!(with((0..256).map(key).collect()), Ok(()));
    let mut many: Vec<String> = (0..256).map(key).collect();
    many.push(format!("{}:ff:fe", vec!["ff"; 30].join(":")));
    many.sort_unstable();
    assert!(with(many).is_err_and(|why| why.contains("at most 256")));
    for wrong in [vec![key(2), key(1)], vec![key(1), key(1)]] {
        assert!(with(wrong).is_err_and(|why| why.contains("not sorted")));
    }
    assert!(with(vec!["0a".repeat(32)]).is_err());
    assert!(with(vec![key(1).to_uppercase(), key(0xab).to_uppercase()]).is_err());
}

#[test]
fn an_inventory_has_its_limits() {
    let (_, golden, _) = split("inventory.json");
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = golden.clone();
        change(&mut value);
        assert_ne!(value, golden);
        read::<Inventory>(value.to_string().as_bytes()).err()
    };
    let fits = |change: &dyn Fn(&mut Value)| assert_eq!(refused(change), None);
    let many = |list: &Value, count: usize| Value::from(vec![list[0].clone(); count]);
    fits(&|v| v["sources"] = many(&v["sources"], 64));
    assert!(refused(&|v| v["sources"] = many(&v["sources"], 65)).is_some_and(|why| why.contains("at most 64")));
    assert!(refused(&|v| v["guests"] = many(&v["guests"], 10_001)).is_some_and(|why| why.contains("at most 10000")));
    fits(&|v| v["guests"][0]["name"] = "x".repeat(256).into());
    assert!(
        refused(&|v| v["guests"][0]["name"] = "x".repeat(257).into()).is_some_and(|why| why.contains("at most 256"))
    );
    assert!(refused(&|v| v["guests"][0]["vmid"] = 0.into()).is_some());
    assert!(refused(&|v| v["guests"][0]["coverage"] = "all".into()).is_some());
    assert!(refused(&|v| v["sources"][0]["answer"] = serde_json::json!({"listed": {}, "failed": {}})).is_some());
    assert!(refused(&|v| v["sources"][0]["answer"] = "listed".into()).is_some());
    assert!(refused(&|v| v["sources"][0]["port"] = 65536.into()).is_some());
    assert!(refused(&|v| v["jobs"][0]["selection"] = serde_json::json!({"all-but": [0]})).is_some());
}

#[test]
fn a_drill_that_does_not_hang_together_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, &str, Change); 5] = [
        ("drill-words.json", "has no archive", |v| v["archive"] = split("drill-archive.json").1["archive"].clone()),
        ("drill-archive.json", "says which one", |v| drop(v.as_object_mut().and_then(|v| v.remove("archive")))),
        ("drill-words.json", "for a recovery", |v| v["proof"]["purpose"] = "recover".into()),
        ("drill-archive.json", "for a recovery", |v| v["proof"]["purpose"] = "recover".into()),
        ("drill-archive.json", "has no archive", |v| v["proof"]["purpose"] = "drill-words".into()),
    ];
    for (name, expected, change) in cases {
        let (_, golden, _) = split(name);
        let mut value = golden.clone();
        change(&mut value);
        assert_ne!(value, golden);
        let found = read::<DrillRequest>(value.to_string().as_bytes()).err().unwrap_or_default();
        assert!(found.contains(expected), "{name}: {expected}: {found}");
    }
}

#[test]
fn a_drill_has_its_limits() {
    let taken = |change: &dyn Fn(&mut Value)| {
        let (_, mut value, _) = split("drill-archive.json");
        change(&mut value);
        read::<DrillRequest>(value.to_string().as_bytes()).is_ok()
    };
    let phases = |count: usize| move |v: &mut Value| v["phases"] = Value::from(vec![v["phases"][0].clone(); count]);
    assert!(taken(&phases(16)) && !taken(&phases(17)));
    let name = |length: usize| move |v: &mut Value| v["phases"][0]["name"] = "ä".repeat(length).into();
    assert!(taken(&name(64)) && !taken(&name(65)));
    for source in ["", "a/b", "-a", "a b", "../a", &"x".repeat(65)] {
        assert!(!taken(&|v| v["archive"]["source"] = source.into()), "source {source}");
        assert!(!taken(&|v| v["archive"]["archive"] = source.into()), "archive {source}");
    }
    for good in ["host/box-1/2026-03-03T12:00:00Z", "vm/102/1970-01-01T00:00:00Z"] {
        assert!(taken(&|v| v["archive"]["snapshot"] = good.into()), "{good}");
    }
    for bad in [
        "",
        "ct/101",
        "ct/101/",
        "ct/101/newest",
        "ct/101/2026-03-03T12:00:00+00:00",
        "ct/101/2026-03-03T12:00:00Z/",
        "ct/101/root.pxar/2026-03-03T12:00:00Z",
        "ct/../2026-03-03T12:00:00Z",
        "lxc/101/2026-03-03T12:00:00Z",
        "101/2026-03-03T12:00:00Z",
        "ns/a/ct/101/2026-03-03T12:00:00Z",
    ] {
        assert!(!taken(&|v| v["archive"]["snapshot"] = bad.into()), "{bad}");
    }
    for number in [Value::from(-1), Value::from("1")] {
        for field in ["bytes", "files"] {
            assert!(!taken(&|v| v["archive"][field] = number.clone()), "{field} {number}");
        }
        assert!(!taken(&|v| v["phases"][0]["milliseconds"] = number.clone()), "{number}");
    }
}

#[test]
fn every_altered_byte_of_a_part_is_noticed() -> TestResult {
    for name in ["bundle-pushed.txt", "bundle-update.txt", "bundle-kit.txt"] {
        let text = golden_text(name);
        for (at, _) in text.match_indices("\"parts\":{") {
            let end = at + text[at..].find('}').ok_or("parts end")?;
            for position in at + 9..end {
                let mut bytes = text.clone().into_bytes();
                bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
                assert!(Bundle::parse(&bytes).is_err(), "{name}: byte {position}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_truncated_bundle_is_refused() {
    for name in ["bundle-pushed.txt", "bundle-update.txt", "bundle-kit.txt"] {
        let text = golden(name);
        for length in 0..text.len() {
            assert!(Bundle::parse(&text[..length]).is_err(), "{name}: the first {length} bytes were taken");
        }
        let longer = [text.as_slice(), b"\n"].concat();
        assert!(Bundle::parse(&longer).is_err(), "{name} with a line more");
    }
}

/// A directive can only choose. Whatever would say *where* has no field, at any depth.
#[test]
fn s69_a_directive_that_names_a_server_or_a_path_is_refused() {
    for field in [
        "server",
        "host",
        "port",
        "datastore",
        "repository",
        "token",
        "auth_id",
        "password",
        "certificate",
        "fingerprint",
        "key",
        "path",
        "target",
        "into",
        "force",
        "overwrite",
        "script",
        "url",
    ] {
        for (name, reader) in
            [("directive.json", read::<Directive> as Reader), ("directive-edit.json", read::<EditRequest>)]
        {
            refuses_all(name, reader, field, &|value| {
                let mut object = value.as_object()?.clone();
                object.insert(field.into(), Value::from("x"));
                Some(Value::Object(object))
            });
        }
    }
    let cases = [
        (r#""archive":"data.pxar""#, r#""archive":"../data.pxar""#),
        (r#""archive":"data.pxar""#, r#""archive":"/etc/data.pxar""#),
        (r#""archive":"data.pxar""#, r#""archive":".data.pxar""#),
        (r#""archive":"data.pxar""#, r#""archive":"""#),
        (r#""archive":"data.pxar""#, r#""archive":"-data.pxar""#),
        (r#""archive":"data.pxar""#, r#""archive":"data.pxar","vmid":101"#),
        (r#""archive":"data.pxar","#, ""),
        (r#","to":"original""#, ""),
        (r#""to":"original""#, r#""to":"/srv/data""#),
        (r#""to":"original""#, r#""to":"Original""#),
        (r#""group":"ct/101""#, r#""group":"ct/.."""#),
        (r#""group":"ct/101""#, r#""group":"ct/../vm/1""#),
        (r#""group":"ct/101""#, r#""group":"lxc/101""#),
        (r#""group":"ct/101""#, r#""group":"ct/10 1""#),
        (r#""group":"ct/101""#, r#""group":"101""#),
        (r#""snapshot":"newest""#, r#""snapshot":"latest""#),
        (r#""snapshot":"newest""#, r#""snapshot":"until newest""#),
        (r#""snapshot":"newest""#, r#""snapshot":"until  2026-03-03T12:00:00Z""#),
        (r#""snapshot":"newest""#, r#""snapshot":"until 2026-03-03""#),
        (r#""snapshot":"newest""#, r#""snapshot":"2026-03-03""#),
        (r#""namespace":"tenants/a""#, r#""namespace":"../a""#),
        (r#""namespace":"tenants/a""#, r#""namespace":"/a""#),
        (r#""namespace":"tenants/a""#, r#""namespace":"a//b""#),
        (r#""namespace":"tenants/a""#, r#""namespace":"a/b/c/d/e/f/g/h""#),
        (r#""source":"pbs""#, r#""source":"root@pam@192.0.2.1:store""#),
        (r#""source":"pbs""#, "\"source\":\"pb\\u202es\""),
        (r#""storage":"local-zfs""#, r#""storage":"/mnt""#),
        (r#""vmid":9102"#, r#""vmid":0"#),
        (r#""vmid":9102"#, r#""vmid":4294967296"#),
        (r#""vmid":9102"#, r#""vmid":"9102""#),
    ];
    let text = golden_text("directive.json");
    for (from, to) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "`{from}` is not in it");
        assert!(read::<Directive>(changed.as_bytes()).is_err(), "`{to}` was taken");
    }
}

#[test]
fn a_mistyped_ticket_is_noticed_whatever_the_position() -> TestResult {
    let line = golden_text("tickets.txt");
    let typed = line.lines().nth(1).ok_or("a typed form")?;
    let (hub, code) = typed.split_once(' ').ok_or("hub and code")?;
    for at in code.match_indices(|c| c != '-').map(|(at, _)| at) {
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|c| !code[at..].starts_with(*c)) {
            let wrong = format!("{hub} {}{other}{}", &code[..at], &code[at + 1..]);
            assert_eq!(wrong.parse::<Ticket>().err(), Some(TicketError::Check), "{wrong}");
        }
        for other in ['U', '*', 'é', '１'] {
            let wrong = format!("{hub} {}{other}{}", &code[..at], &code[at + 1..]);
            assert!(matches!(wrong.parse::<Ticket>(), Err(TicketError::Code(_))), "{wrong}");
        }
    }
    // Two neighbours exchanged, as fingers do.
    let plain: Vec<char> = code.chars().filter(|c| *c != '-').collect();
    for at in 1..plain.len() {
        let mut swapped = plain.clone();
        swapped.swap(at - 1, at);
        if swapped != plain {
            let swapped: String = swapped.into_iter().collect();
            assert_eq!(format!("{hub} {swapped}").parse::<Ticket>().err(), Some(TicketError::Check));
        }
    }
    Ok(())
}

#[test]
fn a_ticket_is_read_in_any_case_and_with_letters_for_digits() -> TestResult {
    let text = golden_text("tickets.txt");
    let typed = text.lines().nth(1).ok_or("a typed form")?;
    let (hub, code) = typed.split_once(' ').ok_or("hub and code")?;
    assert!(code.contains('1'), "the golden code has a 1");
    for form in [
        code.to_lowercase(),
        code.replace('-', " "),
        code.replace('-', ""),
        code.replace('1', "I"),
        code.replace('1', "l"),
        code.replace('0', "o"),
        format!("  {code}\n"),
    ] {
        for text in [format!("{hub} {form}"), format!("tenwords1:{hub}:{form}")] {
            let ticket: Ticket = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
            assert_eq!(*ticket.expose_typed(), typed);
        }
    }
    for bad in [
        String::new(),
        code.to_owned(),
        format!("tenwords1:{code}"),
        format!("tenwords1::{code}"),
        format!("tenwords2:{hub}:{code}"),
        format!("{hub} {code} 0000"),
        format!("{hub} {}", &code[..code.len() - 1]),
        format!("tenwords1:https://{hub}:{code}"),
        format!("tenwords1:user@{hub}:{code}"),
        format!("tenwords1:{hub}/x:{code}"),
        format!("tenwords1:{hub}:0:{code}"),
        format!("tenwords1:{hub}:65536:{code}"),
        format!("tenwords1:{hub}:08443:{code}"),
        format!("tenwords1:[{hub}]:{code}"),
        format!("tenwords1:[::1:{code}"),
        format!("tenwords1:::1:{code}"),
        format!("tenwords1:[fe80::1%eth0]:{code}"),
    ] {
        assert!(bad.parse::<Ticket>().is_err(), "`{bad}` was taken");
    }
    Ok(())
}

#[test]
fn an_operators_line_has_one_spelling_and_no_options() -> TestResult {
    let text = golden_text("operators.txt");
    let line = text.lines().find(|line| line.starts_with("operational,")).ok_or("a line with two roles")?;
    for bad in [
        format!("{line} comment"),
        format!(" {line}"),
        line.replace("operational,recovery", "recovery,operational"),
        line.replace("operational,recovery", "operational,operational"),
        line.replace("operational,recovery", "root"),
        line.replace("operational,recovery", ""),
        line.replace("operational,recovery", "Operational"),
        line.replace("operational,recovery", "operational cert-authority"),
        line.replace(' ', "\t"),
        line.replace("sk-ssh-ed25519", "sk-ssh-ed25518"),
        line.trim_end_matches('=').trim_end_matches(|c| c != ' ').to_owned(),
        // 28 bytes of type, then a key: a certificate's own type, as ssh-keygen writes it.
        "operational ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t".into(),
    ] {
        assert!(bad.parse::<Signer>().is_err(), "`{bad}` was taken");
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(0, 1);
    assert!(read::<OperatorList>(&json::to_vec(&lines)?).is_err(), "unsorted");
    let twice = line.replace("operational,recovery", "operational");
    assert!(OperatorList::new(vec![line.parse()?, twice.parse()?]).is_err(), "one key twice");
    Ok(())
}

/// Whatever a hostile text holds, the refusal neither repeats its values nor its strange names.
#[test]
fn a_refusal_repeats_nothing_that_stands_in_the_text() {
    let hostile = "abacus\u{1b}[2J abdomen";
    for (name, reader) in STRICT.into_iter().chain(REPLIES) {
        let (before, value, after) = split(name);
        let replaced = changed_everywhere(&value, &|_| Some(Value::from(hostile)));
        let added = changed_everywhere(&value, &|value| {
            let mut object = value.as_object()?.clone();
            object.insert(hostile.into(), Value::from(hostile));
            Some(Value::Object(object))
        });
        for value in replaced.into_iter().chain(added) {
            if let Err(refusal) = reader(format!("{before}{value}{after}").as_bytes()) {
                assert!(!refusal.contains("abacus") && !refusal.contains("abdomen"), "{name}: {refusal}");
                assert!(!refusal.contains(char::is_control), "{name}: {refusal:?}");
            }
        }
    }
}
