//! Asks for the ten words, and tries them on what somebody keeps of a box.
//!
//! Ceremony, drills and recovery come through here. Headers and places sort the attempts; what opens
//! has proved itself.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use pbs_driver::Client;
use tenwords_escrow::{
    code::RecoveryCode,
    door::{self, AgePart},
    open::Parts,
    select::{Candidate, MAX_TRIED, NoneOpened, OlderCode, Opened, SelectError, Selection, TryError},
};
use tenwords_protocol::{
    directive::Directive,
    hash::Sha256,
    id::BoxId,
    json,
    operators::Pins,
    part::PartName,
    version::{Kind, PartEntry, StoredHeader},
};

use crate::{
    added::Added,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::{Hub, HubError},
    interrupt,
    kits::Kits,
    language::Talk,
    openers::{ByClient, ByClientError},
    recover::plan::chain,
    seat::Seat,
};

/// How often the words may be typed wrong before the command ends.
const ATTEMPTS: usize = 3;
/// How many kits that say to be newer are tried after one has opened.
const MORE_TRIED: usize = 8;
/// On how many of the newest codes' roots a slip is searched for: one is a minute's work.
const ROOTS_SEARCHED: usize = 2;
/// From so many update versions pins statements are read, at most.
const MOST_PINS: usize = 64;

/// An opened escrow, with what the client said of each key.
pub(crate) type OpenedEscrow = Opened<ByClientError>;

/// Who keeps versions that the words may open.
#[derive(Clone, Copy)]
pub(crate) enum Holder<'a> {
    Hub { hub: &'a Hub, box_id: BoxId },
    Kits(&'a Kits),
}

/// What the words are tried on: for each box that it may be, its versions.
pub(crate) struct Candidates<'a> {
    holder: Holder<'a>,
    boxes: Vec<OfBox>,
    /// A person named one version: no other is tried.
    is_named: bool,
}

struct OfBox {
    id: BoxId,
    versions: Vec<StoredHeader>,
    selection: Selection,
}

// === impl Holder ===

impl Holder<'_> {
    fn boxes(&self) -> Vec<BoxId> {
        match self {
            Self::Hub { box_id, .. } => vec![*box_id],
            Self::Kits(kits) => kits.boxes(),
        }
    }

    /// The headers that the words may need: the one that was named, or the newest until so many codes
    /// are among them as are tried.
    fn versions(&self, of: BoxId, named: Option<NonZeroU64>) -> Outcome<Vec<StoredHeader>> {
        match (self, named) {
            (Self::Kits(kits), _) => Ok(kits.versions(of)),
            (Self::Hub { hub, .. }, Some(number)) => Ok(hub.version(of, number)?.into_iter().collect()),
            (Self::Hub { hub, .. }, None) => Ok(hub.versions_until(of, has_enough)?),
        }
    }

    fn parts(&self, of: BoxId, stored: &StoredHeader) -> Result<Parts, HubError> {
        match self {
            Self::Hub { hub, .. } => hub.parts(of, stored),
            Self::Kits(kits) => kits.parts(stored.number).ok_or(HubError::NotFound),
        }
    }

    /// Where a version lies, for a person.
    pub(crate) fn place(&self, number: NonZeroU64, talk: &Talk) -> String {
        match self {
            Self::Hub { .. } => (talk.at_hub)(number.get()),
            Self::Kits(kits) => kits.place(number),
        }
    }

    /// The kit with this root of this box.
    pub(crate) fn kit_of_root(&self, of: BoxId, root_sha256: Sha256) -> Option<NonZeroU64> {
        let Self::Kits(kits) = self else { return None };
        let of_box = kits.versions(of).into_iter();
        of_box.filter(|stored| stored.header.facts().root_sha256 == root_sha256).map(|stored| stored.number).next()
    }

    /// What is suggested to restore, by a hub: it is asked before anybody types the words.
    pub(crate) fn directive(&self) -> Outcome<Option<Directive>> {
        match self {
            Self::Hub { hub, box_id } => Ok(hub.directive(*box_id)?),
            Self::Kits(_) => Ok(None),
        }
    }

    /// The pins statements that lie there, whatever they are worth: at the hub those that operators have left
    /// there and those in update versions on what was opened, in a kit what it carries.
    pub(crate) fn pins(&self, opened: &OpenedEscrow) -> Result<Vec<Pins>, HubError> {
        let mut found = Vec::new();
        let mut add = |parts: &Parts| {
            let pins = parts.iter().filter(|(name, _)| matches!(name, PartName::Pins(_)));
            // What cannot be read is no statement, and nobody misses it.
            found.extend(pins.filter_map(|(_, text)| json::from_slice::<Pins>(text).ok()));
        };
        match self {
            Self::Kits(kits) => kits.update_parts(opened.number).for_each(&mut add),
            Self::Hub { hub, box_id } => {
                let is_of = |stored: &&StoredHeader| {
                    let facts = stored.header.facts();
                    let has_pins = stored.header.parts().iter().any(|part| matches!(part.name, PartName::Pins(_)));
                    facts.kind == Kind::Update && facts.root_sha256 == opened.escrow.root_sha256() && has_pins
                };
                let versions = hub.versions_until(*box_id, |so_far| {
                    so_far.last().is_some_and(|stored| stored.number <= opened.number)
                })?;
                for stored in versions.iter().filter(is_of).take(MOST_PINS) {
                    add(&hub.parts(*box_id, stored)?);
                }
                // What operators have left there is read first: of the others whoever has stolen the box can make
                // as many as he likes.
                let mut all: Vec<Pins> = hub.pins(*box_id)?.pins.iter().cloned().collect();
                all.append(&mut found);
                return Ok(all);
            }
        }
        Ok(found)
    }

    /// What the kit suggests that was opened.
    pub(crate) fn directive_with(&self, number: NonZeroU64) -> Option<Directive> {
        match self {
            Self::Hub { .. } => None,
            Self::Kits(kits) => kits.directive(number),
        }
    }
}

