//! Several guests and archives at once: one that fails stops none, the report has the very command for
//! it, and whoever waits is told how far everything is.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tenwords_spikes::{
    process::{Ended, Run},
    tree::Tree,
    world::{BackupServer, Machine, Pve, World, write_private},
};

use crate::{
    guests::{Burnt, back_up_container, back_up_machine, burnt},
    support::{BOX, by_pipe, client, command_by_pipe, container, harmful},
};

const LONG: Duration = Duration::from_secs(300);

/// Beside container 101 and machine 102 of the burnt node.
struct More {
    container_103: Tree,
    machine_104: Vec<u8>,
    files: [Tree; 3],
}

/// A node with two containers, two machines and two groups of files, one of them with two archives.
fn burnt_with_more() -> Result<(Burnt, More)> {
    let mut more = None;
    let burnt = burnt(|world, server, _, key| {
        let (container_103, machine_104) =
            (back_up_container(world, server, 103, key)?, back_up_machine(world, server, 104, key)?);
        let folders = ["a", "b", "c"].map(|name| container(world, &format!("files-{name}"), name.as_bytes()));
        let [a, b, c] = folders;
        let (a, b, c) = (a?, b?, c?);
        let specs = |folders: &[(&str, &PathBuf)]| {
            folders.iter().map(|(name, folder)| format!("{name}.pxar:{}", folder.display())).collect::<Vec<_>>()
        };
        server.back_up(&specs(&[("a", &a), ("b", &b)]), "host/both", key)?;
        server.back_up(&specs(&[("c", &c)]), "host/other", key)?;
        more = Some(More { container_103, machine_104, files: [Tree::read(&a)?, Tree::read(&b)?, Tree::read(&c)?] });
        Ok(())
    })?;
    Ok((burnt, more.context("what else was backed up")?))
}

/// How many may run at once on this machine.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

/// Waits in a client's script until there is such a file, and fails if it never comes.
fn wait_for(file: &Path) -> String {
    format!("n=0; until [ -e '{0}' ]; do n=$((n+1)); [ $n -lt 6000 ] || exit 70; sleep 0.02; done", file.display())
}

/// The command that the report names for what is missing.
fn command_for<'t>(told: &'t str, what: &str) -> Result<&'t str> {
    let after = told.rsplit_once("Not restored:").context("nothing is missing")?.1;
    let after = after.split_once(what).with_context(|| format!("{what} is not missing:\n{told}"))?.1;
    let command = after.split_once("or this alone: `").and_then(|(_, rest)| rest.split_once('`'));
    Ok(command.with_context(|| format!("no command for {what}:\n{told}"))?.0)
}

fn by_hand(world: &World, command: &str) -> Result<Ended> {
    Run::new("/bin/sh".as_ref(), world.folder()).args(["-c", command]).envs(&world.environment()).to_end(LONG)
}

