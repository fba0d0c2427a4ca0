//! `tenwords pins show`

use std::num::NonZeroU64;

use serde::Serialize;
use tenwords_protocol::{
    hash::Sha256,
    operators::{Pins, PinsStatement, Role},
    orders::pins_sha256,
    time::Timestamp,
    v1::V1,
};

use super::{Desk, change, current, lists, vouched};
use crate::{
    cli::ShowPins,
    failure::Failure,
    operators::Operators,
    show::{clean, table},
    sshsig::fingerprint,
};

#[derive(Serialize)]
pub(super) struct Shown<'a> {
    v: V1,
    generation: NonZeroU64,
    code: String,
    sha256: Sha256,
    keys: Vec<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_the_hub: Option<&'a [Carried]>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Key {
    roles: Vec<Role>,
    key_type: String,
    fingerprint: String,
}

/// A statement that the hub carries.
#[derive(Serialize)]
pub(super) struct Carried {
    /// Its name at the hub.
    sha256: Sha256,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_at: Option<Timestamp>,
    /// What it is beside the own list.
    is: String,
}

impl Carried {
    pub(super) fn is(&self) -> &str {
        &self.is
    }
}

impl<'a> Shown<'a> {
    pub(super) fn new(list: &Operators, at_the_hub: Option<&'a [Carried]>, warnings: &'a [String]) -> Self {
        let key = |signer: &tenwords_protocol::operators::Signer| Key {
            roles: signer.roles().iter().copied().collect(),
            key_type: signer.key_type().to_owned(),
            fingerprint: fingerprint(signer.key()),
        };
        Self {
            v: V1,
            generation: list.generation,
            code: list.list.code().to_string(),
            sha256: list.list.hash(),
            keys: list.list.signers().iter().map(key).collect(),
            at_the_hub,
            warnings,
        }
    }
}

pub(in crate::command) async fn run(desk: &Desk, show: &ShowPins) -> Result<(), Failure> {
    let list = match &show.file {
        Some(file) => lists::read(file)?.operators,
        None => current(desk, None)?,
    };
    let warnings = change::warnings(&list.list);
    // A file is looked at as it is; so is the own list where no hub is set, on a machine without a network.
    let carried = match (&show.file, desk.settings.hub()) {
        (None, Ok(_)) => {
            let pins = desk.hub()?.pins().await?.pins;
            Some(pins.iter().map(|pins| carried(pins, desk, &list)).collect::<Result<Vec<_>, _>>()?)
        }
        _ => None,
    };
    desk.print_json(&Shown::new(&list, carried.as_deref(), &warnings))?;
    if desk.json {
        return Ok(());
    }
    desk.print(&text(&list))?;
    match carried {
        Some(carried) if carried.is_empty() => desk.print("\nThe hub carries no statement.\n")?,
        Some(carried) => desk.print(&format!("\nThe hub carries:\n{}", listed(&carried)))?,
        None => {}
    }
    warnings.iter().for_each(|warning| desk.warn(warning));
    Ok(())
}

/// Generation, code and keys.
pub(super) fn text(list: &Operators) -> String {
    format!(
        "Operators' keys, generation {}, code {}\n\n{}\nA box that shows the same generation and code has the same \
         list.\n",
        list.generation,
        list.list.code(),
        change::keys(&list.list)
    )
}

pub(super) fn carried(pins: &Pins, desk: &Desk, own: &Operators) -> Result<Carried, Failure> {
    let sha256 = pins_sha256(pins).map_err(|error| Failure::internal(error.to_string()))?;
    let statement = match PinsStatement::parse(&pins.statement.0) {
        Ok(statement) => statement,
        Err(why) => {
            let is = format!("not a statement: {}", clean(&why.to_string()));
            return Ok(Carried { sha256, generation: None, code: None, made_at: None, is });
        }
    };
    let hash = statement.signers.hash();
    let is_next = Some(statement.generation) == own.generation.checked_add(1) && statement.replaces == own.list.hash();
    let is = if Operators::of_hash(&desk.settings.state, statement.generation, hash)?.is_some() {
        if statement.generation == own.generation { "your own list" } else { "a former list of yours" }.to_owned()
    } else if !is_next {
        "neither yours nor the one after it".to_owned()
    } else {
        match vouched(pins, own) {
            Ok(armour) => format!("the one after yours, signed by {}", fingerprint(armour.key())),
            Err(_) => "the one after yours, but NOT signed by a recovery key of your list".to_owned(),
        }
    };
    Ok(Carried {
        sha256,
        generation: Some(statement.generation),
        code: Some(statement.signers.code().to_string()),
        made_at: Some(statement.made_at),
        is,
    })
}

/// A line each, and below it the hash by which it can be ended.
pub(super) fn listed(carried: &[Carried]) -> String {
    let lines = table(&rows(carried));
    lines.lines().zip(carried).map(|(line, one)| format!("{line}\n      {}\n", one.sha256)).collect()
}

fn rows(carried: &[Carried]) -> Vec<Vec<String>> {
    let row = |one: &Carried| {
        let generation = one.generation.map_or_else(|| "?".to_owned(), |generation| generation.to_string());
        let made_at = one.made_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        vec![
            format!("  generation {generation}"),
            one.code.clone().unwrap_or_else(|| "-".to_owned()),
            made_at,
            one.is.clone(),
        ]
    };
    carried.iter().map(row).collect()
}
