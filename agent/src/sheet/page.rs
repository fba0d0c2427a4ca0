//! A page before it is a PDF: texts, lines and filled rectangles at their places.
//!
//! Lengths are points (1/72 inch); the origin is the upper left corner, y grows downwards.

use super::font::Face;

/// Points in a millimetre.
pub(super) const MM: f32 = 72.0 / 25.4;

/// A size of paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Paper {
    /// 210 by 297 mm
    A4,
    /// 8.5 by 11 inches
    Letter,
}

impl Paper {
    /// Width and height.
    pub(super) const fn size(self) -> (f32, f32) {
        match self {
            Self::A4 => (210.0 * MM, 297.0 * MM),
            Self::Letter => (612.0, 792.0),
        }
    }
}

/// Something on a page, black.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// A line of text; `y` is its base line.
    Text { x: f32, y: f32, face: Face, size: f32, text: String },
    /// A filled rectangle; `y` is its upper edge.
    Fill { x: f32, y: f32, width: f32, height: f32 },
}

/// Items that belong together, from the upper left corner of their own.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) items: Vec<Item>,
    pub(super) height: f32,
}

/// All that is on one sheet of paper.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) paper: Paper,
    pub(super) items: Vec<Item>,
}

impl Block {
    pub(super) fn text(&mut self, x: f32, y: f32, (face, size): (Face, f32), text: impl Into<String>) {
        self.items.push(Item::Text { x, y, face, size, text: text.into() });
    }

    /// A text that ends at `x`.
    pub(super) fn text_before(&mut self, x: f32, y: f32, (face, size): (Face, f32), text: &str) {
        self.text(x - face.width(text, size), y, (face, size), text);
    }

    /// A horizontal line; `y` is its middle.
    pub(super) fn line(&mut self, x: f32, y: f32, width: f32, thickness: f32) {
        self.items.push(Item::Fill { x, y: y - thickness / 2.0, width, height: thickness });
    }

    /// A frame whose outer edge is this rectangle.
    pub(super) fn frame(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), thickness: f32) {
        let mut fill = |x, y, width, height| self.items.push(Item::Fill { x, y, width, height });
        fill(x, y, width, thickness);
        fill(x, y + height - thickness, width, thickness);
        fill(x, y, thickness, height);
        fill(x + width - thickness, y, thickness, height);
    }

    /// Takes another block in, moved.
    pub(super) fn take(&mut self, x: f32, y: f32, block: Self) {
        self.items.extend(block.items.into_iter().map(|item| item.moved(x, y)));
    }
}

impl Item {
    pub(super) fn moved(self, by_x: f32, by_y: f32) -> Self {
        match self {
            Self::Text { x, y, face, size, text } => Self::Text { x: x + by_x, y: y + by_y, face, size, text },
            Self::Fill { x, y, width, height } => Self::Fill { x: x + by_x, y: y + by_y, width, height },
        }
    }
}
