//! The ceremony: the live keys under ten words, proven, stored, fetched back and proven again.
//!
//! `escrow create` holds it with a fresh code at a terminal; a recovery ends with one under the code
//! that it was given. Interrupted anywhere before the push, nothing has changed but the private
//! folder; after it, the hub has one more version, which the next ceremony follows.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use pbs_driver::{Client, key, status as source_status};
use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use tenwords_escrow::{
    code::RecoveryCode,
    door,
    gate::GatedKey,
    keys::{AgeIdentity, BoxKey, WordsKey},
    root::{CodeLabel, FileMode, FileSecret, Root, RootFacts, Secrets, Trust},
    secret::FileBytes,
    verify::{OpenedByClient, OpenedNatively, VerifiedEscrow, VerifiedKeyPart},
};
use tenwords_protocol::{fingerprint::Fingerprint, id::CodeId, time::Timestamp, v1::V1, version::StoredHeader};
use zeroize::Zeroizing;

use crate::{
    cli::Create,
    durable, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    identity::Identity,
    interrupt,
    keys::LiveKey,
    openers::ByClient,
    record::Record,
    seat::Seat,
    settings::Configuration,
    sheet,
    show::harmless,
    sources::{self, BoxSources, State},
};

const FILE_LIMIT: u64 = 512 << 10;

/// What a ceremony has made.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    v: V1,
    box_id: String,
    box_name: String,
    /// The hub's number for the version.
    pub(crate) number: NonZeroU64,
    code_number: NonZeroU64,
    sequence: NonZeroU64,
    keys: Vec<Fingerprint>,
    pub(crate) check_line: String,
    files: Vec<String>,
    warnings: Vec<String>,
}

/// Everything of this box that goes under the words.
pub(crate) struct Material {
    keys: BTreeMap<Fingerprint, Key>,
    trust: Trust,
    secrets: Secrets,
    warnings: Vec<String>,
}

/// A key to be wrapped.
enum Key {
    /// A live key file, which must not change meanwhile.
    Live(Box<LiveKey>),
    /// A key that a recovery has just opened.
    Opened(Arc<GatedKey>),
}

/// `escrow create`.
pub(crate) fn run(configuration: &Configuration, asked: &Create, seat: &mut dyn Seat) -> Outcome<Made> {
    asked.sheet.as_deref().map_or(Ok(()), sheet::check)?;
    let identity = Identity::required(configuration)?;
    let client = sources::client(&configuration.settings)?;
    seat.is_taken()?;
    seat.say("Looking at what is to be escrowed …");
    let material = Material::gather(configuration, Some(&client))?;
    let hub = identity.connect(configuration)?;
    let history = History::ask(configuration, &identity, &hub)?;
    let mut rng = UnwrapErr(SysRng);
    let label = CodeLabel { number: history.next_code()?, id: CodeId::random(&mut rng) };

    material.tell(seat);
    if let Some(former) = history.code {
        seat.say(&format!(
            "A new code, number {}, is drawn. The words of code {former} go on opening what was stored under them; \
             keep that sheet until the new one is proven.",
            label.number
        ));
    }
    let code = RecoveryCode::draw(&mut rng);
    let place = Place { configuration, identity: &identity, hub: &hub, client: &client };
    let name = harmless(&identity.box_name, 64);
    let sheet = asked.sheet.as_deref().map(|file| {
        let facts = material.sheet(configuration, &identity, label.number)?;
        sheet::write(&facts, file, &asked.look)
    });
    let sheet = sheet.transpose()?;
    let printed = sheet.as_ref().map_or(Ok(()), |sheet| sheet.have_printed(seat, &asked.look));
    let held = printed.and_then(|()| seat.hand_over(&name, label.number.get(), &code));
    let held = held.and_then(|()| {
        interrupt::check()?;
        seat.say("Wrapping, opening again in two ways, storing and fetching back …");
        hold(&place, material, &history, label, &code, &mut rng)
    });
    held.map_err(|stop| {
        sheet.iter().for_each(sheet::Written::take_back);
        let remedy = stop.remedy.clone().unwrap_or_else(|| "run the same command again".to_owned());
        stop.remedy(format!("destroy the sheet of code {}, it protects nothing; {remedy}", label.number))
    })
}

