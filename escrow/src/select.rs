//! Which versions the words are tried on, and what is said when they open another one than the
//! newest, or none.
//!
//! Headers are the hub's word: they sort the attempts and decide nothing. Only ceremony versions are
//! made with the words; of each code the newest is tried, the newest first, at most sixteen. So a
//! box that pushes garbage under new code ids costs time, and an older code of the same box still
//! opens what it opened.

use std::{collections::BTreeSet, fmt, num::NonZeroU64};

use tenwords_protocol::{
    id::BoxId,
    time::Timestamp,
    version::{Kind, StoredHeader},
};
use thiserror::Error;

use crate::{
    code::RecoveryCode,
    open::{self, KeyOpener, OpenError, OpenedEscrow, Parts},
    root::CodeLabel,
};

/// The most versions that are tried without being named.
pub const MAX_TRIED: usize = 16;

/// A version to try, as its header describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The hub's number for it.
    pub number: NonZeroU64,
    /// The code that it says it lies under.
    pub code: CodeLabel,
    /// When it says it was made.
    pub made_at: Timestamp,
}

/// The versions to try, in their order, and how many are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    candidates: Vec<Candidate>,
    left_out: usize,
    older_versions: usize,
}

/// Why there is nothing to try.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelectError {
    /// The box has never held a ceremony.
    #[error("this box has no version that was made with the words")]
    NoCeremony,
    /// No such version.
    #[error("this box has no version {0}")]
    NoSuchVersion(NonZeroU64),
    /// An update version lies on a ceremony version; that one is opened.
    #[error("version {0} is an update; name the version that was made with the words")]
    NotACeremony(NonZeroU64),
}

/// What the words opened.
#[derive(Debug)]
pub struct Opened<E> {
    /// The hub's number of the version.
    pub number: NonZeroU64,
    /// The version itself.
    pub escrow: OpenedEscrow<E>,
    /// The code that opened it, where that is another reading of what was typed (`yo-yo` for
    /// `yoyo`).
    pub other_reading: Option<RecoveryCode>,
    /// Set if the words are those of an older code than the newest version's.
    pub older: Option<OlderCode>,
}

/// The words opened an older code's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OlderCode {
    /// The code that opened, by its root.
    pub opened: CodeLabel,
    /// When that version was made, by its root.
    pub made_at: Timestamp,
    /// The number of the newest version's code, by its header.
    pub newest: NonZeroU64,
}

/// The words opened nothing. This is never "wrong password": it says what was tried.
#[derive(Debug, Error)]
pub struct NoneOpened {
    /// The lowest and the highest number of the codes that were tried, by their headers.
    pub codes: (NonZeroU64, NonZeroU64),
    /// How many codes of the box were not tried.
    pub left_out: usize,
    /// How many older versions of the codes that were tried were not; they can be named.
    pub older_versions: usize,
    /// Versions that could not even be tried, and why.
    pub refused: Vec<(NonZeroU64, OpenError)>,
}

/// Why trying ended without an opened version.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TryError<F: std::error::Error + 'static> {
    /// A version could not be fetched.
    #[error("version {number} cannot be fetched")]
    Fetch {
        /// The version.
        number: NonZeroU64,
        /// Why.
        source: F,
    },
    /// The words opened nothing.
    #[error(transparent)]
    NoneOpened(NoneOpened),
    /// The words opened the root, and the version is not what that root says. Somebody changed it.
    #[error("version {number} opened with these words and is refused")]
    Refused {
        /// The version.
        number: NonZeroU64,
        /// Why.
        source: OpenError,
    },
}

impl Selection {
    /// Chooses among a box's headers, in whatever order they come. `named` is a version that a
    /// person asked for.
    ///
    /// # Errors
    /// [`SelectError`] if there is nothing to try.
    pub fn choose(headers: &[StoredHeader], named: Option<NonZeroU64>) -> Result<Self, SelectError> {
        if let Some(number) = named {
            let header = headers.iter().find(|header| header.number == number);
            return match header.ok_or(SelectError::NoSuchVersion(number))? {
                header if header.header.facts().kind == Kind::Ceremony => {
                    Ok(Self { candidates: vec![Candidate::of(header)], left_out: 0, older_versions: 0 })
                }
                _ => Err(SelectError::NotACeremony(number)),
            };
        }
        let mut newest_first: Vec<&StoredHeader> =
            headers.iter().filter(|header| header.header.facts().kind == Kind::Ceremony).collect();
        newest_first.sort_by_key(|header| std::cmp::Reverse(header.number));
        let ceremonies = newest_first.len();
        let mut seen = BTreeSet::new();
        let mut candidates: Vec<Candidate> = newest_first
            .into_iter()
            .filter(|header| seen.insert(header.header.facts().code_id))
            .map(Candidate::of)
            .collect();
        let left_out = candidates.len().saturating_sub(MAX_TRIED);
        let older_versions = ceremonies - candidates.len();
        candidates.truncate(MAX_TRIED);
        if candidates.is_empty() {
            Err(SelectError::NoCeremony)
        } else {
            Ok(Self { candidates, left_out, older_versions })
        }
    }

