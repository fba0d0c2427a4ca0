//! Foreign bytes: whatever a parser is given, it answers, with no more memory than it was allowed.

use pbs_format::{blob, index::Index, key::KeyFile, manifest::Manifest};
use proptest::{prelude::*, sample::Index as Place};

use crate::golden::{VECTORS, base64_of, cases, text};

/// A sound original with a few bytes changed, taken out or put in, as an attacker would begin.
fn damaged(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Place>(), 0_u8..3, any::<u8>()), 1..6);
    edits.prop_map(move |edits| {
        let mut bytes = original.clone();
        for (place, edit, byte) in edits {
            match edit {
                _ if bytes.is_empty() => {}
                0 => drop(bytes.remove(place.index(bytes.len()))),
                1 => bytes.insert(place.index(bytes.len()), byte),
                _ => {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
        }
        bytes
    })
}

fn key_file() -> Vec<u8> {
    text(cases("/keyfiles/valid")[5].1, "json").into()
}

fn manifest() -> Vec<u8> {
    text(&VECTORS["datastore"]["snapshots"][1], "manifest_text").into()
}

fn index(kind: &str) -> Vec<u8> {
    base64_of(cases(kind)[0].1, "file_b64")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_key_file_is_read_or_refused(bytes in damaged(key_file())) {
        if let Ok(file) = KeyFile::parse(&bytes) {
            // What was read can be written, and is then read as the same.
            let again = KeyFile::parse(&file.to_json()).unwrap();
            prop_assert_eq!(again.to_json(), file.to_json());
            let _: Result<(), _> = file.kdf().check();
        }
    }

    #[test]
    fn a_damaged_manifest_is_read_or_refused(bytes in damaged(manifest())) {
        if let Ok(read) = Manifest::parse(&bytes) {
            let again = Manifest::parse(read.to_text().as_bytes()).unwrap();
            prop_assert_eq!(again.files(), read.files());
            prop_assert_eq!(again.canonical_text().ok(), read.canonical_text().ok());
        }
    }

    #[test]
    fn a_damaged_index_is_read_or_refused(
        dynamic in damaged(index("/indexes/dynamic")),
        fixed in damaged(index("/indexes/fixed")),
    ) {
        for bytes in [dynamic, fixed] {
            if let Ok(read) = Index::parse(&bytes) {
                prop_assert_eq!(read.chunks().count(), read.count());
            }
        }
    }

    #[test]
    fn noise_is_nothing_to_any_parser(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(KeyFile::parse(&bytes).is_err());
        prop_assert!(Manifest::parse(&bytes).is_err());
        prop_assert!(Index::parse(&bytes).is_err());
        prop_assert!(blob::decode(&bytes, None, 1 << 16).is_err());
    }
}
