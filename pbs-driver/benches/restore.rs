//! How a tree comes back: by our own extractor out of the client's stream, judged as it passes, or by
//! the client's own hands. Medians of runs that take turns; the decision that they led to is
//! `docs/decisions/restore-by-stream.md`.
//!
//! ```text
//! cargo bench -p pbs-driver --bench restore -- [--mib 1024] [--runs 5] [--out FOLDER]
//! ```
//!
//! The client is `pbs-local` beside this program's own folder (`cargo build --release -p pbs-local`),
//! or the real one with its server: `TENWORDS_PBS_CLIENT`, `PBS_REPOSITORY`, `PBS_PASSWORD`,
//! `PBS_FINGERPRINT`.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement, not the product")]

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    ops::ControlFlow,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use pbs_driver::{Access, Certificate, Client, PrivateDir, restore, snapshot};
use pbs_format::{
    key::{EncryptionKey, KeyFile},
    manifest::Manifest,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

const TOKEN: &str = "8f2c1e5a-77aa-4b1e-9d3c-0123456789ab";

fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut take = |name: &str| -> Option<String> {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.remove(at);
        Some(arguments.remove(at))
    };
    let number = |text: Option<String>, usual: u64| text.map_or(usual, |text| text.parse().unwrap());
    let (mib, runs) = (number(take("--mib"), 1024), number(take("--runs"), 5));
    let parent = take("--out").map_or_else(env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new().prefix("tenwords-bench-").tempdir_in(parent).unwrap();
    let bench = Bench::new(folder.path(), mib);
    println!("{} cores, {}; {} MiB in {} files", cores(), memory(), bench.bytes >> 20, bench.files);

    let mut times: [Vec<(f64, f64)>; 4] = Default::default();
    for run in 0..=runs {
        for (way, times) in times.iter_mut().enumerate() {
            let (began, before) = (Instant::now(), processor());
            match way {
                0 => bench.by_us(),
                1 => bench.by_the_client(),
                2 => bench.stream_alone(),
                _ => bench.copy(),
            }
            // The first round warms the caches and does not count.
            if run > 0 {
                times.push((began.elapsed().as_secs_f64(), processor() - before));
            }
        }
    }
    let by_client = median(times[1].iter().map(|time| time.0));
    for (name, times) in [
        "our extractor, judged (restore … -)",
        "the client's own hands",
        "the client's stream, thrown away",
        "cp -a of the tree",
    ]
    .iter()
    .zip(&times)
    {
        let (elapsed, cpu) = (median(times.iter().map(|time| time.0)), median(times.iter().map(|time| time.1)));
        println!(
            "{name:36} {elapsed:7.2} s  {:6.0} MiB/s  {cpu:6.2} s of processor  ratio {:.2}",
            bench.bytes as f64 / 1_048_576.0 / elapsed,
            by_client / elapsed
        );
    }
    println!("our own memory at most: {}", peak());
}

struct Bench {
    folder: PathBuf,
    client: Client,
    access: Access,
    key_file: PathBuf,
    key: EncryptionKey,
    environment: Vec<(&'static str, OsString)>,
    id: String,
    _shm: tempfile::TempDir,
    bytes: u64,
    files: u64,
}

impl Bench {
    fn new(folder: &Path, mib: u64) -> Self {
        let mut shm = tempfile::Builder::new();
        shm.prefix("tenwords-bench-").permissions(fs::Permissions::from_mode(0o700));
        let shm = shm.tempdir_in("/dev/shm").unwrap();
        let private = PrivateDir::open(shm.path()).unwrap();
        let key = EncryptionKey::generate(&mut UnwrapErr(SysRng));
        let key_file = folder.join("K.enc");
        fs::write(&key_file, &*KeyFile::plain(&key, 1_795_220_666, 1_795_220_666).to_json()).unwrap();
        let (bytes, files) = mixed(&folder.join("tree"), mib);
        let (program, repository, token, certificate) = match env::var_os("TENWORDS_PBS_CLIENT") {
            Some(program) => {
                let pin = env::var("PBS_FINGERPRINT").unwrap().parse().unwrap();
                let token = env::var("PBS_PASSWORD").unwrap();
                (PathBuf::from(program), env::var("PBS_REPOSITORY").unwrap(), token, Certificate::Pinned(pin))
            }
            None => played(folder),
        };
        let access =
            Access::new(repository.parse().unwrap(), "".parse().unwrap(), Zeroizing::new(token.clone()), certificate)
                .unwrap();
        let mut environment = vec![("PBS_REPOSITORY", repository.into()), ("PBS_PASSWORD", token.into())];
        if let Certificate::Pinned(pin) = certificate {
            environment.push(("PBS_FINGERPRINT", pin.to_string().into()));
        }
        let bench = Self {
            folder: folder.to_owned(),
            client: Client::new(program, private).unwrap(),
            access,
            key_file,
            key,
            environment,
            id: format!("bench-{}", std::process::id()),
            _shm: shm,
            bytes,
            files,
        };
        let spec = format!("root.pxar:{}", folder.join("tree").display());
        let key_file = bench.key_file.display().to_string();
        bench.run(&["backup", &spec, "--keyfile", &key_file, "--backup-id", &bench.id], Stdio::null());
        bench
    }

    fn run(&self, arguments: &[&str], stdout: Stdio) {
        let mut command = Command::new(self.client.program());
        command.args(arguments).envs(self.environment.iter().cloned());
        let status = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    fn newest(&self) -> String {
        let group = format!("host/{}", self.id).parse().unwrap();
        snapshot::list(&self.client, &self.access, Some(&group)).unwrap().remove(0).snapshot.to_string()
    }

    fn by_us(&self) {
        let snapshot = self.newest().parse().unwrap();
        let manifest = restore::manifest(&self.client, &self.access, &snapshot, &self.key_file).unwrap();
        let manifest = Manifest::parse(&manifest).unwrap().verify(&self.key).unwrap();
        let request = restore::Request {
            access: &self.access,
            snapshot: &snapshot,
            signed: manifest.file("root.pxar.didx").unwrap(),
            protection: restore::Protection::Under { key_file: &self.key_file, key: self.key.fingerprint() },
        };
        let target = self.folder.join("out");
        restore::tree(&self.client, &request, &target, &mut |_| ControlFlow::Continue(())).unwrap();
        remove(&target);
    }

    fn by_the_client(&self) {
        let target = self.folder.join("out");
        self.restored(&target.display().to_string());
        remove(&target);
    }

    fn stream_alone(&self) {
        self.restored("-");
    }

    fn restored(&self, target: &str) {
        let (snapshot, key_file) = (self.newest(), self.key_file.display().to_string());
        self.run(&["restore", &snapshot, "root.pxar", target, "--keyfile", &key_file], Stdio::null());
    }

    fn copy(&self) {
        let target = self.folder.join("out");
        let status = Command::new("cp").arg("-a").arg(self.folder.join("tree")).arg(&target).status().unwrap();
        assert!(status.success());
        remove(&target);
    }
}

/// Removing is not what is measured, but stands outside of no run: it is the same for all.
fn remove(target: &Path) {
    fs::remove_dir_all(target).unwrap();
}

/// A datastore in a folder, and `pbs-local` in front of it.
fn played(folder: &Path) -> (PathBuf, String, String, Certificate) {
    let release = env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let program = release.join("pbs-local");
    assert!(program.exists(), "cargo build --release -p pbs-local");
    let root = folder.join("root");
    fs::create_dir(&root).unwrap();
    let status = Command::new(&program).args(["datastore", "create"]).arg(root.join("store")).status().unwrap();
    assert!(status.success());
    let certificate = Fingerprint::from_bytes([0xaa; 32]);
    let wrapper = folder.join("client");
    let text = format!(
        "#!/bin/sh\nexec '{}' --root '{}' --token-sha256 'backup@pbs!box1={}' --certificate-sha256 {certificate} \"$@\"\n",
        program.display(),
        root.display(),
        Sha256::of(TOKEN.as_bytes())
    );
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let repository = "backup@pbs!box1@127.0.0.1:8007:store".to_owned();
    (wrapper, repository, TOKEN.to_owned(), Certificate::Pinned(certificate))
}

/// A quarter each: many small files as in `/usr`, logs that compress well, what does not compress, and
/// an image of a disk that is half empty.
fn mixed(tree: &Path, mib: u64) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut noise = Noise(7);
    let quarter = (mib << 20) / 4;
    let mut put = |path: PathBuf, content: &mut dyn FnMut(&mut File) -> u64| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        bytes += content(&mut File::create(path).unwrap());
        files += 1;
    };
    let mut left = quarter;
    for index in 0_u64.. {
        let size = (noise.next() % 40_000).min(left);
        let path = tree.join(format!("usr/{:02x}/{:02x}/file-{index}", index % 61, index / 61 % 53));
        put(path, &mut |file| {
            let words: Vec<u8> =
                (0..size).map(|at| b"etaoin shrdlu\n"[(at as usize * 7 + index as usize) % 14]).collect();
            file.write_all(&words).unwrap();
            size
        });
        left -= size;
        if left == 0 {
            break;
        }
    }
    for part in 0..4 {
        put(tree.join(format!("var/log/log-{part}")), &mut |file| {
            let mut writer = io::BufWriter::new(file);
            let mut written = 0;
            while written < quarter / 4 {
                let number = noise.next();
                let line = format!(
                    "Nov 21 03:{:02}:{:02} box sshd[{}]: session {part}\n",
                    number % 60,
                    number % 59,
                    number % 9999
                );
                writer.write_all(line.as_bytes()).unwrap();
                written += line.len() as u64;
            }
            written
        });
    }
    for (name, holes) in [("srv/photos.tar", false), ("var/lib/disk.raw", true)] {
        put(tree.join(name), &mut |file| {
            let mut piece = vec![0; 1 << 20];
            for part in 0..quarter >> 20 {
                let empty = holes && part % 2 == 0;
                piece.chunks_exact_mut(8).for_each(|eight| {
                    eight.copy_from_slice(&if empty { 0 } else { noise.next() }.to_le_bytes());
                });
                file.write_all(&piece).unwrap();
            }
            quarter
        });
    }
    (bytes, files)
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn memory() -> String {
    line("/proc/meminfo", "MemTotal:")
}

fn peak() -> String {
    line("/proc/self/status", "VmHWM:")
}

fn line(path: &str, start: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().find(|line| line.starts_with(start)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Seconds of processor of this process and its children that have ended.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..15].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10).as_secs_f64()
}
