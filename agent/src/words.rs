//! Where the ten words come from: the terminal, or a descriptor that leaves nothing behind.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use tenwords_escrow::code::RecoveryCode;
use zeroize::Zeroizing;

use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    terminal::{Screen, Terminal},
};

const PROMPT: &str = "The ten words: ";
const LIMIT: u64 = 1024;

/// Reads the code from descriptor `number`: a FIFO, a terminal, or a memfd (a regular file without
/// links on a tmpfs). A file on a disk is refused, since it would outlive us there.
pub(crate) fn from_descriptor(number: u32) -> Outcome<RecoveryCode> {
    if number < 3 {
        return Err(Stop::new(Code::Usage, "--code-fd takes a descriptor above 2"));
    }
    let cannot = || format!("the descriptor {number} of --code-fd cannot be read");
    let path = format!("/proc/self/fd/{number}");
    let file = File::open(&path).or_stop(Code::Usage, cannot)?;
    // Our own handle is closed at exec; the one that we inherited would reach every child.
    let inherited = i32::try_from(number).or_stop(Code::Usage, cannot)?;
    nix::unistd::close(inherited).or_stop(Code::Usage, cannot)?;
    if !leaves_nothing(&file).or_stop(Code::Usage, cannot)? {
        return Err(Stop::new(Code::Usage, "--code-fd was given a file, which would keep the words on a disk")
            .remedy("hand over a pipe, a terminal or a memfd, for example `recover --code-fd 3 3< <(program)`"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(LIMIT).unwrap_or(1024) + 1));
    file.take(LIMIT + 1).read_to_end(&mut text).or_stop(Code::Usage, cannot)?;
    let text = std::str::from_utf8(&text).or_stop(Code::WordsWrong, || "the words are not UTF-8 text".into())?;
    RecoveryCode::parse(text).or_stop(Code::WordsWrong, || "these are not ten words of the list".into())
}

fn leaves_nothing(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    Ok(kind.is_fifo()
        || file.is_terminal()
        || (kind.is_file() && metadata.nlink() == 0 && fstatfs(file)?.filesystem_type() == TMPFS_MAGIC))
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
        let line = screen.ask(PROMPT)?;
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
            }
        }
    }
}

/// Whether `path` leads to a regular file that only its owner may read.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    Ok(metadata.is_file() && metadata.mode() & 0o077 == 0)
}
