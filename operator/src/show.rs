//! Text from elsewhere, made harmless, and tables.

use std::time::Duration;

/// At most this much of any one text of the hub's is shown.
const LONGEST: usize = 300;

/// The text without control, bidirectional and invisible characters, and bounded.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned: String = text.chars().take(LONGEST).map(harmless_char).collect();
    if text.chars().nth(LONGEST).is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// The same without a bound, for what must be seen whole: its length is bounded where it is read.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(harmless_char).collect()
}

/// How long, for people: the largest unit that it has at least two of, and no more.
pub(crate) fn for_how_long(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Columns as wide as their widest cell, two blanks apart; no blanks at the end of a line.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn harmless_char(c: char) -> char {
    if harmful(c) { '?' } else { c }
}

fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_bidi_characters_are_shown_harmlessly() {
        assert_eq!(clean("a\x1b]0;x\x07\r\n\u{202e}b\u{feff}é"), "a?]0;x????b?é");
        assert_eq!(clean(&"x".repeat(10_000_000)).chars().count(), LONGEST + 1);
        assert_eq!(clean(&"x".repeat(LONGEST)), "x".repeat(LONGEST));
    }

    #[test]
    fn what_must_be_seen_whole_is_not_cut() {
        assert_eq!(harmless(&format!("{}\u{202e}", "x".repeat(400))), format!("{}?", "x".repeat(400)));
    }

    #[test]
    fn a_time_span_is_never_said_longer_than_it_is() {
        for (seconds, said) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_799, "47 h")]
        {
            assert_eq!(for_how_long(Duration::from_secs(seconds)), said);
        }
        assert_eq!(for_how_long(Duration::from_secs(172_800)), "2 days");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "bb".into()], vec!["ccc".into(), "".into()]];
        assert_eq!(table(&rows), "a    bb\nccc\n");
        assert_eq!(table(&[]), "");
    }
}
