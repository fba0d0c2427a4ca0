//! Where the ten words come from: the terminal, or a descriptor that leaves nothing behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use tenwords_escrow::code::{CodeError, RecoveryCode, check_typing};
use zeroize::Zeroizing;

use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    terminal::{Screen, Terminal},
};

const PROMPT: &str = "The ten words: ";
const LIMIT: usize = 1024;

/// Reads the code from descriptor `number`: a FIFO, a terminal, or a memfd (a regular file without
/// links on a tmpfs). A file on a disk is refused, since it would outlive us there.
///
/// This comes before any child is started: a descriptor that we inherited reaches every child, and
/// what it holds must be read out by then.
pub(crate) fn from_descriptor(number: u32) -> Outcome<RecoveryCode> {
    if number < 3 {
        return Err(Stop::new(Code::Usage, "--code-fd takes a descriptor above 2"));
    }
    let cannot = || format!("the descriptor {number} of --code-fd cannot be read");
    let path = format!("/proc/self/fd/{number}");
    // Without O_NONBLOCK a FIFO whose writer has gone would be waited for, for ever.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path);
    let mut file = file.or_stop(Code::Usage, cannot)?;
    // Our own handle is closed at exec; the one that we inherited would not be.
    let inherited = i32::try_from(number).or_stop(Code::Usage, cannot)?;
    nix::unistd::close(inherited).or_stop(Code::Usage, cannot)?;
    if file.is_terminal() {
        let mut terminal = Terminal::of(file)?;
        return ask(&mut terminal.screen()?, "The ten words are asked for.");
    }
    if !leaves_nothing(&file).or_stop(Code::Usage, cannot)? {
        return Err(Stop::new(Code::Usage, "--code-fd was given a file, which would keep the words on a disk")
            .remedy("hand over a pipe, a terminal or a memfd, for example `recover --code-fd 3 3< <(program)`"));
    }
    let mut text = Zeroizing::new([0_u8; LIMIT]);
    let length = read_out(&mut file, &mut *text).or_stop(Code::Usage, cannot)?;
    let text = std::str::from_utf8(&text[..length]);
    let text = text.or_stop(Code::WordsWrong, || "the words are not UTF-8 text".into())?;
    RecoveryCode::parse(text).or_stop(Code::WordsWrong, || "these are not ten words of the list".into())
}

/// Reads until the end, into a buffer that does not move; fuller than full is an error.
fn read_out(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        interrupt::wait_readable(file)?;
        match file.read(&mut buffer[length..]) {
            Ok(0) if length == buffer.len() => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(0) => return Ok(length),
            Ok(read) => length += read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

fn leaves_nothing(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    Ok(kind.is_fifo() || (kind.is_file() && metadata.nlink() == 0 && fstatfs(file)?.filesystem_type() == TMPFS_MAGIC))
}

/// Asks for the code until it is ten words of the list; each slip is named, and nothing is derived.
pub(crate) fn ask(screen: &mut Screen<'_>, heading: &str) -> Outcome<RecoveryCode> {
    screen.clear()?;
    screen.say(heading)?;
    if Terminal::is_remote() {
        screen.say(
            "You are connected over ssh: the machine you sit at, and everybody who can watch it, sees what you type.",
        )?;
    }
    screen.say("Type all ten, with a blank between them, then Enter. They are shown as you type and cleared after.")?;
    screen.say("Ctrl-C gives up; nothing is changed then.\n")?;
    loop {
        let mut said = None;
        let line = screen.ask_watched(PROMPT, |typed| {
            // A wrong word, or another keyboard, is told before the next word is typed; once.
            let error = check_typing(typed).err()?.to_string();
            (said.as_ref() != Some(&error)).then(|| said.insert(error).clone())
        })?;
        match RecoveryCode::parse(&line) {
            Ok(code) => {
                screen.clear()?;
                return Ok(code);
            }
            Err(error) => {
                drop(line);
                screen.clear()?;
                screen.say(heading)?;
                screen.say(&format!("\n{error}\n"))?;
                near(screen, &error)?;
            }
        }
    }
}

/// The list's words that are nearest to one that is not in it. Shown on the screen that is wiped, and
/// nowhere else: they are next to what was typed.
fn near(screen: &mut Screen<'_>, error: &CodeError) -> Outcome<()> {
    let CodeError::Unlisted(unlisted) = error else { return Ok(()) };
    for word in unlisted.expose_nearest() {
        screen.say(word)?;
    }
    screen.say("")
}

/// Whether `path` leads to a regular file that only its owner may read.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    Ok(metadata.is_file() && metadata.mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Seek as _, Write as _},
        os::fd::{IntoRawFd as _, OwnedFd},
    };

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// Ten words that protect nothing.
    const WORDS: &str = "abacus abdomen abdominal abide abiding ability ablaze able abnormal abrasion";

    fn read(descriptor: OwnedFd) -> Result<String, Stop> {
        let number = u32::try_from(descriptor.into_raw_fd()).unwrap_or(0);
        from_descriptor(number).map(|code| code.expose_passphrase().to_owned())
    }

    fn filled(mut file: File) -> io::Result<OwnedFd> {
        file.write_all(WORDS.as_bytes())?;
        file.rewind()?;
        Ok(file.into())
    }

    #[test]
    fn a_pipe_and_a_memfd_leave_nothing_behind() -> Tested {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(format!("  {}\n", WORDS.to_uppercase()).as_bytes())?;
        drop(writer);
        assert_eq!(read(reader.into()).map_err(|stop| stop.what)?, WORDS);

        let memfd = memfd_create(c"words", MFdFlags::MFD_CLOEXEC)?;
        assert_eq!(read(filled(File::from(memfd))?).map_err(|stop| stop.what)?, WORDS);
        Ok(())
    }

    #[test]
    fn a_file_on_a_disk_is_refused_even_without_a_name() -> Tested {
        let named = tempfile::NamedTempFile::new()?;
        let stop = read(filled(named.reopen()?)?).err();
        assert!(stop.is_some_and(|stop| stop.code == Code::Usage && stop.what.contains("on a disk")));

        // A name on a tmpfs would keep the words for everybody who may read there.
        let shared = tempfile::NamedTempFile::new_in("/dev/shm")?;
        assert!(read(filled(shared.reopen()?)?).is_err_and(|stop| stop.code == Code::Usage));

        let nameless = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR"))?;
        let on_tmpfs = fstatfs(&nameless)?.filesystem_type() == TMPFS_MAGIC;
        assert_eq!(read(filled(nameless)?).is_ok(), on_tmpfs);
        Ok(())
    }

    #[test]
    fn a_descriptor_that_is_not_there_is_said_to_be() {
        for number in [0, 2, 999_999, u32::MAX] {
            assert!(from_descriptor(number).is_err_and(|stop| stop.code == Code::Usage), "{number}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused_before_anything_is_derived() -> Tested {
        for wrong in ["", "abacus", &format!("{WORDS} abacus"), "\u{0}", "nonsense words here"] {
            let (reader, mut writer) = io::pipe()?;
            writer.write_all(wrong.as_bytes())?;
            drop(writer);
            assert!(read(reader.into()).is_err_and(|stop| stop.code == Code::WordsWrong), "{wrong}");
        }
        Ok(())
    }
}
