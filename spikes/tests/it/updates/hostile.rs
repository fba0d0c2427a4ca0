//! Whoever has the box has its key and its certificate: what he adds is named, and redirects nothing.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use tenwords_escrow::{
    keys::BoxKey,
    secret::TokenSecret,
    update::{Ceremony, Contents, Link, make},
};
use tenwords_protocol::{
    hash::Sha256,
    part::PartName,
    time::Timestamp,
    version::{Bundle, Grade, Header, HeaderFacts, Kind},
};
use tenwords_spikes::world::write_private;
use zeroize::Zeroizing;

use super::{LATER, back_up_later, both_are_back, has_key, made_key, state, update, with_another_key};
use crate::support::{BOX, Disk, Scene, protected};

/// What a thief finds in the box's state.
struct Thief {
    ceremony: Ceremony,
    key: BoxKey,
    bundle: Bundle,
}

impl Thief {
    fn of(scene: &Scene) -> Result<Self> {
        let at = scene.box_1.state();
        let record: serde_json::Value = serde_json::from_slice(&fs::read(at.join("escrow.json"))?)?;
        let bundle = Bundle::parse(&fs::read(at.join("escrow.bundle"))?)?;
        let facts = bundle.header().facts();
        let ceremony = Ceremony {
            box_id: facts.box_id,
            code_id: facts.code_id,
            root_sha256: facts.root_sha256,
            recipient: record["recipient"].as_str().context("a recipient")?.parse()?,
            sources: ["pbs".parse()?].into(),
        };
        let key = BoxKey::from_openssh(&fs::read_to_string(at.join("box.key"))?)?;
        Ok(Self { ceremony, key, bundle })
    }

    fn link(&self) -> Result<Link> {
        let updates = self.bundle.updates().iter().flat_map(|version| version.parts().values());
        Ok(updates.last().map_or(Ok(Link::first(self.ceremony.root_sha256)), |part| Link::after(part))?)
    }

    /// Stores an update as the next one.
    fn adds(&self, scene: &Scene, ceremony: &Ceremony, contents: &Contents) -> Result<()> {
        let link = self.link()?;
        let part = make(ceremony, link, contents, &self.key, Timestamp::now())?;
        let parts = BTreeMap::from([(PartName::Update(link.sequence()), part)]);
        let facts = HeaderFacts {
            kind: Kind::Update,
            grade: Grade::Sealed,
            made_at: Timestamp::now(),
            ..self.bundle.header().facts().clone()
        };
        Disk::of(&scene.hub)?.add(&Header::new(facts, &parts)?, &parts)
    }
}

fn token(text: &str) -> Result<TokenSecret> {
    Ok(TokenSecret::new(Zeroizing::new(text.to_owned()))?)
}

/// The genuine key signs an update for a server of its own, for another box, on another root: what came before
/// stands, nothing of it is taken, and each is named.
#[test]
fn s64_an_update_that_would_redirect_changes_nothing_and_is_named() -> Result<()> {
    type Change = fn(&mut Ceremony, &mut Contents) -> Result<()>;
    let changes: [(&str, Change); 4] = [
        ("is not among the root's sources", |ceremony, contents| {
            ceremony.sources.insert("pbs-hostile".parse()?);
            contents.tokens.insert("pbs-hostile".parse()?, token("hostile")?);
            Ok(())
        }),
        ("this is an update of box", |ceremony, _| {
            ceremony.box_id = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".parse()?;
            Ok(())
        }),
        ("of another ceremony", |ceremony, _| {
            ceremony.root_sha256 = Sha256::of(b"another root");
            Ok(())
        }),
        ("does not open the body", |ceremony, _| {
            ceremony.recipient = tenwords_escrow::keys::AgeIdentity::generate().public();
            Ok(())
        }),
    ];
    let scene = protected()?;
    let (later, _) = with_another_key(&scene)?;
    let thief = Thief::of(&scene)?;
    for (number, (refusal, change)) in changes.into_iter().enumerate() {
        let mut ceremony = thief.ceremony.clone();
        let key = KeyFile::parse(&made_key(&scene, &format!("hostile-{number}.enc"))?)?;
        let mut contents = Contents { keys: vec![key], tokens: BTreeMap::new() };
        change(&mut ceremony, &mut contents)?;
        let before = scene.hub.show(BOX)?["versions"].as_i64().context("a number")?;
        thief.adds(&scene, &ceremony, &contents)?;
        let machine = scene.fresh(&format!("box-{number}"))?;
        let recovery = machine.recover_with(&scene.hub.arm(BOX, &["--rehearsal"])?, &[], &[&scene.words])?;
        ensure!(recovery.code == 0, "{}:\n{}", recovery.code, *recovery.shown);
        for told in ["update 1 of", "update 2 is REFUSED", refusal] {
            ensure!(recovery.shown.contains(told), "`{told}` is not told:\n{}", *recovery.shown);
        }
        ensure!(machine.restored(LATER, "root.pxar").exists(), "what stood before is lost:\n{}", *recovery.shown);
        Disk::of(&scene.hub)?.hide(before + 1)?;
    }
    // A genuine one, with a key and another secret for the root's own source: it adds, and changes nothing else.
    let key = KeyFile::parse(&made_key(&scene, "planted.enc")?)?;
    let planted = key.open(None)?.fingerprint().short();
    let contents = Contents { keys: vec![key], tokens: BTreeMap::from([("pbs".parse()?, token("planted")?)]) };
    thief.adds(&scene, &thief.ceremony, &contents)?;
    let machine = scene.fresh("box2")?;
    let shown = both_are_back(&scene, &machine, &later)?;
    for told in [format!("added key {planted}"), "another secret of the token of source pbs".to_owned()] {
        ensure!(shown.contains(&told), "the claim is not shown: {told}\n{shown}");
    }
    let installed = fs::read_to_string(machine.installed_token())?;
    ensure!(installed.trim() == scene.server.expose_secret(), "a planted secret took the place of one that works");
    Ok(())
}

