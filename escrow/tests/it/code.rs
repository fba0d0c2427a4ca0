//! S01, S02, S61: what people type.

use proptest::prelude::*;
use tenwords_escrow::{
    code::{CODE_WORDS, CodeError, RecoveryCode, check_typing},
    keyboard::Layout,
};

use crate::support::{GOLDEN_CODE, golden_code, seeded};

const CANONICAL: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";

#[test]
fn s01_every_spelling_gives_the_one_canonical_form() {
    for typed in [
        GOLDEN_CODE,
        CANONICAL,
        "WOOF OUTSHINE CROSS YO-YO GIDDINESS STUNT PUSHING T-SHIRT FROTH BOLT",
        "Woof  Outshine   Cross Yo-Yo Giddiness Stunt Pushing T-Shirt Froth Bolt\r\n",
        "\twoof\toutshine\tcross\tyo-yo\tgiddiness\tstunt\tpushing\tt-shirt\tfroth\tbolt\t",
        "woof\noutshine\ncross\nyo-yo\ngiddiness\n\nstunt\npushing\nt-shirt\nfroth\nbolt\n\n",
        "woof\u{a0}outshine\u{a0}cross\u{a0}yo-yo\u{202f}giddiness\u{3000}stunt pushing t-shirt froth bolt",
        "woof, outshine, cross, yo-yo, giddiness, stunt, pushing, t-shirt, froth, bolt",
        "woof,outshine;cross,yo-yo,giddiness,stunt,pushing,t-shirt,froth,bolt.",
        "1. woof 2. outshine 3. cross 4. yo-yo 5. giddiness 6. stunt 7. pushing 8. t-shirt 9. froth 10. bolt",
        "1) woof\n2) outshine\n3) cross\n4) yo-yo\n5) giddiness\n6) stunt\n7) pushing\n8) t-shirt\n9) froth\n10) bolt",
        "\u{201c}woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt\u{201d}",
        "\u{201e}woof\u{201c} \u{2018}outshine\u{2019} «cross» 'yo-yo' \"giddiness\" stunt pushing t-shirt froth bolt",
        "woof-outshine-cross-yo-yo-giddiness-stunt-pushing-t-shirt-froth-bolt",
        "woof\u{2010}outshine\u{2011}cross\u{2012}yo\u{2013}yo\u{2014}giddiness\u{2212}stunt\u{ff0d}pushing t\u{2011}shirt froth bolt",
        "woof outshine cross yo yo giddiness stunt pushing t shirt froth bolt",
        "woof outshine cross yo-yo giddiness stunt pushing tshirt froth bolt",
        "woof outshine cross yo\u{ad}-yo giddi\u{ad}ness stunt pushing t-shirt froth \u{feff}bolt",
        "• woof • outshine • cross • yo-yo • giddiness • stunt • pushing • t-shirt • froth • bolt",
    ] {
        let code = RecoveryCode::parse(typed).unwrap_or_else(|error| panic!("{typed:?}: {error}"));
        assert_eq!(code.expose_passphrase(), CANONICAL, "{typed:?}");
        assert!(code.is_same_as(&golden_code()));
        assert_eq!(code.expose_words().collect::<Vec<_>>().join(" "), CANONICAL);
    }
}

#[test]
fn s01_the_four_hyphenated_words_are_taken_with_hyphen_space_or_neither() {
    let around = |word: &str| format!("woof outshine cross {word} giddiness stunt pushing froth bolt abacus");
    for (word, spellings) in [
        ("drop-down", ["drop-down", "drop down", "dropdown"]),
        ("felt-tip", ["Felt-Tip", "felt \n tip", "felttip"]),
        ("t-shirt", ["t\u{2011}shirt", "T shirt", "tshirt"]),
        ("yo-yo", ["yo-yo", "YO YO", "yo\u{2013}yo"]),
    ] {
        for spelling in spellings {
            let code = RecoveryCode::parse(&around(spelling)).unwrap();
            assert_eq!(code.expose_passphrase(), around(word), "{spelling}");
        }
    }
}