fn has_enough(versions: &[StoredHeader]) -> bool {
    let facts = versions.iter().map(|stored| stored.header.facts());
    let codes: BTreeSet<_> = facts.filter(|facts| facts.kind == Kind::Ceremony).map(|facts| facts.code_id).collect();
    codes.len() > MAX_TRIED
}

// === impl Candidates ===

impl<'a> Candidates<'a> {
    /// Of a holder; `named` is a version that a person asked for.
    pub(crate) fn of(holder: Holder<'a>, named: Option<NonZeroU64>) -> Outcome<Self> {
        let (mut boxes, mut why) = (Vec::new(), None);
        if let Holder::Kits(kits) = holder {
            boxes = one_by_one(kits, named);
        }
        for id in holder.boxes().into_iter().filter(|_| matches!(holder, Holder::Hub { .. })) {
            let versions = holder.versions(id, named)?;
            match Selection::choose(&versions, named) {
                Ok(selection) => boxes.push(OfBox { id, versions, selection }),
                Err(error) => why = Some(error),
            }
        }
        if boxes.is_empty() {
            return Err(why.unwrap_or(SelectError::NoCeremony))
                .or_stop(Code::Preflight, || match holder {
                    Holder::Hub { .. } => "there is nothing at the hub that ten words could open".to_owned(),
                    Holder::Kits(_) => "there is nothing there that ten words could open".to_owned(),
                })
                .map_err(|stop| {
                    stop.remedy("ask the operator whether this is the right box, and what versions are kept of it")
                });
        }
        Ok(Self { holder, boxes, is_named: named.is_some() })
    }

    /// The version that is tried first.
    pub(crate) fn newest(&self) -> Option<&Candidate> {
        self.boxes.first().and_then(|of_box| of_box.selection.candidates().first())
    }

    /// All headers of a box that were asked for.
    pub(crate) fn versions(&self, of: BoxId) -> Vec<StoredHeader> {
        self.boxes.iter().filter(|of_box| of_box.id == of).flat_map(|of_box| of_box.versions.clone()).collect()
    }

