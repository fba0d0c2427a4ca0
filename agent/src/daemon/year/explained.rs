//! Every state is explained: a key in use that is not escrowed has a reason that says so, and no reason stands that has
//! no cause in what was done to the box. Judged by the one function, and by the hub itself at each report.

use std::{collections::BTreeSet, time::Duration};

use tenwords_protocol::readiness::{Ceremony, Facts, Node, Policy, ReasonCode, Said, judge};

use super::{
    Lived, Year,
    disk::Disk,
    life::{DAY, HOUR},
    lost::{SETTLED, Told},
    told,
};
use crate::{identity::Identity, record::Record, renew, report, update};

/// What has happened once is told for a week.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const SEALED: Duration = Duration::from_secs(14 * 86_400);
const DRILL: Duration = Duration::from_secs(180 * 86_400);

/// Reasons that say of a key that it is not escrowed, or that nobody knows.
const NOT_ESCROWED: [ReasonCode; 8] = [
    ReasonCode::KeyNotEscrowed,
    ReasonCode::CeremonyPending,
    ReasonCode::EscrowDiffers,
    ReasonCode::EscrowLost,
    ReasonCode::EscrowWaits,
    ReasonCode::HubLostVersions,
    ReasonCode::PveUnreadable,
    ReasonCode::VersionsLost,
];

impl Year {
    /// How the box would stand if it could say now what it sees.
    pub(super) fn is_explained(&self) -> Lived {
        let reasons = self.reasons()?;
        let in_use = self.life.node.storages.values().filter(|storage| storage.is_in_use());
        let lacking = in_use.filter_map(|storage| storage.key).find(|key| self.lacks(*key));
        let is_said = reasons.iter().any(|reason| NOT_ESCROWED.contains(reason));
        // A hub that was set back before it had said how far it was is found out by the next pass.
        let lately = self.ledger.set_back.is_some_and(|at| self.life.time.saturating_sub(at) < SETTLED);
        if let Some(key) = lacking.filter(|_| !is_said && !lately) {
            return Err(format!("key {} is not escrowed, and nothing says so: {reasons:?}", key.short()).into());
        }
        reasons.iter().try_for_each(|reason| self.has_a_cause(reason))
    }

    fn reasons(&self) -> Lived<Vec<ReasonCode>> {
        let configuration = &self.life.configuration;
        let identity = told(Identity::required(configuration))?;
        let (now, wall) = (self.life.now()?, self.life.wall()?);
        let seen = report::see(configuration, Some(&identity), wall);
        let newest = self.ledger.versions.iter().rfind(|version| version.is_ceremony());
        let ceremony = newest.map(|version| Ceremony::of(&version.stored));
        let node = Node {
            name: "box1".to_owned(),
            is_keeper: true,
            heard_at: Some(now),
            certificate_ends: told(renew::ends(&identity.certificate.0))?,
            alarms: seen.alarms,
        };
        let facts = Facts {
            enrolled_at: Some(now),
            ceremony: ceremony.as_ref(),
            newest: self.ledger.versions.last().map(|version| version.stored.number),
            said: seen.observed.as_ref().map(|observed| Said { at: now, observed }),
            nodes: &[node],
            drilled_at: newest.map(|version| version.stored.received_at),
            trespassed_at: None,
            revoked_used_at: None,
        };
        Ok(judge(&facts, &Policy::default(), now).reasons.iter().map(|reason| reason.code.clone()).collect())
    }

    /// The hub has just judged a report.
    pub(super) fn hub_judged(&self) -> Lived {
        let reasons = self.hub.reasons(self.of)?;
        let known = |text: &String| ReasonCode::ALL.iter().find(|code| code.as_str() == text);
        reasons.iter().try_for_each(|text| match known(text) {
            Some(code) => self.has_a_cause(code),
            None => Err(format!("the hub says {text}").into()),
        })
    }