/// Where a ceremony is held.
pub(crate) struct Place<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) identity: &'a Identity,
    pub(crate) hub: &'a Hub,
    pub(crate) client: &'a Client,
}

/// Everything after the words are known.
pub(crate) fn hold(
    place: &Place<'_>,
    material: Material,
    history: &History,
    label: CodeLabel,
    code: &RecoveryCode,
    rng: &mut impl CryptoRng,
) -> Outcome<Made> {
    let Place { configuration, identity, hub, client } = *place;
    let opener = ByClient(client);
    let parts = material.wrap(client, &opener, code)?;
    let (words_key, box_key, age_identity) = (WordsKey::generate(rng), BoxKey::generate(rng), AgeIdentity::generate());
    let recipient = age_identity.public().to_string();
    let Material { keys, trust, secrets, warnings } = material;
    let files = secrets.files.iter().map(|file| file.path.to_string()).collect();
    let root = Root::new(RootFacts {
        box_id: identity.box_id,
        box_name: identity.box_name.clone(),
        code: label,
        sequence: history.next_sequence()?,
        made_at: Timestamp::now(),
        parts: parts.iter().map(VerifiedKeyPart::entry).collect(),
        trust,
        secrets,
        words_key,
        box_key: box_key.public(),
        identity: age_identity,
    })
    .or_stop(Code::Usage, || "what is to be escrowed does not hold together".into())?;
    let check_line = root.check_line().or_stop(Code::Internal, || "the check line cannot be made".into())?.to_string();
    let escrow = VerifiedEscrow::new(&root, parts, env!("CARGO_PKG_VERSION"), code)
        .or_stop(Code::GateRefused, || "the escrow did not open as it was made; nothing was stored".into())?;
    keys.values().try_for_each(Key::check_untouched)?;

    let pushed = hub.push(identity.box_id, escrow.bundle())?;
    let stored = fetched_header(hub, identity, pushed.number)?;
    let back = hub.parts(identity.box_id, &stored)?;
    let proven = escrow.read_back(stored, &back, code, &opener).map_err(|error| {
        Stop::new(
            Code::GateRefused,
            "what the hub gave back is not what was stored there; the box is NOT protected by it",
        )
        .remedy("tell the hub's operator, then run the same command again")
        .because(error)
    })?;
    keys.values().try_for_each(Key::check_untouched).map_err(|stop| {
        stop.remedy(
            "a version with the former key was stored; find out who changes it, then run the same command again",
        )
    })?;

    let facts = root.facts();
    let header = &proven.stored().header;
    let record = Record {
        v: V1,
        box_id: identity.box_id,
        number: proven.stored().number,
        code_number: facts.code.number,
        code_id: facts.code.id,
        sequence: facts.sequence,
        made_at: facts.made_at,
        root_sha256: header.facts().root_sha256,
        parts: header.parts().to_vec(),
        keys: facts.parts.keys().copied().collect::<BTreeSet<_>>(),
        sources: facts.trust.sources.clone(),
        check_line: check_line.clone(),
        recipient,
    };
    record.keep(configuration, &box_key, escrow.bundle())?;
    Ok(Made {
        v: V1,
        box_id: identity.box_id.to_string(),
        box_name: harmless(&identity.box_name, 64),
        number: record.number,
        code_number: record.code_number,
        sequence: record.sequence,
        keys: facts.parts.keys().copied().collect(),
        check_line,
        files,
        warnings,
    })
}

/// The header that the hub keeps under this number, asked for by itself: what `push` answered is
/// not what a recovery will read.
fn fetched_header(hub: &Hub, identity: &Identity, number: NonZeroU64) -> Outcome<StoredHeader> {
    hub.version(identity.box_id, number)?.ok_or_else(|| {
        Stop::new(Code::GateRefused, format!("the hub acknowledged version {number} and does not have it")).remedy(
            "tell the hub's operator, then run the same command again; the box is not protected by this version",
        )
    })
}

