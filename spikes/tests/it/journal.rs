//! A recovery that is killed at its durable steps, torn, spied on, given up: the same command goes on, and
//! what is not this recovery's own is left alone.
#![expect(clippy::disallowed_methods, reason = "a child that is killed by its number is started by hand")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use tenwords_spikes::{
    tree::Tree,
    world::{Machine, Pve},
};

use crate::{
    guests::{Burnt, burnt},
    support::{BOX, by_pipe, client, command_by_pipe, container},
};

/// A durable step, as the agent traces it: its name, and whether it begins or is on the disk.
pub(crate) type Step = (String, bool);

/// A node with a container, a machine and a group of two archives.
pub(crate) fn burnt_with_archives() -> Result<(Burnt, [Tree; 2])> {
    let mut trees = None;
    let burnt = burnt(|world, server, _, key| {
        let folders = [container(world, "files-a", b"letters")?, container(world, "files-b", b"bills")?];
        trees = Some([Tree::read(&folders[0])?, Tree::read(&folders[1])?]);
        let [a, b] = folders.map(|folder| folder.display().to_string());
        server.back_up(&[format!("a.pxar:{a}"), format!("b.pxar:{b}")], "host/desk", key).map(drop)
    })?;
    Ok((burnt, trees.context("the archives")?))
}

/// Runs a recovery and follows its durable steps; at the one that `is_it` says, the agent is killed. Tells
/// the steps up to there, and the exit code if it came to an end of its own.
pub(crate) fn follow(
    burnt: &Burnt,
    machine: &Machine,
    ticket: &str,
    is_it: impl FnMut(usize, &Step) -> bool,
) -> Result<(Vec<Step>, Option<i32>)> {
    follow_with(burnt, machine, ticket, &[], is_it)
}

/// The same with more arguments.
pub(crate) fn follow_with(
    burnt: &Burnt,
    machine: &Machine,
    ticket: &str,
    more: &[&str],
    mut is_it: impl FnMut(usize, &Step) -> bool,
) -> Result<(Vec<Step>, Option<i32>)> {
    let mut child = Command::new("/bin/sh")
        .args(command_by_pipe(&burnt.world, machine, ticket, more)?)
        .env_clear()
        .envs(burnt.world.environment())
        .envs([("TENWORDS_LOG", "tenwords_agent::durable=trace"), ("NO_COLOR", "1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("its input")?.write_all(burnt.words.as_bytes())?;
    let mut steps = Vec::new();
    for line in BufReader::new(child.stderr.take().context("its errors")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let Some(step) = step(&line) else { continue };
        let is_last = is_it(steps.len(), &step);
        steps.push(step);
        if is_last {
            child.kill()?;
            break;
        }
    }
    let code = child.wait()?.code();
    if code.is_none() {
        two_minutes_go_by(machine)?;
    }
    Ok((steps, code))
}

/// PVE's locks are folders of pmxcfs, which lets those of a dead holder go by itself; the folder that plays it here never
/// would, and a kill that comes a moment late finds the agent at the storages already. None of PVE's programs that a
/// recovery starts, and that may outlive it, takes one.
fn two_minutes_go_by(machine: &Machine) -> Result<()> {
    let locks = machine.folder().join("etc/pve/priv/lock");
    if !locks.exists() {
        return Ok(());
    }
    for lock in fs::read_dir(&locks)? {
        fs::remove_dir(lock?.path())?;
    }
    Ok(())
}

fn step(line: &str) -> Option<Step> {
    let is_done = line.contains("on the disk");
    if !is_done && !line.contains("durable write") {
        return None;
    }
    let name = line.split_once("step=\"")?.1.split_once('"')?.0;
    Some((name.to_owned(), is_done))
}

/// The state that a recovery ends in, whatever happened on the way: guests, archives, PVE's files, and that
/// nothing unfinished is left anywhere.
pub(crate) fn end_state(
    burnt: &Burnt,
    machine: &Machine,
    pve: &Pve,
    archives: &[Tree; 2],
) -> Result<BTreeMap<String, String>> {
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "the files of container 101 are others");
    ensure!(fs::read(pve.disk(102))? == burnt.disk, "the disk of machine 102 is another");
    for (name, tree) in ["a.pxar", "b.pxar"].iter().zip(archives) {
        ensure!(Tree::read(&machine.restored("host/desk", name))? == *tree, "{name} is another");
    }
    let mut left = Vec::new();
    unfinished(machine.folder(), &mut left)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    ensure!(machine.is_protected()?, "it is not protected");
    let status = machine.agent(&["--json", "recover", "--status"], "")?;
    let told: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    ensure!(told["state"] == "ended" && status.code == Some(0), "{told}");
    let mut state = BTreeMap::new();
    for name in ["storage.cfg", "user.cfg", "priv/storage/pbs.pw"] {
        state.insert(name.to_owned(), fs::read_to_string(pve.etc(name)).unwrap_or_default());
    }
    // When the client opened it is written into the file.
    let mut key: serde_json::Value = serde_json::from_slice(&fs::read(pve.etc("priv/storage/pbs.enc"))?)?;
    key["modified"] = serde_json::Value::Null;
    state.insert("the key file".to_owned(), key.to_string());
    state.insert("ct 101".to_owned(), pve.container_config(101)?);
    // PVE draws its generation anew for each restore.
    let config = pve.machine_config(102)?;
    let config: String =
        config.lines().filter(|line| !line.starts_with("vmgenid")).map(|line| format!("{line}\n")).collect();
    state.insert("vm 102".to_owned(), config);
    for kind in ["lxc", "qemu-server"] {
        let names: BTreeSet<_> =
            fs::read_dir(pve.etc(kind))?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
        state.insert(kind.to_owned(), format!("{names:?}"));
    }
    let volumes = pve.run("pvesm", &["list", "local"])?.with_code(0)?;
    let volumes = String::from_utf8_lossy(&volumes.stdout).into_owned();
    let volumes = volumes.lines().filter_map(|line| line.split_whitespace().next()).collect::<Vec<_>>().join(" ");
    state.insert("volumes".to_owned(), volumes);
    Ok(state)
}

/// Every name below that a recovery gives to what is unfinished.
pub(crate) fn unfinished(folder: &Path, left: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".tenwords-") && name != ".tenwords-recovery.json" {
            left.push(entry.path().display().to_string());
        } else if entry.file_type()?.is_dir() {
            unfinished(&entry.path(), left)?;
        }
    }
    Ok(())
}

