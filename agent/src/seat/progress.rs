//! How far everything is, on standard error: bars on a terminal, elsewhere a plain line when something
//! begins or ends and every ten seconds, or JSON lines for a program that reads them.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Event, Moment, Overview, Turn};
use crate::{
    language::Charset,
    show::{ascii, clock, size},
    terminal::fitted,
};

/// On standard error.
pub(super) struct Progress {
    is_json: bool,
    bars: Option<Bars>,
    told: Option<Instant>,
}

/// One bar for each thing that runs, and one for all below them.
struct Bars {
    multi: MultiProgress,
    all: ProgressBar,
    running: BTreeMap<usize, ProgressBar>,
}

/// One line of JSON.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Item(&'a Turn),
    Progress(&'a Overview),
}

#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    line: Line<'a>,
}

impl Progress {
    /// For a person, or as JSON lines.
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json, bars: None, told: None }
    }

    pub(super) fn turn(&mut self, turn: &Turn) {
        if self.is_json {
            return tell(&Line::Item(turn));
        }
        match (&self.bars, &turn.event) {
            // The bar says it.
            (_, Event::Begun { .. }) if io::stderr().is_terminal() => {}
            (Some(bars), _) => bars.say(&format!("  {}", of_turn(turn))),
            (None, _) => say(&of_turn(turn)),
        }
    }

    pub(super) fn at(&mut self, overview: &Overview) {
        if !self.is_json && io::stderr().is_terminal() {
            return self.bars.get_or_insert_with(Bars::new).show(overview);
        }
        let often = if self.is_json { JSON } else { PLAIN };
        if self.told.get_or_insert_with(Instant::now).elapsed() < often {
            return;
        }
        self.told = Some(Instant::now());
        if self.is_json { tell(&Line::Progress(overview)) } else { say(&plain(overview)) }
    }

    pub(super) fn end(&mut self) {
        self.told = None;
        if let Some(bars) = self.bars.take() {
            // They are gone already where the terminal is.
            let _gone = bars.multi.clear();
        }
    }
}

impl Bars {
    fn new() -> Self {
        let multi = MultiProgress::new();
        let all = multi.add(bar());
        Self { multi, all, running: BTreeMap::new() }
    }

    fn show(&mut self, overview: &Overview) {
        let Overview { bytes, of, running, .. } = overview;
        self.running.retain(|number, bar| {
            let runs = running.iter().any(|moment| moment.number == *number);
            if !runs {
                bar.finish_and_clear();
                self.multi.remove(bar);
            }
            runs
        });
        for moment in running {
            let bar = self.running.entry(moment.number);
            let bar = bar.or_insert_with(|| self.multi.insert_before(&self.all, bar_of(moment.of)));
            bar.set_position(moment.bytes);
            bar.set_message(fit(&of_moment(moment)));
        }
        self.all.set_length(*of);
        self.all.set_position(*bytes);
        self.all.set_message(fit(&of_all(overview)));
    }

    /// Above the bars.
    fn say(&self, text: &str) {
        if self.multi.is_hidden() || self.multi.println(fit(text)).is_err() {
            say(text);
        }
    }
}

fn bar_of(of: u64) -> ProgressBar {
    let bar = bar();
    bar.set_length(of);
    bar
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("  {bar:16} {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

// === as text ===

/// Everything in one line.
fn plain(overview: &Overview) -> String {
    let shown = overview.running.iter().take(SHOWN).map(of_moment);
    let more = overview.running.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("{more} more"));
    let parts: Vec<String> = [of_all(overview)].into_iter().chain(shown).chain(more).collect();
    parts.join("; ")
}

fn of_all(overview: &Overview) -> String {
    let Overview { back, missing, count, bytes, of, speed, left, .. } = overview;
    let missing = if *missing == 0 { String::new() } else { format!(", {missing} NOT") };
    format!("all: {}; {back} of {count} back{missing}", numbers(*bytes, *of, *speed, *left))
}

fn of_moment(moment: &Moment) -> String {
    let Moment { name, step, bytes, of, speed, left, .. } = moment;
    let step = step.as_ref().map(|step| format!(", {step}")).unwrap_or_default();
    format!("{name}: {}{step}", numbers(*bytes, *of, *speed, *left))
}

fn numbers(bytes: u64, of: u64, speed: Option<u64>, left: Option<Duration>) -> String {
    let speed = speed.map(|speed| format!(", {}/s", size(speed))).unwrap_or_default();
    let left = left.map(|left| format!(", {} left", clock(left))).unwrap_or_default();
    format!("{} of {}{speed}{left}", size(bytes), size(of))
}

fn of_turn(turn: &Turn) -> String {
    let Turn { name, event, .. } = turn;
    match event {
        Event::Begun { of } => format!("begun: {name} ({})", size(*of)),
        Event::Back { of } => format!("back: {name} ({})", size(*of)),
        Event::Missing { why } => format!("NOT back: {name}: {why}"),
    }
}

fn fit(text: &str) -> String {
    Charset::of_environment().fit(text)
}

fn say(text: &str) {
    eprintln!("{}", fitted(&io::stderr(), &fit(text)));
}

fn tell(line: &Line<'_>) {
    // Numbers and texts always have a JSON.
    if let Ok(text) = serde_json::to_string(&Versioned { v: 1, line: *line }) {
        eprintln!("{}", ascii(&text));
    }
}

/// Without a terminal, a plain line so often.
const PLAIN: Duration = Duration::from_secs(10);
/// And a line of JSON.
const JSON: Duration = Duration::from_secs(2);
/// Things that run at once and stand in one line.
const SHOWN: usize = 8;
