//! Keeping a guest from being started with its node.

use std::ffi::OsString;

use super::{
    error::PveError,
    guest_config::{Kind, on},
    guests::config_file,
    node::Node,
    pvesm,
};
use crate::private::PrivateDir;

/// Has PVE not start this guest when the node starts: for a copy whose original may run. Nothing is done to
/// one that is not started so anyway.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`]:
/// also if the program says that it is done, and the guest's configuration does not.
pub fn not_at_boot(node: &Node, private: &PrivateDir, kind: Kind, vmid: u32) -> Result<(), PveError> {
    let is_started = || -> Result<bool, PveError> {
        let text = node.read(&config_file(&node.name()?, kind, vmid))?.unwrap_or_default();
        Ok(on(&text, "onboot", "onboot"))
    };
    if !is_started()? {
        return Ok(());
    }
    let (program, command) = match kind {
        Kind::Container => (&node.paths().pct, "pct set"),
        Kind::Machine => (&node.paths().qm, "qm set"),
    };
    let args = ["set", &vmid.to_string(), "--onboot", "0"].map(OsString::from).into();
    pvesm::run_short(program, private, args, command)?;
    if is_started()? {
        let said = "nothing, and it would still be started with the node".to_owned();
        return Err(PveError::Refused { command, said });
    }
    Ok(())
}
