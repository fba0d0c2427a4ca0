//! S02: a listed wrong word, or two swapped, is found by the local search.

use std::{cell::Cell, ops::ControlFlow};

use tenwords_escrow::{
    code::{CODE_WORDS, RecoveryCode},
    door,
    root::Root,
    slip::{Lock, MAX_SUSPECTS, Share, Suspects},
};

use crate::support::{golden_code, seeded};

const ALL: Share = Share { part: 0, of: 1 };

/// Opens with these words, at no cost, and counts.
struct Only(RecoveryCode, Cell<usize>);

impl Lock for Only {
    fn is_opened_by(&self, code: &RecoveryCode) -> bool {
        self.1.set(self.1.get() + 1);
        self.0.is_same_as(code)
    }
}

fn only(text: &str) -> Only {
    Only(RecoveryCode::parse(text).unwrap(), Cell::new(0))
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn swapped(code: &RecoveryCode, one: usize, other: usize) -> RecoveryCode {
    let mut words: Vec<_> = code.expose_words().collect();
    words.swap(one, other);
    RecoveryCode::parse(&words.join(" ")).unwrap()
}

#[test]
fn s02_any_two_swapped_words_are_found_and_named() {
    let code = RecoveryCode::draw(&mut seeded("swaps"));
    for one in 0..CODE_WORDS {
        for other in (one + 1..CODE_WORDS).filter(|other| other - one < 3 || one == 0) {
            let typed = swapped(&code, one, other);
            let lock = [only(code.expose_passphrase())];
            let found = Suspects::of(&typed).search(&lock, ALL, go_on);
            let (slip, right) = found.unwrap_or_else(|| panic!("{one} and {other}"));
            assert!(right.is_same_as(&code));
            assert_eq!((slip.position(), slip.swapped_with()), (one + 1, Some(other + 1)));
            assert_eq!(Some(slip.expose_word()), code.expose_words().nth(one));
        }
    }
}

#[test]
fn s02_a_neighbour_of_a_word_is_found_and_the_word_is_named() {
    let right = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";
    for (from, to, position) in [
        ("bolt", "blot", 10),        // two letters swapped
        ("bolt", "colt", 10),        // one letter off
        ("yo-yo", "yoyo", 4),        // the list has both
        ("cross", "crust", 3),       // two letters off
        ("pushing", "pushiness", 7), // completed as a neighbour
    ] {
        let typed = RecoveryCode::parse(&right.replace(from, to)).unwrap();
        let lock = [only(right)];
        let (slip, code) = Suspects::of(&typed).search(&lock, ALL, go_on).unwrap_or_else(|| panic!("{to}"));
        assert_eq!((slip.position(), slip.swapped_with(), slip.expose_word()), (position, None, from));
        assert_eq!(code.expose_passphrase(), right);
        assert!(lock[0].1.get() <= MAX_SUSPECTS);
    }
}

#[test]
fn s02_the_search_is_bounded_ordered_and_tries_nothing_twice() {
    let rng = &mut seeded("bounded");
    let mut codes: Vec<RecoveryCode> = (0..6).map(|_| RecoveryCode::draw(rng)).collect();
    codes.push(RecoveryCode::parse(&"boat ".repeat(10)).unwrap());
    let mut fewest = MAX_SUSPECTS;
    for code in &codes {
        let lock = [Seen::default()];
        assert!(Suspects::of(code).search(&lock, ALL, go_on).is_none());
        let seen = lock[0].0.borrow();
        assert!(seen.len() <= MAX_SUSPECTS && !seen.contains(&code.expose_passphrase().to_owned()));
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), seen.len(), "one code is tried twice");
        let again = [Seen::default()];
        assert!(Suspects::of(code).search(&again, ALL, go_on).is_none());
        assert_eq!(*seen, *again[0].0.borrow(), "the order is the same each time");
        if code.expose_words().next() != Some("boat") {
            fewest = fewest.min(seen.len());
        }
    }
    assert!(fewest > 45, "near words are tried, not swaps alone: {fewest}");
}

#[derive(Default)]
struct Seen(std::cell::RefCell<Vec<String>>);

impl Lock for Seen {
    fn is_opened_by(&self, code: &RecoveryCode) -> bool {
        self.0.borrow_mut().push(code.expose_passphrase().to_owned());
        false
    }
}

#[test]
fn s02_shares_cover_all_once_and_a_search_can_be_ended() {
    let typed = golden_code();
    let count = |part, of| {
        let lock = [Seen::default()];
        assert!(Suspects::of(&typed).search(&lock, Share { part, of }, go_on).is_none());
        lock[0].0.borrow().len()
    };
    assert_eq!(count(0, 1), Suspects::of(&typed).len());
    assert_eq!((0..3).map(|part| count(part, 3)).sum::<usize>(), Suspects::of(&typed).len());

    let lock = [Seen::default()];
    let mut left = 5;
    let ended = Suspects::of(&typed).search(&lock, ALL, || {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(ended.is_none());
    assert_eq!(lock[0].0.borrow().len(), 4);
}

#[test]
fn s02_a_real_root_is_found_under_the_right_words() {
    let root = door::check_root(include_bytes!("../golden/root.age")).unwrap();
    assert!(Root::open(&root, &golden_code()).is_ok());
    let typed = swapped(&golden_code(), 0, 1);
    let (slip, code) = Suspects::of(&typed).search(&[root], ALL, go_on).unwrap();
    assert_eq!((slip.position(), slip.swapped_with()), (1, Some(2)));
    assert!(code.is_same_as(&golden_code()));
}
