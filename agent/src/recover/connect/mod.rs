//! Step 5: a way to the backup servers, if one has to be opened; which sources answer, and with what.
//!
//! This is the preflight after the words: every source of the root is asked before anything is touched,
//! and everything that is wrong is told at once. What can be mended here is mended here: a tunnel of the
//! escrow is started where somebody says so ([`tunnel`]), and a secret that a server takes no more is
//! asked for ([`token`]). What would change where data comes from is not mended but named ([`repoint`]), and
//! takes an operator's order ([`moved`]).

mod answers;
mod elsewhere;
#[cfg(test)]
mod made;
mod moved;
mod old_place;
mod repoint;
mod roots;
mod token;
mod tunnel;
mod units;
mod wireguard;

use std::{collections::BTreeMap, slice, time::Duration};

use pbs_driver::{Access, Client, DriverError, Failure, failure::Refusal, snapshot, snapshot::SnapshotInfo, status};
use tenwords_escrow::{
    root::{Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::{
    directive::{Directive, Name},
    order::{Challenge, OrderedPlace},
};

pub(crate) use self::{
    answers::Answers,
    elsewhere::Elsewhere,
    token::{SourceFile, Tokens},
};
use self::{answers::judge, tunnel::Tunnels};
pub(super) use self::{
    old_place::{at_the_old_place, instead},
    roots::{Roots, at_these_places},
};
use super::{
    log::Log,
    orders::{Desk, Inbox},
};
use crate::{
    exit::{Code, Outcome, Stop},
    interrupt,
    seat::Seat,
    second_holder,
    settings::Configuration,
    sources::{self, Way},
};

/// A source that answered, with everything needed to restore from it.
pub(crate) struct Connected<'a> {
    pub(crate) source: &'a Source,
    pub(crate) access: Access,
    pub(crate) snapshots: Vec<SnapshotInfo>,
}

/// What is needed to connect.
#[derive(Clone, Copy)]
pub(super) struct Connecting<'c, 'a> {
    pub(super) asking: Asking<'c, 'a>,
    pub(super) configuration: &'c Configuration,
    /// What this machine itself is not fit for.
    pub(super) unfit: Option<&'c Stop>,
    /// Whether there is somebody who can be asked.
    pub(super) asks: bool,
    /// Whether tunnels are started without asking.
    pub(super) starts: bool,
    /// Where an order is asked for. There is none in a rehearsal, and where a folder is read.
    pub(super) desk: Option<&'c Desk<'c>>,
    pub(super) log: &'c Log,
    /// How long an order is waited for where there is nothing else to do.
    pub(super) patience: Duration,
}

/// What is needed to ask sources.
#[derive(Clone, Copy)]
pub(super) struct Asking<'c, 'a> {
    pub(super) client: &'c Client,
    pub(super) root: &'a Root,
    pub(super) directive: Option<&'c Directive>,
    pub(super) way: Way,
    /// Where a person says that sources are.
    pub(super) elsewhere: &'c [Elsewhere],
    /// Secrets that came by updates, the newest first.
    pub(super) added: &'c BTreeMap<Name, Vec<TokenSecret>>,
}

/// How the sources of a living box answer: nothing is done about those that do not, and that nothing lies
/// there is for the caller to say.
pub(crate) fn as_they_are<'a>(
    client: &Client,
    root: &'a Root,
    added: &BTreeMap<Name, Vec<TokenSecret>>,
) -> Outcome<Answers<'a>> {
    let asking = Asking { client, root, directive: None, way: Way::Server, elsewhere: &[], added };
    let mut asked: Vec<Asked<'a>> = root.facts().trust.sources.iter().map(|source| asking.first(source)).collect();
    for asked in asked.iter_mut().filter(|asked| asked.is(Kind::Secret)) {
        // The first that is taken.
        asking.added_to(asked.source).iter().any(|secret| asking.is_taken(asked, secret));
    }
    judge(asked, Answers::default(), None, false)
}

/// One source, and what it answered by namespace.
struct Asked<'a> {
    source: &'a Source,
    is_wanted: bool,
    namespaces: Vec<Option<String>>,
    results: Vec<Result<Connected<'a>, Trouble>>,
    /// What was asked for it in this run.
    order: Option<Challenge>,
}

/// Secrets of updates that are tried for one source, the newest.
const MOST_ADDED: usize = 8;