// === impl Material ===

impl Material {
    /// Reads the live keys, tokens and small files. With a client, each source is asked whether it
    /// works, and what does not is a warning: a ceremony must be possible while PBS is down.
    pub(crate) fn gather(configuration: &Configuration, probe: Option<&Client>) -> Outcome<Self> {
        let BoxSources { sources, former, notes: mut warnings } = sources::of_box(configuration)?;
        let mut keys = BTreeMap::new();
        let mut add = |key: LiveKey| {
            keys.entry(key.fingerprint()).or_insert_with(|| Key::Live(Box::new(key)));
        };
        let mut secrets = Secrets::default();
        let (mut facts, mut paths) = (Vec::new(), Vec::new());
        for source in sources {
            // What makes a connection is read first: a source without its secret is not escrowed.
            let token = if matches!(source.state, State::InUse { .. }) { Some(source.secret()?) } else { None };
            match source.state {
                State::InUse { fact, key, restore_paths } => {
                    let Some(token) = token else { continue };
                    if let Some(client) = probe
                        && let Err(error) = source_status::probe(client, &sources::access(&fact, &token)?)
                    {
                        let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                        warnings.push(format!("source {} does not answer as configured: {error}: {why}", fact.id));
                    }
                    paths.extend(restore_paths);
                    secrets.tokens.insert(fact.id.clone(), token);
                    facts.push(fact);
                    add(*key);
                }
                State::Unencrypted => warnings.push(format!(
                    "storage {} is NOT ENCRYPTED: its backups need no key and are not part of the escrow",
                    source.id
                )),
                State::NotUsed { why, key } => {
                    let its_key = if key.is_some() { "only its key is escrowed" } else { "it has no key to escrow" };
                    warnings.push(format!("storage {} is passed over: {why}; {its_key}", source.id));
                    key.into_iter().for_each(|key| add(*key));
                }
                State::Broken(stop) => return Err(stop),
            }
        }
        former.into_iter().for_each(add);
        if facts.is_empty() {
            let passed_over = warnings.iter().map(|warning| format!("; {warning}")).collect::<String>();
            return Err(Stop::new(
                Code::Preflight,
                format!("there is nothing to escrow: no source is configured{passed_over}"),
            )
            .remedy(format!(
                "give PVE a pbs: storage with an encryption key, or add a [[source]] to {} (`tenwords-agent --help` \
                 shows one)",
                configuration.path.display()
            )));
        }
        secrets.files = small_files(configuration, &mut warnings)?;
        let operators = enroll::pinned_operators(configuration)?;
        let trust = Trust { sources: facts, operators, restore_paths: paths };
        Ok(Self { keys, trust, secrets, warnings })
    }

    /// What a recovery has opened goes under the same words again.
    pub(crate) fn of_recovery(root: RootFacts, keys: &BTreeMap<Fingerprint, Arc<GatedKey>>) -> Self {
        let keys = keys.iter().map(|(fingerprint, key)| (*fingerprint, Key::Opened(Arc::clone(key)))).collect();
        Self { keys, trust: root.trust, secrets: root.secrets, warnings: Vec::new() }
    }

    /// The sheet of an escrow of all this, which is still to be made.
    fn sheet(&self, configuration: &Configuration, identity: &Identity, number: NonZeroU64) -> Outcome<sheet::Facts> {
        let check_line = self.trust.check_line(identity.box_id);
        let check_line = check_line.or_stop(Code::Internal, || "the check line cannot be made".into())?.to_string();
        let keys = self.keys.keys().copied().collect();
        let escrow = sheet::Escrow { code_number: number, made_at: Timestamp::now(), keys, check_line };
        Ok(sheet::Facts::new(identity, &configuration.settings.operator, escrow))
    }

