//! A story in steps: each is told in a plain sentence, timed, and either went as told or ends it.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Tells a story to `out`.
pub struct Story {
    out: Box<dyn Write + Send>,
    began: Instant,
    steps: Vec<(&'static str, Duration)>,
}

impl Story {
    /// Begins one.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, began: Instant::now(), steps: Vec::new() }
    }

    /// One step: its title, then what the step itself says, then how long it took.
    ///
    /// # Errors
    /// The step's own, with its title; the story is over then.
    pub fn step<T>(&mut self, title: &'static str, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let number = self.steps.len() + 1;
        self.line(&format!("\n{number:>2}. {title}"))?;
        let began = Instant::now();
        let result = act(self).with_context(|| format!("step {number}, \"{title}\", did not go as told"))?;
        let took = began.elapsed();
        self.steps.push((title, took));
        self.line(&format!("    ({:.1} s)", took.as_secs_f64()))?;
        Ok(result)
    }

    /// A sentence of the step that is being told.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub fn say(&mut self, sentence: &str) -> Result<()> {
        self.line(&format!("    {sentence}"))
    }

    /// How long the story has been going on, and each of its steps.
    #[must_use]
    pub fn timings(&self) -> (Duration, &[(&'static str, Duration)]) {
        (self.began.elapsed(), &self.steps)
    }

    /// A line without number.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "{text}").and_then(|()| self.out.flush()).context("telling the story")
    }
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// A fact on which the story stands.
///
/// # Errors
/// The fact, if it is none.
pub fn holds(fact: bool, sentence: impl Into<String>) -> Result<()> {
    if fact {
        return Ok(());
    }
    let sentence: String = sentence.into();
    bail!("this does not hold: {sentence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_ends_the_story_with_its_title() -> Result<()> {
        let mut story = Story::new(Box::new(std::io::sink()));
        assert_eq!(story.step("All is well", |story| story.say("so far").map(|()| 7))?, 7);
        let error = story.step("Data comes back", |_| holds(false, "two files differ")).err();
        let told = error.map(|error| format!("{error:#}"));
        assert_eq!(
            told.as_deref(),
            Some("step 2, \"Data comes back\", did not go as told: this does not hold: two files differ")
        );
        assert_eq!(story.timings().1.len(), 1);
        Ok(())
    }
}
