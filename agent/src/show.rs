//! Text from elsewhere, made harmless before a person sees it.

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
    fn sizes_read_like_those_of_pbs() {
        assert_eq!(size(177), "177 B");
        assert_eq!(size(14_001_540), "13.35 MiB");
    }
}
