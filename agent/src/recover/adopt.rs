//! A guest that PVE has restored, and at which nobody has looked afterwards: what the interrupted run still had to do
//! is to look at its backup once more, and at its disks. It may be in use by now, and is never taken away.

use std::{collections::BTreeMap, path::PathBuf};

use pbs_driver::{
    pve::{
        Node, likeness,
        torn::{self, Volumes},
    },
    snapshot::SnapshotInfo,
};
use tenwords_protocol::time::Timestamp;

use super::{
    after,
    connect::Connected,
    course::{Event, ItemId, Mark, What},
    plan::{GuestWork, Row, RowTarget, chain},
    report::{GuestKind, RestoredGuest},
    work::Work,
};

/// One that is looked at.
struct Adopted<'a> {
    row: &'a Row,
    node: &'a Node,
    work: GuestWork<'a>,
    config: PathBuf,
}

impl Work<'_> {
    /// One that was restored to its end, as the pool shows in which PVE puts it last of all.
    pub(super) fn adopt(&self, item: ItemId, row: Option<&Row>, guest: (GuestKind, u32)) -> Result<(), String> {
        let adopted = self.looked_at(item, row, guest)?;
        let differences = after::differences(adopted.node, self.client, self.keyring, &adopted.work, &adopted.config);
        self.note_adopted(adopted, differences)
    }

    /// One that is not in the pool, for this reason: whether it is what the restore comes to, by its backup's own
    /// configuration. If it is not, it is somebody else's from now on. An error is where that cannot be told now.
    pub(super) fn adopt_unmarked(
        &self,
        item: ItemId,
        row: Option<&Row>,
        guest: (GuestKind, u32),
        why: &str,
    ) -> Result<bool, String> {
        let is_pruned = row.and_then(|row| self.source_of(row).map(|source| listed(source, row).is_none()));
        if is_pruned == Some(true) {
            // Nobody can tell any more.
            return self.is_not_ours(item, why);
        }
        let adopted = self.looked_at(item, row, guest)?;
        let before = self.log.tell(|course| match course.mark(item) {
            Some(Mark::Guest { volumes_before, storages_before, .. }) => {
                Some(Volumes { volumes: volumes_before.clone(), storages: storages_before.clone() })
            }
            _ => None,
        });
        let before = before.ok_or("the journal has no mark of it")?;
        let backed_up = adopted.work.config(self.client, self.keyring)?;
        let now = torn::text(adopted.node, guest.0.kind(), guest.1).map_err(|error| chain(&error))?;
        let is_like = now.is_some_and(|now| likeness::is_restored(guest.0.kind(), guest.1, &backed_up, &now, &before));
        if is_like {
            // Told like those of any other: a disk that does not answer now makes it nobody else's.
            let differences =
                after::differences(adopted.node, self.client, self.keyring, &adopted.work, &adopted.config);
            return self.note_adopted(adopted, differences).map(|()| true);
        }
        self.is_not_ours(item, why)
    }

    fn is_not_ours(&self, item: ItemId, why: &str) -> Result<bool, String> {
        let event = Event::NotOurs { at: Timestamp::now(), item, why: why.to_owned() };
        self.log.note(event).map(|()| false).map_err(|stop| stop.in_one_line())
    }

    fn source_of(&self, row: &Row) -> Option<&Connected<'_>> {
        self.connected.iter().find(|source| {
            source.source.id.as_str() == row.source && source.access.namespace().to_string() == row.namespace
        })
    }

    /// With its backup, which is proven once more.
    fn looked_at<'a>(
        &'a self,
        item: ItemId,
        row: Option<&'a Row>,
        (guest, vmid): (GuestKind, u32),
    ) -> Result<Adopted<'a>, String> {
        let (row, node) = row.zip(self.node).ok_or("its plan is gone")?;
        let source = self.source_of(row).ok_or("its source did not answer")?;
        let listed = listed(source, row).ok_or("its backup is not listed any more")?;
        let snapshot = self.keyring.prove(self.client, &source.access, listed).map_err(|error| chain(&error))?;
        let work = GuestWork {
            source: source.source,
            access: &source.access,
            id: item,
            snapshot,
            kind: guest.kind(),
            vmid,
            in_earnest: vmid,
            is_copy: self.begun.rehearsal,
            storage: None,
            disks: BTreeMap::new(),
            over: None,
        };
        let config = torn::config(node, guest.kind(), vmid).map_err(|error| chain(&error))?;
        Ok(Adopted { row, node, work, config })
    }

    fn note_adopted(&self, adopted: Adopted<'_>, differences: Vec<String>) -> Result<(), String> {
        let Adopted { row, work, config, .. } = adopted;
        let storage = match &row.target {
            RowTarget::Guest { storage, .. } => storage.clone(),
            RowTarget::Archive { .. } => None,
        };
        let restored = RestoredGuest {
            source: row.source.clone(),
            snapshot: row.snapshot.clone(),
            kind: GuestKind::of(work.kind),
            vmid: work.vmid,
            storage,
            config,
            bytes: row.bytes,
            milliseconds: 0,
            said: Vec::new(),
            differences,
            trial: None,
        };
        let event = Event::Restored { at: Timestamp::now(), item: work.id, what: What::Guest(restored) };
        self.log.note(event).map_err(|stop| stop.in_one_line())
    }
}

fn listed<'s>(source: &'s Connected<'_>, row: &Row) -> Option<&'s SnapshotInfo> {
    source.snapshots.iter().find(|info| info.snapshot.to_string() == row.snapshot)
}
