//! What lies at a path: the one question by which it is decided whether a restore fills an empty place or
//! destroys something. It is asked of the file system alone; what a hub or a directive calls a place is no
//! answer to it.
//!
//! Two places are never restored to, whoever asks: where a mounted file system hangs, and where the system
//! by itself runs, loads or obeys what it finds. What comes out of a backup has content that somebody else
//! may have chosen; there it would be a program.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use tenwords_protocol::hash::Sha256;

use crate::show::{harmless, size};

/// What lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    /// A folder without anything in it.
    EmptyFolder,
    /// Something that a restore would destroy.
    Thing {
        /// For a person.
        told: String,
        /// Which changes with whatever is changed there.
        found: Sha256,
    },
    /// Nothing may be put here, with or without an order.
    Never(String),
}

/// More entries are not counted, and what is not counted is not destroyed.
const MOST: u64 = 5_000_000;

/// Looks.
pub(crate) fn look(path: &Path) -> io::Result<There> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        found => found?,
    };
    if !found.is_dir() {
        return Ok(one(path, &found));
    }
    let parent = path.parent().map(|parent| mount(parent, AtFlags::empty())).transpose()?;
    let is_mounted = parent != Some(mount(path, AtFlags::SYMLINK_NOFOLLOW)?);
    let mut entries = fs::read_dir(path)?;
    if entries.next().transpose()?.is_none() {
        return Ok(There::EmptyFolder);
    }
    if is_mounted {
        return Ok(There::Never(format!("{} is a mounted file system with something in it", path.display())));
    }
    tree(path, &found)
}

fn one(path: &Path, found: &Metadata) -> There {
    let kind = found.file_type();
    let what = if kind.is_symlink() {
        let to = fs::read_link(path).map(|to| harmless(&to.display().to_string(), 120)).unwrap_or_default();
        format!("a symbolic link to {to}")
    } else if kind.is_file() {
        format!("a file of {}", size(found.len()))
    } else if kind.is_block_device() || kind.is_char_device() {
        return There::Never(format!("{} is a device", path.display()));
    } else {
        "a socket or pipe".to_owned()
    };
    let facts = format!("one\n{}", of(found));
    There::Thing { told: format!("{}: {what}", path.display()), found: Sha256::of(facts.as_bytes()) }
}

fn tree(path: &Path, top: &Metadata) -> io::Result<There> {
    let (mut entries, mut bytes, mut all) = (0_u64, 0_u64, Sha256::of(b""));
    let here = mount(path, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        // In an order of ours: a folder lists them in one of its own.
        let names = fs::read_dir(&folder)?.take(MOST as usize + 1).map(|entry| Ok(entry?.file_name()));
        let mut names: Vec<_> = names.collect::<io::Result<_>>()?;
        names.sort_unstable();
        for at in names.iter().map(|name| folder.join(name)) {
            // Not of where a link leads to.
            let found = fs::symlink_metadata(&at)?;
            if mount(&at, AtFlags::SYMLINK_NOFOLLOW)? != here {
                let at = harmless(&at.display().to_string(), 200);
                return Ok(There::Never(format!("another file system is mounted in it, at {at}")));
            }
            entries += 1;
            if entries > MOST {
                return Ok(There::Never(format!("{} holds more than {MOST} entries", path.display())));
            }
            // By its place in the tree, which stays the same wherever the tree is moved to.
            let place = at.strip_prefix(path).unwrap_or(&at).as_os_str().as_encoded_bytes();
            let facts = format!("\n{} {}.{}", of(&found), found.ctime(), found.ctime_nsec());
            all = Sha256::of(&[&all.as_bytes()[..], place, facts.as_bytes()].concat());
            if found.is_dir() {
                folders.push(at);
            } else if found.is_file() {
                bytes = bytes.saturating_add(found.len());
            }
        }
    }
    let facts = format!("tree\n{}\n{entries} {bytes} {all}", of(top));
    let told = format!("{}: a folder with {entries} entries, {} in files", path.display(), size(bytes));
    Ok(There::Thing { told, found: Sha256::of(facts.as_bytes()) })
}

/// Which mounted file system it lies in: of one device there may be several, and one within another.
fn mount(path: &Path, how: AtFlags) -> io::Result<(u64, u32, u32)> {
    let found = statx(CWD, path, how, StatxFlags::MNT_ID)?;
    Ok((found.stx_mnt_id, found.stx_dev_major, found.stx_dev_minor))
}

/// Of one entry, what changes when it becomes another one.
fn of(found: &Metadata) -> String {
    format!(
        "{} {} {:o} {} {} {} {}.{}",
        found.dev(),
        found.ino(),
        found.mode(),
        found.uid(),
        found.gid(),
        if found.is_dir() { 0 } else { found.len() },
        found.mtime(),
        found.mtime_nsec()
    )
}

