//! The recorded transcripts, taken apart.
//!
//! A block is what follows a `### title`: a command line, how it ended, and either its two streams or
//! the conversation on the terminal.

/// One recorded run.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) title: String,
    /// The words after `proxmox-backup-client`, split at blanks.
    pub(crate) words: Vec<String>,
    /// What stood in brackets after the command line (`pty stdin, …`, `setsid`).
    pub(crate) note: String,
    /// Exit code; a signal as its negative number.
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) talk: Vec<Talk>,
    /// What a conversation printed on a separate stderr.
    pub(crate) stderr_bytes: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Talk {
    Tty(Vec<u8>),
    Send(Vec<u8>),
}

impl Block {
    pub(crate) fn is_pty(&self) -> bool {
        self.note.contains("pty stdin")
    }
}

/// Every run of the client in a transcript, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    text.split("\n### ").skip(1).filter_map(block).collect()
}

fn block(text: &str) -> Option<Block> {
    let (title, rest) = text.split_once('\n')?;
    let rest = rest.split("\n## ").next()?;
    let command = rest.lines().find_map(|line| line.strip_prefix("$ proxmox-backup-client"))?;
    let (command, note) = match command.split_once("    [") {
        Some((command, note)) => (command, note),
        None => (command.split("    (").next()?, ""),
    };
    let exit = rest.lines().find_map(|line| line.strip_prefix("exit="))?;
    let exit = exit.split(' ').next()?.parse().ok()?;
    Some(Block {
        title: title.to_owned(),
        words: command.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        note: note.to_owned(),
        exit,
        stdout: stream(rest, "\nstdout: ", "\nstderr: "),
        stderr: stream(rest, "\nstderr: ", "\n\n"),
        talk: rest.lines().filter_map(talk).collect(),
        stderr_bytes: rest.lines().filter_map(|line| line.strip_prefix("  stderr  b")).map(unescape).collect(),
    })
}

fn stream(text: &str, start: &str, end: &str) -> String {
    let Some(at) = text.find(start) else { return String::new() };
    let text = &text[at + start.len()..];
    let Some(text) = text.strip_prefix('\n') else { return String::new() };
    text.find(end).map_or(text, |end| &text[..end]).trim_end_matches('\n').to_owned() + "\n"
}

fn talk(line: &str) -> Option<Talk> {
    if let Some(text) = line.strip_prefix("  tty     b") {
        return Some(Talk::Tty(unescape(text)));
    }
    let text = line.strip_prefix("  send    b")?;
    Some(Talk::Send(unescape(text.rsplit_once("   (").map_or(text, |(text, _)| text))))
}

/// A Python bytes literal without its `b`.
fn unescape(text: &str) -> Vec<u8> {
    let text = &text[1..text.len() - 1];
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            Some(other) => bytes.push(other as u8),
            None => {}
        }
    }
    bytes
}

#[test]
fn a_block_is_taken_apart() {
    let text = "x\n### title\n$ proxmox-backup-client status --ns a    [pty stdin, controlling=True, stdout=pty, stderr=pty]\nexit=255  seconds=0.1\n  tty     b'Error: \\'x\\'\\r\\n'\n  send    b'\\x7f\\r'   (ECHO=off ICANON=off)\n\n### two\n$ proxmox-backup-client list\nexit=0  seconds=0.05\nstdout: \none\n\nstderr: \nline\n\n\n## next\n";
    let found = blocks(text);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].words, ["status", "--ns", "a"]);
    assert!(found[0].is_pty());
    assert_eq!(found[0].exit, 255);
    assert_eq!(found[0].talk, [Talk::Tty(b"Error: 'x'\r\n".to_vec()), Talk::Send(vec![0x7f, b'\r'])]);
    assert_eq!((found[1].stdout.as_str(), found[1].stderr.as_str()), ("one\n", "line\n"));
}
