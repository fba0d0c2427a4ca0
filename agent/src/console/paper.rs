//! Lines on the terminal: broken at blanks, and not faster than they can be read.

use crate::{exit::Outcome, show::harmless, terminal::Terminal};

/// A line of the agent's is cut there.
const LINE: usize = 2000;

/// Text that came from the agent, line by line, without anything that a terminal obeys.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.split('\n').map(|line| harmless(line, LINE))
}

/// Shows lines.
pub(super) fn say(terminal: &mut Terminal, text: &str) -> Outcome<()> {
    broken(terminal, text).iter().try_for_each(|line| terminal.say(line))
}

/// Shows lines, a screen at a time; `more` asks for Enter between two.
pub(super) fn read(terminal: &mut Terminal, texts: &[String], more: &str) -> Outcome<()> {
    let rows = terminal.rows().saturating_sub(2).max(4);
    let lines: Vec<String> = texts.iter().flat_map(|text| broken(terminal, text)).collect();
    for (count, screen) in lines.chunks(rows).enumerate() {
        if count > 0 {
            terminal.ask(more)?;
        }
        screen.iter().try_for_each(|line| terminal.say(line))?;
    }
    Ok(())
}

fn broken(terminal: &Terminal, text: &str) -> Vec<String> {
    let columns = terminal.columns().saturating_sub(1).max(20);
    lines(&terminal.charset().fit(text)).flat_map(|line| wrapped(&line, columns)).collect()
}

/// Breaks a line at blanks; what follows stands as far from the edge as its beginning.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    if line.chars().count() <= columns {
        return vec![line.trim_end().to_owned()];
    }
    let indent = line.chars().take_while(|c| *c == ' ').count().min(columns / 2);
    let (margin, room) = (" ".repeat(indent), columns - indent);
    let mut lines = vec![String::new()];
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let mut letters = word.chars().peekable();
        while letters.peek().is_some() {
            // What has no blank is broken where it must be.
            let piece: String = letters.by_ref().take(room).collect();
            let last = lines.last_mut().map(|last| (last.chars().count(), last));
            match last {
                Some((0, last)) => last.push_str(&piece),
                Some((width, last)) if width + 1 + piece.chars().count() <= room => {
                    last.push(' ');
                    last.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines.iter().map(|text| if text.is_empty() { String::new() } else { format!("{margin}{text}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_blanks_and_keep_their_margin() {
        assert_eq!(wrapped("  one two three four", 12), ["  one two", "  three four"]);
        assert_eq!(wrapped("abcdefghijklmnopqrstuvwxyz", 20), ["abcdefghijklmnopqrst", "uvwxyz"]);
        assert_eq!(wrapped("  pbs          key 01:36", 40), ["  pbs          key 01:36"]);
        assert_eq!(wrapped("", 20), [""]);
        assert_eq!(wrapped(&" ".repeat(100), 20), [""]);
    }

    #[test]
    fn s71_a_line_of_the_agents_cannot_move_the_cursor() {
        let shown: Vec<String> = lines("a\u{1b}[2Jb\r\u{9b}\u{202e}\nc").collect();
        assert_eq!(shown, ["a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}", "c"]);
    }
}
