//! A backup server that goes, changes its certificate or lacks a chunk while it is read from, and programs
//! that are killed when most of it has come.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tenwords_spikes::{process::Ended, tree::Tree, world::Machine};

use crate::{
    guests::{Burnt, back_up_container, burnt},
    journal::burnt_with_archives,
    support::{BOX, by_pipe, client, container},
};

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

/// What was begun in this run, by its name.
fn begun(told: &str) -> Vec<&str> {
    told.lines().filter_map(|line| line.strip_prefix("begun: ")?.split(" (").next()).collect()
}

/// A recovery that ends so and says all of this.
fn ends(burnt: &Burnt, machine: &Machine, ticket: &str, code: i32, sentences: &[&str]) -> Result<String> {
    let ended = by_pipe(&burnt.world, machine, ticket, &["--parallel", "1"], &burnt.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(code), "recover ended with {:?} instead of {code}:\n{told}", ended.code);
    for sentence in sentences {
        ensure!(told.contains(sentence), "`{sentence}` is not told:\n{told}");
    }
    Ok(told)
}

/// When most of it has come, Proxmox VE's worker is killed, the client is killed, and the line is cut: what had
/// come is no file of anybody's, the rest is back, and the same command brings just that.
#[test]
fn s39_killed_or_cut_off_when_most_has_come_only_that_is_begun_again() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let torn = burnt.world.folder().join("torn");
    fs::write(&torn, "")?;
    // What goes into a pipe is cut; what goes into a folder is whole, and nobody says so.
    let script = format!(
        "if [ -e '{}' ]; then case \"$*\" in\n\
         *' ct/101/'*' root.pxar '*) \"$CLIENT\" \"$@\" | head -c 200000; kill -9 $PPID; exit 255 ;;\n\
         *' host/desk/'*' a.pxar '*) \"$CLIENT\" \"$@\" | head -c 200000; kill -9 $$ ;;\n\
         *' host/desk/'*' b.pxar '*) \"$CLIENT\" \"$@\" | head -c 200000\n\
         echo 'Error: connection error: Connection reset by peer (os error 104)' >&2; exit 255 ;;\n\
         esac; fi",
        torn.display()
    );
    let tearing = client(&burnt.world, &burnt.server, "tearing-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &tearing)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    ends(&burnt, &machine, &ticket, 14, &["ct/101/", "a.pxar", "b.pxar", "or this alone: `"])?;
    burnt.machine_is_back(&pve, 102)?;
    for name in ["a.pxar", "b.pxar"] {
        ensure!(!machine.restored("host/desk", name).exists(), "what came of {name} lies in its place");
    }
    let shown = burnt.hub.show(BOX)?;
    ensure!(shown["recovery"]["proven_at"].is_string(), "{shown}");
    machine.agent(&["recover", "--status"], "")?.with_code(14)?;

    fs::remove_file(&torn)?;
    let shown = ends(&burnt, &machine, &ticket, 0, &[])?;
    ensure!(begun(&shown) == ["ct/101", "host/desk a.pxar", "host/desk b.pxar"], "{shown}");
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    for (name, tree) in ["a.pxar", "b.pxar"].iter().zip(&archives) {
        ensure!(Tree::read(&machine.restored("host/desk", name))? == *tree, "{name} is another");
    }
    machine.left_nothing_in_memory()
}

/// A client of the same server, behind another certificate.
fn renewed(burnt: &Burnt) -> Result<PathBuf> {
    let other = burnt.server.certificate.replace('0', "1").replace('a', "b");
    let text = fs::read_to_string(&burnt.server.client)?.replace(&burnt.server.certificate, &other);
    let path = burnt.world.folder().join("bin/renewed-client");
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Guests are back already when it has another certificate, and, in the next run, when it is switched off.
#[test]
fn a_server_that_changes_or_goes_midway_is_told_and_nothing_is_restored_twice() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let flag = |name: &str| burnt.world.folder().join(name);
    let (changes, changed, goes, gone) = (flag("changes"), flag("changed"), flag("goes"), flag("gone"));
    let slow = flag("slow");
    let refused = "error trying to connect: error connecting to https://127.0.0.1:8007/ - tcp connect error: \
                   Connection refused (os error 111)";
    let script = format!(
        "[ ! -e '{slow}' ] || sleep 0.7\n\
         case \"$*\" in restore*' a.pxar '*) [ ! -e '{changes}' ] || touch '{changed}' ;;\n\
         restore*' b.pxar '*) [ ! -e '{goes}' ] || touch '{gone}' ;; esac\n\
         case \"$*\" in restore*) [ ! -e '{gone}' ] || {{ echo 'Error: {refused}' >&2; exit 255; }}\n\
         [ ! -e '{changed}' ] || exec '{renewed}' \"$@\" ;; esac",
        slow = slow.display(),
        changes = changes.display(),
        changed = changed.display(),
        goes = goes.display(),
        gone = gone.display(),
        renewed = renewed(&burnt)?.display(),
    );
    let turning = client(&burnt.world, &burnt.server, "turning-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &turning)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    fs::write(&changes, "")?;
    let shown = ends(&burnt, &machine, &ticket, 14, &["a.pxar: ", "b.pxar: ", "certificate"])?;
    ensure!(shown.contains(&burnt.server.certificate), "the pinned certificate is not named:\n{shown}");
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    for name in ["a.pxar", "b.pxar"] {
        ensure!(!machine.restored("host/desk", name).exists(), "{name} came from a server that nobody knows");
    }

    [changes, changed].iter().try_for_each(fs::remove_file)?;
    fs::write(&goes, "")?;
    let shown = ends(&burnt, &machine, &ticket, 14, &["b.pxar: ", "or this alone: `"])?;
    ensure!(begun(&shown) == ["host/desk a.pxar", "host/desk b.pxar"], "{shown}");
    // One look at their list stands for both, and that cannot be had any more.
    ensure!(!machine.restored("host/desk", "a.pxar").exists(), "a.pxar was not looked at again:\n{shown}");

    // It is back, and slow: every answer takes its time.
    [goes, gone].iter().try_for_each(fs::remove_file)?;
    fs::write(&slow, "")?;
    let shown = ends(&burnt, &machine, &ticket, 0, &[])?;
    ensure!(begun(&shown) == ["host/desk a.pxar", "host/desk b.pxar"], "{shown}");
    for (name, tree) in ["a.pxar", "b.pxar"].iter().zip(&archives) {
        ensure!(Tree::read(&machine.restored("host/desk", name))? == *tree, "{name} is another");
    }
    ensure!(machine.is_protected()?, "it is not protected");
    Ok(())
}

