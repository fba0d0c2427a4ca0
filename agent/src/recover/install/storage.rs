//! A storage of PVE, back into `storage.cfg` with its key and its token.
//!
//! The driver's [`place`] decides the order, finds everything that speaks against it before the first
//! write, and does nothing where all is in place. The stanza is made of the root's trust facts; what
//! else the lost box had in it (its own rules for pruning, nodes that are gone) is told and left.

use pbs_driver::pve::{
    Node, PbsStorage, PveError, StorageCfg, StorageId,
    error::KeyThere,
    install::{Placed, Wanted, place},
    secrets::{self, KeyReplaces, Put},
    storage::KeyMark,
};
use tenwords_escrow::root::{Certificate, Source};
use tenwords_protocol::fingerprint::Fingerprint;

use super::{
    Installed, ToInstall,
    other::{May, OtherKey, Replacing},
};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    recover::{plan::chain, report::Missing},
    show::harmless,
    sources,
};

/// Puts this source into `storage.cfg`, or says why not.
pub(super) fn put(
    installed: &mut Installed,
    node: &Node,
    lost: &StorageCfg,
    item: &ToInstall<'_>,
    replacing: &Replacing<'_>,
) {
    let id = &item.source.id;
    let (stanza, token) = match wanted(item, None) {
        Ok(wanted) => wanted,
        Err(stop) => return installed.report(Err(stop), || format!("storage {id}")),
    };
    match put_with(node, &stanza, item, token, replacing) {
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
            if let Some(kept) = done.kept {
                installed.replaced(&node.file(&format!("priv/storage/{id}.enc")), &kept);
            }
            installed.keys.insert(id.clone(), node.file(&format!("priv/storage/{id}.enc")));
            installed.tokens.insert(id.clone(), node.file(&format!("priv/storage/{id}.pw")));
            installed.storages.insert((id.clone(), item.key.fingerprint()), stanza.id);
        }
        Err(Not::Waits) => {}
        Err(Not::Stopped(stop)) => installed.report(Err(stop), || format!("storage {id}")),
        Err(Not::Refused(error)) => installed.missing.push(refused(item, &error)),
    }
}

/// The same under a scratch name, for this node alone and for a while: what was written is nobody's to be told,
/// and nothing that is there is replaced.
pub(super) fn put_scratch(installed: &mut Installed, node: &Node, item: &ToInstall<'_>, scratch: &StorageId) {
    let id = &item.source.id;
    let wanted = wanted(item, Some((node, scratch)));
    match wanted.map(|(stanza, token)| put_plainly(node, &stanza, item, token, None).map(|_| stanza.id)) {
        Ok(Ok(stanza)) => drop(installed.storages.insert((id.clone(), item.key.fingerprint()), stanza)),
        Ok(Err(error)) => installed.missing.push(Missing {
            what: format!("storage {scratch}, through which guests of {id} are restored"),
            why: chain(&error),
            remedy: format!("{}; then run the same command again", error.next_step()),
            waits_for_order: false,
        }),
        Err(stop) => installed.report(Err(stop), || format!("storage {id}")),
    }
}

/// The other key that stands in this storage's place, if nothing else is in the way.
pub(super) fn other_key(node: &Node, item: &ToInstall<'_>) -> Option<OtherKey> {
    let (stanza, token) = wanted(item, None).ok()?;
    let present = secrets::present_key(node, &stanza.id).ok().flatten()?;
    let (there, key) = (in_it(present.there()), item.key.fingerprint());
    if there == Some(key) || otherwise(node, &stanza, token, (there, key)).is_err() {
        return None;
    }
    OtherKey::new(&item.source.id, present.path(), there, present.sha256(), key)
}

/// What was done, and where the former key is kept if one was replaced.
struct Done {
    stanza: Put,
    key: Option<Put>,
    secret: Put,
    kept: Option<std::path::PathBuf>,
}

/// Why it was not put in place.
enum Not {
    /// It waits for an order.
    Waits,
    Refused(PveError),
    Stopped(Stop),
}