/// The same where a run was killed, in the middle of a file perhaps.
pub(crate) fn end_state_after_a_kill(
    burnt: &Burnt,
    machine: &Machine,
    pve: &Pve,
    archives: &[Tree; 2],
) -> Result<BTreeMap<String, String>> {
    let mut left = Vec::new();
    unfinished(machine.folder(), &mut left)?;
    for path in left.iter().filter(|path| is_of_a_write(path)) {
        fs::remove_file(path)?;
    }
    end_state(burnt, machine, pve, archives)
}

/// The agent takes away what a kill has left of a file that it was writing only when it writes it again.
fn is_of_a_write(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.len() == ".tenwords-".len() + 6)
}

/// Never killed: the steps, and the state at the end.
fn calm(burnt: &Burnt, archives: &[Tree; 2]) -> Result<(Vec<Step>, BTreeMap<String, String>)> {
    let (machine, pve) = burnt.node("calm")?;
    let (steps, code) = follow(burnt, &machine, &burnt.hub.arm(BOX, &[])?, |_, _| false)?;
    ensure!(code == Some(0), "it ended with {code:?} after {steps:?}");
    let state = end_state(burnt, &machine, &pve, archives)?;
    for name in ["begun", "proven", "planned", "installed", "started", "staged", "restored", "closed", "ended"] {
        let count = steps.iter().filter(|(step, done)| *done && *step == format!("journal-{name}")).count();
        let expected = match name {
            "started" | "restored" => 4,
            "staged" => 2,
            _ => 1,
        };
        ensure!(count == expected, "{count} times {name}: {steps:?}");
    }
    Ok((steps, state))
}

/// What a failure is to be told with: the journal, the pools and the guests as they lie there. What is not there yet, or
/// is being written by a program that outlived the agent, is left out.
fn lies(machine: &Machine, pve: &Pve) -> String {
    let journal = machine.state().join("recovery/journal");
    let guests = ["local/lxc/101.conf", "local/qemu-server/102.conf"].map(|name| pve.etc(name));
    let files = [journal, pve.etc("user.cfg")].into_iter().chain(guests);
    files.filter_map(|path| Some(format!("{}:\n{}\n", path.display(), fs::read_to_string(&path).ok()?))).collect()
}

