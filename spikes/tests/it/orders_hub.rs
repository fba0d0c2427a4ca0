//! Orders and operators' keys by way of the hub: asked for, signed at the operator's desk, picked up by the box
//! that waits; and an employee who left, whose key is dead with one statement.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::order;
use tenwords_spikes::world::{Hub, MARTA, Machine, Operators, SAFE, World};

use crate::{
    guests::{Burnt, living},
    orders::{ORDER, is_ours, only, ordered, recover, taken, told, untouched, with},
    support::BOX,
};

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

/// The operator's desk has a working folder of its own, in which files are named by whole paths here.
fn signed_and_sent(hub: &Hub, operators: &Operators, who: &str, machine: &Machine) -> Result<()> {
    let file = only(machine)?;
    let code = order::code(&fs::read(&file)?).to_string();
    let listed = hub.operator(&["order", "list"])?.with_code(0)?;
    ensure!(listed.wrote().contains(&code) && listed.wrote().contains(BOX), "{code} is not in:\n{}", listed.wrote());
    let out = file.with_extension("signed");
    let key = operators.key(who);
    let arguments =
        ["order", "sign", &code, "--key", text(&key)?, "--code", &code, "--yes", "--send", "--out", text(&out)?];
    hub.operator(&arguments)?.with_code(0)?;
    Ok(())
}

/// The box waits at the end of its recovery; the operator signs; it goes on by itself.
#[test]
fn s35_a_box_that_waits_picks_the_signed_order_up_at_the_hub() -> Result<()> {
    let (burnt, operators) = ordered()?;
    let (machine, pve) = taken(&burnt, "box2")?;
    let mut terminal = machine.begin_recovery(&burnt.hub.arm(BOX, &[])?, &burnt.words)?;
    let shown = terminal.expect("Everything else is done", LONG)?;
    untouched(&pve, &shown)?;
    burnt.machine_is_back(&pve, 102)?;
    // What nobody may sign is refused on the box, written down, and goes on waiting.
    operators.has_key("stranger")?;
    signed_and_sent(&burnt.hub, &operators, "stranger", &machine)?;
    let shown = terminal.expect("REFUSED: the order from the hub", LONG)?;
    untouched(&pve, &shown)?;
    // The box says it, and then tells the hub.
    let deadline = Instant::now() + LONG;
    while !burnt.hub.operator(&["order", "list"])?.with_code(0)?.wrote().contains("refused") {
        ensure!(Instant::now() < deadline, "the operator is not told");
    }
    fs::remove_file(only(&machine)?.with_extension("signed"))?;
    signed_and_sent(&burnt.hub, &operators, MARTA, &machine)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0, "it ended with {code}:\n{}", *shown);
    is_ours(&burnt, &pve)?;
    let all = burnt.hub.operator(&["order", "list", "--all"])?.with_code(0)?;
    ensure!(all.wrote().contains("done"), "the operator is not told:\n{}", all.wrote());
    machine.left_nothing_in_memory()
}

