//! Step 5: which sources answer, and with what.

use std::path::Path;

use pbs_driver::{Access, Client, snapshot, snapshot::SnapshotInfo};
use tenwords_escrow::{
    root::{Root, Source},
    secret::TokenSecret,
};
use tenwords_protocol::directive::Directive;

use super::{preflight::Failures, report::Missing};
use crate::{
    exit::{Code, Outcome, Stop},
    sources,
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

/// Every source of the root, and the namespaces that the directive names; what does not answer is
/// reported with all the others, and only nothing at all ends the recovery.
pub(super) fn connect<'a>(
    client: &Client,
    root: &'a Root,
    directive: Option<&Directive>,
) -> Outcome<(Vec<Connected<'a>>, Vec<Missing>)> {
    let facts = root.facts();
    let mut wanted: Vec<(&Source, Option<&str>)> = facts.trust.sources.iter().map(|source| (source, None)).collect();
    for item in directive.iter().flat_map(|directive| &directive.items) {
        let source = facts.trust.sources.iter().find(|source| source.id == item.source);
        if let (Some(source), Some(namespace)) = (source, &item.namespace)
            && !wanted.iter().any(|(known, ns)| known.id == source.id && *ns == Some(namespace.as_str()))
        {
            wanted.push((source, Some(namespace.as_str())));
        }
    }
    let (mut connected, mut failures, mut missing, mut first) = (Vec::new(), Failures::default(), Vec::new(), None);
    for (source, namespace) in wanted {
        let result = match facts.secrets.tokens.get(&source.id) {
            Some(token) => one(client, source, namespace, token),
            None => {
                Err(Stop::new(Code::NotAuthorised, format!("source {}: the escrow has no token for it", source.id)))
            }
        };
        match result {
            Ok(source) => connected.push(source),
            Err(stop) => {
                failures.add_stop(&stop);
                first.get_or_insert(stop.code);
                missing.push(Missing {
                    what: format!("source {}", source.id),
                    why: stop.what,
                    remedy: stop.remedy.unwrap_or_else(|| "mend this, then run the same command again".into()),
                    waits_for_order: false,
                });
            }
        }
    }
    if connected.is_empty() {
        let code = first.unwrap_or(Code::Preflight);
        return failures
            .into_outcome("after the words")
            .map(|()| (Vec::new(), Vec::new()))
            .map_err(|stop| stop.with_code(code));
    }
    Ok((connected, missing))
}

/// Asks a source for its snapshots.
fn one<'a>(
    client: &Client,
    source: &'a Source,
    namespace: Option<&str>,
    token: &TokenSecret,
) -> Outcome<Connected<'a>> {
    let access = sources::access_in(source, namespace, token)?;
    let snapshots = snapshot::list(client, &access, None).map_err(|error| sources::stop_of(source, &error))?;
    Ok(Connected { source, access, snapshots })
}
