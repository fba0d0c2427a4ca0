//! How far a restore is: a bar on a terminal, a plain line now and then elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::show::size;

/// Of one thing that is being restored.
pub(super) struct Progress {
    name: String,
    total: u64,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Progress {
    pub(super) fn new(name: &str, total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template(
                "  {msg:24!} {bar:24} {bytes:>11} of {total_bytes} {bytes_per_sec:>12} {eta:>4} left",
            ) {
                bar.set_style(style);
            }
            bar.set_message(name.to_owned());
            bar
        });
        Self { name: name.to_owned(), total, bar, told: Instant::now() }
    }

    pub(super) fn at(&mut self, written: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(written.min(self.total)),
            None if self.told.elapsed() >= PLAIN => {
                self.told = Instant::now();
                eprintln!("{}: {} of {}", self.name, size(written.min(self.total)), size(self.total));
            }
            None => {}
        }
    }

    /// The same, with what is being done. What was written may be more than the archives have.
    pub(super) fn at_step(&mut self, step: &str, written: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {step}", self.name));
        } else if self.told.elapsed() >= PLAIN {
            eprint!("{step}, ");
        }
        self.at(written);
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Without a terminal, a plain line so often.
const PLAIN: Duration = Duration::from_secs(10);
