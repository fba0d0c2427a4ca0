//! S09: opened both ways before it is pushed, and once more after it is fetched back. And a whole
//! version of golden files.

use std::collections::BTreeMap;

use tenwords_escrow::{
    door,
    open::{self, OpenError},
    root::{Root, RootError},
    seal::SealError,
    secret::FileBytes,
    verify::{OpenedByClient, OpenedNatively, ReadbackError, VerifiedEscrow, VerifiedKeyPart, VerifyError},
};
use tenwords_protocol::{
    hash::Sha256,
    part::PartName,
    version::{Grade, Kind},
    words::{Claim, Purpose},
};
use zeroize::Zeroizing;

use crate::support::{
    ESCROW, Faithful, GOLDEN_PART, Missing, Swapping, box_id, facts, golden_code, golden_fingerprint, golden_name, key,
    number, other_code, parts, root_of, stored, verified, wrapped,
};

#[test]
fn the_golden_version_opens_with_the_golden_code() {
    let parts = BTreeMap::from([
        (golden_name(), GOLDEN_PART.to_vec()),
        (PartName::Root, include_bytes!("../golden/root.age").to_vec()),
    ]);
    let opened = open::open_ceremony(&parts, box_id(), &golden_code(), &Faithful).unwrap();
    assert_eq!(opened.root().facts().sequence, number(41));
    assert_eq!(opened.root().check_line().unwrap().to_string(), "QSFH-XAE7-SSHK-HKY3");
    assert_eq!(opened.root_sha256(), Sha256::of(&parts[&PartName::Root]));
    let key = &opened.keys()[&golden_fingerprint()];
    assert_eq!(key.fingerprint(), golden_fingerprint());
    assert!(opened.not_by_client().is_empty());
    // What is installed is what lay on the lost box, but for the time of the last change.
    let installed = pbs_format::key::KeyFile::parse(&key.expose_key_file()).unwrap();
    let lost = pbs_format::key::KeyFile::parse(crate::support::GOLDEN_KEY).unwrap();
    assert_eq!(installed.open(None).unwrap().expose_bytes(), lost.open(None).unwrap().expose_bytes());
    assert_eq!(installed.created(), lost.created());
}

#[test]
fn s09_a_verified_escrow_carries_what_its_root_says() {
    let bundle = ESCROW.bundle();
    let header = bundle.header().facts();
    assert_eq!((header.kind, header.grade), (Kind::Ceremony, Grade::Proven));
    assert_eq!(header.root_sha256, Sha256::of(&bundle.parts()[&PartName::Root]));
    assert_eq!(bundle.parts().len(), 3);
    let opened = open::open_ceremony(bundle.parts(), box_id(), &golden_code(), &Faithful).unwrap();
    let facts = opened.root().facts();
    assert_eq!(facts.words_key.public(), header.words_key);
    assert_eq!(
        (facts.code.number, facts.code.id, facts.sequence),
        (header.code_number, header.code_id, header.sequence)
    );
    assert_eq!(opened.keys().len(), 2);
}

#[test]
fn s09_both_openings_must_be_of_this_part_and_give_the_live_key() {
    let code = golden_code();
    let live = golden_fingerprint();
    let part = || door::check_key_part(GOLDEN_PART).unwrap();
    let other = door::check_key_part(&wrapped(&key("other"), &code)).unwrap();
    let by_client = || OpenedByClient::of(&part(), &code, &Faithful).unwrap();
    let natively = || OpenedNatively::of(&part(), &code).unwrap();

    assert!(VerifiedKeyPart::new(part(), by_client(), natively(), live).is_ok());
    let error = VerifiedKeyPart::new(part(), by_client(), natively(), key("live").fingerprint()).unwrap_err();
    assert!(matches!(error, VerifyError::OtherKey { reader: "proxmox-backup-client", .. }));
    let swapped = OpenedByClient::of(&part(), &code, &Swapping).unwrap();
    let error = VerifiedKeyPart::new(part(), swapped, natively(), live).unwrap_err();
    assert!(matches!(error, VerifyError::OtherKey { reader: "proxmox-backup-client", .. }));
    let of_other = OpenedByClient::of(&other, &code, &Faithful).unwrap();
    assert!(matches!(VerifiedKeyPart::new(part(), of_other, natively(), live), Err(VerifyError::OtherPart)));
    let of_other = OpenedNatively::of(&other, &code).unwrap();
    assert!(matches!(VerifiedKeyPart::new(part(), by_client(), of_other, live), Err(VerifyError::OtherPart)));
    // The same key in other bytes is another part: what is pushed is what was opened.
    let newline = door::check_key_part(&[GOLDEN_PART, b"\n"].concat()).unwrap();
    assert!(matches!(VerifiedKeyPart::new(newline, by_client(), natively(), live), Err(VerifyError::OtherPart)));
    assert!(OpenedByClient::of(&part(), &code, &Missing).is_err());
    assert!(OpenedNatively::of(&part(), &other_code()).is_err());
}

#[test]
fn s09_the_root_lists_exactly_what_was_verified() {
    let code = golden_code();
    let golden = || verified(GOLDEN_PART, &code);
    let second = || verified(&wrapped(&key("second"), &code), &code);
    let root = root_of(box_id(), &[&golden()]);
    for keys in [vec![], vec![golden(), second()], vec![second()], vec![golden(), golden()]] {
        assert!(matches!(VerifiedEscrow::new(&root, keys, "0.1.0", &code), Err(VerifyError::RootParts)));
    }
    // Listed with another hash.
    let facts = facts(box_id(), BTreeMap::from([(golden_fingerprint(), Sha256::of(b"other"))]));
    let root = Root::new(facts).unwrap();
    let error = VerifiedEscrow::new(&root, vec![golden()], "0.1.0", &code).unwrap_err();
    assert!(matches!(error, VerifyError::RootParts));
}

