//! Another key where one of ours belongs: named, and replaced by an operator's order alone.
//!
//! What stood there is kept before it is replaced, among the kept keys ([`lineage`]): a backup may need it, and
//! of a place that was never asked nobody knows that none does. That comes before the order is used up, so that a full disk costs
//! no signature; the file itself is replaced last, and only if it is still exactly what the order named.

use std::path::{Path, PathBuf};

use tenwords_protocol::{
    directive::Name,
    fingerprint::Fingerprint,
    hash::Sha256,
    order::{Act, OrderedPath},
};

use crate::{
    exit::{Code, OrStop as _, Outcome},
    lineage,
    recover::{
        log::Log,
        orders::{Permit, Wish},
    },
    settings::Configuration,
};

/// A key file that holds another key than the source's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherKey {
    pub(crate) source: Name,
    pub(crate) path: OrderedPath,
    /// The key in it, if it is one.
    pub(super) there: Option<Fingerprint>,
    /// Over its bytes.
    pub(super) found: Sha256,
    /// The source's own.
    pub(super) key: Fingerprint,
}

/// What orders let replace which key files.
pub(crate) struct Replacing<'r> {
    pub(super) lineage: PathBuf,
    log: Option<&'r Log>,
    permits: &'r [(OtherKey, Permit)],
    /// What is waited for, and told elsewhere.
    waits: Vec<OtherKey>,
}

/// What may be done about another key in a key file.
pub(super) enum May {
    /// Exactly these bytes may be replaced, and were kept there.
    Replace(Sha256, PathBuf),
    /// It waits for an order, which is told elsewhere.
    Wait,
    /// Nothing: nobody has ordered it of what lies there now.
    No,
}

impl OtherKey {
    /// Nothing if no order could name the file.
    pub(super) fn new(
        source: &Name,
        path: &Path,
        there: Option<Fingerprint>,
        found: Sha256,
        key: Fingerprint,
    ) -> Option<Self> {
        let path = path.to_str()?.parse().ok()?;
        Some(Self { source: source.clone(), path, there, found, key })
    }

    pub(crate) fn what(&self) -> String {
        format!("key of source {} at {}", self.source, self.path.as_str())
    }

    pub(crate) fn why(&self) -> String {
        format!("{} is there; the escrow's key is {}", self.told(), self.key.short())
    }

    /// What an operator is asked for.
    pub(crate) fn wish(&self, configuration: &Configuration) -> Wish {
        let kept = lineage::folder(configuration);
        Wish {
            act: Act::KeyReplace { key_file: self.path.clone(), key: self.key },
            destroys: vec![
                format!("{} holds {}: from then on {}", self.path.as_str(), self.told(), self.key.short()),
                format!("what stood there stays kept, below {}", kept.display()),
            ],
            found: Some(self.found),
        }
    }

    fn told(&self) -> String {
        match self.there {
            Some(there) => format!("another key ({})", there.short()),
            None => "something that is no plain key file".to_owned(),
        }
    }
}

impl<'r> Replacing<'r> {
    /// What `permits` say; `waits` are told by whoever waits for them.
    pub(crate) fn by(
        configuration: &Configuration,
        log: &'r Log,
        permits: &'r [(OtherKey, Permit)],
        waits: Vec<OtherKey>,
    ) -> Self {
        Self { lineage: lineage::folder(configuration), log: Some(log), permits, waits }
    }

    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self { lineage: PathBuf::from("/nonexistent"), log: None, permits: &[], waits: Vec::new() }
    }

    /// Whether what lies at `path`, with this text in it, may be replaced by `key`. If so the text is kept, and
    /// the order is used up.
    pub(super) fn may(&self, path: &Path, there: Option<Fingerprint>, text: &[u8], key: Fingerprint) -> Outcome<May> {
        let found = Sha256::of(text);
        let is_it =
            |other: &OtherKey| Path::new(other.path.as_str()) == path && other.found == found && other.key == key;
        let permit = self.permits.iter().find(|(other, permit)| {
            let named = matches!(&permit.order().act, Act::KeyReplace { key_file, key: ordered }
                if Path::new(key_file.as_str()) == path && *ordered == key);
            is_it(other) && named && permit.found() == Some(found)
        });
        let Some(((_, permit), log)) = permit.zip(self.log) else {
            return Ok(if self.waits.iter().any(is_it) { May::Wait } else { May::No });
        };
        let kept = keep(&self.lineage, there, text)?;
        let redeemed = permit.redeem(log)?;
        Ok(match redeemed.found {
            Some(sha256) => May::Replace(sha256, kept),
            None => May::No,
        })
    }
}

/// Keeps what stood there; tells where.
fn keep(folder: &Path, there: Option<Fingerprint>, text: &[u8]) -> Outcome<PathBuf> {
    let cannot =
        || format!("the key that is to be replaced cannot be kept in {}; nothing was replaced", folder.display());
    lineage::keep_text(folder, there, text)
        .or_stop(Code::Preflight, cannot)
        .map_err(|stop| stop.remedy("see what lies there, and move it aside"))
}
