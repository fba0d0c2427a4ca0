//! The search for the slip, and what it has found.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use tenwords_escrow::{
    code::RecoveryCode,
    slip::{Lock, Share, Slip, Suspects},
};

use super::{
    keys::Key,
    page::{Frame, Line, OneLine, Page, Size, wrapped},
    slots::Step,
};
use crate::{
    exit::Outcome,
    language::{Charset, Sentences},
};

/// Threads that derive at once, each in 64 MiB.
const MOST_WORKERS: usize = 4;

/// How a search ended.
pub(crate) enum Hunted {
    Found(Slip, RecoveryCode),
    Nothing { tried: usize },
    Ended,
}

/// The search as it goes on.
pub(crate) struct Progress<'a> {
    tried: &'a AtomicUsize,
    of: usize,
    shown: usize,
    over: &'a AtomicUsize,
    workers: usize,
    sentences: &'static Sentences,
    charset: Charset,
}

/// What was found, until Enter.
pub(crate) struct Find<'a> {
    pub(crate) slip: &'a Slip,
    pub(crate) sentences: &'static Sentences,
    pub(crate) charset: Charset,
}

/// Searches while `show` shows the progress; the search ends when `show` returns.
pub(crate) fn hunt<L: Lock + Sync>(
    typed: &RecoveryCode,
    locks: &[L],
    sentences: &'static Sentences,
    charset: Charset,
    show: impl FnOnce(&mut Progress<'_>) -> Outcome<Step>,
) -> Outcome<Hunted> {
    let of = Suspects::of(typed).len() * locks.len();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let (tried, over, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let search = |part| {
        let found = Suspects::of(typed).search(locks, Share { part, of: workers }, || {
            if ended.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            tried.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        });
        if found.is_some() {
            // The others need not go on.
            ended.store(true, Ordering::Relaxed);
        }
        over.fetch_add(1, Ordering::Release);
        found
    };
    let search = &search;
    thread::scope(|scope| {
        let searchers: Vec<_> = (0..workers).map(|part| scope.spawn(move || search(part))).collect();
        let shown = show(&mut Progress { tried: &tried, of, shown: 0, over: &over, workers, sentences, charset });
        let was_ended = over.load(Ordering::Acquire) < workers;
        ended.store(true, Ordering::Relaxed);
        let mut found = None;
        for searcher in searchers {
            // A searcher that panicked has found nothing; the words can still be corrected by hand.
            found = found.or(searcher.join().unwrap_or_default());
        }
        shown?;
        Ok(match found {
            Some((slip, code)) => Hunted::Found(slip, code),
            None if was_ended => Hunted::Ended,
            None => Hunted::Nothing { tried: tried.load(Ordering::Relaxed) },
        })
    })
}

impl Page for Progress<'_> {
    fn frame(&self, size: Size) -> Frame {
        let columns = size.columns.saturating_sub(1).max(1);
        let mut lines = wrapped(&[&self.charset.fit(&self.said())], columns);
        let column = lines.last().map_or(0, Line::width);
        let row = lines.len() - 1;
        lines.extend(wrapped(&[&self.charset.fit(self.sentences.search_end)], columns));
        Frame::of(vec![(0, lines)], (0, row, column), size)
    }

    fn one_line(&self, columns: usize) -> OneLine {
        let mut line = Line::new(columns.saturating_sub(1).max(1));
        line.push(&self.charset.fit(&self.said()));
        OneLine { said: vec![self.sentences.search_end.to_owned()], cursor: line.width(), line }
    }

    fn take(&mut self, key: Key, _more: bool) -> Step {
        match key {
            Key::GiveUp | Key::EndOfInput => Step::Done,
            Key::Redraw => Step::Redraw,
            _ => Step::Stay,
        }
    }

    fn tick(&mut self) -> Option<Step> {
        if self.over.load(Ordering::Acquire) == self.workers {
            return Some(Step::Done);
        }
        let tried = self.tried.load(Ordering::Relaxed);
        let has_changed = tried != self.shown;
        self.shown = tried;
        has_changed.then_some(Step::Stay)
    }
}

impl Progress<'_> {
    fn said(&self) -> String {
        (self.sentences.searching)(self.shown, self.of)
    }
}

