//! The agent is killed in the midst of the restore, and the same command goes on.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::place::Place;
use crate::{
    story::{Story, holds},
    world::{BackupServer, World},
};

/// A client that, while the gate is there, begins nothing of machine 102 for Proxmox VE's programs.
pub(super) struct Gate {
    pub(super) client: PathBuf,
    gate: PathBuf,
}

impl Gate {
    pub(super) fn make(world: &World, server: &BackupServer) -> Result<Self> {
        let (client, gate) = (world.folder().join("bin/slow-client"), world.folder().join("job/gate"));
        // PVE's programs, not the agent, call it with this variable.
        let text = format!(
            "#!/bin/sh\ncase \"${{PROXMOX_OUTPUT_NO_HEADER-}} $*\" in\n1*' restore '*' vm/102/'*)\n  \
             while [ -e '{}' ]; do sleep 0.05; done ;;\nesac\nexec '{}' \"$@\"\n",
            gate.display(),
            server.client.display()
        );
        fs::write(&client, text)?;
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755))?;
        Ok(Self { client, gate })
    }

    /// Begins the recovery, and kills it when the container is back and the machine is begun. Tells how the
    /// container is known again.
    pub(super) fn kill_between(&self, story: &mut Story, box_2: &Place, ticket: &str, words: &str) -> Result<Once> {
        fs::write(&self.gate, "")?;
        let agent = box_2.machine.begin_recovery(ticket, words)?;
        let until = Instant::now() + LONG;
        let told = loop {
            let status = box_2.machine.agent(&["recover", "--status"], "")?;
            let told = status.wrote();
            if status.code == Some(14) && stands(&told, "[x]", "ct/101/") && stands(&told, "[~]", "vm/102/") {
                break told;
            }
            if Instant::now() >= until {
                bail!("101 is not back, or 102 not begun:\n{told}");
            }
            thread::sleep(Duration::from_millis(50));
        };
        agent.kill();
        let again = box_2.machine.agent(&["recover", "--status"], "")?.with_code(14)?.wrote();
        holds(again == told, format!("it stands as it stood:\n{told}\nand not\n{again}"))?;
        story.say("SIGKILL, with the container back and the machine begun. `recover --status`, exit code 14:")?;
        for line in again.lines().filter(|line| line.trim_start().starts_with('[')) {
            story.say(line)?;
        }
        fs::remove_file(&self.gate)?;
        Once::look(box_2)
    }
}

/// How a container that is restored once is told from one that is restored again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Once(u64, Duration);

impl Once {
    pub(super) fn look(place: &Place) -> Result<Self> {
        let node = place.node.as_ref().context("a node")?;
        let found = fs::symlink_metadata(node.container_root(101).join("odd"))?;
        let changed = Duration::new(found.ctime().try_into()?, found.ctime_nsec().try_into()?);
        Ok(Self(found.ino(), changed))
    }
}

/// Whether a guest of this group is told with this mark.
fn stands(status: &str, mark: &str, group: &str) -> bool {
    status.lines().any(|line| line.trim_start().starts_with(mark) && line.contains(group))
}

const LONG: Duration = Duration::from_secs(900);
