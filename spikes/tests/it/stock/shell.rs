//! A person at a shell: types what a page says, and answers what a program asks.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::terminal::Terminal;

use crate::support::Scene;

/// What is typed where a command asks for something that is not shown.
pub(super) struct Answer<'a> {
    /// Part of the command that asks.
    pub(super) command: &'static str,
    /// How it asks; nothing if it waits in silence.
    pub(super) prompt: &'static str,
    pub(super) typed: &'a str,
}

/// bash on a terminal. Of ours its PATH has the client's stand-in alone.
pub(super) struct Shell {
    terminal: Terminal,
    shown: String,
}

impl Shell {
    pub(super) fn start(scene: &Scene, folder: &Path) -> Result<Self> {
        let programs = scene.world.make("stock")?;
        symlink(&scene.server.client, programs.join("proxmox-backup-client"))?;
        symlink(&scene.world.programs().pbs_local, programs.join("pbs-local"))?;
        let mut environment = scene.world.environment();
        environment.retain(|(name, _)| name != "PATH");
        environment.push(("PATH".into(), format!("{}:/usr/bin:/bin", programs.display())));
        environment.push(("PS1".into(), format!("{DONE}$?{END}")));
        // Without its line editor the terminal itself echoes what is typed.
        let arguments = ["--norc", "--noprofile", "--noediting", "-i", "-o", "pipefail"];
        let terminal = Terminal::start(Path::new(BASH), arguments, &environment, folder)?.quoting();
        let mut shell = Self { terminal, shown: String::new() };
        shell.await_prompt()?;
        Ok(shell)
    }

    /// Runs one line, which must end well, and tells what it showed.
    pub(super) fn run(&mut self, command: &str, answers: &[Answer<'_>]) -> Result<String> {
        self.terminal.type_line(command)?;
        self.terminal.expect(&format!("{command}\n"), SOON)?;
        for answer in answers.iter().filter(|answer| command.contains(answer.command)) {
            if !answer.prompt.is_empty() {
                self.terminal.expect(answer.prompt, SOON).with_context(|| command.to_owned())?;
            }
            self.terminal.await_silence(SOON)?;
            self.terminal.type_line(answer.typed)?;
        }
        let (code, shown) = self.await_prompt()?;
        ensure!(code == "0", "`{command}` ended with {code}:\n{shown}");
        self.shown.push_str(&shown);
        Ok(shown)
    }

    /// All that commands have shown so far, without what was typed.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    fn await_prompt(&mut self) -> Result<(String, String)> {
        let shown = self.terminal.expect(DONE, SOON)?;
        let code = self.terminal.expect(END, SOON)?;
        let without = |text: &str, end: &str| text.strip_suffix(end).unwrap_or(text).to_owned();
        Ok((without(&code, END), without(&shown, DONE)))
    }
}

/// The programs among these that this machine does not have.
pub(super) fn missing(programs: &[&'static str]) -> Vec<&'static str> {
    let is_there = |name: &&str| fs::metadata(Path::new("/usr/bin").join(name)).is_ok_and(|file| file.is_file());
    programs.iter().copied().filter(|name| !is_there(name)).collect()
}

const BASH: &str = "/bin/bash";
const DONE: &str = "[done ";
const END: &str = "] ";
const SOON: Duration = Duration::from_secs(60);
