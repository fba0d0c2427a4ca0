//! Fills a folder: real files of this machine first, then one of everything that is easily lost.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::sys::time::TimeSpec;
use nix::{
    sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat},
    unistd::{Uid, mkfifo},
};

/// What a made folder holds.
#[derive(Debug, Default)]
pub struct Made {
    /// Regular files copied from this machine.
    pub copied: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// What this machine or user could not make, in words.
    pub left_out: Vec<String>,
}

/// Fills `folder` (missing or empty) with about `bytes` of data.
///
/// Only files that everybody may read are copied: no secret of this machine gets into it.
///
/// # Errors
/// What the system said.
pub fn make(folder: &Path, bytes: u64) -> Result<Made> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut made = Made::default();
    let real = bytes.min(MOST_REAL);
    for (index, root) in ROOTS.iter().enumerate() {
        // What one root leaves of its share goes to the next.
        let share = real * (index as u64 + 1) / ROOTS.len() as u64;
        let target = folder.join("real").join(root.trim_start_matches('/'));
        fs::create_dir_all(&target)?;
        copy(Path::new(root), &target, share, &mut made).with_context(|| format!("copying {root}"))?;
    }
    filler(&folder.join("filler"), bytes, &mut made)?;
    oddities(&folder.join("odd"), &mut made).context("making one of everything")?;
    // Times of folders come last: whatever is made inside changes them.
    stamp(folder, (1_600_000_000, 123_456_789))?;
    Ok(made)
}

/// Copies regular files and links below `from` until the whole tree has `until` bytes.
fn copy(from: &Path, to: &Path, until: u64, made: &mut Made) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    let mut names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let mut here = 0;
    for name in names {
        if made.bytes >= until {
            break;
        }
        let (source, target) = (from.join(&name), to.join(&name));
        let Ok(found) = fs::symlink_metadata(&source) else { continue };
        let kind = found.file_type();
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target, until, made)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() && found.mode() & 0o004 != 0 && found.len() <= MOST_OF_ONE && here < MOST_IN_FOLDER {
            // A file of a running system may vanish or be refused; the rest is enough.
            let Ok(length) = fs::copy(&source, &target) else { continue };
            made.bytes += length;
            made.copied += 1;
            here += 1;
        } else {
            continue;
        }
        take_over(&target, &found)?;
    }
    Ok(())
}

/// Owner, mode and time of the original.
fn take_over(target: &Path, found: &fs::Metadata) -> Result<()> {
    if Uid::effective().is_root() {
        lchown(target, Some(found.uid()), Some(found.gid()))?;
    }
    if !found.file_type().is_symlink() {
        fs::set_permissions(target, Permissions::from_mode(found.mode() & 0o7777))?;
    }
    stamp(target, (found.mtime(), found.mtime_nsec()))
}

/// Files of 8 MiB, by turns of noise and of text, up to `until`.
fn filler(folder: &Path, until: u64, made: &mut Made) -> Result<()> {
    fs::create_dir(folder)?;
    let mut noise = File::open("/dev/urandom")?;
    let mut piece = vec![0; 1 << 20];
    let mut number = 0_u32;
    while made.bytes + (8 << 20) <= until {
        let mut file = File::create(folder.join(format!("{number:05}")))?;
        for part in 0..8_u32 {
            if number.is_multiple_of(2) {
                noise.read_exact(&mut piece)?;
            } else {
                // No chunk of it equals another, and it can be compressed.
                let line = format!("file {number}, part {part}: the quick brown fox jumps over the lazy dog\n");
                for block in piece.chunks_mut(line.len()) {
                    block.copy_from_slice(&line.as_bytes()[..block.len()]);
                }
            }
            file.write_all(&piece)?;
        }
        made.bytes += 8 << 20;
        number += 1;
    }
    stamp(folder, (1_700_000_000, 0))
}

