//! Sixteen characters that two people can compare over the telephone.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::crockford;

/// Label of the check line over the root's trust facts.
pub const CHECK: &str = "tenwords-check-v1";
/// Label of an order's code.
pub const ORDER: &str = "tenwords-order-v1";
/// Label of the code of a list of operator keys.
pub const PINS: &str = "tenwords-pins-v1";

/// The first 80 bits of SHA-256(label, LF, bytes), as `XXXX-XXXX-XXXX-XXXX`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code16([u8; 10]);

/// The code of `bytes` under `label`.
#[must_use]
pub fn code16(label: &str, bytes: &[u8]) -> Code16 {
    let digest = Sha256::new().chain_update(label).chain_update(b"\n").chain_update(bytes).finalize();
    let mut code = [0; 10];
    code.copy_from_slice(&digest[..10]);
    Code16(code)
}

impl fmt::Display for Code16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crockford::grouped(&crockford::encode(&self.0, 16)))
    }
}

impl fmt::Debug for Code16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code16({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected value from `printf 'tenwords-check-v1\n{}' | sha256sum`, first 20 digits, in base 32.
    #[test]
    fn the_code_is_the_start_of_the_hash() {
        let code = code16(CHECK, b"{}").to_string();
        assert_eq!(code.len(), 19);
        assert_eq!(code, "SWYF-42MS-RA8Q-JHEZ");
    }
}