/// S70: what was added after the loss is listed, and not used.
#[test]
fn s70_updates_after_the_loss_are_listed_and_not_used() -> Result<()> {
    let scene = protected()?;
    let (later, _) = with_another_key(&scene)?;
    let lost_at = Timestamp::from_unix(Timestamp::now().unix() + 1)?;
    // The thief's clock says what he likes; the hub's says when it came.
    let stolen = made_key(&scene, "thief.enc")?;
    has_key(&scene.box_1, &stolen)?;
    while Timestamp::now() <= lost_at.plus(std::time::Duration::from_secs(1)) {
        std::thread::yield_now();
    }
    ensure!(state(&update(&scene.box_1)?) == "updated");
    let planted = KeyFile::parse(&stolen)?.open(None)?.fingerprint().short();
    let machine = scene.fresh("box2")?;
    let recovery =
        scene.recovers(&machine, &scene.hub.arm(BOX, &["--lost-at", &lost_at.to_string()])?, &scene.words)?;
    let shown = &recovery.shown;
    ensure!(shown.contains("1 updates came after the loss"), "{}", **shown);
    ensure!(shown.contains(&planted) && !shown.contains(&format!("added key {planted}")), "{}", **shown);
    ensure!(shown.contains("1 updates lie on this ceremony"), "{}", **shown);
    ensure!(tenwords_spikes::tree::Tree::read(&machine.restored(LATER, "root.pxar"))? == later);
    let kept = machine.agent(&["key", "list"], "")?.with_code(0)?.wrote();
    ensure!(!kept.contains(&planted), "the thief's key is kept:\n{kept}");
    Ok(())
}

/// Somebody with the box's certificate stores rubbish in the chain: the box notices, and begins anew beside it.
#[test]
fn a_chain_that_somebody_has_broken_at_the_hub_is_stored_once_more() -> Result<()> {
    let scene = protected()?;
    with_another_key(&scene)?;
    let thief = Thief::of(&scene)?;
    let mut ceremony = thief.ceremony.clone();
    ceremony.root_sha256 = Sha256::of(b"another root");
    thief.adds(&scene, &ceremony, &Contents::default())?;
    has_key(&scene.box_1, &made_key(&scene, "third.enc")?)?;
    let later = back_up_later(&scene, "latest")?;
    let said = update(&scene.box_1)?;
    ensure!(state(&said) == "updated" && said["given_again"] == 2, "{said}");
    ensure!(said["warnings"].to_string().contains("did not sign"), "{said}");
    ensure!(said["hub_faults"] == serde_json::json!(["parted"]), "{said}");
    ensure!(update(&scene.box_1)?["given_again"] == 0, "it is mended once");
    let shown = both_are_back(&scene, &scene.fresh("box2")?, &later)?;
    ensure!(!shown.contains("REFUSED"), "{shown}");
    Ok(())
}

/// The box key is another ceremony's, as after one that was cut off: nothing is signed with it.
#[test]
fn a_box_key_that_is_not_the_ceremonys_signs_nothing() -> Result<()> {
    let scene = protected()?;
    let other = BoxKey::generate(&mut rand::rand_core::UnwrapErr(rand::rngs::SysRng));
    write_private(&scene.box_1.state().join("box.key"), other.expose_openssh()?.as_bytes())?;
    has_key(&scene.box_1, &made_key(&scene, "second.enc")?)?;
    let ended = scene.box_1.agent(&["escrow", "update"], "")?;
    ensure!(ended.code == Some(20) && ended.said().contains("escrow create"), "{:?}: {}", ended.code, ended.said());
    ensure!(crate::support::versions(&scene.hub)? == 1, "it was signed with another key");
    Ok(())
}
