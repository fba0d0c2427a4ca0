//! Shows, phase by phase, that a PBS key can be escrowed with the client alone; writes the findings.
//!
//! The phases run twice in processes of their own: on a terminal that is made for it, and without a
//! controlling terminal, as a daemon lives.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::{
    consumption::{self, Examined, Pass},
    real::RealArguments,
    terminal::Terminal,
    world::end_when_asked,
};

/// Phases C0 to C4: escrow a key, lose it, get it back with ten words
#[derive(Debug, Parser)]
#[command(name = "consumption")]
struct Arguments {
    /// Where the report goes
    #[arg(long, value_name = "FILE", default_value = "docs/findings/escrow-consumption.md")]
    out: PathBuf,
    /// How much data is backed up, in MiB
    #[arg(long, value_name = "N", default_value_t = 24)]
    mib: u64,
    /// Where the folder of the run is made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    real: RealArguments,
    /// One run, told as JSON
    #[arg(long, hide = true)]
    pass: bool,
    /// Leave the terminal first
    #[arg(long, hide = true, requires = "pass")]
    detached: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("NOT AS TOLD: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if arguments.pass {
        return one_pass(arguments);
    }
    let passes = [on_a_terminal()?, without_terminal()?];
    if !passes[0].terminal || passes[1].terminal {
        bail!("the first run must have a controlling terminal, and the second none");
    }
    let findings = consumption::findings(&passes, Timestamp::now())?;
    fs::write(&arguments.out, findings.as_str()).with_context(|| format!("writing {}", arguments.out.display()))?;
    for pass in &passes {
        println!("{} controlling terminal:", if pass.terminal { "With a" } else { "Without a" });
        for phase in &pass.phases {
            println!("  {:<12} {} ({} ms)", phase.name, phase.title, phase.milliseconds);
        }
    }
    println!("All as told; the findings are in {}.", arguments.out.display());
    Ok(())
}

fn one_pass(arguments: &Arguments) -> Result<()> {
    std::thread::spawn(end_when_asked);
    if arguments.detached {
        nix::unistd::setsid().context("leaving the terminal")?;
    }
    let examined = Examined {
        bytes: arguments.mib << 20,
        base: arguments.folder.clone().unwrap_or_else(std::env::temp_dir),
        real: arguments.real.read()?,
    };
    println!("{}", serde_json::to_string(&consumption::pass(&examined)?)?);
    Ok(())
}

/// This program with the same arguments, for one run on a terminal.
fn on_a_terminal() -> Result<Pass> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let arguments = std::env::args_os().skip(1).chain(["--pass".into()]);
    let folder = std::env::current_dir().context("the current folder")?;
    let mut terminal = Terminal::start(&this()?, arguments, &environment, &folder)?;
    let (code, shown) = terminal.end(PATIENCE)?;
    if code != 0 {
        bail!("the run on a terminal ended with {code}:\n{}", *shown);
    }
    let told = shown.find('{').map(|start| &shown[start..]).unwrap_or_default();
    serde_json::from_str(told.trim_end()).context("reading what the run on a terminal has shown")
}

/// The same, once it has left the terminal. (A process that leads a group cannot leave, so this one
/// must not: `process::Run` makes leaders.)
#[expect(clippy::disallowed_methods, reason = "this program starts itself")]
fn without_terminal() -> Result<Pass> {
    let mut command = Command::new(this()?);
    command.args(std::env::args_os().skip(1)).args(["--pass", "--detached"]).stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output().context("starting this program again")?;
    if !output.status.success() {
        bail!("the run without a terminal ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("reading what the run without a terminal has shown")
}

fn this() -> Result<PathBuf> {
    std::env::current_exe().context("where this program lies")
}

/// For a gigabyte on a slow machine.
const PATIENCE: Duration = Duration::from_secs(7200);
