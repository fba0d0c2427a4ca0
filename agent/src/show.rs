//! Text from elsewhere, made harmless before a person sees it.

use std::fmt::Write as _;

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

#[cfg(test)]
mod tests {
    use super::*;

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
