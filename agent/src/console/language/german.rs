//! German, as one speaks to a customer: Sie.

use super::Sentences;

pub(super) static SENTENCES: Sentences = Sentences {
    title: "Die Konsole dieser Box",
    choices: [
        "Wie steht es?",
        "Neue zehn Wörter (Zeremonie)",
        "Die zehn Wörter ausprobieren",
        "Diese Box ging verloren: auf dieser Maschine wiederherstellen",
        "Ich habe die Wörter nicht",
        "English",
    ],
    leave: "Verlassen",
    which: "Bitte tippen Sie eine Nummer und drücken Enter: ",
    no_such_choice: "Bitte tippen Sie eine der Nummern von oben.",
    go_back: "Mit Enter geht es zurück zum Menü: ",
    more: "Weiter mit Enter: ",
    nobody: |socket| {
        format!(
            "Der Agent dieser Box antwortet nicht. Bitte rufen Sie Ihren Techniker an und sagen Sie: \"Der Dienst \
             tenwords-agent antwortet nicht an {socket}.\""
        )
    },
    stranger: "Was hier antwortet, ist nicht der Agent dieser Box; ihm wurde nichts gesagt. Bitte tippen Sie an dieser \
               Maschine keine Wörter, und rufen Sie Ihren Techniker an.",
    turned_away: "Der Agent dieser Box hat die Verbindung geschlossen. Bitte rufen Sie Ihren Techniker an und sagen \
                  Sie: \"Der Dienst tenwords-agent weist die Konsole ab.\" Warum, steht in seinem Protokoll.",
    broke_off: "Der Agent dieser Box hat abgebrochen, ohne zu sagen, wie es ausging. Bitte sehen Sie nach, wie es um \
                die Box steht, bevor Sie es noch einmal versuchen.",
    not_understood: "Was der Agent sagt, ist nicht zu verstehen: Konsole und Agent sind vielleicht von verschiedenem \
                     Stand. Bitte rufen Sie Ihren Techniker an.",
    left_alone: "Die Konsole sieht nicht mehr zu. Was begonnen wurde, läuft von selbst weiter, bis es gefahrlos enden \
                 kann; bis dahin kann nichts anderes begonnen werden.",
    ceremony_done: "Geschafft: Diese zehn Wörter schützen die Box von nun an. Bewahren Sie das Blatt sicher auf, und \
                    nicht bei der Box. Ein gedrucktes Blatt macht, wer Ihnen hilft; die Wörter schreiben Sie ab.",
    ceremony_void: "Die Zeremonie kam nicht an ihr Ende. Wenn eben zehn Wörter gezeigt wurden: Bitte vernichten Sie \
                    das Blatt, auf dem sie stehen, sobald eine andere Zeremonie gut zu Ende ging; für sich schützt \
                    es nichts. Ein älteres Blatt gilt wie zuvor.",
    recovered: "Geschafft: Diese Box ist wieder da, mit Daten und Einstellungen. Wer Ihnen hilft, startet nun die \
                Maschinen.",
    rehearsed: "Geübt: Die Wörter öffnen alles. Es wurde nichts eingerichtet; die Box läuft wie zuvor.",
    revoked: "Dieses Gerät ist nicht mehr Ihre Box. Wenn Ihre Box auf ein anderes Gerät umgezogen ist, lebt sie jetzt \
              dort: Starten Sie ihre Gäste hier nicht.",
    not_admitted: "Das Ticket stimmt nicht, wurde schon anderswo benutzt oder ist abgelaufen. Bitte rufen Sie an und \
                   lassen sich ein neues geben.",
    drilled: "Gut so: Diese zehn Wörter öffnen, was für diese Box aufbewahrt wird.",
    not_drilled: "Die Wörter öffnen etwas, aber nicht alles ist, wie es sein soll. Was es ist, steht darunter.",
    partly_recovered: "Ein Teil dieser Box ist wieder da. Was fehlt, und was zu tun ist, steht darunter.",
    told_off: "Es wurde vor dem Ende abgebrochen. Sie können neu beginnen.",
    words_wrong: "Diese Wörter öffnen nicht, was für diese Box aufbewahrt wird. Es wurde nichts geändert. Bitte suchen \
                  Sie das Blatt mit der richtigen Nummer und dem richtigen Datum. Sie dürfen beliebig oft neu beginnen. \
                  Keine Wörter? Wählen Sie 5.",
    refused: "Was zurückkam, hat sich nicht als echt erwiesen, oder Sie sagten, dass es nicht passt; deshalb wurde es \
              nicht verwendet.",
    unreachable: "Der Hub oder der Backup-Server ist nicht zu erreichen. Bitte sehen Sie nach dem Netzwerkkabel, und \
                  versuchen Sie es in einigen Minuten noch einmal.",
    not_possible: "Das ist jetzt nicht möglich.",
    details: "Für den, der Ihnen hilft (meist auf Englisch):",
    call: |name, phone| match (name, phone) {
        (Some(name), Some(phone)) => format!("Wer Ihnen hilft: {name}, {phone}."),
        (Some(one), None) | (None, Some(one)) => format!("Wer Ihnen hilft: {one}."),
        (None, None) => "Bitte rufen Sie an, wer diese Box betreut; die Nummer steht auf Ihrem Blatt.".to_owned(),
    },
    protected: |code, date| {
        format!("Diese Box ist geschützt: Die zehn Wörter von Code {code} ({date}) bringen sie zurück.")
    },
    compare: |line| format!("Die Prüfzeile auf dem Blatt dazu ist {line}."),
    not_protected: "Diese Box ist NICHT geschützt.",
    not_closed: |open| match open {
        1 => {
            "Diese Box wurde wiederhergestellt, und eines ist noch zu tun: Was die verlorene öffnen konnte, steht ihr \
              vielleicht noch offen. Es steht darunter; bitte sagen Sie es dem, der Ihnen hilft."
                .to_owned()
        }
        _ => format!(
            "Diese Box wurde wiederhergestellt, und {open} Dinge sind noch zu tun: Was die verlorene öffnen konnte, \
             steht ihr vielleicht noch offen. Sie stehen darunter; bitte sagen Sie es dem, der Ihnen hilft."
        ),
    },
    what_to_do: "Bitte lassen Sie bald jemanden danach sehen: Bis dahin bringen die zehn Wörter vielleicht nicht alles \
                 zurück.",
    ticket: "Das Ticket, wie es Ihnen vorgelesen wird: ",
    ticket_wrong: "Das ist kein Ticket. Bitte vergleichen Sie es Gruppe für Gruppe mit dem, was vorgelesen wird.",
};
