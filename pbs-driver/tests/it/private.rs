//! The private folder: what is taken, what is refused, what is left.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use pbs_driver::{PrivateDir, PrivateError};

use crate::place::Place;

fn folder(parent: &str, mode: u32) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("tenwords-private-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempdir_in(parent)
        .unwrap()
}

#[test]
fn a_plain_disk_is_refused_with_a_sentence_that_helps() {
    // The target directory: on a disk wherever this is built.
    let disk = folder(env!("CARGO_TARGET_TMPDIR"), 0o700);
    let error = PrivateDir::open(disk.path()).unwrap_err();
    assert!(matches!(error, PrivateError::OnDisk { .. }), "{error:?}");
    assert!(error.to_string().contains("not on a tmpfs"), "{error}");
    assert!(error.remedy().contains("/run") && error.remedy().contains("0700"));
}

#[test]
fn a_closed_folder_on_a_tmpfs_is_taken() {
    let shm = folder("/dev/shm", 0o700);
    let private = PrivateDir::open(shm.path()).unwrap();
    let made = PrivateDir::open_or_create(private.path().join("sub")).unwrap();
    assert_eq!(fs::metadata(made.path()).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_folder_that_others_can_open_is_refused() {
    for mode in [0o755, 0o750, 0o701, 0o600, 0o1700, 0o2700] {
        let shm = folder("/dev/shm", 0o700);
        fs::set_permissions(shm.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(PrivateDir::open(shm.path()), Err(PrivateError::Mode { .. })), "{mode:o}");
    }
}

#[test]
fn what_is_no_folder_of_ours_is_refused() {
    let shm = folder("/dev/shm", 0o700);
    fs::write(shm.path().join("file"), b"").unwrap();
    symlink(shm.path(), shm.path().join("link")).unwrap();
    for name in ["file", "link", "nothing"] {
        assert!(matches!(PrivateDir::open(shm.path().join(name)), Err(PrivateError::Io { .. })), "{name}");
    }
    assert!(matches!(PrivateDir::open("relative"), Err(PrivateError::Relative { .. })));
}

#[test]
fn somebody_elses_folder_is_refused() {
    let shm = folder("/dev/shm", 0o700);
    if Command::new("chown").arg("65534").arg(shm.path()).output().is_ok_and(|output| output.status.success()) {
        assert!(matches!(PrivateDir::open(shm.path()), Err(PrivateError::Owner { owner: 65534, .. })));
    } else {
        // Not root: the other side of the same question. /dev/shm itself is root's.
        assert!(matches!(PrivateDir::open("/dev/shm"), Err(PrivateError::Owner { owner: 0, .. })));
    }
}

#[test]
fn files_are_closed_and_never_replaced() {
    let place = Place::new();
    let folder = place.private.folder().unwrap();
    let path = folder.write("k", b"secret").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o7777, 0o700);
    assert!(folder.write("k", b"other").is_err());
    assert_eq!(*folder.read("k", 6).unwrap(), b"secret");
    assert!(folder.read("k", 5).is_err());
    folder.close().unwrap();
    place.assert_clean();
}

#[test]
fn what_is_dropped_is_zeroed_first() {
    let place = Place::new();
    let folder = place.private.folder().unwrap();
    let deep = folder.subfolder("deep").unwrap();
    let path = folder.write("k", b"secret").unwrap();
    // A second name keeps the content alive, so that what was done to it can be seen.
    let outside = place.private.path().join("outside");
    fs::hard_link(&path, &outside).unwrap();
    fs::write(deep.join("x"), b"y").unwrap();
    fs::set_permissions(&deep, fs::Permissions::from_mode(0o500)).unwrap();
    symlink("/etc/passwd", folder.path().join("link")).unwrap();
    drop(folder);
    assert_eq!(fs::read(&outside).unwrap(), [0; 6]);
    assert!(Path::new("/etc/passwd").metadata().unwrap().len() > 0);
    fs::remove_file(&outside).unwrap();
    place.assert_clean();
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_lives_is_not() {
    let place = Place::new();
    let alive = place.private.folder().unwrap();
    let living = alive.write("k", b"secret").unwrap();
    // What a killed process leaves: a folder that nobody holds.
    let stale = place.private.path().join("work-stale");
    fs::create_dir(&stale).unwrap();
    fs::write(stale.join("k"), b"secret").unwrap();
    let foreign = place.private.path().join("other");
    fs::create_dir(&foreign).unwrap();
    PrivateDir::open(place.private.path()).unwrap();
    assert!(!stale.exists());
    assert!(living.exists() && foreign.exists());
    fs::remove_dir(foreign).unwrap();
    drop(alive);
    place.assert_clean();
}

#[test]
fn a_tmpfs_mounted_for_us_alone_is_taken() {
    let dir = folder(env!("CARGO_TARGET_TMPDIR"), 0o700);
    let script = r#"mount -t tmpfs -o mode=0700,size=8m,nosuid,nodev,noexec tmpfs "$0" || exit 77
exec "$1" --exact private::inner_open_given --nocapture"#;
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .env("TENWORDS_PRIVATE", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !text.contains("1 passed") && !text.contains("panicked") {
        println!("SKIPPED a_tmpfs_mounted_for_us_alone_is_taken: no user namespaces here ({})", text.trim());
        return;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Run by the test above, inside its mount.
#[test]
fn inner_open_given() {
    if let Some(path) = std::env::var_os("TENWORDS_PRIVATE") {
        let private = PrivateDir::open(Path::new(&path)).unwrap();
        private.folder().unwrap().write("k", b"secret").unwrap();
    }
}
