//! `tenwords-hub init` makes a hub, `tenwords-hub serve` runs one. Nothing else ever makes a key.

use std::{
    future::Future,
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tenwords_hub::{
    Hub, Limits, Listeners,
    clock::SystemClock,
    init::{self, Made},
    serve,
    store::Location,
};
use tenwords_protocol::{ticket::HubAddress, time::Timestamp, v1::V1};
use tokio::signal::unix::{SignalKind, signal};

/// Keeps what boxes have sealed with ten words, and can open none of it.
#[derive(Debug, Parser)]
#[command(name = "tenwords-hub", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new hub, and print its one admin token
    Init(InitArgs),
    /// Run the hub
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// The data directory; it must be missing or empty
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tenwords-hub")]
    data: PathBuf,
    /// A name or address under which the hub is reached (can be given several times)
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Where agents reach the hub, for tickets
    #[arg(long, value_name = "HOST:PORT")]
    public_agents: Option<HubAddress>,
    /// Keep the store in this PostgreSQL database instead of the data directory; a URL with a password
    /// goes into the environment variable TENWORDS_HUB_DATABASE
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The data directory that `init` has made
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tenwords-hub")]
    data: PathBuf,
    /// Where agents connect (mutual TLS)
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    agents: SocketAddr,
    /// Where operators connect (TLS)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8444")]
    people: SocketAddr,
    /// Health and metrics (plain)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8445")]
    health: SocketAddr,
    /// Where agents reach the hub, for tickets
    #[arg(long, value_name = "HOST:PORT")]
    public_agents: Option<HubAddress>,
    /// The store's PostgreSQL database, if `init` was given one (or in TENWORDS_HUB_DATABASE)
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Write the bound addresses to this file (JSON) once the hub listens
    #[arg(long, value_name = "FILE")]
    addresses: Option<PathBuf>,
}

/// What `init --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    hub_id: &'a str,
    admin_token: &'a str,
    server_ca: &'a Path,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TENWORDS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenwords-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider was installed before");
    }
    match cli.command {
        Command::Init(args) => init_hub(args).await,
        Command::Serve(args) => serve_hub(args).await,
    }
}

async fn init_hub(args: InitArgs) -> anyhow::Result<()> {
    let database = database(args.database)?;
    let request = init::Request { names: args.names, public_agents: args.public_agents, database };
    let Made { hub_id, token, server_ca } = init::init(&args.data, request, Timestamp::now()).await?;
    if args.json {
        let shown = Shown { v: V1, hub_id: &hub_id, admin_token: token.expose_text(), server_ca: &server_ca };
        println!("{}", serde_json::to_string(&shown)?);
    } else {
        println!("{}", token.expose_text());
        eprintln!("This is the admin token. It is shown once and stored nowhere.");
        eprintln!("Operators also need {}", server_ca.display());
    }
    Ok(())
}

async fn serve_hub(args: ServeArgs) -> anyhow::Result<()> {
    let database = database(args.database)?;
    let stop = stop_signal()?;
    let hub = Hub::open(&args.data, database, args.public_agents, Arc::new(SystemClock)).await?;
    let hub = hub.within(Limits::of_descriptors(descriptors()?));
    let listeners = Listeners::bind(args.agents, args.people, args.health).await.context("the hub cannot listen")?;
    if let Some(file) = &args.addresses {
        write_addresses(file, &listeners).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    serve(hub, listeners, stop).await?;
    Ok(())
}

/// How many descriptors the process may have, which is as many as the system lets it: each node keeps a connection
/// open on which it waits.
fn descriptors() -> anyhow::Result<u64> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if setrlimit(Resource::RLIMIT_NOFILE, most, most).is_err() {
        return Ok(now);
    }
    Ok(most)
}

fn database(url: Option<String>) -> anyhow::Result<Option<Location>> {
    let url = url.or_else(|| std::env::var("TENWORDS_HUB_DATABASE").ok());
    Ok(url.as_deref().map(Location::by_url).transpose()?)
}

/// Ready at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Beside the file first, so that who waits for it never reads half of it.
fn write_addresses(file: &Path, listeners: &Listeners) -> anyhow::Result<()> {
    let addresses = serde_json::json!({
        "agents": listeners.agents.local_addr()?,
        "people": listeners.people.local_addr()?,
        "health": listeners.health.local_addr()?,
    });
    let beside = file.with_extension("new");
    std::fs::write(&beside, addresses.to_string())?;
    std::fs::rename(&beside, file)?;
    Ok(())
}
