//! A daemon and a hub over an hour, or as long as is said: memory, descriptors and disk stay as they are.
//!
//! `cargo xtask spikes soak [SECONDS [AGENT]]` holds a ceremony, starts the daemon, and lets things happen: another key,
//! a former one again, a token that is written anew, a configuration that is read again, a hub that is away for a
//! while. Both processes and the box's state are measured all the while. The first quarter is for both to warm up;
//! from then on the last quarter must not be above the second by more than noise.
#![expect(clippy::disallowed_methods, reason = "the daemon is measured by its number, so it is started by hand")]

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tenwords_spikes::{
    measure::{end_within, field},
    world::{BackupServer, Hub, Machine, World, write_private},
};
use zeroize::Zeroizing;

const HOUR: u64 = 3600;
/// Below it there are no quarters to speak of.
const LEAST: u64 = 240;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Something happens so often; the hub takes 24 updates of a box in a day, so that most of them wait.
const EVENT: Duration = Duration::from_secs(45);
/// What may lie between two quarters and is noise: pages that an allocator keeps, a page of SQLite's.
const NOISE_KIB: u64 = 2048;
const NOISE_DESCRIPTORS: u64 = 3;
/// Updates that lie on the ceremony by then, and what was told of them.
const NOISE_STATE_KIB: u64 = 512;
/// By then the daemon has ended, or hangs.
const LONG: Duration = Duration::from_secs(60);

/// What is looked at.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: u64,
    daemon_kib: u64,
    daemon_descriptors: u64,
    hub_kib: u64,
    hub_descriptors: u64,
    state_kib: u64,
    state_files: u64,
    hub_data_kib: u64,
}

fn main() -> Result<()> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(HOUR), |text| text.parse()).context("a number of seconds")?;
    ensure!(seconds >= LEAST, "it takes {LEAST} seconds at least");
    let base = tempfile::tempdir()?;
    let world = World::new(base.path())?;
    let server = BackupServer::local(&world)?;
    let mut hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box("soak")?;
    let keys = (1..=3).map(|number| made_key(&world, &server, number)).collect::<Result<Vec<_>>>()?;
    let machine = Machine::new(&world, "box1", &server.client)?.with_source(&server, &keys[0])?;
    machine.enroll(&ticket)?;
    machine.ceremony(|words| Zeroizing::new(words.to_owned()))?;
    let agent = std::env::args().nth(2).map_or_else(|| world.programs().agent.clone(), std::path::PathBuf::from);
    let log = fs::File::create(base.path().join("daemon.log"))?;
    let mut command = Command::new(agent);
    command.arg("--config").arg(machine.config()).arg("run").env_clear();
    command.envs(world.environment().iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    let soaked = soak(&mut daemon, &machine, &mut hub, (&server, &keys), seconds);
    let ended = end_within(&mut daemon, LONG);
    let samples = soaked?;
    let status = ended?;
    ensure!(status.success(), "the daemon ended with {status}");
    // Else an hour of nothing would be flat.
    let versions = hub.show("soak")?["versions"].as_u64().context("versions")?;
    ensure!(versions > 1, "the daemon has escrowed nothing: {versions} versions");
    judge(&samples)
}

fn soak(
    daemon: &mut Child,
    machine: &Machine,
    hub: &mut Hub,
    (server, keys): (&BackupServer, &[Vec<u8>]),
    seconds: u64,
) -> Result<Vec<Sample>> {
    let began = Instant::now();
    let (mut samples, mut events, mut told) = (Vec::new(), 0_u64, 0);
    let mut next_event = EVENT;
    println!("  at s   daemon KiB fds   hub KiB fds   state KiB files   hub's data KiB   what happened");
    while began.elapsed().as_secs() < seconds {
        thread::sleep(LOOK);
        ensure!(daemon.try_wait()?.is_none(), "the daemon has ended by itself");
        let mut what = "";
        if began.elapsed() >= next_event {
            next_event += EVENT;
            what = happens(events, daemon, machine, hub, (server, keys))?;
            events += 1;
        }
        if let Some(process) = hub.process() {
            let sample = look(began.elapsed().as_secs(), daemon.id(), process, machine, hub)?;
            if sample.at >= told || !what.is_empty() {
                told = sample.at + 60;
                show(&sample, what);
            }
            samples.push(sample);
        }
    }
    hub.stop()?;
    hub.serve()?;
    println!("{events} things happened; {} looks", samples.len());
    Ok(samples)
}

