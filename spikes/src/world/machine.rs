//! A machine with an agent: its folder is its disk, and what is typed is typed at its terminal.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{BackupServer, World, operators, write_private};
use crate::{
    process::{Ended, Run},
    story::holds,
    terminal::{Terminal, numbered_words},
};

/// A machine. What it would have on its disk lies below [`Self::folder`].
#[derive(Debug)]
pub struct Machine {
    folder: PathBuf,
    runtime: PathBuf,
    agent: PathBuf,
    home: PathBuf,
    environment: Vec<(String, String)>,
}

/// How a recovery ended.
#[derive(Debug)]
pub struct Recovery {
    /// The agent's exit code.
    pub code: u32,
    /// What the screen showed after the last words were typed, without the words.
    pub shown: Zeroizing<String>,
}

impl Machine {
    /// A machine without sources.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(world: &World, name: &str, client: &Path) -> Result<Self> {
        let folder = world.make(name)?;
        let (state, runtime) = (folder.join("state"), world.private().join(name));
        // Whatever Proxmox VE the machine has on which this runs is not this machine's.
        let programs = [
            ("pct", "usr/sbin/pct"),
            ("qm", "usr/sbin/qm"),
            ("qmrestore", "usr/sbin/qmrestore"),
            ("pvesh", "usr/bin/pvesh"),
            ("pvesm", "usr/sbin/pvesm"),
            ("locks", "run/lock"),
            ("tasks", "var/log/pve/tasks/index"),
        ];
        let programs = programs.map(|(name, path)| format!("{name} = {}\n", quoted(&folder.join(path))));
        let text = format!(
            "state = {}\nruntime = {}\nclient = {}\npbs_local = {}\n[connect]\nwg_quick = {}\n[pve]\netc = {}\n{}",
            quoted(&state),
            quoted(&runtime),
            quoted(client),
            quoted(&world.programs().pbs_local),
            quoted(&folder.join("usr/bin/wg-quick")),
            quoted(&folder.join("etc/pve")),
            programs.concat()
        );
        fs::create_dir(folder.join("etc")).context("making etc")?;
        let machine = Self {
            runtime,
            agent: world.programs().agent.clone(),
            home: world.folder().join("home"),
            environment: world.environment(),
            folder,
        };
        fs::write(machine.config(), text)?;
        Ok(machine)
    }

    /// With a source `pbs` whose key lies at [`Self::key_file`] and whose token at
    /// [`Self::token_file`].
    ///
    /// # Errors
    /// What the system said.
    pub fn with_source(self, server: &BackupServer, key: &[u8]) -> Result<Self> {
        write_private(&self.key_file(), key)?;
        write_private(&self.token_file(), format!("{}\n", server.expose_secret()).as_bytes())?;
        let key_file = self.key_file();
        self.with_another_source("pbs", &server.repository, server, &key_file)
    }

    /// With another source of this server under this name, its key at `key_file`, its token at
    /// [`Self::token_file`].
    ///
    /// # Errors
    /// What the system said.
    pub fn with_another_source(
        self,
        id: &str,
        repository: &str,
        server: &BackupServer,
        key_file: &Path,
    ) -> Result<Self> {
        let namespace = server.namespace.as_ref().map(|ns| format!("namespace = \"{ns}\"\n")).unwrap_or_default();
        let mut text = fs::read_to_string(self.config())?;
        text.push_str(&format!(
            "[[source]]\nid = \"{id}\"\nrepository = \"{repository}\"\n{namespace}certificate = \"{}\"\nkey_file = {}\ntoken_file = {}\n",
            server.certificate,
            quoted(key_file),
            quoted(&self.token_file()),
        ));
        fs::write(self.config(), text)?;
        Ok(self)
    }

    /// With these variables more in the environment of its agent.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// Its disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The agent's configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("etc/agent.toml")
    }

    /// The agent's state.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The agent's private folder.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Where the key lies on a machine that was not recovered.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("etc/K.enc")
    }

    /// Where the token lies on a machine that was not recovered.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.folder.join("etc/token")
    }

    /// Where a recovery installs the key of the source `pbs`.
    #[must_use]
    pub fn installed_key(&self) -> PathBuf {
        self.folder.join("etc/keys/pbs.enc")
    }

    /// Where a recovery installs the token of the source `pbs`.
    #[must_use]
    pub fn installed_token(&self) -> PathBuf {
        self.folder.join("etc/tokens/pbs")
    }

    /// Where a recovery puts an archive of the source `pbs`.
    #[must_use]
    pub fn restored(&self, group: &str, archive: &str) -> PathBuf {
        self.state().join("recovered/pbs").join(group.replace('/', "-")).join(archive)
    }

    /// The agent without a terminal.
    ///
    /// # Errors
    /// It could not be run.
    pub fn agent(&self, arguments: &[&str], input: &str) -> Result<Ended> {
        Run::new(&self.agent, &self.home)
            .args(["--config"])
            .args([self.config()])
            .args(arguments)
            .envs(&self.environment)
            .input(input.as_bytes())
            .to_end(LONG)
    }

    /// The agent on a terminal.
    ///
    /// # Errors
    /// It could not be started.
    pub fn at_terminal(&self, arguments: &[&str]) -> Result<Terminal> {
        let config = self.config().display().to_string();
        let all = [&["--config", config.as_str()], arguments].concat();
        Terminal::start(&self.agent, all, &self.environment, &self.home)
    }

    /// Joins the hub, pinning the keys of the world's operators, or one made-up key.
    ///
    /// # Errors
    /// The agent refused.
    pub fn enroll(&self, ticket: &str) -> Result<()> {
        let keys = self.folder.join("etc/operators");
        let world = self.folder.parent().unwrap_or(&self.folder);
        fs::write(&keys, operators::list_of(world).unwrap_or_else(operator_line))?;
        let path = keys.display().to_string();
        self.agent(&["enroll", "--ticket-file", "-", "--operator-keys", &path], ticket)?.with_code(0)?;
        Ok(())
    }

    /// The ceremony: the words are read off the screen, written down, and typed back as `spelled`
    /// says. What is told is the sheet.
    ///
    /// # Errors
    /// Something did not come as it should.
    pub fn ceremony(&self, spelled: impl FnOnce(&str) -> Zeroizing<String>) -> Result<Zeroizing<String>> {
        let mut terminal = self.at_terminal(&["escrow", "create", "--new-code"])?;
        if let Err(error) = terminal.expect("Write these ten words on your sheet", LONG) {
            // Before the words are drawn there is nothing to hide.
            let shown = terminal.transcript();
            bail!("{error}; the screen showed:\n{}", String::from_utf8_lossy(&shown));
        }
        let screen = terminal.expect("Press Enter when they are written down", SOON)?;
        let words = numbered_words(&screen, 10).context("the screen does not show ten numbered words")?;
        terminal.type_line("")?;
        terminal.expect(PROMPT, SOON)?;
        terminal.await_silence(SOON)?;
        terminal.type_line(&spelled(&words))?;
        terminal.expect("Protected: ", LONG)?;
        let (code, _) = terminal.end(LONG)?;
        holds(code == 0, format!("the ceremony ends with exit code 0, and not {code}"))?;
        let shown = terminal.transcript();
        holds(alternate_screen_is_left(&shown), "the words leave the screen")?;
        Ok(words)
    }

    /// A command at the terminal: each line is typed when its question is seen. Tells the exit code and
    /// all that was shown.
    ///
    /// # Errors
    /// A question did not come.
    pub fn conversation(&self, arguments: &[&str], lines: &[(&str, &str)]) -> Result<(u32, Zeroizing<String>)> {
        let mut terminal = self.at_terminal(arguments)?;
        let mut shown = Zeroizing::new(String::new());
        for (question, line) in lines {
            let seen = terminal.expect(question, LONG).with_context(|| format!("so far:\n{}", *shown))?;
            shown.push_str(&seen);
            terminal.await_silence(SOON)?;
            terminal.type_line(line)?;
        }
        let (code, rest) = terminal.end(LONG)?;
        shown.push_str(&rest);
        Ok((code, shown))
    }

    /// Whether the agent says that the box is protected.
    ///
    /// # Errors
    /// It said neither yes nor no.
    pub fn is_protected(&self) -> Result<bool> {
        let ended = self.agent(&["--json", "status"], "")?;
        match ended.code {
            Some(0) => Ok(true),
            // One that is not enrolled is told as an error. Protected is not yet closed.
            Some(1) => Ok(ended.json()?["protected"] == true),
            _ => bail!("status said neither yes nor no ({:?}):\n{}{}", ended.code, ended.wrote(), ended.said()),
        }
    }

    /// A recovery: each of `typed` is typed at the prompt for the words, the question whether the
    /// date fits is answered with yes.
    ///
    /// # Errors
    /// Something did not come as it should. That the words are refused is no error.
    pub fn recover(&self, ticket: &str, typed: &[&str]) -> Result<Recovery> {
        self.recover_with(ticket, &[], typed)
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub fn recover_with(&self, ticket: &str, arguments: &[&str], typed: &[&str]) -> Result<Recovery> {
        let file = self.folder.join("ticket");
        write_private(&file, ticket.as_bytes())?;
        let path = file.display().to_string();
        self.recover_without_hub(&[&["--ticket-file", path.as_str()], arguments].concat(), typed)
    }

    /// The same with nothing but these arguments: without a ticket.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub fn recover_without_hub(&self, arguments: &[&str], typed: &[&str]) -> Result<Recovery> {
        // Nobody signs an order in the midst of this, unless a test says so.
        let patience: &[&str] =
            if arguments.contains(&"--wait-for-orders") { &[] } else { &["--wait-for-orders", "0"] };
        let all = [&["recover"], arguments, patience].concat();
        let mut terminal = self.at_terminal(&all)?;
        let mut left = typed.iter();
        let mut shown = Zeroizing::new(String::new());
        // The prompt for the words, the question whether the date fits, a secret that is taken no more (there is
        // no other), or the end.
        while let Ok((asked, before)) = terminal.expect_any(&[PROMPT, FITS, SECRET], LONG) {
            shown.push_str(&before);
            match (asked, if asked == 0 { left.next() } else { None }) {
                (0, Some(words)) => {
                    shown.clear();
                    terminal.await_silence(SOON)?;
                    terminal.type_line(words)?;
                }
                (0, None) => {
                    bail!("the agent asks for the words once more than it was told:\n{}", *without(&shown, typed))
                }
                (1, _) => terminal.type_line("y")?,
                _ => {
                    terminal.await_silence(SOON)?;
                    terminal.type_line("")?;
                }
            }
        }
        let (code, rest) = terminal.end(LONG)?;
        shown.push_str(&rest);
        Ok(Recovery { code, shown: without(&shown, typed) })
    }

    /// Begins a recovery and types the words; what then happens is not waited for.
    ///
    /// # Errors
    /// The words or the date are not asked for.
    pub fn begin_recovery(&self, ticket: &str, words: &str) -> Result<Terminal> {
        let file = self.folder.join("ticket");
        write_private(&file, ticket.as_bytes())?;
        let mut terminal = self.at_terminal(&["recover", "--ticket-file", &file.display().to_string()])?;
        for (question, line) in [(PROMPT, words), (FITS, "y")] {
            terminal.expect(question, LONG)?;
            if question == PROMPT {
                terminal.await_silence(SOON)?;
            }
            terminal.type_line(line)?;
        }
        Ok(terminal)
    }

    /// Whether a recovery has left nothing on it: no key, no token, no data, no source.
    ///
    /// # Errors
    /// What it has left.
    pub fn nothing_installed(&self) -> Result<()> {
        for path in [self.installed_key(), self.installed_token(), self.state().join("recovered")] {
            holds(fs::symlink_metadata(&path).is_err(), format!("{} does not exist", path.display()))?;
        }
        let config = fs::read_to_string(self.config())?;
        holds(!config.contains("[[source]]"), "the configuration has no source")?;
        self.left_nothing_in_memory()
    }

    /// Whether the private folder is empty.
    ///
    /// # Errors
    /// What lies in it.
    pub fn left_nothing_in_memory(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.runtime) else { return Ok(()) };
        let left: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
        holds(left.is_empty(), format!("the private folder is empty, and not {left:?}"))
    }

    /// Burns it: the disk and what was in memory are gone.
    ///
    /// # Errors
    /// What the system said.
    pub fn destroy(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("removing {}", self.folder.display()))?;
        match fs::remove_dir_all(&self.runtime) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing the private folder")
            }
            _ => Ok(()),
        }
    }
}

