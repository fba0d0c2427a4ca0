//! Keys and signatures of the real ssh-keygen.

#![expect(clippy::disallowed_methods, reason = "tests start programs of their own")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use tenwords_escrow::signers;
use tenwords_protocol::operators::OperatorList;

/// A folder with a key of each type.
pub(crate) struct World(PathBuf);

/// Type and bits of each key that is drawn; the first eight may be pinned. RSA of more bits takes too long.
const KEYS: [(&str, &str, &str); 11] = [
    ("ed25519", "ed25519", "256"),
    ("second", "ed25519", "256"),
    ("third", "ed25519", "256"),
    ("p256", "ecdsa", "256"),
    ("p384", "ecdsa", "384"),
    ("rsa", "rsa", "2048"),
    ("recovery", "ed25519", "256"),
    ("stranger", "ed25519", "256"),
    ("p521", "ecdsa", "521"),
    ("rsa1024", "rsa", "1024"),
    ("ca", "ed25519", "256"),
];

const FOLDER: &str = "tenwords-orders-";

static WORLD: LazyLock<Option<World>> = LazyLock::new(World::make);

impl World {
    /// Nothing where there is no ssh-keygen.
    pub(crate) fn get() -> Option<&'static Self> {
        if WORLD.is_none() {
            println!("SKIPPED: there is no ssh-keygen here");
        }
        WORLD.as_ref()
    }

    fn make() -> Option<Self> {
        let there = Command::new("ssh-keygen").arg("-?").output();
        if there.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return None;
        }
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = place.join(format!("{FOLDER}{}", std::process::id()));
        clear(place);
        fs::create_dir_all(&folder).unwrap();
        let world = Self(folder);
        for (name, kind, bits) in KEYS {
            world.run(&["-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f", name], b"");
        }
        for name in ["ed25519", "p256", "rsa"] {
            world.run(&["-q", "-s", "ca", "-I", "anna", "-n", "operational", &format!("{name}.pub")], b"");
        }
        Some(world)
    }

    /// What ssh-keygen says; it must succeed.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> String {
        self.tried("ssh-keygen", arguments, input).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// What a program says in this folder, and whether it is content.
    pub(crate) fn tried(&self, program: &str, arguments: &[&str], input: &[u8]) -> Result<String, String> {
        let mut child = Command::new(program);
        child.args(arguments).current_dir(&self.0).env_remove("SSH_AUTH_SOCK");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Whoever needs no input may have ended before it is written.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(said + &String::from_utf8_lossy(&output.stderr)) }
    }

    pub(crate) fn sign(&self, key: &str, namespace: &str, text: &[u8]) -> String {
        self.run(&["-Y", "sign", "-f", key, "-n", namespace], text)
    }

    /// The line of a key file, type and base64.
    pub(crate) fn public(&self, key: &str) -> String {
        let line = fs::read_to_string(self.0.join(format!("{key}.pub"))).unwrap();
        line.trim().to_owned()
    }

    /// As `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self, key: &str) -> String {
        let said = self.run(&["-l", "-f", &format!("{key}.pub")], b"");
        said.split(' ').nth(1).unwrap().to_owned()
    }

    /// A list with these roles and keys.
    pub(crate) fn list(&self, entries: &[(&str, &str)]) -> OperatorList {
        let lines: Vec<String> = entries.iter().map(|(roles, key)| format!("{roles} {}\n", self.public(key))).collect();
        signers::parse(lines.concat().as_bytes()).unwrap()
    }

    /// The keys that may be pinned, in their roles.
    pub(crate) fn operators(&self) -> OperatorList {
        let mut entries: Vec<_> = ["ed25519", "p256", "p384", "rsa"].map(|key| ("operational", key)).to_vec();
        entries.push(("recovery", "recovery"));
        self.list(&entries)
    }

    /// Whether the real `ssh-keygen -Y verify` takes it for this key.
    pub(crate) fn stock_takes(&self, public: &str, namespace: &str, text: &[u8], armour: &str) -> bool {
        let number = std::thread::current().id();
        let (allowed, signature) = (format!("allowed-{number:?}"), format!("signature-{number:?}"));
        fs::write(self.0.join(&allowed), format!("operational {public}\n")).unwrap();
        fs::write(self.0.join(&signature), armour).unwrap();
        let arguments = ["-Y", "verify", "-f", &allowed, "-I", "operational", "-n", namespace, "-s", &signature];
        self.tried("ssh-keygen", &arguments, text).is_ok()
    }
}

/// Takes away what runs that have ended left behind.
fn clear(place: &Path) {
    for entry in fs::read_dir(place).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let run = name.strip_prefix(FOLDER);
        if run.is_some_and(|run| run.parse() == Ok(std::process::id()) || !Path::new("/proc").join(run).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
