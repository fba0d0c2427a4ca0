//! Disks that are full in the midst of it: the target's, the archives', the journal's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::geteuid;
use tenwords_spikes::{
    process::{Ended, Run},
    tree::Tree,
    world::Machine,
};

use crate::{
    guests::Burnt,
    journal::burnt_with_archives,
    support::{BOX, client, command_by_pipe},
};

const LONG: Duration = Duration::from_secs(600);

/// Mounts that nobody else sees, and that go with it.
struct Mounts(Child);

impl Mounts {
    /// Nothing where this may not be made; that is said.
    #[expect(clippy::disallowed_methods, reason = "a child that holds a namespace is started by hand")]
    fn new() -> Result<Option<Self>> {
        let unshare = Path::new("/usr/bin/unshare");
        let tried = Run::new(unshare, Path::new("/")).args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).to_end(LONG);
        if !geteuid().is_root() || !tried.is_ok_and(|tried| tried.code == Some(0)) {
            println!("skipped: no file system may be mounted here, so none can be full");
            return Ok(None);
        }
        let child = std::process::Command::new(unshare)
            .args(["-m", "/bin/sh", "-c", "echo; exec sleep 1800"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut mounts = Self(child);
        let mut out = mounts.0.stdout.take().context("its output")?;
        std::io::Read::read_exact(&mut out, &mut [0])?;
        Ok(Some(mounts))
    }

    /// A program among these mounts.
    fn run(&self, program: &str, arguments: &[String], burnt: &Burnt, input: &[u8]) -> Result<Ended> {
        Run::new("/usr/bin/nsenter".as_ref(), burnt.world.folder())
            .args([format!("--mount=/proc/{}/ns/mnt", self.0.id()), program.to_owned()])
            .args(arguments)
            .envs(&burnt.world.environment())
            .input(input)
            .to_end(LONG)
    }

    /// A file system of so many KiB; one that is there gets that size.
    fn mount(&self, burnt: &Burnt, at: &Path, kib: u32, again: bool) -> Result<()> {
        let size = format!("{}size={kib}k,mode=700", if again { "remount," } else { "" });
        let arguments = ["-t", "tmpfs", "-o", &size, "none", &at.display().to_string()].map(str::to_owned);
        self.run("/bin/mount", &arguments, burnt, b"")?.with_code(0).map(drop)
    }

    /// How a path is seen from outside.
    fn path(&self, path: &Path) -> Result<PathBuf> {
        Ok(Path::new(&format!("/proc/{}/root", self.0.id())).join(path.strip_prefix("/")?))
    }

    fn recover(&self, burnt: &Burnt, machine: &Machine, ticket: &str) -> Result<(Option<i32>, String)> {
        let arguments = command_by_pipe(&burnt.world, machine, ticket, &["--parallel", "1"])?;
        let ended = self.run("/bin/sh", &arguments, burnt, burnt.words.as_bytes())?;
        Ok((ended.code, format!("{}{}", ended.said(), ended.wrote())))
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// There was room when it was looked at. Then somebody else writes, and neither the container, the disk nor
/// the second archive fits.
#[test]
fn storage_and_folder_that_fill_midway_cost_what_did_not_fit_and_the_same_command_brings_it() -> Result<()> {
    let Some(mounts) = Mounts::new()? else { return Ok(()) };
    let (burnt, archives) = burnt_with_archives()?;
    let others = burnt.world.folder().join("others-write");
    fs::write(&others, "")?;
    let folder = burnt.world.folder().join("box2");
    let (images, recovered) = (folder.join("var/lib/vz/images"), folder.join("state/recovered"));
    let fill = |place: &Path| format!("dd if=/dev/zero of='{}/others' bs=4k 2>/dev/null", place.display());
    let script = format!(
        "if [ -e '{}' ]; then case \"$*\" in *' ct/101/'*' root.pxar '*) {} ;; *' host/desk/'*' b.pxar '*) {} ;; esac; fi",
        others.display(),
        fill(&images),
        fill(&recovered)
    );
    let filling = client(&burnt.world, &burnt.server, "filling-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &filling)?;
    fs::create_dir_all(&recovered)?;
    mounts.mount(&burnt, &images, 32 << 10, false)?;
    mounts.mount(&burnt, &recovered, 80 << 10, false)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let (code, shown) = mounts.recover(&burnt, &machine, &ticket)?;
    ensure!(code == Some(14), "recover ended with {code:?}:\n{shown}");
    let (_, missing) = shown.rsplit_once("Not restored:").context("what is missing")?;
    for what in ["ct/101/", "vm/102/", "b.pxar", "No space left on device"] {
        ensure!(missing.contains(what), "{what} is not missing:\n{shown}");
    }
    let seen = |archive: &str| mounts.path(&machine.restored("host/desk", archive));
    ensure!(Tree::read(&seen("a.pxar")?)? == archives[0], "a.pxar is another:\n{shown}");
    ensure!(!seen("b.pxar")?.exists(), "half of b.pxar lies in its place:\n{shown}");

    fs::remove_file(&others)?;
    for place in [&images, &recovered] {
        fs::remove_file(mounts.path(place)?.join("others"))?;
    }
    let (code, shown) = mounts.recover(&burnt, &machine, &ticket)?;
    ensure!(code == Some(0), "recover ended with {code:?}:\n{shown}");
    ensure!(!shown.contains("begun: host/desk a.pxar"), "a.pxar was restored twice:\n{shown}");
    ensure!(Tree::read(&seen("b.pxar")?)? == archives[1], "b.pxar is another:\n{shown}");
    ensure!(Tree::read(&mounts.path(&pve.container_root(101))?)? == burnt.tree, "the container is another:\n{shown}");
    ensure!(fs::read(mounts.path(&pve.disk(102))?)? == burnt.disk, "the disk is another:\n{shown}");
    let mut left: Vec<_> = fs::read_dir(mounts.path(&images)?)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    left.sort();
    ensure!(left == ["101", "102"], "{left:?} lies on the storage");
    Ok(())
}

/// The file system of plan and journal has a page more in each run: it is full at one step after the other.
#[test]
fn a_journal_that_finds_no_room_stops_with_its_remedy_and_goes_on_once_there_is() -> Result<()> {
    let Some(mounts) = Mounts::new()? else { return Ok(()) };
    let (burnt, archives) = burnt_with_archives()?;
    let (machine, pve) = burnt.node("box2")?;
    let kept = machine.state().join("recovery");
    fs::create_dir_all(&kept)?;
    mounts.mount(&burnt, &kept, 4, false)?;
    let others = mounts.path(&kept)?.join("others");
    fs::write(&others, [7; 4096])?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let mut stops = Vec::new();
    for pages in 1.. {
        ensure!(pages < 12, "it does not come to its end: {stops:#?}");
        mounts.mount(&burnt, &kept, 4 * pages, true)?;
        let (code, shown) = mounts.recover(&burnt, &machine, &ticket)?;
        if code == Some(0) {
            break;
        }
        ensure!(matches!(code, Some(10 | 14)), "recover ended with {code:?} at {pages} pages:\n{shown}");
        for sentence in ["No space left on device", "make room there"] {
            ensure!(shown.contains(sentence), "`{sentence}` is not told at {pages} pages:\n{shown}");
        }
        let journal = fs::read(mounts.path(&kept)?.join("journal")).unwrap_or_default();
        ensure!(journal.last().is_none_or(|byte| *byte == b'\n'), "a torn line was left at {pages} pages");
        stops.push((code, journal.len()));
    }
    ensure!(stops.len() > 2, "it was full only at {stops:?}");
    ensure!(Tree::read(&pve.container_root(101))? == burnt.tree, "the container is another");
    ensure!(fs::read(pve.disk(102))? == burnt.disk, "the disk is another");
    for (name, tree) in ["a.pxar", "b.pxar"].iter().zip(&archives) {
        ensure!(Tree::read(&machine.restored("host/desk", name))? == *tree, "{name} is another");
    }
    ensure!(machine.is_protected()?, "it is not protected");
    Ok(())
}
