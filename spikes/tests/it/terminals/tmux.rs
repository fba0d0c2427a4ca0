//! A real tmux: what it keeps of a program's screen it keeps for everybody who attaches later.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tenwords_spikes::{customer::none_drawn, process::Run, terminal::numbered_words};

use super::{WRITTEN, command, fresh};
use crate::support::{Scene, joined};

const TMUX: &str = "/usr/bin/tmux";
const SOON: Duration = Duration::from_secs(120);

/// A tmux server of its own. Dropping it ends it.
struct Tmux {
    socket: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Tmux {
    /// With this command in a window of 80 columns and 24 lines, which stays when it has ended.
    fn running(scene: &Scene, name: &str, command: &[String]) -> Result<Self> {
        let folder = scene.world.folder().to_owned();
        let tmux = Self { socket: folder.join(name), folder, environment: scene.world.environment() };
        tmux.says(&["new-session", "-d", "-x", "80", "-y", "24", "-s", "it", "/bin/sh"])?;
        tmux.says(&["set-option", "-g", "remain-on-exit", "on"])?;
        let mut respawn = vec!["respawn-pane", "-k", "-t", "it"];
        respawn.extend(command.iter().map(String::as_str));
        tmux.says(&respawn)?;
        Ok(tmux)
    }

    fn says(&self, arguments: &[&str]) -> Result<String> {
        let ended = Run::new(Path::new(TMUX), &self.folder)
            .args(["-f", "/dev/null", "-S"])
            .args([&self.socket])
            .args(arguments)
            .envs(&self.environment)
            .to_end(SOON)?
            .with_code(0)?;
        Ok(String::from_utf8(ended.stdout)?)
    }

    fn types(&self, text: &str) -> Result<()> {
        self.says(&["send-keys", "-t", "it", "-l", text]).map(drop)
    }

    fn enters(&self) -> Result<()> {
        self.says(&["send-keys", "-t", "it", "Enter"]).map(drop)
    }

    /// Waits until the pane shows these.
    fn sees(&self, texts: &[&str]) -> Result<String> {
        self.waits(|shown| {
            let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            texts.iter().all(|text| flat.contains(text))
        })
        .with_context(|| format!("{texts:?} was awaited"))
    }

    /// Waits until the program has ended well; tells the pane below its scrollback.
    fn ends(&self) -> Result<String> {
        let until = Instant::now() + SOON;
        loop {
            let ended = self.says(&[
                "display-message",
                "-p",
                "-t",
                "it",
                "#{pane_dead} #{pane_dead_status}#{pane_dead_signal}",
            ])?;
            // Where tmux was not told of the child's end, it has neither status nor signal for good; what the pane
            // shows is looked at by whoever waits.
            if matches!(ended.trim(), "1 0" | "1") {
                return self.says(&["capture-pane", "-p", "-J", "-t", "it", "-S", "-"]);
            }
            ensure!(!ended.starts_with('1'), "it ended with {ended}");
            ensure!(Instant::now() < until, "it does not end: {ended}");
            // Nothing of tmux's that could be waited for tells it in every version.
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn waits(&self, for_it: impl Fn(&str) -> bool) -> Result<String> {
        let until = Instant::now() + SOON;
        loop {
            let shown = self.says(&["capture-pane", "-p", "-t", "it"])?;
            if for_it(&shown) {
                return Ok(shown);
            }
            if Instant::now() >= until {
                bail!("the pane shows:\n{shown}");
            }
            // What a pane shows is no event.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// That it has kept no word: in the pane, its scrollback, its other screen, a buffer or a message.
    fn has_kept_none_of(&self, words: &str) -> Result<()> {
        for question in [
            ["capture-pane", "-p", "-J", "-t", "it", "-S", "-"].as_slice(),
            &["capture-pane", "-p", "-a", "-q", "-t", "it", "-S", "-"],
            &["list-buffers"],
        ] {
            none_drawn(&self.says(question)?, words).with_context(|| format!("{question:?}"))?;
        }
        Ok(())
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.says(&["kill-server"]);
    }
}

#[test]
fn tmux_has_no_word_left_in_pane_or_scrollback() -> Result<()> {
    if !Path::new(TMUX).is_file() {
        eprintln!("skipped: the words inside tmux (Debian's package tmux is not installed)");
        return Ok(());
    }
    let scene = joined()?;
    let tmux =
        Tmux::running(&scene, "ceremony.tmux", &command(&scene, &scene.box_1, &["escrow", "create", "--new-code"]))?;
    let shown = tmux.sees(&[WRITTEN, "10."])?;
    let words = numbered_words(&shown, 10).context("ten numbered words")?.to_string();
    // The search finds them while they are there to be seen.
    ensure!(tmux.has_kept_none_of(&words).is_err(), "tmux shows other words than it has");
    tmux.enters()?;
    tmux.sees(&["Now type the ten words back", "The ten words: 1."])?;
    tmux.has_kept_none_of(&words)?;
    tmux.types(&words)?;
    tmux.sees(&[&format!("10. {}", words.rsplit(' ').next().unwrap_or_default())])?;
    tmux.enters()?;
    let left = tmux.ends()?;
    tmux.has_kept_none_of(&words)?;
    ensure!(left.contains("Protected: "), "{left}");
    ensure!(left.contains("Looking at what is to be escrowed"), "what stood before is gone:\n{left}");

    let (machine, ticket) = fresh(&scene, "box2")?;
    let tmux =
        Tmux::running(&scene, "recovery.tmux", &command(&scene, &machine, &["recover", "--ticket-file", &ticket]))?;
    tmux.sees(&["The ten words: 1."])?;
    // Typed so that the pane would have to scroll, if anything of it did.
    tmux.types(&format!("{} ", words.replace(' ', "  ")))?;
    tmux.sees(&["All ten are there."])?;
    tmux.enters()?;
    tmux.sees(&["Does this fit?"])?;
    tmux.has_kept_none_of(&words)?;
    tmux.types("y")?;
    tmux.enters()?;
    let left = tmux.ends()?;
    tmux.has_kept_none_of(&words)?;
    ensure!(left.contains("Recovered: "), "{left}");
    Ok(())
}
