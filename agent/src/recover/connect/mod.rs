//! Step 5: a way to the backup servers, if one has to be opened; which sources answer, and with what.
//!
//! This is the preflight after the words: every source of the root is asked before anything is touched,
//! and everything that is wrong is told at once. What can be mended here is mended here: a tunnel of the
//! escrow is started where somebody says so ([`tunnel`]), and a secret that a server takes no more is
//! asked for ([`token`]). What would change where data comes from is not mended but named ([`repoint`]).

mod repoint;
mod token;
mod tunnel;
mod units;
mod wireguard;

use pbs_driver::{Access, Client, DriverError, Failure, failure::Refusal, snapshot, snapshot::SnapshotInfo, status};
use tenwords_escrow::{
    root::{Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::directive::Directive;

pub(crate) use self::token::{SourceFile, Tokens};
use self::tunnel::Tunnels;
use super::{preflight::Failures, report::Missing};
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
pub(super) struct Connecting<'c, 'a> {
    pub(super) asking: Asking<'c, 'a>,
    pub(super) configuration: &'c Configuration,
    /// What this machine itself is not fit for.
    pub(super) unfit: Option<&'c Stop>,
    /// Whether there is somebody who can be asked.
    pub(super) asks: bool,
    /// Whether tunnels are started without asking.
    pub(super) starts: bool,
}

/// What is needed to ask sources.
pub(super) struct Asking<'c, 'a> {
    pub(super) client: &'c Client,
    pub(super) root: &'a Root,
    pub(super) directive: Option<&'c Directive>,
    pub(super) way: Way,
}

/// How the sources of a living box answer: nothing is done about those that do not, and that nothing lies
/// there is for the caller to say.
pub(crate) fn as_they_are<'a>(client: &Client, root: &'a Root) -> Outcome<Answers<'a>> {
    let asking = Asking { client, root, directive: None, way: Way::Server };
    let asked: Vec<Asked<'a>> = root.facts().trust.sources.iter().map(|source| asking.first(source)).collect();
    judge(asked, Answers::default(), None, false)
}

/// What the sources answered.
#[derive(Default)]
pub(crate) struct Answers<'a> {
    pub(crate) connected: Vec<Connected<'a>>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
    /// Secrets that were asked for and that the servers take.
    pub(super) tokens: Tokens,
    /// What was started for it; it is taken down again with this, unless it is to stay.
    pub(super) tunnels: Tunnels,
}

/// One source, and what it answered by namespace.
struct Asked<'a> {
    source: &'a Source,
    is_wanted: bool,
    namespaces: Vec<Option<String>>,
    results: Vec<Result<Connected<'a>, Trouble>>,
}

/// Why a source does not answer as it should.
struct Trouble {
    kind: Kind,
    stop: Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It cannot be reached.
    Silent,
    /// It takes this secret no more, or there is none.
    Secret,
    /// It is not what the root names: that takes an order.
    Another,
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
    pub(super) fn connect(&self, mut given: Tokens, seat: &mut dyn Seat) -> Outcome<Answers<'a>> {
        let asking = &self.asking;
        let sources = &asking.root.facts().trust.sources;
        let mut asked: Vec<Asked<'a>> = sources.iter().map(|source| asking.first(source)).collect();
        interrupt::check()?;
        let mut answers = Answers::default();
        if asking.way == Way::Server {
            self.open_ways(&mut asked, &mut answers, seat)?;
            for source in &mut asked {
                if source.is(Kind::Secret) {
                    self.another_secret(source, &mut given, &mut answers.tokens, seat)?;
                }
            }
            answers.notes.extend(given.unknown(sources));
        }
        judge(asked, answers, self.unfit, true)
    }
}

