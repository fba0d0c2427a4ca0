//! Drills of the living box, on real programs: what they prove, what they refuse to call proven, and that
//! nothing of them is left.

mod killed;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tenwords_escrow::code::RecoveryCode;
use tenwords_spikes::{
    process::Run,
    search::Search,
    terminal::numbered_words,
    tree::Tree,
    world::{Machine, World},
};
use zeroize::Zeroizing;

use crate::support::{self, BOX, GROUP, Scene, as_shown, container, joined, protected};

const LONG: Duration = Duration::from_secs(120);
const PROMPT: &str = "The ten words: ";

/// A drill at a terminal; what is told is its exit code and what it showed, without the words.
fn drills(machine: &Machine, arguments: &[&str], typed: &[&str]) -> Result<(u32, String)> {
    let mut terminal = machine.at_terminal(&[&["drill"], arguments].concat())?;
    for words in typed {
        terminal.expect(PROMPT, LONG)?;
        terminal.await_silence(LONG)?;
        terminal.type_line(words)?;
    }
    let (code, shown) = terminal.end(LONG)?;
    Ok((code, typed.iter().fold(shown.to_string(), |shown, words| shown.replace(words, "[the words]"))))
}

/// A drill without a person, the words by a pipe; what is told is its exit code and its report.
fn by_pipe(world: &World, machine: &Machine, arguments: &[&str], words: &str) -> Result<(i32, Value)> {
    let [agent, config] = [&world.programs().agent, &machine.config()].map(|path| path.display().to_string());
    let script = "exec 3<&0 </dev/null; exec \"$@\"";
    let all = ["-c", script, "sh", &agent, "--config", &config, "--json", "drill", "--code-fd", "3"];
    let ended = Run::new("/bin/sh".as_ref(), world.folder())
        .args(all.iter().chain(arguments))
        .envs(&world.environment())
        .input(words.as_bytes())
        .to_end(LONG)?;
    let report = ended.json().with_context(|| ended.said())?;
    Ok((ended.code.context("an exit code")?, report))
}

fn rows(scene: &Scene, statement: &str) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = SqliteConnectOptions::new().filename(scene.hub.data().join("hub.db"));
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect_with(&options).await?;
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(statement.to_owned())).fetch_all(&mut connection).await?)
    })
}

/// The drills that the hub has written down, oldest first, by their level.
fn recorded(scene: &Scene) -> Result<Vec<String>> {
    rows(scene, "SELECT kind FROM drills ORDER BY number")
}

fn remembered(machine: &Machine) -> Result<Value> {
    let path = machine.state().join("drills.json");
    ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "others may read it");
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn scratch(machine: &Machine) -> PathBuf {
    machine.state().join("drill-scratch")
}

fn nothing_is_left(machine: &Machine) -> Result<()> {
    ensure!(!scratch(machine).exists(), "the scratch folder is left");
    machine.left_nothing_in_memory()
}

fn datastore(scene: &Scene) -> Result<Tree> {
    Tree::read(scene.server.folder.as_ref().context("the stand-in's datastore")?)
}

fn other_words() -> RecoveryCode {
    RecoveryCode::draw(&mut UnwrapErr(SysRng))
}

