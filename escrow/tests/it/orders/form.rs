//! What is offered, before any of it is believed.

use tenwords_protocol::{
    json,
    order::{MAX_ORDER_BYTES, MAX_SIGNATURE_BYTES},
};

use super::*;

/// Read as from a file or a terminal, then judged.
fn read(bytes: &[u8], operators: &OperatorList) -> Result<CheckedOrder, OrderRefusal> {
    judge(&Offered::parse(bytes)?, &[GUEST], operators)
}

#[test]
fn line_ends_and_empty_lines_around_a_signature_do_not_matter_and_everything_else_does() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    let armour = world.sign("ed25519", NAMESPACE, GUEST);
    for good in [
        armour.clone(),
        armour.trim_end().to_owned(),
        armour.replace('\n', "\r\n"),
        format!("\n\r\n{armour}\r\n\n"),
        format!("\r\n{}", armour.replace('\n', "\r\n").trim_end()),
    ] {
        assert!(read(good.as_bytes(), &operators).is_ok(), "{good:?}");
    }
    let (first, rest) = armour.split_at(40);
    for bad in [
        format!(" {armour}"),
        format!("{armour} "),
        format!("{armour}\r"),
        format!("{first}\n{rest}"),
        format!("{first} {rest}"),
        format!("{first}\r{rest}"),
        armour.replace('\n', "\n\n"),
        armour.replace('\n', "\r"),
        armour.replace('\n', "\r\r\n"),
        armour.replace("BEGIN", "begin"),
        armour.replace("-----BEGIN", "Subject: signed\n-----BEGIN"),
        armour.repeat(2),
        format!("{armour}x"),
        armour.replace('=', ""),
        armour.lines().next().unwrap().to_owned(),
    ] {
        assert!(read(bad.as_bytes(), &operators).is_err(), "{bad:?}");
    }
}

#[test]
fn s36_nothing_and_too_much_are_refused() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    for empty in [&b""[..], b"\n", b" \r\n\t", b"{}", b"[]", b"null", b"\xff", b"yes"] {
        assert!(matches!(read(empty, &operators), Err(OrderRefusal::Form(_))), "{empty:?}");
    }
    assert!(matches!(read(&vec![b'{'; 100 << 20], &operators), Err(OrderRefusal::TooLong)));
    assert!(matches!(read(&[b'['; 40 << 10], &operators), Err(OrderRefusal::Form(_))));
    let armour = world.sign("ed25519", NAMESPACE, GUEST);
    let long = armour.replacen('\n', &format!("\n{}", "A".repeat(MAX_SIGNATURE_BYTES)), 1);
    assert!(matches!(read(long.as_bytes(), &operators), Err(OrderRefusal::TooLong)));
    assert_eq!(refusal(&signed(GUEST, &long), &[GUEST], &operators), OrderRefusal::TooLong);
    let long = vec![b' '; MAX_ORDER_BYTES + 1];
    assert_eq!(refusal(&signed(&long, &armour), &[GUEST], &operators), OrderRefusal::TooLong);
    // The largest that an operator can be made to sign is read, and refused for what it is.
    let long = vec![b' '; MAX_ORDER_BYTES];
    let armour = world.sign("ed25519", NAMESPACE, &long);
    assert!(matches!(refusal(&signed(&long, &armour), &[GUEST], &operators), OrderRefusal::Text(_)));
    assert_eq!(unsigned(&signed(GUEST, ""), &[GUEST], &operators), SignatureRefusal::Armour);
}

#[test]
fn a_signed_order_is_read_from_its_file_and_nothing_may_stand_in_it_twice() {
    let Some(world) = World::get() else { return };
    let operators = world.operators();
    let armour = world.sign("ed25519", NAMESPACE, GUEST);
    let Offered::Signed(whole) = signed(GUEST, &armour) else { panic!("signed") };
    let file = String::from_utf8(json::to_vec(&whole).unwrap()).unwrap();
    assert_eq!(Offered::parse(file.as_bytes()), Ok(Offered::Signed(whole)));
    assert!(read(format!("\n{file}\n").as_bytes(), &operators).is_ok());
    for bad in [
        file.replacen('{', "{\"v\":1,", 1),
        file.replacen('{', "{\"also\":1,", 1),
        file.replacen("\"v\":1", "\"v\":2", 1),
        file.replacen("\"v\":1,", "", 1),
        format!("{file}{file}"),
        file[..file.len() - 1].to_owned(),
    ] {
        assert!(matches!(read(bad.as_bytes(), &operators), Err(OrderRefusal::Form(_))), "{bad}");
    }
}
