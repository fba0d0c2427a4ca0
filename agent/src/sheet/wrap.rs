//! Lines out of a long text.

/// Breaks `text` at blanks into lines that fit; what has no blank is broken where it must be. A line has
/// at least one character, even if that does not fit.
pub(super) fn wrap(text: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if fits(&longer) {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            line.push(c);
            if !fits(&line) && line.chars().nth(1).is_some() {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.into()));
            }
        }
    }
    lines.push(line);
    lines
}

/// At most `limit` lines; the last says with `…` that there was more.
pub(super) fn at_most(limit: usize, mut lines: Vec<String>, fits: impl Fn(&str) -> bool) -> Vec<String> {
    if lines.len() > limit {
        lines.truncate(limit);
        if let Some(last) = lines.last_mut() {
            last.push('…');
            while !fits(last) && last.chars().nth(1).is_some() {
                last.pop();
                last.pop();
                last.push('…');
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_else_where_they_must() {
        let fits = |line: &str| line.chars().count() <= 8;
        assert_eq!(wrap("one two three", fits), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijklmnopqr st", fits), ["abcdefgh", "ijklmnop", "qr st"]);
        assert_eq!(wrap("", fits), [""]);
        assert_eq!(wrap("äöü", |_| false), ["ä", "ö", "ü"]);
        assert_eq!(at_most(2, wrap("abcdefgh abcdefgh abc", fits), fits), ["abcdefgh", "abcdefg…"]);
        assert_eq!(at_most(3, wrap("one", fits), fits), ["one"]);
    }
}
