//! Where answers to orders come from: files that somebody has brought, the hub, and what is pasted. None of
//! these is believed; each answer is looked at once a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use tenwords_escrow::order::{Offered, OrderRefusal};
use tenwords_protocol::{
    bytes::Base64,
    hash::Sha256,
    id::BoxId,
    order::{MAX_ORDER_BYTES, MAX_SIGNATURE_BYTES, SignedOrder},
    orders::MAX_ANSWERS,
    v1::V1,
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    hub::{Hub, HubError},
    recover::course::Open,
    seat::Seat,
};

/// A file with a signed order in it has at most so many bytes: both in base64, and what stands around.
const LIMIT: u64 = ((MAX_ORDER_BYTES + MAX_SIGNATURE_BYTES) * 2) as u64;

/// One answer, and where it came from.
pub(super) struct Answer {
    pub(super) place: String,
    /// The order that it is said to be to.
    pub(super) to: Option<Sha256>,
    pub(super) offered: Result<Offered, OrderRefusal>,
}

/// What has come, and what was looked at.
#[derive(Default)]
pub(crate) struct Inbox {
    /// From files, not yet looked at.
    given: Vec<Answer>,
    /// The hub's number of the last answer that was read.
    read_until: u64,
    seen: BTreeSet<Sha256>,
    /// How many answers to each order were looked at. A hub takes no more from operators; one that sends more is
    /// not listened to.
    counts: BTreeMap<Sha256, usize>,
    /// The hub was silent when it was last asked, and that was said.
    was_silent: bool,
}

impl Inbox {
    /// With what lies in these files.
    pub(crate) fn of_files(paths: &[PathBuf]) -> Outcome<Self> {
        let mut inbox = Self::default();
        for path in paths {
            let cannot = || format!("the signed order {} cannot be read", path.display());
            let text = durable::read_limited(path, LIMIT).or_stop(Code::Usage, cannot).map_err(|stop| {
                stop.remedy("name the file that `tenwords order sign` or `ssh-keygen -Y sign` has written")
            })?;
            let offered = Offered::parse(&text);
            inbox.given.push(Answer { place: path.display().to_string(), to: None, offered });
        }
        Ok(inbox)
    }

    /// What the files have brought, the first time that it is asked for.
    pub(super) fn of_given(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.given)
    }

    /// What the hub has for these orders. If that is nothing, it is waited for so long.
    pub(super) fn of_hub(
        &mut self,
        (hub, box_id): (&Hub, BoxId),
        open: &[Open],
        wait: Duration,
        seat: &mut dyn Seat,
    ) -> Result<Vec<Answer>, HubError> {
        let list = match hub.answers(box_id, self.read_until, wait) {
            Ok(list) => list,
            Err(error) => {
                if !std::mem::replace(&mut self.was_silent, true) {
                    seat.say(&format!("  note: the hub cannot be asked for orders now: {error}"));
                }
                return Err(error);
            }
        };
        if std::mem::take(&mut self.was_silent) {
            seat.say("  note: the hub can be asked for orders again");
        }
        let mut answers = Vec::new();
        for answer in list.answers.iter() {
            self.read_until = self.read_until.max(answer.number.get());
            let to = open.iter().find(|open| Sha256::of(&open.text) == answer.order);
            let signature = answer.signature.as_str();
            // To what is not asked any more, or a second time the same.
            let Some(to) = to else { continue };
            let count = self.counts.entry(answer.order).or_default();
            if *count >= MAX_ANSWERS
                || !self.seen.insert(Sha256::of(format!("{}\n{signature}", answer.order).as_bytes()))
            {
                continue;
            }
            *count += 1;
            let signed = SignedOrder { v: V1, order: Base64(to.text.clone()), signature: signature.to_owned() };
            let offered = Ok(Offered::Signed(signed));
            answers.push(Answer { place: "the hub".to_owned(), to: Some(answer.order), offered });
        }
        Ok(answers)
    }

    /// What somebody pastes. Nothing if he does not.
    pub(super) fn pasted(seat: &mut dyn Seat) -> Outcome<Option<Answer>> {
        let text = seat.ask_signature("Paste the operator's signature (from BEGIN to END), or press Enter to end: ")?;
        let offered = (!text.is_empty()).then(|| Offered::parse(text.as_bytes()));
        Ok(offered.map(|offered| Answer { place: "what was pasted".to_owned(), to: None, offered }))
    }
}
