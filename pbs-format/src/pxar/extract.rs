//! Putting an archive back into a directory.
//!
//! Everything is done relative to descriptors of folders that were opened one component at a time
//! without following symbolic links, so no entry of any archive reaches outside the target. New
//! files are made exclusively, with mode 0600, and get their metadata when they are complete;
//! folders get theirs when their children are done.

use super::acl;
use super::apply::Apply;
use super::decode::{Content, Decoder};
use super::descent::{Descent, FOLDER, look, parent_of};
use super::entry::{DecodeError, Entry, EntryKind, Event, Hardlink};
use super::error::{ExtractError, Step, StepError, named};
use super::handle::Handle;
use super::metadata::{FileType, Metadata};
use super::report::{ExtractReport, Property, Reason};
use crate::sparse;
use rustix::fs::{AtFlags, CWD, IFlags, Mode, OFlags, fstat, linkat, makedev, mkdirat, mknodat};
use rustix::fs::{openat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What may be replaced in the target. A folder, device node, fifo or socket never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overwrite {
    /// When a file is restored.
    pub files: bool,
    /// When a symbolic link is restored.
    pub symlinks: bool,
    /// When a hard link is restored.
    pub hardlinks: bool,
}

impl Overwrite {
    /// All three.
    #[must_use]
    pub fn all() -> Self {
        Self { files: true, symlinks: true, hardlinks: true }
    }
}

/// How a restore deals with what is there already, and with what it may not set. By default it
/// replaces nothing and sets everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtractOptions {
    /// Folders below the target may exist already.
    pub allow_existing_dirs: bool,
    /// What may be replaced.
    pub overwrite: Overwrite,
    /// Leave owner and group as they come.
    pub ignore_ownership: bool,
    /// Set no extended attributes and file capabilities.
    pub ignore_xattrs: bool,
    /// Set no ACLs.
    pub ignore_acls: bool,
    /// Leave modes as they come (0600, folders 0700).
    pub ignore_permissions: bool,
    /// Report device nodes that cannot be made, and go on.
    pub ignore_extract_device_errors: bool,
}

/// Restores the archive that `archive` gives into the folder `target`, which is made (mode 0700,
/// with parents) if it is missing. Nothing is made if the archive's first entry cannot be read.
///
/// # Errors
/// With the first entry that cannot be restored; what was restored until then stays.
pub fn extract(archive: impl Read, target: &Path, options: &ExtractOptions) -> Result<ExtractReport, ExtractError> {
    unpack(archive, target, options)?.seal()
}

/// The same, but for the metadata of the target folder itself, and for the flags that forbid every
/// change (immutable, append only). Until [`Unsealed::seal`] sets them, all of it can be removed and
/// leaves the target as it was. For whoever knows only at a stream's end whether it was the right
/// one.
///
/// # Errors
/// As [`extract`].
pub fn unpack<'o>(
    archive: impl Read,
    target: &Path,
    options: &'o ExtractOptions,
) -> Result<Unsealed<'o>, ExtractError> {
    let mut decoder = Decoder::new(archive);
    let root = match decoder.next_event().map_err(ExtractError::Start)? {
        Some(Event::Entry(root)) => root,
        // A decoder's first event is the root folder or an error.
        _ => return Err(ExtractError::Start(DecodeError::Root)),
    };
    let (folder, existed) = open_target(target)?;
    let has_default_acl = existed && has_default_acl(&folder);
    let mut extractor = Extractor {
        options,
        report: ExtractReport::default(),
        descent: Descent::new(folder),
        open: vec![OpenFolder { metadata: root.metadata, has_default_acl, inherited_acl: has_default_acl }],
        root: None,
        seals: Vec::new(),
        sealed_paths: 0,
        buffer: vec![0; sparse::PIECE],
    };
    extractor.report.directories = 1;
    while let Some(event) = decoder.next_event().map_err(ExtractError::Archive)? {
        let path = decoder.path().to_owned();
        let (name, done) = match event {
            Event::Entry(entry) => {
                let done = extractor.entry(&entry, &path, &mut decoder.content());
                (entry.name, done)
            }
            Event::Hardlink(link) => {
                let done = extractor.hardlink(&link);
                (link.name, done.map_err(|error| Step::Hardlink.around(error)))
            }
            Event::Leave => {
                let done = extractor.leave(&path);
                (OsStr::new("").to_owned(), done)
            }
        };
        done.map_err(|error| ExtractError::at(&path, &name, error))?;
    }
    Ok(Unsealed(extractor))
}

