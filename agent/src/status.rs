//! `status`: whether this box is protected, by what this box and its hub can show.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use pbs_driver::{compat, version};
use serde::Serialize;
use tenwords_escrow::root::Source;
use tenwords_protocol::{
    fingerprint::Fingerprint,
    hash::Sha256,
    problem::ProblemCode,
    readiness::Readiness,
    time::Timestamp,
    v1::V1,
    version::{Kind, StoredHeader},
};

use crate::{
    closure::{self, Closure},
    cluster::{self, Member, Role},
    drill::{Drilled, Kept},
    exit::{Code, Outcome, Stop},
    hub::{HubError, REVOKED},
    kits::Kits,
    lineage,
    readiness::{self, AtHub},
    record::Record,
    second_holder,
    self_test::{SelfTest, Verdict},
    settings::Configuration,
    show::harmless,
    sources::{self, State},
    standing::Standing,
    update::{Escrowed, Sealed},
};

/// What is known, and what is to be mended.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    v: V1,
    protected: bool,
    box_name: String,
    box_id: String,
    /// Absent for a box that no hub knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) escrow: Option<Escrow>,
    /// The last that ended well, by this box's own record.
    drills: Drills,
    /// Whether the client wraps and opens a throwaway key; absent if it was never tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    self_test: Option<SelfTest>,
    problems: Vec<Problem>,
    /// The hub does not take this machine as the box any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
    /// What a recovery has left, as long as it is not closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    closure: Option<Closure>,
    /// Whether it can be brought back today with everything that is to be backed up, as this box sees it; absent on a
    /// node of a cluster whose keeper is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness: Option<Readiness>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Escrow {
    number: u64,
    pub(crate) code_number: u64,
    sequence: u64,
    pub(crate) made_at: Timestamp,
    pub(crate) check_line: String,
    keys: BTreeSet<Fingerprint>,
    /// Keys that updates have added, and since when: sealed by the box, proven by nobody.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sealed: BTreeMap<Fingerprint, Timestamp>,
}

/// Null is never.
#[derive(Debug, Serialize)]
struct Drills {
    words: Option<Drilled>,
    archive: Option<Drilled>,
}

#[derive(Debug, Serialize)]
struct Problem {
    what: String,
    remedy: String,
}

const MEND_KEY: &str = "put the key file back, or mend the configuration";
const UPDATE: &str = "run `tenwords-agent escrow update`; it needs no words";
const CEREMONY_WITH_KIT: &str = "run `tenwords-agent escrow create --kit FILE` with the customer at the console";
const CEREMONY: &str = "run `tenwords-agent escrow create` with the customer at the console";