impl Find<'_> {
    /// What was found, and the word behind it, if it is about one.
    fn said(&self) -> (String, Option<&'static str>) {
        match self.slip.swapped_with() {
            Some(other) => ((self.sentences.swapped)(self.slip.position(), other), None),
            None => ((self.sentences.belongs)(self.slip.position()), Some(self.slip.expose_word())),
        }
    }
}

impl Page for Find<'_> {
    fn frame(&self, size: Size) -> Frame {
        let columns = size.columns.saturating_sub(1).max(1);
        let (said, word) = self.said();
        let mut found = wrapped(&[&self.charset.fit(&said), word.unwrap_or_default()], columns);
        found.push(Line::new(1));
        let prompt = wrapped(&[&self.charset.fit(self.sentences.correct_sheet)], columns);
        let (row, column) = (prompt.len() - 1, prompt.last().map_or(0, Line::width) + 1);
        Frame::of(vec![(0, found), (0, prompt)], (1, row, column.min(columns)), size)
    }

    fn one_line(&self, columns: usize) -> OneLine {
        let (said, word) = self.said();
        let mut line = Line::new(columns.saturating_sub(1).max(1));
        line.push(&self.charset.fit(&said));
        line.push(word.unwrap_or_default());
        OneLine { said: vec![self.sentences.correct_sheet.to_owned()], cursor: line.width(), line }
    }

    fn take(&mut self, key: Key, _more: bool) -> Step {
        match key {
            Key::Enter => Step::Done,
            Key::GiveUp | Key::EndOfInput => Step::GiveUp,
            Key::Redraw => Step::Redraw,
            _ => Step::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";

    /// Opens with one code, at no cost.
    struct Only(RecoveryCode);

    impl Lock for Only {
        fn is_opened_by(&self, code: &RecoveryCode) -> bool {
            self.0.is_same_as(code)
        }
    }

    fn parsed(text: &str) -> RecoveryCode {
        RecoveryCode::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Lets it go on until it is over.
    fn to_the_end(progress: &mut Progress<'_>) -> Outcome<Step> {
        while progress.tick() != Some(Step::Done) {
            thread::yield_now();
        }
        Ok(Step::Done)
    }

    fn hunted(typed: &str, right: &str) -> Hunted {
        let locks = [
            Only(parsed("abacus abdomen abdominal abide abiding ability ablaze able abnormal abrasion")),
            Only(parsed(right)),
        ];
        let end = hunt(&parsed(typed), &locks, Language::English.sentences(), Charset::Utf8, to_the_end);
        end.unwrap_or_else(|stop| panic!("{stop}"))
    }

    #[test]
    fn s02_the_search_finds_the_slip_among_several_roots() {
        let Hunted::Found(slip, code) = hunted(&CODE.replace("bolt", "blot"), CODE) else { panic!("not found") };
        assert_eq!((slip.position(), slip.expose_word(), code.expose_passphrase()), (10, "bolt", CODE));
        let (sentences, charset) = (Language::German.sentences(), Charset::Utf8);
        let (said, word) = Find { slip: &slip, sentences, charset }.said();
        assert_eq!((said.as_str(), word), ("Gefunden. Wort 10 heißt: ", Some("bolt")));

        let swapped = "outshine woof cross yo-yo giddiness stunt pushing t-shirt froth bolt";
        let Hunted::Found(slip, _) = hunted(swapped, CODE) else { panic!("not found") };
        assert_eq!((slip.position(), slip.swapped_with()), (1, Some(2)));
    }

    #[test]
    fn s02_a_search_that_finds_nothing_says_how_much_was_tried() {
        let far = "zesty zebra yodel yoga yonder wool wolf vixen usher tulip";
        let Hunted::Nothing { tried } = hunted(far, CODE) else { panic!("found") };
        assert_eq!(tried, Suspects::of(&parsed(far)).len() * 2);
    }

    #[test]
    fn a_search_that_is_given_up_ends() {
        let locks = [Only(parsed(CODE))];
        let typed = parsed("zesty zebra yodel yoga yonder wool wolf vixen usher tulip");
        let stopped = hunt(&typed, &locks, Language::English.sentences(), Charset::Utf8, |progress| {
            Ok(progress.take(Key::GiveUp, false))
        });
        assert!(matches!(stopped, Ok(Hunted::Ended | Hunted::Nothing { .. })));
    }
}