/// Killed at the step with this number, the same command ends in the same state.
fn killed_at(
    burnt: &Burnt,
    archives: &[Tree; 2],
    (at, steps_of_all): (usize, usize),
    expected: &BTreeMap<String, String>,
) -> Result<Step> {
    let (machine, pve) = burnt.node(&format!("killed-{at}"))?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let (steps, code) = follow(burnt, &machine, &ticket, |number, _| number == at)?;
    let step = steps.last().context("a step")?.clone();
    if code == Some(0) && at + 3 > steps_of_all {
        // One of the last: it was done before the kill reached it.
        end_state(burnt, &machine, &pve, archives)?;
        return Ok(step);
    }
    ensure!(code.is_none(), "it ended with {code:?} before step {at}: {steps:?}");
    let then = lies(&machine, &pve);
    let at = || format!("killed at step {at}, {step:?}, where there was\n{then}");
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words).with_context(at)?;
    let told =
        || format!("the same command told\n{}{}and there is\n{}", ended.said(), ended.wrote(), lies(&machine, &pve));
    ensure!(ended.code == Some(0), "{}it ended with {:?}: {}", at(), ended.code, told());
    let state = end_state_after_a_kill(burnt, &machine, &pve, archives).with_context(told).with_context(at)?;
    ensure!(state == *expected, "{}{state:#?}\ninstead of\n{expected:#?}\n{}", at(), told());
    machine.destroy()?;
    Ok(step)
}

#[test]
fn s39_killed_at_its_steps_the_same_command_ends_as_if_it_never_was() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (steps, state) = calm(&burnt, &archives)?;
    // Each kind of step that matters once, before or after it is on the disk; all of them are the long tier's.
    let mut left: BTreeSet<Step> = [
        ("journal-begun", true),
        ("journal-planned", false),
        ("journal-installing", true),
        ("journal-started", true),
        ("journal-staged", true),
        ("archive-in-place", true),
        ("journal-restored", true),
        ("journal-closing", true),
        ("journal-ended", false),
    ]
    .map(|(name, done)| (name.to_owned(), done))
    .into();
    for (number, step) in steps.iter().enumerate() {
        if left.remove(step) {
            killed_at(&burnt, &archives, (number, steps.len()), &state)?;
        }
    }
    ensure!(left.is_empty(), "never came to {left:?}");
    Ok(())
}

#[test]
#[ignore = "every durable step of a recovery, twice: many minutes; cargo xtask proof runs it"]
fn proof_s39_killed_at_every_durable_step_it_ends_as_if_it_never_was() -> Result<()> {
    let mut tried = BTreeMap::new();
    let (mut number, mut all) = (0, usize::MAX);
    while number < all {
        // A box may hold so many ceremonies a day: each world is good for some.
        let (burnt, archives) = burnt_with_archives()?;
        let (steps, state) = calm(&burnt, &archives)?;
        all = steps.len();
        for at in (number..all).take(10) {
            let step = killed_at(&burnt, &archives, (at, all), &state)?;
            *tried.entry(step).or_insert(0) += 1;
            number = at + 1;
        }
    }
    println!("{all} moments of {} kinds: {tried:#?}", tried.len());
    ensure!(all > 60, "only {all} moments");
    Ok(())
}

/// The agent is killed, and PVE's worker once it has written the guest's configuration: no pool says then that it was
/// restored to its end. It is taken for what it is, and another that somebody has made of it for his.
#[test]
fn s39_a_guest_that_its_restore_did_not_come_to_mark_is_known_by_its_backup() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (_, expected) = calm(&burnt, &archives)?;
    for (vmid, what) in [(101, "ct/101"), (102, "vm/102")] {
        let (machine, pve) = burnt.node(&format!("unmarked-{vmid}"))?;
        let ticket = burnt.hub.arm(BOX, &[])?;
        cut_off(&burnt, (&machine, &pve), &ticket, vmid)?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let told = format!("{}{}", ended.said(), ended.wrote());
        ensure!(ended.code == Some(0), "{vmid}: it ended with {:?}:\n{told}{}", ended.code, lies(&machine, &pve));
        ensure!(told.contains("was ended itself before it marked it"), "{vmid}: {told}");
        ensure!(!told.contains(&format!("begun: {what}")), "{vmid} was restored twice:\n{told}");
        let state = end_state_after_a_kill(&burnt, &machine, &pve, &archives).with_context(|| told.clone())?;
        ensure!(state == expected, "{vmid}: {state:#?}\ninstead of\n{expected:#?}\n{told}");
    }

    let (machine, pve) = burnt.node("theirs")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    cut_off(&burnt, (&machine, &pve), &ticket, 102)?;
    let theirs = pve.machine_config(102)?.replace("db102", "theirs");
    pve.write_machine(102, &theirs)?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let told = format!("{}{}", ended.said(), ended.wrote());
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{told}", ended.code);
    ensure!(pve.machine_config(102)? == theirs, "somebody's machine was touched:\n{told}");
    for sentence in ["does not carry this recovery's mark", "the number 102 is taken by the virtual machine \"theirs\""]
    {
        ensure!(told.contains(sentence), "`{sentence}` is not told:\n{told}");
    }
    Ok(())
}

