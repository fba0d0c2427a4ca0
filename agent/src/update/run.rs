//! One run: what lies there, what is news, and who gets it.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    time::Duration,
};

use pbs_format::key::KeyFile;
use tenwords_escrow::{
    secret::TokenSecret,
    update::{Contents, make},
};
use tenwords_protocol::{
    directive::Name,
    fingerprint::Fingerprint,
    hash::Sha256,
    part::PartName,
    time::Timestamp,
    version::{Grade, Header, HeaderFacts, Kind, UpdateVersion},
};

use super::{
    at_hub::{self, HubFault, Step, Trouble},
    facts::{Acknowledged, Facts, FactsKey, News},
    holders,
    kept::{Kept, State},
    own::{Own, Pending},
    whole,
};
use crate::{
    ceremony::History,
    exit::{Code, OrStop as _, Outcome},
    hub::Hub,
    keys::LiveKey,
    lineage,
    settings::Configuration,
    sources::{self, BoxSources},
};

/// Nobody keeps a box's updates, if it has no hub and none of its backup servers answers.
const WITHOUT_A_HOLDER: Duration = Duration::from_secs(1800);

/// One run.
pub(super) struct Run<'r> {
    pub(super) configuration: &'r Configuration,
    pub(super) found: &'r BoxSources,
    pub(super) key: &'r FactsKey,
    pub(super) hub: Option<&'r Hub>,
    pub(super) now: Timestamp,
}

