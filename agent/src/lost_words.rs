//! `lost-words`: the honest answer, on one screen.

use serde::Serialize;
use tenwords_protocol::v1::V1;

use crate::{
    language::{Charset, Language},
    settings::Configuration,
    sources::{self, BoxSource, State},
};

/// What can be done.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    v: V1,
    /// Keys are still on this machine: it can be given new words.
    box_is_alive: bool,
}

/// Looks whether this machine still has keys of its own.
pub(crate) fn answer(configuration: &Configuration) -> Answer {
    // A key that cannot be read is a key all the same, and only root sees any: in doubt the box is alive.
    let is_alive = match sources::of_box(configuration) {
        Err(_) => true,
        Ok(found) => found.keys().next().is_some() || found.sources.iter().any(has_key),
    };
    Answer { v: V1, box_is_alive: is_alive }
}

fn has_key(source: &BoxSource) -> bool {
    matches!(source.state, State::InUse { .. } | State::Broken(..))
}

impl Answer {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let charset = Charset::of_environment();
        self.page(Language::of_environment()).iter().map(|line| charset.fit(line)).collect()
    }

    /// The screen.
    pub(crate) fn page(&self, of: Language) -> Vec<String> {
        let talk = of.talk();
        let page = if self.box_is_alive { talk.lost_alive } else { talk.lost_dead };
        page.iter().map(|line| (*line).to_owned()).collect()
    }
}
