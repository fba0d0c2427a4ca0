//! Where a stream is cut into chunks: exactly where the real client cuts it.
//!
//! No reader, no server and no verification looks at where a cut lies (`formats.md` §5). The cuts
//! are the client's all the same, for two reasons: the same content is then the same chunks for
//! everybody, and whoever has an archive's bytes can compute its index ([`crate::witness`]).
//!
//! Images are cut every 4 MiB, as an index of fixed chunks asks for. Archives are cut by content: a
//! cyclic polynomial of 32 bits over the last 64 bytes. Each step turns the sum by one bit, takes in
//! the summand of the byte that comes, and takes out that of the byte that leaves, which has come
//! round to itself after 64 turns. With an average of A, a cut lies where the sum, under the mask
//! 2A - 1, is 2A - 3 or more; at least A / 4 and at most 4A after the last cut. The sum starts
//! afresh after each cut, but as A / 4 is no less than the window, it only depends on the 64 bytes
//! before the place where it is looked at, so that what lies earlier is skipped.

use std::fmt;

/// Bytes of a chunk of an image, and of an archive's on average unless somebody asked for another.
pub(crate) const USUAL: usize = 4 << 20;

/// All averages that the client can be asked for (`--chunk-size`), the usual one first.
pub(crate) const AVERAGES: [usize; 7] = [USUAL, 2 << 20, 1 << 20, 512 << 10, 256 << 10, 128 << 10, 64 << 10];

/// Bytes that the rolling sum remembers.
const WINDOW: usize = 64;

/// Finds the cuts in a stream that is shown to it piece by piece.
pub(crate) struct Cutter {
    least: usize,
    most: usize,
    /// A cut lies where the sum's bits under `mask` are not below `from`.
    mask: u32,
    from: u32,
    sum: u32,
    /// Bytes since the last cut.
    length: usize,
    /// The last bytes, each at its place since the cut modulo the window.
    window: [u8; WINDOW],
}

impl Cutter {
    /// A cut every `length` bytes.
    pub(crate) const fn fixed(length: usize) -> Self {
        Self { least: length, most: length, mask: 0, from: 0, sum: 0, length: 0, window: [0; WINDOW] }
    }

    /// Cuts that follow the content, about `average` bytes apart: a power of two, no less than 256.
    pub(crate) const fn content(average: usize) -> Self {
        let mask = (2 * average - 1) as u32;
        let (least, most) = (average / 4, average * 4);
        Self { least, most, mask, from: mask - 2, sum: 0, length: 0, window: [0; WINDOW] }
    }

    /// Takes in `data` up to the next cut. The number of bytes before that, or `None` if there is
    /// no cut in `data`.
    pub(crate) fn next(&mut self, data: &[u8]) -> Option<usize> {
        if self.least == self.most {
            return self.next_fixed(data);
        }
        let skipped = (self.least - WINDOW).saturating_sub(self.length).min(data.len());
        self.length += skipped;
        // First, what leaves the window came in an earlier piece, or the window is still filling.
        let by_window = data.len().min(skipped + WINDOW);
        for (index, &byte) in data.iter().enumerate().take(by_window).skip(skipped) {
            self.roll(byte);
            if self.length >= self.least && (self.sum & self.mask >= self.from || self.length >= self.most) {
                return Some(self.cut(index + 1));
            }
        }
        // Then it came in this one.
        let end = data.len().min(by_window.saturating_add(self.most - self.length));
        let mut sum = self.sum;
        for (index, (leaving, entering)) in
            data[by_window - WINDOW.min(by_window)..].iter().zip(&data[by_window..end]).enumerate()
        {
            sum = sum.rotate_left(1) ^ SUMMANDS[usize::from(*leaving)] ^ SUMMANDS[usize::from(*entering)];
            if sum & self.mask >= self.from {
                return Some(self.cut(by_window + index + 1));
            }
        }
        self.sum = sum;
        self.length += end - by_window;
        if self.length >= self.most {
            return Some(self.cut(end));
        }
        if end > by_window {
            for (back, byte) in data[..end].iter().rev().take(WINDOW).enumerate() {
                self.window[(self.length - 1 - back) % WINDOW] = *byte;
            }
        }
        None
    }

    fn next_fixed(&mut self, data: &[u8]) -> Option<usize> {
        let wanted = self.least - self.length;
        if data.len() < wanted {
            self.length += data.len();
            return None;
        }
        Some(self.cut(wanted))
    }

    fn roll(&mut self, entering: u8) {
        let place = &mut self.window[self.length % WINDOW];
        let leaving = if self.length >= self.least { SUMMANDS[usize::from(*place)] } else { 0 };
        self.sum = self.sum.rotate_left(1) ^ leaving ^ SUMMANDS[usize::from(entering)];
        *place = entering;
        self.length += 1;
    }

    fn cut(&mut self, at: usize) -> usize {
        self.length = 0;
        self.sum = 0;
        at
    }
}

/// Without the window: it is somebody's data, and may be anything.
impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutter").field("least", &self.least).field("most", &self.most).finish_non_exhaustive()
    }
}

