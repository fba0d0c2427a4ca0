//! Typing the ten words at every kind of terminal, without hub or box: `recover --code-fd` reads them
//! from a terminal before it looks at anything else. That it goes on and finds no client (exit code
//! 10) says that the words were taken.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tenwords_spikes::{
    customer::{Customer, Kind},
    programs::Programs,
};

const CODE: &str = "woof outshine cross yo-yo giddiness stunt pushing t-shirt froth bolt";
const TAKEN: u32 = 10;
const GIVEN_UP: u32 = 130;

const ENGLISH: Kind = Kind::USUAL;
const GERMAN: Kind = Kind { lang: "de_DE.UTF-8", ..Kind::USUAL };
const SERIAL: Kind = Kind { term: "vt220", lang: "C", alternate: false, ..Kind::USUAL };
const CONSOLE: Kind = Kind { term: "linux", lang: "de_DE.UTF-8", alternate: false, ..Kind::USUAL };
const TMUX: Kind = Kind { term: "tmux-256color", rows: 12, columns: 40, ..Kind::USUAL };
const NARROW: Kind = Kind { columns: 40, lang: "de_DE", term: "vt100", alternate: false, ..Kind::USUAL };
const DUMB: Kind = Kind { term: "dumb", lang: "de_DE.ISO-8859-1", alternate: false, ..Kind::USUAL };

struct Desk {
    folder: tempfile::TempDir,
    agent: PathBuf,
}

impl Desk {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "state = \"{}\"\nruntime = \"{}\"\nclient = \"/nowhere/client\"\nfiles = []\n",
            inside("state"),
            inside("run")
        );
        fs::write(folder.path().join("agent.toml"), text)?;
        Ok(Self { folder, agent: Programs::find()?.agent })
    }

    /// The prompt, after `before` was run in the same shell.
    fn sits_at(&self, kind: Kind, before: &str, variables: &[(&str, &str)]) -> Result<Customer> {
        let script = format!("echo 'what stood before'; {before} exec \"$@\" 3<&0");
        let [agent, config] =
            [&self.agent, &self.folder.path().join("agent.toml")].map(|path| path.display().to_string());
        let command =
            ["/bin/sh", "-c", &script, "sh", &agent, "--config", &config, "recover", "--ticket", "x", "--code-fd", "3"];
        let mut environment = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Customer::at(kind, &command, &environment, self.folder.path())
    }

    fn asked(&self, kind: Kind) -> Result<Customer> {
        let customer = self.sits_at(kind, "", &[])?;
        customer.sees(&[prompt(kind)])?;
        ensure!(!customer.echoes()?, "the kernel would show what is typed");
        Ok(customer)
    }
}

fn prompt(kind: Kind) -> &'static str {
    match kind.lang {
        "de_DE.UTF-8" => "Die zehn Wörter: 1.",
        lang if lang.starts_with("de") => "Die zehn Woerter: 1.",
        _ => "The ten words: 1.",
    }
}

#[test]
fn s01_pasted_words_of_any_spelling_are_taken_and_leave_nothing() -> Result<()> {
    let desk = Desk::new()?;
    let numbered: String =
        CODE.split(' ').zip(1..).map(|(word, n)| format!("{n}.\u{a0}{}\r\n", word.to_uppercase())).collect();
    for (kind, marked) in [(ENGLISH, true), (GERMAN, false), (SERIAL, false), (CONSOLE, true), (TMUX, true)] {
        let mut customer = desk.asked(kind)?;
        ensure!(customer.is_paste_marked(), "{kind:?}: pastes are not marked");
        if marked {
            customer.types(format!("\x1b[200~{numbered}\x1b[201~"))?;
            // A pasted line end goes on with nothing by itself.
            customer.sees(&["10. bolt", "Enter"])?;
            customer.types("\r")?;
        } else {
            customer.types(&numbered)?;
        }
        ensure!(customer.ends()? == TAKEN, "{kind:?}: the words were not taken");
        let left = customer.keeps_none_of(CODE)?;
        ensure!(!kind.alternate || left.contains("what stood before"), "{kind:?}: what stood before is gone");
        ensure!(!customer.is_paste_marked() && !customer.is_on_second_screen());
    }
    Ok(())
}

