//! What this machine's Proxmox VE is to a recovery.

use pbs_driver::pve::{Node, Paths, State};
use tenwords_escrow::root::{KeptIn, Root};

use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    settings::Configuration,
};

/// This machine's Proxmox VE; `None` on a machine without.
pub(super) fn node(_configuration: &Configuration) -> Outcome<Option<Node>> {
    let node = Node::new(Paths::default())
        .or_stop(Code::Usage, || "the configuration does not say where Proxmox VE is".to_owned())?;
    Ok((node.state() != State::NotPve).then_some(node))
}

/// Why PVE's files cannot be written, if storages of the root are to go there: told with everything
/// else before anything is touched.
pub(super) fn unfit(node: Option<&Node>, root: &Root, rehearsal: bool) -> Option<Stop> {
    let is_storage = |kept_in: KeptIn| kept_in == KeptIn::StorageCfg;
    if rehearsal || !root.facts().trust.sources.iter().any(|source| is_storage(source.kept_in)) {
        return None;
    }
    let error = node?.writable().err()?;
    let remedy = format!("{}; then run the same command again", error.next_step());
    Some(
        Stop::new(Code::Preflight, "the storages of the lost box cannot be put in place").remedy(remedy).because(error),
    )
}