impl Run<'_> {
    pub(super) fn bring(&self, own: &mut Own, kept: &mut Kept) -> Result<(), Trouble> {
        let of = own.record.box_id;
        let pending = Pending::load(self.configuration, self.key, own.record.root_sha256);
        let mut step = Step::default();
        if let Some(hub) = self.hub {
            let pending = pending.as_ref().and_then(Pending::sha256);
            let together = at_hub::bring_together(self.configuration, own, pending, hub, of, &mut step);
            kept.given_again = step.given_again;
            kept.hub_faults = step.faults;
            kept.warnings.extend(step.notes);
            together?;
        }
        let mut acknowledged = self.acknowledged(own, step.taken_back, kept);
        if step.taken_back > 0 {
            // What is written down is older than what lies there now, whatever comes next.
            acknowledged.keep(self.configuration, self.key)?;
        }
        if let Some(pending) = pending {
            self.send(own, pending, &mut acknowledged, kept)?;
        }
        if let Some(update) = self.next_update(own, &acknowledged, self.hub, kept)? {
            self.send(own, update, &mut acknowledged, kept)?;
        }
        self.tell_holders(own, &mut acknowledged, kept)?;
        self.look_at_what_lies_there(own, kept);
        Ok(())
    }

    /// Last of all: whatever comes of it, what is new has been stored.
    fn look_at_what_lies_there(&self, own: &Own, kept: &mut Kept) {
        let Some(hub) = self.hub else { return };
        let is_damaged = whole::is_damaged(self.configuration, own, hub, self.now).unwrap_or_else(|trouble| {
            kept.warnings.push(match trouble {
                Trouble::Stop(stop) => format!("not all that the hub has was given back: {}", stop.in_one_line()),
                Trouble::Later(_) => "not all that the hub has was given back today".to_owned(),
            });
            whole::was_damaged(self.configuration, &own.record)
        });
        if is_damaged {
            kept.hub_faults.push(HubFault::Damaged);
            kept.warnings.push(
                "the hub gives something else back than it has acknowledged: what it has of the escrow is damaged"
                    .to_owned(),
            );
        }
    }

    /// The hub does not have it, for whatever reason: the second holders get the same bytes that it gets later.
    pub(super) fn bring_to_holders_alone(&self, own: &Own, kept: &mut Kept) {
        if let Err(stop) = self.to_holders_alone(own, kept) {
            kept.warnings.push(format!("the second holders are not told: {}", stop.in_one_line()));
        }
        let mut told = BTreeSet::new();
        kept.warnings.retain(|warning| told.insert(warning.clone()));
    }

    fn to_holders_alone(&self, own: &Own, kept: &mut Kept) -> Outcome<()> {
        let mut acknowledged = self.acknowledged(own, 0, kept);
        let pending = Pending::load(self.configuration, self.key, own.record.root_sha256);
        // One whose place another one has taken is of no use any more, here as at the hub.
        let is_next = |pending: &Pending| own.has(pending) || pending.sequence() == Some(own.chain.next.sequence());
        let pending = match pending.filter(is_next) {
            Some(pending) => Some(pending),
            None => self.next_update(own, &acknowledged, None, kept)?,
        };
        let Some(pending) = pending.filter(|pending| !own.has(pending)) else {
            return self.tell_holders(own, &mut acknowledged, kept);
        };
        let before = acknowledged.holders.clone();
        let given = self.to_a_holder(own, &pending, &mut acknowledged, kept);
        if acknowledged.holders != before {
            acknowledged.keep(self.configuration, self.key)?;
        }
        given?;
        Ok(())
    }

    /// What is escrowed, by what this box has written down of it.
    fn acknowledged(&self, own: &Own, taken_back: u64, kept: &mut Kept) -> Acknowledged {
        let acknowledged = Acknowledged::load(self.configuration, self.key);
        let acknowledged = acknowledged
            .filter(|acknowledged| acknowledged.root_sha256 == own.record.root_sha256)
            // What others have added is not known; where the box lags behind itself, neither.
            .filter(|_| taken_back == 0);
        let mut acknowledged = acknowledged.unwrap_or_else(|| {
            kept.warnings.push(
                "what was escrowed last cannot be told on this box: everything that is live goes into an update"
                    .to_owned(),
            );
            Acknowledged::new(own.record.root_sha256, Facts::default())
        });
        acknowledged.facts.keep_only(&own.keys());
        acknowledged
    }

    /// An update of what is news, if anything is; it is on the disk before anybody gets it.
    fn next_update(
        &self,
        own: &Own,
        acknowledged: &Acknowledged,
        hub: Option<&Hub>,
        kept: &mut Kept,
    ) -> Outcome<Option<Pending>> {
        let files = lineage::kept(self.configuration, &mut kept.warnings);
        let of_root = &own.record.sources;
        let (live, tokens) = Facts::live(self.found, files.keys(), of_root, self.key, &mut kept.warnings);
        let news = live.news(&acknowledged.facts);
        if news.is_nothing() {
            return Ok(None);
        }
        let facts = live.added_to(&acknowledged.facts);
        // Whatever lies there, the hub's list and this box's own may be of different lengths.
        let history = History::ask(self.configuration, own.record.box_id, hub)?;
        let last = own.updates().map(|version| version.header().facts().sequence).max();
        let sequence = last.into_iter().fold(history, History::and).next_sequence()?;
        let update = self.made(own, &news, facts, &files, tokens, sequence)?;
        update.keep(self.configuration, self.key)?;
        Ok(Some(update))
    }

    /// Makes the next update of the chain.
    fn made(
        &self,
        own: &Own,
        news: &News,
        facts: Facts,
        files: &BTreeMap<Fingerprint, LiveKey>,
        mut tokens: BTreeMap<Name, TokenSecret>,
        sequence: NonZeroU64,
    ) -> Outcome<Pending> {
        let cannot = || "the update cannot be made".to_owned();
        let live: BTreeMap<Fingerprint, &LiveKey> = self.found.keys().map(|key| (key.fingerprint(), key)).collect();
        let mut keys = Vec::new();
        for key in &news.keys {
            let Some(file) = live.get(key).copied().or(files.get(key)) else { continue };
            keys.push(KeyFile::parse(&file.expose_file()).or_stop(Code::Internal, cannot)?);
        }
        tokens.retain(|id, _| news.tokens.contains(id));
        let link = own.chain.next;
        let part = make(&own.ceremony, link, &Contents { keys, tokens }, &own.key, self.now)
            .or_stop(Code::Internal, cannot)?;
        let header = HeaderFacts {
            kind: Kind::Update,
            grade: Grade::Sealed,
            sequence,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: self.now,
            ..own.bundle.header().facts().clone()
        };
        let parts = BTreeMap::from([(PartName::Update(link.sequence()), part)]);
        let header = Header::new(header, &parts).or_stop(Code::Internal, cannot)?;
        let version = UpdateVersion::of_fetched(header, parts).or_stop(Code::Internal, cannot)?;
        Ok(Pending { version, facts })
    }

    /// Sends an update that is on the disk, and takes down that it arrived.
    fn send(
        &self,
        own: &mut Own,
        pending: Pending,
        acknowledged: &mut Acknowledged,
        kept: &mut Kept,
    ) -> Result<(), Trouble> {
        let has_it = own.has(&pending);
        if !has_it && pending.sequence() != Some(own.chain.next.sequence()) {
            // Another one has its place: what it was to carry is still news.
            return Ok(Pending::forget(self.configuration)?);
        }
        if !has_it {
            match self.hub {
                Some(hub) => kept.version = Some(at_hub::push(hub, own.record.box_id, &pending.bundle()?)?),
                None if self.to_a_holder(own, &pending, acknowledged, kept)? => {}
                None => return Err(Trouble::Later(WITHOUT_A_HOLDER)),
            }
            own.add(self.configuration, pending.version.clone())?;
        }
        let holders = std::mem::take(&mut acknowledged.holders);
        let facts = pending.facts.clone();
        let before = std::mem::take(&mut acknowledged.facts.tokens);
        let is_carried = |(id, token): &(&Name, &Sha256)| before.get(*id) != Some(token);
        kept.tokens.extend(facts.tokens.iter().filter(is_carried).map(|(id, _)| id.to_string()));
        *acknowledged = Acknowledged::new(own.record.root_sha256, facts);
        acknowledged.holders = holders;
        acknowledged.keep(self.configuration, self.key)?;
        Pending::forget(self.configuration)?;
        kept.state = State::Updated;
        kept.update = pending.sequence();
        if let Some(statement) = own.statements().last() {
            kept.keys.extend(statement.fingerprints.iter().copied());
        }
        Ok(())
    }

    /// Of a box without a hub: its backup servers are who takes an update. Whether one did.
    fn to_a_holder(
        &self,
        own: &Own,
        pending: &Pending,
        acknowledged: &mut Acknowledged,
        kept: &mut Kept,
    ) -> Outcome<bool> {
        let mut updates: Vec<UpdateVersion> = own.updates().cloned().collect();
        updates.push(pending.version.clone());
        let bundle = own.plain()?.with_kit(updates, None);
        let client = sources::client(&self.configuration.settings)?;
        let of_root = &own.record.sources;
        let held = holders::keep_in_step(self, &client, of_root, &bundle, acknowledged, &mut kept.warnings)?;
        kept.second_holders.extend(held);
        holders::has_one(acknowledged, &bundle)
    }

    fn tell_holders(&self, own: &Own, acknowledged: &mut Acknowledged, kept: &mut Kept) -> Outcome<()> {
        if let Some(kit) = own.record.kit.as_ref().filter(|_| own.updates().next().is_some()) {
            kept.warnings.push(format!(
                "the kit {} is older than the escrow; `tenwords-agent kit --out FILE` writes another one",
                kit.display()
            ));
        }
        // Only who has nothing to be told is asked nothing: a client is started for each of the others.
        let before = acknowledged.holders.clone();
        let client = match sources::client(&self.configuration.settings) {
            Ok(client) => client,
            Err(stop) => {
                kept.warnings.push(format!("the second holders are not told: {}", stop.in_one_line()));
                return Ok(());
            }
        };
        let of_root = &own.record.sources;
        let held = holders::keep_in_step(self, &client, of_root, &own.bundle, acknowledged, &mut kept.warnings)?;
        kept.second_holders.extend(held);
        if acknowledged.holders != before {
            acknowledged.keep(self.configuration, self.key)?;
        }
        Ok(())
    }
}
