//! What is wrong with the backup servers is found after the words and before anything is touched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{
    tree::Tree,
    world::{Doorman, Machine, Shown},
};

use crate::support::{BOX, GROUP, Scene, as_shown, client, joined, protected};

/// Nothing lies where a recovery puts something, and none of it is on its way there.
fn untouched(machine: &Machine, shown: &str) -> Result<()> {
    machine.nothing_installed().with_context(|| shown.to_owned())?;
    ensure!(!shown.contains("6 The plan"), "there was a plan:\n{shown}");
    Ok(())
}

/// The recorded words of servers that do not answer as they should, by the datastore asked for
/// (`formats.md` §11.5). Until it is mended, `store` is silent too.
fn troubled(scene: &Scene, mended: &Path) -> Result<PathBuf> {
    let script = format!(
        r#"say() {{ echo "Error: $1" >&2; exit 255; }}
case "$1 $2 $PBS_REPOSITORY" in
*:store) [ -e '{mended}' ] || say 'error trying to connect: error connecting to https://127.0.0.1:8007/ - tcp connect error: Connection refused (os error 111)' ;;
*:silent) say 'error trying to connect: error connecting to https://127.0.0.1:8007/ - tcp connect error: deadline has elapsed' ;;
*:disabled) say 'authentication failed - user account or token disabled or expired.' ;;
*:rightless) say 'permission check failed' ;;
'snapshot list'*:half-a-right) say 'permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/half-a-right' ;;
*:gone) say "no such datastore 'gone'" ;;
status*) PBS_REPOSITORY='{repository}' exec "$CLIENT" "$@" ;;
esac"#,
        mended = mended.display(),
        repository = scene.server.repository,
    );
    client(&scene.world, &scene.server, "troubled-client", &script)
}

#[test]
fn s38_what_is_wrong_with_the_servers_is_told_at_once_and_before_anything_is_touched() -> Result<()> {
    let mut scene = joined()?;
    // Somebody else stands at the door of one of them.
    let stranger = Shown::new()?;
    let strange = stranger.fingerprint();
    let stranger = Doorman::start(stranger)?;
    let (key, door) = (scene.box_1.key_file(), scene.server.door().context("a door")?.address());
    let others = ["silent", "disabled", "rightless", "half-a-right", "gone"];
    for store in others {
        let repository = format!("backup@pbs!box1@{door}:{store}");
        scene.box_1 = scene.box_1.with_another_source(&format!("x-{store}"), &repository, &scene.server, &key)?;
    }
    let elsewhere = format!("backup@pbs!box1@{}:store", stranger.address());
    scene.box_1 = scene.box_1.with_another_source("x-strange", &elsewhere, &scene.server, &key)?;
    scene.words = scene.box_1.ceremony(as_shown)?;

    let mended = scene.world.folder().join("mended");
    let machine = Machine::new(&scene.world, "box2", &troubled(&scene, &mended)?)?;
    let ticket = scene.hub.arm(BOX, &[])?;
    let recovery = machine.recover(&ticket, &[&scene.words])?;
    let shown = &*recovery.shown;
    ensure!(recovery.code == 15, "recover ended with {}:\n{shown}", recovery.code);
    ensure!(shown.contains("7 things are to be mended first"), "not all is told at once:\n{shown}");
    let told = [
        ("source pbs at", "nobody listens there", "see whether"),
        ("source x-silent at", "no answer in time", "see whether"),
        ("source x-disabled at", "unknown, disabled or expired", "that backup@pbs and backup@pbs!box1 exist"),
        (
            "source x-rightless at",
            "a right is missing on the user or on the token",
            "give both backup@pbs and backup@pbs!box1",
        ),
        ("source x-half-a-right at", "Datastore.Audit|Datastore.Backup", "give both backup@pbs and backup@pbs!box1"),
        ("source x-gone at", "no such datastore", "see which datastores"),
        ("source x-strange at", strange.as_str(), "on the server itself compare its fingerprint"),
    ];
    let entries: Vec<&str> = shown.split(". source ").collect();
    for (source, why, remedy) in told {
        let (_, id) = source.split_once(' ').context("a name")?;
        let entry = entries.iter().find(|entry| entry.starts_with(id));
        let entry = entry.with_context(|| format!("{source} is not told of:\n{shown}"))?;
        ensure!(entry.contains(why), "{source}: `{why}` is not said:\n{entry}");
        let (_, to_do) = entry.split_once("what to do: ").with_context(|| format!("nothing to do:\n{entry}"))?;
        ensure!(to_do.contains(remedy), "{source}: `{remedy}` is not said:\n{entry}");
    }
    ensure!(shown.contains(&scene.server.certificate), "the pinned fingerprint is not told:\n{shown}");
    untouched(&machine, shown)?;

    // One of them is mended: what it has comes back, and the others are named again.
    fs::write(&mended, "")?;
    let recovery = machine.recover(&ticket, &[&scene.words])?;
    let shown = &*recovery.shown;
    ensure!(recovery.code == 14, "recover ended with {}:\n{shown}", recovery.code);
    ensure!(Tree::read(&machine.restored(GROUP, "root.pxar"))? == scene.data, "the data is another");
    let (before, report) = shown.split_once("6 The plan").with_context(|| format!("no plan:\n{shown}"))?;
    for store in others.into_iter().chain(["strange"]) {
        let source = format!("source x-{store}");
        ensure!(before.contains(&source), "{source} is not told of before the plan:\n{shown}");
        ensure!(report.contains(&source), "{source} is not in the report:\n{shown}");
    }
    machine.left_nothing_in_memory()
}

/// S67, by the agent: what stands at the server's address is trusted by the system, and is not the
/// pinned one. Both are named, and no child is given the token.
#[test]
fn s67_a_trusted_certificate_that_is_not_the_pinned_one_never_sees_the_token() -> Result<()> {
    let scene = protected()?;
    let trusted = Shown::new()?;
    let store = scene.world.write("trusted.pem", trusted.pem().as_bytes())?.display().to_string();
    let shown_now = trusted.fingerprint();
    let door = scene.server.door().context("a door")?;
    door.shows(trusted)?;
    let log = scene.world.folder().join("with-the-token");
    let watched = client(
        &scene.world,
        &scene.server,
        "watched-client",
        &format!("[ -z \"$PBS_PASSWORD_FILE$PBS_PASSWORD_FD$PBS_PASSWORD\" ] || echo \"$*\" >> '{}'", log.display()),
    )?;
    let machine = Machine::new(&scene.world, "box2", &watched)?.with_environment(&[("SSL_CERT_FILE", &store)]);
    let before = door.met();
    let ticket = scene.hub.arm(BOX, &[])?;
    let recovery = machine.recover_with(&ticket, &["--wait-for-orders", "0"], &[&scene.words])?;
    let shown = &*recovery.shown;
    // It waits for an order, and until then nobody is given the token.
    ensure!(recovery.code == 13, "recover ended with {}:\n{shown}", recovery.code);
    ensure!(door.met() > before, "nobody looked");
    for sentence in [
        shown_now.as_str(),
        scene.server.certificate.as_str(),
        "what to do: on the server itself compare its fingerprint",
    ] {
        ensure!(shown.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    let given = fs::read_to_string(&log).unwrap_or_default();
    ensure!(given.is_empty(), "the token was given to:\n{given}");
    untouched(&machine, shown)
}
