//! What of this box is escrowed: the facts that an update is made of, by hashes under a key of this machine.
//!
//! Sealing is never the same twice, so that nothing sealed can be compared with what is live. What can be compared
//! is this. A token stands in it as an HMAC, since a hash of it alone would tell a thief of the state folder
//! whether he has guessed it; the whole of it is under an HMAC too, so that what is damaged is not taken for what
//! was written: it counts as nothing then, and everything is escrowed once more.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use tenwords_escrow::{
    root::{Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::{directive::Name, fingerprint::Fingerprint, hash::Sha256, json, time::Timestamp, v1::V1};
use zeroize::Zeroizing;

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    keys::LiveKey,
    record,
    settings::Configuration,
    sources::{BoxSources, State},
};

const KEY: &str = "facts.key";
const FILE: &str = "escrow.facts";
const LIMIT: u64 = 1 << 20;

/// The key of the hashes; it never leaves this machine.
pub(super) struct FactsKey(Zeroizing<[u8; 32]>);

/// What is escrowed, or live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    /// By source, the key that it backs up with.
    pub(super) in_use: BTreeMap<String, Fingerprint>,
    /// Every key, in use or kept.
    pub(super) keys: BTreeSet<Fingerprint>,
    /// Tokens by the source of the root that they are for.
    pub(super) tokens: BTreeMap<Name, Sha256>,
}

/// What an update has to carry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) keys: BTreeSet<Fingerprint>,
    pub(super) tokens: BTreeSet<Name>,
}

/// The facts that were acknowledged, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledged {
    v: V1,
    /// Of the ceremony.
    pub(super) root_sha256: Sha256,
    pub(super) facts: Facts,
    /// What each second holder was given last.
    #[serde(default)]
    pub(super) holders: BTreeMap<String, Held>,
}

/// What a second holder was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    /// The hash of its text.
    pub(super) sha256: Sha256,
    /// The time of its snapshot.
    pub(super) at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    v: V1,
    facts: T,
    mac: Sha256,
}

// === impl FactsKey ===

impl FactsKey {
    /// The key, if there is one that can be used.
    pub(super) fn load(configuration: &Configuration) -> Option<Self> {
        let there = durable::read_limited(&configuration.state(KEY), 64).map(Zeroizing::new).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        (there.len() == key.len()).then(|| {
            key.copy_from_slice(&there);
            Self(key)
        })
    }

    /// The key, made if there is none that can be used: what was hashed with a lost one is not known any more. The
    /// caller holds the lock.
    pub(super) fn load_or_make(configuration: &Configuration, rng: &mut impl CryptoRng) -> Outcome<Self> {
        if let Some(key) = Self::load(configuration) {
            return Ok(key);
        }
        let path = configuration.state(KEY);
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let cannot = || format!("cannot keep {}", path.display());
        durable::replace("facts-key", &path, 0o600, key.as_slice()).or_stop(Code::Preflight, cannot)?;
        Ok(Self(key))
    }

    /// Over a label and some bytes.
    fn mac(&self, label: &str, bytes: &[u8]) -> Sha256 {
        let mut mac = self.begun(label);
        mac.update(bytes);
        Sha256::from_bytes(mac.finalize().into_bytes().into())
    }

    fn begun(&self, label: &str) -> Hmac<sha2::Sha256> {
        let mut mac = Hmac::new_from_slice(self.0.as_slice()).expect("HMAC takes a key of any length");
        mac.update(label.as_bytes());
        mac.update(b"\n");
        mac
    }

    fn of_token(&self, token: &TokenSecret) -> Sha256 {
        self.mac("token", token.expose_text().as_bytes())
    }

    /// A value with the hash over its text.
    pub(super) fn sealed<T: Serialize>(&self, label: &str, value: T) -> Result<Vec<u8>, json::JsonError> {
        let mac = self.mac(label, &json::to_vec(&value)?);
        json::to_vec(&Sealed { v: V1, facts: value, mac })
    }

    /// The value, if it is exactly what was written.
    pub(super) fn opened<T: Serialize + for<'d> Deserialize<'d>>(&self, label: &str, text: &[u8]) -> Option<T> {
        let Sealed { facts, mac, .. } = json::from_slice::<Sealed<T>>(text).ok()?;
        let again = json::to_vec(&facts).ok()?;
        let mut over = self.begun(label);
        over.update(&again);
        over.verify_slice(mac.as_bytes()).ok().map(|()| facts)
    }
}

// === impl Facts ===

impl Facts {
    /// What a ceremony has escrowed.
    pub(super) fn of_root(root: &Root, key: &FactsKey) -> Self {
        let facts = root.facts();
        Self {
            in_use: facts.trust.sources.iter().map(|source| (source.id.to_string(), source.key_fingerprint)).collect(),
            keys: facts.parts.keys().copied().collect(),
            tokens: facts.secrets.tokens.iter().map(|(id, token)| (id.clone(), key.of_token(token))).collect(),
        }
    }

