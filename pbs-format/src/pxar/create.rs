//! Storing a directory as an archive.
//!
//! Folders are walked by descriptor, their children in the bytewise order of the names; only the
//! names of the folders that are open are kept, and of files with further names where they stand.
//! What cannot be stored as it is on disk is reported; an error ends the archive only where going
//! on would leave it broken. Project quota ids cannot be read here (a folder whose flag says that
//! it has one is reported), and inode flags without a place in the format are not looked at.

use super::acl;
use super::apply::is_stored;
use super::descent::{Descent, FOLDER, look};
use super::encode::{EncodeError, Encoder, FilePosition, SpecialFile};
use super::entry::DecodeError;
use super::exclude::{self, Excludes};
use super::format::{MAX_DEPTH, MAX_TARGET, MAX_XATTR};
use super::handle::{self, Handle};
use super::metadata::{FileType, Metadata, Mtime, Xattr};
use super::report::{CreateReport, OmitReason, Property};
use rustix::fs::{CWD, Dir, IFlags, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Lines of exclusion lists that are told.
const MAX_NOT_FOLLOWED: usize = 100;

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateOptions {
    /// Go into all mounted file systems; otherwise their mount points are stored as empty folders.
    pub all_file_systems: bool,
    /// Folders whose file systems are gone into all the same.
    pub include_file_systems_of: Vec<PathBuf>,
    /// Leave out what the folders' own `.pxarexclude` lists name, as the client does.
    pub exclude_lists: bool,
}

/// Why a folder could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// An entry could not be read, in a way that is not its own fault.
    #[error("failed to read {path:?}")]
    Read {
        /// The entry, from the stored folder; the folder's own path if it is that.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The archive could not be written on.
    #[error("failed to store {path:?}")]
    Encode {
        /// The entry, from the stored folder.
        path: PathBuf,
        /// Why.
        source: EncodeError,
    },
    /// The folders are deeper than any reader goes.
    #[error("cannot store {path:?}")]
    TooDeep {
        /// The folder.
        path: PathBuf,
        /// What a reader would say.
        source: DecodeError,
    },
}

/// Stores the folder `source` with everything in it to `archive`, which is flushed at the end.
///
/// # Errors
/// See [`CreateError`]; what was written until then is no archive.
pub fn create(source: &Path, archive: impl Write, options: &CreateOptions) -> Result<CreateReport, CreateError> {
    let fail = |path: &Path, error: Errno| CreateError::Read { path: path.to_owned(), source: error.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, source, flags, Mode::empty()).map_err(|error| fail(source, error))?;
    let stat = fstat(&root).map_err(|error| fail(source, error))?;
    let mut devices = vec![stat.st_dev];
    for folder in &options.include_file_systems_of {
        let stat = rustix::fs::stat(folder).map_err(|error| fail(folder, error))?;
        devices.push(stat.st_dev);
    }
    let mut report = CreateReport::default();
    let metadata =
        read_metadata(Handle::Open(root.as_fd()), &stat, b"", &mut report).map_err(|error| fail(source, error))?;
    let encoder = Encoder::new(archive, &metadata)
        .map_err(|error| CreateError::Encode { path: PathBuf::new(), source: error })?;
    let mut names = names(root.as_fd()).map_err(|error| fail(source, error))?;
    if options.exclude_lists {
        names.retain(|name| name != exclude::OF_COMMAND_LINE.as_bytes());
    }
    report.directories = 1;
    let mut walk = Walk {
        encoder,
        report,
        descent: Descent::new(root),
        open: Vec::new(),
        path: Vec::new(),
        devices: (!options.all_file_systems).then_some(devices),
        links: HashMap::new(),
        excludes: options.exclude_lists.then(Excludes::default),
    };
    let excludes = walk.follow_list();
    walk.open.push(OpenFolder { names, path: 0, excludes });
    walk.run()?;
    walk.report.archive_bytes = walk.encoder.offset();
    Ok(walk.report)
}

struct Walk<W> {
    encoder: Encoder<W>,
    report: CreateReport,
    descent: Descent,
    open: Vec<OpenFolder>,
    /// Of the current entry, from the stored folder.
    path: Vec<u8>,
    /// File systems that are gone into; `None` for all.
    devices: Option<Vec<u64>>,
    /// Files with further names, by device and inode.
    links: HashMap<(u64, u64), Linked>,
    /// `None` if lists are files like any others.
    excludes: Option<Excludes>,
}

struct OpenFolder {
    /// Still to do, last first.
    names: Vec<Vec<u8>>,
    /// Length of the folder's own path.
    path: usize,
    /// Patterns there were above it.
    excludes: usize,
}

struct Linked {
    path: Vec<u8>,
    position: FilePosition,
}

/// What a single entry can come to.
enum Failure {
    /// It is left out, for this reason.
    Omit(OmitReason),
    System(Errno),
    Encode(EncodeError),
    TooDeep,
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE => Self::Omit(OmitReason::Vanished),
            Errno::ACCESS | Errno::PERM => Self::Omit(OmitReason::Unreadable(error.into())),
            // A socket or a driver without device, opened after it took a file's place.
            Errno::NXIO => Self::Omit(OmitReason::Vanished),
            other => Self::System(other),
        }
    }
}

