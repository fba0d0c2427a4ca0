//! Keeps the escrow fresh between ceremonies, without the ten words.
//!
//! What is live or kept on the box, and not yet escrowed, goes into one update: sealed to the newest ceremony's
//! recipient, signed by the box key, next in its chain. It is on the disk before it is sent, it is read back byte
//! for byte, and only then counts; killed at any step, the same bytes are sent again. Nothing in an update says
//! where backups lie or who is believed: where that has changed on the box, it is told that a ceremony is needed.
//!
//! What has not changed is not stored again: [`facts`] says what that is.

mod at_hub;
mod escrowed;
mod facts;
mod holders;
mod own;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    time::Duration,
};

use pbs_format::key::KeyFile;
use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use tenwords_escrow::{
    root::Root,
    secret::TokenSecret,
    update::{Contents, make},
};
use tenwords_protocol::{
    directive::Name,
    fingerprint::Fingerprint,
    hash::Sha256,
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::{Bundle, Grade, Header, HeaderFacts, Kind, UpdateVersion},
};

pub(crate) use self::{
    at_hub::HubFault,
    escrowed::{Escrowed, Sealed, escrowed},
};
use self::{
    at_hub::{Step, Trouble},
    facts::{Acknowledged, Facts, FactsKey, News},
    own::{Own, Pending, Unloaded},
};
use crate::{
    ceremony::History,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    keys::LiveKey,
    lineage::{self, Look},
    record::Record,
    settings::Configuration,
    show::harmless,
    sources::{self, BoxSources, State as SourceState},
    standing::Standing,
};

/// How the escrow stands after a run.
#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    v: V1,
    pub(crate) state: State,
    /// The hub's number of the version that was stored, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<NonZeroU64>,
    /// The number of the update in its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) update: Option<NonZeroU64>,
    /// The keys that were escrowed by it.
    pub(crate) keys: Vec<Fingerprint>,
    /// The sources whose tokens were.
    pub(crate) tokens: Vec<String>,
    /// Versions that the hub had lost and was given again.
    pub(crate) given_again: u64,
    /// What was wrong with what the hub has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hub_faults: Vec<HubFault>,
    /// In so many seconds the hub takes more; until then the newest state waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
    /// The snapshots in which the box's own backup servers hold it now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) second_holders: Vec<String>,
    /// What has changed that no update can carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ceremony_needed: Vec<String>,
    pub(crate) lineage: Look,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// No ceremony was held: there is nothing to add to.
    CeremonyPending,
    /// Everything is escrowed.
    Current,
    /// An update was stored.
    Updated,
    /// Something is not escrowed yet, and waits for its holder to take it.
    Waiting,
}

/// Keeps the keys, and brings the escrow up to date. The caller holds the lock.
///
/// # Errors
/// The sources cannot be read; the hub does not answer, or has something else than this box has stored there. What
/// was made by then is kept, lies with the second holders, and is sent by the next run.
pub(crate) fn bring_up_to_date(configuration: &Configuration, now: Timestamp) -> Outcome<Kept> {
    let (found, look) = look(configuration, now)?;
    match bring_up_to_date_with(configuration, &found, look, now)? {
        (kept, None) => Ok(kept),
        (kept, Some(stop)) => {
            for warning in &kept.warnings {
                tracing::warn!("{}", harmless(warning, 400));
            }
            Err(stop)
        }
    }
}

/// Keeps the keys: what comes first, and counts whatever comes after. The caller holds the lock.
pub(crate) fn look(configuration: &Configuration, now: Timestamp) -> Outcome<(BoxSources, Look)> {
    let found = sources::of_box(configuration)?;
    let look = lineage::keep(configuration, &found, now)?;
    Ok((found, look))
}

