//! Keys and signatures by the real `ssh-keygen`, and what of a transcript is never twice the same.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::desk::Desk;

impl Desk {
    /// A key pair of that name on the desk.
    pub(crate) fn key(&self, name: &str, kind: &[&str], passphrase: &str) -> PathBuf {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", passphrase, "-C", name, "-t"]).args(kind).arg("-f").arg(self.path(name));
        assert!(command.status().unwrap().success());
        self.path(name)
    }

    /// The line of that key in a list.
    pub(crate) fn line(&self, name: &str, roles: &str) -> String {
        let public = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        let [kind, key, ..] = public.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{public}") };
        format!("{roles} {kind} {key}")
    }

    /// Its fingerprint, as `ssh-keygen` says it.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(self.path(&format!("{name}.pub"))).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    }

    /// A file of operators' keys, with these names and roles.
    pub(crate) fn signers(&self, file: &str, keys: &[(&str, &str)]) -> PathBuf {
        let lines: String = keys.iter().map(|(name, roles)| format!("{} {name}\n", self.line(name, roles))).collect();
        fs::write(self.path(file), format!("# our operators\n\n{lines}")).unwrap();
        self.path(file)
    }

    /// What OpenSSH itself says of a signature over this text, for the keys of a list.
    pub(crate) fn verifies(&self, list: &str, role: &str, namespace: &str, text: &[u8], armour: &str) -> bool {
        fs::write(self.path("verified"), text).unwrap();
        fs::write(self.path("verified.sig"), armour).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", role, "-n", namespace, "-f"]).arg(self.path(list));
        command.arg("-s").arg(self.path("verified.sig")).stdin(fs::File::open(self.path("verified")).unwrap());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// A text with what differs from run to run replaced by as many characters.
    pub(crate) fn settled(&self, text: &str, keys: &[&str], others: &[(String, String)]) -> String {
        let mut text = text.to_owned();
        for key in keys {
            text = text.replace(&self.fingerprint(key), &format!("SHA256:{key:.<43}"));
        }
        for (is, settled) in others {
            text = text.replace(is, settled);
        }
        codes(&text)
    }
}

/// Each code of four groups becomes the same one.
fn codes(text: &str) -> String {
    let is_code = |word: &str| {
        let mut groups = word.split('-');
        let good =
            |group: &str| group.len() == 4 && group.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        word.len() == 19 && groups.clone().count() == 4 && groups.all(good)
    };
    let mut settled = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match rest.get(..19).filter(|word| is_code(word)) {
            Some(_) => {
                settled.push_str("CODE-CODE-CODE-CODE");
                rest = &rest[19..];
            }
            None => {
                settled.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    settled
}

/// An agent of the test's own, ended with it.
pub(crate) struct Agent {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Agent {
    pub(crate) fn start(desk: &Desk) -> Self {
        let socket = desk.path("agent.sock");
        let mut command = Command::new("ssh-agent");
        let mut child = command.args(["-D", "-a"]).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
        // It tells its socket once it listens there.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("SSH_AUTH_SOCK"), "{line}");
        Self { child, socket }
    }

    pub(crate) fn add(&self, key: &std::path::Path) {
        let mut command = Command::new("ssh-add");
        command.arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket);
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
