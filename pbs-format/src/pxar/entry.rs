//! What an archive is read as: events, entries, and the ways in which it can be wrong.

use super::format::{MAX_DEPTH, MAX_KEPT};
use super::metadata::Metadata;
use std::ffi::OsString;
use std::io;

/// Why an archive cannot be read. Offsets count from the archive's first byte.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The stream under the archive failed; its own words.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The stream ended inside the archive.
    #[error("archive ends early, at byte {offset}")]
    Truncated {
        /// Where it ended.
        offset: u64,
    },
    /// The first item is no ENTRY.
    #[error("not a pxar archive (it begins with {found:#018x})")]
    NotAnArchive {
        /// The first number of the stream.
        found: u64,
    },
    /// A later version, whose metadata and content are two streams.
    #[error("pxar version {version} (a split archive); only version 1 can be read")]
    Version {
        /// What the archive says it is.
        version: u64,
    },
    /// An item's size is not one that the item can have.
    #[error("{item} at byte {offset} has the impossible size {size}")]
    ItemSize {
        /// The item's name in the format.
        item: &'static str,
        /// Where the item begins.
        offset: u64,
        /// Its stated size, header included.
        size: u64,
    },
    /// An item that this format does not have.
    #[error("unknown item {number:#018x} at byte {offset}")]
    UnknownItem {
        /// The number in its header.
        number: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A known item where it cannot stand.
    #[error("{item} at byte {offset} is out of place")]
    Unexpected {
        /// The item's name in the format.
        item: &'static str,
        /// Where it begins.
        offset: u64,
    },
    /// An item whose content breaks the format's rules.
    #[error("{item} at byte {offset} is malformed")]
    Malformed {
        /// The item's name in the format.
        item: &'static str,
        /// Where it begins.
        offset: u64,
    },
    /// A name that is not a single path component.
    #[error("entry name {name:?} is not a file name")]
    Name {
        /// The name as it stands in the archive.
        name: OsString,
    },
    /// A hard link's path that is not below the archive's root.
    #[error("hard link target {target:?} is not a path inside the archive")]
    LinkTarget {
        /// The path as it stands in the archive.
        target: OsString,
    },
    /// The root is not a folder.
    #[error("the archive's root is not a folder")]
    Root,
    /// A body is missing: a file without PAYLOAD, a link without target, a device without number.
    #[error("entry at byte {offset} has no {item}")]
    MissingBody {
        /// The missing item's name in the format.
        item: &'static str,
        /// Where the entry's ENTRY item begins.
        offset: u64,
    },
    /// More folders inside folders than are read.
    #[error("more than {MAX_DEPTH} folders inside each other")]
    TooDeep,
    /// More names and metadata than are kept.
    #[error("more than {MAX_KEPT} bytes of metadata in one place")]
    TooMuchMetadata,
    /// Something follows the end of the archive.
    #[error("data after the archive's end, at byte {offset}")]
    Trailing {
        /// Where the archive ended.
        offset: u64,
    },
    /// The decoder was asked to go on after an error.
    #[error("reading ended with an error before")]
    Failed,
}

/// What comes next in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An entry. After a folder its children follow, up to its [`Event::Leave`]; after a file its
    /// content can be read with [`Decoder::content`](super::Decoder::content).
    Entry(Box<Entry>),
    /// A further name of a file that came before.
    Hardlink(Hardlink),
    /// The end of the innermost open folder.
    Leave,
}

/// An entry with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One path component; empty for the archive's root alone.
    pub name: OsString,
    /// Mode, owner, times and the rest.
    pub metadata: Metadata,
    /// What it is.
    pub kind: EntryKind,
}

/// The body of an entry; agrees with the type bits of its mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, any bytes but NUL, not empty.
        target: OsString,
    },
    /// A block or (by mode) character device.
    Device {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
}

/// A further name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardlink {
    /// One path component.
    pub name: OsString,
    /// The file's path from the archive's root: plain names joined by slashes.
    pub target: OsString,
    /// From the file's FILENAME item to this one's.
    pub distance: u64,
}
