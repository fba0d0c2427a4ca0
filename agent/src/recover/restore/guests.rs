//! The plan's guests, by PVE's own programs to free numbers, or in the place of what an order named.
//!
//! The snapshot has passed the gate when it entered the plan. After the restore its list of files is
//! looked at again: PVE reads it several times by itself, and for disks its programs do not say under
//! which key. A guest for which that second look fails is **not removed**: what proves that it is what
//! this very run has made is the number that was free before, and that is not enough for a destruction
//! that nobody has ordered. It is stopped (nothing here ever starts a guest), and it is named, with
//! the command that removes it.

use std::time::Instant;

use pbs_driver::{
    Client,
    pve::{
        Node, boot,
        guest_config::Kind,
        guest_failure::GuestFailure,
        leftover::{Leftover, Remains},
        progress::{GuestProgress, Step},
        replaced::{self, Replaces},
        restore::{GuestError, GuestLimits, GuestRestore, restore},
        torn,
    },
};

use super::{AGAIN, board::Watch, command, ledger::Ledger};
use crate::{
    exit::Outcome,
    recover::{
        after,
        install::Installed,
        orders::Permit,
        plan::{GuestWork, Keyring, chain},
        report::{GuestKind, Missing, RestoredGuest, milliseconds},
    },
    show::harmless,
};

/// What guests are restored with.
pub(super) struct Workshop<'w> {
    pub(super) client: &'w Client,
    pub(super) keyring: &'w Keyring<'w>,
    pub(super) node: &'w Node,
    pub(super) installed: &'w Installed,
    pub(super) ledger: &'w Ledger<'w>,
}

impl Workshop<'_> {
    /// One guest.
    pub(super) fn restore(&self, work: &GuestWork<'_>, watch: &Watch<'_>) -> Result<RestoredGuest, Missing> {
        let missing = |why: String, remedy: String| Missing {
            what: format!("{} {} as {}", work.source.id, work.snapshot.snapshot(), work.target()),
            why,
            remedy,
            waits_for_order: false,
        };
        let key = work.snapshot.key().fingerprint();
        let Some(source) = self.installed.storages.get(&(work.source.id.clone(), key)) else {
            let why = format!("its storage {} could not be put in place", work.source.id);
            return Err(missing(why, format!("mend what is said of the storage; then {AGAIN}")));
        };
        let (kind, pool) = (GuestKind::of(work.kind), self.ledger.pool());
        // What is there before is nobody's to take away.
        let volumes = torn::volumes(self.node, self.client.private(), work.vmid).map_err(|error| {
            missing(
                format!("its number's volumes cannot be listed: {}", chain(&error)),
                format!("{}; then {AGAIN}", error.next_step()),
            )
        })?;
        fn of<T>(what: String, result: Outcome<T>) -> Result<T, Missing> {
            result.map_err(|stop| Missing::of(what, stop))
        }
        let what = || format!("{} {} as {}", work.source.id, work.snapshot.snapshot(), work.target());
        let former = match &work.over {
            None => None,
            Some(permit) => {
                // What Proxmox VE or the restore would refuse uses up no order: that waits until it is mended.
                let former = permit.found().map(|config_sha256| {
                    let replaces = Replaces { config_sha256 };
                    let guest = (work.kind, work.vmid);
                    replaced::may_be_replaced(self.node, self.client.private(), guest, &replaces, &volumes)
                });
                let former = former.transpose().map_err(|failure| Missing {
                    waits_for_order: !matches!(failure, GuestFailure::Pve(_)),
                    ..missing(format!("its order is not used up: {}", chain(&failure)), refused(&failure))
                })?;
                // From here on the order is used up.
                of(what(), self.ledger.redeem(permit))?;
                former
            }
        };
        let volumes = match &former {
            Some(former) => volumes.without_those_of(former),
            None => volumes,
        };
        let replaces = former.as_ref().map(|former| Replaces { config_sha256: former.config_sha256 });
        of(what(), self.ledger.begins_guest(work.id, (kind, work.vmid), volumes, former))?;
        let request = GuestRestore {
            node: self.node,
            private: self.client.private(),
            vmid: work.vmid,
            replaces,
            source,
            snapshot: work.snapshot.snapshot(),
            target: work.storage.as_ref().map(|storage| storage.as_str()),
            pool: pool.as_ref(),
            unique: work.is_copy,
            key: Some(key),
            limits: GuestLimits::default(),
        };
        let mut counted = Counted::default();
        let mut observe = |moment: &GuestProgress| watch.at(counted.bytes(moment), Some(&step(&moment.step)));
        let began = Instant::now();
        let output = restore(&request, &mut observe).map_err(|error| {
            let mut why = chain(&error);
            self.left(work, Some(&error.left), &why);
            error.said.iter().take(TOLD).for_each(|line| why.push_str(&format!("; {}", harmless(line, 200))));
            // A storage that stands for the time of the restore is gone when somebody reads this.
            let is_gone = work.is_copy || work.needs_another_key();
            let by_hand = || if is_gone { None } else { command::of_guest(self.node, work) };
            missing(why, after_failure(&error, by_hand))
        })?;
        if let Err(why) = self.keyring.unchanged(self.client, work.access, &work.snapshot) {
            self.left(work, None, &why);
            return Err(missing(
                format!(
                    "{} is there, and is NOT to be trusted: its backup could not be shown to be the same after the \
                     restore: {why}",
                    work.target()
                ),
                format!(
                    "do not start it, and keep PVE from starting it (`{} set {} --onboot 0`); remove it (`{}`), see that \
                     the backup server answers and who writes to it, then {AGAIN}",
                    match work.kind {
                        Kind::Container => "pct",
                        Kind::Machine => "qm",
                    },
                    work.vmid,
                    output.removal.join(" && ")
                ),
            ));
        }
        if work.is_copy
            && let Err(error) = boot::not_at_boot(self.node, self.client.private(), work.kind, work.vmid)
        {
            let why = format!("it would be started with this node, beside its original: {}", chain(&error));
            self.left(work, None, &why);
            return Err(missing(why, format!("remove it (`{}`), then {AGAIN}", output.removal.join(" && "))));
        }
        let differences = after::differences(self.node, self.client, self.keyring, work, &output.config);
        let guest = RestoredGuest {
            source: work.source.id.to_string(),
            snapshot: work.snapshot.snapshot().to_string(),
            kind: GuestKind::of(work.kind),
            vmid: work.vmid,
            storage: work.storage.as_ref().map(ToString::to_string),
            config: output.config,
            bytes: work.bytes(),
            milliseconds: milliseconds(began.elapsed()),
            said: work.over.iter().map(Permit::told).chain(output.said).collect(),
            differences,
            trial: None,
        };
        of(what(), self.ledger.guest_restored(work.id, &guest))?;
        Ok(guest)
    }

    /// Notes that it did not come well, and how what is left is known again.
    fn left(&self, work: &GuestWork<'_>, left: Option<&Leftover>, why: &str) {
        match left {
            Some(left) if left.is_nothing() => return self.ledger.failed(work.id, why),
            // What lies there is the one that was to be replaced. The next run gives it back, and takes away no more
            // than what was made beside it.
            Some(Leftover { replaced: Some(Remains::Whole | Remains::Locked), .. }) => return,
            _ => {}
        }
        // What still carries PVE's own lock of a creation is known by that.
        if let Ok(Some(config_sha256)) = torn::config_sha256(self.node, work.kind, work.vmid) {
            self.ledger.guest_left(work.id, config_sha256);
        }
    }
}