/// Why a source does not answer as it should.
struct Trouble {
    kind: Kind,
    stop: Stop,
    /// What an order would have to say.
    place: Option<Box<OrderedPlace>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It cannot be reached.
    Silent,
    /// It takes this secret no more, or there is none.
    Secret,
    /// It is not what the root names: that takes an order.
    Another,
    /// The order for that is asked for.
    Ordered,
    /// Anything else.
    Other,
}

impl<'a> Connecting<'_, 'a> {
    /// Asks every source of the root: certificate, token and datastore by a probe, then the list of
    /// snapshots, in the source's own namespace and in those that the directive names.
    ///
    /// One source that does not answer does not stop what the others have: it is told here, stands in
    /// the report as missing, and the command ends as not all restored. (One that the directive has no
    /// item for is a note: nothing of what was to be restored is missing with it.) Only if none answers
    /// does the recovery end, or if there is nothing to restore, or if this machine itself cannot take
    /// what is to be put in place; then nothing was touched.
    ///
    /// The root that is told is the one with which the recovery goes on: where orders were used, it has the
    /// places that they name.
    pub(super) fn connect(
        &self,
        roots: &'a Roots,
        mut given: Tokens,
        inbox: &mut Inbox,
        seat: &mut dyn Seat,
    ) -> Outcome<(&'a Root, Answers<'a>)> {
        let asking = &self.asking;
        let sources = &asking.root.facts().trust.sources;
        self.can_ask_for(sources)?;
        let mut asked: Vec<Asked<'a>> = sources.iter().map(|source| asking.first(source)).collect();
        interrupt::check()?;
        let (mut answers, mut root) = (Answers::default(), asking.root);
        if asking.way == Way::Server {
            self.mend(&mut asked, &mut given, &mut answers, seat)?;
            root = self.follow_orders(roots, &mut asked, &mut given, &mut answers, (inbox, seat))?;
            interrupt::check()?;
            answers.notes.extend(answers.tunnels.hints().iter().cloned());
            answers.notes.extend(given.unknown(sources));
        }
        Ok((root, judge(asked, answers, self.unfit, true)?))
    }

    /// Mends what can be mended at the box.
    fn mend(
        &self,
        asked: &mut [Asked<'a>],
        given: &mut Tokens,
        answers: &mut Answers<'a>,
        seat: &mut dyn Seat,
    ) -> Outcome<()> {
        self.open_ways(asked, answers, seat)?;
        for source in asked {
            if source.is(Kind::Secret) {
                self.another_secret(source, given, &mut answers.tokens, seat)?;
            }
        }
        Ok(())
    }

    /// The same for one source, where it is now.
    fn ask_anew(
        &self,
        asked: &mut Asked<'a>,
        given: &mut Tokens,
        answers: &mut Answers<'a>,
        seat: &mut dyn Seat,
    ) -> Outcome<()> {
        let sources = &self.asking.root.facts().trust.sources;
        if let Some(source) = sources.iter().find(|source| source.id == asked.source.id) {
            *asked = self.asking.first(source);
            self.mend(slice::from_mut(asked), given, answers, seat)?;
        }
        Ok(())
    }
}

