//! Indexes: `indexes` of the vectors, and every damaged sibling.

use pbs_format::index::{DynamicIndex, FixedIndex, Index, IndexError, IndexId};
use proptest::prelude::*;
use serde_json::Value;
use tenwords_protocol::hash::Sha256;

use crate::golden::{base64_of, cases, hex_of, text};

fn vectors() -> Vec<(&'static str, &'static Value)> {
    [cases("/indexes/dynamic"), cases("/indexes/fixed")].concat()
}

#[test]
fn indexes_are_read_and_written_as_the_vectors_are() {
    for (name, case) in vectors() {
        let raw = base64_of(case, "file_b64");
        let index = Index::parse(&raw).unwrap();
        assert_eq!(index.encode(), raw, "{name}");
        assert_eq!(index.csum().to_string(), text(case, "csum_hex"), "{name}");
        assert_eq!(index.size(), case["size"].as_u64().unwrap(), "{name}");
        assert_eq!(index.id().uuid.as_slice(), hex_of(case, "uuid_hex"), "{name}");
        assert_eq!(index.id().ctime, case["ctime"].as_i64().unwrap(), "{name}");
        let chunks = case["chunks"].as_array().unwrap();
        assert_eq!(index.count(), chunks.len(), "{name}");
        for (span, chunk) in index.chunks().zip(chunks) {
            assert_eq!(span.start, chunk["start"].as_u64().unwrap(), "{name}");
            assert_eq!(span.end, chunk["end"].as_u64().unwrap(), "{name}");
            assert_eq!(span.digest.as_slice(), hex_of(chunk, "digest_hex"), "{name}");
        }
    }
}

#[test]
fn every_byte_lies_in_the_chunk_that_holds_it() {
    for (name, case) in vectors() {
        let index = Index::parse(&base64_of(case, "file_b64")).unwrap();
        for offset in 0..index.size().min(5000) {
            let span = index.chunk(index.position(offset).unwrap()).unwrap();
            assert!((span.start..span.end).contains(&offset), "{name}: {offset}");
        }
        for offset in [index.size(), index.size() + 1, u64::MAX] {
            assert_eq!(index.position(offset), None, "{name}: {offset}");
        }
        assert_eq!(index.chunk(index.count()), None, "{name}");
    }
}

/// The header's checksum, put right again after a change.
fn mend(raw: &mut [u8]) {
    let sum = Sha256::of(&raw[4096..]);
    raw[32..64].copy_from_slice(sum.as_bytes());
}

#[test]
fn a_flipped_byte_of_the_entries_or_the_checksum_is_refused() {
    for (name, case) in vectors() {
        let raw = base64_of(case, "file_b64");
        for index in (0..8).chain(32..64).chain(4096..raw.len()) {
            let mut flipped = raw.clone();
            flipped[index] ^= 0x10;
            let refused = Index::parse(&flipped);
            let expected = if index < 8 { IndexError::UnknownMagic } else { IndexError::WrongChecksum };
            assert_eq!(refused, Err(expected), "{name}: byte {index}");
        }
    }
}

#[test]
fn an_index_of_a_damaged_shape_is_refused() {
    let dynamic = base64_of(cases("/indexes/dynamic")[0].1, "file_b64");
    let fixed = base64_of(cases("/indexes/fixed")[0].1, "file_b64");
    for raw in [&dynamic, &fixed] {
        for length in [0, 7] {
            assert_eq!(Index::parse(&raw[..length]), Err(IndexError::TooSmall { found: length }));
        }
        assert_eq!(Index::parse(&raw[..4095]), Err(IndexError::TooSmall { found: 4095 }));
        assert_eq!(Index::parse(&raw[..raw.len() - 1]), Err(IndexError::Length { found: raw.len() - 1 }));
        let longer = [raw, &b"x"[..]].concat();
        assert_eq!(Index::parse(&longer), Err(IndexError::Length { found: raw.len() + 1 }));
    }
    assert_eq!(DynamicIndex::parse(&fixed), Err(IndexError::UnknownMagic));
    assert_eq!(FixedIndex::parse(&dynamic), Err(IndexError::UnknownMagic));

    let dynamic_with = |position: usize, end: u64| {
        let mut raw = dynamic.clone();
        raw[4096 + position * 40..][..8].copy_from_slice(&end.to_le_bytes());
        mend(&mut raw);
        Index::parse(&raw)
    };
    assert!(dynamic_with(0, 999).is_ok());
    assert_eq!(dynamic_with(0, 0), Err(IndexError::ChunkLength { position: 0 }));
    assert_eq!(dynamic_with(1, 1000), Err(IndexError::ChunkLength { position: 1 }), "no bytes");
    assert_eq!(dynamic_with(1, 999), Err(IndexError::ChunkLength { position: 1 }), "backwards");
    assert_eq!(dynamic_with(2, u64::MAX), Err(IndexError::ChunkLength { position: 2 }), "over 16 MiB");
    assert_eq!(dynamic_with(0, (16 << 20) + 1), Err(IndexError::ChunkLength { position: 0 }));

    let fixed_with = |offset: usize, value: u64| {
        let mut raw = fixed.clone();
        raw[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        Index::parse(&raw)
    };
    let size = 150_000;
    for chunk_size in [0, 3, 65_535, 32 << 20, 1 << 63] {
        assert_eq!(fixed_with(72, chunk_size), Err(IndexError::Size { size, chunk_size }));
    }
    assert_eq!(fixed_with(64, 0), Err(IndexError::Size { size: 0, chunk_size: 65_536 }));
    for size in [65_536 * 2, 65_536 * 3 + 1, u64::MAX] {
        assert_eq!(fixed_with(64, size), Err(IndexError::Length { found: fixed.len() }));
    }
    assert!(fixed_with(64, 65_536 * 3).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_index_comes_back(
        uuid: [u8; 16],
        ctime: i64,
        chunks in prop::collection::vec((1_u64..=16 << 20, any::<[u8; 32]>()), 0..40),
        tail in 1_u64..=4096,
    ) {
        let id = IndexId { uuid, ctime };
        let mut end = 0;
        let entries = chunks.iter().map(|(length, digest)| { end += length; (end, *digest) }).collect();
        let dynamic = Index::Dynamic(DynamicIndex::new(id, entries).unwrap());
        prop_assert_eq!(&Index::parse(&dynamic.encode()).unwrap(), &dynamic);
        prop_assert_eq!(dynamic.size(), end);
        if let Some(last) = chunks.len().checked_sub(1) {
            let digests = chunks.iter().map(|chunk| chunk.1).collect();
            let fixed = Index::Fixed(FixedIndex::new(id, last as u64 * 4096 + tail, 4096, digests).unwrap());
            prop_assert_eq!(&Index::parse(&fixed.encode()).unwrap(), &fixed);
            prop_assert_eq!(fixed.chunk(last).unwrap().end, fixed.size());
        }
    }
}
