//! The table of commands with their arguments and options.

use super::{Command, Opt, Positional, Value, Verb};

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
const PRUNE_DRY_RUN: Opt =
    Opt { name: "dry-run", value: Value::Boolean, about: "Only say it. Without this nothing is said or done." };
const KEEP_LAST: Opt =
    Opt { name: "keep-last", value: Value::Number(1), about: "Number of backups to keep; without it all are kept." };
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
pub(super) static COMMANDS: &[Command] = &[
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
        verb: Verb::Prune,
        words: &["prune"],
        about: "Say what a server would keep of a group. Removes nothing, ever.",
        positionals: &[Positional { name: "group", optional: false, many: false, about: "type/id." }],
        options: &[&PRUNE_DRY_RUN, &KEEP_LAST, &NS, &OUTPUT, &REPOSITORY],
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
