//! What stands in the way on a new box is not overwritten: only an operator's signature lets it go, once, and
//! not on another box.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{BOX, Lost, Scene, place::Place};
use crate::{
    story::{Story, holds},
    world::{MARTA, Operators, Pve},
};

/// Somebody's container, with the number of the lost one.
const THEIRS: &str = "arch: amd64\nhostname: theirs\nmemory: 256\nrootfs: local:101/subvol-101-disk-0.subvol,size=1G\n";

/// A box on which something stands in the way.
struct Taken {
    place: Place,
    ticket: String,
}

/// Tells it: refused without a signature, done with one, refused on the next box. Returns the two boxes, which
/// have the key and the token now.
pub(super) fn tell(story: &mut Story, scene: &Scene, operators: &Operators, lost: &Lost) -> Result<Vec<Place>> {
    let box_3 = Taken::new(scene, "box3")?;
    let node = box_3.node()?;
    story.say("Box 2 is lost too. On box 3 somebody has a container 101 of his own.")?;
    let shown = box_3.recovers(lost, &[], 13)?;
    is_theirs(node)?;
    let text = box_3.text()?;
    let code = text.file_stem().and_then(|stem| stem.to_str()).context("a code")?.to_owned();
    holds(shown.contains(&code), format!("the screen shows the code {code}:\n{shown}"))?;
    story.say(&format!(
        "Without an order it is left alone, and the rest goes on; exit code 13. The box asks for the order {code}."
    ))?;
    let signed = operators.signs(MARTA, "tenwords-order-v1", &text)?;
    let kept = scene.world.write("signed", &fs::read(&signed)?)?;
    story.say("The operator compares the code, and signs the text with plain `ssh-keygen -Y sign`.")?;
    box_3.recovers(lost, &["--order", path(&kept)?], 0)?;
    let config = node.container_config(101)?;
    holds(config.contains("hostname: shop"), format!("container 101 is the lost one:\n{config}"))?;
    story.say("The same command with the signed order replaces that container, and nothing else.")?;

    let box_4 = Taken::new(scene, "box4")?;
    let shown = box_4.recovers(lost, &["--order", path(&kept)?], 13)?;
    is_theirs(box_4.node()?)?;
    let refused = shown.lines().find(|line| line.contains("REFUSED")).unwrap_or_default().trim();
    holds(!refused.is_empty(), format!("yesterday's order is refused:\n{shown}"))?;
    story.say("Yesterday's order is refused on box 4:")?;
    story.say(refused.split_once(": ").map_or(refused, |(_, why)| why))?;
    Ok(vec![box_3.place, box_4.place])
}

fn is_theirs(node: &Pve) -> Result<()> {
    holds(node.container_config(101)? == THEIRS, "their container is as it was")?;
    let volume = fs::read_to_string(node.container_root(101).join("theirs"))?;
    holds(volume == "what nobody else has", "their volume is as it was")
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

impl Taken {
    fn new(scene: &Scene, name: &str) -> Result<Self> {
        let place = Place::new(&scene.world, &scene.server, name, &scene.server.client)?;
        let node = place.node.as_ref().context("a node")?;
        node.write_container(101, THEIRS)?;
        fs::create_dir_all(node.container_root(101))?;
        fs::write(node.container_root(101).join("theirs"), "what nobody else has")?;
        let ticket = scene.hub.arm(BOX, &[])?;
        Ok(Self { place, ticket })
    }

    fn node(&self) -> Result<&Pve> {
        self.place.node.as_ref().context("a node")
    }

    fn recovers(&self, lost: &Lost, more: &[&str], code: u32) -> Result<String> {
        let arguments = [&["--wait-for-orders", "0"], more].concat();
        let recovery = self.place.machine.recover_with(&self.ticket, &arguments, &[&lost.words])?;
        let shown = recovery.shown.to_string();
        holds(recovery.code == code, format!("recover ends with {code}, and not {}:\n{shown}", recovery.code))?;
        Ok(shown)
    }

    /// The exact text of the one order that is asked for.
    fn text(&self) -> Result<PathBuf> {
        let folder = self.place.machine.state().join("recovery/orders");
        let mut texts = fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path()));
        texts.next().context("no order is asked for")?.map_err(Into::into)
    }
}
