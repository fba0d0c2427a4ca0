//! The recovery sheet: one page for the customer, with everything but the ten words, and lines to
//! write them on by hand.
//!
//! [`facts`] is what stands on it; [`blocks`] and [`layout`] place facts and sentences on a [`page`];
//! [`pdf`] and [`plain`] write it. All but this file is without I/O and without clock.

mod blocks;
mod facts;
mod font;
mod language;
mod layout;
mod page;
mod pdf;
mod plain;
mod qr;
mod stock;
#[cfg(test)]
mod tests;
mod wrap;

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use tenwords_protocol::{time::Timestamp, v1::V1};

pub(crate) use self::facts::{Escrow, Facts, Operator};
use self::page::Paper;
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    language::{Charset, Language},
    seat::Seat,
    settings::Configuration,
    show::harmless,
};

/// How a sheet is to look. Its kind is told by the file's name.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// The paper, of a PDF
    #[arg(long, value_enum, value_name = "PAPER", default_value = "a4")]
    pub(crate) paper: Paper,
    /// The sheet's language [default: as the environment asks, else en]
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    pub(crate) language: Option<Language>,
    /// A plain text in ASCII, for printers that know nothing else
    #[arg(long)]
    pub(crate) ascii: bool,
}

/// `sheet`.
#[derive(Debug, Args)]
pub(crate) struct Sheet {
    /// Where to; a name that ends with .pdf or .txt
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) look: Look,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    v: V1,
    pub(crate) file: PathBuf,
    code_number: u64,
    check_line: String,
}

/// A way of [`durable`] to put a file in its place.
type Write = fn(&str, &Path, u32, &[u8]) -> io::Result<()>;

/// The kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pdf,
    Text,
}

/// A moment's day, as a sheet in this language writes it.
pub(crate) fn day(time: Timestamp, of: Language) -> String {
    (language::sentences(of).date)(facts::Date::of(time))
}

/// The sheet of the newest escrow, from what the box knows of itself; nobody is asked.
pub(crate) fn run(configuration: &Configuration, sheet: &Sheet) -> Outcome<Written> {
    let kind = Kind::of(&sheet.out)?;
    let facts = Facts::of_newest(configuration)?;
    put(&facts, &sheet.out, kind, &sheet.look, if sheet.force { durable::replace } else { durable::create })
}

/// Writes the sheet of these facts to a file that is not there yet.
pub(crate) fn write(facts: &Facts, out: &Path, look: &Look) -> Outcome<Written> {
    put(facts, out, Kind::of(out)?, look, durable::create)
}

/// Refuses a file that [`write()`] would refuse, before anything else is done.
pub(crate) fn check(out: &Path) -> Outcome<()> {
    Kind::of(out)?;
    if out.symlink_metadata().is_ok() {
        return Err(Stop::new(Code::Usage, format!("{} is there already", out.display()))
            .remedy("name another file for the sheet, or remove this one if its code protects nothing"));
    }
    Ok(())
}

/// Nothing on a sheet is secret, so whoever prints it may read it: 0644.
fn put(facts: &Facts, out: &Path, kind: Kind, look: &Look, write: Write) -> Outcome<Written> {
    let language = look.language.unwrap_or_else(Language::of_environment);
    let bytes = made(facts, kind, look.paper, language, if look.ascii { Charset::Ascii } else { Charset::Utf8 })?;
    let cannot = || format!("cannot write the sheet to {}", out.display());
    let path = std::path::absolute(out).or_stop(Code::Usage, cannot)?;
    write("sheet", &path, 0o644, &bytes).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(out),
        _ => Stop::new(Code::Preflight, cannot()).because(error),
    })?;
    let Facts { code_number, check_line, .. } = facts;
    Ok(Written { v: V1, file: path, code_number: code_number.get(), check_line: check_line.clone() })
}

fn made(facts: &Facts, kind: Kind, paper: Paper, language: Language, charset: Charset) -> Outcome<Vec<u8>> {
    let sentences = language::sentences(language);
    if kind == Kind::Text {
        return Ok(plain::write(facts, sentences, charset).into_bytes());
    }
    let squares = qr::Squares::of(&qr::text(facts))
        .or_stop(Code::Internal, || "the facts do not fit into a QR code; a .txt sheet has none".into())?;
    let page = layout::page(facts, sentences, &squares, paper);
    let title = format!("{} - {}", sentences.title, facts.box_name);
    Ok(pdf::write(&page, &title, language))
}

fn is_there(out: &Path) -> Stop {
    Stop::new(Code::Usage, format!("{} is there already", out.display()))
        .remedy("name another file, or say --force to replace it")
}

fn language(text: &str) -> Result<Language, String> {
    Language::named(text).ok_or_else(|| {
        let known: Vec<&str> = Language::ALL.into_iter().map(Language::code).collect();
        format!("there are {}", known.join(" and "))
    })
}

impl Kind {
    fn of(out: &Path) -> Outcome<Self> {
        match out.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("pdf") => Ok(Self::Pdf),
            Some("txt") => Ok(Self::Text),
            _ => Err(Stop::new(Code::Usage, format!("{} is neither a .pdf nor a .txt", out.display()))
                .remedy("let the file's name end with .pdf or .txt")),
        }
    }
}

impl Written {
    /// Waits until the sheet lies before the customer.
    pub(crate) fn have_printed(&self, seat: &mut dyn Seat, look: &Look) -> Outcome<()> {
        let sentences = language::sentences(look.language.unwrap_or_else(Language::of_environment));
        let question = (sentences.print_it)(&harmless(&self.file.display().to_string(), 200));
        seat.ask(&question).map(drop)
    }

    /// The code protects nothing: its sheet must not be there as if it did. What was printed is for the
    /// customer to destroy, who is told.
    pub(crate) fn take_back(&self) {
        if let Err(error) = std::fs::remove_file(&self.file) {
            tracing::warn!(file = %self.file.display(), %error, "the sheet could not be removed");
        }
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(format!(
            "The sheet of code {} is in {}; check line {}.",
            self.code_number,
            self.file.display(),
            self.check_line
        ));
        lines.push(
            "It is for the ten words by hand: they are not on it, and nothing that prints it knows them.".to_owned(),
        );
        lines
    }
}
