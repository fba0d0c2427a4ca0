use super::*;
use crate::editor::keys::Keys;

const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";

/// Types these bytes as one read; tells the last step that was not `Stay`.
fn typing(slots: &mut Slots, bytes: &[u8]) -> Step {
    let mut keys = Keys::default();
    for (index, byte) in bytes.iter().enumerate() {
        for key in keys.take(*byte).into_iter().flatten() {
            match slots.take(key, index + 1 < bytes.len()) {
                Step::Stay => {}
                step => return step,
            }
        }
    }
    Step::Stay
}

/// The same, each byte as a read of its own, as a person types.
fn slowly(slots: &mut Slots, bytes: &[u8]) -> Step {
    let mut keys = Keys::default();
    for byte in bytes {
        for key in keys.take(*byte).into_iter().flatten() {
            match slots.take(key, false) {
                Step::Stay => {}
                step => return step,
            }
        }
    }
    Step::Stay
}

fn shown(slots: &Slots) -> String {
    let words: Vec<&str> = slots.slots().iter().map(Slot::expose_letters).collect();
    words.join(" ").trim_end().to_owned()
}

fn wrong(slots: &Slots) -> Vec<usize> {
    slots.wrong().filter(|place| !slots.slots()[*place].is_empty()).map(|place| place + 1).collect()
}

fn code(slots: &Slots) -> Option<String> {
    slots.code().map(|code| code.expose_passphrase().to_owned())
}

#[test]
fn s01_every_spelling_is_taken_at_the_prompt() {
    for text in [
        CODE.to_owned(),
        CODE.to_uppercase(),
        format!("  {}  ", CODE.replace(' ', "   ")),
        CODE.replace(' ', "\t"),
        CODE.replace(' ', "\n"),
        CODE.replace(' ', "\r\n\r\n"),
        CODE.replace(' ', "\u{a0}"),
        CODE.replace(' ', ", "),
        CODE.replace(' ', ","),
        CODE.replace(' ', "-"),
        CODE.replace(['-', ' '], "\u{2011}"),
        CODE.replace('-', " "),
        CODE.replace("t-shirt", "tshirt").replace("yo-yo", "yo yo"),
        format!("\u{201c}{CODE}\u{201d}."),
        format!("• {}", CODE.replace(' ', " • ")),
        CODE.replace("giddiness", "giddi\u{ad}ness"),
        CODE.split(' ').enumerate().map(|(index, word)| format!("{}. {word}\n", index + 1)).collect(),
        CODE.split(' ').enumerate().map(|(index, word)| format!(" {}) “{word}”;", index + 1)).collect(),
        // In another order, but numbered.
        (1..=10).rev().zip(CODE.rsplit(' ')).map(|(number, word)| format!("{number}. {word}\n")).collect(),
    ] {
        for paste in [false, true] {
            let mut slots = Slots::new();
            let marked = if paste { format!("\x1b[200~{text}\x1b[201~\r") } else { format!("{text}\r") };
            let step = typing(&mut slots, marked.as_bytes());
            assert_eq!(shown(&slots), CODE, "{text:?}");
            assert_eq!(step, Step::Done, "{text:?}");
            assert_eq!(code(&slots).as_deref(), Some(CODE), "{text:?}");
        }
        let mut slots = Slots::new();
        slowly(&mut slots, text.as_bytes());
        slowly(&mut slots, b" ");
        assert_eq!(code(&slots).as_deref(), Some(CODE), "slowly {text:?}");
    }
}

#[test]
fn the_shortest_letters_that_only_one_word_begins_with_are_enough() {
    let mut slots = Slots::new();
    let short: String = CODE
        .split(' ')
        .map(|word| {
            let ends = (1..=word.len()).find(|end| Begun::of(&word[..*end]).expose_word() == Some(word));
            format!("{} ", &word[..ends.unwrap_or(word.len())])
        })
        .collect();
    assert!(short.len() < CODE.len() - 10, "{short}");
    assert_eq!(slowly(&mut slots, short.as_bytes()), Step::Stay);
    assert_eq!(code(&slots).as_deref(), Some(CODE));
    assert_eq!(slowly(&mut slots, b"\r"), Step::Done);
    // Tab stays where more than one word begins so, and goes on where it is one.
    let mut slots = Slots::new();
    slowly(&mut slots, b"ab\tac\t");
    assert_eq!((shown(&slots).as_str(), slots.at()), ("abacus", 1));
}

