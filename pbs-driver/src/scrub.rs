//! The one function through which a child's words reach an error text, a log or a screen.
//!
//! What it promises: twelve letters or digits in a row of a secret that the child was given are not in
//! what it returns, in none of the spellings that a program comes by (any case, any separators, line
//! breaks or control sequences between, hexadecimal, decimal, base64 at any offset, percent-encoded,
//! escaped as in JSON or C, one over the other); where one is found, nothing of the text is shown. What
//! looks like a key is left out even if nobody here knows it. What it cannot promise: a program that
//! *wants* to give a secret away can spell it as a poem; such a program has the secret, and better ways.

use std::{borrow::Cow, char};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// What a child said, made fit to be shown and logged: control and bidi characters gone, bounded,
/// what looks like a key left out, and withheld altogether if it holds a part of one of the secrets
/// that the child was given.
pub(crate) fn scrub(said: &[u8], secrets: &[&str]) -> String {
    if holds_any(said, secrets) {
        return WITHHELD.to_owned();
    }
    // More than this is never shown; a cut in the middle of a character costs that character.
    let text = String::from_utf8_lossy(&said[..said.len().min(MAX_LOOKED_AT)]);
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let mut clean = String::new();
    let mut at = 0;
    while at < words.len() && clean.len() <= 4 * MAX_SHOWN {
        if !clean.is_empty() {
            clean.push(' ');
        }
        if let Some(pieces) = broken_key(&words[at..]) {
            clean.push_str(REDACTED);
            at += pieces;
            continue;
        }
        if looks_like_a_key(words[at]) {
            clean.push_str(REDACTED);
        } else {
            clean.extend(words[at].chars().filter(|c| !is_invisible(*c)));
        }
        at += 1;
    }
    if let Some((end, _)) = clean.char_indices().nth(MAX_SHOWN) {
        clean.truncate(end);
        clean.push('…');
    }
    clean
}

/// Whether it holds a part of one of the secrets: twelve letters or digits of it in a row (all of a
/// shorter one), in one of the spellings above.
pub(crate) fn holds_any(said: &[u8], secrets: &[&str]) -> bool {
    let needles = Needles::of(secrets);
    if needles.is_empty() {
        return false;
    }
    let mut view = Zeroizing::new(said.to_vec());
    for _ in 0..ROUNDS {
        if needles.are_in(&view) {
            return true;
        }
        let plainer = decoded(&view);
        if *plainer == *view {
            return false;
        }
        view = plainer;
    }
    needles.are_in(&view)
}

/// What is looked for: every twelve characters of every spelling.
struct Needles {
    windows: Zeroizing<Vec<[u8; WINDOW]>>,
    /// By their first two bytes, so that most places in a text cost one look.
    begins: Vec<bool>,
    /// Spellings that are shorter than that.
    short: Vec<Zeroizing<Vec<u8>>>,
    /// Secrets with hardly a letter in them, as they are.
    raw: Vec<Zeroizing<Vec<u8>>>,
}

impl Needles {
    fn of(secrets: &[&str]) -> Self {
        let mut needles = Self {
            windows: Zeroizing::new(Vec::new()),
            begins: vec![false; 1 << 16],
            short: Vec::new(),
            raw: Vec::new(),
        };
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            let squeezed = squeeze(secret.as_bytes());
            if squeezed.len() < MIN_SQUEEZED {
                needles.raw.push(Zeroizing::new(secret.as_bytes().to_vec()));
            } else {
                needles.add(&squeezed);
            }
            needles.add_bytes(secret.as_bytes());
            // A key or a UUID is a spelling itself, of bytes that have others.
            let base64 = STANDARD_NO_PAD.decode(secret.trim_end_matches('=')).ok().map(Zeroizing::new);
            let known = base64.into_iter().chain(unhex(&squeezed)).filter(|bytes| bytes.len() >= MIN_SQUEEZED);
            known.for_each(|bytes| needles.add_bytes(&bytes));
        }
        needles.windows.sort_unstable();
        needles
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let digits = |byte: &u8| format!("{byte:02x}").into_bytes();
        self.add(&Zeroizing::new(bytes.iter().flat_map(digits).collect::<Vec<u8>>()));
        let digits = |byte: &u8| byte.to_string().into_bytes();
        self.add(&Zeroizing::new(bytes.iter().flat_map(digits).collect::<Vec<u8>>()));
        for before in 0..3 {
            let mut padded = Zeroizing::new(vec![0; before]);
            padded.extend_from_slice(bytes);
            let text = Zeroizing::new(STANDARD_NO_PAD.encode(&*padded));
            // Characters that a neighbour has a part in are not the secret's own.
            let end = text.len() - usize::from(!padded.len().is_multiple_of(3));
            let start = (before * 8).div_ceil(6);
            if start < end {
                self.add(&squeeze(&text.as_bytes()[start..end]));
            }
        }
    }

    fn add(&mut self, spelling: &[u8]) {
        if spelling.len() < WINDOW {
            if spelling.len() >= MIN_SQUEEZED {
                self.short.push(Zeroizing::new(spelling.to_vec()));
            }
            return;
        }
        for window in spelling.windows(WINDOW) {
            self.begins[begin(window)] = true;
            self.windows.extend(<[u8; WINDOW]>::try_from(window));
        }
    }

    fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.short.is_empty() && self.raw.is_empty()
    }

    fn are_in(&self, text: &[u8]) -> bool {
        let squeezed = squeeze(text);
        let mut without_0x = Zeroizing::new(Vec::with_capacity(squeezed.len()));
        let mut rest = &squeezed[..];
        while let Some((first, more)) = rest.split_first() {
            if rest.starts_with(b"0x") {
                rest = &rest[2..];
            } else {
                without_0x.push(*first);
                rest = more;
            }
        }
        let is_in = |text: &[u8], needle: &[u8]| text.windows(needle.len()).any(|seen| seen == needle);
        [&squeezed, &without_0x].into_iter().any(|text| {
            text.windows(WINDOW).any(|seen| {
                self.begins[begin(seen)] && self.windows.binary_search_by(|known| known.as_slice().cmp(seen)).is_ok()
            }) || self.short.iter().any(|needle| is_in(text, needle))
        }) || self.raw.iter().any(|needle| is_in(text, needle))
    }
}

