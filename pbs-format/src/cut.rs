//! Where a stream is cut into chunks.
//!
//! `formats.md` §5: no reader, no server and no verification looks at where a cut lies, so the
//! rule is ours. Images are cut every 4 MiB, as an index of fixed chunks asks for. Archives are cut
//! where a rolling sum over the last 64 bytes happens to be small, so that a byte more at the
//! beginning does not make every later chunk a new one; at least 1 MiB and at most 16 MiB apart.

use crate::chunk::MAX_CHUNK;

/// Bytes of a chunk of an image.
pub(crate) const FIXED: usize = 4 << 20;

/// Bytes that the rolling sum remembers: each shift pushes one bit of the oldest out of 64.
const WINDOW: usize = 64;

/// Finds the cuts in a stream that is shown to it piece by piece.
#[derive(Debug)]
pub(crate) struct Cutter {
    least: usize,
    most: usize,
    /// A cut lies where the sum is below; zero for cuts of one length.
    below: u64,
    sum: u64,
    length: usize,
}

impl Cutter {
    /// A cut every `length` bytes.
    pub(crate) const fn fixed(length: usize) -> Self {
        Self { least: length, most: length, below: 0, sum: 0, length: 0 }
    }

    /// Cuts that follow the content, some 4 MiB apart.
    pub(crate) const fn content() -> Self {
        Self::content_with(1 << 20, 3 << 20, MAX_CHUNK)
    }

    /// At least `least` bytes apart and at most `most`, `least` and about `further` as a rule.
    const fn content_with(least: usize, further: u64, most: usize) -> Self {
        Self { least, most, below: u64::MAX / further, sum: 0, length: 0 }
    }

    /// Takes in `data` up to the next cut. The number of bytes before that, or `None` if there is
    /// no cut in `data`.
    pub(crate) fn next(&mut self, data: &[u8]) -> Option<usize> {
        let skipped = self.least.saturating_sub(WINDOW).saturating_sub(self.length).min(data.len());
        self.length += skipped;
        for (index, &byte) in data.iter().enumerate().skip(skipped) {
            self.sum = (self.sum << 1).wrapping_add(SUMMANDS[byte as usize]);
            self.length += 1;
            if self.length >= self.least && (self.sum < self.below || self.length >= self.most) {
                self.length = 0;
                self.sum = 0;
                return Some(index + 1);
            }
        }
        None
    }
}

/// 256 numbers without a pattern, drawn by splitmix64 from the seed 0.
const SUMMANDS: [u64; 256] = {
    let mut numbers = [0; 256];
    let mut state = 0_u64;
    let mut index = 0;
    while index < numbers.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[index] = number ^ (number >> 31);
        index += 1;
    }
    numbers
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(step).collect()
    }

    /// The chunks of `data`, shown in pieces of `piece` bytes.
    fn chunks(mut cutter: Cutter, data: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut chunks = vec![Vec::new()];
        for mut rest in data.chunks(piece) {
            while let Some(length) = cutter.next(rest) {
                chunks.last_mut().into_iter().for_each(|chunk| chunk.extend_from_slice(&rest[..length]));
                chunks.push(Vec::new());
                rest = &rest[length..];
            }
            chunks.last_mut().into_iter().for_each(|chunk| chunk.extend_from_slice(rest));
        }
        chunks
    }

    fn small() -> Cutter {
        Cutter::content_with(256, 768, 4096)
    }

    #[test]
    fn the_pieces_in_which_a_stream_comes_move_no_cut() {
        let data = noise(100_000);
        let whole = chunks(small(), &data, data.len());
        assert!(whole.len() > 50, "{}", whole.len());
        for piece in [1, 63, 64, 4095, 50_000] {
            assert_eq!(chunks(small(), &data, piece), whole, "{piece}");
        }
        assert_eq!(whole.concat(), data);
        let inner = &whole[..whole.len() - 1];
        assert!(inner.iter().all(|chunk| (256..=4096).contains(&chunk.len())));
        let average = data.len() / whole.len();
        assert!((700..1500).contains(&average), "{average}");
    }

    #[test]
    fn a_byte_more_at_the_beginning_leaves_nearly_all_chunks_as_they_were() {
        let data = noise(100_000);
        let before: BTreeSet<_> = chunks(small(), &data, 4096).into_iter().collect();
        let moved = [&b"x"[..], &data].concat();
        let after: BTreeSet<_> = chunks(small(), &moved, 4096).into_iter().collect();
        assert!(after.difference(&before).count() <= 4, "{}", after.difference(&before).count());
    }

    #[test]
    fn zeros_are_cut_at_one_length_and_images_every_time() {
        let zeros = vec![0; 20_000];
        let lengths: BTreeSet<_> = chunks(small(), &zeros, 999).iter().rev().skip(1).map(Vec::len).collect();
        assert_eq!(lengths.len(), 1, "{lengths:?}");
        let lengths: Vec<_> = chunks(Cutter::fixed(4096), &noise(10_000), 999).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4096, 4096, 1808]);
    }
}
