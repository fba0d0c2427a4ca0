//! `lost-words`: the honest answer, on one screen.

use serde::Serialize;
use tenwords_protocol::v1::V1;

use crate::{
    language::{Charset, Language},
    settings::Configuration,
    sources,
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
    let found = sources::of_box(configuration);
    Answer { v: V1, box_is_alive: found.is_ok_and(|found| found.keys().next().is_some()) }
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
