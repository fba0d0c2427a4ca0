//! The hub as a process, and the operator at his desk.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{World, abandon};
use crate::process::{Ended, Run};

/// A running hub. Dropping it kills it.
#[derive(Debug)]
pub struct Hub {
    child: Option<Child>,
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    addresses: Addresses,
    operator: Desk,
    environment: Vec<(String, String)>,
    /// By which name its tickets call it, if not by the one that it was made with.
    name: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    agents: SocketAddr,
    people: SocketAddr,
}

/// Where the operator's settings lie.
#[derive(Debug)]
struct Desk {
    program: PathBuf,
    folder: PathBuf,
    ca: PathBuf,
    token_file: PathBuf,
}

impl Hub {
    /// Makes a hub in `world` and starts it on ports that the system chooses.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(world: &World) -> Result<Self> {
        let environment = world.environment();
        let data = world.folder().join("hub/data");
        let log = world.make("hub")?.join("log");
        let made = Run::new(&world.programs().hub, world.folder())
            .args(["init", "--name", "127.0.0.1", "--json", "--data"])
            .args([&data])
            .envs(&environment)
            .to_end(SOON)?
            .with_code(0)?
            .json()?;
        let token = made["admin_token"].as_str().context("init shows an admin token")?;
        let ca = made["server_ca"].as_str().context("init names the server CA's file")?;
        let folder = world.make("operator")?;
        let token_file = world.write("operator/token", token.as_bytes())?;
        let operator = Desk { program: world.programs().operator.clone(), folder, ca: ca.into(), token_file };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut hub = Self {
            child: None,
            program: world.programs().hub.clone(),
            data,
            log,
            addresses: Addresses { agents: nowhere, people: nowhere },
            operator,
            environment,
            name: None,
        };
        hub.serve()?;
        Ok(hub)
    }

    /// Where agents reach it.
    #[must_use]
    pub fn agents(&self) -> SocketAddr {
        self.addresses.agents
    }

    /// Where people reach it.
    #[must_use]
    pub fn people(&self) -> SocketAddr {
        self.addresses.people
    }

    /// The file with the authority of its own certificate.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.operator.ca
    }

    /// The token of its first operator, who may do everything.
    ///
    /// # Errors
    /// What the system said.
    pub fn expose_admin_token(&self) -> Result<Zeroizing<String>> {
        let text = Zeroizing::new(fs::read_to_string(&self.operator.token_file)?);
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    /// The number of its process, if it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it logs.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Stops it as an administrator does.
    ///
    /// # Errors
    /// It does not stop, or not well.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        abandon::process_is_gone(child.id());
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM).context("stopping the hub")?;
        let until = Instant::now() + SOON;
        loop {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the hub ended with {status}; its log ends with:\n{}", self.end_of_log());
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                bail!("the hub did not stop");
            }
            thread::sleep(TICK);
        }
    }

    /// Starts it again on the ports that it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&mut self) -> Result<()> {
        let file = self.data.with_file_name("addresses");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let Addresses { agents, people } = self.addresses;
        let public =
            self.name.iter().flat_map(|name| ["--public-agents".to_owned(), format!("{name}:{}", agents.port())]);
        let child = Command::new(&self.program)
            .args([
                "serve",
                "--health",
                "127.0.0.1:0",
                "--agents",
                &agents.to_string(),
                "--people",
                &people.to_string(),
            ])
            .args(public)
            .arg("--data")
            .arg(&self.data)
            .arg("--addresses")
            .arg(&file)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the hub")?;
        let child = self.child.insert(child);
        abandon::process_lives(child.id());
        let until = Instant::now() + SOON;
        while !file.exists() {
            if let Some(status) = child.try_wait()? {
                bail!("the hub ended with {status}; its log ends with:\n{}", self.end_of_log());
            }
            if Instant::now() >= until {
                bail!("the hub does not listen; its log ends with:\n{}", self.end_of_log());
            }
            thread::sleep(TICK);
        }
        let addresses: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let address = |name: &str| -> Result<SocketAddr> {
            Ok(addresses[name].as_str().with_context(|| format!("no address for {name}"))?.parse()?)
        };
        self.addresses = Addresses { agents: address("agents")?, people: address("people")? };
        Ok(())
    }

    /// Starts it again under another name: its tickets lead there from now on.
    ///
    /// # Errors
    /// It does not stop or start.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        self.stop()?;
        self.name = Some(name.to_owned());
        self.serve()
    }

    /// What the operator's command line answers.
    ///
    /// # Errors
    /// It could not be run.
    pub fn operator(&self, arguments: &[&str]) -> Result<Ended> {
        let desk = &self.operator;
        Run::new(&desk.program, &desk.folder)
            .args(["--json", "--hub", &format!("https://{}", self.addresses.people)])
            .arg_pairs(&[
                ("--ca", &desk.ca),
                ("--token-file", &desk.token_file),
                ("--state", &desk.folder.join("state")),
            ])
            .args(arguments)
            .envs(&self.environment)
            .to_end(SOON)
    }

    /// Adds a box, and tells its id and its enrolment ticket (the form to paste).
    ///
    /// # Errors
    /// The operator's command line refused.
    pub fn add_box(&self, name: &str) -> Result<(String, String)> {
        let reply = self.operator(&["box", "add", name])?.with_code(0)?.json()?;
        Ok((text(&reply["box_id"])?, text(&reply["ticket"]["paste"])?))
    }

    /// Arms a recovery, and tells its ticket (the form to paste).
    ///
    /// # Errors
    /// The operator's command line refused.
    pub fn arm(&self, name: &str, flags: &[&str]) -> Result<String> {
        let arguments = [&["recovery", "arm", name, "--yes", "--reason", "the story"], flags].concat();
        let reply = self.operator(&arguments)?.with_code(0)?.json()?;
        text(&reply["ticket"]["paste"])
    }

    /// What the operator sees of a box.
    ///
    /// # Errors
    /// The operator's command line refused.
    pub fn show(&self, name: &str) -> Result<Value> {
        self.operator(&["box", "show", name])?.with_code(0)?.json()
    }

    fn end_of_log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Run {
    fn arg_pairs(self, pairs: &[(&str, &Path)]) -> Self {
        pairs.iter().fold(self, |run, (name, path)| run.args([name]).args([path]))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            abandon::process_is_gone(child.id());
            let _gone_already = child.kill();
            let _reaped_already = child.wait();
        }
    }
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("a text was expected in the operator's reply")
}

const SOON: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(5);
