//! The whole story: a box, ten words, a fire, another box, and its guests are back.

mod crash;
mod guests;
mod orders;
mod place;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use pbs_format::key::KeyFile;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use sha2::{Digest as _, Sha256};
use tenwords_escrow::code::RecoveryCode;
use zeroize::Zeroizing;

use self::{
    crash::{Gate, Once},
    guests::Guests,
    place::Place,
};
use crate::{
    search::{Sampled, Sampler, Search},
    story::{Story, holds},
    world::{BackupServer, Hub, Operators, Real, World},
};

/// How the story is told.
#[derive(Debug, Clone)]
pub struct Telling {
    /// How much data the container has.
    pub bytes: u64,
    /// Where the world is made.
    pub base: PathBuf,
    /// A real client and server, instead of the stand-in: then neither box is a node, and guests come back
    /// into folders.
    pub real: Option<Real>,
}

/// What the story is about, while it is told.
struct Scene {
    world: World,
    hub: Hub,
    server: BackupServer,
    sampler: Sampler,
    began: SystemTime,
    /// With keys, if `ssh-keygen` is here.
    operators: Option<Operators>,
}

/// What is known of box 1 after it is gone.
struct Lost {
    key: Zeroizing<Vec<u8>>,
    words: Zeroizing<String>,
    guests: Guests,
}

/// Tells it to `out`.
///
/// # Errors
/// Anything that was not as told.
pub fn tell(telling: &Telling, out: Box<dyn Write + Send>) -> Result<()> {
    let mut story = Story::new(out);
    story.line("Ten words bring a dead Proxmox box back. The hub never can.")?;
    let scene = story.step("A hub starts, and the operator adds a box", |story| begin(story, telling))?;
    let (scene, ticket) = scene;
    let is_node = telling.real.is_none();
    let title = if is_node {
        "Box 1, a Proxmox VE node, has a storage, a container and a machine, and backs them up"
    } else {
        "Box 1 has a key, a token, a container and a machine, and backs them up"
    };
    let (box_1, mut lost) = story.step(title, |story| box_1(story, telling, &scene))?;
    story.step("Box 1 joins the hub with its ticket", |story| {
        box_1.machine.enroll(&ticket)?;
        holds(!box_1.machine.is_protected()?, "a box that has only joined is not protected")?;
        story.say("The hub knows it now. `status` says: not protected.")
    })?;
    story.step("The ceremony: ten words on the screen, onto the sheet, and typed back", |story| {
        ceremony(story, &scene, &box_1, &mut lost)
    })?;
    story.step("Before the fire: no secret of box 1 lies where it must not", |story| {
        let mut search = search_for(&scene, &lost)
            .belongs(KEY, &box_1.key(false))
            .belongs(KEY, &box_1.kept_keys())
            .belongs(TOKEN, &box_1.token(false));
        search.files(box_1.machine.folder())?;
        search.files(scene.hub.data())?;
        box_1.machine.left_nothing_in_memory()?;
        report(story, &search)
    })?;
    let folder = box_1.machine.folder().to_owned();
    story.step("Box 1 burns", |story| {
        box_1.machine.destroy()?;
        holds(!folder.exists(), "nothing is left of box 1")?;
        story.say("Its disk is gone: the guests, the key, the token, the agent and its certificate.")
    })?;
    story.step("Without the key the backup is noise", |story| keyless(story, &scene, &lost))?;
    let gate = if is_node { Some(Gate::make(&scene.world, &scene.server)?) } else { None };
    let (ticket, box_2) = story.step("The operator arms the recovery; box 2 has nothing but an agent", |story| {
        let ticket = scene.hub.arm(BOX, &[])?;
        let client = gate.as_ref().map_or(&scene.server.client, |gate| &gate.client);
        let box_2 = Place::new(&scene.world, &scene.server, "box2", client)?;
        story.say("The ticket leads box 2 to the hub. It opens nothing.")?;
        Ok((ticket, box_2))
    })?;
    story.step("Ten wrong words yield nothing", |story| wrong_words(story, &box_2, &ticket))?;
    let once = match &gate {
        Some(gate) => story.step("The ten words are typed at box 2, and the agent is killed half-way", |story| {
            gate.kill_between(story, &box_2, &ticket, &lost.words).map(Some)
        })?,
        None => None,
    };
    let title = if is_node { "The same command, run again, goes on" } else { "The ten words are typed at box 2" };
    story.step(title, |story| recover(story, &box_2, &ticket, &lost, once.as_ref()))?;
    story.step("Container and machine are compared with what box 1 had", |story| compare(story, &box_2, &lost))?;
    story.step("Box 2 is the box now, and protected under the same words", |story| {
        holds(box_2.machine.is_protected()?, "box 2 is protected")?;
        let shown = scene.hub.show(BOX)?;
        holds(shown["recovery"]["proven_at"].is_string(), format!("the hub has the proof of the words: {shown}"))?;
        holds(shown["versions"] == 2, format!("the hub has the escrow of box 1 and that of the recovery: {shown}"))?;
        story.say("It proved to the hub that it had the words, without showing them.")
    })?;
    let title = "What stands in the way goes by an operator's signature, once";
    let mut boxes = story.step(title, |story| match &scene.operators {
        Some(operators) if is_node => orders::tell(story, &scene, operators, &lost),
        Some(_) => {
            story.say("Left out: with a real backup server the boxes of this story are no nodes.")?;
            Ok(Vec::new())
        }
        None => {
            story.say("Left out: ssh-keygen is not here (Debian: openssh-client).")?;
            Ok(Vec::new())
        }
    })?;
    boxes.push(box_2);
    story.step("The search: ten words, key and token, everywhere else", |story| search(story, scene, &boxes, &lost))?;
    let (total, steps) = story.timings();
    let longest = steps.iter().max_by_key(|(_, took)| *took).map_or("", |(title, _)| *title);
    story.line(&format!("\nAll as told, in {:.1} s. (The longest step: {longest}.)", total.as_secs_f64()))
}

