//! Whether this machine is in the middle of a recovery, and whether it is the one that was asked for.

use std::{num::NonZeroU64, path::PathBuf};

use tenwords_protocol::{id::BoxId, time::Timestamp};

use super::{
    course::{Begun, Course},
    log::Log,
};
use crate::{
    cli,
    exit::{Code, OrStop as _, Outcome, Stop},
    opening::{Holder, OpenedEscrow},
    settings::Configuration,
    show::harmless,
};

/// The recovery that an earlier run has begun and not brought to its end.
#[derive(Debug)]
pub(super) struct Earlier {
    begun: Option<Begun>,
    /// Where archives go.
    pub(super) into: PathBuf,
}

impl Earlier {
    /// Looks, and touches nothing.
    pub(super) fn look(configuration: &Configuration, args: &cli::Recover) -> Outcome<Self> {
        let asked = |path: &PathBuf| {
            std::path::absolute(path).or_stop(Code::Usage, || format!("{} is no path", path.display()))
        };
        let asked = args.into.as_ref().map(asked).transpose()?;
        let begun = Log::look(configuration)?.going_on().cloned();
        let into = match (&begun, asked) {
            (Some(begun), Some(asked)) if begun.into != asked => {
                return Err(Stop::new(
                    Code::Usage,
                    format!("this recovery restores into {}, not {}", begun.into.display(), asked.display()),
                )
                .remedy(format!("leave --into out: it goes on where it was. {ABORT}")));
            }
            (Some(begun), _) => begun.into.clone(),
            (None, Some(asked)) => asked,
            (None, None) => configuration.state("recovered"),
        };
        Ok(Self { begun, into })
    }

    /// What is newer is not chosen: the earlier of what this run was told and what the first one was.
    pub(super) fn lost_at(&self, told: Option<Timestamp>) -> Option<Timestamp> {
        let first = self.begun.as_ref().and_then(|begun| begun.lost_at);
        [first, told].into_iter().flatten().min()
    }

    pub(super) fn begun(&self) -> Option<&Begun> {
        self.begun.as_ref()
    }

    /// That it is of this box, and as much in earnest.
    pub(super) fn is_of(&self, box_id: Option<BoxId>, rehearsal: bool) -> Outcome<()> {
        let Some(begun) = &self.begun else { return Ok(()) };
        let name = harmless(&begun.box_name, 64);
        if box_id.is_some_and(|id| id != begun.box_id) {
            return Err(Stop::new(
                Code::Preflight,
                format!("this machine is in the middle of the recovery of box {name} ({})", begun.box_id),
            )
            .remedy(format!("bring that one to its end with its own ticket or kit. {ABORT}")));
        }
        if rehearsal != begun.rehearsal {
            let (was, is) =
                if rehearsal { ("a recovery in earnest", "a rehearsal") } else { ("a rehearsal", "in earnest") };
            return Err(Stop::new(
                Code::Preflight,
                format!("what was begun for box {name} is {was}, and this is {is}"),
            )
            .remedy(ABORT));
        }
        Ok(())
    }

    /// The version that the words are tried on: the one with which it began.
    pub(super) fn version(&self, holder: &Holder<'_>, asked: Option<NonZeroU64>) -> Outcome<Option<NonZeroU64>> {
        let Some(begun) = &self.begun else { return Ok(asked) };
        let number = match (holder, begun.version) {
            (Holder::Hub { .. }, Some(version)) => version,
            _ => holder.kit_of_root(begun.box_id, begun.root_sha256).ok_or_else(|| {
                Stop::new(Code::Preflight, "the escrow with which this recovery began is not there any more")
                    .remedy(format!("name the hub, kit, second holder or datastore that has it. {ABORT}"))
            })?,
        };
        if asked.is_some_and(|asked| asked != number) {
            return Err(Stop::new(Code::Usage, format!("this recovery began with version {number}"))
                .remedy(format!("leave --version out: it goes on with that one. {ABORT}")));
        }
        Ok(Some(number))
    }

    /// That what the words have opened is what they had opened before.
    pub(super) fn is_same(&self, opened: &OpenedEscrow) -> Outcome<()> {
        match &self.begun {
            Some(begun) if begun.root_sha256 != opened.escrow.root_sha256() => Err(Stop::new(
                Code::GateRefused,
                "the words open another escrow than the one with which this recovery began",
            )
            .remedy(format!("nothing was done; tell the operator that the version has been exchanged. {ABORT}"))),
            _ => Ok(()),
        }
    }
}

impl Course {
    /// What it goes by, unless it has come to its end.
    pub(super) fn going_on(&self) -> Option<&Begun> {
        self.begun().filter(|_| !self.is_ended())
    }
}

pub(super) const ABORT: &str = "To give it up and begin anew: `tenwords-agent recover --abort` (what was restored stays; what a rehearsal has made goes)";