/// Bytes so far over all disks; for a container, of which PVE's programs say nothing, what the kernel
/// counts as written.
#[derive(Default)]
struct Counted {
    before: u64,
    disk: Option<(Step, u64)>,
}

impl Counted {
    fn bytes(&mut self, moment: &GuestProgress) -> u64 {
        let Some(disk) = &moment.disk else { return moment.written };
        match self.disk {
            Some((step, bytes)) if step != moment.step && matches!(moment.step, Step::Disk(_)) => self.before += bytes,
            _ => {}
        }
        if matches!(moment.step, Step::Disk(_)) {
            self.disk = Some((moment.step, disk.bytes));
        }
        self.before + disk.bytes
    }
}

/// What to do now, what is left behind included.
fn after_failure(error: &GuestError, by_hand: impl FnOnce() -> Option<String>) -> String {
    let left = error.remedy();
    let commands = left.join(" && ");
    let remove = match error.left.replaced {
        Some(Remains::Whole | Remains::Locked) if left.is_empty() => {
            "; the guest that was to be replaced is there still".to_owned()
        }
        Some(Remains::Whole | Remains::Locked) => {
            format!("; the guest that was to be replaced is there still, and is given back by `{commands}`")
        }
        _ if left.is_empty() => String::new(),
        _ => format!("; remove what it has left (`{commands}`)"),
    };
    let alone = match *error.failure {
        // It would be refused again, or be what was refused.
        GuestFailure::Exists { .. } | GuestFailure::NotUnderOurKey { .. } => None,
        _ => by_hand(),
    };
    format!("{}{remove}; then {AGAIN}{}", error.next_step(), command::alone(alone))
}

/// What to do before an order can be used.
fn refused(failure: &GuestFailure) -> String {
    match failure {
        GuestFailure::Running { kind, vmid } => {
            format!("shut it down (`{} shutdown {vmid}`), then {AGAIN}, with the same order", kind.program())
        }
        _ => format!("{}; then {AGAIN}", failure.next_step()),
    }
}

fn step(step: &Step) -> String {
    match step {
        Step::Configuration => "volumes are made".to_owned(),
        Step::Tree => "files are extracted".to_owned(),
        Step::Disk(number) => format!("disk {number}"),
        Step::Merging => "the configuration is put together".to_owned(),
        _ => "begun".to_owned(),
    }
}

/// Lines of a program that stand beside the cause of a failure.
const TOLD: usize = 5;