/// A restored tree that can still be taken back; see [`unpack`].
#[must_use = "dropped, it is never finished"]
pub struct Unsealed<'o>(Extractor<'o>);

impl Unsealed<'_> {
    /// Finishes the target folder and sets the sealing flags.
    ///
    /// # Errors
    /// [`ExtractError::Entry`] for the target folder.
    pub fn seal(mut self) -> Result<ExtractReport, ExtractError> {
        let path = Path::new("");
        if let Some(root) = self.0.root.take() {
            let done = self.0.finish(None, &root, path);
            done.map_err(|error| ExtractError::at(path, OsStr::new(""), error))?;
        }
        self.0.seal();
        Ok(self.0.report)
    }
}

impl fmt::Debug for Unsealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealed").field("report", &self.0.report).finish_non_exhaustive()
    }
}

/// Files and folders whose sealing flags are remembered for the end; further ones are reported.
const MAX_SEALS: usize = 100_000;
/// Bytes of their paths, each of which may be a megabyte.
const MAX_SEALED_PATHS: usize = 32 * 1024 * 1024;

struct Extractor<'a> {
    options: &'a ExtractOptions,
    report: ExtractReport,
    descent: Descent,
    open: Vec<OpenFolder>,
    /// The target's own metadata, once all that is in it is done.
    root: Option<OpenFolder>,
    seals: Vec<(PathBuf, IFlags)>,
    sealed_paths: usize,
    buffer: Vec<u8>,
}

struct OpenFolder {
    metadata: Metadata,
    /// On disk; what is made in it inherits that.
    has_default_acl: bool,
    inherited_acl: bool,
}

