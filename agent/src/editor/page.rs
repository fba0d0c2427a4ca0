//! What a screen shows, line by line, and how it is brought there with as few bytes as a serial line
//! wants.
//!
//! Lines may hold words. They are wiped when dropped, are written where they belong by address, and
//! never scroll: what scrolls stays in a terminal's memory after the screen is wiped.

use zeroize::Zeroizing;

use super::{keys::Key, slots::Step};

/// One line in a buffer that never moves.
pub(crate) struct Line {
    text: Zeroizing<String>,
    columns: usize,
}

/// All lines of a screen, and where the cursor stands (from 0).
pub(crate) struct Frame {
    pub(crate) lines: Vec<Line>,
    pub(crate) cursor: (usize, usize),
}

/// What a terminal that can only go on in its line shows: sentences without words, each said once,
/// and one line that is written over.
pub(crate) struct OneLine {
    pub(crate) said: Vec<String>,
    pub(crate) line: Line,
    pub(crate) cursor: usize,
}

/// Lines and columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Something that is shown and takes keys.
pub(crate) trait Page {
    /// The whole screen.
    fn frame(&self, size: Size) -> Frame;
    /// The same for a terminal with one line.
    fn one_line(&self, columns: usize) -> OneLine;
    /// Takes a key; `more` if others wait behind it.
    fn take(&mut self, key: Key, more: bool) -> Step;
    /// Called several times a second; tells whether something has changed, or that it is over.
    fn tick(&mut self) -> Option<Step> {
        None
    }
}

/// Brings frames to a terminal that understands ECMA-48, writing what has changed.
pub(crate) struct Painter {
    shown: Option<(Frame, Size)>,
}

/// Writes over one line of a terminal that understands nothing.
pub(crate) struct Typewriter {
    said: Vec<String>,
    columns: usize,
}

impl Size {
    /// What is taken where a terminal does not say, as on serial lines.
    pub(crate) const USUAL: Self = Self { rows: 24, columns: 80 };

    /// The columns that a line may have. The last stays empty: writing there moves some terminals to the
    /// next line.
    pub(crate) const fn usable(self) -> usize {
        if self.columns > 1 { self.columns - 1 } else { 1 }
    }
}

impl Line {
    /// An empty line with room for `columns`.
    pub(crate) fn new(columns: usize) -> Self {
        Self { text: Zeroizing::new(String::with_capacity(columns * 4)), columns }
    }

    /// Appends what fits, and tells whether all did.
    pub(crate) fn push(&mut self, text: &str) -> bool {
        for c in text.chars() {
            if self.width() == self.columns {
                return false;
            }
            self.text.push(c);
        }
        true
    }

    /// Appends blanks up to a column.
    pub(crate) fn pad_to(&mut self, column: usize) {
        while self.width() < column.min(self.columns) {
            self.text.push(' ');
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.text.chars().count()
    }

    pub(crate) fn expose_text(&self) -> &str {
        &self.text
    }
}

/// Breaks pieces into lines of at most `columns`, at blanks where it can.
pub(crate) fn wrapped(pieces: &[&str], columns: usize) -> Vec<Line> {
    let mut lines = vec![Line::new(columns)];
    let words = pieces.iter().flat_map(|piece| piece.split([' ', '\n']).filter(|word| !word.is_empty()));
    for word in words {
        let fits = lines.last().is_some_and(|line| line.width() + 1 + word.chars().count() <= columns);
        if lines.last().is_some_and(|line| line.width() > 0) && !fits {
            lines.push(Line::new(columns));
        }
        if let Some(line) = lines.last_mut() {
            if line.width() > 0 {
                line.push(" ");
            }
            line.push(word);
        }
    }
    lines
}

impl Frame {
    /// Out of blocks of lines, the least needed of which are left out where the screen is too small.
    ///
    /// Each block has a rank; those of rank 0 always stay. `cursor` is a block, a line in it and a
    /// column.
    pub(crate) fn of(mut blocks: Vec<(u8, Vec<Line>)>, cursor: (usize, usize, usize), size: Size) -> Self {
        let rows = |blocks: &[(u8, Vec<Line>)]| blocks.iter().map(|(_, lines)| lines.len()).sum::<usize>();
        while rows(&blocks) > size.rows {
            let present = blocks.iter_mut().filter(|(rank, lines)| *rank > 0 && !lines.is_empty());
            let Some((_, lines)) = present.max_by_key(|(rank, _)| *rank) else { break };
            lines.pop();
        }
        let row = rows(&blocks[..cursor.0]) + cursor.1;
        let mut lines: Vec<Line> = blocks.into_iter().flat_map(|(_, lines)| lines).collect();
        lines.truncate(size.rows);
        Self { cursor: (row.min(size.rows.saturating_sub(1)), cursor.2), lines }
    }
}

impl Painter {
    pub(crate) fn new() -> Self {
        Self { shown: None }
    }

