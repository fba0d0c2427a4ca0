//! The EFF large list, as a lookup.
//!
//! Only the list is taken from `eff-wordlist`; its `random_word()` uses a thread generator and is
//! never called. The list is sorted, four of its words have a hyphen, and one pair differs by
//! nothing else: `yo-yo` and `yoyo` are two words.

use eff_wordlist::large::LIST;
use zeroize::Zeroizing;

/// How many words the list has.
pub(crate) const WORDS: usize = 7776;

/// The longest word of the list, in bytes.
pub(crate) const LONGEST: usize = 9;

/// The hyphenated words: first half, second half. No first half is a word of its own, so that two
/// pieces can be joined without guessing.
const HYPHENATED: [(&str, &str); 4] = [("drop", "down"), ("felt", "tip"), ("t", "shirt"), ("yo", "yo")];

/// The most words that are offered in place of an unlisted one.
const NEAREST: usize = 3;

/// The word at `index`, which must be below [`WORDS`].
pub(crate) fn word(index: u16) -> &'static str {
    LIST[usize::from(index)].1
}

/// The place of a word as it stands in the list.
pub(crate) fn find(word: &str) -> Option<u16> {
    let index = LIST.binary_search_by(|(_, listed)| (*listed).cmp(word)).ok()?;
    u16::try_from(index).ok()
}

/// The place of a word that may lack its hyphen. `yoyo` is itself a listed word and is taken as
/// that.
pub(crate) fn find_typed(word: &str) -> Option<u16> {
    find(word).or_else(|| {
        let (first, second) =
            HYPHENATED.iter().find(|(first, second)| word.strip_prefix(first).is_some_and(|rest| rest == *second))?;
        find_halves(first, second)
    })
}

/// The place of the hyphenated word that consists of these two pieces.
pub(crate) fn find_halves(first: &str, second: &str) -> Option<u16> {
    let (first, second) = HYPHENATED.iter().find(|halves| **halves == (first, second))?;
    LIST.iter()
        .position(|(_, listed)| listed.split_once('-') == Some((first, second)))
        .and_then(|index| u16::try_from(index).ok())
}

/// Whether a hyphenated word may go on after this piece.
pub(crate) fn is_first_half(piece: &str) -> bool {
    HYPHENATED.iter().any(|(first, _)| *first == piece)
}

/// Whether `begun` is the start of the half that follows `first`.
pub(crate) fn may_become_second_half(first: &str, begun: &str) -> bool {
    HYPHENATED.iter().any(|(half, second)| *half == first && second.starts_with(begun))
}

/// The words that begin with these letters, in the list's order; the four with a hyphen also if the
/// letters lack it.
pub(crate) fn beginning_with(letters: &str) -> impl Iterator<Item = u16> + '_ {
    let start = LIST.partition_point(|(_, listed)| *listed < letters);
    let range = LIST[start..].iter().take_while(move |(_, listed)| listed.starts_with(letters)).count();
    let joined = HYPHENATED.iter().filter_map(move |(first, second)| {
        let rest = letters.strip_prefix(first)?;
        if rest.is_empty() || !second.starts_with(rest) { None } else { find_halves(first, second) }
    });
    (start..start + range).filter_map(|index| u16::try_from(index).ok()).chain(joined)
}

/// The words for which this one may have been read, heard or typed, the likeliest first, each with
/// how far-fetched it is: 0 for one slip of the fingers.
pub(crate) fn near(index: u16) -> Zeroizing<Vec<(u8, u16)>> {
    let meant = word(index);
    let letters: Zeroizing<Vec<char>> = Zeroizing::new(meant.chars().collect());
    let sound = sound(meant);
    let mut near = Zeroizing::new(Vec::with_capacity(WORDS));
    for (other, (_, listed)) in (0_u16..).zip(LIST) {
        let stem = stem(meant, listed);
        let is_stem = stem >= 4 && stem + 4 >= meant.len().max(listed.len());
        let slips = match listed.len().abs_diff(meant.len()) {
            0..=3 => slips(&letters, listed),
            _ => usize::MAX,
        };
        let far = match slips {
            _ if other == index => continue,
            0 | 1 => 0,
            2 | 3 if sound == self::sound(listed) => 1,
            2 if meant.len().min(listed.len()) >= 5 => 2,
            _ if is_stem => 3,
            _ => continue,
        };
        near.push((far, other));
    }
    near.sort_unstable();
    near
}