/// Looks at the live keys, the record and the hub's newest header. No fact known is never good news.
pub(crate) fn look(configuration: &Configuration) -> Outcome<Status> {
    let offer = cluster::offer(configuration);
    let standing = Standing::required(configuration).map_err(|stop| match (&offer, stop.code) {
        (Some(offer), Code::Preflight) => Stop::new(Code::Unprotected, offer.what()).remedy(offer.remedy()),
        (None, Code::Preflight) => stop.with_code(Code::Unprotected),
        _ => stop,
    })?;
    let of = standing.facts();
    let role = Role::of(configuration, of.id)?;
    let record = Record::load(configuration)?.filter(|record| record.box_id == of.id);
    let sealed = record.clone().map(|record| Sealed::of(configuration, record)).unwrap_or_default();
    let mut problems = Vec::new();
    let mut problem = |what: String, remedy: String| problems.push(Problem { what, remedy });
    let mut notes = of_client(configuration);
    notes.extend(cluster::is_unshared(configuration).filter(|_| record.is_some()));
    let mut update = UPDATE.to_owned();
    if let Some((what, remedy)) = cluster::at_odds(configuration, &role) {
        problem(what, remedy);
    }
    if let Role::Member(Member { keeper, .. }) = &role {
        let keeper = harmless(keeper, 64);
        notes.push(format!("{keeper} escrows for this box; how it stands as a whole is said there (`status`)"));
        update = format!(
            "look at {keeper}: it escrows for this box (`tenwords-agent status` there); `tenwords-agent keeper` with this \
             node's name has this one do it"
        );
    }
    if let Some(offer) = &offer {
        problem(offer.what(), offer.remedy());
    }
    let mut revoked = false;
    let mut at_hub = None;
    match sources::of_box(configuration) {
        Err(stop) => problem(stop.what, stop.remedy.unwrap_or_else(|| MEND_KEY.into())),
        Ok(found) => {
            if !found.sources.iter().any(|source| matches!(source.state, State::InUse { .. } | State::Broken(..))) {
                problem(
                    "no source is encrypted, or none is configured".into(),
                    "give PVE a pbs: storage with an encryption key, or add a [[source]] to the configuration".into(),
                );
            }
            notes.extend(found.notes);
            let mut keys: Vec<(String, Fingerprint)> = Vec::new();
            let now = Timestamp::now();
            for source in found.sources {
                keys.extend(source.key().map(|key| (format!("source {}", source.id), key.fingerprint())));
                match source.state {
                    State::InUse { fact, .. } => {
                        if record.as_ref().is_some_and(|record| !is_in(record, &sealed, &fact)) {
                            problem(
                                format!(
                                    "source {} is not in the escrow as it is now: its server, datastore, namespace, \
                                     certificate, user or key is another since the ceremony, or all of it is new",
                                    source.id
                                ),
                                CEREMONY.into(),
                            );
                        }
                    }
                    State::Unencrypted => notes.push(format!(
                        "storage {} is NOT ENCRYPTED: its backups need no key and are not part of the escrow",
                        source.id
                    )),
                    State::NotUsed { why, .. } => notes.push(format!("storage {} is passed over: {why}", source.id)),
                    State::Broken(stop, _) => problem(stop.what, stop.remedy.unwrap_or_else(|| MEND_KEY.into())),
                }
            }
            keys.extend(found.former.iter().map(|key| ("a former key file".to_owned(), key.fingerprint())));
            let kept = lineage::kept(configuration, &mut notes).into_keys();
            keys.extend(kept.map(|key| ("the kept keys".to_owned(), key)));
            let mut told = BTreeSet::new();
            keys.retain(|(_, key)| told.insert(*key));
            for (whose, key) in keys {
                let short = key.short();
                match sealed.of_key(key) {
                    Escrowed::Proven { .. } => {}
                    Escrowed::No if record.is_none() => {
                        problem(format!("key {short} of {whose} is not escrowed"), CEREMONY.into());
                    }
                    Escrowed::No => problem(format!("key {short} of {whose} is not escrowed"), update.clone()),
                    escrowed if escrowed.wants_the_words(now) => problem(
                        format!(
                            "key {short} of {whose} is {}, and has been for more than 14 days",
                            escrowed.in_words()
                        ),
                        CEREMONY.into(),
                    ),
                    escrowed => notes.push(format!("key {short} of {whose} is {}", escrowed.in_words())),
                }
            }
            let (index, damaged) = lineage::Index::load(configuration);
            notes.extend(damaged);
            // What is wrong with a source as it is has been told above.
            notes.extend(index.standing().map(|change| format!("since {}: {}", change.since, change.what.in_words())));
        }
    }
    match &record {
        None => problem("no ceremony has been held".into(), CEREMONY.into()),
        Some(record) if standing.identity().is_none() => match without_hub(configuration, record) {
            Ok(note) => notes.push(note),
            Err(what) => problem(what, CEREMONY_WITH_KIT.into()),
        },
        Some(record) => match of_hub(configuration, &standing) {
            Ok(Answer::Revoked(why)) => {
                revoked = true;
                problem(why, REVOKED.into());
            }
            Ok(Answer::Newest(newest, there))
                if newest.0.header.parts() == record.parts && newest.0.number == record.number =>
            {
                at_hub = Some(*newest);
                let lost = sealed.updates.iter().filter(|update| !there.contains(update)).count();
                if lost > 0 {
                    problem(format!("the hub has lost {lost} acknowledged updates of this box"), update.clone());
                }
            }
            Ok(Answer::Newest(newest, _)) => {
                problem(
                    format!("the hub's newest version is {}, this box's is {}", newest.0.number, record.number),
                    "ask the operator who has stored the other one; then hold a new ceremony".into(),
                );
                at_hub = Some(*newest);
            }
            Ok(Answer::Nothing) => problem("the hub has lost this box's escrow".into(), update.clone()),
            Err(stop) => problem(
                format!("the hub was not asked: {stop}"),
                match stop.remedy.filter(|_| stop.code == Code::NotAuthorised) {
                    Some(remedy) => remedy,
                    None => "check the network and the hub, then ask again".into(),
                },
            ),
        },
    }
    let self_test = SelfTest::last(configuration);
    if let Some(failed) = self_test.as_ref().filter(|tested| tested.verdict != Verdict::Works) {
        problem(failed.lines().concat(), failed.verdict.remedy().to_owned());
    }
    // What cannot be read is not known to be closed.
    let closure = match closure::standing(configuration, of.id) {
        Ok(closure) => closure.filter(|closure| !closure.closed),
        Err(stop) => {
            problem(stop.what, stop.remedy.unwrap_or_default());
            None
        }
    };
    let Kept { words, archive, .. } = Kept::load(configuration, of.id);
    // Only the keeper asks the backup servers: what nobody has looked at here is said there.
    let readiness = role
        .escrows()
        .then(|| readiness::judge(configuration, &standing, record.as_ref(), at_hub.as_ref(), Timestamp::now()));
    Ok(Status {
        v: V1,
        protected: problems.is_empty(),
        box_name: harmless(&of.name, 64),
        box_id: of.id.to_string(),
        hub: standing.identity().map(|identity| identity.hub.to_string()),
        escrow: record.map(|record| Escrow {
            number: record.number.get(),
            code_number: record.code_number.get(),
            sequence: record.sequence.get(),
            made_at: record.made_at,
            check_line: record.check_line,
            keys: record.keys,
            sealed: sealed.sealed().clone(),
        }),
        drills: Drills { words, archive },
        self_test,
        problems,
        revoked,
        closure,
        readiness,
        notes,
    })
}

