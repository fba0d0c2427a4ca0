//! Guests into guests: what can be one on this machine, and under which number.
//!
//! A guest goes to a free number: the directive's, else its own. A number that is taken is not given
//! away: that waits for an order, if what is there can be replaced at all. What cannot become a guest
//! here goes into folders, archive by archive, and the plan says why.

use std::{cmp::Reverse, collections::BTreeMap};

use pbs_driver::{
    Access, Client,
    pve::{Node, StorageCfg, guest_config::Kind, replaced},
};
use pbs_format::datastore::BackupType;
use tenwords_escrow::{
    gate::GatedSnapshot,
    root::{KeptIn, Source},
};
use tenwords_protocol::{
    directive::{AsGuest, Name, Wanted},
    hash::Sha256,
    order::{Act, Overwritten},
};

use super::{
    ASK_OPERATOR, Keyring, Plan, Planner, Row,
    again::Thing,
    archives::{entries, own_namespace, pieces},
    choose::Chosen,
    newest,
    storages::config,
    unproven::Unvouched,
};
use crate::{
    recover::{
        connect::Connected,
        course::ItemId,
        orders::{self, Permit, Waiting, Wish, wish::ordered},
        report::GuestKind,
    },
    show::size,
};

/// What guests could be restored onto.
#[derive(Default)]
pub(crate) struct Ground<'n> {
    /// Nothing: no guest can be made here, and why.
    pub(crate) node: Option<&'n Node>,
    pub(crate) why_not: &'static str,
    /// Every number in use in the cluster, and by what.
    pub(crate) taken: BTreeMap<u32, String>,
    pub(crate) storages: Option<StorageCfg>,
    /// This node's name.
    pub(crate) name: String,
    /// In a rehearsal, the first number that a guest may get: never its own.
    pub(crate) scratch: Option<u32>,
}

/// One gated snapshot that becomes a guest.
pub(crate) struct GuestWork<'a> {
    pub(crate) source: &'a Source,
    pub(crate) access: &'a Access,
    pub(crate) id: ItemId,
    pub(crate) snapshot: GatedSnapshot,
    pub(crate) kind: Kind,
    pub(crate) vmid: u32,
    /// The number that it gets when it is no rehearsal.
    pub(crate) in_earnest: u32,
    /// Its original may live: it gets network addresses of its own, and is not started with the node.
    pub(crate) is_copy: bool,
    /// The storage for its volumes; `None` leaves that to the guest's own configuration.
    pub(crate) storage: Option<Name>,
    /// The storage of each disk by its key, where the guest's own configuration decides.
    pub(crate) disks: BTreeMap<String, String>,
    /// The guest that has the number may be replaced, as an operator has ordered.
    pub(crate) over: Option<Permit>,
}

/// Why a guest cannot have a number.
struct Hindrance {
    why: String,
    remedy: &'static str,
    /// What an order would have to name.
    replaces: Option<Replaced>,
}

/// A guest that could be replaced.
struct Replaced {
    told: Vec<String>,
    found: Sha256,
}

/// A group's own kind and number.
type Number = (Kind, u32);

impl GuestWork<'_> {
    /// Of all its archives but the catalog, as signed.
    pub(crate) fn bytes(&self) -> u64 {
        pieces(entries(&self.snapshot)).into_iter().fold(0, |sum, (_, _, bytes)| bytes.saturating_add(sum))
    }

    /// Whether its backup was made under another key than the storage has: Proxmox VE gives its programs that one.
    pub(crate) fn needs_another_key(&self) -> bool {
        self.snapshot.key().fingerprint() != self.source.key_fingerprint
    }

    /// Its configuration, as it is in its backup.
    pub(crate) fn config(&self, client: &Client, keyring: &Keyring<'_>) -> Result<Vec<u8>, String> {
        config(client, keyring, self.access, &self.snapshot, self.kind)
    }

    /// What goes to which storage, so many bytes, and whether that is a whole disk.
    pub(crate) fn needs(&self) -> Vec<(String, u64, bool)> {
        let storage_of = |name: &str| match &self.storage {
            Some(storage) => Some(storage.to_string()),
            None => {
                let key = name.strip_prefix("drive-")?.strip_suffix(".img")?;
                self.disks.get(key.strip_suffix("-backup").unwrap_or(key)).cloned()
            }
        };
        pieces(entries(&self.snapshot))
            .into_iter()
            .filter_map(|(_, name, bytes)| Some((storage_of(&name)?, bytes, name.ends_with(".img"))))
            .collect()
    }

    /// For a person.
    pub(crate) fn target(&self) -> String {
        let what = match self.kind {
            Kind::Container => "container",
            Kind::Machine => "virtual machine",
        };
        let storage = self.storage.as_ref().map_or(String::new(), |storage| format!(" on storage {storage}"));
        format!("{what} {}{storage}", self.vmid)
    }
}

