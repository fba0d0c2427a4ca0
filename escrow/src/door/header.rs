//! The header of an age file, version 1, as far as the door looks at it: lines of text, bounded, in
//! the one spelling that age writes.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::DoorError;

/// An age header of ours has some 200 bytes, with the longest grease some 400.
const MAX_HEADER: usize = 4096;
/// The nonce of the payload, and the tag of its last chunk.
const LEAST_PAYLOAD: usize = 16 + 16;

/// A recipient's stanza, not yet looked at.
pub(super) struct Stanza<'a> {
    pub(super) kind: &'a str,
    pub(super) args: Vec<&'a str>,
    pub(super) body: String,
}

/// The stanzas of an age v1 header that is followed by a payload.
pub(super) fn stanzas(bytes: &[u8]) -> Result<Vec<Stanza<'_>>, DoorError> {
    if bytes.starts_with(b"-----BEGIN AGE") {
        return Err(DoorError::Armoured);
    }
    let mut lines = Lines { bytes: &bytes[..bytes.len().min(MAX_HEADER)], at: 0 };
    if lines.next()? != "age-encryption.org/v1" {
        return Err(DoorError::Header("its first line is another one"));
    }
    let mut stanzas = Vec::new();
    loop {
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix("--- ") {
            if !decodes_to(mac, 32) {
                return Err(DoorError::Header("its MAC is not 32 bytes"));
            }
            break;
        }
        let mut words = line.strip_prefix("-> ").ok_or(DoorError::Header("a stanza was expected"))?.split(' ');
        let (Some(kind), args) = (words.next(), words.collect::<Vec<_>>()) else {
            return Err(DoorError::Header("a stanza has no type"));
        };
        if kind.is_empty() || args.iter().any(|arg| arg.is_empty()) {
            return Err(DoorError::Header("a stanza has an empty word"));
        }
        stanzas.push(Stanza { kind, args, body: body(&mut lines)? });
    }
    if bytes.len() - lines.at < LEAST_PAYLOAD {
        return Err(DoorError::Truncated);
    }
    Ok(stanzas)
}

/// Base64 wrapped at 64 columns; its last line is shorter, and may be empty.
fn body(lines: &mut Lines<'_>) -> Result<String, DoorError> {
    let mut body = String::new();
    loop {
        let line = lines.next()?;
        body.push_str(line);
        match line.len() {
            64 => {}
            ..64 => break,
            _ => return Err(DoorError::Header("a line is too long")),
        }
    }
    match STANDARD_NO_PAD.decode(&body) {
        Ok(_) => Ok(body),
        Err(_) => Err(DoorError::Header("the body of a stanza is not base64")),
    }
}

/// LF-ended lines of printable ASCII and blanks, as far as a header may reach.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, DoorError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or(DoorError::Header("it does not end in time"))?;
        let line = &rest[..end];
        self.at += end + 1;
        match str::from_utf8(line) {
            Ok(line) if line.bytes().all(|b| (b' '..=b'~').contains(&b)) => Ok(line),
            _ => Err(DoorError::Header("it is not plain text")),
        }
    }
}

pub(super) fn decodes_to(text: &str, length: usize) -> bool {
    STANDARD_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == length)
}