#[test]
fn s02_a_word_that_is_not_listed_is_marked_at_once_and_typing_goes_on() {
    let mut slots = Slots::new();
    slowly(&mut slots, b"woof outshne cross ");
    assert_eq!((wrong(&slots), slots.at()), (vec![2], 3));
    let Judged::Unlisted(unlisted) = slots.slots()[1].judged() else { panic!("not marked") };
    assert_eq!((unlisted.position(), unlisted.expose_nearest().collect::<Vec<_>>()), (2, vec!["outshine"]));
    // Its number, the word, Enter: the others stay as they are.
    slowly(&mut slots, b"yo-yo giddiness stunt pushing t-shirt froth bolt\r");
    assert_eq!((slots.at(), slots.note()), (1, Some(Note::Missing)));
    assert_eq!(slowly(&mut slots, b"outshine\r"), Step::Done);
    assert_eq!(code(&slots).as_deref(), Some(CODE));
}

#[test]
fn s02_nine_words_are_asked_for_the_tenth_and_eleven_for_one_less() {
    let mut slots = Slots::new();
    let nine = CODE.rsplit_once(' ').map_or("", |(nine, _)| nine);
    assert_eq!(typing(&mut slots, format!("{nine}\r").as_bytes()), Step::Stay);
    assert_eq!(slots.at(), 9);
    assert_eq!(slowly(&mut slots, b"\r"), Step::Stay);
    assert_eq!(slots.note(), Some(Note::Missing));
    assert_eq!(slowly(&mut slots, b"bolt\r"), Step::Done);

    let mut slots = Slots::new();
    assert_eq!(typing(&mut slots, format!("{CODE} abacus\r").as_bytes()), Step::Stay);
    assert_eq!((slots.note(), slots.at(), slots.code().is_none()), (Some(Note::TooMany), 10, true));
    assert_eq!(slowly(&mut slots, b"\x7f\x7f\x7f\x7f\x7f\x7f\r"), Step::Done);
}

#[test]
fn one_word_is_corrected_without_typing_the_others_again() {
    let typed = CODE.replace("cross", "crust");
    for keys in [
        "3\rcross\r",                                              // its number
        "\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[Across\r", // arrows from behind the last
        "\x02\x02\x02\x02\x02\x02\x02\x02cross\r",
        "\x01\x06\x06cross\r",
        "\x01\x06\x06\x7f\x7f\x7foss\r", // its end only
        "\x1bOH\x1b[B\x1b[B\x15cross\r",
    ] {
        let mut slots = Slots::new();
        slowly(&mut slots, typed.as_bytes());
        slowly(&mut slots, b" ");
        let step = slowly(&mut slots, keys.as_bytes());
        assert_eq!((step, shown(&slots)), (Step::Done, CODE.to_owned()), "{}", keys.escape_debug());
    }
}

#[test]
fn backspace_goes_back_over_the_words() {
    let mut slots = Slots::new();
    slowly(&mut slots, b"woof cro");
    slowly(&mut slots, b"\x7f\x7f\x7f");
    assert_eq!((shown(&slots).as_str(), slots.at()), ("woof", 1));
    slowly(&mut slots, b"\x7f");
    assert_eq!((slots.at(), slots.is_fresh()), (0, true));
    slowly(&mut slots, b"\x7fl");
    assert_eq!(shown(&slots), "wool");
    // What was only begun is gone on with.
    let mut slots = Slots::new();
    slowly(&mut slots, b"aba ");
    let mut begun = Slots::new();
    slowly(&mut begun, b"ab \x7fac ");
    assert_eq!(shown(&begun), "abacus");
}

#[test]
fn s61_another_keyboard_is_told_before_the_second_word() {
    use tenwords_escrow::keyboard::Layout;
    for (typed, layout) in [
        ("yestz ", Layout::Qwertz),
        ("yebra\r", Layout::Qwertz),
        ("t\u{df}shirt ", Layout::Qwertz),
        ("qbqcus ", Layout::Azerty),
        (";q;;ql ", Layout::Azerty),
        (",q,,ql ", Layout::Azerty),
        ("qlbu; ", Layout::Azerty),
        ("1. qbdo;en 2. ", Layout::Azerty),
        ("t6shirt ", Layout::Azerty),
    ] {
        let mut slots = Slots::new();
        slowly(&mut slots, typed.as_bytes());
        let Judged::Unlisted(unlisted) = slots.slots()[0].judged() else { panic!("{typed} was taken") };
        assert_eq!(unlisted.layout(), Some(layout), "{typed}");
        assert_eq!(slots.at(), 1, "the second word is not begun");
    }
    // The hyphen of a German keyboard is understood as one.
    let mut slots = Slots::new();
    slowly(&mut slots, b"t/shirt ");
    assert_eq!(shown(&slots), "t-shirt");
}