    /// What is live or kept. Of a source that is somewhere else than the root has it, the token is not for the
    /// place that a recovery would give it to.
    pub(super) fn live<'k>(
        found: &BoxSources,
        kept: impl Iterator<Item = &'k Fingerprint>,
        of_root: &[Source],
        key: &FactsKey,
        notes: &mut Vec<String>,
    ) -> (Self, BTreeMap<Name, TokenSecret>) {
        let mut facts =
            Self { keys: found.keys().map(LiveKey::fingerprint).chain(kept.copied()).collect(), ..Self::default() };
        let mut tokens = BTreeMap::new();
        for source in &found.sources {
            if let (true, Some(key)) = (source.is_used(), source.key()) {
                facts.in_use.insert(source.id.clone(), key.fingerprint());
            }
            let State::InUse { fact, .. } = &source.state else { continue };
            if !is_where_the_root_says(of_root, fact) {
                continue;
            }
            match source.secret() {
                Ok(token) => {
                    facts.tokens.insert(fact.id.clone(), key.of_token(&token));
                    tokens.insert(fact.id.clone(), token);
                }
                Err(stop) => notes.push(stop.in_one_line()),
            }
        }
        (facts, tokens)
    }

    /// What of these is not in `escrowed`. A key that is in use again is news too: the order of updates says
    /// which came last.
    pub(super) fn news(&self, escrowed: &Self) -> News {
        let again = self.in_use.iter().filter(|(id, key)| escrowed.in_use.get(*id) != Some(key)).map(|(_, key)| *key);
        let keys = self.keys.difference(&escrowed.keys).copied().chain(again).collect();
        let is_news = |(id, token): &(&Name, &Sha256)| escrowed.tokens.get(*id) != Some(token);
        News { keys, tokens: self.tokens.iter().filter(is_news).map(|(id, _)| id.clone()).collect() }
    }

    /// Of these only what the escrow as it is has still: the keys of an update that was lost are news again.
    pub(super) fn keep_only(&mut self, keys: &BTreeSet<Fingerprint>) {
        self.keys.retain(|key| keys.contains(key));
        self.in_use.retain(|_, key| keys.contains(key));
    }

    /// `escrowed` with what is live: what has gone from the box stays escrowed.
    pub(super) fn added_to(&self, escrowed: &Self) -> Self {
        let mut all = escrowed.clone();
        all.in_use.extend(self.in_use.clone());
        all.keys.extend(&self.keys);
        all.tokens.extend(self.tokens.clone());
        all
    }
}

/// Whether a source is where the root has it, whatever its key.
pub(super) fn is_where_the_root_says(of_root: &[Source], fact: &Source) -> bool {
    of_root
        .iter()
        .any(|known| record::is_among(&[Source { key_fingerprint: fact.key_fingerprint, ..known.clone() }], fact))
}

impl News {
    pub(super) fn is_nothing(&self) -> bool {
        self.keys.is_empty() && self.tokens.is_empty()
    }
}

// === impl Acknowledged ===

impl Acknowledged {
    pub(super) fn new(root_sha256: Sha256, facts: Facts) -> Self {
        Self { v: V1, root_sha256, facts, holders: BTreeMap::new() }
    }

    /// What is kept; nothing if it is damaged.
    pub(super) fn load(configuration: &Configuration, key: &FactsKey) -> Option<Self> {
        let text = durable::read_limited(&configuration.state(FILE), LIMIT).ok()?;
        key.opened("acknowledged", &text)
    }

    pub(super) fn keep(&self, configuration: &Configuration, key: &FactsKey) -> Outcome<()> {
        let cannot = || "what was acknowledged cannot be written down".to_owned();
        let text = key.sealed("acknowledged", self).or_stop(Code::Internal, cannot)?;
        durable::replace("escrow-facts", &configuration.state(FILE), 0o600, &text).or_stop(Code::Preflight, cannot)
    }
}

#[cfg(test)]
mod tests {
    use rand::{rand_core::UnwrapErr, rngs::SysRng};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn key() -> FactsKey {
        FactsKey(Zeroizing::new([7; 32]))
    }

