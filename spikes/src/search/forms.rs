//! The forms that a secret may have, and a quick way to look for all of them at once.

use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, NO_PAD},
};
use zeroize::Zeroizing;

/// Byte strings to look for, found by their first two bytes.
///
/// The loops of this module run without optimisation over hundreds of megabytes, so they are plain:
/// slices, indices, tables, and no call for each byte.
pub(super) struct Patterns {
    /// Whether a pattern starts with these two bytes.
    starts: Box<[bool; 1 << 16]>,
    all: Vec<Pattern>,
}

struct Pattern {
    secret: String,
    form: String,
    bytes: Zeroizing<Vec<u8>>,
}

/// The letters of a piece, in a buffer that is used again.
#[derive(Default)]
pub(super) struct Letters(Vec<u8>);

impl Patterns {
    pub(super) fn new() -> Self {
        Self { starts: Box::new([false; 1 << 16]), all: Vec::new() }
    }

    /// Looks for exactly these bytes.
    pub(super) fn add(&mut self, secret: &str, form: &str, bytes: &[u8]) {
        assert!(bytes.len() >= SHORTEST, "{secret} ({form}) is too short to be told from noise");
        self.add_short(secret, form, bytes);
    }

    /// The same for what may be short, in a place where that means something.
    pub(super) fn add_short(&mut self, secret: &str, form: &str, bytes: &[u8]) {
        if self.all.iter().any(|known| *known.bytes == bytes) {
            return;
        }
        self.starts[usize::from(bytes[0]) << 8 | usize::from(bytes[1])] = true;
        self.all.push(Pattern {
            secret: secret.to_owned(),
            form: form.to_owned(),
            bytes: Zeroizing::new(bytes.to_vec()),
        });
    }

    /// Looks for these bytes as hex, as a list of numbers and as base64.
    pub(super) fn add_coded(&mut self, secret: &str, bytes: &[u8]) {
        let list = |separator: &str, digits: fn(&u8) -> String| {
            Zeroizing::new(bytes.iter().map(digits).collect::<Vec<_>>().join(separator))
        };
        let lower = |byte: &u8| format!("{byte:02x}");
        let upper = |byte: &u8| format!("{byte:02X}");
        let decimal = |byte: &u8| byte.to_string();
        for (form, text) in [
            ("hex", list("", lower)),
            ("hex", list("", upper)),
            ("hex with colons", list(":", lower)),
            ("hex with colons", list(":", upper)),
            ("a list of numbers", list(", ", decimal)),
            ("a list of numbers", list(",", decimal)),
            ("a list of hex numbers", list(", ", |byte| format!("0x{byte:02x}"))),
        ] {
            self.add(secret, form, text.as_bytes());
        }
        for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
            let engine = GeneralPurpose::new(alphabet, NO_PAD);
            for before in 0..3 {
                // Characters that bits of a neighbour take part in are not looked for.
                let mut shifted = Zeroizing::new(vec![0; before]);
                shifted.extend_from_slice(bytes);
                let text = Zeroizing::new(engine.encode(&*shifted));
                let first = (before * 8).div_ceil(6);
                let last = shifted.len() * 8 / 6;
                self.add(secret, "base64", &text.as_bytes()[first..last]);
            }
        }
    }

    /// Which secrets stand in `bytes`, each form once, with its name.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<(String, String)> {
        let starts: &[bool] = self.starts.as_slice();
        let mut hits = Vec::new();
        let mut pair = 0_usize;
        let mut at = 0;
        let end = bytes.len();
        while at < end {
            pair = (pair << 8 | bytes[at] as usize) & 0xffff;
            if starts[pair] && at > 0 {
                self.try_at(&bytes[at - 1..], &mut hits);
            }
            at += 1;
        }
        hits.into_iter().map(|number| (self.all[number].secret.clone(), self.all[number].form.clone())).collect()
    }

    fn try_at(&self, bytes: &[u8], hits: &mut Vec<usize>) {
        for (number, pattern) in self.all.iter().enumerate() {
            if bytes.starts_with(&pattern.bytes) && !hits.contains(&number) {
                hits.push(number);
            }
        }
    }
}

impl Letters {
    /// The letters of `bytes` in lower case, nothing between them.
    pub(super) fn plain(&mut self, bytes: &[u8]) -> &[u8] {
        self.collect(bytes, false)
    }

    /// The same without the letters of escapes such as `\n`, `\u0020`, `%2d`; nothing if there are
    /// none.
    pub(super) fn unescaped(&mut self, bytes: &[u8]) -> &[u8] {
        if bytes.contains(&b'\\') || bytes.contains(&b'%') { self.collect(bytes, true) } else { &[] }
    }

    fn collect(&mut self, bytes: &[u8], escapes: bool) -> &[u8] {
        if self.0.len() < bytes.len() {
            self.0.resize(bytes.len(), 0);
        }
        let lower: &[u8] = &LOWER;
        let out: &mut [u8] = &mut self.0;
        let (mut at, mut filled, end) = (0, 0, bytes.len());
        while at < end {
            let byte = bytes[at];
            if escapes && (byte == b'\\' || byte == b'%') {
                at += escape(&bytes[at..]);
                continue;
            }
            let letter = lower[byte as usize];
            out[filled] = letter;
            if letter != 0 {
                filled += 1;
            }
            at += 1;
        }
        &self.0[..filled]
    }
}

/// How long the escape at the beginning of `bytes` is.
fn escape(bytes: &[u8]) -> usize {
    match (bytes[0], bytes.get(1)) {
        (b'\\', Some(b'u')) => 6,
        (b'\\', Some(b'x')) => 4,
        (b'\\', _) => 2,
        (b'%', Some(digit)) if digit.is_ascii_hexdigit() => 3,
        _ => 1,
    }
}

/// A letter's lower case; 0 for what is no letter.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut letter = b'a';
    while letter <= b'z' {
        table[letter as usize] = letter;
        table[letter.to_ascii_uppercase() as usize] = letter;
        letter += 1;
    }
    table
};

/// Shorter strings would be found in noise: 2^-64 is rare enough for any disk.
const SHORTEST: usize = 8;
