//! Somebody who types, and is recorded while he does.
//!
//! Keys are pressed as fast as the program answers; how long a person would have taken goes into the
//! recording's times alone.

use std::time::Duration;

use anyhow::{Result, ensure};
use tenwords_escrow::begun::Begun;
use zeroize::Zeroizing;

use super::cast::{Cast, Event};
use crate::customer::Customer;

/// A customer, the recording so far, and the time in it.
pub(super) struct Hand {
    customer: Customer,
    /// The shell's prompt, before and after.
    shell: &'static str,
    now: Duration,
    /// How many bytes of the customer's terminal are recorded.
    used: usize,
    pieces: Vec<(Duration, Zeroizing<Vec<u8>>)>,
    keys: u64,
}

impl Hand {
    /// Somebody who has just typed this command at this prompt.
    pub(super) fn after(shell: &'static str, command: &str, customer: Customer) -> Self {
        let mut hand = Self { customer, shell, now: Duration::ZERO, used: 0, pieces: Vec::new(), keys: 0 };
        hand.says(shell);
        hand.looks(Duration::from_millis(900));
        for letter in command.chars() {
            hand.takes_time();
            hand.says(letter.encode_utf8(&mut [0; 4]));
        }
        hand.looks(Duration::from_millis(600));
        hand.says("\r\n");
        hand
    }

    /// Waits for what the program shows by itself, until the screen has all of this; then the person
    /// looks at it for so long. Tells the screen.
    pub(super) fn sees(&mut self, texts: &[&str], looking: Duration) -> Result<Zeroizing<String>> {
        let shown = Zeroizing::new(self.customer.sees(texts)?);
        self.customer.stands_still(QUIET)?;
        self.takes(true);
        self.looks(looking);
        Ok(shown)
    }

    /// Types this, a key at a time.
    pub(super) fn types(&mut self, keys: &str) -> Result<()> {
        for key in keys.chars() {
            self.takes_time();
            self.customer.types(key.encode_utf8(&mut [0; 4]))?;
            self.customer.answers(self.used)?;
            self.customer.stands_still(QUIET)?;
            self.takes(false);
        }
        Ok(())
    }

    /// Types a word: as far as it needs to be if `short`; looks what became of it; and goes on.
    pub(super) fn types_word(&mut self, word: &str, short: bool) -> Result<()> {
        self.types(if short { beginning(word) } else { word })?;
        self.looks(Duration::from_millis(if short { 550 } else { 120 }));
        self.types(" ")?;
        // The next word is read from the sheet.
        self.looks(Duration::from_millis(420));
        Ok(())
    }

    /// Lets this much time pass.
    pub(super) fn looks(&mut self, looking: Duration) {
        self.now += looking;
    }

    /// Waits for a good end.
    pub(super) fn ends(mut self, title: &str, rename: &[(String, &str)]) -> Result<Cast> {
        let code = self.customer.ends()?;
        let shown = self.customer.left()?;
        ensure!(code == 0, "it ended with {code}:\n{shown}");
        self.takes(true);
        self.looks(Duration::from_millis(300));
        self.says(self.shell);
        self.looks(Duration::from_secs(2));
        self.says("\u{1b}[?25h");
        Ok(Cast { title: title.to_owned(), events: renamed(events(&self.pieces), rename) })
    }

    /// How long the next key takes: never the same, and always the same again.
    fn takes_time(&mut self) {
        self.keys += 1;
        let chance = self.keys.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
        self.now += Duration::from_millis(70 + chance);
    }

    fn says(&mut self, text: &str) {
        self.pieces.push((self.now, Zeroizing::new(text.as_bytes().to_vec())));
    }

