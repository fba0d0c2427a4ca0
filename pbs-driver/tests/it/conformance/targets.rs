//! What goes wrong on our side of a restore: no room, no right, somebody's signal, a client that
//! stops in the middle.

use std::{env, fs, io, path::Path, process::Command, time::Duration};

use pbs_driver::{DriverError, Failure, Limits, restore};

use super::{
    data::{Made, failure, on},
    mount::Mount,
};
use crate::place::rerun;

pub(super) fn targets(mount: &Mount) {
    let made = Made::new(mount, "targets");
    unusable(mount, &made);
    interrupted(mount, &made);
    mount.place.assert_clean();
}

fn unusable(mount: &Mount, made: &Made) {
    let (client, scratch) = (&mount.client, mount.place.scratch());
    let inside_a_file = scratch.join("box.conf/inside");
    let result = restore::file(client, &made.request(&made.conf), &inside_a_file, &mut on);
    assert!(matches!(result, Err(DriverError::Io { .. })), "{result:?}");
    let nowhere = Path::new("/proc/tenwords");
    let restored = failure(restore::tree(client, &made.request(&made.pxar), nowhere, &mut on));
    assert!(matches!(restored, Failure::TargetUnusable { .. }), "{restored:?}");
    let result = restore::file(client, &made.request(&made.conf), nowhere, &mut on);
    assert!(matches!(result, Err(DriverError::Io { .. })), "{result:?}");
}

/// By us, by somebody else's signal; and a client that stands still in the middle.
fn interrupted(mount: &Mount, made: &Made) {
    let (client, scratch) = (&mount.client, mount.place.scratch());
    let target = scratch.join("stopped.raw");
    let mut stop = |_| std::ops::ControlFlow::Break(());
    // The archive is larger than every pipe: the client cannot be done before it is stopped.
    let mut held = Signalled { mark: made.key_file.display().to_string(), signal: None, received: 0 };
    assert_eq!(failure(restore::stream(client, &made.request(&made.disk), &mut held, &mut stop)), Failure::Interrupted);
    assert!(!target.exists());

    let mut killed = Signalled { signal: Some("TERM"), ..held };
    let result = restore::stream(client, &made.request(&made.disk), &mut killed, &mut on);
    assert_eq!(failure(result), Failure::Interrupted);

    let impatient = client.clone().with_limits(Limits { stall: Duration::from_secs(2), ..*client.limits() });
    let mut still = Signalled { signal: Some("STOP"), ..killed };
    let result = restore::stream(&impatient, &made.request(&made.disk), &mut still, &mut on);
    assert_eq!(failure(result), Failure::TimedOut { waiting_for: "a sign of work" });
}

/// A receiver that sends the client a signal when the first bytes have come.
struct Signalled {
    /// What only this client's command line holds.
    mark: String,
    signal: Option<&'static str>,
    received: usize,
}

impl io::Write for Signalled {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Some(signal) = self.signal.take() {
            let pid = process_with(&self.mark).ok_or(io::ErrorKind::NotFound)?;
            let sent = Command::new("kill").args(["-s", signal, &pid]).status()?;
            assert!(sent.success());
        }
        self.received += piece.len();
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn process_with(mark: &str) -> Option<String> {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let ours = pid.bytes().all(|byte| byte.is_ascii_digit());
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if ours && String::from_utf8_lossy(&line).contains(mark) {
            return Some(pid);
        }
    }
    None
}

/// Runs the test `inside` of this binary where it may mount a file system that nobody else sees.
pub(super) fn with_a_small_disk(inside: &str) {
    if let Some(wrapper) = where_it_may_mount("disk full") {
        rerun(inside, wrapper, &[(INSIDE, "1")]);
    }
}

/// The program that gives its child mounts of its own, or a line that says why not.
pub(super) fn where_it_may_mount(half: &str) -> Option<&'static [&'static str]> {
    let wrapper: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &["unshare", "--mount", "--propagation", "private"],
        false => &["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"],
    };
    let may = Command::new(wrapper[0]).args(&wrapper[1..]).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if may.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(wrapper);
    }
    println!("SKIPPED ({half}): no file system may be mounted here: {may:?}");
    None
}

/// Whether this process was started by [`with_a_small_disk`].
pub(super) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// No room for a tree, none for a file.
pub(super) fn disk_full(mount: &Mount) {
    let made = Made::new(mount, "disk");
    let small = mount.place.scratch().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&small).status().unwrap();
    assert!(mounted.success());
    let tree = failure(restore::tree(&mount.client, &made.request(&made.pxar), &small.join("tree"), &mut on));
    assert_eq!(tree, Failure::DiskFull);
    assert!(!small.join("tree").exists());
    let file = small.join("disk.raw");
    assert_eq!(failure(restore::file(&mount.client, &made.request(&made.disk), &file, &mut on)), Failure::DiskFull);
    assert!(!file.exists());
    let unmounted = Command::new("umount").arg(&small).status().unwrap();
    assert!(unmounted.success());
    mount.place.assert_clean();
}

const INSIDE: &str = "TENWORDS_TEST_MAY_MOUNT";
