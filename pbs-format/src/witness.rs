//! Whether a stream is the archive that a manifest's entry names, told from the bytes alone.
//!
//! Somebody who restores through the real client gets an archive's content and never its index, and
//! which list of files the client believed nobody sees. But an index is nothing but the places where
//! the content is cut and the digests of what lies between, keyed with our key (`formats.md` §3.1,
//! §4): whoever cuts the same bytes by the same rule gets the same index, and its checksum is what
//! the entry states and the manifest's signature covers. So a stream that passes here *is* the
//! archive of that entry, whatever the server told the client meanwhile.
//!
//! | kind | what is compared |
//! | --- | --- |
//! | image (`fidx`) | length, and the checksum over the digests of its 4 MiB chunks (a server takes no others) |
//! | file archive (`didx`) | length, and the checksum over ends and digests, cut as the client cuts |
//! | blob | nothing here: its entry's checksum is over the encoded file, whose random IV is not in the content |
//!
//! The client can be asked for other chunk sizes (`--chunk-size`, 64 KiB to 4 MiB). An archive of at
//! most [`AT_ONCE`] bytes is cut in all of them at once, since that costs little. A larger one is cut
//! as usual, and if that is not it, [`Doubt`] keeps what identifies the stream: a second reading then
//! tries all sizes, and counts only if it was the very same stream. Other writers may cut anywhere;
//! what they wrote cannot be told this way and is refused, and `split` archives (`formats.md` §8.8)
//! reuse chunks, so no cut of theirs follows from their content.
//!
//! Memory is flat: nothing of the stream is kept.

use sha2::{Digest as _, Sha256 as Hasher};
use tenwords_protocol::hash::Sha256;
use thiserror::Error;

use crate::{
    cut::{AVERAGES, Cutter, USUAL},
    key::EncryptionKey,
    manifest::{CryptMode, FileEntry},
    name::FileKind,
};

/// Bytes up to which an archive is cut in all sizes in its first reading.
pub const AT_ONCE: u64 = 16 << 20;

/// Why a stream is not the entry's archive.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WitnessError {
    /// The stream is longer than the entry says.
    #[error("it goes on after the {signed} bytes that were signed")]
    TooLong {
        /// Bytes by the entry.
        signed: u64,
    },
    /// The stream is shorter than the entry says.
    #[error("it ended after {found} of the {signed} bytes that were signed")]
    TooShort {
        /// Bytes by the entry.
        signed: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The right length, and other content.
    #[error("its content is not the one that was signed")]
    Content,
    /// The second reading was another stream than the first.
    #[error("it was another stream when it was read again")]
    Changed,
    /// The entry is encrypted, and no key was given.
    #[error("{filename} is encrypted, and nothing can be told of its content without the key")]
    NoKey {
        /// Its name.
        filename: String,
    },
    /// Not an archive: nothing can be told of a blob or of a half of a split archive.
    #[error("nothing can be told of {filename} from its content")]
    Kind {
        /// Its name.
        filename: String,
    },
}

/// Takes a stream in, piece by piece.
#[derive(Debug)]
pub struct Witness<'k> {
    entry: FileEntry,
    key: Option<&'k EncryptionKey>,
    lanes: Vec<Lane>,
    first: Option<Doubt>,
    size: u64,
}

/// What is known of a stream that is not the entry's archive if it was cut as usual. By itself a
/// refusal; a second reading of the same stream may lift it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a stream in doubt is refused unless a second reading lifts that"]
pub struct Doubt {
    usual: Sha256,
}

/// What came of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "only `Same` is good"]
pub enum Verdict {
    /// It is the archive of the entry.
    Same,
    /// It has the right length and is not cut as usual: read the same stream again with
    /// [`Witness::again`], or refuse it.
    Doubt(Doubt),
}

impl<'k> Witness<'k> {
    /// For the archive of `entry`, which should be one of a verified manifest. The key is the one
    /// of that manifest; it is used if the entry is encrypted, and need not be there if it is not.
    ///
    /// # Errors
    /// [`WitnessError::Kind`], [`WitnessError::NoKey`].
    pub fn new(entry: &FileEntry, key: impl Into<Option<&'k EncryptionKey>>) -> Result<Self, WitnessError> {
        let averages = if entry.size <= AT_ONCE { &AVERAGES[..] } else { &AVERAGES[..1] };
        Self::with(entry, key.into(), averages, None)
    }

    /// For a second reading of a stream whose first one ended in doubt.
    ///
    /// # Errors
    /// [`WitnessError::Kind`], [`WitnessError::NoKey`].
    pub fn again(
        entry: &FileEntry,
        key: impl Into<Option<&'k EncryptionKey>>,
        doubt: Doubt,
    ) -> Result<Self, WitnessError> {
        Self::with(entry, key.into(), &AVERAGES, Some(doubt))
    }

