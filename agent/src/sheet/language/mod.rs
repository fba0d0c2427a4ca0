//! What the sheet says: one table of sentences, one column per language, in the form of
//! [`crate::language`].

mod english;
mod german;

use super::facts::Date;
use crate::language::Language;

/// How many steps "what to do" has.
pub(super) const STEPS: usize = 10;
/// How many lines of commands open everything with stock tools ([`super::stock`]).
pub(super) const COMMANDS: usize = 10;

/// All that a sheet says beside its facts.
pub(super) struct Sentences {
    pub(super) title: &'static str,
    pub(super) date: fn(Date) -> String,
    /// The number of the code.
    pub(super) code: fn(u64) -> String,
    /// Who helps.
    pub(super) operator: &'static str,
    pub(super) phone: &'static str,

    // === the words ===
    pub(super) words: &'static str,
    /// How they get onto the sheet.
    pub(super) by_hand: &'static str,
    /// Who will ask for them, in one line.
    pub(super) never: &'static str,
    /// The same, at length.
    pub(super) never_at_length: &'static str,

    // === what to do ===
    pub(super) what_to_do: &'static str,
    pub(super) steps: [&'static str; STEPS],

    // === facts ===
    pub(super) facts: &'static str,
    pub(super) box_name: &'static str,
    pub(super) box_id: &'static str,
    pub(super) hub: &'static str,
    pub(super) made: &'static str,
    pub(super) check_line: &'static str,
    pub(super) keys: &'static str,
    /// So many keys are not listed.
    pub(super) more_keys: fn(usize) -> String,
    /// Below the QR code.
    pub(super) picture: &'static str,

    // === without us ===
    pub(super) stock: &'static str,
    pub(super) stock_how: &'static str,
    /// Beside each command, what it is for; nothing beside the second half of a step.
    pub(super) stock_notes: [&'static str; COMMANDS],
    /// Where the sheet belongs.
    pub(super) keep: &'static str,

    // === at the ceremony ===
    /// Asks to print this file, ending with a blank.
    pub(super) print_it: fn(&str) -> String,
}

/// The sheet's sentences in a language.
pub(super) const fn sentences(language: Language) -> &'static Sentences {
    match language {
        Language::English => &english::SENTENCES,
        Language::German => &german::SENTENCES,
    }
}

impl Sentences {
    /// Every sentence once, with examples in it.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<String> {
        // Taken apart, so that a sentence which is missing here does not compile.
        let Self {
            title,
            date,
            code,
            operator,
            phone,
            words,
            by_hand,
            never,
            never_at_length,
            what_to_do,
            steps,
            facts,
            box_name,
            box_id,
            hub,
            made,
            check_line,
            keys,
            more_keys,
            picture,
            stock,
            stock_how,
            stock_notes,
            keep,
            print_it,
        } = self;
        let plain = [
            title,
            operator,
            phone,
            words,
            by_hand,
            never,
            never_at_length,
            what_to_do,
            facts,
            box_name,
            box_id,
            hub,
            made,
            check_line,
            keys,
            picture,
            stock,
            stock_how,
            keep,
        ];
        let made = [date(Date { year: 2026, month: 3, day: 3 }), code(2), more_keys(3), print_it("sheet.pdf")];
        let lists = steps.iter().chain(stock_notes).filter(|text| !text.is_empty()).map(|text| (*text).to_owned());
        plain.iter().map(|text| (**text).to_owned()).chain(made).chain(lists).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Charset;

    #[test]
    fn no_language_leaves_a_sentence_empty_or_in_english() {
        // The same in both languages.
        const SHARED: [&str; 3] = ["Box", "Hub", "Code 2"];
        let english = sentences(Language::English).all();
        for language in Language::ALL {
            let said = sentences(language).all();
            assert_eq!(said.len(), english.len());
            for (sentence, english) in said.iter().zip(&english) {
                assert!(!sentence.trim().is_empty());
                let shared = SHARED.contains(&sentence.as_str());
                assert!(language == Language::English || shared || sentence != english, "{language:?}: {sentence}");
            }
        }
    }

    #[test]
    fn every_sentence_can_be_said_in_ascii_and_printed() {
        for language in Language::ALL {
            for sentence in sentences(language).all() {
                let fitted = Charset::Ascii.fit(&sentence);
                assert_eq!(fitted.matches('?').count(), sentence.matches('?').count(), "{language:?}: {fitted}");
                assert!(sentence.chars().all(|c| crate::sheet::font::byte(c).is_some()), "{language:?}: {sentence}");
            }
        }
    }

    #[test]
    fn the_steps_are_short() {
        for language in Language::ALL {
            for step in sentences(language).steps {
                assert!(step.chars().count() <= 100, "{language:?}: {step}");
            }
        }
    }
}
