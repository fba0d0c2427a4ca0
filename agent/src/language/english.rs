//! English.

use tenwords_escrow::keyboard::Layout;

use super::Sentences;

pub(super) static SENTENCES: Sentences = Sentences {
    yes_or_no: "[y/N]",
    yes_or_no_alone: "[y/n]",
    asked_for: "The ten words are asked for.",
    to_be_recovered: |name| format!("Box {name} is to be recovered."),
    opening: "Opening …",
    look_again: "Look at the number and date on the sheet, and at each word, then type them again.",
    prompt: "The ten words: ",
    remote: "You are connected over ssh: the machine you sit at, and everybody who can watch it, sees what you type.",
    typing: "Type the words from your sheet; the first letters of each are enough. A blank leads to the next word, \
             Enter at the end goes on.",
    moving: "Backspace or Ctrl-B goes back a word, Ctrl-F forward, a number and Enter to the word with that number. \
             Ctrl-C gives up; nothing is changed then.",
    complete: "All ten are there. Enter goes on.",
    could_be: "It could be: ",
    begin_so: |count| format!("{count} words begin like this."),
    none_begins_so: "No word of the list begins like this.",
    unlisted: |position| format!("Word {position} is not in the list."),
    near_it: "Near it: ",
    layout: |layout| match layout {
        Layout::Azerty => {
            "Your keyboard seems to be set to QWERTY while its keys are AZERTY, or the reverse: A and Q, W and Z are \
             swapped, and M lies elsewhere."
        }
        _ => "Your keyboard seems to be set to QWERTY while its keys are QWERTZ, or the reverse: Y and Z are swapped.",
    },
    unfinished: |position, count| format!("Word {position} is not finished: {count} words begin like this."),
    replaces: |position| format!("What you type now replaces word {position}; Backspace changes its end."),
    go_to: "? Enter leads to this word.",
    no_such_number: |number| format!("There is no word {number}: they are numbered from 1 to 10."),
    missing: |positions| format!("Still to be typed or corrected: {positions}."),
    eleventh: "This is one word too many: a code has ten. Take it away with Backspace, and look whether one of the \
               others is there twice.",
    how_to_give_up: "Ctrl-C gives up.",
    given_up: "given up at the prompt; the same command can be run again",
    gone: "the terminal went away",
    search_offer: |count| {
        format!(
            "Correct a word and press Enter, or press ? (or Ctrl-T): then up to {count} codes with one slip less are \
             tried, which takes about a minute."
        )
    },
    same_again: "These are the words that were just refused: correct one first, or let the slip be looked for with ?.",
    searching: |tried, of| format!("Looking for the slip: {tried} of {of} tried."),
    search_end: "Ctrl-C ends the search, and the words are asked for again.",
    swapped: |one, other| format!("Found: words {one} and {other} are in each other's place."),
    belongs: |position| format!("Found. Word {position} is: "),
    correct_sheet: "Correct your sheet, then press Enter: ",
    not_found: |tried| {
        format!(
            "No single slip explains it ({tried} tried). Look at the number and the date on the sheet: is it the right one?"
        )
    },
    search_ended: "The search was ended.",
    box_and_code: |name, code| format!("Box {name} - code {code}"),
    write_down: "Write these ten words on your sheet, by hand. They are shown this once.",
    never_asked: "Nobody will ever ask you for them: you type them only at a machine of yours.",
    written_down: "Press Enter when they are written down: ",
    next_word: "written down? Enter: ",
    type_back: "Now type the ten words back from your sheet.",
    not_the_same: |positions| format!("Not the same: word {positions}."),
    once_more: "Correct your sheet. The words once more:",
};
