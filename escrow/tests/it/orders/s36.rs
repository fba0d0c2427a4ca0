//! Each way in which an order can be wrong has its own refusal.

use tenwords_protocol::{
    bounded::List,
    operators::{OperatorList, Role},
    order::{Act, OrderError, Overwritten},
};

use super::*;

/// Signed by an operator, one of the keys that count.
fn by_operator(text: &[u8], open: &[&[u8]]) -> Option<OrderRefusal> {
    let world = World::get()?;
    let armour = world.sign("ed25519", NAMESPACE, text);
    Some(refusal(&signed(text, &armour), open, &world.operators()))
}

#[test]
fn s36_a_valid_order_lets_its_act_happen_once() {
    /// In the agent's place: takes the proof by value and closes the challenge.
    fn carry_out(order: CheckedOrder, open: &mut Vec<Vec<u8>>) -> String {
        open.retain(|text| text != order.text());
        order.order().op().to_string()
    }
    let Some(world) = World::get() else { return };
    let (operators, mut open) = (world.operators(), vec![GUEST.to_vec(), drawn("another")]);
    let armour = world.sign("ed25519", NAMESPACE, GUEST);
    for offered in [signed(GUEST, &armour), bare(&armour)] {
        let mut open = open.clone();
        let checked = check(&offered, open.iter().map(Vec::as_slice), &operators, now()).unwrap();
        assert_eq!(carry_out(checked, &mut open), "restore-overwrite");
    }
    let checked = check(&bare(&armour), open.iter().map(Vec::as_slice), &operators, now()).unwrap();
    carry_out(checked, &mut open);
    let again = check(&signed(GUEST, &armour), open.iter().map(Vec::as_slice), &operators, now());
    assert!(matches!(again, Err(OrderRefusal::NotOpen)), "used twice: {again:?}");
    let again = check(&bare(&armour), open.iter().map(Vec::as_slice), &operators, now());
    assert!(matches!(again, Err(OrderRefusal::NoneOpen { .. })), "used twice: {again:?}");
}

#[test]
fn s36_another_namespace_is_refused() {
    let Some(world) = World::get() else { return };
    for namespace in ["file", "tenwords-pins-v1", "tenwords-order-v11", "tenwords-order-v", "Tenwords-order-v1"] {
        let armour = world.sign("ed25519", namespace, GUEST);
        for offered in [signed(GUEST, &armour), bare(&armour)] {
            let why = unsigned(&offered, &[GUEST], &world.operators());
            assert_eq!(why, SignatureRefusal::Namespace { expected: NAMESPACE, found: namespace.to_owned() });
        }
    }
    let armour = world.sign("ed25519", "a\u{1b}[2J\u{202e}story", GUEST);
    let why = unsigned(&signed(GUEST, &armour), &[GUEST], &world.operators());
    assert_eq!(why, SignatureRefusal::Namespace { expected: NAMESPACE, found: "a[2Jstory".to_owned() });
}

#[test]
fn s36_another_text_than_the_signed_one_is_refused() {
    let Some(world) = World::get() else { return };
    let armour = world.sign("ed25519", NAMESPACE, GUEST);
    let other = order(|order| order.destroys = List::cut(["nothing".parse().unwrap()]).0);
    for (text, open) in [(&other, GUEST), (&other, &other), (&REPOINT.to_vec(), REPOINT)] {
        let why = unsigned(&signed(text, &armour), &[open], &world.operators());
        assert_eq!(why, SignatureRefusal::Text { signer: world.fingerprint("ed25519") });
    }
    let why = refusal(&bare(&armour), &[&other, REPOINT], &world.operators());
    assert_eq!(why, OrderRefusal::NoneOpen { signer: world.fingerprint("ed25519") });
    assert_eq!(refusal(&bare(&armour), &[], &world.operators()), why);
}

/// The operator was made to sign another thing, under the challenge that the box drew.
#[test]
fn s36_another_target_is_refused() {
    let other = order(|order| {
        if let Act::RestoreOverwrite { target, .. } = &mut order.act {
            *target = Overwritten::Guest(102.try_into().unwrap());
        }
    });
    let Some(why) = by_operator(&other, &[REPOINT, GUEST]) else { return };
    assert_eq!(why, OrderRefusal::Changed);
    let elsewhere = order(|order| order.node_id = None);
    assert_eq!(by_operator(&elsewhere, &[GUEST]), Some(OrderRefusal::Changed));
}

