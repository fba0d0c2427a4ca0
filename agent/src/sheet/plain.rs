//! The same sheet as plain text: 80 columns, one page of a printer.

use super::{blocks::keys, facts::Facts, language::Sentences, stock, wrap::wrap};
use crate::{language::Charset, show::columns};

const COLUMNS: usize = 80;
/// Where values begin.
const LABEL: usize = 20;

/// The text, lines ended by LF.
pub(super) fn write(facts: &Facts, sentences: &Sentences, charset: Charset) -> String {
    let mut text = Text { lines: Vec::new(), charset };
    let heavy = "=".repeat(COLUMNS);
    let code = (sentences.code)(facts.code_number.get());
    let date = (sentences.date)(facts.date);
    let way = sentences.way(facts);

    text.put(&format!("tenwords: {}", sentences.title));
    text.put(&heavy);
    text.fact(sentences.box_name, &facts.box_name);
    text.fact(sentences.made, &format!("{code}, {date}"));
    let by_hand = || "_".repeat(40);
    text.fact(sentences.operator, &facts.operator.clone().unwrap_or_else(by_hand));
    text.fact(sentences.phone, &facts.phone.clone().unwrap_or_else(by_hand));

    text.heading(sentences.words);
    text.put(sentences.by_hand);
    for place in 1..=5 {
        text.put("");
        text.put("");
        let line = "_".repeat(32);
        text.hanging(&format!(" {place:>2}. "), &format!("{line}   {:>2}. {line}", place + 5));
    }
    text.put("");
    text.put(&heavy);
    text.put(&sentences.never.to_uppercase());
    text.put(sentences.never_at_length);
    text.put(&heavy);

    text.heading(sentences.what_to_do);
    for (place, step) in way.steps.iter().enumerate() {
        text.hanging(&format!(" {:>2}. ", place + 1), step);
    }

    text.heading(sentences.facts);
    text.fact(sentences.box_id, &facts.box_id.to_string());
    text.fact(way.origin, facts.origin());
    text.fact(sentences.check_line, &facts.check_line);
    text.fact(sentences.keys, &keys(facts, sentences, 8));

    text.heading(sentences.stock);
    text.put(&format!("{} {}", sentences.stock_how, way.bundle));
    for (command, note) in stock::LINES.iter().zip(sentences.stock_notes) {
        if !note.is_empty() {
            text.hanging("    # ", note);
        }
        text.hanging("    ", command);
    }
    text.put("");
    text.put(way.keep);
    text.lines.join("\n") + "\n"
}

struct Text {
    lines: Vec<String>,
    charset: Charset,
}

impl Text {
    fn heading(&mut self, text: &str) {
        self.put("");
        self.put(text);
        let under = "-".repeat(columns(&self.charset.fit(text)));
        self.put(&under);
    }

    fn put(&mut self, text: &str) {
        self.hanging("", text);
    }

    fn fact(&mut self, label: &str, value: &str) {
        let label = self.charset.fit(label);
        let pad = " ".repeat(LABEL.saturating_sub(columns(&label)));
        for (place, value) in value.split('\n').enumerate() {
            let label = if place == 0 { format!("{label}{pad}") } else { " ".repeat(LABEL) };
            self.hanging(&label, value);
        }
    }

    /// `first`, and the text beside it in as many lines as it needs.
    fn hanging(&mut self, first: &str, text: &str) {
        let room = COLUMNS - columns(first);
        let mut before = first.to_owned();
        for line in wrap(&self.charset.fit(text), |line| columns(line) <= room) {
            self.lines.push(format!("{before}{line}").trim_end().to_owned());
            before = " ".repeat(columns(first));
        }
    }
}
