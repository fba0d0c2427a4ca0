//! Facts and sentences to one page.

use super::{
    blocks,
    facts::Facts,
    language::Sentences,
    page::{MM, Page, Paper},
    qr::Squares,
};

/// What printers leave white, and a folder's holes need.
const SIDE: f32 = 19.0 * MM;
const TOP: f32 = 10.0 * MM;
const BOTTOM: f32 = 9.0 * MM;
/// Writing lines are so far apart at least: people write larger than they read.
const LEAST_PITCH: f32 = 9.3 * MM;
const MOST_PITCH: f32 = 12.0 * MM;
const LEAST_GAP: f32 = 8.0;
const MOST_GAP: f32 = 17.0;
const WRITING_LINES: f32 = 5.0;

/// The page. What is left over becomes room to write, then room between the parts.
pub(super) fn page(facts: &Facts, sentences: &Sentences, squares: &Squares, paper: Paper) -> Page {
    let (paper_width, paper_height) = paper.size();
    let width = paper_width - 2.0 * SIDE;
    let room = paper_height - TOP - BOTTOM;
    let way = sentences.way(facts);
    let parts = |pitch| {
        [
            blocks::header(facts, sentences, width),
            blocks::call(facts, sentences, width),
            blocks::words(sentences, pitch, width),
            blocks::never(sentences, width),
            blocks::steps(way, sentences, width),
            blocks::facts(facts, sentences, squares, width),
            blocks::without_us(way, sentences, width),
            blocks::keep(way, width),
        ]
    };
    let tight = parts(LEAST_PITCH);
    #[expect(clippy::cast_precision_loss, reason = "there are eight parts")]
    let gaps = (tight.len() - 1) as f32;
    let left = room - tight.iter().map(|part| part.height).sum::<f32>() - gaps * LEAST_GAP;
    let pitch = (LEAST_PITCH + left * 0.6 / WRITING_LINES).clamp(LEAST_PITCH, MOST_PITCH);
    let left = left - (pitch - LEAST_PITCH) * WRITING_LINES;
    let gap = (LEAST_GAP + left / gaps).clamp(0.0, MOST_GAP);

    let mut whole = super::page::Block::default();
    let mut y = TOP;
    for part in parts(pitch) {
        let height = part.height;
        whole.take(SIDE, y, part);
        y += height + gap;
    }
    Page { paper, items: whole.items }
}
