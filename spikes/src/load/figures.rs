//! What was counted.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Everything that was counted.
#[derive(Debug)]
pub struct Figures {
    /// So many boxes came back.
    pub boxes: u16,
    /// From the first to the last of them.
    pub took: Duration,
    /// The hub's resident memory before they came, in KiB.
    pub memory_before: u64,
    /// The most that it ever had since its start.
    pub memory_most: u64,
    /// How long it was on a processor.
    pub busy: Duration,
    /// What it has at the end.
    pub held: Held,
    /// What became of the calls.
    pub calls: Calls,
}

/// What the hub has at the end, against what it had acknowledged.
#[derive(Debug, Default)]
pub struct Held {
    /// So many versions it had acknowledged to somebody.
    pub acknowledged: u64,
    /// So many it has.
    pub versions: u64,
    /// Boxes whose newest version is another than the last that was acknowledged.
    pub lost: Vec<String>,
    /// Boxes whose report it has not.
    pub unheard: Vec<String>,
    /// How long it took to say so, of all.
    pub listed_in: Duration,
}

/// What became of calls.
#[derive(Debug, Default)]
pub struct Calls {
    /// By kind, how long each took that was answered.
    pub answered: BTreeMap<&'static str, Vec<Duration>>,
    /// By kind, how often the hub asked to come again later.
    pub later: BTreeMap<&'static str, u64>,
    /// So many were served after they had been asked to come again.
    pub served_later: u64,
    /// What else was said instead of an answer, and how often.
    pub failed: BTreeMap<String, u64>,
    /// Boxes that gave up.
    pub gave_up: Vec<String>,
    /// The longest that one waited for a place among those that are at it.
    pub longest_wait: Duration,
}

/// A count in the making.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Calls>);

impl Tally {
    pub(super) fn change(&self, by: impl FnOnce(&mut Calls)) {
        by(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn taken(&self) -> Calls {
        let mut calls = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        calls.answered.values_mut().for_each(|times| times.sort_unstable());
        calls
    }
}

impl Figures {
    /// Whether nothing is missing, and nobody was turned away for good.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Held { acknowledged, versions, lost, unheard, .. } = &self.held;
        acknowledged == versions && lost.is_empty() && unheard.is_empty() && self.calls.gave_up.is_empty()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boxes, took, memory_before, memory_most, busy, held, calls } = self;
        writeln!(f, "boxes             {boxes}, all within {:.1} s", took.as_secs_f64())?;
        writeln!(f, "calls             answered    p50    p99    most (ms)   asked to come later")?;
        for (kind, times) in &calls.answered {
            let [half, most, all] = [50, 99, 100].map(|part| at(times, part).as_secs_f64() * 1000.0);
            let later = calls.later.get(kind).copied().unwrap_or_default();
            writeln!(f, "  {kind:<16}{:>8} {half:>6.0} {most:>6.0} {all:>7.0} {later:>21}", times.len())?;
        }
        writeln!(f, "came later        {} of those were served then", calls.served_later)?;
        writeln!(
            f,
            "waited            {:.1} s at most for a place of the clients' own",
            calls.longest_wait.as_secs_f64()
        )?;
        let failed: u64 = calls.failed.values().sum();
        writeln!(f, "no answer         {failed}, boxes that gave up: {}", calls.gave_up.len())?;
        for (what, times) in &calls.failed {
            writeln!(f, "  {times:>6} times    {what}")?;
        }
        writeln!(f, "the hub           {memory_most} KiB resident at most, {memory_before} before they came;")?;
        writeln!(f, "                  {:.1} s on a processor", busy.as_secs_f64())?;
        writeln!(f, "acknowledged      {} versions; it has {}", held.acknowledged, held.versions)?;
        writeln!(f, "lost              {}; boxes whose report it has not: {}", held.lost.len(), held.unheard.len())?;
        write!(f, "the whole list    in {:.1} s", held.listed_in.as_secs_f64())
    }
}

/// Of sorted times the one below which are so many of a hundred.
fn at(times: &[Duration], part: usize) -> Duration {
    let place = (times.len() * part).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!([50, 99, 100].map(|part| at(&times, part).as_millis()), [100, 198, 200]);
        assert_eq!(at(&times[..1], 50).as_millis(), 1);
        assert_eq!(at(&[], 99), Duration::ZERO);
    }
}
