//! asciicast v2: a header line, then one line `[seconds, "o", text]` for each piece of output.

use std::{num::NonZeroU16, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// The terminal's columns and lines.
pub const COLUMNS: u16 = 80;
/// See [`COLUMNS`].
pub const ROWS: u16 = 24;

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// What stands above it.
    pub title: String,
    /// What was sent, in order of time.
    pub events: Vec<Event>,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the beginning, in whole milliseconds.
    pub at: Duration,
    /// What was sent.
    pub text: String,
}

impl Cast {
    /// The file's text.
    ///
    /// # Errors
    /// None; what JSON can say is said.
    pub fn to_text(&self) -> Result<String> {
        let header = json!({
            "version": 2, "width": COLUMNS, "height": ROWS, "title": self.title, "env": {"TERM": "xterm-256color"},
        });
        let mut text = format!("{header}\n");
        for Event { at, text: sent } in &self.events {
            let sent = serde_json::to_string(sent)?;
            text.push_str(&format!("[{}.{:03}, \"o\", {sent}]\n", at.as_secs(), at.subsec_millis()));
        }
        Ok(text)
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let header: Value = serde_json::from_str(lines.next().context("it is empty")?).context("its first line")?;
        ensure!(header["version"] == 2, "it is not asciicast v2");
        ensure!(header["width"] == COLUMNS && header["height"] == ROWS, "it is not of {COLUMNS} by {ROWS}");
        let title = header["title"].as_str().context("it has no title")?.to_owned();
        let mut events: Vec<Event> = Vec::new();
        for (line, number) in lines.zip(2..) {
            let event = event(line).with_context(|| format!("line {number}"))?;
            ensure!(events.last().is_none_or(|before| before.at <= event.at), "line {number} goes back in time");
            events.push(event);
        }
        ensure!(!events.is_empty(), "it shows nothing");
        Ok(Self { title, events })
    }

    /// All that was sent.
    #[must_use]
    pub fn text(&self) -> String {
        self.events.iter().map(|event| event.text.as_str()).collect()
    }

    /// When the last piece was sent.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.events.last().map_or(Duration::ZERO, |event| event.at)
    }

    /// What a screen shows after each piece.
    pub fn screens(&self) -> impl Iterator<Item = (Duration, vt100::Screen)> {
        let mut model = model();
        self.events.iter().map(move |event| {
            model.process(event.text.as_bytes());
            (event.at, model.screen().clone())
        })
    }

    /// The last screen, below all that has scrolled out of it.
    #[must_use]
    pub fn left_at_the_end(&self) -> String {
        let mut model = model();
        model.process(self.text().as_bytes());
        let screen = model.screen_mut();
        let mut all = String::new();
        for back in (0..=screen.scrollback_len()).rev() {
            screen.set_scrollback(back);
            all.push_str(&screen.contents());
            all.push('\n');
        }
        all
    }
}

fn event(line: &str) -> Result<Event> {
    let (seconds, kind, text): (f64, String, String) = serde_json::from_str(line)?;
    ensure!(kind == "o", "it is no output");
    ensure!((0.0..1e6).contains(&seconds), "there is no such time");
    let at = Duration::from_secs_f64(seconds);
    // To the millisecond, as it was written.
    let at = Duration::from_millis(u64::try_from((at + Duration::from_micros(500)).as_millis())?);
    Ok(Event { at, text })
}

fn model() -> vt100::Parser {
    let number = |n| NonZeroU16::new(n).unwrap_or(NonZeroU16::MIN);
    vt100::Parser::new(number(ROWS), number(COLUMNS), SCROLLBACK)
}

const SCROLLBACK: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    fn cast() -> Cast {
        let event = |at, text: &str| Event { at: Duration::from_millis(at), text: text.into() };
        Cast { title: "ä \"title\"".into(), events: vec![event(0, "$ "), event(1_005, "\u{1b}[1mé\u{1b}[m\r\n")] }
    }

    #[test]
    fn what_is_written_is_read_again() -> Result<()> {
        let text = cast().to_text()?;
        assert!(text.contains("\n[1.005, \"o\", \"\\u001b[1mé\\u001b[m\\r\\n\"]\n"), "{text}");
        assert_eq!(Cast::parse(&text)?, cast());
        Ok(())
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() -> Result<()> {
        let text = cast().to_text()?;
        for (from, to, told) in [
            ("\"version\":2", "\"version\":1", "asciicast v2"),
            ("\"width\":80", "\"width\":81", "80 by 24"),
            ("[1.005, \"o\"", "[1.005, \"i\"", "line 3: it is no output"),
            ("[1.005", "[-1.0", "line 3: there is no such time"),
            ("[0.000", "[9.000", "line 3 goes back in time"),
            ("\"o\", \"$ \"]", "\"o\", \"$ \"", "line 2"),
        ] {
            assert!(text.contains(from), "{from}");
            let refused = Cast::parse(&text.replace(from, to)).err().map(|error| format!("{error:#}"));
            assert!(refused.as_ref().is_some_and(|refused| refused.contains(told)), "{to}: {refused:?}");
        }
        assert!(Cast::parse("").is_err());
        Ok(())
    }

    #[test]
    fn what_scrolled_out_is_left_too() {
        let lines: String = (0..60).map(|n| format!("line {n}.\r\n")).collect();
        let cast = Cast { title: String::new(), events: vec![Event { at: Duration::ZERO, text: lines }] };
        let left = cast.left_at_the_end();
        assert!(left.contains("line 0.") && left.contains("line 59."), "{left}");
    }
}