/// What was typed is on the screen for a moment, and in nobody's report.
fn without(shown: &str, typed: &[&str]) -> Zeroizing<String> {
    typed
        .iter()
        .fold(Zeroizing::new(shown.to_owned()), |shown, words| Zeroizing::new(shown.replace(words, "[the words]")))
}

/// One operator's public key, which nobody holds the other half of.
fn operator_line() -> String {
    let mut wire = Vec::new();
    for field in [b"ssh-ed25519".as_slice(), &[0x42; 32]] {
        wire.extend(u32::try_from(field.len()).unwrap_or_default().to_be_bytes());
        wire.extend(field);
    }
    format!("operational,recovery ssh-ed25519 {}\n", STANDARD.encode(wire))
}

/// The last switch between the screens is back to the ordinary one.
fn alternate_screen_is_left(shown: &[u8]) -> bool {
    let last = |sequence: &[u8]| shown.windows(sequence.len()).rposition(|window| window == sequence);
    match (last(b"\x1b[?1049h"), last(b"\x1b[?1049l")) {
        (Some(entered), Some(left)) => left > entered,
        _ => false,
    }
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

const PROMPT: &str = "The ten words: ";
const FITS: &str = "Does this fit? [y/n] ";
const SECRET: &str = "Enter alone goes on without): ";
const SOON: Duration = Duration::from_secs(60);
/// A machine with much to do, and a restore of gigabytes.
const LONG: Duration = Duration::from_secs(900);