#[test]
fn s36_another_challenge_or_yesterdays_order_is_refused() {
    let Some(world) = World::get() else { return };
    let yesterday = drawn("yesterday");
    let armour = world.sign("ed25519", NAMESPACE, &yesterday);
    // Good it was, where and when it was asked for.
    assert!(judge(&signed(&yesterday, &armour), &[&yesterday], &world.operators()).is_ok());
    for open in [&[GUEST, REPOINT][..], &[]] {
        assert_eq!(refusal(&signed(&yesterday, &armour), open, &world.operators()), OrderRefusal::NotOpen);
        let why = refusal(&bare(&armour), open, &world.operators());
        assert!(matches!(why, OrderRefusal::NoneOpen { .. }), "{why:?}");
    }
}

#[test]
fn s36_an_order_counts_in_its_time_alone() {
    let Some(world) = World::get() else { return };
    let armour = world.sign("ed25519", NAMESPACE, GUEST);
    for offered in [signed(GUEST, &armour), bare(&armour)] {
        let at = |now: &str| check(&offered, [GUEST], &world.operators(), now.parse().unwrap()).map(drop);
        let (issued, expires) = ("2026-03-03T12:00:00Z".parse().unwrap(), "2026-03-03T12:00:05Z".parse().unwrap());
        for good in ["2026-03-03T12:00:00Z", "2026-03-03T12:00:04Z"] {
            assert_eq!(at(good), Ok(()), "{good}");
        }
        for early in ["2026-03-03T11:59:59Z", "1970-01-01T00:00:00Z"] {
            assert_eq!(at(early), Err(OrderRefusal::NotYet { issued, now: early.parse().unwrap() }));
        }
        for late in ["2026-03-03T12:00:05Z", "9999-12-31T23:59:59Z"] {
            assert_eq!(at(late), Err(OrderRefusal::Expired { expires, now: late.parse().unwrap() }));
        }
    }
}

#[test]
fn s36_a_key_of_the_other_role_is_refused() {
    let Some(world) = World::get() else { return };
    let armour = world.sign("recovery", NAMESPACE, GUEST);
    for offered in [signed(GUEST, &armour), bare(&armour)] {
        let why = refusal(&offered, &[GUEST], &world.operators());
        assert_eq!(why, OrderRefusal::Role { signer: world.fingerprint("recovery"), needed: Role::Operational });
    }
    let both = world.list(&[("operational,recovery", "recovery")]);
    assert!(judge(&signed(GUEST, &armour), &[GUEST], &both).is_ok());
}

#[test]
fn s36_an_unpinned_key_is_refused() {
    let Some(world) = World::get() else { return };
    let armour = world.sign("stranger", NAMESPACE, GUEST);
    for list in [world.operators(), OperatorList::default()] {
        for offered in [signed(GUEST, &armour), bare(&armour)] {
            let why = unsigned(&offered, &[GUEST], &list);
            assert_eq!(why, SignatureRefusal::NotPinned { signer: world.fingerprint("stranger") });
        }
    }
}

/// Signed with a key that is pinned, but a certificate of it shown: by the real ssh-keygen.
#[test]
fn s36_a_certificate_is_refused() {
    let Some(world) = World::get() else { return };
    for key in ["ed25519", "p256", "rsa"] {
        let armour = world.sign(&format!("{key}-cert.pub"), NAMESPACE, GUEST);
        for offered in [signed(GUEST, &armour), bare(&armour)] {
            let why = unsigned(&offered, &[GUEST], &world.operators());
            assert_eq!(why, SignatureRefusal::Certificate { signer: world.fingerprint(key) });
            // The key of who certified is pinned, which helps nobody.
            let why = unsigned(&offered, &[GUEST], &world.list(&[("operational", "ca")]));
            assert_eq!(why, SignatureRefusal::NotPinned { signer: world.fingerprint(key) });
        }
    }
}

