//! After a ceremony: the hub hears what the box has, so that a directive is ready on the day.

use std::num::NonZeroU64;

use tenwords_protocol::{holdings::Holdings, id::BoxId};

use super::take;
use crate::{
    exit::{Code, OrStop as _, Outcome},
    hub::Hub,
    settings::Configuration,
};

/// Takes the inventory, and sends what of it the hub may know with the version's number. The box is
/// protected without it: what goes wrong is a warning.
pub(crate) fn after(
    configuration: &Configuration,
    hub: &Hub,
    box_id: BoxId,
    version: NonZeroU64,
    warnings: &mut Vec<String>,
) {
    if let Err(stop) = sent(configuration, hub, box_id, version) {
        warnings.push(format!(
            "the hub did not get this box's inventory ({}): its directive is the one from before; the next ceremony \
             sends it again",
            stop.in_one_line()
        ));
    }
}

fn sent(configuration: &Configuration, hub: &Hub, box_id: BoxId, version: NonZeroU64) -> Outcome<()> {
    // A recovery has put its sources there since it was read.
    let configuration = Configuration::read(&configuration.path)?;
    let inventory = take(&configuration)?.inventory;
    let fitting = Holdings::fitting(&inventory);
    let (_, text) = fitting.or_stop(Code::Internal, || "the inventory cannot be written".to_owned())?;
    Ok(hub.send_inventory(box_id, version, text)?)
}
