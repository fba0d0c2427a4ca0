//! Step 5: which sources answer, and with what.

use std::path::Path;

use pbs_driver::{Access, Client, DriverError, snapshot, snapshot::SnapshotInfo, status};
use tenwords_escrow::{
    root::{Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::directive::Directive;

use super::{preflight::Failures, report::Missing};
use crate::{
    exit::{Code, Outcome, Stop},
    second_holder,
    sources::{self, Way},
};

/// A source that answered, with everything needed to restore from it.
pub(crate) struct Connected<'a> {
    pub(crate) source: &'a Source,
    pub(crate) access: Access,
    pub(crate) snapshots: Vec<SnapshotInfo>,
}

/// Units that would have to be started before PBS can be reached.
pub(super) fn note_of_units(root: &Root, kept: &Path) -> Option<String> {
    let is_unit = |path: &str| {
        ["/etc/wireguard/", "/etc/openvpn/", "/etc/ipsec", "/etc/systemd/"].iter().any(|dir| path.starts_with(dir))
    };
    let units: Vec<&str> =
        root.facts().secrets.files.iter().map(|file| file.path.as_str()).filter(|path| is_unit(path)).collect();
    (!units.is_empty()).then(|| {
        format!(
            "the escrow has connection units ({}), which this agent cannot start yet: if PBS is reached only through them, \
             start them by hand from {}, then run the same command again",
            units.join(", "),
            kept.display()
        )
    })
}

/// The preflight after the words: asks every source of the root before anything is touched: certificate, token and datastore by a
/// probe, then the list of snapshots, in the source's own namespace and in those that the directive
/// names. Everything that is wrong is told at once.
///
/// One source that does not answer does not stop what the others have: it is told here, stands in
/// the report as missing, and the command ends as not all restored. (One that the directive has no
/// item for is a note: nothing of what was to be restored is missing with it.) Only if none answers
/// does the recovery end, or if this machine itself (`unfit`) cannot take what is to be put in place;
/// then nothing was touched.
pub(crate) fn connect<'a>(
    client: &Client,
    root: &'a Root,
    directive: Option<&Directive>,
    unfit: Option<&Stop>,
    way: Way,
) -> Outcome<Answers<'a>> {
    let facts = root.facts();
    let mut answers = Answers::default();
    let (mut failures, mut first) = (Failures::default(), unfit.map(|stop| stop.code));
    unfit.into_iter().for_each(|stop| failures.add_stop(stop));
    for source in &facts.trust.sources {
        let items = directive.map(|directive| directive.items.iter().filter(|item| item.source == source.id));
        let is_wanted = items.clone().is_none_or(|mut items| items.next().is_some());
        let mut namespaces = vec![None];
        for namespace in items.into_iter().flatten().filter_map(|item| item.namespace.as_ref()) {
            if !namespaces.contains(&Some(namespace.as_str())) {
                namespaces.push(Some(namespace.as_str()));
            }
        }
        for result in ask(client, source, facts.secrets.tokens.get(&source.id), &namespaces, way) {
            match result {
                Ok(source) => answers.connected.push(source),
                Err(stop) => {
                    failures.add_stop(&stop);
                    first.get_or_insert(stop.code);
                    answers.silent(source, stop, is_wanted);
                }
            }
        }
    }
    if answers.connected.is_empty() || unfit.is_some() {
        let code = first.unwrap_or(Code::Preflight);
        failures.into_outcome("after the words").map_err(|stop| stop.with_code(code))?;
    }
    Ok(answers)
}

/// What the sources answered.
#[derive(Default)]
pub(crate) struct Answers<'a> {
    pub(crate) connected: Vec<Connected<'a>>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) notes: Vec<String>,
}

impl Answers<'_> {
    fn silent(&mut self, source: &Source, stop: Stop, is_wanted: bool) {
        let why = stop.in_one_line();
        let remedy = stop.remedy.unwrap_or_else(|| "mend this, then run the same command again".into());
        if is_wanted {
            let what = format!("source {}", source.id);
            self.missing.push(Missing { what, why, remedy, waits_for_order: false });
        } else {
            self.notes.push(format!("{why}; nothing of it was to be restored. What to do: {remedy}"));
        }
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

/// Probes a source, and asks for its snapshots in each namespace. What is wrong with the source as a
/// whole is said once.
fn ask<'a>(
    client: &Client,
    source: &'a Source,
    token: Option<&TokenSecret>,
    namespaces: &[Option<&str>],
    way: Way,
) -> Vec<Outcome<Connected<'a>>> {
    let stop = |error: &DriverError| sources::stop_of(source, error);
    let no_token = || {
        Stop::new(Code::NotAuthorised, format!("source {}: the escrow has no token for it", source.id))
            .remedy("restore it by hand: the keys are in place after this recovery")
    };
    let probed = token.ok_or_else(no_token).and_then(|token| {
        status::probe(client, &sources::access_in(source, None, token, way)?).map_err(|error| stop(&error))?;
        Ok(token)
    });
    let token = match probed {
        Ok(token) => token,
        Err(stop) => return vec![Err(stop)],
    };
    let listed = namespaces.iter().map(|namespace| {
        let access = sources::access_in(source, *namespace, token, way)?;
        let mut snapshots = snapshot::list(client, &access, None).map_err(|error| stop(&error))?;
        // The escrow itself is no backup of anything.
        snapshots.retain(|info| !second_holder::is_group(&info.snapshot.group().to_string()));
        Ok(Connected { source, access, snapshots })
    });
    listed.collect()
}
