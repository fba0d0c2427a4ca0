//! Wall 12: every part opens with stock tools, by whoever has the words.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use pbs_format::key::KeyFile;
use serde_json::Value;
use tenwords_protocol::{part::PartName, version::Bundle};
use tenwords_spikes::{terminal::Terminal, world::write_private};

use crate::support::{Scene, key_part, protected};

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