impl<'a> Asking<'_, 'a> {
    /// Asks a source with the secret that the root has.
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
        let mut asked = Asked { source, is_wanted, namespaces, results: Vec::new() };
        match self.root.facts().secrets.tokens.get(&source.id) {
            Some(token) => self.ask(&mut asked, token),
            None => {
                let stop =
                    Stop::new(Code::NotAuthorised, format!("source {}: the escrow has no token for it", source.id))
                        .remedy("restore it by hand: the keys are in place after this recovery");
                asked.results = vec![Err(Trouble { kind: Kind::Secret, stop })];
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
            sources::access_in(source, namespace, token, self.way).map_err(|stop| Trouble { kind: Kind::Other, stop })
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

    /// Asks those once more that could not be reached.
    fn ask_the_silent(&self, asked: &mut [Asked<'a>]) {
        for asked in asked.iter_mut().filter(|asked| asked.is(Kind::Silent)) {
            if let Some(token) = self.root.facts().secrets.tokens.get(&asked.source.id) {
                self.ask(asked, token);
            }
        }
    }
}

/// What of it can be restored from, and what is missing; or that nothing can be done.
fn judge<'a>(
    asked: Vec<Asked<'a>>,
    mut answers: Answers<'a>,
    unfit: Option<&Stop>,
    wants_snapshots: bool,
) -> Outcome<Answers<'a>> {
    let (mut failures, mut first) = (Failures::default(), unfit.map(|stop| stop.code));
    unfit.into_iter().for_each(|stop| failures.add_stop(stop));
    for Asked { source, is_wanted, results, .. } in asked {
        for result in results {
            match result {
                Ok(source) => answers.connected.push(source),
                Err(trouble) => {
                    failures.add_stop(&trouble.stop);
                    first.get_or_insert(trouble.stop.code);
                    answers.silent(source, trouble, is_wanted);
                }
            }
        }
    }
    let has_some = |connected: &Connected<'_>| !wants_snapshots || !connected.snapshots.is_empty();
    let is_nothing = !answers.connected.iter().any(has_some);
    for empty in answers.connected.iter().filter(|connected| !has_some(connected)) {
        let (what, remedy) = empty.without_snapshots();
        if is_nothing {
            failures.add(what, remedy);
        } else {
            answers.notes.push(format!("{what}; if there should be: {remedy}"));
        }
    }
    if is_nothing || unfit.is_some() {
        let code = first.unwrap_or(Code::Preflight);
        failures.into_outcome("after the words").map_err(|stop| answers.with_hints(stop.with_code(code)))?;
    }
    Ok(answers)
}

impl Connected<'_> {
    /// That nothing lies there, and what that may come from.
    fn without_snapshots(&self) -> (String, String) {
        let (id, datastore) = (&self.source.id, &self.source.datastore);
        let namespace = self.access.namespace();
        let place = match namespace.is_root() {
            true => format!("datastore {datastore}"),
            false => format!("datastore {datastore}, namespace {namespace}"),
        };
        let what = format!("source {id} answers, and no snapshot that {} may see lies in {place}", self.source.auth_id);
        let remedy = format!(
            "see on {} whether the backups lie there, under another namespace, or belong to another owner",
            self.source.server
        );
        (what, remedy)
    }
}

impl Asked<'_> {
    fn is(&self, kind: Kind) -> bool {
        self.results.iter().any(|result| matches!(result, Err(trouble) if trouble.kind == kind))
    }

    /// Why it is in this trouble.
    fn why(&self, kind: Kind) -> Option<String> {
        let mut troubles = self.results.iter().filter_map(|result| result.as_ref().err());
        troubles.find(|trouble| trouble.kind == kind).map(|trouble| trouble.stop.in_one_line())
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
        Self { kind, stop }
    }
}

impl Answers<'_> {
    fn silent(&mut self, source: &Source, trouble: Trouble, is_wanted: bool) {
        let Trouble { kind, stop } = trouble;
        let why = stop.in_one_line();
        let remedy = stop.remedy.unwrap_or_else(|| "mend this, then run the same command again".into());
        if is_wanted {
            let what = format!("source {}", source.id);
            self.missing.push(Missing { what, why, remedy, waits_for_order: kind == Kind::Another });
        } else {
            self.notes.push(format!("{why}; nothing of it was to be restored. What to do: {remedy}"));
        }
    }

    /// What may be missing for a way to a server is said where it is missing.
    fn with_hints(&self, stop: Stop) -> Stop {
        let hints = self.tunnels.hints();
        if hints.is_empty() {
            return stop;
        }
        let remedy = stop.remedy.clone().unwrap_or_default();
        stop.remedy(format!("{}. Otherwise: {remedy}", hints.join("; ")))
    }

    /// As lines for a person, before anything is touched.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .missing
            .iter()
            .map(|missing| format!("NOT: {}\n     what to do: {}", missing.why, missing.remedy))
            .collect();
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }
}