fn begin(story: &mut Story, telling: &Telling) -> Result<(Scene, String)> {
    let world = World::new(&telling.base)?;
    let server = match &telling.real {
        Some(real) => BackupServer::real(&world, real)?,
        None => BackupServer::local(&world)?,
    };
    let sampler = Sampler::start();
    let hub = Hub::start(&world)?;
    let (_, ticket) = hub.add_box(BOX)?;
    story.say(&format!("Everything happens in {}, and is removed at the end.", world.folder().display()))?;
    story.say(&match &telling.real {
        Some(real) => format!("Backups go to {} through {}.", real.repository, real.client.display()),
        None => "Backups go to a datastore in a folder: pbs-local stands in for proxmox-backup-client.".to_owned(),
    })?;
    let began = SystemTime::now().checked_sub(Duration::from_secs(2)).context("the clock")?;
    let operators = if Operators::can_be() { Some(Operators::new(&world)?) } else { None };
    Ok((Scene { world, hub, server, sampler, began, operators }, ticket))
}

fn box_1(story: &mut Story, telling: &Telling, scene: &Scene) -> Result<(Place, Lost)> {
    let Scene { world, server, .. } = scene;
    let job = world.make("job")?;
    let made = job.join("made.enc").display().to_string();
    server.run(&["key", "create", "--kdf", "none", &made])?.with_code(0)?;
    let file = Zeroizing::new(fs::read(&made)?);
    let key = KeyFile::parse(&file).and_then(|file| file.open(None)).context("the client's new key")?;
    let place = Place::new(world, server, "box1", &server.client)?.with_server(server, &file)?;
    fs::remove_file(&made)?;
    let guests = Guests::make(story, world, server, &place, telling.bytes)?;
    story.say(&format!(
        "Backed up as {} and its neighbour, encrypted under the key {}.",
        guests.snapshot,
        key.fingerprint().short()
    ))?;
    let key = Zeroizing::new(key.expose_bytes().to_vec());
    Ok((place, Lost { key, words: Zeroizing::default(), guests }))
}

fn ceremony(story: &mut Story, scene: &Scene, box_1: &Place, lost: &mut Lost) -> Result<()> {
    let before = Sha256::digest(fs::read(box_1.key(false))?);
    // As a person writes them: capitals, numbers, commas.
    lost.words = box_1.machine.ceremony(|words| {
        let spelled: Vec<String> = words
            .split(' ')
            .enumerate()
            .map(|(index, word)| format!("{}. {},", index + 1, word.to_uppercase()))
            .collect();
        Zeroizing::new(spelled.join("  "))
    })?;
    holds(Sha256::digest(fs::read(box_1.key(false))?) == before, "the live key is not touched")?;
    holds(box_1.machine.is_protected()?, "the box is protected")?;
    let shown = scene.hub.show(BOX)?;
    holds(shown["versions"] == 1, format!("the hub has one version: {shown}"))?;
    story.say("The key was wrapped by the client, opened again by the client and by our own reading,")?;
    story.say("stored at the hub, fetched back and opened once more. The live key was not touched.")
}

fn keyless(story: &mut Story, scene: &Scene, lost: &Lost) -> Result<()> {
    let target = scene.world.folder().join("noise");
    let path = target.display().to_string();
    let ended = scene.server.run(&["restore", &lost.guests.snapshot, "root.pxar", &path])?.with_code(255)?;
    let said = ended.said();
    let complaint = said.lines().find(|line| line.starts_with("Error: ")).unwrap_or_default();
    holds(complaint.starts_with("Error: missing key - "), format!("the client misses the key, and says: {said}"))?;
    holds(!target.exists() && ended.stdout.is_empty(), "not a byte came out")?;
    story.say(&format!("The client, exit code 255: {complaint}"))
}

