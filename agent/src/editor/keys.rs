//! Keys out of bytes, whatever the reads cut apart: UTF-8, the sequences of arrow keys, and the marks
//! around pasted text.

/// One key. A character may be a letter of a secret, so there is no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Backspace,
    Char(char),
    Delete,
    /// Ctrl-U, Ctrl-W.
    Empty,
    /// Ctrl-D.
    EndOfInput,
    Enter,
    First,
    /// Ctrl-C.
    GiveUp,
    Last,
    Next,
    Previous,
    /// Ctrl-L.
    Redraw,
    /// Ctrl-T.
    Search,
    Tab,
}

/// What the bytes so far have begun.
#[derive(Default)]
pub(crate) struct Keys {
    state: State,
    /// Within `ESC [200~` and `ESC [201~`: what is pasted cannot press a key.
    pasting: bool,
    /// The bytes of a character of more than one.
    character: zeroize::Zeroizing<[u8; 4]>,
    length: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// After `ESC [`: the number so far, and how many bytes.
    Control(u16, u8),
    /// After `ESC O`.
    Shift,
    /// After `ESC [ [`, as the Linux console names its function keys.
    Function,
}

impl Keys {
    /// Takes one byte; tells the keys that it ends: mostly one or none, two where a character was
    /// broken off.
    pub(crate) fn take(&mut self, byte: u8) -> [Option<Key>; 2] {
        match (self.state, byte) {
            (State::Ground, _) => self.ground(byte),
            (State::Escape, b'[') => self.enter(State::Control(0, 0)),
            (State::Escape, b'O') => self.enter(State::Shift),
            (State::Escape, 0x1b) => [None, None],
            // Escape alone is no key of ours: what follows counts.
            (State::Escape, _) => {
                self.state = State::Ground;
                self.ground(byte)
            }
            (State::Control(_, 0), b'[') => self.enter(State::Function),
            (State::Control(number, length), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                self.enter(State::Control(number, length.saturating_add(1)))
            }
            // Of `1;5C` (Ctrl and an arrow) only the arrow counts.
            (State::Control(_, length), 0x20..=0x3f) => self.enter(State::Control(0, length.saturating_add(1))),
            (State::Control(number, _), 0x40..=0x7e) => {
                self.state = State::Ground;
                [self.sequence(number, byte), None]
            }
            (State::Shift, _) => {
                self.state = State::Ground;
                [arrow(byte), None]
            }
            (State::Function, _) => self.enter(State::Ground),
            // No sequence goes on like this.
            (State::Control(..), _) => {
                self.state = State::Ground;
                self.ground(byte)
            }
        }
    }

    fn enter(&mut self, state: State) -> [Option<Key>; 2] {
        self.state = match state {
            State::Control(_, length) if length > 16 => State::Ground,
            other => other,
        };
        [None, None]
    }

    fn ground(&mut self, byte: u8) -> [Option<Key>; 2] {
        if self.length > 0 {
            if byte & 0xc0 == 0x80 {
                return [self.go_on(byte), None];
            }
            // Broken off: no text in UTF-8 goes on so.
            let broken = self.as_latin();
            return [broken, self.begin(byte)];
        }
        [self.begin(byte), None]
    }

