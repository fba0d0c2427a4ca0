//! The agent is killed in the middle of a recovery; the same command, run again, ends well.
#![expect(clippy::disallowed_methods, reason = "a child that is killed by its number is started by hand")]

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tenwords_spikes::world::Machine;

use super::{LONG, Stage, command, liar::Lie, recovers, told};
use crate::support::{BOX, Scene, versions};

/// A recovery that runs until it is killed: the agent alone, as the kernel does when memory is short.
struct Running(Child);

impl Running {
    fn start(scene: &Scene, machine: &Machine, ticket: &str) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(command(scene, machine, ticket)?)
            .env_clear()
            .envs(scene.world.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        child.stdin.take().context("its input")?.write_all(scene.words.as_bytes())?;
        Ok(Self(child))
    }

    /// Waits until `there` has something, then kills.
    fn killed_once<T>(mut self, what: &str, mut there: impl FnMut() -> Option<T>) -> Result<T> {
        let until = Instant::now() + LONG;
        loop {
            if let Some(found) = there() {
                self.0.kill()?;
                ensure!(self.0.wait()?.code().is_none(), "{what}: it ended by itself");
                return Ok(found);
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("{what}: it ended with {status} before that");
            }
            ensure!(Instant::now() < until, "{what}: it did not come to that");
            thread::sleep(Duration::from_millis(3));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// Says when this is asked for, and never answers.
fn held(method: &'static str, path: &'static str) -> (Lie, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    let lie: Lie = Box::new(move |asked, truth| {
        if asked.method == method && asked.path.contains(path) {
            let _nobody_waits_any_more = sender.send(());
            return None;
        }
        Some(truth)
    });
    (lie, receiver)
}

/// The line goes dead and the agent is killed at the same moment: which of the two it notices first
/// is all the same for what follows.
fn killed_at(stage: &Stage, method: &'static str, path: &'static str) -> Result<()> {
    let Stage { scene, machine, ticket, liar } = stage;
    // The answer is kept back until the agent is dead.
    let (dead, is_dead) = mpsc::channel::<()>();
    let (mut lie, asked) = held(method, path);
    liar.tells(Box::new(move |call, truth| {
        let answer = lie(call, truth);
        if answer.is_none() {
            let _at_the_latest = is_dead.recv_timeout(LONG);
        }
        answer
    }));
    let running = Running::start(scene, machine, ticket)?;
    let killed = running.killed_once(path, || asked.try_recv().ok());
    drop(dead);
    killed
}

#[test]
fn s37_killed_after_the_words_the_same_command_ends_well() -> Result<()> {
    for (method, path, most) in [
        ("GET", "/parts/root.age", 2),
        // The hub has taken the proof.
        ("POST", "/recovery/prove", 2),
        // The hub has stored the closing ceremony, and the machine has not read it back.
        ("POST", "/versions", 3),
    ] {
        let stage = Stage::set()?;
        killed_at(&stage, method, path)?;
        (|| {
            stage.recovers_from_the_truth()?;
            let count = versions(&stage.scene.hub)?;
            ensure!((2..=most).contains(&count), "the hub has {count} versions");
            ensure!(stage.machine.is_protected()?, "it is not protected");
            Ok(())
        })()
        .with_context(|| format!("killed at {method} {path}"))?;
    }
    Ok(())
}

/// Killed while the client restores: what lies there is begun anew, whatever it looks like.
#[test]
fn s39_killed_while_restoring_the_same_command_ends_well() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, liar, .. } = &stage;
    let folder = scene.world.make("bin")?;
    let (reached, go_on) = (folder.join("reached"), folder.join("go-on"));
    let client = folder.join("client-that-waits");
    // It streams all of it, and then takes for ever to end.
    let script = format!(
        "#!/bin/sh\n'{real}' \"$@\"; end=$?\n\
         if [ \"$1 $3\" = 'restore root.pxar' ] && [ ! -e '{go_on}' ]; then\n\
         echo $$ > '{reached}.new'; mv '{reached}.new' '{reached}'; exec sleep 600\n\
         fi\nexit $end\n",
        real = scene.server.client.display(),
        go_on = go_on.display(),
        reached = reached.display(),
    );
    fs::write(&client, script)?;
    fs::set_permissions(&client, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let machine = Machine::new(&scene.world, "box3", &client)?;
    let ticket = liar.ticket(&scene.hub.arm(BOX, &[])?)?;
    liar.speaks_for(&machine);

    let running = Running::start(scene, &machine, &ticket)?;
    let waiting = running.killed_once("restoring", || {
        let text = fs::read_to_string(PathBuf::from(&reached)).ok()?;
        text.trim().parse::<i32>().ok()
    })?;
    let _gone_with_its_parent = kill(Pid::from_raw(waiting), Signal::SIGKILL);
    // It is at its stage, under the recovery's mark. However the machine went down, that has something else
    // than was backed up.
    let target = machine.restored(crate::support::GROUP, "root.pxar");
    ensure!(!target.exists(), "what is unfinished lies in its place already");
    let folder = target.parent().context("its folder")?;
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let [stage] = &names[..] else { bail!("beside the stage there is {names:?}") };
    fs::write(stage.join("books"), "other")?;
    fs::write(stage.join("planted"), "more")?;
    let status = machine.agent(&["recover", "--status"], "")?;
    ensure!(
        status.code == Some(14) && String::from_utf8_lossy(&status.stdout).contains("[~]   1."),
        "{}",
        told(&status)
    );
    fs::write(&go_on, "")?;
    recovers(scene, &machine, &ticket)?;
    ensure!(fs::read_dir(folder)?.count() == 1, "something is left beside what was restored");
    ensure!(versions(&scene.hub)? == 2, "the closing ceremony was held once");
    ensure!(machine.is_protected()?, "it is not protected");
    Ok(())
}
