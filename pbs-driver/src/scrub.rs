//! The one function through which a child's words reach an error text.

use zeroize::Zeroizing;

/// What a child said, made fit to be shown and logged: control and bidi characters gone, bounded,
/// what looks like a key left out, and withheld altogether if it holds a part of one of the secrets
/// that the child was given.
pub(crate) fn scrub(said: &[u8], secrets: &[&str]) -> String {
    if holds_any(said, secrets) {
        return WITHHELD.to_owned();
    }
    let mut clean = String::new();
    for word in String::from_utf8_lossy(said).split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        if looks_like_a_key(word) {
            clean.push_str(REDACTED);
        } else {
            clean.extend(word.chars().filter(|c| !is_invisible(*c)));
        }
    }
    if let Some((end, _)) = clean.char_indices().nth(MAX_SHOWN) {
        clean.truncate(end);
        clean.push('…');
    }
    clean
}

/// Whether it holds a part of one of the secrets: twelve letters or digits of it in a row (all of a
/// shorter one), without regard to case, blanks and punctuation, as they are, as hex and as base64.
/// So ten words with hyphens or line breaks between them are still found.
pub(crate) fn holds_any(said: &[u8], secrets: &[&str]) -> bool {
    if secrets.is_empty() {
        return false;
    }
    let said = squeeze(said);
    secrets.iter().any(|secret| {
        let secret = secret.as_bytes();
        [squeeze(secret), hex(secret), squeeze(&base64(secret))].iter().any(|spelling| {
            let window = spelling.len().min(WINDOW);
            window > 0 && spelling.windows(window).any(|part| said.windows(window).any(|seen| seen == part))
        })
    })
}

/// Letters and digits alone, in lower case. Like its siblings in a buffer that is wiped and never moved.
fn squeeze(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut squeezed = Zeroizing::new(Vec::with_capacity(text.len()));
    squeezed.extend(text.iter().filter(|b| b.is_ascii_alphanumeric() || !b.is_ascii()).map(u8::to_ascii_lowercase));
    squeezed
}

fn hex(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut hex = Zeroizing::new(Vec::with_capacity(2 * bytes.len()));
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
    hex.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    hex
}

fn base64(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() / 3 * 4 + 4));
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(DIGITS[(value >> (18 - 6 * place) & 63) as usize]);
        }
    }
    text
}

/// 32 bytes or more as base64. Digests, which PBS prints as 64 lower-case hex digits, are no
/// secrets and name the damaged chunk; fingerprints have colons.
fn looks_like_a_key(word: &str) -> bool {
    let is_digest = |run: &str| run.len() == 64 && run.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '=')))
        .any(|run| run.len() >= 40 && !is_digest(run))
        || word
            .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
            .any(|run| run.trim_end_matches('=').len() == 43 && run.ends_with('='))
}

/// What changes how the rest of a line looks, without being seen.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

const MAX_SHOWN: usize = 400;
const WINDOW: usize = 12;
const REDACTED: &str = "[redacted]";
pub(crate) const WITHHELD: &str = "[withheld: it held a part of a secret]";

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "abacus drop-down yo-yo zoom quartz nickel stamp ferret oboe lunar";

    #[test]
    fn no_spelling_of_a_secret_is_shown() {
        for said in [
            WORDS.to_owned(),
            format!("Error: bad passphrase '{WORDS}'"),
            WORDS.to_uppercase().replace(' ', "\r\n"),
            WORDS.replace(' ', "-"),
            "…quartz, nickel, stamp…".to_owned(),
            WORDS.bytes().map(|b| format!("{b:02X}")).collect(),
            String::from_utf8_lossy(&base64(WORDS.as_bytes())).into_owned(),
        ] {
            assert_eq!(scrub(said.as_bytes(), &["other", WORDS]), WITHHELD, "{said}");
        }
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

    #[test]
    fn base64_is_the_standard_one() {
        for (text, expected) in [("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
            assert_eq!(*base64(text.as_bytes()), expected.as_bytes());
        }
    }
}
