//! An SSH signature as it is typed or pasted, line by line. What it says is judged elsewhere.
//!
//! Whoever pastes something else there may have taken the ten words: that is asked for no further than its
//! first line, and the buffer is wiped like any other here.

use tenwords_protocol::order::{MAX_SIGNATURE_BYTES, SIGNATURE_BEGIN, SIGNATURE_END};
use zeroize::Zeroizing;

/// The lines so far.
pub(crate) struct Armour {
    text: Zeroizing<String>,
}

/// What comes after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next line.
    More,
    /// Nothing: it is whole, or it was ended in its middle by something that is no line of it.
    Nothing,
    /// Nothing: it did not begin as a signature.
    NoSignature,
}

impl Armour {
    pub(crate) fn empty() -> Self {
        Self { text: Zeroizing::new(String::with_capacity(MAX_SIGNATURE_BYTES)) }
    }

    /// Takes a line, and says what comes after it.
    pub(crate) fn take(&mut self, line: &str) -> After {
        let line = line.trim();
        if self.text.is_empty() {
            self.push(line);
            return match line {
                "" => After::Nothing,
                SIGNATURE_BEGIN => After::More,
                _ => After::NoSignature,
            };
        }
        let is_last = line == SIGNATURE_END;
        let belongs = is_last || line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if belongs && self.push(line) && !is_last { After::More } else { After::Nothing }
    }

    pub(crate) fn into_text(self) -> Zeroizing<String> {
        self.text
    }

    /// A full buffer takes no more: it must not move, or a copy would be left behind.
    fn push(&mut self, line: &str) -> bool {
        let fits = self.text.len() + line.len() < MAX_SIGNATURE_BYTES;
        // Between lines that end in two characters stand empty ones.
        if fits && !line.is_empty() {
            self.text.push_str(line);
            self.text.push('\n');
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many lines were taken, what came after the last of them, and what they are together.
    fn taken(text: &str) -> (usize, Option<After>, String) {
        let (mut armour, mut last, mut count) = (Armour::empty(), None, 0);
        for line in text.split('\n') {
            count += 1;
            last = Some(armour.take(line));
            if last != Some(After::More) {
                break;
            }
        }
        (count, last, armour.into_text().to_string())
    }

    #[test]
    fn a_signature_is_taken_to_its_end_whatever_ends_its_lines() {
        let whole = format!("{SIGNATURE_BEGIN}\nU1NIU0lH/+\nAAAA==\n{SIGNATURE_END}\n");
        for pasted in [
            whole.clone(),
            format!("{whole}abacus abdomen\n"),
            whole.replace('\n', "\r\n"),
            whole.replace('\n', "\n\n"),
            format!("  {}", whole.replace('\n', " \n  ")),
        ] {
            let (_, last, text) = taken(&pasted);
            assert_eq!((last, text), (Some(After::Nothing), whole.clone()), "{pasted:?}");
        }
    }

    #[test]
    fn anything_else_is_asked_for_no_further() {
        for words in ["abacus\nabdomen\nabdominal", "1. abacus\n2. abdomen", "{\"v\":1,\n", " abacus abdomen \nabide"] {
            let (count, last, _) = taken(words);
            assert_eq!((count, last), (1, Some(After::NoSignature)), "{words:?}");
        }
        assert_eq!(taken("\nabacus"), (1, Some(After::Nothing), String::new()));
        // In its middle: the words are not even kept.
        let (count, last, text) = taken(&format!("{SIGNATURE_BEGIN}\nAAAA\nabacus abdomen\nabide"));
        assert_eq!((count, last, text), (3, Some(After::Nothing), format!("{SIGNATURE_BEGIN}\nAAAA\n")));
    }

    #[test]
    fn what_has_no_end_is_not_taken_for_ever() {
        let endless = format!("{SIGNATURE_BEGIN}\n{}", format!("{}\n", "A".repeat(70)).repeat(1000));
        let (_, last, text) = taken(&endless);
        assert_eq!(last, Some(After::Nothing));
        assert!(text.len() <= MAX_SIGNATURE_BYTES && text.capacity() <= MAX_SIGNATURE_BYTES);
        let (_, last, text) = taken(&"x".repeat(2 * MAX_SIGNATURE_BYTES));
        assert_eq!((last, text.len()), (Some(After::NoSignature), 0));
    }
}