#[test]
fn s01_yoyo_is_a_word_of_its_own_and_both_readings_are_offered() {
    let typed = CANONICAL.replace("yo-yo", "yoyo");
    let code = RecoveryCode::parse(&typed).unwrap();
    assert_eq!(code.expose_passphrase(), typed);
    let others: Vec<_> = code.other_readings().iter().map(|other| other.expose_passphrase().to_owned()).collect();
    assert_eq!(others, [CANONICAL]);
    assert!(golden_code().other_readings().is_empty());
    let all = RecoveryCode::parse(&"yoyo ".repeat(10)).unwrap();
    assert_eq!(all.other_readings().len(), 15, "bounded");
}

#[test]
fn s02_nine_and_eleven_words_are_counted() {
    let words: Vec<&str> = CANONICAL.split(' ').collect();
    for (typed, count) in [
        (String::new(), 0),
        (words[..9].join(" "), 9),
        (format!("{CANONICAL} abacus"), 11),
        (format!("{CANONICAL} {CANONICAL}"), 20),
    ] {
        match RecoveryCode::parse(&typed) {
            Err(error @ CodeError::Count { found }) => {
                assert_eq!(found, count);
                assert_eq!(error.to_string(), format!("a recovery code has ten words, and here are {count}"));
            }
            other => panic!("{typed:?}: {other:?}"),
        }
    }
}

#[test]
fn s02_an_unlisted_word_is_named_by_its_position_with_its_neighbours() {
    for (from, to, position, nearest) in [
        ("giddiness", "giddyness", 5, vec!["giddiness"]),
        ("woof", "wooof", 1, vec!["woof"]),
        ("bolt", "boltt", 10, vec!["bolt"]),
        ("t-shirt", "t-skirt", 8, vec![]),
        ("pushing", "grxlpfmt", 7, vec![]),
        ("froth", "fr0th", 9, vec!["froth"]),
        ("stunt", "größe", 6, vec![]),
    ] {
        let typed = CANONICAL.replace(from, to);
        let Err(CodeError::Unlisted(word)) = RecoveryCode::parse(&typed) else { panic!("{to} was taken") };
        assert_eq!(word.position(), position, "{to}");
        assert_eq!(word.expose_nearest().collect::<Vec<_>>(), nearest, "{to}");
        assert_eq!(CodeError::Unlisted(word).to_string(), format!("word {position} is not in the list"));
    }
    // The word is named even if the count is wrong as well.
    assert!(matches!(RecoveryCode::parse("abacus abdomin"), Err(CodeError::Unlisted(word)) if word.position() == 2));
}

#[test]
fn s02_numbers_must_be_those_of_their_words() {
    for typed in [
        "1. woof 3. outshine 2. cross yo-yo giddiness stunt pushing t-shirt froth bolt".to_owned(),
        format!("{CANONICAL} 10"),
        format!("2026 {CANONICAL}"),
        format!("0. {CANONICAL}"),
        format!("{CANONICAL} 11."),
    ] {
        assert!(matches!(RecoveryCode::parse(&typed), Err(CodeError::Numbering { .. })), "{typed:?}");
    }
}

#[test]
fn s02_more_text_than_ten_words_can_be_is_not_looked_at() {
    let typed = format!("{CANONICAL}{}", " ".repeat(4096));
    assert!(matches!(RecoveryCode::parse(&typed), Err(CodeError::TooLong)));
    assert!(matches!(check_typing(&typed), Err(CodeError::TooLong)));
}

#[test]
fn s61_another_keyboard_layout_is_noticed_before_the_second_word() {
    for (typed, layout) in [
        ("yestz ", Layout::Qwertz),         // zesty
        ("yebra abacus", Layout::Qwertz),   // zebra
        ("t/shirt\u{a0}", Layout::Qwertz),  // the hyphen of a German keyboard
        ("qbqcus ", Layout::Azerty),        // abacus
        (";q;;ql ", Layout::Azerty),        // mammal, the French M under a US map
        (",q,,ql ", Layout::Azerty),        // mammal, the US M under a French map
        ("1. qbdo;en 2. ", Layout::Azerty), // abdomen
    ] {
        let checked = check_typing(typed);
        if typed.starts_with("t/") {
            // A slash separates, so this one is simply understood.
            assert_eq!(checked.unwrap(), 1);
            continue;
        }
        let Err(CodeError::Unlisted(word)) = checked else { panic!("{typed:?}: {checked:?}") };
        assert_eq!((word.position(), word.layout()), (1, Some(layout)), "{typed:?}");
        let said = CodeError::Unlisted(word).to_string();
        assert!(said.contains("your keyboard seems to be set to") && said.contains(&layout.to_string()), "{said}");
    }
}

