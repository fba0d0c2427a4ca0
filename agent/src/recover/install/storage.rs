//! A storage of PVE, back into `storage.cfg` with its key and its token.
//!
//! The driver's [`place`] decides the order, finds everything that speaks against it before the first
//! write, and does nothing where all is in place. The stanza is made of the root's trust facts; what
//! else the lost box had in it (its own rules for pruning, nodes that are gone) is told and left.

use pbs_driver::pve::{
    Node, PbsStorage, PveError, StorageCfg, StorageId,
    install::{Wanted, place},
    secrets::Put,
};
use tenwords_escrow::root::{Certificate, Source};

use super::{Installed, ToInstall};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::{plan::chain, report::Missing},
    show::harmless,
    sources,
};

/// Puts this source into `storage.cfg`, or says why not. With `scratch`, under that name, for this node alone and
/// for a while: then what was written is nobody's to be told.
pub(super) fn put(
    installed: &mut Installed,
    node: &Node,
    lost: &StorageCfg,
    item: &ToInstall<'_>,
    scratch: Option<&StorageId>,
) {
    let id = &item.source.id;
    let stanza = stanza(item.source).and_then(|stanza| match scratch {
        Some(id) => of_this_node(node, stanza, id),
        None => Ok(stanza),
    });
    let (stanza, token) = match (stanza, item.token) {
        (Ok(stanza), Some(token)) => (stanza, token),
        (Err(stop), _) => return installed.report(Err(stop), || format!("storage {id}")),
        (_, None) => {
            let stop = Stop::new(Code::Preflight, "the escrow has no token for it")
                .remedy("add the storage by hand, with a token that the backup server knows");
            return installed.report(Err(stop), || format!("storage {id}"));
        }
    };
    let key = item.key.expose_key_file();
    let wanted = Wanted { storage: &stanza, key: Some(&key), key_replaces: None, secret: token.expose_text() };
    match place(node, &wanted) {
        Ok(_) if scratch.is_some() => {
            installed.storages.insert(id.clone(), stanza.id);
        }
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
            if done.stanza == Put::Written {
                installed.notes.extend(left_out(lost, id.as_str()));
            }
            installed.keys.insert(id.clone(), node.file(&format!("priv/storage/{id}.enc")));
            installed.tokens.insert(id.clone(), node.file(&format!("priv/storage/{id}.pw")));
            installed.storages.insert(id.clone(), stanza.id);
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

/// The same under another name, and for this node of the cluster alone.
fn of_this_node(node: &Node, mut stanza: PbsStorage, id: &StorageId) -> Outcome<PbsStorage> {
    let name = node.name().or_stop(Code::Preflight, || "this node's name cannot be told".to_owned())?;
    stanza.id = id.clone();
    stanza.nodes = vec![name];
    Ok(stanza)
}

/// What the lost box's stanza had beside the trust facts. Whoever wrote that file could write anything
/// there: what stands in a command that a person is told to run is known by name and has no character
/// that a shell obeys, the rest is named only.
fn left_out(lost: &StorageCfg, id: &str) -> Option<String> {
    let section = lost.sections().find(id).filter(|section| section.kind().eq_ignore_ascii_case("pbs"))?;
    let (mut options, mut by_hand) = (Vec::new(), Vec::new());
    for property in section.properties() {
        let is_default = property.key == "content" && property.value.as_deref() == Some("backup");
        let value = property.value.as_deref().unwrap_or("1");
        let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-,=:".contains(&byte));
        if is_default || PUT.contains(&property.key.as_ref()) {
            continue;
        } else if OPTIONS.contains(&property.key.as_ref()) && is_plain && !value.starts_with('-') {
            options.push(format!("--{} {value}", property.key));
        } else {
            by_hand.push(format!("`{}`", harmless(&property.key, 32)));
        }
    }
    let command = (!options.is_empty()).then(|| format!("pvesm set {id} {}", options.join(" ")));
    let others = (!by_hand.is_empty()).then(|| format!("compare {} with the recovered file", by_hand.join(", ")));
    let steps: Vec<String> = command.into_iter().chain(others).collect();
    (!steps.is_empty()).then(|| {
        format!(
            "the lost box had more of storage {id} in storage.cfg, which was not put in place; if it is to be so again: {}",
            steps.join("; ")
        )
    })
}

/// What is put in place, or cannot be carried over in a stanza alone.
const PUT: [&str; 7] = ["datastore", "encryption-key", "fingerprint", "namespace", "port", "server", "username"];
/// What `pvesm set` takes for a PBS and what decides nothing of trust.
const OPTIONS: [&str; 5] = ["content", "disable", "max-protected-backups", "nodes", "prune-backups"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_a_lost_storage_is_not_put_in_place_is_told() {
        let text = "pbs: a\n\tdatastore s\n\tserver h\n\tcontent backup\n\tprune-backups keep-last=3\n\tdisable\n\n\
                    pbs: b\n\tdatastore s\n\tserver h\n\tport 8007\n\tcontent backup\n\tusername u@pbs!t\n";
        let lost = StorageCfg::parse(text.as_bytes());
        let told = left_out(&lost, "a").unwrap_or_default();
        assert!(told.ends_with("pvesm set a --prune-backups keep-last=3 --disable 1"), "{told}");
        assert_eq!(left_out(&lost, "b"), None);
        assert_eq!(left_out(&lost, "c"), None);
    }

    #[test]
    fn nothing_of_a_hostile_stanza_gets_into_a_command() {
        for line in [
            "nodes a;reboot",
            "nodes $(reboot)",
            "nodes `id`",
            "nodes -x",
            "master-pubkey 1",
            "is_mountpoint /x",
            "x;y 1",
        ] {
            let lost = StorageCfg::parse(format!("pbs: a\n\tdatastore s\n\tserver h\n\t{line}\n").as_bytes());
            let told = left_out(&lost, "a").unwrap_or_default();
            let (name, value) = line.split_once(' ').unwrap_or_default();
            assert!(told.contains(&format!("compare `{name}`")) && !told.contains("pvesm"), "{told}");
            assert!(value == "1" || !told.contains(value), "{told}");
        }
        let another = StorageCfg::parse(b"dir: a\n\tpath /x\n\tnodes b\n");
        assert_eq!(left_out(&another, "a"), None);
    }
}
