//! S03: which versions the words are tried on, and what is said when they open another one.

use std::{collections::BTreeMap, convert::Infallible, num::NonZeroU64};

use tenwords_escrow::{
    code::RecoveryCode,
    open::Parts,
    root::Root,
    select::{SelectError, Selection, TryError, date},
    verify::VerifiedEscrow,
};
use tenwords_protocol::{
    bytes::Base64Array,
    hash::Sha256,
    id::CodeId,
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::{Grade, Header, HeaderFacts, Kind, StoredHeader},
};

use crate::support::{Faithful, OTHER_BOX, box_id, ceremony, chain, facts, key, number, seeded, verified, wrapped};

/// A header as any box could push it.
fn header(at: u64, kind: Kind, code: (u64, CodeId)) -> StoredHeader {
    let part = match kind {
        Kind::Ceremony => PartName::Key(key("x").fingerprint()),
        Kind::Update => "update/1".parse().unwrap(),
    };
    let mut parts: Parts = BTreeMap::from([(part, b"x".to_vec())]);
    if kind == Kind::Ceremony {
        parts.insert(PartName::Root, b"garbage".to_vec());
    }
    let facts = HeaderFacts {
        kind,
        box_id: box_id(),
        code_number: number(code.0),
        code_id: code.1,
        sequence: number(at),
        grade: Grade::Sealed,
        root_sha256: Sha256::of(b"garbage"),
        words_key: Base64Array([0; 32]),
        agent_version: "0.1.0".to_owned(),
        made_at: "2026-03-03T12:00:00Z".parse().unwrap(),
    };
    let header = Header::new(facts, &parts).unwrap();
    StoredHeader { v: V1, number: number(at), received_at: Timestamp::from_unix(1).unwrap(), header }
}

fn code_id(seed: u64) -> CodeId {
    CodeId::random(&mut seeded(&format!("code {seed}")))
}

fn numbers(selection: &Selection) -> Vec<u64> {
    selection.candidates().iter().map(|candidate| candidate.number.get()).collect()
}

#[test]
fn the_newest_ceremony_of_each_code_is_tried_newest_first() {
    let headers = [
        header(5, Kind::Update, (2, code_id(2))),
        header(1, Kind::Ceremony, (1, code_id(1))),
        header(4, Kind::Ceremony, (2, code_id(2))),
        header(2, Kind::Ceremony, (1, code_id(1))),
        header(3, Kind::Ceremony, (2, code_id(2))),
    ];
    let selection = Selection::choose(&headers, None).unwrap();
    assert_eq!(numbers(&selection), [4, 2]);
    assert_eq!((selection.left_out(), selection.older_versions()), (0, 2));
    assert_eq!(numbers(&Selection::choose(&headers, Some(number(1))).unwrap()), [1]);
    assert_eq!(Selection::choose(&headers, Some(number(5))), Err(SelectError::NotACeremony(number(5))));
    assert_eq!(Selection::choose(&headers, Some(number(9))), Err(SelectError::NoSuchVersion(number(9))));
    assert_eq!(Selection::choose(&headers[..1], None), Err(SelectError::NoCeremony));
    assert_eq!(Selection::choose(&[], None), Err(SelectError::NoCeremony));
}

#[test]
fn at_most_sixteen_codes_are_tried() {
    let headers: Vec<_> = (1..=20).map(|at| header(at, Kind::Ceremony, (at, code_id(at)))).collect();
    let selection = Selection::choose(&headers, None).unwrap();
    assert_eq!(numbers(&selection), (5..=20).rev().collect::<Vec<_>>());
    assert_eq!(selection.left_out(), 4);
}

/// A ceremony with this code's label in its root.
fn labelled(code: &RecoveryCode, label: u64, at: &str) -> VerifiedEscrow {
    let part = verified(&wrapped(&key("k"), code), code);
    let mut facts = facts(box_id(), BTreeMap::from([part.entry()]));
    facts.code.number = number(label);
    facts.code.id = code_id(label);
    facts.made_at = at.parse().unwrap();
    VerifiedEscrow::new(&Root::new(facts).unwrap(), vec![part], "0.1.0", code).unwrap()
}

fn kept(escrow: &VerifiedEscrow, at: u64) -> StoredHeader {
    crate::support::stored(escrow, at)
}

