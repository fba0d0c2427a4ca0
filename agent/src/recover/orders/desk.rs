//! Where orders are asked for, and where answers are judged.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::order::{self, CheckedOrder};
use tenwords_protocol::{
    bounded::Text,
    bytes::Base64,
    code16::Code16,
    hash::Sha256,
    id::NodeId,
    order::{Challenge, OperatorsSeen, code},
    orders::{AskRequest, OutcomeKind, OutcomeRequest},
    time::Timestamp,
    v1::V1,
};

use super::{Inbox, Permit, Wish, inbox::Answer, permit};
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    hub::Hub,
    interrupt,
    recover::{
        course::{Begun, Event, Open},
        journal::Journal,
        log::Log,
        operators::Pinned,
        plan::chain,
    },
    seat::Seat,
    settings::Configuration,
    show::harmless,
};

/// How long one request to the hub waits for an answer; so long, at most, a signal is not heard.
const AT_ONCE: Duration = Duration::from_secs(5);
/// More refusals are counted and not kept: a hub could send them for ever.
const REFUSALS_KEPT: usize = 100;

/// What orders of one recovery are asked for and judged with.
pub(crate) struct Desk<'d> {
    configuration: &'d Configuration,
    log: &'d Log,
    begun: &'d Begun,
    pub(crate) hub: Option<&'d Hub>,
    node_id: Option<NodeId>,
    pinned: &'d Pinned,
    good: RefCell<Vec<CheckedOrder>>,
    /// What could not be left at the hub yet.
    unposted: RefCell<BTreeSet<Challenge>>,
    /// Challenges that other rooms than the plan have asked for in this run.
    elsewhere: RefCell<BTreeSet<Challenge>>,
}

/// An order that is asked for.
pub(crate) struct Asked {
    pub(crate) challenge: Challenge,
    pub(crate) code: Code16,
    /// Where its exact text lies.
    pub(crate) file: PathBuf,
}