/// A recovery that is killed when PVE has restored this guest, and has not marked it; nor does it any more.
fn cut_off(burnt: &Burnt, (machine, pve): (&Machine, &Pve), ticket: &str, vmid: u32) -> Result<()> {
    let gate = machine.folder().join(format!("var/fixture/cut-off-{vmid}"));
    fs::create_dir_all(gate.parent().context("a folder")?)?;
    fs::write(&gate, "")?;
    let reached = gate.with_file_name(format!("cut-off-{vmid}.reached"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let mut is_in_time = true;
    // One after the other, the container first.
    let mut left = vmid - 100;
    let (steps, code) = follow_with(burnt, machine, ticket, &["--parallel", "1"], |_, step| {
        left -= u32::from(*step == ("journal-started".to_owned(), true));
        if left > 0 {
            return false;
        }
        while is_in_time && !reached.exists() {
            is_in_time = std::time::Instant::now() < deadline;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        true
    })?;
    ensure!(is_in_time && code.is_none(), "it ended with {code:?} after {steps:?}:\n{}", lies(machine, pve));
    Ok(fs::remove_file(gate)?)
}

/// While container 101 is restored, the agent is killed; then somebody makes a guest of that number.
#[test]
fn s72_a_guest_that_somebody_made_meanwhile_is_not_touched() -> Result<()> {
    let (burnt, _) = burnt_with_archives()?;
    let gate = burnt.world.folder().join("gate");
    fs::write(&gate, "")?;
    let script = format!(
        "case \"$*\" in *' ct/101/'*' root.pxar '*) if [ -e '{0}' ]; then touch '{0}.reached'; exec sleep 600; fi ;; esac",
        gate.display()
    );
    let waiting = client(&burnt.world, &burnt.server, "waiting-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &waiting)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    // The container is the first; with its intent on the disk PVE is about to begin.
    let (steps, code) = follow_with(&burnt, &machine, &ticket, &["--parallel", "1"], |_, step| {
        *step == ("journal-started".to_owned(), true)
    })?;
    ensure!(code.is_none(), "it ended with {code:?} after {steps:?}");
    fs::remove_file(&gate)?;
    // Whatever PVE had begun is gone, and somebody makes another guest of that number.
    let theirs = "arch: amd64\nhostname: theirs\nmemory: 256\n";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while pve.run("pct", &["unlock", "101"])?.code == Some(0) || pve.etc("local/lxc/101.conf").exists() {
        pve.run("pct", &["destroy", "101"])?;
        ensure!(std::time::Instant::now() < deadline, "101 does not go");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    fs::write(pve.etc("local/lxc/101.conf"), theirs)?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let told = format!("{}{}", ended.said(), ended.wrote());
    ensure!(ended.code == Some(13), "it ended with {:?}:\n{told}", ended.code);
    ensure!(fs::read_to_string(pve.etc("local/lxc/101.conf"))? == theirs, "somebody's guest was touched:\n{told}");
    for sentence in ["does not carry this recovery's mark", "the number 101 is taken by the container \"theirs\""] {
        ensure!(told.contains(sentence), "`{sentence}` is not told:\n{told}");
    }
    ensure!(fs::read(pve.disk(102))? == burnt.disk, "the machine is not back:\n{told}");
    // Once it is gone, the same command brings the rest, and nothing twice.
    pve.run("pct", &["destroy", "101"])?.with_code(0)?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    let told = format!("{}{}", ended.said(), ended.wrote());
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{told}", ended.code);
    ensure!(told.contains("1 guests, ") || told.contains("2 guests, "), "{told}");
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "the container is another:\n{told}");
    ensure!(!told.contains("begun: vm/102"), "the machine was restored twice:\n{told}");
    Ok(())
}

/// `--abort` leaves what is whole, takes away what is not, and lets another recovery begin.
#[test]
fn a_recovery_that_is_given_up_leaves_the_machine_tidy() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (machine, pve) = burnt.node("box2")?;
    let nothing = machine.agent(&["recover", "--abort"], "")?.with_code(10)?;
    ensure!(nothing.said().contains("no recovery is going on"), "{}", nothing.said());
    let status = machine.agent(&["recover", "--status"], "")?.with_code(0)?;
    ensure!(status.wrote().contains("No recovery"), "{}", status.wrote());

    let ticket = burnt.hub.arm(BOX, &["--rehearsal"])?;
    let (_, code) = follow(&burnt, &machine, &ticket, |_, step| *step == ("journal-staged".to_owned(), true))?;
    ensure!(code.is_none(), "it ended with {code:?}");
    let status = machine.agent(&["recover", "--status"], "")?.with_code(14)?;
    let told = status.wrote();
    ensure!(told.contains("[~]") && told.contains("recover --abort"), "{told}");
    // Another box's recovery, or one in earnest, is not mixed with it.
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &[])?, &[], &burnt.words)?;
    ensure!(
        ended.code == Some(10) && ended.said().contains("is a rehearsal, and this is in earnest"),
        "{}",
        ended.said()
    );

    let aborted = machine.agent(&["recover", "--abort"], "")?.with_code(0)?;
    let mut left = Vec::new();
    unfinished(machine.folder(), &mut left)?;
    ensure!(left.iter().all(|path| is_of_a_write(path)), "left behind: {left:?}\n{}", aborted.wrote());
    machine.agent(&["recover", "--status"], "")?.with_code(0)?;
    let into = machine.folder().join("again");
    let more = ["--into", &into.display().to_string()].map(str::to_owned);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &[])?, &more, &burnt.words)?;
    ensure!(ended.code == Some(0), "{:?}:\n{}{}", ended.code, ended.said(), ended.wrote());
    ensure!(Tree::read(&into.join("pbs/host-desk/a.pxar"))? == archives[0], "a.pxar is another");
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "the container is another");
    Ok(())
}