/// Two guests wait for each other, and two archives do: one after the other would never end. A container
/// and an archive fail, and come back by the commands that the report names for them.
#[test]
fn several_come_back_at_once_and_what_fails_is_named_with_its_command() -> Result<()> {
    let (burnt, more) = burnt_with_more()?;
    let base = burnt.world.folder().join("turns");
    fs::create_dir(&base)?;
    let mended = base.join("mended");
    let (at_once, there) = (cores() >= 2, base.display());
    let meet = |mine: &str, other: &str| match at_once {
        true => format!("touch '{there}/{mine}'\n{}", wait_for(&base.join(other))),
        false => String::new(),
    };
    let script = format!(
        "case \"$*\" in\n\
         *' ct/101/'*' root.pxar '*) {} ;;\n\
         *' ct/103/'*' root.pxar '*) {}; [ -e '{mended}' ] || {{ echo 'Error: it breaks' >&2; exit 255; }} ;;\n\
         *' host/both/'*' a.pxar '*) {} ;;\n\
         *' host/both/'*' b.pxar '*) {} ;;\n\
         *' host/other/'*' c.pxar '*) [ -e '{mended}' ] || {{ echo 'Error: it breaks too' >&2; exit 255; }} ;;\n\
         esac",
        meet("101", "103"),
        meet("103", "101"),
        meet("a", "b"),
        meet("b", "a"),
        mended = mended.display(),
    );
    let meeting = client(&burnt.world, &burnt.server, "meeting-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &meeting)?;
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &[])?, &[], &burnt.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?}:\n{told}", ended.code);

    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "container 101 is another:\n{told}");
    ensure!(fs::read(pve.disk(102))? == burnt.disk, "the disk of 102 is another:\n{told}");
    ensure!(fs::read(pve.disk(104))? == more.machine_104, "the disk of 104 is another:\n{told}");
    for (name, tree) in [("a.pxar", &more.files[0]), ("b.pxar", &more.files[1])] {
        ensure!(Tree::read(&machine.restored("host/both", name))? == *tree, "{name} is another:\n{told}");
    }
    ensure!(!pve.container_root(103).exists(), "something of 103 lies there:\n{told}");
    ensure!(!machine.restored("host/other", "c.pxar").exists(), "something of host/other lies there:\n{told}");
    // The report is in the plan's order, whoever was done first.
    let wrote = ended.wrote();
    let places: Vec<_> = ["ct 101, stopped", "vm 102, stopped", "vm 104, stopped", "a.pxar -> ", "b.pxar -> "]
        .iter()
        .map(|line| wrote.find(line).with_context(|| format!("`{line}` is not told:\n{told}")))
        .collect::<Result<_>>()?;
    ensure!(places.is_sorted(), "the report has another order than the plan:\n{told}");

    fs::write(&mended, "")?;
    let guest = command_for(&told, "ct/103/")?;
    by_hand(&burnt.world, guest)?.with_code(0).with_context(|| guest.to_owned())?;
    ensure!(Tree::read(&pve.container_root(103))? == more.container_103, "by hand, container 103 is another");
    let archive = command_for(&told, "host/other/")?;
    by_hand(&burnt.world, archive)?.with_code(0).with_context(|| archive.to_owned())?;
    ensure!(Tree::read(&machine.restored("host/other", "c.pxar"))? == more.files[2], "by hand, c.pxar is another");
    machine.left_nothing_in_memory()
}

/// `--parallel 1` is the plan's order, one after the other; the number is one that this machine has cores for.
#[test]
fn one_at_a_time_goes_by_the_plan_and_no_more_than_there_are_cores_are_taken() -> Result<()> {
    let (burnt, _) = burnt_with_more()?;
    let log = burnt.world.folder().join("log");
    // What runs beside something else stands in the log between its two lines.
    let script = format!(
        "case \"$*\" in *.pxar*) for word in \"$@\"; do case \"$word\" in ct/*|host/*) group=${{word%/*}} ;; *.pxar) \
         [ -n \"$name\" ] || name=$word ;; esac; done\n\
         echo \"begins $group $name\" >>'{0}'; \"$CLIENT\" \"$@\"; end=$?; echo \"ends $group $name\" >>'{0}'; exit $end ;; esac",
        log.display()
    );
    let logging = client(&burnt.world, &burnt.server, "logging-client", &script)?;
    let (machine, _) = burnt.node_with("box2", &logging)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    for wrong in ["0", "-1", "x", "", &format!("{}", cores() + 1), "99999999999999999999999"] {
        let number = format!("--parallel={wrong}");
        let ended = machine.agent(&["recover", &number], "")?.with_code(2)?;
        let said = ended.said();
        ensure!(said.contains(&format!("from 1 to {}", cores())), "{wrong:?}: {said}");
    }
    let ended = by_pipe(&burnt.world, &machine, &ticket, &["--parallel", "1"], &burnt.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    let restored: Vec<String> = fs::read_to_string(&log)?.lines().map(str::to_owned).collect();
    let expected: Vec<String> =
        ["ct/101 root.pxar", "ct/103 root.pxar", "host/both a.pxar", "host/both b.pxar", "host/other c.pxar"]
            .iter()
            .flat_map(|what| [format!("begins {what}"), format!("ends {what}")])
            .collect();
    ensure!(restored == expected, "{restored:#?} instead of {expected:#?}");
    // And the one who waits is told so, in a line for each.
    let lines: Vec<String> = ended
        .said()
        .lines()
        .filter(|line| line.starts_with("begun: ") || line.starts_with("back: "))
        .map(str::to_owned)
        .collect();
    let names = ["ct/101", "ct/103", "vm/102", "vm/104", "host/both a.pxar", "host/both b.pxar", "host/other c.pxar"];
    let expected = names.iter().flat_map(|name| [format!("begun: {name} ("), format!("back: {name} (")]);
    ensure!(lines.len() == 2 * names.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        ensure!(line.starts_with(&expected), "`{line}` instead of `{expected}…`: {lines:#?}");
    }
    Ok(())
}

/// A recovery without a terminal, its standard error in a file that a client's script can read.
fn into_a_file(burnt: &Burnt, machine: &Machine, said: &Path, more: &[&str]) -> Result<Ended> {
    let mut arguments = command_by_pipe(&burnt.world, machine, &burnt.hub.arm(BOX, &[])?, more)?;
    arguments[1] = format!("exec 3<&0 </dev/null 2>'{}'; exec \"$@\"", said.display());
    Run::new("/bin/sh".as_ref(), burnt.world.folder())
        .args(arguments)
        .envs(&burnt.world.environment())
        .input(burnt.words.as_bytes())
        .to_end(LONG)
}

/// A client that restores files only after such a line was told.
fn waiting_client(burnt: &Burnt, name: &str, said: &Path, line: &str) -> Result<PathBuf> {
    let script = format!(
        "case \"$*\" in *' root.pxar '*) n=0; until grep -qa '{line}' '{}'; do n=$((n+1)); [ $n -lt 600 ] || exit 70; \
         sleep 0.1; done ;; esac",
        said.display()
    );
    client(&burnt.world, &burnt.server, name, &script)
}

/// Without a terminal: a plain line every ten seconds, with the thing and the whole. The restore goes on only
/// once such a line was told.
#[test]
fn without_a_terminal_a_plain_line_is_told_now_and_then_with_the_thing_and_the_whole() -> Result<()> {
    let burnt = burnt(|_, _, _, _| Ok(()))?;
    let said = burnt.world.folder().join("said");
    let line = "^all: .* of .*; . of 2 back; ct/101: .* of ";
    let waiting = waiting_client(&burnt, "waiting-client", &said, line)?;
    let (machine, pve) = burnt.node_with("box2", &waiting)?;
    let ended = into_a_file(&burnt, &machine, &said, &[])?;
    let told = fs::read_to_string(&said)?;
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}{}", ended.code, ended.wrote());
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "container 101 is another");
    ensure!(!harmful(&told) && !told.contains('\r'), "{told:?}");
    Ok(())
}

