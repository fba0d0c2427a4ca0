//! A backup server with another certificate, or at another place: believed by an operator's order, and by
//! nothing else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_protocol::{
    bytes::Base64,
    id::BoxId,
    json,
    order::{self, Act, Order, SignedOrder},
    v1::V1,
};
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{Doorman, MARTA, Machine, Operators, SAFE, Shown},
};

use super::{FITS, LONG, PROMPT, SOON};
use crate::support::{BOX, GROUP, Scene, as_shown, by_pipe, joined_with};

const ORDER: &str = "tenwords-order-v1";

/// A box whose operators have keys.
fn ordered() -> Result<(Scene, Operators)> {
    let mut operators = None;
    let mut scene = joined_with(
        |world, _| {
            operators = Some(Operators::new(world)?);
            Ok(())
        },
        &[],
    )?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    Ok((scene, operators.context("operators")?))
}

/// A client of the scene's server that takes the certificate that is shown now, and writes down to which place and by
/// which certificate it was given a token.
struct Watched {
    client: PathBuf,
    given: PathBuf,
    shown: PathBuf,
}

impl Watched {
    fn new(scene: &Scene) -> Result<Self> {
        let folder = scene.world.folder();
        let watched = Self {
            client: folder.join("bin/watched-client"),
            given: folder.join("given"),
            shown: folder.join("shown-now"),
        };
        let text = fs::read_to_string(&scene.server.client)?;
        let note = format!(
            "[ -z \"$PBS_PASSWORD_FILE$PBS_PASSWORD_FD$PBS_PASSWORD\" ] || echo \"$PBS_REPOSITORY $PBS_FINGERPRINT\" >> \
             '{}'\nexec",
            watched.given.display()
        );
        let text = text
            .replacen("exec", &note, 1)
            .replace(&scene.server.certificate, &format!("\"$(cat '{}')\"", watched.shown.display()));
        fs::write(&watched.client, text)?;
        fs::set_permissions(&watched.client, fs::Permissions::from_mode(0o755))?;
        watched.shows(&scene.server.certificate)?;
        Ok(watched)
    }

    fn shows(&self, certificate: &str) -> Result<()> {
        Ok(fs::write(&self.shown, certificate)?)
    }

    fn given(&self) -> String {
        fs::read_to_string(&self.given).unwrap_or_default()
    }

    fn nobody(&self, told: &str) -> Result<()> {
        ensure!(self.given().is_empty(), "the token was given to:\n{}\n{told}", self.given());
        Ok(())
    }

    /// Everybody who was given the token since was at this place, and showed this certificate.
    fn only(&self, place: &str, certificate: &str) -> Result<()> {
        let given = self.given();
        ensure!(!given.is_empty(), "nobody was given the token");
        let is_there = |line: &str| line.contains(place) && line.ends_with(certificate);
        ensure!(given.lines().all(is_there), "the token was given to:\n{given}");
        fs::remove_file(&self.given)?;
        Ok(())
    }
}

/// The texts of the orders that a machine waits for.
pub(super) fn texts(machine: &Machine) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(machine.state().join("recovery/orders")) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry?.path());
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "order"));
    Ok(found)
}

fn only(machine: &Machine) -> Result<PathBuf> {
    let texts = texts(machine)?;
    ensure!(texts.len() == 1, "there are {texts:?}");
    texts.into_iter().next().context("an order")
}

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

/// Runs the recovery, which must end so.
fn ends(scene: &Scene, machine: &Machine, ticket: &str, more: &[&str], code: i32) -> Result<String> {
    let ended = by_pipe(&scene.world, machine, ticket, more, &scene.words)?;
    ensure!(ended.code == Some(code), "it ended with {:?} instead of {code}:\n{}", ended.code, told(&ended));
    Ok(told(&ended))
}

