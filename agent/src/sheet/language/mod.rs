//! What the sheet says: one table of sentences, one column per language, in the form of
//! [`crate::language`].

mod english;
mod german;

use super::facts::{Date, Facts};
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
    /// A box that a hub knows, and somebody who runs it.
    pub(super) by_hub: Way,
    /// A box without: its kit does it.
    pub(super) by_kit: Way,

    // === facts ===
    pub(super) facts: &'static str,
    pub(super) box_name: &'static str,
    pub(super) box_id: &'static str,
    pub(super) made: &'static str,
    pub(super) check_line: &'static str,
    pub(super) keys: &'static str,
    /// So many keys are not listed.
    pub(super) more_keys: fn(usize) -> String,
    /// Below the QR code.
    pub(super) picture: &'static str,

    // === without us ===
    pub(super) stock: &'static str,
    /// Where, with what, and how the words are typed; [`Way::bundle`] follows.
    pub(super) stock_how: &'static str,
    /// Beside a command, what it is for; nothing where the one before has said it.
    pub(super) stock_notes: [&'static str; COMMANDS],

    // === at the ceremony ===
    /// Asks to print this file, ending with a blank.
    pub(super) print_it: fn(&str) -> String,
}

/// A way in which a box comes back, and what else depends on it.
pub(super) struct Way {
    /// What it comes back from: the name of that fact.
    pub(super) origin: &'static str,
    pub(super) steps: [&'static str; STEPS],
    /// Where the bundle of the stock tools comes from.
    pub(super) bundle: &'static str,
    /// Where the sheet belongs.
    pub(super) keep: &'static str,
}

/// The sheet's sentences in a language.
pub(super) const fn sentences(language: Language) -> &'static Sentences {
    match language {
        Language::English => &english::SENTENCES,
        Language::German => &german::SENTENCES,
    }
}

impl Sentences {
    /// The way in which this box comes back.
    pub(super) const fn way(&self, facts: &Facts) -> &Way {
        if facts.hub.is_some() { &self.by_hub } else { &self.by_kit }
    }

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
            by_hub,
            by_kit,
            facts,
            box_name,
            box_id,
            made,
            check_line,
            keys,
            more_keys,
            picture,
            stock,
            stock_how,
            stock_notes,
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
            made,
            check_line,
            keys,
            picture,
            stock,
            stock_how,
        ];
        let made = [date(Date { year: 2026, month: 3, day: 3 }), code(2), more_keys(3), print_it("sheet.pdf")];
        let ways = [by_hub, by_kit].into_iter().flat_map(|Way { origin, steps, bundle, keep }| {
            [*origin, *bundle, *keep].into_iter().chain(steps.iter().copied())
        });
        let lists = ways.chain(stock_notes.iter().copied()).filter(|text| !text.is_empty()).map(str::to_owned);
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
        const SHARED: [&str; 4] = ["Box", "Hub", "Kit", "Code 2"];
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
            let said = sentences(language);
            for step in said.by_hub.steps.iter().chain(&said.by_kit.steps) {
                assert!(step.chars().count() <= 100, "{language:?}: {step}");
            }
        }
    }
}
