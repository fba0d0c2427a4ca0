//! Archives that the real client wrote, and our own, told from their content alone.

use std::io::{Read as _, Write as _};

use pbs_format::{
    backup::{Protection, SnapshotWriter},
    datastore::{Datastore, FileKind, Namespace},
    manifest::CryptMode,
    witness::{Verdict, Witness},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::golden::{self, key_from_hex, live_key};

#[test]
fn every_archive_of_the_real_client_is_told_from_its_content() {
    let ((_folder, store), key) = (golden::store(), live_key("K.enc"));
    let mut told = 0;
    for namespace in store.namespaces().unwrap() {
        for group in store.groups(&namespace).unwrap() {
            for reference in store.snapshots(&namespace, &group).unwrap() {
                let snapshot = store.snapshot(&namespace, &reference).unwrap();
                let Ok(manifest) = snapshot.manifest() else { continue };
                let Ok(verified) = manifest.verify(&key) else { continue };
                for entry in verified.files() {
                    // The catalog has an average of its own, and is one chunk here.
                    if entry.filename.kind() == FileKind::Blob || entry.crypt_mode != CryptMode::Encrypt {
                        continue;
                    }
                    let mut content = Vec::new();
                    snapshot.archive(entry, Some(&key)).unwrap().read_to_end(&mut content).unwrap();
                    let mut witness = Witness::new(entry, &key).unwrap();
                    witness.take(&content).unwrap();
                    assert_eq!(witness.finish(), Ok(Verdict::Same), "{reference} {}", entry.filename);
                    told += 1;
                }
            }
        }
    }
    assert!(told >= 3, "{told}");
}

#[test]
fn what_we_write_ourselves_is_cut_as_the_client_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let store = Datastore::create(&folder.path().join("store")).unwrap();
    let key = key_from_hex(&"42".repeat(32));
    let snapshot = "host/box1/2026-03-03T12:00:00Z".parse().unwrap();
    let (root, rng) = (Namespace::root(), UnwrapErr(SysRng));
    let mut writer =
        SnapshotWriter::begin(&store, &root, snapshot, "backup@pbs!box1", Protection::Encrypt(&key), rng).unwrap();
    let mut state = 1_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(9 << 20)
    .collect();
    // An image that ends in a whole chunk has no empty one after it.
    let of = |name: &str| if name == "whole.img.fidx" { &content[..8 << 20] } else { &content[..] };
    for name in ["root.pxar.didx", "drive.img.fidx", "whole.img.fidx"] {
        let mut archive = writer.archive(&name.parse().unwrap(), 1_772_539_200).unwrap();
        archive.write_all(of(name)).unwrap();
        assert!(archive.finish().unwrap().chunks > 1);
    }
    let manifest = writer.finish(None).unwrap();
    for entry in manifest.verify(&key).unwrap().files() {
        let mut witness = Witness::new(entry, &key).unwrap();
        of(entry.filename.as_str()).chunks(65_536).for_each(|piece| witness.take(piece).unwrap());
        assert_eq!(witness.finish(), Ok(Verdict::Same), "{}", entry.filename);
    }
}
