//! What is done to the box and its hub in a year, by chance, and how it is done.

use std::time::Duration;

use super::{
    Lived, Year,
    disk::Disk,
    life::{DAY, HOUR, MINUTE, SECOND},
    lost::SETTLED,
};
use crate::daemon::{chance::Chance, course::Event};

const YEAR: i64 = 365 * 86_400;

/// One thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// Something is done to a key or secret.
    Change(Change),
    /// More of them within some hours than the hub takes in a day.
    Storm,
    Ceremony {
        is_new_code: bool,
    },
    /// The box does not reach the hub, or does again.
    Cut(bool),
    BackUp,
    SetBack,
    Disk(Disk),
    /// The next pass that writes is ended after so many steps.
    Kill(u32),
    Jump(i64),
    Mounted(bool),
    Off(Duration),
    /// It is switched off until its certificate has ended.
    Asleep(Duration),
    StartedAgain,
    Upgrade {
        works: bool,
    },
    Said(Event),
}

/// What Proxmox VE or its administrator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Autogenerate,
    /// The key file is deleted; with it goes what says that the storage encrypts.
    Lose {
        is_forgotten: bool,
    },
    PutBack,
    ByHand {
        is_former: bool,
        is_told: bool,
    },
    Remove,
    Add,
    Secret,
    Join,
}

/// What happens when, in order.
pub(super) struct Plan(Vec<(Duration, Happening)>);

impl Plan {
    /// So many days, so busy.
    pub(super) fn new(chance: &mut Chance, days: u64, busy: usize) -> Self {
        let mut plan = Self(vec![(HOUR, Happening::Ceremony { is_new_code: true })]);
        let end = DAY * u32::try_from(days).unwrap_or(u32::MAX);
        let any = |chance: &mut Chance| chance.between(2 * HOUR, end);
        for _ in 0..4 * busy {
            let (at, change) = (any(chance), Change::any(chance));
            plan.add(at, Happening::Change(change));
        }
        // One and another, and the first again.
        let at = any(chance);
        for (index, is_former) in [false, true, true].into_iter().enumerate() {
            let change = Change::ByHand { is_former, is_told: true };
            plan.add(at + MINUTE * 10 * u32::try_from(index).unwrap_or(0), Happening::Change(change));
        }
        for _ in 0..4 * busy {
            let (at, steps) = (any(chance), u32::try_from(chance.below(14)).unwrap_or(0));
            plan.add(at, Happening::Kill(steps));
            plan.add(at + SECOND, Happening::Change(Change::Autogenerate).or_secret(chance));
        }
        let lengths = [10 * MINUTE, 3 * HOUR, 2 * DAY, 16 * DAY];
        plan.now_and_then(chance, end, 4 * busy, &lengths, |_| (Happening::Cut(true), Happening::Cut(false)));
        plan.now_and_then(chance, end, 2 * busy, &[2 * HOUR, 4 * DAY], |chance| {
            let disk = if chance.one_in(2) { Disk::Full } else { Disk::ReadOnly };
            (Happening::Disk(disk), Happening::Disk(Disk::Good))
        });
        plan.now_and_then(chance, end, 2 * busy, &[20 * MINUTE, 2 * DAY], |chance| {
            let far = i64::try_from(chance.between(2 * HOUR, 5 * 365 * DAY).as_secs()).unwrap_or(YEAR);
            (Happening::Jump(if chance.one_in(2) { far } else { -far }), Happening::Jump(0))
        });
        // Somebody puts a key there while the clock is wrong.
        let wrong = |(at, happening): &(Duration, Happening)| {
            matches!(happening, Happening::Jump(offset) if *offset != 0).then_some(*at)
        };
        for at in plan.0.iter().filter_map(wrong).collect::<Vec<_>>() {
            plan.add(at + 2 * MINUTE, Happening::Change(Change::ByHand { is_former: false, is_told: true }));
        }
        plan.now_and_then(chance, end, 2 * busy, &[10 * MINUTE, 6 * HOUR], |_| {
            (Happening::Mounted(false), Happening::Mounted(true))
        });
        plan.now_and_then(chance, end, 2 * busy, &[3 * DAY], |_| {
            (Happening::Upgrade { works: false }, Happening::Upgrade { works: true })
        });
        for day in (1..days).step_by(15) {
            plan.add(DAY * u32::try_from(day).unwrap_or(0) + 3 * HOUR, Happening::BackUp);
        }
        for _ in 0..2 * busy {
            // To before something that it had acknowledged.
            let at = any(chance);
            plan.add(at, Happening::Change(Change::Autogenerate).or_secret(chance));
            plan.add(at + 4 * HOUR, Happening::SetBack);
            plan.add(any(chance), Happening::StartedAgain);
            let event = [Event::TaskEnded, Event::JobsChanged, Event::Called, Event::Reloaded][chance.below(4)];
            plan.add(any(chance), Happening::Said(event));
        }
        for _ in 0..busy {
            let long = chance.between(MINUTE, 5 * DAY);
            plan.add(any(chance), Happening::Off(long));
        }
        plan.add(any(chance), Happening::Storm);
        plan.add(chance.between(end / 3, end), Happening::Change(Change::Join));
        for (at, is_new_code) in [(end / 3, true), (end * 2 / 3, false)] {
            plan.add(at + chance.between(Duration::ZERO, 20 * DAY), Happening::Ceremony { is_new_code });
        }
        plan.add(end + HOUR, Happening::Asleep(chance.between(95 * DAY, 120 * DAY)));
        plan.0.sort_by_key(|(at, _)| *at);
        plan
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, at: Duration, happening: Happening) {
        self.0.push((at, happening));
    }