impl<W: Write> Walk<W> {
    fn run(&mut self) -> Result<(), CreateError> {
        while let Some(folder) = self.open.last_mut() {
            self.path.truncate(folder.path);
            let Some(name) = folder.names.pop() else {
                self.leave()?;
                continue;
            };
            if folder.path > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            let done = self.entry(&name);
            let path = || PathBuf::from(OsStr::from_bytes(&self.path));
            match done {
                Ok(()) => {}
                Err(Failure::Omit(reason)) => self.report.missed(path(), None, reason),
                Err(Failure::System(error)) => {
                    return Err(CreateError::Read { path: path(), source: error.into() });
                }
                Err(Failure::Encode(source)) => {
                    return Err(CreateError::Encode { path: path(), source });
                }
                Err(Failure::TooDeep) => {
                    return Err(CreateError::TooDeep { path: path(), source: DecodeError::TooDeep });
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CreateError> {
        let path = || PathBuf::from(OsStr::from_bytes(&self.path));
        self.descent.leave().map_err(|error| CreateError::Read { path: path(), source: error.into() })?;
        if let (Some(folder), Some(excludes)) = (self.open.pop(), &mut self.excludes) {
            excludes.truncate(folder.excludes);
        }
        let left = if self.open.is_empty() { self.encoder.end() } else { self.encoder.leave() };
        left.map_err(|source| CreateError::Encode { path: path(), source })
    }

    fn entry(&mut self, name: &[u8]) -> Result<(), Failure> {
        let stat = look(self.descent.here(), name)?;
        if self.excludes.as_ref().is_some_and(|excludes| excludes.leave_out(&self.path, stat.st_mode)) {
            self.report.excluded += 1;
            return Ok(());
        }
        let file_type = FileType::from_mode(stat.st_mode.into());
        match file_type.ok_or(Failure::Omit(OmitReason::Unsupported))? {
            FileType::Directory => self.folder(name),
            FileType::File => self.file(name, &stat),
            other => self.special(name, other),
        }
    }

    fn folder(&mut self, name: &[u8]) -> Result<(), Failure> {
        let folder = openat(self.descent.here(), name, FOLDER, Mode::empty())?;
        let stat = fstat(&folder)?;
        let metadata = self.metadata(Handle::Open(folder.as_fd()), &stat)?;
        let inside = self.devices.as_ref().is_none_or(|devices| devices.contains(&stat.st_dev));
        let names = if inside {
            names(folder.as_fd())?
        } else {
            let path = PathBuf::from(OsStr::from_bytes(&self.path));
            self.report.missed(path, None, OmitReason::MountPoint);
            Vec::new()
        };
        if self.open.len() >= MAX_DEPTH {
            return Err(Failure::TooDeep);
        }
        self.descent.enter(folder)?;
        self.encoder.enter(name, &metadata)?;
        let excludes = if inside { self.follow_list() } else { self.patterns() };
        self.open.push(OpenFolder { names, path: self.path.len(), excludes });
        self.report.directories += 1;
        Ok(())
    }

    fn file(&mut self, name: &[u8], seen: &Stat) -> Result<(), Failure> {
        let inode = (seen.st_dev, seen.st_ino);
        if seen.st_nlink > 1
            && let Some(first) = self.links.get(&inode)
        {
            self.encoder.hardlink(name, &first.path, first.position)?;
            self.report.hardlinks += 1;
            return Ok(());
        }
        // Should a pipe have taken its place, opening must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(self.descent.here(), name, flags | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&file)?;
        if FileType::from_mode(stat.st_mode.into()) != Some(FileType::File) {
            return Err(Failure::Omit(OmitReason::Vanished));
        }
        let metadata = self.metadata(Handle::Open(file.as_fd()), &stat)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut file = File::from(file);
        let (given, position) = self.encoder.file(name, &metadata, size, &mut file)?;
        let changed = if given < size {
            Some(OmitReason::Shrank { expected: size, found: given })
        } else {
            // Its own file's end; anything but "one more byte" is none of the archive's concern.
            matches!(file.read(&mut [0]), Ok(1)).then_some(OmitReason::Grew { stored: size })
        };
        if let Some(reason) = changed {
            let path = PathBuf::from(OsStr::from_bytes(&self.path));
            self.report.missed(path, None, reason);
        }
        if stat.st_nlink > 1 && self.path.len() <= MAX_TARGET {
            let path = self.path.clone();
            self.links.insert((stat.st_dev, stat.st_ino), Linked { path, position });
        }
        self.report.files += 1;
        self.report.bytes += size;
        Ok(())
    }

    /// A symbolic link, device node, fifo or socket.
    fn special(&mut self, name: &[u8], seen: FileType) -> Result<(), Failure> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(self.descent.here(), name, flags, Mode::empty())?;
        let stat = fstat(&held)?;
        if FileType::from_mode(stat.st_mode.into()) != Some(seen) {
            return Err(Failure::Omit(OmitReason::Vanished));
        }
        let metadata = self.metadata(Handle::Path(held.as_fd()), &stat)?;
        let what = match seen {
            FileType::Fifo => SpecialFile::Fifo,
            FileType::Socket => SpecialFile::Socket,
            FileType::BlockDevice | FileType::CharDevice => {
                SpecialFile::Device { major: major(stat.st_rdev).into(), minor: minor(stat.st_rdev).into() }
            }
            _ => return self.symlink(name, &held, &metadata),
        };
        self.encoder.special(name, &metadata, what)?;
        self.report.specials += 1;
        Ok(())
    }

    fn symlink(&mut self, name: &[u8], held: &OwnedFd, metadata: &Metadata) -> Result<(), Failure> {
        let target = readlinkat(held, c"", Vec::new())?;
        self.encoder.symlink(name, metadata, target.as_bytes())?;
        self.report.symlinks += 1;
        Ok(())
    }

    /// Takes in the list of the folder that was entered, if it has one. How many patterns there were before.
    fn follow_list(&mut self) -> usize {
        let before = self.patterns();
        let Some(excludes) = &mut self.excludes else { return before };
        for why in excludes.read(self.descent.here(), &self.path) {
            if self.report.not_followed.len() < MAX_NOT_FOLLOWED {
                let list = PathBuf::from(OsStr::from_bytes(&self.path)).join(exclude::LIST);
                self.report.not_followed.push((list, why.to_string()));
            }
        }
        before
    }

    fn patterns(&self) -> usize {
        self.excludes.as_ref().map_or(0, Excludes::len)
    }

    fn metadata(&mut self, of: Handle<'_>, stat: &Stat) -> Result<Metadata, Errno> {
        read_metadata(of, stat, &self.path, &mut self.report)
    }
}

/// Names in a folder, in descending order.
fn names(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_by(|one, other| other.cmp(one));
    Ok(names)
}

fn read_metadata(of: Handle<'_>, stat: &Stat, path: &[u8], report: &mut CreateReport) -> Result<Metadata, Errno> {
    let mut metadata = Metadata {
        mode: stat.st_mode.into(),
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Mtime { seconds: stat.st_mtime, nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) },
        ..Metadata::default()
    };
    let mut missed = |property, reason| {
        let path = PathBuf::from(OsStr::from_bytes(path));
        report.missed(path, Some(property), reason);
    };
    if let Some(flags) = of.flags()? {
        metadata.flags = handle::archive_flags(flags);
        if flags.contains(IFlags::PROJECT_INHERIT) {
            missed(Property::QuotaProject, OmitReason::Unsupported);
        }
    }
    let mut foreign = Vec::new();
    for name in of.xattr_names()? {
        let property = match name.as_slice() {
            b"security.capability" => Property::Capability,
            name if name == acl::ACCESS.as_bytes() => Property::AccessAcl,
            name if name == acl::DEFAULT.as_bytes() => Property::DefaultAcl,
            name if is_stored(name) => Property::Xattr(OsString::from_vec(name.to_vec())),
            _ => {
                foreign.push(name);
                continue;
            }
        };
        let value = match of.xattr(&name) {
            Ok(Some(value)) => value,
            // Taken away between the two calls.
            Ok(None) => continue,
            Err(error @ (Errno::ACCESS | Errno::PERM | Errno::RANGE | Errno::TOOBIG)) => {
                missed(property, OmitReason::Unreadable(error.into()));
                continue;
            }
            Err(error) => return Err(error),
        };
        let fits = match property {
            Property::AccessAcl => acl::take_access(&value, &mut metadata),
            Property::DefaultAcl => acl::take_default(&value, &mut metadata),
            Property::Capability => {
                metadata.fcaps = Some(value);
                true
            }
            _ if (name.len() + 1 + value.len()) as u64 <= MAX_XATTR => {
                metadata.xattrs.push(Xattr { name, value });
                true
            }
            _ => false,
        };
        if !fits {
            missed(property, OmitReason::Unsupported);
        }
    }
    for name in foreign {
        report.foreign(name);
    }
    Ok(metadata)
}
