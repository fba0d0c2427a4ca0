//! Secrets that lie in the root beside its keys, and the buffer in which the root's text is written.
//!
//! None of these types can be cloned, compared, displayed or serialised; `Debug` prints their name.
//! The written form of the root reads them through `expose_…`, as whoever installs them does.

use std::{
    fmt,
    io::{self, Write},
};

use thiserror::Error;
use zeroize::Zeroizing;

/// The longest token secret. PBS makes UUIDs; other servers' may be longer.
const MAX_TOKEN: usize = 512;

/// The secret of an API token.
///
/// ```compile_fail,E0277
/// fn send(value: &impl serde::Serialize) {}
/// # fn show(token: &tenwords_escrow::secret::TokenSecret) {
/// send(token);
/// # }
/// ```
pub struct TokenSecret(Zeroizing<String>);

/// The content of a small file.
pub struct FileBytes(Zeroizing<Vec<u8>>);

/// A text that cannot be a token secret.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a token secret has 1 to {MAX_TOKEN} characters on one line")]
pub struct TokenError;

impl TokenSecret {
    /// The secret with this text, which takes it over.
    ///
    /// # Errors
    /// [`TokenError`] if it is empty, long, or not one line.
    pub fn new(text: Zeroizing<String>) -> Result<Self, TokenError> {
        if (1..=MAX_TOKEN).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(TokenError)
        }
    }

    /// The secret, for the one who hands it to PBS's client or writes it to its file.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret([redacted])")
    }
}

impl FileBytes {
    /// These bytes, which it takes over.
    #[must_use]
    pub const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, for the one who writes the file.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBytes([redacted], {} bytes)", self.0.len())
    }
}

/// A growing buffer that leaves no copy behind when it moves.
pub(crate) struct SecretBuffer(Zeroizing<Vec<u8>>);

impl SecretBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

impl Write for SecretBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line() {
        let token = |text: &str| TokenSecret::new(Zeroizing::new(text.to_owned())).map(|_| ());
        assert_eq!(token("e0c8f6a2-1b2c-4d3e-8f90-a1b2c3d4e5f6"), Ok(()));
        for bad in ["", "a\nb", "a\rb", "a\0", &"x".repeat(513)] {
            assert_eq!(token(bad), Err(TokenError));
        }
    }

    #[test]
    fn the_buffer_keeps_what_is_written() -> io::Result<()> {
        let mut buffer = SecretBuffer::with_capacity(1);
        for byte in 0..=255_u8 {
            buffer.write_all(&[byte, byte])?;
        }
        let written = buffer.into_bytes();
        assert_eq!(written.len(), 512);
        assert!(written.chunks(2).zip(0..=255_u8).all(|(pair, byte)| pair == [byte, byte]));
        Ok(())
    }
}
