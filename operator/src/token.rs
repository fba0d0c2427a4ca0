//! The operator's token: read from a file that nobody else can read, sent in one header.

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{fcntl::OFlag, unistd::geteuid};
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};

/// `twa_` and 52 Crockford characters.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// Reads the file; refuses one that somebody else could have read or written.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |error: &std::io::Error| {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file",
                std::io::ErrorKind::PermissionDenied => "you may not read it",
                _ => "it cannot be read",
            };
            Failure::usage("token_file", format!("token file {shown}: {why}"), "give the file that holds your token")
        };
        let mut options = File::options();
        // Not blocking, so that a FIFO put there cannot hold us.
        let mut file =
            options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(|e| unreadable(&e))?;
        let facts = file.metadata().map_err(|e| unreadable(&e))?;
        if !facts.is_file() {
            return Err(Failure::usage(
                "token_file",
                format!("{shown} is not a plain file"),
                "put the token in a file",
            ));
        }
        if facts.mode() & 0o077 != 0 || (facts.uid() != geteuid().as_raw() && facts.uid() != 0) {
            return Err(Failure::new(
                Kind::NotAuthorised,
                "token_file_mode",
                format!("token file {shown} is not yours alone (mode {:04o})", facts.mode() & 0o7777),
                format!("chmod 600 {shown}; if others could read it, have the hub give you another"),
            ));
        }
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.by_ref().take(200).read_to_string(&mut text).map_err(|e| unreadable(&e))?;
        Self::parse(&text).ok_or_else(|| {
            let what = format!("token file {shown} holds no token");
            Failure::usage(
                "token_form",
                what,
                "it has one line: `twa_` and 52 letters and digits, from `tenwords-hub init`",
            )
        })
    }

    /// The `Authorization` header, marked so that nothing logs it.
    pub(crate) fn expose_header(&self) -> Result<HeaderValue, Failure> {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| Failure::internal("the token does not fit into a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\n', '\r']);
        let rest = text.strip_prefix("twa_")?;
        let known = |b: u8| b.is_ascii_alphanumeric() && !matches!(b.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U');
        (rest.len() == 52 && rest.bytes().all(known)).then(|| Self(Zeroizing::new(text.to_owned())))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token([redacted])")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const GOOD: &str = "twa_0123456789ABCDEFGHJKMNPQRSTVWXYZ0123456789ABCDEFGHJK";

    #[test]
    fn s52_a_token_is_printed_by_nothing() {
        let token = Token::parse(GOOD).unwrap();
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        let header = token.expose_header().unwrap();
        assert!(header.is_sensitive() && !format!("{header:?}").contains("0123"));
    }

    #[test]
    fn only_a_whole_token_in_a_private_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, mode, taken) in [
            (format!("{GOOD}\n"), 0o600, true),
            (GOOD.to_owned(), 0o400, true),
            (format!("{GOOD}\n"), 0o640, false),
            (format!("{GOOD}\n"), 0o602, false),
            (format!("{GOOD}0"), 0o600, false),
            (GOOD.replace('0', "O"), 0o600, false),
            (GOOD.replace("twa_", "twb_"), 0o600, false),
            (format!("{GOOD}\n{GOOD}\n"), 0o600, false),
            (String::new(), 0o600, false),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = Token::read(&path);
            assert_eq!(read.is_ok(), taken, "{text:?} {mode:o}");
            if let Err(failure) = read {
                assert!(!format!("{failure:?}").contains("23456789"), "{failure:?}");
            }
        }
    }
}
