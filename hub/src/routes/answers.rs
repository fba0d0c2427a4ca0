//! `POST /v1/boxes/{box_id}/orders/{order}/answers`: an operator answers. `GET /v1/boxes/{box_id}/answers
//! [?after=N][&wait=SECONDS]`: a box fetches what was answered, and waits for it if there is nothing yet.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tenwords_protocol::{
    bounded::List,
    hash::Sha256,
    orders::{AnswerList, AnswerRequest, AnswerStored, LONGEST_WAIT, OrderState},
    problem::ProblemCode,
    v1::V1,
};
use tokio::time::Instant;

use super::{arm::no_box, orders::no_order};
use crate::{
    app::App,
    body::{Json, OfBox},
    identity::{OperatorCaller, Writer},
    refusal::Refusal,
    store::{GiveAnswer, GiveAnswerOutcome},
};

/// How often a request that waits looks by itself: another process may have written, and the certificate
/// may have been revoked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// When to come again if all of a box's places are taken.
const PLACE_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn post(
    State(app): State<Arc<App>>,
    operator: OperatorCaller,
    OfBox(box_id, order): OfBox<Sha256>,
    Json(AnswerRequest { signature, .. }): Json<AnswerRequest>,
) -> Result<Response, Refusal> {
    let now = app.now();
    let act = GiveAnswer { box_id, order, signature, operator: operator.name.clone(), now };
    let over = |why: &str| Err(Refusal::saying(ProblemCode::Outdated, why));
    let (status, number) = match app.store.perform(act).await? {
        GiveAnswerOutcome::Stored(number) => {
            app.counters.answers.add();
            app.polls.wake();
            (StatusCode::CREATED, number)
        }
        GiveAnswerOutcome::Known(number) => (StatusCode::OK, number),
        GiveAnswerOutcome::NoOrder if app.store.has_box(box_id).await? => return Err(no_order()),
        GiveAnswerOutcome::NoOrder => return Err(no_box()),
        GiveAnswerOutcome::Ended(OrderState::Done) => return over("the box says that it was done"),
        GiveAnswerOutcome::Ended(OrderState::Expired) => {
            return over("the order's time is over: the box asks anew if it still wants it");
        }
        GiveAnswerOutcome::Ended(_) => return over("the box asks no more"),
        GiveAnswerOutcome::Used => return over("the box has used a good answer, and is doing it"),
        GiveAnswerOutcome::Revoked => {
            return over(
                "the certificate of the machine that asked was revoked, so nobody would fetch the answer: if the box \
                 lives on another machine now, that one asks anew",
            );
        }
        GiveAnswerOutcome::TooMany { until } => {
            let why = "16 answers are kept for one order: the box asks anew if it still wants it";
            return Err(Refusal::later(ProblemCode::RateLimited, why, until.since(now)));
        }
    };
    Ok((status, Json(AnswerStored { v: V1, number })).into_response())
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    caller: Writer,
    RawQuery(query): RawQuery,
) -> Result<Json<AnswerList>, Refusal> {
    let Asking { after, wait } = Asking::read(query.as_deref().unwrap_or_default(), "answers", LONGEST_WAIT)?;
    let Some(_place) = app.polls.enter(caller.box_id) else {
        let why = "so many requests of this box wait for an answer already";
        return Err(Refusal::later(ProblemCode::RateLimited, why, PLACE_AGAIN));
    };
    let end = Instant::now() + wait;
    let mut news = app.polls.news();
    let mut has_waited = false;
    loop {
        // Before the store is read, so that nothing which comes meanwhile is slept through.
        news.mark_unchanged();
        let answers = app.store.answers_after(caller.box_id, after).await?;
        if has_waited {
            caller.still_holds(&app, "GET /v1/boxes/{box_id}/answers, while it waited").await?;
        }
        let left = end.saturating_duration_since(Instant::now());
        if has_waited && !answers.is_empty() && !left.is_zero() {
            app.counters.answers_woken.add();
        }
        if !answers.is_empty() || left.is_zero() || app.is_stopping() {
            return Ok(Json(AnswerList { v: V1, answers: List::cut(answers).0 }));
        }
        if !has_waited {
            app.counters.answers_waited.add();
            has_waited = true;
        }
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
            () = app.stops() => {}
        }
    }
}

/// What a box wants to have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asking {
    pub(super) after: u64,
    pub(super) wait: Duration,
}

impl Asking {
    pub(super) fn read(query: &str, what: &str, longest: u64) -> Result<Self, Refusal> {
        let refused = || {
            let why = format!("{what} take `after=<number>` and `wait=<seconds>`, at most {longest}, and nothing else");
            Refusal::saying(ProblemCode::BadRequest, why)
        };
        let (mut after, mut wait) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(refused)?;
            let value = decimal(value).ok_or_else(refused)?;
            let place = match name {
                "after" => &mut after,
                "wait" if value <= longest => &mut wait,
                _ => return Err(refused()),
            };
            if place.replace(value).is_some() {
                return Err(refused());
            }
        }
        Ok(Self { after: after.unwrap_or(0), wait: Duration::from_secs(wait.unwrap_or(0)) })
    }
}

/// One number, one text: no sign, no leading zero.
fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_says_after_which_and_how_long_in_one_way_only() {
        let read =
            |query: &str| Asking::read(query, "answers", LONGEST_WAIT).ok().map(|it| (it.after, it.wait.as_secs()));
        for (query, expected) in [("", (0, 0)), ("after=0&wait=0", (0, 0)), ("wait=45&after=7", (7, 45))] {
            assert_eq!(read(query), Some(expected), "{query}");
        }
        let all = format!("after={}", u64::MAX);
        assert_eq!(read(&all), Some((u64::MAX, 0)));
        for query in [
            "after",
            "after=",
            "after=-1",
            "after=01",
            "after=+1",
            "wait=46",
            "wait=1.5",
            "after=1&after=2",
            "more=1",
            "x",
        ] {
            assert_eq!(read(query), None, "{query}");
        }
    }
}
