//! The command line: which commands and options there are, how words become them, and the help.
//!
//! The client reads its options its own way (`--name value`, `--name=value`, options before or after
//! the arguments, a boolean with or without its value), and its complaints are known texts, so the
//! reading is done here by a table and not by a general crate. Nothing here touches a file.

use std::{ffi::OsString, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use crate::error::Error;

/// What an option's value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Text,
    Boolean,
    /// A whole number that is at least this.
    Number(u64),
    Choice(&'static [&'static str]),
}

#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) about: &'static str,
}

#[derive(Debug)]
pub(crate) struct Positional {
    pub(crate) name: &'static str,
    pub(crate) optional: bool,
    pub(crate) many: bool,
    pub(crate) about: &'static str,
}

/// Which command was meant; the table below gives each its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Backup,
    DatastoreCreate,
    KeyChangePassphrase,
    KeyCreate,
    KeyShow,
    List,
    Login,
    Logout,
    NamespaceCreate,
    NamespaceList,
    Restore,
    SnapshotFiles,
    SnapshotList,
    Status,
    Version,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) verb: Verb,
    pub(crate) words: &'static [&'static str],
    pub(crate) about: &'static str,
    pub(crate) positionals: &'static [Positional],
    pub(crate) options: &'static [&'static Opt],
}

/// A command line that has been read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) command: &'static Command,
    positionals: Vec<OsString>,
    options: Vec<(&'static str, OsString)>,
}

/// What the words after our own options ask for.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(Parsed),
    Help(String),
}

impl Parsed {
    pub(crate) fn positional(&self, at: usize) -> Option<&OsString> {
        self.positionals.get(at)
    }

    pub(crate) fn positionals(&self) -> &[OsString] {
        &self.positionals
    }

    /// The option's value, if it was given. The last one counts.
    pub(crate) fn option(&self, name: &str) -> Option<&OsString> {
        self.options.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// The option's value as text; names, numbers and choices are checked to be UTF-8 when read.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.option(name) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(text)),
                None => Err(self.refused(name, "value is not valid UTF-8")),
            },
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.option(name).and_then(|value| value.to_str()).and_then(|text| text.parse().ok())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.option(name).is_some_and(|value| value == "true")
    }

    /// An argument as text.
    pub(crate) fn argument(&self, at: usize) -> Result<&str, Error> {
        let name = self.command.positionals.get(at).map_or("", |positional| positional.name);
        match self.positional(at) {
            None => Err(self.refused(name, "parameter is missing and it is not optional.")),
            Some(value) => value.to_str().ok_or_else(|| self.refused(name, "value is not valid UTF-8")),
        }
    }

    /// The complaint about one of this command's parameters, with its usage below.
    pub(crate) fn refused(&self, name: &str, reason: &str) -> Error {
        refused(self.command, name, reason)
    }
}

/// Reads the client's own words (everything after `--root` and its like).
pub(crate) fn parse(words: &[OsString]) -> Result<Asked, Error> {
    if words.first().is_some_and(|word| word == "help" || word == "--help" || word == "-h") {
        return Ok(Asked::Help(help(&words[1..])));
    }
    let (command, rest) = match find(words) {
        Err(Error::Usage { usage, .. }) if words.iter().any(|word| word == "--help" || word == "-h") => {
            return Ok(Asked::Help(usage));
        }
        found => found?,
    };
    let mut parsed = Parsed { command, positionals: Vec::new(), options: Vec::new() };
    let mut at = 0;
    let mut only_arguments = false;
    while at < rest.len() {
        let word = &rest[at];
        at += 1;
        let text = word.as_bytes();
        if !only_arguments && text == b"--" {
            only_arguments = true;
        } else if !only_arguments && (text == b"--help" || text == b"-h") {
            return Ok(Asked::Help(describe(command)));
        } else if !only_arguments && text.starts_with(b"--") {
            at += option(&mut parsed, &text[2..], rest.get(at))?;
        } else {
            parsed.positionals.push(word.clone());
        }
    }
    let many = command.positionals.last().is_some_and(|positional| positional.many);
    if !many && parsed.positionals.len() > command.positionals.len() {
        return Err(Error::Usage {
            text: format!("got additional arguments: {:?}", &parsed.positionals[command.positionals.len()..]),
            usage: describe(command),
        });
    }
    let needed = command.positionals.iter().filter(|positional| !positional.optional).count();
    if let Some(missing) = command.positionals.get(parsed.positionals.len())
        && parsed.positionals.len() < needed
    {
        return Err(refused(command, missing.name, "parameter is missing and it is not optional."));
    }
    Ok(Asked::Run(parsed))
}