/// Whether a recovery would go where a source is now, with a key that it has.
fn is_in(record: &Record, sealed: &Sealed, fact: &Source) -> bool {
    let with_its_key = |known: &Source| Source { key_fingerprint: known.key_fingerprint, ..fact.clone() };
    record.has(fact)
        || sealed.of_key(fact.key_fingerprint) != Escrowed::No
            && record.sources.iter().any(|known| record.has(&with_its_key(known)))
}

/// What the hub says of this box.
enum Answer {
    /// The newest ceremony with the highest number of a version, and the hashes of the updates that lie on it.
    Newest(Box<AtHub>, BTreeSet<Sha256>),
    Nothing,
    /// This machine is the box no more.
    Revoked(String),
}

fn of_hub(configuration: &Configuration, standing: &Standing) -> Outcome<Answer> {
    let Some(identity) = standing.identity() else { return Ok(Answer::Nothing) };
    // What lies on a ceremony (a changed list of operator keys) is no other escrow.
    let is_ceremony = |stored: &StoredHeader| stored.header.facts().kind == Kind::Ceremony;
    let hub = identity.connect(configuration)?;
    match hub.versions_until(identity.box_id, |so_far| so_far.iter().any(is_ceremony)) {
        Ok(versions) => {
            let updates = versions.iter().take_while(|stored| !is_ceremony(stored));
            let parts = updates.flat_map(|stored| stored.header.parts()).map(|part| part.sha256).collect();
            let newest = versions.iter().find(|stored| is_ceremony(stored)).cloned().zip(versions.first());
            Ok(newest
                .map_or(Answer::Nothing, |(newest, highest)| Answer::Newest(Box::new((newest, highest.number)), parts)))
        }
        Err(HubError::Refused(problem)) if problem.code == ProblemCode::CertificateRevoked => {
            let why = problem.detail.unwrap_or_else(|| "the hub has revoked this machine's certificate".to_owned());
            Ok(Answer::Revoked(why))
        }
        Err(error) => Err(error.into()),
    }
}

/// Of a box without a hub: whether its backup server holds the newest escrow, or a kit on another disk than
/// its own. What cannot be seen is no good news.
pub(crate) fn without_hub(configuration: &Configuration, record: &Record) -> Result<String, String> {
    let held = held_by(configuration, record);
    if let Some(source) = held {
        return Ok(format!("no hub keeps the escrow: the backup server of source {source} holds it, as second holder"));
    }
    let nobody = "no hub keeps this box's escrow, no backup server of its holds the newest, and";
    let Some(path) = &record.kit else { return Err(format!("{nobody} there is no kit")) };
    let shown = path.display();
    let device = |path: &Path| std::fs::metadata(path).ok().map(|found| found.dev());
    match Kits::read(path) {
        Ok(kit) if !kit.versions(record.box_id).iter().any(|stored| stored.header.parts() == record.parts) => {
            Err(format!("{nobody} the kit {shown} is an older one"))
        }
        Ok(_) if device(path) == device(&configuration.settings.state) => {
            Err(format!("{nobody} the kit {shown} lies on this box's own disk and would be lost with it"))
        }
        Ok(_) => Ok(format!("no hub keeps the escrow: it is the kit {shown}; keep it away from this box")),
        Err(_) => Err(format!("{nobody} the kit {shown} cannot be seen from here")),
    }
}

