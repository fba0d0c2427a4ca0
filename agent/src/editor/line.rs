//! One line that is shown as it is typed: a ticket, a yes.

use std::io;

use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    exit::{Code, Outcome, Stop},
    interrupt,
};

/// The longest line that is taken.
const LINE: usize = 1024;

/// Reads one line: printable characters are echoed, Backspace takes the last back, Ctrl-U all,
/// Ctrl-C and Ctrl-D on an empty line give up; escape sequences are skipped.
pub(crate) fn edit(input: &mut impl io::Read, output: &mut impl io::Write) -> Outcome<Zeroizing<String>> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::Interrupted if interrupt::is_ending() => interrupt::stop(),
        _ => Stop::new(Code::Internal, "the terminal went away").because(error),
    };
    let given_up = || Stop::new(Code::Interrupted, "given up at the prompt; nothing was changed");
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    let mut byte = Zeroizing::new([0_u8; 1]);
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
            0x15 => {
                while erase(&mut line) {
                    output.write_all(b"\x08 \x08").map_err(gone)?;
                }
            }
            0x7f | 0x08 if erase(&mut line) => {
                output.write_all(b"\x08 \x08").map_err(gone)?;
            }
            0x1b => skip_escape(input).map_err(gone)?,
            b'\t' => push(&mut line, b' ', output).map_err(gone)?,
            c if c >= 0x20 => push(&mut line, c, output).map_err(gone)?,
            _ => {}
        }
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

fn push(line: &mut Vec<u8>, byte: u8, output: &mut impl io::Write) -> io::Result<()> {
    // A full buffer takes no more: it must not move, or a copy would be left behind.
    if line.len() < LINE {
        line.push(byte)
    } else {
        return Ok(());
    }
    output.write_all(&[byte])
}

/// Takes back the last character, whole if it is a UTF-8 sequence.
fn erase(line: &mut Vec<u8>) -> bool {
    while let Some(last) = line.pop() {
        if last & 0xc0 != 0x80 {
            return true;
        }
    }
    false
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
        edit(&mut &*keys, &mut Vec::new()).ok().map(|line| line.to_string())
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
