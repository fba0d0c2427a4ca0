//! Writing an archive from front to back, in the order that the format asks for.
//!
//! The encoder counts offsets itself, so it writes to any stream; it keeps 24 bytes per child of
//! each open folder. It holds names, sizes and types to the format's rules; the bytewise order of
//! children is the caller's duty.

use super::format::{self, ItemKind, MAX_TARGET, MAX_XATTR};
use super::goodbye::{self, Child};
use super::metadata::{FileType, Metadata, header, numbers};
use std::io::{self, Read, Write};

/// Why an archive cannot be written on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The stream under the archive failed.
    #[error("archive cannot be written")]
    Write(#[source] io::Error),
    /// A file's content could not be read.
    #[error("file content cannot be read")]
    Content(#[source] io::Error),
    /// A name that is not a single path component of up to 4096 bytes.
    #[error("entry name is not a file name")]
    Name,
    /// A symbolic link's target or a hard link's path that cannot stand in an archive.
    #[error("link target cannot be stored")]
    Target,
    /// Mode, time or an attribute that the format has no place for.
    #[error("metadata cannot be stored")]
    Metadata,
    /// No file of that position came before.
    #[error("hard link to something that is not in the archive yet")]
    Position,
    /// The archive would exceed what its numbers can hold.
    #[error("file too large for an archive")]
    TooLarge,
    /// The root was left already, or (on finishing) folders are still open.
    #[error("open folders do not match")]
    Nesting,
}

/// Where a file stands in the archive, for hard links to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePosition(u64);

impl FilePosition {
    /// Offset of the file's FILENAME item.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0
    }
}

/// What has neither content nor children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialFile {
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
    /// A block or (by mode) character device.
    Device {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
}

/// Writes an archive entry by entry.
#[derive(Debug)]
pub struct Encoder<W> {
    output: W,
    offset: u64,
    open: Vec<OpenFolder>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct OpenFolder {
    name: Vec<u8>,
    /// Where its FILENAME begins; the root has none and 0 here.
    start: u64,
    /// Where its ENTRY begins.
    entry: u64,
    children: Vec<Child>,
}

const COPY: usize = 256 * 1024;

impl<W: Write> Encoder<W> {
    /// Begins an archive whose root folder has this metadata.
    ///
    /// # Errors
    /// If the stream fails or the metadata is not that of a folder.
    pub fn new(output: W, root: &Metadata) -> Result<Self, EncodeError> {
        let mut encoder = Self { output, offset: 0, open: Vec::new(), buffer: Vec::new() };
        let mut items = Vec::new();
        append_entry(&mut items, root, &[FileType::Directory])?;
        encoder.write(&items)?;
        encoder.open.push(OpenFolder { name: Vec::new(), start: 0, entry: 0, children: Vec::new() });
        Ok(encoder)
    }

    /// A regular file of `size` bytes. What `content` gives beyond that is not read; what it falls
    /// short is filled with zeros. Returns how many bytes `content` gave, and the position.
    ///
    /// # Errors
    /// If a stream fails or the arguments cannot stand in an archive.
    pub fn file(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(u64, FilePosition), EncodeError> {
        let (start, mut items, _) = self.begin(name, metadata, &[FileType::File])?;
        if size > ItemKind::Payload.max_content() - format::HEADER_LEN {
            return Err(EncodeError::TooLarge);
        }
        items.extend_from_slice(&ItemKind::Payload.number().to_le_bytes());
        items.extend_from_slice(&(size + format::HEADER_LEN).to_le_bytes());
        self.write(&items)?;
        let given = self.copy(size, content)?;
        self.child(name, start)?;
        Ok((given, FilePosition(start)))
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// If the stream fails or the arguments cannot stand in an archive.
    pub fn symlink(&mut self, name: &[u8], metadata: &Metadata, target: &[u8]) -> Result<(), EncodeError> {
        if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
            return Err(EncodeError::Target);
        }
        let (start, mut items, _) = self.begin(name, metadata, &[FileType::Symlink])?;
        header(&mut items, ItemKind::Symlink, target.len() + 1);
        items.extend_from_slice(target);
        items.push(0);
        self.write(&items)?;
        self.child(name, start)
    }

    /// A device node, fifo or socket; the mode must say the same.
    ///
    /// # Errors
    /// If the stream fails or the arguments cannot stand in an archive.
    pub fn special(&mut self, name: &[u8], metadata: &Metadata, what: SpecialFile) -> Result<(), EncodeError> {
        let types: &[FileType] = match what {
            SpecialFile::Fifo => &[FileType::Fifo],
            SpecialFile::Socket => &[FileType::Socket],
            SpecialFile::Device { .. } => &[FileType::BlockDevice, FileType::CharDevice],
        };
        let (start, mut items, _) = self.begin(name, metadata, types)?;
        if let SpecialFile::Device { major, minor } = what {
            numbers(&mut items, ItemKind::Device, &[major, minor]);
        }
        self.write(&items)?;
        self.child(name, start)
    }

    /// A further name of the file at `position`, whose path from the root is `target`.
    ///
    /// # Errors
    /// If the stream fails or the arguments cannot stand in an archive.
    pub fn hardlink(&mut self, name: &[u8], target: &[u8], position: FilePosition) -> Result<(), EncodeError> {
        if !format::is_plain_path(target) {
            return Err(EncodeError::Target);
        }
        let (start, mut items) = self.named(name)?;
        let distance = start.checked_sub(position.0).filter(|&distance| distance > 0);
        let distance = distance.ok_or(EncodeError::Position)?;
        header(&mut items, ItemKind::Hardlink, 8 + target.len() + 1);
        items.extend_from_slice(&distance.to_le_bytes());
        items.extend_from_slice(target);
        items.push(0);
        self.write(&items)?;
        self.child(name, start)
    }

    /// Begins a folder: its children come next, then [`Encoder::leave`].
    ///
    /// # Errors
    /// If the stream fails or the arguments cannot stand in an archive.
    pub fn enter(&mut self, name: &[u8], metadata: &Metadata) -> Result<(), EncodeError> {
        let (start, items, entry) = self.begin(name, metadata, &[FileType::Directory])?;
        self.write(&items)?;
        self.open.push(OpenFolder { name: name.to_vec(), start, entry, children: Vec::new() });
        Ok(())
    }

    /// Ends the innermost open folder.
    ///
    /// # Errors
    /// If the stream fails or no folder is open but the root.
    pub fn leave(&mut self) -> Result<(), EncodeError> {
        if self.open.len() < 2 {
            return Err(EncodeError::Nesting);
        }
        if let Some(folder) = self.goodbye()? {
            self.child(&folder.name, folder.start)?;
        }
        Ok(())
    }

    /// Ends the archive and gives the stream back, flushed.
    ///
    /// # Errors
    /// If the stream fails or a folder is still open.
    pub fn finish(mut self) -> Result<W, EncodeError> {
        self.end()?;
        Ok(self.output)
    }

    /// Ends the archive: nothing can follow.
    pub(super) fn end(&mut self) -> Result<(), EncodeError> {
        if self.open.len() != 1 {
            return Err(EncodeError::Nesting);
        }
        self.goodbye()?;
        self.output.flush().map_err(EncodeError::Write)
    }

    /// Bytes of the archive written so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn goodbye(&mut self) -> Result<Option<OpenFolder>, EncodeError> {
        let Some(mut folder) = self.open.pop() else {
            return Ok(None);
        };
        let children = std::mem::take(&mut folder.children);
        self.write(&goodbye::item(children, folder.entry, self.offset))?;
        Ok(Some(folder))
    }

