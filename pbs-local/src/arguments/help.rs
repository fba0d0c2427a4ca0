//! What `help` and usage errors print, out of the table.

use std::{ffi::OsString, fmt::Write as _};

use super::{Command, Value, below, find};
use crate::error::Error;

/// One line for each command of a group.
pub(super) fn overview(group: &[&str]) -> String {
    let mut text = String::from("\nUsage:\n\n");
    for command in below(group) {
        text.push_str(&line(command));
        text.push('\n');
    }
    text
}

fn line(command: &Command) -> String {
    let mut text = format!("{PROGRAM} {}", command.words.join(" "));
    for positional in command.positionals {
        let _infallible = match (positional.many, positional.optional) {
            (true, _) => write!(text, " {{<{}>}}", positional.name),
            (false, true) => write!(text, " [<{}>]", positional.name),
            (false, false) => write!(text, " <{}>", positional.name),
        };
    }
    if !command.options.is_empty() {
        text.push_str(" [OPTIONS]");
    }
    text
}

/// Usage of one command, with every argument and option.
pub(super) fn describe(command: &Command) -> String {
    let mut text = format!("Usage: {}\n\n{}\n", line(command), command.about);
    for positional in command.positionals {
        text.push_str(&format!("\n <{}>\n", positional.name));
        text.push_str(&indented(positional.about));
    }
    if !command.options.is_empty() {
        text.push_str("\nOptional parameters:\n");
    }
    for opt in command.options {
        let kind = match opt.value {
            Value::Text => "<string>".to_owned(),
            Value::Boolean => "<boolean>   (default=false)".to_owned(),
            Value::Number(least) => format!("<integer> ({least} - N)"),
            Value::Choice(choices) => choices.join("|"),
        };
        text.push_str(&format!("\n --{} {kind}\n", opt.name));
        text.push_str(&indented(opt.about));
    }
    text
}

fn indented(about: &str) -> String {
    about.lines().map(|line| format!("             {line}\n")).collect()
}

pub(super) fn help(words: &[OsString]) -> String {
    if words.is_empty() {
        return format!("{HELP}\nCommands:\n{}\n{NOTES}", overview(&[]).trim_start_matches("\nUsage:\n"));
    }
    match find(words) {
        Ok((command, _)) => describe(command),
        Err(Error::Usage { usage, .. }) => usage,
        Err(_) => HELP.to_owned(),
    }
}

const PROGRAM: &str = "pbs-local";

const HELP: &str = "\
pbs-local: proxmox-backup-client's command line over a plain directory, without any server.

Usage: pbs-local [--root DIR] [--token-sha256 ID=HEX]... [--certificate-sha256 FP] COMMAND ...

 --root DIR                 DIR/x is datastore x, whatever user, host and port the repository names
 --token-sha256 ID=HEX      check API tokens: only those given here pass, HEX is the SHA-256 of the secret
 --certificate-sha256 FP    play a server with this certificate: PBS_FINGERPRINT must name it

Read a datastore from a disk or a copy, with a key file and nothing else:

  pbs-local snapshot list --repository /mnt/disk/store
  pbs-local restore ct/100/2026-03-03T12:00:00Z root.pxar ./root --repository /mnt/disk/store --keyfile K.enc
  pbs-local restore ct/100 pct.conf - --repository /mnt/disk/store --keyfile K.enc

Make one, and put a backup into it:

  pbs-local datastore create ./store
  pbs-local key create --kdf none K.enc
  pbs-local backup etc.pxar:/etc --backup-id here --keyfile K.enc --repository ./store
";

const NOTES: &str = "\
`pbs-local help COMMAND` or `pbs-local COMMAND --help` describes one command.

Environment: PBS_REPOSITORY, PBS_PASSWORD, PBS_ENCRYPTION_PASSWORD (each of the last two also with
_FD, _FILE, _CMD; the first line counts), PBS_FINGERPRINT, PBS_LOG, PROXMOX_OUTPUT_FORMAT,
XDG_CONFIG_HOME and XDG_CONFIG_DIRS (proxmox-backup/encryption-key.json is the default key).

Data goes to stdout, everything else to stderr. Exit code 0: done. 255: any error.
";
