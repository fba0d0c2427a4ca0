//! Text from elsewhere, made harmless before a person sees it.

use std::{fmt::Write as _, time::Duration};

/// Without control and bidirectional characters, and at most `limit` characters long.
pub(crate) fn harmless(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        let hidden = c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        shown.push(if hidden { '\u{fffd}' } else { c });
    }
    shown
}

/// A JSON text that says the same in ASCII alone. Names from elsewhere stand in it, and a terminal obeys
/// some characters beyond ASCII too (C1 controls, bidirectional ones), which JSON need not escape.
pub(crate) fn ascii(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

/// Bytes as PBS shows them: 13.353 MiB.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}

/// A time as a clock shows it, 1:02:03; the same in every language.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// How many columns a text takes: from Hangul Jamo on a character may take two.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|c| if u32::from(c) >= 0x1100 && !matches!(c, '\u{2000}'..='\u{20ff}') { 2 } else { 1 }).sum()
}

/// Lines of at most so many columns. One that is longer is broken at blanks, and goes on under its own
/// beginning. A word that has no room in a line is left to the terminal, which breaks it and still copies
/// it whole, as one wants of a path. The other lines stay as they are.
pub(crate) fn in_lines(text: &str, most: usize) -> String {
    text.split('\n').flat_map(|line| broken(line, most.max(1))).collect::<Vec<_>>().join("\n")
}

fn broken(line: &str, most: usize) -> Vec<String> {
    if columns(line) <= most {
        return vec![line.to_owned()];
    }
    let inner = line.trim_start_matches(' ');
    // On a screen that is narrower than that, indenting helps nobody.
    let indent = " ".repeat(Some(line.len() - inner.len()).filter(|blanks| blanks * 2 <= most).unwrap_or(0));
    let (mut lines, mut last) = (Vec::new(), indent.clone());
    for word in inner.split_inclusive(' ') {
        if last.len() > indent.len() && columns(&last) + columns(word.trim_end_matches(' ')) > most {
            lines.push(std::mem::replace(&mut last, indent.clone()));
        }
        // A line does not begin with the blank that it was broken at.
        if last.len() > indent.len() || word != " " {
            last.push_str(word);
        }
    }
    if last.len() > indent.len() || lines.is_empty() {
        lines.push(last);
    }
    lines.iter().map(|line| line.trim_end_matches(' ').to_owned()).collect()
}

/// A question in lines of at most so many columns, the last of which has room for an answer.
pub(crate) fn question(text: &str, most: usize) -> String {
    const ANSWER: usize = 8;
    let lines = in_lines(text.trim_end_matches(' '), most);
    let last = lines.rsplit('\n').next().map_or(0, columns);
    if last + 1 + ANSWER.min(most / 2) <= most { format!("{lines} ") } else { format!("{lines}\n> ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_broken_between_words_and_keeps_its_indent() {
        assert_eq!(in_lines("Protected: fetched back and opened", 20), "Protected: fetched\nback and opened");
        assert_eq!(in_lines("  1. Hold a ceremony\n\nend", 12), "  1. Hold a\n  ceremony\n\nend");
        // One that fits is not touched, however its columns are set.
        assert_eq!(in_lines("source pbs          at x ", 25), "source pbs          at x ");
        assert_eq!(in_lines("a    b    c", 7), "a    b\nc");
        assert_eq!(in_lines("in /a/very/long/path.pdf now", 10), "in\n/a/very/long/path.pdf\nnow");
        assert_eq!(in_lines("パン屋 パン屋", 7), "パン屋\nパン屋");
        assert_eq!(in_lines("        deep and narrow", 10), "deep and\nnarrow");
        for text in ["", " ", "\n", "    ", "word", "ä ö ü ß", "a  b   c    d", " \u{301}\u{202e}x 屋"] {
            for most in 0..9 {
                let lines = in_lines(text, most);
                let narrow = |line: &str| columns(line) <= most.max(1) || !line.trim().contains(' ');
                assert!(lines.split('\n').all(narrow), "{text:?} {most}: {lines:?}");
                let said = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                assert_eq!(said(&lines), said(text));
            }
        }
    }

    #[test]
    fn a_question_ends_with_room_for_an_answer() {
        assert_eq!(question("Does this fit? [y/N] ", 79), "Does this fit? [y/N] ");
        assert_eq!(
            question("Keep it and type its ten words, or draw? ", 40),
            "Keep it and type its ten words, or draw?\n> "
        );
        assert_eq!(
            question("Keep it and type its ten words, or draw? ", 34),
            "Keep it and type its ten words, or\ndraw? "
        );
        assert_eq!(question("x ", 1), "x\n> ");
    }

    #[test]
    fn s71_escape_sequences_and_bidi_characters_are_shown_harmlessly() {
        let hostile = "ct\u{1b}[2J\u{202e}101\u{7}\u{9b}x\nnext";
        let shown = harmless(hostile, 100);
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert_eq!(harmless(&"x".repeat(10_000_000), 64).chars().count(), 65);
    }

    #[test]
    fn s71_json_says_the_same_without_a_character_that_a_terminal_obeys() -> Result<(), serde_json::Error> {
        let hostile = "ct\u{1b}[2J\u{202e}1\u{7f}\u{9b}x\n\u{1f4a9}\u{e4}\"\\";
        let shown = ascii(&serde_json::to_string(hostile)?);
        assert!(shown.bytes().all(|b| (0x20..0x7f).contains(&b)), "{shown:?}");
        assert_eq!(serde_json::from_str::<String>(&shown)?, hostile);
        Ok(())
    }

    #[test]
    fn sizes_read_like_those_of_pbs() {
        assert_eq!(size(177), "177 B");
        assert_eq!(size(14_001_540), "13.35 MiB");
    }
}
