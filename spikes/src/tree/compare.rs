//! Reads a folder with everything that a backup must bring back, and compares two readings.
//!
//! Not compared, since no archive carries them: inode numbers, access and change times, and the
//! blocks that a sparse file takes.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt::{self, Write as _},
    fs::{self, File},
    io::Read as _,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Everything below one folder, the folder itself under the empty path.
#[derive(Debug, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Node>);

#[derive(Debug, PartialEq, Eq)]
struct Node {
    content: Content,
    mode: u32,
    owner: (u32, u32),
    changed: (i64, i64),
    attributes: BTreeMap<OsString, Vec<u8>>,
    /// The first path (by name) of the same file, if it has several.
    same_as: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Device { block: bool, number: u64 },
    Directory,
    Fifo,
    File { size: u64, sha256: [u8; 32] },
    Link(PathBuf),
    Socket,
}

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, relative to both folders.
    pub path: PathBuf,
    /// What.
    pub what: &'static str,
}

impl Tree {
    /// Reads `folder`.
    ///
    /// # Errors
    /// What the system said; a tree that cannot be read whole is not compared.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        let mut several = BTreeMap::new();
        read(folder, PathBuf::new(), &mut nodes, &mut several)?;
        // Names in order, so that both readings call the same name the first.
        let mut firsts: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
        for (path, file) in &several {
            firsts.entry(*file).or_insert_with(|| path.clone());
        }
        for (path, file) in several {
            if let (Some(node), Some(first)) = (nodes.get_mut(&path), firsts.get(&file)) {
                node.same_as = Some(first.clone());
            }
        }
        Ok(Self(nodes))
    }

    /// How many things it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has nothing, not even itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are of each kind, in words.
    #[must_use]
    pub fn census(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut attributes = 0;
        for node in self.0.values() {
            *counts.entry(node.content.name()).or_default() += 1;
            attributes += node.attributes.len();
            if node.same_as.is_some() {
                *counts.entry("names of hard links").or_default() += 1;
            }
        }
        let mut text = String::new();
        for (name, count) in counts {
            let _ = write!(text, "{count} {name}, ");
        }
        let _ = write!(text, "{attributes} extended attributes");
        text
    }

    /// One hash over all of it.
    #[must_use]
    pub fn digest(&self) -> String {
        // Debug of plain data: two trees are equal if and only if their texts are.
        let mut hash = Sha256::new();
        for entry in &self.0 {
            hash.update(format!("{entry:?}\n"));
        }
        hex::encode(hash.finalize())
    }
}

/// What `found` has otherwise than `expected`, in the order of the paths.
#[must_use]
pub fn differences(expected: &Tree, found: &Tree) -> Vec<Difference> {
    let mut out = Vec::new();
    for (path, node) in &expected.0 {
        let mut note = |what| out.push(Difference { path: path.clone(), what });
        let Some(other) = found.0.get(path) else {
            note("is missing");
            continue;
        };
        for (differs, what) in [
            (node.content != other.content, "has another type, content or target"),
            (node.mode != other.mode, "has another mode"),
            (node.owner != other.owner, "has another owner"),
            (node.changed != other.changed, "has another time"),
            (node.attributes != other.attributes, "has other extended attributes"),
            (node.same_as != other.same_as, "is linked otherwise"),
        ] {
            if differs {
                note(what);
            }
        }
    }
    let strays = found.0.keys().filter(|path| !expected.0.contains_key(*path));
    out.extend(strays.map(|path| Difference { path: path.clone(), what: "was not there before" }));
    out
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.path, self.what)
    }
}

impl Content {
    fn name(&self) -> &'static str {
        match self {
            Self::Device { .. } => "device nodes",
            Self::Directory => "folders",
            Self::Fifo => "fifos",
            Self::File { .. } => "files",
            Self::Link(_) => "symbolic links",
            Self::Socket => "sockets",
        }
    }
}

