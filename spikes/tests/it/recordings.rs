//! What `cargo xtask record` makes.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::record::{self, ALL, Cast, Take};

#[test]
fn recordings_play_to_their_last_screen_and_end_without_a_word() -> Result<()> {
    let base = tempfile::tempdir()?;
    for recording in ALL {
        let take = recording.make(base.path())?;
        let read = Cast::parse(&take.cast.to_text()?)?;
        ensure!(read == take.cast, "{}: what is read is not what was written", recording.name);
        let screens: Vec<String> = read.screens().map(|(_, screen)| screen.contents()).collect();
        let last = screens.last().context("a last screen")?;
        let (wanted, slip) = match recording.name {
            "ceremony" => ("Protected: ", "Not the same: word 6."),
            _ => ("Recovered: ", "Word 4 is not in the list."),
        };
        let left = read.left_at_the_end();
        ensure!(left.contains(wanted) && last.trim_end().ends_with('#'), "{}:\n{left}", recording.name);
        ensure!(screens.iter().any(|screen| screen.contains(slip)), "{}: no slip is seen", recording.name);
        let first = take.words.split(' ').next().context("a word")?.to_owned();
        ensure!(screens.iter().any(|screen| screen.contains(&first)), "{}: no word is seen", recording.name);
        ensure!((20..180).contains(&read.length().as_secs()), "{} takes {:?}", recording.name, read.length());
        // The search for words at the end finds those that are there. Not one alone: it may be among those
        // that the programs say anyway.
        let mut leaking = Take { cast: read, words: take.words };
        leaking.ends_without_words()?;
        if let Some(event) = leaking.cast.events.last_mut() {
            event.text.push_str(&format!(" {}", leaking.words.as_str()));
        }
        ensure!(leaking.ends_without_words().is_err(), "a word that is left is not found");
    }
    Ok(())
}

#[test]
fn the_command_writes_a_recording_a_picture_and_the_page() -> Result<()> {
    let base = tempfile::tempdir()?;
    let out = base.path().join("recordings");
    record::write(&ALL[..1], base.path(), &out)?;
    let name = ALL[0].name;
    Cast::parse(&fs::read_to_string(out.join(format!("{name}.cast")))?)?;
    let picture = fs::read_to_string(out.join(format!("{name}.svg")))?;
    // Nothing that a page would have to fetch, and nothing that runs.
    for mark in ["<script", "href", "url(", "@import", "onload"] {
        ensure!(!picture.contains(mark), "{mark} is in the picture");
    }
    ensure!(picture.contains("Protected: "), "the last screen is not in the picture");
    let page = fs::read_to_string(out.join("README.md"))?;
    ensure!(ALL.iter().all(|recording| page.contains(&format!("{}.svg", recording.name))), "{page}");
    ensure!(!page.contains('{') && page.contains("\n\n## How they were made\n"), "{page}");
    Ok(())
}