fn is_back(scene: &Scene, machine: &Machine) -> Result<()> {
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

/// What somebody has signed instead of what was asked for, in a file of its own.
fn signs_another(scene: &Scene, operators: &Operators, name: &str, order: &Order) -> Result<PathBuf> {
    let text = order.to_text()?;
    let file = scene.world.write(&format!("{name}.order"), &text)?;
    let signature = fs::read_to_string(operators.signs(MARTA, ORDER, &file)?)?;
    let signed = SignedOrder { v: V1, order: Base64(text), signature };
    scene.world.write(&format!("{name}.json"), &json::to_vec(&signed)?)
}

#[test]
fn s56_another_certificate_is_believed_by_a_signed_order_and_by_nothing_else() -> Result<()> {
    let (scene, operators) = ordered()?;
    let watched = Watched::new(&scene)?;
    let door = scene.server.door().context("a door")?;
    let address = door.address().to_string();
    let renewed = Shown::new()?;
    let seen = renewed.fingerprint();
    door.shows(renewed)?;
    watched.shows(&seen)?;
    let machine = Machine::new(&scene.world, "box2", &watched.client)?;
    let ticket = scene.hub.arm(BOX, &[])?;

    // Both fingerprints and the order are named; nothing is touched.
    let shown = ends(&scene, &machine, &ticket, &[], 13)?;
    let text = only(&machine)?;
    let bytes = fs::read(&text)?;
    let code = order::code(&bytes).to_string();
    for sentence in [&scene.server.certificate, &seen, &code] {
        ensure!(shown.contains(sentence.as_str()), "`{sentence}` is not told:\n{shown}");
    }
    machine.nothing_installed()?;
    watched.nobody(&shown)?;
    let order = Order::parse(&bytes)?;
    let Act::Repoint { source, place } = &order.act else { anyhow::bail!("{order:?}") };
    ensure!(source.as_str() == "pbs" && place.certificate.to_string() == seen, "{order:?}");
    let lines: String = order.destroys.iter().map(|line| format!("{line}\n")).collect();
    ensure!(lines.contains(&scene.server.certificate) && lines.contains(&seen), "{lines}");

    // Signed by whoever may not, for another purpose; another certificate, source, box.
    operators.has_key("stranger")?;
    let mut others = Vec::new();
    for (who, namespace) in [("stranger", ORDER), (SAFE, ORDER), (MARTA, "file")] {
        let signed = operators.signs(who, namespace, &text)?;
        others.push(scene.world.write(&format!("{who}-{namespace}.sig"), &fs::read(&signed)?)?);
    }
    let mut place = place.clone();
    place.certificate = Shown::new()?.fingerprint().parse()?;
    let with = |act: Act| Order { act, ..order.clone() };
    for (name, other) in [
        ("certificate", with(Act::Repoint { source: source.clone(), place: place.clone() })),
        ("source", with(Act::Repoint { source: "other".parse()?, place })),
        ("box", Order { box_id: "00000000-0000-4000-8000-000000000001".parse::<BoxId>()?, ..order.clone() }),
    ] {
        others.push(signs_another(&scene, &operators, name, &other)?);
    }
    for signed in &others {
        let shown = ends(&scene, &machine, &ticket, &["--order", path(signed)?], 13)?;
        ensure!(shown.contains("REFUSED"), "{}:\n{shown}", signed.display());
        watched.nobody(&shown)?;
        ensure!(only(&machine)? == text, "{}: another order is asked for:\n{shown}", signed.display());
    }
    machine.nothing_installed()?;

    let signed = operators.signs(MARTA, ORDER, &text)?;
    let signed = scene.world.write("good.sig", &fs::read(&signed)?)?;
    ends(&scene, &machine, &ticket, &["--order", path(&signed)?], 0)?;
    is_back(&scene, &machine)?;
    watched.only(&address, &seen)?;
    ensure!(fs::read_to_string(machine.config())?.contains(&seen), "another certificate was put in place");

    // The escrow says so from now on: whoever recovers from it needs no order.
    let other = Machine::new(&scene.world, "box3", &watched.client)?;
    ends(&scene, &other, &scene.hub.arm(BOX, &[])?, &[], 0)?;
    is_back(&scene, &other)?;
    watched.only(&address, &seen)?;
    ensure!(texts(&other)?.is_empty(), "an order was asked for");
    other.left_nothing_in_memory()
}

/// What was signed speaks of a server that is not there any more.
#[test]
fn s56_a_certificate_that_has_changed_once_more_asks_for_another_order() -> Result<()> {
    let (scene, operators) = ordered()?;
    let watched = Watched::new(&scene)?;
    let door = scene.server.door().context("a door")?;
    let address = door.address().to_string();
    let machine = Machine::new(&scene.world, "box2", &watched.client)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    door.shows(Shown::new()?)?;
    ends(&scene, &machine, &ticket, &[], 13)?;
    let first = only(&machine)?;
    let signed = operators.signs(MARTA, ORDER, &first)?;
    let signed = scene.world.write("first.sig", &fs::read(&signed)?)?;

    let third = Shown::new()?;
    let seen = third.fingerprint();
    door.shows(third)?;
    watched.shows(&seen)?;
    let shown = ends(&scene, &machine, &ticket, &["--order", path(&signed)?], 13)?;
    watched.nobody(&shown)?;
    machine.nothing_installed()?;
    let second = only(&machine)?;
    ensure!(second != first && shown.contains(&seen), "no other order is asked for:\n{shown}");
    // The one that was signed is closed, also where the certificate is the former one again.
    let signed = operators.signs(MARTA, ORDER, &second)?;
    ends(&scene, &machine, &ticket, &["--order", path(&signed)?], 0)?;
    is_back(&scene, &machine)?;
    watched.only(&address, &seen)
}

/// Without a hub the signature is typed at the box. The server changes its certificate while the operator signs:
/// nobody is given the token, and another order is asked for.
#[test]
fn s56_a_signature_is_typed_where_no_hub_carries_it() -> Result<()> {
    let (scene, operators) = ordered()?;
    let kit = scene.world.folder().join("bakery.kit").display().to_string();
    scene.box_1.agent(&["kit", "--out", &kit], "")?.with_code(0)?;
    let watched = Watched::new(&scene)?;
    let door = scene.server.door().context("a door")?;
    door.shows(Shown::new()?)?;
    let machine = Machine::new(&scene.world, "box2", &watched.client)?;
    let mut terminal = machine.at_terminal(&["recover", "--kit", &kit])?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(SOON)?;
    terminal.type_line(&scene.words)?;
    terminal.expect(FITS, LONG)?;
    terminal.type_line("y")?;
    let mut signed = Vec::new();
    let mut seen = String::new();
    for _ in 0..2 {
        let shown = terminal.expect("to end: ", SOON)?.to_string();
        watched.nobody(&shown)?;
        let mut left = texts(&machine)?;
        left.retain(|text| !signed.contains(text));
        ensure!(left.len() == 1, "there are {left:?}:\n{shown}");
        let text = left.remove(0);
        if signed.is_empty() {
            let renewed = Shown::new()?;
            seen = renewed.fingerprint();
            watched.shows(&seen)?;
            door.shows(renewed)?;
        }
        let signature = fs::read_to_string(operators.signs(MARTA, ORDER, &text)?)?;
        for (number, line) in signature.lines().enumerate() {
            // Line by line, as a person types it.
            if number > 0 {
                terminal.expect("> ", SOON)?;
            }
            terminal.await_silence(SOON)?;
            terminal.type_line(line)?;
        }
        signed.push(text);
    }
    let (code, shown) = terminal.end(SOON)?;
    ensure!(code == 0, "it ended with {code}:\n{}", *shown);
    is_back(&scene, &machine)?;
    watched.only(&door.address().to_string(), &seen)?;
    ensure!(texts(&machine)?.is_empty(), "an order is left open");
    machine.left_nothing_in_memory()
}

/// It has moved: somebody says where to. Neither there nor where it was is the token given to anybody before an
/// operator has signed it.
#[test]
fn s56_a_place_that_a_person_names_is_not_asked_before_it_is_ordered() -> Result<()> {
    let (scene, operators) = ordered()?;
    let watched = Watched::new(&scene)?;
    let door = scene.server.door().context("a door")?;
    let moved = Shown::new()?;
    let seen = moved.fingerprint();
    let moved = Doorman::start(moved)?;
    let machine = Machine::new(&scene.world, "box2", &watched.client)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let there = format!("pbs={}", moved.address());
    let before = door.met();

    for (named, why) in [("other=127.0.0.1", "no source of the escrow"), ("pbs=127.0.0.1:0", "was expected")] {
        let shown = ends(&scene, &machine, &ticket, &["--repoint", named], 2)?;
        ensure!(shown.contains(why), "`{why}` is not told:\n{shown}");
    }
    let practice = Machine::new(&scene.world, "practice", &watched.client)?;
    let shown = ends(&scene, &practice, &scene.hub.arm(BOX, &["--rehearsal"])?, &["--repoint", &there], 2)?;
    ensure!(shown.contains("nothing can be ordered in a rehearsal"), "{shown}");
    ensure!(texts(&machine)?.is_empty() && texts(&practice)?.is_empty(), "an order was asked for");

    let ticket = scene.hub.arm(BOX, &[])?;
    let shown = ends(&scene, &machine, &ticket, &["--repoint", &there], 13)?;
    watched.nobody(&shown)?;
    ensure!(door.met() == before, "the former place was asked:\n{shown}");
    ensure!(moved.met() > 0, "nobody looked at the certificate");
    let text = only(&machine)?;
    let Act::Repoint { place, .. } = Order::parse(&fs::read(&text)?)?.act else { anyhow::bail!("{shown}") };
    ensure!(place.port.get() == moved.address().port() && place.certificate.to_string() == seen, "{place:?}");

    let signed = operators.signs(MARTA, ORDER, &text)?;
    watched.shows(&seen)?;
    ends(&scene, &machine, &ticket, &["--repoint", &there, "--order", path(&signed)?], 0)?;
    is_back(&scene, &machine)?;
    watched.only(&moved.address().to_string(), &seen)?;
    ensure!(door.met() == before, "the former place was asked");
    let other = Machine::new(&scene.world, "box3", &watched.client)?;
    ends(&scene, &other, &scene.hub.arm(BOX, &[])?, &[], 0)?;
    watched.only(&moved.address().to_string(), &seen)
}

/// The others went on without it, and it was put in place where it was: what makes that right is told.
#[test]
fn s56_a_source_that_is_ordered_later_is_told_where_it_was_put_in_place() -> Result<()> {
    let (mut scene, operators) = ordered()?;
    let watched = Watched::new(&scene)?;
    let (key, stranger) = (scene.box_1.key_file(), Shown::new()?);
    let seen = stranger.fingerprint();
    let stranger = Doorman::start(stranger)?;
    let renewed = format!("backup@pbs!box1@{}:store", stranger.address());
    scene.box_1 = scene.box_1.with_another_source("renewed", &renewed, &scene.server, &key)?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    // Whatever certificate the driver was content with.
    let text = fs::read_to_string(&watched.client)?;
    let either = format!("${{PBS_FINGERPRINT:-{}}}", scene.server.certificate);
    fs::write(&watched.client, text.replace(&format!("$(cat '{}')", watched.shown.display()), &either))?;
    let machine = Machine::new(&scene.world, "box2", &watched.client)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    ends(&scene, &machine, &ticket, &[], 13)?;
    is_back(&scene, &machine)?;
    let signed = operators.signs(MARTA, ORDER, &only(&machine)?)?;
    let shown = ends(&scene, &machine, &ticket, &["--order", path(&signed)?], 14)?;
    let step = format!("certificate = \"{seen}\"");
    ensure!(shown.contains(&step), "`{step}` is not told:\n{shown}");
    let config = fs::read_to_string(machine.config())?;
    ensure!(!config.contains(&seen), "it was replaced:\n{config}");
    let (head, tail) = config.split_once("id = \"renewed\"").context("a source")?;
    let tail = tail.replacen(&scene.server.certificate, &seen, 1);
    fs::write(machine.config(), format!("{head}id = \"renewed\"{tail}"))?;
    ends(&scene, &machine, &ticket, &[], 0)?;
    ensure!(texts(&machine)?.is_empty(), "an order is left open");
    Ok(())
}
