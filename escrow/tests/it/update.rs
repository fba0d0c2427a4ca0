//! S64: what the box key signs adds keys and tokens, in one chain from the root, and nothing else.

use std::{collections::BTreeMap, fs, num::NonZeroU64, process::Command};

use age::{Encryptor, Recipient, x25519};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use pbs_format::key::KeyFile;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256 as Digest256, Sha512};
use tenwords_escrow::{
    keys::{AgeIdentity, BoxKey},
    root::Root,
    secret::TokenSecret,
    update::{Ceremony, Chain, Contents, Link, MakeError, UpdateError, follow, make, open_chain},
};
use tenwords_protocol::{hash::Sha256, json as strict, time::Timestamp, update::Update};
use zeroize::Zeroizing;

use crate::support::{GOLDEN_KEY, OTHER_BOX, box_id, chain, facts, golden_fingerprint, key, number, seeded, wrapped};

/// A ceremony that was held, and the key that the box kept.
struct Held {
    root: Root,
    root_sha256: Sha256,
    key: BoxKey,
}

fn held(seed: &str) -> Held {
    let key = BoxKey::generate(&mut seeded(seed));
    let mut facts = facts(box_id(), BTreeMap::from([(golden_fingerprint(), Sha256::of(b"a part"))]));
    facts.box_key = key.public();
    Held { root: Root::new(facts).unwrap(), root_sha256: Sha256::of(seed.as_bytes()), key }
}

fn time() -> Timestamp {
    "2026-05-09T12:00:00Z".parse().unwrap()
}

fn plain(seed: &str) -> KeyFile {
    KeyFile::plain(&key(seed), 1_772_000_000, 1_772_539_200)
}

fn token(text: &str) -> TokenSecret {
    TokenSecret::new(Zeroizing::new(text.to_owned())).unwrap()
}

impl Held {
    fn ceremony(&self) -> Ceremony {
        Ceremony::of(&self.root, self.root_sha256)
    }

    /// Updates as the box makes them, one key each.
    fn updates(&self, seeds: &[&str]) -> Vec<Vec<u8>> {
        let mut link = Link::first(self.root_sha256);
        let mut parts = Vec::new();
        for seed in seeds {
            let contents = Contents { keys: vec![plain(seed)], tokens: BTreeMap::new() };
            let part = make(&self.ceremony(), link, &contents, &self.key, time()).unwrap();
            link = Link::after(&part).unwrap();
            parts.push(part);
        }
        parts
    }

    fn open(&self, parts: &[(u64, &[u8])]) -> Chain {
        open_chain(&self.root, self.root_sha256, parts.iter().map(|(at, part)| (number(*at), *part)))
    }

    /// Why a first update is refused.
    fn refusal(&self, part: &[u8]) -> UpdateError {
        let (updates, broken) = self.open(&[(1, part)]).into_parts();
        assert!(updates.is_empty());
        let broken = broken.unwrap();
        assert_eq!((broken.sequence, broken.left), (NonZeroU64::MIN, 0));
        broken.reason
    }

    // === by hand, without our own code ===

    fn statement(&self, body: &[u8], fingerprints: &[String]) -> Value {
        let facts = self.root.facts();
        json!({
            "v": 1, "box_id": facts.box_id.to_string(), "code_id": facts.code.id.to_string(), "sequence": 1,
            "previous": self.root_sha256.to_string(), "root_sha256": self.root_sha256.to_string(),
            "body_sha256": hex::encode(Digest256::digest(body)), "fingerprints": fingerprints,
            "made_at": "2026-05-09T12:00:00Z",
        })
    }

    fn sealed(&self, text: &str) -> Vec<u8> {
        sealed_to(&[&self.recipient()], text)
    }

    fn recipient(&self) -> x25519::Recipient {
        self.root.facts().identity.public().to_string().parse().unwrap()
    }

