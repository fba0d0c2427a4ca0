//! A place to run the real binary in: its own folder, home and environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The token that the recordings use, and a secret for it.
pub(crate) const TOKEN: &str = "backup@pbs!box1";
pub(crate) const SECRET: &str = "5b0f3a52-7f56-4f0c-8d7b-0f1f5f0c9a11";
pub(crate) const REPOSITORY: &str = "backup@pbs!box1@127.0.0.1:8007:store";

pub(crate) struct Bench {
    dir: TempDir,
    pub(crate) environment: BTreeMap<String, OsString>,
    /// Options before the command.
    pub(crate) own: Vec<OsString>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Holds that it succeeded, and gives stdout.
    #[track_caller]
    pub(crate) fn done(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Holds that it failed as the client fails: 255, nothing on stdout, this last line on stderr.
    #[track_caller]
    pub(crate) fn failed(self, error: &str) {
        assert_eq!(self.code, Some(255), "{}", self.stderr);
        assert_eq!(self.stdout, b"", "stdout of a failure");
        let last = self.stderr.lines().find(|line| line.starts_with("Error: "));
        assert_eq!(last, Some(format!("Error: {error}").as_str()), "{}", self.stderr);
    }
}

impl Bench {
    /// An empty datastore `store`, a home, and `PBS_REPOSITORY` naming it.
    pub(crate) fn new() -> Self {
        let bench = Self::bare();
        bench.run(&["datastore", "create", "store"]).done();
        bench
    }

    /// The same without a datastore.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("pbs-local-test-").tempdir().unwrap();
        for name in ["stores", "home", "xdg"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let own = vec!["--root".into(), dir.path().join("stores").into()];
        let mut bench = Self { environment: BTreeMap::new(), own, dir };
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        bench.environment.insert("PATH".to_owned(), path);
        bench.environment.insert("HOME".to_owned(), bench.path("home").into());
        bench.environment.insert("XDG_CONFIG_DIRS".to_owned(), bench.path("xdg").into());
        bench.set("PBS_REPOSITORY", REPOSITORY);
        bench.set("PBS_PASSWORD", SECRET);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("stores/store")
    }

    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.insert(name.to_owned(), value.as_ref().to_owned());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The binary with our options and these words, in the bench's folder and environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pbs-local"));
        self.prepare(command.args(&self.own).args(words));
        command
    }

    pub(crate) fn prepare(&self, command: &mut Command) {
        command.env_clear().envs(&self.environment).current_dir(self.dir.path()).stdin(Stdio::null());
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Ran {
        finish(&mut self.command(words))
    }

    /// Words split at blanks.
    pub(crate) fn line(&self, line: &str) -> Ran {
        self.run(&line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>())
    }

    /// With this on standard input, through a pipe.
    pub(crate) fn run_with_input<S: AsRef<OsStr>>(&self, words: &[S], input: &[u8]) -> Ran {
        let mut command = self.command(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The child may well not read it.
        drop(child.stdin.take().unwrap().write_all(input));
        ran(child.wait_with_output().unwrap())
    }
}

pub(crate) fn finish(command: &mut Command) -> Ran {
    ran(command.output().unwrap())
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The golden datastore and keys of the real server, as `stores/store` of a new bench.
pub(crate) fn golden() -> Bench {
    let bench = Bench::bare();
    let packed = fs::File::open(golden_file("store.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    archive.set_preserve_permissions(true);
    archive.unpack(bench.store()).unwrap();
    for name in ["K.enc", "other.enc"] {
        bench.write(name, fs::read(golden_file(name)).unwrap());
    }
    bench
}

pub(crate) fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pbs-format/tests/golden").join(name)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// The digest that `SHA256SUMS` of the golden files has for a name.
pub(crate) fn golden_sum(name: &str) -> String {
    let sums = fs::read_to_string(golden_file("SHA256SUMS")).unwrap();
    let line = sums.lines().find(|line| line.ends_with(name)).unwrap();
    line.split(' ').next().unwrap().to_owned()
}

/// Bytes that do not compress, the same ones each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
