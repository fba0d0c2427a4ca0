//! S32, S65, the age file's shape, and the flips: what a hub can serve in the place of an escrow.

use std::{num::NonZeroU64, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_escrow::{
    code::RecoveryCode,
    door,
    root::{Root, RootFacts},
};
use tenwords_protocol::{
    boxes::VersionList,
    hash::Sha256,
    id::BoxId,
    json,
    part::PartName,
    time::Timestamp,
    v1::V1,
    version::{Header, HeaderFacts, StoredHeader},
};

use super::{
    Stage,
    liar::{Answer, Asked, Lie},
    other_words, recover, told,
};
use crate::support::{BOX, Disk, Parts, Scene, key_part};

/// What the box has stored, as its hub has it.
struct Genuine {
    header: Header,
    parts: Parts,
    key: PartName,
}

impl Genuine {
    fn of(scene: &Scene) -> Result<Self> {
        let parts = Disk::of(&scene.hub)?.parts(1)?;
        let newest = scene.hub.show(BOX)?["newest"].to_string();
        let stored: StoredHeader = json::from_slice(newest.as_bytes())?;
        Ok(Self { header: stored.header, key: key_part(&parts)?, parts })
    }

    fn root(&self) -> &[u8] {
        &self.parts[&PartName::Root]
    }

    /// Served as it is, but for this part, under a header that fits.
    fn with(&self, name: PartName, bytes: Vec<u8>) -> Result<Lie> {
        let mut parts = self.parts.clone();
        ensure!(parts.insert(name, bytes.clone()) != Some(bytes), "nothing was changed");
        self.serving(parts)
    }

    fn serving(&self, parts: Parts) -> Result<Lie> {
        let root_sha256 = Sha256::of(&parts[&PartName::Root]);
        let header = Header::new(HeaderFacts { root_sha256, ..self.header.facts().clone() }, &parts)?;
        serving(vec![(header, parts)])
    }

    /// One character of the text in `name`, some characters behind `mark`, becomes another one of
    /// the same alphabet.
    fn slip(&self, name: PartName, mark: &str, behind: usize) -> Result<Lie> {
        let mut bytes = self.parts[&name].clone();
        let found = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
        let at = found.with_context(|| format!("`{mark}` is not in it"))? + mark.len() + behind;
        bytes[at] = match bytes[at] {
            b'9' => b'8',
            digit @ b'0'..=b'8' => digit + 1,
            b'A' => b'B',
            b'a' => b'b',
            letter if letter.is_ascii_uppercase() => b'A',
            letter if letter.is_ascii_lowercase() => b'a',
            _ => b'A',
        };
        self.with(name, bytes)
    }

    /// The same facts but for `change`, sealed under `code`.
    fn resealed(
        &self,
        words: &RecoveryCode,
        code: &RecoveryCode,
        change: impl FnOnce(&mut RootFacts),
    ) -> Result<Vec<u8>> {
        let mut facts = Root::open(&door::check_root(self.root())?, words)?.into_facts();
        change(&mut facts);
        Ok(Root::new(facts)?.seal(code)?)
    }
}

/// These versions, newest first, and nothing else, until the words were proven: from then on the truth.
fn serving(versions: Vec<(Header, Parts)>) -> Result<Lie> {
    let count = versions.len() as u64;
    let numbered = (1..=count).rev().zip(&versions);
    let headers = numbered
        .map(|(number, (header, _))| {
            let number = NonZeroU64::new(number).context("a number")?;
            Ok(StoredHeader { v: V1, number, received_at: Timestamp::now(), header: header.clone() })
        })
        .collect::<Result<Vec<_>>>()?;
    let list = json::to_vec(&VersionList { v: V1, versions: headers })?;
    let mut proven = false;
    Ok(Box::new(move |asked: &Asked, truth: Answer| {
        proven |= asked.path.ends_with("/prove");
        if proven {
            return Some(truth);
        }
        if asked.method == "GET" && asked.path.ends_with("/versions") {
            return Some(Answer { body: list.clone(), status: 200, ..truth });
        }
        let Some((_, place)) = asked.path.split_once("/versions/") else { return Some(truth) };
        let body = place.split_once("/parts/").and_then(|(number, name)| {
            let index = count.checked_sub(number.parse().ok()?)?;
            versions.get(usize::try_from(index).ok()?)?.1.get(&name.parse().ok()?).cloned()
        });
        let status = if body.is_some() { 200 } else { 404 };
        Some(Answer { body: body.unwrap_or_default(), status, ..truth })
    }))
}

/// 11 is "these words open nothing that lies there", 12 is "they open it, and it is not what was
/// stored".
const NOTHING_OPENS: (i32, &str) = (11, "these words open no version of this box");
const PASSED_OVER: (i32, &str) = (11, "is not an escrow of ours and was passed over");
const CHANGED: (i32, &str) = (12, "is not what was stored");

#[test]
fn s32_s65_what_a_hub_plants_beside_or_instead_is_never_installed() -> Result<()> {
    let stage = Stage::set()?;
    let genuine = Genuine::of(&stage.scene)?;
    let (name, ours) = (genuine.key, stage.scene.key.fingerprint());
    let words: RecoveryCode = RecoveryCode::parse(&stage.scene.words)?;
    let hubs = other_words();
    let rng = &mut UnwrapErr(SysRng);
    let theirs = EncryptionKey::generate(rng);
    let wrapped = KeyFile::scrypt(&theirs, hubs.expose_passphrase().as_bytes(), 0, 0, rng)?.to_json().to_vec();
    let claiming = String::from_utf8(wrapped.clone())?.replace(&theirs.fingerprint().to_string(), &ours.to_string());
    let bare = KeyFile::plain(&theirs, 0, 0).to_json().to_vec();
    // A whole escrow of the hub's own making, under words that only the hub knows.
    let planted = |key: &[u8]| -> Result<Lie> {
        let root = genuine.resealed(&words, &hubs, |facts| {
            facts.parts = [(theirs.fingerprint(), Sha256::of(key))].into();
            facts.trust.sources.iter_mut().for_each(|source| source.key_fingerprint = theirs.fingerprint());
        })?;
        genuine.serving([(PartName::Root, root), (PartName::Key(theirs.fingerprint()), key.to_vec())].into())
    };
    // The genuine key under the genuine words, in the escrow of another box.
    let elsewhere: BoxId = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
    let others_root = genuine.resealed(&words, &words, |facts| facts.box_id = elsewhere)?;
    let others_key = KeyFile::scrypt(&stage.scene.key, words.expose_passphrase().as_bytes(), 0, 0, rng)?;

    let cases = [
        ("their key under their words", genuine.with(name, wrapped.clone())?, CHANGED),
        ("the same, claiming our fingerprint", genuine.with(name, claiming.into_bytes())?, CHANGED),
        ("another wrapping of our key under our words", genuine.with(name, others_key.to_json().to_vec())?, CHANGED),
        ("an escrow of theirs", planted(&wrapped)?, NOTHING_OPENS),
        ("an escrow of theirs with a bare key", planted(&bare)?, NOTHING_OPENS),
        (
            "another box's escrow under our words",
            genuine.with(PartName::Root, others_root)?,
            (12, "this is the escrow of box 3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d"),
        ),
    ];
    for (what, lie, (code, sentence)) in cases {
        stage.refuses(what, lie, code, sentence)?;
    }
    stage.recovers_from_the_truth()?;
    Ok(())
}

#[test]
fn s10_an_age_file_of_another_shape_costs_no_memory_and_opens_nothing() -> Result<()> {
    let stage = Stage::set()?;
    let genuine = Genuine::of(&stage.scene)?;
    let root = genuine.root().to_vec();
    let replaced = |from: &str, to: &str| -> Result<Lie> {
        let at = root.windows(from.len()).position(|window| window == from.as_bytes()).context(from.to_owned())?;
        let changed = [&root[..at], to.as_bytes(), &root[at + from.len()..]].concat();
        genuine.with(PartName::Root, changed)
    };
    let second =
        "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nJSVVNk0AzOsdKTT9Je0Hkzl6ZhXYQ9pO0G4hqZ3xYyM\n--- ";
    for (what, lie) in [
        ("work factor 17", replaced(" 16\n", " 17\n")?),
        ("work factor 30", replaced(" 16\n", " 30\n")?),
        ("work factor 15", replaced(" 16\n", " 15\n")?),
        ("a second recipient", replaced("--- ", second)?),
        ("cut off in its header", genuine.with(PartName::Root, root[..root.len() / 20].to_vec())?),
        ("empty", genuine.with(PartName::Root, Vec::new())?),
        ("armoured", genuine.with(PartName::Root, b"-----BEGIN AGE ENCRYPTED FILE-----\n".to_vec())?),
    ] {
        stage.refuses(what, lie, PASSED_OVER.0, PASSED_OVER.1)?;
    }
    let half = genuine.with(PartName::Root, root[..root.len() / 2].to_vec())?;
    stage.refuses("half of it", half, CHANGED.0, CHANGED.1)?;

    // A header that promises what can be, and a gigabyte that follows.
    let endless = |asked: &Asked, truth: Answer| {
        let zeros = if asked.path.ends_with("/parts/root.age") { 1 << 30 } else { 0 };
        Some(Answer { zeros, ..truth })
    };
    stage.refuses("a gigabyte", Box::new(endless), 12, "larger than such an answer can be")?;
    ensure!(stage.liar.zeros() < 32 << 20, "{} bytes were taken", stage.liar.zeros());

    // The root is whole, its header says another size.
    let longer = |asked: &Asked, mut truth: Answer| {
        if asked.path.ends_with("/parts/root.age") {
            truth.body.push(0);
        }
        Some(truth)
    };
    stage.refuses("a byte more than the header says", Box::new(longer), 12, "larger than such an answer can be")?;
    stage.recovers_from_the_truth()?;
    Ok(())
}

/// One byte of each field, as the hub serves it, against the agent with the right words.
#[test]
fn a_flipped_byte_of_any_field_is_refused_by_the_whole_path() -> Result<()> {
    let stage = Stage::set()?;
    let genuine = Genuine::of(&stage.scene)?;
    let (root, key) = (PartName::Root, genuine.key);
    let raw = |from_end: bool, at: usize| -> Result<Lie> {
        let mut bytes = genuine.root().to_vec();
        let mac = bytes.windows(4).position(|window| window == b"--- ").context("a mac")?;
        let payload = mac + 4 + 43 + 1;
        let at = if from_end { bytes.len() - 1 - at } else { payload + at };
        bytes[at] ^= 1;
        genuine.with(root, bytes)
    };
    for (what, lie, (code, sentence)) in [
        ("the version", genuine.slip(root, "encryption.org/v", 0)?, PASSED_OVER),
        ("the stanza's type", genuine.slip(root, "-> s", 0)?, PASSED_OVER),
        ("the stanza's salt", genuine.slip(root, "-> scrypt ", 3)?, NOTHING_OPENS),
        ("the stanza's body", genuine.slip(root, " 16\n", 5)?, NOTHING_OPENS),
        ("the mac", genuine.slip(root, "--- ", 7)?, CHANGED),
        ("the nonce", raw(false, 3)?, CHANGED),
        ("the payload", raw(false, 40)?, CHANGED),
        ("the end", raw(true, 0)?, CHANGED),
        ("the key's kdf", genuine.slip(key, "\"Scryp", 0)?, CHANGED),
        ("the key's cost", genuine.slip(key, "\"r\":", 0)?, CHANGED),
        ("the key's time", genuine.slip(key, "\"modified\":\"202", 0)?, CHANGED),
        ("the key's data", genuine.slip(key, "\"data\":\"", 60)?, CHANGED),
        ("the key's fingerprint", genuine.slip(key, "\"fingerprint\":\"", 0)?, CHANGED),
    ] {
        stage.refuses(what, lie, code, sentence)?;
    }
    stage.recovers_from_the_truth()?;
    Ok(())
}

/// Nothing in a header is believed: what it says about code, number and keys changes nothing.
#[test]
fn lies_in_a_header_change_nothing() -> Result<()> {
    let stage = Stage::set()?;
    let genuine = Genuine::of(&stage.scene)?;
    let honest = genuine.header.facts();
    let facts = HeaderFacts {
        code_number: NonZeroU64::new(7).context("a number")?,
        sequence: NonZeroU64::new(99).context("a number")?,
        made_at: "2031-12-31T00:00:00Z".parse()?,
        agent_version: "99.0.0".into(),
        grade: tenwords_protocol::version::Grade::Sealed,
        words_key: tenwords_protocol::bytes::Base64Array([7; 32]),
        ..honest.clone()
    };
    let header = Header::new(facts, &genuine.parts)?;
    let parts = genuine.parts.clone();
    stage.liar.tells(serving(vec![(header, parts)])?);
    let ended = recover(&stage.scene, &stage.machine, &stage.ticket, &stage.scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    let opened = told.lines().find(|line| line.contains("Opened: ")).context("what was opened")?;
    let date = tenwords_escrow::select::date(honest.made_at);
    ensure!(opened.contains(&format!("escrow of {date}, code 1, sequence 1,")), "{opened}");
    Ok(())
}

/// A hub that hides what is newer shows an older date and number. Whoever says that they do not fit
/// gets nothing.
#[test]
fn an_older_version_served_as_the_newest_is_for_the_customer_to_see() -> Result<()> {
    let stage = Stage::set()?;
    let Stage { scene, liar, .. } = &stage;
    let older = Genuine::of(scene)?;
    // A recovery ends with a newer ceremony under the same words.
    stage.recovers_from_the_truth()?;
    let newer: StoredHeader = json::from_slice(scene.hub.show(BOX)?["newest"].to_string().as_bytes())?;
    ensure!(newer.header.facts().sequence.get() == 2, "a second ceremony: {newer:?}");

    let machine = scene.fresh("box3")?;
    let ticket = liar.ticket(&scene.hub.arm(BOX, &[])?)?;
    liar.speaks_for(&machine);
    liar.tells(serving(vec![(older.header.clone(), older.parts.clone())])?);
    let file = machine.folder().join("ticket");
    tenwords_spikes::world::write_private(&file, ticket.as_bytes())?;
    let mut terminal = machine.at_terminal(&["recover", "--ticket-file", &file.display().to_string()])?;
    terminal.expect("The ten words: ", super::LONG)?;
    terminal.await_silence(super::LONG)?;
    terminal.type_line(&scene.words)?;
    let shown = terminal.expect("Does this fit? [y/n] ", super::LONG)?;
    let date = tenwords_escrow::select::date(older.header.facts().made_at);
    ensure!(shown.contains(&format!("Opened: escrow of {date}, code 1, sequence 1, ")), "{}", *shown);
    terminal.type_line("n")?;
    let (code, shown) = terminal.end(super::LONG)?;
    ensure!(code == 12 && shown.contains("nothing was installed"), "recover ended with {code}:\n{}", *shown);
    super::nothing_installed(&machine)?;
    ensure!(!liar.heard().iter().any(|asked| asked.path.ends_with("/prove")), "it was proven all the same");
    Ok(())
}

/// What the words opened is kept apart from what was only offered: a hub that serves sixteen foreign
/// escrows in front of ours costs time and nothing else.
#[test]
fn foreign_codes_in_front_of_ours_are_passed_over() -> Result<()> {
    let stage = Stage::set()?;
    let genuine = Genuine::of(&stage.scene)?;
    let rng = &mut UnwrapErr(SysRng);
    let garbage = Arc::new([(PartName::Root, b"age-encryption.org/v1\n".to_vec()), (genuine.key, b"{}".to_vec())]);
    let mut versions = (2..=4)
        .map(|number| {
            let parts: Parts = garbage.iter().cloned().collect();
            let facts = HeaderFacts {
                code_id: tenwords_protocol::id::CodeId::random(rng),
                code_number: NonZeroU64::new(number).context("a number")?,
                root_sha256: Sha256::of(&parts[&PartName::Root]),
                ..genuine.header.facts().clone()
            };
            Ok((Header::new(facts, &parts)?, parts))
        })
        .collect::<Result<Vec<_>>>()?;
    versions.push((genuine.header.clone(), genuine.parts.clone()));
    stage.liar.tells(serving(versions)?);
    let ended = recover(&stage.scene, &stage.machine, &stage.ticket, &stage.scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(told.contains("these words open code 1"), "it is not said that there are newer ones:\n{told}");
    Ok(())
}
