//! What console and agent say to each other, as frames on one stream; both sides use this file.
//!
//! A frame is seventeen bytes, then what they count. Numbers are big-endian:
//!
//! ```text
//! kind (1)  text (4)  secret (4)  blob (4)  blob (4) │ text  secret  blob  blob
//! ```
//!
//! The text is JSON without a secret (64 KiB at most), the secret is ten words or what was typed or pasted
//! (8 KiB), a blob is a sealed root (1 MiB); what is not there has the length 0. Lengths are looked at before
//! anything is allocated. Neither side believes the other: each reads a frame as what is due, or not at
//! all. A secret is read into a buffer that is wiped and does not grow, and written from where it lies.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tenwords_protocol::{
    json::{self, JsonError},
    order::MAX_SIGNATURE_BYTES,
    v1::V1,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{language::Language, seat::Overview};

const HEAD: usize = 17;
const MAX_TEXT: usize = 64 << 10;
const MAX_SECRET: usize = MAX_SIGNATURE_BYTES;
const MAX_BLOB: usize = 1 << 20;
/// Things that are named in one line of progress.
const RUNNING: usize = 4;
const NAME: usize = 400;
/// How many blobs a frame has.
pub(crate) const BLOBS: usize = 2;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Console to service, once: [`Request`].
    Request = 1,
    /// Console to agent: [`Answer`].
    Answer,
    /// Agent to console: [`Text`]; lines.
    Say,
    /// [`Text`]; a line is asked for.
    Ask,
    /// [`Text`]; the ten words are asked for.
    Words,
    /// [`Text`], the words that were refused, the roots that they were tried on.
    WordsAgain,
    /// [`HandOver`], and the words.
    HandOver,
    /// [`Progress`].
    Progress,
    /// [`Text`], empty.
    ProgressEnds,
    /// [`Ended`]; nothing comes after it.
    Ended,
    /// [`Text`]; a line is asked for, of which nothing is shown.
    AskHidden,
    /// [`Text`]; an SSH signature is asked for.
    AskSignature,
}

const KINDS: [Kind; 12] = [
    Kind::Request,
    Kind::Answer,
    Kind::Say,
    Kind::Ask,
    Kind::Words,
    Kind::WordsAgain,
    Kind::HandOver,
    Kind::Progress,
    Kind::ProgressEnds,
    Kind::Ended,
    Kind::AskHidden,
    Kind::AskSignature,
];

/// What the console wants of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Op {
    Status,
    Ceremony,
    DrillWords,
    Recover,
    LostWords,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) v: V1,
    pub(crate) op: Op,
    pub(crate) language: Language,
}

/// What an answer answers; line and words are the frame's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answered {
    Line,
    Words,
    /// The words were shown, and typed back as they are.
    HandedOver,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) answered: Answered,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOver {
    pub(crate) box_name: String,
    pub(crate) number: u64,
}

/// How far everything is, and some of what runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    pub(crate) back: usize,
    pub(crate) missing: usize,
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    pub(crate) of: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seconds_left: Option<u64>,
    pub(crate) running: Vec<Running>,
    /// How many run beside these.
    pub(crate) more: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Running {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) of: u64,
}

impl Progress {
    pub(crate) fn of(overview: &Overview) -> Self {
        let running = overview.running.iter().take(RUNNING).map(|moment| Running {
            name: cut(&moment.name),
            step: moment.step.as_deref().map(cut),
            bytes: moment.bytes,
            of: moment.of,
        });
        Self {
            back: overview.back,
            missing: overview.missing,
            count: overview.count,
            bytes: overview.bytes,
            of: overview.of,
            seconds_left: overview.left.map(|left| left.as_secs()),
            running: running.collect(),
            more: overview.running.len().saturating_sub(RUNNING),
        }
    }
}

/// As many bytes of a name as a line has room for.
fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(NAME)].to_owned()
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    /// For the customer, in his language.
    pub(crate) plain: Vec<String>,
    /// For whoever helps him: the result's lines, or what happened, why, and what to do.
    pub(crate) lines: Vec<String>,
}

/// A frame that was read.
pub(crate) struct Message {
    kind: Kind,
    text: Vec<u8>,
    secret: Zeroizing<Vec<u8>>,
    blobs: Vec<Vec<u8>>,
}