#[test]
fn what_is_no_word_does_not_shift_the_others() {
    let mut slots = Slots::new();
    slowly(&mut slots, b"drop cross ");
    assert_eq!((shown(&slots).as_str(), slots.at()), ("drop cross", 2));
    assert_eq!(wrong(&slots), [1]);
    let mut slots = Slots::new();
    slowly(&mut slots, b"12\r0\r99999 ");
    assert_eq!((slots.note(), slots.at()), (Some(Note::NoSuchNumber(9999)), 0));
}

#[test]
fn refused_words_are_tried_again_only_when_something_was_typed() {
    let refused = || RecoveryCode::parse(CODE).map(Slots::refused).ok();
    let Some(mut slots) = refused() else { panic!("ten words") };
    assert_eq!(slowly(&mut slots, b"\r"), Step::Stay);
    assert_eq!(slots.note(), Some(Note::SameAgain));
    assert_eq!(slowly(&mut slots, b"?"), Step::Search);
    assert_eq!(slowly(&mut slots, b"\x14"), Step::Search);
    // All ten typed over, and the same.
    assert_eq!(slowly(&mut slots, format!("1\r{CODE}\r").as_bytes()), Step::Done);
    // The same word again, and Enter: the next one. Another one, and Enter: that is tried.
    let Some(mut slots) = refused() else { panic!("ten words") };
    assert_eq!((slowly(&mut slots, b"woof\r"), slots.at(), slots.note()), (Step::Stay, 1, None));
    assert_eq!(slowly(&mut slots, b"outshoot\r"), Step::Done);
    let Some(mut slots) = refused() else { panic!("ten words") };
    assert_eq!(typing(&mut slots, format!("{}\r", CODE.replace("bolt", "colt")).as_bytes()), Step::Done);
    let mut slots = Slots::new();
    slowly(&mut slots, b"?");
    assert_eq!(shown(&slots), "?", "nothing to search for yet");
}

#[test]
fn all_ten_can_be_typed_over_in_any_spelling() {
    let numbered = || (1..=10).zip(CODE.split(' '));
    for text in [
        CODE.to_owned(),
        CODE.replace(' ', ", "),
        CODE.replace(' ', "  "),
        CODE.replace(' ', "\t\t"),
        CODE.replace(' ', "\r\n\r\n"),
        numbered().map(|(number, word)| format!("{number}) “{word}” ,\u{a0}")).collect(),
        numbered().map(|(number, word)| format!("{number} {word}\n")).collect(),
    ] {
        for by_hand in [false, true] {
            let mut slots = Slots::with(CODE.split(' ').rev().map(Some));
            typing(&mut slots, b"1\r");
            if by_hand && !text.contains(['\t', '\n']) {
                slowly(&mut slots, text.trim_end().as_bytes());
                slowly(&mut slots, b" ");
            } else {
                typing(&mut slots, format!("{text}\r").as_bytes());
            }
            assert_eq!(shown(&slots), CODE, "{text:?} by hand: {by_hand}");
        }
    }
}

#[test]
fn no_keys_break_it() {
    let mut state: u32 = 1;
    for _ in 0..20 {
        let mut slots = Slots::new();
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let pick = (state >> 24) as u8;
                if pick < 160 { b"abcdeity-o .,1\r\x7f\x02\x06\x15"[usize::from(pick) % 19] } else { pick }
            })
            .filter(|byte| *byte != 3)
            .collect();
        typing(&mut slots, &bytes);
        assert!(slots.at() <= CODE_WORDS && slots.slots().len() == CODE_WORDS);
        assert!(slots.slots().iter().all(|slot| slot.expose_letters().chars().count() <= LETTERS));
        assert_eq!(slots.code().is_some(), slots.wrong().next().is_none() && slots.slots[CODE_WORDS].is_empty());
    }
}