#[test]
fn s09_what_comes_back_is_compared_and_opened_both_ways_again() {
    let code = golden_code();
    let proven = ESCROW.read_back(stored(&ESCROW, 7), &parts(), &code, &Faithful).unwrap();
    assert_eq!(proven.stored().number, number(7));

    for name in parts().into_keys() {
        let mut flipped = parts();
        flipped.get_mut(&name).unwrap()[20] ^= 1;
        let error = ESCROW.read_back(stored(&ESCROW, 7), &flipped, &code, &Faithful).unwrap_err();
        assert!(matches!(error, ReadbackError::Part { name: n } if n == name));
        let mut cut = parts();
        cut.remove(&name);
        let error = ESCROW.read_back(stored(&ESCROW, 7), &cut, &code, &Faithful).unwrap_err();
        assert!(matches!(error, ReadbackError::Part { name: n } if n == name));
    }
    let mut more = parts();
    more.insert(PartName::Key(key("third").fingerprint()), GOLDEN_PART.to_vec());
    assert!(matches!(ESCROW.read_back(stored(&ESCROW, 7), &more, &code, &Faithful), Err(ReadbackError::Part { .. })));
    let error = ESCROW.read_back(stored(&ESCROW, 7), &parts(), &code, &Missing).unwrap_err();
    assert!(matches!(error, ReadbackError::Client { .. }), "at a ceremony the client must open it");
    let error = ESCROW.read_back(stored(&ESCROW, 7), &parts(), &code, &Swapping).unwrap_err();
    assert!(matches!(error, ReadbackError::Open(OpenError::ClientDisagrees { .. })));
    let error = ESCROW.read_back(stored(&ESCROW, 7), &parts(), &other_code(), &Faithful).unwrap_err();
    assert!(matches!(error, ReadbackError::Open(OpenError::Root(SealError::WrongWords))));

    let another = crate::support::ceremony(box_id(), &code, &[GOLDEN_PART]);
    let error = ESCROW.read_back(stored(&another, 7), &parts(), &code, &Faithful).unwrap_err();
    assert!(matches!(error, ReadbackError::Header));
}

#[test]
fn a_recovery_goes_on_without_the_client_and_says_so() {
    let opened = open::open_ceremony(&parts(), box_id(), &golden_code(), &Missing).unwrap();
    assert_eq!(opened.keys().len(), 2);
    assert_eq!(opened.not_by_client().len(), 2);
    let error = open::open_ceremony(&parts(), box_id(), &golden_code(), &Swapping).unwrap_err();
    assert!(matches!(error, OpenError::ClientDisagrees { .. }));
}

#[test]
fn the_same_facts_are_never_sealed_alike_and_open_alike() {
    let code = golden_code();
    let root = root_of(box_id(), &[&verified(GOLDEN_PART, &code)]);
    let (one, two) = (root.seal(&code).unwrap(), root.seal(&code).unwrap());
    assert_ne!(one, two);
    for sealed in [one, two] {
        let opened = Root::open(&door::check_root(&sealed).unwrap(), &code).unwrap();
        assert_eq!(opened.check_line().unwrap(), root.check_line().unwrap());
        assert_eq!(opened.facts().words_key.public(), root.facts().words_key.public());
        assert_eq!(*opened.facts().identity.expose_line(), *root.facts().identity.expose_line());
    }
}

#[test]
fn small_files_have_a_limit_and_the_largest_root_fits_its_part() {
    let code = golden_code();
    let with = |bytes: usize| {
        let mut facts = facts(box_id(), BTreeMap::from([(golden_fingerprint(), Sha256::of(GOLDEN_PART))]));
        facts.secrets.files[0].data = FileBytes::new(Zeroizing::new(vec![0xa5; bytes]));
        Root::new(facts)
    };
    assert!(matches!(with((512 << 10) + 1), Err(RootError::Facts(_))));
    let sealed = with(512 << 10).unwrap().seal(&code).unwrap();
    let opened = Root::open(&door::check_root(&sealed).unwrap(), &code).unwrap();
    assert_eq!(opened.facts().secrets.files[0].data.len(), 512 << 10);
}

#[test]
fn the_words_key_signs_for_one_box_version_and_certificate() {
    let opened = open::open_ceremony(&parts(), box_id(), &golden_code(), &Faithful).unwrap();
    let claim = Claim {
        purpose: Purpose::Recover,
        box_id: box_id(),
        version: number(7),
        nonce: tenwords_protocol::bytes::Base64Array([9; 32]),
        time: "2026-03-03T12:00:00Z".parse().unwrap(),
        spki_sha256: Sha256::of(b"spki"),
    };
    let proof = opened.root().facts().words_key.sign_proof(&claim);
    let public = ESCROW.bundle().header().facts().words_key;
    assert_eq!(proof.verify(box_id(), Sha256::of(b"spki"), &public), Ok(()));
    assert!(proof.verify(box_id(), Sha256::of(b"another"), &public).is_err());
}

#[test]
fn stock_tools_key_files_are_read() {
    let key = tenwords_escrow::keys::BoxKey::from_openssh(include_str!("../golden/box-key")).unwrap();
    let public = include_str!("../golden/box-key.pub");
    assert_eq!(key.public().to_string(), public.trim_end().rsplit_once(' ').unwrap().0);
    let again = tenwords_escrow::keys::BoxKey::from_openssh(&key.expose_openssh().unwrap()).unwrap();
    assert_eq!(again.public(), key.public());
    assert!(tenwords_escrow::keys::BoxKey::from_openssh(public).is_err());
}
