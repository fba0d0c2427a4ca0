//! A page as PDF: one page, three of the typefaces that every reader has, nothing compressed, nothing
//! from the clock. The same page is the same bytes.

use pdf_writer::{Content, Name, Pdf, Rect, Ref, Str, TextStr};

use super::{
    font::{self, Face},
    page::{Item, Page},
};
use crate::language::Language;

const CATALOG: Ref = Ref::new(1);
const TREE: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
const INFO: Ref = Ref::new(5);
const FIRST_FACE: i32 = 6;

/// The file's bytes.
pub(super) fn write(page: &Page, title: &str, language: Language) -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.catalog(CATALOG).pages(TREE).lang(TextStr(language.code()));
    pdf.document_info(INFO).title(TextStr(title)).creator(TextStr("tenwords-agent"));
    pdf.pages(TREE).kids([PAGE]).count(1);
    let (width, height) = page.paper.size();
    {
        let mut written = pdf.page(PAGE);
        written.media_box(Rect::new(0.0, 0.0, round(width), round(height))).parent(TREE).contents(CONTENT);
        let mut resources = written.resources();
        let mut fonts = resources.fonts();
        for (face, reference) in faces() {
            fonts.pair(name(face), reference);
        }
    }
    for (face, reference) in faces() {
        pdf.type1_font(reference).base_font(Name(face.name())).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    pdf.stream(CONTENT, &content(page, height));
    pdf.finish()
}

fn content(page: &Page, height: f32) -> Vec<u8> {
    let mut content = Content::new();
    for item in &page.items {
        match item {
            Item::Text { x, y, face, size, text } => {
                content.begin_text();
                content.set_font(name(*face), *size);
                content.next_line(round(*x), round(height - y));
                content.show(Str(&font::encode(text)));
                content.end_text();
            }
            Item::Fill { x, y, width, height: tall } => {
                content.rect(round(*x), round(height - y - tall), round(*width), round(*tall));
                content.fill_nonzero();
            }
        }
    }
    content.finish().into_vec()
}

fn faces() -> impl Iterator<Item = (Face, Ref)> {
    Face::ALL.into_iter().zip(FIRST_FACE..).map(|(face, number)| (face, Ref::new(number)))
}

const fn name(face: Face) -> Name<'static> {
    match face {
        Face::Sans => Name(b"Sans"),
        Face::Bold => Name(b"Bold"),
        Face::Mono => Name(b"Mono"),
    }
}

/// A thousandth of a point is enough, and makes short numbers.
fn round(length: f32) -> f32 {
    (length * 1000.0).round() / 1000.0
}
