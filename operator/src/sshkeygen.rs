//! OpenSSH's `ssh-keygen`, the program that makes and checks signatures. It knows agents, tokens and
//! passphrases, and talks to the operator's terminal itself: nothing of ours sees a private key.

use std::{
    ffi::OsStr,
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use crate::{failure::Failure, sshsig::Armour};

/// What it, an agent, a token and a program that asks for a passphrase need; nothing else goes on.
const HANDED_ON: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "TERM",
    "LANG",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "SSH_SK_HELPER",
    "SSH_SK_PROVIDER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Has `data` signed. The key may be a public one whose private half an agent or a token holds.
pub(crate) fn sign(namespace: &str, key: &Path, data: &[u8]) -> Result<Armour, Failure> {
    if fs::metadata(key).is_err() {
        let what = format!("there is no key file {}", key.display());
        return Err(Failure::usage("key", what, "name your private key, or your public one if an agent holds it"));
    }
    let room = room(data)?;
    // The data in a file and not through stdin, which is where a passphrase is typed.
    let status = program(&["-Y", "sign", "-q", "-n", namespace, "-f"])
        .arg(key)
        .arg(room.path().join("data"))
        .stdout(Stdio::null())
        .status()
        .map_err(|error| not_started(&error))?;
    if !status.success() {
        let what = format!("ssh-keygen made no signature with {}", key.display());
        let remedy = "what it said stands above; with a public key, does the agent hold its other half (ssh-add -l)?";
        return Err(Failure::usage("not_signed", what, remedy));
    }
    let text = fs::read(room.path().join("data.sig")).map_err(|error| broken(&error))?;
    let armour = Armour::parse(&text, namespace)?;
    check(namespace, data, &armour)?;
    Ok(armour)
}

/// Whether the signature is over these bytes and by the key that it names.
pub(crate) fn check(namespace: &str, data: &[u8], armour: &Armour) -> Result<(), Failure> {
    let room = room(data)?;
    let signature = room.path().join("signature");
    fs::write(&signature, armour.text()).map_err(|error| broken(&error))?;
    let input = fs::File::open(room.path().join("data")).map_err(|error| broken(&error))?;
    let status = program(&["-Y", "check-novalidate", "-q", "-n", namespace, "-s"])
        .arg(&signature)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| not_started(&error))?;
    if status.success() {
        return Ok(());
    }
    let what = "the signature is not over these bytes, or is damaged";
    Err(Failure::usage("signature", what, "sign again the exact file that the box wrote; not a byte may differ"))
}

/// The command that does the same as [`sign`], to be typed where this program is not.
pub(crate) fn told(namespace: &str, key: &Path, file: &Path) -> String {
    format!("ssh-keygen -Y sign -n {namespace} -f {} {}", quoted(key.as_os_str()), quoted(file.as_os_str()))
}

fn quoted(word: &OsStr) -> String {
    let word = crate::show::harmless(&word.to_string_lossy());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn program(arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "ssh-keygen, with the operator's terminal, agent and token")]
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).env_clear();
    command.envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// A folder for this user alone, with the data in it; it goes with the value.
fn room(data: &[u8]) -> Result<tempfile::TempDir, Failure> {
    let room = tempfile::Builder::new().prefix("tenwords-").tempdir().map_err(|error| broken(&error))?;
    fs::write(room.path().join("data"), data).map_err(|error| broken(&error))?;
    Ok(room)
}

fn broken(error: &io::Error) -> Failure {
    Failure::internal(format!("a file for ssh-keygen: {}", error.kind()))
}

fn not_started(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(
            "no_ssh_keygen",
            "ssh-keygen is not on this machine",
            "install OpenSSH's client: apt install openssh-client",
        ),
        kind => Failure::internal(format!("ssh-keygen did not start: {kind}")),
    }
}