impl Planner<'_> {
    /// The guest that a group could become here.
    pub(super) fn guest(&self, source: &Connected<'_>, group: &str) -> Option<Number> {
        self.impossible(source).is_none().then(|| number(group)).flatten()
    }

    /// Why nothing of this source can become a guest here.
    fn impossible(&self, source: &Connected<'_>) -> Option<String> {
        let id = &source.source.id;
        if self.ground.node.is_none() {
            return Some(self.ground.why_not.to_owned());
        }
        if source.source.kept_in != KeptIn::StorageCfg {
            return Some(format!("source {id} is no storage of Proxmox VE"));
        }
        if *source.access.namespace() != own_namespace(source.source) {
            return Some(format!("the storage {id} is for another namespace"));
        }
        None
    }

    /// Every guest of every source, once: from where its newest snapshot is.
    pub(super) fn guests<'a>(&self, plan: &mut Plan<'a>, connected: &'a [Connected<'a>]) {
        let mut guests: BTreeMap<Number, Vec<(&'a Connected<'a>, String)>> = BTreeMap::new();
        for source in connected {
            for group in self.groups(plan, source) {
                if let Some(number) = self.guest(source, &group) {
                    guests.entry(number).or_default().push((source, group));
                } else if number(&group).is_some()
                    && let Some(why) = self.impossible(source)
                {
                    plan.note_once(format!("{why}: guests of source {} go into folders", source.source.id));
                }
            }
        }
        for (number, mut places) in guests {
            if self.is_there(number) {
                continue;
            }
            // The newest first; of two storages on one datastore the one that has the key.
            places.sort_by_key(|(source, group)| {
                let newest = newest(source, group, self.lost_at);
                let key = newest.and_then(|info| info.fingerprint);
                (Reverse(newest.map(|info| info.snapshot.time())), key != Some(source.source.key_fingerprint))
            });
            let (missing, mut passed_over) = (plan.missing.len(), Vec::new());
            let mut best: Option<(&'a Connected<'a>, String, GatedSnapshot)> = None;
            let mut unvouched: Vec<(&'a Connected<'a>, String, Unvouched)> = Vec::new();
            let mut told = Vec::new();
            for (source, group) in places {
                let listed = newest(source, &group, self.lost_at).map(|info| info.snapshot.time());
                // Whatever a server lists: what proves itself is held against what the next one has.
                if best.as_ref().is_some_and(|(.., proven)| listed <= Some(proven.snapshot().time())) {
                    break;
                }
                let before = plan.notes.len();
                let snapshot = match self.choose(plan, source, &group, Wanted::Newest) {
                    Some(Chosen::Proven(snapshot)) => snapshot,
                    Some(Chosen::Unvouched(found)) => {
                        unvouched.push((source, group, found));
                        continue;
                    }
                    None => continue,
                };
                let notes = plan.notes.split_off(before);
                if best.as_ref().is_some_and(|(.., proven)| snapshot.snapshot().time() <= proven.snapshot().time()) {
                    passed_over.push(format!("{} {group}", source.source.id));
                } else {
                    told = notes;
                    let former = best.replace((source, group, snapshot));
                    passed_over.extend(former.map(|(source, group, _)| format!("{} {group}", source.source.id)));
                }
            }
            let Some((source, _, snapshot)) = best else {
                for (source, group, found) in unvouched {
                    self.no_guest(plan, source, found, &format!("{} {group}", source.source.id));
                }
                continue;
            };
            plan.notes.append(&mut told);
            // What another source has of it, good or not, is not needed.
            let from = &source.source.id;
            for missing in plan.missing.drain(missing..).collect::<Vec<_>>() {
                plan.notes.push(format!("{}: {}; it comes from {from}", missing.what, missing.why));
            }
            for (other, group, found) in unvouched {
                plan.notes.push(format!("{} {group}: {}; it comes from {from}", other.source.id, found.why));
            }
            for what in passed_over {
                plan.notes.push(format!("{what}: what proved itself there is not newer; it comes from {from}"));
            }
            self.add(plan, source, snapshot, number, number.1, None);
        }
    }

    /// Whether an earlier run has restored it.
    fn is_there(&self, (kind, own): Number) -> bool {
        self.earlier.has(&Thing::Guest(GuestKind::of(kind), own.to_string()))
    }

    /// What a directive asks for as a guest.
    pub(super) fn as_guest<'a>(
        &self,
        plan: &mut Plan<'a>,
        source: &'a Connected<'a>,
        group: &str,
        wanted: Wanted,
        target: &AsGuest,
    ) {
        let what = format!("{} {group}", source.source.id);
        let Some(number) = number(group) else {
            return plan.not(what, "it is no guest's backup", ASK_OPERATOR, false);
        };
        if let Some(why) = self.impossible(source) {
            return plan.not(what, format!("it cannot become a guest here: {why}"), TO_FOLDERS, false);
        }
        if self.is_there(number) {
            return;
        }
        let snapshot = match self.choose(plan, source, group, wanted) {
            Some(Chosen::Proven(snapshot)) => snapshot,
            Some(Chosen::Unvouched(found)) => return self.no_guest(plan, source, found, &what),
            None => return,
        };
        let vmid = target.vmid.map_or(number.1, std::num::NonZeroU32::get);
        self.add(plan, source, snapshot, number, vmid, target.storage.clone());
    }

    /// What nobody vouches for goes into folders, once it is ordered, and becomes a guest by a person's hand at
    /// most.
    fn no_guest<'a>(&self, plan: &mut Plan<'a>, source: &'a Connected<'a>, found: Unvouched, what: &str) {
        plan.notes.push(format!("{what}: what does not prove itself becomes no guest: ordered, it goes into a folder"));
        self.unproven(plan, source, found, None, what);
    }

    fn add<'a>(
        &self,
        plan: &mut Plan<'a>,
        source: &'a Connected<'a>,
        snapshot: GatedSnapshot,
        (kind, own): Number,
        vmid: u32,
        storage: Option<Name>,
    ) {
        let what = format!("{} {}", source.source.id, snapshot.snapshot());
        let in_earnest = vmid;
        let mut replaces = None;
        let vmid = match (self.ground.scratch, self.hindrance(plan, kind, in_earnest)) {
            (None, None) => in_earnest,
            (None, Some(Hindrance { why, replaces: Some(replaced), .. })) => {
                replaces = Some((why, replaced));
                in_earnest
            }
            (None, Some(Hindrance { why, remedy, replaces: None })) => return plan.not(what, why, remedy, false),
            (Some(first), hindrance) => {
                let Some(number) = self.scratch(plan, first, [own, in_earnest]) else {
                    let why = format!("no number from {first} to {LAST_SCRATCH} is free for a rehearsal");
                    return plan.not(what, why, "take earlier rehearsals away: `recover --abort`", false);
                };
                plan.notes.push(match hindrance {
                    None => format!("{what} becomes {number} in this rehearsal, and {in_earnest} in earnest"),
                    Some(Hindrance { why, .. }) => {
                        format!("{what} becomes {number} in this rehearsal; in earnest it could not become {in_earnest}: {why}")
                    }
                });
                number
            }
        };
        let (storage, disks) = match self.storage(source, &snapshot, kind, storage) {
            Ok(both) => both,
            Err(why) => {
                let remedy = "make the storage on this machine, or ask the operator for a directive that names one that \
                              is here; then run the same command again";
                return plan.not(what, why, remedy, false);
            }
        };
        if vmid != own && self.ground.scratch.is_none() {
            plan.notes.push(format!("{what} becomes {vmid} instead of {own}, as the directive says"));
        }
        let (needed, of_storage) = (snapshot.key().fingerprint(), source.source.key_fingerprint);
        if needed != of_storage {
            plan.note_once(format!(
                "guests whose backups need key {} come back through a storage that stands for the time of the restore: {} \
                 has key {}. For Proxmox VE itself to open such backups later, it wants a storage with that key \
                 (`tenwords-agent key list` names its file)",
                needed.short(),
                source.source.id,
                of_storage.short()
            ));
        }
        let of = ordered(&source.source.id, &source.access.namespace().to_string(), snapshot.snapshot(), None);
        let work = GuestWork {
            source: source.source,
            access: &source.access,
            id: ItemId::default(),
            snapshot,
            kind,
            vmid,
            in_earnest,
            is_copy: self.ground.scratch.is_some(),
            storage,
            disks,
            over: None,
        };
        let Some((why, Replaced { told, found })) = replaces else { return plan.guests.push(work) };
        let Some((of, number)) = of.zip(std::num::NonZeroU32::new(vmid)) else {
            return plan.not(what, why, OTHER_NUMBER, false);
        };
        let act = Act::RestoreOverwrite { target: Overwritten::Guest(number), snapshot: of };
        let wish = Wish { act, destroys: told, found: Some(found) };
        plan.waiting.push(Waiting::new(what, why, wish, orders::Thing::Guest(Box::new(work))));
    }

    /// What speaks against a number in earnest.
    fn hindrance(&self, plan: &Plan<'_>, kind: Kind, vmid: u32) -> Option<Hindrance> {
        let hindrance = |why, remedy| Some(Hindrance { why, remedy, replaces: None });
        let waiting = plan.waiting.iter().flat_map(Waiting::guests);
        if let Some(other) = plan.guests.iter().chain(waiting).find(|other| other.in_earnest == vmid) {
            let why = format!("{} of this plan becomes {vmid} already", other.snapshot.snapshot());
            return hindrance(why, ASK_OPERATOR);
        }
        if let Some(there) = self.ground.taken.get(&vmid) {
            let why = format!("the number {vmid} is taken by {there}");
            return Some(Hindrance { why, remedy: OTHER_NUMBER, replaces: self.replaced(kind, vmid, there) });
        }
        if !(100..=999_999_999).contains(&vmid) {
            return hindrance(format!("{vmid} is no number that Proxmox VE gives a guest"), ASK_OPERATOR);
        }
        None
    }

    /// What lies at a number, if Proxmox VE could replace it here: a guest of the same kind on this node.
    fn replaced(&self, kind: Kind, vmid: u32, there: &str) -> Option<Replaced> {
        let node = self.ground.node.filter(|_| self.ground.scratch.is_none())?;
        let found = replaced::there(node, self.client.private(), vmid).ok().flatten()?;
        let config_sha256 = found.config_sha256.filter(|_| found.is_here && found.kind == kind)?;
        let state = match found.is_running {
            Some(false) => "it is stopped",
            _ => "it RUNS, and has to be stopped first",
        };
        let protected = if found.is_protected { ", and Proxmox VE protects it (protection: 1)" } else { "" };
        let mut told =
            vec![format!("{vmid}, {there}, with its configuration and all of its volumes: {state}{protected}")];
        told.extend(found.volumes.into_iter().map(|volume| match volume.bytes {
            Some(bytes) => format!("the volume {}, {}", volume.id, size(bytes)),
            None => format!("the volume {}", volume.id),
        }));
        Some(Replaced { told, found: config_sha256 })
    }

    /// The first number that nobody has: no guest of the cluster, nothing of this plan, of an earlier run, or in
    /// `own`.
    fn scratch(&self, plan: &Plan<'_>, first: u32, own: [u32; 2]) -> Option<u32> {
        let earlier: Vec<u32> = self.earlier.rows().filter_map(Row::vmid).collect();
        (first..=LAST_SCRATCH).find(|number| {
            !self.ground.taken.contains_key(number)
                && !own.contains(number)
                && !earlier.contains(number)
                && plan.guests.iter().all(|other| other.vmid != *number && other.in_earnest != *number)
        })
    }
}

/// `ct/101` and `vm/102` are guests; anything else is none.
fn number(group: &str) -> Option<Number> {
    let (kind, id) = group.split_once('/')?;
    let kind = match kind.parse().ok()? {
        BackupType::Ct => Kind::Container,
        BackupType::Vm => Kind::Machine,
        BackupType::Host => return None,
    };
    let number = id.parse().ok()?;
    (id == format!("{number}")).then_some((kind, number))
}

/// Where the numbers of rehearsed guests begin: far above those that people give.
pub(crate) const FIRST_SCRATCH: u32 = 900_000;
const LAST_SCRATCH: u32 = 999_999;
const OTHER_NUMBER: &str =
    "ask the operator for a directive that gives another number; then run the same command again";
const TO_FOLDERS: &str =
    "ask the operator for a directive that restores its archives into folders; then run the same command again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guests_group_has_a_number() {
        assert_eq!(number("ct/101"), Some((Kind::Container, 101)));
        assert_eq!(number("vm/999999999"), Some((Kind::Machine, 999_999_999)));
        for group in ["host/101", "ct/0101", "ct/+101", "ct/web", "vm/4294967296", "vm/", "ct", "xx/101"] {
            assert_eq!(number(group), None, "{group}");
        }
    }
}
