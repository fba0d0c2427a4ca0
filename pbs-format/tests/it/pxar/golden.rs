//! `root.pxar` of the golden datastore, which the real client wrote and the real server stored.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::LazyLock;

use pbs_format::archive::ChunkReader;
use pbs_format::pxar::{CreateOptions, ExtractOptions, create, extract};
use serde_json::Value;

use super::support::{Scratch, State, is_root, path_of, reencode, reencode_with, sha256, tree};
use crate::golden::{self, base64_of, checksum, file, text};

/// Runs with the archive as it streams out of the encrypted snapshot.
fn with_archive<T>(run: impl FnOnce(ChunkReader<'_>) -> T) -> T {
    let (_folder, store) = golden::store();
    let key = golden::live_key("K.enc");
    let snapshot = "host/box1/2024-02-29T12:34:56Z".parse().unwrap();
    let snapshot = store.snapshot(&"".parse().unwrap(), &snapshot).unwrap();
    let manifest = snapshot.manifest().unwrap();
    let entry = manifest.file("root.pxar.didx").unwrap();
    run(snapshot.archive(entry, Some(&key)).unwrap())
}

static ROOT_PXAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    with_archive(|mut reader| {
        let mut archive = Vec::new();
        reader.read_to_end(&mut archive).unwrap();
        archive
    })
});

#[test]
fn the_stream_is_the_one_that_the_client_restored() {
    assert_eq!(sha256(&ROOT_PXAR), checksum("root.pxar"));
}

#[test]
fn the_clients_archive_is_encoded_again_byte_for_byte() {
    assert!(reencode(&ROOT_PXAR) == *ROOT_PXAR);
}

#[test]
fn the_clients_archive_comes_back_as_the_tree_that_was_stored() {
    if !is_root("restoring owners, devices and capabilities") {
        return;
    }
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let report = with_archive(|reader| extract(reader, &target, &ExtractOptions::default())).unwrap();
    assert!(report.is_complete(), "{report:?}");

    let expected = expected();
    let found = tree(&target);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, state) in &expected {
        assert_eq!(&found[path], state, "{path:?}");
    }
    let sparse = target.join("data/sparse").symlink_metadata().unwrap();
    let on_disk = std::os::unix::fs::MetadataExt::blocks(&sparse) * 512;
    assert!(on_disk < sparse.len(), "{on_disk} bytes on disk");
}

#[test]
fn storing_the_restored_tree_gives_the_clients_own_bytes() {
    if !is_root("restoring owners, devices and capabilities") {
        return;
    }
    let scratch = Scratch::new();
    extract(&ROOT_PXAR[..], scratch.path(), &ExtractOptions::default()).unwrap();
    let mut again = Vec::new();
    let report = create(scratch.path(), &mut again, &CreateOptions::default()).unwrap();
    assert!(report.not_stored.is_empty(), "{report:?}");
    assert_eq!(report.archive_bytes, ROOT_PXAR.len() as u64);
    // The client writes attributes as the file system happens to list them, we in order of name.
    let sorted = reencode_with(&ROOT_PXAR, |metadata| metadata.xattrs.sort_by(|one, other| one.name.cmp(&other.name)));
    assert!(again == sorted);
}

/// `tree.json`, which was made from the tree itself, not from the archive.
fn expected() -> BTreeMap<PathBuf, State> {
    let rows: Vec<Value> = serde_json::from_slice(&file("tree.json")).unwrap();
    let mut states = BTreeMap::new();
    for row in rows {
        let path = match row["path"].as_str() {
            Some(".") => PathBuf::new(),
            Some(path) => path.into(),
            None => path_of(&base64_of(&row, "path_base64")),
        };
        let number = |field: &str| u32::try_from(row[field].as_u64().unwrap()).unwrap();
        let kind = match text(&row, "type") {
            "dir" => "dir",
            "file" => "file",
            "symlink" => "symlink",
            "blockdev" => "blockdev",
            "chardev" => "chardev",
            "fifo" => "fifo",
            "socket" => "socket",
            other => panic!("{other}"),
        };
        let mut xattrs = BTreeMap::new();
        for name in row["xattrs_base64"].as_object().iter().flat_map(|xattrs| xattrs.keys()) {
            xattrs.insert(name.into(), base64_of(&row["xattrs_base64"], name));
        }
        let is_file = kind == "file";
        let device = row["rdev"].as_array().map(|pair| {
            let half = |at: usize| u32::try_from(pair[at].as_u64().unwrap()).unwrap();
            (half(0), half(1))
        });
        let state = State {
            kind,
            mode: u32::from_str_radix(text(&row, "mode"), 8).unwrap(),
            owner: (number("uid"), number("gid")),
            mtime: (row["mtime"][0].as_i64().unwrap(), row["mtime"][1].as_i64().unwrap()),
            content: is_file.then(|| (row["size"].as_u64().unwrap(), text(&row, "sha256").into())),
            links: is_file.then(|| row["links"].as_u64().unwrap_or(1)),
            target: row["target"].as_str().map(Into::into),
            device,
            xattrs,
        };
        states.insert(path, state);
    }
    assert_eq!(states.len(), 109);
    states
}