#[test]
fn both_drills_end_well_leave_nothing_and_the_hub_shows_them() -> Result<()> {
    let scene = protected()?;
    let box_1 = &scene.box_1;
    // The typing back was the first one.
    ensure!(recorded(&scene)? == ["words"], "{:?}", recorded(&scene)?);
    let shown = scene.hub.show(BOX)?;
    ensure!(shown["drills"]["words"]["version"] == 1 && shown["drills"]["archive"].is_null(), "{shown}");
    let status = box_1.agent(&["--json", "status"], "")?.with_code(0)?.json()?;
    ensure!(status["drills"]["words"]["reported"] == true && status["drills"]["archive"].is_null(), "{status}");

    let (code, said) = drills(box_1, &["--words"], &[&scene.words])?;
    ensure!(code == 0, "it ended with {code}:\n{said}");
    for text in [
        "The drill is done: these words open code 1",
        "version 1 at the hub",
        "What it proves: these words open the escrow of today, code 1",
        "What it does not prove: that the backups restore.",
        "The hub has written it down",
        "somebody answers",
    ] {
        ensure!(said.contains(text), "`{text}` is not said:\n{said}");
    }
    ensure!(recorded(&scene)? == ["words", "words"]);
    nothing_is_left(box_1)?;

    let before = datastore(&scene)?;
    let live = scene.world.folder().join("container");
    let (code, said) =
        drills(box_1, &["--archive", "--group", GROUP, "--against", &live.display().to_string()], &[&scene.words])?;
    ensure!(code == 0, "it ended with {code}:\n{said}");
    for text in [
        "root.pxar of ct/101/",
        "2 files, ",
        "all 5 entries are the same",
        "it is the one that was signed",
        "What it does not prove: that the other archives come back",
        "The hub has written it down",
    ] {
        ensure!(said.contains(text), "`{text}` is not said:\n{said}");
    }
    ensure!(datastore(&scene)? == before, "something was written to the backup server");
    ensure!(recorded(&scene)? == ["words", "words", "archive"]);
    let shown = scene.hub.show(BOX)?;
    let archive = &shown["drills"]["archive"];
    ensure!(archive["archive"] == "root.pxar" && archive["files"] == 2 && archive["version"] == 1, "{shown}");
    ensure!(archive["snapshot"].as_str().is_some_and(|name| name.starts_with("ct/101/")), "{shown}");
    let kept = remembered(box_1)?;
    ensure!(kept["archive"]["archive"]["bytes"] == archive["bytes"] && kept["words"]["code_number"] == 1, "{kept}");
    let status = box_1.agent(&["status"], "")?.with_code(0)?;
    let said = String::from_utf8_lossy(&status.stdout);
    ensure!(said.contains("  words drill: 20") && said.contains("root.pxar of ct/101/"), "{said}");
    nothing_is_left(box_1)?;

    // Whatever lies on a disk of this world now: no words.
    let mut search = Search::new().for_words(&scene.words);
    search.files(scene.world.folder())?;
    search.files(scene.world.private())?;
    ensure!(search.looked_at().places > 50, "hardly anything was searched");
    ensure!(search.findings().is_empty(), "{:?}", search.findings());
    Ok(())
}

#[test]
fn words_that_open_nothing_are_no_drill() -> Result<()> {
    let scene = protected()?;
    let before = remembered(&scene.box_1)?;
    let wrong = other_words();
    let wrong = wrong.expose_passphrase();
    let (code, said) = drills(&scene.box_1, &["--archive"], &[wrong, wrong, wrong])?;
    ensure!(code == 11, "it ended with {code}:\n{said}");
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--words"], wrong)?;
    ensure!(code == 11 && report["exit_code"] == 11, "{code}: {report}");
    ensure!(recorded(&scene)? == ["words"] && remembered(&scene.box_1)? == before, "it is written down");
    nothing_is_left(&scene.box_1)
}

#[test]
fn a_key_or_source_that_the_escrow_lacks_is_found_and_is_no_drill() -> Result<()> {
    let scene = protected()?;
    let box_1 = &scene.box_1;
    let before = remembered(box_1)?;
    let made = scene.world.folder().join("job/other.enc");
    scene.server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    let former = fs::read(box_1.key_file())?;
    fs::copy(&made, box_1.key_file())?;
    let (code, said) = drills(box_1, &["--words"], &[&scene.words])?;
    ensure!(code == 12, "it ended with {code}:\n{said}");
    for text in ["did NOT end well", "of pbs is not in this escrow: its", "escrow create", "The hub was told nothing"] {
        ensure!(said.contains(text), "`{text}` is not said:\n{said}");
    }
    ensure!(!said.contains("What it proves") && !said.contains("source pbs"), "{said}");

    // The key is back; the source is another.
    fs::write(box_1.key_file(), former)?;
    let text = fs::read_to_string(box_1.config())?;
    fs::write(box_1.config(), text.replace(":store\"", ":elsewhere\""))?;
    let (code, report) = by_pipe(&scene.world, box_1, &["--words"], &scene.words)?;
    ensure!(code == 12, "it ended with {code}: {report}");
    let findings = report["findings"].as_array().context("findings")?;
    ensure!(findings.len() == 1 && findings[0]["what"].as_str().is_some_and(|what| what.contains("source pbs")));
    fs::write(box_1.config(), text)?;
    ensure!(recorded(&scene)? == ["words"] && remembered(box_1)? == before, "it is written down");

    // And the words of an older sheet, which open an escrow that is not the newest.
    box_1.ceremony(as_shown)?;
    let (code, report) = by_pipe(&scene.world, box_1, &["--words"], &scene.words)?;
    ensure!(code == 12, "it ended with {code}: {report}");
    ensure!(report["findings"][0]["what"] == "these are the words of code 1; the newest escrow is under code 2");
    ensure!(recorded(&scene)?.len() == 2, "it is written down beside the two ceremonies");
    Ok(())
}

