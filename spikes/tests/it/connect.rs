//! Step 5: a way to the backup servers is opened, a secret that is taken no more is asked for, and what
//! nobody at the box may decide is named.

mod repoint;
mod room;
mod tunnel;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use tenwords_spikes::{
    terminal::Terminal,
    tree::Tree,
    world::{Doorman, Machine, Shown, token_secret, write_private},
};
use zeroize::Zeroizing;

use crate::support::{BOX, GROUP, Scene, as_shown, by_pipe, client, joined, protected};

const PROMPT: &str = "The ten words: ";
const FITS: &str = "Does this fit? [y/n] ";
const SECRET: &str = "The secret of backup@pbs!box1 (not shown; Enter alone goes on without): ";
const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(600);

/// A recovery that has come as far as step 5.
fn after_the_words(scene: &Scene, machine: &Machine, ticket: &str, more: &[&str]) -> Result<Terminal> {
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let path = file.display().to_string();
    let mut terminal = machine.at_terminal(&[&["recover", "--ticket-file", path.as_str()], more].concat())?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(SOON)?;
    terminal.type_line(&scene.words)?;
    terminal.expect(FITS, LONG)?;
    terminal.type_line("y")?;
    Ok(terminal)
}

/// However the terminal broke it.
fn in_one_line(shown: &str) -> String {
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The client of the scene's server where the token has this secret.
pub(crate) fn with_secret(scene: &Scene, name: &str, secret: &str) -> Result<PathBuf> {
    let root = scene.server.folder.as_deref().and_then(std::path::Path::parent).context("a folder")?;
    let text = format!(
        "#!/bin/sh\nexec '{}' --root '{}' --token-sha256 'backup@pbs!box1={}' --certificate-sha256 {} \"$@\"\n",
        scene.world.programs().pbs_local.display(),
        root.display(),
        hex::encode(Sha256::digest(secret)),
        scene.server.certificate
    );
    let path = scene.world.folder().join("bin").join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

// === the hub's name ===

#[test]
fn s55_a_ticket_leads_to_a_hub_whose_name_has_changed_and_the_former_one_is_told() -> Result<()> {
    let mut scene = protected()?;
    let machine = scene.fresh("box2")?;
    // This one got no further than the words while the hub had its former name.
    let wrong = "abacus abdomen abdominal abide abiding ability ablaze able abnormal abrasion";
    let former = scene.hub.arm(BOX, &[])?;
    let ended = by_pipe(&scene.world, &machine, &former, &[], wrong)?;
    ensure!(ended.code == Some(11), "{:?}: {}", ended.code, ended.said());

    scene.hub.rename("localhost")?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let recovery = scene.recovers(&machine, &ticket, &scene.words)?;
    let port = scene.hub.agents().port();
    let told = format!("the hub is reached at localhost:{port} now; this machine knew it at 127.0.0.1:{port}");
    ensure!(recovery.shown.contains(&told), "`{told}` is not told:\n{}", *recovery.shown);
    ensure!(machine.is_protected()?, "the new node does not know the hub");
    let sheet = machine.folder().join("sheet.txt");
    machine.agent(&["sheet", "--out", &sheet.display().to_string()], "")?.with_code(0)?;
    let sheet = fs::read_to_string(&sheet)?;
    ensure!(sheet.contains(&format!("localhost:{port}")), "the new sheet has the former name:\n{sheet}");

    // One that has never heard of it is led there as well, and has nothing to compare.
    let other = scene.fresh("box3")?;
    let recovery = scene.recovers(&other, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    ensure!(!recovery.shown.contains("this machine knew it"), "{}", *recovery.shown);
    Ok(())
}

// === another certificate, another address ===

#[test]
fn s56_a_new_certificate_or_address_is_named_with_its_order_and_the_rest_comes_back() -> Result<()> {
    let mut scene = joined()?;
    let (key, door) = (scene.box_1.key_file(), scene.server.door().context("a door")?.address());
    let stranger = Shown::new()?;
    let shown_now = stranger.fingerprint();
    let stranger = Doorman::start(stranger)?;
    let renewed = format!("backup@pbs!box1@{}:store", stranger.address());
    scene.box_1 = scene.box_1.with_another_source("renewed", &renewed, &scene.server, &key)?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let machine = scene.fresh("box2")?;
    let recovery = machine.recover(&scene.hub.arm(BOX, &[])?, &[&scene.words])?;
    let shown = &*recovery.shown;
    // What is missing waits for an order, and nothing else does.
    ensure!(recovery.code == 13, "recover ended with {}:\n{shown}", recovery.code);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    let (before, _) = shown.split_once("6 The plan").with_context(|| format!("no plan:\n{shown}"))?;
    let before = in_one_line(before);
    let order = format!(
        "`repoint`: source renewed is at server 127.0.0.1:{}, datastore store, certificate {shown_now}",
        stranger.address().port()
    );
    for sentence in [&scene.server.certificate, &shown_now, &order] {
        ensure!(before.contains(sentence.as_str()), "`{sentence}` is not told before the plan:\n{shown}");
    }
    ensure!(before.contains("it waits for the order"), "that it is asked for is not told:\n{shown}");

    // The only one: nothing is touched; the former certificate is put back, and the same command goes on. What was
    // asked for is asked for no more.
    let scene = protected()?;
    let machine = scene.fresh("box2")?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let only = scene.server.door().context("a door")?;
    let other = Shown::new()?;
    let seen = other.fingerprint();
    only.shows(other)?;
    let recovery = machine.recover_with(&ticket, &["--wait-for-orders", "0"], &[&scene.words])?;
    ensure!(recovery.code == 13, "recover ended with {}:\n{}", recovery.code, *recovery.shown);
    machine.nothing_installed()?;
    let order =
        format!("source pbs is at server 127.0.0.1:{}, datastore store, certificate {seen}", only.address().port());
    let told = in_one_line(&recovery.shown);
    for sentence in [&scene.server.certificate, &seen, &order, &"proxy.pem".to_owned()] {
        ensure!(told.contains(sentence.as_str()), "`{sentence}` is not told:\n{}", *recovery.shown);
    }
    ensure!(repoint::texts(&machine)?.len() == 1, "no order is asked for");
    only.shows_the_first();
    scene.recovers(&machine, &ticket, &scene.words)?;
    ensure!(repoint::texts(&machine)?.is_empty(), "an order is left open");

    // It has moved: nobody answers where it was.
    let gone = client(
        &scene.world,
        &scene.server,
        "gone-client",
        "case \"$PBS_REPOSITORY\" in ?*) echo 'Error: error trying to connect: error connecting to \
         https://127.0.0.1:8007/ - tcp connect error: Connection refused (os error 111)' >&2; exit 255 ;; esac",
    )?;
    let machine = Machine::new(&scene.world, "box3", &gone)?;
    let recovery = scene.refuses(&machine, &scene.hub.arm(BOX, &[])?, &[&scene.words], &[15])?;
    let order = format!(
        "`repoint`: source pbs is at server {}:{}, datastore store, certificate {}",
        door.ip(),
        only.address().port(),
        scene.server.certificate
    );
    ensure!(in_one_line(&recovery.shown).contains(&order), "`{order}` is not told:\n{}", *recovery.shown);
    Ok(())
}

// === a token that is taken no more ===

#[test]
fn s57_a_disabled_tokens_new_secret_is_asked_for_at_the_box_and_stays() -> Result<()> {
    let mut scene = joined()?;
    // A second source of the same token, for which nobody is asked again.
    let key = scene.box_1.key_file();
    scene.box_1 = scene.box_1.with_another_source("second", &scene.server.repository, &scene.server, &key)?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let (new, wrong) = (token_secret(), token_secret());
    let rotated = with_secret(&scene, "rotated-client", &new)?;
    let machine = Machine::new(&scene.world, "box2", &rotated)?;
    let mut terminal = after_the_words(&scene, &machine, &scene.hub.arm(BOX, &[])?, &[])?;
    let mut seen = terminal.expect(SECRET, LONG)?.to_string();
    let server = format!("127.0.0.1:{}", scene.server.door().context("a door")?.address().port());
    for sentence in [
        "the secret is wrong",
        "token        backup@pbs!box1",
        &format!("server       {server}"),
        &format!("certificate  {}", scene.server.certificate),
        "never to the hub",
        "generate-token backup@pbs box1",
    ] {
        ensure!(seen.contains(sentence), "`{sentence}` is not told:\n{seen}");
    }
    // Another secret that is wrong, another token, and the right one, as the server's page has it.
    for (typed, answer) in [
        (wrong.clone(), format!("{server} does not take this one either")),
        (format!("backup@pbs!box2:{new}"), "backup@pbs!box2 is another token than backup@pbs!box1".to_owned()),
    ] {
        terminal.await_silence(SOON)?;
        terminal.type_line(&typed)?;
        seen = terminal.expect(SECRET, LONG)?.to_string();
        ensure!(seen.contains(&answer), "`{answer}` is not told:\n{seen}");
    }
    terminal.await_silence(SOON)?;
    terminal.type_line(&format!("backup@pbs!box1={new}"))?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0, "recover ended with {code}:\n{}", *shown);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    let transcript = terminal.transcript();
    let transcript = String::from_utf8_lossy(&transcript);
    for secret in [&new, &wrong] {
        ensure!(!transcript.contains(secret.as_str()), "a secret is on the screen");
    }
    // It is put in place, and the closing ceremony has it: nobody is asked again.
    for token in [machine.installed_token(), machine.installed_token().with_file_name("second")] {
        let installed = fs::read_to_string(token)?;
        ensure!(installed.trim_end() == new, "another secret was put in place");
    }
    let again = Machine::new(&scene.world, "box3", &rotated)?;
    scene.recovers(&again, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    again.left_nothing_in_memory()?;
    machine.left_nothing_in_memory()?;
    // The hub has it nowhere.
    let log = fs::read(scene.hub.log())?;
    let mut files = vec![log];
    for entry in fs::read_dir(scene.hub.data())? {
        let path = entry?.path();
        if path.is_file() {
            files.push(fs::read(path)?);
        }
    }
    let is_in = |file: &Vec<u8>| file.windows(new.len()).any(|window| window == new.as_bytes());
    ensure!(!files.iter().any(is_in), "the hub has the secret");
    Ok(())
}

#[test]
fn s57_without_a_person_the_secret_comes_by_a_file_and_to_the_pinned_server_only() -> Result<()> {
    let scene = protected()?;
    let new = token_secret();
    let rotated = with_secret(&scene, "rotated-client", &new)?;
    let machine = Machine::new(&scene.world, "box2", &rotated)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let ended = by_pipe(&scene.world, &machine, &ticket, &[], &scene.words)?;
    ensure!(ended.code == Some(16), "recover ended with {:?}:\n{}", ended.code, ended.said());
    ensure!(ended.said().contains("--source-token-file pbs=FILE"), "what to do is not told:\n{}", ended.said());
    machine.nothing_installed()?;

    let file = scene.world.write("new-secret", format!("{new}\n").as_bytes())?;
    let named = format!("pbs={}", file.display());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let ended = by_pipe(&scene.world, &machine, &ticket, &["--source-token-file", &named], &scene.words)?;
    ensure!(ended.code == Some(2) && ended.said().contains("chmod 600"), "{:?}: {}", ended.code, ended.said());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;

    // Somebody else stands at the address: nothing is given to him, and nothing is asked for.
    let door = scene.server.door().context("a door")?;
    door.shows(Shown::new()?)?;
    let log = scene.world.folder().join("given");
    let script = format!("[ -z \"$PBS_PASSWORD_FILE\" ] || cat \"$PBS_PASSWORD_FILE\" >> '{}'", log.display());
    let watched = client(&scene.world, &scene.server, "watched-client", &script)?;
    let other = Machine::new(&scene.world, "box3", &watched)?;
    let practice = scene.hub.arm(BOX, &["--rehearsal"])?;
    let recovery = scene.refuses(&other, &practice, &[&scene.words], &[10])?;
    ensure!(!recovery.shown.contains("The secret of"), "it is asked for:\n{}", *recovery.shown);
    let ended = by_pipe(&scene.world, &other, &practice, &["--source-token-file", &named], &scene.words)?;
    ensure!(ended.code == Some(10), "recover ended with {:?}:\n{}", ended.code, ended.said());
    ensure!(!log.exists(), "a secret was given to a stranger");
    door.shows_the_first();

    let ended = by_pipe(&scene.world, &machine, &ticket, &["--source-token-file", &named], &scene.words)?;
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{}", ended.code, ended.said());
    ensure!(fs::read_to_string(machine.installed_token())?.trim_end() == new, "another secret was put in place");
    ensure!(!ended.said().contains(&new) && !ended.wrote().contains(&new), "the secret is told");
    Ok(())
}

/// What is typed behind a hidden question is on no screen.
#[test]
fn the_second_holders_secret_is_not_shown_as_it_is_typed() -> Result<()> {
    let scene = protected()?;
    let machine = scene.fresh("box2")?;
    let arguments =
        ["recover", "--second-holder", &scene.server.repository, "--certificate", &scene.server.certificate];
    let mut terminal = machine.at_terminal(&arguments)?;
    terminal.expect("The secret of backup@pbs!box1 (not shown): ", LONG)?;
    terminal.await_silence(SOON)?;
    terminal.type_line(scene.server.expose_secret())?;
    terminal.expect(PROMPT, LONG)?;
    let transcript: Zeroizing<Vec<u8>> = terminal.transcript();
    ensure!(!String::from_utf8_lossy(&transcript).contains(scene.server.expose_secret()), "it is on the screen");
    Ok(())
}