    fn begin(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x1b => {
                self.state = State::Escape;
                None
            }
            0x20..=0x7e => Some(Key::Char(char::from(byte))),
            0xc2..=0xf4 => {
                self.character[0] = byte;
                self.length = 1;
                None
            }
            // A terminal that is not UTF-8 sends Latin letters as one byte.
            0x80..=0xff => Some(Key::Char(char::from(byte))),
            _ if self.pasting => matches!(byte, b'\r' | b'\n' | b'\t').then_some(Key::Char('\n')),
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x7f | 0x08 => Some(Key::Backspace),
            0x01 => Some(Key::First),
            0x02 | 0x10 => Some(Key::Previous),
            0x03 => Some(Key::GiveUp),
            0x04 => Some(Key::EndOfInput),
            0x05 => Some(Key::Last),
            0x06 | 0x0e => Some(Key::Next),
            0x0c => Some(Key::Redraw),
            0x14 => Some(Key::Search),
            0x15 | 0x17 => Some(Key::Empty),
            _ => None,
        }
    }

    fn go_on(&mut self, byte: u8) -> Option<Key> {
        self.character[self.length] = byte;
        self.length += 1;
        let wanted = match self.character[0] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        if self.length < wanted {
            return None;
        }
        let read = std::str::from_utf8(&self.character[..self.length]).ok().and_then(|text| text.chars().next());
        self.length = 0;
        Some(Key::Char(read.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }

    fn as_latin(&mut self) -> Option<Key> {
        let first = if self.length == 1 { char::from(self.character[0]) } else { char::REPLACEMENT_CHARACTER };
        self.length = 0;
        Some(Key::Char(first))
    }

    fn sequence(&mut self, number: u16, last: u8) -> Option<Key> {
        match (last, number) {
            (b'~', 200 | 201) => {
                self.pasting = number == 200;
                // Words before and behind a pasted text do not run into it.
                Some(Key::Char(' '))
            }
            _ if self.pasting => None,
            (b'~', 1 | 7) => Some(Key::First),
            (b'~', 4 | 8) => Some(Key::Last),
            (b'~', 3) => Some(Key::Delete),
            (b'Z', _) => Some(Key::Previous),
            _ => arrow(last),
        }
    }
}

fn arrow(last: u8) -> Option<Key> {
    match last {
        b'A' | b'D' => Some(Key::Previous),
        b'B' | b'C' => Some(Key::Next),
        b'H' => Some(Key::First),
        b'F' => Some(Key::Last),
        b'M' => Some(Key::Enter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> String {
        let mut keys = Keys::default();
        bytes.iter().flat_map(|byte| keys.take(*byte)).flatten().map(name).collect()
    }

    fn name(key: Key) -> String {
        match key {
            Key::Char(c) => c.to_string(),
            Key::Backspace => "<back>".into(),
            Key::Delete => "<delete>".into(),
            Key::Empty => "<empty>".into(),
            Key::EndOfInput => "<end>".into(),
            Key::Enter => "<enter>".into(),
            Key::First => "<first>".into(),
            Key::GiveUp => "<give up>".into(),
            Key::Last => "<last>".into(),
            Key::Next => "<next>".into(),
            Key::Previous => "<previous>".into(),
            Key::Redraw => "<redraw>".into(),
            Key::Search => "<search>".into(),
            Key::Tab => "<tab>".into(),
        }
    }

    #[test]
    fn bytes_become_keys() {
        for (bytes, keys) in [
            (b"ab c\r".as_slice(), "ab c<enter>"),
            (b"\x01\x02\x03\x04\x05\x06\x08\x0c\x0e\x10\x14\x15\x17\x7f\t\n", {
                "<first><previous><give up><end><last><next><back><redraw><next><previous><search><empty><empty><back><tab><enter>"
            }),
            (b"\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F", "<previous><next><next><previous><first><last>"),
            (
                b"\x1bOA\x1bOB\x1bOH\x1b[1~\x1b[4~\x1b[3~\x1b[Z",
                "<previous><next><first><first><last><delete><previous>",
            ),
            (b"\x1b[1;5Cx\x1b[[Ax\x1b[15~x\x1b[>0;276;0cx", "<next>xxxx"),
            (b"\x1bx\x1b\x1b[Ay\x1b[\x03", "x<previous>y<give up>"),
            // Pasted text presses no key, whatever it holds.
            (b"\x1b[200~a\rb\n\tc\x03\x1b[Ad\x1b[201~\r", " a\nb\n\nc d <enter>".trim_start_matches('x')),
            ("\u{a0}\u{2011}größe\u{1f600}".as_bytes(), "\u{a0}\u{2011}größe\u{1f600}"),
            // Latin-1, and bytes that are no text in any way.
            (b"t\xdfx\xa0y", "tßx\u{a0}y"),
            (b"\xe2\x28", "â("),
            (b"\xe2\x80\x28\xff\xc0", "\u{fffd}(\u{ff}\u{c0}"),
            (b"\x00\x07\x1a\x13\x11", ""),
        ] {
            let keys = if bytes.starts_with(b"\x1b[200~") { " a\nb\n\ncd <enter>" } else { keys };
            assert_eq!(typed(bytes), keys, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn no_sequence_is_waited_for_without_end() {
        let endless = [b"\x1b[".as_slice(), &[b'1'; 100], b"x"].concat();
        assert!(typed(&endless).ends_with('x'));
        let mut keys = Keys::default();
        for byte in (0..=u8::MAX).cycle().take(100_000) {
            keys.take(byte.wrapping_mul(101));
        }
    }
}
