//! German, as one speaks to a customer: Sie.

use super::{Date, Sentences, Way};

const MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

pub(super) static SENTENCES: Sentences = Sentences {
    title: "Wiederherstellungsblatt",
    date: |Date { year, month, day }| format!("{day}. {} {year}", MONTHS[month.saturating_sub(1) % 12]),
    code: |number| format!("Code {number}"),
    operator: "Wer Ihnen hilft",
    phone: "Telefon",
    words: "Die zehn Wörter",
    by_hand: "Bitte von Hand und deutlich eintragen. Gezeigt werden sie einmal, am Bildschirm der Box; gedruckt nie.",
    never: "Niemand wird Sie je nach diesen Wörtern fragen.",
    never_at_length: "Nicht am Telefon, nicht per E-Mail, auf keiner Webseite, und auch nicht, wer Ihnen hilft. Sie \
                      tippen sie selbst ein, nur am Bildschirm Ihrer eigenen Maschine. Wer danach fragt, will Sie \
                      betrügen.",
    what_to_do: "Wenn die Box verloren ist",
    by_hub: Way {
        origin: "Hub",
        steps: [
            "Atmen Sie durch: Ihre Daten liegen auf dem Backup-Server, und diese Wörter öffnen sie.",
            "Rufen Sie die Nummer oben an. Nennen Sie den Namen der Box und die Nummer des Codes.",
            "Man vergewissert sich, dass Sie es sind, und gibt die Wiederherstellung frei: ohne die Wörter.",
            "Ein Techniker richtet eine Maschine mit Proxmox VE und tenwords-agent ein und beginnt.",
            "Gehen Sie selbst an den Bildschirm dieser Maschine. Er fragt nach den zehn Wörtern.",
            "Tippen Sie sie von diesem Blatt ab. Die ersten Buchstaben jedes Wortes genügen.",
            "Passt ein Wort nicht: Der Bildschirm hilft suchen. Sie dürfen es beliebig oft versuchen.",
            "Am Bildschirm müssen Code und Prüfzeile wie hier sein, das Datum nicht älter. Sonst: anrufen.",
            "Lassen Sie es laufen. Ihre Maschinen kommen nacheinander zurück; nach einem Abbruch neu starten.",
            "Hat jemand die Wörter gesehen? Dann lassen Sie sich danach einen neuen Code geben.",
        ],
        bundle: "escrow.bundle kommt von dem, der Ihnen hilft, oder ist Ihre Kopie.",
        keep: "Dieses Blatt nicht bei der Box und nie bei einer Kopie des Bündels aufbewahren. Ein neueres hat ein \
               späteres Datum.",
    },
    by_kit: Way {
        origin: "Kit",
        steps: [
            "Atmen Sie durch: Ihre Daten liegen auf dem Backup-Server, und diese Wörter öffnen sie.",
            "Holen Sie das Kit: die Datei zu diesem Code, die weder bei der Box noch bei diesem Blatt liegt.",
            "Wenn Sie Hilfe wollen, rufen Sie die Nummer oben an. Wer Ihnen hilft, braucht die Wörter nicht.",
            "Richten Sie eine Maschine mit Proxmox VE und tenwords-agent ein, oder ein Techniker tut es.",
            "Das Kit kommt dorthin; dann als root starten: tenwords-agent recover --kit FILE",
            "Setzen Sie sich selbst an den Bildschirm dieser Maschine. Er fragt nach den zehn Wörtern.",
            "Tippen Sie sie von diesem Blatt ab. Die ersten Buchstaben genügen; ein Versehen wird gesucht.",
            "Am Bildschirm müssen Code und Prüfzeile wie hier sein, das Datum nicht älter. Sonst: falsches Kit?",
            "Lassen Sie es laufen. Ihre Maschinen kommen nacheinander zurück; nach einem Abbruch neu starten.",
            "Machen Sie danach ein neues Kit. Hat jemand die Wörter gesehen? Dann auch einen neuen Code.",
        ],
        bundle: "escrow.bundle ist das Kit.",
        keep: "Dieses Blatt nicht bei der Box und nie beim Kit aufbewahren. Ein neueres hat ein späteres Datum.",
    },
    facts: "Über diese Box",
    box_name: "Box",
    box_id: "Kennung der Box",
    made: "Code, Datum",
    check_line: "Prüfzeile",
    keys: "Schlüssel (Anfang)",
    more_keys: |count| format!("und {count} weitere"),
    picture: "Diese Angaben für eine Kamera; nie die Wörter.",
    stock: "Alles öffnen ohne ein Programm von uns",
    stock_how: "Auf einem Linux-Rechner mit age, jq und proxmox-backup-client, in einem Ordner im Arbeitsspeicher \
                (/dev/shm). Passwort sind immer die zehn Wörter: klein, mit je einem Leerzeichen.",
    stock_notes: [
        "zerlegt das Bündel",
        "holt die versiegelte Wurzel heraus",
        "fragt nach den Wörtern: Server, Token, Dateien",
        "nennt die Schlüssel; die nächste Zeile für jedes key/…",
        "",
        "Scrypt, und die Summe in root.txt: sonst halt",
        "fragt nach den Wörtern: öffnet den Schlüssel",
        "aus root.txt; PIN: das Zertifikat",
        "ihr Token tippen, Enter",
        "",
    ],
    print_it: |file| {
        format!(
            "Das Blatt liegt in {file}. Bitte drucken Sie es aus, ohne die Wörter (kein Drucker? Jedes Papier genügt); dann Enter: "
        )
    },
};