    /// A whole update of this body, its statement changed before it is signed.
    fn by_hand(&self, body: &str, fingerprints: &[String], change: impl Fn(&mut Value)) -> Vec<u8> {
        let body = self.sealed(body);
        let mut statement = self.statement(&body, fingerprints);
        change(&mut statement);
        let statement = statement.to_string().into_bytes();
        let signature = self.signature(&statement, &Sig::default());
        part(&statement, &signature, &body)
    }

    /// OpenSSH's PROTOCOL.sshsig.
    fn signature(&self, message: &[u8], how: &Sig) -> String {
        let openssh = self.key.expose_openssh().unwrap();
        let private = ssh_key::PrivateKey::from_openssh(openssh.as_bytes()).unwrap();
        let signer = SigningKey::from_bytes(&private.key_data().ed25519().unwrap().private.to_bytes());
        let hash =
            if how.hash == "sha256" { Digest256::digest(message).to_vec() } else { Sha512::digest(message).to_vec() };
        let head = [wire(how.namespace.as_bytes()), wire(how.reserved), wire(how.hash.as_bytes())].concat();
        let signed = signer.sign(&[b"SSHSIG".as_slice(), &head, &wire(&hash)].concat());
        let public = [wire(b"ssh-ed25519"), wire(signer.verifying_key().as_bytes())].concat();
        let signature = [wire(b"ssh-ed25519"), wire(&signed.to_bytes())].concat();
        let blob =
            [b"SSHSIG".as_slice(), &how.version.to_be_bytes(), &wire(&public), &head, &wire(&signature)].concat();
        let text = STANDARD.encode(blob);
        let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }
}

/// How a signature is made.
struct Sig {
    version: u32,
    namespace: &'static str,
    reserved: &'static [u8],
    hash: &'static str,
}

impl Default for Sig {
    fn default() -> Self {
        Self { version: 1, namespace: "tenwords-update-v1", reserved: b"", hash: "sha512" }
    }
}