    /// Asks for the words, if they were not given, and opens with them. `heading` says above them what
    /// for.
    pub(crate) fn open(
        &self,
        given: Option<RecoveryCode>,
        client: &Client,
        heading: &str,
        seat: &mut dyn Seat,
    ) -> Outcome<(OpenedEscrow, RecoveryCode)> {
        let left_out: usize = self.boxes.iter().map(|of_box| of_box.selection.left_out()).sum();
        if left_out > 0 {
            seat.say(&format!("  {left_out} older codes are not tried unless a version is named (--version N)"));
        }
        // What the words were tried on, for the search for a slip.
        let roots = RefCell::new(BTreeMap::new());
        if let Some(code) = given {
            let opened = self.try_words(&code, client, &roots).map_err(|error| refused(error, seat))?;
            return Ok(with_reading(opened, code));
        }
        let (sentences, talk) = (seat.sentences(), seat.talk());
        let mut heading = match self.newest() {
            Some(newest) => {
                format!("{heading}\n{}", (talk.take_sheet)(newest.code.number.get(), newest.made_at))
            }
            None => heading.to_owned(),
        };
        let mut before = None;
        for attempt in 1..=ATTEMPTS {
            let code = match before.take() {
                None => seat.words(&heading)?,
                Some(refused) => {
                    let newest: Vec<AgePart> = roots.take().into_values().rev().take(ROOTS_SEARCHED).collect();
                    seat.words_again(&heading, refused, &newest)?
                }
            };
            seat.say(sentences.opening);
            match self.try_words(&code, client, &roots) {
                Ok(opened) => return Ok(with_reading(opened, code)),
                Err(TryError::NoneOpened(none)) if attempt < ATTEMPTS => {
                    let newest = self.newest();
                    let sheet = newest.map(|newest| (talk.take_sheet)(newest.code.number.get(), newest.made_at));
                    let refused = match newest.filter(|_| self.is_named) {
                        Some(named) => (talk.not_of_code)(named.code.number.get()),
                        None => talk.none_opened(&none),
                    };
                    heading = format!("{refused}.\n{}\n{}", sheet.unwrap_or_default(), sentences.look_again);
                    seat.say(&heading);
                    before = Some(code);
                }
                Err(error) => return Err(refused(error, seat)),
            }
        }
        Err(Stop::new(Code::Internal, "the words were not asked for"))
    }

    /// Among kits the newest by time may be an old one that was put there again: of those that say to be
    /// newer, the words open the highest sequence by its *root*.
    fn newest_of(&self, first: OpenedEscrow, code: &RecoveryCode, client: &Client) -> OpenedEscrow {
        let facts = |opened: &OpenedEscrow| {
            let facts = opened.escrow.root().facts();
            (facts.box_id, facts.code, facts.sequence)
        };
        let (box_id, label, sequence) = facts(&first);
        let code_now = first.other_reading.as_ref().unwrap_or(code);
        let said = |of_box: &&OfBox| of_box.versions.first().map(|stored| stored.header.facts().sequence);
        let mut newer: Vec<&OfBox> =
            self.boxes.iter().filter(|of_box| of_box.id == box_id && said(of_box) > Some(sequence)).collect();
        newer.sort_by_key(|of_box| std::cmp::Reverse(said(of_box)));
        let mut better: Option<OpenedEscrow> = None;
        for OfBox { id, versions, selection } in newer.into_iter().take(MORE_TRIED) {
            let tried = selection.try_words(*id, code_now, &ByClient(client), |number| {
                let stored = versions.iter().find(|stored| stored.number == number).ok_or(HubError::NotFound)?;
                self.holder.parts(*id, stored)
            });
            if let Ok(opened) = tried
                && facts(&opened).2 > better.as_ref().map_or(sequence, |better| facts(better).2)
            {
                better = Some(opened);
            }
        }
        let mut best = match better {
            // What was typed is read as it was before.
            Some(better) => OpenedEscrow { other_reading: first.other_reading, ..better },
            None => first,
        };
        // Kits are tried one by one, so that the words are an older code's is seen only here.
        let newest = self.boxes.iter().filter(|of_box| of_box.id == box_id).flat_map(|of_box| &of_box.versions).next();
        if let Some(newest) = newest.map(|stored| stored.header.facts()).filter(|newest| newest.code_id != label.id) {
            let made_at = best.escrow.root().facts().made_at;
            best.older = Some(OlderCode { opened: label, made_at, newest: newest.code_number });
        }
        best
    }