/// With how many letters both begin.
fn stem(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

/// A spelling in which words that sound alike are alike: vowels count only at the beginning, and
/// letters for one sound are one letter.
fn sound(word: &str) -> Zeroizing<String> {
    let mut heard = Zeroizing::new(String::with_capacity(LONGEST));
    let mut letters = word.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        let one = match (letter, next) {
            ('p', Some('h')) => 'f',
            ('k' | 'g', Some('n')) if heard.is_empty() => continue,
            ('w', Some('r')) if heard.is_empty() => continue,
            ('c', Some('e' | 'i' | 'y')) | ('z', _) => 's',
            ('c' | 'q' | 'k', _) => 'k',
            ('d', _) => 't',
            ('v', _) => 'f',
            ('b', _) => 'p',
            ('g' | 'j', _) => 'j',
            ('h' | '-', _) => continue,
            ('a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'w', _) if heard.is_empty() => 'a',
            ('a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'w', _) => continue,
            (other, _) => other,
        };
        if !heard.ends_with(one) {
            heard.push(one);
        }
    }
    heard
}

/// The words that typing slips turn into `typed`: those with the fewest slips, at most three words,
/// and none with more slips than a third of the letters (one at least, three at most).
///
/// The result says much about what was meant, so it is as secret as the word.
pub(crate) fn nearest(typed: &str) -> Zeroizing<Vec<u16>> {
    let typed: Zeroizing<Vec<char>> = Zeroizing::new(typed.chars().collect());
    let mut best = Zeroizing::new(Vec::with_capacity(NEAREST));
    if typed.is_empty() || typed.len() > LONGEST + 3 {
        return best;
    }
    let mut fewest = (typed.len() / 3).clamp(1, 3);
    for (index, (_, listed)) in (0_u16..).zip(LIST) {
        if listed.len().abs_diff(typed.len()) > fewest {
            continue;
        }
        let count = slips(&typed, listed);
        if count < fewest {
            fewest = count;
            best.clear();
        }
        if count == fewest && best.len() < NEAREST {
            best.push(index);
        }
    }
    best
}

/// How many letters must be added, dropped, changed or swapped with their neighbour (Damerau's
/// distance, each pair of letters edited once).
fn slips(typed: &[char], listed: &str) -> usize {
    const WIDTH: usize = LONGEST + 1;
    let mut listed_letters = [' '; LONGEST];
    let mut length = 0;
    for (place, letter) in listed_letters.iter_mut().zip(listed.chars()) {
        *place = letter;
        length += 1;
    }
    let listed = &listed_letters[..length];
    let mut before = Zeroizing::new([0; WIDTH]);
    let mut above = Zeroizing::new([0; WIDTH]);
    let mut row = Zeroizing::new([0; WIDTH]);
    for (column, cell) in above.iter_mut().enumerate() {
        *cell = column;
    }
    for (i, a) in typed.iter().enumerate() {
        row[0] = i + 1;
        for (j, b) in listed.iter().enumerate() {
            let mut cost = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == listed[j - 1] && typed[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            row[j + 1] = cost;
        }
        *before = *above;
        *above = *row;
    }
    above[length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_lookup_relies_on() {
        assert_eq!(LIST.len(), WORDS);
        assert!(LIST.windows(2).all(|pair| pair[0].1 < pair[1].1), "sorted, no word twice");
        assert!(LIST.iter().all(|(_, word)| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        assert_eq!(LIST.iter().map(|(_, word)| word.len()).max(), Some(LONGEST));
        let hyphenated: Vec<_> = LIST.iter().filter_map(|(_, word)| word.split_once('-')).collect();
        assert_eq!(hyphenated, HYPHENATED);
        assert!(HYPHENATED.iter().all(|(first, _)| find(first).is_none()));
    }

    #[test]
    fn every_word_is_found_as_itself() {
        for (index, (_, listed)) in (0_u16..).zip(LIST) {
            assert_eq!(find(listed), Some(index));
            assert_eq!(find_typed(listed), Some(index));
            assert_eq!(word(index), *listed);
        }
        assert_eq!(find("abacu"), None);
    }

    #[test]
    fn hyphenated_words_are_found_without_their_hyphen() {
        for (joined, word) in [("dropdown", "drop-down"), ("felttip", "felt-tip"), ("tshirt", "t-shirt")] {
            assert_eq!(find_typed(joined), find(word), "{word}");
        }
        assert_ne!(find_typed("yoyo"), find("yo-yo"), "both are listed");
        assert_eq!(find_halves("yo", "yo"), find("yo-yo"));
        assert_eq!(find_halves("t", "shirt"), find("t-shirt"));
        assert_eq!(find_halves("t", "tip"), None);
    }

    #[test]
    fn slips_of_the_fingers_are_counted() {
        for (typed, listed, count) in [
            ("abacus", "abacus", 0),
            ("abacsu", "abacus", 1),
            ("abacs", "abacus", 1),
            ("abaccus", "abacus", 1),
            ("anacus", "abacus", 1),
            ("bacus", "abacus", 1),
            ("xx", "abacus", 6),
        ] {
            assert_eq!(slips(&typed.chars().collect::<Vec<_>>(), listed), count, "{typed}");
        }
    }

    #[test]
    fn words_are_found_by_their_beginning() {
        let begin = |letters: &str| beginning_with(letters).map(word).collect::<Vec<_>>();
        assert_eq!(begin("abac"), ["abacus"]);
        assert_eq!(begin("dropd"), ["drop-down"]);
        assert_eq!(begin("drop-"), ["drop-down"]);
        assert_eq!(begin("yo-"), ["yo-yo"]);
        assert_eq!(begin("yoy"), ["yoyo", "yo-yo"]);
        assert_eq!(begin("tsh"), ["t-shirt"]);
        assert!(begin("qb").is_empty() && begin("abacusx").is_empty());
        assert_eq!(begin("").len(), WORDS);
        for (_, listed) in LIST {
            assert!(begin(listed).contains(listed), "{listed}");
        }
    }

    #[test]
    fn near_words_are_those_of_one_slip_one_sound_or_one_stem() {
        let near = |text: &str| {
            let index = find(text).unwrap_or_default();
            near(index).iter().map(|(far, index)| (*far, word(*index))).collect::<Vec<_>>()
        };
        assert!(near("giddiness").iter().all(|(_, other)| *other != "giddiness"));
        assert!(near("yoyo").contains(&(0, "yo-yo")));
        assert!(near("bolt").contains(&(0, "colt")) && near("bolt").contains(&(0, "blot")));
        assert!(near("abide").contains(&(3, "abiding")), "{:?}", near("abide"));
        assert_eq!(sound("phony"), sound("funny"));
        assert_eq!(sound("knight").as_str(), sound("night").as_str());
        // Whoever took one for the other can have done so either way.
        for (index, (_, listed)) in (0_u16..).zip(LIST).step_by(97) {
            for (far, other) in super::near(index).iter().filter(|(far, _)| *far < 2) {
                assert!(super::near(*other).contains(&(*far, index)), "{listed} and {}", word(*other));
            }
        }
    }

    #[test]
    fn the_nearest_words_are_few_and_near() {
        let near = |typed: &str| nearest(typed).iter().map(|index| word(*index)).collect::<Vec<_>>();
        assert_eq!(near("abacuss"), ["abacus"]);
        assert_eq!(near("giddyness"), ["giddiness"]);
        assert!(near("zzzzzzzzz").is_empty());
        assert!(near("").is_empty());
        assert!(near(&"a".repeat(4000)).is_empty());
        assert!(near("cat").len() <= NEAREST);
    }
}