/// A torn end is what a power cut leaves, and is nothing to stop at; anything else is not guessed at.
#[test]
fn a_journal_that_was_torn_is_gone_on_with_and_one_that_was_changed_is_not() -> Result<()> {
    let (burnt, archives) = burnt_with_archives()?;
    let (machine, pve) = burnt.node("box2")?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let (_, code) = follow(&burnt, &machine, &ticket, |_, step| *step == ("journal-installed".to_owned(), true))?;
    ensure!(code.is_none(), "it ended with {code:?}");
    let path = machine.state().join("recovery/journal");
    let whole = fs::read(&path)?;
    let mut changed = whole.clone();
    *changed.get_mut(100).context("the first line")? ^= 1;
    let mut shorter = whole.clone();
    shorter.drain(..whole.iter().position(|byte| *byte == b'\n').context("a line")? + 1);
    for text in [changed, shorter] {
        fs::write(&path, &text)?;
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let said = ended.said();
        ensure!(ended.code == Some(10) && said.contains("recover --abort"), "{:?}: {said}", ended.code);
        ensure!(fs::read(&path)? == text, "a journal that nobody understands was written to");
        ensure!(pve.has_no_guests()?, "something was restored");
    }
    // Another plan in its place is none.
    let plan = machine.state().join("recovery/plan.json");
    let kept = fs::read(&plan)?;
    fs::write(&path, &whole)?;
    fs::write(&plan, b"{}")?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    ensure!(ended.code == Some(10) && ended.said().contains("is not the one that it has kept"), "{}", ended.said());
    fs::write(&plan, kept)?;

    let mut torn = whole.clone();
    torn.extend_from_slice(&whole[..40]);
    fs::write(&path, torn)?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
    if ended.code != Some(0) {
        bail!("it ended with {:?}:\n{}{}", ended.code, ended.said(), ended.wrote());
    }
    end_state_after_a_kill(&burnt, &machine, &pve, &archives).map(drop)
}
