//! Double verification: what must have happened before an escrow may be called *proven*.
//!
//! ```text
//! KeyPart ──▶ OpenedByClient ──┐
//!        └──▶ OpenedNatively ──┴─(live fingerprint)──▶ VerifiedKeyPart ──┐
//!                                     Root, sealed and opened again ─────┴──▶ VerifiedEscrow ──▶ Bundle, pushed
//!                                          fetched back, opened both ways ───────────────────▶ ProvenEscrow
//! ```
//!
//! Each arrow is the only constructor of what it points to. A flipped bit, in memory, on disk or on
//! the way, breaks one of them: a part is opened by both readers *before* it is pushed and once more
//! after it is fetched back.
//!
//! A proven bundle cannot be made out of parts that nobody opened:
//!
//! ```compile_fail,E0451
//! # use tenwords_escrow::verify::VerifiedEscrow;
//! # fn make(bundle: tenwords_protocol::version::Bundle) {
//! let proven = VerifiedEscrow { bundle };
//! # }
//! ```
//!
//! nor a verified key part from one opening:
//!
//! ```compile_fail,E0061
//! # use tenwords_escrow::{door::KeyPart, verify::{OpenedNatively, VerifiedKeyPart}};
//! # fn make(part: KeyPart, natively: OpenedNatively, live: tenwords_protocol::fingerprint::Fingerprint) {
//! let half = VerifiedKeyPart::new(part, natively, live);
//! # }
//! ```

use std::collections::BTreeMap;

use pbs_format::key::{EncryptionKey, KeyFileError};
use tenwords_protocol::{
    fingerprint::Fingerprint,
    hash::Sha256,
    part::PartName,
    version::{Bundle, BundleError, Grade, HeaderFacts, Kind, StoredHeader},
};
use thiserror::Error;

use crate::{
    code::RecoveryCode,
    door::{self, DoorError, KeyPart},
    open::{self, OpenError, Parts},
    root::Root,
    seal::SealError,
    text,
};

pub use crate::open::KeyOpener;

/// The client opened a copy of this very part.
#[derive(Debug)]
pub struct OpenedByClient(Opening);

/// Our own reading opened this very part.
#[derive(Debug)]
pub struct OpenedNatively(Opening);

/// A key part that both readers opened to the live key.
#[derive(Debug)]
pub struct VerifiedKeyPart {
    part: KeyPart,
}

/// A whole ceremony version, verified before it is pushed. Nothing else gives a bundle of grade
/// *proven*.
#[derive(Debug)]
pub struct VerifiedEscrow {
    bundle: Bundle,
}

/// A ceremony version that was fetched back from the hub and opened both ways again.
#[derive(Debug)]
pub struct ProvenEscrow {
    stored: StoredHeader,
}