#[test]
fn s03_words_of_an_older_code_say_which_and_words_of_none_say_what_was_tried() {
    let codes: Vec<_> = (1..=3).map(|n| RecoveryCode::draw(&mut seeded(&format!("s03 {n}")))).collect();
    let escrows = [
        labelled(&codes[0], 1, "2026-02-03T12:00:00Z"),
        labelled(&codes[1], 2, "2026-03-03T12:00:00Z"),
        labelled(&codes[2], 3, "2026-04-13T12:00:00Z"),
    ];
    let headers: Vec<_> = escrows.iter().zip(1..).map(|(escrow, at)| kept(escrow, at)).collect();
    let fetch =
        |at: NonZeroU64| Ok::<_, Infallible>(escrows[usize::try_from(at.get()).unwrap() - 1].bundle().parts().clone());
    let selection = Selection::choose(&headers, None).unwrap();
    let attempt = |code: &RecoveryCode| selection.try_words(box_id(), code, &Faithful, fetch);

    let opened = attempt(&codes[2]).unwrap();
    assert_eq!((opened.number, opened.older), (number(3), None));
    let opened = attempt(&codes[1]).unwrap();
    assert_eq!(opened.number, number(2));
    assert_eq!(
        opened.older.unwrap().to_string(),
        "these words open code 2 (3 March 2026); the newest escrow is under code 3"
    );
    let error = attempt(&RecoveryCode::draw(&mut seeded("none"))).unwrap_err();
    assert_eq!(error.to_string(), "these words open no version of this box (codes 1 to 3)");
    let one = Selection::choose(&headers, Some(number(2))).unwrap();
    let error = one.try_words(box_id(), &codes[0], &Faithful, fetch).unwrap_err();
    assert_eq!(error.to_string(), "these words open no version of this box (code 2)");
}

#[test]
fn s03_garbage_under_a_new_code_does_not_hide_an_older_code() {
    let code = RecoveryCode::draw(&mut seeded("good"));
    let good = labelled(&code, 1, "2026-02-03T12:00:00Z");
    let garbage = header(2, Kind::Ceremony, (2, code_id(2)));
    let headers = [kept(&good, 1), garbage];
    let fetch = |at: NonZeroU64| {
        Ok::<_, Infallible>(match at.get() {
            1 => good.bundle().parts().clone(),
            _ => BTreeMap::from([(PartName::Root, b"garbage".to_vec())]),
        })
    };
    let selection = Selection::choose(&headers, None).unwrap();
    let opened = selection.try_words(box_id(), &code, &Faithful, fetch).unwrap();
    assert_eq!(opened.number, number(1));
    let error = selection.try_words(box_id(), &RecoveryCode::draw(&mut seeded("none")), &Faithful, fetch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "these words open no version of this box (codes 1 to 2); version 2 is not an escrow of ours and was passed over"
    );
}

#[test]
fn right_words_on_a_changed_version_are_not_called_wrong() {
    let code = RecoveryCode::draw(&mut seeded("good"));
    let good = labelled(&code, 1, "2026-02-03T12:00:00Z");
    let mut cut = good.bundle().parts().clone();
    cut.retain(|name, _| *name == PartName::Root);
    let selection = Selection::choose(&[kept(&good, 1)], None).unwrap();
    let error = selection.try_words(box_id(), &code, &Faithful, |_| Ok::<_, Infallible>(cut.clone())).unwrap_err();
    assert!(matches!(error, TryError::Refused { .. }));
    assert!(chain(&error).starts_with("version 1 opened with these words and is refused: the version lacks key/"));
    let error = selection
        .try_words(OTHER_BOX.parse().unwrap(), &code, &Faithful, |_| Ok::<_, Infallible>(good.bundle().parts().clone()))
        .unwrap_err();
    assert!(matches!(error, TryError::Refused { .. }), "another box's escrow");
}

#[test]
fn both_readings_of_yoyo_are_tried() {
    let meant = RecoveryCode::parse("woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt").unwrap();
    let typed = RecoveryCode::parse("woof outshine cross yoyo giddiness stunt pushing t-shirt froth bolt").unwrap();
    let escrow = ceremony(box_id(), &meant, &[&wrapped(&key("k"), &meant)]);
    let selection = Selection::choose(&[kept(&escrow, 1)], None).unwrap();
    let fetch = |_| Ok::<_, Infallible>(escrow.bundle().parts().clone());
    let opened = selection.try_words(box_id(), &typed, &Faithful, fetch).unwrap();
    assert!(opened.other_reading.unwrap().is_same_as(&meant));
    let opened = selection.try_words(box_id(), &meant, &Faithful, fetch).unwrap();
    assert!(opened.other_reading.is_none());
}

#[test]
fn a_date_is_written_for_people() {
    for (time, written) in [("2026-03-03T12:00:00Z", "3 March 2026"), ("1999-12-31T23:59:59Z", "31 December 1999")] {
        assert_eq!(date(time.parse().unwrap()), written);
    }
}