#[test]
fn a_hub_that_hides_the_newest_version_is_found() -> Result<()> {
    let scene = protected()?;
    // A second version under the same code, which the hub then does not show.
    let mut terminal = scene.box_1.at_terminal(&["escrow", "create", "--keep-code"])?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&scene.words)?;
    let (code, _) = terminal.end(LONG)?;
    ensure!(code == 0, "it ended with {code}");
    ensure!(recorded(&scene)? == ["words", "words"], "a kept code that was typed counts too");
    rows(&scene, "DELETE FROM drills WHERE version = 2").ok();
    for statement in ["DROP TRIGGER drills_no_delete", "DELETE FROM drills WHERE version = 2"] {
        rows(&scene, statement)?;
    }
    support::Disk::of(&scene.hub)?.hide(2)?;
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--words"], &scene.words)?;
    ensure!(code == 12, "it ended with {code}: {report}");
    let what = report["findings"][0]["what"].as_str().context("a finding")?;
    ensure!(what.contains("sequence 1 instead of 2"), "{what}");
    Ok(())
}

#[test]
fn without_an_answer_of_the_hub_the_own_copy_is_opened_and_nothing_is_called_proven() -> Result<()> {
    let mut scene = protected()?;
    let before = remembered(&scene.box_1)?;
    scene.hub.stop()?;
    for level in ["--words", "--archive"] {
        let (code, said) = drills(&scene.box_1, &[level], &[&scene.words])?;
        ensure!(code == 15, "it ended with {code}:\n{said}");
        for text in [
            "did NOT end well: these words open code 1",
            "The words are right. What they opened is this box's own copy",
            "what lies at the hub was not looked at",
            "the hub has NOT written this drill down",
        ] {
            ensure!(said.contains(text), "`{text}` is not said:\n{said}");
        }
        ensure!(said.contains("came back from pbs") == (level == "--archive"), "{said}");
        ensure!(!said.contains("What it proves"), "{said}");
    }
    ensure!(remembered(&scene.box_1)? == before, "it is written down");
    nothing_is_left(&scene.box_1)
}

#[test]
fn a_damaged_archive_does_not_come_back_and_leaves_nothing() -> Result<()> {
    let scene = protected()?;
    let store = scene.server.folder.as_ref().context("the stand-in's datastore")?;
    // A second archive, smaller than the first: it is the one that is chosen.
    let small = scene.world.make("small")?;
    fs::write(small.join("note"), "small")?;
    let own = |before: &[PathBuf]| -> Result<Vec<PathBuf>> {
        Ok(chunks(store)?.into_iter().filter(|chunk| !before.contains(chunk)).collect())
    };
    let before = chunks(store)?;
    let spec = [format!("small.pxar:{}", small.display())];
    scene.server.back_up(&spec, "host/mill", &scene.box_1.key_file())?;
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--archive"], &scene.words)?;
    ensure!(code == 0 && report["archive"]["archive"] == "small.pxar", "{code}: {report}");
    ensure!(report["archive"]["chosen"].as_str().is_some_and(|why| why.contains("smallest of 2")), "{report}");
    let told = recorded(&scene)?;

    for chunk in own(&before)? {
        let mut bytes = fs::read(&chunk)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&chunk, &bytes)?;
    }
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--archive"], &scene.words)?;
    ensure!(code == 14 && report["is_good"] == false, "{code}: {report}");
    let why = report["failed"]["what"].as_str().context("a cause")?;
    ensure!(why.contains("small.pxar of host/mill/") && why.contains("did not come back"), "{why}");
    ensure!(recorded(&scene)? == told, "it is written down");
    nothing_is_left(&scene.box_1)?;

    // The other one still comes back, by its name.
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--archive", "root.pxar"], &scene.words)?;
    ensure!(code == 0 && report["archive"]["archive"] == "root.pxar", "{code}: {report}");
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--archive", "none.pxar"], &scene.words)?;
    ensure!(code == 2 && report["failed"]["remedy"].as_str().is_some_and(|text| text.contains("root.pxar")));
    nothing_is_left(&scene.box_1)
}

