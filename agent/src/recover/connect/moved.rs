//! A source that is not any more where the root says: an order for its place is asked for, waited for where
//! nothing else can be done, and followed.
//!
//! Which certificate a server shows is looked at without any secret; the token goes to no other place than the
//! one that an operator has signed, by the certificate that he has signed. Whether it is the hub, the directive,
//! a switch or the network that names another place: none of them does more than have an order asked for.

use std::time::{Duration, Instant};

use pbs_driver::certificate::{PATIENCE, presented};
use tenwords_escrow::root::{Root, Source};
use tenwords_protocol::{
    order::{Act, Op, OrderedPlace},
    orders::OutcomeKind,
    time::Timestamp,
};

use super::{Answers, Asked, Asking, Connecting, Elsewhere, Kind, Roots, Tokens, Trouble, repoint, roots};
use crate::{
    exit::{Code, Outcome, Stop},
    interrupt,
    recover::orders::{Desk, Inbox, Permit, Wish},
    seat::Seat,
};

impl Asking<'_, '_> {
    /// What is wrong with a source of which a person says that it is elsewhere. Nothing if the root says so too.
    pub(super) fn look_elsewhere(&self, source: &Source) -> Option<Trouble> {
        let elsewhere = self.elsewhere.iter().find(|elsewhere| *elsewhere.source() == source.id)?;
        let at = format!("{}:{}", elsewhere.host(), elsewhere.port(source));
        match presented(elsewhere.host(), elsewhere.port(source).get(), PATIENCE) {
            Ok(shown) => {
                let place = elsewhere.place(source, shown.fingerprint());
                let says = repoint::in_short(source);
                (repoint::ordered(&place) != says).then(|| Trouble {
                    kind: Kind::Another,
                    stop: Stop::new(
                        Code::Preflight,
                        format!(
                            "source {}: --repoint names {at}; {} would have to be believed, and the escrow says {says}",
                            source.id,
                            repoint::ordered(&place)
                        ),
                    )
                    .remedy(
                        "compare the certificate on the server (proxmox-backup-manager cert info); only an order \
                         `repoint` lets this place be believed",
                    ),
                    place: Some(Box::new(place)),
                })
            }
            // As it would be without the switch.
            Err(_) if elsewhere.is_where(source) => None,
            Err(why) => Some(Trouble {
                kind: Kind::Silent,
                stop: Stop::new(
                    Code::Unreachable,
                    format!("source {}: nothing shows a certificate at {at}, which --repoint names: {why}", source.id),
                )
                .remedy("see that the server is on and can be reached from here, then run the same command again"),
                place: None,
            }),
        }
    }
}

