//! Blobs: `blobs` and `digests` of the vectors, and every damaged sibling.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use pbs_format::{
    blob::{self, BlobError, BlobKind},
    digest::chunk_digest,
};
use proptest::prelude::*;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde_json::Value;
use tenwords_protocol::hash::Sha256;

use crate::golden::{base64_of, cases, hex_of, key_from_hex, key_of, text};

const K: &str = "35907003094fccf298be5df5831f760cb7f7034cec08ac3097762676104b9db2";

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn plaintext(case: &Value) -> Vec<u8> {
    match case["plaintext_b64"].as_str() {
        Some(_) => base64_of(case, "plaintext_b64"),
        None => vec![0; usize::try_from(case["plaintext_len"].as_u64().unwrap()).unwrap()],
    }
}

#[test]
fn valid_blobs_decode_to_their_content() {
    for (name, case) in cases("/blobs/valid") {
        let (raw, key, content) = (base64_of(case, "blob_b64"), key_of(case), plaintext(case));
        let kind = match text(case, "kind") {
            "blob_plain" => BlobKind::Plain,
            "blob_zstd" => BlobKind::Compressed,
            "blob_encrypted" => BlobKind::Encrypted,
            "blob_zstd_encrypted" => BlobKind::CompressedEncrypted,
            other => panic!("{other}"),
        };
        assert_eq!(blob::kind(&raw), Ok(kind), "{name}");
        let decoded = blob::decode(&raw, key.as_ref(), content.len()).unwrap();
        assert_eq!(Sha256::of(&decoded).to_string(), text(case, "plaintext_sha256"), "{name}");
        assert_eq!(blob::decode(&raw, key.as_ref(), blob::MAX_PLAIN).as_ref(), Ok(&decoded), "{name}");
        assert_eq!(hex::encode(chunk_digest(&decoded, key.as_ref())), text(case, "digest_hex"), "{name}");
        if let Some(less) = content.len().checked_sub(1) {
            assert_eq!(blob::decode(&raw, key.as_ref(), less), Err(BlobError::TooLarge { max: less }), "{name}");
        }
        if kind.is_encrypted() {
            assert_eq!(blob::decode(&raw, None, content.len()), Err(BlobError::KeyNeeded), "{name}");
            let other = key_from_hex(&"55".repeat(32));
            assert_eq!(blob::decode(&raw, Some(&other), content.len()), Err(BlobError::NotAuthentic), "{name}");
        }
    }
}

#[test]
fn bad_blobs_are_refused_for_the_right_reason() {
    let expected = [
        ("unknown magic", BlobError::UnknownMagic),
        ("11 bytes", BlobError::TooSmall { found: 11 }),
        ("encrypted, 43 bytes", BlobError::TooSmall { found: 43 }),
        ("wrong CRC", BlobError::WrongChecksum),
        ("ciphertext flipped, CRC not mended", BlobError::WrongChecksum),
        ("ciphertext flipped, CRC mended", BlobError::NotAuthentic),
        ("IV flipped (the CRC does not cover it)", BlobError::NotAuthentic),
        ("tag flipped (the CRC does not cover it)", BlobError::NotAuthentic),
        ("plain magic on an encrypted blob", BlobError::WrongChecksum),
    ];
    let cases = cases("/blobs/reject");
    assert_eq!(cases.len(), expected.len());
    for ((name, case), (expected_name, reason)) in cases.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        let raw = base64_of(case, "blob_b64");
        assert_eq!(blob::decode(&raw, key_of(case).as_ref(), 1 << 20), Err(reason), "{name}");
    }
}

#[test]
fn digests_are_those_of_the_vectors() {
    for (name, case) in cases("/digests") {
        let data = if case["data_b64"].is_string() { base64_of(case, "data_b64") } else { vec![0; 4 << 20] };
        assert_eq!(chunk_digest(&data, None).as_slice(), hex_of(case, "plain_hex"), "{name}");
        for keyed in case["keyed"].as_array().unwrap() {
            let key = key_of(keyed).unwrap();
            assert_eq!(chunk_digest(&data, Some(&key)).as_slice(), hex_of(keyed, "digest_hex"), "{name}");
        }
    }
}