/// Brings the escrow up to date with what a look has found. Where the hub does not have it, that is told beside what
/// was done all the same.
pub(crate) fn bring_up_to_date_with(
    configuration: &Configuration,
    found: &BoxSources,
    look: Look,
    now: Timestamp,
) -> Outcome<(Kept, Option<Stop>)> {
    let standing = Standing::required(configuration)?;
    let mut kept = Kept::new(look);
    let of = standing.facts().id;
    let Some(record) = Record::load(configuration)?.filter(|record| record.box_id == of) else {
        return Ok((kept, None));
    };
    kept.state = State::Current;
    kept.ceremony_needed = needs_ceremony(found, &record);
    let key = FactsKey::load_or_make(configuration, &mut UnwrapErr(SysRng))?;
    let (hub, unconnected) = match standing.identity().map(|identity| identity.connect(configuration)) {
        None => (None, None),
        Some(Ok(hub)) => (Some(hub), None),
        Some(Err(stop)) => (None, Some(stop)),
    };
    let mut own = own_or_the_hubs(configuration, record, hub.as_ref(), &mut kept)?;
    let run = Run { configuration, found, key: &key, hub: hub.as_ref(), now };
    let brought = match unconnected {
        None => run.bring(&mut own, &mut kept),
        Some(stop) => Err(Trouble::Stop(stop)),
    };
    let Err(trouble) = brought else { return Ok((kept, None)) };
    if standing.identity().is_some() {
        run.bring_to_holders_alone(&own, &mut kept);
    }
    if Pending::is_there(configuration) {
        kept.state = State::Waiting;
    }
    match trouble {
        Trouble::Stop(stop) => Ok((kept, Some(stop))),
        Trouble::Later(after) => {
            kept.waits(after);
            Ok((kept, None))
        }
    }
}

/// The escrow as this box has it. Where its copy is damaged the hub's will do: what was signed by this box's key is
/// taken from there too.
fn own_or_the_hubs(configuration: &Configuration, record: Record, hub: Option<&Hub>, kept: &mut Kept) -> Outcome<Own> {
    let damaged = match Own::load(configuration, record.clone()) {
        Ok(own) => return Ok(own),
        Err(Unloaded::Other(stop)) => return Err(stop),
        Err(Unloaded::Damaged(stop)) => stop,
    };
    let Some(hub) = hub else { return Err(damaged) };
    kept.warnings.push(format!("{}: the hub's copy is taken", damaged.in_one_line()));
    let bundle = at_hub::ceremony(hub, record.box_id, &record)?;
    let box_key = record.box_key(configuration)?;
    let own = Own::of(record, box_key, bundle)?;
    Record::set_damaged_bundle_aside(configuration)?;
    Record::keep_bundle(configuration, &own.bundle)?;
    Ok(own)
}

/// At the end of a ceremony: what it has escrowed needs no update.
pub(crate) fn begin(
    configuration: &Configuration,
    root: &Root,
    record: &Record,
    rng: &mut impl CryptoRng,
) -> Outcome<()> {
    let key = FactsKey::load_or_make(configuration, rng)?;
    let facts = Facts::of_root(root, &key);
    Acknowledged::new(record.root_sha256, facts).keep(configuration, &key)?;
    Pending::forget(configuration)
}

/// The same of what its second holders were given.
pub(crate) fn held(configuration: &Configuration, record: &Record, bundle: &Bundle, sources: &[String]) -> Outcome<()> {
    let key = FactsKey::load_or_make(configuration, &mut UnwrapErr(SysRng))?;
    let cannot = || "what was acknowledged cannot be written down".to_owned();
    let text = bundle.to_text().or_stop(Code::Internal, cannot)?;
    let sha256 = Sha256::of(&text);
    let Some(mut acknowledged) = Acknowledged::load(configuration, &key) else { return Ok(()) };
    if acknowledged.root_sha256 == record.root_sha256 {
        acknowledged.holders.extend(sources.iter().map(|source| (source.clone(), sha256)));
        acknowledged.keep(configuration, &key)?;
    }
    Ok(())
}

/// One run.
struct Run<'r> {
    configuration: &'r Configuration,
    found: &'r BoxSources,
    key: &'r FactsKey,
    hub: Option<&'r Hub>,
    now: Timestamp,
}

impl Run<'_> {
    fn bring(&self, own: &mut Own, kept: &mut Kept) -> Result<(), Trouble> {
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
        Ok(())
    }

    /// The hub does not have it, for whatever reason: the second holders get the same bytes that it gets later.
    fn bring_to_holders_alone(&self, own: &Own, kept: &mut Kept) {
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
        let held = holders::keep_in_step(&client, self.found, of_root, &bundle, acknowledged, &mut kept.warnings)?;
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
        let held = holders::keep_in_step(
            &client,
            self.found,
            &own.record.sources,
            &own.bundle,
            acknowledged,
            &mut kept.warnings,
        )?;
        kept.second_holders.extend(held);
        if acknowledged.holders != before {
            acknowledged.keep(self.configuration, self.key)?;
        }
        Ok(())
    }
}

fn update_hash(version: &UpdateVersion) -> Option<Sha256> {
    own::update_of(version.header()).map(|entry| entry.sha256)
}

