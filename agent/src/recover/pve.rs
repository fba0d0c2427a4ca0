//! What this machine's Proxmox VE is to a recovery.

use pbs_driver::pve::{Node, StorageCfg, guest_config::Kind, guests};
use tenwords_escrow::root::{KeptIn, Root};

use super::{
    plan::{FIRST_SCRATCH, Ground},
    work::Manner,
};
use crate::exit::{Code, OrStop as _, Outcome, Stop};

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

/// What guests could be restored onto: the numbers in use and the storages that are there.
pub(super) fn ground(node: Option<&Node>, manner: Manner) -> Outcome<Ground<'_>> {
    let without = |why_not| Ok(Ground { why_not, ..Ground::default() });
    let Some(node) = node else { return without("there is no Proxmox VE on this machine") };
    if manner == Manner::OfAFolder {
        return without("a recovery from a datastore's folder puts no storage in place");
    }
    if node.writable().is_err() {
        return without("Proxmox VE's files cannot be written on this machine");
    }
    let cannot = || "what is on this node cannot be told".to_owned();
    let taken = guests::existing(node).or_stop(Code::Preflight, cannot)?.into_iter().map(|guest| {
        let kind = match guest.kind {
            Kind::Container => "container",
            Kind::Machine => "virtual machine",
        };
        let name = guest.name.map_or(String::new(), |name| format!(" \"{name}\""));
        (guest.vmid, format!("the {kind}{name} on node {}", guest.node))
    });
    Ok(Ground {
        node: Some(node),
        taken: taken.collect(),
        storages: Some(StorageCfg::read(node).or_stop(Code::Preflight, cannot)?),
        name: node.name().or_stop(Code::Preflight, cannot)?,
        why_not: "",
        scratch: (manner == Manner::Rehearsal).then_some(FIRST_SCRATCH),
    })
}
