//! Bringing a storage with its key and token onto a node, in the order that leaves no gap.
//!
//! Why not `pvesm add`: it takes everything back if the server does not answer at that moment, deletes
//! the key and password files that it is not given and overwrites those that it is, without asking;
//! it writes `storage.cfg` anew without comments and without stanzas of plugins that are not installed.
//! And a storage added first and given its key afterwards backs up *unencrypted* in between. Here
//! key and secret are in place before the stanza is, all of it under the lock that `pvesm` itself takes.

use std::collections::BTreeSet;

use super::{
    error::{KeyThere, PveError},
    lock::FileLock,
    node::Node,
    secrets::{self, KeyReplaces, PresentKey, Put},
    storage::{PbsStorage, StorageCfg, StorageId},
};

/// Everything that PVE needs for one Proxmox Backup Server.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The stanza. Its `encryption_key` is set from `key`, whatever it says.
    pub storage: &'a PbsStorage,
    /// An unprotected key file. `None` leaves one that is there alone; PVE encrypts with it.
    pub key: Option<&'a [u8]>,
    /// The one file that this key may replace; `None` replaces nothing.
    pub key_replaces: Option<KeyReplaces>,
    /// The password or token secret.
    pub secret: &'a str,
}

/// What was done; everything [`Put::Same`] on a second run.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    /// The stanza in `storage.cfg`.
    pub stanza: Put,
    /// The key file, if one was wanted.
    pub key: Option<Put>,
    /// What the key replaced. Whoever must not lose it keeps it before ([`secrets::present_key`]): a machine
    /// that loses power right after the writing never says this.
    pub former_key: Option<PresentKey>,
    /// The password file.
    pub secret: Put,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("storage", self.storage).finish_non_exhaustive()
    }
}

/// Makes the node know this storage. Everything that speaks against it is found before the first write.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentStorage`], [`PveError::DifferentKey`],
/// [`PveError::DifferentSecret`], [`PveError::KeyFile`], [`PveError::Secret`], [`PveError::Storage`];
/// [`PveError::Io`], [`PveError::Locked`]. After an error of the last two kinds some of the files may be
/// in place, each of them whole; the same call goes on from there.
pub fn place(node: &Node, wanted: &Wanted<'_>) -> Result<Placed, PveError> {
    let lock = FileLock::take(node)?;
    let id = &wanted.storage.id;

    let replaces = wanted.key_replaces.as_ref();
    let key = wanted.key.map(|text| secrets::look_key(node, id, text, replaces)).transpose()?;
    let mark = key.as_ref().map(|coming| coming.key.mark());
    let former = key.and_then(|coming| coming.former).map(|former| former.there());
    let storage = wanted.storage.clone().with_encryption_key(mark);
    secrets::look_password(node, id, wanted.secret)?;
    let mut storages = StorageCfg::read(node)?;
    if let (Some(KeyThere::Key(former)), Some(mark)) = (former, mark) {
        storages.renew_key_mark(id, former, mark)?;
    }
    storages.add_pbs(&storage)?;

    // The mark before its key: this order is the one that the same call can go on from, since the key that is
    // replaced says which mark may be.
    let mut renewed = false;
    if let (Some(KeyThere::Key(former)), Some(mark)) = (former, mark) {
        renewed = StorageCfg::edit_under(&lock, node, |storages| storages.renew_key_mark(id, former, mark))?;
    }
    let put = wanted.key.map(|text| secrets::put_key_under(&lock, node, id, text, replaces)).transpose()?;
    let (key, former_key) = put.map_or((None, None), |(put, former)| (Some(put), former));
    let secret = secrets::put_password_under(&lock, node, id, wanted.secret)?;
    let written = StorageCfg::edit_under(&lock, node, |storages| storages.add_pbs(&storage))? || renewed;
    Ok(Placed { stanza: if written { Put::Written } else { Put::Same }, key, former_key, secret })
}

/// Takes a storage away again, key and password included; everything else in `storage.cfg` stays byte for
/// byte. (Why not `pvesm remove`: it writes that file anew, as [`place`]'s `pvesm add` would, and knows nothing
/// of a key whose stanza was never written.) What is not there is taken away.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::DifferentStorage`] for one of another type, [`PveError::Sections`],
/// [`PveError::Io`], [`PveError::Locked`]; the same call goes on from there.
pub fn take_away(node: &Node, id: &StorageId) -> Result<(), PveError> {
    let lock = FileLock::take(node)?;
    // A stanza without its key would have PVE refuse to back up; a key without a stanza is nobody's.
    StorageCfg::edit_under(&lock, node, |storages| storages.remove_pbs(id))?;
    secrets::remove_under(&lock, node, id)
}

/// The storages whose name begins so, by `storage.cfg` or by a key or password that lies there.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`]; [`PveError::Io`].
pub fn named(node: &Node, beginning: &str) -> Result<BTreeSet<StorageId>, PveError> {
    let storages = StorageCfg::read(node)?;
    let there = storages.sections().iter().map(|section| section.id().into_owned());
    let all = there.filter(|id| id.starts_with(beginning)).chain(secrets::named(node, beginning)?);
    // What is no storage's name was not given by anybody who could have made one.
    Ok(all.filter_map(|id| id.parse().ok()).collect())
}
