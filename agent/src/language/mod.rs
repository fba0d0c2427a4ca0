//! What the customer reads while the ten words are shown or typed: one table of sentences, one
//! column per language.
//!
//! A language is a value of [`Sentences`]; one that lacks a sentence does not compile. To add one,
//! write its file, name it in [`Language`] and in [`Language::ALL`].
//!
//! Terminals that are not set to UTF-8 get the same sentences in ASCII ([`Charset::fit`]).

mod english;
mod german;
mod sentences;
mod talk;

use std::env;

use serde::{Deserialize, Serialize};

pub(crate) use sentences::Sentences;
pub(crate) use talk::{CameBack, Fresh, Protected, Talk};

/// A language that the customer may read; it travels by its two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "de")]
    German,
}

/// Which characters the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Ascii,
    Utf8,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::German];

    /// The language that the environment asks for: `TENWORDS_LANGUAGE`, else what POSIX says of
    /// messages (`LC_ALL`, `LC_MESSAGES`, `LANG`, the first that is set), else English.
    pub(crate) fn of_environment() -> Self {
        Self::chosen(|name| env::var(name).ok())
    }

    fn chosen(variable: impl Fn(&str) -> Option<String>) -> Self {
        let asked = first_set(&variable, &["TENWORDS_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"]);
        asked.and_then(|locale| Self::named(&locale)).unwrap_or(Self::English)
    }

    /// The language of a locale (`de_AT.UTF-8`) or of a plain code (`de`).
    pub(crate) fn named(locale: &str) -> Option<Self> {
        let code = locale.split(['_', '.', '@', '-']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| code.eq_ignore_ascii_case(language.code()))
    }

    /// The two letters of ISO 639.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Its sentences.
    pub(crate) const fn sentences(self) -> &'static Sentences {
        match self {
            Self::English => &english::SENTENCES,
            Self::German => &german::SENTENCES,
        }
    }
}

impl Charset {
    /// UTF-8 if the environment says so, else ASCII, which every terminal has.
    pub(crate) fn of_environment() -> Self {
        Self::chosen(|name| env::var(name).ok())
    }

    fn chosen(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = first_set(&variable, &["LC_ALL", "LC_CTYPE", "LANG"]).unwrap_or_default().to_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Utf8 } else { Self::Ascii }
    }

    /// The same text in characters that the terminal has.
    pub(crate) fn fit(self, text: &str) -> String {
        let mut fitted = String::with_capacity(text.len());
        for c in text.chars() {
            match (self, plain(c)) {
                (Self::Utf8, _) => fitted.push(c),
                (Self::Ascii, Some(plain)) => fitted.push_str(plain),
                (Self::Ascii, None) if c.is_ascii() => fitted.push(c),
                (Self::Ascii, None) => fitted.push('?'),
            }
        }
        fitted
    }

    /// A letter that somebody typed, as one visible column; what is none is shown as `?`.
    pub(crate) fn letter(self, c: char) -> char {
        match self {
            _ if c.is_ascii_graphic() => c,
            Self::Utf8 if c.is_alphabetic() && u32::from(c) < 0x250 => c,
            _ => '?',
        }
    }
}

/// The first of these variables that is set and not empty, as POSIX looks at locales.
fn first_set(variable: &impl Fn(&str) -> Option<String>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
}

/// How a character is written where there is only ASCII.
const fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ä' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        'Ä' => "Ae",
        'Ö' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        '…' => "...",
        '–' | '—' => "-",
        '„' | '“' | '”' => "\"",
        '‚' | '‘' | '’' => "'",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |asked| variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_environment_chooses_language_and_characters() {
        type Case = (&'static [(&'static str, &'static str)], Language, Charset);
        let cases: [Case; 10] = [
            (&[], Language::English, Charset::Ascii),
            (&[("LANG", "de_DE.UTF-8")], Language::German, Charset::Utf8),
            (&[("LANG", "de_CH.utf8")], Language::German, Charset::Utf8),
            (&[("LANG", "de_AT")], Language::German, Charset::Ascii),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], Language::English, Charset::Ascii),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "")], Language::German, Charset::Utf8),
            (&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "de_DE")], Language::German, Charset::Utf8),
            (&[("LC_CTYPE", "C.UTF-8"), ("LANG", "de")], Language::German, Charset::Utf8),
            (&[("LANG", "tr_TR.UTF-8")], Language::English, Charset::Utf8),
            (&[("TENWORDS_LANGUAGE", "de"), ("LC_ALL", "en_US.UTF-8")], Language::German, Charset::Utf8),
        ];
        for (variables, language, charset) in cases {
            assert_eq!(Language::chosen(with(variables)), language, "{variables:?}");
            assert_eq!(Charset::chosen(with(variables)), charset, "{variables:?}");
        }
    }

    #[test]
    fn every_sentence_can_be_said_in_ascii() {
        for language in Language::ALL {
            for sentence in language.sentences().all() {
                let fitted = Charset::Ascii.fit(&sentence);
                assert!(fitted.is_ascii() && !fitted.contains("??"), "{language:?}: {sentence} -> {fitted}");
                assert_eq!(fitted.matches('?').count(), sentence.matches('?').count(), "{language:?}: {fitted}");
                assert_eq!(Charset::Utf8.fit(&sentence), sentence);
            }
        }
        assert_eq!(Charset::Ascii.fit("Wörter für Größe … Übung"), "Woerter fuer Groesse ... Uebung");
    }

    #[test]
    fn no_language_leaves_a_sentence_empty_or_in_english() {
        let english = Language::English.sentences().all();
        for language in Language::ALL {
            let sentences = language.sentences().all();
            assert_eq!(sentences.len(), english.len());
            for (sentence, english) in sentences.iter().zip(&english) {
                assert!(!sentence.trim().is_empty());
                assert!(language == Language::English || sentence != english, "{language:?}: {sentence}");
            }
        }
    }
}
