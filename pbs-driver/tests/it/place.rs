//! What a test stands on: a private folder on /dev/shm, a scratch folder, and clients made of shell.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use pbs_driver::{Access, Certificate, Client, Limits, PrivateDir};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tempfile::TempDir;
use tenwords_protocol::fingerprint::Fingerprint;
use zeroize::Zeroizing;

/// What is typed in these tests; no word of it may be seen anywhere.
pub(crate) const WORDS: &str = "abacus drop-down yo-yo zoom quartz nickel stamp ferret oboe lunar";
pub(crate) const TOKEN: &str = "8f2c1e5a-77aa-4b1e-9d3c-0123456789ab";

/// A key file of each kind, of one key. Made once: scrypt takes its time.
pub(crate) struct Keys {
    pub(crate) plain: Zeroizing<Vec<u8>>,
    pub(crate) wrapped: Zeroizing<Vec<u8>>,
    pub(crate) fingerprint: Fingerprint,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut rng = UnwrapErr(SysRng);
    let key = EncryptionKey::generate(&mut rng);
    let wrapped = KeyFile::scrypt(&key, WORDS.as_bytes(), 1_795_220_666, 1_795_220_999, &mut rng).unwrap();
    Keys {
        plain: KeyFile::plain(&key, 1_795_220_666, 1_795_220_666).to_json(),
        wrapped: wrapped.to_json(),
        fingerprint: key.fingerprint(),
    }
});

pub(crate) struct Place {
    base: TempDir,
    scratch: TempDir,
    pub(crate) private: PrivateDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let base = tempfile::Builder::new()
            .prefix("tenwords-driver-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/dev/shm")
            .unwrap();
        let private = PrivateDir::open(base.path()).unwrap();
        Self { base, scratch: tempfile::tempdir().unwrap(), private }
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// A client made of this shell text, which may use `ask PROMPT` (sets `answer`), `$scratch`,
    /// `$plain` and `$wrapped` (key files). Waited for as long as a busy machine may need.
    pub(crate) fn client(&self, body: &str) -> Client {
        let patient = Duration::from_secs(60);
        let limits = Limits {
            spawn: patient,
            prompt: patient,
            conversation: patient,
            answer: patient,
            stall: patient,
            restore: patient,
        };
        Client::new(self.script(body), self.private.clone()).unwrap().with_limits(limits)
    }

    /// The same, for one that is going to hang.
    pub(crate) fn impatient(&self, body: &str) -> Client {
        let client = self.client(body);
        let limits = Limits {
            prompt: Duration::from_secs(2),
            conversation: Duration::from_secs(4),
            answer: Duration::from_secs(2),
            stall: Duration::from_secs(2),
            ..*client.limits()
        };
        client.with_limits(limits)
    }

    pub(crate) fn script(&self, body: &str) -> PathBuf {
        fs::write(self.scratch().join("plain.json"), &*KEYS.plain).unwrap();
        fs::write(self.scratch().join("wrapped.json"), &*KEYS.wrapped).unwrap();
        let path = self.scratch().join("client");
        let scratch = self.scratch().display();
        let text = format!(
            r#"#!/bin/sh
scratch='{scratch}'; plain="$scratch/plain.json"; wrapped="$scratch/wrapped.json"
echo $$ >> "$scratch/pids"
stars() {{ printf '%s' "$answer" | sed 's/./*/g'; printf '\r\n'; }}
raw() {{ old=$(stty -g); stty -echo -icanon; }}
ask() {{ printf '%s' "$1"; raw; IFS= read -r answer; stars; stty "$old"; }}
{body}
"#
        );
        write_program(&path, &text);
        path
    }

    /// What the client left in the scratch folder.
    pub(crate) fn left(&self, name: &str) -> Option<String> {
        fs::read(self.scratch().join(name)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether all that ever ran is gone: what was ours reaped, what was theirs at least dead.
    pub(crate) fn assert_clean(&self) {
        let pids: Vec<String> = self.left("pids").unwrap_or_default().lines().map(str::to_owned).collect();
        for pid in &pids {
            until(&format!("process {pid} to be gone"), || !Path::new("/proc").join(pid).exists());
        }
        for pid in self.left("grandchildren").unwrap_or_default().lines() {
            until(&format!("grandchild {pid} to be gone"), || matches!(state(pid), None | Some('Z')));
        }
        let rest: Vec<_> = fs::read_dir(self.base.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(rest.is_empty(), "left in the private folder: {rest:?}");
    }

    /// The copy of an unprotected key in a folder of the private one.
    pub(crate) fn plain_copy(&self) -> (pbs_driver::Folder, PathBuf) {
        let folder = self.private.folder().unwrap();
        let path = folder.write("k.enc", &KEYS.plain).unwrap();
        (folder, path)
    }

    pub(crate) fn access(&self) -> Access {
        access(Certificate::Pinned(Fingerprint::from_bytes([0xaa; 32])))
    }
}

/// At a port where nobody listens (8007 may be a real server's on this machine).
pub(crate) fn access(certificate: Certificate) -> Access {
    Access::new(
        "backup@pbs!box1@127.0.0.1:1:store".parse().unwrap(),
        "".parse().unwrap(),
        Zeroizing::new(TOKEN.to_owned()),
        certificate,
    )
    .unwrap()
}

/// Written by a child: a file that *this* process had open for writing could still be so in a fork
/// of another test, and would then not be executable ("text file busy").
pub(crate) fn write_program(path: &Path, text: &str) {
    let mut child = Command::new("/bin/sh")
        .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Waits for a state.
pub(crate) fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
    }
}

/// An error with all its causes, in both forms, as a log would have it.
pub(crate) fn all_words(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error:?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text.push_str(&format!(" | {error}"));
        next = error.source();
    }
    text
}

/// Runs one test of this binary by itself, in an environment of its own, and wants it to pass.
pub(crate) fn rerun(test: &str, wrapper: &[&str], environment: &[(&str, &str)]) {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&this),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(&this);
            command
        }
    };
    // A stdin that is not /dev/null, so that the /dev/null which a child finds there is not this one's.
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "no test is named {test}: {text}");
}

fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// `pbs-local`, beside this test's own program.
pub(crate) fn pbs_local() -> PathBuf {
    program("pbs-local", "pbs-local")
}

/// A program of another room, beside this test's own; built, one at a time, if it is not there yet.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let this = std::env::current_exe().unwrap();
    let path = this.parent().unwrap().parent().unwrap().join(name);
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = path.parent().unwrap().parent().unwrap();
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", package, "--bins", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success() && path.exists(), "{name} could not be built into {}", target.display());
    }
    path
}