#[test]
fn an_image_comes_back_by_its_name_and_a_tree_is_held_beside_where_it_belongs() -> Result<()> {
    let mut scene = joined()?;
    let live = scene.world.make("live")?;
    fs::write(live.join("note"), "live")?;
    let text = fs::read_to_string(scene.box_1.config())?;
    let path = format!("restore_paths = {{ \"host/mill/data.pxar\" = \"{}\" }}\n", live.display());
    fs::write(scene.box_1.config(), text + &path)?;
    scene.words = scene.box_1.ceremony(as_shown)?;
    let key = scene.box_1.key_file();
    let disk = scene.world.write("disk", &[7; 5 << 20])?;
    scene.server.back_up(&[format!("drive-scsi0.img:{}", disk.display())], "vm/100", &key)?;
    let drill = |more: &[&str]| by_pipe(&scene.world, &scene.box_1, &[&["--archive"], more].concat(), &scene.words);

    // An image is large: it is taken only by its name.
    let (code, report) = drill(&["--group", "vm/100"])?;
    let remedy = report["failed"]["remedy"].as_str().context("a remedy")?;
    ensure!(code == 2 && remedy.contains("vm/100 drive-scsi0.img"), "{code}: {report}");
    let (code, report) = drill(&["drive-scsi0.img"])?;
    ensure!(code == 0 && report["archive"]["bytes"] == 5 << 20 && report["archive"]["files"] == 1, "{code}: {report}");
    ensure!(report["archive"]["is_held"] == true && report["archive"]["compared"].is_null(), "{report}");

    scene.server.back_up(&[format!("data.pxar:{}", live.display())], "host/mill", &key)?;
    let (code, report) = drill(&["data.pxar", "--source", "pbs"])?;
    ensure!(code == 0 && report["archive"]["compared"]["with"] == live.display().to_string(), "{code}: {report}");
    ensure!(report["archive"]["compared"]["different"] == 0, "{report}");
    for (arguments, why) in [
        (&["--source", "nowhere"][..], "no source nowhere"),
        (&["--group", "ct/999"], "no source has a snapshot of ct/999"),
    ] {
        let (code, report) = drill(arguments)?;
        ensure!(code == 2 && report["failed"]["what"].as_str().is_some_and(|what| what.contains(why)), "{report}");
    }
    let missing = scene.world.folder().join("missing").display().to_string();
    let (code, report) = drill(&["--against", &missing])?;
    ensure!(code == 2 && report["error"].is_string(), "{code}: {report}");
    nothing_is_left(&scene.box_1)
}

fn chunks(store: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for prefix in fs::read_dir(store.join(".chunks"))? {
        for chunk in fs::read_dir(prefix?.path())? {
            files.push(chunk?.path());
        }
    }
    Ok(files)
}

