//! One line that is shown as it is typed: a ticket, a yes.

use std::io;

use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    exit::{Code, Outcome, Stop},
    interrupt,
    language::Charset,
};

/// The longest line that is taken.
const LINE: usize = 1024;

/// What the terminal shows of the line: its end, in a place that it never leaves. A cursor that has
/// gone on in the next line does not come back by Backspace.
struct View {
    shown: Zeroizing<String>,
    room: usize,
    charset: Charset,
}

/// Reads one line: it is shown as it is typed, in `room` columns. Backspace takes the last character
/// back, Ctrl-U all, Ctrl-C and Ctrl-D on an empty line give up; escape sequences are skipped.
pub(crate) fn edit(
    input: &mut impl io::Read,
    output: &mut impl io::Write,
    room: usize,
    charset: Charset,
) -> Outcome<Zeroizing<String>> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::Interrupted if interrupt::is_ending() => interrupt::stop(),
        _ => Stop::new(Code::Internal, "the terminal went away").because(error),
    };
    let given_up = || Stop::new(Code::Interrupted, "given up at the prompt; nothing was changed");
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    let mut byte = Zeroizing::new([0_u8; 1]);
    let mut view = View { shown: View::empty(), room: room.max(1), charset };
    loop {
        match input.read(&mut *byte) {
            Ok(0) => return Err(given_up()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted && !interrupt::is_ending() => continue,
            Err(error) => return Err(gone(error)),
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            0x03 => return Err(given_up()),
            0x04 if line.is_empty() => return Err(given_up()),
            0x15 => line.clear(),
            0x7f | 0x08 => erase(&mut line),
            0x1b => skip_escape(input).map_err(gone)?,
            b'\t' => push(&mut line, b' '),
            c if c >= 0x20 => push(&mut line, c),
            _ => {}
        }
        view.show(&line, output).map_err(gone)?;
        output.flush().map_err(gone)?;
    }
    match std::str::from_utf8(&line) {
        Ok(text) => {
            let mut copy = Zeroizing::new(String::with_capacity(text.len()));
            copy.push_str(text);
            line.zeroize();
            Ok(copy)
        }
        Err(_) => Err(Stop::new(Code::Usage, "what was typed is not UTF-8 text")
            .remedy("set the terminal to UTF-8, or type the words without special characters")),
    }
}

impl View {
    /// A buffer that does not move: what is typed may be a secret.
    fn empty() -> Zeroizing<String> {
        Zeroizing::new(String::with_capacity(LINE * 4))
    }

    /// Brings the terminal from what it shows to the line as it is now.
    fn show(&mut self, line: &[u8], output: &mut impl io::Write) -> io::Result<()> {
        let now = self.of(line);
        if let Some(more) = now.strip_prefix(self.shown.as_str()) {
            output.write_all(more.as_bytes())?;
        } else {
            let same = now.chars().zip(self.shown.chars()).take_while(|(now, shown)| now == shown).count();
            let (before, after) = (self.shown.chars().count(), now.chars().count());
            let rest = now.char_indices().nth(same).map_or("", |(at, _)| &now[at..]);
            let gone = before.saturating_sub(after);
            output.write_all(&b"\x08".repeat(before - same))?;
            output.write_all(rest.as_bytes())?;
            output.write_all(&b" ".repeat(gone))?;
            output.write_all(&b"\x08".repeat(gone))?;
        }
        self.shown = now;
        Ok(())
    }

    /// The end of the line that has room, each character in one column; `<` says that there is more.
    fn of(&self, line: &[u8]) -> Zeroizing<String> {
        let mut all = Self::empty();
        for chunk in line.utf8_chunks() {
            all.extend(chunk.valid().chars().map(|c| if c == ' ' { c } else { self.charset.letter(c) }));
        }
        let more = all.chars().count().saturating_sub(self.room);
        if more == 0 {
            return all;
        }
        let mut end = Self::empty();
        end.push('<');
        end.extend(all.chars().skip(more + 1));
        end
    }
}

/// A full buffer takes no more: it must not move, or a copy would be left behind.
fn push(line: &mut Vec<u8>, byte: u8) {
    if line.len() < LINE {
        line.push(byte);
    }
}

/// Takes back the last character, whole if it is a UTF-8 sequence.
fn erase(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
}

/// `ESC [ … letter` and `ESC O letter`: arrow keys and the marks around pasted text.
fn skip_escape(input: &mut impl io::Read) -> io::Result<()> {
    let mut byte = [0_u8; 1];
    if input.read(&mut byte)? == 0 || !matches!(byte[0], b'[' | b'O') {
        return Ok(());
    }
    for _ in 0..16 {
        if input.read(&mut byte)? == 0 || (0x40..=0x7e).contains(&byte[0]) {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Option<String> {
        edit(&mut &*keys, &mut Vec::new(), 79, Charset::Utf8).ok().map(|line| line.to_string())
    }

    /// What a screen of 20 columns shows behind a question, and where its cursor is.
    fn seen(keys: &str, charset: Charset) -> (String, (u16, u16)) {
        let mut shown = b"The ticket: ".to_vec();
        let _is_typed = edit(&mut keys.as_bytes(), &mut shown, 7, charset);
        let size = |n| std::num::NonZeroU16::new(n).unwrap_or(std::num::NonZeroU16::MIN);
        let mut model = vt100::Parser::new(size(3), size(20), 0);
        model.process(&shown);
        (model.screen().contents().trim_end().to_owned(), model.screen().cursor_position())
    }

    #[test]
    fn a_long_answer_stays_in_its_line_and_can_be_taken_back() {
        let cases = [
            ("abc", "The ticket: abc", 15),
            ("abcdefg", "The ticket: abcdefg", 19),
            ("abcdefghij", "The ticket: <efghij", 19),
            ("abcdefghij\x7f\x7f", "The ticket: <cdefgh", 19),
            ("abcdefghij\x7f\x7f\x7f\x7fx", "The ticket: abcdefx", 19),
            ("abcdefghij\x15", "The ticket:", 12),
            ("abcdefghij\x15xy", "The ticket: xy", 14),
            ("\x7f\x08\x7f", "The ticket:", 12),
            ("ä\u{9b}\u{202e}屋\x7f", "The ticket: ä??", 15),
        ];
        for (keys, shown, column) in cases {
            assert_eq!(seen(keys, Charset::Utf8), (shown.to_owned(), (0, column)), "{keys:?}");
        }
        assert_eq!(seen("ä", Charset::Ascii).0, "The ticket: ?");
    }

    #[test]
    fn keys_do_what_they_do_everywhere() {
        assert_eq!(typed(b"abacus abdomen\r").as_deref(), Some("abacus abdomen"));
        assert_eq!(typed(b"abacux\x7fs\n").as_deref(), Some("abacus"));
        assert_eq!(typed("\u{e4}\x7fx\r".as_bytes()).as_deref(), Some("x"));
        assert_eq!(typed(b"wrong\x15right\r").as_deref(), Some("right"));
        assert_eq!(typed(b"\x1b[200~abacus\x1b[201~ x\x1b[D\r").as_deref(), Some("abacus x"));
        assert_eq!(typed(b"a\tb\r").as_deref(), Some("a b"));
        assert_eq!(typed(b"abacus\x03"), None);
        assert_eq!(typed(b"\x04"), None);
        assert_eq!(typed(b"\xff\r"), None);
        assert_eq!(typed(&[b'x'; 5000]), None);
        assert_eq!(typed(&[&[b'x'; 5000][..], b"\r"].concat()).map(|line| line.len()), Some(LINE));
    }
}