    /// So often, one after another, each up to one of these lengths.
    fn now_and_then(
        &mut self,
        chance: &mut Chance,
        end: Duration,
        count: usize,
        lengths: &[Duration],
        what: impl Fn(&mut Chance) -> (Happening, Happening),
    ) {
        let count = u32::try_from(count).unwrap_or(1).max(1);
        let room = end / count;
        for index in 0..count {
            let begins = room * index + chance.between(2 * HOUR, room / 2);
            let longest = lengths[chance.below(lengths.len())].min(room / 2);
            let (begin, over) = what(chance);
            self.add(begins, begin);
            self.add(begins + chance.between(longest / 4, longest), over);
        }
    }
}

impl IntoIterator for Plan {
    type Item = (Duration, Happening);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Happening {
    fn or_secret(self, chance: &mut Chance) -> Self {
        if chance.one_in(3) { Self::Change(Change::Secret) } else { self }
    }
}

impl Change {
    fn any(chance: &mut Chance) -> Self {
        match chance.below(9) {
            0 | 1 => Self::Autogenerate,
            2 => Self::Lose { is_forgotten: chance.one_in(2) },
            3 => Self::PutBack,
            4 => Self::ByHand { is_former: chance.one_in(2), is_told: chance.one_in(2) },
            5 => Self::Remove,
            6 | 7 => Self::Add,
            _ => Self::Secret,
        }
    }
}

impl Year {
    pub(super) fn happen(&mut self, happening: Happening) -> Lived {
        self.life.catch_up()?;
        self.passes()?;
        self.ledger.see(&self.life);
        self.told.push(format!("at {:?}: {happening:?}", self.life.time));
        let from = self.told.len().saturating_sub(12);
        self.told.drain(..from);
        match happening {
            Happening::Change(change) => self.change(change)?,
            Happening::Storm => {
                for _ in 0..27 {
                    self.until(self.life.time + 10 * MINUTE)?;
                    self.ledger.see(&self.life);
                    let change = if self.chance.one_in(4) { Change::Autogenerate } else { Change::Secret };
                    self.change(change)?;
                }
            }
            Happening::Ceremony { is_new_code } => {
                self.wants_ceremony = Some(is_new_code);
                self.hold()?;
            }
            Happening::Cut(is_cut) => self.hub.cut(is_cut),
            Happening::BackUp => self.hub.back_up()?,
            Happening::SetBack => {
                if self.hub.set_back()? {
                    self.ledger.set_back = Some(self.life.time);
                }
            }
            Happening::Disk(disk) => self.life.set_disk(disk),
            Happening::Kill(steps) => self.life.kill_after(steps),
            Happening::Jump(offset) => {
                self.life.jump(offset)?;
                for told in [&mut self.ledger.by_hand, &mut self.ledger.vanished] {
                    told.noticed = None;
                }
            }
            Happening::Mounted(is_mounted) => self.life.node.is_mounted = is_mounted,
            Happening::Off(long) => {
                self.life.is_off_for(long)?;
            }
            Happening::Asleep(long) => {
                self.life.is_off_for(long)?;
                // It starts again by that, and looks how its boxes stand.
                self.hub.back_up()?;
                let red = self.hub.reasons(self.of)?;
                for code in ["certificate-expired", "box-silent"] {
                    if !red.iter().any(|reason| reason == code) {
                        return Err(format!("it slept for {long:?}, and the hub says {red:?} without {code}").into());
                    }
                }
            }
            Happening::StartedAgain => {
                self.life.is_started_again()?;
            }
            Happening::Upgrade { works } => {
                self.life.client_works = works;
                self.life.happens(Event::ClientChanged);
            }
            Happening::Said(event) => self.life.happens(event),
        }
        // What was only copied, told or begun anew is as it was.
        if !matches!(happening, Happening::BackUp | Happening::Said(_) | Happening::StartedAgain) {
            self.life.node.lay_out()?;
            self.life.touch();
        }
        self.ledger.restless(&self.life);
        self.check()
    }

