//! What the console says: one table of sentences, one column per language, in the form of
//! [`crate::language`].

mod english;
mod german;

use crate::language::Language;

/// All that the console says beside what the words' screens say.
pub(crate) struct Sentences {
    // === the menu ===
    pub(crate) title: &'static str,
    /// What can be chosen, from 1; the last changes the language, and is said in the other one.
    pub(crate) choices: [&'static str; CHOICES],
    pub(crate) leave: &'static str,
    /// Asks for a number, ending with a blank.
    pub(crate) which: &'static str,
    pub(crate) no_such_choice: &'static str,
    /// Asks for Enter, ending with a blank.
    pub(crate) go_back: &'static str,
    /// Asks for Enter where there is more to read, ending with a blank.
    pub(crate) more: &'static str,

    // === the way to the agent ===
    /// Nothing answers at this socket.
    pub(crate) nobody: fn(&str) -> String,
    /// What answers is not root's.
    pub(crate) stranger: &'static str,
    /// It answers and says nothing.
    pub(crate) turned_away: &'static str,
    /// It said something, and then no more.
    pub(crate) broke_off: &'static str,
    /// It said what is not due.
    pub(crate) not_understood: &'static str,
    /// Ctrl-C while something is done.
    pub(crate) left_alone: &'static str,

    // === how it ended ===
    pub(crate) ceremony_done: &'static str,
    /// A ceremony that has not come to its end.
    pub(crate) ceremony_void: &'static str,
    pub(crate) recovered: &'static str,
    pub(crate) rehearsed: &'static str,
    pub(crate) revoked: &'static str,
    /// The ticket, or the machine, was refused.
    pub(crate) not_admitted: &'static str,
    pub(crate) drilled: &'static str,
    pub(crate) not_drilled: &'static str,
    pub(crate) partly_recovered: &'static str,
    pub(crate) told_off: &'static str,
    pub(crate) words_wrong: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) unreachable: &'static str,
    pub(crate) not_possible: &'static str,
    /// Above the lines for whoever helps.
    pub(crate) details: &'static str,
    /// Whom to call: a name and a number, if they are known.
    pub(crate) call: fn(Option<&str>, Option<&str>) -> String,

    // === how it stands ===
    /// The words of this code, of this day, bring the box back.
    pub(crate) protected: fn(u64, &str) -> String,
    /// What stands on the sheet as well.
    pub(crate) compare: fn(&str) -> String,
    pub(crate) not_protected: &'static str,
    /// So much is left to be done after a recovery.
    pub(crate) not_closed: fn(usize) -> String,
    pub(crate) what_to_do: &'static str,

    // === the ticket ===
    /// Asks for it, ending with a blank.
    pub(crate) ticket: &'static str,
    pub(crate) ticket_wrong: &'static str,
}

/// How many choices there are beside leaving.
pub(crate) const CHOICES: usize = 6;

/// The console's sentences in a language.
pub(crate) const fn sentences(language: Language) -> &'static Sentences {
    match language {
        Language::English => &english::SENTENCES,
        Language::German => &german::SENTENCES,
    }
}

impl Sentences {
    /// Every sentence once, with examples in it.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<String> {
        // Taken apart, so that a sentence which is missing here does not compile.
        let Self {
            title,
            choices,
            leave,
            which,
            no_such_choice,
            go_back,
            more,
            nobody,
            stranger,
            turned_away,
            broke_off,
            not_understood,
            left_alone,
            ceremony_done,
            ceremony_void,
            recovered,
            rehearsed,
            revoked,
            not_admitted,
            drilled,
            not_drilled,
            partly_recovered,
            told_off,
            words_wrong,
            refused,
            unreachable,
            not_possible,
            details,
            call,
            protected,
            compare,
            not_protected,
            not_closed,
            what_to_do,
            ticket,
            ticket_wrong,
        } = self;
        let plain = [
            title,
            leave,
            which,
            no_such_choice,
            go_back,
            more,
            stranger,
            turned_away,
            broke_off,
            not_understood,
            left_alone,
            ceremony_done,
            ceremony_void,
            recovered,
            rehearsed,
            revoked,
            not_admitted,
            drilled,
            not_drilled,
            partly_recovered,
            told_off,
            words_wrong,
            refused,
            unreachable,
            not_possible,
            details,
            not_protected,
            what_to_do,
            ticket,
            ticket_wrong,
        ];
        let made = [
            nobody("/run/tenwords/console.sock"),
            call(None, None),
            call(Some("Marta Huber"), None),
            call(None, Some("+49 89 1234567")),
            call(Some("Marta Huber"), Some("+49 89 1234567")),
            protected(2, "3. 3. 2026"),
            compare("ABCD-EFGH-JKMN-PQRS"),
            not_closed(1),
            not_closed(5),
        ];
        plain.iter().chain(&choices.each_ref()).map(|text| (**text).to_owned()).chain(made).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Charset;

    #[test]
    fn no_language_leaves_a_sentence_empty_or_in_english() {
        let english = sentences(Language::English).all();
        for language in Language::ALL {
            let said = sentences(language).all();
            assert_eq!(said.len(), english.len());
            for (sentence, english) in said.iter().zip(&english) {
                assert!(!sentence.trim().is_empty());
                assert!(language == Language::English || sentence != english, "{language:?}: {sentence}");
            }
        }
    }

    #[test]
    fn every_sentence_can_be_said_in_ascii_and_a_choice_in_one_line() {
        for language in Language::ALL {
            for sentence in sentences(language).all() {
                let fitted = Charset::Ascii.fit(&sentence);
                assert_eq!(fitted.matches('?').count(), sentence.matches('?').count(), "{language:?}: {fitted}");
            }
            for choice in sentences(language).choices {
                assert!(Charset::Ascii.fit(choice).len() <= 70, "{choice}");
            }
        }
    }
}
