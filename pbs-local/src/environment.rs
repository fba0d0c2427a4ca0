//! What the environment says: settings, passwords, and where the default key lies.
//!
//! Every read of a variable goes through here. Passwords are handed out in buffers that are wiped,
//! and nothing here prints them. What no variable can do: lower a check.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use zeroize::Zeroizing;

use crate::error::Error;

/// The longest secret that is read from a descriptor, file or command.
const LONGEST: u64 = 64 * 1024;

/// A variable that is set; not-UTF-8 counts as not set, as with the client.
pub(crate) fn setting(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The first line of `name`, `name_FD`, `name_FILE` or `name_CMD`, whichever is set first.
pub(crate) fn secret(name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    if let Some(value) = env::var_os(name) {
        return first_line(name, Zeroizing::new(value.into_vec())).map(Some);
    }
    let of = |suffix: &str| format!("{name}{suffix}");
    if let Some(value) = env::var_os(of("_FD")) {
        let number = value.to_str().and_then(|text| text.parse::<u32>().ok());
        let number = number.ok_or_else(|| Error::SecretDescriptor { variable: of("_FD") })?;
        let bytes = descriptor(number).map_err(|cause| Error::SecretFile { variable: of("_FD"), cause })?;
        return first_line(name, bytes).map(Some);
    }
    if let Some(value) = env::var_os(of("_FILE")) {
        let read = File::open(&value).and_then(read_secret);
        let bytes = read.map_err(|cause| Error::SecretFile { variable: of("_FILE"), cause })?;
        return first_line(name, bytes).map(Some);
    }
    if let Some(value) = env::var_os(of("_CMD")) {
        return first_line(name, command(&of("_CMD"), &value)?).map(Some);
    }
    Ok(None)
}

fn first_line(name: &'static str, mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Error> {
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        bytes.truncate(end);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(Error::SecretNotText { variable: name }),
    }
}

/// The rest of what an inherited descriptor holds.
///
/// The descriptor is opened again through `/proc`, since adopting a raw number takes unsafe code; the
/// place up to which it had been read is kept.
pub(crate) fn descriptor(number: u32) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(format!("/proc/self/fd/{number}"))?;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let position = info.lines().find_map(|line| line.strip_prefix("pos:")).and_then(|text| text.trim().parse().ok());
    if let Some(position @ 1..) = position
        && file.metadata()?.is_file()
    {
        file.seek(SeekFrom::Start(position))?;
    }
    read_secret(file)
}

/// Reads a small file whole into one wiped buffer that never moves.
pub(crate) fn read_secret(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 KiB for a key or password"));
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "the real client runs the command that prints a password, too")]
fn command(variable: &str, line: &OsStr) -> Result<Zeroizing<Vec<u8>>, Error> {
    let refused = |reason: String| Error::SecretCommand { variable: variable.to_owned(), reason };
    let text = line.to_str().ok_or_else(|| refused("not valid UTF-8".to_owned()))?;
    let words = shell_words::split(text).map_err(|error| refused(error.to_string()))?;
    let (program, rest) = words.split_first().ok_or_else(|| refused("empty command".to_owned()))?;
    let output = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| refused(error.to_string()))?;
    let bytes = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(refused(output.status.to_string()));
    }
    Ok(bytes)
}

/// The default key file, if there is one: `XDG_CONFIG_HOME` first, then each of `XDG_CONFIG_DIRS`.
pub(crate) fn default_key() -> Option<PathBuf> {
    let listed = env::var_os("XDG_CONFIG_DIRS").filter(|value| !value.is_empty());
    let listed = listed.unwrap_or_else(|| "/etc/xdg".into());
    let folders = config_home().into_iter().chain(env::split_paths(&listed));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(DEFAULT_KEY)).find(|path| path.exists())
}

/// Where `key create` puts the default key; its folders are made.
pub(crate) fn place_default_key() -> Result<PathBuf, Error> {
    let home = config_home().ok_or(Error::NoHome)?;
    let path = home.join(DEFAULT_KEY);
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|cause| Error::DefaultKeyFolder { path: folder.to_owned(), cause })?;
    Ok(path)
}

fn config_home() -> Option<PathBuf> {
    let given = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| home().map(|home| home.join(".config")))
}

/// `HOME`, or the passwd entry where it is not set.
fn home() -> Option<PathBuf> {
    let given = env::var_os("HOME").filter(|value| !value.as_bytes().is_empty()).map(PathBuf::from);
    given.or_else(|| {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        user.map(|user| user.dir)
    })
}

const DEFAULT_KEY: &str = "proxmox-backup/encryption-key.json";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_the_first_line_counts() {
        for (given, line) in [("abc", "abc"), ("abc\n", "abc"), ("abc\r\ndef", "abc"), ("\nabc", ""), ("", "")] {
            let read = first_line("PBS_PASSWORD", Zeroizing::new(given.into())).unwrap();
            assert_eq!(read.as_slice(), line.as_bytes());
        }
    }

    #[test]
    fn a_password_is_text() {
        let refused = first_line("PBS_PASSWORD", Zeroizing::new(vec![0xff])).unwrap_err();
        assert!(matches!(refused, Error::SecretNotText { variable: "PBS_PASSWORD" }));
    }
}