    fn change(&mut self, change: Change) -> Lived {
        let (is_calm, mut is_clear) = (self.is_calm(SETTLED), true);
        let (node, chance) = (&mut self.life.node, &mut self.chance);
        let there = node.those(|_| true);
        let bare = node.those(|storage| storage.is_bare() && storage.last.is_some());
        let gone: Vec<String> = ["pbs", "pbs2", "offsite"].map(str::to_owned).into();
        let gone: Vec<String> = gone.into_iter().filter(|id| !there.contains(id)).collect();
        let some = |chance: &mut Chance, of: &[String]| of.get(chance.below(of.len())).cloned();
        // Where there is nothing to be done it to, PVE makes a new key.
        let (change, id) = match change {
            Change::PutBack => (change, some(chance, &bare)),
            Change::Add => (change, some(chance, &gone)),
            // The same one each time, so that a key comes back to where it was.
            Change::ByHand { .. } => (change, there.first().cloned()),
            _ => (change, some(chance, &there)),
        };
        let (change, id) = match id.map(|id| (change, id)) {
            Some(both) => both,
            None => (Change::Autogenerate, some(chance, &there).unwrap_or_else(|| "pbs".to_owned())),
        };
        match change {
            Change::Autogenerate => {
                // Where none was, or the one before may have come and gone unseen, nobody has kept what was seen there.
                is_clear = node.storages.get(&id).is_some_and(|storage| storage.key.is_some()) && is_calm;
                node.autogenerate(&id, chance);
            }
            Change::Lose { is_forgotten } => node.put(&id, None, is_forgotten),
            Change::PutBack => {
                let last = node.storages.get(&id).and_then(|storage| storage.last);
                node.put(&id, last, true);
            }
            Change::ByHand { is_former, is_told } => {
                let former = node.storages.get(&id).and_then(|storage| storage.before);
                let key = former.filter(|_| is_former).unwrap_or_else(|| node.new_key(chance));
                node.put(&id, Some(key), is_told);
                self.ledger.by_hand.happens();
            }
            Change::Remove => node.remove(&id),
            Change::Add => {
                let last = node.storages.get(&id).and_then(|storage| storage.last);
                let key = match chance.below(3) {
                    0 => last,
                    1 if last.is_some() => None,
                    _ => Some(node.new_key(chance)),
                };
                node.add(&id, key);
                self.ledger.by_hand.happens();
            }
            Change::Secret => node.new_secret(&id),
            Change::Join => node.join(chance),
        }
        if matches!(change, Change::Lose { .. } | Change::Remove | Change::Join) {
            self.ledger.vanished.happens();
        }
        if !is_clear {
            self.ledger.by_hand.happens();
        }
        self.ledger.changes += 1;
        self.life.node.lay_out()?;
        self.life.touch();
        self.ledger.restless(&self.life);
        Ok(())
    }

    /// Holds the ceremony that is wanted, if it can be held; else it is tried again the next day, and somebody has
    /// mended by then what was in its way.
    pub(super) fn hold(&mut self) -> Lived {
        let Some(is_new_code) = self.wants_ceremony else { return Ok(()) };
        if !self.ledger.is_sound(&self.life) || self.hub.is_cut() || self.ledger.locked_out.is_some() {
            return Ok(());
        }
        if self.put_everything_back()? || self.life.node.those(|storage| storage.is_in_use()).is_empty() {
            return Ok(());
        }
        self.sheets.hold(&self.life.configuration, &self.life.node, self.life.wall()?, is_new_code)?;
        self.wants_ceremony = None;
        self.life.touch();
        self.ledger.restless(&self.life);
        Ok(())
    }

    /// Every storage gets the key back that it had; tells whether one lacked it.
    fn put_everything_back(&mut self) -> Lived<bool> {
        let amiss =
            self.life.node.those(|storage| storage.is_broken() || (storage.is_bare() && storage.last.is_some()));
        for id in &amiss {
            let last = self.life.node.storages.get(id).and_then(|storage| storage.last);
            self.life.node.put(id, last, true);
            self.ledger.changes += 1;
        }
        if self.life.node.those(|storage| storage.is_in_use()).is_empty() {
            self.life.node.autogenerate("pbs", &mut self.chance);
            self.ledger.by_hand.happens();
            self.ledger.changes += 1;
        }
        self.life.node.lay_out()?;
        self.life.touch();
        self.ledger.restless(&self.life);
        Ok(!amiss.is_empty())
    }

    /// All that is in the way is put right.
    pub(super) fn mend(&mut self) -> Lived {
        for happening in [
            Happening::Cut(false),
            Happening::Disk(Disk::Good),
            Happening::Mounted(true),
            Happening::Jump(0),
            Happening::Upgrade { works: true },
        ] {
            self.happen(happening)?;
        }
        self.life.spare();
        self.put_everything_back()?;
        Ok(())
    }
}
