//! Recordings of what a customer sees and types at a terminal of 80 columns and 24 lines.
//!
//! Each is made from a world of its own (`set`) that is thrown away: the words in it protect
//! nothing. What the agent sends is taken as it comes; the pauses are computed from what a person
//! would take (`hand`), so that nobody waits for them while it is made. [`ALL`] is the list: one
//! more recording is one more function and one more line there.

pub mod cast;
mod ceremony;
mod hand;
mod recovery;
mod set;
mod svg;

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use zeroize::Zeroizing;

pub use cast::Cast;

use crate::customer::none_drawn;

/// Something that can be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Recording {
    /// Its name, which its files have.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    make: fn(&Path) -> Result<Take>,
}

/// One recording, made.
#[derive(Debug)]
pub struct Take {
    /// What a player plays.
    pub cast: Cast,
    /// The words of the world that was thrown away, for whoever searches for them.
    pub words: Zeroizing<String>,
}

/// What can be recorded.
pub const ALL: &[Recording] = &[
    Recording {
        name: "ceremony",
        title: "The ceremony: ten words are shown once, written down and typed back",
        make: ceremony::make,
    },
    Recording {
        name: "recovery",
        title: "A recovery: the ten words are typed on a new node, and its guests come back",
        make: recovery::make,
    },
];

impl Recording {
    /// Makes it, in a world below `base`.
    ///
    /// # Errors
    /// Something did not come as it should, or it shows what it must not.
    pub fn make(&self, base: &Path) -> Result<Take> {
        let take = (self.make)(base).with_context(|| format!("recording {}", self.name))?;
        take.shows_no_machine(base)?;
        take.ends_without_words()?;
        Ok(take)
    }
}

impl Take {
    /// That neither the last screen nor what has scrolled out of it holds a word.
    ///
    /// # Errors
    /// Which word is left.
    pub fn ends_without_words(&self) -> Result<()> {
        none_drawn(&self.cast.left_at_the_end(), &self.words)
    }

    /// That nothing of the machine on which it was made is in it.
    fn shows_no_machine(&self, base: &Path) -> Result<()> {
        let text = self.cast.text();
        let home = env::var("HOME").unwrap_or_default();
        let program = env::current_exe().context("where this program lies")?;
        let folders = [base, Path::new("/dev/shm"), Path::new(&home), program.parent().unwrap_or(base)];
        for folder in folders.into_iter().filter(|folder| folder.parent().is_some()) {
            let name = folder.display().to_string();
            ensure!(!text.contains(&name), "the recording names {name}, a folder of this machine");
        }
        Ok(())
    }
}

/// Makes these recordings and writes them to `folder`, with the page that says what they are.
///
/// # Errors
/// One could not be made, or the system said no.
pub fn write(recordings: &[Recording], base: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for recording in recordings {
        let take = recording.make(base)?;
        let picture = svg::animated(&take.cast);
        ensure!(picture.len() < PICTURE, "{}.svg has {} bytes: record less in one", recording.name, picture.len());
        for (end, text) in [("cast", take.cast.to_text()?), ("svg", picture)] {
            let path = folder.join(format!("{}.{end}", recording.name));
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    fs::write(folder.join("README.md"), page()).context("writing README.md")
}

/// The page beside the recordings.
#[must_use]
pub fn page() -> String {
    let shown: Vec<String> = ALL
        .iter()
        .map(|Recording { name, title, .. }| format!("## {title}\n\n![{title}]({name}.svg)\n\n`{name}.cast`\n"))
        .collect();
    PAGE.replace("{recordings}\n", &shown.join("\n"))
}

const PAGE: &str = include_str!("page.md");
/// A page with a picture that is larger takes too long to come.
const PICTURE: usize = 300 << 10;
