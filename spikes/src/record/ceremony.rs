//! The ceremony: `escrow create`.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tenwords_escrow::begun::Begun;

use super::{
    Take,
    set::{Set, listed},
};
use crate::terminal::numbered_words;

/// The words are read off the screen and typed back; one of them was written down wrong.
pub(super) fn make(base: &Path) -> Result<Take> {
    let set = Set::new(base)?;
    let mut hand = set.sits_at(&set.node, "root@pve1:~# ", &["escrow", "create"])?;
    let shown = hand.sees(&[WRITTEN, "10."], Duration::from_secs(7))?;
    let words = numbered_words(&shown, 10).context("ten numbered words")?;
    hand.types("\r")?;
    hand.sees(&["Now type the ten words back"], Duration::from_secs(2))?;
    let list = listed(&words);
    for (place, word) in list.iter().enumerate() {
        let typed = if place == WRONG { misread(word) } else { word };
        hand.types_word(typed, place > 1 && place != WRONG)?;
    }
    hand.looks(Duration::from_millis(900));
    hand.types("\r")?;
    hand.sees(&["Not the same: word 6.", WRITTEN], Duration::from_secs(5))?;
    hand.types("\r")?;
    hand.sees(&["Now type the ten words back"], Duration::from_millis(1500))?;
    hand.types(list[WRONG])?;
    hand.looks(Duration::from_millis(800));
    hand.types("\r")?;
    let cast = hand.ends("tenwords-agent escrow create", &set.rename())?;
    Ok(Take { cast, words })
}

/// Another word of the list that looks much like this one.
fn misread(word: &str) -> &'static str {
    let likeness = |end| Begun::of(&word[..end]).expose_possible().find(|other| *other != word);
    (1..word.len()).rev().filter(|end| word.is_char_boundary(*end)).find_map(likeness).unwrap_or("abacus")
}

/// Which word it is, from 0.
const WRONG: usize = 5;
const WRITTEN: &str = "Press Enter when they are written down:";