/// Takes one `--name[=value]`; tells how many further words it used.
fn option(parsed: &mut Parsed, text: &[u8], next: Option<&OsString>) -> Result<usize, Error> {
    let (name, attached) = match text.iter().position(|byte| *byte == b'=') {
        Some(cut) => (&text[..cut], Some(std::ffi::OsStr::from_bytes(&text[cut + 1..]).to_os_string())),
        None => (text, None),
    };
    let command = parsed.command;
    let Some(opt) = command.options.iter().find(|opt| opt.name.as_bytes() == name) else {
        let name = String::from_utf8_lossy(name);
        return Err(refused(command, &name, "schema does not allow additional properties."));
    };
    let (value, used) = match (opt.value, attached, next) {
        (Value::Boolean, None, next) => match next.and_then(|word| word.to_str()).and_then(boolean) {
            Some(value) => (value.into(), 1),
            None => ("true".into(), 0),
        },
        (_, Some(value), _) => (value, 0),
        (_, None, Some(value)) => (value.clone(), 1),
        (_, None, None) => return Err(refused(command, opt.name, "missing parameter value.")),
    };
    let value = check(command, opt, value)?;
    parsed.options.push((opt.name, value));
    Ok(used)
}

/// Holds a value against its kind.
fn check(command: &'static Command, opt: &Opt, value: OsString) -> Result<OsString, Error> {
    let text = value.to_string_lossy().into_owned();
    match opt.value {
        Value::Text => Ok(value),
        Value::Boolean => match boolean(&text) {
            Some(canonical) => Ok(canonical.into()),
            None => Err(refused(command, opt.name, "provided string is not a boolean")),
        },
        Value::Number(least) => match text.parse::<u64>() {
            Ok(number) if number >= least => Ok(value),
            Ok(number) => {
                let reason = format!("value must have a minimum value of {least} (got {number})");
                Err(refused(command, opt.name, &reason))
            }
            Err(_) => Err(refused(command, opt.name, "provided string is not a whole number")),
        },
        Value::Choice(choices) if choices.contains(&text.as_str()) => Ok(value),
        Value::Choice(_) => {
            Err(refused(command, opt.name, &format!("value '{text}' is not defined in the enumeration.")))
        }
    }
}

fn boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some("true"),
        "0" | "off" | "no" | "false" => Some("false"),
        _ => None,
    }
}

fn refused(command: &'static Command, name: &str, reason: &str) -> Error {
    Error::Usage { text: format!("parameter verification failed - '{name}': {reason}"), usage: describe(command) }
}

/// Finds the command that the first words name, old aliases included.
fn find(words: &[OsString]) -> Result<(&'static Command, &[OsString]), Error> {
    let mut group: Vec<&str> = Vec::new();
    loop {
        let word = words.get(group.len()).and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'));
        let Some(word) = word else {
            let mut names: Vec<_> = below(&group).filter_map(|command| command.words.get(group.len())).collect();
            names.dedup();
            let names: Vec<_> = names.into_iter().copied().collect();
            let text = format!("no command specified.\nPossible commands: {}", names.join(", "));
            return Err(Error::Usage { text, usage: overview(&group) });
        };
        let alias: Option<&[&str]> = match (group.is_empty(), word) {
            (true, "files") => Some(&["snapshot", "files"]),
            (true, "snapshots") => Some(&["snapshot", "list"]),
            _ => None,
        };
        if let Some(command) = alias.and_then(|alias| COMMANDS.iter().find(|command| command.words == alias)) {
            return Ok((command, &words[1..]));
        }
        let mut longer = group.clone();
        longer.push(word);
        if below(&longer).next().is_none() {
            return Err(Error::Usage { text: format!("no such command '{word}'"), usage: overview(&group) });
        }
        if let Some(command) = COMMANDS.iter().find(|command| command.words == longer) {
            return Ok((command, &words[longer.len()..]));
        }
        group = longer;
    }
}

