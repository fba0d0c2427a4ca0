//! What a drill has shown, and what it has not.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use tenwords_protocol::{time::Timestamp, v1::V1};

use super::{archive::Brought, words::Finding};
use crate::{
    added::Added,
    exit::{Code, OrStop as _, Outcome, Stop},
    language::{CameBack, Language},
    opening::OpenedEscrow,
    recover::report::Phase,
    show::{harmless, size},
};

/// The report of one drill in which the words opened something.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) v: V1,
    /// `words` or `archive`.
    pub(super) level: &'static str,
    pub(super) box_id: String,
    pub(super) box_name: String,
    /// It has shown what it is to show.
    pub(super) is_good: bool,
    /// A signal ended it.
    pub(super) interrupted: bool,
    pub(super) escrow: Escrow,
    pub(super) findings: Vec<Finding>,
    /// What came back, in a drill of an archive that ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<Brought>,
    /// Why no archive came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Failed>,
    /// The hub did not answer, and what was opened is the copy that the box has of its escrow.
    pub(super) is_own_copy: bool,
    /// What could not be taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_behind: Option<PathBuf>,
    /// When the hub wrote it down.
    pub(super) reported_at: Option<Timestamp>,
    /// Why the hub has not written it down, although it was to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreported: Option<Failed>,
    /// Whether there is a hub that it could be reported to.
    pub(super) has_hub: bool,
    pub(super) notes: Vec<String>,
    pub(super) phases: Vec<Phase>,
    #[serde(skip)]
    pub(super) language: Language,
}

/// Which escrow was opened.
#[derive(Debug, Serialize)]
pub(super) struct Escrow {
    pub(super) place: String,
    /// The hub's number, if it was opened there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    pub(super) code_number: u64,
    pub(super) sequence: u64,
    pub(super) made_at: Timestamp,
    pub(super) check_line: String,
    pub(super) keys: usize,
    /// Whether proxmox-backup-client opened every key too, or only our own reading did.
    pub(super) opened_by_client: bool,
}

/// What did not go well, and what to do.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    pub(super) what: String,
    pub(super) remedy: Option<String>,
    #[serde(skip)]
    pub(super) code: Code,
}

impl Escrow {
    pub(super) fn of(opened: &OpenedEscrow, added: &Added, place: String, is_at_hub: bool) -> Outcome<Self> {
        let root = opened.escrow.root();
        let facts = root.facts();
        let check_line = root.check_line().or_stop(Code::Internal, || "the check line cannot be made".into())?;
        Ok(Self {
            place,
            version: is_at_hub.then(|| opened.number.get()),
            code_number: facts.code.number.get(),
            sequence: facts.sequence.get(),
            made_at: facts.made_at,
            check_line: check_line.to_string(),
            keys: opened.escrow.keys().len() + added.keys.len(),
            opened_by_client: opened.escrow.not_by_client().is_empty(),
        })
    }
}

impl Failed {
    pub(super) fn of(stop: Stop) -> Self {
        Self { what: harmless(&stop.in_one_line(), 600), code: stop.code, remedy: stop.remedy }
    }
}

impl Report {
    /// The worst of it: what the escrow lacks, then what did not come back, then what the hub does not know.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let failed = self.failed.as_ref().or(self.unreported.as_ref());
        match (self.interrupted, self.findings.is_empty(), failed) {
            (true, ..) => Code::Interrupted.into(),
            (false, false, _) => Code::GateRefused.into(),
            (false, true, Some(failed)) => failed.code.into(),
            (false, true, None) if self.left_behind.is_some() => Code::Internal.into(),
            (false, true, None) => ExitCode::SUCCESS,
        }
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let talk = self.language.talk();
        let mut lines = vec![String::new()];
        let Escrow { place, code_number, sequence, made_at, check_line, keys, .. } = &self.escrow;
        let word = if self.is_good { talk.drill_good } else { talk.drill_not_good };
        lines.push(format!("{word}: {}", (talk.words_opened)(*code_number, *made_at, *keys, place)));
        lines.push(format!("  {}", (talk.numbers)(*code_number, *sequence, check_line)));
        for Finding { what, remedy } in &self.findings {
            lines.push(format!("  - {what}\n    {}{remedy}", talk.what_to_do));
        }
        if self.interrupted {
            lines.push(format!("  - {}", talk.drill_interrupted));
        } else if let Some(failed) = &self.failed {
            lines.extend(self.told(failed));
        }
        self.archive.iter().for_each(|brought| self.brought(brought, &mut lines));
        if let Some(path) = &self.left_behind {
            lines.push(format!("  - {}", (talk.drill_left)(&path.display().to_string())));
        }
        if self.is_good {
            let proves = match &self.archive {
                None => [(talk.words_prove)(*code_number), talk.words_do_not_prove.to_owned()],
                Some(brought) => [
                    if brought.is_held { talk.archive_proves } else { talk.archive_proves_less }.to_owned(),
                    talk.archive_does_not_prove.to_owned(),
                ],
            };
            lines.extend(proves.map(|sentence| format!("  {sentence}")));
        }
        if self.is_own_copy {
            lines.push(format!("  {}", talk.own_copy_proves));
        }
        match (&self.reported_at, &self.unreported) {
            (Some(at), _) => lines.push(format!("  {}", (talk.drill_reported)(*at))),
            (None, Some(failed)) => {
                lines.push(format!("  - {}", (talk.drill_not_reported)(&failed.what)));
                lines.extend(failed.remedy.iter().map(|remedy| format!("    {}{remedy}", talk.what_to_do)));
            }
            (None, None) if !self.has_hub => lines.push(format!("  {}", talk.drill_without_hub)),
            (None, None) => lines.push(format!("  {}", talk.drill_not_to_report)),
        }
        lines.extend(self.notes.iter().map(|note| format!("  {}{}", talk.note, harmless(note, 400))));
        for Phase { name, milliseconds } in &self.phases {
            lines.push(format!("  {name:<24} {}.{:03} s", milliseconds / 1000, milliseconds % 1000));
        }
        lines
    }

    fn told(&self, failed: &Failed) -> Vec<String> {
        let mut lines = vec![format!("  - {}", failed.what)];
        lines.extend(failed.remedy.iter().map(|remedy| format!("    {}{remedy}", self.language.talk().what_to_do)));
        lines
    }

    fn brought(&self, brought: &Brought, lines: &mut Vec<String>) {
        let talk = self.language.talk();
        let facts = &brought.facts;
        let (archive, snapshot) = (facts.archive.to_string(), facts.snapshot.to_string());
        lines.push(format!(
            "  {}",
            (talk.came_back)(&CameBack {
                archive: &archive,
                snapshot: &snapshot,
                source: facts.source.as_str(),
                files: facts.files,
                size: &size(facts.bytes),
            })
        ));
        if let Some(compared) = &brought.compared {
            let with = compared.with.display().to_string();
            lines.push(format!("  {}", (talk.beside_live)(&with, compared.same, compared.different)));
            lines.extend(compared.named.iter().map(|named| format!("    {named}")));
        }
        lines.extend(brought.said.iter().take(TOLD).map(|line| format!("    {}", harmless(line, 400))));
    }
}

/// Lines of the client that a person is shown: all of them are in the report as JSON.
const TOLD: usize = 20;