    /// FILENAME; also where it begins.
    fn named(&self, name: &[u8]) -> Result<(u64, Vec<u8>), EncodeError> {
        if self.open.is_empty() {
            return Err(EncodeError::Nesting);
        }
        if !format::is_plain_name(name) {
            return Err(EncodeError::Name);
        }
        let mut items = Vec::new();
        header(&mut items, ItemKind::Filename, name.len() + 1);
        items.extend_from_slice(name);
        items.push(0);
        Ok((self.offset, items))
    }

    /// FILENAME, ENTRY and metadata; also where FILENAME and where ENTRY begin.
    fn begin(&self, name: &[u8], metadata: &Metadata, types: &[FileType]) -> Result<(u64, Vec<u8>, u64), EncodeError> {
        let (start, mut items) = self.named(name)?;
        let entry = start + items.len() as u64;
        append_entry(&mut items, metadata, types)?;
        Ok((start, items, entry))
    }

    fn child(&mut self, name: &[u8], start: u64) -> Result<(), EncodeError> {
        let end = self.offset;
        let folder = self.open.last_mut().ok_or(EncodeError::Nesting)?;
        folder.children.push(Child::new(name, start, end));
        Ok(())
    }

    fn copy(&mut self, size: u64, content: &mut impl Read) -> Result<u64, EncodeError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(COPY, 0);
        let mut given = 0;
        while given < size {
            let most = (size - given).min(COPY as u64) as usize;
            match content.read(&mut buffer[..most]) {
                Ok(0) => break,
                Ok(count) => {
                    self.write(&buffer[..count])?;
                    given += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(EncodeError::Content(error)),
            }
        }
        let mut missing = size - given;
        if missing > 0 {
            buffer.fill(0);
        }
        while missing > 0 {
            let piece = missing.min(COPY as u64) as usize;
            self.write(&buffer[..piece])?;
            missing -= piece as u64;
        }
        self.buffer = buffer;
        Ok(given)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let after = self.offset.checked_add(bytes.len() as u64);
        let after = after.ok_or(EncodeError::TooLarge)?;
        self.output.write_all(bytes).map_err(EncodeError::Write)?;
        self.offset = after;
        Ok(())
    }
}

fn append_entry(items: &mut Vec<u8>, metadata: &Metadata, types: &[FileType]) -> Result<(), EncodeError> {
    let sound = metadata.file_type().is_some_and(|found| types.contains(&found))
        && metadata.mode & !0o177_777 == 0
        && metadata.mtime.nanoseconds < 1_000_000_000
        && metadata.fcaps.as_ref().is_none_or(|value| value.len() as u64 <= MAX_XATTR)
        && metadata.xattrs.iter().all(|xattr| {
            !xattr.name.is_empty()
                && !xattr.name.contains(&0)
                && (xattr.name.len() + 1 + xattr.value.len()) as u64 <= MAX_XATTR
        });
    if !sound {
        return Err(EncodeError::Metadata);
    }
    metadata.append_items(items);
    Ok(())
}
