//! Whether a token may remove backups, asked of the server without removing any.
//!
//! A server looks at who asks for `prune` before it looks at what is to be pruned
//! (`docs/findings/prune-privilege.md`), and at `snapshot forget` by the same two privileges: whom it answers may
//! remove, whom it refuses may not.
//!
//! The question removes nothing, and would remove nothing if it were taken in earnest: it is a dry run, *and* no
//! `--keep-…` is ever in it, which every version takes for "keep all". `arguments` is the only place in which a
//! command that could remove a backup is put together.

use std::ffi::OsString;

use pbs_format::datastore::Group;
use serde::Deserialize;

use crate::{
    access::Access,
    client::Client,
    error::DriverError,
    failure::{Failure, Refusal},
    snapshot::{namespace, unreadable},
};

/// What a token may do to the backups that are there.
#[derive(Debug)]
pub enum Pruning {
    /// It may remove backups: all, or those of groups that are its own.
    May,
    /// It may not.
    Cannot,
    /// Nobody can say.
    Unknown {
        /// Why not.
        why: DriverError,
    },
}

/// Asks, by a group that is there.
#[must_use]
pub fn ask(client: &Client, access: &Access, group: &Group) -> Pruning {
    let why = match client.ask(COMMAND, &arguments(access, group), Some(access)) {
        Ok((answer, _)) => match serde_json::from_slice::<Vec<Row>>(&answer) {
            Ok(rows) if rows.iter().all(|row| row.keep) => return Pruning::May,
            Ok(_) => unreadable(COMMAND, "it would remove backups although nothing was named that does not stay"),
            Err(error) => unreadable(COMMAND, error),
        },
        Err(error) => error,
    };
    match why.failure() {
        Some(Failure::NotAuthorised { why: Refusal::Role { .. } }) => Pruning::Cannot,
        // It is asked whose the group is only of who has the privilege for groups of his own.
        Some(Failure::NotAuthorised { why: Refusal::Owner }) => Pruning::May,
        _ => Pruning::Unknown { why },
    }
}

/// The whole command line.
fn arguments(access: &Access, group: &Group) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![COMMAND.into(), group.to_string().into(), "--dry-run".into(), "true".into()];
    args.extend(namespace(access));
    args.extend(["--output-format".into(), "json".into()]);
    args
}

/// What would become of one snapshot.
#[derive(Deserialize)]
struct Row {
    keep: bool,
}

const COMMAND: &str = "prune";

#[cfg(test)]
mod tests {
    use tenwords_protocol::fingerprint::Fingerprint;
    use zeroize::Zeroizing;

    use super::*;
    use crate::access::Certificate;

    /// Word for word: a dry run, said with its value, and not one word of what is to be kept.
    #[test]
    fn the_question_is_a_dry_run_that_would_keep_everything() -> Result<(), Box<dyn std::error::Error>> {
        for (name, in_namespace) in [("", &[][..]), ("tenants/a", &["--ns", "tenants/a"])] {
            let access = Access::new(
                "backup@pbs!box1@127.0.0.1:1:store".parse()?,
                name.parse()?,
                Zeroizing::new("secret".to_owned()),
                Certificate::Pinned(Fingerprint::from_bytes([0xaa; 32])),
            )?;
            let group: Group = "ct/101".parse()?;
            let expected = [&["prune", "ct/101", "--dry-run", "true"], in_namespace, &["--output-format", "json"]];
            assert_eq!(arguments(&access, &group), expected.concat());
        }
        Ok(())
    }
}