#[test]
fn s36_another_hash_is_refused() {
    let Some(world) = World::get() else { return };
    for key in ["ed25519", "rsa"] {
        let arguments = ["-Y", "sign", "-O", "hashalg=sha256", "-f", key, "-n", NAMESPACE];
        let armour = world.run(&arguments, GUEST);
        assert!(world.stock_takes(&world.public(key), NAMESPACE, GUEST, &armour));
        assert_eq!(unsigned(&signed(GUEST, &armour), &[GUEST], &world.operators()), SignatureRefusal::Hash);
    }
}

/// An operator who signs whatever he is given is not enough for what is no order.
#[test]
fn s36_a_signed_text_that_is_no_order_is_refused_and_said_so() {
    let text = str::from_utf8(GUEST).unwrap();
    for other in [
        format!(" {text}"),
        format!("{text}\n"),
        text.trim_end().to_owned(),
        text.replace("\n", "\r\n"),
        text.replace(":101,", ": 101,"),
        text.replace("volumes", "v\\u006flumes"),
    ] {
        let Some(why) = by_operator(other.as_bytes(), &[GUEST]) else { return };
        assert_eq!(why, OrderRefusal::Text(OrderError::Spelling), "{other}");
    }
    for other in [
        text.replace("\"guest\":101", "\"guest\":101,\"guest\":102"),
        text.replace("\"guest\":101", "\"guest\":101,\"\\u0067uest\":102"),
        text.replace("\"v\":1", "\"v\":2"),
        text.replace("volumes", "\\u202evolumes"),
        String::new(),
        "overwrite everything\n".to_owned(),
    ] {
        let why = by_operator(other.as_bytes(), &[GUEST]).unwrap();
        assert!(matches!(why, OrderRefusal::Text(OrderError::Shape(_))), "{other}: {why:?}");
    }
    let unknown = text.replace("restore-overwrite", "format-disk");
    let why = by_operator(unknown.as_bytes(), &[GUEST]);
    assert_eq!(why, Some(OrderRefusal::Text(OrderError::UnknownOp("format-disk".to_owned()))));
    // Also where a box of another version had opened it.
    let why = by_operator(unknown.as_bytes(), &[unknown.as_bytes()]);
    assert_eq!(why, Some(OrderRefusal::Text(OrderError::UnknownOp("format-disk".to_owned()))));
}

/// One thing after the other, so that what is said is the first thing that is wrong.
#[test]
fn the_checks_are_made_in_the_order_of_the_design_page() {
    let Some(world) = World::get() else { return };
    let strangers = world.sign("stranger", "file", REPOINT);
    let why = |armour: &str, text: &[u8], open: &[&[u8]], at: &str| {
        let found = check(&signed(text, armour), open.iter().copied(), &world.operators(), at.parse().unwrap());
        let said = format!("{:?}", found.map(drop));
        said.trim_start_matches("Err(")
            .trim_start_matches("Signature(")
            .split(['(', ')', ' '])
            .next()
            .unwrap()
            .to_owned()
    };
    let (late, recovery) = ("2027-01-01T00:00:00Z", |text: &[u8]| world.sign("recovery", NAMESPACE, text));
    let cut = &strangers[1..];
    let hash = |key| world.run(&["-Y", "sign", "-O", "hashalg=sha256", "-f", key, "-n", NAMESPACE], REPOINT);
    assert_eq!(why(cut, GUEST, &[], late), "Armour");
    assert_eq!(why(&strangers, GUEST, &[], late), "Namespace");
    assert_eq!(why(&hash("stranger"), GUEST, &[], late), "Hash");
    assert_eq!(why(&world.sign("stranger", NAMESPACE, REPOINT), GUEST, &[], late), "NotPinned");
    assert_eq!(why(&world.sign("ed25519-cert.pub", NAMESPACE, REPOINT), GUEST, &[], late), "Certificate");
    assert_eq!(why(&recovery(REPOINT), GUEST, &[], late), "Text");
    assert_eq!(why(&recovery(GUEST), GUEST, &[], late), "NotOpen");
    assert_eq!(why(&recovery(GUEST), GUEST, &[GUEST], late), "Expired");
    assert_eq!(why(&recovery(GUEST), GUEST, &[GUEST], "2026-03-03T12:00:03Z"), "Role");
    assert_eq!(why(&world.sign("p384", NAMESPACE, GUEST), GUEST, &[GUEST], "2026-03-03T12:00:03Z"), "Ok");
}
