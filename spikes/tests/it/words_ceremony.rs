//! The words on the screen of a ceremony, their typing back, and the search for a slip at a recovery,
//! on real programs.

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    customer::{Customer, Kind},
    terminal::numbered_words,
    world::{Machine, write_private},
};

use crate::support::{BOX, Scene, joined, protected};

const GERMAN: Kind = Kind { lang: "de_DE.UTF-8", ..Kind::USUAL };

fn sits_at(scene: &Scene, machine: &Machine, kind: Kind, arguments: &[&str]) -> Result<Customer> {
    let agent = scene.world.programs().agent.display().to_string();
    let config = machine.config().display().to_string();
    let command = [&[agent.as_str(), "--config", config.as_str()], arguments].concat();
    Customer::at(kind, &command, &scene.world.environment(), scene.world.folder())
}

#[test]
fn the_words_are_shown_once_and_one_that_was_typed_wrong_is_typed_again_alone() -> Result<()> {
    let scene = joined()?;
    for kind in [Kind { columns: 40, ..GERMAN }, Kind { term: "linux", lang: "C", alternate: false, ..Kind::USUAL }] {
        let is_german = kind.lang.starts_with("de");
        let mut customer = sits_at(&scene, &scene.box_1, kind, &["escrow", "create", "--new-code"])?;
        let ask = if is_german {
            "Wenn sie aufgeschrieben sind, drücken Sie Enter:"
        } else {
            "Press Enter when they are written down:"
        };
        let shown = customer.sees(&[ask, "10."])?;
        ensure!(!customer.echoes()?, "the kernel would show what is typed");
        let words = numbered_words(&shown, 10).context("ten numbered words")?.to_string();
        customer.types("abc\r")?;
        let back = if is_german {
            "Bitte tippen Sie die zehn Wörter nun von Ihrem Blatt ab."
        } else {
            "Now type the ten words back"
        };
        customer.sees(&[back])?;
        let list: Vec<&str> = words.split(' ').collect();
        let other = if list[2] == "abacus" { "zesty" } else { "abacus" };
        let typed =
            list.iter().enumerate().map(|(at, word)| if at == 2 { other } else { word }).collect::<Vec<_>>().join(" ");
        customer.types(format!("{typed}\r"))?;
        let not_same = if is_german { "Nicht gleich: Wort 3." } else { "Not the same: word 3." };
        let again = customer.sees(&[not_same, ask])?;
        ensure!(numbered_words(&again, 10).is_some_and(|again| *again == words), "other words:\n{again}");
        customer.types("\r")?;
        // The others stand there still.
        customer.sees(&[back, &format!("2. {}", list[1]), &format!("10. {}", list[9]), ": 3."])?;
        customer.types(format!("{}\r", list[2]))?;
        ensure!(customer.ends()? == 0, "the ceremony did not end well");
        let left = customer.keeps_none_drawn(&format!("{words} {other}"))?;
        // What was to be escrowed stood there before: the source with its server and key, and each file.
        let key = scene.key.fingerprint().short().to_string();
        let flat = left.split_whitespace().collect::<Vec<_>>().join(" ");
        for item in [if is_german { "Quelle pbs" } else { "source pbs" }, &key, "/etc/hosts", "agent.toml"] {
            // A terminal without a second screen was wiped of it.
            ensure!(!kind.alternate || flat.contains(item), "{item} is not named before:\n{left}");
        }
        ensure!(left.contains(if is_german { "Geschützt: " } else { "Protected: " }), "{left}");
    }
    ensure!(scene.box_1.is_protected()?);
    Ok(())
}

#[test]
fn a_terminal_with_one_line_shows_one_word_at_a_time() -> Result<()> {
    let scene = joined()?;
    let kind = Kind { term: "dumb", lang: "C", alternate: false, ..Kind::USUAL };
    let mut customer = sits_at(&scene, &scene.box_1, kind, &["escrow", "create", "--new-code"])?;
    let mut words = Vec::new();
    for number in 1..=10 {
        let label = format!("{number}. ");
        let shown = customer.sees(&[&label, "written down? Enter:"])?;
        let line = shown.lines().find(|line| line.starts_with(&label)).context("a line with its number")?;
        words.push(line.split(' ').nth(1).unwrap_or_default().to_owned());
        customer.types("\r")?;
    }
    ensure!(words.len() == 10, "{} words were seen", words.len());
    customer.sees(&["The ten words: 1."])?;
    customer.types(format!("{}\r", words.join(" ")))?;
    ensure!(customer.ends()? == 0, "the ceremony did not end well");
    customer.keeps_none_drawn(&words.join(" "))?;
    Ok(())
}

#[test]
fn s02_two_swapped_words_are_found_by_the_search_and_named() -> Result<()> {
    let scene = protected()?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let machine = scene.fresh("box2")?;
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let mut words: Vec<&str> = scene.words.split(' ').collect();
    words.swap(3, 4);
    let arguments = ["recover", "--ticket-file", &file.display().to_string()];
    let mut customer = sits_at(&scene, &machine, GERMAN, &arguments)?;
    customer.sees(&["soll wiederhergestellt werden.", "Die zehn Wörter: 1."])?;
    customer.types(format!("{}\r", words.join(" ")))?;
    // They are refused, and are there to be corrected; the search is offered.
    customer.sees(&[
        "diese Wörter öffnen keine Version dieser Box",
        &format!("4. {}", words[3]),
        "drücken Sie ? (oder Strg-T)",
    ])?;
    // Nothing changed: not tried again.
    customer.types("\r")?;
    customer.sees(&["Genau diese Wörter haben eben nichts geöffnet"])?;
    customer.types("?")?;
    customer.sees(&["Gefunden: Die Wörter 4 und 5 sind miteinander vertauscht."])?;
    customer.types("\r")?;
    customer.sees(&["Passt das?"])?;
    customer.types("y\r")?;
    ensure!(customer.ends()? == 0, "the recovery did not end well");
    customer.keeps_none_drawn(&scene.words)?;
    Ok(())
}