#[test]
fn a_code_that_is_being_typed_is_followed_word_by_word() {
    for (typed, complete) in [
        ("", 0),
        ("w", 0),
        ("woof", 0),
        ("woof ", 1),
        ("woof outsh", 1),
        ("1", 0),
        ("1.", 0),
        ("1. woof 2", 1),
        ("t", 0),
        ("t ", 0),
        ("t sh", 0),
        ("t shirt", 0),
        ("t shirt ", 1),
        ("t-shirt,", 1),
        ("yo-", 0),
        ("yo-yo ", 1),
        ("drop dow", 0),
    ] {
        assert_eq!(check_typing(typed).unwrap(), complete, "{typed:?}");
    }
    for (typed, position) in [("wooof ", 1), ("woof outshne ", 2), ("t cross ", 1), ("t x", 1)] {
        assert!(
            matches!(check_typing(typed), Err(CodeError::Unlisted(word)) if word.position() == position),
            "{typed:?}"
        );
    }
    assert_eq!(check_typing(&format!("{CANONICAL} ")).unwrap(), CODE_WORDS);
}

#[test]
fn codes_are_drawn_evenly_over_the_whole_list() {
    let rng = &mut seeded("draw");
    let mut counts = std::collections::BTreeMap::<&str, u32>::new();
    let codes = 20_000_u32;
    for _ in 0..codes {
        for word in RecoveryCode::draw(rng).expose_words() {
            *counts.entry(word).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), 7776, "every word is drawn");
    let expected = f64::from(codes * 10) / 7776.0;
    let chi: f64 = counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    // 7775 degrees of freedom: mean 7775, deviation 125. A modulo in place of the rejection gives
    // some 6,000 more.
    assert!((7775.0 - 5.0 * 125.0..7775.0 + 5.0 * 125.0).contains(&chi), "{chi}");
}

#[test]
fn a_drawn_code_is_read_back_from_its_own_text() {
    let rng = &mut seeded("read back");
    for _ in 0..2_000 {
        let code = RecoveryCode::draw(rng);
        let again = RecoveryCode::parse(code.expose_passphrase()).unwrap();
        assert!(code.is_same_as(&again));
        assert_eq!(code.expose_passphrase(), again.expose_passphrase());
    }
    let (one, two) = (RecoveryCode::draw(rng), RecoveryCode::draw(rng));
    assert!(!one.is_same_as(&two));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), mixed in "[a-zA-Z0-9 ,.;\u{a0}\u{2011}'“”-]{0,200}") {
        for text in [&text, &mixed] {
            if let Ok(code) = RecoveryCode::parse(text) {
                prop_assert_eq!(code.expose_words().len(), CODE_WORDS);
            }
            prop_assert!(check_typing(text).is_ok() || RecoveryCode::parse(text).is_err());
        }
    }

    #[test]
    fn no_spelling_changes_the_code(
        seed in any::<u64>(),
        upper in prop::collection::vec(any::<bool>(), 100),
        gaps in prop::collection::vec("[ \t\n\u{a0}\u{2003},]{1,3}|-|\u{2010}|\u{2212}|, |\n", 10),
        numbered in any::<bool>(),
        quoted in any::<bool>(),
    ) {
        let code = RecoveryCode::draw(&mut seeded(&seed.to_string()));
        let mut typed = String::new();
        for (index, (word, gap)) in code.expose_words().zip(&gaps).enumerate() {
            if numbered {
                typed.push_str(&format!("{}. ", index + 1));
            }
            typed.push_str(word);
            typed.push_str(gap);
        }
        let mut typed: String = typed
            .chars()
            .zip(upper.iter().cycle())
            .map(|(c, upper)| if *upper { c.to_ascii_uppercase() } else { c })
            .collect();
        if quoted {
            typed = format!("\u{201c}{typed}\u{201d}");
        }
        let read = RecoveryCode::parse(&typed).unwrap();
        prop_assert_eq!(read.expose_passphrase(), code.expose_passphrase());
    }
}
