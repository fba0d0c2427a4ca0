//! The box's own backup server as the second holder of its escrow: whether it holds it still.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use tenwords_protocol::time::Timestamp;

use crate::support::{protected, reported};

const CODE: &str = "second-holder";

#[test]
fn a_second_holder_that_has_lost_the_escrow_is_noticed_and_given_it_again() -> Result<()> {
    let scene = protected()?;
    scene.pass("servers")?;
    let stands = |expected: bool, when: &str| -> Result<()> {
        let (_, codes) = reported(&scene.hub, &scene.box_1)?;
        ensure!(codes.iter().any(|code| code == CODE) == expected, "{when}: {codes:?}");
        Ok(())
    };
    stands(false, "after the ceremony")?;
    // Somebody prunes the group away on the server.
    let group = scene.server.folder.as_ref().context("a datastore")?.join("host");
    let of_box = fs::read_dir(&group)?
        .filter_map(Result::ok)
        .find(|it| it.file_name().to_string_lossy().starts_with("tenwords-"));
    let of_box = of_box.context("the second holder's group")?.path();
    fs::remove_dir_all(&of_box)?;
    // What was listed in the second in which it was given says nothing.
    let given_at = Timestamp::now();
    while Timestamp::now() <= given_at {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    scene.pass("servers")?;
    stands(true, "once it has gone")?;
    // The next look gives it again, and not once more as long as nobody has listed what is there.
    let given = |expected: usize| -> Result<()> {
        let said = scene.box_1.agent(&["--json", "escrow", "update"], "")?.with_code(0)?.json()?;
        let held = said["second_holders"].as_array().map_or(0, Vec::len);
        ensure!(held == expected, "{said}");
        Ok(())
    };
    given(1)?;
    given(0)?;
    scene.pass("servers")?;
    stands(false, "once it was given again")?;
    given(0)
}
