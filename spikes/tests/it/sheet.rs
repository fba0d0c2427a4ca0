//! The recovery sheet, from the built agent.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    terminal::{Terminal, numbered_words},
    world::Machine,
};
use zeroize::Zeroizing;

use crate::support::{BOX, Scene, joined, protected};

const LONG: Duration = Duration::from_secs(120);

/// A ceremony with a sheet, up to where the words stand on the screen.
fn begun(machine: &Machine, sheet: &str) -> Result<(Terminal, Zeroizing<String>)> {
    let mut terminal =
        machine.at_terminal(&["escrow", "create", "--new-code", "--sheet", sheet, "--language", "en"])?;
    terminal.expect("then press Enter: ", LONG)?;
    ensure!(fs::metadata(sheet)?.len() > 1000, "it asks to print what is not there");
    terminal.type_line("")?;
    let screen = terminal.expect("Press Enter when they are written down", LONG)?;
    let words = numbered_words(&screen, 10).context("ten numbered words")?;
    terminal.type_line("")?;
    terminal.expect("The ten words: ", LONG)?;
    terminal.await_silence(LONG)?;
    Ok((terminal, words))
}

fn path(scene: &Scene, name: &str) -> String {
    scene.world.folder().join(name).display().to_string()
}

/// The strongest proof that no word is on it: a process that never had the words makes the same bytes.
#[test]
fn the_ceremonys_sheet_is_that_of_a_process_that_never_had_the_words() -> Result<()> {
    let scene = joined()?;
    for end in ["pdf", "txt"] {
        let (first, second) = (path(&scene, &format!("first.{end}")), path(&scene, &format!("second.{end}")));
        let (mut terminal, words) = begun(&scene.box_1, &first)?;
        terminal.type_line(&words)?;
        terminal.expect("Protected: ", LONG)?;
        ensure!(terminal.end(LONG)?.0 == 0, "the ceremony did not end well");
        scene.box_1.agent(&["sheet", "--out", &second, "--language", "en"], "")?.with_code(0)?;
        let made = fs::read(&first)?;
        ensure!(made == fs::read(&second)?, "the two sheets differ");
        let lower = String::from_utf8_lossy(&made).to_lowercase();
        let list: Vec<&str> = words.split(' ').collect();
        for pair in list.windows(2) {
            ensure!(!lower.contains(&pair.join(" ")), "words of the code are on the sheet");
        }
    }
    Ok(())
}

#[test]
fn a_ceremony_that_is_given_up_takes_its_sheet_back() -> Result<()> {
    let scene = joined()?;
    let sheet = path(&scene, "sheet.pdf");
    let (mut terminal, _) = begun(&scene.box_1, &sheet)?;
    terminal.type_line("\u{3}")?;
    ensure!(terminal.end(LONG)?.0 == 130, "it was not given up");
    ensure!(fs::symlink_metadata(&sheet).is_err(), "a sheet of a code that protects nothing is left");
    ensure!(!scene.box_1.is_protected()?);
    Ok(())
}

#[test]
fn a_sheet_is_made_of_an_escrow_only_and_never_replaces_a_file_unasked() -> Result<()> {
    let scene = joined()?;
    let sheet = path(&scene, "sheet.txt");
    let refused = scene.box_1.agent(&["sheet", "--out", &sheet], "")?.with_code(10)?;
    ensure!(refused.said().contains("escrow create"), "{}", refused.said());
    fs::write(&sheet, "mine")?;
    // Before anything is asked or drawn, and without a terminal.
    scene.box_1.agent(&["escrow", "create", "--sheet", &sheet], "")?.with_code(2)?;

    let scene = protected()?;
    let sheet = path(&scene, "sheet.txt");
    fs::write(&sheet, "mine")?;
    scene.box_1.agent(&["sheet", "--out", &sheet], "")?.with_code(2)?;
    ensure!(fs::read(&sheet)? == b"mine", "it was replaced");
    let told = fs::read_to_string(scene.box_1.config())?;
    let (before, rest) = told.split_once('[').map_or((told.as_str(), String::new()), |(a, b)| (a, format!("[{b}")));
    let operator = "[operator]\nname = \"Jürgen Weiß\"\nphone = \"+49 89 1234567\"\n";
    fs::write(scene.box_1.config(), format!("{before}{operator}{rest}"))?;
    scene.box_1.agent(&["sheet", "--out", &sheet, "--force", "--language", "de", "--ascii"], "")?.with_code(0)?;
    let text = fs::read_to_string(&sheet)?;
    for item in [BOX, "Juergen Weiss", "+49 89 1234567", "Code 1", "NIEMAND WIRD SIE JE", "10. ____"] {
        ensure!(text.contains(item), "{item} is not in:\n{text}");
    }
    Ok(())
}
