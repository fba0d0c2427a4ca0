//! A source that was put in place where it was before an operator ordered another place: by an earlier run of
//! this recovery, say. It is not replaced; what makes it right is told.

use std::collections::BTreeMap;

use pbs_driver::pve::{Node, PbsStorage, StorageCfg};
use tenwords_escrow::root::{Certificate, KeptIn, Root, Source};
use tenwords_protocol::{directive::Name, order::OrderedPlace};

use crate::{recover::report::Missing, settings::Configuration, sources};

/// Every source that is kept on this machine at another place than the root's, which is the one that was ordered.
pub(in crate::recover) fn at_the_old_place(
    configuration: &Configuration,
    node: Option<&Node>,
    root: &Root,
    places: &BTreeMap<Name, OrderedPlace>,
) -> Vec<Missing> {
    let storages = node.and_then(|node| StorageCfg::read(node).ok());
    let sources = &root.facts().trust.sources;
    let moved = sources.iter().filter(|source| places.contains_key(&source.id));
    let rows = moved.filter_map(|source| match (source.kept_in, &storages) {
        (KeptIn::StorageCfg, Some(storages)) => of_storage(storages, source),
        _ => of_settings(configuration, source),
    });
    rows.collect()
}

/// Puts these rows in the place of those that have the same things.
pub(in crate::recover) fn instead(missing: &mut Vec<Missing>, rows: Vec<Missing>) {
    missing.retain(|other| rows.iter().all(|row| row.what != other.what));
    missing.extend(rows);
}

fn of_storage(storages: &StorageCfg, source: &Source) -> Option<Missing> {
    let there = storages.get(&source.id.as_str().parse().ok()?).ok()??;
    let steps = steps(&there, source)?;
    Some(Missing {
        what: format!("storage {}", source.id),
        why: "storage.cfg has it where it was before an operator ordered another place".to_owned(),
        remedy: format!(
            "{steps}. (Not `pvesm remove`: that takes its key file along.) Then run the same command again",
        ),
        waits_for_order: false,
    })
}

/// What makes the storage right. Nothing if it is; nothing either if it is another identity's.
fn steps(there: &PbsStorage, source: &Source) -> Option<String> {
    let Source { id, server, port, datastore, namespace, certificate, auth_id, .. } = source;
    let repository = &there.repository;
    if repository.auth_id().to_string() != auth_id.as_str() {
        return None;
    }
    let namespace = namespace.as_ref().map_or("", |namespace| namespace.as_str());
    let mut options = Vec::new();
    if repository.port() != port.get() {
        options.push(format!("--port {port}"));
    }
    match certificate {
        Certificate::Pinned(pinned) if there.fingerprint != Some(*pinned) => {
            options.push(format!("--fingerprint {pinned}"));
        }
        _ => {}
    }
    if there.namespace.to_string() != namespace {
        options.push(match namespace {
            "" => "--delete namespace".to_owned(),
            namespace => format!("--namespace {namespace}"),
        });
    }
    let mut steps = Vec::new();
    if !options.is_empty() {
        steps.push(format!("`pvesm set {id} {}`", options.join(" ")));
    }
    // What `pvesm set` does not change in a storage that is there.
    let fixed = [
        ("server", repository.host().name(), server.as_str()),
        ("datastore", repository.datastore(), datastore.as_str()),
    ];
    for (property, _, wanted) in fixed.iter().filter(|(_, here, wanted)| here != wanted) {
        steps.push(format!("in /etc/pve/storage.cfg, below `pbs: {id}`, make it `{property} {wanted}`"));
    }
    (!steps.is_empty()).then(|| steps.join("; "))
}

fn of_settings(configuration: &Configuration, source: &Source) -> Option<Missing> {
    let configured = configuration.settings.sources.iter().find(|configured| configured.id == source.id)?;
    if sources::is_same(configured, &Source { kept_in: KeptIn::Settings, ..source.clone() }) {
        return None;
    }
    let namespace = source
        .namespace
        .as_ref()
        .map_or_else(|| "no `namespace`".to_owned(), |namespace| format!("`namespace = \"{namespace}\"`"));
    Some(Missing {
        what: format!("source {}", source.id),
        why: format!("{} has it where it was before an operator ordered another place", configuration.path.display()),
        remedy: format!(
            "give its [[source]] there `repository = \"{}\"`, `certificate = \"{}\"` and {namespace}, then run the same \
             command again",
            sources::written_repository(source),
            sources::written_certificate(source)
        ),
        waits_for_order: false,
    })
}

#[cfg(test)]
mod tests {
    use tenwords_protocol::fingerprint::Fingerprint;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn what_makes_a_storage_right_is_told_and_no_more() -> Tested {
        let pinned = Fingerprint::from_bytes([9; 32]);
        let source = Source {
            id: "pbs".parse()?,
            server: "new.example".parse()?,
            port: 8007.try_into()?,
            datastore: "store".parse()?,
            namespace: None,
            certificate: Certificate::Pinned(pinned),
            auth_id: "backup@pbs!box1".parse()?,
            key_fingerprint: Fingerprint::from_bytes([8; 32]),
            kept_in: KeptIn::StorageCfg,
        };
        let told = |text: &str| {
            let stanza = format!("pbs: pbs\n\tcontent backup\n\tusername backup@pbs!box1\n\t{text}\n");
            of_storage(&StorageCfg::parse(stanza.as_bytes()), &source).map(|row| row.remedy)
        };
        let here = format!("datastore store\n\tserver new.example\n\tfingerprint {pinned}");
        assert_eq!(told(&here), None);
        let other = Fingerprint::from_bytes([1; 32]);
        let set = told(&here.replace(&pinned.to_string(), &other.to_string())).unwrap_or_default();
        assert!(set.starts_with(&format!("`pvesm set pbs --fingerprint {pinned}`. ")), "{set}");
        let set = told(&format!("{here}\n\tport 443\n\tnamespace a")).unwrap_or_default();
        assert!(set.starts_with("`pvesm set pbs --port 8007 --delete namespace`. "), "{set}");
        let set = told(&here.replace("new.example", "old.example")).unwrap_or_default();
        assert!(set.contains("make it `server new.example`") && !set.contains("pvesm set"), "{set}");
        Ok(())
    }
}