    /// What follows is painted anew.
    pub(crate) fn forget(&mut self) {
        self.shown = None;
    }

    /// The bytes that bring `frame` onto a screen of this size. They are wiped when dropped.
    pub(crate) fn paint(&mut self, frame: Frame, size: Size) -> Zeroizing<Vec<u8>> {
        let room = (size.rows + 2) * (size.columns * 4 + 32);
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        match self.shown.as_ref().filter(|(_, before)| *before == size) {
            None => {
                // Lines of another size may have been broken or moved: all of it goes.
                if self.shown.is_some() {
                    out.extend_from_slice(CLEAR);
                }
                out.extend_from_slice(b"\x1b[H");
                for (row, line) in frame.lines.iter().enumerate() {
                    if row > 0 {
                        out.extend_from_slice(b"\r\n");
                    }
                    out.extend_from_slice(line.text.as_bytes());
                    out.extend_from_slice(b"\x1b[K");
                }
                out.extend_from_slice(b"\x1b[J");
            }
            Some((before, _)) => {
                let rows = frame.lines.len().max(before.lines.len());
                for row in 0..rows {
                    let old = before.lines.get(row).map_or("", Line::expose_text);
                    let new = frame.lines.get(row).map_or("", Line::expose_text);
                    if old == new {
                        continue;
                    }
                    // Only what has changed: a serial line takes a second for a whole screen.
                    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
                    let from = new.char_indices().nth(same).map_or(new.len(), |(at, _)| at);
                    out.extend_from_slice(format!("\x1b[{};{}H", row + 1, same + 1).as_bytes());
                    out.extend_from_slice(&new.as_bytes()[from..]);
                    out.extend_from_slice(b"\x1b[K");
                }
            }
        }
        let (row, column) = frame.cursor;
        out.extend_from_slice(format!("\x1b[{};{}H", row + 1, column + 1).as_bytes());
        self.shown = Some((frame, size));
        out
    }
}

impl Typewriter {
    pub(crate) fn new() -> Self {
        Self { said: Vec::new(), columns: 0 }
    }

    /// The bytes that say what is new and write the line over.
    pub(crate) fn write(&mut self, page: OneLine, fit: impl Fn(&str) -> String, width: usize) -> Zeroizing<Vec<u8>> {
        let said_room: usize = page.said.iter().map(|sentence| sentence.len() * 2 + 8).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(said_room + (width + 8) * 16));
        let new: Vec<&String> = page.said.iter().filter(|sentence| !self.said.contains(sentence)).collect();
        if !new.is_empty() {
            self.wipe_into(&mut out);
            for sentence in new {
                for line in wrapped(&[&fit(sentence)], width) {
                    out.extend_from_slice(line.expose_text().as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
        out.push(b'\r');
        out.extend_from_slice(page.line.text.as_bytes());
        let columns = page.line.width();
        out.extend(std::iter::repeat_n(b' ', self.columns.saturating_sub(columns)));
        out.push(b'\r');
        let cursor = page.line.text.char_indices().nth(page.cursor).map_or(page.line.text.len(), |(at, _)| at);
        out.extend_from_slice(&page.line.text.as_bytes()[..cursor]);
        self.columns = columns;
        self.said = page.said;
        out
    }

    /// The bytes that leave an empty line.
    pub(crate) fn wipe(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.wipe_into(&mut out);
        out
    }

    fn wipe_into(&mut self, out: &mut Vec<u8>) {
        out.push(b'\r');
        out.extend(std::iter::repeat_n(b' ', self.columns));
        out.push(b'\r');
        self.columns = 0;
    }
}

/// All of a screen, what has scrolled off it, and the cursor at home.
pub(crate) const CLEAR: &[u8] = b"\x1b[2J\x1b[3J\x1b[H";
