//! A resource pool by which the guests that one recovery has made are told from all others.
//!
//! PVE's restore puts a guest into the pool it was given as its very last act (`--pool`), and takes one
//! that is destroyed out of it. So a guest in the pool is one that this recovery has made, and that was
//! restored to its end. Membership is read from `user.cfg`; what changes it is `pvesh`.

use std::{collections::BTreeSet, ffi::OsString, fmt};

use super::{error::PveError, node::Node, pvesm};
use crate::private::PrivateDir;

/// A pool's name: PVE's own characters only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolId(String);

impl PoolId {
    /// Letters, digits, `-`, `_` and `.`, at most 100; `None` for anything else.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 100
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        fits.then(|| Self(text.to_owned()))
    }

    /// As PVE takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The guests in it; `None` if there is no such pool.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`].
pub fn members(node: &Node, pool: &PoolId) -> Result<Option<BTreeSet<u32>>, PveError> {
    node.readable()?;
    let text = node.read(USER_CFG)?.unwrap_or_default();
    Ok(members_in(&String::from_utf8_lossy(&text), pool))
}

/// `pool:ID:COMMENT:VMIDS:STORAGES:`
fn members_in(text: &str, pool: &PoolId) -> Option<BTreeSet<u32>> {
    text.lines().find_map(|line| {
        let mut fields = line.trim_start().split(':');
        if fields.next() != Some("pool") || fields.next()?.trim() != pool.0 {
            return None;
        }
        let guests = fields.nth(1).unwrap_or_default();
        Some(guests.split([',', ';', ' ']).filter_map(|vmid| vmid.parse().ok()).collect())
    })
}

/// Makes it, unless it is there.
///
/// # Errors
/// As [`Node::writable`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`].
pub fn make(node: &Node, private: &PrivateDir, pool: &PoolId, comment: &str) -> Result<(), PveError> {
    if members(node, pool)?.is_some() {
        return Ok(());
    }
    call(node, private, &["create", "/pools", "--poolid", &pool.0, "--comment", comment])
}

/// Lets its guests go and removes it; the guests stay as they are. One that is not there is removed.
///
/// # Errors
/// As [`make`].
pub fn dissolve(node: &Node, private: &PrivateDir, pool: &PoolId) -> Result<(), PveError> {
    let Some(guests) = members(node, pool)? else { return Ok(()) };
    let path = format!("/pools/{pool}");
    if !guests.is_empty() {
        let guests: Vec<String> = guests.iter().map(u32::to_string).collect();
        call(node, private, &["set", &path, "--vms", &guests.join(","), "--delete", "1"])?;
    }
    call(node, private, &["delete", &path])
}

fn call(node: &Node, private: &PrivateDir, args: &[&str]) -> Result<(), PveError> {
    node.writable()?;
    let args = args.iter().map(OsString::from).collect();
    pvesm::run_short(&node.paths().pvesh, private, args, COMMAND).map(drop)
}

const USER_CFG: &str = "user.cfg";
const COMMAND: &str = "pvesh";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pools_guests_are_its_own_lines() -> Result<(), &'static str> {
        let pool = PoolId::new("tenwords-1").ok_or("a name")?;
        let text = "user:root@pam:1:0::::::\npool:tenwords-1x:a:7::\npool:tenwords-1:made%3A by:101,102:local:\n";
        assert_eq!(members_in(text, &pool), Some(BTreeSet::from([101, 102])));
        assert_eq!(members_in("pool:tenwords-1:::\n", &pool), Some(BTreeSet::new()));
        assert_eq!(members_in("pool:other::101::\n", &pool), None);
        Ok(())
    }

    #[test]
    fn a_name_is_never_an_option_or_a_path() {
        for bad in ["", "-x", "a/b", "a b", ".x", "a:b", "ä"] {
            assert_eq!(PoolId::new(bad), None, "{bad}");
        }
    }
}
