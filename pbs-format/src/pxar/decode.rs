//! Reading an archive from front to back.
//!
//! The decoder trusts no number: item sizes are held against the item's own limit before anything
//! is allocated, folders nest up to [`MAX_DEPTH`], and the names and metadata of all open folders
//! together are bounded. GOODBYE tables are for random access and are skipped unread. An archive
//! that ends early, or goes on after its root's table, is an error.

use super::entry::{DecodeError, Entry, EntryKind, Event, Hardlink};
use super::format::{self, HEADER_LEN, ItemKind, MAX_DEPTH, MAX_KEPT, NO_MASK};
use super::metadata::{AclEntry, DefaultAcl, FileType, Metadata, Xattr, u64_at};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Reads an archive entry by entry.
#[derive(Debug)]
pub struct Decoder<R> {
    input: R,
    offset: u64,
    state: State,
    /// A header that was read ahead.
    ahead: Option<Header>,
    open: Vec<OpenFolder>,
    /// Path of the last event, without a leading slash.
    path: Vec<u8>,
    /// Bytes kept for open folders.
    kept: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Folder,
    Content { left: u64 },
    Finished,
    Failed,
}

#[derive(Debug)]
struct OpenFolder {
    /// Length of the folder's own path.
    path: usize,
    kept: u64,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    kind: ItemKind,
    offset: u64,
    content: u64,
}

impl Header {
    fn unexpected(self) -> DecodeError {
        DecodeError::Unexpected { item: self.kind.name(), offset: self.offset }
    }

    fn malformed(self) -> DecodeError {
        DecodeError::Malformed { item: self.kind.name(), offset: self.offset }
    }
}

impl<R: Read> Decoder<R> {
    /// Nothing is read yet. The decoder asks for many small pieces, so unbuffered streams want a
    /// [`io::BufReader`].
    pub fn new(input: R) -> Self {
        Self { input, offset: 0, state: State::Start, ahead: None, open: Vec::new(), path: Vec::new(), kept: 0 }
    }

    /// The next event; `None` once the archive has ended as it should. Content that was not read
    /// is skipped.
    ///
    /// # Errors
    /// See [`DecodeError`]; after one the decoder only says [`DecodeError::Failed`].
    pub fn next_event(&mut self) -> Result<Option<Event>, DecodeError> {
        let event = self.advance();
        if event.is_err() {
            self.state = State::Failed;
        }
        event
    }

