//! The file of operator keys that is given at enrolment.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use tenwords_escrow::signers::{self, SignersError};

/// Public keys by ssh-keygen: ed25519, ecdsa 256 and 384, rsa 3072 and 1024, ecdsa 521, dsa, and a
/// certificate.
const KEYS: &str = include_str!("../golden/operator-keys.pub");

fn keys() -> Vec<&'static str> {
    KEYS.lines().collect()
}

/// A FIDO2 key: type, public key, application.
fn fido() -> String {
    let mut wire = Vec::new();
    for field in [b"sk-ssh-ed25519@openssh.com".as_slice(), &[7; 32], b"ssh:"] {
        wire.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        wire.extend(field);
    }
    format!("sk-ssh-ed25519@openssh.com {}", STANDARD.encode(wire))
}

#[test]
fn a_file_as_people_write_it_becomes_the_one_list() {
    let [ed25519, p256, p384, rsa, ..] = keys()[..] else { panic!("keys") };
    let file = format!(
        "# operators of example.org\n\nrecovery,operational   {p256} anna@example.org, laptop\r\n  # spare\noperational\t{ed25519} \
         ben\nrecovery {rsa}\noperational {p384} x y z\nrecovery {}",
        fido()
    );
    let list = signers::parse(file.as_bytes()).unwrap();
    let mut lines = [
        format!("operational,recovery {p256}\n"),
        format!("operational {ed25519}\n"),
        format!("recovery {rsa}\n"),
        format!("operational {p384}\n"),
        format!("recovery {}\n", fido()),
    ];
    lines.sort();
    assert_eq!(list.to_text(), lines.concat());
    let again = signers::parse(list.to_text().as_bytes()).unwrap();
    assert_eq!(again.hash(), list.hash());
    assert_eq!(signers::parse(b"\n# nobody\n").unwrap().to_text(), "");
}

#[test]
fn what_would_allow_more_than_was_meant_is_refused_with_its_line() {
    let [ed25519, _, _, _, rsa1024, p521, dsa, certificate] = keys()[..] else { panic!("keys") };
    let (key_type, key) = ed25519.split_once(' ').unwrap();
    for (line, reason) in [
        (format!("operational namespaces=\"tenwords-order-v1\" {ed25519}"), "Option { line: 2 }"),
        (format!("operational cert-authority {ed25519}"), "Option { line: 2 }"),
        (format!("operational valid-before=\"20270101\" {ed25519}"), "Option { line: 2 }"),
        (format!("operational {certificate}"), "Key { line: 2"),
        (format!("operational {rsa1024}"), "Key { line: 2"),
        (format!("operational {p521}"), "Key { line: 2"),
        (format!("operational {dsa}"), "Key { line: 2"),
        (format!("admin {ed25519}"), "Role { line: 2 }"),
        (format!("operational,admin {ed25519}"), "Role { line: 2 }"),
        (format!("*,operational {ed25519}"), "Role { line: 2 }"),
        (format!("Operational {ed25519}"), "Role { line: 2 }"),
        (format!("\"operational\" {ed25519}"), "Role { line: 2 }"),
        (format!("operational, {ed25519}"), "Role { line: 2 }"),
        (ed25519.to_owned(), "Line { line: 2 }"),
        ("operational".to_owned(), "Line { line: 2 }"),
        (format!("operational {key_type}"), "Line { line: 2 }"),
        (format!("operational ssh-rsa {key}"), "Key { line: 2"),
        (format!("operational {key_type} {}", &key[..40]), "Key { line: 2"),
        (format!("operational {key_type} {key}AAAA"), "Key { line: 2"),
        (format!("operational {ed25519}\nrecovery {ed25519}"), "Twice"),
    ] {
        let error = signers::parse(format!("# first\n{line}\n").as_bytes()).unwrap_err();
        assert!(format!("{error:?}").starts_with(reason), "{error:?} instead of {reason} for {line}");
    }
    assert!(matches!(signers::parse(b"\xff\xfe"), Err(SignersError::NotText)));
    assert!(matches!(signers::parse(&vec![b'\n'; (256 << 10) + 1]), Err(SignersError::NotText)));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a-z,@=\"# \n-]{0,120}") {
        let _ = signers::parse(&bytes);
        let _ = signers::parse(format!("operational {text}").as_bytes());
        let _ = signers::parse(format!("operational ssh-ed25519 {}", STANDARD.encode(&bytes)).as_bytes());
    }
}
