//! What the daemon costs while nothing happens: its resident memory, and how often it wakes.
//!
//! `cargo xtask spikes idle [SECONDS [AGENT]]` starts one on a box that has held its ceremony, waits until its first work is
//! done and its child listens, and measures for so long. It fails where the figures are above what `docs/daemon.md` promises of the daemon; the child's memory is told beside it. That is the memory
//! of a release build (`cargo build --release -p tenwords-agent`, named as AGENT): one for debugging has ten times the text.
#![expect(clippy::disallowed_methods, reason = "the daemon is measured by its number, so it is started by hand")]

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    measure::{end_within, field},
    world::{BackupServer, Hub, Machine, World},
};
use zeroize::Zeroizing;

/// What an idle daemon may hold.
const MOST_KIB: u64 = 16 * 1024;
/// From look to look; in each the loop and the thread that looks wake a few times.
const LOOK_SECONDS: u64 = 20;
const WAKES_A_LOOK: u64 = 8;
/// By then it has ended, or hangs.
const LONG: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(100), |text| text.parse()).context("a number of seconds")?;
    ensure!(seconds >= LOOK_SECONDS, "it takes at least one look: {LOOK_SECONDS} seconds");
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let server = BackupServer::local(&world)?;
    let key = world.folder().join("made.enc");
    server.run(&["key", "create", "--kdf", "none", &key.display().to_string()])?.with_code(0)?;
    let hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box("idle")?;
    let machine = Machine::new(&world, "box1", &server.client)?.with_source(&server, &fs::read(&key)?)?;
    machine.enroll(&ticket)?;
    machine.ceremony(|words| Zeroizing::new(words.to_owned()))?;
    let agent = std::env::args().nth(2).map_or_else(|| world.programs().agent.clone(), std::path::PathBuf::from);
    let mut command = Command::new(agent);
    command.arg("--config").arg(machine.config()).arg("run").env_clear();
    command.envs(world.environment().iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let measured = measure(&mut daemon, &machine, seconds);
    let ended = end_within(&mut daemon, LONG);
    measured?;
    ended.map(drop)
}

fn measure(daemon: &mut Child, machine: &Machine, seconds: u64) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(180);
    // A box that is enrolled is never without the child that waits for calls.
    while !machine.state().join("self-test.json").exists() || listener(daemon.id())?.is_none() {
        ensure!(Instant::now() < end && daemon.try_wait()?.is_none(), "the daemon's first work is not done");
        std::thread::sleep(Duration::from_millis(200));
    }
    // The pass that wrote it ends.
    std::thread::sleep(Duration::from_secs(5));
    let id = daemon.id();
    let before = wakes(id)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let woke = wakes(id)?.saturating_sub(before);
    let resident = field(format!("/proc/{id}/status"), "VmRSS:")?;
    let own = field(format!("/proc/{id}/smaps_rollup"), "Private_Dirty:")?;
    let may = (seconds / LOOK_SECONDS + 1) * WAKES_A_LOOK;
    println!("resident memory   {resident} KiB (at most {MOST_KIB}); its own, written: {own} KiB");
    let child = listener(id)?.context("nobody listens any more")?;
    let (of_child, childs_own) = (
        field(format!("/proc/{child}/status"), "VmRSS:")?,
        field(format!("/proc/{child}/smaps_rollup"), "Private_Dirty:")?,
    );
    println!(
        "its child listens {of_child} KiB beside it; its own, written: {childs_own} KiB (nothing is promised of it)"
    );
    println!("woke              {woke} times in {seconds} s (at most {may}: {WAKES_A_LOOK} for each look)");
    ensure!(resident <= MOST_KIB, "it holds more memory than it may");
    ensure!(woke <= may, "it wakes more often than its timers");
    Ok(())
}

/// The child that waits for calls.
fn listener(daemon: u32) -> Result<Option<u32>> {
    let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"))?;
    let is_listener = |child: &u32| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"listen")
    };
    Ok(children.split_whitespace().filter_map(|child| child.parse().ok()).find(is_listener))
}

/// How often its threads went to sleep by themselves, and so woke.
fn wakes(id: u32) -> Result<u64> {
    let threads = fs::read_dir(format!("/proc/{id}/task"))?.filter_map(Result::ok);
    Ok(threads.filter_map(|thread| field(thread.path().join("status"), "voluntary_ctxt_switches:").ok()).sum())
}
