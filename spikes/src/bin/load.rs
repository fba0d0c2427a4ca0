//! What a hub does under many boxes that come back after an outage.
//!
//! `cargo xtask spikes load [BOXES [SECONDS]]`: 10 000 boxes (at most 50 000) within 120 seconds, where agents take half
//! an hour. It fails if anything that the hub had acknowledged is missing at the end, or a box was turned away for good.
//! Everything goes to 127.0.0.1.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    load::{Load, run},
    world::World,
};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let boxes: u16 = arguments.next().map_or(Ok(10_000), |text| text.parse()).context("a number of boxes")?;
    let seconds: u64 = arguments.next().map_or(Ok(120), |text| text.parse()).context("a number of seconds")?;
    ensure!((1..=50_000).contains(&boxes) && (1..=3600).contains(&seconds), "1 to 50000 boxes, 1 to 3600 seconds");
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let load = Load { boxes, window: Duration::from_secs(seconds), at_once: 256, push_every: 10, twice_every: 100 };
    let figures = run(&world, load, |what| eprintln!("── {what}"))?;
    println!("{figures}");
    for what in figures.calls.gave_up.iter().chain(&figures.held.lost).chain(&figures.held.unheard).take(20) {
        println!("  {what}");
    }
    ensure!(figures.is_whole(), "something is missing");
    Ok(())
}