/// Why a frame was not read or written. Nothing of its content is said.
#[derive(Debug, Error)]
pub(crate) enum MessageError {
    #[error("the other side has closed the connection")]
    Closed,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("a frame of an unknown kind ({0})")]
    Unknown(u8),
    #[error("a frame with more in it than it may have")]
    TooLong,
    #[error("a frame of another kind than was due")]
    Unexpected,
    #[error("a frame with another text than was due")]
    Text(#[source] JsonError),
}

/// Writes one frame.
pub(crate) fn write(
    to: &mut impl Write,
    kind: Kind,
    text: &impl Serialize,
    secret: &[u8],
    blobs: &[&[u8]],
) -> Result<(), MessageError> {
    let text = json::to_vec(text).map_err(MessageError::Text)?;
    let fits = text.len() <= MAX_TEXT && secret.len() <= MAX_SECRET && blobs.len() <= BLOBS;
    if !fits || blobs.iter().any(|blob| blob.is_empty() || blob.len() > MAX_BLOB) {
        return Err(MessageError::TooLong);
    }
    let mut head = [0; HEAD];
    head[0] = kind as u8;
    let lengths = [text.len(), secret.len()].into_iter().chain(blobs.iter().map(|blob| blob.len()));
    for (place, length) in head[1..].chunks_exact_mut(4).zip(lengths) {
        place.copy_from_slice(&u32::try_from(length).map_err(|_| MessageError::TooLong)?.to_be_bytes());
    }
    let mut all = |bytes: &[u8]| to.write_all(bytes).map_err(MessageError::Broken);
    all(&head)?;
    all(&text)?;
    all(secret)?;
    blobs.iter().try_for_each(|blob| all(blob))
}

/// Reads one frame, and nothing behind it. The end before its first byte is [`MessageError::Closed`].
pub(crate) fn read(from: &mut impl Read) -> Result<Message, MessageError> {
    let mut head = [0; HEAD];
    match from.read(&mut head[..1]) {
        Ok(0) => return Err(MessageError::Closed),
        Ok(_) => {}
        // The other side ended with something of ours unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(MessageError::Closed),
        Err(error) => return Err(MessageError::Broken(error)),
    }
    let kind = KINDS.into_iter().find(|kind| *kind as u8 == head[0]).ok_or(MessageError::Unknown(head[0]))?;
    fill(from, &mut head[1..])?;
    let mut lengths = [0_usize; 2 + BLOBS];
    for (length, place) in lengths.iter_mut().zip(head[1..].chunks_exact(4)) {
        let bytes: [u8; 4] = place.try_into().map_err(|_| MessageError::TooLong)?;
        *length = usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| MessageError::TooLong)?;
    }
    let [text, secret, blobs @ ..] = lengths;
    let is_gapped = blobs.windows(2).any(|two| two[0] == 0 && two[1] > 0);
    if text > MAX_TEXT || secret > MAX_SECRET || is_gapped || blobs.iter().any(|length| *length > MAX_BLOB) {
        return Err(MessageError::TooLong);
    }
    let mut message = Message { kind, text: vec![0; text], secret: Zeroizing::new(vec![0; secret]), blobs: Vec::new() };
    fill(from, &mut message.text)?;
    fill(from, &mut message.secret)?;
    for length in blobs.into_iter().filter(|length| *length > 0) {
        let mut blob = vec![0; length];
        fill(from, &mut blob)?;
        message.blobs.push(blob);
    }
    Ok(message)
}

/// Not `read_exact`: that would go on after the interruption which says that a command is to end.
fn fill(from: &mut impl Read, mut buffer: &mut [u8]) -> Result<(), MessageError> {
    while !buffer.is_empty() {
        match from.read(buffer).map_err(MessageError::Broken)? {
            0 => return Err(MessageError::Broken(io::ErrorKind::UnexpectedEof.into())),
            length => buffer = &mut buffer[length..],
        }
    }
    Ok(())
}

impl Message {
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its text, where a frame of this kind was due.
    pub(crate) fn text<T: DeserializeOwned>(&self, due: Kind) -> Result<T, MessageError> {
        if self.kind != due {
            return Err(MessageError::Unexpected);
        }
        json::from_slice(&self.text).map_err(MessageError::Text)
    }

    /// The ten words, or what was typed or pasted.
    pub(crate) fn expose_secret(&self) -> &[u8] {
        &self.secret
    }