#[test]
fn s02_a_word_that_is_not_listed_is_seen_at_once_and_corrected_alone() -> Result<()> {
    let desk = Desk::new()?;
    for (kind, told, near) in [
        (ENGLISH, "Word 2 is not in the list.", "Near it: outshine"),
        (GERMAN, "Wort 2 steht nicht in der Liste.", "Ähnlich sind: outshine"),
        (NARROW, "Wort 2 steht nicht in der Liste.", "Aehnlich sind: outshine"),
        (SERIAL, "Word 2 is not in the list.", "Near it: outshine"),
        (TMUX, "Word 2 is not in the list.", ""),
        (DUMB, "Wort 2 steht nicht in der Liste.", ""),
    ] {
        let mut customer = desk.asked(kind)?;
        customer.types("woof outshne ")?;
        customer.sees(&[told, near])?;
        customer.types("cr")?;
        let shown = customer.sees(&["3. cr"])?;
        ensure!(kind.lang.ends_with("UTF-8") || shown.is_ascii(), "{kind:?}:\n{shown}");
        // The rest by its first letters, then the number of the wrong one.
        customer.types("oss yo- giddin stunt pushing t sh froth bolt ")?;
        customer.types("2\routshine\r")?;
        ensure!(customer.ends()? == TAKEN, "{kind:?}: the words were not taken");
        customer.keeps_none_of(&format!("{CODE} outshne"))?;
    }
    Ok(())
}

#[test]
fn s61_another_keyboard_is_seen_before_the_second_word() -> Result<()> {
    let desk = Desk::new()?;
    for (kind, typed, told) in [
        (ENGLISH, "yestz ", ["QWERTZ", "Y and Z are swapped"]),
        (ENGLISH, "qbqcus ", ["AZERTY", "A and Q, W and Z are swapped"]),
        (GERMAN, "yestz ", ["QWERTZ", "Y und Z sind vertauscht"]),
        (NARROW, "qbqcus ", ["AZERTY", "A und Q sowie W und Z sind vertauscht"]),
        (DUMB, "yestz\r", ["QWERTZ", "Y und Z sind vertauscht"]),
    ] {
        let mut customer = desk.asked(kind)?;
        customer.types(typed)?;
        customer.sees(&told)?;
        customer.sees(&[": 2."])?;
        customer.types("\x03")?;
        ensure!(customer.ends()? == GIVEN_UP);
        customer.keeps_none_of(typed.trim_end())?;
    }
    Ok(())
}

#[test]
fn every_way_out_leaves_no_word_and_an_ordinary_terminal() -> Result<()> {
    let desk = Desk::new()?;
    for kind in [ENGLISH, CONSOLE, DUMB] {
        for out in ["ctrl-c", "term", "hup", "quit", "twice", "words"] {
            let mut customer = desk.asked(kind)?;
            customer.types("woof outshine cross yo-yo giddyness stunt ")?;
            customer.sees(&[": 7."])?;
            let code = match out {
                "ctrl-c" => {
                    // Ctrl-D where something is typed, and Ctrl-Z, end nothing.
                    customer.types("\x04\x1a\x03")?;
                    GIVEN_UP
                }
                "term" => {
                    customer.signals(Signal::SIGTERM)?;
                    GIVEN_UP
                }
                "hup" => {
                    customer.signals(Signal::SIGHUP)?;
                    GIVEN_UP
                }
                "quit" => {
                    customer.signals(Signal::SIGQUIT)?;
                    GIVEN_UP
                }
                "twice" => {
                    customer.signals(Signal::SIGTERM)?;
                    // It may have ended by the first.
                    let _gone = customer.signals(Signal::SIGINT);
                    GIVEN_UP
                }
                _ => {
                    customer.types("pushing t-shirt froth bolt 5\rgiddiness\r")?;
                    TAKEN
                }
            };
            let ended = customer.ends()?;
            ensure!(ended == code, "{out}, {kind:?}: it ended with {ended}");
            let left = customer.keeps_none_of(&format!("{CODE} giddyness"))?;
            ensure!(!kind.alternate || left.contains("what stood before"), "{out}: what stood before is gone");
        }
        // Where nothing was typed, Ctrl-D is a way out too.
        let mut customer = desk.asked(kind)?;
        customer.types("\x04")?;
        ensure!(customer.ends()? == GIVEN_UP);
    }
    Ok(())
}