fn begin(window: &[u8]) -> usize {
    usize::from(window[0]) << 8 | usize::from(window[1])
}

/// Letters and digits alone, in lower case. Like its siblings in a buffer that is wiped and never moved.
fn squeeze(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // Lower case can be longer: `İ` becomes three bytes.
    let mut squeezed = Zeroizing::new(Vec::with_capacity(2 * text.len()));
    for c in text.utf8_chunks().flat_map(|chunk| chunk.valid().chars()) {
        if c.is_ascii_alphanumeric() {
            squeezed.push(c.to_ascii_lowercase() as u8);
        } else if !c.is_ascii() && c.is_alphanumeric() {
            for lower in c.to_lowercase() {
                squeezed.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    squeezed
}

/// One layer taken off: percent signs, backslashes, and control sequences of a terminal.
fn decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let (c, taken) = match first {
            b'%' => number(more, 2, 16).map_or((None, 0), |code| (Some(code), 3)),
            b'\\' => unescaped(more).map_or((None, 0), |(code, taken)| (Some(code), taken + 1)),
            0x1b => (None, control_sequence(more) + 1),
            _ => (None, 0),
        };
        if taken == 0 {
            plain.push(*first);
            rest = more;
            continue;
        }
        match c {
            // A byte of UTF-8, or of anything else, is that byte.
            Some(code @ 0..=0xff) => plain.push(code as u8),
            Some(code) => {
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => {}
        }
        rest = &rest[taken..];
    }
    plain
}

/// What stands behind a backslash, and how many bytes of it that are.
fn unescaped(text: &[u8]) -> Option<(u32, usize)> {
    let first = *text.first()?;
    match first {
        b'u' if text.get(1) == Some(&b'{') => {
            let end = text.iter().take(10).position(|byte| *byte == b'}')?;
            Some((number(&text[2..], end - 2, 16)?, end + 1))
        }
        b'u' => Some((number(&text[1..], 4, 16)?, 5)),
        b'x' => Some((number(&text[1..], 2, 16)?, 3)),
        b'0'..=b'7' => {
            let digits = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            Some((number(text, digits, 8)?, digits))
        }
        b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'a' | b'e' => Some((u32::from(b' '), 1)),
        b'"' | b'\'' | b'\\' | b'/' => Some((u32::from(first), 1)),
        _ => None,
    }
}

fn number(text: &[u8], digits: usize, radix: u32) -> Option<u32> {
    let digits = text.get(..digits).filter(|digits| digits.iter().all(u8::is_ascii_alphanumeric))?;
    u32::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()
}

/// The length of a control sequence behind its ESC: `[`, parameters, one letter.
fn control_sequence(text: &[u8]) -> usize {
    if text.first() != Some(&b'[') {
        return 0;
    }
    let parameters = text[1..].iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
    (parameters + 2).min(text.len())
}

fn unhex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    text.chunks(2)
        .map(|pair| number(pair, 2, 16).and_then(|byte| u8::try_from(byte).ok()))
        .collect::<Option<Vec<u8>>>()
        .map(Zeroizing::new)
}

/// 32 bytes or more as base64. Digests, which PBS prints as 64 lower-case hex digits, are no
/// secrets and name the damaged chunk; fingerprints have colons.
fn looks_like_a_key(word: &str) -> bool {
    let is_digest = |run: &str| run.len() == 64 && run.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let plain = decoded(word.as_bytes());
    [Cow::Borrowed(word), String::from_utf8_lossy(&plain)].iter().any(|word| {
        word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '=')))
            .any(|run| run.len() >= 40 && !is_digest(run))
            || word
                .split(|c: char| !(is_base64(c) || c == '='))
                .any(|run| run.trim_end_matches('=').len() == KEY && run.ends_with('='))
    })
}

