//! `status`: whether this box is protected, by what this box and its hub can show.

use std::collections::BTreeSet;

use pbs_driver::{compat, version};
use serde::Serialize;
use tenwords_protocol::{fingerprint::Fingerprint, time::Timestamp, v1::V1, version::StoredHeader};

use crate::{
    drill::{Drilled, Kept},
    exit::{Code, Outcome},
    kits::Kits,
    record::Record,
    settings::Configuration,
    show::harmless,
    sources::{self, State},
    standing::Standing,
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
    escrow: Option<Escrow>,
    /// The last that ended well, by this box's own record.
    drills: Drills,
    problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Escrow {
    number: u64,
    code_number: u64,
    sequence: u64,
    made_at: Timestamp,
    check_line: String,
    keys: BTreeSet<Fingerprint>,
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
const CEREMONY_WITH_KIT: &str = "run `tenwords-agent escrow create --kit FILE` with the customer at the console";
const CEREMONY: &str = "run `tenwords-agent escrow create` with the customer at the console";

/// Looks at the live keys, the record and the hub's newest header. No fact known is never good news.
pub(crate) fn look(configuration: &Configuration) -> Outcome<Status> {
    let standing = Standing::required(configuration).map_err(|stop| match stop.code {
        Code::Preflight => stop.with_code(Code::Unprotected),
        _ => stop,
    })?;
    let of = standing.facts();
    let record = Record::load(configuration)?.filter(|record| record.box_id == of.id);
    let mut problems = Vec::new();
    let mut problem = |what: String, remedy: String| problems.push(Problem { what, remedy });
    let mut notes = of_client(configuration);
    match sources::of_box(configuration) {
        Err(stop) => problem(stop.what, stop.remedy.unwrap_or_else(|| MEND_KEY.into())),
        Ok(found) => {
            if !found.sources.iter().any(|source| matches!(source.state, State::InUse { .. } | State::Broken(_))) {
                problem(
                    "no source is encrypted, or none is configured".into(),
                    "give PVE a pbs: storage with an encryption key, or add a [[source]] to the configuration".into(),
                );
            }
            notes.extend(found.notes);
            let mut keys: Vec<(String, Fingerprint)> = Vec::new();
            for source in found.sources {
                keys.extend(source.key().map(|key| (format!("source {}", source.id), key.fingerprint())));
                match source.state {
                    State::InUse { fact, .. } => {
                        if record.as_ref().is_some_and(|record| !record.has(&fact)) {
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
                    State::Broken(stop) => problem(stop.what, stop.remedy.unwrap_or_else(|| MEND_KEY.into())),
                }
            }
            keys.extend(found.former.iter().map(|key| ("a former key file".to_owned(), key.fingerprint())));
            for (whose, key) in keys {
                if !record.as_ref().is_some_and(|record| record.keys.contains(&key)) {
                    problem(format!("key {} of {whose} is not escrowed", key.short()), CEREMONY.into());
                }
            }
        }
    }
    match &record {
        None => problem("no ceremony has been held".into(), CEREMONY.into()),
        Some(record) if standing.identity().is_none() => match at_kit(record) {
            Ok(note) => notes.push(note),
            Err(what) => problem(what, CEREMONY_WITH_KIT.into()),
        },
        Some(record) => match of_hub(configuration, &standing) {
            Ok(Some(newest)) if newest.header.parts() == record.parts && newest.number == record.number => {}
            Ok(Some(newest)) => problem(
                format!("the hub's newest version is {}, this box's is {}", newest.number, record.number),
                "ask the operator who has stored the other one; then hold a new ceremony".into(),
            ),
            Ok(None) => problem("the hub has lost this box's escrow".into(), CEREMONY.into()),
            Err(stop) => problem(
                format!("the hub was not asked: {stop}"),
                "check the network and the hub, then ask again".into(),
            ),
        },
    }
    let Kept { words, archive, .. } = Kept::load(configuration, of.id);
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
        }),
        drills: Drills { words, archive },
        problems,
        notes,
    })
}

fn of_hub(configuration: &Configuration, standing: &Standing) -> Outcome<Option<StoredHeader>> {
    let Some(identity) = standing.identity() else { return Ok(None) };
    Ok(identity.connect(configuration)?.newest(identity.box_id)?)
}

/// Of a box without a hub: the kit cannot be asked where it is kept. If it lies here still, it is compared.
fn at_kit(record: &Record) -> Result<String, String> {
    let Some(path) = &record.kit else { return Err("no hub and no kit keeps this box's escrow".into()) };
    let shown = path.display();
    match Kits::read(path) {
        Ok(kit) => {
            let same = kit.versions(record.box_id).iter().any(|stored| stored.header.parts() == record.parts);
            match same {
                true => Ok(format!(
                    "no hub keeps the escrow: it is the kit {shown}, which lies on this box and would be lost with it; \
                     keep a copy elsewhere, and not beside the ten words"
                )),
                false => Err(format!("the kit {shown} is not this box's newest escrow")),
            }
        }
        Err(_) if !path.exists() => Ok(format!(
            "no hub keeps the escrow: it is the kit that was written to {shown}; whether it is still kept, nobody here \
             can tell"
        )),
        Err(stop) => Err(stop.what),
    }
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
    pub(crate) fn protected(&self) -> bool {
        self.protected
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let word = if self.protected { "Protected" } else { "NOT PROTECTED" };
        let hub = self.hub.as_ref().map_or_else(|| "without a hub".to_owned(), |hub| format!("hub {hub}"));
        lines.push(format!("{word}: box {} ({}), {hub}", self.box_name, self.box_id));
        if let Some(escrow) = &self.escrow {
            let Escrow { number, code_number, sequence, made_at, check_line, keys } = escrow;
            lines.push(format!(
                "  escrow of {made_at}: code {code_number}, sequence {sequence}, version {number} at the hub"
            ));
            lines.push(format!("  check line {check_line}"));
            for key in keys {
                lines.push(format!("  key {}", key.short()));
            }
        }
        let code = self.escrow.as_ref().map(|escrow| escrow.code_number);
        lines.push(format!("  words drill: {}", drilled(self.drills.words.as_ref(), code)));
        lines.push(format!("  archive drill: {}", drilled(self.drills.archive.as_ref(), code)));
        for Problem { what, remedy } in &self.problems {
            lines.push(format!("  - {}\n    what to do: {}", harmless(what, 400), harmless(remedy, 400)));
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
