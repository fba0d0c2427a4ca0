//! Writing a file with holes where there are zeros, as the real client's restore of a tree does.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
};

/// Bytes copied at a time; a multiple of [`BLOCK`].
pub(crate) const PIECE: usize = 256 * 1024;
/// Zeros of this length and alignment become a hole.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Copies `content` to its end into `file`, which is new and empty. Bytes copied.
///
/// # Errors
/// The reader's or the file's.
pub fn copy(content: &mut impl Read, file: &File) -> io::Result<u64> {
    copy_with(content, file, &mut vec![0; PIECE])
}

pub(crate) fn copy_with(content: &mut impl Read, file: &File, buffer: &mut [u8]) -> io::Result<u64> {
    let mut offset = 0;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match content.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        write(file, &buffer[..filled], offset)?;
        offset += filled as u64;
        if filled < buffer.len() {
            file.set_len(offset)?;
            return Ok(offset);
        }
    }
}

fn write(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    let mut run = 0;
    for start in (0..data.len()).step_by(BLOCK) {
        let end = data.len().min(start + BLOCK);
        if data[start..end] == ZEROS[..end - start] {
            if run < start {
                file.write_all_at(&data[run..start], offset + run as u64)?;
            }
            run = end;
        }
    }
    if run < data.len() {
        file.write_all_at(&data[run..], offset + run as u64)?;
    }
    Ok(())
}
