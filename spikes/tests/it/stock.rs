//! Wall 12: every part opens with stock tools, by whoever has the words. What the runbook and the sheet
//! say is typed here as it stands there.

mod page;
mod shell;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use page::{Placeholder, Source, Table};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde_json::Value;
use shell::{Answer, Shell};
use tenwords_escrow::{
    code::RecoveryCode,
    door,
    keys::BoxKey,
    root::Root,
    secret::TokenSecret,
    update::{self, Ceremony, Contents, Link},
};
use tenwords_protocol::{
    hash::Sha256,
    part::PartName,
    time::Timestamp,
    version::{Bundle, Grade, Header, HeaderFacts, Kind, UpdateVersion},
};
use tenwords_spikes::{terminal::Terminal, tree::Tree, world::write_private};
use zeroize::Zeroizing;

use crate::support::{GROUP, Scene, key_part, protected};

const SOON: Duration = Duration::from_secs(60);

/// Runs a program on a terminal that asks once for a passphrase.
fn asked(scene: &Scene, program: &Path, arguments: &[&str], prompt: &str, words: &str) -> Result<(u32, String)> {
    let mut terminal = Terminal::start(program, arguments, &scene.world.environment(), scene.world.folder())?.quoting();
    terminal.expect(prompt, SOON)?;
    terminal.await_silence(SOON)?;
    terminal.type_line(words)?;
    let (code, shown) = terminal.end(SOON)?;
    Ok((code, shown.to_string()))
}

#[test]
fn debians_age_opens_the_root_and_the_client_opens_the_key() -> Result<()> {
    let scene = protected()?;
    let bundle = Bundle::parse(&fs::read(scene.box_1.state().join("escrow.bundle"))?)?;
    let parts = bundle.parts();
    let path = |name: &str| scene.world.folder().join(name).display().to_string();

    // The key: exactly what the sheet says, with the client alone.
    let name = key_part(parts)?;
    let copy = scene.world.write("copy.enc", &parts[&name])?;
    let (code, said) = asked(
        &scene,
        &scene.server.client,
        &["key", "change-passphrase", &path("copy.enc"), "--kdf", "none"],
        "Encryption Key Password: ",
        &scene.words,
    )?;
    ensure!(code == 0, "the client does not open the key part: {said}");
    let opened = KeyFile::parse(&fs::read(&copy)?)?.open(None)?;
    ensure!(opened.expose_bytes() == scene.key.expose_bytes(), "the client opened another key");
    // One byte of its data.
    let text = String::from_utf8(parts[&name].clone())?;
    let at = text.find("\"data\":\"").context("data")? + 20;
    let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mut flipped = text.clone();
    flipped.replace_range(at..=at, other);
    write_private(&copy, flipped.as_bytes())?;
    let (code, said) = asked(
        &scene,
        &scene.server.client,
        &["key", "change-passphrase", &path("copy.enc"), "--kdf", "none"],
        "Encryption Key Password: ",
        &scene.words,
    )?;
    ensure!(code == 255 && said.contains("Unable to decrypt key"), "a flipped key part: {code}, {said}");
    ensure!(fs::read(&copy)? == flipped.as_bytes(), "the refused file was changed");

    // The root, with Debian's age.
    let age = Path::new("/usr/bin/age");
    if !age.is_file() {
        eprintln!("skipped: opening the root with stock tools (Debian's package age is not installed)");
        return Ok(());
    }
    let root = scene.world.write("root.age", &parts[&PartName::Root])?;
    let arguments = ["-d".to_owned(), "-o".into(), path("root"), path("root.age")];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, said) = asked(&scene, age, &arguments, "passphrase", &scene.words)?;
    ensure!(code == 0, "age does not open the root: {said}");
    let text = fs::read_to_string(path("root"))?;
    let [identity, facts] = text.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("the root has two lines") };
    ensure!(identity.starts_with("AGE-SECRET-KEY-1"), "the first line is an identity");
    let facts: Value = serde_json::from_str(facts)?;
    ensure!(facts["secrets"]["tokens"]["pbs"] == scene.server.expose_secret(), "the root has the token");
    ensure!(facts["parts"][name.to_string()].is_string(), "the root lists the key part");
    // One byte of it.
    let mut flipped = parts[&PartName::Root].clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    write_private(&root, &flipped)?;
    fs::remove_file(path("root"))?;
    let (code, _) = asked(&scene, age, &arguments, "passphrase", &scene.words)?;
    ensure!(code != 0, "age opened a root with a flipped byte");
    Ok(())
}

const ADDED_TOKEN: &str = "5f0c6a0e-7d1b-4c2f-9f58-6f8f0f3c1a27";

