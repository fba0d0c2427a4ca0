//! German, as one speaks to a customer: Sie.

use tenwords_protocol::time::Timestamp;

use super::{CameBack, Fresh, Protected, Talk};

fn date(time: Timestamp) -> String {
    crate::sheet::day(time, crate::language::Language::German)
}

pub(super) static TALK: Talk = Talk {
    looking: "Es wird nachgesehen, was zu hinterlegen ist …",
    to_be_escrowed: "Hinterlegt wird:",
    source: |id, server, key| format!("Quelle {id:<12} auf {server}, Schlüssel {key}"),
    unused_key: |key| format!("Schlüssel {key} (damit sichert derzeit keine Quelle)"),
    file: |path, bytes| format!("Datei  {path} ({bytes} Byte)"),
    operators: |count| format!("Schlüssel, die Aufträge unterschreiben dürfen: {count}"),
    warning: "ACHTUNG: ",
    keep_or_draw: |code, since| {
        format!(
            "Diese Box hat den Code {code} (letzte Zeremonie: {}). Den Code behalten und seine zehn Wörter tippen: b. \
             Einen neuen ziehen: n.",
            date(since)
        )
    },
    keep: &["b", "behalten"],
    draw: &["n", "neu"],
    one_of_both: "Bitte b für behalten oder n für neu; Strg-C bricht ab und ändert nichts.",
    to_be_kept: |code| format!("Code {code} wird behalten: Seine zehn Wörter werden gebraucht."),
    keep_former: |former, newest| {
        format!(
            "Das sind die Wörter von Code {former}; der neueste ist Code {newest}. Soll Code {former} wieder der Code \
             dieser Box sein?"
        )
    },
    new_code: |new, former| {
        format!(
            "Ein neuer Code mit der Nummer {new} wird gezogen. Code {former} bleibt der Code dieser Box, bis die neuen \
             Wörter abgetippt sind: Bewahren Sie sein Blatt bis dahin auf. Was unter ihm hinterlegt wurde, öffnet er \
             weiterhin."
        )
    },
    only_former: |count, code, since| {
        let keys = if count == 1 { "1 Schlüssel liegt" } else { &format!("{count} Schlüssel liegen") };
        format!(
            "{keys} in keiner Datei dieser Box mehr, aber unter Code {code} ({}). Mit dessen zehn Wörtern wird das \
             übernommen; ohne sie öffnet es nur jenes Blatt.",
            date(since)
        )
    },
    working: "Es wird verschlossen, auf zwei Wegen geöffnet, hinterlegt und zurückgeholt …",
    protected: |done| {
        let Protected { box_name, box_id, keys, number, kit } = done;
        let keys =
            if *keys == 1 { "ihr Schlüssel wurde".to_owned() } else { format!("ihre {keys} Schlüssel wurden") };
        let stored = match kit {
            None => format!("als Version {number} hinterlegt, zurückgeholt und noch einmal geöffnet."),
            Some(kit) => format!(
                "in das Kit {} geschrieben, zurückgelesen und noch einmal geöffnet. Kein Hub hat es: Bewahren Sie das \
                 Kit nicht bei dieser Box auf und nicht bei den zehn Wörtern.",
                kit.display()
            ),
        };
        format!(
            "Geschützt: Box {box_name} ({box_id}); {keys} von proxmox-backup-client und von uns selbst geöffnet, {stored}"
        )
    },
    numbers: |code, sequence, check_line| format!("Code {code}, laufende Nummer {sequence}, Prüfzeile {check_line}"),
    destroy_former: |code| {
        format!("Das Blatt von Code {code} öffnet nichts, was das neue nicht auch öffnet: Bitte vernichten Sie es.")
    },
    need_former: |code| {
        format!(
            "Bewahren Sie auch das Blatt von Code {code} auf: Sicherungen, deren Schlüssel nicht auf dieser Box sind, \
             öffnet nur dieses."
        )
    },
    take_sheet: |code, since| {
        format!("Bitte nehmen Sie das Blatt mit Code {code}; sein Datum ist der {} oder früher.", date(since))
    },
    opens_none: |lowest, highest| {
        let codes = if lowest == highest { format!("Code {lowest}") } else { format!("Code {lowest} bis {highest}") };
        format!("diese Wörter öffnen keine Version dieser Box ({codes})")
    },
    not_tried: |count| format!("{count} ältere Codes wurden nicht versucht und können genannt werden"),
    passed_over: |numbers| format!("Version {numbers} ist keine Hinterlegung von uns und wurde übergangen"),
    older_code: |opened, since, newest| {
        format!("diese Wörter öffnen Code {opened} ({}); die neueste Hinterlegung hat Code {newest}", date(since))
    },
    fresh: |fresh| {
        let Fresh { made_at, code, sequence, place, check_line } = fresh;
        format!(
            "Geöffnet: Hinterlegung vom {}, Code {code}, laufende Nummer {sequence}, {place}, Prüfzeile {check_line}",
            date(*made_at)
        )
    },
    older_would_show: "Bitte vergleichen Sie Code, Prüfzeile und Datum mit Ihrem Blatt. Ein Datum vor dem des Blattes wäre \
                       eine Warnung: Dann rufen Sie an.",
    does_it_fit: "Passt das?",
    step_look: "1 Diese Maschine wird geprüft …",
    step_claim: "2 Beim Hub wird angefragt …",
    step_fetch: "2 Die Hinterlegung wird geholt, ohne den Hub …",
    step_words: |name, rehearsal| {
        let practice = if rehearsal { " (eine Übung)" } else { "" };
        format!("3 Box {name}{practice}. Die zehn Wörter öffnen sie.")
    },
    step_connect: "5 Verbindung zum Backup-Server …",
    step_plan: "6 Der Plan:",
    step_install: "7 Schlüssel, Token und Speicher werden eingerichtet …",
    step_restore: "8 Wird zurückgeholt …",
    step_close: "9 Zum Schluss: neu hinterlegt unter denselben Wörtern …",
    job_of_lost: |name, what| format!("  Der Sicherungsauftrag {name} der verlorenen Box: {what}"),
    put_job: "  Soll er von nun an hier laufen?",
    at_hub: |number| format!("Version {number} am Hub"),
    not_of_code: |code| format!("diese Wörter sind nicht die von Code {code}"),
    sheet_stays: "Ihr Blatt hat nun ein älteres Datum: Das ist in Ordnung. Ein neues: `tenwords-agent sheet`.",
    tunnel: |name, sources| {
        format!(
            "  Nicht erreicht: {sources}. Die Hinterlegung enthält den Tunnel {name} (WireGuard), der dorthin führen kann. \
             Darin steht, ohne seine Schlüssel:"
        )
    },
    tunnel_command: |command| format!("  Beim Aufbau läuft `{command}` und jedes PreUp und PostUp, das oben steht."),
    start_tunnel: |name| format!("Den Tunnel {name} jetzt aufbauen?"),
    secret_needed: |token, server, certificate| {
        format!(
            "  Ein neues Geheimnis für dasselbe Token kann hier eingegeben werden. Es geht nur an diesen Server, nie an den \
             Hub.\n    Token       {token}\n    Server      {server}\n    Zertifikat  {certificate}"
        )
    },
    secret_command: |command| format!("  Auf dem Server selbst entsteht es so: {command}"),
    secret_asked: |token| format!("Das Geheimnis von {token} (wird nicht angezeigt; Enter allein geht ohne weiter): "),
    secret_refused: |server| format!("  {server} nimmt auch dieses nicht an."),
    needs_former: |snapshot, code, since| {
        format!(
            "{snapshot} braucht einen Schlüssel, der unter Code {code} ({}) liegt, nicht unter diesen Wörtern.",
            date(since)
        )
    },
    have_former: "Haben Sie das Blatt dieses Codes?",
    former_words: |code| format!("Bitte geben Sie die zehn Wörter von Code {code} ein. Strg-C geht ohne sie weiter."),
    to_be_drilled: |name| {
        format!(
            "Übung an der Box {name}: Geändert wird nichts. Die zehn Wörter öffnen ihre Hinterlegung wie nach einem \
             Verlust."
        )
    },
    drill_swept: "Eine abgebrochene Übung hatte liegen lassen, was sie geholt hat; das ist jetzt entfernt.",
    own_copy: |why| {
        format!(
            "Der Hub antwortet nicht ({why}). Die Wörter werden an der Abschrift versucht, die diese Box behalten hat."
        )
    },
    own_copy_proves: "Die Wörter sind richtig. Geöffnet haben sie die eigene Abschrift dieser Box, die mit ihr verloren \
                      wäre: Was beim Hub liegt, wurde nicht angesehen; das ist also keine Übung.",
    drill_good: "Die Übung ist geschafft",
    drill_not_good: "Die Übung ist NICHT gut ausgegangen",
    drill_interrupted: "abgebrochen: Bewiesen ist nichts; bitte denselben Befehl noch einmal",
    words_opened: |code, since, keys, place| {
        let keys = if keys == 1 { "1 Schlüssel".to_owned() } else { format!("{keys} Schlüsseln") };
        format!("diese Wörter öffnen Code {code}, die Hinterlegung vom {} ({place}), mit {keys}", date(since))
    },
    words_prove: |code| {
        format!(
            "Was das beweist: Diese Wörter öffnen die Hinterlegung von heute, Code {code}; was dort liegt, ist, was diese \
             Box hinterlegt hat, mit den Schlüsseln und Quellen, die sie jetzt benutzt."
        )
    },
    words_do_not_prove: "Was es nicht beweist: dass die Sicherungen zurückkommen. Das tut `tenwords-agent drill --archive`.",
    not_newest_code: |opened, newest| {
        format!("das sind die Wörter von Code {opened}; die neueste Hinterlegung hat Code {newest}")
    },
    take_newest: "bitte mit dem Blatt des neuesten Codes noch einmal üben; hat es niemand, einen neuen Code ziehen: \
                  `tenwords-agent escrow create --new-code`",
    not_newest: |opened, newest| {
        format!("geöffnet wurde nicht, was diese Box zuletzt hinterlegt hat: Folge {opened} statt {newest}")
    },
    ask_about_newest: "den Betreuer fragen, was aus der neuesten Version geworden ist; dann neu hinterlegen: `tenwords-agent \
                       escrow create`",
    key_lacking: |key, whose| {
        format!("der Schlüssel {key} von {whose} fehlt in dieser Hinterlegung: Seine Sicherungen gingen nicht auf")
    },
    source_lacking: |id| {
        format!(
            "die Quelle {id} steht nicht so in dieser Hinterlegung, wie sie jetzt ist (Server, Datastore, Namensraum, \
             Zertifikat, Benutzer oder Schlüssel): Eine Wiederherstellung würde dort nicht suchen"
        )
    },
    token_lacking: |id| format!("das Token der Quelle {id} fehlt in dieser Hinterlegung"),
    hold_ceremony: "mit dem Kunden an der Konsole neu hinterlegen: `tenwords-agent escrow create`",
    came_back: |back| {
        let CameBack { archive, snapshot, source, files, size } = back;
        let files = if *files == 1 { "1 Datei".to_owned() } else { format!("{files} Dateien") };
        format!("{archive} aus {snapshot} kam von {source} zurück: {files}, {size}; es ist wieder entfernt")
    },
    beside_live: |with, same, different| match different {
        0 => format!("neben {with}: alle {same} Einträge sind gleich"),
        n => format!("neben {with}: {same} Einträge sind gleich, {n} anders (lebende Daten ändern sich)"),
    },
    archive_proves: "Was das beweist: Allein mit diesen Wörtern kommt dieses Archiv zurück, mit dem Schlüssel und dem Token, \
                     die sie öffnen, und es ist das, was beim Sichern signiert wurde.",
    archive_proves_less: "Was das beweist: Allein mit diesen Wörtern kommt dieses Archiv zurück, mit dem Schlüssel und dem \
                          Token, die sie öffnen. Mit dem Signierten konnte es nicht verglichen werden.",
    archive_does_not_prove: "Was es nicht beweist: dass die anderen Archive zurückkommen oder ein Gast startet.",
    drill_left: |path| format!("was zurückkam, konnte NICHT entfernt werden: Bitte {path} von Hand entfernen"),
    drill_reported: |at| format!("Der Hub hat sie vermerkt ({at})."),
    drill_not_reported: |why| format!("der Hub hat diese Übung NICHT vermerkt: {why}"),
    drill_without_hub: "Kein Hub kennt diese Box: Gemeldet wurde es niemandem. Geöffnet wurde ihre eigene Abschrift; ob das \
                        Kit noch da ist, kann hier niemand sagen.",
    drill_not_to_report: "Dem Hub wurde nichts gemeldet: Nur eine Übung, die gut ausgeht, zählt.",
    what_to_do: "Was zu tun ist: ",
    note: "Hinweis: ",
    lost_alive: &[
        "Die zehn Wörter sind verloren, aber diese Box lebt: Noch ist nichts verloren.",
        "",
        "Die Schlüssel sind noch hier; die Box kann jetzt neue Wörter bekommen:",
        "",
        "  1. Ziehen Sie einen neuen Code: `tenwords-agent escrow create`, oder an",
        "     der Konsole \"Neue zehn Wörter\". Die alten Wörter braucht es dazu nicht.",
        "  2. Schreiben Sie die neuen Wörter von Hand auf ein neues Blatt und tippen",
        "     Sie sie einmal ab. Bis dahin ändert sich nichts; danach gilt das neue.",
        "  3. Taucht das alte Blatt wieder auf, fragen Sie, wer Ihnen hilft, ob ältere",
        "     Sicherungen es noch brauchen, bevor Sie es vernichten. Könnte es jemand",
        "     gelesen haben, sagen Sie ihm auch das.",
        "",
        "Tun Sie es heute: Geht diese Box vorher verloren, bleiben die Sicherungen zu.",
    ],
    lost_dead: &[
        "Die zehn Wörter sind verloren, und hier ist kein Schlüssel der Box. Läuft",
        "sie selbst noch? Dann dort noch einmal: Sie kann neue Wörter bekommen.",
        "Ist auch sie verloren: Die ehrliche Antwort:",
        "",
        "Ohne die zehn Wörter öffnet niemand die verschlüsselten Sicherungen: nicht",
        "wer Ihnen hilft, nicht der Hub, nicht wir, die dieses Programm machen. Es gibt",
        "keinen zweiten Weg. Wer Ihnen für Geld einen anbietet, lügt.",
        "",
        "Was noch helfen kann, in dieser Reihenfolge:",
        "  1. Die Platte der Box, auch beschädigt: nichts schreiben, Abbild ziehen.",
        "     Darin: /var/lib/pve-cluster/config.db (/etc/pve/priv/storage/*.enc).",
        "  2. Ein anderes Blatt, auch von einem älteren Code: Es öffnet, was damals",
        "     hinterlegt wurde. Tresor, Bank, Notar, wer dabei war.",
        "  3. Ein Wort unsicher? Das wahrscheinlichste tippen: Ähnliche, vertauschte",
        "     werden versucht. Fehlt eines ganz: Ein Fachmann probiert alle 7776.",
        "  4. Papierschlüssel oder Hauptschlüssel des Proxmox Backup Server, wenn es",
        "     einen gibt.",
        "  5. Ein anderer Knoten desselben Clusters: Er hat dieselben Schlüssel.",
        "  6. Unverschlüsselte Sicherungen, Kopien anderswo, Exporte der Gäste.",
        "",
        "Gibt es nichts davon, bleiben die Sicherungen zu. Heben Sie sie trotzdem auf.",
    ],
};
