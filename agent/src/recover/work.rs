//! Steps 6 to 8: performs what the course says, until nothing but the closing is left.
//!
//! Every effect ends in events that the journal has before anything else is done; whatever a run does
//! not come to is done by the next one, from there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use pbs_driver::{
    Client,
    pve::{Node, pool},
};
use tenwords_escrow::{
    gate::GatedKey,
    root::{KeptIn, Root},
};
use tenwords_protocol::{
    directive::{Directive, Name},
    fingerprint::Fingerprint,
    time::Timestamp,
};

use super::{
    after,
    claim::Claimed,
    connect::{Connected, Tokens},
    course::{Begun, Course, Effect, Event, ItemId, Run, What},
    install::{self, Installed},
    journal::Journal,
    log::Log,
    orders::{Desk, Inbox, Waiting},
    plan::{Around, Document, Earlier, GuestWork, Keyring, Plan, Planner, differences},
    preflight,
    report::{Missing, Restored, RestoredGuest, Stopwatch},
    restore, resume, settle,
    target::TargetFolder,
};
use crate::{
    cli, enroll,
    exit::{Code, Outcome, Stop},
    interrupt,
    seat::Seat,
    settings::Configuration,
    show::harmless,
};

/// What a recovery leaves in place on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Everything: this machine is the box from now on.
    Earnest,
    /// Nothing but copies under scratch numbers and in a folder. Storages stand under scratch names for as long as
    /// a run restores.
    Rehearsal,
    /// Nothing: a folder that is read has no server.
    OfAFolder,
}

impl Manner {
    pub(super) fn of(is_rehearsal: bool, is_of_folder: bool) -> Self {
        match (is_of_folder, is_rehearsal) {
            (true, _) => Self::OfAFolder,
            (false, true) => Self::Rehearsal,
            (false, false) => Self::Earnest,
        }
    }
}

/// What the work is done with and on.
pub(super) struct Work<'w> {
    pub(super) configuration: &'w Configuration,
    pub(super) args: &'w cli::Recover,
    pub(super) log: &'w Log,
    pub(super) begun: &'w Begun,
    pub(super) client: &'w Client,
    pub(super) node: Option<&'w Node>,
    pub(super) root: &'w Root,
    pub(super) keys: &'w BTreeMap<Fingerprint, Arc<GatedKey>>,
    pub(super) keyring: &'w Keyring<'w>,
    pub(super) tokens: &'w Tokens,
    pub(super) connected: &'w [Connected<'w>],
    pub(super) directive: Option<&'w Directive>,
    pub(super) claimed: Option<&'w Claimed>,
    pub(super) into: &'w Path,
    pub(super) target: &'w TargetFolder,
    pub(super) lost_at: Option<Timestamp>,
    pub(super) manner: Manner,
    /// Where orders are asked for; nothing where none can be.
    pub(super) desk: Option<&'w Desk<'w>>,
}

/// What has come of it, by this run and the earlier ones.
pub(super) struct Outcomes<'w> {
    pub(super) run: Run,
    /// What waits for orders.
    pub(super) waiting: Vec<Waiting<'w>>,
    pub(super) guests: Vec<RestoredGuest>,
    pub(super) archives: Vec<Restored>,
    pub(super) missing: Vec<Missing>,
    pub(super) notes: Vec<String>,
    pub(super) installed: Installed,
    /// The keys under which what is restored was signed.
    pub(super) signing: BTreeSet<Fingerprint>,
}