    /// Takes what has come: in its own time if it came by itself, at once if it answers a key.
    fn takes(&mut self, by_itself: bool) {
        for (waited, bytes) in self.customer.pieces_after(self.used) {
            self.used += bytes.len();
            let waited = if by_itself { waited.min(LONGEST) } else { Duration::ZERO };
            match self.pieces.last_mut() {
                // One picture that came in pieces.
                Some((at, last)) if waited < TOGETHER && *at == self.now => last.extend_from_slice(&bytes),
                _ => {
                    self.now += waited;
                    self.pieces.push((self.now, bytes));
                }
            }
        }
    }
}

/// The fewest letters that stand for this word alone.
fn beginning(word: &str) -> &str {
    (1..word.len()).map(|end| &word[..end]).find(|part| Begun::of(part).expose_word() == Some(word)).unwrap_or(word)
}

/// Pieces of bytes as pieces of text: a letter that is cut in two goes to the later one.
fn events(pieces: &[(Duration, Zeroizing<Vec<u8>>)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut held = Vec::new();
    for (at, bytes) in pieces {
        held.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&held) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => held.len(),
        };
        let rest = held.split_off(whole);
        if !held.is_empty() {
            let at = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
            events.push(Event { at, text: String::from_utf8_lossy(&held).into_owned() });
        }
        held = rest;
    }
    events
}

/// The same with other names, also where a name goes across pieces: there it belongs to the first.
fn renamed(mut events: Vec<Event>, rename: &[(String, &str)]) -> Vec<Event> {
    for (from, to) in rename {
        let all: String = events.iter().map(|event| event.text.as_str()).collect();
        let found: Vec<usize> = all.match_indices(from.as_str()).map(|(at, _)| at).collect();
        let mut start = 0;
        for event in &mut events {
            let end = start + event.text.len();
            let mut text = String::with_capacity(event.text.len());
            let mut at = start;
            for name in found.iter().copied().filter(|name| *name + from.len() > start && *name < end) {
                if name >= start {
                    text.push_str(&all[at..name]);
                    text.push_str(to);
                }
                at = end.min(name + from.len());
            }
            text.push_str(&all[at..end]);
            event.text = text;
            start = end;
        }
    }
    events.retain(|event| !event.text.is_empty());
    events
}

/// A screen that has not changed for so long is drawn.
const QUIET: Duration = Duration::from_millis(25);
/// Pieces that are nearer to each other are one.
const TOGETHER: Duration = Duration::from_millis(15);
/// A longer wait is cut to this.
const LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(of: &[&[u8]]) -> Vec<(Duration, Zeroizing<Vec<u8>>)> {
        of.iter().map(|bytes| (Duration::ZERO, Zeroizing::new(bytes.to_vec()))).collect()
    }

    #[test]
    fn a_letter_that_is_cut_in_two_stays_one() {
        let texts: Vec<String> =
            events(&pieces(&[b"W\xc3", b"\xb6rter \xe2\x80", b"\xa6"])).into_iter().map(|event| event.text).collect();
        assert_eq!(texts, ["W", "örter ", "…"]);
    }

    #[test]
    fn a_name_is_another_also_across_pieces() {
        let rename = [("/tmp/x1/box".to_owned(), "/srv"), ("/tmp/x1".to_owned(), "/s")];
        let texts: Vec<String> =
            renamed(events(&pieces(&[b"a /tmp/x", b"1/", b"box/b /tmp/x1/c /tm", b"p/x1"])), &rename)
                .into_iter()
                .map(|event| event.text)
                .collect();
        assert_eq!(texts.concat(), "a /srv/b /s/c /s");
        assert_eq!(texts, ["a /srv", "/b /s/c /s"]);
    }

    #[test]
    fn a_word_is_begun_as_far_as_needed() {
        for (word, begun) in [("giddiness", "giddin"), ("t-shirt", "t-"), ("abacus", "abac")] {
            let typed = beginning(word);
            assert_eq!(Begun::of(typed).expose_word(), Some(word));
            assert!(typed.len() < word.len() && word.starts_with(typed), "{typed} {begun}");
        }
    }
}
