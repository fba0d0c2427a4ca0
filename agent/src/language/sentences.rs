//! The table: what is said, in no language yet.

use tenwords_escrow::keyboard::Layout;

/// All that the showing and the typing of the ten words say. Words of the code are never part of a
/// sentence: they are put behind it, on a screen that is wiped.
pub(crate) struct Sentences {
    /// Behind a question: what can be typed, and what Enter alone means.
    pub(crate) yes_or_no: &'static str,
    /// The same where Enter alone means neither.
    pub(crate) yes_or_no_alone: &'static str,

    // === typing ===
    /// Above the entry, where nothing else is known.
    pub(crate) asked_for: &'static str,
    /// Above the entry of a recovery: the box.
    pub(crate) to_be_recovered: fn(&str) -> String,
    /// While what was typed is tried.
    pub(crate) opening: &'static str,
    /// Before what is being typed, ending with a blank.
    pub(crate) prompt: &'static str,
    /// Said over ssh.
    pub(crate) remote: &'static str,
    /// How words are typed.
    pub(crate) typing: &'static str,
    /// How one gets to another word, and out.
    pub(crate) moving: &'static str,
    /// All ten words are listed.
    pub(crate) complete: &'static str,
    /// Before the words that begin with what was typed.
    pub(crate) could_be: &'static str,
    /// So many words begin with what was typed.
    pub(crate) begin_so: fn(usize) -> String,
    /// No word begins with what was typed.
    pub(crate) none_begins_so: &'static str,
    /// This word is not listed.
    pub(crate) unlisted: fn(usize) -> String,
    /// Before the words that are near an unlisted one.
    pub(crate) near_it: &'static str,
    /// The keyboard is set to another layout than it has.
    pub(crate) layout: fn(Layout) -> &'static str,
    /// This word is only the beginning of so many.
    pub(crate) unfinished: fn(usize, usize) -> String,
    /// At this word, typing begins anew.
    pub(crate) replaces: fn(usize) -> String,
    /// Behind the number of the word that Enter leads to.
    pub(crate) go_to: &'static str,
    /// A number that no word has.
    pub(crate) no_such_number: fn(u32) -> String,
    /// These words are missing or wrong.
    pub(crate) missing: fn(&str) -> String,
    /// There is more than ten words.
    pub(crate) eleventh: &'static str,
    /// Ctrl-D where something is typed.
    pub(crate) how_to_give_up: &'static str,
    /// The command's end after Ctrl-C.
    pub(crate) given_up: &'static str,
    /// The terminal has gone.
    pub(crate) gone: &'static str,

    // === after a refusal ===
    /// Behind what was refused.
    pub(crate) look_again: &'static str,
    /// How the search is asked for.
    pub(crate) search_offer: fn(usize) -> String,
    /// The same words once more.
    pub(crate) same_again: &'static str,
    /// The search is on: how many of how many.
    pub(crate) searching: fn(usize, usize) -> String,
    /// How the search is ended.
    pub(crate) search_end: &'static str,
    /// These two words are in each other's place.
    pub(crate) swapped: fn(usize, usize) -> String,
    /// Before the word that belongs there.
    pub(crate) belongs: fn(usize) -> String,
    /// What to do with what was found.
    pub(crate) correct_sheet: &'static str,
    /// The search found nothing.
    pub(crate) not_found: fn(usize) -> String,
    /// The search was ended.
    pub(crate) search_ended: &'static str,

    // === showing ===
    /// Above the words: the box and the number of the code.
    pub(crate) box_and_code: fn(&str, u64) -> String,
    /// What to do with them.
    pub(crate) write_down: &'static str,
    /// Who will ask for them.
    pub(crate) never_asked: &'static str,
    /// Asks for Enter, ending with a blank.
    pub(crate) written_down: &'static str,
    /// Asks for Enter after one word of a terminal that shows one at a time, ending with a blank.
    pub(crate) next_word: &'static str,
    /// The words are to be typed back.
    pub(crate) type_back: &'static str,
    /// Which words were typed back as others.
    pub(crate) not_the_same: fn(&str) -> String,
    /// They are shown again.
    pub(crate) once_more: &'static str,
}

impl Sentences {
    /// Every sentence once, with examples in it.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<String> {
        // Taken apart, so that a sentence which is missing here does not compile.
        let Self {
            yes_or_no,
            yes_or_no_alone,
            asked_for,
            to_be_recovered,
            opening,
            look_again,
            prompt,
            remote,
            typing,
            moving,
            complete,
            could_be,
            begin_so,
            none_begins_so,
            unlisted,
            near_it,
            layout,
            unfinished,
            replaces,
            go_to,
            no_such_number,
            missing,
            eleventh,
            how_to_give_up,
            given_up,
            gone,
            search_offer,
            same_again,
            searching,
            search_end,
            swapped,
            belongs,
            correct_sheet,
            not_found,
            search_ended,
            box_and_code,
            write_down,
            never_asked,
            written_down,
            next_word,
            type_back,
            not_the_same,
            once_more,
        } = self;
        let plain = [
            yes_or_no,
            yes_or_no_alone,
            asked_for,
            opening,
            look_again,
            prompt,
            remote,
            typing,
            moving,
            complete,
            could_be,
            none_begins_so,
            near_it,
            go_to,
            eleventh,
            how_to_give_up,
            given_up,
            gone,
            same_again,
            search_end,
            correct_sheet,
            search_ended,
            write_down,
            never_asked,
            written_down,
            next_word,
            type_back,
            once_more,
        ];
        let made = [
            to_be_recovered("mill"),
            begin_so(14),
            unlisted(5),
            layout(Layout::Qwertz).to_owned(),
            layout(Layout::Azerty).to_owned(),
            unfinished(5, 14),
            replaces(5),
            no_such_number(12),
            missing("3, 7"),
            search_offer(150),
            searching(37, 150),
            swapped(3, 7),
            belongs(5),
            not_found(150),
            box_and_code("mill", 2),
            not_the_same("3, 7"),
        ];
        plain.iter().map(|sentence| (**sentence).to_owned()).chain(made).collect()
    }
}