/// The box's escrow with one update of its box key, which has a new key and another token.
fn with_update(scene: &Scene, added: &EncryptionKey) -> Result<Bundle> {
    let bundle = Bundle::parse(&fs::read(scene.box_1.state().join("escrow.bundle"))?)?;
    let sealed = &bundle.parts()[&PartName::Root];
    let root = Root::open(&door::check_root(sealed)?, &RecoveryCode::parse(&scene.words)?)?;
    let box_key = BoxKey::from_openssh(&fs::read_to_string(scene.box_1.state().join("box.key"))?)?;
    let token = TokenSecret::new(Zeroizing::new(ADDED_TOKEN.to_owned()))?;
    let contents = Contents {
        keys: vec![KeyFile::plain(added, 1_772_000_000, 1_772_539_200)],
        tokens: BTreeMap::from([("pbs".parse()?, token)]),
    };
    let (link, now) = (Link::first(Sha256::of(sealed)), Timestamp::from_unix(1_778_328_000)?);
    let part = update::make(&Ceremony::of(&root, Sha256::of(sealed)), link, &contents, &box_key, now)?;
    let parts = BTreeMap::from([(PartName::Update(link.sequence()), part)]);
    let of = bundle.header().facts();
    let facts = HeaderFacts {
        kind: Kind::Update,
        grade: Grade::Sealed,
        sequence: of.sequence.saturating_add(1),
        made_at: now,
        ..of.clone()
    };
    let version = UpdateVersion::of_fetched(Header::new(facts, &parts)?, parts)?;
    Ok(bundle.with_kit(vec![version], None))
}

