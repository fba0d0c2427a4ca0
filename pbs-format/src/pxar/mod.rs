//! pxar version 1: the archive inside `*.pxar.didx`, a whole directory tree as one stream
//! (`formats.md` §8).
//!
//! ```text
//! item    = type u64, size u64 (whole item, 16 bytes of header included), content
//! archive = node(folder)
//! node    = ENTRY metadata-item* body
//! body    = PAYLOAD | SYMLINK | DEVICE | nothing (fifo, socket)
//!         | ( FILENAME ( node | HARDLINK ) )* GOODBYE          (folder)
//! ```
//!
//! All integers are little-endian. Proven by the five archives of `vectors.json` and by
//! `root.pxar` of the golden datastore, which the real client wrote: both are decoded and encoded
//! again byte for byte.
//!
//! | to | use |
//! | --- | --- |
//! | read entry after entry from any stream | [`Decoder`] |
//! | write entry after entry to any stream | [`Encoder`] |
//! | put an archive back into a directory | [`extract`], [`unpack`] |
//! | store a directory | [`create`] |
//! | take a restored tree away | [`remove()`], [`empty`] |
//!
//! # What holds here
//!
//! - Reading and writing need memory for the folders that are open, never for the whole archive,
//!   and file content is handed through in pieces. Every stated size is checked before it is
//!   believed, depth and metadata are bounded.
//! - Nothing is written outside the target folder, whatever an archive says: names are single
//!   path components, folders are entered by descriptor without following symbolic links, and a
//!   hard link's path is walked the same way.
//! - What could not be restored or stored is in the report, or is the error.
//!
//! Absent: version 2 (split archives), which is recognised and refused by name; reading by
//! goodbye table.

mod acl;
mod apply;
mod create;
mod decode;
mod descent;
mod encode;
mod entry;
mod error;
mod exclude;
mod extract;
mod folder;
mod format;
mod goodbye;
mod handle;
mod metadata;
mod remove;
mod report;

pub use create::{CreateError, CreateOptions, create};
pub use decode::{Content, Decoder};
pub use encode::{EncodeError, Encoder, FilePosition, SpecialFile};
pub use entry::{DecodeError, Entry, EntryKind, Event, Hardlink};
pub use error::{Cause, ExtractError, Step, StepError};
pub use extract::{ExtractOptions, Overwrite, Unsealed, extract, unpack};
pub use folder::like;
pub use format::{MAX_DEPTH, name_hash};
pub use metadata::{AclEntry, DefaultAcl, FileType, Metadata, Mtime, Xattr};
pub use remove::{empty, remove};
pub use report::{CreateReport, ExtractReport, Ignored, NotSet, NotStored, OmitReason, Property, Reason};
