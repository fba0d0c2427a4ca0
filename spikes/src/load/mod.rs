//! A hub under many boxes: all of them come back after an outage, within a window.
//!
//! The hub is the real program with its own store, on loopback; the boxes are its API's clients, each with a key,
//! a certificate and an address of its own (`127.1.x.y`). They are added, enrolled and given a ceremony version by
//! the API, the hub is stopped and started, and then each does once what an agent does when it reaches its hub again:
//! it looks whether what was acknowledged is there, some push an update, and it reports. At the end the hub is asked
//! for everything, and held against what it had acknowledged.
//!
//! How agents spread their return is the agent's own matter (`agent/src/daemon/course_tests.rs`); here it is a window.

mod boxes;
mod caller;
mod figures;
mod returning;

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{runtime::Runtime, time::timeout};

pub use self::figures::Figures;
use self::{boxes::Fleet, figures::Tally};
use crate::{
    measure::field,
    world::{Hub, World},
};

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// So many boxes.
    pub boxes: u16,
    /// In so much time all of them come back.
    pub window: Duration,
    /// So many are at it at the same time, at most; who comes then waits for a place.
    pub at_once: usize,
    /// Every so manieth pushes an update.
    pub push_every: u16,
    /// Every so manieth reports twice, as where somebody runs the pass beside the daemon: the hub has it wait.
    pub twice_every: u16,
}

/// More time than a hub that goes on can need, for each of the three parts.
const LONG: Duration = Duration::from_secs(45 * 60);

/// Does it, and counts. `tell` hears what it is at.
///
/// # Errors
/// Something could not be set up. That a box was not served is no error, but a figure.
pub fn run(world: &World, load: Load, mut tell: impl FnMut(&str)) -> Result<Figures> {
    ensure!(load.boxes > 0 && load.at_once > 0 && load.push_every > 0 && load.twice_every > 0, "nothing of something");
    let runtime = Runtime::new().context("starting the boxes")?;
    let mut hub = Hub::start(world)?;
    tell(&format!("{} boxes are added, enrolled, and given a ceremony version", load.boxes));
    let fleet = runtime.block_on(async { timeout(LONG, Fleet::enrol(&hub, load)).await })??;
    tell("the hub is away, and back");
    hub.stop()?;
    hub.serve()?;
    let id = hub.id().context("the hub runs")?;
    let (memory_before, busy_before) = (field(format!("/proc/{id}/status"), "VmRSS:")?, processor(id)?);
    tell(&format!("all come back within {} s, {} at once at most", load.window.as_secs(), load.at_once));
    let tally = Arc::new(Tally::default());
    let (fleet, took) =
        runtime.block_on(async { timeout(load.window + LONG, fleet.come_back(load, Arc::clone(&tally))).await })??;
    let (memory_most, busy) = (field(format!("/proc/{id}/status"), "VmHWM:")?, processor(id)? - busy_before);
    tell("the hub is asked what it has");
    let held = runtime.block_on(async { timeout(LONG, fleet.compare(&hub)).await })??;
    Ok(Figures { boxes: load.boxes, took, memory_before, memory_most, busy, held, calls: tally.taken() })
}

/// How long the process was on a processor.
fn processor(id: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // After the name, which may have anything in it, the state is the first field and these are the 12th and 13th.
    let (_, fields) = text.rsplit_once(") ").context("a name")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("ticks")?;
    Ok(Duration::from_millis(ticks * 1000 / u64::try_from(second)?.max(1)))
}
