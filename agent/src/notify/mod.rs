//! The box's own alarms: told to this machine's administrator on the way that PVE's own take, because a hub
//! that lies will not report itself.
//!
//! Each alarm is told once, again each day while it stands, and once when it has ended; one that is no more than a
//! note is not told again in between. A pass hands over all of its kind that stand; what it could not look at is as it
//! was. What was told is kept in the state folder; if that cannot be read, everything that stands is told again.

mod kept;
mod message;

use tenwords_protocol::time::Timestamp;

use self::{kept::Kept, message::message};
use crate::{
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt,
    lock::AlarmsLock,
    settings::Configuration,
    show::harmless,
    sources,
    standing::Standing,
};

/// Something that a person is to know today. Two with one code and subject are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// What kind: `key-lost`, `plaintext-snapshot`, …
    pub(crate) code: &'static str,
    /// Of what: a storage, a guest, a key's short fingerprint.
    pub(crate) subject: String,
    /// In a sentence.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// A token that may remove backups. Some have decided so: it is told when it is found out and when it is over, and in
/// between readiness shows it.
pub(crate) const TOKEN_MAY_PRUNE: &str = "token-may-prune";

impl Alarm {
    fn is_told_once(&self) -> bool {
        self.code == TOKEN_MAY_PRUNE
    }
}

/// How a pass has ended, as far as alarms go.
pub(crate) enum Found<'a> {
    /// It has not ended: it begins. What never comes to its end is known by that.
    Begun,
    /// It has not ended, and these stand; it may find more, and may find others over.
    SoFar(&'a [Alarm]),
    /// A command was at work on this box, and the pass did nothing.
    Busy,
    /// It has looked, and all of its kind that stand are these.
    All(&'a [Alarm]),
    /// It has done its work and looked at nothing that could be one.
    Nothing,
    Stopped(&'a Stop),
}

/// Takes in what a pass has found, and tells what is to be told. That nobody could be told is logged, and stops
/// nothing else.
pub(crate) fn settle(configuration: &Configuration, pass: &str, found: &Found<'_>, now: Timestamp) {
    let kept = change(configuration, |kept| {
        kept.take_in(pass, found, now);
        kept.is_due(now).then(|| {
            kept.tried = Some(now);
            kept.clone()
        })
    });
    // Nobody waits while the mailer is at work.
    let Some(kept) = kept else { return };
    let box_name = Standing::required(configuration)
        .map_or_else(|_| "a box".to_owned(), |standing| harmless(&standing.facts().name, 64));
    match send(configuration, &message(&kept, &configuration.settings.notify.to, &box_name, now)) {
        Ok(()) => change(configuration, |newer| newer.is_told(&kept, now)),
        Err(stop) => tracing::error!("nobody could be told of an alarm: {}", stop.in_one_line()),
    }
}

/// Changes what is kept, while nobody else does.
fn change<T>(configuration: &Configuration, by: impl FnOnce(&mut Kept) -> T) -> T {
    let lock = AlarmsLock::take(configuration);
    if let Err(stop) = &lock {
        tracing::warn!("what was told is not kept from others: {}", stop.in_one_line());
    }
    let before = Kept::load(configuration);
    let mut kept = before.clone();
    let brought = by(&mut kept);
    if kept != before
        && let Err(stop) = kept.keep(configuration)
    {
        tracing::error!("what was told cannot be kept, and will be told again: {}", stop.in_one_line());
    }
    drop(lock);
    brought
}

fn send(configuration: &Configuration, message: &str) -> Outcome<()> {
    let settings = &configuration.settings;
    if settings.notify.off {
        return Ok(());
    }
    let program = &settings.notify.command;
    let cannot = || format!("{} did not take the message", program.display());
    let private = sources::private(settings)?;
    pbs_driver::mail::send(program, &private, message, &interrupt::is_ending).or_stop(Code::Preflight, cannot)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn alarm(subject: &str) -> Alarm {
        Alarm {
            code: "key-lost",
            subject: subject.to_owned(),
            what: format!("the key of {subject} is gone"),
            remedy: "put it back".to_owned(),
        }
    }

    fn configuration(folder: &Path, mailer: &str) -> Result<Configuration, Box<dyn std::error::Error>> {
        let program = folder.join("sendmail");
        fs::write(&program, format!("#!/bin/sh\n{mailer}\n"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let text = format!(
            "state = \"{0}/state\"\nruntime = \"/dev/shm/{1}\"\n[pve]\netc = \"{0}/pve\"\npct = \"{0}/pct\"\n\
             [notify]\ncommand = \"{2}\"\n",
            folder.display(),
            folder.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            program.display()
        );
        Ok(Configuration::of_text(&folder.join("agent.toml"), &text).map_err(|stop| stop.what)?)
    }

    /// S15 and S43, the box's half: whatever the hub says, the machine's own mailer is handed the alarm.
    #[test]
    fn the_mailer_is_handed_the_message_once_and_one_that_refuses_is_tried_again() -> Tested {
        let folder = tempfile::tempdir()?;
        let taken = folder.path().join("taken");
        let refusing = configuration(folder.path(), "exit 75")?;
        let one = [alarm("pbs")];
        settle(&refusing, "servers", &Found::All(&one), Timestamp::now());
        let kept = Kept::load(&refusing);
        assert!(kept.tried.is_some() && kept.alarms.values().all(|alarm| alarm.told.is_none()), "it counts as told");
        fs::remove_file(refusing.state(kept::FILE))?;
        let taking = configuration(folder.path(), &format!("cat >> {0}; echo \"$@\" >> {0}.args", taken.display()))?;
        settle(&taking, "servers", &Found::All(&one), Timestamp::now());
        settle(&taking, "servers", &Found::All(&one), Timestamp::now());
        let text = fs::read_to_string(&taken)?;
        assert_eq!(text.matches("the key of pbs is gone").count(), 1, "{text}");
        assert!(text.starts_with("To: root\n"), "{text}");
        assert_eq!(fs::read_to_string(folder.path().join("taken.args"))?, "-i -t\n");
        // What cannot be read is told again, not forgotten.
        fs::write(taking.state(kept::FILE), "{")?;
        settle(&taking, "servers", &Found::All(&one), Timestamp::now());
        assert_eq!(fs::read_to_string(&taken)?.matches("the key of pbs is gone").count(), 2);
        Ok(())
    }
}