fn wrong_words(story: &mut Story, box_2: &Place, ticket: &str) -> Result<()> {
    let wrong = RecoveryCode::draw(&mut UnwrapErr(SysRng));
    let typed = wrong.expose_passphrase();
    let recovery = box_2.machine.recover(ticket, &[typed, typed, typed])?;
    holds(recovery.code == 11, format!("recover ends with 11, and not {}:\n{}", recovery.code, *recovery.shown))?;
    box_2.nothing_installed()?;
    story.say("Three times refused, exit code 11. No key, no token, no guest, no storage on box 2.")
}

fn recover(story: &mut Story, box_2: &Place, ticket: &str, lost: &Lost, once: Option<&Once>) -> Result<()> {
    let recovery = box_2.machine.recover(ticket, &[&lost.words])?;
    let shown = &*recovery.shown;
    holds(recovery.code == 0, format!("recover ends with 0, and not {}:\n{shown}", recovery.code))?;
    let told = shown.lines().find(|line| line.starts_with("Recovered: ")).unwrap_or_default();
    holds(!told.is_empty(), format!("the screen says `Recovered: `:\n{shown}"))?;
    story.say(told)?;
    if let Some(once) = once {
        holds(
            shown.contains("had left unfinished is taken away"),
            format!("the half machine is taken away:\n{shown}"),
        )?;
        holds(Once::look(box_2)? == *once, "the container is restored once")?;
        story.say("What was half done was taken away and begun anew; the container was not touched again.")?;
    }
    Ok(())
}

fn compare(story: &mut Story, box_2: &Place, lost: &Lost) -> Result<()> {
    lost.guests.compare(story, box_2)?;
    let key = KeyFile::parse(&fs::read(box_2.key(true))?).and_then(|file| file.open(None))?;
    holds(key.expose_bytes().as_slice() == lost.key.as_slice(), "the installed key is the lost one")
}

fn search(story: &mut Story, scene: Scene, boxes: &[Place], lost: &Lost) -> Result<()> {
    let mut search = search_for(&scene, lost);
    for place in boxes {
        search = search.belongs(KEY, &place.key(true)).belongs(KEY, &place.kept_keys());
        search = search.belongs(TOKEN, &place.token(true));
    }
    let Scene { world, mut hub, server, sampler, began, .. } = scene;
    boxes.iter().try_for_each(|place| place.machine.left_nothing_in_memory())?;
    hub.stop()?;
    search.files(world.folder())?;
    search.files(world.private())?;
    search.recent_files(&["/tmp", "/var/tmp", "/dev/shm"].map(Path::new), &[world.folder(), world.private()], began)?;
    let sampled: Sampled = sampler.stop()?;
    let of_pve = sampled.look_through_but_for_pve(&mut search);
    for program in ["tenwords-agent", "tenwords-hub", "change-passphrase", "PBS_"] {
        holds(sampled.saw(program), format!("the watch over /proc saw {program}"))?;
    }
    story.say(&format!(
        "/proc was watched throughout: {} command lines and environments of {} processes.",
        sampled.texts(),
        sampled.processes()
    ))?;
    if of_pve > 0 {
        story.say(&format!(
            "{of_pve} of them had the token from Proxmox VE's programs, as these hand it to their own."
        ))?;
    }
    // Where there is no prose, single words are looked for too.
    let programs = [&world.programs().hub, &world.programs().operator];
    let mut alone = 0;
    for place in [hub.data(), hub.log()] {
        alone = search.words_alone_in(place, &programs.map(PathBuf::as_path))?;
    }
    report(story, &search)?;
    story.say(&format!(
        "At the hub also each word alone ({alone} of the ten words are long enough to mean something there)."
    ))?;
    // The search must be able to find something: it is shown a place with a leak.
    let planted = world.write("planted", format!("{}\n", lost.words.to_uppercase().replace(' ', "_")).as_bytes())?;
    let before = search.findings().len();
    search.files(&planted)?;
    holds(search.findings().len() > before, "planted words are found")?;
    fs::remove_file(planted)?;
    let _kept_until_here = server;
    story.say("Words that were planted for the purpose were found.")
}

fn search_for(scene: &Scene, lost: &Lost) -> Search {
    Search::new()
        .for_words(&lost.words)
        .for_bytes(KEY, &lost.key)
        .for_bytes(TOKEN, scene.server.expose_secret().as_bytes())
}

fn report(story: &mut Story, search: &Search) -> Result<()> {
    let findings = search.findings();
    let shown: Vec<String> = findings.iter().take(10).map(|finding| format!("\n  {finding}")).collect();
    holds(findings.is_empty(), format!("nothing is found, and not {}:{}", findings.len(), shown.concat()))?;
    let looked = search.looked_at();
    story.say(&format!(
        "{} places, {} MiB: nothing but what belongs there (found {} times where it belongs).",
        looked.places,
        looked.bytes >> 20,
        looked.belonging
    ))
}

/// The box's name at the hub.
const BOX: &str = "bakery";
/// The secrets' names in findings.
const KEY: &str = "the key";
const TOKEN: &str = "the token";