    fn has_a_cause(&self, reason: &ReasonCode) -> Lived {
        let (life, ledger) = (&self.life, &self.ledger);
        let is_restless = !self.is_calm(SETTLED);
        let has_cause = match reason {
            // No backup server is there that could be one.
            ReasonCode::SecondHolder => true,
            ReasonCode::CeremonyPending => !ledger.versions.iter().any(|version| version.is_ceremony()),
            ReasonCode::KeyNotEscrowed
            | ReasonCode::FormerKeyNotEscrowed
            | ReasonCode::EscrowWaits
            | ReasonCode::EscrowDiffers
            | ReasonCode::EscrowLost
            | ReasonCode::VersionsLost
            | ReasonCode::HubLostVersions
            | ReasonCode::ServersNotAsked
            | ReasonCode::SourceSilent
            | ReasonCode::CertificateEnds
            | ReasonCode::CertificateExpired
            | ReasonCode::NothingSaid => is_restless,
            ReasonCode::KeyNotProven => self.wants_the_words()?,
            ReasonCode::DrillDue => self.since_the_words()? >= DRILL,
            ReasonCode::SourceChanged => self.is_changed()?,
            // The node speaks, and cannot say how the box is.
            ReasonCode::BoxSilent => is_restless || !life.node.is_mounted,
            ReasonCode::SourceBroken => is_restless || !life.node.those(|storage| storage.is_broken()).is_empty(),
            ReasonCode::KeyFileGone => is_restless || !life.node.those(|storage| storage.is_bare()).is_empty(),
            ReasonCode::NothingEncrypted => {
                life.node.those(|storage| storage.is_in_use() || storage.is_broken()).is_empty()
            }
            ReasonCode::KeyChanged => self.is_told(ledger.by_hand),
            ReasonCode::KeysGoneAtOnce => self.is_told(ledger.vanished),
            ReasonCode::ClientSelfTest => is_restless || !life.client_works,
            ReasonCode::StateUnwritable => life.disk() != Disk::Good,
            ReasonCode::ClockOff => is_restless || ledger.reported.offset != 0,
            ReasonCode::PveUnreadable => !life.node.is_mounted,
            _ => false,
        };
        if has_cause { Ok(()) } else { Err(format!("{reason} stands without a cause").into()) }
    }

    fn is_told(&self, told: Told) -> bool {
        let is_late = |at: Duration| self.life.time.saturating_sub(at) >= WEEK + SETTLED + HOUR;
        told.has_happened && !told.noticed.is_some_and(is_late)
    }

    /// Whether an update lies there for more than two weeks, or says that it was made at another time than it was.
    fn wants_the_words(&self) -> Lived<bool> {
        let sealed = told(update::escrowed(&self.life.configuration))?;
        let now = self.life.now()?;
        Ok(sealed.sealed().values().any(|at| now.since(*at) > SEALED || at.since(now) > HOUR))
    }

    fn since_the_words(&self) -> Lived<Duration> {
        let newest = self.ledger.versions.iter().rfind(|version| version.is_ceremony());
        let now = self.life.now()?;
        Ok(newest.map_or(Duration::ZERO, |version| now.since(version.stored.received_at)))
    }

    /// Whether a source is in use that the last ceremony did not know.
    fn is_changed(&self) -> Lived<bool> {
        let known = told(Record::load(&self.life.configuration))?.map(|record| record.sources).unwrap_or_default();
        let in_use = self.life.node.those(|storage| storage.is_in_use());
        Ok(in_use.iter().any(|id| known.iter().all(|source| source.id.as_str() != id)))
    }

    /// Everything is mended and has settled: the hub's own judgement is exactly what is to be expected.
    pub(super) fn ends_explained(&self, after_the_words: bool) -> Lived {
        if self.life.time.saturating_sub(self.ledger.reported.at) > DAY + HOUR {
            return Err("the box has not reported".into());
        }
        let mut expected = BTreeSet::from([ReasonCode::SecondHolder]);
        if self.wants_the_words()? {
            expected.insert(ReasonCode::KeyNotProven);
        }
        if self.is_changed()? {
            expected.insert(ReasonCode::SourceChanged);
        }
        if self.since_the_words()? >= DRILL {
            expected.insert(ReasonCode::DrillDue);
        }
        if after_the_words && expected.len() > 1 {
            return Err(format!("a ceremony does not mend it: {expected:?}").into());
        }
        let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
        let found: BTreeSet<String> = self.hub.reasons(self.of)?.into_iter().collect();
        if found == expected { Ok(()) } else { Err(format!("{found:?} stand, and not {expected:?}").into()) }
    }
}