/// For a program: JSON lines on standard error while it goes on, one JSON document on standard output at the
/// end, and nothing else on either.
#[test]
fn with_json_how_far_it_is_comes_as_json_lines_beside_the_one_document() -> Result<()> {
    let burnt = burnt(|_, _, _, _| Ok(()))?;
    let said = burnt.world.folder().join("said");
    let waiting = waiting_client(&burnt, "waiting-client", &said, "\"event\":\"progress\".*\"name\":\"ct/101\"")?;
    let (machine, _) = burnt.node_with("box2", &waiting)?;
    let ended = into_a_file(&burnt, &machine, &said, &["--json"])?;
    let told = fs::read_to_string(&said)?;
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}{}", ended.code, ended.wrote());
    let report = ended.json()?;
    ensure!(report["guests"].as_array().is_some_and(|guests| guests.len() == 2), "{report}");

    let lines: Vec<Value> =
        told.lines().map(serde_json::from_str).collect::<Result<_, _>>().with_context(|| told.clone())?;
    ensure!(lines.iter().all(|line| line["v"] == 1), "{told}");
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let turns: Vec<_> =
        of("item").iter().map(|line| format!("{} {} {}", line["item"], line["name"], line["state"])).collect();
    for expected in
        ["1 \"ct/101\" \"begun\"", "1 \"ct/101\" \"back\"", "2 \"vm/102\" \"begun\"", "2 \"vm/102\" \"back\""]
    {
        ensure!(turns.iter().any(|turn| turn == expected), "`{expected}` is not in {turns:?}");
    }
    let progress = of("progress");
    ensure!(!progress.is_empty() && progress.len() + turns.len() == lines.len(), "{told}");
    for line in progress {
        let number = |value: &Value| value.as_u64().with_context(|| format!("no number in {line}"));
        ensure!(number(&line["bytes"])? <= number(&line["of"])? && number(&line["count"])? == 2, "{line}");
        for running in line["running"].as_array().context("what runs")? {
            ensure!(number(&running["bytes"])? <= number(&running["of"])?, "{line}");
        }
    }
    Ok(())
}

