//! Archives by hand, folders that can always be removed, and a tree's state as plain data.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pbs_format::pxar::{Decoder, Encoder, EntryKind, Event, Metadata, SpecialFile};
use rustix::fs::IFlags;
use sha2::{Digest, Sha256};

/// Whether this process may do what only root may; says so loudly if not.
pub(crate) fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(what, "it needs root");
    }
    root
}

/// Names what is not tested here, past the harness' capture.
pub(crate) fn skipped(what: &str, why: impl std::fmt::Display) {
    let line = format!("\nSKIPPED: {what}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A temporary folder that goes away even if something in it is immutable.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        unseal(self.path());
    }
}

/// Takes away what keeps files from being removed.
fn unseal(path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if !(metadata.is_dir() || metadata.is_file()) {
        return;
    }
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    if let Ok(file) = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        && let Ok(flags) = rustix::fs::ioctl_getflags(&file)
        && flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND)
    {
        rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE - IFlags::APPEND).unwrap();
    }
    if metadata.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        let names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.iter().for_each(|path| unseal(path));
    }
}

/// Items written by hand, right or wrong.
#[derive(Clone, Default)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

pub(crate) const ENTRY: u64 = 0xd595_6474_e588_acef;
pub(crate) const ENTRY_OLD: u64 = 0x11da_850a_1c1c_ceff;
pub(crate) const XATTR: u64 = 0x0dab_0229_b57d_cd03;
pub(crate) const ACL_USER: u64 = 0x2ce8_540a_457d_55b8;
pub(crate) const ACL_GROUP: u64 = 0x136e_3ece_b04c_03ab;
pub(crate) const ACL_GROUP_OBJ: u64 = 0x1086_8031_e958_2876;
pub(crate) const ACL_DEFAULT: u64 = 0xbbbb_1341_5a68_96f5;
pub(crate) const ACL_DEFAULT_USER: u64 = 0xc893_57b4_0532_cd1f;
pub(crate) const ACL_DEFAULT_GROUP: u64 = 0xf90a_8a58_1603_8ffe;
pub(crate) const FCAPS: u64 = 0x2da9_dd9d_b5f7_fb67;
pub(crate) const QUOTA_PROJID: u64 = 0xe075_40e8_2f7d_1cbb;
pub(crate) const FILENAME: u64 = 0x1670_1121_0639_17b3;
pub(crate) const SYMLINK: u64 = 0x27f9_71e7_dbf5_dc5f;
pub(crate) const HARDLINK: u64 = 0x5126_9c84_22bd_7275;
pub(crate) const DEVICE: u64 = 0x9fc9_e906_586d_5ce9;
pub(crate) const PAYLOAD: u64 = 0x2814_7a1b_0b7c_1a25;
pub(crate) const GOODBYE: u64 = 0x2fec_4fa6_42d5_731d;

impl Raw {
    /// An archive that begins with a root folder.
    pub(crate) fn rooted() -> Self {
        Self::default().entry(0o040_755)
    }

    pub(crate) fn item(self, kind: u64, content: &[u8]) -> Self {
        let size = content.len() as u64 + 16;
        self.header(kind, size).bytes(content)
    }

    pub(crate) fn header(self, kind: u64, size: u64) -> Self {
        self.bytes(&kind.to_le_bytes()).bytes(&size.to_le_bytes())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// ENTRY of the user and group that run the test.
    pub(crate) fn entry(self, mode: u64) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        self.entry_of(mode, uid, gid)
    }

    pub(crate) fn entry_of(self, mode: u64, uid: u32, gid: u32) -> Self {
        let mut content = Vec::new();
        content.extend_from_slice(&mode.to_le_bytes());
        content.extend_from_slice(&[0; 8]);
        content.extend_from_slice(&uid.to_le_bytes());
        content.extend_from_slice(&gid.to_le_bytes());
        content.extend_from_slice(&1_717_600_000_i64.to_le_bytes());
        content.extend_from_slice(&[0; 8]);
        self.item(ENTRY, &content)
    }

    pub(crate) fn name(self, name: &[u8]) -> Self {
        self.item(FILENAME, &[name, b"\0"].concat())
    }

    pub(crate) fn file(self, name: &[u8], content: &[u8]) -> Self {
        self.name(name).entry(0o100_644).item(PAYLOAD, content)
    }

    pub(crate) fn symlink(self, name: &[u8], target: &[u8]) -> Self {
        let target = [target, b"\0"].concat();
        self.name(name).entry(0o120_777).item(SYMLINK, &target)
    }

    pub(crate) fn folder(self, name: &[u8]) -> Self {
        self.name(name).entry(0o040_755)
    }

    /// A hard link whose distance is possible; where it leads is the path's business.
    pub(crate) fn hardlink(self, name: &[u8], target: &[u8]) -> Self {
        let content = [&1_u64.to_le_bytes()[..], target, b"\0"].concat();
        self.name(name).item(HARDLINK, &content)
    }

