//! `tenwords order send FILE`

use std::time::Duration;

use serde::Serialize;
use tenwords_protocol::{
    bounded::Text,
    hash::Sha256,
    id::BoxId,
    json,
    order::{NAMESPACE, SignedOrder},
    orders::{AnswerRequest, Outcome, OutcomeKind, WaitingOrder},
    v1::V1,
};
use tokio::time::{Instant, sleep};

use super::{Candidate, LARGEST_FILE, Reference};
use crate::{
    cli::SendOrder,
    command::{Desk, called},
    failure::{Failure, Kind},
    files,
    hub::Hub,
    show::clean,
    sshkeygen,
    sshsig::Armour,
};

#[derive(Serialize)]
struct Sent<'a> {
    v: V1,
    order: Sha256,
    box_id: BoxId,
    answer: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a Outcome>,
}

/// Between two questions to the hub.
const PAUSE: Duration = Duration::from_secs(2);

pub(in crate::command) async fn run(desk: &Desk, send: &SendOrder) -> Result<(), Failure> {
    let (candidate, armour) = read(desk, send).await?;
    let order = candidate.order().map_err(super::judged::Fault::refusal)?;
    sshkeygen::check(NAMESPACE, &candidate.text, &armour)?;
    let map = desk.map()?;
    let name = called(&map, order.box_id);
    let hub = desk.hub()?;
    // What the box said of an earlier answer is not said of this one.
    let before = if send.wait.is_some() { outcome(&hub, candidate.hash()).await? } else { None };
    let answer = leave(&hub, order.box_id, candidate.hash(), &armour).await?;
    let said = match send.wait {
        None => None,
        Some(seconds) => {
            if !desk.json {
                eprint!("{}", told(&name));
                eprintln!("Waiting for what the box says of it; ending this takes nothing back.");
            }
            Some(waited(&hub, candidate.hash(), before.as_ref(), Duration::from_secs(seconds), &name).await?)
        }
    };
    desk.print_json(&Sent { v: V1, order: candidate.hash(), box_id: order.box_id, answer, outcome: said.as_ref() })?;
    match said {
        None => desk.print(&told(&name)),
        Some(said) => judge(desk, &name, &said),
    }
}

/// The order and the signature over it, out of one file or two.
async fn read(desk: &Desk, send: &SendOrder) -> Result<(Candidate, Armour), Failure> {
    let text = files::read(&send.signed, LARGEST_FILE)?;
    if let Ok(signed) = json::from_slice::<SignedOrder>(&text) {
        let armour = Armour::parse(signed.signature.as_bytes(), NAMESPACE)?;
        let candidate = Candidate { text: signed.order.0, listed: None };
        if let Some(named) = &send.order
            && Reference::of(named).find(desk).await?.text != candidate.text
        {
            let what = format!("{} is a signature over another order", send.signed.display());
            return Err(Failure::usage("order_differs", what, "leave --order out: a signed order has its text in it"));
        }
        return Ok((candidate, armour));
    }
    let armour = Armour::parse(&text, NAMESPACE)?;
    let Some(named) = &send.order else {
        let what = "a signature alone does not say what it was made over";
        return Err(Failure::usage("which_order", what, "name the order too: --order FILE, or --order CODE"));
    };
    Ok((Reference::of(named).find(desk).await?, armour))
}

/// Leaves the signature at the hub; tells its number.
pub(super) async fn leave(hub: &Hub, id: BoxId, order: Sha256, armour: &Armour) -> Result<u64, Failure> {
    let request = AnswerRequest { v: V1, signature: Text::cut(armour.text()) };
    let stored = hub.answer(id, order, &request).await?;
    Ok(stored.number.get())
}

/// What happens next.
pub(super) fn told(name: &str) -> String {
    format!(
        "The signature waits at the hub for {name}. The box fetches it by itself and judges it alone; if it is good, \
         the box\ndoes that one thing, once, and nothing else.\n"
    )
}

async fn outcome(hub: &Hub, order: Sha256) -> Result<Option<Outcome>, Failure> {
    let listed = hub.orders(true).await?.orders;
    let found = listed.iter().find(|listed| listed.order == order);
    Ok(found.and_then(|found: &WaitingOrder| found.outcome.clone()))
}

/// Asks until the box has said something that is an end.
async fn waited(
    hub: &Hub,
    order: Sha256,
    before: Option<&Outcome>,
    longest: Duration,
    name: &str,
) -> Result<Outcome, Failure> {
    let until = Instant::now() + longest;
    let mut is_at_it = false;
    loop {
        if let Some(said) = outcome(hub, order).await?.filter(|said| Some(said) != before) {
            match said.outcome {
                OutcomeKind::Used => is_at_it = true,
                _ => return Ok(said),
            }
        }
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            let what = match is_at_it {
                true => format!("{name} took the signature, and has not said yet that it is done"),
                false => format!("{name} has not said anything of it yet"),
            };
            let remedy = "the signature stays where it is; `tenwords order list --all` shows what the box says later";
            return Err(Failure::new(Kind::Waiting, "waiting", what, remedy));
        }
        sleep(PAUSE.min(rest)).await;
    }
}

fn judge(desk: &Desk, name: &str, said: &Outcome) -> Result<(), Failure> {
    let words = clean(said.said.as_str());
    match said.outcome {
        OutcomeKind::Done | OutcomeKind::Used => desk.print(&format!("{name} did it: {words}\n")),
        OutcomeKind::Refused => Err(Failure::usage(
            "refused_by_box",
            format!("{name} refused the signature: {words}"),
            "the order goes on waiting: `tenwords order show CODE` compares the box's list of keys with yours",
        )),
        OutcomeKind::Failed => Err(Failure::usage(
            "failed_at_box",
            format!("{name} tried, and did not come to its end: {words}"),
            "the order is used up; the box asks anew if it goes on",
        )),
        OutcomeKind::Withdrawn => Err(Failure::usage(
            "withdrawn",
            format!("{name} asks no more: {words}"),
            "nothing was done, and nothing is to be signed",
        )),
    }
}