    fn with(
        entry: &FileEntry,
        key: Option<&'k EncryptionKey>,
        averages: &[usize],
        first: Option<Doubt>,
    ) -> Result<Self, WitnessError> {
        let lanes = match entry.filename.kind() {
            FileKind::Fixed => vec![Lane::new(Cutter::fixed(USUAL), false)],
            FileKind::Dynamic if !is_split(entry) => {
                averages.iter().map(|average| Lane::new(Cutter::content(*average), true)).collect()
            }
            FileKind::Dynamic | FileKind::Blob => {
                return Err(WitnessError::Kind { filename: entry.filename.to_string() });
            }
        };
        let key = match (entry.crypt_mode, key) {
            (CryptMode::Encrypt, None) => return Err(WitnessError::NoKey { filename: entry.filename.to_string() }),
            (CryptMode::Encrypt, key) => key,
            (CryptMode::None | CryptMode::SignOnly, _) => None,
        };
        Ok(Self { entry: entry.clone(), key, lanes, first, size: 0 })
    }

    /// Bytes that came so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    /// [`WitnessError::TooLong`], as soon as it is: an endless stream costs nothing further.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), WitnessError> {
        let signed = self.entry.size;
        self.size = self.size.saturating_add(piece.len() as u64);
        if self.size > signed {
            return Err(WitnessError::TooLong { signed });
        }
        for lane in &mut self.lanes {
            lane.take(piece, self.key);
        }
        Ok(())
    }

    /// The verdict on the whole stream.
    ///
    /// # Errors
    /// [`WitnessError`]; after [`Self::again`] there is no doubt left.
    pub fn finish(self) -> Result<Verdict, WitnessError> {
        let Self { entry, key, lanes, first, size } = self;
        if size < entry.size {
            return Err(WitnessError::TooShort { signed: entry.size, found: size });
        }
        let all_tried = entry.filename.kind() == FileKind::Fixed || lanes.len() == AVERAGES.len();
        let csums: Vec<Sha256> = lanes.into_iter().map(|lane| lane.finish(key)).collect();
        let usual = csums.first().copied().ok_or(WitnessError::Content)?;
        // Equal checksums of one kind of cut mean equal bytes, in the first reading as in this one.
        if first.is_some_and(|first| first.usual != usual) {
            return Err(WitnessError::Changed);
        }
        if csums.contains(&entry.csum) {
            Ok(Verdict::Same)
        } else if all_tried {
            Err(WitnessError::Content)
        } else {
            Ok(Verdict::Doubt(Doubt { usual }))
        }
    }
}

/// Whether the entry is a half of a split archive (`formats.md` §8.8), by its name.
#[must_use]
pub fn is_split(entry: &FileEntry) -> bool {
    [".mpxar", ".ppxar"].iter().any(|ending| entry.filename.archive().ends_with(ending))
}

/// One way to cut.
#[derive(Debug)]
struct Lane {
    cutter: Cutter,
    /// An index of this kind states where each chunk ends.
    ends: bool,
    chunk: Hasher,
    /// Where the chunk at hand began, and where the stream is.
    start: u64,
    end: u64,
    index: Hasher,
}

impl Lane {
    fn new(cutter: Cutter, ends: bool) -> Self {
        Self { cutter, ends, chunk: Hasher::new(), start: 0, end: 0, index: Hasher::new() }
    }

    fn take(&mut self, mut piece: &[u8], key: Option<&EncryptionKey>) {
        while let Some(length) = self.cutter.next(piece) {
            let (before, after) = piece.split_at(length);
            self.chunk.update(before);
            self.end += length as u64;
            self.close(key);
            piece = after;
        }
        self.chunk.update(piece);
        self.end += piece.len() as u64;
    }

    fn close(&mut self, key: Option<&EncryptionKey>) {
        let mut chunk = std::mem::take(&mut self.chunk);
        if let Some(key) = key {
            chunk.update(key.expose_id_key());
        }
        if self.ends {
            self.index.update(self.end.to_le_bytes());
        }
        self.index.update(chunk.finalize());
        self.start = self.end;
    }

