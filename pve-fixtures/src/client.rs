//! Calling the client and `pbs-restore` as PVE's storage plugin for Proxmox Backup Server does.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::Ipv6Addr,
    os::fd::AsRawFd as _,
    path::PathBuf,
    process::Command,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::{
    Died,
    root::Root,
    storage::Storage,
    worker::{Interrupt, Keep, program},
};

const CLIENT: &str = "/usr/bin/proxmox-backup-client";
const PBS_RESTORE: &str = "/usr/bin/pbs-restore";

/// A PBS storage, with what its files say.
#[derive(Debug)]
pub(crate) struct Pbs<'a> {
    root: &'a Root,
    storage: &'a Storage,
}

/// One of a storage's three files.
pub(crate) fn secret_file(root: &Root, id: &str, ending: &str) -> PathBuf {
    root.etc_pve().join(format!("priv/storage/{id}.{ending}"))
}

impl<'a> Pbs<'a> {
    pub(crate) fn new(root: &'a Root, storage: &'a Storage) -> Self {
        Self { root, storage }
    }

    /// `client COMMAND [key] PARAMETERS --repository R [--ns N]`.
    pub(crate) fn client(
        &self,
        interrupt: &Interrupt,
        command: &str,
        parameters: &[&str],
        keep: Keep<'_>,
    ) -> Result<(), Died> {
        let path = self.root.client.as_deref().filter(|path| path.exists());
        let path = path.ok_or(format!("executable not found '{CLIENT}'! Proxmox backup client not installed?"))?;
        let mut words: Vec<OsString> = vec![command.into()];
        // Held open until the client is done.
        let mut _key = None;
        if matches!(command, "restore" | "backup" | "upload-log") {
            match self.open_key()? {
                Some(key) => {
                    words.extend(["--crypt-mode=encrypt".into(), format!("--keyfd={}", key.as_raw_fd()).into()]);
                    _key = Some(key);
                }
                None => words.push("--crypt-mode=none".into()),
            }
        }
        words.extend(parameters.iter().map(OsString::from));
        words.extend(["--repository".into(), self.repository()?.into()]);
        if let Some(namespace) = self.namespace().filter(|_| command != "status") {
            words.extend(["--ns".into(), namespace.into()]);
        }
        let mut child = program(path);
        child.args(&words).env("PROXMOX_OUTPUT_NO_BORDER", "1").env("PROXMOX_OUTPUT_NO_HEADER", "1");
        self.identify(&mut child, true)?;
        interrupt.run(child, &shown(CLIENT, &words), keep)
    }

    /// `pbs-restore` for one disk; its command line is told first, as qmrestore does.
    pub(crate) fn restore_disk(
        &self,
        interrupt: &Interrupt,
        snapshot: &str,
        archive: &str,
        target: &str,
        tell: impl FnOnce(&str),
    ) -> Result<(), Died> {
        let mut words: Vec<OsString> = vec!["--repository".into(), self.repository()?.into()];
        if let Some(namespace) = self.namespace() {
            words.extend(["--ns".into(), namespace.into()]);
        }
        words.extend([snapshot, archive, target, "--verbose", "--format", "raw"].map(OsString::from));
        let key = secret_file(self.root, &self.storage.id, "enc");
        if key.exists() {
            words.extend(["--keyfile".into(), key.into()]);
        }
        words.push("--skip-zero".into());
        let shown = shown(PBS_RESTORE, &words);
        tell(&shown);
        let mut child = program(&self.root.pbs_restore);
        child.args(&words);
        self.identify(&mut child, false)?;
        interrupt.run(child, &shown, Keep::Nothing)
    }

    fn identify(&self, child: &mut Command, always: bool) -> Result<(), Died> {
        child.env("PBS_PASSWORD", self.password()?);
        match self.storage.get("fingerprint") {
            Some(fingerprint) => {
                child.env("PBS_FINGERPRINT", fingerprint);
            }
            // Perl makes an empty variable of a value that is not there.
            None if always => {
                child.env("PBS_FINGERPRINT", "");
            }
            None => {}
        }
        Ok(())
    }

    fn open_key(&self) -> Result<Option<File>, Died> {
        let path = secret_file(self.root, &self.storage.id, "enc");
        let key = match File::open(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match self.storage.get("encryption-key") {
                    Some(stated) => {
                        Err(format!("encryption configured ('{stated}') but no encryption key file found!"))
                    }
                    None => Ok(None),
                };
            }
            Err(error) => return Err(format!("failed to open encryption key: {}: {error}", path.display())),
        };
        fcntl(&key, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|_| "failed to remove FD_CLOEXEC from encryption key file descriptor".to_owned())?;
        Ok(Some(key))
    }

    fn password(&self) -> Result<String, Died> {
        let path = secret_file(self.root, &self.storage.id, "pw");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let mut line = String::new();
        BufReader::new(file).read_line(&mut line).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(line.trim_end_matches('\n').to_owned())
    }

    fn repository(&self) -> Result<String, Died> {
        let mut server = self.storage.get("server").ok_or("no server given")?.to_owned();
        if server.parse::<Ipv6Addr>().is_ok() {
            server = format!("[{server}]");
        }
        if let Some(port) = self.storage.get("port").filter(|port| *port != "8007") {
            server.push_str(&format!(":{port}"));
        }
        let datastore = self.storage.get("datastore").ok_or("no datastore given")?;
        let user = self.storage.get("username").unwrap_or("root@pam");
        Ok(format!("{user}@{server}:{datastore}"))
    }

    fn namespace(&self) -> Option<&str> {
        self.storage.get("namespace")
    }
}

/// The command as PVE's messages have it.
fn shown(program: &str, words: &[OsString]) -> String {
    let mut text = program.to_owned();
    for word in words {
        text.push(' ');
        text.push_str(&shell_words::quote(&word.to_string_lossy()));
    }
    text
}