/// Skips by name what this machine cannot do.
fn skipped(what: &str, programs: &[&'static str]) -> bool {
    let missing = shell::missing(programs);
    if !missing.is_empty() {
        eprintln!("skipped: {what} ({} is not installed)", missing.join(", "));
    }
    !missing.is_empty()
}

#[test]
fn every_command_of_the_runbook_does_what_the_page_says() -> Result<()> {
    if skipped("the runbook for stock tools", &["age", "jq", "sqlite3", "ssh-keygen"]) {
        return Ok(());
    }
    let mut scene = protected()?;
    scene.hub.stop()?;
    let added = EncryptionKey::generate(&mut UnwrapErr(SysRng));
    let bundle = with_update(&scene, &added)?;
    let kit = scene.world.make("stick")?.join("escrow.bundle");
    fs::write(&kit, bundle.to_text()?)?;
    let place = |name: &str| scene.world.folder().join(name);
    let (restored, from_disk, opening) = (place("restored"), place("from-disk"), scene.world.private().join("opening"));
    let snapshot = scene.server.snapshots(GROUP)?.pop().context("a snapshot")?;
    let store = scene.server.folder.clone().context("a datastore in a folder")?;
    let key = key_part(bundle.parts())?.to_string();
    let row = |on_page, becomes: &str, from| Placeholder { on_page, becomes: becomes.to_owned(), from };
    let path = |on_page, path: &Path| row(on_page, &path.display().to_string(), Source::Machine);
    let mut table = Table::new(vec![
        path("/dev/shm/opening", &opening),
        path("/media/stick/escrow.bundle", &kit),
        path("/var/lib/tenwords-hub", scene.hub.data()),
        path("/some/new/folder", &restored),
        path("/another/new/folder", &from_disk),
        path("/mnt/disk/store", &store),
        row("<64 hex digits>", key.trim_start_matches("key/"), Source::Screen),
        row("<box id>", &bundle.header().facts().box_id.to_string(), Source::Screen),
        row("<number>", "1", Source::Screen),
        row("<fingerprint>", &added.fingerprint().to_string(), Source::Screen),
        row("box1@pbs!escrow@pbs.example.net:8007:store", &scene.server.repository, Source::Screen),
        row("01:36:e9:…", &scene.server.certificate, Source::Screen),
        row("ct/101/2026-03-03T12:00:00Z", &snapshot, Source::Screen),
    ]);
    let answers = [
        Answer { command: "age -d root.age", prompt: "Enter passphrase", typed: &scene.words },
        Answer { command: "key change-passphrase", prompt: "Encryption Key Password: ", typed: &scene.words },
        Answer { command: "read -rs PBS_PASSWORD", prompt: "", typed: scene.server.expose_secret() },
    ];

    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbook-stock-tools.md"))?;
    let mut shell = Shell::start(&scene, scene.world.folder())?;
    for command in page::of_markdown(&text)? {
        if command.contains("rm -r ") {
            let read = |name: &str| fs::read(opening.join(name)).with_context(|| name.to_owned());
            let opened = KeyFile::parse(&read("k.json")?)?.open(None)?;
            ensure!(opened.expose_bytes() == scene.key.expose_bytes(), "k.json holds another key");
            let opened = KeyFile::parse(&read("k2.json")?)?.open(None)?;
            ensure!(opened.expose_bytes() == added.expose_bytes(), "k2.json holds another key");
        }
        let filled = table.fill(&command, shell.shown())?;
        let shown = shell.run(&filled, &answers)?;
        let expected: &[&str] = match command.as_str() {
            "jq .kdf k.json" => &["\"Scrypt\""],
            "jq .secrets.tokens facts.json" => &[scene.server.expose_secret()],
            text if text.contains("jq '.tokens") => &[ADDED_TOKEN],
            text if text.contains("key show k2.json") => &[&added.fingerprint().to_string()],
            text if text.contains("-Y verify") => &["Good \"tenwords-update-v1\" signature for box"],
            _ => &[],
        };
        ensure!(expected.iter().all(|text| shown.contains(text)), "`{filled}` shows:\n{shown}");
        let written = !command.contains("writefile") || shown.trim().parse::<u32>().is_ok_and(|bytes| bytes > 100);
        ensure!(written, "`{filled}` writes nothing:\n{shown}");
    }
    table.is_used_up()?;
    for folder in [restored, from_disk] {
        ensure!(Tree::read(&folder)? == scene.data, "{} is not the data of the backup", folder.display());
    }
    ensure!(!opening.exists(), "the folder in memory is left");
    Ok(())
}

#[test]
fn the_sheets_own_lines_open_everything_as_they_are_printed() -> Result<()> {
    if skipped("the sheet's lines for stock tools", &["age", "jq"]) {
        return Ok(());
    }
    let scene = protected()?;
    let sheet = scene.world.folder().join("sheet.txt").display().to_string();
    scene.box_1.agent(&["sheet", "--out", &sheet, "--language", "en"], "")?.with_code(0)?;
    let commands = page::of_sheet(&fs::read_to_string(&sheet)?, "Opening everything without any program of ours");
    ensure!(commands.len() > 5, "the sheet has no commands: {commands:?}");
    let opening = scene.world.private().join("sheet");
    fs::create_dir(&opening)?;
    fs::copy(scene.box_1.state().join("escrow.bundle"), opening.join("escrow.bundle"))?;
    let key = key_part(Bundle::parse(&fs::read(opening.join("escrow.bundle"))?)?.parts())?.to_string();
    let (restored, snapshot) = (scene.world.folder().join("restored"), scene.server.snapshots(GROUP)?.pop());
    let row = |on_page, becomes: &str, from| Placeholder { on_page, becomes: becomes.to_owned(), from };
    let mut table = Table::new(vec![
        row("key/…", &key, Source::Screen),
        row("AUTH_ID@SERVER:PORT:DATASTORE", &scene.server.repository, Source::Root),
        row("PIN", &scene.server.certificate, Source::Root),
        row("SNAPSHOT", &snapshot.context("a snapshot")?, Source::Screen),
        row("ARCHIVE", "root.pxar", Source::Screen),
        row("TARGET", &restored.display().to_string(), Source::Machine),
    ]);
    let answers = [
        Answer { command: "age -d root.age", prompt: "Enter passphrase", typed: &scene.words },
        Answer { command: "key change-passphrase", prompt: "Encryption Key Password: ", typed: &scene.words },
        Answer { command: "read -rs PBS_PASSWORD", prompt: "", typed: scene.server.expose_secret() },
    ];
    let mut shell = Shell::start(&scene, &opening)?;
    for command in commands {
        let filled = table.fill(&command, shell.shown())?;
        let shown = shell.run(&filled, &answers)?;
        if command.contains("sha256sum") {
            let sum =
                shown.trim_end().lines().last().and_then(|line| line.strip_suffix("  k.json")).context("a sum")?;
            let root = fs::read_to_string(opening.join("root.txt"))?;
            ensure!(shown.contains("\"Scrypt\"") && root.contains(sum), "the key part is not the root's: {shown}");
        }
    }
    table.is_used_up()?;
    let facts: Value =
        serde_json::from_str(fs::read_to_string(opening.join("root.txt"))?.lines().nth(1).context("two")?)?;
    let source = &facts["trust"]["sources"][0];
    let text = |name: &str| source[name].as_str().unwrap_or_default().to_owned();
    let repository = format!("{}@{}:{}:{}", text("auth_id"), text("server"), source["port"], text("datastore"));
    ensure!(repository == scene.server.repository && text("certificate") == scene.server.certificate);
    ensure!(Tree::read(&restored)? == scene.data, "what is restored is not the data of the backup");
    Ok(())
}
