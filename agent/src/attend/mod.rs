//! `attend`: the service behind the customer's console.
//!
//! It lets root and one user in, by the kernel's word for who they are, reads what they want, and has a
//! child of this same program do it with the console as its seat. So each flow has a process of its own,
//! with its own lock, and nothing that a console sends is read by more of the service than one frame.

mod door;
mod flows;
pub(crate) mod seated;

use std::sync::Arc;

use self::{door::Door, flows::Flows};
use crate::{exit::Outcome, settings::Configuration};

/// Attends until it is told to end; then ends the flows, each by its own way out, and waits for them.
pub(crate) fn run(configuration: &Configuration) -> Outcome<()> {
    let door = Door::open(&configuration.settings.console)?;
    let flows = Arc::new(Flows::new(&configuration.path));
    while let Some(stream) = door.next() {
        flows.begin(stream);
    }
    drop(door);
    flows.end();
    Ok(())
}
