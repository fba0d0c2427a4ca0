//! Hostile partners against the whole path, on the built programs: a hub that lies with its own key,
//! a backup server that changes its mind, answers that are lost, and an agent that is killed.
//!
//! What a lie ends with is always the same: an exit code that says who is to be asked, a sentence,
//! and a machine on which nothing was put in place.

mod answers;
mod ceremony;
mod crash;
mod full;
mod hubs;
pub(crate) mod liar;
mod lost;
mod outlasted;
mod servers;
mod shown;
mod snapshots;
mod strangers;
mod swapped;
mod unsigned;
mod update;
mod versions;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::code::RecoveryCode;
use tenwords_spikes::{process::Ended, tree::Tree, world::Machine};

use crate::support::{BOX, GROUP, Scene, by_pipe, command_by_pipe, joined, protected};
use liar::Liar;

/// Words of nobody.
fn other_words() -> RecoveryCode {
    RecoveryCode::draw(&mut UnwrapErr(SysRng))
}

/// A recovery without a person.
fn recover(scene: &Scene, machine: &Machine, ticket: &str, words: &str) -> Result<Ended> {
    by_pipe(&scene.world, machine, ticket, &[], words)
}

/// Its program and arguments.
fn command(scene: &Scene, machine: &Machine, ticket: &str) -> Result<Vec<String>> {
    command_by_pipe(&scene.world, machine, ticket, &[])
}

/// All that a program said and wrote.
fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), String::from_utf8_lossy(&ended.stdout))
}

/// A recovery that must end with `code`, say `sentence` and what to do, and leave nothing.
fn refused(scene: &Scene, machine: &Machine, ticket: &str, words: &str, code: i32, sentence: &str) -> Result<String> {
    let ended = recover(scene, machine, ticket, words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(code), "recover ended with {:?} instead of {code}:\n{told}", ended.code);
    ensure!(told.contains(sentence), "`{sentence}` is not said:\n{told}");
    ensure!(told.contains("what to do: "), "it is not said what to do:\n{told}");
    nothing_installed(machine)?;
    Ok(told)
}

/// No key, token, data, source or identity; nothing in memory; of the claim and the journal only what the
/// same command needs to go on.
fn nothing_installed(machine: &Machine) -> Result<()> {
    machine.nothing_installed()?;
    let Ok(entries) = fs::read_dir(machine.state()) else { return Ok(()) };
    for entry in entries {
        let name = entry?.file_name();
        let known = ["lock", "recovery.key", "recovery.json", "recovery"].iter().any(|known| name == *known);
        ensure!(known, "{} was left", name.display());
    }
    Ok(())
}

/// A recovery that must end well: the data is back, the key is ours, and nothing stands there twice.
fn recovers(scene: &Scene, machine: &Machine, ticket: &str) -> Result<String> {
    let ended = recover(scene, machine, ticket, &scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    let key = pbs_format::key::KeyFile::parse(&fs::read(machine.installed_key())?)?.open(None)?;
    ensure!(key.fingerprint() == scene.key.fingerprint(), "the key is another");
    let sources = fs::read_to_string(machine.config())?.matches("[[source]]").count();
    ensure!(sources == 1, "the configuration has {sources} sources");
    machine.left_nothing_in_memory()?;
    Ok(told)
}

/// A protected box, a liar before its hub, a machine that will recover there, and its ticket.
struct Stage {
    machine: Machine,
    ticket: String,
    liar: Liar,
    scene: Scene,
}

/// A second box, whose way to the hub leads through the liar.
fn lied_to() -> Result<(Scene, Liar, Machine)> {
    let scene = joined()?;
    let liar = Liar::with_the_hubs_key(&scene.hub)?;
    let file = fs::read(scene.box_1.key_file())?;
    let mill = Machine::new(&scene.world, "mill", &scene.server.client)?.with_source(&scene.server, &file)?;
    let (_, ticket) = scene.hub.add_box("mill")?;
    mill.enroll(&liar.ticket(&ticket)?)?;
    liar.speaks_for(&mill);
    Ok((scene, liar, mill))
}

/// Parts of this name come back as `change` makes them, and everything else as it is.
fn part(name: &'static str, change: impl Fn(&mut Vec<u8>) + Send + 'static) -> liar::Lie {
    Box::new(move |asked: &liar::Asked, mut truth| {
        if asked.method == "GET" && asked.path.contains("/parts/") && asked.path.contains(name) {
            change(&mut truth.body);
        }
        Some(truth)
    })
}

impl Stage {
    fn set() -> Result<Self> {
        let scene = protected()?;
        let liar = Liar::with_the_hubs_key(&scene.hub)?;
        let ticket = liar.ticket(&scene.hub.arm(BOX, &[])?)?;
        let machine = scene.fresh("box2")?;
        liar.speaks_for(&machine);
        Ok(Self { machine, ticket, liar, scene })
    }

    /// Under this lie a recovery with the right words is refused, and nothing was proven to the hub.
    fn refuses(&self, what: &str, lie: liar::Lie, code: i32, sentence: &str) -> Result<String> {
        self.liar.tells(lie);
        let told = refused(&self.scene, &self.machine, &self.ticket, &self.scene.words, code, sentence)
            .with_context(|| what.to_owned())?;
        let heard = self.liar.heard();
        ensure!(!heard.is_empty(), "{what}: the liar was not asked");
        ensure!(!heard.iter().any(|asked| asked.path.ends_with("/prove")), "{what}: the words were proven to the hub");
        Ok(told)
    }

    /// Without lies all is well: it was the lies that were refused.
    fn recovers_from_the_truth(&self) -> Result<String> {
        self.liar.tells(liar::honest());
        recovers(&self.scene, &self.machine, &self.ticket)
    }
}

const LONG: Duration = Duration::from_secs(600);