    /// Path of the last event from the root, empty for the root itself; for [`Event::Leave`] the
    /// folder that was left.
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// Content of the file that was the last event; nothing after any other.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { decoder: self }
    }

    /// Bytes of the archive read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn advance(&mut self) -> Result<Option<Event>, DecodeError> {
        match self.state {
            State::Start => self.root().map(Some),
            State::Folder => self.in_folder().map(Some),
            State::Content { left } => {
                self.skip(left)?;
                self.state = State::Folder;
                self.in_folder().map(Some)
            }
            State::Finished => Ok(None),
            State::Failed => Err(DecodeError::Failed),
        }
        .and_then(|event| {
            if self.open.is_empty() && self.state == State::Folder {
                self.state = State::Finished;
                self.expect_end()?;
            }
            Ok(event)
        })
    }

    fn root(&mut self) -> Result<Event, DecodeError> {
        let (number, size) = self.raw_header()?;
        match ItemKind::from_number(number) {
            Some(ItemKind::Entry | ItemKind::EntryOld) => {}
            Some(ItemKind::FormatVersion) if size == HEADER_LEN + 8 => {
                let version = u64_at(&self.array::<8>()?, 0);
                return Err(DecodeError::Version { version });
            }
            _ => return Err(DecodeError::NotAnArchive { found: number }),
        }
        let header = Self::checked_header(number, size, 0)?;
        self.state = State::Folder;
        let entry = self.node(header, Vec::new())?;
        if entry.kind != EntryKind::Directory {
            return Err(DecodeError::Root);
        }
        Ok(Event::Entry(Box::new(entry)))
    }

    fn in_folder(&mut self) -> Result<Event, DecodeError> {
        // Back from the last event's path to the folder's.
        let folder = self.open.last().map_or(0, |open| open.path);
        self.path.truncate(folder);
        let header = self.header()?;
        match header.kind {
            ItemKind::Filename => {
                let name = self.name(header)?;
                if folder > 0 {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(&name);
                let inner = self.header()?;
                match inner.kind {
                    ItemKind::Hardlink => self.hardlink(inner, name, header.offset),
                    ItemKind::Entry | ItemKind::EntryOld => {
                        self.node(inner, name).map(|entry| Event::Entry(Box::new(entry)))
                    }
                    _ => Err(inner.unexpected()),
                }
            }
            ItemKind::Goodbye => {
                self.skip(header.content)?;
                if let Some(left) = self.open.pop() {
                    self.kept -= left.kept;
                }
                Ok(Event::Leave)
            }
            _ => Err(header.unexpected()),
        }
    }

    fn name(&mut self, header: Header) -> Result<Vec<u8>, DecodeError> {
        let mut name = self.bytes(header)?;
        if name.pop() != Some(0) {
            return Err(header.malformed());
        }
        if !format::is_plain_name(&name) {
            let name = OsString::from_vec(name);
            return Err(DecodeError::Name { name });
        }
        Ok(name)
    }

    fn hardlink(&mut self, header: Header, name: Vec<u8>, at: u64) -> Result<Event, DecodeError> {
        let content = self.bytes(header)?;
        let Some((distance, [target @ .., 0])) = content.split_first_chunk::<8>() else {
            return Err(header.malformed());
        };
        let distance = u64::from_le_bytes(*distance);
        if distance == 0 || distance > at {
            return Err(header.malformed());
        }
        let target = OsString::from_vec(target.to_vec());
        if !format::is_plain_path(target.as_bytes()) {
            return Err(DecodeError::LinkTarget { target });
        }
        Ok(Event::Hardlink(Hardlink { name: OsString::from_vec(name), target, distance }))
    }

    /// Metadata and body after an ENTRY's header.
    fn node(&mut self, entry: Header, name: Vec<u8>) -> Result<Entry, DecodeError> {
        let metadata = match entry.kind {
            ItemKind::EntryOld => Metadata::from_old_entry(&self.array()?),
            _ => Metadata::from_entry(&self.array()?),
        };
        let mut metadata = metadata.ok_or_else(|| entry.malformed())?;
        let mut kept = name.len() as u64;
        let body = loop {
            let header = self.header()?;
            if !self.metadata_item(header, &mut metadata)? {
                break header;
            }
            // Each item costs some memory beside its bytes.
            kept = kept.saturating_add(header.content + 64);
            if kept.saturating_add(self.kept) > MAX_KEPT {
                return Err(DecodeError::TooMuchMetadata);
            }
        };
        let file_type = metadata.file_type().ok_or_else(|| entry.malformed())?;
        let kind = match (file_type, body.kind) {
            (FileType::File, ItemKind::Payload) => {
                self.state = State::Content { left: body.content };
                EntryKind::File { size: body.content }
            }
            (FileType::Symlink, ItemKind::Symlink) => {
                let mut target = self.bytes(body)?;
                if target.pop() != Some(0) || target.is_empty() || target.contains(&0) {
                    return Err(body.malformed());
                }
                self.state = State::Folder;
                EntryKind::Symlink { target: OsString::from_vec(target) }
            }
            (FileType::BlockDevice | FileType::CharDevice, ItemKind::Device) => {
                let numbers = self.array::<16>()?;
                self.state = State::Folder;
                EntryKind::Device { major: u64_at(&numbers, 0), minor: u64_at(&numbers, 8) }
            }
            // These have no body: what was read already belongs to a folder.
            (FileType::Directory | FileType::Fifo | FileType::Socket, ItemKind::Filename | ItemKind::Goodbye) => {
                self.ahead = Some(body);
                self.state = State::Folder;
                match file_type {
                    FileType::Directory => {
                        self.enter(kept)?;
                        EntryKind::Directory
                    }
                    FileType::Fifo => EntryKind::Fifo,
                    _ => EntryKind::Socket,
                }
            }
            (file_type, ItemKind::Filename | ItemKind::Goodbye) => {
                return Err(DecodeError::MissingBody {
                    item: match file_type {
                        FileType::File => ItemKind::Payload.name(),
                        FileType::Symlink => ItemKind::Symlink.name(),
                        _ => ItemKind::Device.name(),
                    },
                    offset: entry.offset,
                });
            }
            _ => return Err(body.unexpected()),
        };
        Ok(Entry { name: OsString::from_vec(name), metadata, kind })
    }

    fn enter(&mut self, kept: u64) -> Result<(), DecodeError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        self.kept += kept;
        self.open.push(OpenFolder { path: self.path.len(), kept });
        Ok(())
    }

    /// Takes the item in if it is one of metadata.
    fn metadata_item(&mut self, header: Header, into: &mut Metadata) -> Result<bool, DecodeError> {
        match header.kind {
            ItemKind::Xattr => {
                let mut name = self.bytes(header)?;
                let Some(end) = name.iter().position(|&byte| byte == 0) else {
                    return Err(header.malformed());
                };
                let value = name.split_off(end + 1);
                name.truncate(end);
                if name.is_empty() {
                    return Err(header.malformed());
                }
                into.xattrs.push(Xattr { name, value });
            }
            ItemKind::AclUser => into.acl_users.push(self.acl_entry()?),
            ItemKind::AclGroup => into.acl_groups.push(self.acl_entry()?),
            ItemKind::AclDefaultUser => into.acl_default_users.push(self.acl_entry()?),
            ItemKind::AclDefaultGroup => into.acl_default_groups.push(self.acl_entry()?),
            ItemKind::AclGroupObj => {
                let permissions = u64_at(&self.array::<8>()?, 0);
                once(header, &mut into.acl_group_obj, permissions)?;
            }
            ItemKind::AclDefault => {
                let values = self.array::<32>()?;
                let mask = u64_at(&values, 24);
                let acl = DefaultAcl {
                    user_obj: u64_at(&values, 0),
                    group_obj: u64_at(&values, 8),
                    other: u64_at(&values, 16),
                    mask: (mask != NO_MASK).then_some(mask),
                };
                once(header, &mut into.acl_default, acl)?;
            }
            ItemKind::Fcaps => {
                let value = self.bytes(header)?;
                once(header, &mut into.fcaps, value)?;
            }
            ItemKind::QuotaProjid => {
                let id = u64_at(&self.array::<8>()?, 0);
                once(header, &mut into.quota_project_id, id)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn acl_entry(&mut self) -> Result<AclEntry, DecodeError> {
        let values = self.array::<16>()?;
        Ok(AclEntry { id: u64_at(&values, 0), permissions: u64_at(&values, 8) })
    }

    fn header(&mut self) -> Result<Header, DecodeError> {
        if let Some(header) = self.ahead.take() {
            return Ok(header);
        }
        let offset = self.offset;
        let (number, size) = self.raw_header()?;
        Self::checked_header(number, size, offset)
    }

    fn raw_header(&mut self) -> Result<(u64, u64), DecodeError> {
        let header = self.array::<16>()?;
        Ok((u64_at(&header, 0), u64_at(&header, 8)))
    }

    fn checked_header(number: u64, size: u64, offset: u64) -> Result<Header, DecodeError> {
        let kind = ItemKind::from_number(number).ok_or(DecodeError::UnknownItem { number, offset })?;
        let wrong = DecodeError::ItemSize { item: kind.name(), offset, size };
        let Some(content) = size.checked_sub(HEADER_LEN) else {
            return Err(wrong);
        };
        let exact = matches!(
            kind,
            ItemKind::Entry
                | ItemKind::EntryOld
                | ItemKind::AclUser
                | ItemKind::AclGroup
                | ItemKind::AclGroupObj
                | ItemKind::AclDefault
                | ItemKind::AclDefaultUser
                | ItemKind::AclDefaultGroup
                | ItemKind::QuotaProjid
                | ItemKind::Device
        );
        let limit = kind.max_content();
        if content > limit || (exact && content != limit) || offset.checked_add(size).is_none() {
            return Err(wrong);
        }
        Ok(Header { kind, offset, content })
    }

    /// The content of an item whose size was held against its kind's limit.
    fn bytes(&mut self, header: Header) -> Result<Vec<u8>, DecodeError> {
        let length = usize::try_from(header.content.min(format::MAX_XATTR)).map_err(|_| header.malformed())?;
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        Ok(content)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut content = [0; N];
        self.fill(&mut content)?;
        Ok(content)
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), DecodeError> {
        while !buffer.is_empty() {
            let count = self.read_some(buffer)?;
            if count == 0 {
                return Err(DecodeError::Truncated { offset: self.offset });
            }
            buffer = &mut buffer[count..];
        }
        Ok(())
    }

    fn skip(&mut self, mut left: u64) -> Result<(), DecodeError> {
        let mut sink = [0; 8192];
        while left > 0 {
            let piece = left.min(sink.len() as u64) as usize;
            self.fill(&mut sink[..piece])?;
            left -= piece as u64;
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, DecodeError> {
        loop {
            match self.input.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DecodeError::Read(error)),
            }
        }
    }

    fn expect_end(&mut self) -> Result<(), DecodeError> {
        let offset = self.offset;
        match self.read_some(&mut [0])? {
            0 => Ok(()),
            _ => Err(DecodeError::Trailing { offset }),
        }
    }
}

fn once<T>(header: Header, slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    if slot.is_some() {
        return Err(header.unexpected());
    }
    *slot = Some(value);
    Ok(())
}

/// The content of one file. Dropping it early is fine: the rest is skipped.
#[derive(Debug)]
pub struct Content<'a, R> {
    decoder: &'a mut Decoder<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::Content { left } = self.decoder.state else {
            return Ok(0);
        };
        if left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let error = match self.decoder.read_some(&mut buffer[..most]) {
            Ok(0) => {
                let offset = self.decoder.offset;
                io::Error::new(io::ErrorKind::UnexpectedEof, DecodeError::Truncated { offset })
            }
            Ok(count) => {
                self.decoder.state = State::Content { left: left - count as u64 };
                return Ok(count);
            }
            Err(DecodeError::Read(error)) => error,
            Err(other) => io::Error::other(other),
        };
        self.decoder.state = State::Failed;
        Err(error)
    }
}