impl Extractor<'_> {
    fn entry<R: Read>(&mut self, entry: &Entry, path: &Path, content: &mut Content<'_, R>) -> Result<(), StepError> {
        let name = entry.name.as_bytes();
        match &entry.kind {
            EntryKind::Directory => self.enter(name, &entry.metadata),
            EntryKind::File { .. } => {
                self.file(&entry.name, &entry.metadata, path, content).map_err(|error| Step::File.around(error))
            }
            EntryKind::Symlink { target } => {
                self.symlink(name, &entry.metadata, path, target).map_err(|error| Step::Symlink.around(error))
            }
            EntryKind::Device { major, minor } => {
                self.device(name, &entry.metadata, path, *major, *minor).map_err(|error| Step::Device.around(error))
            }
            EntryKind::Fifo => self
                .special(name, &entry.metadata, path, rustix::fs::FileType::Fifo, 0)
                .map_err(|error| Step::Fifo.around(error)),
            EntryKind::Socket => self
                .special(name, &entry.metadata, path, rustix::fs::FileType::Socket, 0)
                .map_err(|error| Step::Socket.around(error)),
        }
    }

    fn enter(&mut self, name: &[u8], metadata: &Metadata) -> Result<(), StepError> {
        let fail = |error| Step::EnterDirectory.named(error);
        let inherited = self.inherits();
        let existed = match mkdirat(self.descent.here(), name, Mode::RWXU) {
            Ok(()) => false,
            Err(Errno::EXIST) if self.options.allow_existing_dirs => true,
            Err(error) => return Err(fail(error)),
        };
        let folder = openat(self.descent.here(), name, FOLDER, Mode::empty()).map_err(fail)?;
        let has_default_acl = if existed { has_default_acl(&folder) } else { inherited };
        self.descent.enter(folder).map_err(fail)?;
        self.open.push(OpenFolder { metadata: metadata.clone(), has_default_acl, inherited_acl: inherited || existed });
        self.report.directories += 1;
        Ok(())
    }

    fn leave(&mut self, path: &Path) -> Result<(), StepError> {
        let fail = |error: Errno| Step::LeaveDirectory.io(error);
        // The parent is opened again before the folder may become unreadable to us.
        let left = self.descent.leave().map_err(fail)?;
        let Some(folder) = self.open.pop() else {
            return Ok(());
        };
        if left.is_none() {
            self.root = Some(folder);
            return Ok(());
        }
        self.finish(left, &folder, path)
    }

    /// Gives a folder its metadata; the root if it is none that was left.
    fn finish(&mut self, left: Option<OwnedFd>, folder: &OpenFolder, path: &Path) -> Result<(), StepError> {
        let mut apply =
            Apply { options: self.options, report: &mut self.report, path, inherited_acl: folder.inherited_acl };
        let to = match &left {
            Some(folder) => folder.as_fd(),
            None => self.descent.root(),
        };
        let later = apply
            .all(Handle::Open(to), &folder.metadata)
            .map_err(|error| Step::LeaveDirectory.around(Step::DirectoryMetadata.around(error)))?;
        self.seal_later(path, later);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        name: &OsStr,
        metadata: &Metadata,
        path: &Path,
        content: &mut Content<'_, R>,
    ) -> Result<(), StepError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let make = || openat(self.descent.here(), name, flags | OFlags::CLOEXEC, mode);
        let made = match make() {
            Err(Errno::EXIST) if self.options.overwrite.files => self.clear(name.as_bytes()).and_then(|()| make()),
            other => other,
        };
        let file = made.map_err(|error| Step::CreateFile(name.to_owned()).named(error))?;
        let file = File::from(file);
        let copied = sparse::copy_with(content, &file, &mut self.buffer);
        self.report.bytes += copied.map_err(|error| Step::CopyContents.io(error))?;
        let later = self.apply(path, Handle::Open(file.as_fd()), metadata)?;
        self.seal_later(path, later);
        self.report.files += 1;
        Ok(())
    }

    fn symlink(&mut self, name: &[u8], metadata: &Metadata, path: &Path, target: &OsStr) -> Result<(), StepError> {
        let make = || symlinkat(target, self.descent.here(), name);
        let made = match make() {
            Err(Errno::EXIST) if self.options.overwrite.symlinks => self.clear(name).and_then(|()| make()),
            other => other,
        };
        made.map_err(|error| Step::CreateFile(OsStr::from_bytes(name).to_owned()).named(error))?;
        let link = self.hold(name, FileType::Symlink)?;
        self.apply(path, Handle::Path(link.as_fd()), metadata)?;
        self.report.symlinks += 1;
        Ok(())
    }

    fn hardlink(&mut self, link: &Hardlink) -> Result<(), StepError> {
        let target = || Step::LinkTarget(link.target.clone());
        let (folder, last) =
            parent_of(self.descent.root(), link.target.as_bytes()).map_err(|error| target().io(error))?;
        let found = look(folder.as_fd(), last).map_err(|error| target().io(error))?;
        if FileType::from_mode(found.st_mode.into()) != Some(FileType::File) {
            return Err(target().io(io::Error::other("not a regular file")));
        }
        let name = link.name.as_bytes();
        let here = self.descent.here();
        // Without flags a symbolic link put there meanwhile would be linked itself, not followed.
        let make = || linkat(&folder, last, here, name, AtFlags::empty());
        let made = match make() {
            Err(Errno::EXIST) if self.options.overwrite.hardlinks => {
                let same =
                    look(here, name).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (found.st_dev, found.st_ino));
                if same { Ok(()) } else { self.clear(name).and_then(|()| make()) }
            }
            other => other,
        };
        made.map_err(|error| Step::CreateFile(link.name.clone()).named(error))?;
        self.report.hardlinks += 1;
        Ok(())
    }

    fn device(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        path: &Path,
        major: u64,
        minor: u64,
    ) -> Result<(), StepError> {
        let file_type = match metadata.file_type() {
            Some(FileType::BlockDevice) => rustix::fs::FileType::BlockDevice,
            _ => rustix::fs::FileType::CharacterDevice,
        };
        let (Ok(major), Ok(minor)) = (u32::try_from(major), u32::try_from(minor)) else {
            return self.no_device(path, Errno::INVAL);
        };
        self.special(name, metadata, path, file_type, makedev(major, minor))
    }

    fn no_device(&mut self, path: &Path, error: Errno) -> Result<(), StepError> {
        if !self.options.ignore_extract_device_errors {
            return Err(Step::CreateNode.io(error));
        }
        let reason = Reason::Refused(error.into());
        self.report.missed(path.to_owned(), Property::DeviceNode, reason);
        Ok(())
    }

    fn special(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        path: &Path,
        file_type: rustix::fs::FileType,
        device: rustix::fs::Dev,
    ) -> Result<(), StepError> {
        let mode = Mode::RUSR | Mode::WUSR;
        match mknodat(self.descent.here(), name, file_type, mode, device) {
            Ok(()) => {}
            Err(error) if file_type.is_char_device() || file_type.is_block_device() => {
                return self.no_device(path, error);
            }
            Err(error) => return Err(Step::CreateNode.io(error)),
        }
        let wanted = metadata.file_type().unwrap_or(FileType::Fifo);
        let node = self.hold(name, wanted)?;
        self.apply(path, Handle::Path(node.as_fd()), metadata)?;
        self.report.specials += 1;
        Ok(())
    }

    fn apply(&mut self, path: &Path, to: Handle<'_>, metadata: &Metadata) -> Result<IFlags, StepError> {
        let inherited_acl = self.inherits();
        let mut apply = Apply { options: self.options, report: &mut self.report, path, inherited_acl };
        apply.all(to, metadata)
    }

    fn inherits(&self) -> bool {
        self.open.last().is_some_and(|folder| folder.has_default_acl)
    }

    /// Holds what was just made, without opening it; it must be of the kind that was made.
    fn hold(&self, name: &[u8], wanted: FileType) -> Result<OwnedFd, StepError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(self.descent.here(), name, flags, Mode::empty()).and_then(|held| {
            let mode = fstat(&held)?.st_mode;
            if FileType::from_mode(mode.into()) == Some(wanted) { Ok(held) } else { Err(Errno::STALE) }
        });
        held.map_err(|error| Step::CreateNode.io(error))
    }

    /// Takes a file or symbolic link away; says "exists" to anything else.
    fn clear(&self, name: &[u8]) -> Result<(), Errno> {
        let found = look(self.descent.here(), name)?;
        match FileType::from_mode(found.st_mode.into()) {
            Some(FileType::File | FileType::Symlink) => unlinkat(self.descent.here(), name, AtFlags::empty()),
            _ => Err(Errno::EXIST),
        }
    }

    /// Remembers flags that forbid further names, links to a file and its removal.
    fn seal_later(&mut self, path: &Path, flags: IFlags) {
        if flags.is_empty() {
            return;
        }
        let paths = self.sealed_paths + path.as_os_str().len();
        if self.seals.len() < MAX_SEALS && paths <= MAX_SEALED_PATHS {
            self.sealed_paths = paths;
            self.seals.push((path.to_owned(), flags));
        } else {
            let property = Property::Flags(super::handle::archive_flags(flags));
            self.report.missed(path.to_owned(), property, Reason::Unsupported);
        }
    }

    /// Sets them, now that all names are there.
    fn seal(&mut self) {
        for (path, flags) in std::mem::take(&mut self.seals) {
            let mode = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = match path.as_os_str().as_bytes() {
                [] => openat(self.descent.root(), ".", mode, Mode::empty()),
                path => parent_of(self.descent.root(), path)
                    .and_then(|(folder, last)| openat(folder, last, mode, Mode::empty())),
            };
            match file {
                Ok(file) => {
                    let mut apply =
                        Apply { options: self.options, report: &mut self.report, path: &path, inherited_acl: false };
                    apply.set_flags(Handle::Open(file.as_fd()), flags);
                }
                Err(error) => {
                    let property = Property::Flags(super::handle::archive_flags(flags));
                    self.report.missed(path, property, Reason::Refused(error.into()));
                }
            }
        }
    }
}

fn has_default_acl(folder: &OwnedFd) -> bool {
    let found = Handle::Open(folder.as_fd()).xattr(acl::DEFAULT.as_bytes());
    // Where it cannot be told, taking away an ACL that is not there does no harm.
    !matches!(found, Ok(None))
}

/// The target folder, and whether it was there.
fn open_target(path: &Path) -> Result<(OwnedFd, bool), ExtractError> {
    let fail = |error: Errno| ExtractError::Target { path: path.to_owned(), source: named(error) };
    // The target's own path is the caller's word, so links in it are followed.
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty())
    };
    match open() {
        Ok(folder) => return Ok((folder, true)),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(fail(error)),
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    open().map(|folder| (folder, false)).map_err(fail)
}
