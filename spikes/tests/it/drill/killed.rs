//! A drill that is ended in its midst: told to, it takes everything away; killed, the next one does.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tenwords_spikes::terminal::Terminal;

use super::{LONG, PROMPT, drills, nothing_is_left, recorded, remembered, scratch};
use crate::support::{self, Scene, as_shown, joined_with};

/// A box whose client hangs in the restore of a tree as long as this file is there.
fn hanging() -> Result<(Scene, PathBuf)> {
    let mut scene = joined_with(
        |world, server| {
            let (hangs, begun) = (world.folder().join("hangs"), world.folder().join("begun"));
            let script = format!(
                "case \"$*\" in *restore*root.pxar*) if [ -e {0} ]; then echo $$ >{1}.new; mv {1}.new {1}; \
                 exec sleep 600; fi;; esac",
                hangs.display(),
                begun.display()
            );
            server.client = support::client(world, server, "hanging-client", &script)?;
            Ok(())
        },
        &[],
    )?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let hangs = scene.world.folder().join("hangs");
    fs::write(&hangs, "")?;
    Ok((scene, hangs))
}

/// An archive drill in the midst of its restore, and the client that hangs in it.
fn in_the_midst(scene: &Scene) -> Result<(Terminal, i32)> {
    let mut terminal = scene.box_1.at_terminal(&["drill", "--archive"])?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&scene.words)?;
    terminal.expect("root.pxar of ct/101/", LONG)?;
    let (begun, until) = (scene.world.folder().join("begun"), Instant::now() + LONG);
    while !begun.exists() {
        ensure!(Instant::now() < until, "the restore does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    let client = fs::read_to_string(&begun)?.trim().parse()?;
    let scratch = scratch(&scene.box_1);
    ensure!(fs::metadata(&scratch)?.permissions().mode() & 0o777 == 0o700, "others may look into the scratch folder");
    ensure!(scratch.join(".tenwords-drill.json").exists(), "it has no mark");
    Ok((terminal, client))
}

fn signal(terminal: &Terminal, signal: Signal) -> Result<()> {
    let id = terminal.process_id().context("the agent runs")?;
    Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
}

#[test]
fn a_drill_that_is_told_to_end_takes_everything_away() -> Result<()> {
    let (scene, _) = hanging()?;
    let before = remembered(&scene.box_1)?;
    let (mut terminal, client) = in_the_midst(&scene)?;
    signal(&terminal, Signal::SIGTERM)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 130, "it ended with {code}:\n{}", *shown);
    ensure!(shown.contains("interrupted: nothing is proven"), "{}", *shown);
    let state = fs::read_to_string(format!("/proc/{client}/stat")).unwrap_or_default();
    ensure!(state.is_empty() || state.contains(") Z "), "the client runs on: {state}");
    ensure!(recorded(&scene)? == ["words"] && remembered(&scene.box_1)? == before, "it is written down");
    nothing_is_left(&scene.box_1)
}

#[test]
fn what_a_killed_drill_has_left_is_removed_by_the_next_one() -> Result<()> {
    let (scene, hangs) = hanging()?;
    let (mut terminal, client) = in_the_midst(&scene)?;
    signal(&terminal, Signal::SIGKILL)?;
    ensure!(terminal.end(LONG).is_err(), "it ended by itself");
    let _ended_with_it = kill(Pid::from_raw(client), Signal::SIGKILL);
    ensure!(scratch(&scene.box_1).exists(), "nothing was left that could be removed");
    fs::create_dir_all(scratch(&scene.box_1).join("archive/half"))?;
    fs::remove_file(hangs)?;
    let (code, said) = drills(&scene.box_1, &["--words"], &[&scene.words])?;
    ensure!(code == 0 && said.contains("The drill is done"), "it ended with {code}:\n{said}");
    nothing_is_left(&scene.box_1)?;

    // What no drill has made stays, and is named before the words.
    fs::create_dir(scratch(&scene.box_1))?;
    fs::set_permissions(scratch(&scene.box_1), fs::Permissions::from_mode(0o700))?;
    fs::write(scratch(&scene.box_1).join("theirs"), "x")?;
    let ended = scene.box_1.agent(&["drill", "--archive"], "")?.with_code(10)?;
    ensure!(ended.said().contains("no drill has made it"), "{}", ended.said());
    ensure!(scratch(&scene.box_1).join("theirs").exists());
    Ok(())
}