impl<'w> Work<'w> {
    /// Does all of it. An error is one before anything of this machine was touched by this run.
    pub(super) fn perform(
        &self,
        missing: Vec<Missing>,
        inbox: &mut Inbox,
        watch: &mut Stopwatch,
        seat: &mut dyn Seat,
    ) -> Outcome<Outcomes<'w>> {
        let mut done = self.perform_all(missing, inbox, watch, seat);
        // However it ended, also what an earlier run that was killed has left; and before the closing ceremony looks at
        // the box's storages.
        match (self.take_scratch_away(), &mut done) {
            (Ok(()), Ok(outcomes)) => outcomes.installed.forget_scratch(),
            (Ok(()), Err(_)) => {}
            (Err(missing), Ok(outcomes)) => {
                outcomes.missing.push(missing);
                outcomes.run.is_missing_something = true;
            }
            (Err(missing), Err(_)) => {
                seat.say(&format!("  NOT: {}: {}", missing.what, harmless(&missing.why, 400)));
                seat.say(&format!("    what to do: {}", harmless(&missing.remedy, 400)));
            }
        }
        done
    }

    pub(super) fn take_scratch_away(&self) -> Result<(), Missing> {
        let sources = &self.root.facts().trust.sources;
        let has_storages = sources.iter().any(|source| source.kept_in == KeptIn::StorageCfg);
        let Some(node) = self.node.filter(|_| has_storages && self.manner != Manner::OfAFolder) else { return Ok(()) };
        install::scratch::remove(node, self.begun.recovery)?;
        if self.manner == Manner::Rehearsal
            && self.log.tell(Course::is_installed)
            && let Err(stop) = self.log.note(Event::Removed { at: Timestamp::now() })
        {
            // Whoever looks finds none.
            tracing::warn!(why = %stop.in_one_line(), "the journal");
        }
        Ok(())
    }

    fn perform_all(
        &self,
        missing: Vec<Missing>,
        inbox: &mut Inbox,
        watch: &mut Stopwatch,
        seat: &mut dyn Seat,
    ) -> Outcome<Outcomes<'w>> {
        let mut plan: Option<Plan<'w>> = None;
        let mut outcomes = Outcomes {
            run: Run {
                is_reading: self.manner != Manner::Earnest,
                puts_nothing: self.manner == Manner::OfAFolder
                    || (self.manner == Manner::Rehearsal && self.node.is_none()),
                ..Run::default()
            },
            waiting: Vec::new(),
            guests: Vec::new(),
            archives: Vec::new(),
            missing,
            notes: Vec::new(),
            installed: Installed::default(),
            signing: BTreeSet::new(),
        };
        let mut earlier = None;
        let talk = seat.talk();
        loop {
            outcomes.run.is_ending = interrupt::is_ending();
            match self.log.next(&outcomes.run) {
                Effect::Settle(item) => {
                    outcomes.run.looked_at.insert(item);
                    let document = match &earlier {
                        Some(document) => document,
                        None => earlier.insert(self.document()?),
                    };
                    self.settle(item, document.as_ref(), &mut outcomes, seat);
                }
                Effect::Plan => {
                    seat.say(talk.step_plan);
                    let document = match earlier.take() {
                        Some(document) => document,
                        None => self.document()?,
                    };
                    let made = self.plan(document, inbox, &mut outcomes, seat)?;
                    plan = Some(made);
                    outcomes.run.planned = true;
                    watch.lap("plan and gate");
                    interrupt::check()?;
                }
                Effect::Install => {
                    seat.say(talk.step_install);
                    self.install(plan.as_ref(), &mut outcomes)?;
                    outcomes.run.installed = true;
                    watch.lap("install");
                }
                Effect::Restore(items) => {
                    seat.say(talk.step_restore);
                    if let Some(plan) = &plan {
                        self.restore(plan, &mut outcomes, seat);
                    }
                    outcomes.run.tried.extend(items);
                    watch.lap("restore");
                }
                Effect::Close | Effect::End | Effect::Report => break,
            }
        }
        // A source that could not be put in place has no jobs either: their storage is not here.
        let jobs = self.node.filter(|_| self.manner == Manner::Earnest);
        install::jobs::offer(&mut outcomes.installed, jobs, &self.root.facts().secrets.files, self.args, seat);
        if let Some(plan) = plan {
            self.tell_what_came_of(&plan, &outcomes);
            outcomes.missing.extend(plan.missing);
            outcomes.notes.extend(plan.notes);
            outcomes.waiting = plan.waiting;
        }
        outcomes.missing.append(&mut outcomes.installed.missing);
        outcomes.notes.append(&mut outcomes.installed.notes);
        self.tell_earlier(&mut outcomes);
        outcomes.run.is_missing_something = !outcomes.missing.is_empty() || !outcomes.waiting.is_empty();
        Ok(outcomes)
    }

    /// The plan that an earlier run has kept.
    pub(super) fn document(&self) -> Outcome<Option<Document>> {
        let Some(sha256) = self.log.tell(|course| course.plan_sha256()) else { return Ok(None) };
        match Document::load(&Journal::folder(self.configuration), sha256)? {
            Some(document) => Ok(Some(document)),
            None => Err(Stop::new(Code::Preflight, "the plan of this recovery is not the one that it has kept")
                .remedy(format!("nothing was touched; tell the operator. {}", resume::ABORT))),
        }
    }

    fn settle(&self, item: ItemId, document: Option<&Document>, outcomes: &mut Outcomes<'_>, seat: &mut dyn Seat) {
        let row = document.and_then(|document| document.items.iter().find(|row| row.item == item));
        let what = row.map_or_else(|| format!("item {item}"), |row| format!("{} {}", row.source, row.snapshot));
        match settle::settle(self.log, self.node, self.client, item, settle::Way::On) {
            Ok(settled) => {
                let not = |why: String, remedy: String, seat: &mut dyn Seat| {
                    seat.say(&format!("  NOT: {what}: {}", harmless(&why, 400)));
                    Missing { what: what.clone(), why, remedy, waits_for_order: false }
                };
                let note = match settled {
                    settle::Settled::Unseen(guest, vmid) => match self.adopt(item, row, (guest, vmid)) {
                        Ok(()) => {
                            format!("{what}: Proxmox VE had restored it to its end before the run was interrupted")
                        }
                        Err(why) => {
                            let remedy = format!(
                                "look at {guest} {vmid} before it is used, or remove it by hand; then run the same command \
                                 again"
                            );
                            let why = format!("it is there, and nobody looked at its backup again: {why}");
                            return outcomes.missing.push(not(why, remedy, seat));
                        }
                    },
                    settle::Settled::Unmarked(guest, vmid, why) => {
                        match self.adopt_unmarked(item, row, (guest, vmid), &why) {
                            Ok(true) => format!(
                                "{what}: the {guest} {vmid} that is there is as its backup has it, with volumes that were \
                                 made since: Proxmox VE had restored it, and was ended itself before it marked it as this \
                                 recovery's"
                            ),
                            Ok(false) => format!("{what}: nothing is taken away: {why}"),
                            Err(unknown) => {
                                let why =
                                    format!("{why}, and whether it is what was to be restored is unknown: {unknown}");
                                let remedy = "mend what the cause names; then run the same command again, which looks \
                                              once more and takes nothing away";
                                return outcomes.missing.push(not(why, remedy.to_owned(), seat));
                            }
                        }
                    }
                    settle::Settled::Finished => format!("{what}: an earlier run had brought it to its end"),
                    settle::Settled::Beside(why) => format!("{what}: an earlier run had brought it to its end; {why}"),
                    settle::Settled::Cleared => {
                        format!("{what}: what an earlier run had left unfinished is taken away")
                    }
                    settle::Settled::NotOurs(why) => format!("{what}: nothing is taken away: {why}"),
                };
                seat.say(&format!("  note: {}", harmless(&note, 400)));
                outcomes.notes.push(note);
            }
            Err(stop) => {
                let why = stop.in_one_line();
                let remedy = stop.remedy.unwrap_or_else(|| "mend this; then run the same command again".to_owned());
                seat.say(&format!("  NOT: {}: {}", what, harmless(&why, 400)));
                outcomes.missing.push(Missing { what, why, remedy, waits_for_order: false });
            }
        }
    }

    fn plan(
        &self,
        document: Option<Document>,
        inbox: &mut Inbox,
        outcomes: &mut Outcomes<'w>,
        seat: &mut dyn Seat,
    ) -> Outcome<Plan<'w>> {
        let earlier = self.log.tell(|course| Earlier::of(document, course));
        let ground = super::pve::ground(self.node, self.manner)?;
        let planner = Planner {
            client: self.client,
            keyring: self.keyring,
            trust: &self.root.facts().trust,
            ground: &ground,
            into: self.into,
            lost_at: self.lost_at,
            earlier: &earlier,
            is_rehearsal: self.begun.rehearsal,
        };
        let mut plan = planner.plan(self.connected, self.directive);
        self.look_at_keys(&mut plan);
        self.ask(&mut plan, seat)?;
        self.take_ordered(&mut plan, inbox, seat)?;
        earlier.number(&mut plan);
        let differences = differences::notes(self.connected, self.directive, self.claimed);
        let around = Around {
            begun: self.begun,
            made_at: Timestamp::now(),
            lost_at: self.lost_at,
            directive: self.directive.map(|directive| directive.number),
            differences: &differences,
            connected: self.connected,
        };
        let document = Document::of(&plan, &earlier, &around);
        document.lines().iter().for_each(|line| seat.say(&format!("  {line}")));
        let (lacking, of_room) =
            preflight::room(&plan, self.node, self.client.private(), self.into, self.args.overcommit);
        lacking.into_outcome("before anything is put in place")?;
        outcomes.notes.extend(of_room);
        outcomes.notes.extend(differences);
        outcomes.signing = document.items.iter().filter_map(|row| row.key).collect();
        let folder = Journal::folder(self.configuration);
        let plan_sha256 = document.keep(&folder)?;
        seat.say(&format!("  (kept as {})", Document::text(&folder).display()));
        let items = document.items.iter().map(|row| row.item).collect();
        self.log.note(Event::Planned { at: Timestamp::now(), plan_sha256, items })?;
        Document::counts(&folder)?;
        self.target.begin(self.begun.recovery)?;
        Ok(plan)
    }

    fn install(&self, plan: Option<&Plan<'_>>, outcomes: &mut Outcomes<'_>) -> Outcome<()> {
        self.log.note(Event::Installing { at: Timestamp::now() })?;
        let waiting = plan.iter().flat_map(|plan| &plan.waiting).flat_map(Waiting::guests);
        let guests = plan.iter().flat_map(|plan| &plan.guests).chain(waiting);
        let guests: Vec<&GuestWork<'_>> = guests.collect();
        let comment = match (self.manner, self.node) {
            (Manner::Rehearsal, Some(_)) => {
                outcomes.installed = self.put_scratch(guests.iter().copied());
                format!("made by tenwords' rehearsal of {}; goes with `recover --abort`", self.begun.box_id)
            }
            _ => {
                let nothing = Plan::default();
                let plan = plan.unwrap_or(&nothing);
                outcomes.installed = self.sources().put(None, &self.replacing(plan, &plan.waiting));
                outcomes.installed.add(self.put_scratch(plan.guests.iter()));
                let operators = &self.root.facts().trust.operators;
                if let Err(stop) = enroll::pin_recovered(self.configuration, operators) {
                    outcomes.notes.push(format!("the operators' keys could not be pinned on this machine: {stop}"));
                }
                format!("made by tenwords' recovery of {}; goes when it has ended", self.begun.box_id)
            }
        };
        if let (false, Some(node), Some(id)) = (guests.is_empty(), self.node, self.log.pool())
            && let Err(error) = pool::make(node, self.client.private(), &id, &comment)
        {
            return Err(Stop::new(
                Code::Preflight,
                format!("the pool {id} cannot be made, by which guests are marked"),
            )
            .remedy(format!("{}; then run the same command again", error.next_step()))
            .because(error));
        }
        self.log.note(Event::Installed { at: Timestamp::now() })
    }

    /// Storages for the time of the restore, for those of these guests that need one.
    pub(super) fn put_scratch<'g>(&self, guests: impl Iterator<Item = &'g GuestWork<'g>>) -> Installed {
        let is_rehearsal = self.manner == Manner::Rehearsal;
        let needed: BTreeSet<(&Name, Fingerprint)> = guests
            .filter(|work| is_rehearsal || work.needs_another_key())
            .map(|work| (&work.source.id, work.snapshot.key().fingerprint()))
            .collect();
        let Some(node) = self.node.filter(|_| !needed.is_empty()) else { return Installed::default() };
        // What a run that was killed has left may have another secret than is good by now.
        match install::scratch::remove(node, self.begun.recovery) {
            Ok(()) => install::scratch::put(node, self.begun.recovery, self.root, &needed, self.keys, self.tokens),
            Err(missing) => Installed { missing: vec![missing], ..Installed::default() },
        }
    }

    pub(super) fn restore(&self, plan: &Plan<'_>, outcomes: &mut Outcomes<'_>, seat: &mut dyn Seat) {
        let Self { client, keyring, node, log, args, .. } = self;
        let bench = restore::Bench::new(client, keyring, *node, &outcomes.installed, log);
        let mut done = bench.restore(plan, args.parallel, seat);
        after::look(client, keyring, *node, plan, &mut done.guests, args.patience(), seat);
        if !done.guests.is_empty() {
            outcomes.notes.push(
                "guests: the signed list of files was looked at before and after each restore; what Proxmox VE's own \
                 programs read in between could not be held against it"
                    .to_owned(),
            );
        }
        outcomes.guests.extend(done.guests);
        outcomes.archives.extend(done.archives);
        outcomes.missing.extend(done.missing);
    }

    /// What earlier runs have restored stands in this run's report too.
    fn tell_earlier(&self, outcomes: &mut Outcomes<'_>) {
        let restored: Vec<What> = self.log.tell(|course| course.restored().map(|(_, what)| what.clone()).collect());
        for what in restored {
            match what {
                What::Guest(guest) if outcomes.guests.iter().all(|other| other.vmid != guest.vmid) => {
                    outcomes.guests.push(guest);
                }
                What::Archive(archive) if outcomes.archives.iter().all(|other| other.target != archive.target) => {
                    outcomes.archives.push(archive);
                }
                _ => {}
            }
        }
    }
}
