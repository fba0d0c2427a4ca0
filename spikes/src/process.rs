//! Runs a program to its end, with a deadline, nothing on its standard input, and exactly the
//! environment that it is given.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// A program, its arguments and its environment.
#[derive(Debug, Clone)]
pub struct Run {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    input: Vec<u8>,
}

/// How a program ended.
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: Vec<u8>,
    name: String,
}

impl Run {
    /// A run of `program` in `folder`.
    #[must_use]
    pub fn new(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_owned(),
            input: Vec::new(),
        }
    }

    /// With these arguments more.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With these variables more.
    #[must_use]
    pub fn envs(mut self, variables: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(variables);
        self
    }

    /// With this on its standard input, instead of nothing.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Self {
        bytes.clone_into(&mut self.input);
        self
    }

    /// Runs it in a process group of its own. At the deadline the group is killed.
    ///
    /// # Errors
    /// It could not be started, or did not end in time.
    pub fn to_end(self, within: Duration) -> Result<Ended> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let until = Instant::now() + within;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.current_dir(&self.folder).process_group(0);
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let stdout = reading(child.stdout.take().context("no stdout")?);
        let stderr = reading(child.stderr.take().context("no stderr")?);
        if let Some(mut stdin) = child.stdin.take() {
            // It may have ended without reading; its exit says what is to be said.
            let _not_read = stdin.write_all(&self.input);
        }
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                let group = i32::try_from(child.id()).context("a process number")?;
                let _gone_already = killpg(Pid::from_raw(group), Signal::SIGKILL);
                child.wait()?;
                bail!("{name} did not end within {} s and was killed", within.as_secs());
            }
            thread::sleep(Duration::from_millis(3));
        };
        Ok(Ended { code: status.code(), stdout: read(stdout)?, stderr: read(stderr)?, name })
    }
}

impl Ended {
    /// Itself, if the exit code is `code`.
    ///
    /// # Errors
    /// Another code, with what the program said.
    pub fn with_code(self, code: i32) -> Result<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let shown = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        bail!("{} ended with {shown} instead of {code}; it said:\n{}", self.name, self.said());
    }

    /// What it said, as text.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// What it wrote, as text.
    #[must_use]
    pub fn wrote(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it wrote, as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.stdout).with_context(|| format!("what {} wrote is no JSON", self.name))
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("name", &self.name).field("code", &self.code).finish_non_exhaustive()
    }
}

fn reading(mut from: impl Read + Send + 'static) -> JoinHandle<std::io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes)
    })
}

fn read(thread: JoinHandle<std::io::Result<Vec<u8>>>) -> Result<Vec<u8>> {
    thread.join().map_err(|_| anyhow!("reading what a program said broke down"))?.context("reading what a program said")
}
