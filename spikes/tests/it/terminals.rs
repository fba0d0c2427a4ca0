//! The words on terminals that are real or are the oldest that a customer may sit at: inside tmux and
//! its scrollback, on a serial console, over ssh; and never a colour that was not asked for.

mod ssh;
mod tmux;

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    customer::{Customer, Kind},
    terminal::numbered_words,
    world::{Machine, write_private},
};

use crate::support::{BOX, Scene, joined};

const VT220: Kind = Kind { term: "vt220", lang: "C", alternate: false, ..Kind::USUAL };
const VT102: Kind = Kind { term: "vt102", ..VT220 };
const CONSOLE: Kind = Kind { term: "linux", lang: "C.UTF-8", ..VT220 };
const SCREEN: Kind = Kind { term: "screen-256color", lang: "en_US.UTF-8", ..Kind::USUAL };

pub(super) const WRITTEN: &str = "Press Enter when they are written down:";
pub(super) const OVER_SSH: &str = "everybody who can watch it, sees what you type";

fn sits_at(
    scene: &Scene,
    machine: &Machine,
    kind: Kind,
    more: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Customer> {
    let command = command(scene, machine, arguments);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut environment = scene.world.environment();
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Customer::at(kind, &command, &environment, machine.folder())
}

/// The agent on this machine, as one types it.
fn command(scene: &Scene, machine: &Machine, arguments: &[&str]) -> Vec<String> {
    let [agent, config] = [&scene.world.programs().agent, &machine.config()].map(|path| path.display().to_string());
    [agent, "--config".into(), config].into_iter().chain(arguments.iter().map(|text| (*text).to_owned())).collect()
}

/// A new machine of this name, and the file with its ticket.
fn fresh(scene: &Scene, name: &str) -> Result<(Machine, String)> {
    let machine = scene.fresh(name)?;
    let file = machine.folder().join("ticket");
    write_private(&file, scene.hub.arm(BOX, &[])?.as_bytes())?;
    Ok((machine, file.display().to_string()))
}

/// Types the words, sees them all, and goes on.
fn types_and_sees(customer: &mut Customer, words: &str) -> Result<()> {
    customer.types(format!("{words} "))?;
    let last = words.rsplit(' ').next().unwrap_or_default();
    customer.sees(&["All ten are there.", &format!("10. {last}")])?;
    customer.types("\r")
}

/// The first order to use a colour among these bytes: SGR 30 to 49 and 90 to 107.
fn colour(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let is_colour = |number: &str| matches!(number.parse(), Ok(30..=49 | 90..=107_u32));
    let orders = text.split("\x1b[").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| ('@'..='~').contains(&c))?;
        rest[end..].starts_with('m').then_some(&rest[..end])
    });
    orders.map(str::to_owned).find(|order| order.split([';', ':']).any(is_colour))
}

#[test]
fn a_colour_is_found_in_whatever_order_it_stands() {
    for coloured in ["\x1b[31mx", "a\x1b[1;38;5;9mx", "\x1b[0;97m", "\x1b[38:2::1:2:3m", "\x1b[49m"] {
        assert!(colour(coloured.as_bytes()).is_some(), "{coloured:?}");
    }
    for plain in ["31m", "\x1b[1m\x1b[m\x1b[0;7m", "\x1b[31;1H", "\x1b[31C\x1b[12m"] {
        assert_eq!(colour(plain.as_bytes()), None, "{plain:?}");
    }
}

/// On the way to a colour-blind printer at the other end of a serial line, a colour would be letters.
#[test]
fn ceremony_and_recovery_need_no_colour_at_any_terminal_and_leave_no_word() -> Result<()> {
    let scene = joined()?;
    let mut newest = String::new();
    for (kind, more) in [
        (VT220, [("NO_COLOR", "1")].as_slice()),
        (VT102, &[("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")]),
        (CONSOLE, &[("NO_COLOR", "1")]),
        // With NO_COLOR at the recovery below.
        (SCREEN, &[]),
    ] {
        let mut customer = sits_at(&scene, &scene.box_1, kind, more, &["escrow", "create", "--new-code"])?;
        let shown = customer.sees(&[WRITTEN, "10."])?;
        newest = numbered_words(&shown, 10).context("ten numbered words")?.to_string();
        customer.types("\r")?;
        let back = customer.sees(&["Now type the ten words back", "The ten words: 1."])?;
        let is_remote = more.iter().any(|(name, _)| *name == "SSH_CONNECTION");
        let flat = back.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(flat.contains(OVER_SSH) == is_remote, "{kind:?}:\n{back}");
        types_and_sees(&mut customer, &newest)?;
        ensure!(customer.ends()? == 0, "{kind:?}: the ceremony did not end well");
        let left = customer.keeps_none_drawn(&newest)?;
        ensure!(left.contains("Protected: "), "{kind:?}:\n{left}");
        ensure!(kind.lang != "C" || left.is_ascii(), "{kind:?}:\n{left}");
        let colour = colour(&customer.transcript());
        ensure!(colour.is_none(), "{kind:?}, {more:?}: {colour:?}");
    }
    for (number, (kind, more)) in
        [(VT102, [("NO_COLOR", "1")].as_slice()), (SCREEN, &[("NO_COLOR", "1")])].into_iter().enumerate()
    {
        let (machine, ticket) = fresh(&scene, &format!("new{number}"))?;
        let mut customer = sits_at(&scene, &machine, kind, more, &["recover", "--ticket-file", &ticket])?;
        customer.sees(&["The ten words: 1."])?;
        types_and_sees(&mut customer, &newest)?;
        customer.sees(&["Does this fit?"])?;
        customer.types("y\r")?;
        ensure!(customer.ends()? == 0, "{kind:?}: the recovery did not end well");
        let left = customer.keeps_none_drawn(&newest)?;
        ensure!(left.contains("Recovered: "), "{kind:?}:\n{left}");
        let colour = colour(&customer.transcript());
        ensure!(colour.is_none(), "{kind:?}: {colour:?}");
    }
    Ok(())
}
