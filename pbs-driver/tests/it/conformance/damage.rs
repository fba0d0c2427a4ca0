//! A datastore that somebody or something has damaged: each restore ends, names it, and leaves nothing
//! that could be taken for the data.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use pbs_driver::{
    DriverError, Failure,
    restore::{self, Protection, Request},
};
use pbs_format::{
    datastore::{Datastore, Namespace},
    manifest::{FileEntry, Manifest},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use super::{
    data::{CONF, Made, failure, on},
    mount::{Mount, write},
};

pub(super) fn damage(mount: &Mount) {
    let Some(hand) = mount.hand("damage") else { return };
    let made = Made::new(mount, "damage");
    let store = Datastore::open(&hand.store()).unwrap();
    let snapshot = store.snapshot(&Namespace::root(), &made.info.snapshot).unwrap();
    let manifest = snapshot.manifest().unwrap();
    let chunks = |signed: &FileEntry| -> Vec<PathBuf> {
        let index = snapshot.index(signed).unwrap();
        index.chunks().map(|chunk| store.chunks().path(&chunk.digest)).collect()
    };
    let (tree, disk) = (chunks(&made.pxar), chunks(&made.disk));
    assert!(tree.len() > 1 && disk.len() > 1, "one chunk is no middle");
    let file = |name: &str| snapshot.path().join(name);
    let root = || restored_tree(mount, &made);
    let image = || restored_file(mount, &made, &made.disk);
    let conf = || restored_file(mount, &made, &made.conf);

    // Chunks: of another content, cut off, empty, gone, another one in its place; the first and the last.
    for (chunks, restored) in [(&tree, &root as &dyn Fn() -> Failure), (&disk, &image)] {
        for chunk in [&chunks[0], &chunks[chunks.len() - 1]] {
            for (how, harm) in [
                ("flipped", &flip as &dyn Fn(&[u8]) -> Option<Vec<u8>>),
                ("cut", &|raw| Some(raw[..raw.len() / 2].to_vec())),
                ("empty", &|_| Some(Vec::new())),
                ("gone", &|_| None),
            ] {
                damaged(how, chunk, harm, restored);
            }
        }
        let other = fs::read(&chunks[1]).unwrap();
        damaged("another", &chunks[0], &|_| Some(other.clone()), restored);
    }

    // What the manifest signs: an index, a blob.
    damaged("index flipped", &file("root.pxar.didx"), &flip, &root);
    damaged("index gone", &file("root.pxar.didx"), &|_| None, &root);
    damaged("index cut", &file("disk.img.fidx"), &|raw| Some(raw[..raw.len() / 2].to_vec()), &image);
    damaged("blob flipped", &file("box.conf.blob"), &flip, &conf);
    damaged("blob gone", &file("box.conf.blob"), &|_| None, &conf);

    // The manifest itself: not there (an unfinished snapshot), changed after it was signed.
    damaged("no manifest", &file("index.json.blob"), &|_| None, &root);
    let changed = rewritten(&manifest, |text| text.replacen("\"size\": ", "\"size\": 1", 1));
    let (kept, _mended) = harmed(&file("index.json.blob"), &|_| Some(changed.clone()));
    assert_eq!(root(), Failure::WrongSignature);
    assert_eq!(conf(), Failure::WrongSignature);
    drop((kept, _mended));

    unsigned_twin(mount, &made, &manifest, &file("index.json.blob"));

    // And whole again.
    let back = mount.place.scratch().join("whole");
    restore::tree(&mount.client, &made.request(&made.pxar), &back, &mut on).unwrap();
    mount.place.assert_clean();
}

/// S66: the signature taken off, our fingerprint left in, the files claimed to be encrypted or not.
/// The client restores what decodes without a word about the key; we take none of it.
fn unsigned_twin(mount: &Mount, made: &Made, manifest: &Manifest, path: &Path) {
    let signature = manifest.to_text().lines().find(|line| line.contains("\"signature\": ")).unwrap().to_owned();
    let bare = rewritten(manifest, |text| {
        text.replace(&signature, "  \"signature\": null,").replace("\"encrypt\"", "\"none\"")
    });
    let (kept, _mended) = harmed(path, &|_| Some(bare.clone()));
    let nowhere = mount.place.scratch().join("nowhere");
    for archive in [&made.conf, &made.disk] {
        let result = restore::file(&mount.client, &made.request(archive), &nowhere, &mut on);
        let refused = matches!(result, Err(DriverError::NotUnderOurKey { .. } | DriverError::Client { .. }));
        assert!(refused, "{}: {result:?}", archive.filename);
        assert!(!nowhere.exists());
    }
    drop((kept, _mended));

    // The same with real plaintext behind it.
    let id = format!("{}-twin", made.id);
    let conf = write(mount.place.scratch(), "twin.conf", CONF);
    mount.by_hand(&["backup", &format!("box.conf:{}", conf.display()), "--backup-id", &id, "--crypt-mode", "none"]);
    let hand = mount.hand("damage").unwrap();
    let group = format!("host/{id}").parse().unwrap();
    let store = Datastore::open(&hand.store()).unwrap();
    let twin = store.snapshots(&Namespace::root(), &group).unwrap().remove(0);
    let path = store.snapshot_path(&Namespace::root(), &twin).join("index.json.blob");
    let plain = store.snapshot(&Namespace::root(), &twin).unwrap().manifest().unwrap();
    let fingerprint = made.key.fingerprint();
    for mode in ["none", "encrypt"] {
        let claiming = rewritten(&plain, |text| {
            let unprotected = format!("\"unprotected\": {{\n    \"key-fingerprint\": \"{fingerprint}\",");
            text.replace("\"unprotected\": {", &unprotected).replace("\"none\"", &format!("\"{mode}\""))
        });
        let (kept, _mended) = harmed(&path, &|_| Some(claiming.clone()));
        let request = Request { snapshot: &twin, ..made.request(&made.conf) };
        let result = restore::file(&mount.client, &request, &nowhere, &mut on);
        assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{mode}: {result:?}");
        assert!(!nowhere.exists());
        // The client asks for the key that the list names; who says that it proves nothing gives it.
        assert!(matches!(
            restore::plain_manifest(&mount.client, &made.access, &twin).unwrap_err().failure(),
            Some(Failure::MissingKey { .. })
        ));
        let list = restore::manifest(&mount.client, &made.access, &twin, &made.key_file).unwrap();
        let list = Manifest::parse(&list).unwrap();
        let protection = Protection::Unproven { key_file: &made.key_file, key: made.key.fingerprint() };
        let request = Request { protection, ..made.request(list.file("box.conf.blob").unwrap()) };
        let request = Request { snapshot: &twin, ..request };
        if mode == "none" {
            assert_eq!(restore::bytes(&mount.client, &request, 100).unwrap(), CONF);
        }
        drop((kept, _mended));
    }
    flipped_plaintext(mount, made, &store);
}

/// A plaintext archive has no signature; its chunks are held against its list all the same.
fn flipped_plaintext(mount: &Mount, made: &Made, store: &Datastore) {
    let id = format!("{}-plain", made.id);
    let tree = format!("root.pxar:{}", made.tree.display());
    mount.by_hand(&["backup", &tree, "--backup-id", &id, "--crypt-mode", "none"]);
    let group = format!("host/{id}").parse().unwrap();
    let plain = store.snapshots(&Namespace::root(), &group).unwrap().remove(0);
    let list = restore::plain_manifest(&mount.client, &made.access, &plain).unwrap();
    let list = Manifest::parse(&list).unwrap();
    let entry = list.file("root.pxar.didx").unwrap();
    let chunks: Vec<PathBuf> = {
        let snapshot = store.snapshot(&Namespace::root(), &plain).unwrap();
        let index = snapshot.index(entry).unwrap();
        index.chunks().map(|chunk| store.chunks().path(&chunk.digest)).collect()
    };
    let target = mount.place.scratch().join("partial");
    let restored = || {
        let request = Request { snapshot: &plain, protection: Protection::Plain, ..made.request(entry) };
        let result = restore::tree(&mount.client, &request, &target, &mut on);
        assert!(!target.exists(), "half a tree is left");
        failure(result)
    };
    for chunk in [&chunks[0], &chunks[chunks.len() - 1]] {
        damaged("flipped", chunk, &flip, &restored);
        // Whole, and with another content.
        let lie = |_: &[u8]| pbs_format::blob::encode(b"evil", None, true, &mut UnwrapErr(SysRng)).ok();
        damaged("another", chunk, &lie, &restored);
    }
}

fn restored_tree(mount: &Mount, made: &Made) -> Failure {
    let target = mount.place.scratch().join("partial");
    let failure = failure(restore::tree(&mount.client, &made.request(&made.pxar), &target, &mut on));
    assert!(!target.exists(), "half a tree is left");
    failure
}

fn restored_file(mount: &Mount, made: &Made, archive: &FileEntry) -> Failure {
    let target = mount.place.scratch().join("partial");
    let failure = failure(restore::file(&mount.client, &made.request(archive), &target, &mut on));
    assert!(!target.exists());
    failure
}

fn damaged(how: &str, path: &Path, harm: &dyn Fn(&[u8]) -> Option<Vec<u8>>, restored: &dyn Fn() -> Failure) {
    let (kept, _mended) = harmed(path, harm);
    let failure = restored();
    assert!(matches!(failure, Failure::Damaged { .. }), "{how} {}: {failure:?}", path.display());
    drop((kept, _mended));
}

/// Puts something else into a file of the server, or takes it away, until the guard is dropped.
fn harmed(path: &Path, harm: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> (Vec<u8>, Mended) {
    let raw = fs::read(path).unwrap();
    let aside = path.with_extension("aside");
    // Aside and a new file in its place: a chunk may be read-only, and its owner is the server's user.
    fs::rename(path, &aside).unwrap();
    let mended = Mended { path: path.to_owned(), aside };
    if let Some(changed) = harm(&raw) {
        fs::write(path, changed).unwrap();
    }
    (raw, mended)
}

struct Mended {
    path: PathBuf,
    aside: PathBuf,
}

impl Drop for Mended {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => println!("{}: {error}", self.path.display()),
            _ => {}
        }
        if let Err(error) = fs::rename(&self.aside, &self.path) {
            println!("{}: {error}", self.path.display());
        }
    }
}

fn flip(raw: &[u8]) -> Option<Vec<u8>> {
    let mut raw = raw.to_vec();
    let last = raw.len() - 1;
    raw[last] ^= 1;
    Some(raw)
}

/// The manifest's text changed, in a blob as PBS keeps it: without a key.
fn rewritten(manifest: &Manifest, change: impl Fn(String) -> String) -> Vec<u8> {
    let text = manifest.to_text();
    let changed = change(text.clone());
    assert_ne!(changed, text);
    pbs_format::blob::encode(changed.as_bytes(), None, true, &mut UnwrapErr(SysRng)).unwrap()
}
