//! The customer at the console: a ceremony by the parts that the real one is made of, without a client.
//!
//! The client's pty and its scrypt are left out, since a year would go by in them: each key is wrapped once and opened
//! once, by our own reading, and what stands for the client's opening is the key itself. Everything that is kept and
//! stored is as after `escrow create`.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::{
    code::RecoveryCode,
    door::{self, KeyPart},
    keys::{AgeIdentity, BoxKey, WordsKey},
    open::{KeyOpener, open_ceremony},
    root::{CodeLabel, Root, RootFacts, Secrets, Trust},
    update::open_chain,
    verify::{OpenedByClient, OpenedNatively, VerifiedEscrow, VerifiedKeyPart},
};
use tenwords_protocol::{
    fingerprint::Fingerprint, hash::Sha256, id::BoxId, id::CodeId, part::PartName, time::Timestamp, v1::V1,
};

use super::{
    Lived,
    hub::{TheHub, Version},
    node::Node,
    told,
};
use crate::{
    ceremony::History,
    enroll,
    identity::Identity,
    keys::LiveKey,
    lineage,
    record::Record,
    settings::Configuration,
    shelf::Shelf,
    sources::{self, State},
    update,
};

/// The sheets that the customer has, by the public id of their code.
#[derive(Default)]
pub(super) struct Sheets {
    codes: BTreeMap<CodeId, (NonZeroU64, RecoveryCode)>,
    newest: Option<CodeId>,
}

/// Who has the key already.
struct Knows<'n>(&'n Node);

#[derive(Debug, thiserror::Error)]
#[error("there never was such a key")]
struct Unknown;

impl KeyOpener for Knows<'_> {
    type Error = Unknown;

    fn open_copy(&self, part: &KeyPart, _: &RecoveryCode) -> Result<EncryptionKey, Unknown> {
        self.0.expose_key(part.fingerprint()).map_err(|_| Unknown)
    }
}

impl Sheets {
    /// Holds one, under a new code or the one that there is.
    pub(super) fn hold(
        &mut self,
        configuration: &Configuration,
        node: &Node,
        now: Timestamp,
        is_new_code: bool,
    ) -> Lived<Record> {
        let mut rng = UnwrapErr(SysRng);
        let identity = told(Identity::required(configuration))?;
        let hub = told(identity.connect(configuration))?;
        let history = told(History::ask(configuration, identity.box_id, Some(&hub)))?;
        if is_new_code || self.newest.is_none() {
            let id = CodeId::random(&mut rng);
            self.codes.insert(id, (told(history.next_code())?, RecoveryCode::draw(&mut rng)));
            self.newest = Some(id);
        }
        let id = self.newest.ok_or("there is a code")?;
        let (number, code) = self.codes.get(&id).ok_or("there is a code")?;

        let found = told(sources::of_box(configuration))?;
        let kept = lineage::kept(configuration, &mut Vec::new());
        let mut keys: BTreeMap<Fingerprint, &LiveKey> = kept.iter().map(|(key, file)| (*key, file)).collect();
        keys.extend(found.keys().map(|key| (key.fingerprint(), key)));
        let mut parts = Vec::new();
        for (fingerprint, key) in &keys {
            let wrapped = KeyFile::scrypt(key.expose_key(), code.expose_passphrase().as_bytes(), 1, 2, &mut rng)?;
            let part = door::check_key_part(&wrapped.to_json())?;
            let by_client = OpenedByClient::of(&part, code, &Knows(node))?;
            let natively = OpenedNatively::of(&part, code)?;
            parts.push(VerifiedKeyPart::new(part, by_client, natively, *fingerprint)?);
        }
        let (mut facts, mut secrets) = (Vec::new(), Secrets::default());
        for source in &found.sources {
            if let State::InUse { fact, .. } = &source.state {
                secrets.tokens.insert(fact.id.clone(), told(source.secret())?);
                facts.push(fact.clone());
            }
        }
        let operators = told(enroll::pinned_operators(configuration))?;
        let (box_key, age_identity) = (BoxKey::generate(&mut rng), AgeIdentity::generate());
        let recipient = age_identity.public().to_string();
        let root = Root::new(RootFacts {
            box_id: identity.box_id,
            box_name: identity.box_name.clone(),
            code: CodeLabel { number: *number, id },
            sequence: told(history.next_sequence())?,
            made_at: now,
            parts: parts.iter().map(VerifiedKeyPart::entry).collect(),
            trust: Trust { sources: facts, operators, restore_paths: Vec::new() },
            secrets,
            words_key: WordsKey::generate(&mut rng),
            box_key: box_key.public(),
            identity: age_identity,
        })?;
        let escrow = VerifiedEscrow::new(&root, parts, env!("CARGO_PKG_VERSION"), code)?;
        let (stored, back) = told(Shelf::Hub(&hub).put(identity.box_id, escrow.bundle()))?;
        if back != *escrow.bundle().parts() {
            return Err("the hub has something else".into());
        }
        let facts = root.facts();
        let record = Record {
            v: V1,
            box_id: identity.box_id,
            number: stored.number,
            code_number: facts.code.number,
            code_id: facts.code.id,
            sequence: facts.sequence,
            made_at: facts.made_at,
            root_sha256: stored.header.facts().root_sha256,
            parts: stored.header.parts().to_vec(),
            keys: facts.parts.keys().copied().collect(),
            sources: facts.trust.sources.clone(),
            check_line: root.check_line()?.to_string(),
            recipient,
            box_key: Some(box_key.public().to_string()),
            kit: None,
        };
        told(record.keep(configuration, &box_key, escrow.bundle()))?;
        lineage::take_in(configuration, keys.iter().map(|(key, file)| (*key, file.expose_file())), &mut Vec::new());
        told(update::begin(configuration, &root, &record, &mut rng))?;
        Ok(record)
    }

    /// With the words: which of these keys the escrow at the hub gives back, each computed from what was opened. The
    /// newest ceremony first, and no further than has to be.
    pub(super) fn open(
        &self,
        hub: &TheHub,
        node: &Node,
        of: BoxId,
        versions: &[Version],
        wanted: &BTreeSet<Fingerprint>,
    ) -> Lived<BTreeSet<Fingerprint>> {
        let mut opened = BTreeSet::new();
        for ceremony in versions.iter().rev().filter(|version| version.is_ceremony()) {
            if !opened.is_empty() && wanted.is_subset(&opened) {
                break;
            }
            let facts = ceremony.stored.header.facts();
            let (_, code) = self.codes.get(&facts.code_id).ok_or("a code that nobody has a sheet of")?;
            let (root, keys) = open_ceremony(&hub.parts(of, ceremony)?, of, code, &Knows(node))?.into_parts();
            opened.extend(keys.values().map(|key| key.fingerprint()));
            let mut parts: Vec<(NonZeroU64, Vec<u8>)> = Vec::new();
            let is_on = |version: &&Version| !version.is_ceremony() && version.root() == ceremony.root();
            for version in versions.iter().filter(is_on) {
                for (name, bytes) in hub.parts(of, version)? {
                    if let PartName::Update(number) = name {
                        parts.push((number, bytes));
                    }
                }
            }
            let root_sha256: Sha256 = ceremony.root();
            let chain = open_chain(&root, root_sha256, parts.iter().map(|(number, part)| (*number, part.as_slice())));
            if let Some(broken) = chain.broken() {
                return Err(format!("the updates break off at {}: {}", broken.sequence, broken.reason).into());
            }
            opened
                .extend(chain.updates().iter().flat_map(|update| update.keys().values().map(|key| key.fingerprint())));
        }
        Ok(opened)
    }
}
