//! `prune --dry-run`: what a server would keep of a group.
//!
//! Nothing is ever removed: this program is also what somebody has in hand whose backup server is gone. What
//! the server looks at, and in which order: `docs/findings/prune-privilege.md`.

use pbs_format::{
    datastore::{Datastore, DatastoreError, Group, Namespace, SnapshotRef},
    manifest::MANIFEST_NAME,
};
use serde_json::{Value, json};

use super::{Context, print};
use crate::{
    error::Error,
    human,
    server::{Removing, Session, Use},
    store,
    table::{Format, table},
};

/// `prune GROUP --dry-run`.
pub(crate) fn run(context: &Context<'_>) -> Result<(), Error> {
    let parsed = context.parsed;
    if !parsed.flag("dry-run") {
        return Err(Error::NothingIsRemoved);
    }
    let namespace = store::namespace(parsed)?;
    let text = parsed.argument(0)?;
    let group: Group = text.parse().map_err(|_| Error::BadGroup { text: text.to_owned() })?;
    let session = context.login()?;
    session.request()?;
    let store = open(context, &session, &namespace, &group)?;
    let snapshots = store.snapshots(&namespace, &group).map_err(store::failed)?;
    let marked = marks(&store, &namespace, snapshots, parsed.number("keep-last"));
    let format = Format::of(parsed.text("output-format")?);
    if format != Format::Text {
        return print(&format.json(&marked.iter().map(|marked| marked.shown(&namespace)).collect())?);
    }
    let row = |marked: &Marked| {
        let action = if marked.keep { "keep" } else { "remove" };
        vec![marked.snapshot.to_string(), human::local_time(marked.snapshot.time().unix()), action.to_owned()]
    };
    let rows: Vec<_> = marked.iter().map(row).collect();
    print(&table(&[("snapshot", false), ("date", true), ("action", true)], &rows))
}

/// The datastore, after the server's questions: first for the privilege, then for the group's owner.
fn open(
    context: &Context<'_>,
    session: &Session<'_>,
    namespace: &Namespace,
    group: &Group,
) -> Result<Datastore, Error> {
    let place = match namespace.is_root() {
        true => session.repository.store(),
        false => format!("{}/{namespace}", session.repository.store()),
    };
    let denied = || Error::Denied { privileges: "Datastore.Modify|Datastore.Prune", store: place.clone() };
    let removing = session.removing();
    if removing == Removing::Nothing {
        return Err(denied());
    }
    let store = store::open(context, session, Use::Write, denied())?;
    if removing == Removing::Own {
        let owner = store.owner(namespace, group).map_err(|error| match error {
            DatastoreError::Read { path, source } => Error::Unreadable { path, cause: source },
            other => store::failed(other),
        })?;
        let who = session.repository.auth_id().as_str().to_owned();
        if owner != who {
            return Err(Error::Owner { who, owner });
        }
    }
    Ok(store)
}

/// A snapshot, and what would become of it.
struct Marked {
    snapshot: SnapshotRef,
    keep: bool,
    protected: bool,
}

impl Marked {
    fn shown(&self, namespace: &Namespace) -> Value {
        let group = self.snapshot.group();
        let mut shown = json!({
            "backup-id": group.id(),
            "backup-time": self.snapshot.time().unix(),
            "backup-type": group.backup_type().to_string(),
            "keep": self.keep,
            "protected": self.protected,
        });
        if !namespace.is_root() {
            shown["ns"] = namespace.to_string().into();
        }
        shown
    }
}

/// Oldest first. Without a number that is to be kept all of them are, unfinished ones too.
fn marks(store: &Datastore, namespace: &Namespace, oldest: Vec<SnapshotRef>, keep_last: Option<u64>) -> Vec<Marked> {
    let mut left = keep_last;
    // An unfinished snapshot is kept if it is the newest: somebody may be at it.
    let mut is_newest = true;
    let mut marked: Vec<Marked> = oldest
        .into_iter()
        .rev()
        .map(|snapshot| {
            let path = store.snapshot_path(namespace, &snapshot);
            let protected = path.join(".protected").exists();
            let finished = path.join(MANIFEST_NAME).exists();
            let keep = match &mut left {
                None => true,
                Some(_) if protected => true,
                Some(_) if !finished => is_newest,
                Some(0) => false,
                Some(left) => {
                    *left -= 1;
                    true
                }
            };
            is_newest = false;
            Marked { snapshot, keep, protected }
        })
        .collect();
    marked.reverse();
    marked
}