#[test]
fn the_terminal_is_set_back_whatever_happens() -> Result<()> {
    let desk = Desk::new()?;
    for signal in [None, Some(Signal::SIGTERM)] {
        // The shell stays, and says what it was left with.
        let script = "\"$@\" 3<&0; stty -a | tr -d '\\n'; echo; echo it is over; read answer";
        let config = desk.folder.path().join("agent.toml").display().to_string();
        let agent = desk.agent.display().to_string();
        let with_id =
            format!("echo $$ >id.new; mv id.new id; exec {agent} --config {config} recover --ticket x --code-fd 3");
        let command = ["/bin/sh", "-c", script, "sh", "/bin/sh", "-c", &with_id];
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        let mut customer = Customer::at(ENGLISH, &command, &environment, desk.folder.path())?;
        customer.sees(&["The ten words: 1."])?;
        customer.types("woof ")?;
        customer.sees(&[": 2."])?;
        match signal {
            None => customer.types("\x03and what was typed behind it\r")?,
            Some(signal) => {
                let id = fs::read_to_string(desk.folder.path().join("id"))?.trim().parse()?;
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal)?;
            }
        }
        let shown = customer.sees(&["it is over"])?;
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for (set, not) in [("icanon", "-icanon"), ("echo ", "-echo "), ("isig", "-isig"), ("icrnl", "-icrnl")] {
            ensure!(flat.contains(set) && !flat.contains(not), "{set}:\n{shown}");
        }
        ensure!(!shown.contains("typed behind"), "what was typed behind it reached the shell:\n{shown}");
        customer.types("\r")?;
        customer.ends()?;
    }
    Ok(())
}

#[test]
fn words_typed_before_the_prompt_are_taken_and_wiped() -> Result<()> {
    let desk = Desk::new()?;
    for kind in [ENGLISH, CONSOLE] {
        let begin = desk.folder.path().join("begin");
        let _not_there = fs::remove_file(&begin);
        let wait = format!("while [ ! -e {} ]; do sleep 0.05; done;", begin.display());
        let mut customer = desk.sits_at(kind, &wait, &[])?;
        customer.sees(&["what stood before"])?;
        customer.types(format!("{CODE} "))?;
        // The kernel has shown them: nobody had told it not to.
        customer.sees(&[CODE])?;
        fs::write(&begin, "")?;
        customer.sees(&["10. bolt", "1. woof"])?;
        customer.types("\r")?;
        ensure!(customer.ends()? == TAKEN);
        customer.keeps_none_of(CODE)?;
    }
    Ok(())
}

#[test]
fn a_terminal_that_changes_its_size_shows_the_same() -> Result<()> {
    let desk = Desk::new()?;
    for kind in [ENGLISH, CONSOLE] {
        let mut customer = desk.asked(kind)?;
        customer.types("woof outshne cros")?;
        customer.sees(&["3. cros"])?;
        for (rows, columns) in [(24, 40), (12, 40), (50, 160), (24, 80)] {
            customer.resizes(rows, columns)?;
            let heading = if rows == 12 { ": 3. cros" } else { "1. woof" };
            customer.sees(&[heading, ": 3. cros[s]"])?;
        }
        customer.types("\x03")?;
        ensure!(customer.ends()? == GIVEN_UP);
        customer.keeps_none_of("woof outshne cross")?;
    }
    Ok(())
}

#[test]
fn no_colour_is_used_and_none_is_needed() -> Result<()> {
    let desk = Desk::new()?;
    let mut customer =
        desk.sits_at(ENGLISH, "", &[("NO_COLOR", "1"), ("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")])?;
    // Over ssh it is said who else sees what is typed.
    customer.sees(&["The ten words: 1.", "everybody who can watch it, sees what you type"])?;
    customer.types(format!("{} ", CODE.replace("cross", "crozz")))?;
    let shown = customer.sees(&["Word 3 is not in the list."])?;
    ensure!(shown.lines().any(|line| line.contains(" 3. ? crozz")), "{shown}");
    customer.types("\x03")?;
    ensure!(customer.ends()? == GIVEN_UP);
    let bytes = customer.transcript();
    let text = String::from_utf8_lossy(&bytes);
    let coloured = text
        .split("\x1b[")
        .skip(1)
        .any(|rest| rest.find(|c: char| c.is_ascii_alphabetic()).is_some_and(|end| rest[end..].starts_with('m')));
    ensure!(!coloured, "something is shown in a colour");
    Ok(())
}

#[test]
fn a_letter_of_more_bytes_that_arrives_in_pieces_is_one() -> Result<()> {
    let desk = Desk::new()?;
    let mut customer = desk.asked(GERMAN)?;
    customer.types(b"gr\xc3")?;
    customer.sees(&["1. gr"])?;
    customer.types(b"\xb6\xc3\x9fe ")?;
    customer.sees(&["? größe", "Wort 1 steht nicht in der Liste."])?;
    customer.types("\x1b[")?;
    customer.types("A")?;
    customer.sees(&["Was Sie jetzt tippen, ersetzt Wort 1"])?;
    customer.types("\x03")?;
    customer.ends()?;
    customer.keeps_none_of("größe").context("after it")?;
    Ok(())
}