/// The source whose server has the newest escrow as its second holder.
fn held_by(configuration: &Configuration, record: &Record) -> Option<String> {
    let client = sources::client(&configuration.settings).ok()?;
    let found = sources::of_box(configuration).ok()?;
    let in_use = found.sources.into_iter().filter(|source| matches!(source.state, State::InUse { .. }));
    in_use.into_iter().find_map(|source| {
        let access = source.access().ok()?;
        second_holder::has(&client, &access, record.box_id, &record.parts).ok()?.then_some(source.id)
    })
}

/// What is to be known of the client. The escrow does not hang on it, the next ceremony does.
fn of_client(configuration: &Configuration) -> Vec<String> {
    let client = match sources::client(&configuration.settings) {
        Ok(client) => client,
        Err(stop) => return vec![format!("{stop}; {}", stop.remedy.as_deref().unwrap_or_default())],
    };
    match version::client(&client) {
        Ok(version) => compat::remarks(&version),
        Err(error) => vec![format!("the client does not say its version: {error}")],
    }
}

impl Status {
    /// Whether the words bring this box back.
    pub(crate) fn protected(&self) -> bool {
        self.protected
    }

    /// Whether the hub does not take this machine as the box any more.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// How many lines of a recovery's checklist are open.
    pub(crate) fn open_lines(&self) -> usize {
        self.closure.as_ref().map_or(0, |closure| closure.open().count())
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_green(&self) -> bool {
        self.protected && self.closure.is_none()
    }

    /// For a person at a shell: with what is to be known of the backups.
    pub(crate) fn all_lines(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.extend(self.readiness.iter().flat_map(readiness::lines));
        lines
    }

    /// For the customer's console: the escrow alone.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let word = if self.protected { "Protected" } else { "NOT PROTECTED" };
        let hub = self.hub.as_ref().map_or_else(|| "without a hub".to_owned(), |hub| format!("hub {hub}"));
        lines.push(format!("{word}: box {} ({}), {hub}", self.box_name, self.box_id));
        if let Some(escrow) = &self.escrow {
            let Escrow { number, code_number, sequence, made_at, check_line, keys, sealed } = escrow;
            lines.push(format!("  escrow of {made_at}: code {code_number}, sequence {sequence}, version {number}"));
            lines.push(format!("  check line {check_line}"));
            for key in keys {
                lines.push(format!("  key {}", key.short()));
            }
            lines.extend(sealed.iter().map(|(key, since)| {
                format!(
                    "  key {} by an update of {since}: sealed, not proven; it wants the words within 14 days",
                    key.short()
                )
            }));
        }
        let code = self.escrow.as_ref().map(|escrow| escrow.code_number);
        lines.push(format!("  words drill: {}", drilled(self.drills.words.as_ref(), code)));
        lines.push(format!("  archive drill: {}", drilled(self.drills.archive.as_ref(), code)));
        lines.extend(self.self_test.iter().flat_map(SelfTest::lines).map(|line| format!("  {line}")));
        for Problem { what, remedy } in &self.problems {
            lines.push(format!("  - {}\n    what to do: {}", harmless(what, 400), harmless(remedy, 400)));
        }
        if let Some(closure) = &self.closure {
            lines.push(format!("  - the recovery of {} is NOT CLOSED:", closure.recovered_at));
            lines.extend(closure.open().flat_map(closure::Line::lines).map(|line| format!("  {line}")));
            lines.push("    what to do: `tenwords-agent closure` looks again, and says how each is closed".to_owned());
        }
        for note in &self.notes {
            lines.push(format!("  note: {}", harmless(note, 400)));
        }
        lines
    }
}

/// When a level was last practised. The words of another code say nothing of those that are needed now.
fn drilled(drilled: Option<&Drilled>, code: Option<u64>) -> String {
    let Some(Drilled { at, code_number, reported, archive, .. }) = drilled else { return "never".to_owned() };
    let mut text = format!("{at}, code {code_number}");
    if let Some(facts) = archive {
        text.push_str(&format!(", {} of {} from {}", facts.archive, facts.snapshot, facts.source));
    }
    if code.is_some_and(|code| code != code_number.get()) {
        text.push_str(" (NOT the words of the newest code)");
    }
    if !reported {
        text.push_str(" (no hub has it written down)");
    }
    text
}