    pub(crate) fn blobs(&self) -> &[Vec<u8>] {
        &self.blobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// As from a stream that ends after these bytes.
    fn whole(mut bytes: &[u8]) -> Result<Message, MessageError> {
        let message = read(&mut bytes)?;
        if bytes.is_empty() { Ok(message) } else { Err(MessageError::TooLong) }
    }

    fn frame() -> Result<Vec<u8>, MessageError> {
        let mut bytes = Vec::new();
        let text = Text { text: "once more".into() };
        write(&mut bytes, Kind::WordsAgain, &text, b"not ten words", &[b"root one", b"root two"])?;
        Ok(bytes)
    }

    #[test]
    fn what_is_written_is_read() -> Tested {
        let message = whole(&frame()?)?;
        assert_eq!(message.text::<Text>(Kind::WordsAgain)?.text, "once more");
        assert_eq!(message.expose_secret(), b"not ten words");
        assert_eq!(message.blobs(), [b"root one", b"root two"]);
        assert!(message.text::<Text>(Kind::Say).is_err(), "another kind than was due");
        assert!(message.text::<HandOver>(Kind::WordsAgain).is_err(), "another text than was due");
        Ok(())
    }

    #[test]
    fn every_truncation_and_every_flipped_length_is_an_error() -> Tested {
        let frame = frame()?;
        for length in 0..frame.len() {
            assert!(whole(&frame[..length]).is_err(), "{length} bytes");
        }
        for place in 1..HEAD {
            for bit in 0..8 {
                let mut flipped = frame.clone();
                flipped[place] ^= 1 << bit;
                let read = whole(&flipped);
                let text = read.and_then(|message| message.text::<Text>(Kind::WordsAgain));
                assert!(text.is_err(), "bit {bit} of byte {place}");
            }
        }
        for kind in (0..=u8::MAX).filter(|kind| *kind != Kind::WordsAgain as u8) {
            let mut flipped = frame.clone();
            flipped[0] = kind;
            assert!(whole(&flipped).and_then(|m| m.text::<Text>(Kind::WordsAgain)).is_err(), "kind {kind}");
        }
        Ok(())
    }

    /// Gives out so many bytes, and panics when more are asked for than the head.
    struct OnlyHead(Vec<u8>);

    impl Read for OnlyHead {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.0.is_empty(), "something was read after the head");
            let length = buffer.len().min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    #[test]
    fn lengths_are_looked_at_before_anything_is_allocated_or_read() {
        for (field, most) in [(0, MAX_TEXT), (1, MAX_SECRET), (2, MAX_BLOB), (3, MAX_BLOB)] {
            for length in [most + 1, u32::MAX as usize] {
                let mut head = vec![0; HEAD];
                head[0] = Kind::Say as u8;
                let place = 1 + 4 * field;
                head[place..place + 4].copy_from_slice(&(length as u32).to_be_bytes());
                assert!(matches!(read(&mut OnlyHead(head)), Err(MessageError::TooLong)), "{field}: {length}");
            }
        }
    }

    #[test]
    fn random_bytes_are_refused_and_never_a_panic() {
        // A fixed xorshift: the same bytes each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..8).flat_map(|_| next()).collect();
            // Also some that pass for a head.
            bytes[0] %= 12;
            for place in [1, 5, 9, 13] {
                bytes[place..place + 3].fill(0);
                bytes[place + 3] %= 16;
            }
            if let Ok(message) = read(&mut &*bytes) {
                assert!(message.text::<Text>(message.kind()).is_err());
            }
        }
    }

    #[test]
    fn a_request_is_read_strictly() {
        let read = |text: &str| json::from_slice::<Request>(text.as_bytes()).ok().map(|request| request.op);
        assert_eq!(read(r#"{"v":1,"op":"drill-words","language":"de"}"#), Some(Op::DrillWords));
        for text in [
            r#"{"v":2,"op":"status","language":"de"}"#,
            r#"{"v":1,"op":"enroll","language":"de"}"#,
            r#"{"v":1,"op":"status","language":"fr"}"#,
            r#"{"v":1,"op":"status"}"#,
            r#"{"v":1,"op":"status","language":"de","config":"/x"}"#,
            r#"{"v":1,"op":"status","op":"status","language":"de"}"#,
            r#"["v",1]"#,
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
