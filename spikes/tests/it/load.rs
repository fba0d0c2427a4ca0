//! The hub's half of many boxes that come back at once. (The agents' half is a simulation: they do not.)

use std::time::Duration;

use anyhow::{Result, ensure};
use tenwords_spikes::{
    load::{Load, run},
    world::World,
};

#[test]
fn s48_of_boxes_that_come_back_at_once_none_is_lost_and_who_is_refused_comes_later() -> Result<()> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let load = Load { boxes: 50, window: Duration::from_millis(1), at_once: 50, push_every: 2, twice_every: 10 };
    let figures = run(&world, load, |_| {})?;
    ensure!(figures.is_whole(), "{figures}\n{:?} {:?}", figures.held, figures.calls.gave_up);
    // Fifty ceremonies from before, and twenty-five updates.
    ensure!(figures.held.versions == 75, "{figures}");
    let answered = |kind| figures.calls.answered.get(kind).map_or(0, Vec::len);
    ensure!((answered("look"), answered("push"), answered("report")) == (50, 25, 55), "{figures}");
    // Five reported a second time at once: each was asked to come later, did, and was heard.
    let later = figures.calls.later.get("report").copied().unwrap_or_default();
    ensure!(later >= 5 && figures.calls.served_later == 5 && figures.calls.failed.is_empty(), "{figures}");
    Ok(())
}

#[test]
#[ignore = "ten thousand boxes: many minutes; cargo xtask proof runs it"]
fn proof_ten_thousand_boxes_that_come_back_within_two_minutes_lose_nothing() -> Result<()> {
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let load = Load { boxes: 10_000, window: Duration::from_secs(120), at_once: 256, push_every: 10, twice_every: 100 };
    let figures = run(&world, load, |_| {})?;
    println!("{figures}");
    ensure!(figures.is_whole() && figures.held.versions == 11_000, "{figures}\n{:?}", figures.held);
    Ok(())
}