impl<'a> Asking<'_, 'a> {
    /// Asks a source with the secret that the root has. Where a person says that it is elsewhere, neither that
    /// place nor the former one is given it before there is an order.
    fn first(&self, source: &'a Source) -> Asked<'a> {
        let items = self.directive.map(|directive| directive.items.iter().filter(|item| item.source == source.id));
        let is_wanted = items.clone().is_none_or(|mut items| items.next().is_some());
        let mut namespaces = vec![None];
        for namespace in items.into_iter().flatten().filter_map(|item| item.namespace.as_ref()) {
            let namespace = Some(namespace.as_str().to_owned());
            if !namespaces.contains(&namespace) {
                namespaces.push(namespace);
            }
        }
        let mut asked = Asked { source, is_wanted, namespaces, results: Vec::new(), order: None };
        if let Some(trouble) = self.look_elsewhere(source) {
            asked.results = vec![Err(trouble)];
            return asked;
        }
        match self.root.facts().secrets.tokens.get(&source.id) {
            Some(token) => self.ask(&mut asked, token),
            None => {
                let stop =
                    Stop::new(Code::NotAuthorised, format!("source {}: the escrow has no token for it", source.id))
                        .remedy("restore it by hand: the keys are in place after this recovery");
                asked.results = vec![Err(Trouble { kind: Kind::Secret, stop, place: None })];
            }
        }
        asked
    }

    /// Probes a source, and asks for its snapshots in each namespace. What is wrong with the source as a
    /// whole is said once.
    fn ask(&self, asked: &mut Asked<'a>, token: &TokenSecret) {
        let source = asked.source;
        let trouble = |error: &DriverError| Trouble::of(source, error);
        let access = |namespace: Option<&str>| {
            sources::access_in(source, namespace, token, self.way).map_err(|stop| Trouble {
                kind: Kind::Other,
                stop,
                place: None,
            })
        };
        let probed = access(None)
            .and_then(|access| status::probe(self.client, &access).map(drop).map_err(|error| trouble(&error)));
        if let Err(trouble) = probed {
            asked.results = vec![Err(trouble)];
            return;
        }
        let list = |namespace: &Option<String>| {
            let access = access(namespace.as_deref())?;
            let mut snapshots = snapshot::list(self.client, &access, None).map_err(|error| trouble(&error))?;
            // The escrow itself is no backup of anything.
            snapshots.retain(|info| !second_holder::is_group(&info.snapshot.group().to_string()));
            Ok(Connected { source, access, snapshots })
        };
        asked.results = asked.namespaces.iter().map(list).collect();
    }

    /// The secrets that updates have for a source.
    fn added_to(&self, source: &Source) -> &[TokenSecret] {
        self.added.get(&source.id).map_or(&[], |secrets| &secrets[..secrets.len().min(MOST_ADDED)])
    }

    /// Asks the source with this secret; whether it is let in.
    fn is_taken(&self, asked: &mut Asked<'a>, secret: &TokenSecret) -> bool {
        self.ask(asked, secret);
        !asked.is(Kind::Secret) && asked.results.iter().any(Result::is_ok)
    }

    /// Asks those once more that could not be reached.
    fn ask_the_silent(&self, asked: &mut [Asked<'a>]) {
        for asked in asked.iter_mut().filter(|asked| asked.is(Kind::Silent)) {
            *asked = self.first(asked.source);
        }
    }
}

impl Connected<'_> {
    fn has_snapshots(&self) -> bool {
        !self.snapshots.is_empty()
    }
}

impl Asked<'_> {
    fn has_snapshots(&self) -> bool {
        self.results.iter().flatten().any(Connected::has_snapshots)
    }

    fn is(&self, kind: Kind) -> bool {
        self.results.iter().any(|result| matches!(result, Err(trouble) if trouble.kind == kind))
    }

    /// Whether it is in no other trouble.
    fn is_well_but_for(&self, kind: Kind) -> bool {
        self.results.iter().filter_map(|result| result.as_ref().err()).all(|trouble| trouble.kind == kind)
    }

    /// Why it is in this trouble.
    fn why(&self, kind: Kind) -> Option<String> {
        let mut troubles = self.results.iter().filter_map(|result| result.as_ref().err());
        troubles.find(|trouble| trouble.kind == kind).map(|trouble| trouble.stop.in_one_line())
    }

    /// Adds to what can be done about whatever is wrong with it.
    fn advise_all(&mut self, advice: &str) {
        for kind in [Kind::Silent, Kind::Another] {
            self.advise(kind, advice);
        }
    }

    /// Adds to what can be done about it.
    fn advise(&mut self, kind: Kind, advice: &str) {
        let troubles = self.results.iter_mut().filter_map(|result| result.as_mut().err());
        for trouble in troubles.filter(|trouble| trouble.kind == kind) {
            let remedy = trouble.stop.remedy.take().map_or(String::new(), |remedy| format!("{remedy}; "));
            trouble.stop.remedy = Some(format!("{remedy}{advice}"));
        }
    }
}

impl Trouble {
    fn of(source: &Source, error: &DriverError) -> Self {
        let kind = match error.failure() {
            Some(Failure::Unreachable { .. } | Failure::TimedOut { .. }) => Kind::Silent,
            Some(Failure::NotAuthorised {
                why: Refusal::Disabled | Refusal::NoSecret | Refusal::Unstated | Refusal::WrongSecret,
            }) => Kind::Secret,
            Some(Failure::Certificate { expected: Some(_), .. }) => Kind::Another,
            _ => Kind::Other,
        };
        let mut stop = sources::stop_of(source, error);
        if let Some(advice) = error.failure().and_then(|failure| repoint::advice(source, failure)) {
            let remedy = stop.remedy.take().map_or(String::new(), |remedy| format!("{remedy}. "));
            stop.remedy = Some(format!("{remedy}{advice}"));
        }
        Self { kind, stop, place: error.failure().and_then(|failure| repoint::place(source, failure)).map(Box::new) }
    }
}