/// A key with blanks or line breaks in it: how many words it takes.
fn broken_key(words: &[&str]) -> Option<usize> {
    let mut length = 0;
    for (number, word) in words.iter().enumerate() {
        let whole = word.trim_matches('"');
        let bare = whole.strip_suffix('=').unwrap_or(whole);
        if whole == "=" && length == KEY {
            return Some(number + 1);
        }
        if bare.is_empty() || !bare.chars().all(is_base64) {
            return None;
        }
        length += bare.len();
        if length > KEY {
            return None;
        }
        if length == KEY && bare.len() < whole.len() {
            return Some(number + 1);
        }
    }
    None
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// What changes how the rest of a line looks, without being seen.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

const MAX_SHOWN: usize = 400;
const MAX_LOOKED_AT: usize = 64 * 1024;
const WINDOW: usize = 12;
/// Fewer letters and digits than this are in every text.
const MIN_SQUEEZED: usize = 5;
/// Layers of encoding that are taken off one after the other.
const ROUNDS: usize = 3;
/// 32 bytes in base64, without the `=`.
const KEY: usize = 43;
const REDACTED: &str = "[redacted]";
pub(crate) const WITHHELD: &str = "[withheld: it held a part of a secret]";

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const WORDS: &str = "abacus drop-down yo-yo zoom quartz nickel stamp ferret oboe lunar";

    /// A code, a key or a token, as the driver holds them.
    fn secret() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::collection::vec("[a-z]{3,8}(-[a-z]{2,5})?", 10).prop_map(|words| words.join(" ")),
            any::<[u8; 32]>().prop_map(|key| STANDARD.encode(key)),
            any::<[u8; 16]>().prop_map(|id| {
                let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")
            }),
        ]
    }

    /// Between two pieces of a secret.
    fn separator() -> impl Strategy<Value = &'static str> {
        prop::sample::select(
            &[
                "",
                " ",
                "-",
                ",",
                "\r\n",
                "\t",
                "\u{a0}",
                "\u{200b}",
                "\u{202e}",
                "\u{1b}[31m",
                "\\n",
                "%0A",
                "\\u000a",
                "\\t",
                "\\\\n",
                "\" \"",
                "|",
                "\u{0}",
                "%2520",
                "\u{ad}",
            ][..],
        )
    }

    /// One spelling of it, by number.
    fn spelled(secret: &str, how: usize, every: usize, between: &str) -> String {
        let bytes = secret.as_bytes();
        let each = |digits: &dyn Fn(u8) -> String| bytes.iter().map(|byte| digits(*byte)).collect::<Vec<_>>();
        let broken = |text: &str| {
            let chars: Vec<char> = text.chars().collect();
            chars.chunks(every).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>().join(between)
        };
        match how {
            0 => secret.to_owned(),
            1 => broken(&secret.to_uppercase()),
            2 => broken(secret),
            3 => secret.replace([' ', '-'], between),
            4 => each(&|byte| format!("{byte:02x}")).concat(),
            5 => each(&|byte| format!("{byte:02X}")).join(":"),
            6 => each(&|byte| format!("0x{byte:02x}")).join(", "),
            7 => each(&|byte| byte.to_string()).join(", "),
            8 => each(&|byte| format!("%{byte:02X}")).concat(),
            9 => each(&|byte| format!("\\u{byte:04x}")).concat(),
            10 => each(&|byte| format!("\\x{byte:02x}")).concat(),
            11 => each(&|byte| format!("\\{byte:03o}")).concat(),
            12 => broken(&STANDARD.encode(bytes)),
            13 => URL_SAFE_NO_PAD.encode(format!("u:{secret};")),
            14 => STANDARD.encode(format!("user{secret}more")),
            15 => secret.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace(' ', "%20"),
            16 => secret.replace('/', "\\/").replace(' ', "\\u0020").replace('-', "\\u2010"),
            17 => each(&|byte| format!("%25{byte:02X}")).concat(),
            18 => each(&|byte| format!("\\\\u{byte:04x}")).concat(),
            19 => match STANDARD.decode(secret) {
                Ok(key) => key.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between),
                Err(_) => format!("{secret:?}"),
            },
            _ => secret[..secret.len() / 2].to_owned(),
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_secret_is_ever_shown(
            secret in secret(), how in 0_usize..21, every in 1_usize..30, between in separator(),
            before in "[a-zé :/\"]{0,20}", after in "[ -~]{0,20}",
        ) {
            let said = format!("Error: {before} {} {after}", spelled(&secret, how, every, between));
            prop_assert_eq!(scrub(said.as_bytes(), &["another secret", &secret]), WITHHELD, "{:?}", said);
        }

        #[test]
        fn a_key_that_nobody_here_knows_is_left_out(key in any::<[u8; 32]>(), at in 0_usize..44, gap in "[ \r\n]{1,3}") {
            let text = STANDARD.encode(key);
            for said in [
                text.clone(),
                format!("{{\"data\":\"{text}\",\"x\":1}}"),
                text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
                text.replace('/', "\\/"),
                format!("data: {}{gap}{} end", &text[..at], &text[at..]),
            ] {
                let shown = scrub(said.as_bytes(), &[]);
                prop_assert!(shown.contains(REDACTED), "{said:?}: {shown:?}");
                prop_assert!(!shown.contains(&text[..12]) && !shown.contains(&text[30..]), "{said:?}: {shown:?}");
            }
        }

        #[test]
        fn what_is_shown_is_harmless_whatever_came(said in prop::collection::vec(any::<u8>(), 0..2000)) {
            let shown = scrub(&said, &[WORDS]);
            prop_assert!(shown.chars().count() <= MAX_SHOWN + 1);
            prop_assert!(!shown.chars().any(is_invisible), "{shown:?}");
        }

        #[test]
        fn what_a_client_says_stays_readable(
            name in "[a-z]{1,12}(\\.[a-z]{1,4})?", digest in "[0-9a-f]{64}", key in "([0-9a-f]{2}:){7}[0-9a-f]{2}",
            secret in secret(),
        ) {
            for said in [
                format!("missing key - manifest was created with key {key}"),
                format!("unable to create target file \"/srv/{name}\" - File exists (os error 17)"),
                format!("Failed to parse chunk {digest} - Data blob has wrong CRC checksum."),
                format!("reading file \"/mnt/store/.chunks/{}/{digest}\" failed: No such file or directory", &digest[..4]),
                "snapshot host/box1/2020-01-01T00:00:00Z does not exist.".to_owned(),
                "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/store".to_owned(),
                "100% of 13.353 MiB (C:\\new\\table), árvíztűrő".to_owned(),
            ] {
                prop_assert_eq!(scrub(said.as_bytes(), &[&secret]), said);
            }
        }
    }

    #[test]
    fn no_spelling_of_the_words_is_shown() {
        for said in [
            WORDS.to_owned(),
            format!("Error: bad passphrase '{WORDS}'"),
            WORDS.to_uppercase().replace(' ', "\r\n"),
            WORDS.replace(' ', "-"),
            "…quartz, nickel, stamp…".to_owned(),
            WORDS.bytes().map(|b| format!("{b:02X}")).collect(),
            STANDARD.encode(WORDS),
        ] {
            assert_eq!(scrub(said.as_bytes(), &["other", WORDS]), WITHHELD, "{said}");
        }
    }

    #[test]
    fn a_secret_of_few_letters_is_found_and_does_not_hide_everything() {
        assert_eq!(scrub(b"bad: !!a!!$$!!", &["!!a!!$$!!"]), WITHHELD);
        assert_eq!(scrub(b"a fine text", &["!!a!!$$!!", ""]), "a fine text");
        assert_eq!(scrub(b"got pw123 there", &["pw-123"]), WITHHELD);
    }

    #[test]
    fn keys_vanish_and_digests_and_fingerprints_stay() {
        let key = "NoKT+jSnntuEsbsPKTIID1665RLJcr+r1o+GRp7a5f0=";
        assert_eq!(scrub(format!("data \"{key}\" bad").as_bytes(), &[]), "data [redacted] bad");
        let fine = "Failed to parse chunk 92ca1cabadc461d64ea4b0ea0ffb245c371d05e261957af4181838660e290962 - \
                    reading file \"/w/store/.chunks/92ca/92ca1cabadc461d64ea4b0ea0ffb245c371d05e261957af4181838660e290962\" \
                    key 1a:8d:27:c9:81:68:f6:3b";
        assert_eq!(scrub(fine.as_bytes(), &[WORDS]), fine);
    }

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_line_round() {
        let shown = scrub("a\u{1b}[2Jb\r\nc\u{202e}d\u{200b}e\u{7}\u{0}f\t\u{9b}g".as_bytes(), &[]);
        assert_eq!(shown, "a [2Jb cde f g");
        assert_eq!(scrub(&[b'a', 0xff, b'b'], &[]), "a\u{fffd}b");
        assert!(scrub(&b"word ".repeat(10_000), &[]).chars().count() <= MAX_SHOWN + 1);
    }
}