fn below<'a>(group: &'a [&'a str]) -> impl Iterator<Item = &'static Command> + 'a {
    COMMANDS.iter().filter(move |command| command.words.starts_with(group))
}

/// One line for each command of a group.
fn overview(group: &[&str]) -> String {
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
fn describe(command: &Command) -> String {
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

fn help(words: &[OsString]) -> String {
    if words.is_empty() {
        return format!("{HELP}\nCommands:\n{}\n{NOTES}", overview(&[]).trim_start_matches("\nUsage:\n"));
    }
    match find(words) {
        Ok((command, _)) => describe(command),
        Err(Error::Usage { usage, .. }) => usage,
        Err(_) => HELP.to_owned(),
    }
}

pub(crate) const PROGRAM: &str = "pbs-local";

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

const REPOSITORY: Opt = Opt {
    name: "repository",
    value: Value::Text,
    about: "[[user[!token]@]host[:port]:]datastore below --root, or the path of a datastore\n(beginning with / ./ or ../). Without it PBS_REPOSITORY counts.",
};
const NS: Opt = Opt { name: "ns", value: Value::Text, about: "Namespace, as in a/b." };
const OUTPUT: Opt = Opt {
    name: "output-format",
    value: Value::Choice(&["text", "json", "json-pretty"]),
    about: "Table for people, or JSON.",
};
const KEYFILE: Opt = Opt { name: "keyfile", value: Value::Text, about: "Key file to encrypt or decrypt with." };
const KEYFD: Opt =
    Opt { name: "keyfd", value: Value::Number(0), about: "Read the key file from this open descriptor." };
const CRYPT_MODE: Opt = Opt {
    name: "crypt-mode",
    value: Value::Choice(&["none", "encrypt", "sign-only"]),
    about: "none: use no key, not even the default one. sign-only: plain data, signed manifest.",
};
const KDF: Opt = Opt {
    name: "kdf",
    value: Value::Choice(&["none", "scrypt", "pbkdf2"]),
    about: "How the passphrase protects the key file (default scrypt); none: not at all.",
};
const HINT: Opt = Opt { name: "hint", value: Value::Text, about: "A reminder of the passphrase, kept in the clear." };
const BACKUP_ID: Opt = Opt { name: "backup-id", value: Value::Text, about: "Default: this machine's name." };
const BACKUP_TYPE: Opt =
    Opt { name: "backup-type", value: Value::Choice(&["vm", "ct", "host"]), about: "Default: host." };
const BACKUP_TIME: Opt = Opt {
    name: "backup-time",
    value: Value::Number(1),
    about: "Unix seconds, default now. Must be later than the group's last snapshot.",
};
const DRY_RUN: Opt =
    Opt { name: "dry-run", value: Value::Boolean, about: "Say what would be backed up, write nothing." };
const CHUNK_SIZE: Opt = Opt {
    name: "chunk-size",
    value: Value::Number(64),
    about: "Accepted as the client accepts it; images are always cut at 4096 KiB.",
};
const ALLOW_EXISTING_DIRS: Opt = Opt {
    name: "allow-existing-dirs",
    value: Value::Boolean,
    about: "Go on where a folder of the archive is there already.",
};
const OVERWRITE: Opt = Opt {
    name: "overwrite",
    value: Value::Boolean,
    about: "Replace existing files, symbolic links and hard links (all three below).",
};
const OVERWRITE_FILES: Opt = Opt { name: "overwrite-files", value: Value::Boolean, about: "Replace existing files." };
const OVERWRITE_SYMLINKS: Opt =
    Opt { name: "overwrite-symlinks", value: Value::Boolean, about: "Replace an existing entry by a symbolic link." };
const OVERWRITE_HARDLINKS: Opt =
    Opt { name: "overwrite-hardlinks", value: Value::Boolean, about: "Replace an existing entry by a hard link." };
const IGNORE_ACLS: Opt = Opt { name: "ignore-acls", value: Value::Boolean, about: "Do not restore ACLs." };
const IGNORE_OWNERSHIP: Opt =
    Opt { name: "ignore-ownership", value: Value::Boolean, about: "Do not restore owner and group (not being root)." };
const IGNORE_PERMISSIONS: Opt =
    Opt { name: "ignore-permissions", value: Value::Boolean, about: "Do not restore modes." };
const IGNORE_XATTRS: Opt =
    Opt { name: "ignore-xattrs", value: Value::Boolean, about: "Do not restore extended attributes." };
const IGNORE_DEVICES: Opt = Opt {
    name: "ignore-extract-device-errors",
    value: Value::Boolean,
    about: "Go on where a device node cannot be made.",
};
const RATE: Opt = Opt { name: "rate", value: Value::Number(100_000), about: "Accepted, without effect here." };
const BURST: Opt = Opt { name: "burst", value: Value::Number(1000), about: "Accepted, without effect here." };

const SNAPSHOT: Positional =
    Positional { name: "snapshot", optional: false, many: false, about: "type/id/time, as snapshot list shows it." };
const KEY_PATH: Positional =
    Positional { name: "path", optional: true, many: false, about: "Key file. Without it the default key is meant." };

/// Every command, sorted by its words.
static COMMANDS: &[Command] = &[
    Command {
        verb: Verb::Backup,
        words: &["backup"],
        about: "Make a snapshot of folders (pxar), images (img) and small files (conf, log).",
        positionals: &[Positional {
            name: "backupspec",
            optional: false,
            many: true,
            about: "label.ext:path, where ext is pxar (a folder), img (an image or block device),\nconf or log (a small file). Can be given more than once.",
        }],
        options: &[
            &BACKUP_ID,
            &BACKUP_TIME,
            &BACKUP_TYPE,
            &BURST,
            &CHUNK_SIZE,
            &CRYPT_MODE,
            &DRY_RUN,
            &KEYFD,
            &KEYFILE,
            &NS,
            &RATE,
            &REPOSITORY,
        ],
    },
    Command {
        verb: Verb::DatastoreCreate,
        words: &["datastore", "create"],
        about: "Make an empty datastore (not a command of proxmox-backup-client).",
        positionals: &[Positional {
            name: "path",
            optional: false,
            many: false,
            about: "The new folder: a path, or a plain name below --root.",
        }],
        options: &[],
    },
    Command {
        verb: Verb::KeyChangePassphrase,
        words: &["key", "change-passphrase"],
        about: "Set, change or remove the passphrase of a key file. Asks on the terminal.",
        positionals: &[KEY_PATH],
        options: &[&HINT, &KDF],
    },
    Command {
        verb: Verb::KeyCreate,
        words: &["key", "create"],
        about: "Make a new key file; never replaces one.",
        positionals: &[KEY_PATH],
        options: &[&HINT, &KDF],
    },
    Command {
        verb: Verb::KeyShow,
        words: &["key", "show"],
        about: "Show what a key file says about itself. Opens nothing and checks nothing.",
        positionals: &[KEY_PATH],
        options: &[&OUTPUT],
    },
    Command {
        verb: Verb::List,
        words: &["list"],
        about: "List the groups with their last snapshots.",
        positionals: &[],
        options: &[&NS, &OUTPUT, &REPOSITORY],
    },
    Command {
        verb: Verb::Login,
        words: &["login"],
        about: "Does nothing for a token, as with the client: it proves nothing.",
        positionals: &[],
        options: &[&REPOSITORY],
    },
    Command {
        verb: Verb::Logout,
        words: &["logout"],
        about: "Does nothing; there is no ticket.",
        positionals: &[],
        options: &[&REPOSITORY],
    },
    Command {
        verb: Verb::NamespaceCreate,
        words: &["namespace", "create"],
        about: "Make a namespace.",
        positionals: &[Positional { name: "ns", optional: false, many: false, about: "Its name, as in a/b." }],
        options: &[&REPOSITORY],
    },
    Command {
        verb: Verb::NamespaceList,
        words: &["namespace", "list"],
        about: "List the namespaces.",
        positionals: &[Positional { name: "ns", optional: true, many: false, about: "Only those below this one." }],
        options: &[&OUTPUT, &REPOSITORY],
    },
    Command {
        verb: Verb::Restore,
        words: &["restore"],
        about: "Bring an archive of a snapshot back.",
        positionals: &[
            Positional {
                name: "snapshot",
                optional: false,
                many: false,
                about: "type/id/time; or type/id, which means the newest snapshot of the group.",
            },
            Positional {
                name: "archive-name",
                optional: false,
                many: false,
                about: "As it was backed up (root.pxar, disk.img, guest.conf), or index.json.",
            },
            Positional {
                name: "target",
                optional: false,
                many: false,
                about: "Folder (pxar; made with its parents) or new file (its folder must exist). - is stdout.",
            },
        ],
        options: &[
            &ALLOW_EXISTING_DIRS,
            &BURST,
            &CRYPT_MODE,
            &IGNORE_ACLS,
            &IGNORE_DEVICES,
            &IGNORE_OWNERSHIP,
            &IGNORE_PERMISSIONS,
            &IGNORE_XATTRS,
            &KEYFD,
            &KEYFILE,
            &NS,
            &OVERWRITE,
            &OVERWRITE_FILES,
            &OVERWRITE_HARDLINKS,
            &OVERWRITE_SYMLINKS,
            &RATE,
            &REPOSITORY,
        ],
    },
    Command {
        verb: Verb::SnapshotFiles,
        words: &["snapshot", "files"],
        about: "List the files of a snapshot.",
        positionals: &[SNAPSHOT],
        options: &[&NS, &OUTPUT, &REPOSITORY],
    },
    Command {
        verb: Verb::SnapshotList,
        words: &["snapshot", "list"],
        about: "List snapshots.",
        positionals: &[Positional {
            name: "group",
            optional: true,
            many: false,
            about: "type/id. Without it all groups are listed.",
        }],
        options: &[&NS, &OUTPUT, &REPOSITORY],
    },
    Command {
        verb: Verb::Status,
        words: &["status"],
        about: "Show how full the datastore's file system is.",
        positionals: &[],
        options: &[&OUTPUT, &REPOSITORY],
    },
    Command {
        verb: Verb::Version,
        words: &["version"],
        about: "Show the version whose behaviour this is. Exits 0 even if the repository cannot be used.",
        positionals: &[],
        options: &[&OUTPUT, &REPOSITORY],
    },
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn run(text: &str) -> Parsed {
        match parse(&words(text)).unwrap() {
            Asked::Run(parsed) => parsed,
            Asked::Help(text) => panic!("help instead: {text}"),
        }
    }

    #[test]
    fn options_stand_anywhere_and_in_both_spellings() {
        let parsed = run("restore --ns=a/b host/x root.pxar --keyfile K --overwrite out --ignore-acls no");
        assert_eq!(parsed.positionals(), ["host/x", "root.pxar", "out"]);
        assert_eq!(parsed.text("ns").unwrap(), Some("a/b"));
        assert_eq!(parsed.text("keyfile").unwrap(), Some("K"));
        assert!(parsed.flag("overwrite"));
        assert!(!parsed.flag("ignore-acls"));
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for (line, text) in [
            ("bogus", "no such command 'bogus'"),
            ("key info", "no such command 'info'"),
            ("status x", "got additional arguments: [\"x\"]"),
            (
                "restore host/x",
                "parameter verification failed - 'archive-name': parameter is missing and it is not optional.",
            ),
            ("status --foo 1", "parameter verification failed - 'foo': schema does not allow additional properties."),
            (
                "key create --kdf bogus",
                "parameter verification failed - 'kdf': value 'bogus' is not defined in the enumeration.",
            ),
        ] {
            assert_eq!(parse(&words(line)).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn every_option_has_one_kind_and_a_description() {
        for command in COMMANDS {
            let names: Vec<_> = command.options.iter().map(|opt| opt.name).collect();
            assert!(names.is_sorted(), "{:?}", command.words);
            assert!(command.options.iter().all(|opt| !opt.about.is_empty()));
        }
        assert!(COMMANDS.is_sorted_by_key(|command| command.words));
    }
}