fn read(
    root: &Path,
    path: PathBuf,
    nodes: &mut BTreeMap<PathBuf, Node>,
    several: &mut BTreeMap<PathBuf, (u64, u64)>,
) -> Result<()> {
    // An empty name would make a trailing slash, which follows a link.
    let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
    let found = fs::symlink_metadata(&full).with_context(|| format!("looking at {}", full.display()))?;
    let kind = found.file_type();
    let content = if kind.is_dir() {
        Content::Directory
    } else if kind.is_symlink() {
        Content::Link(fs::read_link(&full)?)
    } else if kind.is_file() {
        let sha256 = hash(&full).with_context(|| format!("reading {}", full.display()))?;
        Content::File { size: found.len(), sha256 }
    } else if kind.is_fifo() {
        Content::Fifo
    } else if kind.is_socket() {
        Content::Socket
    } else {
        Content::Device { block: kind.is_block_device(), number: found.rdev() }
    };
    if found.nlink() > 1 && !kind.is_dir() {
        several.insert(path.clone(), (found.dev(), found.ino()));
    }
    let mut attributes = BTreeMap::new();
    if kind.is_file() || kind.is_dir() {
        for name in xattr::list(&full).with_context(|| format!("listing the attributes of {}", full.display()))? {
            if let Some(value) = xattr::get(&full, &name)? {
                attributes.insert(name, value);
            }
        }
    }
    let node = Node {
        content,
        mode: found.mode() & 0o7777,
        owner: (found.uid(), found.gid()),
        changed: (found.mtime(), found.mtime_nsec()),
        attributes,
        same_as: None,
    };
    nodes.insert(path.clone(), node);
    if kind.is_dir() {
        for entry in fs::read_dir(&full).with_context(|| format!("listing {}", full.display()))? {
            let name: Vec<u8> = entry?.file_name().into_vec();
            read(root, path.join(OsStr::from_bytes(&name)), nodes, several)?;
        }
    }
    Ok(())
}

fn hash(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&piece[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt as _, symlink},
        time::{Duration, SystemTime},
    };

    use super::*;

    /// Each thing that a careless restore loses is seen.
    #[test]
    fn every_loss_is_noticed() -> Result<()> {
        let base = tempfile::tempdir()?;
        let fresh = |name: &str| -> Result<PathBuf> {
            let folder = base.path().join(name);
            fs::create_dir(&folder)?;
            fs::write(folder.join("a"), "content")?;
            fs::hard_link(folder.join("a"), folder.join("b"))?;
            fs::write(folder.join("c"), "content")?;
            symlink("a", folder.join("link"))?;
            xattr::set(folder.join("c"), "user.note", b"x")?;
            for file in ["a", "c", "."] {
                File::open(folder.join(file))?.set_modified(SystemTime::UNIX_EPOCH + Duration::new(5, 7))?;
            }
            let time = nix::sys::time::TimeSpec::new(5, 7);
            let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
            nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &folder.join("link"), &time, &time, flag)?;
            Ok(folder)
        };
        let expected = Tree::read(&fresh("expected")?)?;
        let same = Tree::read(&fresh("same")?)?;
        assert_eq!(differences(&expected, &same), []);
        assert_eq!(expected.digest(), same.digest());
        type Lose = fn(&Path) -> Result<()>;
        let losses: [(&str, Lose); 9] = [
            ("is missing", |f| Ok(fs::remove_file(f.join("c"))?)),
            ("was not there before", |f| Ok(fs::write(f.join("d"), "")?)),
            ("has another type, content or target", |f| Ok(fs::write(f.join("c"), "Content")?)),
            ("has another type, content or target", |f| {
                fs::remove_file(f.join("link"))?;
                Ok(symlink("b", f.join("link"))?)
            }),
            ("has another mode", |f| Ok(fs::set_permissions(f.join("c"), Permissions::from_mode(0o4644))?)),
            ("has another time", |f| {
                Ok(File::open(f.join("c"))?.set_modified(SystemTime::UNIX_EPOCH + Duration::new(5, 8))?)
            }),
            ("has another time", |f| Ok(File::open(f)?.set_modified(SystemTime::UNIX_EPOCH)?)),
            ("has other extended attributes", |f| Ok(xattr::remove(f.join("c"), "user.note")?)),
            ("is linked otherwise", |f| {
                fs::remove_file(f.join("b"))?;
                Ok(fs::write(f.join("b"), "content")?)
            }),
        ];
        for (index, (what, lose)) in losses.into_iter().enumerate() {
            let folder = fresh(&format!("lost-{index}"))?;
            lose(&folder)?;
            let found = Tree::read(&folder)?;
            let seen = differences(&expected, &found);
            assert!(seen.iter().any(|difference| difference.what == what), "{index}: {what}: {seen:?}");
            assert_ne!(expected.digest(), found.digest(), "{index}");
        }
        Ok(())
    }
}
