//! Access to `tests/golden` for the tests beside this file.

use std::{fs, path::PathBuf, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use pbs_format::{
    datastore::Datastore,
    key::{EncryptionKey, KeyFile},
};
use serde_json::Value;
use zeroize::Zeroizing;

/// `vectors.json`, parsed once.
pub(crate) static VECTORS: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(&file("vectors.json")).unwrap());

/// One golden file.
pub(crate) fn file(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

/// Where one golden file lies.
pub(crate) fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

/// The cases of one section of the vectors, with their names.
pub(crate) fn cases(pointer: &str) -> Vec<(&'static str, &'static Value)> {
    let section = VECTORS.pointer(pointer).and_then(Value::as_array).unwrap();
    assert!(!section.is_empty(), "{pointer}");
    section.iter().map(|case| (case["name"].as_str().unwrap_or(""), case)).collect()
}

/// A text field.
pub(crate) fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap()
}

/// The bytes of a field in hex.
pub(crate) fn hex_of(case: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(case, field)).unwrap()
}

/// The bytes of a field in base64.
pub(crate) fn base64_of(case: &Value, field: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text(case, field)).unwrap()
}

/// The key with these bytes in hex.
pub(crate) fn key_from_hex(hex: &str) -> EncryptionKey {
    EncryptionKey::from_bytes(Zeroizing::new(hex::decode(hex).unwrap().try_into().unwrap()))
}

/// The key that a case names, `None` where it names none.
pub(crate) fn key_of(case: &Value) -> Option<EncryptionKey> {
    case["key_hex"].as_str().map(key_from_hex)
}

/// The datastore that the real server wrote, unpacked.
pub(crate) fn store() -> (tempfile::TempDir, Datastore) {
    let folder = tempfile::tempdir().unwrap();
    let packed = file("store.tar.zst");
    tar::Archive::new(zstd::Decoder::new(&packed[..]).unwrap()).unpack(folder.path()).unwrap();
    let root = if folder.path().join("store").is_dir() { folder.path().join("store") } else { folder.path().into() };
    let store = Datastore::open(&root).unwrap();
    (folder, store)
}

/// The key of one of the unprotected golden key files.
pub(crate) fn live_key(name: &str) -> EncryptionKey {
    KeyFile::parse(&file(name)).unwrap().open(None).unwrap()
}

/// The checksum of a golden file that is too large to be kept.
pub(crate) fn checksum(name: &str) -> String {
    let sums = String::from_utf8(file("SHA256SUMS")).unwrap();
    let line = sums.lines().find(|line| line.ends_with(name)).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}
