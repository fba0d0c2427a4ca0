//! `tenwords order sign FILE|CODE --key KEY`

use std::path::PathBuf;

use serde::Serialize;
use tenwords_protocol::{
    bytes::Base64,
    hash::Sha256,
    id::BoxId,
    operators::Role,
    order::{NAMESPACE, SignedOrder},
    time::Timestamp,
    v1::V1,
};

use super::{Candidate, Reference, map, plain, send, show};
use crate::{
    cli::SignOrder,
    command::{Desk, ask, called},
    failure::Failure,
    files,
    operators::Operators,
    sshkeygen,
    sshsig::{Armour, fingerprint},
};

#[derive(Serialize)]
struct Signed<'a> {
    v: V1,
    order: Sha256,
    code: String,
    box_id: BoxId,
    key: String,
    file: &'a str,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<u64>,
}

pub(in crate::command) async fn run(desk: &Desk, sign: &SignOrder) -> Result<(), Failure> {
    let map = map(desk, &sign.order.boxes)?;
    let reference = Reference::of(&sign.order.which);
    let candidate = reference.find(desk).await?;
    let now = Timestamp::now();
    let told = show::tell(desk, &candidate, &map, now)?;
    if let Some(fault) = candidate.fault(&map, now) {
        return Err(fault.refusal());
    }
    let out = out(sign, &reference, &candidate);
    files::is_free(&out)?;
    // What is missing for sending is found out before a key is touched.
    let hub = if sign.send { Some(desk.hub()?) } else { None };
    // The code is not shown before it was compared: who reads it here does not look at the box.
    eprint!("{}", told.text);
    told.warnings.iter().for_each(|warning| desk.warn(warning));
    compare(&candidate, sign)?;
    let armour = sshkeygen::sign(NAMESPACE, &sign.key, &candidate.text)?;
    let not_pinned = not_pinned(desk, &armour)?;
    not_pinned.iter().for_each(|warning| desk.warn(warning));
    let warnings: Vec<String> = told.warnings.into_iter().chain(not_pinned).collect();
    let signed = SignedOrder { v: V1, order: Base64(candidate.text.clone()), signature: armour.text().to_owned() };
    let mut text = serde_json::to_vec(&signed).map_err(|error| Failure::internal(error.to_string()))?;
    text.push(b'\n');
    files::write_new(&out, &text)?;
    let answer = match &hub {
        Some(hub) => Some(send::leave(hub, told.order.box_id, candidate.hash(), &armour).await?),
        None => None,
    };
    desk.print_json(&Signed {
        v: V1,
        order: candidate.hash(),
        code: candidate.code().to_string(),
        box_id: told.order.box_id,
        key: fingerprint(armour.key()),
        file: &out.to_string_lossy(),
        warnings: &warnings,
        answer,
    })?;
    desk.print(&after(&reference, sign, &candidate, &armour, &out))?;
    if answer.is_some() {
        desk.print(&send::told(&called(&map, told.order.box_id)))?;
    }
    Ok(())
}

fn out(sign: &SignOrder, reference: &Reference, candidate: &Candidate) -> PathBuf {
    match (&sign.out, reference) {
        (Some(out), _) => out.clone(),
        (None, Reference::File(file)) => file.with_extension("signed"),
        (None, _) => format!("order-{}.signed", candidate.code()).into(),
    }
}

/// The code of the box's screen, from the operator and not from here.
fn compare(candidate: &Candidate, sign: &SignOrder) -> Result<(), Failure> {
    let code = plain(&candidate.code().to_string());
    let differs = || {
        let remedy = "what the hub or the file shows is not what the box asks for: sign nothing, and tell the others";
        Failure::usage("code_differs", "not signed: the code on the box's screen is not that of this order", remedy)
    };
    if let Some(given) = &sign.code {
        if plain(given) != code {
            return Err(differs());
        }
        return if sign.yes { Ok(()) } else { ask::yes("The code is the box's. Sign this order?") };
    }
    let question = "Type the first and the last group of the code under this order on the box's own screen,\nor \
                    nothing to leave it: ";
    let Some(typed) = ask::line(question) else {
        let remedy = "give the code as the box's screen shows it, and your yes: --code CODE --yes";
        return Err(Failure::usage("not_confirmed", "not signed: there is no terminal to ask at", remedy));
    };
    let typed = plain(&typed);
    // One group alone can be hit upon: a hub that tries a million orders finds one that begins alike.
    let both: String = code.chars().take(4).chain(code.chars().skip(12)).collect();
    if typed == both || typed == code {
        return Ok(());
    }
    if typed.len() < both.len() {
        let remedy = "the code is what makes it that order: two groups of four, or the whole of it";
        return Err(Failure::usage("not_confirmed", "nothing was signed", remedy));
    }
    Err(differs())
}

/// Whether the own list would let this key sign orders. The box's list decides.
fn not_pinned(desk: &Desk, armour: &Armour) -> Result<Option<String>, Failure> {
    let own = Operators::read(&desk.settings.state)?;
    let is_known = own.is_none_or(|own| own.has_role(armour.key(), Role::Operational));
    let warning = || {
        let key = fingerprint(armour.key());
        format!("the key {key} may not sign orders by your own list: the box will refuse it, if its list is yours")
    };
    Ok((!is_known).then(warning))
}

fn after(
    reference: &Reference,
    sign: &SignOrder,
    candidate: &Candidate,
    armour: &Armour,
    out: &std::path::Path,
) -> String {
    let mut text = format!(
        "Signed with {}: {}\nThe order's code is {}.\n",
        fingerprint(armour.key()),
        out.display(),
        candidate.code()
    );
    if let Reference::File(file) = reference {
        text.push_str(&format!("The same by hand: {}\n", sshkeygen::told(NAMESPACE, &sign.key, file)));
    }
    if !sign.send {
        text.push_str(&format!("To the box: tenwords order send {0}, or {0} itself, brought there.\n", out.display()));
    }
    text
}
