//! German, as one speaks to a customer: Sie.

use tenwords_escrow::keyboard::Layout;

use super::Sentences;

pub(super) static SENTENCES: Sentences = Sentences {
    yes_or_no: "[j/N]",
    yes_or_no_alone: "[j/n]",
    asked_for: "Bitte geben Sie die zehn Wörter ein.",
    to_be_recovered: |name| format!("Die Box {name} soll wiederhergestellt werden."),
    opening: "Wird geöffnet …",
    look_again: "Bitte sehen Sie auf Nummer und Datum des Blattes und auf jedes Wort, und tippen Sie sie dann noch einmal.",
    prompt: "Die zehn Wörter: ",
    remote: "Sie sind über ssh verbunden: Der Rechner, an dem Sie sitzen, und jeder, der ihm zusehen kann, sieht, was \
             Sie tippen.",
    typing: "Bitte tippen Sie die Wörter von Ihrem Blatt ab; die ersten Buchstaben genügen. Ein Leerzeichen führt zum \
             nächsten Wort, Enter am Ende geht weiter.",
    moving: "Rücktaste oder Strg-B führt ein Wort zurück, Strg-F eines vor, eine Zahl und Enter zum Wort mit dieser \
             Nummer. Strg-C bricht ab; geändert wird dann nichts.",
    complete: "Alle zehn sind da. Mit Enter geht es weiter.",
    could_be: "Möglich sind: ",
    begin_so: |count| format!("So beginnen {count} Wörter."),
    none_begins_so: "So beginnt kein Wort der Liste.",
    unlisted: |position| format!("Wort {position} steht nicht in der Liste."),
    near_it: "Ähnlich sind: ",
    layout: |layout| match layout {
        Layout::Azerty => {
            "Ihre Tastatur ist offenbar als QWERTY eingestellt, hat aber AZERTY-Tasten, oder umgekehrt: A und Q sowie \
             W und Z sind vertauscht, und das M liegt anderswo."
        }
        _ => {
            "Ihre Tastatur ist offenbar als QWERTY eingestellt, hat aber QWERTZ-Tasten, oder umgekehrt: Y und Z sind \
             vertauscht."
        }
    },
    unfinished: |position, count| format!("Wort {position} ist noch nicht fertig: So beginnen {count} Wörter."),
    replaces: |position| format!("Was Sie jetzt tippen, ersetzt Wort {position}; die Rücktaste ändert sein Ende."),
    go_to: "? Enter führt zu diesem Wort.",
    no_such_number: |number| format!("Ein Wort {number} gibt es nicht: Sie haben die Nummern 1 bis 10."),
    missing: |positions| format!("Noch zu tippen oder zu berichtigen: {positions}."),
    eleventh: "Das ist ein Wort zu viel: Ein Code hat zehn. Nehmen Sie es bitte mit der Rücktaste weg, und sehen Sie \
               nach, ob eines der anderen doppelt dasteht.",
    how_to_give_up: "Strg-C bricht ab.",
    given_up: "bei der Eingabe abgebrochen; derselbe Befehl kann neu beginnen",
    gone: "das Terminal ist nicht mehr da",
    search_offer: |count| {
        format!(
            "Bitte berichtigen Sie ein Wort und drücken Enter, oder drücken Sie ? (oder Strg-T): Dann werden bis zu \
             {count} Codes mit einem Versehen weniger versucht, was etwa eine Minute dauert."
        )
    },
    same_again: "Genau diese Wörter haben eben nichts geöffnet: Bitte berichtigen Sie erst eines, oder lassen Sie mit \
                 ? nach dem Versehen suchen.",
    searching: |tried, of| format!("Das Versehen wird gesucht: {tried} von {of} versucht."),
    search_end: "Strg-C beendet die Suche; danach können Sie die Wörter berichtigen.",
    swapped: |one, other| format!("Gefunden: Die Wörter {one} und {other} sind miteinander vertauscht."),
    belongs: |position| format!("Gefunden. Wort {position} heißt: "),
    correct_sheet: "Bitte berichtigen Sie Ihr Blatt und drücken dann Enter: ",
    not_found: |tried| {
        format!(
            "Ein einzelnes Versehen ist es nicht ({tried} versucht). Bitte sehen Sie auf Nummer und Datum des Blattes: \
             Ist es das richtige?"
        )
    },
    search_ended: "Die Suche wurde beendet.",
    box_and_code: |name, code| format!("Box {name} - Code {code}"),
    write_down: "Bitte schreiben Sie diese zehn Wörter von Hand auf Ihr Blatt. Sie werden nur dieses eine Mal gezeigt.",
    never_asked: "Niemand wird Sie je danach fragen: Sie tippen sie nur an Ihrer eigenen Maschine.",
    written_down: "Wenn sie aufgeschrieben sind, drücken Sie Enter: ",
    next_word: "aufgeschrieben? Enter: ",
    type_back: "Bitte tippen Sie die zehn Wörter nun von Ihrem Blatt ab.",
    not_the_same: |positions| format!("Nicht gleich: Wort {positions}."),
    once_more: "Bitte berichtigen Sie Ihr Blatt. Hier sind die Wörter noch einmal:",
};
