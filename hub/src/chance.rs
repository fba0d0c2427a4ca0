//! The operating system's random generator, and no other.

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::id::NodeId;

/// The generator. It stops the program if the system has no randomness to give, because nothing
/// that the hub could do then would be safe.
pub(crate) fn generator() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    use rand::Rng as _;
    let mut bytes = [0; N];
    generator().fill_bytes(&mut bytes);
    bytes
}

/// A machine that the hub has not seen before.
pub(crate) fn node_id() -> NodeId {
    NodeId::random(&mut generator())
}