/// One of everything that the writer of the archive knows.
fn oddities(odd: &Path, made: &mut Made) -> Result<()> {
    fs::create_dir(odd)?;
    let root = Uid::effective().is_root();
    let file = |name: &OsStr, content: &[u8]| -> io::Result<PathBuf> {
        let path = odd.join(name);
        fs::write(&path, content)?;
        Ok(path)
    };
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("secret", 0o600), ("open", 0o777)]
    {
        let path = file(OsStr::new(name), name.as_bytes())?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    for (name, mode) in [("empty-folder", 0o755), ("drop-box", 0o1777), ("team", 0o2775), ("private", 0o700)] {
        fs::create_dir(odd.join(name))?;
        fs::set_permissions(odd.join(name), Permissions::from_mode(mode))?;
    }
    file(OsStr::new("empty-file"), b"")?;
    for name in [
        b"not UTF-8 \xff\xfe".as_slice(),
        b"line\nbreak",
        b" blank ",
        b"-rf",
        "grüße ✓".as_bytes(),
        b"tab\tand \x1b[31m",
    ] {
        file(OsStr::from_bytes(name), name)?;
    }
    file(OsStr::from_bytes(&[b'n'; 255]), b"the longest name")?;
    // Owners, as a container with shifted ids has them, and a file that nobody may read.
    if root {
        let closed = file(OsStr::new("closed"), b"closed")?;
        fs::set_permissions(closed, Permissions::from_mode(0o000))?;
        for (uid, gid) in [(1000, 1000), (65534, 65534), (100_000, 100_033), (0, 4_000_000_000)] {
            let path = file(OsStr::new(&format!("owner-{uid}-{gid}")), b"owned")?;
            lchown(&path, Some(uid), Some(gid))?;
            fs::set_permissions(&path, Permissions::from_mode(0o4751))?;
        }
    } else {
        made.left_out.push("files of other owners, and one that nobody may read: only root can back them up".into());
    }
    // Times.
    for (name, seconds, nanoseconds) in [
        ("before-1970", -12_345_678, 1),
        ("1901", -2_147_483_648, 0),
        ("nanoseconds", 1_772_539_200, 987_654_321),
        ("after-2038", 4_102_444_800, 999_999_999),
    ] {
        stamp(&file(OsStr::new(name), name.as_bytes())?, (seconds, nanoseconds))?;
    }
    // Links.
    for (name, target) in [
        ("link-relative", "setuid"),
        ("link-up", "../real"),
        ("link-absolute", "/etc/hostname"),
        ("link-dangling", "nowhere/at all"),
        ("link-itself", "link-itself"),
    ] {
        symlink(target, odd.join(name))?;
        stamp(&odd.join(name), (1_500_000_000, 5))?;
    }
    symlink(OsStr::from_bytes(b"\xff\xfe"), odd.join("link-not-UTF-8"))?;
    let first = file(OsStr::new("hard-1"), b"one file with three names")?;
    fs::hard_link(&first, odd.join("private/hard-2"))?;
    fs::hard_link(&first, odd.join("hard-3"))?;
    // A hole, with data behind it.
    let mut hole = OpenOptions::new().write(true).create_new(true).open(odd.join("hole"))?;
    hole.seek(SeekFrom::Start(5 << 20))?;
    hole.write_all(b"behind the hole")?;
    // Extended attributes.
    let noted = file(OsStr::new("attributes"), b"noted")?;
    let attributes: [(&str, &[u8]); 3] =
        [("user.note", b"kept"), ("user.binary", b"\x00\x01\xff"), ("user.empty", b"")];
    for (name, value) in attributes {
        for path in [&noted, &odd.join("team")] {
            if let Err(error) = xattr::set(path, name, value) {
                made.left_out.push(format!("extended attribute {name}: {error}"));
            }
        }
    }
    // Deep, and many.
    let deep: PathBuf = (0..20).fold(odd.join("deep"), |path, depth| path.join(format!("{depth}")));
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("bottom"), b"twenty folders down")?;
    fs::create_dir(odd.join("many"))?;
    for number in 0..500 {
        fs::write(odd.join(format!("many/{number}")), number.to_string())?;
    }
    // Special files.
    mkfifo(&odd.join("fifo"), Mode::from_bits_truncate(0o640))?;
    drop(UnixListener::bind(odd.join("socket")).map_err(|error| made.left_out.push(format!("a socket: {error}"))));
    for (name, kind, major, minor) in [("null", SFlag::S_IFCHR, 1, 3), ("disk", SFlag::S_IFBLK, 7, 200)] {
        let made_it = mknod(&odd.join(name), kind, Mode::from_bits_truncate(0o600), makedev(major, minor));
        if let Err(error) = made_it {
            made.left_out.push(format!("a device node: {error}"));
        }
    }
    stamp(odd, (1_234_567_890, 1))
}

/// Sets the time of last change, of a link itself too.
fn stamp(path: &Path, (seconds, nanoseconds): (i64, i64)) -> Result<()> {
    let time = TimeSpec::new(seconds, nanoseconds);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .with_context(|| format!("setting the time of {}", path.display()))
}

/// Where real files are taken from.
const ROOTS: [&str; 4] = ["/etc", "/usr/bin", "/usr/lib", "/usr/share"];
/// Beyond this, size is made and not copied.
const MOST_REAL: u64 = 256 << 20;
const MOST_OF_ONE: u64 = 2 << 20;
const MOST_IN_FOLDER: u32 = 60;