/// Why nothing is ever restored to this path, if that is so.
pub(crate) fn is_run_by_the_system(path: &Path) -> Option<String> {
    let real = resolved(path);
    let why = |at: &Path| {
        format!("the system itself runs or obeys what lies in {}: nothing is restored there by itself", at.display())
    };
    for path in [path, &real] {
        let obeyed = OBEYED.iter().map(Path::new).find(|obeyed| path.starts_with(obeyed) || obeyed.starts_with(path));
        if let Some(obeyed) = obeyed {
            return Some(why(obeyed));
        }
        let hidden = path
            .components()
            .find(|part| matches!(part, Component::Normal(name) if RUN_IN_HOMES.iter().any(|run| name == run)));
        // A whole home has all of these in it.
        let is_home = path == Path::new(HOMES) || path.parent() == Some(Path::new(HOMES));
        if hidden.is_some() || is_home {
            return Some(why(path));
        }
    }
    None
}

/// The path with every link in what there is of it followed.
fn resolved(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(below)) = (fs::canonicalize(above), path.strip_prefix(above)) {
            return real.join(below);
        }
    }
    path.to_owned()
}

/// Where services, package managers, boot loaders, shells and Proxmox VE look for what they run or obey; and
/// what would take these places along.
const OBEYED: [&str; 22] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/dpkg",
    "/var/lib/lxc",
    "/var/lib/pve-cluster",
    "/var/lib/pve-manager",
    "/var/lib/systemd",
    "/var/lib/tenwords-agent",
    "/var/lib/vz/snippets",
    "/var/spool",
];
/// What a login runs or believes, in whoever's home.
const RUN_IN_HOMES: [&str; 16] = [
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".config",
    ".forward",
    ".gnupg",
    ".local",
    ".pam_environment",
    ".profile",
    ".ssh",
    ".vimrc",
    ".zlogin",
    ".zprofile",
    ".zshenv",
    ".zshrc",
];
const HOMES: &str = "/home";

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn found(path: &Path) -> Option<Sha256> {
        match look(path) {
            Ok(There::Thing { found, .. }) => Some(found),
            _ => None,
        }
    }

    #[test]
    fn what_lies_there_decides_and_any_change_is_another_thing() -> Tested {
        let base = tempfile::tempdir()?;
        let target = base.path().join("data");
        assert_eq!(look(&target)?, There::Nothing);
        fs::create_dir(&target)?;
        assert_eq!(look(&target)?, There::EmptyFolder);
        fs::create_dir_all(target.join("a/b"))?;
        fs::write(target.join("a/b/file"), "x")?;
        let first = found(&target);
        assert!(first.is_some() && first == found(&target));
        fs::write(target.join("a/b/file"), "y")?;
        let second = found(&target);
        assert!(second.is_some() && second != first);
        fs::remove_file(target.join("a/b/file"))?;
        assert!(found(&target) != second && found(&target) != first);
        let file = base.path().join("file");
        fs::write(&file, "x")?;
        let first = found(&file);
        fs::write(&file, "xy")?;
        assert!(first.is_some() && first != found(&file));
        // A link is one thing, whatever it leads to.
        let link = base.path().join("link");
        std::os::unix::fs::symlink(&target, &link)?;
        assert!(matches!(look(&link)?, There::Thing { told, .. } if told.contains("a symbolic link to")));
        assert!(matches!(look(Path::new("/dev/null"))?, There::Never(_)));
        assert!(matches!(look(Path::new("/proc"))?, There::Never(_)));
        Ok(())
    }

    #[test]
    fn nothing_comes_to_where_the_system_would_run_it() -> Tested {
        for path in [
            "/",
            "/etc",
            "/etc/cron.d/job",
            "/usr/local/bin/x",
            "/root/.ssh/authorized_keys",
            "/var",
            "/var/spool/cron",
            "/var/lib/vz/snippets/hook.sh",
            "/var/lib/pve-cluster/config.db",
            "/home",
            "/home/marta",
            "/home/marta/.ssh",
            "/home/marta/.bashrc",
            "/lib/systemd/system/x.service",
        ] {
            assert!(is_run_by_the_system(Path::new(path)).is_some(), "{path}");
        }
        for path in ["/srv/data", "/home/marta/documents", "/mnt/backup", "/var/lib/vz/images", "/data/etc"] {
            assert_eq!(is_run_by_the_system(Path::new(path)), None, "{path}");
        }
        // Neither by a link that leads there.
        let base = tempfile::tempdir()?;
        let link = base.path().join("harmless");
        std::os::unix::fs::symlink("/etc", &link)?;
        assert!(is_run_by_the_system(&link.join("cron.d/job")).is_some());
        Ok(())
    }
}