/// What the second holders have, by what this box has given them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Newest,
    Older,
    Nothing,
}

/// Whether a backup server of this box was given its escrow as it is now.
pub(crate) fn second_holder(configuration: &Configuration) -> Outcome<Holds> {
    let Some(record) = Record::load(configuration)? else { return Ok(Holds::Nothing) };
    let key = FactsKey::load_or_make(configuration, &mut UnwrapErr(SysRng))?;
    let acknowledged = Acknowledged::load(configuration, &key);
    let Some(acknowledged) = acknowledged.filter(|it| it.root_sha256 == record.root_sha256 && !it.holders.is_empty())
    else {
        return Ok(Holds::Nothing);
    };
    let own = Own::load(configuration, record)?;
    Ok(if holders::has_one(&acknowledged, &own.bundle)? { Holds::Newest } else { Holds::Older })
}

/// Whether an update was made and nobody has acknowledged it yet.
pub(crate) fn is_waiting(configuration: &Configuration) -> bool {
    Pending::is_there(configuration)
}

/// Whether the root has this source where it is now, whatever its key.
pub(crate) fn stands_in(record: &Record, fact: &tenwords_escrow::root::Source) -> bool {
    facts::is_where_the_root_says(&record.sources, fact)
}

/// The trust facts that are others than the root's. That a source has another key is none, once that is escrowed.
fn needs_ceremony(found: &BoxSources, record: &Record) -> Vec<String> {
    let is_changed = |source: &&sources::BoxSource| match &source.state {
        SourceState::InUse { fact, .. } => !facts::is_where_the_root_says(&record.sources, fact),
        _ => false,
    };
    let changed = found.sources.iter().filter(is_changed);
    changed
        .map(|source| {
            format!("source {} is new, or is somewhere else than the escrow says: no update carries that", source.id)
        })
        .collect()
}

impl Kept {
    fn new(lineage: Look) -> Self {
        Self {
            v: V1,
            state: State::CeremonyPending,
            version: None,
            update: None,
            keys: Vec::new(),
            tokens: Vec::new(),
            given_again: 0,
            hub_faults: Vec::new(),
            retry_after: None,
            second_holders: Vec::new(),
            ceremony_needed: Vec::new(),
            lineage,
            warnings: Vec::new(),
        }
    }

    fn waits(&mut self, after: Duration) {
        self.state = State::Waiting;
        self.retry_after = Some(after.as_secs().max(1));
    }

    /// Whether everything is escrowed as far as it can be without the words.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self.state, State::Current | State::Updated) && self.ceremony_needed.is_empty()
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![match self.state {
            State::CeremonyPending => format!("Nothing is escrowed: no ceremony was held. To do: {}", own::CEREMONY),
            State::Current => "The escrow is up to date.".to_owned(),
            State::Updated => {
                let number = self.update.map_or(String::new(), |number| format!(" {number}"));
                let version = self.version.map_or(String::new(), |number| format!(", version {number} at the hub"));
                format!("Update{number} is stored{version}.")
            }
            State::Waiting => format!(
                "NOT ESCROWED YET: the newest state waits on this box; whoever is to take it does so in {} s",
                self.retry_after.unwrap_or_default()
            ),
        }];
        lines.extend(self.keys.iter().map(|key| format!("  key {}", key.short())));
        lines.extend(self.tokens.iter().map(|source| format!("  token of source {source}")));
        if self.given_again > 0 {
            lines.push(format!("  {} versions that the hub had lost were given to it again", self.given_again));
        }
        lines.extend(self.second_holders.iter().map(|held| format!("  second holder: {held}")));
        let needed = self.ceremony_needed.iter().map(|what| format!("  - {what}\n    what to do: {}", own::CEREMONY));
        lines.extend(needed.map(|line| harmless_lines(&line)));
        lines.extend(self.lineage.lines());
        lines.extend(self.warnings.iter().map(|warning| format!("  warning: {}", harmless(warning, 400))));
        lines
    }
}

fn harmless_lines(text: &str) -> String {
    text.lines().map(|line| harmless(line, 400)).collect::<Vec<_>>().join("\n")
}

/// Nobody keeps a box's updates, if it has no hub and none of its backup servers answers.
const WITHOUT_A_HOLDER: Duration = Duration::from_secs(1800);

/// So long a key that was sealed without the words is good for; then it wants them once.
pub(crate) const SEALED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);