/// The CRC over the payload, put right again after a change.
fn mend(raw: &mut [u8], header: usize) {
    let sum = crc32fast::hash(&raw[header..]);
    raw[8..12].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn every_flipped_bit_of_an_encrypted_blob_is_refused_with_the_checksum_mended_too() {
    let key = key_from_hex(K);
    let mut seen = 0;
    for (name, case) in cases("/blobs/valid") {
        let raw = base64_of(case, "blob_b64");
        if case["key_hex"] != K || raw.len() > 120 {
            continue;
        }
        seen += 1;
        for index in 0..raw.len() {
            for bit in 0..8 {
                let mut flipped = raw.clone();
                flipped[index] ^= 1 << bit;
                let decoded = blob::decode(&flipped, Some(&key), 1 << 20);
                assert!(decoded.is_err(), "{name}: byte {index} bit {bit}");
                if index >= 12 {
                    mend(&mut flipped, blob::ENCRYPTED_HEADER);
                    let decoded = blob::decode(&flipped, Some(&key), 1 << 20);
                    assert_eq!(decoded, Err(BlobError::NotAuthentic), "{name}: byte {index} bit {bit}");
                }
            }
        }
        for length in 0..raw.len() {
            assert!(blob::decode(&raw[..length], Some(&key), 1 << 20).is_err(), "{name}: {length}");
        }
    }
    assert!(seen >= 3);
}

#[test]
fn a_tampered_compressed_chunk_is_never_decompressed() {
    let case = cases("/blobs/valid").into_iter().find(|case| case.0.starts_with("zstd and encrypted")).unwrap().1;
    let mut raw = base64_of(case, "blob_b64");
    raw[blob::ENCRYPTED_HEADER] ^= 1;
    mend(&mut raw, blob::ENCRYPTED_HEADER);
    assert_eq!(blob::decode(&raw, key_of(case).as_ref(), 1 << 20), Err(BlobError::NotAuthentic));
}

/// A compressed blob around any frame.
fn around(frame: &[u8]) -> Vec<u8> {
    let mut raw = [&[0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f, 0, 0, 0, 0], frame].concat();
    mend(&mut raw, blob::HEADER);
    raw
}

#[test]
fn decompression_is_bounded_by_what_is_wanted() {
    let zeros = vec![0; 8 << 20];
    let with_size = around(&zstd::bulk::compress(&zeros, 3).unwrap());
    let without_size = around(&zstd::stream::encode_all(&zeros[..], 3).unwrap());
    for bomb in [&with_size, &without_size] {
        assert_eq!(blob::decode(bomb, None, zeros.len()).unwrap().len(), zeros.len());
        assert_eq!(blob::decode(bomb, None, zeros.len() - 1), Err(BlobError::TooLarge { max: zeros.len() - 1 }));
        assert_eq!(blob::decode(bomb, None, 0), Err(BlobError::TooLarge { max: 0 }));
    }
    // A frame that states 2^62 bytes of content.
    let mut liar = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    liar.extend_from_slice(&(1_u64 << 62).to_le_bytes());
    liar.extend_from_slice(&[1, 0, 0]);
    assert!(blob::decode(&around(&liar), None, 1 << 20).is_err());
    // Two frames after one another are what a streaming encoder may write.
    let two = [zstd::bulk::compress(b"ten ", 1).unwrap(), zstd::bulk::compress(b"words", 1).unwrap()].concat();
    assert_eq!(blob::decode(&around(&two), None, 9).unwrap(), b"ten words");
    assert_eq!(blob::decode(&around(&two), None, 8), Err(BlobError::TooLarge { max: 8 }));
    for broken in [&b"no frame"[..], b"", &with_size[blob::HEADER..40]] {
        assert!(
            matches!(
                blob::decode(&around(broken), None, 1 << 20),
                Err(BlobError::Decompress { .. } | BlobError::TooLarge { .. })
            ) || broken.is_empty()
        );
    }
}

#[test]
fn what_does_not_compress_is_stored_as_it_is() {
    let case = cases("/blobs/valid").into_iter().find(|case| case.0 == "plain, because zstd did not help").unwrap().1;
    let noise = BASE64_STANDARD.decode(text(case, "plaintext_b64")).unwrap();
    let key = key_from_hex(K);
    let raw = blob::encode(&noise, None, true, &mut rng()).unwrap();
    assert_eq!(raw, base64_of(case, "blob_b64"));
    let raw = blob::encode(&noise, Some(&key), true, &mut rng()).unwrap();
    assert_eq!((blob::kind(&raw), raw.len()), (Ok(BlobKind::Encrypted), noise.len() + blob::ENCRYPTED_HEADER));
    assert_eq!(blob::encode(b"", None, true, &mut rng()).unwrap().len(), blob::HEADER);
    let zeros = vec![0; 4 << 20];
    let raw = blob::encode(&zeros, Some(&key), true, &mut rng()).unwrap();
    assert_eq!(blob::kind(&raw), Ok(BlobKind::CompressedEncrypted));
    assert!(raw.len() < 1000);
    assert_ne!(raw, blob::encode(&zeros, Some(&key), true, &mut rng()).unwrap(), "the IV is drawn anew");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_content_comes_back_from_any_kind(
        content in prop::collection::vec(0_u8..4, 0..3000),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        encrypt: bool,
        compress: bool,
    ) {
        let content = [content, noise].concat();
        let key = encrypt.then(|| key_from_hex(K));
        let raw = blob::encode(&content, key.as_ref(), compress, &mut rng()).unwrap();
        prop_assert_eq!(blob::kind(&raw).unwrap().is_encrypted(), encrypt);
        prop_assert!(raw.len() <= content.len() + blob::ENCRYPTED_HEADER);
        prop_assert_eq!(blob::decode(&raw, key.as_ref(), content.len()).unwrap(), content);
    }

    #[test]
    fn foreign_bytes_never_do_more_than_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_usize..4) {
        let magics = ["42ab3807be8370a1", "31b958426fb6a37f", "7b6785be222d4cf0", "e6591bbf0bbfd80b"];
        let mut raw = [hex::decode(magics[kind]).unwrap(), vec![0; 4], bytes].concat();
        let header = if kind < 2 { blob::HEADER } else { blob::ENCRYPTED_HEADER };
        if raw.len() >= header {
            mend(&mut raw, header);
        }
        let decoded = blob::decode(&raw, Some(&key_from_hex(K)), 1 << 16);
        prop_assert!(decoded.is_err() || kind < 2);
    }
}