    /// A table that says nothing true.
    pub(crate) fn goodbye(self) -> Self {
        self.item(GOODBYE, &[0xee; 24])
    }
}

/// Decodes an archive and encodes what came out.
pub(crate) fn reencode(archive: &[u8]) -> Vec<u8> {
    reencode_with(archive, |_| ())
}

/// The same, with a change to every entry's metadata.
pub(crate) fn reencode_with(archive: &[u8], change: impl Fn(&mut Metadata)) -> Vec<u8> {
    let mut decoder = Decoder::new(archive);
    let Some(Event::Entry(root)) = decoder.next_event().unwrap() else { panic!("no root") };
    let mut encoder = Encoder::new(Vec::new(), &root.metadata).unwrap();
    let mut files = BTreeMap::new();
    let mut depth = 1;
    while let Some(event) = decoder.next_event().unwrap() {
        match event {
            Event::Leave => {
                depth -= 1;
                if depth > 0 {
                    encoder.leave().unwrap();
                }
            }
            Event::Hardlink(link) => {
                let position = files[link.target.as_os_str()];
                let here = encoder.offset();
                encoder.hardlink(link.name.as_bytes(), link.target.as_bytes(), position).unwrap();
                assert_eq!(here - position.offset(), link.distance, "{:?}", link.name);
            }
            Event::Entry(mut entry) => {
                change(&mut entry.metadata);
                let (name, metadata) = (entry.name.as_bytes(), &entry.metadata);
                match &entry.kind {
                    EntryKind::Directory => {
                        depth += 1;
                        encoder.enter(name, metadata).unwrap();
                    }
                    EntryKind::File { size } => {
                        let path = decoder.path().as_os_str().to_owned();
                        let mut content = decoder.content();
                        let written = encoder.file(name, metadata, *size, &mut content);
                        let (given, position) = written.unwrap();
                        assert_eq!(given, *size);
                        files.insert(path, position);
                    }
                    EntryKind::Symlink { target } => {
                        encoder.symlink(name, metadata, target.as_bytes()).unwrap();
                    }
                    EntryKind::Device { major, minor } => {
                        let (major, minor) = (*major, *minor);
                        let what = SpecialFile::Device { major, minor };
                        encoder.special(name, metadata, what).unwrap();
                    }
                    EntryKind::Fifo => encoder.special(name, metadata, SpecialFile::Fifo).unwrap(),
                    EntryKind::Socket => {
                        encoder.special(name, metadata, SpecialFile::Socket).unwrap();
                    }
                }
            }
        }
    }
    encoder.finish().unwrap()
}

/// Everything in an archive, content included.
pub(crate) fn events(archive: &[u8]) -> Vec<(PathBuf, Event, Vec<u8>)> {
    let mut decoder = Decoder::new(archive);
    let mut events = Vec::new();
    while let Some(event) = decoder.next_event().unwrap() {
        let mut content = Vec::new();
        decoder.content().read_to_end(&mut content).unwrap();
        events.push((decoder.path().to_owned(), event, content));
    }
    events
}

pub(crate) fn metadata(mode: u64) -> Metadata {
    Metadata {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        ..Metadata::default()
    }
}

/// What a file system says about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    /// Size and SHA-256 of a regular file.
    pub(crate) content: Option<(u64, String)>,
    /// Of a regular file; folders count differently from one file system to the next.
    pub(crate) links: Option<u64>,
    pub(crate) target: Option<OsString>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// The state of every path below a folder, the folder as the empty path; read with the standard
/// library and the `xattr` crate alone.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, State> {
    let mut states = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let real = root.join(&path);
        let metadata = real.symlink_metadata().unwrap();
        let file_type = metadata.file_type();
        let kind = match () {
            () if file_type.is_dir() => "dir",
            () if file_type.is_file() => "file",
            () if file_type.is_symlink() => "symlink",
            () if file_type.is_block_device() => "blockdev",
            () if file_type.is_char_device() => "chardev",
            () if file_type.is_fifo() => "fifo",
            () => "socket",
        };
        if file_type.is_dir() {
            for entry in fs::read_dir(&real).unwrap() {
                open.push(path.join(entry.unwrap().file_name()));
            }
        }
        let device = matches!(kind, "blockdev" | "chardev").then(|| {
            let device = metadata.rdev();
            (rustix::fs::major(device), rustix::fs::minor(device))
        });
        let mut xattrs = BTreeMap::new();
        for name in xattr::list(&real).unwrap() {
            let value = xattr::get(&real, &name).unwrap().unwrap();
            xattrs.insert(name, value);
        }
        let state = State {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            content: file_type.is_file().then(|| (metadata.len(), sha256_file(&real))),
            links: file_type.is_file().then_some(metadata.nlink()),
            target: file_type.is_symlink().then(|| fs::read_link(&real).unwrap().into()),
            device,
            xattrs,
        };
        states.insert(path, state);
    }
    states
}

pub(crate) fn sha256_file(path: &Path) -> String {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 65536];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hex::encode(hasher.finalize()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

pub(crate) fn sha256(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}