    fn finish(mut self, key: Option<&EncryptionKey>) -> Sha256 {
        if self.end > self.start {
            self.close(key);
        }
        Sha256::from_bytes(self.index.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 11_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(step).collect()
    }

    fn key(byte: u8) -> EncryptionKey {
        EncryptionKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    /// The entry of `data` as a writer that cuts like this would have signed it.
    fn entry(data: &[u8], key: &EncryptionKey, cutter: Cutter, filename: &str) -> FileEntry {
        let filename: crate::name::FileName = filename.parse().expect("a name");
        let mut lane = Lane::new(cutter, filename.kind() == FileKind::Dynamic);
        lane.take(data, Some(key));
        FileEntry { filename, crypt_mode: CryptMode::Encrypt, size: data.len() as u64, csum: lane.finish(Some(key)) }
    }

    fn read(mut witness: Witness<'_>, data: &[u8]) -> Result<Verdict, WitnessError> {
        for piece in data.chunks(70_001) {
            witness.take(piece)?;
        }
        witness.finish()
    }

    #[test]
    fn an_archive_is_told_in_every_size_that_the_client_knows() {
        let (data, key) = (noise(3 << 20), key(7));
        for average in AVERAGES {
            let entry = entry(&data, &key, Cutter::content(average), "root.pxar.didx");
            assert_eq!(read(Witness::new(&entry, &key).expect("a kind"), &data), Ok(Verdict::Same), "{average}");
        }
        // Cut every 100 kB by somebody else.
        let foreign = entry(&data, &key, Cutter::fixed(100_000), "root.pxar.didx");
        assert_eq!(read(Witness::new(&foreign, &key).expect("a kind"), &data), Err(WitnessError::Content));
    }

    #[test]
    fn whatever_differs_is_refused() {
        let (data, key, other) = (noise(300_000), key(7), key(8));
        for (filename, cutter) in
            [("root.pxar.didx", Cutter::content(64 << 10)), ("disk.img.fidx", Cutter::fixed(USUAL))]
        {
            let entry = entry(&data, &key, cutter, filename);
            let verdict = |data: &[u8], key| read(Witness::new(&entry, key).expect("a kind"), data);
            assert_eq!(verdict(&data, &key), Ok(Verdict::Same));
            assert_eq!(verdict(&data, &other), Err(WitnessError::Content));
            for at in [0, 1, 63, 64, 16_383, 150_000, 299_999] {
                let mut flipped = data.clone();
                flipped[at] ^= 1;
                assert_eq!(verdict(&flipped, &key), Err(WitnessError::Content), "{filename} {at}");
            }
            let mut turned = data.clone();
            turned.rotate_left(1);
            assert_eq!(verdict(&turned, &key), Err(WitnessError::Content));
            let short = WitnessError::TooShort { signed: 300_000, found: 299_999 };
            assert_eq!(verdict(&data[1..], &key), Err(short));
            assert_eq!(verdict(&[], &key), Err(WitnessError::TooShort { signed: 300_000, found: 0 }));
            let longer = [&data[..], b"x"].concat();
            assert_eq!(verdict(&longer, &key), Err(WitnessError::TooLong { signed: 300_000 }));
            // In the clear the digests are not keyed.
            let plain = FileEntry { crypt_mode: CryptMode::None, ..entry.clone() };
            assert_eq!(read(Witness::new(&plain, &key).expect("a kind"), &data), Err(WitnessError::Content));
        }
    }

    #[test]
    fn a_doubt_is_lifted_by_the_same_stream_only() {
        let (data, key) = (noise(500_000), key(7));
        let entry = entry(&data, &key, Cutter::content(64 << 10), "root.pxar.didx");
        let usual = |data: &[u8]| {
            let first = Witness::with(&entry, Some(&key), &AVERAGES[..1], None).expect("a kind");
            match read(first, data) {
                Ok(Verdict::Doubt(doubt)) => doubt,
                other => panic!("{other:?}"),
            }
        };
        let again = |doubt, data: &[u8]| read(Witness::again(&entry, &key, doubt).expect("a kind"), data);
        assert_eq!(again(usual(&data), &data), Ok(Verdict::Same));
        // What was written to the disk was another stream; the second time the right one comes.
        let mut lie = data.clone();
        lie[250_000] ^= 1;
        assert_eq!(again(usual(&lie), &data), Err(WitnessError::Changed));
        assert_eq!(again(usual(&data), &lie), Err(WitnessError::Changed));
        assert_eq!(again(usual(&lie), &lie), Err(WitnessError::Content));
    }

    #[test]
    fn nothing_is_told_of_blobs_and_split_archives() {
        let key = key(7);
        for filename in ["pct.conf.blob", "root.mpxar.didx", "root.ppxar.didx"] {
            let entry = FileEntry {
                filename: filename.parse().expect("a name"),
                crypt_mode: CryptMode::Encrypt,
                size: 1,
                csum: Sha256::of(b""),
            };
            assert!(matches!(Witness::new(&entry, &key), Err(WitnessError::Kind { .. })), "{filename}");
        }
    }
}
