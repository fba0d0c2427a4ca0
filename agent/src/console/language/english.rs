//! English.

use super::Sentences;

pub(super) static SENTENCES: Sentences = Sentences {
    title: "The console of this box",
    choices: [
        "How does it stand?",
        "New ten words (ceremony)",
        "Try the ten words",
        "This box was lost: recover it on this machine",
        "I do not have the words",
        "Deutsch",
    ],
    leave: "Leave",
    which: "Please type a number and press Enter: ",
    no_such_choice: "Please type one of the numbers above.",
    go_back: "Press Enter to go back to the menu: ",
    more: "Press Enter for more: ",
    nobody: |socket| {
        format!(
            "The agent of this box does not answer. Please call your technician and say: \"The service \
             tenwords-agent does not answer at {socket}.\""
        )
    },
    stranger: "What answers here is not the agent of this box, so it was told nothing. Please type no words at this \
               machine, and call your technician.",
    turned_away: "The agent of this box has closed the connection. Please call your technician and say: \"The service \
                  tenwords-agent turns the console away.\" Its log says why.",
    broke_off: "The agent of this box has broken off without saying how it ended. Please look at how the box stands \
                before you try again.",
    not_understood: "What the agent says is not understood: console and agent may be of two versions. Please call \
                     your technician.",
    left_alone: "The console does not follow any longer. What was begun goes on by itself to where it can end safely; \
                 until then nothing else can be begun.",
    ceremony_done: "Done: these ten words protect this box now. Keep the sheet in a safe place, and not beside the box. \
                    For a printed sheet ask whoever helps you, and copy the words by hand.",
    ceremony_void: "The ceremony did not come to its end. If ten words were shown just now: please destroy the sheet \
                    that they were written on as soon as another ceremony has ended well; by itself it protects \
                    nothing. An older sheet is as good as before.",
    recovered: "Done: this box is back, with its data and settings. Whoever helps you now starts the machines.",
    rehearsed: "Practised: the words open everything. Nothing was put in place; the living box is as it was.",
    revoked: "This machine is not your box any more. If your box was moved to another machine, it lives there now: do not \
              start its guests here.",
    not_admitted: "The ticket is mistyped, was used on another machine, or its time is over, or the machine was refused. \
                   Please call and ask for a new one.",
    drilled: "Well done: these ten words open what is kept for this box.",
    not_drilled: "The words open something, and not all is as it should be. What it is stands below.",
    partly_recovered: "Part of this box is back. What is missing, and what to do about it, stands below.",
    told_off: "It was broken off before its end. You can begin again.",
    words_wrong: "These words do not open what is kept for this box. Nothing was changed. Please look for the sheet \
                  with the right number and date. You may begin again as often as you like. No words? Choose 5.",
    refused: "What came back did not prove that it is genuine, or you said that it does not fit; so it was not used.",
    unreachable: "The hub or the backup server cannot be reached. Please look at the network cable, and try again in \
                  a few minutes.",
    not_possible: "This is not possible now.",
    details: "For whoever helps you (mostly in English):",
    call: |name, phone| match (name, phone) {
        (Some(name), Some(phone)) => format!("Whoever helps you: {name}, {phone}."),
        (Some(one), None) | (None, Some(one)) => format!("Whoever helps you: {one}."),
        (None, None) => "Please call whoever looks after this box; the number stands on your sheet.".to_owned(),
    },
    protected: |code, date| format!("This box is protected: the ten words of code {code} ({date}) bring it back."),
    compare: |line| format!("The check line on their sheet is {line}."),
    not_protected: "This box is NOT protected.",
    not_closed: |open| match open {
        1 => {
            "This box was recovered, and one thing is still to be done: what the lost one could open may still be open \
              to it. It stands below; please tell whoever helps you."
                .to_owned()
        }
        _ => format!(
            "This box was recovered, and {open} things are still to be done: what the lost one could open may still be \
             open to it. They stand below; please tell whoever helps you."
        ),
    },
    what_to_do: "Please have somebody look at it soon: until then the ten words may not bring everything back.",
    ticket: "The ticket, as the operator reads it out: ",
    ticket_wrong: "That is no ticket. Please compare it with what the operator sees, group by group.",
};
