//! A way to a backup server that the escrow itself holds: a WireGuard tunnel, started where somebody
//! says so.
//!
//! What is started was sealed under the words by the box that is being recovered; nobody else writes
//! there. It is shown all the same before anybody is asked, since it may run commands, and it lies in the
//! private folder while it is used: nothing is put where the system would start it by itself. A tunnel
//! stays up after a recovery in earnest, because the new box needs it; after a rehearsal, and on every way
//! out without a report, it is taken down.

use std::path::PathBuf;

use pbs_driver::{
    Failure, Folder, PrivateDir,
    tunnel::{Turn, wg_quick},
};
use zeroize::Zeroizing;

use super::{
    Answers, Asked, Connecting, Kind,
    units::{Units, Wireguard, quoted},
    wireguard,
};
use crate::{
    exit::{Code, OrStop as _, Outcome},
    interrupt,
    recover::plan::chain,
    seat::Seat,
};

/// What was started. Dropping it takes it down, unless it is to stay.
#[derive(Default)]
pub(crate) struct Tunnels {
    up: Vec<Up>,
    hints: Vec<String>,
}

/// An interface that this run has made.
struct Up {
    name: String,
    program: PathBuf,
    private: PrivateDir,
    /// Goes with this value.
    _folder: Folder,
    file: PathBuf,
    /// Its copy among the recovered files.
    kept: PathBuf,
    secrets: Vec<Zeroizing<String>>,
}

enum Started {
    Up(Up),
    /// Why not, and what to do.
    Not(String),
}

impl<'a> Connecting<'_, 'a> {
    /// Starts what may lead to the servers that cannot be reached, and asks those once more.
    pub(super) fn open_ways(
        &self,
        asked: &mut [Asked<'a>],
        answers: &mut Answers<'a>,
        seat: &mut dyn Seat,
    ) -> Outcome<()> {
        let kept = self.configuration.state("recovered-files");
        let units = Units::of(self.asking.root, &kept);
        answers.tunnels.hints.clear();
        for unit in &units.wireguard {
            if answers.tunnels.up.iter().any(|up| up.name == unit.name) {
                continue;
            }
            let silent = silent(asked);
            if silent.is_empty() {
                break;
            }
            match self.start(*unit, &silent.join(", "), seat)? {
                Started::Up(up) => {
                    answers.tunnels.up.push(up);
                    self.asking.ask_the_silent(asked);
                }
                Started::Not(hint) => answers.tunnels.hints.push(hint),
            }
        }
        if !silent(asked).is_empty() && !units.by_hand.is_empty() {
            answers.tunnels.hints.push(format!(
                "the escrow has units that this agent does not start; if the backup server is reached only through them, \
                 start them by hand and run the same command again: {}",
                units.by_hand.join("; ")
            ));
        }
        Ok(())
    }

    fn start(&self, unit: Wireguard<'_>, silent: &str, seat: &mut dyn Seat) -> Outcome<Started> {
        let Wireguard { name, file } = unit;
        let not = |why: String| Ok(Started::Not(format!("the tunnel {name} of the escrow {why}")));
        let program = &self.configuration.settings.connect.wg_quick;
        let Ok(text) = std::str::from_utf8(file.data.expose_bytes()) else {
            return not("is no text, and was not started".to_owned());
        };
        if !program.is_file() {
            return not(format!(
                "may lead there, and there is no {}: install the package wireguard-tools, then run the same command again",
                program.display()
            ));
        }
        let (talk, shown) = (seat.talk(), wireguard::shown(text));
        seat.say(&(talk.tunnel)(name, silent));
        shown.lines.iter().for_each(|line| seat.say(&format!("    {line}")));
        seat.say(&(talk.tunnel_command)(&format!("{} up {name}.conf", program.display())));
        if !self.starts {
            if !self.asks {
                return not("may lead there, and nobody could be asked: say --connect to have it started".to_owned());
            }
            if !seat.decide(&(talk.start_tunnel)(name))? {
                return not("was not started, as you said".to_owned());
            }
        }
        let cannot = || format!("the tunnel {name} cannot be laid ready");
        let private = self.asking.client.private().clone();
        let folder = private.folder().or_stop(Code::Preflight, cannot)?;
        let copy = folder.write(&format!("{name}.conf"), file.data.expose_bytes()).or_stop(Code::Preflight, cannot)?;
        match wg_quick(program, &private, Turn::Up, &copy, &shown.secrets, &interrupt::is_ending) {
            Ok(()) => Ok(Started::Up(Up {
                name: name.to_owned(),
                program: program.clone(),
                private,
                _folder: folder,
                file: copy,
                kept: self.configuration.state("recovered-files").join(file.path.as_str().trim_start_matches('/')),
                secrets: shown.secrets.iter().map(|secret| Zeroizing::new((*secret).to_owned())).collect(),
            })),
            Err(error) if matches!(error.failure(), Some(Failure::Interrupted)) => Err(interrupt::stop()),
            Err(error) => not(format!("could not be started ({}): mend that, or start it by hand", chain(&error))),
        }
    }
}

/// Who cannot be reached.
fn silent(asked: &[Asked<'_>]) -> Vec<String> {
    asked.iter().filter(|asked| asked.is(Kind::Silent)).map(|asked| asked.source.id.to_string()).collect()
}

impl Tunnels {
    /// What was not started, why, and what to do.
    pub(super) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Lets them stay up, and tells how each is kept or taken down.
    pub(crate) fn stay(mut self) -> Vec<String> {
        let told = |up: Up| {
            let Up { name, program, kept, .. } = up;
            format!(
                "the tunnel {name} stays up until this machine is started anew. To keep it: `install -m 600 {kept} \
                 /etc/wireguard/{name}.conf && systemctl enable wg-quick@{name}`; to take it down: `{} down {kept}`",
                quoted(&program),
                kept = quoted(&kept)
            )
        };
        std::mem::take(&mut self.up).into_iter().map(told).collect()
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        for up in self.up.drain(..).rev() {
            let secrets: Vec<&str> = up.secrets.iter().map(|secret| secret.as_str()).collect();
            if let Err(error) = wg_quick(&up.program, &up.private, Turn::Down, &up.file, &secrets, &|| false) {
                tracing::warn!(tunnel = up.name, error = chain(&error), "the tunnel could not be taken down");
            }
        }
    }
}
