//! `status`, `version`, `login`, `logout`.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, print};
use crate::{
    environment,
    error::Error,
    repository::Repository,
    server::Use,
    table::{Format, plain_table},
};

/// `status`: the file system that the datastore lies on.
pub(crate) fn status(context: &Context<'_>) -> Result<(), Error> {
    let session = context.login()?;
    session.request()?;
    if !session.has_rights() {
        return Err(Error::StatusDenied);
    }
    session.is_open_for(Use::Read)?;
    let folder = session.repository.folder(context.root)?;
    let found = nix::sys::statvfs::statvfs(&folder).map_err(|errno| match &session.repository {
        Repository::Named { .. } => Error::StatusDenied,
        Repository::Folder(path) => Error::NoDatastore { path: path.clone(), cause: errno.desc().to_owned() },
    })?;
    let unit = u128::from(found.fragment_size());
    let total = u128::from(found.blocks()) * unit;
    let used = u128::from(found.blocks().saturating_sub(found.blocks_free())) * unit;
    let avail = u128::from(found.blocks_available()) * unit;
    let format = Format::of(context.parsed.text("output-format")?);
    if format != Format::Text {
        let whole = |size: u128| u64::try_from(size).unwrap_or(u64::MAX);
        return print(&format.json(&json!({"avail": whole(avail), "total": whole(total), "used": whole(used)}))?);
    }
    let cell = |size: u128| {
        let percent = (size * 100).checked_div(total).unwrap_or(0);
        format!("{size} {:>8}", format!("({percent} %)"))
    };
    let rows: Vec<_> = [("total", total), ("used", used), ("avail", avail)]
        .map(|(name, size)| vec![name.to_owned(), cell(size)])
        .into();
    print(&plain_table(&[false, true], &rows))
}

/// `version`: the one whose behaviour this is. Trouble with the repository is told and is no failure.
pub(crate) fn version(context: &Context<'_>) -> Result<(), Error> {
    let server = match context.login_if_named() {
        Ok(None) => false,
        Ok(Some(session)) => match session.request() {
            Ok(()) => true,
            Err(error) => {
                context.log.error(format_args!("could not connect to server - {error}"));
                false
            }
        },
        Err(error @ Error::Usage { .. }) => return Err(error),
        Err(error) => {
            context.log.error(format_args!("could not connect to server - {error}"));
            false
        }
    };
    let format = Format::of(context.parsed.text("output-format")?);
    if format != Format::Text {
        let version = json!({"release": RELEASE, "repoid": REPOID, "version": VERSION});
        let mut shown = json!({"client": version});
        if server {
            shown["server"] = version;
        }
        return print(&format.json(&shown)?);
    }
    print(&format!("client version: {VERSION}.{RELEASE}\n"))?;
    if server { print(&format!("server version: {VERSION}.{RELEASE}\n")) } else { Ok(()) }
}

/// `login`: for a token the client asks nobody, so this proves nothing.
pub(crate) fn login(context: &Context<'_>) -> Result<(), Error> {
    let session = context.login()?;
    if session.repository.auth_id().is_token() { Ok(()) } else { session.request() }
}

/// `logout`: there is never a ticket to forget.
pub(crate) fn logout(context: &Context<'_>) -> Result<(), Error> {
    let parsed = context.parsed;
    let given = Repository::given(parsed.text("repository")?, |reason| parsed.refused("repository", reason))?;
    given.ok_or(Error::NoRepository)?;
    match environment::setting("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(_) => Ok(()),
        None => Err(Error::NoRuntimeDir),
    }
}

/// Client and server whose behaviour was recorded (`pbs-facts`).
const VERSION: &str = "3.2";
const RELEASE: &str = "4";
const REPOID: &str = concat!("pbs-local-", env!("CARGO_PKG_VERSION"));