/// One thing after another, in turn.
fn happens(
    number: u64,
    daemon: &Child,
    machine: &Machine,
    hub: &mut Hub,
    (server, keys): (&BackupServer, &[Vec<u8>]),
) -> Result<&'static str> {
    let which = usize::try_from(number).unwrap_or_default();
    Ok(match number % 5 {
        0 => {
            write_private(&machine.key_file(), &keys[(which / 5 + 1) % keys.len()])?;
            "another key"
        }
        1 => {
            write_private(&machine.token_file(), format!("{}\n", server.expose_secret()).as_bytes())?;
            "the token is written anew"
        }
        2 => {
            kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGHUP)?;
            "the configuration is read anew"
        }
        3 => {
            hub.stop()?;
            "the hub goes"
        }
        _ => {
            hub.serve()?;
            "the hub is back"
        }
    })
}

fn made_key(world: &World, server: &BackupServer, number: u64) -> Result<Vec<u8>> {
    let path = world.folder().join(format!("made-{number}.enc"));
    server.run(&["key", "create", "--kdf", "none", &path.display().to_string()])?.with_code(0)?;
    Ok(fs::read(path)?)
}

fn look(at: u64, daemon: u32, hub_process: u32, machine: &Machine, hub: &Hub) -> Result<Sample> {
    let (state_kib, state_files) = folder(&machine.state())?;
    Ok(Sample {
        at,
        daemon_kib: resident(daemon)?,
        daemon_descriptors: descriptors(daemon)?,
        hub_kib: resident(hub_process)?,
        hub_descriptors: descriptors(hub_process)?,
        state_kib,
        state_files,
        hub_data_kib: folder(hub.data())?.0,
    })
}

fn show(sample: &Sample, what: &str) {
    let Sample { at, daemon_kib, daemon_descriptors, hub_kib, hub_descriptors, state_kib, state_files, hub_data_kib } =
        sample;
    println!(
        "{at:6}   {daemon_kib:10} {daemon_descriptors:3}   {hub_kib:7} {hub_descriptors:3}   {state_kib:9} {state_files:5}   \
         {hub_data_kib:14}   {what}"
    );
}

/// The last quarter beside the second, by their medians.
fn judge(samples: &[Sample]) -> Result<()> {
    let quarter = samples.len() / 4;
    ensure!(quarter >= 4, "too few looks");
    let (second, last) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let mut grown = Vec::new();
    let mut row = |name: &str, of: fn(&Sample) -> u64, may: u64| {
        let (before, after) = (median(second, of), median(last, of));
        println!("{name:24} {before:10} -> {after:10}   (may grow by {may})");
        if after > before + may {
            grown.push(name.to_owned());
        }
    };
    row("daemon, KiB resident", |sample| sample.daemon_kib, NOISE_KIB);
    row("daemon, descriptors", |sample| sample.daemon_descriptors, NOISE_DESCRIPTORS);
    row("hub, KiB resident", |sample| sample.hub_kib, 4 * NOISE_KIB);
    row("hub, descriptors", |sample| sample.hub_descriptors, NOISE_DESCRIPTORS);
    row("the box's state, KiB", |sample| sample.state_kib, NOISE_STATE_KIB);
    row("the box's state, files", |sample| sample.state_files, 8);
    row("the hub's data, KiB", |sample| sample.hub_data_kib, 4 * NOISE_KIB);
    ensure!(grown.is_empty(), "it grows: {}", grown.join("; "));
    println!("flat");
    Ok(())
}

fn median(samples: &[Sample], of: fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn resident(process: u32) -> Result<u64> {
    field(format!("/proc/{process}/status"), "VmRSS:")
}

fn descriptors(process: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64)
}

/// Everything below a folder: KiB on the disk, and files. What goes meanwhile is passed over.
fn folder(path: &Path) -> Result<(u64, u64)> {
    let (mut kib, mut files) = (0, 0);
    for entry in fs::read_dir(path)?.filter_map(Result::ok) {
        let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
        if found.is_dir() {
            let (more, count) = folder(&entry.path()).unwrap_or_default();
            kib += more;
            files += count;
        } else {
            kib += found.blocks() / 2;
            files += 1;
        }
    }
    Ok((kib, files))
}
