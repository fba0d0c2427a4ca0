//! `tenwords pins sign STATEMENT --key RECOVERYKEY`

use std::{ffi::OsString, num::NonZeroU64, path::Path, path::PathBuf};

use serde::Serialize;
use tenwords_protocol::{
    bytes::Base64,
    operators::{NAMESPACE, Pins},
    v1::V1,
};

use super::{Desk, LARGEST_FILE, change, current, lists, may_sign, propose, statement};
use crate::{
    cli::SignPins, command::ask, failure::Failure, files, operators::Operators, sshkeygen, sshsig::fingerprint,
};

#[derive(Serialize)]
struct Signed<'a> {
    v: V1,
    generation: NonZeroU64,
    code: String,
    key: String,
    changes: &'a [String],
    warnings: &'a [String],
    file: &'a str,
}

pub(in crate::command) fn run(desk: &Desk, sign: &SignPins) -> Result<(), Failure> {
    let current = current(desk, sign.from.as_deref())?;
    let text = files::read(&sign.statement, LARGEST_FILE)?;
    let statement = statement(&text, &current)?;
    let generation = statement.generation;
    let out = sign.out.clone().unwrap_or_else(|| PathBuf::from(format!("pins-{generation}.json")));
    files::is_free(&out)?;
    // Where the public half lies beside the key, a wrong one is found out before it is asked for.
    if let Some(key) = public_half(&sign.key) {
        may_sign(&current, &key)?;
    }
    let changes = change::told(&current.list, &statement.signers);
    let warnings = change::warnings(&statement.signers);
    eprint!("{}", propose::text(&current, &statement, &changes));
    warnings.iter().for_each(|warning| desk.warn(warning));
    if !sign.yes {
        ask::yes("Sign this for every box?")?;
    }
    let armour = sshkeygen::sign(NAMESPACE, &sign.key, &text)?;
    may_sign(&current, armour.key())?;
    let pins = Pins { v: V1, statement: Base64(text), signature: armour.text().to_owned() };
    let mut written = serde_json::to_vec(&pins).map_err(|error| Failure::internal(error.to_string()))?;
    written.push(b'\n');
    files::write_new(&out, &written)?;
    let code = statement.signers.code().to_string();
    Operators { generation, list: statement.signers }.keep(&desk.settings.state)?;
    let key = fingerprint(armour.key());
    desk.print(&format!(
        "Signed with {key}: {0}\nYour own list is generation {generation} from here on, code {code}. To every box: \
         tenwords pins send {0}\n",
        out.display()
    ))?;
    let file = &out.to_string_lossy();
    desk.print_json(&Signed { v: V1, generation, code, key, changes: &changes, warnings: &warnings, file })
}

/// The public half, if the file is one or has one beside it.
fn public_half(key: &Path) -> Option<Vec<u8>> {
    let mut beside = OsString::from(key);
    beside.push(".pub");
    [key, Path::new(&beside)].iter().find_map(|path| lists::public(&files::read(path, LARGEST_FILE).ok()?))
}