fn put_with(
    node: &Node,
    stanza: &PbsStorage,
    item: &ToInstall<'_>,
    token: &str,
    replacing: &Replacing<'_>,
) -> Result<Done, Not> {
    let mut kept = None;
    let placed = match put_plainly(node, stanza, item, token, None) {
        Err(different @ PveError::DifferentKey { .. }) => {
            let present = secrets::present_key(node, &stanza.id).map_err(Not::Refused)?;
            let Some(present) = present else { return Err(Not::Refused(different)) };
            // No order is used up where the storage could not be put in place all the same.
            let keys = (in_it(present.there()), item.key.fingerprint());
            otherwise(node, stanza, token, keys).map_err(Not::Refused)?;
            let may =
                replacing.may(present.path(), in_it(present.there()), present.expose_text(), item.key.fingerprint());
            match may.map_err(Not::Stopped)? {
                May::Replace(sha256, former) => {
                    kept = Some(former);
                    put_plainly(node, stanza, item, token, Some(KeyReplaces { sha256 }))
                }
                May::Wait => return Err(Not::Waits),
                May::No => Err(different),
            }
        }
        placed => placed,
    };
    let Placed { stanza, key, secret, .. } = placed.map_err(Not::Refused)?;
    Ok(Done { stanza, key, secret, kept })
}

fn put_plainly(
    node: &Node,
    stanza: &PbsStorage,
    item: &ToInstall<'_>,
    token: &str,
    key_replaces: Option<KeyReplaces>,
) -> Result<Placed, PveError> {
    let key = item.key.expose_key_file();
    place(node, &Wanted { storage: stanza, key: Some(&key), key_replaces, secret: token })
}

/// What speaks against the storage beside the key that is there, if ours is to come. Nothing is written.
fn otherwise(
    node: &Node,
    stanza: &PbsStorage,
    token: &str,
    (there, ours): (Option<Fingerprint>, Fingerprint),
) -> Result<(), PveError> {
    let path = || node.file(&format!("priv/storage/{}.pw", stanza.id));
    if secrets::password(node, &stanza.id)?.is_some_and(|there| there.as_str() != token) {
        return Err(PveError::DifferentSecret { path: path() });
    }
    let mut storages = StorageCfg::read(node)?;
    // The mark that names the key which is replaced, and no other one, is renewed with it.
    let mark = storages.get(&stanza.id)?.and_then(|storage| storage.encryption_key);
    let is_renewed = matches!(mark, Some(KeyMark::Fingerprint(named)) if Some(named) == there);
    let mark = if is_renewed { mark } else { Some(KeyMark::Fingerprint(ours)) };
    storages.add_pbs(&stanza.clone().with_encryption_key(mark)).map(drop)
}

fn in_it(there: KeyThere) -> Option<Fingerprint> {
    match there {
        KeyThere::Key(fingerprint) => Some(fingerprint),
        KeyThere::NoKey(_) => None,
    }
}

fn refused(item: &ToInstall<'_>, error: &PveError) -> Missing {
    let id = &item.source.id;
    let step = match error {
        // An order names one key file and nothing else: these are for a person's own hands.
        PveError::DifferentSecret { .. } => format!(
            "no order replaces a token: see which one the storage is meant to use, and set it by hand \
             (`pvesm set {id} --password`)"
        ),
        PveError::DifferentStorage { .. } => format!(
            "no order changes a storage: if nobody needs the one that is there, copy its key aside \
             (priv/storage/{id}.enc: Proxmox VE deletes it with the storage), then take it away by hand \
             (`pvesm remove {id}`)"
        ),
        PveError::DifferentKey { .. } => {
            "keep the key that is there: backups may need it; move it aside yourself, or let the same command ask for \
             an operator's order to replace it"
                .to_owned()
        }
        error => error.next_step().to_owned(),
    };
    Missing {
        what: format!("storage {id}"),
        why: chain(error),
        remedy: format!("{step}; then run the same command again"),
        waits_for_order: false,
    }
}

/// The stanza and its token. With `scratch`, under that name and for that node alone.
fn wanted<'i>(item: &'i ToInstall<'_>, scratch: Option<(&Node, &StorageId)>) -> Outcome<(PbsStorage, &'i str)> {
    let stanza = stanza(item.source)?;
    let stanza = match scratch {
        Some((node, id)) => of_this_node(node, stanza, id)?,
        None => stanza,
    };
    let token = item.token.ok_or_else(|| {
        Stop::new(Code::Preflight, "the escrow has no token for it")
            .remedy("add the storage by hand, with a token that the backup server knows")
    })?;
    Ok((stanza, token.expose_text()))
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
