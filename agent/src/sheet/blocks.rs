//! The parts of the sheet, each as a block of its own for a given width.

use super::{
    facts::Facts,
    font::Face::{self, Bold, Mono, Sans},
    language::{Sentences, Way},
    page::{Block, MM},
    qr::Squares,
    stock,
    wrap::{at_most, wrap},
};

/// Running text.
const TEXT: (Face, f32) = (Sans, 9.5);
const LEADING: f32 = 12.2;
const SMALL: (Face, f32) = (Sans, 8.0);
/// What a fact is called.
const LABEL: (Face, f32) = (Sans, 9.0);
const SMALL_LEADING: f32 = 9.8;
const HEADING: (Face, f32) = (Bold, 11.5);
/// What a heading takes, from the edge above it to the base line of what follows.
const BELOW_HEADING: f32 = 26.0;
/// How thick a line is on which somebody writes.
pub(super) const WRITING: f32 = 0.9;
/// The side of the QR code, without its margin.
pub(super) const QR: f32 = 33.0 * MM;

/// Which box, which code, of when.
pub(super) fn header(facts: &Facts, sentences: &Sentences, width: f32) -> Block {
    let mut block = Block::default();
    block.text(0.0, 11.0, (Bold, 11.0), sentences.title);
    block.text_before(width, 11.0, (Sans, 11.0), "tenwords");

    let code = (sentences.code)(facts.code_number.get());
    let date = (sentences.date)(facts.date);
    let beside = Bold.width(&code, 15.0).max(Sans.width(&date, 11.0));
    let room = width - beside - 24.0;
    let largest = [27.0, 24.0, 21.0, 18.0, 16.0].into_iter().find(|size| Bold.width(&facts.box_name, *size) <= room);
    if let Some(size) = largest {
        block.text(0.0, 43.0, (Bold, size), &*facts.box_name);
    } else {
        let lines = lines(&facts.box_name, (Bold, 13.0), room, 2);
        for (line, y) in lines.into_iter().zip([29.0, 45.0]) {
            block.text(0.0, y, (Bold, 13.0), line);
        }
    }
    block.text_before(width, 29.0, (Bold, 15.0), &code);
    block.text_before(width, 44.0, (Sans, 11.0), &date);
    block.line(0.0, 54.0, width, 2.0);
    block.height = 55.0;
    block
}

/// Who helps, and the number to call; lines to fill in by hand for what is not known.
pub(super) fn call(facts: &Facts, sentences: &Sentences, width: f32) -> Block {
    let mut block = Block::default();
    let half = width * 0.56;
    let mut fact = |x: f32, width: f32, label: &str, value: Option<&String>| {
        block.text(x, 8.0, LABEL, label);
        let Some(value) = value else {
            block.line(x, 28.0, width, 0.8);
            return;
        };
        let fitting = [16.0, 14.0, 12.0].into_iter().find(|size| Bold.width(value, *size) <= width);
        if let Some(size) = fitting {
            block.text(x, 25.0, (Bold, size), value);
        } else {
            for (line, y) in lines(value, (Bold, 9.5), width, 2).into_iter().zip([18.5, 29.5]) {
                block.text(x, y, (Bold, 9.5), line);
            }
        }
    };
    fact(0.0, half - 14.0, sentences.operator, facts.operator.as_ref());
    fact(half, width - half, sentences.phone, facts.phone.as_ref());
    block.height = 31.0;
    block
}

/// Ten numbered lines to write on, so far apart.
pub(super) fn words(sentences: &Sentences, pitch: f32, width: f32) -> Block {
    const GUTTER: f32 = 22.0;
    const DOWN: u8 = 5;
    let mut block = Block::default();
    heading(&mut block, sentences.words, width);
    block.text(0.0, BELOW_HEADING + 2.0, TEXT, sentences.by_hand);
    let column = (width - GUTTER) / 2.0;
    for place in 0..10 {
        let x = if place < DOWN { 0.0 } else { column + GUTTER };
        let y = BELOW_HEADING + 2.0 + pitch * f32::from(place % DOWN + 1);
        block.text_before(x + 15.0, y, (Bold, 13.0), &(place + 1).to_string());
        block.line(x + 22.0, y + 1.0, column - 22.0, WRITING);
    }
    block.height = BELOW_HEADING + 7.0 + pitch * f32::from(DOWN);
    block
}

/// Who will never ask.
pub(super) fn never(sentences: &Sentences, width: f32) -> Block {
    const PAD: f32 = 10.0;
    let mut block = Block::default();
    let mut y = 19.0;
    block.text(PAD, y, (Bold, 13.0), sentences.never);
    for line in lines(sentences.never_at_length, TEXT, width - 2.0 * PAD, 4) {
        y += if y < 20.0 { 14.5 } else { LEADING };
        block.text(PAD, y, TEXT, line);
    }
    block.height = y + 8.0;
    block.frame((0.0, 0.0), (width, block.height), 2.0);
    block
}

