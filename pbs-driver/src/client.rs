//! The client program: where it is, how long it may take, and the two ways of running it.

use std::{
    ffi::OsString,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::Signal,
    unistd::{AccessFlags, access},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    access::Access,
    certificate,
    conversation::{Conversation, Means, Secrets},
    environment::Environment,
    error::DriverError,
    failure::Failure,
    group::Exit,
    private::{PrivateDir, read_whole},
    process::{Capture, Finished, Job, Moment, RunError, Stdout, run},
    pty::{Ending, Talk, TalkError, talk},
    scrub::scrub,
    texts::classify,
};

/// `proxmox-backup-client` (or what stands in its place) and the folder where its children live.
#[derive(Debug, Clone)]
pub struct Client {
    program: PathBuf,
    /// Before every command's own arguments.
    leading: Vec<OsString>,
    private: PrivateDir,
    limits: Limits,
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a child to start.
    pub spawn: Duration,
    /// For each prompt, and for the terminal's readiness after it.
    pub prompt: Duration,
    /// For a whole conversation, the derivation included.
    pub conversation: Duration,
    /// For a list, a status, a version. The client itself gives up connecting after 10 s and a
    /// request after 120 s, but waits for a mute server longer (`formats.md` §10.1).
    pub answer: Duration,
    /// For a restore without a sign of work.
    pub stall: Duration,
    /// For a whole restore.
    pub restore: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spawn: Duration::from_secs(10),
            prompt: Duration::from_secs(30),
            conversation: Duration::from_secs(120),
            answer: Duration::from_secs(180),
            stall: Duration::from_secs(15 * 60),
            restore: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Client {
    /// Where Debian's package puts it.
    pub const USUAL: &str = "/usr/bin/proxmox-backup-client";

    /// The package that brings it, on Debian and on Proxmox VE.
    pub const PACKAGE: &str = "proxmox-backup-client";

    /// The client at this path. Whether it is there is asked at each run, so that a message about a
    /// missing one comes where it matters.
    ///
    /// # Errors
    /// [`DriverError::Relative`] for a relative path: what it means would depend on where a child starts.
    pub fn new(program: impl Into<PathBuf>, private: PrivateDir) -> Result<Self, DriverError> {
        let program = program.into();
        if !program.is_absolute() {
            return Err(DriverError::Relative { path: program });
        }
        Ok(Self { program, leading: Vec::new(), private, limits: Limits::default() })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same with these arguments before every command: what makes a client of a program that is more
    /// than one (`pbs-local --root DIR`).
    #[must_use]
    pub fn with_leading(self, leading: impl IntoIterator<Item = OsString>) -> Self {
        Self { leading: leading.into_iter().collect(), ..self }
    }

    /// Its path.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where copies may be made for it.
    #[must_use]
    pub fn private(&self) -> &PrivateDir {
        &self.private
    }

    /// How long it may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A conversation on a pty; it ended by itself, well or not.
    pub(crate) fn converse(
        &self,
        conversation: &Conversation,
        args: &[OsString],
        secrets: &Secrets<'_>,
    ) -> Result<(), DriverError> {
        let command = conversation.command;
        self.is_there(command)?;
        let folder = self.private.folder()?;
        let environment = Environment::offline(&folder)?;
        let ended = talk(
            &Talk {
                program: &self.program,
                args: &self.led(args),
                environment: &environment,
                conversation,
                spawn: self.limits.spawn,
                prompt: self.limits.prompt,
                whole: self.limits.conversation,
            },
            secrets,
        );
        let failure = match ended {
            Ok(Ending { exit, said, complete }) => match conversation.means(exit, complete) {
                Means::Done => return Ok(()),
                Means::ItsWords => {
                    let keys = keys_in(args);
                    let secrets: Vec<&str> =
                        secrets.all().into_iter().chain(keys.iter().map(|key| key.as_str())).collect();
                    classify(&said, &secrets)
                }
                Means::Killed => killed(exit),
                Means::NotAsked => {
                    Failure::UnknownClient { why: "it ended without having asked for the passphrase".to_owned() }
                }
            },
            Err(TalkError::NoPrompt { prompt, said }) => match said {
                Some(said) if !said.is_empty() => Failure::UnknownClient {
                    why: format!("it did not ask \"{prompt}\", but said: {}", scrub(&said, &secrets.all())),
                },
                _ => Failure::TimedOut { waiting_for: prompt.trim_end() },
            },
            Err(TalkError::EchoStaysOn { prompt }) => {
                Failure::UnknownClient { why: format!("after \"{prompt}\" its terminal went on showing what is typed") }
            }
            Err(TalkError::Unexpected { question }) => {
                Failure::UnknownClient { why: format!("it asked \"{question}\" out of turn") }
            }
            Err(TalkError::Run(error)) => return Err(self.broken_off(command, error)),
        };
        Err(DriverError::Client { command, failure })
    }

    /// A short question by pipes: its stdout.
    pub(crate) fn ask(
        &self,
        command: &'static str,
        args: &[OsString],
        access: Option<&Access>,
    ) -> Result<(Vec<u8>, Capture), DriverError> {
        let work = Work { command, args, access, whole: self.limits.answer, stall: None };
        let finished = self.work(&work, Stdout::Keep(MAX_ANSWER), &mut |_| ControlFlow::Continue(()))?;
        Ok((finished.stdout, finished.stderr))
    }

    /// Any work by pipes; that it ended well, and with which words.
    pub(crate) fn work(
        &self,
        work: &Work<'_>,
        stdout: Stdout<'_>,
        watch: &mut dyn FnMut(Moment) -> ControlFlow<()>,
    ) -> Result<Finished, DriverError> {
        let command = work.command;
        self.is_there(command)?;
        let folder = self.private.folder()?;
        let environment = match work.access {
            Some(access) => Environment::connecting(&folder, access)?,
            None => Environment::offline(&folder)?,
        };
        let job = Job {
            program: &self.program,
            args: &self.led(work.args),
            environment: &environment,
            input: None,
            spawn: self.limits.spawn,
            whole: work.whole,
            stall: work.stall,
        };
        let finished = run(&job, stdout, watch).map_err(|error| self.broken_off(command, error))?;
        let failure = match finished.exit {
            _ if finished.asked.is_some() => {
                let failure = finished.asked.map_or(Failure::Interrupted, |question| (question.unasked)());
                match work.access {
                    Some(access) => certificate::completed(failure, access),
                    None => failure,
                }
            }
            Exit::Code(0) => return Ok(finished),
            Exit::Code(_) => {
                let keys = keys_in(work.args);
                let token = work.access.map(Access::expose_token);
                let secrets: Vec<&str> = token.into_iter().chain(keys.iter().map(|key| key.as_str())).collect();
                let failure = classify(&finished.stderr.text(), &secrets);
                match work.access {
                    Some(access) => certificate::completed(failure, access),
                    None => failure,
                }
            }
            exit => killed(exit),
        };
        Err(DriverError::Client { command, failure })
    }

    fn led(&self, args: &[OsString]) -> Vec<OsString> {
        self.leading.iter().chain(args).cloned().collect()
    }

    fn is_there(&self, command: &'static str) -> Result<(), DriverError> {
        if self.program.is_file() && access(&self.program, AccessFlags::X_OK).is_ok() {
            return Ok(());
        }
        Err(DriverError::Client { command, failure: Failure::NoClient { program: self.program.clone() } })
    }

    fn broken_off(&self, command: &'static str, error: RunError) -> DriverError {
        let failure = match error {
            RunError::SpawnTimedOut => Failure::TimedOut { waiting_for: "its start" },
            RunError::TimedOut => Failure::TimedOut { waiting_for: "its end" },
            RunError::Stalled => Failure::TimedOut { waiting_for: "a sign of work" },
            RunError::TooMuch => Failure::UnknownClient { why: "it printed far more than it should".to_owned() },
            RunError::Stopped => Failure::Interrupted,
            RunError::Spawn(source) if source.kind() == io::ErrorKind::NotFound => {
                Failure::NoClient { program: self.program.clone() }
            }
            RunError::Spawn(source) => {
                return DriverError::Io { doing: "starting", path: self.program.clone(), source };
            }
            RunError::Pipe(source) => {
                return DriverError::Io { doing: "talking to", path: self.program.clone(), source };
            }
            RunError::Receiver(source) => {
                return DriverError::Io { doing: "passing on what came from", path: self.program.clone(), source };
            }
        };
        DriverError::Client { command, failure }
    }
}

/// Somebody's wish, or the program's own fault. (A program that cannot be executed ends by SIGABRT on
/// a pty: portable-pty closes the descriptor by which the cause would have come back.)
fn killed(exit: Exit) -> Failure {
    let Exit::Signal(signal) = exit else { return Failure::Interrupted };
    let own_fault = [
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGSYS,
        Signal::SIGTRAP,
    ];
    match own_fault.into_iter().find(|known| *known as i32 == signal) {
        Some(known) => Failure::UnknownClient { why: format!("it could not be run to its end ({known})") },
        None => Failure::Interrupted,
    }
}

/// The keys in the key files that a child was given, so that nothing of them is in what it is quoted with.
fn keys_in(args: &[OsString]) -> Vec<Zeroizing<String>> {
    #[derive(Deserialize)]
    struct WithKey {
        data: String,
    }
    let key = |path: &Path| {
        let text = read_whole(path, MAX_KEY_FILE).ok()?;
        serde_json::from_slice::<WithKey>(&text).ok().map(|file| Zeroizing::new(file.data))
    };
    args.iter().map(Path::new).filter(|path| path.is_absolute() && path.is_file()).filter_map(key).collect()
}

/// One run by pipes.
pub(crate) struct Work<'a> {
    /// The command, without arguments of the caller.
    pub(crate) command: &'static str,
    pub(crate) args: &'a [OsString],
    pub(crate) access: Option<&'a Access>,
    pub(crate) whole: Duration,
    pub(crate) stall: Option<Duration>,
}

const MAX_KEY_FILE: usize = 64 * 1024;
/// JSON of a list of some ten thousand snapshots.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