#[test]
fn a_newer_snapshot_that_nobody_signed_is_passed_over_and_named() -> Result<()> {
    let scene = protected()?;
    let folder = container(&scene.world, "planted", b"planted by the server")?;
    let time = tenwords_protocol::time::Timestamp::now().unix() + 3600;
    let (spec, time) = (format!("root.pxar:{}", folder.display()), time.to_string());
    let arguments =
        ["backup", &spec, "--backup-type", "ct", "--backup-id", "101", "--backup-time", &time, "--crypt-mode", "none"];
    scene.server.run(&arguments)?.with_code(0)?;
    let snapshots = scene.server.snapshots(GROUP)?;
    let live = scene.world.folder().join("container").display().to_string();
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--archive", "--against", &live], &scene.words)?;
    ensure!(code == 0, "it ended with {code}: {report}");
    ensure!(report["archive"]["snapshot"] == snapshots[0].as_str(), "{report}");
    ensure!(report["archive"]["compared"]["different"] == 0, "{report}");
    let planted = snapshots[1].rsplit('/').next().context("a time")?;
    let notes = report["notes"].to_string();
    ensure!(notes.contains("did not prove themselves") && notes.contains(planted), "{notes}");

    // The live tree moves on: a note, and no failure.
    fs::write(scene.world.folder().join("container/etc/hostname"), "another")?;
    fs::write(scene.world.folder().join("container/new"), "new")?;
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--archive", "--against", &live], &scene.words)?;
    ensure!(code == 0 && report["archive"]["compared"]["different"] == 2, "{code}: {report}");
    ensure!(report["archive"]["compared"]["named"].to_string().contains("etc/hostname has another content"));
    Ok(())
}

#[test]
fn a_hub_that_cannot_write_the_first_drill_down_costs_a_warning_and_no_escrow() -> Result<()> {
    let scene = joined()?;
    rows(&scene, "CREATE TRIGGER no BEFORE INSERT ON drills BEGIN SELECT RAISE(ABORT, 'no'); END")?;
    let mut terminal = scene.box_1.at_terminal(&["escrow", "create"])?;
    let shown = terminal.expect("Press Enter when they are written down", LONG)?;
    let words = numbered_words(&shown, 10).context("ten numbered words")?;
    terminal.type_line("")?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&words)?;
    let (code, shown) = terminal.end(LONG)?;
    ensure!(code == 0 && shown.contains("Protected: "), "it ended with {code}");
    ensure!(shown.contains("WARNING: the hub has NOT written this drill down"), "nobody is warned");
    ensure!(scene.box_1.is_protected()?);
    ensure!(remembered(&scene.box_1)?["words"]["reported"] == false);
    Ok(())
}

#[test]
fn a_box_without_a_hub_drills_by_its_own_copy_and_says_that_nobody_was_told() -> Result<()> {
    let scene = joined()?;
    // Never enrolled: the same box with another state.
    fs::remove_file(scene.box_1.state().join("identity.json"))?;
    let kit = scene.box_1.folder().join("box.kit").display().to_string();
    let mut terminal = scene.box_1.at_terminal(&["escrow", "create", "--kit", &kit])?;
    let shown = terminal.expect("Press Enter when they are written down", LONG)?;
    let words: Zeroizing<String> = numbered_words(&shown, 10).context("ten numbered words")?;
    terminal.type_line("")?;
    terminal.expect(PROMPT, LONG)?;
    terminal.await_silence(LONG)?;
    terminal.type_line(&words)?;
    let (code, _) = terminal.end(LONG)?;
    ensure!(code == 0, "it ended with {code}");
    for level in ["--words", "--archive"] {
        let (code, said) = drills(&scene.box_1, &[level], &[&words])?;
        ensure!(code == 0 && said.contains("No hub knows this box: nobody was told of it."), "{code}:\n{said}");
    }
    let kept = remembered(&scene.box_1)?;
    ensure!(kept["words"]["reported"] == false && kept["archive"]["reported"] == false, "{kept}");
    ensure!(recorded(&scene)?.is_empty());
    nothing_is_left(&scene.box_1)
}

#[test]
fn a_command_line_that_does_not_say_which_drill_is_refused() -> Result<()> {
    let scene = joined()?;
    for arguments in [
        &["drill"][..],
        &["drill", "--words", "--archive"],
        &["drill", "--words", "--group", "ct/101"],
        &["drill", "--archive", "--group", "x/1"],
    ] {
        scene.box_1.agent(arguments, "")?.with_code(2)?;
    }
    // Before a ceremony there is nothing that words could open.
    let (code, report) = by_pipe(&scene.world, &scene.box_1, &["--words"], other_words().expose_passphrase())?;
    ensure!(code == 10, "it ended with {code}: {report}");
    Ok(())
}
