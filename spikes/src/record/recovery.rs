//! A recovery: `recover` on a new node.

use std::{path::Path, time::Duration};

use anyhow::Result;
use tenwords_escrow::begun::Begun;
use zeroize::Zeroizing;

use super::{
    Take,
    set::{Set, TICKET, listed},
};

/// The old node has burnt; on a new one the words are typed, one of them with a slip, by their first
/// letters.
pub(super) fn make(base: &Path) -> Result<Take> {
    let set = Set::new(base)?;
    let words = set.node.ceremony(|words| Zeroizing::new(words.to_owned()))?;
    let node = set.another_node()?;
    let mut hand = set.sits_at(&node, "root@pve2:~# ", &["recover", "--ticket-file", TICKET])?;
    hand.sees(&["The ten words: 1."], Duration::from_secs(3))?;
    let list = listed(&words);
    for (place, word) in list.iter().enumerate() {
        if place == WRONG {
            hand.types_word(&slip(word), false)?;
            hand.looks(Duration::from_millis(600));
        } else {
            hand.types_word(word, place > 1)?;
        }
    }
    hand.sees(&["Word 4 is not in the list."], Duration::from_millis(1800))?;
    hand.types("4")?;
    hand.looks(Duration::from_millis(900));
    hand.types("\r")?;
    hand.looks(Duration::from_millis(900));
    hand.types(list[WRONG])?;
    hand.types(" ")?;
    hand.sees(&["All ten are there. Enter goes on."], Duration::from_millis(1200))?;
    hand.types("\r")?;
    hand.sees(&["Does this fit?"], Duration::from_secs(4))?;
    hand.types("y")?;
    hand.looks(Duration::from_millis(400));
    hand.types("\r")?;
    let cast = hand.ends("tenwords-agent recover", &set.rename())?;
    Ok(Take { cast, words })
}

/// The word with two letters in each other's place, or one too many: no word of the list begins so.
fn slip(word: &str) -> String {
    let swapped = |at: usize| format!("{}{}{}{}", &word[..at], &word[at + 1..=at + 1], &word[at..=at], &word[at + 2..]);
    let is_none = |typed: &String| Begun::of(typed).count() == 0;
    (1..word.len() - 1).map(swapped).find(is_none).unwrap_or_else(|| format!("{word}qx"))
}

/// Which word it is, from 0.
const WRONG: usize = 3;