/// The files of the chunks that a datastore has.
fn chunks(store: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(store.join(".chunks"))? {
        let folder = folder?.path();
        if folder.is_dir() {
            for chunk in fs::read_dir(folder)? {
                found.insert(chunk?.path());
            }
        }
    }
    Ok(found)
}

/// Takes away the largest chunk that only came with this, and tells where it was and where it is.
fn take_away(store: &Path, before: &BTreeSet<PathBuf>) -> Result<(PathBuf, PathBuf)> {
    let after = chunks(store)?;
    let size = |path: &&PathBuf| fs::metadata(path).map(|found| found.len()).unwrap_or_default();
    let chunk = after.difference(before).max_by_key(size).context("a chunk of its own")?.clone();
    let aside = store.with_extension(chunk.file_name().and_then(|name| name.to_str()).context("a name")?);
    fs::rename(&chunk, &aside)?;
    Ok((chunk, aside))
}

#[test]
fn one_missing_chunk_costs_its_guest_and_its_archive_and_once_it_is_back_only_they_come() -> Result<()> {
    let mut more = None;
    let burnt = burnt(|world, server, _, key| {
        let store = server.folder.as_deref().context("a folder")?;
        let before = chunks(store)?;
        let guest = back_up_container(world, server, 103, key)?;
        let of_guest = take_away(store, &before)?;
        let before = chunks(store)?;
        let folders = [container(world, "files-a", b"letters")?, container(world, "files-b", b"bills")?];
        let [a, b] = folders.each_ref().map(|folder| folder.display().to_string());
        server.back_up(&[format!("a.pxar:{a}")], "host/desk", key)?;
        let of_archive = take_away(store, &before)?;
        server.back_up(&[format!("b.pxar:{b}")], "host/safe", key)?;
        more = Some((guest, [Tree::read(&folders[0])?, Tree::read(&folders[1])?], [of_guest, of_archive]));
        Ok(())
    })?;
    let (guest, archives, lost) = more.context("what else was backed up")?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let shown = ends(&burnt, &machine, &ticket, 14, &["Not restored:", "NOT ALL is back"])?;
    let (_, missing) = shown.rsplit_once("Not restored:").context("what is missing")?;
    for (what, command) in [("ct/103/", "pct restore 103 "), ("a.pxar", "restore host/desk/")] {
        let (_, of) = missing.split_once(what).with_context(|| format!("{what} is not missing:\n{shown}"))?;
        let (_, alone) =
            of.split_once("or this alone: `").with_context(|| format!("no command for {what}:\n{shown}"))?;
        ensure!(alone.split('`').next().is_some_and(|it| it.contains(command.trim())), "{what}: {alone}");
    }
    burnt.container_is_back(&pve, 101)?;
    burnt.machine_is_back(&pve, 102)?;
    ensure!(Tree::read(&machine.restored("host/safe", "b.pxar"))? == archives[1], "b.pxar is another:\n{shown}");
    ensure!(!machine.restored("host/desk", "a.pxar").exists(), "half an archive lies in its place:\n{shown}");
    ensure!(!pve.etc("local/lxc/103.conf").exists(), "half a container is there:\n{shown}");

    for (chunk, aside) in lost {
        fs::rename(aside, chunk)?;
    }
    let shown = ends(&burnt, &machine, &ticket, 0, &["3 guests, "])?;
    ensure!(begun(&shown) == ["ct/103", "host/desk a.pxar"], "{shown}");
    ensure!(Tree::read(&pve.container_root(103))? == guest, "container 103 is another");
    ensure!(Tree::read(&machine.restored("host/desk", "a.pxar"))? == archives[0], "a.pxar is another");
    burnt.container_is_back(&pve, 101)?;
    machine.left_nothing_in_memory()
}