    /// The versions, in the order in which they are tried.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// How many codes have versions that are not tried unless they are named.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// How many older ceremony versions of the same codes are not tried unless they are named. A box
    /// that was broken into can have pushed a newest one that nothing opens.
    #[must_use]
    pub const fn older_versions(&self) -> usize {
        self.older_versions
    }

    /// Tries the words on each candidate until one opens.
    ///
    /// A version whose root is turned away at the door is passed over, since a box can push anything
    /// under a new code id; it is named if nothing else opens. A version whose root *opens* and is
    /// then found changed ends the attempt: these are the right words, and somebody tampered.
    ///
    /// # Errors
    /// [`TryError`].
    pub fn try_words<O: KeyOpener, F: std::error::Error + 'static>(
        &self,
        box_id: BoxId,
        code: &RecoveryCode,
        client: &O,
        mut fetch: impl FnMut(NonZeroU64) -> Result<Parts, F>,
    ) -> Result<Opened<O::Error>, TryError<F>> {
        let readings = code.other_readings();
        let mut refused = Vec::new();
        for candidate in &self.candidates {
            let number = candidate.number;
            let parts = fetch(number).map_err(|source| TryError::Fetch { number, source })?;
            for (index, reading) in std::iter::once(code).chain(&readings).enumerate() {
                match open::open_ceremony(&parts, box_id, reading, client) {
                    Ok(escrow) => {
                        let other_reading = index.checked_sub(1).and_then(|other| readings.into_iter().nth(other));
                        return Ok(self.opened(number, escrow, other_reading));
                    }
                    Err(error) if error.is_wrong_words() => {}
                    Err(error) if error.is_before_opening() => {
                        refused.push((number, error));
                        break;
                    }
                    Err(source) => return Err(TryError::Refused { number, source }),
                }
            }
        }
        let Self { left_out, older_versions, .. } = *self;
        Err(TryError::NoneOpened(NoneOpened { codes: self.codes(), left_out, older_versions, refused }))
    }

    fn opened<E>(&self, number: NonZeroU64, escrow: OpenedEscrow<E>, other_reading: Option<RecoveryCode>) -> Opened<E> {
        let facts = escrow.root().facts();
        let older = self.candidates.first().filter(|newest| newest.number != number).map(|newest| OlderCode {
            opened: facts.code,
            made_at: facts.made_at,
            newest: newest.code.number,
        });
        Opened { number, escrow, other_reading, older }
    }

    fn codes(&self) -> (NonZeroU64, NonZeroU64) {
        let numbers = || self.candidates.iter().map(|candidate| candidate.code.number);
        let lowest = numbers().min().unwrap_or(NonZeroU64::MIN);
        (lowest, numbers().max().unwrap_or(lowest))
    }
}

impl Candidate {
    fn of(header: &StoredHeader) -> Self {
        let facts = header.header.facts();
        let code = CodeLabel { number: facts.code_number, id: facts.code_id };
        Self { number: header.number, code, made_at: facts.made_at }
    }
}

impl fmt::Display for OlderCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opened, made_at, newest } = self;
        let date = date(*made_at);
        write!(f, "these words open code {} ({date}); the newest escrow is under code {newest}", opened.number)
    }
}

impl fmt::Display for NoneOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lowest, highest) = self.codes;
        f.write_str("these words open no version of this box (")?;
        if lowest == highest {
            write!(f, "code {lowest}")?;
        } else {
            write!(f, "codes {lowest} to {highest}")?;
        }
        if self.left_out > 0 {
            write!(f, "; {} older ones were not tried and can be named", self.left_out)?;
        }
        f.write_str(")")?;
        if !self.refused.is_empty() {
            let numbers: Vec<_> = self.refused.iter().map(|(number, _)| number.to_string()).collect();
            write!(f, "; version {} is not an escrow of ours and was passed over", numbers.join(", "))?;
        }
        Ok(())
    }
}

/// `3 March 2026`.
#[must_use]
pub fn date(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let written = time.to_string();
    let mut fields = written.split(['-', 'T']);
    let (year, month, day) = (fields.next(), fields.next(), fields.next());
    let month = month.and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?));
    match (year, month, day) {
        (Some(year), Some(month), Some(day)) => format!("{} {month} {year}", day.trim_start_matches('0')),
        _ => written,
    }
}