/// What each byte adds to the sum: part of the format for whoever wants the same cuts (the numbers
/// that PBS took over from casync).
#[rustfmt::skip]
const SUMMANDS: [u32; 256] = [
    0x458b_e752, 0xc107_48cc, 0xfbbc_dbb8, 0x6ded_5b68, 0xb10a_82b5, 0x20d7_5648, 0xdfc5_665f, 0xa842_8801,
    0x7ebf_5191, 0x8411_35c7, 0x65cc_53b3, 0x280a_597c, 0x16f6_0255, 0xc78c_bc3e, 0x2944_15f5, 0xb938_d494,
    0xec85_c4e6, 0xb7d3_3edc, 0xe549_b544, 0xfded_a5aa, 0x882b_f287, 0x3116_737c, 0x0556_9956, 0xe8cc_1f68,
    0x0806_ac5e, 0x22a1_4443, 0x1529_7e10, 0x50d0_90e7, 0x4ba6_0f6f, 0xefd9_f1a7, 0x5c5c_885c, 0x8248_2f93,
    0x9bfd_7c64, 0x0b3e_7276, 0xf268_8e77, 0x8fad_8abc, 0xb050_9568, 0xf1ad_a29f, 0xa53e_fdfe, 0xcb2b_1d00,
    0xf2a9_e986, 0x6463_432b, 0x9509_4051, 0x5a22_3ad2, 0x9be8_401b, 0x61e5_79cb, 0x1a55_6a14, 0x5840_fdc2,
    0x9261_ddf6, 0xcde0_02bb, 0x5243_2bb0, 0xbf17_373e, 0x7b7c_222f, 0x2955_ed16, 0x9f10_ca59, 0xe840_c4c9,
    0xccab_d806, 0x1454_3f34, 0x1462_417a, 0x0d4a_1f9c, 0x087e_d925, 0xd7f8_f24c, 0x7338_c425, 0xcf86_c8f5,
    0xb191_65cd, 0x9891_c393, 0x3253_84ac, 0x0308_459d, 0x8614_1d7e, 0xc922_116a, 0xe2ff_a6b6, 0x53f5_2aed,
    0x2cd8_6197, 0xf5b9_f498, 0xbf31_9c8f, 0xe041_1fae, 0x977e_b18c, 0xd877_0976, 0x9833_466a, 0xc674_df7f,
    0x8c29_7d45, 0x8ca4_8d26, 0xc49e_d8e2, 0x7344_f874, 0x556f_79c7, 0x6b25_eaed, 0xa03e_2b42, 0xf68f_66a4,
    0x8e8b_09a2, 0xf2e0_e62a, 0x0d3a_9806, 0x9729_e493, 0x8c72_b0fc, 0x160b_94f6, 0x450e_4d3d, 0x7a32_0e85,
    0xbef8_f0e1, 0x21d7_3653, 0x4e3d_977a, 0x1e7b_3929, 0x1cc6_c719, 0xbe47_8d53, 0x8d75_2809, 0xe6d8_c2c6,
    0x275f_0892, 0xc8ac_c273, 0x4cc2_1580, 0xecc4_a617, 0xf5f7_be70, 0xe795_248a, 0x375a_2fe9, 0x4255_70b6,
    0x8898_dcf8, 0xdc2d_97c4, 0x0106_114b, 0x364d_c22f, 0x1e0c_ad1f, 0xbe63_803c, 0x5f69_fac2, 0x4d5a_fa6f,
    0x1bc0_dfb5, 0xfb27_3589, 0x0ea4_7f7b, 0x3c1c_2b50, 0x21b2_a932, 0x6b12_23fd, 0x2fe7_06a8, 0xf9bd_6ce2,
    0xa268_e64e, 0xe987_f486, 0x3eac_f563, 0x1ca2_018c, 0x65e1_8228, 0x2207_360a, 0x57cf_1715, 0x34c3_7d2b,
    0x1f8f_3cde, 0x93b6_57cf, 0x31a0_19fd, 0xe69e_b729, 0x8bca_7b9b, 0x4c9d_5bed, 0x277e_beaf, 0xe0d8_f8ae,
    0xd150_821c, 0x3138_1871, 0xafc3_f1b0, 0x927d_b328, 0xe95e_ffac, 0x305a_47bd, 0x426b_a35b, 0x1233_af3f,
    0x686a_5b83, 0x50e0_72e5, 0xd9d3_bb2a, 0x8bef_c475, 0x487f_0de6, 0xc88d_ff89, 0xbd66_4d5e, 0x971b_5d18,
    0x63b1_4847, 0xd7d3_c1ce, 0x7f58_3cf3, 0x72cb_cb09, 0xc0d0_a81c, 0x7fa3_429b, 0xe915_8a1b, 0x225e_a19a,
    0xd8ca_9ea3, 0xc763_b282, 0xbb0c_6341, 0x020b_8293, 0xd4cd_299d, 0x58cf_a7f8, 0x91b4_ee53, 0x37e4_d140,
    0x95ec_764c, 0x30f7_6b06, 0x5ee6_8d24, 0x679c_8661, 0xa419_79c2, 0xf2b6_1284, 0x4fac_1475, 0x0adb_49f9,
    0x1972_7a23, 0x15a7_e374, 0xc43a_18d5, 0x3fb1_aa73, 0x342f_c615, 0x924c_0793, 0xbee2_d7f0, 0x8a27_9de9,
    0x4aa2_d70c, 0xe24d_d37f, 0xbe86_2c0b, 0x177c_22c2, 0x5388_e5ee, 0xcd8a_7510, 0xf901_b4fd, 0xdbc1_3dbc,
    0x6c0b_ae5b, 0x64ef_e8c7, 0x48b0_2079, 0x8033_1a49, 0xca3d_8ae6, 0xf354_6190, 0xfed7_108b, 0xc49b_941b,
    0x32ba_f4a9, 0xeb83_3a4a, 0x88a3_f1a5, 0x3a91_ce0a, 0x3cc2_7da1, 0x7112_e684, 0x4a30_96b1, 0x3794_574c,
    0xa3c8_b6f3, 0x1d21_3941, 0x6e0a_2e00, 0x2334_79f1, 0x0f4c_d82f, 0x6093_edd2, 0x5d7d_209e, 0x464f_e319,
    0xd4dc_ac9e, 0x0db8_45cb, 0xfb5e_4bc3, 0xe025_6ce1, 0x09fb_4ed1, 0x0914_be1e, 0xa5bd_b2c3, 0xc6eb_57bb,
    0x3032_0350, 0x3f39_7e91, 0xa677_91bc, 0x86bc_0e2c, 0xefa0_a7e2, 0xe9ff_7543, 0xe733_612c, 0xd185_897b,
    0x329e_5388, 0x91dd_236b, 0x2ecb_0d93, 0xf4d8_2a3d, 0x35b5_c03f, 0xe4e6_06f0, 0x05b2_1843, 0x37b4_5964,
    0x5eff_22f4, 0x6027_f4cc, 0x7717_8b3c, 0xae50_7131, 0x7bf7_cabc, 0xf9c1_8d66, 0x593a_de65, 0xd95d_df11,
];

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
        Cutter::content(1024)
    }

    /// The rule as it is stated, byte by byte and without any shortcut.
    fn cuts_by_the_rule(data: &[u8], average: usize) -> Vec<usize> {
        let (mut cuts, mut start) = (Vec::new(), 0);
        for end in 1..=data.len() {
            let length = end - start;
            let window = &data[end.saturating_sub(WINDOW).max(start)..end];
            let sum = window.iter().fold(0_u32, |sum, byte| sum.rotate_left(1) ^ SUMMANDS[usize::from(*byte)]);
            let found = sum as usize & (2 * average - 1) >= 2 * average - 3;
            if length >= average / 4 && found || length >= average * 4 {
                cuts.push(length);
                start = end;
            }
        }
        cuts
    }

    #[test]
    fn the_cuts_are_those_of_the_rule() {
        for (length, average) in [(60_000, 256), (100_000, 1024), (100_000, 4096)] {
            let data = noise(length);
            let found: Vec<_> = chunks(Cutter::content(average), &data, 7777).iter().map(Vec::len).collect();
            let (_, inner) = found.split_last().expect("a chunk");
            assert_eq!(inner, cuts_by_the_rule(&data, average), "{average}");
            assert!(inner.len() > 5, "{average}: {}", inner.len());
        }
    }

    /// What the chunker of 3.2.4 answered for the same bytes.
    #[test]
    fn the_cuts_are_the_real_clients() {
        let counting: Vec<u8> = (0..256 * 1024_u32).flat_map(u32::to_le_bytes).collect();
        let found: Vec<_> = chunks(Cutter::content(64 << 10), &counting, 65_536).iter().map(Vec::len).collect();
        assert_eq!(found, [143_377, 262_144, 262_144, 262_144, 118_767]);
        let square = |index: u64| (index.wrapping_mul(index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        let squares: Vec<u8> = (0..640_000).map(square).collect();
        let found: Vec<_> = chunks(Cutter::content(64 << 10), &squares, 4096).iter().map(Vec::len).collect();
        let (_, inner) = found.split_last().expect("a chunk");
        assert_eq!(inner, [58_867, 26_945, 32_943, 49_723, 35_544, 142_030, 31_716, 61_100, 38_933, 97_700, 37_477]);
    }

    #[test]
    fn the_pieces_in_which_a_stream_comes_move_no_cut() {
        let data = noise(100_000);
        let whole = chunks(small(), &data, data.len());
        assert!(whole.len() > 50, "{}", whole.len());
        for piece in [1, 63, 64, 65, 255, 4095, 50_000] {
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
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [4096]);
        let lengths: Vec<_> = chunks(Cutter::fixed(4096), &noise(10_000), 999).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4096, 4096, 1808]);
        let lengths: Vec<_> = chunks(Cutter::fixed(4096), &noise(8192), 8192).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4096, 4096, 0]);
    }
}
