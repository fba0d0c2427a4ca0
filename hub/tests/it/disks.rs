//! S17: the hub's disk is full, has no inode left, or takes no more writes. What is there is served; what cannot be kept is
//! refused; and nothing that was acknowledged is lost.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use reqwest::StatusCode;
use tenwords_hub::Limits;
use tenwords_protocol::{
    boxes::PushReply, fingerprint::Fingerprint, id::BoxId, part::PartName, problem::ProblemCode, version::Bundle,
};

use crate::support::{Machine, Operator, Place, TestHub, Words, bundle, enrolled_box, expect, expect_problem};

/// A file system that is this test's own.
struct Disk {
    at: PathBuf,
    /// Where its image lies, if it has one.
    image: Option<PathBuf>,
}

impl Disk {
    /// In memory, with these limits. Nothing where this may not be done.
    fn in_memory(at: &Path, limits: &str) -> Option<Self> {
        match mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(limits)) {
            Ok(()) => Some(Self { at: at.to_owned(), image: None }),
            Err(error) => {
                eprintln!("*** SKIPPED: no small file system can be mounted: {error} ***");
                None
            }
        }
    }

    /// Of ext4, which takes no more writes after an error, as Debian mounts it.
    fn of_ext4(at: &Path, image: PathBuf) -> Option<Self> {
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let is_made = is_done(Command::new("mkfs.ext4").arg("-q").arg(&image)) && mounts(&image, at);
        is_made.then(|| Self { at: at.to_owned(), image: Some(image) })
    }

    /// Has the kernel meet an error on it; whether it can be made to.
    fn breaks(&self) -> bool {
        let shown = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.at).output().unwrap();
        let device = String::from_utf8(shown.stdout).unwrap();
        let device = device.trim().trim_start_matches("/dev/");
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        let broken = fs::write(&trigger, "1");
        broken.inspect_err(|error| eprintln!("*** SKIPPED: {}: {error} ***", trigger.display())).is_ok()
    }

    /// As after a restart of the machine.
    fn is_mounted_anew(&self) {
        umount2(&self.at, MntFlags::empty()).unwrap();
        assert!(self.image.as_ref().is_some_and(|image| mounts(image, &self.at)));
    }

    /// Leaves no room at all, and tells what takes it.
    fn fill(&self) -> PathBuf {
        let path = self.at.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }

    /// Leaves room, and no inode.
    fn fill_with_files(&self) -> PathBuf {
        let folder = self.at.join("files");
        fs::create_dir(&folder).unwrap();
        let mut number = 0_u64;
        while File::create(folder.join(number.to_string())).is_ok() {
            number += 1;
        }
        assert!(number > 0, "there was no inode at all");
        folder
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        umount2(&self.at, MntFlags::MNT_DETACH).unwrap();
        let _removed_already = fs::remove_dir(&self.at);
    }
}

fn mounts(image: &Path, at: &Path) -> bool {
    is_done(Command::new("mount").args(["-t", "ext4", "-o", "loop,errors=remount-ro"]).arg(image).arg(at))
}

fn is_done(command: &mut Command) -> bool {
    let why = match command.output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("*** SKIPPED: no file system of ext4 can be mounted: {why} ***");
    false
}

fn large(box_id: BoxId, fill: u8) -> Bundle {
    let key = PartName::Key(Fingerprint::from_bytes([7; 32]));
    let parts = BTreeMap::from([(PartName::Root, vec![fill; 900 << 10]), (key, b"a key file".to_vec())]);
    bundle(box_id, u64::from(fill), parts)
}

/// What it has is served, for as long as nothing can be written.
async fn serves(hub: &TestHub, machine: &Machine, box_id: BoxId, versions: u64) {
    assert!(machine.reads().await);
    let part = machine.of_box(&format!("/versions/{versions}/parts/root.age"));
    assert_eq!(machine.get(&part).await.status(), StatusCode::OK);
    assert_eq!(Operator::of(hub).show(box_id).await.versions, versions);
}

async fn is_sound(hub: &TestHub) {
    let store = hub.store().await;
    assert!(store.verify_audit().await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_full_disk_refuses_what_it_cannot_keep_and_serves_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::in_memory(dir.path(), "size=6m,mode=700") else { return };
    let hub = TestHub::start_in(dir, Place::sqlite(), Limits::default()).await;
    let (box_id, machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let filler = disk.fill();
    for fill in 2..5 {
        expect_problem(machine.try_push(&large(box_id, fill)).await, ProblemCode::Unavailable).await;
        hub.clock.forward(120);
        serves(&hub, &machine, box_id, 1).await;
    }
    fs::remove_file(filler).unwrap();
    assert_eq!(machine.push(&large(box_id, 9)).await.number.get(), 2);
    is_sound(&hub).await;
    drop(hub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_without_an_inode_nothing_is_lost_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::in_memory(dir.path(), "size=32m,nr_inodes=64,mode=700") else { return };
    let mut hub = TestHub::start_in(dir, Place::sqlite(), Limits::default()).await;
    let (box_id, mut machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    let files = disk.fill_with_files();
    let mut versions = 1;
    for fill in 2..5 {
        let response = machine.try_push(&large(box_id, fill)).await;
        // A store that needs no new file may go on; one that does says so.
        if response.status() == StatusCode::CREATED {
            versions += 1;
            assert_eq!(expect::<PushReply>(response, StatusCode::CREATED).await.number.get(), versions);
        } else {
            expect_problem(response, ProblemCode::Unavailable).await;
        }
        hub.clock.forward(120);
        serves(&hub, &machine, box_id, versions).await;
    }
    fs::remove_dir_all(files).unwrap();
    hub.restart().await;
    machine.again(&hub);
    serves(&hub, &machine, box_id, versions).await;
    assert_eq!(machine.push(&large(box_id, 9)).await.number.get(), versions + 1);
    is_sound(&hub).await;
    drop(hub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_disk_that_takes_no_more_writes_is_read_and_nothing_is_acknowledged() {
    let (dir, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(disk) = Disk::of_ext4(dir.path(), beside.path().join("image")) else { return };
    let mut hub = TestHub::start_in(dir, Place::sqlite(), Limits::default()).await;
    let (box_id, mut machine) = enrolled_box(&hub, "alpha", Words(1)).await;
    assert_eq!(machine.push(&large(box_id, 2)).await.number.get(), 2);
    if !disk.breaks() {
        return drop(hub);
    }
    assert!(File::create(disk.at.join("x")).is_err(), "it takes writes");
    for fill in 3..6 {
        expect_problem(machine.try_push(&large(box_id, fill)).await, ProblemCode::Unavailable).await;
        hub.clock.forward(120);
        serves(&hub, &machine, box_id, 2).await;
    }
    hub.restart_with(|| disk.is_mounted_anew()).await;
    machine.again(&hub);
    serves(&hub, &machine, box_id, 2).await;
    assert_eq!(machine.push(&large(box_id, 9)).await.number.get(), 3);
    is_sound(&hub).await;
    drop(hub);
}
