//! Looks at every line that a look can close.

use std::{fs, os::unix::fs::MetadataExt as _};

use pbs_driver::Client;
use tenwords_protocol::{recovery::CertificateEntry, time::Timestamp};

use super::{
    backups,
    kept::Kept,
    line::{Found, Id, State},
    tokens,
};
use crate::{
    exit::Outcome,
    identity::Identity,
    record::Record,
    settings::Configuration,
    sources::{self, BoxSources},
    status,
};

/// Who looks, at what.
pub(super) struct Look<'l> {
    pub(super) configuration: &'l Configuration,
    pub(super) record: Option<&'l Record>,
    pub(super) now: Timestamp,
}

impl Look<'_> {
    /// What the hub and this machine's own record say. No backup server is asked.
    pub(super) fn at_home(&self, kept: &mut Kept) {
        let found = sources::of_box(self.configuration);
        if let Some(certificate) = self.certificate(kept) {
            self.set(kept, Id::Certificate, certificate);
        }
        if kept.node_id.is_none() {
            self.set(kept, Id::Kit, self.kit());
        }
        self.set(kept, Id::Escrow, self.escrow(kept, found.as_ref().ok()));
        self.set(kept, Id::Code, self.code(kept));
    }

    /// What the backup servers say.
    pub(super) fn at_sources(&self, kept: &mut Kept) {
        let both = sources::client(&self.configuration.settings)
            .and_then(|client| Ok((client, sources::of_box(self.configuration)?)));
        let (client, found) = match both {
            Ok(both) => both,
            Err(stop) => {
                let ids: Vec<Id> = self.of_sources(kept).collect();
                for id in ids {
                    self.set(kept, id, Found::Unknown(stop.in_one_line()));
                }
                return;
            }
        };
        self.tokens(kept, &client, &found);
        self.backups(kept, &client, &found);
    }

    fn of_sources<'k>(&self, kept: &'k Kept) -> impl Iterator<Item = Id> + use<'k> {
        let tokens = kept.tokens.iter().map(|token| Id::Token(token.source.to_string()));
        tokens.chain(kept.guests.iter().map(|guest| Id::Backup(guest.group.clone())))
    }

    fn tokens(&self, kept: &mut Kept, client: &Client, found: &BoxSources) {
        for lost in kept.tokens.clone() {
            let source = found.sources.iter().find(|source| source.id == lost.source.as_str());
            self.set(kept, Id::Token(lost.source.to_string()), tokens::look(client, &lost, source));
        }
    }

    fn backups(&self, kept: &mut Kept, client: &Client, found: &BoxSources) {
        let none = Default::default();
        let escrowed = self.record.map_or(&none, |record| &record.keys);
        let look = backups::Look { client, found, escrowed, now: self.now };
        for guest in kept.guests.clone() {
            let id = Id::Backup(guest.group.clone());
            // A backup that was there was there, whatever has become of it since.
            if !matches!(kept.lines.get(&id), Some(State::Proven { .. })) {
                let seen = look.of(kept, &guest);
                self.set(kept, id, seen);
            }
        }
    }

    fn set(&self, kept: &mut Kept, id: Id, found: Found) {
        let state = State::after(kept.lines.remove(&id), found, self.now);
        kept.lines.insert(id, state);
    }

    /// `None` where no hub can be asked.
    fn certificate(&self, kept: &Kept) -> Option<Found> {
        let node_id = kept.node_id?;
        let unknown = |why: String| Found::Unknown(format!("to be taken as ALIVE: {why}"));
        let asked = || -> Outcome<Vec<CertificateEntry>> {
            let identity = Identity::required(self.configuration)?;
            Ok(identity.connect(self.configuration)?.certificates(identity.box_id)?)
        };
        let list = match asked() {
            Ok(list) => list,
            Err(stop) => return Some(unknown(stop.in_one_line())),
        };
        let of_us = |entry: &&CertificateEntry| entry.node_id == node_id;
        // The first of them: those that came by renewals are younger than machines that have joined since.
        let Some(ours) = list.iter().filter(of_us).map(|entry| entry.made_at).min() else {
            return Some(unknown("the hub does not list this machine's own certificate".to_owned()));
        };
        // A machine that joined later is not the lost one.
        let others = list.iter().filter(|entry| entry.node_id != node_id && entry.made_at <= ours);
        let (alive, dead): (Vec<_>, Vec<_>) = others.partition(|entry| entry.revoked_at.is_none());
        Some(match (alive.first(), dead.iter().filter_map(|entry| entry.revoked_at).max()) {
            (Some(entry), _) => Found::Not(format!(
                "ALIVE: the hub takes the certificate of machine {} until {}",
                entry.node_id, entry.expires_at
            )),
            (None, Some(at)) => {
                Found::Proven(format!("the hub has revoked every certificate of an earlier machine, the last at {at}"))
            }
            (None, None) => Found::Proven("the hub has given no certificate to an earlier machine".to_owned()),
        })
    }

    /// Renewed on this machine, and with the secrets that it uses now.
    fn escrow(&self, kept: &Kept, found: Option<&BoxSources>) -> Found {
        let Some(record) = self.record.filter(|record| record.sequence.get() > kept.sequence) else {
            return Found::Not("no ceremony has been held on this machine".to_owned());
        };
        let Some(found) = found else {
            return Found::Unknown("what this machine backs up to cannot be told".to_owned());
        };
        let is_later = |path: std::path::PathBuf| fs::metadata(path).is_ok_and(|it| it.mtime() > record.made_at.unix());
        match found.sources.iter().find(|source| source.secret_file().is_some_and(is_later)) {
            Some(source) => Found::Not(format!(
                "the token of source {} was changed since the escrow of {}: a recovery would find the former one",
                source.id, record.made_at
            )),
            None => Found::Proven(format!("escrow of {}, sequence {}", record.made_at, record.sequence)),
        }
    }

    fn kit(&self) -> Found {
        let Some(record) = self.record else {
            return Found::Not("no ceremony has been held on this machine".to_owned());
        };
        match status::without_hub(self.configuration, record) {
            Ok(how) => Found::Proven(how),
            Err(why) => Found::Unknown(why),
        }
    }

    fn code(&self, kept: &Kept) -> Found {
        match self.record {
            Some(record) if record.code_number.get() > kept.code_number => {
                Found::Proven(format!("code {} was drawn on {}", record.code_number, record.made_at))
            }
            _ => Found::Unknown(format!("code {} is in use, whose words were typed at the recovery", kept.code_number)),
        }
    }
}