fn wire(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn sealed_to(recipients: &[&dyn Recipient], text: &str) -> Vec<u8> {
    let encryptor = Encryptor::with_recipients(recipients.iter().copied()).unwrap();
    let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
    std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn part(statement: &[u8], signature: &str, body: &[u8]) -> Vec<u8> {
    let update =
        json!({"v": 1, "statement": STANDARD.encode(statement), "signature": signature, "body": STANDARD.encode(body)});
    update.to_string().into_bytes()
}

fn text_of(file: &KeyFile) -> String {
    String::from_utf8(file.to_json().to_vec()).unwrap()
}

/// A body with one key, under its own fingerprint.
fn body(seed: &str) -> (String, Vec<String>) {
    let fingerprint = key(seed).fingerprint().to_string();
    let text = json!({"v": 1, "keys": {fingerprint.clone(): text_of(&plain(seed))}, "tokens": {}}).to_string();
    (text, vec![fingerprint])
}

#[test]
fn what_a_box_adds_comes_out_as_it_went_in() {
    let held = held("a");
    let golden = KeyFile::parse(GOLDEN_KEY).unwrap();
    let contents = Contents {
        keys: vec![golden, plain("second")],
        tokens: BTreeMap::from([("pbs-main".parse().unwrap(), token("rotated"))]),
    };
    let first = make(&held.ceremony(), Link::first(held.root_sha256), &contents, &held.key, time()).unwrap();
    let link = Link::after(&first).unwrap();
    assert_eq!(link.sequence(), number(2));
    let second = make(&held.ceremony(), link, &Contents::default(), &held.key, time()).unwrap();

    let opened = held.open(&[(1, &first), (2, &second)]);
    assert!(opened.broken().is_none());
    let [one, two] = opened.updates() else { panic!("{opened:?}") };
    assert_eq!((one.sequence(), one.made_at(), two.sequence()), (number(1), time(), number(2)));
    assert_eq!(one.keys().len(), 2);
    assert!(two.keys().is_empty() && two.tokens().is_empty());
    let back = &one.keys()[&key("second").fingerprint()];
    assert_eq!(back.expose_key().expose_bytes(), key("second").expose_bytes());
    assert_eq!(*back.expose_key_file(), *plain("second").to_json());
    let back = &one.keys()[&golden_fingerprint()];
    assert_eq!(back.key_file().created(), KeyFile::parse(GOLDEN_KEY).unwrap().created());
    assert_eq!(one.tokens()[&"pbs-main".parse().unwrap()].expose_text(), "rotated");
    assert!(held.open(&[]).broken().is_none());
}

#[test]
fn what_somebody_else_makes_by_the_shapes_alone_is_taken() {
    let held = held("a");
    let (text, keys) = body("second");
    let opened = held.open(&[(1, &held.by_hand(&text, &keys, |_| {}))]);
    assert!(opened.broken().is_none(), "{opened:?}");
    assert_eq!(opened.updates()[0].keys().len(), 1);
}

#[test]
fn each_thing_that_a_statement_says_is_compared() {
    let held = held("a");
    let (text, keys) = body("second");
    let other = "0".repeat(64);
    let cases: [(&str, &str, Value, &str); 11] = [
        ("the genuine key for another box", "box_id", json!(OTHER_BOX), "BoxId"),
        ("another code", "code_id", json!(OTHER_BOX), "CodeId"),
        ("another ceremony", "root_sha256", json!(other), "Root"),
        ("the second one first", "sequence", json!(2), "Sequence { expected: 1, found: 2 }"),
        ("no number", "sequence", json!(0), "Statement"),
        ("not after the root", "previous", json!(other), "Previous"),
        ("another body", "body_sha256", json!(other), "BodyHash"),
        ("a key that the statement does not list", "fingerprints", json!([]), "Gate(KeyUnsigned"),
        ("a trust fact", "server", json!("pbs.hostile"), "Statement"),
        ("another version", "v", json!(2), "Statement"),
        ("a null", "made_at", Value::Null, "Statement"),
    ];
    for (what, field, value, reason) in cases {
        let part = held.by_hand(&text, &keys, |statement| statement[field] = value.clone());
        let found = format!("{:?}", held.refusal(&part));
        assert!(found.starts_with(reason), "{what}: {found}");
    }
    let mut more = keys.clone();
    more.push(key("third").fingerprint().to_string());
    more.sort_unstable();
    let reason = held.refusal(&held.by_hand(&text, &more, |_| {}));
    assert!(matches!(reason, UpdateError::KeyMissing(k) if k == key("third").fingerprint()), "{reason:?}");
    // Under another name than its number.
    let good = held.by_hand(&text, &keys, |_| {});
    let reason = held.open(&[(2, &good)]).into_parts().1.unwrap().reason;
    assert!(matches!(reason, UpdateError::Sequence { expected, found } if (expected, found) == (number(1), number(2))));
    let doubled = {
        let sealed = held.sealed(&text);
        let statement = held.statement(&sealed, &keys).to_string().replacen('{', "{\"v\":1,", 1).into_bytes();
        part(&statement, &held.signature(&statement, &Sig::default()), &sealed)
    };
    assert!(matches!(held.refusal(&doubled), UpdateError::Statement(_)));
}

#[test]
fn a_signature_is_of_one_kind() {
    let held = held("a");
    let (text, keys) = body("second");
    let sealed = held.sealed(&text);
    let statement = held.statement(&sealed, &keys).to_string().into_bytes();
    let signed = |how: Sig| part(&statement, &held.signature(&statement, &how), &sealed);
    for (how, reason) in [
        (Sig { version: 0, ..Sig::default() }, "Text"),
        (Sig { version: 2, ..Sig::default() }, "Text"),
        (Sig { reserved: b"x", ..Sig::default() }, "Text"),
        (Sig { namespace: "", ..Sig::default() }, "Text"),
        (Sig { namespace: "tenwords-order-v1", ..Sig::default() }, "Namespace"),
        (Sig { hash: "sha256", ..Sig::default() }, "Hash"),
        (Sig { hash: "sha1", ..Sig::default() }, "Text"),
    ] {
        let found = format!("{:?}", held.refusal(&signed(how)));
        assert!(found.starts_with(&format!("Signature({reason}")), "{found} instead of {reason}");
    }
    let another = self::held("another box key");
    let theirs = part(&statement, &another.signature(&statement, &Sig::default()), &sealed);
    assert_eq!(format!("{:?}", held.refusal(&theirs)), "Signature(Key)");
    let other_text = part(&statement, &held.signature(b"another text", &Sig::default()), &sealed);
    assert_eq!(format!("{:?}", held.refusal(&other_text)), "Signature(Refused)");
}

/// The box follows its own chain as a recovery does, without what opens it: the same updates stand, and the same
/// break ends it.
#[test]
fn the_box_follows_a_chain_to_where_a_recovery_opens_it() {
    let (one, other) = (held("a"), held("b"));
    let parts = one.updates(&["second", "third", "fourth"]);
    let rival = one.updates(&["fifth"]);
    let of_another = other.updates(&["second"]);
    let (text, keys) = body("second");
    let mut swapped: Update = strict::from_slice(&parts[1]).unwrap();
    swapped.body = strict::from_slice::<Update>(&rival[0]).unwrap().body;
    let swapped = strict::to_vec(&swapped).unwrap();
    let lying = one.by_hand(&text, &keys, |statement| statement["more"] = json!(1));
    let cases: Vec<Vec<(u64, &[u8])>> = vec![
        vec![],
        vec![(1, &parts[0]), (2, &parts[1]), (3, &parts[2])],
        vec![(1, &parts[0]), (1, &parts[0]), (2, &parts[1]), (1, &parts[0])],
        vec![(1, &parts[0]), (1, &rival[0]), (2, &parts[1])],
        vec![(1, &parts[0]), (3, &parts[2])],
        vec![(1, &parts[0]), (3, &parts[1])],
        vec![(1, &of_another[0])],
        vec![(1, &parts[0]), (2, &swapped), (3, &parts[2])],
        vec![(1, &lying)],
        vec![(1, b"{}")],
    ];
    for case in cases {
        let opened = one.open(&case);
        let followed = follow(&one.ceremony(), one.key.public(), case.iter().map(|(at, part)| (number(*at), *part)));
        assert_eq!(followed.statements.len(), opened.updates().len());
        for (statement, update) in followed.statements.iter().zip(opened.updates()) {
            assert_eq!(statement.sequence, update.sequence());
            assert!(statement.fingerprints.iter().eq(update.keys().keys()));
        }
        let broken = |broken: Option<&tenwords_escrow::update::Break>| {
            broken.map(|broken| (broken.sequence, broken.reason.to_string(), broken.left))
        };
        assert_eq!(broken(followed.broken.as_ref()), broken(opened.broken()));
        // Where it ends, the next one goes on.
        let contents = Contents { keys: vec![plain("sixth")], tokens: BTreeMap::new() };
        let next = make(&one.ceremony(), followed.next, &contents, &one.key, time()).unwrap();
        let mut longer: Vec<(u64, &[u8])> = opened
            .updates()
            .iter()
            .map(|update| (update.sequence().get(), parts[update.sequence().get() as usize - 1].as_slice()))
            .collect();
        longer.push((followed.next.sequence().get(), &next));
        assert!(one.open(&longer).broken().is_none());
    }
    let with_another_key = follow(&one.ceremony(), other.key.public(), [(number(1), parts[0].as_slice())]);
    assert!(with_another_key.statements.is_empty() && with_another_key.broken.is_some());
}

/// Whatever decides trust has no place in a body, however genuine the box key.
#[test]
fn s64_the_genuine_box_key_cannot_sign_a_trust_fact() {
    let held = held("a");
    let (text, keys) = body("second");
    let trusted = serde_json::to_value(&held.root.facts().trust).unwrap();
    for (field, value) in [
        ("server", json!("pbs.hostile")),
        ("sources", trusted["sources"].clone()),
        ("certificate", json!("web-pki")),
        ("operators", trusted["operators"].clone()),
        ("restore_paths", json!([])),
        ("trust", trusted.clone()),
        ("box_id", json!(OTHER_BOX)),
        ("box_key", json!(held.key.public().to_string())),
        ("words_key", json!("AAAA")),
        ("files", json!([])),
    ] {
        let mut with: Value = serde_json::from_str(&text).unwrap();
        with[field] = value.clone();
        let reason = held.refusal(&held.by_hand(&with.to_string(), &keys, |_| {}));
        assert!(matches!(reason, UpdateError::Body(_)), "{field} in a body: {reason:?}");
        let reason = held.refusal(&held.by_hand(&text, &keys, |statement| {
            if statement.get(field).is_none() {
                statement[field] = value.clone();
            } else {
                statement["more"] = value.clone();
            }
        }));
        assert!(matches!(reason, UpdateError::Statement(_)), "{field} in a statement: {reason:?}");
    }
    let source = json!({"secret": "x", "server": "pbs.hostile"});
    for tokens in [json!({"pbs-main": source}), json!({"pbs-main": ["x"]}), json!([])] {
        let text = json!({"v": 1, "keys": {}, "tokens": tokens}).to_string();
        assert!(matches!(held.refusal(&held.by_hand(&text, &[], |_| {})), UpdateError::Body(_)), "{text}");
    }
    let text = json!({"v": 1, "keys": {}, "tokens": {"pbs-hostile": "x"}}).to_string();
    let reason = held.refusal(&held.by_hand(&text, &[], |_| {}));
    assert!(matches!(&reason, UpdateError::TokenForeign(id) if id.as_str() == "pbs-hostile"), "{reason:?}");
    let text = json!({"v": 1, "keys": {}, "tokens": {"pbs-main": "x\ny"}}).to_string();
    assert!(matches!(held.refusal(&held.by_hand(&text, &[], |_| {})), UpdateError::Token(_)));
}

#[test]
fn a_key_file_in_a_body_is_plain_spelled_in_one_way_and_under_its_own_fingerprint() {
    let held = held("a");
    let second = key("second").fingerprint().to_string();
    let third = key("third").fingerprint().to_string();
    let good = text_of(&plain("second"));
    let code = crate::support::other_code();
    let protected = String::from_utf8(wrapped(&key("second"), &code)).unwrap();
    let stated = format!(",\"fingerprint\":\"{second}\"");
    assert!(good.contains(&stated) && good.contains("\"kdf\":null"));
    let short = {
        let data = STANDARD.encode(key("second").expose_bytes());
        good.replace(&data, &STANDARD.encode(&key("second").expose_bytes()[..31]))
    };
    for (listed, text, reason) in [
        (&second, protected, "Key { key"),
        (&second, good.replace(&stated, ""), "Key { key"),
        (&second, good.replace(&stated, &format!("{stated},\"hint\":\"x\"")), "Key { key"),
        (&second, good.replace("\"kdf\":null,", ""), "Key { key"),
        (&second, good.replace("\"kdf\":null,", "\"kdf\":null,\"server\":\"pbs.hostile\","), "Key { key"),
        (&second, format!("{good}\n"), "Key { key"),
        (&second, good.replace(',', ", "), "Key { key"),
        (&second, format!("[{good}]"), "Key { key"),
        (&second, "x".repeat(4097), "Key { key"),
        (&second, String::new(), "Key { key"),
        (&second, good.replace(&second, &third), "Gate(KeyComputed"),
        (&third, good.clone(), "Gate(KeyListed"),
        (&second, short, "Gate(KeyFile"),
    ] {
        let body = json!({"v": 1, "keys": {listed: text}, "tokens": {}}).to_string();
        let both = {
            let mut both = vec![second.clone(), third.clone()];
            both.sort_unstable();
            both
        };
        let reason_found = held.refusal(&held.by_hand(&body, &both, |_| {}));
        let found = format!("{reason_found:?}");
        assert!(found.starts_with(reason), "{found} instead of {reason} for {text}");
        let data = STANDARD.encode(key("second").expose_bytes());
        assert!(!format!("{found} {}", chain(&reason_found)).contains(&data[..20]), "a refusal repeats the key");
    }
}

#[test]
fn a_body_is_for_the_roots_identity_alone() {
    let held = held("a");
    let (text, keys) = body("second");
    let with = |sealed: &[u8]| {
        let statement = held.statement(sealed, &keys).to_string().into_bytes();
        part(&statement, &held.signature(&statement, &Sig::default()), sealed)
    };
    let ours = held.recipient();
    let theirs: x25519::Recipient = AgeIdentity::generate().public().to_string().parse().unwrap();
    let greased = (0..20).map(|_| sealed_to(&[&ours], &text));
    let greased: Vec<Vec<u8>> = greased.filter(|body| String::from_utf8_lossy(body).contains("-grease")).collect();
    assert!(!greased.is_empty(), "age adds a stanza of grease");
    assert!(greased.iter().all(|body| held.open(&[(1, &with(body))]).broken().is_none()));
    assert!(matches!(held.refusal(&with(&sealed_to(&[&ours, &theirs], &text))), UpdateError::Door(_)));
    assert!(matches!(held.refusal(&with(&sealed_to(&[&theirs], &text))), UpdateError::Identity));
    let under_words = include_bytes!("../golden/root.age");
    assert!(matches!(held.refusal(&with(under_words)), UpdateError::Door(_)));
    let mut cut = sealed_to(&[&ours], &text);
    cut.truncate(cut.len() - 1);
    assert!(matches!(held.refusal(&with(&cut)), UpdateError::Damaged(_)), "the box signed a damaged body");
}

#[test]
fn what_came_before_a_break_stands_and_the_rest_is_refused() {
    let held = held("a");
    let parts = held.updates(&["one", "two", "three", "four"]);
    let [one, two, three, four] = &parts[..] else { panic!("four") };
    let mut damaged = two.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    // In the middle of nothing: the same number made again, as a thief would.
    let forked = held.updates(&["one", "thief"]).remove(1);
    let after_fork = make(
        &held.ceremony(),
        Link::after(&held.updates(&["thief"])[0]).unwrap(),
        &Contents::default(),
        &held.key,
        time(),
    )
    .unwrap();
    let other = self::held("another ceremony").updates(&["one", "two"]);
    for (what, list, stand, sequence, left) in [
        ("damaged", vec![(1, one), (2, &damaged), (3, three), (4, four)], 1, 2, 2),
        ("one left out", vec![(1, one), (3, three), (4, four)], 1, 2, 1),
        ("two changed places", vec![(1, one), (3, three), (2, two)], 1, 2, 1),
        ("without a beginning", vec![(2, two), (3, three)], 0, 1, 1),
        ("forked at its end", vec![(1, one), (2, two), (3, three), (2, &forked), (4, four)], 3, 4, 1),
        ("on a fork", vec![(1, one), (2, &after_fork)], 1, 2, 0),
        ("another ceremony's", vec![(1, one), (2, &other[1]), (3, three)], 1, 2, 1),
        ("another ceremony's first", vec![(1, &other[0]), (2, two)], 0, 1, 1),
        ("under another name", vec![(1, one), (3, two)], 1, 2, 0),
    ] {
        let list: Vec<(u64, &[u8])> = list.into_iter().map(|(at, part)| (at, part.as_slice())).collect();
        let opened = held.open(&list);
        let broken = opened.broken().unwrap();
        assert_eq!((opened.updates().len(), broken.sequence, broken.left), (stand, number(sequence), left), "{what}");
    }
    // What a second push of the same bytes leaves behind is no break.
    let opened = held.open(&[(1, one), (2, two), (1, one), (2, two), (3, three)]);
    assert!(opened.broken().is_none());
    assert_eq!(opened.updates().len(), 3);
}

#[test]
fn every_flipped_byte_of_a_part_is_refused() {
    let held = held("a");
    let part = make(&held.ceremony(), Link::first(held.root_sha256), &Contents::default(), &held.key, time()).unwrap();
    assert!(held.open(&[(1, &part)]).broken().is_none());
    // The statement's own bytes are flipped beside `sshsig`, each once; here every other one.
    let text = str::from_utf8(&part).unwrap();
    let statement = text.find("eyJ").unwrap()..text.find("\",\"signature").unwrap() - 1;
    for at in 0..part.len() {
        assert!(held.open(&[(1, &part[..at])]).updates().is_empty(), "cut at {at}");
        if !statement.contains(&at) {
            let mut flipped = part.clone();
            flipped[at] ^= 0x01;
            assert!(held.open(&[(1, &flipped)]).updates().is_empty(), "byte {at}");
        }
    }
}

#[test]
fn what_would_end_the_chain_at_a_recovery_is_not_made() {
    let held = held("a");
    let made = |contents: Contents| {
        make(&held.ceremony(), Link::first(held.root_sha256), &contents, &held.key, time()).map(|_| ())
    };
    let protected = KeyFile::parse(crate::support::GOLDEN_PART).unwrap();
    assert!(matches!(made(Contents { keys: vec![protected], ..Contents::default() }), Err(MakeError::Key(_))));
    let tokens = BTreeMap::from([("pbs-later".parse().unwrap(), token("x"))]);
    assert!(
        matches!(made(Contents { tokens, ..Contents::default() }), Err(MakeError::Source(id)) if id.as_str() == "pbs-later")
    );
    let keys = |count: usize| (0..count).map(|at| plain(&format!("key {at}"))).collect();
    assert!(made(Contents { keys: keys(256), ..Contents::default() }).is_ok());
    assert!(matches!(made(Contents { keys: keys(257), ..Contents::default() }), Err(MakeError::TooMany)));
    assert!(matches!(Link::after(b"{}"), Err(MakeError::Previous(_))));
}

/// What a program prints and whether it was content; nothing where it is not installed.
#[expect(clippy::disallowed_methods, reason = "the real ssh-keygen, as a second reader and writer of signatures")]
fn ssh_keygen(folder: &std::path::Path, script: &str) -> Option<(bool, String)> {
    let there = Command::new("ssh-keygen").arg("-?").output();
    if there.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        println!("SKIPPED: there is no ssh-keygen here");
        return None;
    }
    let output = Command::new("/bin/sh").args(["-c", script]).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn the_real_ssh_keygen_takes_our_signature_and_we_take_its_own() {
    let held = held("a");
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("tenwords-update-signature");
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).unwrap();
    let update: Update = strict::from_slice(&held.updates(&["one"])[0]).unwrap();
    write("statement", &update.statement.0);
    write("statement.ours", update.signature.as_bytes());
    write("changed", &[&update.statement.0[..], b" "].concat());
    write("signers", format!("box {}\n", held.key.public()).as_bytes());
    let verify = |signature: &str, namespace: &str, statement: &str| {
        let script = format!("exec ssh-keygen -Y verify -f signers -I box -n {namespace} -s {signature} < {statement}");
        ssh_keygen(&folder, &script)
    };
    let Some((taken, said)) = verify("statement.ours", "tenwords-update-v1", "statement") else { return };
    assert!(taken, "{said}");
    assert!(!verify("statement.ours", "tenwords-order-v1", "statement").unwrap().0);
    assert!(!verify("statement.ours", "tenwords-update-v1", "changed").unwrap().0);

    let sealed = held.sealed(&body("second").0);
    let statement = held.statement(&sealed, &body("second").1).to_string().into_bytes();
    write("theirs", &statement);
    write("key", held.key.expose_openssh().unwrap().as_bytes());
    let script = "rm -f theirs.sig; chmod 600 key && ssh-keygen -Y sign -f key -n tenwords-update-v1 theirs";
    let (signed, said) = ssh_keygen(&folder, script).unwrap();
    assert!(signed, "{said}");
    let signature = fs::read_to_string(folder.join("theirs.sig")).unwrap();
    let opened = held.open(&[(1, &part(&statement, &signature, &sealed))]);
    assert!(opened.broken().is_none(), "{opened:?}");
    fs::remove_dir_all(&folder).unwrap();
}
