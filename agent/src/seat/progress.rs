//! How far something is: a bar on a terminal, a plain line now and then elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::Moment;
use crate::show::size;

/// On standard error.
#[derive(Default)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    told: Option<Instant>,
}

impl Progress {
    pub(super) fn at(&mut self, moment: &Moment<'_>) {
        // What was written may be more than the archives have.
        let (bytes, of) = (moment.bytes.min(moment.of), moment.of);
        let name = match moment.step {
            Some(step) => format!("{}: {step}", moment.name),
            None => moment.name.to_owned(),
        };
        if io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| bar(of));
            bar.set_message(name);
            bar.set_position(bytes);
        } else if self.told.get_or_insert_with(Instant::now).elapsed() >= PLAIN {
            self.told = Some(Instant::now());
            eprintln!("{name}: {} of {}", size(bytes), size(of));
        }
    }

    pub(super) fn end(&mut self) {
        self.told = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(of: u64) -> ProgressBar {
    let bar = ProgressBar::new(of);
    if let Ok(style) = ProgressStyle::with_template(
        "  {msg:24!} {bar:24} {bytes:>11} of {total_bytes} {bytes_per_sec:>12} {eta:>4} left",
    ) {
        bar.set_style(style);
    }
    bar
}

/// Without a terminal, a plain line so often.
const PLAIN: Duration = Duration::from_secs(10);
