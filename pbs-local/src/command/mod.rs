//! The commands, one file for each kind.

pub(crate) mod backup;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod prune;
pub(crate) mod restore;
pub(crate) mod status;

use std::{io::Write as _, path::Path};

use crate::{
    arguments::Parsed,
    error::Error,
    log::Log,
    repository::Repository,
    server::{Server, Session},
};

/// What a command is given.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) parsed: &'a Parsed,
    pub(crate) root: Option<&'a Path>,
    pub(crate) server: &'a Server,
    pub(crate) log: Log,
}

impl<'a> Context<'a> {
    /// The repository that is named, logged in to.
    pub(crate) fn login(&self) -> Result<Session<'a>, Error> {
        self.login_if_named()?.ok_or(Error::NoRepository)
    }

    pub(crate) fn login_if_named(&self) -> Result<Option<Session<'a>>, Error> {
        let parsed = self.parsed;
        let given = Repository::given(parsed.text("repository")?, |reason| parsed.refused("repository", reason))?;
        given.map(|repository| Session::login(self.server, repository, self.log)).transpose()
    }
}

/// Writes data to standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Write)
}