impl<'d> Desk<'d> {
    pub(crate) fn new(
        configuration: &'d Configuration,
        log: &'d Log,
        begun: &'d Begun,
        (hub, node_id): (Option<&'d Hub>, Option<NodeId>),
        pinned: &'d Pinned,
    ) -> Self {
        let (good, elsewhere, unposted) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { configuration, log, begun, hub, node_id, pinned, good, unposted, elsewhere }
    }

    /// The same for what is no thing of the plan: it goes on being asked for whatever the plan says.
    pub(crate) fn ask_elsewhere(&self, wish: &Wish, seat: &mut dyn Seat) -> Outcome<Asked> {
        let asked = self.ask(wish, seat)?;
        self.elsewhere.borrow_mut().insert(asked.challenge);
        Ok(asked)
    }

    pub(crate) fn asked_elsewhere(&self) -> BTreeSet<Challenge> {
        self.elsewhere.borrow().clone()
    }

    /// Why nothing can be ordered here at all.
    pub(crate) fn cannot_order(&self) -> Option<String> {
        self.pinned.cannot_order()
    }

    /// Asks for it, if it is not asked for already: drawn, kept, written, shown and posted.
    pub(crate) fn ask(&self, wish: &Wish, seat: &mut dyn Seat) -> Outcome<Asked> {
        let (now, operators) = (Timestamp::now(), self.pinned.seen());
        let open = self.open().into_iter().find(|open| {
            wish.is_asked_by(open, self.node_id, operators, now)
                && !permit::is_used(self.configuration, open.order.challenge)
        });
        let is_known = open.is_some();
        let open = match open {
            Some(open) => open,
            None => self.draw(wish, operators, now)?,
        };
        let (challenge, code) = (open.order.challenge, code(&open.text));
        let file = folder(self.configuration).join(format!("{code}.order"));
        let cannot = || format!("the order's text cannot be written to {}", file.display());
        durable::folder(&folder(self.configuration), 0o700).or_stop(Code::Preflight, cannot)?;
        durable::replace("order-text", &file, 0o644, &open.text).or_stop(Code::Preflight, cannot)?;
        // A hub that has not taken one is not asked again for each of the others.
        let posted = match self.unposted.borrow().is_empty() {
            true => self.post(&open),
            false => Err("it did not take the one before".to_owned()),
        };
        if let Err(why) = posted {
            self.unposted.borrow_mut().insert(challenge);
            seat.say(&format!("  note: the order {code} could not be left at the hub: {}", harmless(&why, 300)));
        }
        let since = if is_known { format!(", since {}", open.order.issued) } else { String::new() };
        seat.say(&format!("  ORDER {code} is asked for{since}: {}", open.order.op()));
        wish.destroys.iter().for_each(|line| seat.say(&format!("    {}", harmless(line, 400))));
        Ok(Asked { challenge, code, file })
    }

    /// Closes the challenges of what is not wished for any more.
    pub(crate) fn withdraw_all_but(&self, wanted: &BTreeSet<Challenge>, why: &str) -> Outcome<()> {
        let mut is_heard = true;
        for open in self.open().iter().filter(|open| !wanted.contains(&open.order.challenge)) {
            let (at, challenge) = (Timestamp::now(), open.order.challenge);
            self.log.note(Event::OrderWithdrawn { at, challenge, why: why.to_owned() })?;
            self.good.borrow_mut().retain(|good| good.order().challenge != challenge);
            is_heard = is_heard && self.tell(Sha256::of(&open.text), OutcomeKind::Withdrawn, why);
        }
        self.take_texts_away();
        Ok(())
    }

    /// Looks for answers, and judges each. Good ones are kept for [`Self::permit`]; the others are told, and
    /// written down. If the hub has none, it is waited for so long.
    pub(crate) fn look(&self, inbox: &mut Inbox, wait: Duration, seat: &mut dyn Seat) -> Outcome<()> {
        let mut answers = inbox.of_given();
        let open = self.open();
        if let (Some(hub), false) = (self.hub, open.is_empty()) {
            let wait = if answers.is_empty() { wait } else { Duration::ZERO };
            // That it is silent was said; what lies in files counts without it.
            answers.extend(inbox.of_hub((hub, self.begun.box_id), &open, wait, seat).unwrap_or_default());
        }
        let mut refused = BTreeMap::new();
        for answer in answers {
            if interrupt::is_ending() {
                break;
            }
            refused.extend(self.judge(answer, seat)?);
        }
        // Once for each order, and to a hub that does not answer not once more.
        for (order, why) in refused {
            if !self.tell(order, OutcomeKind::Refused, &why) {
                break;
            }
        }
        Ok(())
    }

    /// Waits for an answer where one can come from: at the hub, or at the terminal if somebody `asks` there. Says
    /// whether there is any sense in going on.
    pub(crate) fn wait_where_one_comes(
        &self,
        inbox: &mut Inbox,
        (until, asks): (Instant, bool),
        seat: &mut dyn Seat,
    ) -> Outcome<bool> {
        match self.hub {
            Some(_) => self.wait(inbox, until, seat).map(|()| true),
            None if asks => self.pasted(seat),
            None => Ok(false),
        }
    }

    /// Looks until there is one more that is good, or the time is over.
    fn wait(&self, inbox: &mut Inbox, until: Instant, seat: &mut dyn Seat) -> Outcome<()> {
        let before = self.good.borrow().len();
        while Instant::now() < until && !interrupt::is_ending() {
            let began = Instant::now();
            self.post_again();
            self.look(inbox, AT_ONCE.min(until.saturating_duration_since(began)), seat)?;
            if self.good.borrow().len() > before {
                break;
            }
            // A hub that does not answer, or at once, is not asked without a pause.
            while began.elapsed() < AT_ONCE / 5 && !interrupt::is_ending() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    /// Asks for a signature to be pasted; says whether anything was.
    fn pasted(&self, seat: &mut dyn Seat) -> Outcome<bool> {
        let Some(answer) = Inbox::pasted(seat)? else { return Ok(false) };
        self.judge(answer, seat)?;
        Ok(true)
    }

    /// What was ordered under this challenge, if it was: for one act, which uses it up.
    pub(crate) fn permit(&self, challenge: Challenge) -> Option<Permit> {
        let mut good = self.good.borrow_mut();
        let place = good.iter().position(|checked| checked.order().challenge == challenge)?;
        Some(Permit::of(good.remove(place), self.configuration))
    }

    /// Says at the hub what has come of it, and whether it heard that. That it did not changes nothing.
    pub(crate) fn tell(&self, order: Sha256, outcome: OutcomeKind, said: &str) -> bool {
        let request = OutcomeRequest { v: V1, outcome, said: Text::cut(said) };
        let Some(hub) = self.hub else { return true };
        let told = hub.outcome(self.begun.box_id, order, &request);
        if let Err(error) = &told {
            tracing::info!(%error, "the hub did not hear what came of an order");
        }
        told.is_ok()
    }

    /// Takes away the texts that nobody is to sign any more: of orders that are used, or not asked for.
    pub(crate) fn take_texts_away(&self) {
        let open: BTreeSet<String> = self.open().iter().map(|open| format!("{}.order", code(&open.text))).collect();
        let texts = std::fs::read_dir(folder(self.configuration)).into_iter().flatten().flatten();
        for text in texts {
            let name = text.file_name();
            let is_text = Path::new(&name).extension().is_some_and(|extension| extension == "order");
            if is_text
                && name.to_str().is_none_or(|name| !open.contains(name))
                && let Err(error) = std::fs::remove_file(text.path())
            {
                tracing::debug!(%error, "an order's text");
            }
        }
    }

    fn draw(&self, wish: &Wish, operators: OperatorsSeen, now: Timestamp) -> Outcome<Open> {
        let cannot = || "the order cannot be written".to_owned();
        let challenge = Challenge::draw(&mut UnwrapErr(SysRng));
        let order = wish.order(self.begun, self.node_id, operators, challenge, now);
        let text = order.to_text().or_stop(Code::Internal, cannot)?;
        let kept = String::from_utf8(text.clone()).or_stop(Code::Internal, cannot)?;
        self.log.note(Event::OrderAsked { at: now, text: kept })?;
        Ok(Open { order, text })
    }

    /// One of those that could not be left at the hub.
    fn post_again(&self) {
        let unposted = self.unposted.borrow().first().copied();
        let Some(challenge) = unposted else { return };
        let open = self.log.tell(|course| course.orders().open(challenge).cloned());
        if open.is_none_or(|open| self.post(&open).is_ok()) {
            self.unposted.borrow_mut().remove(&challenge);
        }
    }

    fn post(&self, open: &Open) -> Result<(), String> {
        let Some(hub) = self.hub else { return Ok(()) };
        let request = AskRequest { v: V1, order: Base64(open.text.clone()), expires_at: open.order.expires };
        hub.ask_order(self.begun.box_id, &request).map(drop).map_err(|error| error.to_string())
    }

    /// Judges one; a refusal comes back with the order that it was to.
    fn judge(&self, answer: Answer, seat: &mut dyn Seat) -> Outcome<Option<(Sha256, String)>> {
        let Answer { place, to, offered } = answer;
        let open = self.open();
        let texts = open.iter().map(|open| open.text.as_slice());
        let judged = match self.pinned.for_orders() {
            Some(list) => offered
                .and_then(|offered| order::check(&offered, texts, list, Timestamp::now()))
                .map_err(|refusal| (chain(&refusal), refusal.next_step())),
            None => Err((self.cannot_order().unwrap_or_default(), "tell the operator: box and operator disagree")),
        };
        let (why, step) = match judged {
            Ok(checked) if permit::is_used(self.configuration, checked.order().challenge) => {
                ("it was used before".to_owned(), "an order counts once: have the one signed that this run asks for")
            }
            Ok(checked) => {
                let said = format!("order {} from {place}, signed by {}", checked.code(), checked.signer());
                tracing::info!(said, "an order is good");
                seat.say(&format!("  {}: good", harmless(&said, 300)));
                let mut good = self.good.borrow_mut();
                let challenge = checked.order().challenge;
                if good.iter().all(|other| other.order().challenge != challenge) {
                    good.push(checked);
                }
                return Ok(None);
            }
            Err(refused) => refused,
        };
        seat.say(&format!("  REFUSED: the order from {}: {why}", harmless(&place, 200)));
        seat.say(&format!("    what to do: {step}"));
        tracing::info!(place, why, "an order was refused");
        if self.log.tell(|course| course.orders().refused()) < REFUSALS_KEPT {
            self.log.note(Event::OrderRefused { at: Timestamp::now(), order: to, why: why.clone() })?;
        }
        Ok(to.map(|to| (to, why)))
    }

    fn open(&self) -> Vec<Open> {
        self.log.tell(|course| course.orders().all_open().cloned().collect())
    }
}

/// Where the texts of a recovery's orders lie.
pub(crate) fn folder(configuration: &Configuration) -> PathBuf {
    Journal::folder(configuration).join("orders")
}
