//! What a service logs goes to the journal with its fields, and has no secret among them.
//!
//! The journal's socket has one fixed place, so that the daemon runs with mounts of its own, in which another socket
//! lies there.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tenwords_spikes::{process::Run, world::write_private};

use crate::{
    daemon::{Daemon, has_no_secret, until},
    support::{protected, versions},
};

/// Becomes what is named behind the folder, with that folder as the journal's, and standard error connected to it as
/// systemd says that it is.
const AMONG: &str = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
    mount --bind \"$1\" /run/systemd/journal && shift && \
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) && export JOURNAL_STREAM && exec \"$@\"";
const UNSHARE: &str = "/usr/bin/unshare";
/// What ends the reader.
const END: &[u8] = b"no more";
const LONG: Duration = Duration::from_secs(60);

/// The journal's place, and what was sent there, datagram by datagram.
struct Journal {
    folder: TempDir,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    reader: Option<JoinHandle<()>>,
}

type Entry = BTreeMap<String, String>;

impl Journal {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("socket"))?;
        let sent = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let inside = Arc::clone(&sent);
        // Few datagrams have room in a socket, and whoever logs waits for it.
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while let Ok(read) = socket.recv(&mut buffer)
                && &buffer[..read] != END
            {
                // With an empty one a logger tries whether anybody is there.
                if read > 0 {
                    locked(&inside).push(buffer[..read].to_vec());
                }
            }
        });
        Ok(Self { folder, sent, reader: Some(reader) })
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        locked(&self.sent).iter().map(|datagram| entry(datagram)).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        locked(&self.sent).concat()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(END, self.folder.path().join("socket")));
        if let Some(reader) = self.reader.take() {
            let _ended = reader.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fields of a datagram as journald reads them: `NAME=value`, or the name, eight bytes that say how long the value is,
/// and the value.
fn entry(mut bytes: &[u8]) -> Result<Entry> {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').context("a line has no end")?;
        let line = std::str::from_utf8(&bytes[..end])?;
        bytes = &bytes[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            entry.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (length, rest) = bytes.split_first_chunk().context("no length")?;
        let length = usize::try_from(u64::from_le_bytes(*length))?;
        ensure!(rest.get(length) == Some(&b'\n'), "the value of {line} does not end where it says");
        entry.insert(line.to_owned(), String::from_utf8_lossy(&rest[..length]).into_owned());
        bytes = &rest[length + 1..];
    }
    Ok(entry)
}

/// Whether this machine lets us mount anything; that it does not is said.
fn may_mount() -> bool {
    let tried = Run::new(Path::new(UNSHARE), Path::new("/")).args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]);
    let may = tried.to_end(LONG).is_ok_and(|tried| tried.code == Some(0));
    if !may {
        println!("skipped: nothing may be mounted here, so the journal's socket cannot be another");
    }
    may
}

#[test]
fn a_service_logs_to_the_journal_with_fields_and_without_a_secret() -> Result<()> {
    if !may_mount() {
        return Ok(());
    }
    let scene = protected()?;
    let made = scene.world.folder().join("job/second.enc");
    scene.server.run(&["key", "create", "--kdf", "none", &made.display().to_string()])?.with_code(0)?;
    let second = fs::read(&made)?;
    // The first pass has something to keep, to seal and to send.
    write_private(&scene.box_1.key_file(), &second)?;
    let journal = Journal::new()?;
    let under = [UNSHARE, "-m", "/bin/sh", "-c", AMONG, "sh"].map(OsStr::new);
    let under = [&under[..], &[journal.folder.path().as_os_str()]].concat();
    let mut daemon = Daemon::start_under(&scene.world, &scene.box_1, &[("TENWORDS_LOG", "trace")], &under)?;
    daemon.tells("READY=1")?;
    until("the new key is not escrowed", || versions(&scene.hub).is_ok_and(|count| count == 2))?;
    let ended = |entry: &Entry| is(entry, "MESSAGE", "a pass has ended") && is(entry, "F_PASS", "keep");
    until("the journal has no end of the pass", || journal.entries().is_ok_and(|all| all.iter().any(ended)))?;
    daemon.stopped()?;

    let entries = journal.entries()?;
    ensure!(entries.iter().all(|entry| is(entry, "SYSLOG_IDENTIFIER", "tenwords-agent")), "whose is it?");
    let begun = entries.iter().find(|entry| is(entry, "MESSAGE", "watching")).context("it does not say `watching`")?;
    // 5 is a notice to the journal, where INFO goes.
    ensure!(is(begun, "F_VERSION", env!("CARGO_PKG_VERSION")) && is(begun, "PRIORITY", "5"), "{begun:?}");
    let ended = entries.iter().find(|entry| ended(entry)).context("the end of the pass")?;
    ensure!(ended.get("F_END").is_some_and(|end| end.contains("changed: true")), "{ended:?}");
    ensure!(ended.get("TARGET").is_some_and(|target| target.starts_with("tenwords_agent::daemon")), "{ended:?}");
    // A pass is a process of its own, and nobody else makes an update.
    ensure!(
        entries.iter().any(|entry| is(entry, "F_STEP", "update-pending")),
        "what passes log is not there: {entries:?}"
    );
    ensure!(daemon.log()?.is_empty(), "lines went to standard error: {}", daemon.log()?);
    has_no_secret("the journal", &journal.bytes(), &scene, &second)
}

fn is(entry: &Entry, field: &str, value: &str) -> bool {
    entry.get(field).is_some_and(|found| found == value)
}
