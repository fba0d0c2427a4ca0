//! What of this box goes under the words: keys, trust facts, tokens, small files.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use pbs_driver::{Client, key, status as source_status};
use tenwords_escrow::{
    code::RecoveryCode,
    door,
    gate::GatedKey,
    root::{FileMode, FileSecret, RootFacts, Secrets, Trust},
    secret::FileBytes,
    verify::{OpenedByClient, OpenedNatively, VerifiedKeyPart},
};
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use crate::{
    durable, enroll,
    exit::{Code, OrStop as _, Outcome, Stop},
    keys::LiveKey,
    lineage,
    openers::ByClient,
    seat::Seat,
    settings::Configuration,
    show::harmless,
    sources::{self, BoxSources, State},
};

const FILE_LIMIT: u64 = 512 << 10;
/// Keys that are put under the words at most: each is wrapped, and opened twice.
const MOST_KEYS: usize = 128;

/// Everything of this box that goes under the words.
pub(crate) struct Material {
    pub(super) keys: BTreeMap<Fingerprint, Key>,
    pub(super) trust: Trust,
    pub(super) secrets: Secrets,
    pub(super) warnings: Vec<String>,
}

/// A key to be wrapped.
pub(super) enum Key {
    /// A live key file, which must not change meanwhile.
    Live(Box<LiveKey>),
    /// A key that a recovery has just opened.
    Opened(Arc<GatedKey>),
}

impl Material {
    /// Reads the live keys, tokens and small files. With a client, each source is asked whether it
    /// works, and what does not is a warning: a ceremony must be possible while PBS is down.
    pub(super) fn gather(configuration: &Configuration, probe: Option<&Client>) -> Outcome<Self> {
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
                State::Broken(stop, _) => return Err(stop),
            }
        }
        former.into_iter().for_each(&mut add);
        // A key that no file is of any more may still be needed by a snapshot.
        let kept = lineage::kept(configuration, &mut warnings);
        let room = MOST_KEYS.saturating_sub(keys.len());
        let lacking = kept.into_values().filter(|key| !keys.contains_key(&key.fingerprint())).collect::<Vec<_>>();
        if lacking.len() > room {
            warnings
                .push(format!("{} kept keys are left out: an escrow has room for {MOST_KEYS}", lacking.len() - room));
        }
        for key in lacking.into_iter().take(room) {
            keys.entry(key.fingerprint()).or_insert_with(|| Key::Live(Box::new(key)));
        }
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

    /// Adds what is to be known of it.
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.warnings.extend(warnings);
    }

    /// What a recovery has opened goes under the same words again.
    pub(crate) fn of_recovery(root: RootFacts, keys: &BTreeMap<Fingerprint, Arc<GatedKey>>) -> Self {
        let keys = keys.iter().map(|(fingerprint, key)| (*fingerprint, Key::Opened(Arc::clone(key)))).collect();
        Self { keys, trust: root.trust, secrets: root.secrets, warnings: Vec::new() }
    }

    /// The keys that go under the words.
    pub(super) fn keys(&self) -> BTreeSet<Fingerprint> {
        self.keys.keys().copied().collect()
    }

    /// Takes in the keys that a former escrow has and this box has no file of.
    pub(super) fn carry(&mut self, former: &BTreeMap<Fingerprint, Arc<GatedKey>>) {
        for (fingerprint, key) in former {
            self.keys.entry(*fingerprint).or_insert_with(|| Key::Opened(Arc::clone(key)));
        }
    }

    pub(super) fn wrap(
        &self,
        client: &Client,
        opener: &ByClient<'_>,
        code: &RecoveryCode,
    ) -> Outcome<Vec<VerifiedKeyPart>> {
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

    /// Says all of it.
    pub(super) fn tell(&self, seat: &mut dyn Seat) {
        let talk = seat.talk();
        seat.say(&format!("\n{}", talk.to_be_escrowed));
        for source in &self.trust.sources {
            let server = format!("{}:{}", source.server, source.datastore);
            let key = source.key_fingerprint.short().to_string();
            seat.say(&format!("  {}", (talk.source)(source.id.as_str(), &server, &key)));
        }
        let used = |key: &Fingerprint| self.trust.sources.iter().any(|source| source.key_fingerprint == *key);
        for key in self.keys.keys().filter(|key| !used(key)) {
            seat.say(&format!("  {}", (talk.unused_key)(&key.short().to_string())));
        }
        for file in &self.secrets.files {
            seat.say(&format!("  {}", (talk.file)(file.path.as_str(), file.data.len())));
        }
        let keys = self.trust.operators.signers.signers().len();
        seat.say(&format!("  {}", (talk.operators)(keys)));
        for warning in &self.warnings {
            seat.say(&format!("  {}{}", talk.warning, harmless(warning, 400)));
        }
        seat.say("");
    }
}

impl Key {
    pub(super) fn expose_file(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Live(key) => key.expose_file(),
            Self::Opened(key) => key.expose_key_file(),
        }
    }

    pub(super) fn check_untouched(&self) -> Outcome<()> {
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
}
