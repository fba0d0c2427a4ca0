//! What the hub has of the escrow, by its bytes.

use anyhow::{Result, ensure};

use crate::support::{Disk, protected, reported};

#[test]
fn a_part_that_was_damaged_at_the_hub_is_noticed_by_the_next_days_look() -> Result<()> {
    let scene = protected()?;
    let update = || scene.box_1.agent(&["--json", "escrow", "update"], "")?.with_code(0)?.json();
    ensure!(update()?.get("hub_faults").is_none(), "it was damaged before");
    // The disk flips a byte in place; whoever only looks at the list sees nothing.
    Disk::of(&scene.hub)?.flip_a_byte_of("root.age")?;
    ensure!(update()?.get("hub_faults").is_none(), "it is asked once a day");
    std::fs::remove_file(scene.box_1.state().join("hub-parts.json"))?;
    for _ in 0..2 {
        let said = update()?;
        ensure!(said["hub_faults"] == serde_json::json!(["damaged"]), "{said}");
    }
    let (_, codes) = reported(&scene.hub, &scene.box_1)?;
    ensure!(codes.iter().any(|code| code == "escrow-damaged"), "{codes:?}");
    Ok(())
}
