//! Where the ten words come from: the terminal, or a descriptor that leaves nothing behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Read as _},
    os::fd::AsRawFd as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use tenwords_escrow::{code::RecoveryCode, slip::Lock};
use zeroize::Zeroizing;

use crate::{
    editor::{
        Entry,
        hunt::{self, Find, Hunted},
        sheet::Sheet,
        slots::{Slots, Step},
    },
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    terminal::{Screen, Terminal},
};

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
        // Opened anew: to show what is typed, and without O_NONBLOCK.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut terminal = Terminal::at(Path::new(&path)).or_stop(Code::Usage, cannot)?;
        let heading = terminal.sentences().asked_for;
        return ask(&mut terminal.screen()?, heading);
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
    entered(screen, heading, Slots::new())
}

/// Asks again after these words have opened nothing: they are there to be corrected, and the local
/// search over what opens with them can be asked for. `roots` are those that they were tried on.
pub(crate) fn ask_again<L: Lock + Sync>(
    screen: &mut Screen<'_>,
    heading: &str,
    refused: RecoveryCode,
    roots: &[L],
) -> Outcome<RecoveryCode> {
    let (mut heading, mut slots) = (heading.to_owned(), Slots::refused(refused));
    loop {
        let mut entry = entry(screen, &heading, slots);
        if screen.run(&mut entry)? == Step::Done
            && let Some(code) = entry.slots.code()
        {
            return Ok(code);
        }
        let Some(code) = entry.slots.code() else {
            slots = entry.slots;
            continue;
        };
        let (sentences, charset) = (screen.sentences(), screen.charset());
        let hunted = hunt::hunt(&code, roots, sentences, charset, |progress| screen.run(progress))?;
        heading = match hunted {
            Hunted::Found(slip, code) => {
                screen.run(&mut Find { slip: &slip, sentences, charset })?;
                return Ok(code);
            }
            Hunted::Nothing { tried } => (sentences.not_found)(tried),
            Hunted::Ended => sentences.search_ended.to_owned(),
        };
        slots = Slots::refused(code);
    }
}

/// Shows a drawn code once, and has it typed back until it is the same. What was typed right stays. Over
/// ssh it is said with the words who else sees them.
pub(crate) fn show_and_have_typed_back(
    terminal: &mut Terminal,
    box_name: &str,
    number: u64,
    code: &RecoveryCode,
) -> Outcome<()> {
    let mut screen = terminal.screen()?;
    let sentences = screen.sentences();
    let remote = Terminal::is_remote().then(|| sentences.remote.to_owned());
    let title = (sentences.box_and_code)(box_name, number);
    let mut above = vec![title, sentences.write_down.to_owned(), sentences.never_asked.to_owned()];
    above.extend(remote.clone());
    let mut slots = Slots::new();
    loop {
        show(&mut screen, code, above)?;
        let typed = entered(&mut screen, sentences.type_back, slots)?;
        let right = std::iter::once(&typed).chain(&typed.other_readings()).any(|reading| reading.is_same_as(code));
        if right {
            return Ok(());
        }
        let same = || code.expose_words().zip(typed.expose_words()).map(|(right, typed)| right == typed);
        let wrong: Vec<String> =
            same().enumerate().filter(|(_, is_same)| !is_same).map(|(place, _)| (place + 1).to_string()).collect();
        above = vec![(sentences.not_the_same)(&wrong.join(", ")), sentences.once_more.to_owned()];
        above.extend(remote.clone());
        slots = Slots::with(typed.expose_words().zip(same()).map(|(word, is_same)| is_same.then_some(word)));
    }
}

fn show(screen: &mut Screen<'_>, code: &RecoveryCode, above: Vec<String>) -> Outcome<()> {
    // An Enter that was pressed in impatience must not take the words away unseen.
    screen.forget_typed()?;
    let (sentences, charset, at_once) = (screen.sentences(), screen.charset(), screen.is_whole());
    screen.run(&mut Sheet { code, above, sentences, charset, at: 0, at_once }).map(drop)
}

fn entered(screen: &mut Screen<'_>, heading: &str, slots: Slots) -> Outcome<RecoveryCode> {
    let mut entry = entry(screen, heading, slots);
    loop {
        screen.run(&mut entry)?;
        if let Some(code) = entry.slots.code() {
            return Ok(code);
        }
    }
}

fn entry<'a>(screen: &Screen<'_>, heading: &'a str, slots: Slots) -> Entry<'a> {
    let (sentences, charset) = (screen.sentences(), screen.charset());
    Entry { slots, heading, is_remote: Terminal::is_remote(), sentences, charset }
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