    fn wrap(&self, client: &Client, opener: &ByClient<'_>, code: &RecoveryCode) -> Outcome<Vec<VerifiedKeyPart>> {
        self.keys
            .iter()
            .map(|(fingerprint, key)| {
                let short = fingerprint.short();
                let wrapped = key::wrapped(client, &key.expose_file(), code.expose_passphrase())
                    .or_stop(Code::Internal, || format!("key {short}: the client did not wrap the copy"))?;
                let part = door::check_key_part(&wrapped)
                    .or_stop(Code::GateRefused, || format!("key {short}: what the client made is no escrow part"))?;
                let by_client = OpenedByClient::of(&part, code, opener)
                    .or_stop(Code::GateRefused, || format!("key {short}: the client does not open what it made"))?;
                let natively = OpenedNatively::of(&part, code).or_stop(Code::GateRefused, || {
                    format!("key {short}: our own reading does not open what the client made")
                })?;
                VerifiedKeyPart::new(part, by_client, natively, *fingerprint).or_stop(Code::GateRefused, || {
                    format!("key {short}: the two openings do not agree with the live key")
                })
            })
            .collect()
    }

    fn tell(&self, seat: &mut dyn Seat) {
        seat.say("\nTo be escrowed:");
        for source in &self.trust.sources {
            seat.say(&format!("  source {:<12} key {}", source.id, source.key_fingerprint.short()));
        }
        let used = |key: &Fingerprint| self.trust.sources.iter().any(|source| source.key_fingerprint == *key);
        for key in self.keys.keys().filter(|key| !used(key)) {
            seat.say(&format!("  key    {} (no source backs up with it now)", key.short()));
        }
        for file in &self.secrets.files {
            seat.say(&format!("  file   {} ({} bytes)", file.path, file.data.len()));
        }
        let keys = self.trust.operators.signers.signers().len();
        seat.say(&format!("  operator keys pinned: {keys}"));
        for warning in &self.warnings {
            seat.say(&format!("  WARNING: {}", harmless(warning, 400)));
        }
        seat.say("");
    }
}

impl Key {
    fn expose_file(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Live(key) => key.expose_file(),
            Self::Opened(key) => key.expose_key_file(),
        }
    }

    fn check_untouched(&self) -> Outcome<()> {
        match self {
            Self::Live(key) => key.check_untouched(),
            Self::Opened(_) => Ok(()),
        }
    }
}

/// The configured small files that exist, and the configuration itself.
fn small_files(configuration: &Configuration, warnings: &mut Vec<String>) -> Outcome<Vec<FileSecret>> {
    let mut files = Vec::new();
    let mut total = 0;
    let mut seen = BTreeSet::new();
    for path in configuration.settings.small_files().iter().chain([&configuration.path]) {
        let Some(text) = path.to_str() else { continue };
        if !seen.insert(text) || !path.is_file() {
            continue;
        }
        let cannot = || format!("cannot read {text}, which is to be escrowed");
        let bytes = match durable::read_limited(path, FILE_LIMIT) {
            // A file that is too large alone is no reason to have no escrow at all.
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                warnings.push(format!("{text} is left out: it has more than 512 KiB"));
                continue;
            }
            read => Zeroizing::new(read.or_stop(Code::Preflight, cannot)?),
        };
        total += bytes.len() as u64;
        if total > FILE_LIMIT {
            warnings.push(format!("{text} is left out: the small files have more than 512 KiB"));
            total -= bytes.len() as u64;
            continue;
        }
        files.push(FileSecret {
            path: text.parse().or_stop(Code::Usage, cannot)?,
            mode: mode_of(path).or_stop(Code::Preflight, cannot)?,
            data: FileBytes::new(bytes),
        });
    }
    Ok(files)
}

fn mode_of(path: &Path) -> std::io::Result<FileMode> {
    let bits = std::fs::metadata(path)?.permissions().mode() & 0o7777;
    FileMode::new(bits).map_err(std::io::Error::other)
}

// === the box's history ===

/// The highest numbers seen, by this box and by its hub.
pub(crate) struct History {
    pub(crate) code: Option<NonZeroU64>,
    pub(crate) sequence: Option<NonZeroU64>,
}