impl<'a> Connecting<'_, 'a> {
    /// Refuses what can be asked for by nobody.
    pub(super) fn can_ask_for(&self, sources: &[Source]) -> Outcome<()> {
        let named: Vec<_> = self.asking.elsewhere.iter().map(Elsewhere::source).collect();
        let Some(first) = named.first() else { return Ok(()) };
        if self.desk.is_none() {
            return Err(Stop::new(Code::Usage, format!("--repoint {first}: {NO_DESK}"))
                .remedy("run the same command without --repoint"));
        }
        for (place, id) in named.iter().enumerate() {
            if !sources.iter().any(|source| source.id == **id) {
                let known: Vec<_> = sources.iter().map(|source| source.id.to_string()).collect();
                return Err(Stop::new(Code::Usage, format!("--repoint names {id}, which is no source of the escrow"))
                    .remedy(format!("its sources are {}: name one of them", known.join(", "))));
            }
            if named[..place].contains(id) {
                return Err(Stop::new(Code::Usage, format!("--repoint names two places for source {id}"))
                    .remedy("name the one where it is"));
            }
        }
        Ok(())
    }

    /// Asks for an order for each source that needs one, follows those that are signed, and waits for them if no
    /// source has anything otherwise, and nothing else is to be mended. Tells the root with which the recovery goes on.
    pub(super) fn follow_orders(
        &self,
        roots: &'a Roots,
        asked: &mut [Asked<'a>],
        given: &mut Tokens,
        answers: &mut Answers<'a>,
        (inbox, seat): (&mut Inbox, &mut dyn Seat),
    ) -> Outcome<&'a Root> {
        let Some(desk) = self.desk else {
            asked.iter_mut().for_each(|asked| asked.advise(Kind::Another, NO_DESK));
            return Ok(roots.root());
        };
        for source in asked.iter_mut() {
            self.ask_for_order(source, desk, seat)?;
        }
        let (until, mut at, mut is_told) = (Instant::now() + self.patience, roots, false);
        while asked.iter().any(|asked| asked.order.is_some()) {
            desk.look(inbox, Duration::ZERO, seat)?;
            let mut is_moved = false;
            for source in asked.iter_mut() {
                if let Some(permit) = source.order.and_then(|challenge| desk.permit(challenge)) {
                    at = self.follow(at, source, &permit, desk, seat)?;
                    let there = Connecting { asking: Asking { root: at.root(), ..self.asking }, ..*self };
                    there.ask_anew(source, given, answers, seat)?;
                    there.ask_for_order(source, desk, seat)?;
                    is_moved = true;
                }
            }
            if is_moved {
                continue;
            }
            let is_over = Instant::now() >= until || interrupt::is_ending();
            let is_all = asked.iter().all(|asked| asked.is_well_but_for(Kind::Ordered));
            if is_over || !is_all || self.unfit.is_some() || asked.iter().any(Asked::has_snapshots) {
                break;
            }
            if !std::mem::replace(&mut is_told, true) {
                seat.say(
                    "Nothing can be restored before an operator's order says where the backups are; Ctrl-C ends, and \
                     the same command goes on later.",
                );
            }
            if !desk.wait_where_one_comes(inbox, (until, self.asks), seat)? {
                break;
            }
        }
        self.withdraw_the_others(desk)?;
        Ok(at.root())
    }

    /// Asks for the order that a source needs, if it needs one.
    fn ask_for_order(&self, asked: &mut Asked<'a>, desk: &Desk<'_>, seat: &mut dyn Seat) -> Outcome<()> {
        let source = asked.source;
        let Some(place) = self.needed(asked) else { return Ok(()) };
        if let Err(stop) = roots::with(self.asking.root, &source.id, &place) {
            asked.advise_all(&format!("no order can say so: {}", stop.in_one_line()));
            return Ok(());
        }
        if let Some(why) = desk.cannot_order() {
            asked.advise_all(&format!("nothing can be ordered here: {why}"));
            return Ok(());
        }
        let wish = Wish {
            destroys: vec![
                format!("source {}, as the escrow says: {}", source.id, repoint::in_short(source)),
                format!("by this order: {}", repoint::ordered(&place)),
                "the token is given to that server then, and what it has is restored as far as it proves itself".into(),
            ],
            act: Act::Repoint { source: source.id.clone(), place },
            found: None,
        };
        let waits = desk.ask_elsewhere(&wish, seat)?;
        asked.order = Some(waits.challenge);
        let Some(Trouble { kind, stop, .. }) = asked.results.iter_mut().find_map(|result| result.as_mut().err()) else {
            return Ok(());
        };
        let former = stop.remedy.take().map_or(String::new(), |remedy| format!("{remedy}. "));
        *kind = Kind::Ordered;
        *stop = Stop::new(
            Code::WaitingForOrder,
            format!("{}; it waits for the order {}", stop.in_one_line(), waits.code),
        )
        .remedy(format!(
            "{former}It is asked for: have the operator compare the code {code} with what he sees (`tenwords order show \
             {code}`) and sign; without a hub, take {} to him and bring back what he signs (--order FILE). Then run the \
             same command again",
            waits.file.display(),
            code = waits.code,
        ));
        Ok(())
    }

    /// What an order has to say of it. What was asked for in an earlier run goes on counting while nobody is there.
    fn needed(&self, asked: &Asked<'a>) -> Option<OrderedPlace> {
        let id = &asked.source.id;
        let is_named = self.asking.elsewhere.iter().any(|elsewhere| elsewhere.source() == id);
        let seen = asked.results.iter().filter_map(|result| result.as_ref().err()?.place.as_deref().cloned()).next();
        if seen.is_some() {
            return seen.filter(|_| asked.is_wanted || is_named);
        }
        if !asked.is(Kind::Silent) {
            return None;
        }
        let now = Timestamp::now();
        self.log.tell(|course| {
            course.orders().all_open().find_map(|open| match &open.order.act {
                Act::Repoint { source, place } if source == id && now < open.order.expires => Some(place.clone()),
                _ => None,
            })
        })
    }

    /// Uses an order up. From here on the source is where it says.
    fn follow(
        &self,
        at: &'a Roots,
        asked: &Asked<'a>,
        permit: &Permit,
        desk: &Desk<'_>,
        seat: &mut dyn Seat,
    ) -> Outcome<&'a Roots> {
        // The text is ours and was found as it was written; what it says counts, not what was wished.
        let Act::Repoint { source, place } = &permit.order().act else {
            return Err(Stop::new(Code::Internal, "an order to repoint says something else"));
        };
        if *source != asked.source.id {
            return Err(Stop::new(Code::Internal, "an order to repoint names another source"));
        }
        let root = roots::with(at.root(), source, place)?;
        permit.redeem(self.log)?;
        desk.take_texts_away();
        seat.say(&format!("  source {source}, as ordered: {}", repoint::ordered(place)));
        desk.tell(permit.text_sha256(), OutcomeKind::Done, "the source is where the order says, from now on");
        Ok(at.followed_by(root))
    }

    /// Of what was asked for in earlier runs, only what is needed still can be signed.
    fn withdraw_the_others(&self, desk: &Desk<'_>) -> Outcome<()> {
        let mut wanted = desk.asked_elsewhere();
        wanted.extend(self.log.tell(|course| {
            let others = course.orders().all_open().filter(|open| open.order.op() != Op::Repoint);
            others.map(|open| open.order.challenge).collect::<Vec<_>>()
        }));
        desk.withdraw_all_but(&wanted, "the source is elsewhere by now, or answers where it was")
    }
}

const NO_DESK: &str = "nothing can be ordered in a rehearsal, or where a datastore's folder is read";
