//! A storage of PVE, back into `storage.cfg` with its key and its token.
//!
//! The driver's [`place`] decides the order, finds everything that speaks
//! against it before the first write, and does nothing where all is in place.

use pbs_driver::pve::{
    Node, PbsStorage, PveError, StorageId,
    install::{Wanted, place},
    secrets::Put,
};
use tenwords_escrow::root::{Certificate, Source};

use super::{Installed, ToInstall};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::{plan::chain, report::Missing},
    sources,
};

/// Puts this source into `storage.cfg`, or says why not.
pub(super) fn put(installed: &mut Installed, node: &Node, item: &ToInstall<'_>) {
    let id = &item.source.id;
    let (stanza, token) = match (stanza(item.source), item.token) {
        (Ok(stanza), Some(token)) => (stanza, token),
        (Err(stop), _) => return installed.report(Err(stop), || format!("storage {id}")),
        (_, None) => {
            let stop = Stop::new(Code::Preflight, "the escrow has no token for it")
                .remedy("add the storage by hand, with a token that the backup server knows");
            return installed.report(Err(stop), || format!("storage {id}"));
        }
    };
    let key = item.key.expose_key_file();
    let wanted = Wanted { storage: &stanza, key: Some(&key), secret: token.expose_text() };
    match place(node, &wanted) {
        Ok(done) => {
            let places = [
                (done.stanza == Put::Written, "storage.cfg".to_owned()),
                (done.key == Some(Put::Written), format!("priv/storage/{id}.enc")),
                (done.secret == Put::Written, format!("priv/storage/{id}.pw")),
            ];
            let written = places.into_iter().filter(|(is_written, _)| *is_written).map(|(_, place)| node.file(&place));
            let before = installed.paths.len();
            for path in written {
                if !installed.paths.contains(&path) {
                    installed.paths.push(path);
                }
            }
            if installed.paths.len() == before {
                installed.notes.push(format!("storage {id} is in place already, with the right key"));
            }
            installed.storages.push(id.clone());
        }
        Err(error) => installed.missing.push(Missing {
            what: format!("storage {id}"),
            why: chain(&error),
            remedy: format!("{}; then run the same command again", error.next_step()),
            waits_for_order: matches!(
                error,
                PveError::DifferentKey { .. } | PveError::DifferentSecret { .. } | PveError::DifferentStorage { .. }
            ),
        }),
    }
}

/// The stanza, from the root's trust facts alone.
fn stanza(source: &Source) -> Outcome<PbsStorage> {
    let cannot = || format!("source {} cannot be a storage of Proxmox VE", source.id);
    let id: StorageId = source.id.as_str().parse().or_stop(Code::Preflight, cannot)?;
    let repository = sources::written_repository(source).parse().or_stop(Code::Preflight, cannot)?;
    let namespace = source.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    let namespace = namespace.parse().or_stop(Code::Preflight, cannot)?;
    let mut stanza = PbsStorage::new(id, repository, namespace);
    stanza.fingerprint = match source.certificate {
        Certificate::Pinned(fingerprint) => Some(fingerprint),
        Certificate::WebPki => None,
    };
    Ok(stanza)
}