/// What to do, in ten lines.
pub(super) fn steps(way: &Way, sentences: &Sentences, width: f32) -> Block {
    let mut block = Block::default();
    // The box above is edge enough.
    block.text(0.0, 10.0, HEADING, sentences.what_to_do);
    let mut y = 25.0;
    for (place, step) in way.steps.iter().enumerate() {
        block.text_before(15.0, y, (Bold, TEXT.1), &(place + 1).to_string());
        for line in lines(step, TEXT, width - 22.0, 2) {
            block.text(22.0, y, TEXT, line);
            y += LEADING;
        }
    }
    block.height = y - LEADING + 3.0;
    block
}

/// The facts, and beside them the code that says the same to a camera.
pub(super) fn facts(facts: &Facts, sentences: &Sentences, squares: &Squares, width: f32) -> Block {
    const VALUE: f32 = 90.0;
    const SHOWN: usize = 3;
    const ROW: f32 = 14.0;
    let mut block = Block::default();
    // The margin that a reader wants is four squares wide; what is left of it stays white.
    let left = width - QR - 18.0;
    heading(&mut block, sentences.facts, left);
    let mut y = BELOW_HEADING + 2.0;
    let mut fact = |label: &str, style: (Face, f32), values: Vec<String>| {
        block.text(0.0, y, LABEL, label);
        for value in values {
            block.text(VALUE, y, style, value);
            y += ROW;
        }
    };
    let mono = (Mono, 9.0);
    let room = left - VALUE;
    fact(sentences.box_id, mono, vec![facts.box_id.to_string()]);
    fact(sentences.way(facts).origin, mono, lines(facts.origin(), mono, room, 2));
    // In a face whose 0 is not its O.
    fact(sentences.check_line, (Mono, 11.0), vec![facts.check_line.clone()]);
    fact(sentences.keys, mono, lines(&keys(facts, sentences, SHOWN), mono, room, 3));
    block.take(width - QR, 0.0, picture(squares));
    // Beside the squares and not below: the height is needed elsewhere.
    let caption = (y - ROW + 11.0).max(QR - 2.0);
    block.text_before(left, caption, SMALL, sentences.picture);
    block.height = caption + 2.0;
    block
}

/// How everything opens with stock tools alone.
pub(super) fn without_us(way: &Way, sentences: &Sentences, width: f32) -> Block {
    const COMMAND: (Face, f32) = (Mono, 8.5);
    const COMMAND_LEADING: f32 = 10.2;
    let mut block = Block::default();
    heading(&mut block, sentences.stock, width);
    let mut y = BELOW_HEADING - 1.0;
    for line in lines(&format!("{} {}", sentences.stock_how, way.bundle), SMALL, width, 4) {
        block.text(0.0, y, SMALL, line);
        y += SMALL_LEADING;
    }
    y += 2.0;
    for (command, note) in stock::LINES.iter().zip(sentences.stock_notes) {
        block.text(0.0, y, COMMAND, *command);
        block.text_before(width, y, SMALL, note);
        y += COMMAND_LEADING;
    }
    block.height = y - COMMAND_LEADING + 3.0;
    block
}

/// Where the sheet belongs.
pub(super) fn keep(way: &Way, width: f32) -> Block {
    let mut block = Block::default();
    let style = (Bold, 8.0);
    let mut y = 7.0;
    for line in lines(way.keep, style, width, 2) {
        block.text(0.0, y, style, line);
        y += SMALL_LEADING;
    }
    block.height = y - SMALL_LEADING + 2.0;
    block
}

/// The keys by their short fingerprints; more than `shown` are counted.
pub(super) fn keys(facts: &Facts, sentences: &Sentences, shown: usize) -> String {
    let mut keys = facts.keys.iter().take(shown).map(ToString::to_string).collect::<Vec<_>>().join("  ");
    let more = facts.keys.len().saturating_sub(shown);
    if more > 0 {
        keys.push(' ');
        keys.push_str(&(sentences.more_keys)(more));
    }
    keys
}

fn heading(block: &mut Block, text: &str, width: f32) {
    block.line(0.0, 0.25, width, 0.5);
    block.text(0.0, 13.0, HEADING, text);
}

/// The squares, row by row; neighbours in one piece, so that no hair line shows between them.
fn picture(squares: &Squares) -> Block {
    let mut block = Block { height: QR, ..Block::default() };
    let side = QR / length(squares.side);
    for (row, from, count) in squares.runs() {
        block.items.push(super::page::Item::Fill {
            x: length(from) * side,
            y: length(row) * side,
            width: length(count) * side,
            height: side,
        });
    }
    block
}

#[expect(clippy::cast_precision_loss, reason = "a QR code has at most 177 squares along a side")]
const fn length(count: usize) -> f32 {
    count as f32
}

fn lines(text: &str, (face, size): (Face, f32), width: f32, limit: usize) -> Vec<String> {
    let fits = |line: &str| face.width(line, size) <= width;
    at_most(limit, wrap(text, fits), fits)
}