    fn fingerprint(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    fn facts(in_use: u8, keys: &[u8], token: &str) -> Result<Facts, Box<dyn std::error::Error>> {
        let token = TokenSecret::new(Zeroizing::new(token.to_owned()))?;
        Ok(Facts {
            in_use: BTreeMap::from([("pbs".to_owned(), fingerprint(in_use))]),
            keys: keys.iter().map(|byte| fingerprint(*byte)).collect(),
            tokens: BTreeMap::from([("pbs".parse()?, key().of_token(&token))]),
        })
    }

    #[test]
    fn s14_what_is_escrowed_is_no_news_and_a_return_to_a_former_key_or_token_is() -> Tested {
        let mut escrowed = facts(1, &[1], "one")?;
        assert!(facts(1, &[1], "one")?.news(&escrowed).is_nothing());
        for (now, keys, tokens) in [
            (facts(2, &[1, 2], "one")?, vec![2], 0),
            // The former one is not needed for anything new, and yet it is the one in use.
            (facts(1, &[1, 2], "one")?, vec![1], 0),
            (facts(1, &[1, 2], "two")?, vec![], 1),
            (facts(1, &[1, 2], "one")?, vec![], 1),
            (facts(1, &[1, 2, 3], "one")?, vec![3], 0),
        ] {
            let news = now.news(&escrowed);
            assert_eq!(
                news.keys.into_iter().collect::<Vec<_>>(),
                keys.into_iter().map(fingerprint).collect::<Vec<_>>()
            );
            assert_eq!(news.tokens.len(), tokens);
            escrowed = now.added_to(&escrowed);
            assert!(now.news(&escrowed).is_nothing());
        }
        // An update is lost, with a key in it: that is news once more, and nothing else is.
        let mut left = escrowed.clone();
        left.keep_only(&[1, 2].into_iter().map(fingerprint).collect());
        let news = facts(1, &[1, 2, 3], "one")?.news(&left);
        assert_eq!((news.keys.into_iter().collect::<Vec<_>>(), news.tokens.len()), (vec![fingerprint(3)], 0));
        // What has gone from the box is no news, and stays escrowed.
        assert!(Facts::default().news(&escrowed).is_nothing());
        assert_eq!(Facts::default().added_to(&escrowed), escrowed);
        Ok(())
    }

    #[test]
    fn who_only_looks_makes_no_key_and_finds_the_one_that_was_made() -> Tested {
        let folder = tempfile::tempdir()?;
        let text = format!("state = \"{}\"", folder.path().display());
        let configuration =
            Configuration::of_text(&folder.path().join("agent.toml"), &text).map_err(|stop| stop.what)?;
        assert!(FactsKey::load(&configuration).is_none() && !configuration.state(KEY).exists());
        let made = FactsKey::load_or_make(&configuration, &mut UnwrapErr(SysRng)).map_err(|stop| stop.what)?;
        let found = FactsKey::load(&configuration).ok_or("it is not kept")?;
        assert_eq!(found.mac("label", b"bytes"), made.mac("label", b"bytes"));
        std::fs::write(configuration.state(KEY), "short")?;
        assert!(FactsKey::load(&configuration).is_none());
        Ok(())
    }

    #[test]
    fn what_was_changed_on_the_disk_or_written_under_another_key_is_nothing() -> Tested {
        let hash = Sha256::of(b"root");
        let written = Acknowledged::new(hash, facts(1, &[1], "one")?);
        let text = key().sealed("acknowledged", &written)?;
        assert_eq!(key().opened("acknowledged", &text), Some(written));
        assert_eq!(key().opened::<Acknowledged>("pending", &text), None);
        assert_eq!(FactsKey(Zeroizing::new([8; 32])).opened::<Acknowledged>("acknowledged", &text), None);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_eq!(key().opened::<Acknowledged>("acknowledged", &changed), None, "byte {at}");
            assert_eq!(key().opened::<Acknowledged>("acknowledged", &text[..at]), None, "cut at {at}");
        }
        assert!(!String::from_utf8_lossy(&text).contains("one"));
        Ok(())
    }

    #[test]
    fn a_token_of_a_source_that_is_elsewhere_is_not_for_the_roots_place() -> Tested {
        let root: Source = Source {
            id: "pbs".parse()?,
            server: "pbs.example".parse()?,
            port: 8007_u16.try_into()?,
            datastore: "store".parse()?,
            namespace: None,
            certificate: tenwords_escrow::root::Certificate::Pinned(fingerprint(9)),
            auth_id: "backup@pbs!box1".parse()?,
            key_fingerprint: fingerprint(1),
            kept_in: tenwords_escrow::root::KeptIn::Settings,
        };
        let of_root = [root.clone()];
        let is_there = |fact: &Source| is_where_the_root_says(&of_root, fact);
        assert!(is_there(&root));
        assert!(is_there(&Source { key_fingerprint: fingerprint(2), ..root.clone() }), "only the key is another");
        for other in [
            Source { server: "pbs.hostile".parse()?, ..root.clone() },
            Source { port: 8008_u16.try_into()?, ..root.clone() },
            Source { datastore: "other".parse()?, ..root.clone() },
            Source { certificate: tenwords_escrow::root::Certificate::WebPki, ..root.clone() },
            Source { auth_id: "backup@pbs!box2".parse()?, ..root.clone() },
            Source { id: "pbs2".parse()?, ..root.clone() },
        ] {
            assert!(!is_there(&other), "{other:?}");
        }
        Ok(())
    }
}
