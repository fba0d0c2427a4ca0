//! Why a restore ended, in levels: entry, what was done with it, what exactly failed.
//!
//! Joined with `: ` the levels give the words that the real client prints for the same failure
//! (`client.md`; `transcripts/ab.txt`, `x.txt`), where those were recorded.

use super::entry::DecodeError;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// Why a restore ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The archive's beginning cannot be read; nothing was touched.
    #[error("error reading pxar archive")]
    Start(#[source] DecodeError),
    /// The target folder cannot be made or opened.
    #[error("error creating directory {path:?}")]
    Target {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: nix::errno::Errno,
    },
    /// The archive cannot be read further, between entries.
    #[error("error reading pxar archive")]
    Archive(#[source] DecodeError),
    /// An entry cannot be restored.
    #[error("error at entry {name:?}")]
    Entry {
        /// Its path from the archive's root.
        path: PathBuf,
        /// The name that the client prints: the last component, and nothing where it was a folder
        /// being left.
        name: OsString,
        /// What failed.
        source: StepError,
    },
}

/// What was being done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Step {
    /// Making or opening a folder.
    #[error("failed to enter directory")]
    EnterDirectory,
    /// Finishing a folder.
    #[error("failed to leave directory")]
    LeaveDirectory,
    /// The metadata of a folder.
    #[error("failed to apply directory metadata")]
    DirectoryMetadata,
    /// A regular file.
    #[error("failed to extract file")]
    File,
    /// Making a file.
    #[error("failed to create file {0:?}")]
    CreateFile(OsString),
    /// A file's content.
    #[error("failed to copy file contents")]
    CopyContents,
    /// A symbolic link.
    #[error("failed to extract symlink")]
    Symlink,
    /// A hard link.
    #[error("failed to extract hardlink")]
    Hardlink,
    /// A device node.
    #[error("failed to extract device")]
    Device,
    /// A named pipe.
    #[error("failed to extract named pipe")]
    Fifo,
    /// A socket.
    #[error("failed to extract unix socket")]
    Socket,
    /// The node of a device, pipe or socket.
    #[error("failed to create device node")]
    CreateNode,
    /// Something is there that may not be replaced.
    #[error("failed to remove what is there")]
    Replace,
    /// The link's path does not lead to a file below the target folder.
    #[error("failed to open link target {0:?}")]
    LinkTarget(OsString),
    /// Owner and group.
    #[error("failed to set ownership")]
    Owner,
    /// Mode.
    #[error("failed to change file mode")]
    Mode,
    /// Modification time.
    #[error("failed to set modification time")]
    Mtime,
    /// An extended attribute.
    #[error("failed to set extended attribute {0:?}")]
    Xattr(OsString),
    /// An ACL.
    #[error("failed to apply acls")]
    Acl,
    /// A file capability.
    #[error("failed to set file capabilities")]
    Capability,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct StepError {
    /// What was being done.
    pub step: Step,
    /// Why it failed.
    pub source: Cause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A step inside it.
    #[error(transparent)]
    Step(Box<StepError>),
    /// The system, or the stream under the archive, in their own words.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The system, as the client prints it where it does so by name (`EEXIST: File exists`).
    #[error(transparent)]
    Named(nix::errno::Errno),
}

impl Step {
    pub(super) fn io(self, error: impl Into<io::Error>) -> StepError {
        StepError { step: self, source: Cause::Io(error.into()) }
    }

    pub(super) fn named(self, error: rustix::io::Errno) -> StepError {
        StepError { step: self, source: Cause::Named(named(error)) }
    }

    pub(super) fn around(self, inner: StepError) -> StepError {
        StepError { step: self, source: Cause::Step(Box::new(inner)) }
    }
}

pub(super) fn named(error: rustix::io::Errno) -> nix::errno::Errno {
    nix::errno::Errno::from_raw(error.raw_os_error())
}

impl StepError {
    fn kind(&self) -> io::ErrorKind {
        match &self.source {
            Cause::Step(inner) => inner.kind(),
            Cause::Io(error) => error.kind(),
            Cause::Named(errno) => io::Error::from(*errno).kind(),
        }
    }
}

impl ExtractError {
    /// The entry at fault, from the archive's root.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Entry { path, .. } => Some(path),
            _ => None,
        }
    }

    /// What kind of failure it was, where a system call or the stream failed.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Start(DecodeError::Read(error)) | Self::Archive(DecodeError::Read(error)) => Some(error.kind()),
            Self::Start(_) | Self::Archive(_) => None,
            Self::Target { source, .. } => Some(io::Error::from(*source).kind()),
            Self::Entry { source, .. } => Some(source.kind()),
        }
    }

    /// Whether it happened before the first entry, which the client tells apart.
    #[must_use]
    pub fn is_before_entries(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Target { .. })
    }

    /// The client's line for this failure, from `failed to initialize extractor: …` or
    /// `encountered unexpected error during extraction: …` on.
    #[must_use]
    pub fn client_text(&self) -> String {
        let mut text = String::from(if self.is_before_entries() {
            "failed to initialize extractor"
        } else {
            "encountered unexpected error during extraction"
        });
        let mut level: Option<&dyn Error> = Some(self);
        while let Some(error) = level {
            text.push_str(": ");
            text.push_str(&error.to_string());
            level = error.source();
        }
        text
    }

    pub(super) fn at(path: &Path, name: &OsStr, source: StepError) -> Self {
        Self::Entry { path: path.to_owned(), name: name.to_owned(), source }
    }
}
