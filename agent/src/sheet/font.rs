//! The three typefaces of the sheet, of the fourteen that every PDF reader has, and their widths.
//!
//! Text is in `WinAnsiEncoding` (ISO 32000-1, annex D.2), which is Windows code page 1252: English,
//! German and their neighbours. What it lacks is printed as `?`; the plain text has it.

/// A typeface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// Helvetica.
    Sans,
    /// Helvetica-Bold.
    Bold,
    /// Courier-Bold, all of one width; Courier is too thin for a bad printer.
    Mono,
}

impl Face {
    pub(super) const ALL: [Self; 3] = [Self::Sans, Self::Bold, Self::Mono];

    /// Its PostScript name.
    pub(super) const fn name(self) -> &'static [u8] {
        match self {
            Self::Sans => b"Helvetica",
            Self::Bold => b"Helvetica-Bold",
            Self::Mono => b"Courier-Bold",
        }
    }

    /// How wide a text is at this size, in the size's unit.
    pub(super) fn width(self, text: &str, size: f32) -> f32 {
        let thousandths: u32 = text.chars().map(|c| u32::from(self.advance(byte(c).unwrap_or(b'?')))).sum();
        #[expect(clippy::cast_precision_loss, reason = "a line has far less than 2^24 thousandths")]
        let thousandths = thousandths as f32;
        thousandths * size / 1000.0
    }

    fn advance(self, byte: u8) -> u16 {
        let table = match self {
            Self::Sans => &SANS,
            Self::Bold => &BOLD,
            Self::Mono => return 600,
        };
        byte.checked_sub(b' ').and_then(|place| table.get(usize::from(place)).copied()).unwrap_or(0)
    }
}

/// The text as `WinAnsiEncoding` has it.
pub(super) fn encode(text: &str) -> Vec<u8> {
    text.chars().map(|c| byte(c).unwrap_or(b'?')).collect()
}

/// A character's place in `WinAnsiEncoding`; controls have none.
pub(super) fn byte(c: char) -> Option<u8> {
    match c {
        ' '..='~' => u8::try_from(c).ok(),
        '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        _ => HIGH.iter().position(|high| *high == c && c != '\0').and_then(|place| u8::try_from(0x80 + place).ok()),
    }
}

/// What stands from 0x80 to 0x9f; NUL where nothing does.
#[rustfmt::skip]
const HIGH: [char; 32] = [
    '\u{20ac}', '\u{0}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{0}', '\u{17d}', '\u{0}', '\u{0}', '\u{2018}', '\u{2019}',
    '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}',
    '\u{153}', '\u{0}', '\u{17e}', '\u{178}',
];

/// Advance widths in thousandths from 0x20 on, as the metrics of the metric-compatible free family
/// (URW Nimbus Sans) list them.
#[rustfmt::skip]
const SANS: [u16; 224] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667,
    556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556,
    556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722,
    500, 500, 500, 334, 260, 334, 584, 350, 556, 350, 222, 556, 333, 1000, 556, 556, 333, 1000, 667, 333, 1000, 350,
    611, 350, 350, 222, 222, 333, 333, 350, 556, 1000, 333, 1000, 500, 333, 944, 350, 500, 667, 278, 333, 556, 556,
    556, 556, 260, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333, 333, 556, 537, 278, 333, 333,
    365, 556, 834, 834, 834, 611, 667, 667, 667, 667, 667, 667, 1000, 722, 667, 667, 667, 667, 278, 278, 278, 278,
    722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611, 556, 556, 556, 556, 556, 556,
    889, 500, 556, 556, 556, 556, 278, 278, 278, 278, 556, 556, 556, 556, 556, 556, 556, 584, 611, 556, 556, 556,
    556, 500, 556, 500,
];
#[rustfmt::skip]
const BOLD: [u16; 224] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722,
    611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556,
    611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778,
    556, 556, 500, 389, 280, 389, 584, 350, 556, 350, 278, 556, 500, 1000, 556, 556, 333, 1000, 667, 333, 1000, 350,
    611, 350, 350, 278, 278, 500, 500, 350, 556, 1000, 333, 1000, 556, 333, 944, 350, 500, 667, 278, 333, 556, 556,
    556, 556, 280, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333, 333, 611, 556, 278, 333, 333,
    365, 556, 834, 834, 834, 611, 722, 722, 722, 722, 722, 722, 1000, 722, 667, 667, 667, 667, 278, 278, 278, 278,
    722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611, 556, 556, 556, 556, 556, 556,
    889, 556, 556, 556, 556, 556, 278, 278, 278, 278, 611, 611, 611, 611, 611, 611, 611, 584, 611, 611, 611, 611,
    611, 556, 611, 556,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_code_page_1252() {
        assert_eq!(encode("Aä\u{20ac}„ß…\u{2013}"), [b'A', 0xe4, 0x80, 0x84, 0xdf, 0x85, 0x96]);
        assert_eq!(encode("\u{1b}\u{0}\u{7f}\u{85}\u{202e}Жあ"), [b'?'; 7]);
    }

    #[test]
    fn widths_are_those_of_the_typefaces() {
        // Adobe's metrics of Helvetica and Helvetica-Bold.
        for (c, sans, bold) in [(' ', 278, 278), ('W', 944, 944), ('i', 222, 278), ('Ä', 667, 722), ('ß', 611, 611)] {
            let byte = byte(c).unwrap_or_default();
            assert_eq!((Face::Sans.advance(byte), Face::Bold.advance(byte)), (sans, bold), "{c}");
        }
        assert!((Face::Mono.width("abc", 10.0) - 18.0).abs() < 0.001);
    }
}