impl History {
    pub(crate) fn ask(configuration: &Configuration, identity: &Identity, hub: &Hub) -> Outcome<Self> {
        let record = Record::load(configuration)?;
        let versions = hub.page(identity.box_id, None)?;
        let own_code = record.as_ref().map(|record| record.code_number);
        let own_sequence = record.as_ref().map(|record| record.sequence);
        let total = versions.first().map_or(0, |newest| newest.number.get());
        let facts = || versions.iter().map(|stored| stored.header.facts());
        Ok(Self {
            code: highest(own_code, total, facts().map(|facts| facts.code_number)),
            sequence: highest(own_sequence, total, facts().map(|facts| facts.sequence)),
        })
    }

    /// The same with what a root says of itself.
    #[must_use]
    pub(crate) fn and(mut self, sequence: NonZeroU64) -> Self {
        self.sequence = self.sequence.max(Some(sequence));
        self
    }

    fn next_code(&self) -> Outcome<NonZeroU64> {
        next(self.code)
    }

    fn next_sequence(&self) -> Outcome<NonZeroU64> {
        next(self.sequence)
    }
}

/// The highest number seen. What a header says is nobody's word: a box that was taken over once can
/// write any number there. An honest one grows by one a version, so a header counts only up to what
/// this box knows of itself and the versions there are.
fn highest(own: Option<NonZeroU64>, total: u64, said: impl Iterator<Item = NonZeroU64>) -> Option<NonZeroU64> {
    let bound = own.map_or(0, NonZeroU64::get).saturating_add(total);
    said.filter(|number| number.get() <= bound).chain(own).max()
}

fn next(highest: Option<NonZeroU64>) -> Outcome<NonZeroU64> {
    match highest {
        None => Ok(NonZeroU64::MIN),
        Some(highest) => highest.checked_add(1).ok_or_else(|| {
            Stop::new(Code::GateRefused, "the hub lists a number after which there is none")
                .remedy("the box's history at the hub is spoilt: tell the operator")
        }),
    }
}

impl Made {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { box_name, box_id, number, code_number, sequence, keys, check_line, .. } = self;
        let whose = if keys.len() == 1 { "its key was".to_owned() } else { format!("its {} keys were", keys.len()) };
        let mut lines = vec![
            format!(
                "Protected: box {box_name} ({box_id}); {whose} opened by proxmox-backup-client and by our own reading, \
                 stored as version {number}, fetched back and opened again."
            ),
            format!("  code {code_number}, sequence {sequence}, check line {check_line}"),
        ];
        lines.extend(keys.iter().map(|key| format!("  key {}", key.short())));
        lines.extend(self.warnings.iter().map(|warning| format!("  WARNING: {}", harmless(warning, 400))));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_left_out_and_told_and_the_rest_is_taken() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let [large, small] = ["large", "small"].map(|name| folder.path().join(name));
        std::fs::write(&large, vec![0; (512 << 10) + 1])?;
        std::fs::write(&small, "hosts")?;
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, format!("files = [{large:?}, {small:?}]\n"))?;
        let configuration = Configuration::read(&path).map_err(|stop| stop.what)?;
        let mut warnings = Vec::new();
        let files = small_files(&configuration, &mut warnings).map_err(|stop| stop.what)?;
        let taken: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(taken, [small.to_str().unwrap_or_default(), path.to_str().unwrap_or_default()]);
        assert!(matches!(&*warnings, [one] if one.contains("large is left out")), "{warnings:?}");
        Ok(())
    }

    #[test]
    fn a_header_with_a_number_beyond_all_versions_ends_nothing() {
        let number = |n| NonZeroU64::new(n);
        let said = |numbers: &[u64]| numbers.iter().copied().filter_map(NonZeroU64::new).collect::<Vec<_>>();
        assert_eq!(highest(None, 0, said(&[]).into_iter()), None);
        assert_eq!(highest(None, 3, said(&[1, 3, 2]).into_iter()), number(3));
        assert_eq!(highest(number(2), 3, said(&[u64::MAX, 3]).into_iter()), number(3));
        assert_eq!(highest(number(7), 1, said(&[u64::MAX]).into_iter()), number(7));
        assert_eq!(highest(None, 1, said(&[u64::MAX]).into_iter()), None);
    }
}
