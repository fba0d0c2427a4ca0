//! What of a group is there and proves nothing: it waits for an order for exactly this list, and is restored to
//! free places of its own alone, below [`FOLDER`], whatever a directive says. It becomes no guest by itself:
//! its content is somebody's choice whom nobody knows.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use pbs_driver::{Access, Client};
use tenwords_escrow::{
    gate::{Lack, UnprovenSnapshot},
    root::Source,
};
use tenwords_protocol::{fingerprint::Fingerprint, order::Act};

use super::{
    Keyring, Plan, Planner, Work,
    again::Thing,
    archives::{Piece, folder_of, meet, pieces},
    chain,
    passed::{Ordered, Passed},
};
use crate::recover::{
    connect::Connected,
    course::ItemId,
    orders::{
        self, Permit, Waiting, Wish,
        there::{self, There},
        wish::ordered,
    },
};

/// The folder, below the one for archives, in which a person sees what it is.
pub(crate) const FOLDER: &str = "unsigned";
/// Lines of an order that say what a snapshot lacks, at most.
const LACKS: usize = 24;
/// And that say what would be restored where.
const TARGETS: usize = 32;

/// The newest of a group in which nothing proves itself.
pub(super) struct Unvouched {
    pub(super) snapshot: UnprovenSnapshot,
    pub(super) named: Option<Fingerprint>,
    pub(super) why: String,
}

/// Its archives, until an order lets them through.
pub(crate) struct UnprovenWork<'a> {
    source: &'a Source,
    access: &'a Access,
    snapshot: UnprovenSnapshot,
    named: Option<Fingerprint>,
    archives: Vec<Piece>,
}

impl<'a> UnprovenWork<'a> {
    /// What an order has let through: its list is fetched once more, and is still the one of the order.
    pub(crate) fn ordered(self, client: &Client, keyring: &Keyring<'_>, permit: Permit) -> Result<Work<'a>, String> {
        let Self { source, access, snapshot, named, archives } = self;
        let list = match &permit.order().act {
            Act::UnsignedSnapshot { list_sha256, .. } => *list_sha256,
            _ => return Err("the order is for something else".to_owned()),
        };
        let again = keyring.unproven(client, access, named, snapshot.snapshot()).map_err(|error| chain(&error))?;
        let allowed = again.allow(list).map_err(|error| chain(&error))?;
        let snapshot = Passed::Ordered(Arc::new(Ordered::new(allowed, named, permit)));
        Ok(Work { source, access, snapshot, archives })
    }
}

impl Planner<'_> {
    /// Has the archives of a snapshot wait for an order, or the one that a directive names.
    pub(super) fn unproven<'a>(
        &self,
        plan: &mut Plan<'a>,
        source: &'a Connected<'a>,
        unvouched: Unvouched,
        only: Option<&str>,
        what: &str,
    ) {
        let Unvouched { snapshot, named, why } = unvouched;
        let of = snapshot.snapshot();
        let folder = folder_of(&self.into.join(FOLDER), source, of.group());
        let namespace = source.access.namespace().to_string();
        let unreadable = |name: &str| {
            let mut lacks = snapshot.lacks().iter();
            lacks.any(|lack| matches!(lack, Lack::Key(file) if file.as_str() == name))
        };
        let readable = snapshot.files().iter().filter(|entry| !unreadable(entry.filename.as_str()));
        let (mut archives, mut names, mut is_told): (Vec<Piece>, _, _) = (Vec::new(), BTreeSet::new(), false);
        for (entry, name, bytes) in pieces(readable) {
            let server_name = entry.filename.as_str();
            let is_free = names.insert(name.clone());
            if only.is_some_and(|only| ![name.as_str(), entry.filename.archive(), server_name].contains(&only)) {
                continue;
            }
            if self.earlier.has(&Thing::unvouched(source.source.id.as_str(), &namespace, of, server_name)) {
                is_told = true;
                continue;
            }
            let target: PathBuf = folder.join(if is_free { name.as_str() } else { server_name });
            let hindrance = match there::look(&target) {
                Ok(There::Nothing | There::EmptyFolder) => None,
                Ok(There::Thing { .. } | There::Never(_)) => Some(format!("something lies at {}", target.display())),
                Err(error) => Some(format!("cannot look at {}: {error}", target.display())),
            };
            let taken = self.targets(plan).any(|other| meet(other, &target));
            let taken = taken.then(|| format!("{} is the target of something else in this plan", target.display()));
            if let Some(hindrance) = hindrance.or(taken) {
                is_told = true;
                plan.not(format!("{what} {name}"), format!("{why}; and {hindrance}"), NEVER_OVER, false);
                continue;
            }
            let file = entry.filename.clone();
            archives.push(Piece { id: ItemId::default(), file, name, bytes, target, is_original: false, over: None });
        }
        if archives.is_empty() {
            if !is_told {
                plan.not(what, format!("{why}; and nothing of it could be restored"), "ask the operator", false);
            }
            return;
        }
        let Some(of) = ordered(&source.source.id, &namespace, of, only) else {
            return plan.not(what, format!("{why}; and no order can name it"), "ask the operator", false);
        };
        let lacks = snapshot.lacks();
        let mut destroys =
            vec![format!("nobody vouches for {}: whoever writes to the server may have made it", of.snapshot)];
        destroys.extend(lacks.iter().take(LACKS).map(ToString::to_string));
        destroys.extend(lacks.len().checked_sub(LACKS).filter(|more| *more > 0).map(|more| format!("and {more} more")));
        destroys.push(format!("restored into new places below {}, over nothing, as no guest:", folder.display()));
        destroys
            .extend(archives.iter().take(TARGETS).map(|piece| format!("{} to {}", piece.name, piece.target.display())));
        let act = Act::UnsignedSnapshot { snapshot: of, list_sha256: snapshot.list_sha256() };
        let wish = Wish { act, destroys, found: None };
        let work = UnprovenWork { source: source.source, access: &source.access, snapshot, named, archives };
        plan.waiting.push(Waiting::new(what.to_owned(), why, wish, orders::Thing::Unproven(Box::new(work))));
    }

    /// Every place that something of the plan goes to, once it may.
    fn targets<'p>(&self, plan: &'p Plan<'_>) -> impl Iterator<Item = &'p PathBuf> {
        let work = plan.work.iter().flat_map(|work| &work.archives);
        let waiting = plan.waiting.iter().flat_map(|waiting| match &waiting.thing {
            orders::Thing::Archive(work) => work.archives.as_slice(),
            orders::Thing::Unproven(work) => work.archives.as_slice(),
            orders::Thing::Guest(_) | orders::Thing::Key(..) => &[],
        });
        work.chain(waiting).map(|piece| &piece.target)
    }
}

const NEVER_OVER: &str = "what nobody vouches for replaces nothing, and no order lets it: move aside what lies there; then \
     run the same command again";