/// Why an escrow was not verified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bundle breaks a limit.
    #[error("the version cannot be put together")]
    Bundle(#[from] BundleError),
    /// The sealed root was turned away at our own door.
    #[error("the sealed root does not pass the door")]
    Door(#[from] DoorError),
    /// An opening is that of another part.
    #[error("the opening was not made of this part")]
    OtherPart,
    /// One reader did not find the live key.
    #[error("{reader} opened key {}, the live key is {}", found.short(), live.short())]
    OtherKey {
        /// Who opened it.
        reader: &'static str,
        /// What came out.
        found: Fingerprint,
        /// What backups are made with.
        live: Fingerprint,
    },
    /// The root does not list exactly these parts.
    #[error("the root does not list exactly the key parts that were verified")]
    RootParts,
    /// The root could not be sealed, or does not open again.
    #[error("the root does not open again as it was sealed")]
    Root(#[from] SealError),
    /// The root opened again and says something else.
    #[error("the root says something else after it was sealed and opened")]
    RootChanged,
}

/// Why what came back from the hub is not proven.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadbackError<E: std::error::Error + 'static> {
    /// The client could not open a part that came back.
    #[error("proxmox-backup-client does not open key {} as it came back", key.short())]
    Client {
        /// The key.
        key: Fingerprint,
        /// Why.
        source: E,
    },
    /// The hub keeps another header.
    #[error("the hub keeps another header than the one pushed")]
    Header,
    /// Another part came back.
    #[error("{name} came back other than it was pushed")]
    Part {
        /// The first such part.
        name: PartName,
    },
    /// What came back does not open.
    #[error("what came back from the hub does not open")]
    Open(#[from] OpenError),
}

/// Which bytes were opened, and to which key.
#[derive(Debug)]
struct Opening {
    sha256: Sha256,
    fingerprint: Fingerprint,
}

impl Opening {
    fn of(part: &KeyPart, key: &EncryptionKey) -> Self {
        Self { sha256: part.sha256(), fingerprint: key.fingerprint() }
    }

    fn confirms(&self, reader: &'static str, part: &KeyPart, live: Fingerprint) -> Result<(), VerifyError> {
        if self.sha256 != part.sha256() {
            return Err(VerifyError::OtherPart);
        }
        if self.fingerprint != live {
            return Err(VerifyError::OtherKey { reader, found: self.fingerprint, live });
        }
        Ok(())
    }
}

impl OpenedByClient {
    /// Lets the client open a copy.
    ///
    /// # Errors
    /// The opener's own.
    pub fn of<O: KeyOpener>(part: &KeyPart, code: &RecoveryCode, client: &O) -> Result<Self, O::Error> {
        client.open_copy(part, code).map(|key| Self(Opening::of(part, &key)))
    }
}

impl OpenedNatively {
    /// Opens the part with our own reading of the format.
    ///
    /// # Errors
    /// [`KeyFileError`] if the code does not open it.
    pub fn of(part: &KeyPart, code: &RecoveryCode) -> Result<Self, KeyFileError> {
        part.open(code).map(|key| Self(Opening::of(part, &key)))
    }
}

impl VerifiedKeyPart {
    /// Joins both openings. `live` is the fingerprint *computed* from the key that backups use.
    ///
    /// # Errors
    /// [`VerifyError`] if an opening is of other bytes, or gave another key; or if the part states
    /// another key than it holds.
    pub fn new(
        part: KeyPart,
        by_client: OpenedByClient,
        natively: OpenedNatively,
        live: Fingerprint,
    ) -> Result<Self, VerifyError> {
        let (OpenedByClient(by_client), OpenedNatively(natively)) = (by_client, natively);
        by_client.confirms("proxmox-backup-client", &part, live)?;
        natively.confirms("our own reading", &part, live)?;
        if part.fingerprint() != live {
            return Err(VerifyError::OtherKey { reader: "the file itself", found: part.fingerprint(), live });
        }
        Ok(Self { part })
    }

    /// The key's fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.part.fingerprint()
    }

    /// The entry that the root needs for it.
    #[must_use]
    pub fn entry(&self) -> (Fingerprint, Sha256) {
        (self.part.fingerprint(), self.part.sha256())
    }
}

impl VerifiedEscrow {
    /// Seals the root, opens it again, and joins it with the key parts that it lists.
    ///
    /// # Errors
    /// [`VerifyError`] if the root lists other parts, or does not come back as it was.
    pub fn new(
        root: &Root,
        keys: Vec<VerifiedKeyPart>,
        agent_version: &str,
        code: &RecoveryCode,
    ) -> Result<Self, VerifyError> {
        let listed: BTreeMap<_, _> = keys.iter().map(VerifiedKeyPart::entry).collect();
        if listed != root.facts().parts || listed.len() != keys.len() {
            return Err(VerifyError::RootParts);
        }
        let sealed = door::check_root(&root.seal(code)?)?;
        let again = Root::open(&sealed, code)?;
        let (before, after) =
            (text::write(root).map_err(SealError::Root)?, text::write(&again).map_err(SealError::Root)?);
        if before != after {
            return Err(VerifyError::RootChanged);
        }
        let mut parts: Parts = keys
            .into_iter()
            .map(|VerifiedKeyPart { part }| (PartName::Key(part.fingerprint()), part.bytes().to_vec()))
            .collect();
        parts.insert(PartName::Root, sealed.bytes().to_vec());
        let facts = root.facts();
        let header = HeaderFacts {
            kind: Kind::Ceremony,
            box_id: facts.box_id,
            code_number: facts.code.number,
            code_id: facts.code.id,
            sequence: facts.sequence,
            grade: Grade::Proven,
            root_sha256: sealed.sha256(),
            words_key: facts.words_key.public(),
            agent_version: agent_version.to_owned(),
            made_at: facts.made_at,
        };
        Ok(Self { bundle: Bundle::new(header, parts)? })
    }

    /// What is pushed.
    #[must_use]
    pub const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Compares what the hub gave back with what was pushed, and opens it both ways again.
    ///
    /// # Errors
    /// [`ReadbackError`]; the escrow is not proven then, and the hub's copy cannot be relied on.
    pub fn read_back<O: KeyOpener>(
        &self,
        stored: StoredHeader,
        fetched: &Parts,
        code: &RecoveryCode,
        client: &O,
    ) -> Result<ProvenEscrow, ReadbackError<O::Error>> {
        let pushed = self.bundle.parts();
        if stored.header != *self.bundle.header() {
            return Err(ReadbackError::Header);
        }
        let names = pushed.keys().chain(fetched.keys());
        if let Some(name) = names.copied().find(|name| pushed.get(name) != fetched.get(name)) {
            return Err(ReadbackError::Part { name });
        }
        let opened = open::open_ceremony(fetched, stored.header.facts().box_id, code, client)?;
        match opened.into_not_by_client().into_iter().next() {
            Some((key, source)) => Err(ReadbackError::Client { key, source }),
            None => Ok(ProvenEscrow { stored }),
        }
    }
}

impl ProvenEscrow {
    /// The header under which the hub keeps it.
    #[must_use]
    pub const fn stored(&self) -> &StoredHeader {
        &self.stored
    }
}
