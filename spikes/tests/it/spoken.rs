//! What is said and asked at a terminal: broken between words, answered in one line, and over ssh with the
//! notice of who else sees the words.

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    customer::{Customer, Kind},
    terminal::numbered_words,
};

use crate::support::{Scene, joined, protected};

const GERMAN: Kind = Kind { lang: "de_DE.UTF-8", ..Kind::USUAL };
const NARROW: Kind = Kind { columns: 40, ..Kind::USUAL };
const OVER_SSH: [(&str, &str); 1] = [("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")];

fn sits_at(scene: &Scene, kind: Kind, more: &[(&str, &str)], arguments: &[&str]) -> Result<Customer> {
    let [agent, config] = [&scene.world.programs().agent, &scene.box_1.config()].map(|path| path.display().to_string());
    let command = [&[agent.as_str(), "--config", config.as_str()], arguments].concat();
    let mut environment = scene.world.environment();
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Customer::at(kind, &command, &environment, scene.world.folder())
}

/// Whether a screen of 40 columns has broken this line: one that it has broken is one line here. A word
/// alone may be longer.
fn is_broken(line: &str) -> bool {
    line.chars().count() >= 40 && line.trim().contains(' ')
}

/// Types back the words that are on the screen.
fn types_back(customer: &mut Customer, shown: &str) -> Result<String> {
    let words = numbered_words(shown, 10).context("ten numbered words")?.to_string();
    customer.types("\r")?;
    customer.sees(&[": 1."])?;
    customer.types(format!("{words}\r"))?;
    Ok(words)
}

#[test]
fn over_ssh_the_notice_stands_above_the_words_on_24_lines() -> Result<()> {
    let scene = joined()?;
    for kind in [Kind::USUAL, GERMAN, NARROW, Kind { columns: 40, ..GERMAN }] {
        let mut customer = sits_at(&scene, kind, &OVER_SSH, &["escrow", "create", "--new-code"])?;
        let (notice, never, written) = match kind.lang {
            "de_DE.UTF-8" => {
                ("sieht, was Sie tippen.", "Sie tippen sie nur an Ihrer eigenen Maschine.", "drücken Sie Enter:")
            }
            _ => (
                "sees what you type.",
                "you type them only at a machine of yours.",
                "Press Enter when they are written down:",
            ),
        };
        let shown = customer.sees(&[notice, never, written, "10."])?;
        let above = shown.split(" 1. ").next().unwrap_or_default();
        ensure!(above.contains("ssh"), "{kind:?}: the notice is not above the words:\n{shown}");
        numbered_words(&shown, 10).context("ten numbered words")?;
        customer.types("\u{3}")?;
        ensure!(customer.ends()? == 130, "{kind:?}: it was not given up");
    }
    Ok(())
}

#[test]
fn what_is_said_is_broken_between_words() -> Result<()> {
    let scene = joined()?;
    let mut customer = sits_at(&scene, NARROW, &[], &["escrow", "create"])?;
    let shown = customer.sees(&["Press Enter when they are written down:", "10."])?;
    let words = types_back(&mut customer, &shown)?;
    ensure!(customer.ends()? == 0, "the ceremony did not end well");
    let left = customer.keeps_none_drawn(&words)?;
    let wide = left.lines().find(|line| is_broken(line));
    ensure!(wide.is_none(), "`{}` is broken within a word:\n{left}", wide.unwrap_or_default());
    let flat = left.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in ["opened by proxmox-backup-client and by our own reading,", "fetched back and opened again."] {
        ensure!(flat.contains(said), "`{said}` is not whole:\n{left}");
    }
    // Standard output and an error, each to somebody who reads it off a screen.
    let mut customer = sits_at(&scene, NARROW, &[], &["lost-words"])?;
    ensure!(customer.ends()? == 0, "there is an answer");
    let answer = customer.left()?;
    let mut customer = sits_at(&scene, NARROW, &[], &["sheet", "--out", "sheet.doc"])?;
    ensure!(customer.ends()? == 2, "it is no kind of file");
    let refused = customer.left()?;
    for left in [&answer, &refused] {
        ensure!(!left.lines().any(is_broken), "broken within a word:\n{left}");
    }
    ensure!(refused.split_whitespace().collect::<Vec<_>>().join(" ").contains("end with .pdf or .txt"), "{refused}");
    // What goes elsewhere keeps its lines.
    let elsewhere = String::from_utf8(scene.box_1.agent(&["lost-words"], "")?.with_code(0)?.stdout)?;
    ensure!(elsewhere.lines().any(|line| line.chars().count() > 60), "{elsewhere}");
    Ok(())
}

#[test]
fn a_long_question_is_asked_in_lines_and_its_answer_stays_in_one() -> Result<()> {
    let scene = protected()?;
    let mut customer = sits_at(&scene, NARROW, &[], &["escrow", "create"])?;
    let shown = customer.sees(&["or draw a new one (n)?"])?;
    ensure!(!shown.lines().any(is_broken), "the question is broken within a word:\n{shown}");
    // Longer than any line, taken back, and another answer.
    customer.types(format!("{}end", "nonsense ".repeat(8)))?;
    let shown = customer.sees(&["sense end"])?;
    ensure!(!shown.trim_end().lines().any(is_broken), "it ran into the next line:\n{shown}");
    customer.types("\x7f".repeat(200))?;
    customer.types("what\r")?;
    let shown = customer.sees(&["Type k to keep the code"])?;
    ensure!(
        !shown.contains("nonsense")
            && shown.lines().any(|line| ["? what", "> what"].iter().any(|end| line.trim_end().ends_with(end))),
        "{shown}"
    );
    customer.types("\u{3}")?;
    ensure!(customer.ends()? == 130, "it was not given up");
    Ok(())
}