/// Marta leaves, her laptop is lost. One statement, signed by the key from the safe; no box is visited.
#[test]
fn s46_a_fired_operators_key_is_dead_after_one_statement_also_on_a_box_that_was_off() -> Result<()> {
    let mut operators = None;
    let (burnt, living_box) = living(|world, _, _, _| {
        operators = Some(Operators::new(world)?);
        Ok(())
    })?;
    let operators = operators.context("operators")?;
    let statement = fired(&burnt.hub, &burnt.world, &operators)?;

    // The box that is on takes it, and keeps it beside its escrow.
    let took = living_box.agent(&["pins", "take"], "")?.with_code(0)?;
    for sentence in ["generation 2", "taken: generation 2", "left beside the escrow as version 2"] {
        ensure!(took.wrote().contains(sentence), "`{sentence}` is not told:\n{}", took.wrote());
    }
    let again = living_box.agent(&["pins", "take"], "")?.with_code(0)?;
    ensure!(!again.wrote().contains("taken:"), "it was taken twice:\n{}", again.wrote());
    let kit = burnt.world.folder().join("box.kit");
    living_box.agent(&["kit", "--out", text(&kit)?], "")?.with_code(0)?;
    living_box.destroy()?;

    // Of the box that burnt only the old list is sealed: the recovery goes on from there.
    let (machine, pve) = taken(&burnt, "box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let ended = recover(&burnt, &machine, &ticket, &[])?;
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(told(&ended).contains("operator keys: generation 2, 2 keys"), "{}", told(&ended));
    let ended = with(&burnt, &machine, &ticket, &operators.signs(MARTA, ORDER, &only(&machine)?)?)?;
    ensure!(ended.code == Some(13) && told(&ended).contains("not among the operator keys"), "{}", told(&ended));
    untouched(&pve, &told(&ended))?;
    let ended = with(&burnt, &machine, &ticket, &operators.signs("jonas", ORDER, &only(&machine)?)?)?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}", ended.code, told(&ended));
    is_ours(&burnt, &pve)?;
    // The escrow that was made at its end has the list itself.
    let stands = machine.agent(&["pins", "show"], "")?.with_code(0)?;
    ensure!(stands.wrote().contains("generation 2"), "{}", stands.wrote());

    // Without any hub: the kit carries what lies on the escrow; and a file says it too.
    for (name, more) in [("box3", vec![]), ("box4", vec!["--pins", text(&statement)?])] {
        let (machine, pve) = taken(&burnt, name)?;
        let arguments = [&["--kit", text(&kit)?, "--wait-for-orders", "0"], &more[..]].concat();
        let ended = machine.recover_without_hub(&arguments, &[&burnt.words])?;
        ensure!(ended.code == 13, "it ended with {}:\n{}", ended.code, *ended.shown);
        ensure!(ended.shown.contains("operator keys: generation 2"), "{}", *ended.shown);
        let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
        let arguments = [&arguments[..], &["--order", text(&signed)?]].concat();
        let ended = machine.recover_without_hub(&arguments, &[&burnt.words])?;
        ensure!(ended.code == 13, "it ended with {}:\n{}", ended.code, *ended.shown);
        ensure!(ended.shown.contains("not among the operator keys"), "{}", *ended.shown);
        untouched(&pve, &ended.shown)?;
    }
    pasted(&burnt, &operators, &kit)
}

/// Where no hub carries it, the signature is pasted as a whole at the box's own terminal.
fn pasted(burnt: &Burnt, operators: &Operators, kit: &Path) -> Result<()> {
    let (machine, pve) = taken(burnt, "box5")?;
    let mut terminal = machine.at_terminal(&["recover", "--kit", text(kit)?, "--yes"])?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&burnt.words)?;
    terminal.expect("or press Enter to end: ", LONG)?;
    untouched(&pve, "asked")?;
    // The wrong thing is pasted: it is refused by its first line, and asked for once more.
    terminal.await_silence(LONG)?;
    terminal.type_line(&burnt.words)?;
    terminal.expect("REFUSED: the order from what was pasted", LONG)?;
    terminal.expect("or press Enter to end: ", LONG)?;
    terminal.await_silence(LONG)?;
    let signature = operators.signs("jonas", ORDER, &only(&machine)?)?;
    terminal.type_line(fs::read_to_string(signature)?.trim_end())?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0, "it ended with {code}:\n{}", *shown);
    is_ours(burnt, &pve)
}

/// Marta is taken from the list, Jonas comes in; tells where the signed statement lies.
pub(crate) fn fired(hub: &Hub, world: &World, operators: &Operators) -> Result<PathBuf> {
    let jonas = format!("operational {}", operators.has_key("jonas")?);
    hub.operator(&["pins", "init", text(&operators.list())?])?.with_code(0)?;
    let (statement, signed) = (world.folder().join("pins-2.statement"), world.folder().join("pins-2.json"));
    let marta = operators.key(MARTA).with_extension("pub");
    let out = text(&statement)?;
    hub.operator(&["pins", "propose", "--remove", text(&marta)?, "--add", &jonas, "--out", out])?.with_code(0)?;
    // She cannot sign herself back in, nor anybody else.
    let her = operators.key(MARTA);
    let refused = hub.operator(&["pins", "sign", out, "--key", text(&her)?, "--yes", "--out", text(&signed)?])?;
    ensure!(refused.code != Some(0), "an operational key changed the list");
    let safe = operators.key(SAFE);
    hub.operator(&["pins", "sign", out, "--key", text(&safe)?, "--yes", "--out", text(&signed)?])?.with_code(0)?;
    hub.operator(&["pins", "send", text(&signed)?])?.with_code(0)?;
    Ok(signed)
}

const PROMPT: &str = "The ten words: ";
const LONG: Duration = Duration::from_secs(600);