/// As many as may run at once are in the midst of it when the command is told to end: none of their
/// processes goes on, nothing is left by halves, and the same command begins anew.
#[test]
fn an_interrupt_ends_everything_that_runs_at_once_and_the_same_command_brings_it_back() -> Result<()> {
    let (burnt, more) = burnt_with_more()?;
    let at_once = cores().min(3);
    let hung = burnt.world.folder().join("hung");
    fs::create_dir(&hung)?;
    let held = burnt.world.folder().join("held");
    fs::write(&held, "")?;
    // Containers and files hang; machines, whose disks no client restores, pass.
    let script = format!(
        "case \"$*\" in *'.pxar '*) if [ -e '{}' ]; then echo $$ >'{1}/new.'$$; mv '{1}/new.'$$ '{1}/'$$; exec sleep 600; fi ;; esac",
        held.display(),
        hung.display()
    );
    let hanging = client(&burnt.world, &burnt.server, "hanging-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &hanging)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let file = machine.folder().join("ticket");
    write_private(&file, ticket.as_bytes())?;
    let number = at_once.to_string();
    let mut terminal =
        machine.at_terminal(&["recover", "--ticket-file", &file.display().to_string(), "--parallel", &number])?;
    terminal.expect("The ten words: ", LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&burnt.words)?;
    terminal.expect("Does this fit? [y/n] ", LONG)?;
    terminal.type_line("y")?;
    let pids = begun(&hung, at_once)?;
    // A bar for what runs, and below it one for all.
    terminal.expect("ct/101: ", LONG)?;
    terminal.expect("; 0 of 7 back", LONG)?;
    let id = terminal.process_id().context("the agent runs")?;
    kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 130, "it ended with {code}:\n{}", *shown);
    for pid in pids.iter().chain(&begun(&hung, at_once)?) {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(state.is_empty() || state.contains(") Z "), "a client runs on: {state}");
    }
    // Where one alone ran, nothing else had begun; where two did, the machines had not.
    ensure!(shown.contains("interrupted before it began"), "what was not begun is not named:\n{}", *shown);
    for vmid in [101, 103] {
        ensure!(!pve.container_root(vmid).exists(), "a half of {vmid} is left:\n{}", *shown);
        ensure!(pve.container_config(vmid).is_err(), "a configuration of {vmid} is left:\n{}", *shown);
    }
    machine.left_nothing_in_memory()?;

    fs::remove_file(&held)?;
    let ended = by_pipe(&burnt.world, &machine, &ticket, &["--parallel", &number], &burnt.words)?;
    ensure!(ended.code == Some(0), "the second run ended with {:?}:\n{}", ended.code, told(&ended));
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "container 101 is another");
    ensure!(Tree::read(&pve.container_root(103))? == more.container_103, "container 103 is another");
    ensure!(Tree::read(&machine.restored("host/other", "c.pxar"))? == more.files[2], "c.pxar is another");
    Ok(())
}

/// The processes that hang, once there are so many.
fn begun(hung: &Path, count: usize) -> Result<Vec<i32>> {
    let until = Instant::now() + LONG;
    loop {
        let names: Vec<String> = fs::read_dir(hung)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        let pids: Vec<i32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        if pids.len() >= count {
            return Ok(pids);
        }
        if Instant::now() >= until {
            bail!("{} of {count} restores have begun", pids.len());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Two storages on one datastore: what is no guest comes once, and the note says from where.
#[test]
fn a_group_that_two_sources_have_of_one_datastore_comes_once() -> Result<()> {
    let mut tree = None;
    let burnt = burnt(|world: &World, server: &BackupServer, pve: &Pve, key: &Path| {
        pve.add_storage("zz", server, key)?;
        let folder = container(world, "files", b"what is no guest")?;
        server.back_up(&[format!("files.pxar:{}", folder.display())], "host/files", key)?;
        tree = Some(Tree::read(&folder)?);
        Ok(())
    })?;
    let (machine, pve) = burnt.node("box2")?;
    let ended = by_pipe(&burnt.world, &machine, &burnt.hub.arm(BOX, &[])?, &[], &burnt.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(0), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(Some(Tree::read(&machine.restored("host/files", "files.pxar"))?) == tree, "the files are others");
    ensure!(!machine.state().join("recovered/zz").exists(), "it came twice:\n{told}");
    ensure!(told.contains("source pbs has the same group of the same datastore"), "{told}");
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "container 101 is another");
    Ok(())
}
