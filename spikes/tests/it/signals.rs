//! A command is told to end, is started twice, or shares its descriptors: nothing is left on the
//! screen, nothing runs on, nothing is done by two at once, and no child but the pty's sees the words.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tenwords_spikes::{
    process::Run,
    terminal::Terminal,
    world::{Machine, World, write_private},
};

use crate::support::{BOX, GROUP, joined, protected};

const LONG: Duration = Duration::from_secs(120);

/// A client that does something before it does its work.
fn client_that(world: &World, real: &std::path::Path, first: &str) -> Result<PathBuf> {
    let path = world.folder().join("client-that");
    fs::write(&path, format!("#!/bin/sh\n{first}\nexec {} \"$@\"\n", real.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn signal(terminal: &Terminal, signal: Signal) -> Result<()> {
    let id = terminal.process_id().context("the agent runs")?;
    kill(Pid::from_raw(i32::try_from(id)?), signal)?;
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_line_that_is_cut_while_the_words_are_shown_leaves_no_word_on_the_screen() -> Result<()> {
    let scene = joined()?;
    for told in [Signal::SIGHUP, Signal::SIGTERM] {
        let mut terminal = scene.box_1.at_terminal(&["escrow", "create", "--new-code"])?;
        terminal.expect("Press Enter when they are written down", LONG)?;
        signal(&terminal, told)?;
        let (code, _) = terminal.end(LONG)?;
        ensure!(code == 130, "{told}: it ended with {code}");
        let shown = terminal.transcript();
        let left = shown.windows(8).rposition(|window| window == b"\x1b[?1049l").context("the screen is left")?;
        ensure!(contains(&shown[..left], b"\x1b[2J\x1b[3J\x1b[H"), "{told}: the screen was not wiped before");
        ensure!(contains(&shown[left..], b"destroy the sheet"), "{told}: nobody is told what to do with the sheet");
        ensure!(!scene.box_1.is_protected()?, "{told}: nothing was stored");
        scene.box_1.left_nothing_in_memory()?;
    }
    Ok(())
}

#[test]
fn a_restore_that_is_told_to_end_takes_its_client_along_and_is_begun_anew() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let begun = scene.world.folder().join("begun");
    // The first restore of the tree hangs; the second does its work.
    let first = format!(
        "case \"$*\" in *restore*root.pxar*) if [ ! -e {0} ]; then echo $$ >{0}.new; mv {0}.new {0}; exec sleep 600; fi;; esac",
        begun.display()
    );
    let client = client_that(&scene.world, &scene.server.client, &first)?;
    let machine = Machine::new(&scene.world, "box2", &client)?;
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let arguments = ["recover", "--ticket-file", &file.display().to_string()];
    let mut terminal = machine.at_terminal(&arguments)?;
    terminal.expect("The ten words: ", LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&scene.words)?;
    terminal.expect("Does this fit? [y/n] ", LONG)?;
    terminal.type_line("y")?;
    terminal.expect("8 Restoring", LONG)?;
    let until = std::time::Instant::now() + LONG;
    while !begun.exists() {
        ensure!(std::time::Instant::now() < until, "the restore does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }

    let second = machine.agent(&arguments, "")?.with_code(10)?;
    ensure!(second.said().contains("another tenwords-agent"), "{}", second.said());

    signal(&terminal, Signal::SIGTERM)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 130, "it ended with {code}:\n{}", *shown);
    let client_id: i32 = fs::read_to_string(&begun)?.trim().parse()?;
    let state = fs::read_to_string(format!("/proc/{client_id}/stat")).unwrap_or_default();
    ensure!(state.is_empty() || state.contains(") Z "), "the client runs on: {state}");
    ensure!(!machine.restored(GROUP, "root.pxar").exists(), "a half is left");
    machine.left_nothing_in_memory()?;

    scene.recovers(&machine, &ticket, &scene.words)?;
    Ok(())
}

#[test]
fn s04_words_by_a_descriptor_are_read_out_before_any_child_could_inherit_it() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let spied = scene.world.folder().join("spied");
    let first = format!("echo began >>{0}; timeout 1 cat <&7 >>{0} 2>/dev/null", spied.display());
    let client = client_that(&scene.world, &scene.server.client, &first)?;
    let machine = Machine::new(&scene.world, "box2", &client)?;
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let [agent, config, ticket] =
        [&scene.world.programs().agent, &machine.config(), &file].map(|path| path.display().to_string());
    let script = "exec 7<&0 </dev/null; exec \"$@\"";
    let ended = Run::new("/bin/sh".as_ref(), scene.world.folder())
        .args([
            "-c",
            script,
            "sh",
            &agent,
            "--config",
            &config,
            "recover",
            "--ticket-file",
            &ticket,
            "--code-fd",
            "7",
            "--yes",
        ])
        .envs(&scene.world.environment())
        .input(scene.words.as_bytes())
        .to_end(LONG)?
        .with_code(0)?;
    ensure!(ended.said().contains("Recovered") || !ended.stdout.is_empty(), "it says how it ended");
    let spied = fs::read(&spied)?;
    ensure!(contains(&spied, b"began"), "the client looked");
    let seen = scene.words.split(' ').filter(|word| contains(&spied, word.as_bytes())).count();
    ensure!(seen == 0, "the client saw {seen} of the words");
    Ok(())
}
