//! `tenwords pins propose`

use std::{collections::BTreeSet, num::NonZeroU64, path::PathBuf};

use serde::Serialize;
use tenwords_protocol::{
    operators::{OperatorList, PinsStatement, Signer},
    time::Timestamp,
    v1::V1,
};

use super::{Desk, change, current, lists};
use crate::{cli::ProposePins, failure::Failure, files, operators::Operators, sshkeygen, sshsig::fingerprint};

#[derive(Serialize)]
struct Proposed<'a> {
    v: V1,
    generation: NonZeroU64,
    code: String,
    changes: &'a [String],
    warnings: &'a [String],
    file: &'a str,
}

pub(in crate::command) fn run(desk: &Desk, propose: &ProposePins) -> Result<(), Failure> {
    let current = current(desk, propose.from.as_deref())?;
    let signers = changed(&current, propose)?;
    let changes = change::told(&current.list, &signers);
    if changes.is_empty() {
        let what = "that is the list as it is: there is nothing to sign";
        return Err(Failure::usage(
            "unchanged",
            what,
            "say whom boxes shall believe: --add LINE, --remove FINGERPRINT",
        ));
    }
    let generation = current.generation.checked_add(1).ok_or_else(|| Failure::internal("no generation is left"))?;
    let (replaces, made_at) = (current.list.hash(), Timestamp::now());
    let statement = PinsStatement { v: V1, generation, replaces, signers, made_at };
    let out = propose.out.clone().unwrap_or_else(|| PathBuf::from(format!("pins-{generation}.statement")));
    let statement_text = statement.to_text().map_err(|error| {
        Failure::usage("statement", error.to_string(), "take keys out that nobody needs, or take smaller ones")
    })?;
    files::write_new(&out, &statement_text)?;
    let warnings = change::warnings(&statement.signers);
    desk.print_json(&Proposed {
        v: V1,
        generation,
        code: statement.signers.code().to_string(),
        changes: &changes,
        warnings: &warnings,
        file: &out.to_string_lossy(),
    })?;
    desk.print(&text(&current, &statement, &changes))?;
    desk.print(&format!(
        "\nWritten to {0}. Nothing has changed yet: a recovery key of generation {1} has to sign it.\n\n  tenwords pins \
         sign {0} --key RECOVERYKEY\n\nor by hand: {2}\n",
        out.display(),
        current.generation,
        sshkeygen::told(tenwords_protocol::operators::NAMESPACE, std::path::Path::new("RECOVERYKEY"), &out)
    ))?;
    if !desk.json {
        warnings.iter().for_each(|warning| desk.warn(warning));
    }
    Ok(())
}

/// What it makes of the list.
pub(super) fn text(current: &Operators, statement: &PinsStatement, changes: &[String]) -> String {
    let mut text = format!(
        "Generation {} (code {}) becomes generation {} (code {}), on every box:\n\n",
        current.generation,
        current.list.code(),
        statement.generation,
        statement.signers.code()
    );
    changes.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text.push_str(&format!("\nAfterwards these count, and no others:\n\n{}", change::keys(&statement.signers)));
    text
}

fn changed(current: &Operators, propose: &ProposePins) -> Result<OperatorList, Failure> {
    let mut gone = BTreeSet::new();
    for typed in &propose.remove {
        gone.extend(lists::removed(typed)?);
    }
    let known: BTreeSet<String> = current.list.signers().iter().map(|signer| fingerprint(signer.key())).collect();
    if let Some(unknown) = gone.difference(&known).next() {
        let what = format!("the list has no key {}", crate::show::clean(unknown));
        return Err(Failure::usage("unknown_key", what, "`tenwords pins show` lists the keys with their fingerprints"));
    }
    let is_kept = |signer: &&Signer| !gone.contains(&fingerprint(signer.key()));
    let mut signers: Vec<Signer> = current.list.signers().iter().filter(is_kept).cloned().collect();
    for typed in &propose.add {
        for signer in lists::added(typed)? {
            if signers.iter().any(|known| known.key() == signer.key()) {
                let what = format!("the key {} is there already", fingerprint(signer.key()));
                let remedy = "to change its roles, name it with --remove in the same command";
                return Err(Failure::usage("known_key", what, remedy));
            }
            signers.push(signer);
        }
    }
    lists::list(signers)
}
