//! A node takes the box's newest ceremony up that another one has held: its record, the box key, and the version
//! itself, so that it judges by them, drills with them, and could be the keeper.

use tenwords_protocol::version::Bundle;

use super::shared::Shared;
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    record::Record,
    settings::Configuration,
    sources,
};

/// Whether it was taken up now. The version comes from the hub, and is the one whose hashes are shared or none.
pub(crate) fn take_up(configuration: &Configuration, shared: &Shared, hub: &Hub) -> Outcome<bool> {
    let own = Record::load(configuration)?.filter(|own| own.box_id == shared.box_id);
    let is_known = |own: &Record| own.root_sha256 == shared.record.root_sha256 || own.sequence > shared.record.sequence;
    if own.as_ref().is_some_and(is_known) {
        return Ok(false);
    }
    let Some(node) = sources::node(&configuration.settings)? else { return Ok(false) };
    let key = shared.box_key(&node)?;
    let of = shared.box_id;
    let is_it = |stored: &tenwords_protocol::version::StoredHeader| stored.header.parts() == shared.record.parts;
    let versions = hub.versions_until(of, |so_far| so_far.iter().any(is_it))?;
    let stored = versions.into_iter().find(is_it).ok_or_else(|| {
        Stop::new(Code::GateRefused, "the hub does not have the ceremony that this cluster shares")
            .remedy("the keeper gives it again; ask the hub's operator what has become of it")
    })?;
    let parts = hub.parts(of, &stored)?;
    let number = stored.number;
    let bundle = Bundle::of_fetched(stored.header, parts)
        .or_stop(Code::GateRefused, || format!("version {number} at the hub is not what its header says"))?;
    Record { number, ..shared.record.clone() }.keep(configuration, &key, &bundle)?;
    Ok(true)
}
