//! The public facts as a QR code, to be read by a camera instead of typed.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode, types::QrError};

use super::facts::{BY_KIT, Facts};
use crate::show::harmless;

/// More than this is cut, so that the squares stay large enough for a bad printer: in characters, a
/// host's name and a person's.
const HOST: usize = 64;
const NAME: usize = 40;
const KEYS: usize = 2;

/// The squares of a QR code, without its margin.
pub(super) struct Squares {
    /// How many there are along a side.
    pub(super) side: usize,
    dark: Vec<bool>,
}

impl Squares {
    /// The code of a text, with a correction that survives 15 % of damage (level M).
    ///
    /// # Errors
    /// If the text has more than a QR code holds, which no text of [`text`] has.
    pub(super) fn of(text: &str) -> Result<Self, QrError> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
        Ok(Self { side: code.width(), dark: code.to_colors().into_iter().map(|color| color == Color::Dark).collect() })
    }

    /// The dark runs of each row: row, first column, length.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.dark.chunks(self.side).enumerate().flat_map(|(row, squares)| {
            let mut at = 0;
            squares
                .chunk_by(|one, other| one == other)
                .filter_map(move |run| {
                    let from = at;
                    at += run.len();
                    run.first().is_some_and(|dark| *dark).then_some((row, from, run.len()))
                })
                .collect::<Vec<_>>()
        })
    }
}

/// What the code says: lines of a name, a colon and a value, the same in every language, UTF-8. The
/// first line tells what it is and the form's version.
pub(super) fn text(facts: &Facts) -> String {
    let Facts { box_name, box_id, hub, operator, phone, date, code_number, keys, check_line } = facts;
    let mut text = String::from("tenwords recovery sheet 1");
    let mut add = |name: &str, value: &str, limit| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{name}: {}", harmless(value, limit));
    };
    add("box", box_name, NAME);
    add("id", &box_id.to_string(), NAME);
    match hub {
        Some(hub) => add("hub", hub, HOST),
        None => add("kit", BY_KIT, NAME),
    }
    add("code", &code_number.to_string(), NAME);
    add("date", &date.iso(), NAME);
    add("check", check_line, NAME);
    for key in keys.iter().take(KEYS) {
        add("key", &key.to_string(), NAME);
    }
    if let Some(name) = operator {
        add("operator", name, NAME);
    }
    if let Some(phone) = phone {
        add("phone", phone, NAME);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{
        super::facts::tests::{usual, with_kit},
        *,
    };

    #[test]
    fn the_text_is_as_documented() {
        let text = text(&usual());
        assert_eq!(
            text,
            "tenwords recovery sheet 1\nbox: bakery\nid: 0a9d4b1c-6f0e-4c58-9d58-2f6c5b7f1a3e\n\
             hub: https://hub.example.net:8443\ncode: 2\ndate: 2026-03-03\ncheck: 7K3M-Q9ZD-0XBV-41TW\n\
             key: 01:01:01:01:01:01:01:01\noperator: Marta Huber, Huber IT\nphone: +49 89 1234567"
        );
    }

    #[test]
    fn a_box_without_a_hub_says_that_its_kit_does_it() {
        assert_eq!(
            text(&with_kit()),
            "tenwords recovery sheet 1\nbox: bakery\nid: 0a9d4b1c-6f0e-4c58-9d58-2f6c5b7f1a3e\n\
             kit: tenwords-agent recover --kit FILE\ncode: 2\ndate: 2026-03-03\ncheck: 7K3M-Q9ZD-0XBV-41TW\n\
             key: 01:01:01:01:01:01:01:01"
        );
    }
}