    fn try_words(
        &self,
        code: &RecoveryCode,
        client: &Client,
        roots: &RefCell<BTreeMap<(BoxId, NonZeroU64), AgePart>>,
    ) -> Result<OpenedEscrow, TryError<HubError>> {
        let mut none: Option<NoneOpened> = None;
        let mut refused = None;
        for OfBox { id, versions, selection } in &self.boxes {
            // In kits that anybody may have put there, each is an attempt of its own, and takes its time.
            if interrupt::is_ending() {
                break;
            }
            let tried = selection.try_words(*id, code, &ByClient(client), |number| {
                let stored = versions.iter().find(|stored| stored.number == number).ok_or(HubError::NotFound)?;
                let parts = self.holder.parts(*id, stored)?;
                if let Some(root) = parts.get(&PartName::Root).and_then(|root| door::check_root(root).ok()) {
                    roots.borrow_mut().insert((*id, number), root);
                }
                Ok(parts)
            });
            match tried {
                Err(TryError::NoneOpened(this)) => {
                    none = Some(match none {
                        Some(other) => both(other, this),
                        None => this,
                    });
                }
                // Of a hub, that is the version that counts. A kit that was planted ends nothing for the others.
                Err(error @ TryError::Refused { .. }) if matches!(self.holder, Holder::Kits(_)) => {
                    refused.get_or_insert(error);
                }
                Ok(opened) if matches!(self.holder, Holder::Kits(_)) => return Ok(self.newest_of(opened, code, client)),
                result => return result,
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        Err(TryError::NoneOpened(none.unwrap_or(NoneOpened {
            codes: (NonZeroU64::MIN, NonZeroU64::MIN),
            left_out: 0,
            older_versions: 0,
            refused: Vec::new(),
        })))
    }
}

/// Each kit by itself, the newest of all boxes first; the same parts once. (The same root may lie beside
/// another key part, which is refused then, and must not stand in the genuine one's place.)
fn one_by_one(kits: &Kits, named: Option<NonZeroU64>) -> Vec<OfBox> {
    let mut versions: Vec<StoredHeader> = kits.boxes().into_iter().flat_map(|id| kits.versions(id)).collect();
    versions.sort_by_key(|stored| std::cmp::Reverse(stored.number));
    let mut seen: Vec<Vec<PartEntry>> = Vec::new();
    versions.retain(|stored| named.is_none_or(|number| stored.number == number));
    versions.retain(|stored| {
        let is_new = seen.iter().all(|parts| parts != stored.header.parts());
        seen.extend(is_new.then(|| stored.header.parts().to_vec()));
        is_new
    });
    let alone = |stored: StoredHeader| {
        let versions = vec![stored];
        let selection = Selection::choose(&versions, None).ok()?;
        Some(OfBox { id: versions[0].header.facts().box_id, versions, selection })
    };
    versions.into_iter().filter_map(alone).collect()
}

fn both(mut one: NoneOpened, other: NoneOpened) -> NoneOpened {
    one.codes = (one.codes.0.min(other.codes.0), one.codes.1.max(other.codes.1));
    one.left_out += other.left_out;
    one.older_versions += other.older_versions;
    one.refused.extend(other.refused);
    one
}

/// The code in the reading that opened: what is done with it afterwards goes under exactly that.
fn with_reading(mut opened: OpenedEscrow, typed: RecoveryCode) -> (OpenedEscrow, RecoveryCode) {
    let code = opened.other_reading.take().unwrap_or(typed);
    (opened, code)
}

fn refused(error: TryError<HubError>, seat: &dyn Seat) -> Stop {
    match error {
        TryError::Fetch { number, source } => {
            let stop = Stop::from(source);
            Stop::new(stop.code, format!("version {number} cannot be fetched: {}", stop.what))
                .remedy(stop.remedy.unwrap_or_else(|| "run the same command again".into()))
        }
        TryError::NoneOpened(none) => {
            let older = match none.older_versions {
                0 => String::new(),
                n => format!("; {n} older versions were not tried, and the operator can name one (--version N)"),
            };
            let damaged = match none.refused.is_empty() {
                true => "",
                false => {
                    " If the sheet is the right one, tell the operator: what the hub keeps is not what this box stored."
                }
            };
            Stop::new(Code::WordsWrong, seat.talk().none_opened(&none)).remedy(format!(
                "take the sheet with the right code number and date, and run the same command again{older}. Nothing \
                 was changed.{damaged} Whoever has lost the words: `tenwords-agent lost-words`"
            ))
        }
        TryError::Refused { number, source } => Stop::new(
            Code::GateRefused,
            format!("the words open version {number}, and what is kept beside it is not what was stored"),
        )
        .remedy("nothing was installed; tell the operator. An older version can be named with --version N")
        .because(source),
        other => Stop::new(Code::Internal, other.to_string()),
    }
}

/// What is to be known of how it was opened.
pub(crate) fn notes(opened: &OpenedEscrow, added: &Added) -> Vec<String> {
    let mut notes = Vec::new();
    for (key, error) in opened.escrow.not_by_client() {
        let why = if error.is_the_clients_own() { "could not be driven" } else { "did not open the copy" };
        notes.push(format!(
            "key {}: proxmox-backup-client {why} ({}); our own reading opened it, and it passed the same gate",
            key.short(),
            chain(error)
        ));
    }
    notes.extend(added.notes.iter().cloned());
    notes
}
